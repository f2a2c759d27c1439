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

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(super) fn patience(text: &str) -> Result<Duration, String> {
    if text == "forever" { Ok(Duration::MAX) } else { seconds(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
