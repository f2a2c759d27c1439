//! The blocks that are needed, each once, however many ranges it fills.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use cid::Cid;

use super::FileNode;
use crate::rng::Rng;

/// Leaves kept because they filled several places at once: a file that is mostly zeros repeats one
/// leaf below every node, and each node is expanded at its own time. At most 8 MiB.
const REPEATS_MAX: usize = 4;

/// A block that is needed.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) cid: Cid,
    /// What it holds, once it is here and while places of it are left.
    pub(super) node: Option<Arc<FileNode>>,
    /// How many peers are known to have it.
    pub(super) holders: u32,
    /// Its place in the random order.
    pub(super) draw: u64,
    pub(super) asked: bool,
    rows: usize,
}

/// All of them, by number and by CID.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    slots: Vec<Option<Target>>,
    free: Vec<u32>,
    by_cid: BTreeMap<Cid, u32>,
    repeats: VecDeque<(Cid, Arc<FileNode>)>,
}

impl Targets {
    pub(super) fn find(&self, cid: &Cid) -> Option<u32> {
        self.by_cid.get(cid).copied()
    }

    pub(super) fn at(&self, id: u32) -> Option<&Target> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, id: u32) -> Option<&mut Target> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// Counts one more row of a block.
    pub(super) fn add_row(&mut self, cid: &Cid, rng: &mut Rng) -> u32 {
        let id = match self.by_cid.get(cid) {
            Some(id) => *id,
            None => self.add(*cid, rng),
        };
        if let Some(target) = self.at_mut(id) {
            target.rows += 1;
        }
        id
    }

    /// Counts one row less; the block is gone with its last row.
    pub(super) fn remove_row(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        let Some(target) = slot else { return };
        target.rows -= 1;
        if target.rows == 0 {
            self.by_cid.remove(&target.cid);
            *slot = None;
            self.free.push(id);
        }
    }

    /// Keeps a leaf that is likely to be needed again.
    pub(super) fn remember(&mut self, cid: Cid, leaf: FileNode) {
        self.repeats.truncate(REPEATS_MAX - 1);
        self.repeats.push_front((cid, Arc::new(leaf)));
    }

    fn add(&mut self, cid: Cid, rng: &mut Rng) -> u32 {
        let known = self.repeats.iter().find(|(repeat, _)| *repeat == cid);
        let node = known.map(|(_, leaf)| leaf.clone());
        let draw = rng.next_u64();
        let target = Target { cid, node, holders: 0, draw, asked: false, rows: 0 };
        // Numbers are given again, so there are never more than rows.
        let id = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(id as usize) {
            Some(slot) => *slot = Some(target),
            None => self.slots.push(Some(target)),
        }
        self.by_cid.insert(cid, id);
        id
    }
}

#[cfg(test)]
impl Targets {
    pub(super) fn len(&self) -> usize {
        self.by_cid.len()
    }
}
