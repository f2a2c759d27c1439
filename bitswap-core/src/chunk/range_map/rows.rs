//! The ranges that are not there yet, and whose turn it is.
//!
//! A *row* is a range in one state. What is queued has a rank within the [order](Order), the first of which
//! is next; a rank depends on nothing that changes while its row is queued.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cid::Cid;

use super::blocks::Targets;
use super::order::Order;
use crate::chunk::manifest::Piece;
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Checking,
    InFlight,
    Writing,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) len: u64,
    pub(super) tsize: u64,
    /// Meaningless for a row that is being written.
    pub(super) target: u32,
    /// The node's children before this one have rows of their own, or are there.
    pub(super) from: u32,
    pub(super) depth: u16,
    pub(super) stage: Stage,
    /// The range is on disk, perhaps: compare before asking.
    pub(super) check: bool,
}

impl Row {
    pub(super) const fn piece(&self, cid: Cid, offset: u64) -> Piece {
        Piece { cid, offset, len: self.len, depth: self.depth, tsize: self.tsize }
    }
}

/// Class, key, position: the first is next.
type Rank = (u8, u64, u64);

/// The rows by position, and the blocks that fill them.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    order: Order,
    reader: u64,
    rows_max: usize,
    rng: Rng,
    rows: BTreeMap<u64, Row>,
    queue: BTreeSet<Rank>,
    targets: Targets,
}

impl Rows {
    pub(super) fn new(order: Order, reader: u64, rows_max: usize, rng: Rng) -> Self {
        let (rows, queue, targets) = (BTreeMap::new(), BTreeSet::new(), Targets::default());
        Self { order, reader, rows_max, rng, rows, queue, targets }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there are so many that leaves are taken before nodes.
    pub(super) fn are_many(&self) -> bool {
        self.rows.len() > self.rows_max
    }

    pub(super) const fn order(&self) -> Order {
        self.order
    }

    pub(super) fn get(&self, offset: u64) -> Option<&Row> {
        self.rows.get(&offset)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.rows.iter().map(|(offset, row)| (*offset, row))
    }

    pub(super) const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The blocks, for changes that no rank depends on.
    pub(super) const fn targets_mut(&mut self) -> &mut Targets {
        &mut self.targets
    }

    /// Adds a range that is being written.
    pub(super) fn add_writing(&mut self, offset: u64, len: u64) {
        let (target, stage) = (u32::MAX, Stage::Writing);
        let row = Row { len, tsize: 0, target, from: 0, depth: 0, stage, check: false };
        self.rows.insert(offset, row);
    }

    /// Takes out a range that was being written, and tells its length.
    pub(super) fn take_written(&mut self, offset: u64) -> Option<u64> {
        self.get(offset).filter(|row| row.stage == Stage::Writing)?;
        self.rows.remove(&offset).map(|row| row.len)
    }

    /// Adds the range of a block, or what a node holds of it from a child on.
    pub(super) fn add(&mut self, piece: &Piece, from: u32, check: bool) {
        let Piece { offset, len, depth, tsize, .. } = *piece;
        let target = self.targets.add_row(&piece.cid, offset, &mut self.rng);
        let asked = self.targets.at(target).is_some_and(|target| target.asked);
        let stage = if asked { Stage::InFlight } else { Stage::Queued };
        self.rows.insert(offset, Row { len, tsize, target, from, depth, stage, check });
        if stage == Stage::Queued {
            self.enqueue(offset);
        }
    }

    /// Changes the order of what is queued.
    pub(super) fn set_order(&mut self, order: Order) {
        self.order = order;
        for (_, _, offset) in core::mem::take(&mut self.queue) {
            self.enqueue(offset);
        }
    }

    pub(super) const fn seek(&mut self, position: u64) {
        self.reader = position;
    }

    /// The first leaf in an order that puts nodes before all leaves.
    pub(super) fn first_leaf(&self) -> Option<u64> {
        self.queue.range((1, 0, 0)..).next().map(|(_, _, offset)| *offset)
    }

    /// The row whose turn it is.
    pub(super) fn pick(&self, is_idle: bool) -> Option<u64> {
        let rank = match self.order {
            // Down one path, because each level taken as a whole would multiply the rows; nothing is
            // on its way, so the first row is queued.
            _ if is_idle && self.are_many() => {
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
            Order::Rarest | Order::Random if self.are_many() => {
                return self.first_leaf().or_else(|| self.queue.first().map(|rank| rank.2));
            }
            _ => self.queue.first(),
        };
        rank.map(|(_, _, offset)| *offset)
    }

    /// The held node whose turn comes last, unless it is the only one.
    pub(super) fn last_held(&self) -> Option<u32> {
        let is_single = self.targets.held(0..u64::MAX).nth(1).is_none();
        let is_passed =
            |(at, _): &(u64, u32)| self.rows.get(at).is_some_and(|row| at + row.len <= self.reader);
        // With many rows the turns are by position.
        let by_reader = self.order == Order::Deadline && !self.are_many();
        let passed = self.targets.held(0..self.reader).rev().find(is_passed);
        let last = passed.filter(|_| by_reader);
        let last = last.or_else(|| self.targets.held(0..u64::MAX).next_back());
        last.filter(|_| !is_single).map(|(_, id)| id)
    }

    /// Takes a row out, and its target with its last row.
    pub(super) fn take(&mut self, offset: u64) {
        self.dequeue(offset);
        let Some(row) = self.rows.remove(&offset) else { return };
        self.targets.remove_row(row.target, offset);
    }

    /// A block is asked for, for all of its rows.
    pub(super) fn asked(&mut self, id: u32) {
        for offset in self.rows_of(id) {
            if self.get(offset).is_some_and(|row| row.stage == Stage::Queued) {
                self.set_stage(offset, Stage::InFlight);
            }
        }
        if let Some(target) = self.targets.at_mut(id) {
            target.asked = true;
        }
    }

    /// A block was asked for, and is not any more.
    pub(super) fn answered(&mut self, id: u32) {
        if let Some(target) = self.targets.at_mut(id) {
            target.asked = false;
        }
        for offset in self.rows_of(id) {
            if self.rows.get(&offset).is_some_and(|row| row.stage == Stage::InFlight) {
                self.set_stage(offset, Stage::Queued);
            }
        }
    }

    pub(super) fn set_stage(&mut self, offset: u64, stage: Stage) {
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

    /// Changes what the rank of a block's rows may depend on.
    pub(super) fn change_target(&mut self, id: u32, change: impl FnOnce(&mut Targets)) {
        let rows = self.rows_of(id);
        let queued: Vec<u64> = rows.into_iter().filter(|offset| self.dequeue(*offset)).collect();
        change(&mut self.targets);
        for offset in queued {
            self.enqueue(offset);
        }
    }

    fn rank(&self, offset: u64) -> Option<Rank> {
        let row = self.rows.get(&offset)?;
        let target = self.targets.at(row.target)?;
        let is_node = self.expected_cost(row).is_some();
        Some(match self.order {
            Order::Sequential | Order::Deadline => (0, 0, offset),
            Order::Rarest | Order::Random if is_node => (0, 0, offset),
            Order::Rarest => (1, target.holders.into(), offset),
            Order::Random => (1, target.draw, offset),
        })
    }

    /// What holding the block of a row will take, if it is taken for a node.
    pub(super) fn expected_cost(&self, row: &Row) -> Option<u64> {
        self.targets.at(row.target)?.expected_cost(row.len, row.tsize)
    }

    pub(super) fn rows_of(&self, id: u32) -> Vec<u64> {
        self.targets.rows(id).collect()
    }

    fn enqueue(&mut self, offset: u64) {
        if let Some(rank) = self.rank(offset) {
            self.queue.insert(rank);
        }
    }

    fn dequeue(&mut self, offset: u64) -> bool {
        self.rank(offset).is_some_and(|rank| self.queue.remove(&rank))
    }
}

#[cfg(test)]
impl Rows {
    /// Rows, queue entries and targets.
    pub(super) fn footprint(&self) -> (usize, usize, usize) {
        (self.rows.len(), self.queue.len() + self.targets.places(), self.targets.len())
    }
}
