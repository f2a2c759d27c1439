//! Reading and writing protobuf fields.
//!
//! Every length-delimited field is returned as a slice that ends within its parent, and is read by a
//! fresh [`Fields`] over that slice alone: a nested length can never reach beyond the message that
//! holds it. Only the varint primitive of `quick_protobuf` sees untrusted bytes.
//!
//! Messages of peers are read as [`LenientFields`], as protobuf decoders do. Blocks are read as [`CanonicalFields`]: a node has
//! one encoding, so that a leaf on disk can be wrapped again and compared by its CID.

use alloc::vec::Vec;

use quick_protobuf::BytesReader;
use quick_protobuf::sizeofs::sizeof_varint;

use crate::varint;

/// Groups may nest this deep. They are obsolete and no Bitswap message has one; they are skipped as
/// unknown fields, without recursion.
const GROUP_DEPTH_MAX: usize = 64;

/// Bytes that are no protobuf message, or not the canonical one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A field's value, whole within its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Little-endian.
    Fixed32(u32),
    /// A type that is used nowhere here, skipped.
    Other,
}

impl<'a> Value<'a> {
    /// The bytes of a field that must be length-delimited.
    pub(crate) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// The value of an `int32` or enum field. Bits above the lowest 32 are cut off, as protobuf
    /// decoders do.
    pub(crate) const fn int32(self) -> Result<i32, Malformed> {
        match self {
            Self::Varint(value) => Ok(value as i32),
            _ => Err(Malformed),
        }
    }

    /// The value of a `bool` field.
    pub(crate) const fn bool(self) -> Result<bool, Malformed> {
        match self {
            Self::Varint(value) => Ok(value != 0),
            _ => Err(Malformed),
        }
    }
}

/// The wire types of a protobuf key.
#[derive(Clone, Copy)]
enum WireType {
    Varint,
    Fixed64,
    Bytes,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// The fields of one message, in the order in which they were written.
///
/// `CANONICAL` fields have one encoding: varints in their shortest form, and no groups.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a, const CANONICAL: bool> {
    rest: &'a [u8],
}

/// Fields as protobuf decoders read them.
pub(crate) type LenientFields<'a> = Fields<'a, false>;

/// Fields that have one encoding, as those of blocks.
pub(crate) type CanonicalFields<'a> = Fields<'a, true>;

impl<'a, const CANONICAL: bool> Fields<'a, CANONICAL> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What is not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything is read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The number and value of the next field, `None` at the end of the message.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(self.varint()?),
            WireType::Bytes => Value::Bytes(self.bytes()?),
            WireType::Fixed64 => self.skip(8)?,
            WireType::Fixed32 => self.fixed32()?,
            WireType::GroupStart if !CANONICAL => self.group(number)?,
            WireType::GroupStart | WireType::GroupEnd => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    fn key(&mut self) -> Result<(u32, WireType), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, wire_type)),
        }
    }

    /// One varint; also for the elements of packed fields.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all keys and lengths are one byte long.
        if let Some((&byte @ ..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(byte.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut reader = BytesReader::from_bytes(self.rest);
        let value = reader.read_varint64(self.rest).map_err(|_| Malformed)?;
        let read = self.rest.len().saturating_sub(reader.len());
        let (varint, rest) = self.rest.split_at_checked(read).ok_or(Malformed)?;
        // The reader cuts off what passes 64 bits: the tenth byte may hold one bit.
        let overflows = varint.get(9).is_some_and(|byte| *byte > 1);
        let is_padded = varint.len() != sizeof_varint(value);
        if overflows || (CANONICAL && is_padded) {
            return Err(Malformed);
        }
        self.rest = rest;
        Ok(value)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn fixed32(&mut self) -> Result<Value<'a>, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(Value::Fixed32(u32::from_le_bytes(*bytes)))
    }

    fn skip(&mut self, len: usize) -> Result<Value<'a>, Malformed> {
        self.rest = self.rest.get(len..).ok_or(Malformed)?;
        Ok(Value::Other)
    }

    /// Skips a group, and those within it, whose start was just read.
    fn group(&mut self, number: u32) -> Result<Value<'a>, Malformed> {
        let mut open = [0; GROUP_DEPTH_MAX];
        let mut depth = 0;
        let mut start = Some(number);
        loop {
            if let Some(number) = start.take() {
                *open.get_mut(depth).ok_or(Malformed)? = number;
                depth += 1;
            }
            let (number, wire_type) = self.key()?;
            match wire_type {
                WireType::Varint => _ = self.varint()?,
                WireType::Bytes => _ = self.bytes()?,
                WireType::Fixed64 => _ = self.skip(8)?,
                WireType::Fixed32 => _ = self.skip(4)?,
                WireType::GroupStart => start = Some(number),
                WireType::GroupEnd => {
                    depth -= 1;
                    if open.get(depth) != Some(&number) {
                        return Err(Malformed);
                    }
                    if depth == 0 {
                        return Ok(Value::Other);
                    }
                }
            }
        }
    }
}

/// Appends a varint field.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint::put(out, value);
}

/// Appends the tag and length of a bytes field; the caller appends its `len` bytes.
pub(crate) fn put_len(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | 2);
    varint::put(out, len as u64);
}

/// The encoded size of a field of `len` bytes with a one-byte tag.
pub(crate) fn field_len(len: usize) -> usize {
    1 + sizeof_varint(len as u64) + len
}

/// The encoded size of a varint field with a one-byte tag.
pub(crate) fn number_len(value: u64) -> usize {
    1 + sizeof_varint(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<u32>, Malformed> {
        let mut fields = LenientFields::new(bytes);
        let mut numbers = Vec::new();
        while let Some((number, _)) = fields.next()? {
            numbers.push(number);
        }
        Ok(numbers)
    }

    #[test]
    fn skips_every_wire_type() {
        let bytes = [
            &[0x08, 0x96, 0x01][..],
            &[0x11, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x1a, 0x02, 0xff, 0xff],
            &[0x2d, 0, 0, 0, 0],
            &[0x33, 0x08, 0x01, 0x3b, 0x3c, 0x12, 0x00, 0x34],
        ]
        .concat();
        assert_eq!(read_all(&bytes), Ok(alloc::vec![1, 2, 3, 5, 6]));
        for end in 0..bytes.len() {
            let whole_fields = [0, 3, 12, 16, 21].contains(&end);
            assert_eq!(read_all(&bytes[..end]).is_ok(), whole_fields, "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for bad in [
            // Field number 0, the wire types 6 and 7, an end without a group, crossed groups.
            &[0x02, 0x00][..],
            &[0x0e],
            &[0x0f],
            &[0x0c],
            &[0x0b, 0x13, 0x0c, 0x14],
            // A key above 32 bits, a varint of eleven bytes, one above 64 bits.
            &[0x88, 0x80, 0x80, 0x80, 0x10, 0x00],
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            // Lengths beyond the message, one that wraps when added to a position.
            &[0x0a, 0x01],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert_eq!(read_all(bad), Err(Malformed), "{bad:x?}");
        }
        let max = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read_all(&max), Ok(alloc::vec![1]));
    }

    #[test]
    fn groups_nest_to_a_limit() {
        let nested = |depth| [alloc::vec![0x0b; depth], alloc::vec![0x0c; depth]].concat();
        assert!(read_all(&nested(GROUP_DEPTH_MAX)).is_ok());
        assert!(read_all(&nested(GROUP_DEPTH_MAX + 1)).is_err());
        assert!(read_all(&alloc::vec![0x0b; 1 << 20]).is_err());
    }

    #[test]
    fn canonical_varints_are_minimal_and_fit_64_bits() {
        let read = |bytes: &[u8]| CanonicalFields::new(bytes).varint();
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_length_never_reaches_outside_its_message() {
        for bad in
            [&[0x0a, 2, 0][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert_eq!(CanonicalFields::new(bad).next(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn canonical_fields_have_no_groups_no_field_zero_and_no_number_above_29_bits() {
        let too_wide = &[0x80, 0x80, 0x80, 0x80, 0x10, 0];
        for bad in [&[0x0b][..], &[0x0c], &[0x0e, 0], &[0x00, 0], too_wide] {
            assert_eq!(CanonicalFields::new(bad).next(), Err(Malformed), "{bad:?}");
        }
        let widest = [0xf8, 0xff, 0xff, 0xff, 0x0f, 7];
        assert_eq!(
            CanonicalFields::new(&widest).next(),
            Ok(Some(((1 << 29) - 1, Value::Varint(7))))
        );
    }

    #[test]
    fn written_varints_read_back() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            varint::put(&mut bytes, value);
            assert_eq!(bytes.len(), sizeof_varint(value));
            assert_eq!(CanonicalFields::new(&bytes).varint(), Ok(value));
        }
    }
}
