//! `roundtrip`: any message is read as it was written, and its parts fit their limit and say the
//! same together.
//!
//! Input: version (1 byte), limit (2), pending bytes (4), full (1), then items: kind, then fields.

use bitswap_core::error::DecodeError;
use bitswap_core::message::{Decoded, decode};
use bitswap_core::{Entry, Message, Prefix, Presence, Version, WantKind};
use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;

use crate::{Input, message};

/// Runs the target on our decoder.
pub fn run(data: &[u8]) {
    check(data, decode);
}

/// Runs the target on a decoder.
///
/// # Panics
///
/// When a message is not read as it was written, or is not what its parts say.
pub fn check(data: &[u8], decode: impl Fn(&Bytes) -> Result<Decoded, DecodeError>) {
    let mut input = Input::new(data);
    let version = input.pick(&Version::PREFERRED);
    let limit = usize::from(input.u16());
    let message = compose(&mut input);
    message::check_written(&message, version, decode);
    check_parts(&message, version, limit);
}

fn compose(input: &mut Input<'_>) -> Message {
    let mut message = Message { pending_bytes: input.u32() as i32, ..Message::default() };
    message.wantlist.full = input.flag();
    while !input.is_empty() {
        match input.byte() % 4 {
            0 | 1 => {
                let cid = compose_cid(input);
                let flags = input.byte();
                let kind = if flags & 1 == 0 { WantKind::Block } else { WantKind::Have };
                let priority = if flags & 8 == 0 { 0 } else { input.u32() as i32 };
                let mut entry = Entry::want(cid, kind, priority, flags & 2 != 0);
                entry.cancel = flags & 4 != 0;
                if message.wantlist.entries.iter().all(|other| other.cid != cid) {
                    message.wantlist.entries.push(entry);
                }
            }
            2 => {
                let (cid, have) = (compose_cid(input), input.flag());
                if message.presences.iter().all(|other| other.cid != cid) {
                    message.presences.push(Presence { cid, have });
                }
            }
            _ => {
                let prefix = input.pick(&[
                    &[0, 0x70, 0x12, 0x20][..],
                    &[1, 0x55, 0x12, 0x20],
                    &[1, 0x71, 0x12, 0x14],
                    &[1, 0x70, 0x1e, 0x40],
                    &[1, 0x55, 0xa0, 0xe4, 0x02, 0x20],
                ]);
                let len = input.below(64);
                let data = Bytes::copy_from_slice(input.take(len));
                let prefix = Prefix::parse(prefix).expect("a well-formed prefix");
                let block = prefix.block(data).expect("a known hash");
                if message.blocks.iter().all(|other| other.cid() != block.cid()) {
                    message.blocks.push(block);
                }
            }
        }
    }
    let blocks = std::mem::take(&mut message.blocks);
    message.add_blocks(blocks);
    message
}

fn compose_cid(input: &mut Input<'_>) -> Cid {
    let form = input.byte();
    if form & 1 == 0 {
        let digest = input.array::<32>();
        let multihash = Multihash::wrap(0x12, &digest).expect("it fits");
        return Cid::new_v0(multihash).expect("sha2-256 of 32 bytes");
    }
    // Numbers on the wire have 63 bits.
    let mut number = |wide: bool| if wide { input.u64() >> 1 } else { u64::from(input.byte()) };
    let (codec, hash) = (number(form & 2 != 0), number(form & 4 != 0));
    let len = input.below(65);
    let digest = input.take(len);
    Cid::new_v1(codec, Multihash::wrap(hash, digest).expect("at most 64 bytes"))
}

fn check_parts(message: &Message, version: Version, limit: usize) {
    let parts = message.clone().split(version, limit);
    let mut joined = Message::default();
    for (at, part) in parts.iter().enumerate() {
        let items = part.wantlist.entries.len() + part.blocks.len() + part.presences.len();
        // A block that the version cannot carry takes no room.
        let silent = part.blocks.iter().filter(|block| !version.can_carry(block.cid())).count();
        let fits = part.encoded_len(version) <= limit || items - silent <= 1;
        assert!(fits, "part {at} is above {limit}");
        assert!(items > 0 || parts.len() == 1, "part {at} is empty");
        assert_eq!(part.wantlist.full, message.wantlist.full && at == 0);
        joined.wantlist.entries.extend(part.wantlist.entries.iter().cloned());
        joined.blocks.extend(part.blocks.iter().cloned());
        joined.presences.extend(part.presences.iter().cloned());
        joined.pending_bytes = part.pending_bytes;
    }
    joined.wantlist.full = message.wantlist.full;
    assert_eq!(&joined, message, "the parts say what the whole says");
}
