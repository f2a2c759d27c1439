//! The peers that a connection leads to. They carry the streams and messages of the engine.

use std::collections::BTreeMap;
use std::ops::Bound;

use bitswap_core::{Engine, Outgoing, StreamKind};
use libp2p_identity::PeerId;

use super::peer::{Peer, StreamIds};
use crate::host::{Input, Network};

/// All peers with a connection that is not relayed, established or about to be.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<PeerId, Peer>,
    streams: StreamIds,
    /// Peers to which something happened since the engine was called last.
    touched: Vec<PeerId>,
    /// The peer that was looked at last although nothing had happened to it.
    looked_at: Option<PeerId>,
}

impl Peers {
    pub(super) fn get(&self, peer: PeerId) -> Option<&Peer> {
        self.peers.get(&peer)
    }

    /// The peer, and what names its streams.
    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<(&mut Peer, &mut StreamIds)> {
        Some((self.peers.get_mut(&peer)?, &mut self.streams))
    }

    pub(super) fn get_or_insert_with(
        &mut self,
        peer: PeerId,
        new: impl FnOnce() -> Peer,
    ) -> &mut Peer {
        self.peers.entry(peer).or_insert_with(new)
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    /// Something happened to a peer: it may be needed no more, or hold other wants of ours.
    pub(super) fn touch(&mut self, peer: PeerId) {
        self.touched.push(peer);
    }

    /// Carries out what the engine wants of a peer, if that is still connected.
    fn on<T>(
        &mut self,
        peer: PeerId,
        what: impl FnOnce(&mut Peer, &mut StreamIds) -> T,
    ) -> Option<T> {
        self.touched.push(peer);
        self.get_mut(peer).map(|(peer, streams)| what(peer, streams))
    }
}

impl Network for Peers {
    fn open(&mut self, peer: PeerId, kind: StreamKind) -> Option<Input> {
        self.on(peer, |peer, streams| peer.open(kind, streams)).flatten()
    }

    fn close(&mut self, peer: PeerId, kind: StreamKind) {
        self.on(peer, |peer, _| peer.close(kind));
    }

    fn reset(&mut self, peer: PeerId, kind: StreamKind) {
        self.on(peer, |peer, _| peer.reset(kind));
    }

    fn send(&mut self, outgoing: Outgoing<PeerId>) -> Option<Input> {
        self.on(outgoing.peer, |peer, _| peer.send(outgoing)).flatten()
    }

    fn keep_alive(&mut self, peer: PeerId, needed: bool) {
        self.on(peer, |peer, _| peer.set_needed(needed));
    }

    fn drained(&mut self, engine: &Engine<PeerId>) {
        // One more in turn: a want may also end without a message to its peer.
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        self.looked_at = self.peers.range((after, Bound::Unbounded)).next().map(|(id, _)| *id);
        self.touched.extend(self.looked_at);
        while let Some(id) = self.touched.pop() {
            if let Some(peer) = self.peers.get(&id) {
                peer.memory().set_wants(engine.peer_stats(id).map_or(0, |stats| stats.sent_wants));
                peer.update_keep_alive();
            }
        }
    }
}
