//! The blocks that are needed, one entry each however many ranges it fills, and the nodes that are held.
//!
//! A node that arrived is held until all of its children have rows. Nodes are held within a budget:
//! the last in the file are evicted first, and requested again when they are first in the order. The
//! first node is always held, or the download could not make progress.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;

use super::holders::Holders;
use crate::chunk::cost;
use crate::chunk::unixfs::{DAG_PB, FileNode};
use crate::key::Key;
use crate::rng::Rng;

/// Leaves cached because they filled several ranges at once: a file that is mostly zeros repeats one
/// leaf below every node, and the nodes are expanded one after another.
const LEAF_CACHE_MAX: usize = 4;

/// A block that is needed.
#[derive(Clone, Debug)]
pub(super) struct NeededBlock {
    key: Key,
    may_be_node: bool,
    /// Its node, while that is held.
    node: Option<Arc<FileNode>>,
    /// The memory of its node. Known from its first arrival, for as long as it is needed.
    node_bytes: Option<u64>,
    /// How many peers are known to have it.
    pub(super) holders: u32,
    /// Its rank in the random order.
    pub(super) random_rank: u64,
    pub(super) is_requested: bool,
}

impl NeededBlock {
    pub(super) fn cid(&self) -> Cid {
        self.key.cid()
    }

    /// The memory that it will take, if it is expected to be a node: known from an earlier arrival, or else
    /// estimated from its parent's link.
    pub(super) fn expected_node_bytes(&self, len: u64, tsize: u64) -> Option<u64> {
        self.node_bytes
            .or_else(|| cost::expected_node_bytes(len, tsize).filter(|_| self.may_be_node))
    }
}

/// All needed blocks, by number and by CID.
#[derive(Clone, Debug, Default)]
pub(super) struct NeededBlocks {
    slots: Vec<Option<NeededBlock>>,
    free: Vec<u32>,
    by_cid: BTreeMap<Key, u32>,
    /// The positions of the rows of each block.
    row_offsets: BTreeSet<(u32, u64)>,
    /// The held nodes, by the position of their first row.
    held: BTreeSet<(u64, u32)>,
    held_bytes: u64,
    /// The root of the tree, which is held from the start and never requested here.
    root: Option<(Key, Arc<FileNode>)>,
    leaf_cache: VecDeque<(Key, Arc<FileNode>)>,
    holders: Holders,
}

impl NeededBlocks {
    pub(super) fn find(&self, cid: &Cid) -> Option<u32> {
        self.by_cid.get(&Key::new(cid)).copied()
    }

    pub(super) fn at(&self, id: u32) -> Option<&NeededBlock> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, id: u32) -> Option<&mut NeededBlock> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// The node of a block, if it is held or cached.
    pub(super) fn node(&self, id: u32) -> Option<Arc<FileNode>> {
        let block = self.at(id)?;
        let known = || self.root.iter().chain(&self.leaf_cache).find(|(key, _)| *key == block.key);
        block.node.clone().or_else(|| known().map(|(_, node)| node.clone()))
    }

    /// Adds one more row of a block.
    pub(super) fn add_row(&mut self, cid: &Cid, offset: u64, rng: &mut Rng) -> u32 {
        let key = Key::new(cid);
        let id = match self.by_cid.get(&key) {
            Some(id) => *id,
            None => self.add(key, cid.codec() == DAG_PB, rng),
        };
        self.change(id, |blocks| _ = blocks.row_offsets.insert((id, offset)));
        id
    }

    /// Removes a row, and the block with its last row.
    pub(super) fn remove_row(&mut self, id: u32, offset: u64) {
        self.change(id, |blocks| _ = blocks.row_offsets.remove(&(id, offset)));
        if self.first_row(id).is_some() {
            return;
        }
        let Some(slot) = self.slots.get_mut(id as usize) else {
            debug_assert!(false, "block {id} has a slot");
            return;
        };
        if let Some(block) = slot.take() {
            self.by_cid.remove(&block.key);
            self.free.push(id);
        }
        if self.by_cid.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Sets how many peers have each block, for those that are added from now on. Gives the blocks that are needed
    /// already and whose number changes, with that.
    pub(super) fn set_holders(&mut self, holders: Holders) -> Vec<(u32, u32)> {
        let told = self.by_cid.iter().map(|(key, id)| (*id, holders.of(&key.cid())));
        let differ = |(id, told): &(u32, u32)| self.at(*id).is_some_and(|it| it.holders != *told);
        let changed: Vec<_> = told.filter(differ).collect();
        self.holders = holders;
        changed
    }

    /// The positions of a block's rows.
    pub(super) fn rows(&self, id: u32) -> impl Iterator<Item = u64> + '_ {
        self.row_offsets.range((id, 0)..=(id, u64::MAX)).map(|(_, offset)| *offset)
    }

    /// Holds a node that was [made compact](FileNode::into_compact).
    pub(super) fn hold(&mut self, id: u32, node: FileNode) {
        self.change(id, |blocks| {
            if let Some(block) = blocks.at_mut(id) {
                block.node_bytes = Some(cost::node_bytes(&node));
                block.node = Some(Arc::new(node));
            }
        });
    }

    /// Evicts a node. How much memory it took is remembered.
    pub(super) fn evict(&mut self, id: u32) {
        self.change(id, |blocks| {
            if let Some(block) = blocks.at_mut(id) {
                block.node = None;
            }
        });
    }

    /// The held nodes whose first row is within a range, as (position, block).
    pub(super) fn held(&self, at: Range<u64>) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
        self.held.range((at.start, 0)..(at.end, 0)).copied()
    }

    /// The memory of all held nodes, in bytes.
    pub(super) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(super) fn set_root(&mut self, cid: &Cid, node: Arc<FileNode>) {
        self.root = Some((Key::new(cid), node));
    }

    /// Caches a leaf that is likely to be needed again. The oldest are evicted until the cache takes no more
    /// than `budget` bytes or holds one leaf.
    pub(super) fn cache_leaf(&mut self, cid: &Cid, leaf: FileNode, budget: u64) {
        self.leaf_cache.truncate(LEAF_CACHE_MAX - 1);
        self.leaf_cache.push_front((Key::new(cid), Arc::new(leaf)));
        while self.leaf_cache.len() > 1 && self.leaf_cache_bytes() > budget {
            self.leaf_cache.pop_back();
        }
    }

    fn leaf_cache_bytes(&self) -> u64 {
        self.leaf_cache.iter().map(|(_, leaf)| leaf.data.len() as u64).sum()
    }

    fn add(&mut self, key: Key, may_be_node: bool, rng: &mut Rng) -> u32 {
        let random_rank = rng.next_u64();
        let block = NeededBlock {
            key: key.clone(),
            may_be_node,
            node: None,
            node_bytes: None,
            holders: self.holders.of(&key.cid()),
            random_rank,
            is_requested: false,
        };
        // Numbers are reused, so there are never more than rows.
        let id = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(id as usize) {
            Some(slot) => *slot = Some(block),
            None => self.slots.push(Some(block)),
        }
        self.by_cid.insert(key, id);
        id
    }

    /// Changes a block's rows or node, and updates the index of held nodes.
    fn change(&mut self, id: u32, change: impl FnOnce(&mut Self)) {
        if let Some((first, cost)) = self.held_at(id) {
            self.held.remove(&(first, id));
            self.held_bytes -= cost;
        }
        change(self);
        if let Some((first, cost)) = self.held_at(id) {
            self.held.insert((first, id));
            self.held_bytes += cost;
        }
    }

    /// A block's key in the index of held nodes and the memory of its node.
    fn held_at(&self, id: u32) -> Option<(u64, u64)> {
        let block = self.at(id).filter(|block| block.node.is_some())?;
        Some((self.first_row(id)?, block.node_bytes?))
    }

    fn first_row(&self, id: u32) -> Option<u64> {
        self.rows(id).next()
    }
}

#[cfg(test)]
impl NeededBlocks {
    pub(super) fn len(&self) -> usize {
        self.by_cid.len()
    }

    pub(super) fn row_count(&self) -> usize {
        self.row_offsets.len()
    }
}

#[cfg(any(test, feature = "testing"))]
impl NeededBlocks {
    pub(super) fn has_row(&self, id: u32, offset: u64) -> bool {
        self.row_offsets.contains(&(id, offset))
    }

    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When a block has no row or no name, or the index of held nodes is not what is held.
    pub(super) fn validate(&self) {
        let blocks = self.slots.iter().flatten().count();
        assert_eq!(blocks, self.by_cid.len());
        assert!(blocks + self.free.len() == self.slots.len());
        let (mut held, mut bytes) = (0, 0);
        for (key, id) in &self.by_cid {
            assert!(self.at(*id).is_some_and(|block| block.key == *key));
            assert!(self.first_row(*id).is_some(), "a block without a row");
            if let Some((first, node_bytes)) = self.held_at(*id) {
                assert!(self.held.contains(&(first, *id)));
                (held, bytes) = (held + 1, bytes + node_bytes);
            }
        }
        assert_eq!((held, bytes), (self.held.len(), self.held_bytes));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::block::Block;
    use crate::prefix::RAW;

    #[test]
    fn four_leaves_are_cached_within_the_budget_and_one_whatever_its_length() {
        let mut blocks = NeededBlocks::default();
        let leaves: Vec<Block> = (0..6).map(|n| Block::raw(alloc::vec![n; 10])).collect();
        let mut cache = |n: usize, budget| {
            let leaf = FileNode::decode(RAW, leaves[n].data(), 0).unwrap();
            blocks.cache_leaf(leaves[n].cid(), leaf, budget);
            let kept: Vec<Bytes> =
                blocks.leaf_cache.iter().map(|(_, leaf)| leaf.data.clone()).collect();
            (kept, blocks.leaf_cache_bytes())
        };
        let data = |of: &[usize]| of.iter().map(|n| leaves[*n].data().clone()).collect::<Vec<_>>();
        for n in 0..4 {
            assert_eq!(cache(n, 100).1, 10 * (n as u64 + 1));
        }
        assert_eq!(cache(4, 100), (data(&[4, 3, 2, 1]), 40));
        assert_eq!(cache(5, 20), (data(&[5, 4]), 20));
        assert_eq!(cache(0, 9), (data(&[0]), 10));
    }
}
