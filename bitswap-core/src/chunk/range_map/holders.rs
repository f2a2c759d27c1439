//! How many peers have which block, as far as the host knows.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use cid::Cid;

/// Blocks of which something is said, at most.
const BLOCKS_MAX: usize = 1 << 16;

/// How many peers have each block, for [`Order::Rarest`](super::Order::Rarest). Clones share what is in them.
///
/// It also speaks of blocks that are not known to be needed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    others: u32,
    of: Arc<BTreeMap<Cid, u32>>,
}

impl Holders {
    /// Each block is had by so many peers, unless [`Self::insert`] says otherwise.
    #[must_use]
    pub fn new(others: u32) -> Self {
        Self { others, of: Arc::default() }
    }

    /// One block is had by so many peers. Beyond 65,536 blocks this does nothing.
    pub fn insert(&mut self, cid: Cid, holders: u32) {
        if self.of.len() < BLOCKS_MAX || self.of.contains_key(&cid) {
            Arc::make_mut(&mut self.of).insert(cid, holders);
        }
    }

    /// How many peers have a block.
    #[must_use]
    pub fn of(&self, cid: &Cid) -> u32 {
        self.of.get(cid).copied().unwrap_or(self.others)
    }
}
