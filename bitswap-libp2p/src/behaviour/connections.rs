//! Connections that come and go, and what is heard on them.

use std::mem;
use std::ops::Bound;

use bitswap_core::{Engine, Timestamp};
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use super::Behaviour;
use super::peer::{Peer, Told};
use crate::blockstore::Blockstore;
use crate::handler::{Handler, Report};

impl<S: Blockstore> Behaviour<S> {
    /// Tells connections whether they are needed: those of peers that something happened to, and of
    /// one more in turn, because a want may also end without its peer being told.
    pub(super) fn tell_needs(&mut self) {
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        self.looked_at = self.peers.range((after, Bound::Unbounded)).next().map(|(id, _)| *id);
        self.touched.extend(self.looked_at);
        while let Some(id) = self.touched.pop() {
            let Some(peer) = self.peers.get(&id) else { continue };
            let needed = peer.is_busy()
                || self.engine.peer(id).is_some_and(|stats| stats.told > 0 || stats.ledger > 0);
            peer.keep_alive(needed);
        }
    }

    /// A connection is about to be established.
    pub(super) fn connecting(&mut self, peer: PeerId, id: ConnectionId) -> Handler {
        let known = self.peers.entry(peer).or_insert_with(Peer::new);
        let mailbox = known.connecting(id);
        let (accept, executor) = (known.accept().clone(), self.executor.clone());
        Handler::new(self.settings, mailbox, accept, executor, self.arrivals.clone())
    }

    pub(super) fn connected(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.connected(id);
        self.introduce(peer);
    }

    /// Makes a peer known to the engine, if the engine has room for it.
    fn introduce(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.known || known.connections() == 0 {
            return;
        }
        known.known = true;
        let hint = self.hints.take(&peer);
        self.with_engine(|engine, now| engine.handle_connected(peer, hint, now));
        if self.engine.peer(peer).is_none()
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.known = false;
            hint.into_iter().for_each(|hint| self.hints.put(peer, hint));
        }
    }

    /// A connection closed, or was not established after all.
    pub(super) fn disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let told = known.disconnected(id, &mut self.streams);
        let gone = known.connections() == 0 && mem::take(&mut known.known);
        if known.is_empty() {
            self.peers.remove(&peer);
        }
        if !gone {
            self.touched.push(peer);
            return self.tell_all(peer, told);
        }
        self.with_engine(|engine, now| engine.handle_disconnected(peer, now));
        // Its place in the engine goes to a peer that found none.
        let waiting =
            |(id, peer): (&PeerId, &Peer)| (!peer.known && peer.connections() > 0).then_some(*id);
        if let Some(waiting) = self.peers.iter().find_map(waiting) {
            self.introduce(waiting);
        }
    }

    fn tell_all(&mut self, peer: PeerId, told: Vec<Told>) {
        self.with_engine(|engine, now| {
            told.into_iter().for_each(|told| tell(engine, peer, told, now));
        });
    }

    pub(super) fn reported(&mut self, peer: PeerId, connection: ConnectionId, report: Report) {
        let Report { lanes, messages, support, traffic, .. } = report;
        self.traffic += traffic;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.traffic += traffic;
        let support = support.map(|support| known.support(connection, support));
        let mut told = Vec::new();
        for lane in lanes {
            told.extend(known.news(lane, &mut self.streams));
        }
        if told.is_empty() && messages.is_empty() && support.is_none() {
            return;
        }
        self.touched.push(peer);
        self.with_engine(|engine, now| {
            if let Some(support) = support {
                engine.handle_support(peer, support, now);
            }
            told.into_iter().for_each(|told| tell(engine, peer, told, now));
            messages.into_iter().for_each(|message| engine.handle_message(peer, message, now));
        });
    }
}

/// Tells the engine one thing about a peer.
pub(super) fn tell(engine: &mut Engine<PeerId>, peer: PeerId, told: Told, now: Timestamp) {
    match told {
        Told::Opened(lane, result) => engine.handle_open(peer, lane, result, now),
        Told::Sent(id, result) => engine.handle_sent(id, result, now),
        Told::Reset(lane) => engine.handle_reset(peer, lane, now),
    }
}
