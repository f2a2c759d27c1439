//! Protobuf fields, one at a time, over a slice that nothing reads beyond.
//!
//! Every varint is read by a fresh reader over the bytes that are left, and every nested message is
//! its own slice, so a wrong length can end a message early and can never reach outside it.
//! Varints must be in their shortest form: a node has one encoding, so that a leaf on disk can be
//! wrapped again and compared by its CID.

use alloc::vec::Vec;

use quick_protobuf::BytesReader;
use quick_protobuf::sizeofs::sizeof_varint;

use super::error::DagFault;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chunk) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5, little-endian.
    Fixed32(u32),
    /// Wire type 1; nothing here uses it.
    Fixed64,
}

/// The fields of one message, in the order in which they were written.
#[derive(Clone, Debug)]
pub(in crate::chunk) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(in crate::chunk) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value, `None` at the end.
    pub(in crate::chunk) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DagFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        // Field numbers have 29 bits, and others are no protobuf.
        let tag = u32::try_from(self.varint()?).map_err(|_| DagFault::Malformed)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| DagFault::Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| DagFault::Malformed)?;
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => return Err(DagFault::Malformed),
        };
        match tag >> 3 {
            0 => Err(DagFault::Malformed),
            number => Ok(Some((number, value))),
        }
    }

    /// One varint; also used for the elements of packed fields.
    pub(in crate::chunk) fn varint(&mut self) -> Result<u64, DagFault> {
        let mut reader = BytesReader::from_bytes(self.rest);
        let value = reader.read_varint64(self.rest).map_err(|_| DagFault::Malformed)?;
        let used = self.rest.len() - reader.len();
        let bytes = self.take(used)?;
        // The reader drops bits beyond the 64th: the tenth byte may hold one bit only.
        let overflows = used == 10 && bytes.last() != Some(&1);
        if used != sizeof_varint(value) || overflows {
            return Err(DagFault::Malformed);
        }
        Ok(value)
    }

    /// What is not read yet.
    pub(in crate::chunk) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything is read.
    pub(in crate::chunk) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DagFault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DagFault::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Appends a varint.
pub(in crate::chunk) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a varint field.
pub(in crate::chunk) fn put_number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    put_varint(out, value);
}

/// Appends the tag and length of a bytes field; the caller appends its `len` bytes.
pub(in crate::chunk) fn put_len(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | 2);
    put_varint(out, len as u64);
}

/// The encoded size of a field of `len` bytes with a one-byte tag.
pub(in crate::chunk) fn field_len(len: usize) -> usize {
    1 + sizeof_varint(len as u64) + len
}

/// The encoded size of a varint field with a one-byte tag.
pub(in crate::chunk) fn number_len(value: u64) -> usize {
    1 + sizeof_varint(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_must_be_minimal_and_fit_64_bits() {
        let read = |bytes: &[u8]| Fields::new(bytes).varint();
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(read(bad), Err(DagFault::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_length_never_reaches_outside_its_message() {
        for bad in
            [&[0x0a, 2, 0][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert_eq!(Fields::new(bad).next(), Err(DagFault::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn groups_field_zero_and_numbers_above_29_bits_are_refused() {
        let too_wide = &[0x80, 0x80, 0x80, 0x80, 0x10, 0];
        for bad in [&[0x0b][..], &[0x0c], &[0x0e, 0], &[0x00, 0], too_wide] {
            assert_eq!(Fields::new(bad).next(), Err(DagFault::Malformed), "{bad:?}");
        }
        let widest = [0xf8, 0xff, 0xff, 0xff, 0x0f, 7];
        assert_eq!(Fields::new(&widest).next(), Ok(Some(((1 << 29) - 1, Value::Varint(7)))));
    }

    #[test]
    fn written_varints_read_back() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), sizeof_varint(value));
            assert_eq!(Fields::new(&bytes).varint(), Ok(value));
        }
    }
}
