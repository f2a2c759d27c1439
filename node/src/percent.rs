//! Percent-encoding (RFC 3986), strictly: what does not decode is an error.

use thiserror::Error;

/// Why text does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PercentError {
    /// Something else than a hexadecimal number follows.
    #[error("% is not followed by two digits")]
    Digits,
    /// The bytes are no text.
    #[error("it is not UTF-8")]
    NotText,
}

/// Encodes all but letters and digits of ASCII, `-`, `.`, `_`, and what `keep` says.
#[must_use]
pub fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if is_plain || keep.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Decodes what is encoded, and leaves the rest as it is.
///
/// # Errors
///
/// [`PercentError`] when that gives no text.
pub fn decode(text: &str) -> Result<String, PercentError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or(PercentError::Digits)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| PercentError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encoded_is_decoded() {
        assert_eq!(encode("a b/ü~", ""), "a%20b%2F%C3%BC%7E");
        assert_eq!(encode("a b/c", "/"), "a%20b/c");
        assert_eq!(decode("a%20b/c%c3%BC+"), Ok("a b/cü+".to_owned()));
        for bad in ["%", "%2", "%+f", "%-1", "%2 ", "%zz", "%é"] {
            assert_eq!(decode(bad), Err(PercentError::Digits), "{bad:?}");
        }
        assert_eq!(decode("%ff"), Err(PercentError::NotText));
    }
}
