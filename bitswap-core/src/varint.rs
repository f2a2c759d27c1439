//! The unsigned varint of multiformats: frame lengths, prefixes and CIDs.
//!
//! Seven bits a byte, lowest first, at most nine bytes (63 bits), and only in the shortest form:
//! a number has one encoding, so a CID has one too. Protobuf's varints are laxer and are read
//! elsewhere.

/// The longest encoding.
const MAX_BYTES: usize = 9;

/// The largest number that has an encoding.
pub(crate) const MAX: u64 = (1 << 63) - 1;

/// Bytes that are no varint: longer than nine bytes or not in the shortest form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotMinimal;

/// The number at the start of `bytes` and what follows it; `None` when its last byte is yet to come.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, NotMinimal> {
    let mut value = 0;
    let mut rest = bytes;
    for shift in (0..).step_by(7).take(MAX_BYTES) {
        let Some((&byte, after)) = rest.split_first() else { return Ok(None) };
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // A last byte of zero adds nothing, unless it is the only one.
            return if byte == 0 && shift > 0 { Err(NotMinimal) } else { Ok(Some((value, rest))) };
        }
    }
    Err(NotMinimal)
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
