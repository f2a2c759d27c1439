//! Values of options, as they are written.

use std::ops::Range;
use std::time::Duration;

use bitswap_core::chunk::Sha256Digest;
use cid::Cid;

use crate::cid_text::{self, CidPath};

/// A CID without a path.
pub(super) fn root(text: &str) -> Result<Cid, String> {
    let CidPath { cid, path, .. } = cid_text::parse_path(text)?;
    match path.is_empty() {
        true => Ok(cid),
        false => Err("a root is a CID without a path".to_owned()),
    }
}

/// The bytes from one to another, which is included, as in HTTP.
pub(super) fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "not a range of bytes such as 0-99 or 100-".to_owned();
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let from: u64 = from.parse().map_err(|_| wrong())?;
    let end = match to {
        "" => u64::MAX,
        to => to.parse::<u64>().map_err(|_| wrong())?.saturating_add(1),
    };
    if from < end { Ok(from..end) } else { Err("the range ends before it begins".to_owned()) }
}

pub(super) fn digest(text: &str) -> Result<Sha256Digest, String> {
    let wrong = || "not a SHA-256 digest: 64 hexadecimal digits".to_owned();
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        let pair = text.get(at * 2..at * 2 + 2).filter(|_| is_digest).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(Sha256Digest(digest))
}

/// Longer than anybody waits, and short enough for every clock.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, 1.0, "seconds")
}

/// How long a record holds.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration(text, 3600.0, "hours")?;
    match lifetime >= Duration::from_secs(1) {
        true => Ok(lifetime),
        false => Err("a record holds for a second at least, which is 0.0003 hours".to_owned()),
    }
}

fn duration(text: &str, unit: f64, units: &str) -> Result<Duration, String> {
    let wrong = || format!("not a number of {units}, from 0 on");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    let most = LONGEST.as_secs_f64() / unit;
    if number > most {
        return Err(format!("at most {most} {units}, which are a hundred years"));
    }
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

pub(super) fn patience(text: &str) -> Result<Duration, String> {
    if text == "forever" { Ok(Duration::MAX) } else { seconds(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_somebody_waits_and_what_is_none_is_told_in_its_unit() {
        let said = |text| seconds(text).unwrap_err();
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("3162240000"), Ok(LONGEST));
        for long in ["3162240001", "1e20", "1e400", "inf"] {
            assert_eq!(said(long), "at most 3162240000 seconds, which are a hundred years");
        }
        for wrong in ["", "-1", "NaN", "5s"] {
            assert_eq!(said(wrong), "not a number of seconds, from 0 on");
        }
        assert_eq!(lifetime("48"), Ok(Duration::from_secs(48 * 3600)));
        assert_eq!(lifetime("0.001"), Ok(Duration::from_millis(3600)));
        for short in ["0", "0.0002"] {
            assert!(lifetime(short).unwrap_err().starts_with("a record holds for a second"));
        }
        let said = lifetime("1e300").unwrap_err();
        assert_eq!(said, "at most 878400 hours, which are a hundred years");
        assert_eq!(lifetime("-1").unwrap_err(), "not a number of hours, from 0 on");
    }

    #[test]
    fn a_range_has_both_of_its_ends() {
        assert_eq!(
            (range("0-99"), range("7-7"), range("5-")),
            (Ok(0..100), Ok(7..8), Ok(5..u64::MAX))
        );
        for wrong in ["", "-", "-5", "5", "a-b", "9-8", "1-2-3", "1..2"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
