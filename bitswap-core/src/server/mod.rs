//! The server half: what peers want of us, and in which order they get it.

use alloc::vec::Vec;

use cid::Cid;

use crate::config::Config;
use crate::error::{OpenError, SendError};
use crate::message::{Entry, Message, Version, Wantlist};
use crate::output::{BlockInfo, Loaded, Rates, What};
use crate::stats::{Served, TimerReason};
use crate::time::Timestamp;

/// What the server half wants done. Peers are named by their place in the engine's table.
#[derive(Debug)]
pub(crate) enum Output {
    Open(u32),
    Close(u32),
    Send { peer: u32, seq: u32, version: Version, message: Message },
    Load { id: u64, peer: u32, cids: Vec<Cid>, what: What },
}

/// The server half.
#[derive(Debug)]
pub(crate) struct Server {}

impl Server {
    pub(crate) fn new(_config: &Config, _seed: &[u8; 32]) -> Self {
        Self {}
    }
    pub(crate) fn connected(&mut self, _peer: u32, _now: Timestamp) {}
    pub(crate) fn disconnected(&mut self, _peer: u32, _now: Timestamp) {}
    pub(crate) fn opened(
        &mut self,
        _peer: u32,
        _result: Result<Version, OpenError>,
        _now: Timestamp,
    ) -> bool {
        false
    }
    pub(crate) fn wantlist(&mut self, _peer: u32, _wantlist: Wantlist, _now: Timestamp) {}
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
    pub(crate) fn announce(&mut self, _blocks: &[BlockInfo], _now: Timestamp) {}
    pub(crate) fn loaded(
        &mut self,
        _id: u64,
        _answers: impl Iterator<Item = Loaded>,
        _now: Timestamp,
    ) -> bool {
        false
    }
    pub(crate) fn set_rates(&mut self, _rates: Rates, _now: Timestamp) {}
    pub(crate) fn shutdown(&mut self, _now: Timestamp) {}
    /// The next output that is due at `now`; runs timers that are due.
    pub(crate) fn poll(&mut self, _now: Timestamp) -> Option<Output> {
        None
    }
    /// The next moment at which something is due without any input.
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        None
    }
    pub(crate) fn wants_of(&self, _peer: u32) -> Vec<Entry> {
        Vec::new()
    }
    pub(crate) fn served(&self) -> Served {
        Served::default()
    }
    pub(crate) fn peer_served(&self, _peer: u32) -> Option<Served> {
        None
    }
    pub(crate) fn ledger_len(&self, _peer: Option<u32>) -> u32 {
        0
    }
    pub(crate) fn answer_bytes(&self, _peer: Option<u32>) -> u64 {
        0
    }
    pub(crate) fn held_bytes(&self) -> usize {
        0
    }
}
