//! The unsigned varint of multiformats: frame lengths, prefixes and CIDs.
//!
//! Seven bits a byte, lowest first, at most nine bytes (63 bits), and only in the shortest form:
//! a number has one encoding, so a CID has one too. Protobuf's varints are laxer and are read
//! elsewhere.

use alloc::vec::Vec;

use unsigned_varint::{decode, encode};

/// The longest encoding.
const MAX_BYTES: usize = 9;

/// The largest number that has an encoding.
pub(crate) const MAX: u64 = (1 << 63) - 1;

/// Bytes that are no varint: longer than nine bytes or not in the shortest form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotMinimal;

/// The number at the start of `bytes` and what follows it; `None` when its last byte is yet to come.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, NotMinimal> {
    // The library reads ten bytes.
    let head = bytes.get(..MAX_BYTES).unwrap_or(bytes);
    match decode::u64(head) {
        Ok((value, rest)) => {
            let read = head.len().saturating_sub(rest.len());
            Ok(Some((value, bytes.get(read..).unwrap_or_default())))
        }
        Err(decode::Error::Insufficient) if head.len() < MAX_BYTES => Ok(None),
        Err(_) => Err(NotMinimal),
    }
}

/// Appends a number in its shortest form. Above [`MAX`] that is protobuf's ten bytes.
pub(crate) fn put(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(encode::u64(value, &mut encode::u64_buffer()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_shortest_form_only() {
        assert_eq!(read(&[0]), Ok(Some((0, &[][..]))));
        assert_eq!(read(&[0x7f, 9]), Ok(Some((127, &[9][..]))));
        assert_eq!(read(&[0x80, 0x01]), Ok(Some((128, &[][..]))));
        assert_eq!(read(&[0xa0, 0xe4, 0x02]), Ok(Some((0xb220, &[][..]))));
        for long in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0x81, 0x80, 0x80, 0]] {
            assert_eq!(read(long), Err(NotMinimal), "{long:?}");
        }
    }

    #[test]
    fn nine_bytes_are_the_most() {
        let mut bytes = [0xff; 10];
        bytes[8] = 0x7f;
        assert_eq!(read(&bytes[..9]), Ok(Some((MAX, &[][..]))));
        assert_eq!(read(&bytes[..8]), Ok(None));
        bytes[8] = 0xff;
        assert_eq!(read(&bytes[..9]), Err(NotMinimal));
        assert_eq!(read(&[]), Ok(None));
    }
}
