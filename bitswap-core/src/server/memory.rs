//! Who gets the memory for blocks, and who has to give it back.
//!
//! A peer is starved while it may load a block, holds less than a block of the usual size, and finds
//! no memory. After [`STARVED_FOR`] that is mended at the cost of lanes that do not keep pace
//! (see [`super::pace`]): of these the one that moves slowest per byte held is reset, and what it held
//! goes to those that wait, until nobody is starved or no such lane is left. So nobody is reset while
//! there is enough for all, however slow; and nobody for a peer that holds blocks and does not take them.

use alloc::collections::BTreeSet;
use core::cmp::Reverse;
use core::time::Duration;

use crate::time::Timestamp;

use super::peer::Peer;
use super::{Output, Server};

/// A peer may use this part of the memory that no peer uses yet. So the more peers are slow, the
/// less each of them holds, and there is always some left for the next.
const SHARE: u64 = 4;
/// The part of all memory by which a block may overshoot that, and below which a peer is starved: with
/// the default limits a block of the usual size.
const BLOCK: u64 = 256;
/// The part of all memory that is kept for the first block of peers that hold nothing.
const RESERVE: u64 = 8;
/// How long a peer is starved before it costs others their lanes: longer than it takes to load and send
/// the blocks of a peer that reads. One whose own lane was reset waits as long as it rested.
const STARVED_FOR: Duration = Duration::from_millis(250);

/// The place of a peer among those that wait for memory. In this order they may have some: if there is
/// none for the first, there is none for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    used: u64,
    /// Its lane was reset: the reserve is not for it.
    late: bool,
    /// When it was given memory last.
    fed: Timestamp,
    peer: u32,
}

impl Turn {
    /// The place of a peer that uses so many bytes.
    pub(super) fn of(number: u32, peer: &Peer, used: u64) -> Self {
        Self { used, late: !peer.pace.is_trusted(), fed: peer.fed, peer: number }
    }
}

/// The peers that matter while memory is short. Each is listed as its own fields say.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Peers that wait for memory.
    waiting: BTreeSet<Turn>,
    /// Starved peers, by the time from which on that costs others their lanes.
    starved: BTreeSet<(Timestamp, u32)>,
    /// Peers that hold memory, by the time at which they will have fallen behind.
    late: BTreeSet<(Timestamp, u32)>,
}

impl Shortage {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.starved.len() + self.late.len()
    }

    /// A peer is gone.
    pub(super) fn forget(&mut self, number: u32, peer: &Peer) {
        peer.waiting.map(|turn| self.waiting.remove(&turn));
        peer.starved.map(|until| self.starved.remove(&(until, number)));
        peer.late.map(|at| self.late.remove(&(at, number)));
    }

    /// Something changed about a peer: it is to be looked at again before it waits on.
    pub(super) fn settle(&mut self, number: u32, peer: &mut Peer) {
        peer.waiting.take().map(|turn| self.waiting.remove(&turn));
        let late = peer.late_at();
        if peer.late != late {
            peer.late.map(|at| self.late.remove(&(at, number)));
            late.map(|at| self.late.insert((at, number)));
            peer.late = late;
        }
    }
}

impl Server {
    /// Whether a peer may have memory for one more block, while all together use `total`: there is
    /// some, and it is nobody else's turn.
    pub(super) fn may_have_memory(&self, turn: Turn, total: u64) -> bool {
        let first = self.shortage.waiting.first().is_none_or(|first| turn <= *first);
        first && self.has_memory(turn, total)
    }

    /// Whether a peer that uses so many bytes, and finds no memory for more, is starved.
    pub(super) fn is_little(&self, used: u64) -> bool {
        used < (u64::from(self.settings.limits.answer_bytes) / BLOCK).max(1)
    }

    /// Whether there is memory for one more block of such a peer, while all together use `total`.
    pub(super) fn has_memory(&self, Turn { late, used, .. }: Turn, total: u64) -> bool {
        let all = u64::from(self.settings.limits.answer_bytes);
        if used == 0 && !late {
            return total < all;
        }
        let free = (all - all / RESERVE).saturating_sub(total);
        free > 0 && (used == 0 || used + all / BLOCK < free / SHARE)
    }

    /// A peer has a block to load and finds no memory for it.
    pub(super) fn wait_for_memory(&mut self, number: u32) {
        if let Some(peer) = self.peers.get_mut(number) {
            let turn = Turn::of(number, peer, peer.used());
            peer.waiting = Some(turn);
            self.shortage.waiting.insert(turn);
        }
    }

    /// Notes whether a peer that uses so many bytes is starved: `refused` when it has found no memory.
    pub(super) fn note_starved(&mut self, number: u32, refused: bool, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        if refused != peer.starved.is_some() {
            peer.starved.map(|until| self.shortage.starved.remove(&(until, number)));
            let patience = STARVED_FOR.max(peer.pace.last_rest());
            peer.starved = refused.then_some(now + patience);
            peer.starved.map(|until| self.shortage.starved.insert((until, number)));
        }
    }

    /// Has the peer looked at whose turn it is of those waiting for memory, if there is some for it
    /// now. If not, there is none for the others.
    pub(super) fn wake_waiting(&mut self) -> bool {
        let Some(&turn) = self.shortage.waiting.first() else { return false };
        let may = self.has_memory(turn, self.answer_bytes);
        if may {
            self.settle(turn.peer);
        }
        may
    }

    /// When starvation is to be ended next, if it goes on.
    pub(super) fn relief_at(&self) -> Option<Timestamp> {
        let (until, _) = self.shortage.starved.first()?;
        let (late, _) = self.shortage.late.first()?;
        (!self.closing).then(|| *until.max(late))
    }

    /// Ends starvation that has lasted too long: takes the memory of one lane that does not keep pace.
    pub(super) fn relieve(&mut self, now: Timestamp) -> Option<Relief> {
        while self.relief_at()?.is_due(now) {
            let &(_, starved) = self.shortage.starved.first()?;
            // Nobody gives way to a peer that does not take what it was given.
            if self.peers.get(starved)?.is_late(now) {
                self.note_starved(starved, false, now);
                continue;
            }
            let late = self.shortage.late.range(..=(now, u32::MAX)).map(|(_, peer)| *peer);
            let slowest = late.max_by_key(|number| {
                let takes = self.peers.get(*number).map(|peer| peer.takes(now));
                (takes, Reverse(*number))
            })?;
            return Some(self.dispossess(slowest, now));
        }
        None
    }

    /// Takes all memory from a peer, and has it rest.
    fn dispossess(&mut self, number: u32, now: Timestamp) -> Relief {
        let Some(peer) = self.peers.get_mut(number) else { return Relief::Unloaded };
        let had_stream = peer.lane.abort();
        peer.pace.rest(now);
        peer.window = peer.first_window();
        if had_stream {
            self.put_back_flights(number);
            self.put_back_unconfirmed(number, now);
        }
        self.unload(number);
        self.count(number, |served| served.slow_resets += 1);
        self.settle(number);
        if had_stream { Relief::Reset(Output::Reset(number)) } else { Relief::Unloaded }
    }
}

/// How a peer gave its memory back.
#[derive(Debug)]
pub(super) enum Relief {
    /// Its stream is to be reset.
    Reset(Output),
    /// It has no stream. What was sent on an earlier one is given back by the transport.
    Unloaded,
}
