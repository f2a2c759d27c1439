//! Which ranges are missing, on their way, being written, and there.
//!
//! 1. Every selected byte is in exactly one state: it is `have`, or else its range (a *row*) is
//!    Queued, InFlight or Writing. Rows never overlap. Reading a range back from disk to check it
//!    counts as InFlight: the disk has been asked.
//! 2. A block is wanted once, however many rows it fills: they share a *target*.
//! 3. Rows exist only for what is not there yet; what is there costs a run. A node's row is
//!    replaced by those of its next few children when its turn in the order comes, and by one for
//!    all that is left of it, so a sequential download knows one path of a large tree and not all of
//!    it.
//! 4. There are at most `rows_max` rows and a few more for each level of the tree; see [`cost`](crate::chunk::cost).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;

use crate::chunk::manifest::{Contents, Piece};
use crate::chunk::range_set::Runs;
use crate::chunk::unixfs::{DAG_PB, FileNode};
use crate::rng::Rng;

mod blocks;
mod order;
mod rows;
#[cfg(test)]
mod tests;

pub use order::Order;
use rows::{Rows, Stage};

/// How many bytes of the selection are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Missing and not asked for.
    pub queued: u64,
    /// Asked for.
    pub in_flight: u64,
    /// Received and not written yet.
    pub writing: u64,
    /// Written.
    pub have: u64,
}

/// What is thought of a range that may be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chunk) enum Look {
    /// What is there is right.
    Trust,
    /// Something below it is to be checked.
    Descend,
    /// Compare it with the disk before asking for it.
    Check,
}

/// What to do next for the range whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::chunk) enum Step {
    /// Read the range back and compare.
    Check(Piece),
    /// Ask for the block. If it is taken to be a node: what holding it will take.
    Want(Piece, Option<u64>),
    /// The node is known: put what it holds from this child on at this place with
    /// [`ChunkMap::leave`] and [`ChunkMap::fill`].
    Expand(Piece, usize, Arc<FileNode>),
}

/// The state of every range of one file.
#[derive(Clone, Debug)]
pub struct ChunkMap {
    selection: Range<u64>,
    rows: Rows,
    have: Runs,
}

impl ChunkMap {
    /// The map of a selection of which `have` is there already.
    pub(in crate::chunk) fn new(
        selection: Range<u64>,
        have: Runs,
        order: Order,
        rows_max: usize,
        rng: Rng,
    ) -> Self {
        let rows = Rows::new(order, selection.start, rows_max, rng);
        Self { selection, rows, have }
    }

    /// The bytes that are there.
    #[must_use]
    pub const fn have(&self) -> &Runs {
        &self.have
    }

    /// How many bytes are in which state; visits every row.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { have: self.have.total(), ..Counts::default() };
        for (offset, row) in self.rows.iter() {
            let range = self.clip(offset, row.len);
            let bytes = range.end - range.start - self.have.covered(&range);
            match row.stage {
                Stage::Queued => counts.queued += bytes,
                Stage::Checking | Stage::InFlight => counts.in_flight += bytes,
                Stage::Writing => counts.writing += bytes,
            }
        }
        counts
    }

    /// Whether everything that is known to be needed is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts what a block holds at its place: bytes are being written from now on, pieces are
    /// queued. `look` tells what is thought of each piece.
    pub(in crate::chunk) fn fill(&mut self, contents: &Contents, look: impl Fn(&Piece) -> Look) {
        for extent in &contents.extents {
            let range = extent.offset..extent.offset + extent.bytes.len() as u64;
            self.rows.add_writing(extent.offset, range.end - range.start);
            self.have.remove(range);
        }
        for piece in &contents.pieces {
            self.add_if_needed(piece, 0, look(piece));
        }
    }

    /// Puts the top of the tree, which has children.
    pub(in crate::chunk) fn plant(&mut self, top: &Piece, node: Arc<FileNode>, look: Look) {
        self.rows.targets_mut().set_top(&top.cid, node);
        self.add_node(top, 0, look);
    }

    /// A node was expanded: of the row at `offset` only `rest` is left, from that child on.
    pub(in crate::chunk) fn leave(&mut self, offset: u64, rest: Option<(Piece, usize, Look)>) {
        // First, so that the node is held for it.
        if let Some((piece, from, look)) = rest {
            self.add_node(&piece, from as u32, look);
        }
        self.rows.take(offset);
    }

    /// The next step within the order, `None` when nothing is queued. With many rows, a node is
    /// expanded only while nothing is on its way (`is_idle`): nodes that repeat would otherwise
    /// make rows without end and ask for nothing. A node is asked for only if it will take no more
    /// than `node_room`.
    pub(in crate::chunk) fn next(&mut self, is_idle: bool, node_room: u64) -> Option<Step> {
        let first = self.rows.pick(is_idle)?;
        self.step(first, is_idle, node_room).or_else(|| {
            // Nodes come first in these orders, and would keep the leaves waiting.
            let is_other = matches!(self.rows.order(), Order::Rarest | Order::Random);
            let leaf = self.rows.first_leaf().filter(|_| is_other)?;
            self.step(leaf, is_idle, node_room)
        })
    }

    fn step(&mut self, offset: u64, is_idle: bool, node_room: u64) -> Option<Step> {
        let row = *self.rows.get(offset)?;
        let piece = row.piece(self.rows.targets().at(row.target)?.cid(), offset);
        if row.check {
            self.rows.set_stage(offset, Stage::Checking);
            return Some(Step::Check(piece));
        }
        let may_expand = is_idle || !self.rows.are_many();
        if let Some(node) = self.rows.targets().node(row.target) {
            return may_expand.then_some(Step::Expand(piece, row.from as usize, node));
        }
        let cost = self.rows.expected_cost(&row);
        if cost.is_some_and(|cost| cost > node_room || !may_expand) {
            return None;
        }
        self.rows.asked(row.target);
        Some(Step::Want(piece, cost))
    }

    /// What was compared on disk: `equal` is there, the rest is queued to be asked for.
    pub(in crate::chunk) fn checked(&mut self, offset: u64, equal: bool) {
        let checking = self.rows.get(offset).filter(|row| row.stage == Stage::Checking);
        let Some(row) = checking.copied() else { return };
        if equal {
            self.rows.take(offset);
            self.have.insert(self.clip(offset, row.len));
        } else {
            let asked = self.rows.targets().at(row.target).is_some_and(|target| target.asked);
            self.rows.set_stage(offset, if asked { Stage::InFlight } else { Stage::Queued });
        }
    }

    /// Whether a block is still of use.
    #[must_use]
    pub fn needs(&self, cid: &Cid) -> bool {
        let targets = self.rows.targets();
        targets.find(cid).is_some_and(|id| targets.node(id).is_none())
    }

    /// A leaf arrived: takes out the places that it fills.
    /// One with many is kept for others, within `budget` bytes of such leaves.
    pub(in crate::chunk) fn take_places(
        &mut self,
        cid: &Cid,
        leaf: &FileNode,
        budget: u64,
    ) -> Vec<Piece> {
        let Some(id) = self.rows.targets().find(cid) else { return Vec::new() };
        let mut pieces = Vec::new();
        self.rows.answered(id);
        for offset in self.rows.rows_of(id) {
            let Some(row) = self.rows.get(offset) else { continue };
            if row.stage == Stage::Queued {
                pieces.push(row.piece(*cid, offset));
                self.rows.take(offset);
            }
        }
        if pieces.len() > 1 {
            self.rows.targets_mut().remember(cid, leaf.clone(), budget);
        }
        pieces
    }

    /// A node arrived: its places are expanded when their turn comes. If all that are held take more
    /// than `budget`, those whose turn comes last are evicted, and asked for again.
    pub(in crate::chunk) fn set_node(&mut self, cid: &Cid, node: FileNode, budget: u64) {
        let Some(id) = self.rows.targets().find(cid) else { return };
        self.rows.answered(id);
        self.rows.change_target(id, |targets| targets.hold(id, node));
        while self.rows.targets().held_bytes() > budget
            && let Some(last) = self.rows.last_held()
        {
            self.rows.targets_mut().evict(last);
        }
    }

    /// What the nodes that are held take, in bytes.
    pub(in crate::chunk) const fn node_bytes(&self) -> u64 {
        self.rows.targets().held_bytes()
    }

    /// The block will not come: its rows are queued again.
    pub(in crate::chunk) fn unwant(&mut self, cid: &Cid) {
        if let Some(id) = self.rows.targets().find(cid) {
            self.rows.answered(id);
        }
    }

    /// Whether the block is asked for, and any of its rows begins within a range.
    pub(in crate::chunk) fn is_asked_within(&self, cid: &Cid, range: &Range<u64>) -> bool {
        let targets = self.rows.targets();
        targets.find(cid).is_some_and(|id| {
            let overlaps = |at: u64| {
                self.rows.get(at).is_some_and(|row| at < range.end && at + row.len > range.start)
            };
            targets.rows(id).any(overlaps)
        })
    }

    /// The bytes at `offset` are written.
    pub(in crate::chunk) fn written(&mut self, offset: u64) {
        if let Some(len) = self.rows.take_written(offset) {
            self.have.insert(offset..offset + len);
        }
    }

    /// Changes the order of what is queued.
    pub(in crate::chunk) fn set_order(&mut self, order: Order) {
        self.rows.set_order(order);
    }

    /// Tells how many peers are known to have a block, for [`Order::Rarest`]. A block of which
    /// nothing is known counts as rarest.
    pub(in crate::chunk) fn set_holders(&mut self, cid: &Cid, holders: u32) {
        let Some(id) = self.rows.targets().find(cid) else { return };
        self.rows.change_target(id, |targets| {
            if let Some(target) = targets.at_mut(id) {
                target.holders = holders;
            }
        });
    }

    /// Moves the reader, for [`Order::Deadline`].
    pub(in crate::chunk) const fn seek(&mut self, position: u64) {
        self.rows.seek(position);
    }

    /// The part of a range that is selected.
    fn clip(&self, offset: u64, len: u64) -> Range<u64> {
        let start = offset.max(self.selection.start);
        start..offset.saturating_add(len).min(self.selection.end).max(start)
    }

    fn add_if_needed(&mut self, piece: &Piece, from: u32, look: Look) {
        let have = self.have.contains(&self.clip(piece.offset, piece.len));
        if look != Look::Trust || !have {
            self.add(piece, from, look == Look::Check);
        }
    }

    /// Adds the row of what is known to be a node, and so is not compared with the disk as a leaf.
    fn add_node(&mut self, piece: &Piece, from: u32, look: Look) {
        let look = if look == Look::Check { Look::Descend } else { look };
        self.add_if_needed(piece, from, look);
    }

    fn add(&mut self, piece: &Piece, from: u32, check: bool) {
        if piece.cid.codec() != DAG_PB || check {
            // A leaf that is there only in part is fetched whole.
            self.have.remove(self.clip(piece.offset, piece.len));
        }
        self.rows.add(piece, from, check);
    }
}

#[cfg(test)]
impl ChunkMap {
    /// Rows, queue entries and targets.
    pub(in crate::chunk) fn footprint(&self) -> (usize, usize, usize) {
        self.rows.footprint()
    }
}
