//! The blocks that are needed, each once, however many ranges it fills, and what is known of the
//! nodes among them.
//!
//! A node that arrived is held until all of its ranges are placed. Nodes are held within a budget:
//! what comes last in the file is evicted first, and asked for again when its turn comes. The node
//! that comes first is always held, or nothing could go on.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;

use crate::chunk::cost;
use crate::chunk::unixfs::{DAG_PB, FileNode};
use crate::key::Key;
use crate::rng::Rng;

/// Leaves kept because they filled several places at once: a file that is mostly zeros repeats one
/// leaf below every node, and each node is expanded at its own time.
const REPEATS_MAX: usize = 4;

/// A block that is needed.
#[derive(Clone, Debug)]
pub(super) struct Target {
    key: Key,
    may_be_node: bool,
    /// What it holds, if that is held.
    node: Option<Arc<FileNode>>,
    /// What holding its node takes. Known once it arrived, and for as long as it is needed.
    cost: Option<u64>,
    /// How many peers are known to have it.
    pub(super) holders: u32,
    /// Its place in the random order.
    pub(super) draw: u64,
    pub(super) asked: bool,
}

impl Target {
    pub(super) fn cid(&self) -> Cid {
        self.key.cid()
    }

    /// What holding it will take at a place, if it is taken for a node: by what is known of it, or else by
    /// what its parent there says.
    pub(super) fn expected_cost(&self, len: u64, tsize: u64) -> Option<u64> {
        self.cost.or_else(|| cost::expected(len, tsize).filter(|_| self.may_be_node))
    }
}

/// All of them, by number and by CID.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    slots: Vec<Option<Target>>,
    free: Vec<u32>,
    by_cid: BTreeMap<Key, u32>,
    /// The positions of the rows of each.
    places: BTreeSet<(u32, u64)>,
    /// Those whose nodes are held, by the position of their first row.
    held: BTreeSet<(u64, u32)>,
    held_bytes: u64,
    /// The top of the tree is here from the start, and is never asked for.
    top: Option<(Key, Arc<FileNode>)>,
    repeats: VecDeque<(Key, Arc<FileNode>)>,
}

impl Targets {
    pub(super) fn find(&self, cid: &Cid) -> Option<u32> {
        self.by_cid.get(&Key::new(cid)).copied()
    }

    pub(super) fn at(&self, id: u32) -> Option<&Target> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, id: u32) -> Option<&mut Target> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// What a block holds, as far as that is known.
    pub(super) fn node(&self, id: u32) -> Option<Arc<FileNode>> {
        let target = self.at(id)?;
        let known = || self.top.iter().chain(&self.repeats).find(|(key, _)| *key == target.key);
        target.node.clone().or_else(|| known().map(|(_, node)| node.clone()))
    }

    /// Adds one more row of a block.
    pub(super) fn add_row(&mut self, cid: &Cid, offset: u64, rng: &mut Rng) -> u32 {
        let key = Key::new(cid);
        let id = match self.by_cid.get(&key) {
            Some(id) => *id,
            None => self.add(key, cid.codec() == DAG_PB, rng),
        };
        self.change(id, |targets| _ = targets.places.insert((id, offset)));
        id
    }

    /// Takes a row out; the block is gone with its last row.
    pub(super) fn remove_row(&mut self, id: u32, offset: u64) {
        self.change(id, |targets| _ = targets.places.remove(&(id, offset)));
        if self.first_row(id).is_some() {
            return;
        }
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        if let Some(target) = slot.take() {
            self.by_cid.remove(&target.key);
            self.free.push(id);
        }
        if self.by_cid.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// The positions of a block's rows.
    pub(super) fn rows(&self, id: u32) -> impl Iterator<Item = u64> + '_ {
        self.places.range((id, 0)..=(id, u64::MAX)).map(|(_, offset)| *offset)
    }

    /// Keeps a node that is [fit to be held](FileNode::into_held).
    pub(super) fn hold(&mut self, id: u32, node: FileNode) {
        self.change(id, |targets| {
            if let Some(target) = targets.at_mut(id) {
                target.cost = Some(cost::of(&node));
                target.node = Some(Arc::new(node));
            }
        });
    }

    /// Forgets a node, but not what it takes.
    pub(super) fn evict(&mut self, id: u32) {
        self.change(id, |targets| {
            if let Some(target) = targets.at_mut(id) {
                target.node = None;
            }
        });
    }

    /// The nodes that are held, by the position of their first row, and those positions.
    pub(super) fn held(&self, at: Range<u64>) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
        self.held.range((at.start, 0)..(at.end, 0)).copied()
    }

    /// What the held nodes take, in bytes.
    pub(super) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(super) fn set_top(&mut self, cid: &Cid, node: Arc<FileNode>) {
        self.top = Some((Key::new(cid), node));
    }

    /// Keeps a leaf that is likely to be needed again, as long as such leaves take no more than `budget`
    /// or there is one.
    pub(super) fn remember(&mut self, cid: &Cid, leaf: FileNode, budget: u64) {
        self.repeats.truncate(REPEATS_MAX - 1);
        self.repeats.push_front((Key::new(cid), Arc::new(leaf)));
        while self.repeats.len() > 1 && self.repeats_bytes() > budget {
            self.repeats.pop_back();
        }
    }

    fn repeats_bytes(&self) -> u64 {
        self.repeats.iter().map(|(_, leaf)| leaf.data.len() as u64).sum()
    }

    fn add(&mut self, key: Key, may_be_node: bool, rng: &mut Rng) -> u32 {
        let draw = rng.next_u64();
        let target = Target {
            key: key.clone(),
            may_be_node,
            node: None,
            cost: None,
            holders: 0,
            draw,
            asked: false,
        };
        // Numbers are given again, so there are never more than rows.
        let id = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(id as usize) {
            Some(slot) => *slot = Some(target),
            None => self.slots.push(Some(target)),
        }
        self.by_cid.insert(key, id);
        id
    }

    /// Changes a block's rows or node, and what follows from them.
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

    /// The place of a block among those whose nodes are held, and what that takes.
    fn held_at(&self, id: u32) -> Option<(u64, u64)> {
        let target = self.at(id).filter(|target| target.node.is_some())?;
        Some((self.first_row(id)?, target.cost?))
    }

    fn first_row(&self, id: u32) -> Option<u64> {
        self.rows(id).next()
    }
}

#[cfg(test)]
impl Targets {
    pub(super) fn len(&self) -> usize {
        self.by_cid.len()
    }

    pub(super) fn places(&self) -> usize {
        self.places.len()
    }
}
