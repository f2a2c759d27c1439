//! The blocks of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitswap_core::{Block, Prefix};
use bytes::Bytes;
use cid::Cid;

/// Every block that exists in a run, by number and by CID. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockSet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    blocks: Vec<Block>,
    index: BTreeMap<Cid, u32>,
}

impl BlockSet {
    /// Blocks of these sizes. Equal sizes give equal blocks; all blocks of a set differ.
    ///
    /// # Panics
    ///
    /// For more than one block of 0 to 3 bytes: there are not enough different ones.
    #[must_use]
    pub fn new(sizes: impl IntoIterator<Item = usize>) -> Self {
        let sizes: Vec<usize> = sizes.into_iter().collect();
        // Blocks are windows into one buffer that has no two equal windows of eight bytes, so a
        // thousand blocks of 256 KiB take as much memory as one.
        let longest = sizes.iter().copied().max().unwrap_or(0);
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let buffer: Bytes = (0..longest + sizes.len())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect::<Vec<u8>>()
            .into();
        let prefix = raw_prefix();
        let mut blocks = Vec::with_capacity(sizes.len());
        let mut index = BTreeMap::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let block =
                prefix.block(buffer.slice(number..number + size)).expect("sha2-256 is known");
            let before = index.insert(*block.cid(), number as u32);
            assert!(before.is_none(), "two blocks of {size} bytes are equal");
            blocks.push(block);
        }
        Self { inner: Arc::new(Inner { blocks, index }) }
    }

    /// `count` blocks of `size` bytes.
    #[must_use]
    pub fn equal(count: usize, size: usize) -> Self {
        Self::new(std::iter::repeat_n(size, count))
    }

    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.blocks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.blocks.is_empty()
    }

    /// All blocks, in order.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.inner.blocks
    }

    /// The block with this number.
    #[must_use]
    pub fn block(&self, number: usize) -> &Block {
        &self.inner.blocks[number]
    }

    /// The CID of the block with this number.
    #[must_use]
    pub fn cid(&self, number: usize) -> Cid {
        *self.block(number).cid()
    }

    /// The CIDs of all blocks in order.
    #[must_use]
    pub fn cids(&self) -> Vec<Cid> {
        self.inner.blocks.iter().map(|block| *block.cid()).collect()
    }

    /// The number of the block with this CID.
    #[must_use]
    pub fn number(&self, cid: &Cid) -> Option<usize> {
        self.inner.index.get(cid).map(|number| *number as usize)
    }
}

/// The prefix of CIDv1 raw blocks with SHA2-256.
fn raw_prefix() -> Prefix {
    let v0 = Prefix::V0.block(Bytes::new()).expect("sha2-256 is known");
    Prefix::of(&Cid::new_v1(0x55, *v0.cid().hash())).expect("sha2-256 is known")
}

/// `data` as a block with the prefix of `cid`: what a receiver makes of altered bytes.
#[must_use]
pub fn altered(cid: &Cid, data: Bytes) -> Option<Block> {
    Prefix::of(cid).ok()?.block(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_differ_and_are_found_by_cid() {
        let block_set = BlockSet::new([0, 800, 8000, 8000, 262_144]);
        assert_eq!(block_set.len(), 5);
        for (number, cid) in block_set.cids().iter().enumerate() {
            assert_eq!(block_set.number(cid), Some(number));
        }
        assert_eq!(block_set.block(4).data().len(), 262_144);
    }
}
