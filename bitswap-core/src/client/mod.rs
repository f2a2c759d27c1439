//! The client half: what we want, whom we told, and whom to ask next.

mod options;

pub use options::{PeerSet, SessionOptions, WhenMissing};

use alloc::vec::Vec;

use cid::Cid;

use crate::block::Block;
use crate::config::Config;
use crate::error::{OpenError, SendError, WantError};
use crate::message::{Message, Presence, Version};
use crate::output::{BlockInfo, Hint, Lookup, PeerReport, Rates, Support, Want, WantFailure};
use crate::rows::Id;
use crate::stats::{Fetched, PeerStats, SessionStats, TimerReason};
use crate::time::Timestamp;
pub(crate) use options::Options;

/// What the client half wants done. Peers are named by their place in the engine's table.
#[derive(Debug)]
pub(crate) enum Output {
    Open(u32),
    Close(u32),
    Send { peer: u32, seq: u32, version: Version, message: Message },
    FindProviders { id: u64, session: Id, cid: Cid },
    StopLookup { id: u64 },
    Block { session: Id, block: Block, from: Id },
    Stored { session: Id, cid: Cid },
    Failed { session: Id, cid: Cid, reason: WantFailure<u32> },
    Unreachable { peer: u32, error: OpenError },
}

/// The client half.
#[derive(Debug)]
pub(crate) struct Client {}

impl Client {
    pub(crate) fn new(_config: &Config, _seed: &[u8; 32], _now: Timestamp) -> Self {
        Self {}
    }
    pub(crate) fn connected(&mut self, _peer: Id, _hint: Option<Hint>, _now: Timestamp) {}
    pub(crate) fn disconnected(&mut self, _peer: u32, _now: Timestamp) -> Option<Hint> {
        None
    }
    pub(crate) fn support(&mut self, _peer: u32, _support: Support, _now: Timestamp) {}
    pub(crate) fn opened(
        &mut self,
        _peer: u32,
        _result: Result<Version, OpenError>,
        _now: Timestamp,
    ) -> bool {
        false
    }
    pub(crate) fn received(
        &mut self,
        _peer: u32,
        _blocks: Vec<Block>,
        _presences: Vec<Presence>,
        _now: Timestamp,
    ) {
    }
    pub(crate) fn sent(
        &mut self,
        _peer: u32,
        _seq: u32,
        _result: Result<(), SendError>,
        _now: Timestamp,
    ) -> bool {
        false
    }
    pub(crate) fn reset(&mut self, _peer: u32, _now: Timestamp) {}
    pub(crate) fn open_session(
        &mut self,
        _options: Options,
        _now: Timestamp,
    ) -> Result<Id, WantError> {
        Err(WantError::ShuttingDown)
    }
    /// Lets a session that may ask only given peers ask this one.
    pub(crate) fn admit(&mut self, _session: Id, _peer: u32, _now: Timestamp) {}
    pub(crate) fn close_session(&mut self, _session: Id, _now: Timestamp) -> bool {
        false
    }
    pub(crate) fn want(
        &mut self,
        _session: Id,
        _wants: Vec<Want>,
        _now: Timestamp,
    ) -> Result<(), WantError> {
        Ok(())
    }
    pub(crate) fn cancel(
        &mut self,
        _session: Id,
        _cids: impl Iterator<Item = Cid>,
        _now: Timestamp,
    ) {
    }
    pub(crate) fn taken(&mut self, _session: Id, _bytes: u64, _now: Timestamp) {}
    pub(crate) fn announce(&mut self, _blocks: &[BlockInfo], _now: Timestamp) {}
    pub(crate) fn set_rates(&mut self, _rates: Rates, _now: Timestamp) {}
    pub(crate) fn shutdown(&mut self, _now: Timestamp) {}
    pub(crate) fn providers(
        &mut self,
        _id: u64,
        _peers: &[u32],
        _lookup: Lookup,
        _now: Timestamp,
    ) -> bool {
        false
    }
    /// The next output that is due at `now`; runs timers that are due.
    pub(crate) fn poll(&mut self, _now: Timestamp) -> Option<Output> {
        None
    }
    /// The next moment at which something is due without any input.
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        None
    }
    /// What each peer did about a want so far.
    pub(crate) fn diagnose(&self, _session: Id, _cid: &Cid) -> Option<Vec<PeerReport<u32>>> {
        None
    }
    pub(crate) fn fetched(&self) -> Fetched {
        Fetched::default()
    }
    /// Adds what this half knows of a peer.
    pub(crate) fn peer_stats(&self, _peer: u32, _stats: &mut PeerStats) {}
    pub(crate) fn session_stats(&self, _session: Id) -> Option<SessionStats> {
        None
    }
    pub(crate) fn sessions_len(&self) -> u32 {
        0
    }
    pub(crate) fn wants_len(&self) -> u32 {
        0
    }
    pub(crate) fn told_len(&self) -> u32 {
        0
    }
    pub(crate) fn held_bytes(&self) -> usize {
        0
    }
}
