//! The few blocks and peers that engines under fuzz know of.

use std::sync::OnceLock;

use bitswap_core::{Block, Prefix};
use bytes::Bytes;
use cid::Cid;

/// The host's name for a peer.
pub type Peer = u8;

/// How many blocks there are.
pub const BLOCKS: usize = 8;

/// The blocks: all shapes of CIDs, and lengths around what answers a want-have by itself.
pub fn blocks() -> &'static [Block; BLOCKS] {
    static ALL: OnceLock<[Block; BLOCKS]> = OnceLock::new();
    ALL.get_or_init(|| {
        let shapes: [(&[u8], usize); BLOCKS] = [
            (&[0, 0x70, 0x12, 0x20], 40),
            (&[1, 0x55, 0x12, 0x20], 0),
            (&[1, 0x55, 0x12, 0x20], 1),
            (&[1, 0x55, 0x12, 0x20], 1024),
            (&[1, 0x55, 0x12, 0x20], 1025),
            (&[1, 0x71, 0x13, 0x40], 200),
            (&[1, 0x55, 0x12, 0x14], 30),
            (&[0, 0x70, 0x12, 0x20], 5000),
        ];
        shapes.map(|(prefix, len)| {
            let prefix = Prefix::parse(prefix).expect("a well-formed prefix");
            let data = (0..len).map(|at| (at * 31 + len) as u8).collect::<Bytes>();
            prefix.block(data).expect("a known hash")
        })
    })
}

/// The block at a place; places wrap.
pub fn block(at: usize) -> &'static Block {
    &blocks()[at % BLOCKS]
}

/// The CID of the block at a place.
pub fn cid(at: usize) -> Cid {
    *block(at).cid()
}
