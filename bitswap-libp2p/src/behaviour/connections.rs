//! Connections that come and go, and what is heard on them.

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use web_time::Instant;

use super::Behaviour;
use super::inbox::Received;
use super::peer::Peer;
use crate::allowance::Allowance;
use crate::blockstore::Blockstore;
use crate::handler::{Handler, HandlerEvent, Shares};
use crate::host::Input;
use crate::trace::log;

impl<S: Blockstore> Behaviour<S> {
    /// A connection is about to be established.
    pub(super) fn connecting(&mut self, peer: PeerId, id: ConnectionId) -> Handler {
        let allowance = || Allowance::new(self.items_per_second, Instant::now());
        let new = || Peer::new(allowance(), self.versions);
        let known = self.host.network_mut().get_or_insert_with(peer, new);
        let mailbox = known.connecting(id);
        let shares = Shares {
            filter: known.filter().clone(),
            allowance: known.allowance().clone(),
            memory: known.memory().clone(),
            spawner: self.spawner.clone(),
            arrivals: self.arrivals.clone(),
            sizes: self.sizes.clone(),
        };
        Handler::new(self.settings, mailbox, shares)
    }

    pub(super) fn connected(&mut self, peer: PeerId, id: ConnectionId) {
        let Some((known, _)) = self.host.network_mut().get_mut(peer) else { return };
        known.connected(id);
        // It is needed if the others are.
        known.update_keep_alive();
        log!(debug, "connected", peer = peer, connection = id);
        self.introduce(peer);
    }

    /// Makes a peer known to the engine, if the engine has room for it.
    fn introduce(&mut self, peer: PeerId) {
        let Some((known, _)) = self.host.network_mut().get_mut(peer) else { return };
        if known.is_known() || known.connections() == 0 {
            return;
        }
        let is_known = self.with_host(|host| host.connected(peer));
        if let Some((known, _)) = self.host.network_mut().get_mut(peer) {
            known.set_known(is_known);
        }
    }

    /// A connection closed, or was not established after all.
    pub(super) fn disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        log!(debug, "disconnected", peer = peer, connection = id);
        // It was said before the connection closed.
        let messages = self.inbox.take_of(peer);
        self.with_host(|host| host.received(peer, messages));
        let peers = self.host.network_mut();
        let Some((known, streams)) = peers.get_mut(peer) else { return };
        known.applied_all();
        let inputs = known.disconnected(id, streams);
        let gone = known.connections() == 0 && known.set_known(false);
        if gone {
            known.set_needed(false);
        }
        if known.is_empty() {
            peers.remove(peer);
        }
        if !gone {
            peers.touch(peer);
            return self.with_host(|host| host.apply(peer, inputs));
        }
        self.with_host(|host| host.disconnected(peer));
        // Its place in the engine goes to a peer that found none.
        let waiting = |(id, peer): (PeerId, &Peer)| {
            (!peer.is_known() && peer.connections() > 0).then_some(id)
        };
        let waiting = self.host.network().iter().find_map(waiting);
        waiting.into_iter().for_each(|waiting| self.introduce(waiting));
    }

    pub(super) fn reported(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        report: HandlerEvent,
    ) {
        let HandlerEvent { streams, messages, held, support, traffic, .. } = report;
        self.traffic += traffic;
        let peers = self.host.network_mut();
        let Some((known, ids)) = peers.get_mut(peer) else { return };
        known.count(traffic);
        let support = support.map(|support| Input::Support(known.support(connection, support)));
        let mut inputs = Vec::from_iter(support);
        for report in streams {
            inputs.extend(known.on_stream_event(report, ids));
        }
        if !messages.is_empty() {
            self.inbox.push(Received { peer, connection, messages, held });
        }
        if inputs.is_empty() {
            return;
        }
        peers.touch(peer);
        self.with_host(|host| host.apply(peer, inputs));
    }

    /// Applies what a connection said, and lets it say more.
    pub(super) fn apply(&mut self, received: Received) {
        let Received { peer, connection, messages, held } = received;
        self.inbox_depth.observe(messages.len() as u64);
        self.haves.said(peer, &messages);
        self.host.network_mut().touch(peer);
        self.with_host(|host| host.received(peer, messages));
        drop(held);
        self.host.network().get(peer).into_iter().for_each(|known| known.applied(connection));
    }
}
