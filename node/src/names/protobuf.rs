//! The protobuf of records: fields of two kinds, each read within its bounds.
//!
//! `quick-protobuf`, which the core has its varints from, reads a length or a field's number of more than 32 bits as another one,
//! and drops what a number has beyond 64 bits. Here each of these is refused, and so is every kind of field that no record has.

/// What is in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The next field, and what follows it; `None` when it is cut short or of another kind.
pub(super) fn field(bytes: &[u8]) -> Option<(u64, Value<'_>, &[u8])> {
    let (tag, bytes) = varint(bytes)?;
    let number = tag >> 3;
    match tag & 7 {
        0 => varint(bytes).map(|(value, rest)| (number, Value::Number(value), rest)),
        2 => {
            let (len, bytes) = varint(bytes)?;
            let (value, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            Some((number, Value::Bytes(value), rest))
        }
        _ => None,
    }
    .filter(|_| number > 0)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        // The tenth byte has one bit left.
        if at == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_short_is_not() {
        let mut out = Vec::new();
        put_number(&mut out, 5, u64::MAX);
        put_bytes(&mut out, 9, &[7; 300]);
        let (number, value, rest) = field(&out).unwrap();
        assert_eq!((number, value), (5, Value::Number(u64::MAX)));
        assert_eq!(field(rest), Some((9, Value::Bytes(&[7; 300]), &[][..])));
        for end in 0..rest.len() {
            assert_eq!(field(&rest[..end]), None, "{end}");
        }
        // Eleven bytes, field 0, a fixed width.
        for wrong in [&[0x28, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2][..], &[0, 1], &[0x0d]]
        {
            assert_eq!(field(wrong), None, "{wrong:?}");
        }
    }
}
