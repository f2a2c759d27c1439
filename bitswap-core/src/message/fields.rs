//! Reading protobuf fields from untrusted bytes.
//!
//! Every length-delimited field is handed out as a slice that ends within its parent, and is read
//! by a fresh [`Fields`] over that slice alone: a nested length can never reach beyond the message
//! that holds it. Only the varint primitive of `quick_protobuf` sees these bytes.

use quick_protobuf::BytesReader;

use crate::error::DecodeError;

/// Groups may nest this deep. They are obsolete and no Bitswap message has one; they are stepped
/// over as unknown fields, without recursion.
const GROUP_DEPTH_MAX: usize = 64;

/// A field's value, whole within its message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A type that Bitswap does not use, already stepped over.
    Other,
}

impl<'a> Value<'a> {
    /// The bytes of a field that must be length-delimited.
    pub(super) const fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Malformed),
        }
    }

    /// The value of an `int32` or enum field. Bits above the lowest 32 are cut off, as protobuf
    /// decoders do.
    pub(super) const fn int32(self) -> Result<i32, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value as i32),
            _ => Err(DecodeError::Malformed),
        }
    }

    /// The value of a `bool` field.
    pub(super) const fn bool(self) -> Result<bool, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value != 0),
            _ => Err(DecodeError::Malformed),
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

/// The fields of one message, in the order in which they were sent.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The number and value of the next field, `None` at the end of the message.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(self.varint()?),
            WireType::Bytes => Value::Bytes(self.bytes()?),
            WireType::Fixed64 => self.step_over(8)?,
            WireType::Fixed32 => self.step_over(4)?,
            WireType::GroupStart => self.group(number)?,
            WireType::GroupEnd => return Err(DecodeError::Malformed),
        };
        Ok(Some((number, value)))
    }

    fn key(&mut self) -> Result<(u32, WireType), DecodeError> {
        let key = u32::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(DecodeError::Malformed),
        };
        match key >> 3 {
            0 => Err(DecodeError::Malformed),
            number => Ok((number, wire_type)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        // Nearly all keys and lengths are one byte long.
        if let Some((&byte @ ..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(byte.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut reader = BytesReader::from_bytes(self.rest);
        let value = reader.read_varint64(self.rest).map_err(|_| DecodeError::Malformed)?;
        let read = self.rest.len().saturating_sub(reader.len());
        let (varint, rest) = self.rest.split_at_checked(read).ok_or(DecodeError::Malformed)?;
        // The reader cuts off what passes 64 bits: the tenth byte may hold one bit.
        if varint.get(9).is_some_and(|byte| *byte > 1) {
            return Err(DecodeError::Malformed);
        }
        self.rest = rest;
        Ok(value)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn step_over(&mut self, len: usize) -> Result<Value<'a>, DecodeError> {
        self.rest = self.rest.get(len..).ok_or(DecodeError::Malformed)?;
        Ok(Value::Other)
    }

    /// Steps over a group, and those within it, whose start was just read.
    fn group(&mut self, number: u32) -> Result<Value<'a>, DecodeError> {
        let mut open = [0; GROUP_DEPTH_MAX];
        let mut depth = 0;
        let mut start = Some(number);
        loop {
            if let Some(number) = start.take() {
                *open.get_mut(depth).ok_or(DecodeError::Malformed)? = number;
                depth += 1;
            }
            let (number, wire_type) = self.key()?;
            match wire_type {
                WireType::Varint => _ = self.varint()?,
                WireType::Bytes => _ = self.bytes()?,
                WireType::Fixed64 => _ = self.step_over(8)?,
                WireType::Fixed32 => _ = self.step_over(4)?,
                WireType::GroupStart => start = Some(number),
                WireType::GroupEnd => {
                    depth -= 1;
                    if open.get(depth) != Some(&number) {
                        return Err(DecodeError::Malformed);
                    }
                    if depth == 0 {
                        return Ok(Value::Other);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read_all(bytes: &[u8]) -> Result<Vec<u32>, DecodeError> {
        let mut fields = Fields::new(bytes);
        let mut numbers = Vec::new();
        while let Some((number, _)) = fields.next()? {
            numbers.push(number);
        }
        Ok(numbers)
    }

    #[test]
    fn steps_over_every_wire_type() {
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
            assert_eq!(read_all(bad), Err(DecodeError::Malformed), "{bad:x?}");
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
}
