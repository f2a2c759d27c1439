//! The ranges that are not written yet, and the queue of those to be requested.
//!
//! A *row* is a range in one state. A queued row has a rank within the [order](Order); the lowest rank
//! is next. A rank depends on nothing that changes while its row is queued.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cid::Cid;

use super::blocks::NeededBlocks;
use super::holders::Holders;
use super::order::Order;
use crate::chunk::manifest::Segment;
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeState {
    Queued,
    Comparing,
    InFlight,
    Writing,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) len: u64,
    pub(super) tsize: u64,
    /// The needed block. Meaningless for a row that is being written.
    pub(super) block: u32,
    /// The node's children before this one have rows of their own, or are written.
    pub(super) first_child: u32,
    pub(super) depth: u16,
    pub(super) state: RangeState,
    /// The range may be on disk: it is compared before it is requested.
    pub(super) compare: bool,
}

impl Row {
    pub(super) const fn segment(&self, cid: Cid, offset: u64) -> Segment {
        Segment { cid, offset, len: self.len, depth: self.depth, tsize: self.tsize }
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
    blocks: NeededBlocks,
}

impl Rows {
    pub(super) fn new(order: Order, reader: u64, rows_max: usize, rng: Rng) -> Self {
        let (rows, queue, blocks) = (BTreeMap::new(), BTreeSet::new(), NeededBlocks::default());
        Self { order, reader, rows_max, rng, rows, queue, blocks }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there are so many rows that leaves are requested before nodes.
    pub(super) fn is_over_limit(&self) -> bool {
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

    pub(super) const fn blocks(&self) -> &NeededBlocks {
        &self.blocks
    }

    /// The needed blocks, for changes that no rank depends on.
    pub(super) const fn blocks_mut(&mut self) -> &mut NeededBlocks {
        &mut self.blocks
    }

    /// Adds a range that is being written.
    pub(super) fn add_writing(&mut self, offset: u64, len: u64) {
        let (block, state) = (u32::MAX, RangeState::Writing);
        let row = Row { len, tsize: 0, block, first_child: 0, depth: 0, state, compare: false };
        self.rows.insert(offset, row);
    }

    /// Removes a range that was being written, and returns its length.
    pub(super) fn take_written(&mut self, offset: u64) -> Option<u64> {
        self.get(offset).filter(|row| row.state == RangeState::Writing)?;
        self.rows.remove(&offset).map(|row| row.len)
    }

    /// Adds the range of a block, or of a node's children from one on.
    pub(super) fn add(&mut self, segment: &Segment, first_child: u32, compare: bool) {
        let Segment { offset, len, depth, tsize, .. } = *segment;
        let block = self.blocks.add_row(&segment.cid, offset, &mut self.rng);
        let asked = self.blocks.at(block).is_some_and(|block| block.is_requested);
        let state = if asked { RangeState::InFlight } else { RangeState::Queued };
        self.rows.insert(offset, Row { len, tsize, block, first_child, depth, state, compare });
        if state == RangeState::Queued {
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

    /// Sets how many peers have each block.
    pub(super) fn set_holders(&mut self, holders: Holders) {
        for (id, holders) in self.blocks.set_holders(holders) {
            self.change_block(id, |blocks| {
                if let Some(block) = blocks.at_mut(id) {
                    block.holders = holders;
                }
            });
        }
    }

    pub(super) const fn seek(&mut self, position: u64) {
        self.reader = position;
    }

    /// The first leaf in an order that puts nodes before all leaves.
    pub(super) fn first_leaf(&self) -> Option<u64> {
        self.queue.range((1, 0, 0)..).next().map(|(_, _, offset)| *offset)
    }

    /// The next row to handle: the lowest rank of the queue, but for the orders' exceptions.
    pub(super) fn next_row(&self, is_idle: bool) -> Option<u64> {
        let rank = match self.order {
            // Depth first, because expanding each level as a whole would multiply the rows; nothing is
            // in flight, so the first row is queued.
            _ if is_idle && self.is_over_limit() => {
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
            Order::Rarest | Order::Random if self.is_over_limit() => {
                return self.first_leaf().or_else(|| self.queue.first().map(|rank| rank.2));
            }
            _ => self.queue.first(),
        };
        rank.map(|(_, _, offset)| *offset)
    }

    /// The held node that is last in the order, unless it is the only one.
    pub(super) fn last_held(&self) -> Option<u32> {
        let is_single = self.blocks.held(0..u64::MAX).nth(1).is_none();
        let is_passed =
            |(at, _): &(u64, u32)| self.rows.get(at).is_some_and(|row| at + row.len <= self.reader);
        // With too many rows the order is by position.
        let by_reader = self.order == Order::Deadline && !self.is_over_limit();
        let passed = self.blocks.held(0..self.reader).rev().find(is_passed);
        let last = passed.filter(|_| by_reader);
        let last = last.or_else(|| self.blocks.held(0..u64::MAX).next_back());
        last.filter(|_| !is_single).map(|(_, id)| id)
    }

    /// Removes a row, and its block with its last row.
    pub(super) fn remove(&mut self, offset: u64) {
        self.dequeue(offset);
        let Some(row) = self.rows.remove(&offset) else { return };
        self.blocks.remove_row(row.block, offset);
    }

    /// A block is requested, for all of its rows.
    pub(super) fn requested(&mut self, id: u32) {
        for offset in self.rows_of(id) {
            if self.get(offset).is_some_and(|row| row.state == RangeState::Queued) {
                self.set_state(offset, RangeState::InFlight);
            }
        }
        if let Some(block) = self.blocks.at_mut(id) {
            block.is_requested = true;
        }
    }

    /// The request for a block ended, with it or without.
    pub(super) fn request_ended(&mut self, id: u32) {
        if let Some(block) = self.blocks.at_mut(id) {
            block.is_requested = false;
        }
        for offset in self.rows_of(id) {
            if self.rows.get(&offset).is_some_and(|row| row.state == RangeState::InFlight) {
                self.set_state(offset, RangeState::Queued);
            }
        }
    }

    pub(super) fn set_state(&mut self, offset: u64, state: RangeState) {
        self.dequeue(offset);
        if let Some(row) = self.rows.get_mut(&offset) {
            row.state = state;
            // Once compared or requested, a range is not compared again.
            row.compare = false;
        }
        if state == RangeState::Queued {
            self.enqueue(offset);
        }
    }

    /// Applies a change that the ranks of a block's rows may depend on.
    pub(super) fn change_block(&mut self, id: u32, change: impl FnOnce(&mut NeededBlocks)) {
        let rows = self.rows_of(id);
        let queued: Vec<u64> = rows.into_iter().filter(|offset| self.dequeue(*offset)).collect();
        change(&mut self.blocks);
        for offset in queued {
            self.enqueue(offset);
        }
    }

    fn rank(&self, offset: u64) -> Option<Rank> {
        let row = self.rows.get(&offset)?;
        let block = self.blocks.at(row.block)?;
        let is_node = self.expected_node_bytes(row).is_some();
        Some(match self.order {
            Order::Sequential | Order::Deadline => (0, 0, offset),
            Order::Rarest | Order::Random if is_node => (0, 0, offset),
            Order::Rarest => (1, block.holders.into(), offset),
            Order::Random => (1, block.random_rank, offset),
        })
    }

    /// The memory that the block of a row will take, if it is expected to be a node.
    pub(super) fn expected_node_bytes(&self, row: &Row) -> Option<u64> {
        self.blocks.at(row.block)?.expected_node_bytes(row.len, row.tsize)
    }

    pub(super) fn rows_of(&self, id: u32) -> Vec<u64> {
        self.blocks.rows(id).collect()
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
    /// Rows, queue entries and needed blocks.
    pub(super) fn footprint(&self) -> (usize, usize, usize) {
        (self.rows.len(), self.queue.len() + self.blocks.row_count(), self.blocks.len())
    }
}

#[cfg(any(test, feature = "testing"))]
impl Rows {
    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When rows overlap, the queue has others than those queued, or a row's block does not know it.
    pub(super) fn validate(&self) {
        let mut end = 0;
        let mut queued = 0;
        for (offset, row) in self.iter() {
            assert!(offset >= end, "rows overlap at {offset}");
            end = offset + row.len;
            if row.state != RangeState::Writing {
                assert!(self.blocks.has_row(row.block, offset), "{offset} has no block");
            }
            let is_queued = self.rank(offset).is_some_and(|rank| self.queue.contains(&rank));
            assert_eq!(is_queued, row.state == RangeState::Queued, "{offset}");
            queued += usize::from(is_queued);
        }
        assert_eq!(queued, self.queue.len(), "what has no row is queued");
        self.blocks.validate();
    }
}
