//! Connections that come and go, and what is heard on them.

use std::mem;
use std::ops::Bound;

use bitswap_core::{Engine, Message, Timestamp};
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use web_time::Instant;

use super::Behaviour;
use super::inbox::Received;
use super::peer::{EngineInput, Peer};
use crate::allowance::Allowance;
use crate::blockstore::Blockstore;
use crate::event::Event;
use crate::handler::{Handler, HandlerEvent, Shares};
use crate::trace::log;

impl<S: Blockstore> Behaviour<S> {
    /// Tells connections whether they are needed: those of peers that something happened to, and of
    /// one more in turn, because a want may also end without a message to its peer.
    pub(super) fn update_keep_alive(&mut self) {
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        self.looked_at = self.peers.range((after, Bound::Unbounded)).next().map(|(id, _)| *id);
        self.touched.extend(self.looked_at);
        while let Some(id) = self.touched.pop() {
            let Some(peer) = self.peers.get(&id) else { continue };
            let (sent, ledger) =
                self.engine.peer_stats(id).map_or((0, 0), |stats| (stats.sent_wants, stats.ledger));
            peer.memory().set_wants(sent);
            peer.keep_alive(peer.is_busy() || sent > 0 || ledger > 0);
        }
    }

    /// A connection is about to be established.
    pub(super) fn connecting(&mut self, peer: PeerId, id: ConnectionId) -> Handler {
        let new = || Peer::new(Allowance::new(self.items_per_second, Instant::now()));
        let known = self.peers.entry(peer).or_insert_with(new);
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
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.connected(id);
        log!(debug, "connected", peer = peer, connection = id);
        self.introduce(peer);
    }

    /// Makes a peer known to the engine, if the engine has room for it.
    fn introduce(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.known || known.connections() == 0 {
            return;
        }
        known.known = true;
        let history = self.histories.take(&peer);
        self.with_engine(|engine, now| engine.handle_connected(peer, history, now));
        if self.engine.peer_stats(peer).is_none()
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.known = false;
            history.into_iter().for_each(|history| self.histories.put(peer, history));
        }
    }

    /// A connection closed, or was not established after all.
    pub(super) fn disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        log!(debug, "disconnected", peer = peer, connection = id);
        // It was said before the connection closed.
        let messages = self.inbox.take_of(peer);
        self.with_engine(|engine, now| handle_messages(engine, peer, messages, now));
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.applied_all();
        let inputs = known.disconnected(id, &mut self.streams);
        let gone = known.connections() == 0 && mem::take(&mut known.known);
        if known.is_empty() {
            self.peers.remove(&peer);
        }
        if !gone {
            self.touched.push(peer);
            return self.apply_inputs(peer, inputs);
        }
        let stats = self.engine.peer_stats(peer);
        self.with_engine(|engine, now| engine.handle_disconnected(peer, now));
        self.events.extend(stats.map(|stats| Event::PeerLeft { peer, stats: Box::new(stats) }));
        // Its place in the engine goes to a peer that found none.
        let waiting =
            |(id, peer): (&PeerId, &Peer)| (!peer.known && peer.connections() > 0).then_some(*id);
        if let Some(waiting) = self.peers.iter().find_map(waiting) {
            self.introduce(waiting);
        }
    }

    fn apply_inputs(&mut self, peer: PeerId, inputs: Vec<EngineInput>) {
        self.with_engine(|engine, now| {
            inputs.into_iter().for_each(|input| apply_input(engine, peer, input, now));
        });
    }

    pub(super) fn reported(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        report: HandlerEvent,
    ) {
        let HandlerEvent { streams, messages, held, support, traffic, .. } = report;
        self.traffic += traffic;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.traffic += traffic;
        let support = support.map(|support| known.support(connection, support));
        let mut inputs = Vec::new();
        for kind in streams {
            inputs.extend(known.on_stream_event(kind, &mut self.streams));
        }
        if !messages.is_empty() {
            self.inbox.push(Received { peer, connection, messages, held });
        }
        if inputs.is_empty() && support.is_none() {
            return;
        }
        self.touched.push(peer);
        self.with_engine(|engine, now| {
            if let Some(support) = support {
                engine.handle_support(peer, support, now);
            }
            inputs.into_iter().for_each(|input| apply_input(engine, peer, input, now));
        });
    }

    /// Applies what a connection said, and lets it say more.
    pub(super) fn apply(&mut self, received: Received) {
        let Received { peer, connection, messages, held } = received;
        self.touched.push(peer);
        self.inbox_depth.observe(messages.len() as u64);
        self.haves.said(peer, &messages);
        self.with_engine(|engine, now| handle_messages(engine, peer, messages, now));
        drop(held);
        self.peers.get(&peer).into_iter().for_each(|known| known.applied(connection));
    }
}

fn handle_messages(
    engine: &mut Engine<PeerId>,
    peer: PeerId,
    messages: Vec<Message>,
    now: Timestamp,
) {
    messages.into_iter().for_each(|message| engine.handle_message(peer, message, now));
}

/// Tells the engine one thing about a peer.
pub(super) fn apply_input(
    engine: &mut Engine<PeerId>,
    peer: PeerId,
    input: EngineInput,
    now: Timestamp,
) {
    match input {
        EngineInput::Opened(kind, result) => engine.handle_open(peer, kind, result, now),
        EngineInput::Sent(id, result) => engine.handle_sent(id, result, now),
        EngineInput::Reset(kind) => engine.handle_reset(peer, kind, now),
    }
}
