//! Which ranges of a file are queued, in flight, being written, and written.
//!
//! 1. Every selected byte is in exactly one state: it is in `have`, or else its range (a *row*) is
//!    Queued, InFlight or Writing. Rows never overlap. A range that is being compared with the disk
//!    counts as InFlight.
//! 2. A block is requested once, however many rows it fills: they share one entry of the needed blocks.
//! 3. Rows exist only for what is not written yet; what is written costs one range of a set. When a node is
//!    first in the order, its row is replaced by those of its next few children and one for the rest of
//!    it, so a sequential download holds one path of a large tree and not all of it.
//! 4. There are at most `rows_max` rows and a few more for each level of the tree; see [`cost`](crate::chunk::cost).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;

use crate::chunk::manifest::{Contents, Segment};
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::{DAG_PB, FileNode};
use crate::rng::Rng;

mod blocks;
mod holders;
mod order;
mod rows;
#[cfg(test)]
mod tests;

pub use holders::Holders;
pub use order::Order;
use rows::{RangeState, Rows};

/// How many bytes of the selection are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counts {
    /// Missing and not requested.
    pub queued: u64,
    /// Requested, or being compared with the disk.
    pub in_flight: u64,
    /// Received and not written yet.
    pub writing: u64,
    /// Written.
    pub have: u64,
}

/// How much of a range that may be on disk is verified before it is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chunk) enum Verification {
    /// None of it: its bytes are trusted.
    Trust,
    /// Some of its children.
    Descend,
    /// All of it, as one leaf.
    Compare,
}

/// What to do next for the range that is first in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::chunk) enum Step {
    /// Read the range from disk and compare it.
    Compare(Segment),
    /// Request the block. If it is expected to be a node: the memory that it will take.
    Want(Segment, Option<u64>),
    /// The node is held: add its contents from this child on with
    /// [`RangeMap::expanded`] and [`RangeMap::add_contents`].
    Expand(Segment, usize, Arc<FileNode>),
}

/// The state of every range of one file.
#[derive(Clone, Debug)]
pub struct RangeMap {
    selection: Range<u64>,
    rows: Rows,
    have: RangeSet,
}

impl RangeMap {
    /// The map of a selection of which `have` is written already.
    pub(in crate::chunk) fn new(
        selection: Range<u64>,
        have: RangeSet,
        order: Order,
        rows_max: usize,
        rng: Rng,
    ) -> Self {
        let rows = Rows::new(order, selection.start, rows_max, rng);
        Self { selection, rows, have }
    }

    /// The bytes that are written.
    #[must_use]
    pub const fn have(&self) -> &RangeSet {
        &self.have
    }

    /// How many bytes are in which state; visits every row.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { have: self.have.total(), ..Counts::default() };
        for (offset, row) in self.rows.iter() {
            let range = self.clip(offset, row.len);
            let bytes = range.end - range.start - self.have.covered(&range);
            match row.state {
                RangeState::Queued => counts.queued += bytes,
                RangeState::Comparing | RangeState::InFlight => counts.in_flight += bytes,
                RangeState::Writing => counts.writing += bytes,
            }
        }
        counts
    }

    /// Whether nothing that is known to be needed is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds the contents of a block: extents are being written from now on, segments are queued.
    /// `verification` decides for each segment whether it is verified first.
    pub(in crate::chunk) fn add_contents(
        &mut self,
        contents: &Contents,
        verification: impl Fn(&Segment) -> Verification,
    ) {
        for extent in &contents.extents {
            let range = extent.offset..extent.offset + extent.bytes.len() as u64;
            self.rows.add_writing(extent.offset, range.end - range.start);
            self.have.remove(range);
        }
        for segment in &contents.segments {
            self.add_if_needed(segment, 0, verification(segment));
        }
    }

    /// Adds the root of the tree, which has children.
    pub(in crate::chunk) fn add_root(
        &mut self,
        top: &Segment,
        node: Arc<FileNode>,
        verification: Verification,
    ) {
        self.rows.blocks_mut().set_root(&top.cid, node);
        self.add_node(top, 0, verification);
    }

    /// A node was expanded: its row at `offset` is replaced by `rest`, from that child on.
    pub(in crate::chunk) fn expanded(
        &mut self,
        offset: u64,
        rest: Option<(Segment, usize, Verification)>,
    ) {
        // First, so that the node is held for it.
        if let Some((segment, from, verification)) = rest {
            self.add_node(&segment, from as u32, verification);
        }
        self.rows.remove(offset);
    }

    /// The next step within the order, `None` when nothing is queued. With many rows, a node is
    /// expanded only while nothing is in flight (`is_idle`): repeated nodes would otherwise
    /// add rows without bound and request nothing. A node is requested only if it will take no more
    /// than `node_room`.
    pub(in crate::chunk) fn next(&mut self, is_idle: bool, node_room: u64) -> Option<Step> {
        let first = self.rows.next_row(is_idle)?;
        self.step(first, is_idle, node_room).or_else(|| {
            // Nodes rank first in these orders, and one that does not fit would block the leaves.
            let is_other = matches!(self.rows.order(), Order::Rarest | Order::Random);
            let leaf = self.rows.first_leaf().filter(|_| is_other)?;
            self.step(leaf, is_idle, node_room)
        })
    }

    fn step(&mut self, offset: u64, is_idle: bool, node_room: u64) -> Option<Step> {
        let row = *self.rows.get(offset)?;
        let segment = row.segment(self.rows.blocks().at(row.block)?.cid(), offset);
        if row.compare {
            self.rows.set_state(offset, RangeState::Comparing);
            return Some(Step::Compare(segment));
        }
        let may_expand = is_idle || !self.rows.is_over_limit();
        if let Some(node) = self.rows.blocks().node(row.block) {
            return may_expand.then_some(Step::Expand(segment, row.first_child as usize, node));
        }
        let cost = self.rows.expected_node_bytes(&row);
        if cost.is_some_and(|cost| cost > node_room || !may_expand) {
            return None;
        }
        self.rows.requested(row.block);
        Some(Step::Want(segment, cost))
    }

    /// The range at `offset` was compared with the disk: if it is equal it is written, else it is queued.
    pub(in crate::chunk) fn compared(&mut self, offset: u64, equal: bool) {
        let comparing = self.rows.get(offset).filter(|row| row.state == RangeState::Comparing);
        let Some(row) = comparing.copied() else { return };
        if equal {
            self.rows.remove(offset);
            self.have.insert(self.clip(offset, row.len));
        } else {
            let asked = self.rows.blocks().at(row.block).is_some_and(|block| block.is_requested);
            self.rows
                .set_state(offset, if asked { RangeState::InFlight } else { RangeState::Queued });
        }
    }

    /// Whether a block is still needed.
    #[must_use]
    pub fn needs(&self, cid: &Cid) -> bool {
        let blocks = self.rows.blocks();
        blocks.find(cid).is_some_and(|id| blocks.node(id).is_none())
    }

    /// A leaf arrived: removes the segments that it fills, and returns them. One that fills several is
    /// cached for more to come, within `budget` bytes of such leaves.
    pub(in crate::chunk) fn take_segments(
        &mut self,
        cid: &Cid,
        leaf: &FileNode,
        budget: u64,
    ) -> Vec<Segment> {
        let Some(id) = self.rows.blocks().find(cid) else { return Vec::new() };
        let mut segments = Vec::new();
        self.rows.request_ended(id);
        for offset in self.rows.rows_of(id) {
            let Some(row) = self.rows.get(offset) else { continue };
            if row.state == RangeState::Queued {
                segments.push(row.segment(*cid, offset));
                self.rows.remove(offset);
            }
        }
        if segments.len() > 1 {
            self.rows.blocks_mut().cache_leaf(cid, leaf.clone(), budget);
        }
        segments
    }

    /// A node arrived: its rows are expanded when they are first in the order. If all held nodes take more
    /// than `budget` bytes, the last in the order are evicted, and requested again later.
    pub(in crate::chunk) fn hold_node(&mut self, cid: &Cid, node: FileNode, budget: u64) {
        let Some(id) = self.rows.blocks().find(cid) else { return };
        self.rows.request_ended(id);
        self.rows.change_block(id, |blocks| blocks.hold(id, node));
        while self.rows.blocks().held_bytes() > budget
            && let Some(last) = self.rows.last_held()
        {
            self.rows.blocks_mut().evict(last);
        }
    }

    /// The memory of all held nodes, in bytes.
    pub(in crate::chunk) const fn node_bytes(&self) -> u64 {
        self.rows.blocks().held_bytes()
    }

    /// The request for a block ended without it: its rows are queued again.
    pub(in crate::chunk) fn request_ended(&mut self, cid: &Cid) {
        if let Some(id) = self.rows.blocks().find(cid) {
            self.rows.request_ended(id);
        }
    }

    /// Whether any row of a block overlaps a range.
    pub(in crate::chunk) fn overlaps(&self, cid: &Cid, range: &Range<u64>) -> bool {
        let blocks = self.rows.blocks();
        blocks.find(cid).is_some_and(|id| {
            let overlaps = |at: u64| {
                self.rows.get(at).is_some_and(|row| at < range.end && at + row.len > range.start)
            };
            blocks.rows(id).any(overlaps)
        })
    }

    /// The extent at `offset` is written.
    pub(in crate::chunk) fn written(&mut self, offset: u64) {
        if let Some(len) = self.rows.take_written(offset) {
            self.have.insert(offset..offset + len);
        }
    }

    /// Changes the order of what is queued.
    pub(in crate::chunk) fn set_order(&mut self, order: Order) {
        self.rows.set_order(order);
    }

    /// Sets how many peers have each block, also those that are needed later, for [`Order::Rarest`].
    pub(in crate::chunk) fn set_holders(&mut self, holders: Holders) {
        self.rows.set_holders(holders);
    }

    /// Sets the reader's position, for [`Order::Deadline`].
    pub(in crate::chunk) const fn seek(&mut self, position: u64) {
        self.rows.seek(position);
    }

    /// The part of a range that is selected.
    fn clip(&self, offset: u64, len: u64) -> Range<u64> {
        let start = offset.max(self.selection.start);
        start..offset.saturating_add(len).min(self.selection.end).max(start)
    }

    fn add_if_needed(&mut self, segment: &Segment, first_child: u32, verification: Verification) {
        let have = self.have.contains(&self.clip(segment.offset, segment.len));
        if verification != Verification::Trust || !have {
            self.add(segment, first_child, verification == Verification::Compare);
        }
    }

    /// Adds the row of a node, which is never compared with the disk as a leaf.
    fn add_node(&mut self, segment: &Segment, first_child: u32, verification: Verification) {
        let verification = if verification == Verification::Compare {
            Verification::Descend
        } else {
            verification
        };
        self.add_if_needed(segment, first_child, verification);
    }

    fn add(&mut self, segment: &Segment, first_child: u32, compare: bool) {
        if segment.cid.codec() != DAG_PB || compare {
            // A leaf that is written only in part is fetched whole.
            self.have.remove(self.clip(segment.offset, segment.len));
        }
        self.rows.add(segment, first_child, compare);
    }
}

#[cfg(test)]
impl RangeMap {
    /// Rows, queue entries and needed blocks.
    pub(in crate::chunk) fn footprint(&self) -> (usize, usize, usize) {
        self.rows.footprint()
    }
}

#[cfg(any(test, feature = "testing"))]
impl RangeMap {
    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When rows overlap or are not queued as their state says, or more is written than selected.
    pub(in crate::chunk) fn validate(&self) {
        self.have.validate();
        let selected = self.selection.end - self.selection.start;
        assert_eq!(self.have.covered(&self.selection), self.have.total(), "beyond the selection");
        assert!(self.have.total() <= selected);
        self.rows.validate();
    }
}
