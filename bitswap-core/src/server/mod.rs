//! The server half: what peers want of us, and in which order they get it.
//!
//! [`Server`] passes inputs to its parts and what they return to other parts; each part has a state of its own, an
//! invariant, and the policy that goes with it:
//!
//! | part | what it has | what it decides |
//! | --- | --- | --- |
//! | [`ledger`] | every want of every peer, in the queue of its state | what an event means for a want |
//! | [`want_table`], [`task_queue`], [`want`] | the ledger's rows and indexes; its queues; one want | |
//! | [`eviction`] | | whose want is given up in a full ledger |
//! | [`loader`] | lookups under way | what is looked up next |
//! | [`memory`], [`grant`], [`pace`] | what each peer uses, and how it reads | who gets memory for blocks, and who gives it back |
//! | [`composer`] | | what a message contains |
//! | [`relays`] | blocks that peers which fetch sent | when these are sent on to others |
//! | [`scheduler`] | turns of peers, limits of upload | whose blocks go next |
//! | [`peer_state`], [`in_flight`] | streams, messages in flight, counters | |
//! | [`agenda`] | ready peers, timers | who is looked at next |
//!
//! The wiring itself is in three files: this one, `inputs` and `outputs`. The engine names connected peers only, so a
//! part that does not know a peer is broken.
//!
//! A part keeps what it has of a peer itself, so that it can hold its invariant alone. [`loader`] and [`composer`]
//! move wants, and are handed the ledger for that.
//!
//! A want is looked up, its response is composed into a message when its peer's stream has room, and it ends when the
//! transport took a HAVE for a want-have or the block. A want whose block is not here stays until the block is stored.
//!
//! 1. Every input about a peer ends in [`Server::refresh`], which tells `memory` what the peer uses and makes it ready.
//! 2. A load starts only within its peer's window and below the bound of all peers together.
//! 3. After `poll` gave `None`, every timer is later than its `now`.

mod agenda;
pub(crate) mod bound;
mod composer;
mod eviction;
mod grant;
mod in_flight;
mod inputs;
mod ledger;
mod loader;
mod memory;
mod outputs;
mod pace;
mod peer_state;
mod relays;
#[cfg(test)]
mod samples;
mod scheduler;
mod task_queue;
mod want;
mod want_table;

use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use crate::config::Config;
use crate::message::{Entry, Message, Version};
use crate::output::LoadKind;
use crate::peer::Peer;
use crate::stats::Served;
use crate::time::Timestamp;
use crate::util::rows::Ref;

use agenda::Agenda;
use ledger::Ledger;
use loader::Loader;
use memory::{Memory, Usage};
use peer_state::Peers;
use relays::Relays;
use scheduler::Scheduler;

/// What the server half wants done.
#[derive(Debug)]
pub(crate) enum Output {
    Open(Ref<Peer>),
    Close(Ref<Peer>),
    Reset(Ref<Peer>),
    Send { peer: Ref<Peer>, seq: u32, version: Version, message: Message },
    Load { id: u64, peer: Ref<Peer>, cids: Vec<Cid>, kind: LoadKind },
}

/// The settings that matter to the wiring.
#[derive(Clone, Copy, Debug)]
struct Settings {
    serve: bool,
    block_bytes_max: usize,
    entries_per_message: usize,
    messages_per_stream: u8,
    stream_bytes: u32,
    stream_idle: Duration,
}

/// The server half.
#[derive(Debug)]
pub(crate) struct Server {
    settings: Settings,
    ledger: Ledger,
    loader: Loader,
    memory: Memory,
    scheduler: Scheduler,
    peers: Peers,
    relays: Relays,
    agenda: Agenda,
    closing: bool,
}

impl Server {
    pub(crate) fn new(config: &Config, seed: &[u8; 32], now: Timestamp) -> Self {
        Self {
            settings: Settings {
                serve: config.serve,
                block_bytes_max: config.block_bytes_max as usize,
                entries_per_message: config.limits.entries_per_message as usize,
                messages_per_stream: config.limits.messages_per_stream,
                stream_bytes: config.limits.response_bytes_per_peer,
                stream_idle: config.stream_idle,
            },
            ledger: Ledger::new(config, seed),
            loader: Loader::new(config),
            memory: Memory::new(&config.limits),
            scheduler: Scheduler::new(config.rates, config.response_target_bytes, now),
            peers: Peers::new(config.open_retry),
            relays: Relays::new(&config.limits, seed),
            agenda: Agenda::default(),
            closing: false,
        }
    }

    pub(crate) fn connected(&mut self, peer: Ref<Peer>, now: Timestamp) {
        self.ledger.connected(peer);
        self.loader.connected(peer);
        self.memory.connected(peer, now);
        self.scheduler.connected(peer, now);
        self.peers.connected(peer, now);
        self.agenda.connected(peer);
    }

    pub(crate) fn disconnected(&mut self, peer: Ref<Peer>, _now: Timestamp) {
        self.ledger.disconnected(peer);
        if self.ledger.remembers_nothing() {
            self.relays.clear();
        }
        self.loader.disconnected(peer);
        self.memory.disconnected(peer);
        self.scheduler.disconnected(peer);
        self.peers.disconnected(peer);
        self.agenda.disconnected(peer);
    }

    /// Something changed about a peer: what it uses is brought up to date, and it is looked at by the next poll.
    fn refresh(&mut self, peer: Ref<Peer>) {
        self.ledger.order_peers();
        if let Some(usage) = self.usage(peer) {
            self.memory.update(peer, usage);
        }
        self.agenda.touch(peer);
    }

    fn usage(&self, peer: Ref<Peer>) -> Option<Usage> {
        let stream = self.peers.stream(peer)?;
        Some(Usage {
            reserved: self.loader.reserved_bytes(peer),
            loaded: self.ledger.queue(peer)?.loaded_bytes(),
            in_flight: stream.bytes(),
            head: stream.head(),
        })
    }

    /// The next peer whose connection is needed now for a want of it and was not before, or the reverse.
    pub(crate) fn next_changed_need(&mut self) -> Option<Ref<Peer>> {
        self.ledger.next_changed_need()
    }

    // Queries.

    /// Whether the connection to a peer is needed: a want of it waits for its answer.
    pub(crate) fn is_needed(&self, peer: Ref<Peer>) -> bool {
        self.ledger.is_needed(peer)
    }

    /// The peer's wants, most urgent first.
    pub(crate) fn peer_wantlist(&self, peer: Ref<Peer>) -> Vec<Entry> {
        self.ledger.peer_wantlist(peer)
    }

    pub(crate) const fn served(&self) -> Served {
        self.peers.served()
    }

    pub(crate) fn peer_served(&self, peer: Ref<Peer>) -> Option<Served> {
        self.peers.served_to(peer)
    }

    /// Wants remembered, of one peer or of all.
    pub(crate) fn ledger_len(&self, peer: Option<Ref<Peer>>) -> u32 {
        peer.map_or_else(|| self.ledger.len(), |peer| self.ledger.len_of(peer))
    }

    /// Bytes of blocks loading, loaded and on their way, for one peer or for all.
    pub(crate) fn response_bytes(&self, peer: Option<Ref<Peer>>) -> u64 {
        peer.map_or_else(|| self.memory.total(), |peer| self.memory.used_by(peer))
    }

    /// Bytes of memory held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.ledger.bytes()
            + self.loader.bytes()
            + self.memory.bytes()
            + self.scheduler.bytes()
            + self.peers.bytes()
            + self.relays.bytes()
            + self.agenda.bytes()
    }

    /// What breaks an invariant of a part or between parts, if anything does. Looks at everything: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        self.ledger.validate()?;
        self.loader.validate()?;
        self.memory.validate()?;
        self.scheduler.validate()?;
        self.peers.validate()?;
        self.relays.validate()?;
        self.agenda.validate()?;
        for peer in self.peers.all() {
            if self.memory.usage(peer) != self.usage(peer) {
                return Err("memory was not told what a peer uses");
            }
        }
        Ok(())
    }
}

/// What must be there: loud in tests when it is not, and harmless otherwise.
#[track_caller]
fn consistent<T>(value: Option<T>, otherwise: &str) -> Option<T> {
    debug_assert!(value.is_some(), "{otherwise}");
    value
}
