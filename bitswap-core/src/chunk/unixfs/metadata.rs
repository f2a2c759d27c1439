//! What a UnixFS node says of itself beside its bytes and links.

use alloc::vec::Vec;

use super::error::DagFault;
use super::kind::NodeKind;
use crate::protobuf::{CanonicalFields, Value, put_len, put_number};

/// When something was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// The optional metadata of a file, a directory or a symbolic link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The permissions as Unix has them, of which the lowest 12 bits count.
    pub mode: Option<u32>,
    /// The time of its last change.
    pub mtime: Option<Mtime>,
}

impl Metadata {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.mode.is_none() && self.mtime.is_none()
    }

    /// Appends the fields to a `Data` message.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(mode) = self.mode {
            put_number(out, 7, mode.into());
        }
        if let Some(Mtime { seconds, nanoseconds }) = self.mtime {
            let mut time = Vec::new();
            put_number(&mut time, 1, seconds as u64);
            if nanoseconds > 0 {
                // Field 2 of 32 bits.
                time.push(0x15);
                time.extend_from_slice(&nanoseconds.to_le_bytes());
            }
            put_len(out, 8, time.len());
            out.extend_from_slice(&time);
        }
    }
}

/// The `Data` message of a node.
pub(super) struct Data<'a> {
    pub(super) kind: NodeKind,
    pub(super) bytes: &'a [u8],
    pub(super) filesize: Option<u64>,
    pub(super) blocksizes: Vec<u64>,
    pub(super) hash_type: Option<u64>,
    pub(super) fanout: Option<u64>,
    pub(super) metadata: Metadata,
}

impl<'a> Data<'a> {
    /// Reads a message with at most `sizes_max` block sizes.
    pub(super) fn decode(message: &'a [u8], sizes_max: usize) -> Result<Self, DagFault> {
        let (mut kind, mut bytes, mut filesize) = (None, None, None);
        let (mut hash_type, mut fanout, mut metadata) = (None, None, Metadata::default());
        let mut blocksizes = Vec::new();
        let mut add = |size| {
            if blocksizes.len() == sizes_max {
                return Err(DagFault::BlocksizesMismatch);
            }
            blocksizes.push(size);
            Ok(())
        };
        let mut fields = CanonicalFields::new(message);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Varint(number)) if kind.is_none() => {
                    kind = Some(NodeKind::from_number(number));
                }
                (2, Value::Bytes(data)) if bytes.is_none() => bytes = Some(data),
                (3, Value::Varint(size)) if filesize.is_none() => filesize = Some(size),
                (4, Value::Varint(size)) => add(size)?,
                // Packed: never written here, legal to read.
                (4, Value::Bytes(packed)) => {
                    let mut sizes = CanonicalFields::new(packed);
                    while !sizes.is_empty() {
                        add(sizes.varint()?)?;
                    }
                }
                (5, Value::Varint(code)) if hash_type.is_none() => hash_type = Some(code),
                (6, Value::Varint(width)) if fanout.is_none() => fanout = Some(width),
                // Bits above the lowest 32 are cut off, as protobuf decoders do.
                (7, Value::Varint(mode)) => metadata.mode = Some(mode as u32),
                (8, Value::Bytes(time)) if metadata.mtime.is_none() => {
                    metadata.mtime = Some(decode_mtime(time)?);
                }
                // Stricter than protobuf: a known field of a wrong type or given twice.
                (1..=8, _) => return Err(DagFault::Malformed),
                _ => {}
            }
        }
        Ok(Self {
            kind: kind.ok_or(DagFault::NotAFile(NodeKind::Other))?,
            bytes: bytes.unwrap_or_default(),
            filesize,
            blocksizes,
            hash_type,
            fanout,
            metadata,
        })
    }
}

/// A modification time must have seconds, and nanoseconds from 1 to 999,999,999 if any.
fn decode_mtime(bytes: &[u8]) -> Result<Mtime, DagFault> {
    let (mut seconds, mut nanoseconds, mut fields) = (None, 0, CanonicalFields::new(bytes));
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Varint(number)) => seconds = Some(number as i64),
            (2, Value::Fixed32(fraction @ 1..=999_999_999)) => nanoseconds = fraction,
            (1 | 2, _) => return Err(DagFault::Malformed),
            _ => {}
        }
    }
    Ok(Mtime { seconds: seconds.ok_or(DagFault::Malformed)?, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_it_was_written() {
        let time = |seconds, nanoseconds| Some(Mtime { seconds, nanoseconds });
        for (mode, mtime) in [
            (None, None),
            (Some(0o644), None),
            (Some(0o1777), time(-1, 999_999_999)),
            (None, time(1_700_000_000, 0)),
            (Some(0), time(i64::MIN, 1)),
        ] {
            let metadata = Metadata { mode, mtime };
            let mut message = alloc::vec![8, 1];
            metadata.encode(&mut message);
            assert_eq!(Data::decode(&message, 0).unwrap().metadata, metadata);
            assert_eq!(metadata.is_empty(), message.len() == 2);
        }
    }

    #[test]
    fn a_known_field_is_refused_when_it_comes_twice_or_with_another_type() {
        let time = [&[0x42, 2][..], &[8, 5]].concat();
        let fields: [&[u8]; 6] =
            [&[8, 2], &[0x12, 1, 7], &[0x18, 1], &[0x28, 0x22], &[0x30, 8], &time];
        let kind = fields[0];
        for (at, field) in fields.iter().enumerate() {
            let once = if at == 0 { kind.to_vec() } else { [kind, *field].concat() };
            assert!(Data::decode(&once, 9).is_ok(), "{field:x?}");
            let twice = [&once[..], *field].concat();
            assert_eq!(Data::decode(&twice, 9).err(), Some(DagFault::Malformed), "{field:x?}");
        }
        // The same numbers as a varint where bytes are expected, and the reverse.
        let others: [&[u8]; 6] =
            [&[0x0a, 0], &[0x10, 1], &[0x1a, 0], &[0x2a, 0], &[0x32, 0], &[0x40, 1]];
        for other in others {
            let bytes = [kind, other].concat();
            assert_eq!(Data::decode(&bytes, 9).err(), Some(DagFault::Malformed), "{other:x?}");
        }
    }

    #[test]
    fn block_sizes_are_read_packed_or_one_by_one_up_to_their_number() {
        let single = [8, 2, 0x20, 5, 0x20, 6, 0x20, 7];
        let packed = [8, 2, 0x22, 3, 5, 6, 7];
        for message in [&single[..], &packed] {
            assert_eq!(
                Data::decode(message, 3).map(|data| data.blocksizes).ok(),
                Some(alloc::vec![5, 6, 7])
            );
            assert_eq!(Data::decode(message, 2).err(), Some(DagFault::BlocksizesMismatch));
        }
    }

    #[test]
    fn a_time_has_seconds_and_less_than_a_second_beside() {
        let nanos = |nanos: u32| [&[8, 5, 0x15][..], &nanos.to_le_bytes()].concat();
        assert_eq!(
            decode_mtime(&nanos(999_999_999)),
            Ok(Mtime { seconds: 5, nanoseconds: 999_999_999 })
        );
        assert_eq!(decode_mtime(&nanos(1)), Ok(Mtime { seconds: 5, nanoseconds: 1 }));
        for bytes in [
            &nanos(1_000_000_000)[..],
            &nanos(0),
            &[0x15, 1, 0, 0, 0],
            &[],
            &[0x0a, 0],
            &[8, 5, 0x10, 1],
        ] {
            assert_eq!(decode_mtime(bytes), Err(DagFault::Malformed), "{bytes:x?}");
        }
    }
}
