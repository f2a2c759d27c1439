//! The length of a message on the wire, from the protobuf schema alone: no code is shared with the
//! codec, so each checks the other.

use bitswap_core::Block;
use bitswap_core::message::{Entry, Message, Presence, Version, WantKind};

/// Bytes that `message` takes on a stream of `version`, its length prefix included.
#[must_use]
pub fn wire_len(message: &Message, version: Version) -> usize {
    let entries: usize = message.wantlist.entries.iter().map(|entry| field(entry_len(entry))).sum();
    let mut len = field(entries + if message.wantlist.full { 2 } else { 0 });
    for block in &message.blocks {
        len += if version.has_prefix() {
            field(payload_len(block))
        } else {
            field(block.data().len())
        };
    }
    if version.has_prefix() {
        len +=
            message.presences.iter().map(|presence| field(presence_len(presence))).sum::<usize>();
        len += int32(message.pending_bytes);
    }
    varint(len as u64) + len
}

fn entry_len(entry: &Entry) -> usize {
    let flag = |on: bool| if on { 2 } else { 0 };
    field(entry.cid.encoded_len())
        + int32(entry.priority)
        + flag(entry.cancel)
        + flag(entry.kind == WantKind::Have)
        + flag(entry.send_dont_have)
}

fn payload_len(block: &Block) -> usize {
    let hash = block.cid().hash();
    let prefix = varint(u64::from(block.cid().version()))
        + varint(block.cid().codec())
        + varint(hash.code())
        + varint(u64::from(hash.size()));
    let data = block.data().len();
    field(prefix) + if data == 0 { 0 } else { field(data) }
}

fn presence_len(presence: &Presence) -> usize {
    field(presence.cid.encoded_len()) + if presence.have { 0 } else { 2 }
}

/// A tag of one byte, a length and so many bytes.
const fn field(len: usize) -> usize {
    1 + varint(len as u64) + len
}

const fn int32(value: i32) -> usize {
    // Negative numbers are sign-extended to 64 bits; zero is not written.
    if value == 0 { 0 } else { 1 + varint(value as i64 as u64) }
}

const fn varint(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use bitswap_core::message::Wantlist;
    use bytes::Bytes;

    #[test]
    fn lengths_are_those_of_real_frames() {
        let raw = cid::Cid::try_from("bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq")
            .unwrap();
        let block = Block::new(raw, Bytes::from_static(b"hello")).unwrap();
        let wants = |entry| Message {
            wantlist: Wantlist { entries: vec![entry], full: false },
            ..Message::default()
        };
        // The first byte of each frame holds the rest's length.
        let want_have = wants(Entry::want(raw, WantKind::Have, i32::MAX, true));
        assert_eq!(wire_len(&want_have, Version::V1_2), 0x34 + 1);
        let want_block = wants(Entry::want(raw, WantKind::Block, i32::MAX - 1, true));
        assert_eq!(wire_len(&want_block, Version::V1_2), 0x32 + 1);
        assert_eq!(wire_len(&wants(Entry::cancel(raw)), Version::V1_2), 0x2c + 1);
        let presence =
            |have| Message { presences: vec![Presence { cid: raw, have }], ..Message::default() };
        assert_eq!(wire_len(&presence(true), Version::V1_2), 0x2a + 1);
        assert_eq!(wire_len(&presence(false), Version::V1_2), 0x2c + 1);
        let blocks = Message { blocks: vec![block.clone()], ..Message::default() };
        assert_eq!(wire_len(&blocks, Version::V1_2), 0x11 + 1);
        let old = Block::new_unchecked(raw, block.data().clone());
        let old = Message { blocks: vec![old], ..Message::default() };
        assert_eq!(wire_len(&old, Version::V1_0), 9 + 1);
    }
}
