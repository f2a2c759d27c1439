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
//! 4. There are at most `rows_max` rows and a few more for each level of the tree; see [`cost`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;

use super::options::Order;
use super::targets::Targets;
use super::{Contents, DAG_PB, FileNode, Piece, Runs, cost};
use crate::rng::Rng;

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
pub(super) enum Look {
    /// What is there is right.
    Trust,
    /// Something below it is to be checked.
    Descend,
    /// Compare it with the disk before asking for it.
    Check,
}

/// What to do next for the range whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the range back and compare.
    Check(Piece),
    /// Ask for the block. If it is taken to be a node: what holding it will take.
    Want(Piece, Option<u64>),
    /// The node is known: put what it holds from this child on at this place with
    /// [`ChunkMap::leave`] and [`ChunkMap::fill`].
    Expand(Piece, usize, Arc<FileNode>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued,
    Checking,
    InFlight,
    Writing,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    len: u64,
    tsize: u64,
    /// Meaningless for a row that is being written.
    target: u32,
    /// The node's children before this one have rows of their own, or are there.
    from: u32,
    depth: u16,
    stage: Stage,
    /// The range is on disk, perhaps: compare before asking.
    check: bool,
}

impl Row {
    const fn piece(&self, cid: Cid, offset: u64) -> Piece {
        Piece { cid, offset, len: self.len, depth: self.depth, tsize: self.tsize }
    }
}

/// Class, key, position: the first is next.
type Rank = (u8, u64, u64);

/// The state of every range of one file.
#[derive(Clone, Debug)]
pub struct ChunkMap {
    selection: Range<u64>,
    order: Order,
    reader: u64,
    rng: Rng,
    rows: BTreeMap<u64, Row>,
    queue: BTreeSet<Rank>,
    targets: Targets,
    rows_max: usize,
    have: Runs,
}

impl ChunkMap {
    /// The map of a selection of which `have` is there already.
    pub(super) fn new(
        selection: Range<u64>,
        have: Runs,
        order: Order,
        rows_max: usize,
        rng: Rng,
    ) -> Self {
        Self {
            reader: selection.start,
            selection,
            order,
            rng,
            rows: BTreeMap::new(),
            queue: BTreeSet::new(),
            targets: Targets::default(),
            rows_max,
            have,
        }
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
        for (offset, row) in &self.rows {
            let range = self.clip(*offset, row.len);
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
    pub(super) fn fill(&mut self, contents: &Contents, look: impl Fn(&Piece) -> Look) {
        for extent in &contents.extents {
            let range = extent.offset..extent.offset + extent.bytes.len() as u64;
            let len = range.end - range.start;
            self.have.remove(range);
            let stage = Stage::Writing;
            let target = u32::MAX;
            let row = Row { len, tsize: 0, target, from: 0, depth: 0, stage, check: false };
            self.rows.insert(extent.offset, row);
        }
        for piece in &contents.pieces {
            self.add_if_needed(piece, 0, look(piece));
        }
    }

    /// Puts the top of the tree, which has children.
    pub(super) fn plant(&mut self, top: &Piece, node: Arc<FileNode>, look: Look) {
        self.targets.set_top(top.cid, node);
        self.add_node(top, 0, look);
    }

    /// A node was expanded: of the row at `offset` only `rest` is left, from that child on.
    pub(super) fn leave(&mut self, offset: u64, rest: Option<(Piece, usize, Look)>) {
        // First, so that the node is held for it.
        if let Some((piece, from, look)) = rest {
            self.add_node(&piece, from as u32, look);
        }
        self.take(offset);
    }

    /// The next step within the order, `None` when nothing is queued. With many rows, a node is
    /// expanded only while nothing is on its way (`is_idle`): nodes that repeat would otherwise
    /// make rows without end and ask for nothing. A node is asked for only if it will take no more
    /// than `node_room`.
    pub(super) fn next(&mut self, is_idle: bool, node_room: u64) -> Option<Step> {
        self.step(self.pick(is_idle)?, is_idle, node_room).or_else(|| {
            // Nodes come first in these orders, and would keep the leaves waiting.
            let is_other = matches!(self.order, Order::Rarest | Order::Random);
            let leaf = self.queue.range((1, 0, 0)..).next().filter(|_| is_other)?;
            self.step(leaf.2, is_idle, node_room)
        })
    }

    fn step(&mut self, offset: u64, is_idle: bool, node_room: u64) -> Option<Step> {
        let row = *self.rows.get(&offset)?;
        let piece = row.piece(self.targets.at(row.target)?.cid, offset);
        if row.check {
            self.set_stage(offset, Stage::Checking);
            return Some(Step::Check(piece));
        }
        let may_expand = self.rows.len() <= self.rows_max || is_idle;
        if let Some(node) = self.targets.node(row.target) {
            return may_expand.then_some(Step::Expand(piece, row.from as usize, node));
        }
        let cost = self.expected_cost(offset, &row);
        if cost.is_some_and(|cost| cost > node_room || !may_expand) {
            return None;
        }
        for offset in self.rows_of(row.target) {
            if self.rows.get(&offset).is_some_and(|row| row.stage == Stage::Queued) {
                self.set_stage(offset, Stage::InFlight);
            }
        }
        if let Some(target) = self.targets.at_mut(row.target) {
            target.asked = true;
        }
        Some(Step::Want(piece, cost))
    }

    /// What was compared on disk: `equal` is there, the rest is queued to be asked for.
    pub(super) fn checked(&mut self, offset: u64, equal: bool) {
        let Some(row) = self.rows.get(&offset).filter(|row| row.stage == Stage::Checking) else {
            return;
        };
        let (range, target) = (self.clip(offset, row.len), row.target);
        if equal {
            self.take(offset);
            self.have.insert(range);
        } else {
            let asked = self.targets.at(target).is_some_and(|target| target.asked);
            self.set_stage(offset, if asked { Stage::InFlight } else { Stage::Queued });
        }
    }

    /// Whether a block is still of use.
    #[must_use]
    pub fn needs(&self, cid: &Cid) -> bool {
        self.targets.find(cid).is_some_and(|id| self.targets.node(id).is_none())
    }

    /// A leaf arrived: takes out the places that it fills.
    /// One with many is kept for others, within `budget` bytes of such leaves.
    pub(super) fn take_places(&mut self, cid: &Cid, leaf: &FileNode, budget: u64) -> Vec<Piece> {
        let Some(id) = self.targets.find(cid) else { return Vec::new() };
        let mut pieces = Vec::new();
        self.answered(id);
        for offset in self.rows_of(id) {
            let Some(row) = self.rows.get(&offset) else { continue };
            if row.stage == Stage::Queued {
                pieces.push(row.piece(*cid, offset));
                self.take(offset);
            }
        }
        if pieces.len() > 1 {
            self.targets.remember(*cid, leaf.clone(), budget);
        }
        pieces
    }

    /// A node arrived: its places are expanded when their turn comes. If all that are held take more
    /// than `budget`, those whose turn comes last are evicted, and asked for again.
    pub(super) fn set_node(&mut self, cid: &Cid, node: FileNode, budget: u64) {
        let Some(id) = self.targets.find(cid) else { return };
        self.answered(id);
        self.change_target(id, |targets| targets.hold(id, node));
        while self.targets.held_bytes() > budget
            && let Some(last) = self.last_held()
        {
            self.targets.evict(last);
        }
    }

    /// What the nodes that are held take, in bytes.
    pub(super) const fn node_bytes(&self) -> u64 {
        self.targets.held_bytes()
    }

    /// The block will not come: its rows are queued again.
    pub(super) fn unwant(&mut self, cid: &Cid) {
        if let Some(id) = self.targets.find(cid) {
            self.answered(id);
        }
    }

    /// Whether the block is asked for, and any of its rows begins within a range.
    pub(super) fn is_asked_within(&self, cid: &Cid, range: &Range<u64>) -> bool {
        self.targets.find(cid).is_some_and(|id| {
            let overlaps = |at: u64| {
                self.rows.get(&at).is_some_and(|row| at < range.end && at + row.len > range.start)
            };
            self.targets.rows(id).any(overlaps)
        })
    }

    /// The bytes at `offset` are written.
    pub(super) fn written(&mut self, offset: u64) {
        let is_writing = self.rows.get(&offset).is_some_and(|row| row.stage == Stage::Writing);
        if is_writing && let Some(row) = self.rows.remove(&offset) {
            self.have.insert(offset..offset + row.len);
        }
    }

    /// Changes the order of what is queued.
    pub(super) fn set_order(&mut self, order: Order) {
        self.order = order;
        let queued = core::mem::take(&mut self.queue);
        for (_, _, offset) in queued {
            self.enqueue(offset);
        }
    }

    /// Tells how many peers are known to have a block, for [`Order::Rarest`]. A block of which
    /// nothing is known counts as rarest.
    pub(super) fn set_holders(&mut self, cid: &Cid, holders: u32) {
        let Some(id) = self.targets.find(cid) else { return };
        self.change_target(id, |targets| {
            if let Some(target) = targets.at_mut(id) {
                target.holders = holders;
            }
        });
    }

    /// Moves the reader, for [`Order::Deadline`].
    pub(super) const fn seek(&mut self, position: u64) {
        self.reader = position;
    }

    /// The part of a range that is selected.
    fn clip(&self, offset: u64, len: u64) -> Range<u64> {
        let start = offset.max(self.selection.start);
        start..offset.saturating_add(len).min(self.selection.end).max(start)
    }

    fn pick(&self, is_idle: bool) -> Option<u64> {
        let rank = match self.order {
            // Down one path, because each level taken as a whole would multiply the rows; nothing is
            // on its way, so the first row is queued.
            _ if is_idle && self.rows.len() > self.rows_max => {
                return self.rows.first_key_value().map(|(offset, _)| *offset);
            }
            Order::Deadline => {
                let reader = (0, 0, self.reader);
                let holds_reader = |(_, _, at): &&Rank| {
                    self.rows.get(at).is_some_and(|row| at + row.len > self.reader)
                };
                let here = self.queue.range(..reader).next_back().filter(holds_reader);
                here.or_else(|| self.queue.range(reader..).next()).or_else(|| self.queue.first())
            }
            Order::Rarest | Order::Random if self.rows.len() > self.rows_max => {
                self.queue.range((1, 0, 0)..).next().or_else(|| self.queue.first())
            }
            _ => self.queue.first(),
        };
        rank.map(|(_, _, offset)| *offset)
    }

    fn rank(&self, offset: u64) -> Option<Rank> {
        let row = self.rows.get(&offset)?;
        let target = self.targets.at(row.target)?;
        let is_node = self.expected_cost(offset, row).is_some();
        Some(match self.order {
            Order::Sequential | Order::Deadline => (0, 0, offset),
            Order::Rarest | Order::Random if is_node => (0, 0, offset),
            Order::Rarest => (1, target.holders.into(), offset),
            Order::Random => (1, target.draw, offset),
        })
    }

    /// What holding the block of a row will take, if it is taken for a node.
    fn expected_cost(&self, offset: u64, row: &Row) -> Option<u64> {
        let target = self.targets.at(row.target)?;
        target.cost().or_else(|| cost::expected(&row.piece(target.cid, offset)))
    }

    /// The held node whose turn comes last, unless it is the only one.
    fn last_held(&self) -> Option<u32> {
        let is_single = self.targets.held(0..u64::MAX).nth(1).is_none();
        let is_passed = |(at, _): &(u64, u32)| {
            self.rows.get(at).is_some_and(|row| at + row.len <= self.reader)
        };
        // With many rows the turns are by position.
        let by_reader = self.order == Order::Deadline && self.rows.len() <= self.rows_max;
        let passed = self.targets.held(0..self.reader).rev().find(is_passed);
        let last = passed.filter(|_| by_reader);
        let last = last.or_else(|| self.targets.held(0..u64::MAX).next_back());
        last.filter(|_| !is_single).map(|(_, id)| id)
    }

    /// Changes what the rank of a block's rows may depend on.
    fn change_target(&mut self, id: u32, change: impl FnOnce(&mut Targets)) {
        let rows = self.rows_of(id);
        let queued: Vec<u64> = rows.into_iter().filter(|offset| self.dequeue(*offset)).collect();
        change(&mut self.targets);
        for offset in queued {
            self.enqueue(offset);
        }
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
        let range = self.clip(piece.offset, piece.len);
        if piece.cid.codec() != DAG_PB || check {
            // A leaf that is there only in part is fetched whole.
            self.have.remove(range);
        }
        let Piece { offset, len, depth, tsize, .. } = *piece;
        let id = self.targets.add_row(&piece.cid, offset, &mut self.rng);
        let asked = self.targets.at(id).is_some_and(|target| target.asked);
        let stage = if asked { Stage::InFlight } else { Stage::Queued };
        self.rows.insert(offset, Row { len, tsize, target: id, from, depth, stage, check });
        if stage == Stage::Queued {
            self.enqueue(offset);
        }
    }

    /// Takes a row out, and its target with its last row.
    fn take(&mut self, offset: u64) {
        self.dequeue(offset);
        let Some(row) = self.rows.remove(&offset) else { return };
        self.targets.remove_row(row.target, offset);
    }

    fn answered(&mut self, id: u32) {
        if let Some(target) = self.targets.at_mut(id) {
            target.asked = false;
        }
        for offset in self.rows_of(id) {
            if self.rows.get(&offset).is_some_and(|row| row.stage == Stage::InFlight) {
                self.set_stage(offset, Stage::Queued);
            }
        }
    }

    fn set_stage(&mut self, offset: u64, stage: Stage) {
        self.dequeue(offset);
        if let Some(row) = self.rows.get_mut(&offset) {
            row.stage = stage;
            // Once compared or asked for, a range is not compared again.
            row.check = false;
        }
        if stage == Stage::Queued {
            self.enqueue(offset);
        }
    }

    fn enqueue(&mut self, offset: u64) {
        if let Some(rank) = self.rank(offset) {
            self.queue.insert(rank);
        }
    }

    fn dequeue(&mut self, offset: u64) -> bool {
        self.rank(offset).is_some_and(|rank| self.queue.remove(&rank))
    }

    fn rows_of(&self, id: u32) -> Vec<u64> {
        self.targets.rows(id).collect()
    }
}

#[cfg(test)]
impl ChunkMap {
    /// Rows, queue entries and targets.
    pub(super) fn footprint(&self) -> (usize, usize, usize) {
        (self.rows.len(), self.queue.len() + self.targets.places(), self.targets.len())
    }
}
