//! Rates and sizes as people give them: `5MiB`, `500k`.

/// Reads a number of bytes per second: `500k`, `5MiB`, `1.5 MB/s`. The letters `k`, `M`, `G` and `T` are powers of
/// 1000, and with an `i` behind them of 1024.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text);
    let rate = bytes(text, "give bytes per second, as 500k or 5MiB")?;
    if rate < 1.0 {
        return Err("nothing could ever be sent; leave the option out for no limit".to_owned());
    }
    // Above 2^53, where this is not exact any more, no network goes.
    if rate > (1_u64 << 53) as f64 {
        return Err("no network is as fast; leave the option out for no limit".to_owned());
    }
    Ok(rate as u64)
}

/// Reads a number of bytes: `500MB`, `5GiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let size = bytes(text.trim(), "give a size, as 500MB or 5GiB")?;
    if size < 1.0 {
        return Err("nothing could ever be kept".to_owned());
    }
    if size > (1_u64 << 53) as f64 {
        return Err("no disk is as large; leave the option out for no limit".to_owned());
    }
    Ok(size as u64)
}

fn bytes(text: &str, instead: &str) -> Result<f64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let unit = unit.strip_suffix(['B', 'b']).unwrap_or(unit);
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        "t" | "T" => 1_000_000_000_000,
        "ki" | "Ki" => 1 << 10,
        "mi" | "Mi" => 1 << 20,
        "gi" | "Gi" => 1 << 30,
        "ti" | "Ti" => 1_u64 << 40,
        _ => return Err(format!("{unit:?} is no unit; {instead}")),
    };
    let number: f64 = number.parse().map_err(|_| format!("it has no number; {instead}"))?;
    Ok(number * factor as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_in_every_usual_form() {
        for (text, rate) in [
            ("1", 1),
            ("500k", 500_000),
            ("500 KB/s", 500_000),
            ("5MiB", 5 << 20),
            ("5Mi", 5 << 20),
            ("1.5m", 1_500_000),
            ("1GiB/s", 1 << 30),
            (" 2tb ", 2_000_000_000_000),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text:?}");
        }
        for (text, said) in [
            ("", "no number"),
            ("MiB", "no number"),
            ("fast", "is no unit"),
            ("1.2.3k", "no number"),
            ("-5k", "is no unit"),
            ("5 apples", "is no unit"),
            ("0", "leave the option out"),
            ("0.5", "leave the option out"),
            ("99999999999G", "no network"),
        ] {
            let error = parse_rate(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_as_rates_are() {
        assert_eq!(parse_size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_size("500MB"), Ok(500_000_000));
        for (text, said) in
            [("0", "nothing"), ("x", "500MB"), ("5 MB/s", "no unit"), ("99999999999G", "no disk")]
        {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
