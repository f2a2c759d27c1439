//! Bytes that no engine would write.

use bytes::Bytes;

use super::PeerBehavior;
use super::server::Server;
use super::wire::{Wire, field};
use crate::actor::Context;
use crate::draw;
use crate::node::Node;

/// Streams on which a trickler leaves a frame unfinished.
const TRICKLED_STREAMS: u32 = 32;
/// The largest frame, which a trickler announces.
const FRAME_BYTES: usize = 4 << 20;
/// Entries in a message of bad CIDs.
const BAD_CIDS: usize = 300;
/// Prefixes, CIDv1 raw, of hashes that take long, after the one that everybody asks for.
const HASHES: [[u8; 4]; 3] = [[1, 0x55, 0x12, 32], [1, 0x55, 0x14, 64], [1, 0x55, 0x1d, 64]];

impl Server {
    /// One turn, of which so many are left.
    pub(super) fn write_frames(&mut self, victim: Node, left: u32, context: &mut Context<'_>) {
        match self.behavior {
            // What does not parse ends its stream, so each turn has its own.
            PeerBehavior::CidBomb => context.send_bytes(victim, left, self.cid_bomb(context)),
            PeerBehavior::UnknownFields => {
                context.send_bytes(victim, left, self.unknown_fields(context));
            }
            PeerBehavior::EndlessVarint => {
                let bytes = if left.is_multiple_of(2) { vec![0x80; 9] } else { vec![0xff; 2000] };
                context.send_bytes(victim, left, bytes.into());
            }
            PeerBehavior::Trickler => {
                let (turns, _) = self.behavior.turns();
                let first = left + 1 == turns;
                for stream in 0..TRICKLED_STREAMS {
                    let bytes = match first {
                        true => Wire::default().varint(FRAME_BYTES as u64).0,
                        false => vec![self.rng.next_u64() as u8],
                    };
                    context.send_bytes(victim, stream, bytes.into());
                }
            }
            PeerBehavior::TinyBlocks => {
                let prefix = HASHES[left as usize % HASHES.len()];
                context.send_bytes(victim, 0, tiny_blocks(prefix));
            }
            _ => {}
        }
    }

    /// Wants for CIDs of one bad kind each, beside one that is good.
    fn cid_bomb(&mut self, context: &Context<'_>) -> Bytes {
        let digest = |len: usize| vec![self.seed as u8; len];
        let cid = |version: u64, codec: u64, code: u64, len: usize, digest: &[u8]| {
            let start = Wire::default().varint(version).varint(codec).varint(code);
            start.varint(len as u64).raw(digest).0
        };
        let longest = u64::MAX >> 1;
        let bad = match self.rng.below(9) {
            // As long as a CID may be: varints of nine bytes, 128 bytes of digest.
            0 => cid(1, longest, longest, 128, &digest(128)),
            1 => cid(1, 0x55, 0, 128, &digest(128)),
            2 => cid(1, 0x55, 0, 0, &[]),
            // A digest that is cut off, one that proves nothing, one that is too long.
            3 => cid(1, 0x55, 0x12, 32, &digest(31)),
            4 => cid(1, 0x55, 0x12, 4, &digest(4)),
            5 => cid(1, 0x55, 0x12, 33, &digest(33)),
            // A version and a hash that do not exist.
            6 => cid(7, 0x55, 0x12, 32, &digest(32)),
            7 => cid(1, 0x55, 0xd5, 16, &digest(16)),
            // A megabyte.
            _ => digest(1 << 20),
        };
        let many = if bad.len() > 1000 { 1 } else { BAD_CIDS };
        let mut list = Wire::default();
        for number in 0..many {
            let bad = Wire::default().bytes(field::CID, &bad);
            let kind = number as u64 % 2;
            let bad = bad.number(field::KIND, kind).number(field::SEND_DONT_HAVE, 1);
            list = list.nested(field::ENTRY, &bad);
        }
        let number = self.rng.below(context.block_set.len() as u64) as usize;
        let good = Wire::default().bytes(field::CID, &context.block_set.cid(number).to_bytes());
        let list = list.nested(field::ENTRY, &good);
        Wire::default().nested(field::WANTLIST, &list).frame()
    }

    /// A real want among what the format does not know.
    fn unknown_fields(&mut self, context: &Context<'_>) -> Bytes {
        let number = self.rng.below(context.block_set.len() as u64) as usize;
        let cid = context.block_set.cid(number).to_bytes();
        let mut entry = Wire::default().bytes(field::CID, &cid);
        let mut message = Wire::default();
        for _ in 0..draw::between(&mut self.rng, 1, 6) {
            let unknown = self.unknown();
            match self.rng.below(3) {
                0 => entry = entry.raw(&unknown),
                1 => message = message.raw(&unknown),
                _ => {
                    let presence = Wire::default().bytes(field::CID, &cid).raw(&unknown);
                    message = message.nested(field::PRESENCE, &presence);
                }
            }
        }
        let list = Wire::default().nested(field::ENTRY, &entry);
        message.nested(field::WANTLIST, &list).frame()
    }

    /// One or many fields that nobody knows.
    fn unknown(&mut self) -> Vec<u8> {
        let empty = Wire::default;
        let repeat = |wire: Wire, times: usize| wire.0.repeat(times);
        match self.rng.below(9) {
            0 => empty().number(99, u64::MAX).0,
            1 => empty().bytes(1 << 20, &[0; 500]).0,
            // Fixed 64 and 32 bits.
            2 => empty().varint(20 << 3 | 1).raw(&[7; 8]).varint(21 << 3 | 5).raw(&[7; 4]).0,
            // Groups in each other, and one that never ends.
            3 => {
                let (start, end) = (empty().varint(9 << 3 | 3), empty().varint(9 << 3 | 4));
                [repeat(start, 1000), repeat(end, 1000)].concat()
            }
            4 => empty().varint(9 << 3 | 3).0,
            // Scalars again and again; enums and flags out of range.
            5 => repeat(empty().number(field::FULL, 1), 1000),
            6 => empty().number(field::KIND, 77).number(field::SEND_DONT_HAVE, u64::MAX).0,
            // Varints that are longer than need be, or than there are.
            7 => empty().varint(field::PENDING_BYTES << 3).raw(&[0x80; 9]).raw(&[1]).0,
            _ => empty().varint(field::PENDING_BYTES << 3).raw(&[0xff; 12]).0,
        }
    }
}

/// As many blocks of one byte as a message holds.
fn tiny_blocks(prefix: [u8; 4]) -> Bytes {
    let mut message = Wire::default();
    let mut number = 0u8;
    while message.0.len() < FRAME_BYTES - 16 {
        let payload = Wire::default().bytes(field::PREFIX, &prefix).bytes(field::DATA, &[number]);
        message = message.nested(field::PAYLOAD, &payload);
        number = number.wrapping_add(1);
    }
    message.frame()
}
