//! What the server half keeps of one connected peer.

use alloc::vec::Vec;
use core::time::Duration;

use crate::bucket::Bucket;
use crate::lane::LaneState;
use crate::rows::{Id, NONE};
use crate::stats::{Served, TimerReason};
use crate::time::Timestamp;

use super::memory::Turn;
use super::pace::Pace;
use super::queues::Queues;
use super::want::Said;

/// The first window of a peer, in bytes: two blocks of the usual size.
const FIRST_WINDOW: u64 = 512 << 10;
/// The size that a block is taken to have before any of the peer's was loaded: the usual leaf.
const FIRST_ESTIMATE: u32 = 256 << 10;
/// Estimates stay above this, so that a peer of small blocks that turns to big ones has few loads
/// under way that were taken for small ones.
const LOWEST_ESTIMATE: u32 = 8 << 10;

/// An answer within a message that is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) want: Id,
    pub(super) what: Said,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) seq: u32,
    pub(super) answers: Vec<Answer>,
}

/// One connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) lane: LaneState,
    /// The first of its wants.
    pub(super) first: u32,
    /// Its rows in the ledger.
    pub(super) len: u32,
    pub(super) queues: Queues,
    /// Places of its lookups under way.
    pub(super) loads: Vec<u32>,
    /// Blocks being looked up.
    pub(super) lookups: u32,
    /// Bytes expected from lookups under way.
    pub(super) reserved: u64,
    pub(super) flights: Vec<Flight>,
    pub(super) pace: Pace,
    /// Its own upload limit.
    pub(super) upload: Option<Bucket>,
    /// Bytes that may be in use for it before another block is loaded. Grows by what it reads, up to
    /// the limit: a peer that asks for much and reads nothing never gets far.
    pub(super) window: u64,
    /// Bytes that it may send in this round; negative: rounds that it has to sit out.
    pub(super) balance: i64,
    /// What a block of unknown size is taken to have.
    pub(super) estimate: u32,
    pub(super) served: Served,
    /// `used` and `len` as the engine's sums have them.
    pub(super) counted: u64,
    pub(super) ranked: u32,
    /// When it was given memory last.
    pub(super) fed: Timestamp,
    /// Its tickets: among the peers to be looked at, among those with blocks to send, among those
    /// that wait for memory, are starved of it, or hold some and may fall behind.
    pub(super) ready: Option<u64>,
    pub(super) sender: Option<u64>,
    pub(super) waiting: Option<Turn>,
    pub(super) starved: Option<Timestamp>,
    pub(super) late: Option<Timestamp>,
    pub(super) timer: Option<(Timestamp, TimerReason)>,
}

impl Peer {
    pub(super) fn new(
        window_max: u32,
        upload: Option<u64>,
        retry: Duration,
        now: Timestamp,
    ) -> Self {
        Self {
            lane: LaneState::new(retry, now),
            first: NONE,
            len: 0,
            queues: Queues::default(),
            loads: Vec::new(),
            lookups: 0,
            reserved: 0,
            flights: Vec::new(),
            pace: Pace::default(),
            upload: upload.map(|rate| Bucket::new(rate, now)),
            window: FIRST_WINDOW.min(u64::from(window_max)),
            balance: 0,
            estimate: FIRST_ESTIMATE,
            served: Served::default(),
            counted: 0,
            ranked: 0,
            fed: now,
            ready: None,
            sender: None,
            waiting: None,
            starved: None,
            late: None,
            timer: None,
        }
    }

    /// Bytes of blocks in memory for it: loaded or on their way.
    pub(super) const fn held(&self) -> u64 {
        self.queues.loaded() + self.lane.bytes() as u64
    }

    /// The same with what is expected from lookups under way.
    pub(super) const fn used(&self) -> u64 {
        self.reserved + self.held()
    }

    /// Blocks may be brought into memory for it: it does not rest, and its lane is open or may be
    /// opened at once.
    pub(super) fn can_load(&self) -> bool {
        !self.lane.is_refused()
            && self.lane.retry_at().is_none()
            && self.pace.rests_until().is_none()
    }

    /// Bytes that it has to take next: a message, or what waits for its stream to open.
    fn next(&self) -> u64 {
        self.lane.head().map_or_else(|| self.held(), u64::from)
    }

    /// When it will have fallen behind with the blocks that it holds.
    pub(super) fn late_at(&self) -> Option<Timestamp> {
        if self.held() == 0 { None } else { self.pace.late_at(self.next()) }
    }

    /// It has fallen behind: it gets no more before it has caught up.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.late.is_some_and(|at| at <= now)
    }

    /// Microseconds in which it takes what it holds, at best.
    pub(super) fn takes(&self, now: Timestamp) -> u128 {
        self.pace.takes(self.held(), self.next(), now)
    }

    /// The window to begin with, and to begin with anew. After its lane was reset for being slow it
    /// is one block.
    pub(super) const fn first_window(&self) -> u64 {
        if self.pace.is_trusted() { FIRST_WINDOW } else { 1 }
    }

    /// Its own upload limit lets a block through.
    pub(super) fn may_send(&mut self, now: Timestamp) -> bool {
        self.upload.as_mut().is_none_or(|bucket| bucket.is_open(now))
    }

    /// There is, or most likely soon will be, something to say.
    pub(super) fn speaks(&self) -> bool {
        let blocks =
            !self.queues.blocks.is_empty() || !self.queues.datas.is_empty() || self.reserved > 0;
        !self.queues.presences.is_empty() || (blocks && self.pace.rests_until().is_none())
    }

    /// The transport took, or failed to take, a message with so many bytes of blocks.
    pub(super) fn moved(&mut self, bytes: u32, ok: bool, window_max: u32) {
        let window = if ok { self.window + u64::from(bytes) } else { self.first_window() };
        self.window = window.min(u64::from(window_max));
    }

    /// A block of this size was loaded. Growth is believed at once, shrinking slowly: the estimate
    /// bounds how much may arrive unexpectedly.
    pub(super) fn learn(&mut self, size: u32) {
        let slow = self.estimate - self.estimate / 4 + size / 4;
        self.estimate = size.max(slow).max(LOWEST_ESTIMATE);
    }

    /// Bytes still queued for it.
    pub(super) fn pending(&self) -> i32 {
        let bytes = self.queues.loaded() + self.reserved + self.queues.to_load(self.estimate);
        i32::try_from(bytes).unwrap_or(i32::MAX)
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let answers: usize = self.flights.iter().map(|flight| flight.answers.capacity()).sum();
        self.queues.bytes()
            + self.lane.heap_bytes()
            + self.loads.capacity() * size_of::<u32>()
            + self.flights.capacity() * size_of::<Flight>()
            + answers * size_of::<Answer>()
    }
}
