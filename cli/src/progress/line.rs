//! One line of text about how far something is, for a terminal of any width.

use std::time::Duration;

use bitswap_core::ByteSize;
use bitswap_core::chunk::Progress;

/// A width for lines that are not drawn on a terminal: all that there is to say, and no bar.
pub(super) const UNBOUNDED: usize = usize::MAX;

/// Between the parts of a line.
const GAP: &str = "  ";

/// Columns of a bar.
const BAR: std::ops::RangeInclusive<usize> = 10..=30;

/// How far something is, in less than `width` columns: the last one stays free, so that no terminal
/// goes to the next line. What matters most stays longest: the percentage, what is done, the bytes, the
/// time left, the rate, who it comes from, a bar.
pub(super) fn bar(what: &str, progress: &Progress, peers: &str, width: usize) -> String {
    let Progress { done, total, rate, eta } = *progress;
    let share = |of: u128| match total {
        0 => of,
        _ => u128::from(done.min(total)) * of / u128::from(total),
    };
    // By importance, each with its place in the line.
    let mut parts = vec![
        (1, format!("{:>3} %", share(100))),
        (0, what.to_owned()),
        (2, format!("{} of {}", ByteSize(done.min(total)), ByteSize(total))),
        (4, eta.map(|eta| format!("{} left", time(eta))).unwrap_or_default()),
        (3, format!("{}/s", ByteSize(rate))),
        (5, peers.to_owned()),
    ];
    parts.retain(|(_, part)| !part.is_empty());
    let all = parts.len();
    let mut used = 0;
    let fit = parts.iter().take_while(|(_, part)| {
        used += part.len() + if used == 0 { 0 } else { GAP.len() };
        used < width
    });
    parts.truncate(fit.count());
    let is_whole = parts.len() == all;
    if parts.is_empty() {
        return cut(&format!("{} %", share(100)), width);
    }
    parts.sort_by_key(|(place, _)| *place);
    let texts: Vec<&str> = parts.iter().map(|(_, part)| part.as_str()).collect();
    let line = texts.join(GAP);
    let room = width.saturating_sub(line.len() + "[] ".len() + 1);
    if !is_whole || width == UNBOUNDED || room < *BAR.start() {
        return line;
    }
    let columns = room.min(*BAR.end());
    let full = share(columns as u128) as usize;
    format!("[{}{}] {line}", "#".repeat(full), ".".repeat(columns - full))
}

/// As much of a text as leaves the last column free.
pub(super) fn cut(text: &str, width: usize) -> String {
    text.chars().take(width.saturating_sub(1)).collect()
}

/// A duration as people say it: its two largest units.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: u64) -> Progress {
        Progress { done, total, rate: 11 << 20, eta: Some(Duration::from_secs(75)) }
    }

    #[test]
    fn a_line_says_as_much_as_fits() {
        let progress = progress(256 << 20, 1 << 30);
        for (width, text) in [
            (1, ""),
            (4, "25 "),
            (20, " 25 %"),
            (40, " 25 %  256.0 MiB of 1.0 GiB"),
            (43, " 25 %  256.0 MiB of 1.0 GiB"),
            (46, " 25 %  256.0 MiB of 1.0 GiB  1 min 15 s left"),
            (59, " 25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left"),
            (80, "[#####...............]  25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left"),
            (
                200,
                "[#######.......................]  25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left",
            ),
            (UNBOUNDED, " 25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left"),
        ] {
            assert_eq!(bar("", &progress, "", width), text, "{width}");
        }
        for (width, text) in [
            (59, " 25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left"),
            (72, " 25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left  2/3 seeders"),
            (
                100,
                "[######.....................]  25 %  256.0 MiB of 1.0 GiB  11.0 MiB/s  1 min 15 s left  2/3 seeders",
            ),
        ] {
            assert_eq!(bar("", &progress, "2/3 seeders", width), text, "{width}");
        }
        assert_eq!(bar("hashing", &progress, "", 40), "hashing   25 %  256.0 MiB of 1.0 GiB");
        assert_eq!(bar("hashing", &progress, "", 16), "hashing   25 %");
        assert_eq!(bar("hashing", &progress, "", 14), " 25 %");
    }

    #[test]
    fn no_line_is_as_wide_as_its_terminal() {
        let numbers = [0, 1, 999, 1023 << 10, (1 << 40) - 1, u64::MAX];
        for width in 1..=300 {
            for (done, total) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
                for eta in [None, Some(Duration::from_secs(u64::MAX / 2))] {
                    let progress = Progress { done, total, rate: u64::MAX, eta };
                    let line = bar("", &progress, "", width);
                    assert!(line.chars().count() < width, "{width}: {line:?}");
                }
            }
            assert_eq!(cut("äöü", width).chars().count(), 3.min(width - 1));
        }
    }

    #[test]
    fn nothing_of_nothing_is_all() {
        assert!(bar("", &progress(0, 0), "", 200).contains("100 %"));
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3660, "1 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }
}
