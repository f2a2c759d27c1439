//! The server half: what peers want of us, and in which order they get it.
//!
//! A want passes through its states ([`want::State`]): it is looked up, its answer is composed into
//! a message when its peer's lane has room, and it ends when the transport took a HAVE for a
//! want-have or the block. A want whose block is not here stays until the block is announced.
//!
//! Nothing here scans peers or wants: an event about a peer puts it among the ready peers, and
//! [`Server::poll`] looks at each of those once.
//!
//! 1. A want is in exactly the queue of its state, or in none while a lookup or message has it.
//! 2. `answer_bytes` is the sum of what is loading, loaded and on its way; a load starts only
//!    within its peer's credit and below the bound of all peers together.
//! 3. After `poll` gave `None`, every timer is later than its `now`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub(crate) mod bound;
mod compose;
mod ledger;
mod load;
mod memory;
mod pace;
mod peer;
mod queues;
mod receive;
mod sent;
mod share;
mod turn;
mod want;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use crate::bucket::Bucket;
use crate::config::Config;
use crate::error::OpenError;
use crate::limits::Limits;
use crate::message::{Entry, Message, Version};
use crate::output::{Rates, What};
use crate::per_peer::PerPeer;
use crate::ring::Ring;
use crate::rows::Rows;
use crate::stats::{Served, TimerReason};
use crate::time::Timestamp;

use ledger::Ledger;
use load::Lookup;
use memory::{Relief, Shortage};
use peer::Peer;
use want::{Place, State};

/// What the server half wants done. Peers are named by their place in the engine's table.
#[derive(Debug)]
pub(crate) enum Output {
    Open(u32),
    Close(u32),
    Reset(u32),
    Send { peer: u32, seq: u32, version: Version, message: Message },
    Load { id: u64, peer: u32, cids: Vec<Cid>, what: What },
}

/// The settings that matter here.
#[derive(Clone, Copy, Debug)]
struct Settings {
    limits: Limits,
    serve: bool,
    block_bytes_max: usize,
    replace_have_bytes: Option<u32>,
    answer_target_bytes: u32,
    lane_idle: Duration,
    open_retry: Duration,
}

/// The server half.
#[derive(Debug)]
pub(crate) struct Server {
    settings: Settings,
    rates: Rates,
    ledger: Ledger,
    /// Rows of the ledger that are not wants any more: answered, and not confirmed.
    unconfirmed: u32,
    lookups: Rows<Lookup>,
    peers: PerPeer<Peer>,
    /// Peers with wants by their number: who gives way in a full ledger.
    by_wants: BTreeSet<(u32, u32)>,
    /// Peers at which something changed.
    ready: Ring,
    /// Peers with blocks to send, in the order of their turns.
    senders: Ring,
    shortage: Shortage,
    timers: BTreeSet<(Timestamp, TimerReason, u32)>,
    /// The upload limit of all peers together.
    upload: Option<Bucket>,
    answer_bytes: u64,
    next_age: u64,
    closing: bool,
    served: Served,
}

impl Server {
    pub(crate) fn new(config: &Config, seed: &[u8; 32], now: Timestamp) -> Self {
        Self {
            settings: Settings {
                limits: config.limits,
                serve: config.serve,
                block_bytes_max: config.block_bytes_max as usize,
                replace_have_bytes: config.replace_have_bytes,
                answer_target_bytes: config.answer_target_bytes,
                lane_idle: config.lane_idle,
                open_retry: config.open_retry,
            },
            rates: config.rates,
            ledger: Ledger::new(seed),
            unconfirmed: 0,
            lookups: Rows::default(),
            peers: PerPeer::default(),
            by_wants: BTreeSet::new(),
            ready: Ring::default(),
            senders: Ring::default(),
            shortage: Shortage::default(),
            timers: BTreeSet::new(),
            upload: config.rates.upload.map(|rate| Bucket::new(rate, now)),
            answer_bytes: 0,
            next_age: 0,
            closing: false,
            served: Served::default(),
        }
    }

    pub(crate) fn connected(&mut self, peer: u32, now: Timestamp) {
        let window = self.settings.limits.answer_bytes_per_peer;
        let (upload, retry) = (self.rates.upload_per_peer, self.settings.open_retry);
        self.peers.insert(peer, Peer::new(window, upload, retry, now));
    }

    pub(crate) fn disconnected(&mut self, peer: u32, _now: Timestamp) {
        self.forget_wants(peer);
        self.settle(peer);
        let Some(gone) = self.peers.remove(peer) else { return };
        self.shortage.forget(peer, &gone);
        for lookup in gone.loads {
            self.lookups.remove(lookup);
        }
        self.answer_bytes -= gone.counted;
        self.by_wants.remove(&(gone.ranked, peer));
        self.ready.remove(gone.ready);
        self.senders.remove(gone.sender);
        if let Some((at, reason)) = gone.timer {
            self.timers.remove(&(at, reason, peer));
        }
        if self.peers.len() == 0 {
            self.by_wants = BTreeSet::new();
            self.shortage = Shortage::default();
            self.timers = BTreeSet::new();
            self.ready.release();
            self.senders.release();
        }
    }

    /// The host's answer to [`Output::Open`]; false when there was none to answer.
    pub(crate) fn opened(
        &mut self,
        peer: u32,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.peers.get_mut(peer) else { return false };
        let known = state.lane.opened(result, now);
        if known {
            state.pace.end();
        }
        if known && result.is_err() && !state.lane.is_closed() {
            self.unload(peer);
        }
        self.settle(peer);
        known
    }

    pub(crate) fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.rates = rates;
        self.upload = rates.upload.map(|rate| Bucket::new(rate, now));
        for (number, peer) in self.peers.iter_mut() {
            peer.upload = rates.upload_per_peer.map(|rate| Bucket::new(rate, now));
            self.ready.push(number, &mut peer.ready);
        }
    }

    /// Forgets all wants; lanes close as soon as nothing is on its way on them.
    pub(crate) fn shutdown(&mut self, _now: Timestamp) {
        self.closing = true;
        let peers: Vec<u32> = self.peers.iter().map(|(peer, _)| peer).collect();
        for peer in peers {
            self.forget_wants(peer);
            self.forget_lookups(peer);
            self.settle(peer);
        }
    }

    /// The next output that is due at `now`; runs timers that are due.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Output> {
        while let Some(&(at, reason, peer)) = self.timers.first() {
            if !at.is_due(now) {
                break;
            }
            self.timers.remove(&(at, reason, peer));
            if let Some(state) = self.peers.get_mut(peer) {
                state.timer = None;
                self.ready.push(peer, &mut state.ready);
            }
        }
        loop {
            while let Some(peer) = self.ready.pop() {
                if let Some(state) = self.peers.get_mut(peer) {
                    state.ready = None;
                }
                if let Some(output) = self.visit(peer, now) {
                    self.touch(peer);
                    return Some(output);
                }
                self.set_timer(peer, now);
            }
            if self.wake_waiting() {
                continue;
            }
            match self.relieve(now) {
                Some(Relief::Reset(output)) => return Some(output),
                Some(Relief::Unloaded) => continue,
                None => {}
            }
            let output = self.send_blocks(now);
            if output.is_some() {
                return output;
            }
            if self.ready.is_empty() {
                return None;
            }
        }
    }

    /// The next moment at which something is due without any input.
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        let own = self.timers.first().map(|(at, reason, _)| (*at, *reason));
        let shared = (!self.senders.is_empty())
            .then(|| self.upload.as_ref().map(Bucket::opens_at))
            .flatten()
            .map(|at| (at, TimerReason::Throttle));
        let relief = self.relief_at().map(|at| (at, TimerReason::Starvation));
        own.into_iter().chain(shared).chain(relief).min()
    }

    /// Looks at one ready peer: what it needs besides sending blocks, which has its own turns.
    fn visit(&mut self, number: u32, now: Timestamp) -> Option<Output> {
        let idle = self.settings.lane_idle;
        let limits = self.settings.limits;
        let peer = self.peers.get_mut(number)?;
        if self.closing {
            return peer.lane.close_idle(Duration::ZERO, now).then_some(Output::Close(number));
        }
        peer.pace.wake(now);
        if peer.speaks() {
            if peer.lane.open(now) {
                peer.pace.begin(now);
                return Some(Output::Open(number));
            }
        } else if peer.lane.close_idle(idle, now) {
            return Some(Output::Close(number));
        }
        if let Some(load) = self.start_lookup(number, now) {
            return Some(load);
        }
        let peer = self.peers.get_mut(number)?;
        if !peer.lane.has_room(limits.messages_per_lane, limits.answer_bytes_per_peer) {
            return None;
        }
        let blocks = !peer.queues.blocks.is_empty() && peer.may_send(now);
        if blocks {
            self.senders.push(number, &mut peer.sender);
        }
        // Presences go with the blocks when these go at once, and never wait for a rate limit.
        let together = blocks && self.upload.is_none();
        if together || peer.queues.presences.is_empty() {
            return None;
        }
        self.compose(number, 0, now)
    }

    /// Sets the peer's timer to the next moment at which it is to be looked at again.
    fn set_timer(&mut self, number: u32, now: Timestamp) {
        let limits = self.settings.limits;
        let Some(peer) = self.peers.get_mut(number) else { return };
        let has_room = peer.lane.has_room(limits.messages_per_lane, limits.answer_bytes_per_peer);
        let own = if !peer.speaks() {
            let at = peer.lane.idle_at(self.settings.lane_idle);
            at.map(|at| (at, TimerReason::LaneIdle))
        } else if let Some(at) = peer.lane.retry_at() {
            Some((at, TimerReason::LaneRetry))
        } else if has_room && !peer.queues.blocks.is_empty() && !peer.may_send(now) {
            peer.upload.as_ref().map(|bucket| (bucket.opens_at(), TimerReason::Throttle))
        } else {
            None
        };
        let rest = peer.pace.rests_until().map(|at| (at, TimerReason::Rest));
        let due = own.into_iter().chain(rest).min().filter(|_| !self.closing);
        if peer.timer != due {
            if let Some((at, reason)) = peer.timer {
                self.timers.remove(&(at, reason, number));
            }
            if let Some((at, reason)) = due {
                self.timers.insert((at, reason, number));
            }
            peer.timer = due;
        }
        // What was to be said has turned out unsayable, and the lane was idle long enough before.
        if due.is_some_and(|(at, _)| at.is_due(now)) {
            self.ready.push(number, &mut peer.ready);
        }
    }

    /// The peer's wants, most urgent first.
    pub(crate) fn wants_of(&self, peer: u32) -> Vec<Entry> {
        let Some(state) = self.peers.get(peer) else { return Vec::new() };
        let mut wants: Vec<(Place, Entry)> = self
            .ledger
            .of_peer(state.first)
            .filter(|(_, want)| want.servable && !matches!(want.state, State::Sent(_)))
            .map(|(row, want)| (want.place(row), want.entry()))
            .collect();
        wants.sort_unstable_by_key(|(place, _)| *place);
        wants.into_iter().map(|(_, entry)| entry).collect()
    }

    pub(crate) const fn served(&self) -> Served {
        self.served
    }

    pub(crate) fn peer_served(&self, peer: u32) -> Option<Served> {
        self.peers.get(peer).map(|peer| peer.served)
    }

    /// Wants remembered, of one peer or of all.
    pub(crate) fn ledger_len(&self, peer: Option<u32>) -> u32 {
        match peer {
            Some(peer) => self.peers.get(peer).map_or(0, |peer| peer.len - peer.queues.sent_len()),
            None => self.ledger.len() as u32 - self.unconfirmed,
        }
    }

    /// Bytes of blocks loading, loaded and on their way, for one peer or for all.
    pub(crate) fn answer_bytes(&self, peer: Option<u32>) -> u64 {
        match peer {
            Some(peer) => self.peers.get(peer).map_or(0, |peer| peer.counted),
            None => self.answer_bytes,
        }
    }

    /// Bytes of memory held.
    pub(crate) fn held_bytes(&self) -> usize {
        let peers: usize = self.peers.iter().map(|(_, peer)| peer.heap_bytes()).sum();
        let lookups: usize = self.lookups.iter().map(|(_, lookup)| lookup.heap_bytes()).sum();
        let listed = self.by_wants.len()
            + self.ready.len()
            + self.senders.len()
            + self.shortage.len()
            + self.timers.len();
        self.ledger.bytes()
            + self.lookups.bytes()
            + lookups
            + self.peers.bytes()
            + peers
            + listed * size_of::<(u64, u64)>() * 3 / 2
    }
}
