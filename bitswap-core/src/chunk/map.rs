//! Which ranges are missing, on their way, being written, and there.
//!
//! 1. Every selected byte is in exactly one state: it is `have`, or else its range (a *row*) is
//!    Queued, InFlight or Writing. Rows never overlap. Reading a range back from disk to check it
//!    counts as InFlight: the disk has been asked.
//! 2. A block is wanted once, however many rows it fills: they share a *target*.
//! 3. Rows exist only for what is not there yet; what is there costs a run. A node's row is
//!    replaced by those of its children when its turn in the order comes, so a sequential download
//!    knows one path of a large tree and not all of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;

use super::options::Order;
use super::targets::Targets;
use super::{Contents, DAG_PB, FileNode, Piece, Runs};
use crate::rng::Rng;

/// The largest leaf: what is longer must be a node.
pub(super) const LEAF_MAX: u64 = 2 << 20;

/// Above this many rows leaves are taken before nodes, and nodes are expanded one by one.
const ROWS_SOFT: usize = 1 << 16;

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
    /// Ask for the block.
    Want(Piece),
    /// The node is known: put what it holds at this place with [`ChunkMap::fill`].
    Expand(Piece, Arc<FileNode>),
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
    depth: u16,
    stage: Stage,
    /// The range is on disk, perhaps: compare before asking.
    check: bool,
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
    /// The rows of each target.
    places: BTreeSet<(u32, u64)>,
    have: Runs,
}

impl ChunkMap {
    /// The map of a selection of which `have` is there already.
    pub(super) fn new(selection: Range<u64>, have: Runs, order: Order, rng: Rng) -> Self {
        Self {
            reader: selection.start,
            selection,
            order,
            rng,
            rows: BTreeMap::new(),
            queue: BTreeSet::new(),
            targets: Targets::default(),
            places: BTreeSet::new(),
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
            let row = Row { len, tsize: 0, target: u32::MAX, depth: 0, stage, check: false };
            self.rows.insert(extent.offset, row);
        }
        for piece in &contents.pieces {
            let look = look(piece);
            let have = self.have.contains(&self.clip(piece.offset, piece.len));
            if look != Look::Trust || !have {
                self.add(piece, look == Look::Check);
            }
        }
    }

    /// The next step within the order, `None` when nothing is queued. With many rows, a node is
    /// expanded only while nothing is on its way (`is_idle`): nodes that repeat would otherwise
    /// make rows without end and ask for nothing.
    pub(super) fn next(&mut self, is_idle: bool) -> Option<Step> {
        let offset = self.pick(is_idle)?;
        let row = *self.rows.get(&offset)?;
        let target = self.targets.at(row.target)?;
        let piece =
            Piece { cid: target.cid, offset, len: row.len, depth: row.depth, tsize: row.tsize };
        if row.check {
            self.set_stage(offset, Stage::Checking);
            return Some(Step::Check(piece));
        }
        if let Some(node) = target.node.clone() {
            if self.rows.len() > ROWS_SOFT && !is_idle {
                return None;
            }
            self.take(offset);
            return Some(Step::Expand(piece, node));
        }
        for offset in self.rows_of(row.target) {
            if self.rows.get(&offset).is_some_and(|row| row.stage == Stage::Queued) {
                self.set_stage(offset, Stage::InFlight);
            }
        }
        if let Some(target) = self.targets.at_mut(row.target) {
            target.asked = true;
        }
        Some(Step::Want(piece))
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
        let target = self.targets.find(cid).and_then(|id| self.targets.at(id));
        target.is_some_and(|target| target.node.is_none())
    }

    /// A leaf arrived: takes out the places that it fills.
    pub(super) fn take_places(&mut self, cid: &Cid, leaf: &FileNode) -> Vec<Piece> {
        let Some(id) = self.targets.find(cid) else { return Vec::new() };
        let mut pieces = Vec::new();
        self.answered(id);
        for offset in self.rows_of(id) {
            let Some(row) = self.rows.get(&offset) else { continue };
            if row.stage == Stage::Queued {
                let Row { len, depth, tsize, .. } = *row;
                pieces.push(Piece { cid: *cid, offset, len, depth, tsize });
                self.take(offset);
            }
        }
        if pieces.len() > 1 {
            self.targets.remember(*cid, leaf.clone());
        }
        pieces
    }

    /// A node arrived: its places are expanded when their turn comes.
    pub(super) fn set_node(&mut self, cid: &Cid, node: FileNode) {
        let Some(id) = self.targets.find(cid) else { return };
        self.answered(id);
        if let Some(target) = self.targets.at_mut(id) {
            target.node = Some(Arc::new(node));
        }
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
            let overlaps = |(_, at): &(u32, u64)| {
                self.rows.get(at).is_some_and(|row| *at < range.end && at + row.len > range.start)
            };
            self.places.range((id, 0)..=(id, u64::MAX)).any(overlaps)
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
        let rows = self.rows_of(id);
        let queued: Vec<u64> = rows.into_iter().filter(|offset| self.dequeue(*offset)).collect();
        if let Some(target) = self.targets.at_mut(id) {
            target.holders = holders;
        }
        for offset in queued {
            self.enqueue(offset);
        }
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
            _ if is_idle && self.rows.len() > ROWS_SOFT => {
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
            Order::Rarest | Order::Random if self.rows.len() > ROWS_SOFT => {
                self.queue.range((1, 0, 0)..).next().or_else(|| self.queue.first())
            }
            _ => self.queue.first(),
        };
        rank.map(|(_, _, offset)| *offset)
    }

    fn rank(&self, offset: u64) -> Option<Rank> {
        let row = self.rows.get(&offset)?;
        let target = self.targets.at(row.target)?;
        let is_node = target.cid.codec() == DAG_PB && row.len > LEAF_MAX;
        Some(match self.order {
            Order::Sequential | Order::Deadline => (0, 0, offset),
            Order::Rarest | Order::Random if is_node => (0, 0, offset),
            Order::Rarest => (1, target.holders.into(), offset),
            Order::Random => (1, target.draw, offset),
        })
    }

    fn add(&mut self, piece: &Piece, check: bool) {
        let range = self.clip(piece.offset, piece.len);
        if piece.cid.codec() != DAG_PB || check {
            // A leaf that is there only in part is fetched whole.
            self.have.remove(range);
        }
        let id = self.targets.add_row(&piece.cid, &mut self.rng);
        let asked = self.targets.at(id).is_some_and(|target| target.asked);
        let stage = if asked { Stage::InFlight } else { Stage::Queued };
        let Piece { offset, len, depth, tsize, .. } = *piece;
        self.rows.insert(offset, Row { len, tsize, target: id, depth, stage, check });
        self.places.insert((id, offset));
        if stage == Stage::Queued {
            self.enqueue(offset);
        }
    }

    /// Takes a row out, and its target with its last row.
    fn take(&mut self, offset: u64) {
        self.dequeue(offset);
        let Some(row) = self.rows.remove(&offset) else { return };
        self.places.remove(&(row.target, offset));
        self.targets.remove_row(row.target);
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
        self.places.range((id, 0)..=(id, u64::MAX)).map(|(_, offset)| *offset).collect()
    }
}

#[cfg(test)]
impl ChunkMap {
    /// Rows, queue entries and targets.
    pub(super) fn footprint(&self) -> (usize, usize, usize) {
        (self.rows.len(), self.queue.len() + self.places.len(), self.targets.len())
    }
}
