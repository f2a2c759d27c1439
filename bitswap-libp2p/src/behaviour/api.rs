//! What the program that embeds the behaviour may ask of it.

use std::collections::HashSet;
use std::sync::Arc;

use bitswap_core::error::WantError;
use bitswap_core::{
    Block, BlockInfo, Entry, LookupId, PeerReport, PeerStats, ProviderProgress, Rates, SessionId,
    SessionOptions, SessionStats, Want,
};
use cid::Cid;
use libp2p_identity::PeerId;

use super::{Behaviour, Put};
use crate::blockstore::Blockstore;
use crate::event::{EngineEvent, Event, PutId};
use crate::histogram::Histograms;
use crate::traffic::Traffic;

/// Where the blocks of a session go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockDisposition {
    /// Into the store, and then to the user; other peers are served from there.
    #[default]
    Store,
    /// To the user alone: a file that is written elsewhere, or bytes that are used once. What the
    /// user can serve afterwards is told with [`Behaviour::notify_new_blocks`].
    Return,
}

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
        let session = self.with_engine(|engine, now| engine.open_session(options, now))?;
        if disposition == BlockDisposition::Store {
            self.storing.insert(session);
        }
        Ok(session)
    }

    /// Closes a session. Its wants are cancelled, and no event of it follows.
    pub fn close_session(&mut self, session: SessionId) {
        self.storing.remove(&session);
        self.silence(session, None);
        self.with_engine(|engine, now| engine.close_session(session, now));
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
        let cids: HashSet<Cid> = cids.into_iter().collect();
        self.silence(session, Some(&cids));
        self.with_engine(|engine, now| engine.cancel(session, cids, now));
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

    /// Stores blocks, and then serves them to peers that want them. [`Event::Put`] tells when.
    pub fn put(&mut self, blocks: Vec<Block>) -> PutId {
        self.begin_put(blocks, Put { asked: true, events: Vec::new() })
    }

    /// These blocks are in the local store now, put there by the user. Peers that want them are
    /// answered, and local wants for them end with `Stored`.
    pub fn notify_new_blocks(&mut self, blocks: &[BlockInfo]) {
        self.with_engine(|engine, now| engine.notify_new_blocks(blocks, now));
    }

    /// The answer to [`Event::FindProviders`], whole or in parts, until [`ProviderProgress::Final`]. Peers
    /// that are not connected yet may be dialed, and named once they are.
    pub fn providers(&mut self, id: LookupId, peers: &[PeerId], lookup: ProviderProgress) {
        self.with_engine(|engine, now| engine.handle_providers(id, peers, lookup, now));
    }

    /// Changes the limits on bandwidth.
    pub fn set_rates(&mut self, rates: Rates) {
        self.with_engine(|engine, now| engine.set_rates(rates, now));
    }

    /// Decides who may have what: called with peer and CID, beside the swarm's task, for each
    /// block that a peer asks for from now on. A peer cannot tell a refusal from absence.
    /// Initially everybody may have everything.
    pub fn set_access(&mut self, may: impl Fn(&PeerId, &Cid) -> bool + Send + Sync + 'static) {
        self.storage.set_access(Arc::new(may));
    }

    /// Fails all wants, tells peers their cancels and serves nobody any more. Poll the swarm until
    /// [`Behaviour::is_idle`] for an orderly end.
    pub fn shutdown(&mut self) {
        self.with_engine(bitswap_core::Engine::shutdown);
    }

    /// Whether nothing is on its way to any peer, into the store or to the user.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.events.is_empty()
            && self.requests.is_empty()
            && self.storage.running() == 0
            && !self.peers.values().any(super::Peer::is_busy)
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<S> {
        self.storage.store()
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
            engine: self.engine.stats(),
            traffic: self.traffic,
            store_calls: self.storage.running(),
        }
    }

    /// Bytes of memory that the engine holds, by its own sums. Walks all sessions and peers:
    /// [`Engine::held_bytes`](bitswap_core::Engine::held_bytes).
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.engine.held_bytes()
    }

    /// Sizes of messages and depths of queues since the start.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        Histograms::new(&self.sizes, self.inbox_depth)
    }

    /// The connected peers, without those that are only connected through relays.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.peers.iter().filter(|(_, peer)| peer.connections() > 0).map(|(id, _)| *id)
    }

    /// What is known of a connected peer.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        let known = self.peers.get(&peer).filter(|known| known.connections() > 0)?;
        Some(PeerInfo {
            stats: self.engine.peer_stats(peer),
            traffic: known.traffic,
            connections: known.connections(),
        })
    }

    /// Whether a limit of download holds back what a session asks for: its own, that of all peers together, or
    /// that of some peer.
    #[must_use]
    pub fn is_rate_limited(&self, session: SessionId) -> bool {
        self.engine.is_rate_limited(session)
    }

    /// What is known of a session.
    #[must_use]
    pub fn session_stats(&self, session: SessionId) -> Option<SessionStats> {
        self.engine.session_stats(session)
    }

    /// The wants of a peer that are remembered, most urgent first.
    #[must_use]
    pub fn peer_wantlist(&self, peer: PeerId) -> Vec<Entry> {
        self.engine.peer_wantlist(peer)
    }

    /// Why a want is still waiting: what each peer that was told it did so far. `None` when the
    /// session does not want the CID.
    #[must_use]
    pub fn diagnose(&self, session: SessionId, cid: &Cid) -> Option<Vec<PeerReport<PeerId>>> {
        self.engine.diagnose(session, cid)
    }

    /// Drops events that wait to be polled: of a whole session, or of these wants of it.
    fn silence(&mut self, silent: SessionId, cids: Option<&HashSet<Cid>>) {
        let mut bytes = 0;
        let mut keep = |event: &EngineEvent| {
            let (session, cid) = match event {
                EngineEvent::Block { session, block, .. } => (session, block.cid()),
                EngineEvent::Stored { session, cid } | EngineEvent::Failed { session, cid, .. } => {
                    (session, cid)
                }
                _ => return true,
            };
            if *session != silent || cids.is_some_and(|cids| !cids.contains(cid)) {
                return true;
            }
            if let EngineEvent::Block { block, .. } = event {
                bytes += block.data().len() as u64;
            }
            false
        };
        self.events.retain(|event| match event {
            Event::Engine(event) => keep(event),
            _ => true,
        });
        self.puts.values_mut().for_each(|put| put.events.retain(&mut keep));
        // Nobody else can release their bytes.
        if bytes > 0 {
            self.release_capacity(silent, bytes);
        }
    }
}
