//! What the program that embeds the behaviour may ask of it.

use std::sync::Arc;
use std::time::Duration;

use bitswap_core::error::WantError;
use bitswap_core::{
    Block, BlockInfo, Entry, LookupId, PeerReport, PeerStats, ProviderProgress, Rates, SessionId,
    SessionOptions, SessionStats, Want,
};
use cid::Cid;
use libp2p_identity::PeerId;

use super::Behaviour;
use super::peer::Peer;
use crate::blockstore::Blockstore;
use crate::event::{PutId, RequestId};
use crate::histogram::Histograms;
use crate::host::BlockDisposition;
use crate::traffic::Traffic;

/// The behaviour as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The engine.
    pub engine: bitswap_core::Stats,
    /// Streams of all peers since the start.
    pub traffic: Traffic,
    /// Lookups and writes of blocks that the store has not answered yet.
    pub store_calls: usize,
}

/// One connected peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PeerInfo {
    /// What the engine knows; `None` when the engine has no room for the peer.
    pub stats: Option<PeerStats>,
    /// Its streams since it connected.
    pub traffic: Traffic,
    /// Its connections, without relayed ones.
    pub connections: usize,
}

impl<S: Blockstore> Behaviour<S> {
    /// Gets one block: from the store, or from whoever has it, and then it is in the store too. It waits until
    /// somebody has it; [`Event::GetFinished`](crate::Event::GetFinished) tells the end.
    ///
    /// Blocks that belong together come faster through a session: see [`Behaviour::open_session`].
    pub fn get(&mut self, cid: Cid) -> RequestId {
        self.with_host(|host| host.get(cid))
    }

    /// Ends a get. No event of it follows.
    pub fn cancel_get(&mut self, request: RequestId) {
        self.with_host(|host| host.cancel_get(request));
    }

    /// Opens a session: wants that belong together and are likely served by the same peers.
    ///
    /// # Errors
    ///
    /// [`WantError::ShuttingDown`], or [`WantError::TooMany`] sessions.
    pub fn open_session(
        &mut self,
        options: SessionOptions<PeerId>,
        disposition: BlockDisposition,
    ) -> Result<SessionId, WantError> {
        self.with_host(|host| host.open_session(options, disposition))
    }

    /// Closes a session. Its wants are cancelled, and no event of it follows.
    pub fn close_session(&mut self, session: SessionId) {
        self.with_host(|host| host.close_session(session));
    }

    /// Wants blocks: all of them or, on error, none. The local store is not asked: what it has
    /// need not be wanted.
    ///
    /// # Errors
    ///
    /// [`WantError`] says which bound or rule stands against it.
    pub fn want(
        &mut self,
        session: SessionId,
        wants: impl IntoIterator<Item = Want>,
    ) -> Result<(), WantError> {
        self.with_engine(|engine, now| engine.want(session, wants, now))
    }

    /// Ends wants of a session. No event about them follows.
    pub fn cancel(&mut self, session: SessionId, cids: impl IntoIterator<Item = Cid>) {
        self.with_host(|host| host.cancel(session, cids));
    }

    /// Changes how many bytes per second a session asks for at most; `None` is no limit. See
    /// [`SessionOptions::download`].
    pub fn set_session_rate(&mut self, session: SessionId, download: Option<u64>) {
        self.with_engine(|engine, now| engine.set_session_rate(session, download, now));
    }

    /// This many bytes of delivered blocks are used and out of memory, so the session may ask for
    /// as many more. See [`SessionOptions::window_bytes`].
    pub fn release_capacity(&mut self, session: SessionId, bytes: u64) {
        self.with_engine(|engine, now| engine.release_capacity(session, bytes, now));
    }

    /// Stores blocks, and then serves them to peers that want them. [`Event::Put`](crate::Event::Put) tells when.
    pub fn put(&mut self, blocks: Vec<Block>) -> PutId {
        self.with_host(|host| host.put(blocks))
    }

    /// These blocks are in the local store now, put there by the user. Peers that want them are
    /// answered, and local wants for them end with `Stored`.
    pub fn notify_new_blocks(&mut self, blocks: &[BlockInfo]) {
        self.with_engine(|engine, now| engine.notify_new_blocks(blocks, now));
    }

    /// The answer to [`Event::FindProviders`](crate::Event::FindProviders), whole or in parts, until [`ProviderProgress::Final`]. Peers
    /// that are not connected yet may be dialed, and named once they are.
    pub fn providers(&mut self, id: LookupId, peers: &[PeerId], lookup: ProviderProgress) {
        self.with_engine(|engine, now| engine.handle_providers(id, peers, lookup, now));
    }

    /// A round trip of the peer's connection takes so long, by libp2p's ping for example: see
    /// [`Engine::handle_round_trip`](bitswap_core::Engine::handle_round_trip). Where streams are
    /// negotiated lazily, nothing else tells it before the peer delivers: see [`Config::with_lazy_negotiation`](crate::Config::with_lazy_negotiation).
    pub fn set_round_trip(&mut self, peer: PeerId, took: Duration) {
        // Pings also go through relays, and to peers for which the engine has no room.
        if self.host.network().get(peer).is_some_and(Peer::is_known) {
            self.with_engine(|engine, now| engine.handle_round_trip(peer, took, now));
        }
    }

    /// Changes the limits on bandwidth.
    pub fn set_rates(&mut self, rates: Rates) {
        self.with_engine(|engine, now| engine.set_rates(rates, now));
    }

    /// Decides who may have what: called with peer and CID, beside the swarm's task, for each
    /// block that a peer asks for from now on. A peer cannot tell a refusal from absence.
    /// Initially everybody may have everything.
    pub fn set_access(&mut self, may: impl Fn(&PeerId, &Cid) -> bool + Send + Sync + 'static) {
        self.host.set_access(Arc::new(may));
    }

    /// Fails all wants, tells peers their cancels and serves nobody any more. Poll the swarm until
    /// [`Behaviour::is_idle`] for an orderly end.
    pub fn shutdown(&mut self) {
        self.with_engine(bitswap_core::Engine::shutdown);
    }

    /// Whether nothing is on its way to any peer, into the store or to the user.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.host.is_idle() && !self.host.network().iter().any(|(_, peer)| peer.is_busy())
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<S> {
        self.host.store()
    }

    /// Bytes received so far of messages longer than 8 KiB, of those still arriving too. It grows while a
    /// block is under way, which may take long; [`Stats`] count it when it is there.
    #[must_use]
    pub fn arriving_bytes(&self) -> u64 {
        self.arrivals.bytes()
    }

    /// Counters and sizes of all. They are kept up to date, so asking for them walks nothing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            engine: self.host.engine().stats(),
            traffic: self.traffic,
            store_calls: self.host.store_calls(),
        }
    }

    /// Bytes of memory that the engine holds, by its own sums. Walks all sessions and peers:
    /// [`Engine::held_bytes`](bitswap_core::Engine::held_bytes).
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.host.engine().held_bytes()
    }

    /// Sizes of messages and depths of queues since the start.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        Histograms::new(&self.sizes, self.inbox_depth)
    }

    /// The connected peers, without those that are only connected through relays.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        let peers = self.host.network().iter();
        peers.filter(|(_, peer)| peer.connections() > 0).map(|(id, _)| id)
    }

    /// What is known of a connected peer.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        let known = self.host.network().get(peer).filter(|known| known.connections() > 0)?;
        Some(PeerInfo {
            stats: self.host.engine().peer_stats(peer),
            traffic: known.traffic(),
            connections: known.connections(),
        })
    }

    /// Whether a limit of download holds back what a session asks for: its own, that of all peers together, or
    /// that of some peer.
    #[must_use]
    pub fn is_rate_limited(&self, session: SessionId) -> bool {
        self.host.engine().is_rate_limited(session)
    }

    /// What is known of a session.
    #[must_use]
    pub fn session_stats(&self, session: SessionId) -> Option<SessionStats> {
        self.host.engine().session_stats(session)
    }

    /// The wants of a peer that are remembered, most urgent first.
    #[must_use]
    pub fn peer_wantlist(&self, peer: PeerId) -> Vec<Entry> {
        self.host.engine().peer_wantlist(peer)
    }

    /// Why a want is still waiting: what each peer that was told it did so far. `None` when the
    /// session does not want the CID.
    #[must_use]
    pub fn diagnose(&self, session: SessionId, cid: &Cid) -> Option<Vec<PeerReport<PeerId>>> {
        self.host.engine().diagnose(session, cid)
    }
}
