//! An engine under watch.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;
use core::ops::Deref;
use core::time::Duration;

use cid::Cid;

use super::model::{Cids, Model, Record, Verdict};
use super::transcript::Transcript;
use bitswap_core::Block;
use bitswap_core::Config;
use bitswap_core::Engine;
use bitswap_core::SessionOptions;
use bitswap_core::Timestamp;
use bitswap_core::error::{OpenError, SendError, WantError};
use bitswap_core::message::{Message, Version};
use bitswap_core::{
    BlockInfo, LoadId, Loaded, LookupId, Output, PeerHistory, ProtocolSupport, ProviderProgress,
    Rates, SendId, SessionId, StreamKind, Want,
};

/// An [`Engine`] with the same inputs and outputs, which is held to its contract after every step.
///
/// # Panics
///
/// Every method panics when the engine breaks its contract, and prints what happened last.
#[derive(Debug)]
pub struct Checked<P> {
    engine: Engine<P>,
    model: Option<Box<Model<P>>>,
    transcript: Transcript,
}

/// The engine's pure queries.
impl<P> Deref for Checked<P> {
    type Target = Engine<P>;

    fn deref(&self) -> &Engine<P> {
        &self.engine
    }
}

impl<P: Copy + Ord + Debug + Hash> Checked<P> {
    /// An engine under watch.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        let model = Some(Box::new(Model::new(&config, now)));
        let engine = Engine::new(config, seed, now);
        Self { engine, model, transcript: Transcript::default() }
    }

    /// An engine that nobody watches: for measuring its speed.
    #[must_use]
    pub fn unwatched(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        let engine = Engine::new(config, seed, now);
        Self { engine, model: None, transcript: Transcript::default() }
    }

    /// These blocks are what their CIDs say: those delivered are compared with them, which is faster
    /// than to hash them.
    pub fn trust<'a>(&mut self, blocks: impl IntoIterator<Item = &'a Block>) {
        if let Some(model) = &mut self.model {
            blocks.into_iter().for_each(|block| model.trust(block));
        }
    }

    /// The engine, for its pure queries.
    #[must_use]
    pub const fn engine(&self) -> &Engine<P> {
        &self.engine
    }

    /// A hash over all outputs so far: equal for equal runs. Nothing is hashed when unwatched.
    #[must_use]
    pub fn transcript(&self) -> u64 {
        self.transcript.value()
    }

    /// Checks that two engines agree, when nothing is on its way between them: what `other` keeps
    /// of our wants is what it was sent.
    pub fn agrees_with(&self, name: P, other: &Self, other_name: P) {
        let Some(model) = &self.model else {
            return;
        };
        let (must, may) = model.requests.wants(other_name);
        let kept: Vec<Cid> =
            other.engine.peer_wantlist(name).into_iter().map(|entry| entry.cid).collect();
        let lost = must.iter().find(|cid| !kept.contains(cid));
        self.require(lost.is_none(), || {
            format!("{other_name:?} was sent {lost:?} by {name:?} and does not know it")
        });
        let dangling = kept.iter().find(|cid| !must.contains(cid) && !may.contains(cid));
        self.require(dangling.is_none(), || {
            format!("{other_name:?} keeps {dangling:?} for {name:?}, which sent it something else")
        });
    }

    /// Live wants of sessions that may ask the peer.
    #[must_use]
    pub fn waiting_for(&self, peer: P) -> usize {
        self.model.as_ref().map_or(0, |model| model.wants.waiting_for(peer))
    }

    /// Wants of connected peers that should have been answered by now, if nothing is on its way and
    /// no lookup is open. Wants that were evicted from a full ledger are among them.
    #[must_use]
    pub fn unanswered(&self) -> Vec<(P, Cid)> {
        self.model.as_ref().map(|model| model.unanswered()).unwrap_or_default()
    }

    /// Fails the run with a message and the log, unless `holds`: for rules over several engines.
    pub fn require(&self, holds: bool, what: impl FnOnce() -> alloc::string::String) {
        if !holds {
            match &self.model {
                Some(model) => model.hold(Err(what())),
                None => panic!("{}", what()),
            }
        }
    }

    /// [`Engine::handle_connected`].
    pub fn handle_connected(&mut self, peer: P, history: Option<PeerHistory>, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Peer("connected", peer));
            model.connected(peer);
        }
        self.engine.handle_connected(peer, history, now);
    }

    /// [`Engine::handle_disconnected`].
    pub fn handle_disconnected(&mut self, peer: P, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Peer("disconnected", peer));
            model.disconnected(peer);
        }
        self.engine.handle_disconnected(peer, now);
    }

    /// [`Engine::handle_support`].
    pub fn handle_support(&mut self, peer: P, support: ProtocolSupport, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Peer("support", peer));
            model.support(peer, support);
        }
        self.engine.handle_support(peer, support, now);
    }

    /// [`Engine::handle_round_trip`].
    pub fn handle_round_trip(&mut self, peer: P, took: Duration, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Peer("round trip", peer));
        }
        self.engine.handle_round_trip(peer, took, now);
    }

    /// [`Engine::handle_open`].
    pub fn handle_open(
        &mut self,
        peer: P,
        stream: StreamKind,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::StreamResult("opened", peer, stream, result.is_ok()));
            model.opened(peer, stream, result);
        }
        self.engine.handle_open(peer, stream, result, now);
    }

    /// [`Engine::handle_message`].
    pub fn handle_message(&mut self, peer: P, message: Message, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::received(peer, &message));
            model.received(peer, &message);
        }
        self.engine.handle_message(peer, message, now);
    }

    /// [`Engine::handle_sent`].
    pub fn handle_sent(&mut self, id: SendId, result: Result<(), SendError>, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Sent(id, result.is_ok()));
            // Of responses only those in this message are lost: what the transport took before is
            // reported by a reset.
            if let Some((peer, StreamKind::Requests)) = model.streams.sent(id, result.is_ok())
                && result.is_err()
            {
                model.lost(peer, StreamKind::Requests);
            }
            model.responses.sent(id, result.is_ok(), model.now);
        }
        self.engine.handle_sent(id, result, now);
    }

    /// [`Engine::handle_reset`].
    pub fn handle_reset(&mut self, peer: P, stream: StreamKind, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::StreamResult("reset", peer, stream, true));
            model.streams.reset(peer, stream);
            model.lost(peer, stream);
        }
        self.engine.handle_reset(peer, stream, now);
    }

    /// [`Engine::handle_load`].
    pub fn handle_load(
        &mut self,
        id: LoadId,
        answers: impl IntoIterator<Item = Loaded>,
        now: Timestamp,
    ) {
        let Some(model) = &mut self.model else {
            return self.engine.handle_load(id, answers, now);
        };
        let answers: Vec<Loaded> = answers.into_iter().collect();
        model.input(now, || Record::Loaded(id));
        model.responses.loaded(id, &answers);
        self.engine.handle_load(id, answers, now);
    }

    /// [`Engine::handle_providers`].
    pub fn handle_providers(
        &mut self,
        id: LookupId,
        peers: &[P],
        lookup: ProviderProgress,
        now: Timestamp,
    ) {
        if let Some(model) = &mut self.model {
            let last = lookup == ProviderProgress::Final;
            model.input(now, || Record::Found(id, peers.len(), last));
            model.wants.found(id, last);
        }
        self.engine.handle_providers(id, peers, lookup, now);
    }

    /// [`Engine::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Input("timeout"));
        }
        self.engine.handle_timeout(now);
    }

    /// [`Engine::open_session`].
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn open_session(
        &mut self,
        options: SessionOptions<P>,
        now: Timestamp,
    ) -> Result<SessionId, WantError> {
        let result = self.engine.open_session(options.clone(), now);
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Input("session"));
            if let Ok(session) = result {
                let verdict = model.wants.session(session, options);
                model.hold(verdict);
                model.wanted_sizes();
            }
        }
        result
    }

    /// [`Engine::close_session`].
    pub fn close_session(&mut self, session: SessionId, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::User("close", session, Cids::of([].iter())));
            model.wants.close(session);
        }
        self.engine.close_session(session, now);
    }

    /// [`Engine::want`].
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn want(
        &mut self,
        session: SessionId,
        wants: impl IntoIterator<Item = Want>,
        now: Timestamp,
    ) -> Result<(), WantError> {
        let Some(model) = &mut self.model else {
            return self.engine.want(session, wants, now);
        };
        let wants: Vec<Want> = wants.into_iter().collect();
        let cids: Vec<Cid> = wants.iter().map(|want| want.cid).collect();
        model.input(now, || Record::User("want", session, Cids::of(cids.iter())));
        let result = self.engine.want(session, wants, now);
        let known = model.has_session(session);
        let verdict: Verdict = match result {
            Ok(()) if !known && !cids.is_empty() => {
                Err(format!("{session:?} wants, but is closed"))
            }
            _ => Ok(()),
        };
        model.hold(verdict);
        if result.is_ok() && known {
            model.want(session, &cids);
        }
        result
    }

    /// [`Engine::cancel`].
    pub fn cancel(
        &mut self,
        session: SessionId,
        cids: impl IntoIterator<Item = Cid>,
        now: Timestamp,
    ) {
        let Some(model) = &mut self.model else {
            return self.engine.cancel(session, cids, now);
        };
        let cids: Vec<Cid> = cids.into_iter().collect();
        model.input(now, || Record::User("cancel", session, Cids::of(cids.iter())));
        model.wants.cancel(session, &cids);
        self.engine.cancel(session, cids, now);
    }

    /// [`Engine::release_capacity`].
    pub fn release_capacity(&mut self, session: SessionId, bytes: u64, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::User("release", session, Cids::of([].iter())));
            model.wants.release_capacity(session, bytes);
        }
        self.engine.release_capacity(session, bytes, now);
    }

    /// [`Engine::notify_new_blocks`].
    pub fn notify_new_blocks(&mut self, blocks: &[BlockInfo], now: Timestamp) {
        if let Some(model) = &mut self.model {
            let cids = blocks.iter().map(|block| &block.cid);
            model.input(now, || Record::Stored(Cids::of(cids)));
            model.wants.blocks_stored(blocks);
            model.responses.blocks_stored(blocks);
        }
        self.engine.notify_new_blocks(blocks, now);
    }

    /// [`Engine::set_session_rate`].
    pub fn set_session_rate(&mut self, session: SessionId, download: Option<u64>, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Input("session rate"));
        }
        self.engine.set_session_rate(session, download, now);
    }

    /// [`Engine::set_rates`].
    pub fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Input("rates"));
        }
        self.engine.set_rates(rates, now);
    }

    /// [`Engine::shutdown`].
    pub fn shutdown(&mut self, now: Timestamp) {
        if let Some(model) = &mut self.model {
            model.input(now, || Record::Input("shutdown"));
            model.wants.shut();
            model.responses.shut();
        }
        self.engine.shutdown(now);
    }

    /// [`Engine::poll_output`].
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        let Some(model) = &mut self.model else {
            return self.engine.poll_output();
        };
        let timeout = self.engine.poll_timeout();
        let output = self.engine.poll_output();
        match &output {
            Some(output) => {
                self.transcript.add(output);
                model.output(output, timeout);
            }
            None => model.drained(&self.engine),
        }
        output
    }

    /// [`Engine::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.engine.poll_timeout()
    }
}
