//! The few blocks and peers that engines under fuzz know of.

use std::sync::OnceLock;

use bitswap_core::Block;
use bitswap_testing::{Op, op_blocks};
use cid::Cid;

/// The host's name for a peer.
pub type Peer = u8;

/// The blocks that operations name, hashed once.
pub fn all_blocks() -> &'static [Block] {
    static ALL: OnceLock<Vec<Block>> = OnceLock::new();
    ALL.get_or_init(op_blocks)
}

/// The block at a place of a [`Mask`].
///
/// # Panics
///
/// When a mask has no such place.
#[must_use]
pub fn block(at: usize) -> &'static Block {
    &all_blocks()[usize::from(Op::SMALL_BLOCKS[at])]
}

/// The CID of the block at a place of a [`Mask`].
#[must_use]
pub fn cid(at: usize) -> Cid {
    *block(at).cid()
}

/// A set of the eight small blocks, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mask(pub u8);

impl Mask {
    /// The places in the set.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..Op::SMALL_BLOCKS.len()).filter(move |at| self.0 >> at & 1 == 1)
    }

    /// The blocks in the set.
    pub fn blocks(self) -> impl Iterator<Item = &'static Block> {
        self.places().map(block)
    }

    /// Their CIDs.
    pub fn cids(self) -> impl Iterator<Item = Cid> {
        self.places().map(cid)
    }

    /// The block of this CID, if it is in the set.
    #[must_use]
    pub fn find(self, cid: &Cid) -> Option<&'static Block> {
        self.blocks().find(|block| block.cid() == cid)
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.places()).finish()
    }
}
