//! An engine under watch.

use cid::Cid;

use crate::client::SessionOptions;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{OpenError, SendError, WantError};
use crate::message::{Message, Version};
use crate::output::{
    BlockInfo, Hint, Lane, LoadId, Loaded, Lookup, LookupId, Output, Rates, SendId, SessionId,
    Support, Want,
};
use crate::time::Timestamp;

/// An [`Engine`] with the same inputs and outputs.
#[derive(Debug)]
pub struct Checked<P> {
    engine: Engine<P>,
}

impl<P: Copy + Ord + core::fmt::Debug> Checked<P> {
    /// An engine that nobody watches: for measuring its speed.
    #[must_use]
    pub fn unwatched(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        Self { engine: Engine::new(config, seed, now) }
    }

    /// The engine, for its pure queries.
    #[must_use]
    pub const fn engine(&self) -> &Engine<P> {
        &self.engine
    }

    /// [`Engine::handle_connected`].
    pub fn handle_connected(&mut self, peer: P, hint: Option<Hint>, now: Timestamp) {
        self.engine.handle_connected(peer, hint, now);
    }

    /// [`Engine::handle_disconnected`].
    pub fn handle_disconnected(&mut self, peer: P, now: Timestamp) {
        self.engine.handle_disconnected(peer, now);
    }

    /// [`Engine::handle_support`].
    pub fn handle_support(&mut self, peer: P, support: Support, now: Timestamp) {
        self.engine.handle_support(peer, support, now);
    }

    /// [`Engine::handle_open`].
    pub fn handle_open(
        &mut self,
        peer: P,
        lane: Lane,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) {
        self.engine.handle_open(peer, lane, result, now);
    }

    /// [`Engine::handle_message`].
    pub fn handle_message(&mut self, peer: P, message: Message, now: Timestamp) {
        self.engine.handle_message(peer, message, now);
    }

    /// [`Engine::handle_sent`].
    pub fn handle_sent(&mut self, id: SendId, result: Result<(), SendError>, now: Timestamp) {
        self.engine.handle_sent(id, result, now);
    }

    /// [`Engine::handle_reset`].
    pub fn handle_reset(&mut self, peer: P, lane: Lane, now: Timestamp) {
        self.engine.handle_reset(peer, lane, now);
    }

    /// [`Engine::handle_load`].
    pub fn handle_load(
        &mut self,
        id: LoadId,
        answers: impl IntoIterator<Item = Loaded>,
        now: Timestamp,
    ) {
        self.engine.handle_load(id, answers, now);
    }

    /// [`Engine::handle_providers`].
    pub fn handle_providers(&mut self, id: LookupId, peers: &[P], lookup: Lookup, now: Timestamp) {
        self.engine.handle_providers(id, peers, lookup, now);
    }

    /// [`Engine::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Timestamp) {
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
        self.engine.open_session(options, now)
    }

    /// [`Engine::close_session`].
    pub fn close_session(&mut self, session: SessionId, now: Timestamp) {
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
        self.engine.want(session, wants, now)
    }

    /// [`Engine::cancel`].
    pub fn cancel(
        &mut self,
        session: SessionId,
        cids: impl IntoIterator<Item = Cid>,
        now: Timestamp,
    ) {
        self.engine.cancel(session, cids, now);
    }

    /// [`Engine::taken`].
    pub fn taken(&mut self, session: SessionId, bytes: u64, now: Timestamp) {
        self.engine.taken(session, bytes, now);
    }

    /// [`Engine::announce`].
    pub fn announce(&mut self, blocks: &[BlockInfo], now: Timestamp) {
        self.engine.announce(blocks, now);
    }

    /// [`Engine::set_rates`].
    pub fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.engine.set_rates(rates, now);
    }

    /// [`Engine::shutdown`].
    pub fn shutdown(&mut self, now: Timestamp) {
        self.engine.shutdown(now);
    }

    /// [`Engine::poll_output`].
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<P>> {
        self.engine.poll_output()
    }

    /// [`Engine::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.engine.poll_timeout()
    }
}
