//! One peer: its connections, which of them is in use, and what is on its way there.
//!
//! Pure bookkeeping: every change returns the inputs that the engine must be given, and the engine is asked
//! for nothing. Rules:
//!
//! 1. All our streams to a peer are on one connection, the first established one of its list.
//! 2. Whatever the engine asked for is answered once, at the latest when its connection closes. What
//!    a connection says later about a stream that was given up is not passed on.
//! 3. When a connection closes, what a stream said may be lost although the transport took it.

use std::sync::Arc;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::message::PayloadFilter;
use bitswap_core::{Outgoing, ProtocolSupport, SendId, StreamKind, Version};
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use crate::allowance::Allowance;
use crate::handler::{StreamEvent, StreamReport};
use crate::host::Input;
use crate::locked::Locked;
use crate::mailbox::{Command, Mailbox, StreamId};
use crate::memory::Memory;
use crate::per_stream::PerStream;
use crate::protocol::Offer;
use crate::traffic::Traffic;

/// A peer with at least one connection that is not relayed.
#[derive(Debug)]
pub(crate) struct Peer {
    connections: Vec<Connection>,
    streams: PerStream<StreamState>,
    filter: Locked<PayloadFilter>,
    allowance: Locked<Allowance>,
    memory: Arc<Memory>,
    versions: Versions,
    /// Whether the engine knows it.
    is_known: bool,
    /// Whether the engine needs its connections.
    needed: bool,
    traffic: Traffic,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    mailbox: Mailbox,
    /// False until all behaviours of the swarm have agreed to it.
    established: bool,
    support: ProtocolSupport,
}

/// Which version a stream to a peer is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    /// All that we speak, and first the one that the peer agreed to last.
    offer: Offer,
    /// That one, or the newest that we speak.
    works: Version,
    /// Streams are written to without waiting for the peer's answer.
    lazy: bool,
    /// A stream failed after such a start: the peer may not speak the version, so that is asked first.
    doubted: bool,
}

impl Versions {
    /// Up to the newest. `lazy` when the swarm negotiates lazily.
    pub(crate) const fn new(newest: Version, lazy: bool) -> Self {
        Self { offer: Offer::up_to(newest), works: newest, lazy, doubted: false }
    }

    /// The version to take for granted, if one may be.
    const fn granted(&self) -> Option<Version> {
        if self.lazy && !self.doubted { Some(self.works) } else { None }
    }

    /// What to offer.
    const fn offer(&self) -> Offer {
        match (self.lazy, self.granted()) {
            (false, _) => self.offer,
            (true, Some(_)) => self.offer.alone(),
            (true, None) => self.offer.agreed(),
        }
    }

    /// The peer agreed to this one.
    const fn agreed(&mut self, version: Version) {
        (self.works, self.doubted) = (version, false);
        self.offer = self.offer.starting_with(version);
    }
}

/// What is open and on its way in a stream.
#[derive(Debug, Default)]
enum StreamState {
    #[default]
    Closed,
    /// The engine waits for the answer.
    Opening(StreamId),
    /// The engine was answered, although the stream may not be there yet.
    Open(StreamId, Vec<SendId>),
}

/// Names streams, each once.
#[derive(Debug, Default)]
pub(crate) struct StreamIds(u64);

impl StreamIds {
    const fn next(&mut self) -> StreamId {
        self.0 += 1;
        StreamId(self.0)
    }
}

impl Peer {
    pub(crate) fn new(allowance: Allowance, versions: Versions) -> Self {
        Self {
            connections: Vec::new(),
            streams: PerStream::default(),
            filter: Locked::default(),
            allowance: Locked::new(allowance),
            memory: Arc::default(),
            versions,
            is_known: false,
            needed: false,
            traffic: Traffic::default(),
        }
    }

    /// What of the peer's blocks is worth hashing; one value for all its connections.
    pub(crate) const fn filter(&self) -> &Locked<PayloadFilter> {
        &self.filter
    }

    /// How much the peer may still say; one value for all its connections.
    pub(crate) const fn allowance(&self) -> &Locked<Allowance> {
        &self.allowance
    }

    /// What the peer holds in memory; one value for all its connections.
    pub(crate) const fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// A connection that is about to be established, with the mailbox of its task.
    pub(crate) fn connecting(&mut self, id: ConnectionId) -> Mailbox {
        let mailbox = Mailbox::new();
        let established = false;
        let support = ProtocolSupport::Unknown;
        let mine = mailbox.clone();
        self.connections.push(Connection { id, mailbox: mine, established, support });
        mailbox
    }

    /// The connection was established.
    pub(crate) fn connected(&mut self, id: ConnectionId) {
        if let Some(at) = self.connections.iter().position(|known| known.id == id) {
            // To the end: the one in use stays in use.
            let connection = self.connections.remove(at);
            self.connections.push(Connection { established: true, ..connection });
        }
    }

    /// The connection closed, or was not established after all.
    pub(crate) fn disconnected(&mut self, id: ConnectionId, streams: &mut StreamIds) -> Vec<Input> {
        let used = self.used().map(|used| used.id);
        let Some(at) = self.connections.iter().position(|known| known.id == id) else {
            return Vec::new();
        };
        if !self.connections.remove(at).established {
            return Vec::new();
        }
        let mut inputs = if used == Some(id) {
            self.move_streams(None, streams)
        } else {
            // The peer may have been answering there.
            self.give_up(StreamKind::Requests, self.used().map(|used| used.mailbox.clone()))
        };
        // Also if our stream there was closed in good order: what it said last may not have arrived.
        let reset = Input::Reset(StreamKind::Requests);
        if self.connections() > 0 && !inputs.contains(&reset) {
            inputs.push(reset);
        }
        inputs
    }

    /// How many connections are established.
    pub(crate) fn connections(&self) -> usize {
        self.connections.iter().filter(|known| known.established).count()
    }

    /// Whether no connection is left, established or about to be.
    pub(crate) const fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// What a connection says of the peer's protocols; what that makes of the peer.
    pub(crate) fn support(
        &mut self,
        id: ConnectionId,
        support: ProtocolSupport,
    ) -> ProtocolSupport {
        for connection in self.connections.iter_mut().filter(|known| known.id == id) {
            connection.support = support;
        }
        self.connections.iter().map(|known| known.support).max().unwrap_or_default()
    }

    /// Opens a stream.
    pub(crate) fn open(&mut self, kind: StreamKind, streams: &mut StreamIds) -> Option<Input> {
        let Some(used) = self.used() else {
            return Some(Input::Opened(kind, Err(OpenError::Closed)));
        };
        let stream = streams.next();
        used.mailbox.put(Command::Open { kind, stream, offer: self.versions.offer() });
        let granted = self.versions.granted();
        *self.streams.get_mut(kind) = match granted {
            Some(_) => StreamState::Open(stream, Vec::new()),
            None => StreamState::Opening(stream),
        };
        granted.map(|version| Input::Opened(kind, Ok(version)))
    }

    /// Closes a stream in good order.
    pub(crate) fn close(&mut self, kind: StreamKind) {
        if let StreamState::Open(stream, _) = *self.streams.get(kind)
            && let Some(used) = self.used()
        {
            used.mailbox.put(Command::Close { kind, stream });
            *self.streams.get_mut(kind) = StreamState::Closed;
        }
    }

    /// Resets a stream with all that is on its way; nobody asks what became of it.
    pub(crate) fn reset(&mut self, kind: StreamKind) {
        if let StreamState::Open(stream, _) = *self.streams.get(kind)
            && let Some(used) = self.used()
        {
            used.mailbox.put(Command::Reset { kind, stream });
            *self.streams.get_mut(kind) = StreamState::Closed;
        }
    }

    /// Sends a message on an open stream.
    pub(crate) fn send(&mut self, outgoing: Outgoing<PeerId>) -> Option<Input> {
        let Outgoing { id, stream: kind, version, message, .. } = outgoing;
        let mailbox = self.used().map(|used| used.mailbox.clone());
        match (self.streams.get_mut(kind), mailbox) {
            (StreamState::Open(stream, sending), Some(mailbox)) => {
                if kind == StreamKind::Requests {
                    // Before an answer can arrive.
                    self.filter.lock().sent(&message);
                }
                sending.push(id);
                mailbox.put(Command::Send { kind, stream: *stream, id, version, message });
                None
            }
            _ => Some(Input::Sent(id, Err(SendError::Closed))),
        }
    }

    /// An event of a stream of ours.
    pub(crate) fn on_stream_event(
        &mut self,
        report: StreamReport,
        streams: &mut StreamIds,
    ) -> Vec<Input> {
        let StreamReport { kind, stream, event } = report;
        let state = self.streams.get_mut(kind);
        match (&mut *state, event) {
            (StreamState::Opening(opening), StreamEvent::Opened(result)) if *opening == stream => {
                let mut inputs = vec![Input::Opened(kind, result)];
                match result {
                    Ok(version) => {
                        *state = StreamState::Open(stream, Vec::new());
                        self.versions.agreed(version);
                    }
                    Err(error) => {
                        *state = StreamState::Closed;
                        if error != OpenError::Unsupported {
                            inputs.extend(self.use_another(streams));
                        }
                    }
                }
                inputs
            }
            (StreamState::Open(open, sending), StreamEvent::Sent(id)) if *open == stream => {
                match sending.iter().position(|sent| *sent == id) {
                    Some(at) => {
                        sending.remove(at);
                        vec![Input::Sent(id, Ok(()))]
                    }
                    None => Vec::new(),
                }
            }
            // It was taken for granted.
            (StreamState::Open(open, _), StreamEvent::Opened(Err(error))) if *open == stream => {
                self.versions.doubted = true;
                let lost = match error {
                    OpenError::Timeout => SendError::Timeout,
                    _ => SendError::Closed,
                };
                let mut inputs = self.stream_lost(kind, lost);
                if error != OpenError::Unsupported {
                    inputs.extend(self.use_another(streams));
                }
                inputs
            }
            (StreamState::Open(open, _), StreamEvent::Failed(error)) if *open == stream => {
                self.versions.doubted = true;
                let mut inputs = self.stream_lost(kind, error);
                if error == SendError::Timeout {
                    inputs.extend(self.use_another(streams));
                }
                inputs
            }
            _ => Vec::new(),
        }
    }

    /// Whether something is on its way to the peer.
    pub(crate) fn is_busy(&self) -> bool {
        StreamKind::ALL.iter().any(|kind| match self.streams.get(*kind) {
            StreamState::Closed => false,
            StreamState::Opening(_) => true,
            StreamState::Open(_, sending) => !sending.is_empty(),
        })
    }

    /// Whether the engine knows it.
    pub(crate) const fn is_known(&self) -> bool {
        self.is_known
    }

    /// The engine knows it from now on, or does not. Whether it did.
    pub(crate) const fn set_known(&mut self, is_known: bool) -> bool {
        std::mem::replace(&mut self.is_known, is_known)
    }

    /// Its streams carried this.
    pub(crate) fn count(&mut self, traffic: Traffic) {
        self.traffic += traffic;
    }

    /// What its streams carried since it connected.
    pub(crate) const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The engine needs the connections from now on, or does not.
    pub(crate) const fn set_needed(&mut self, needed: bool) {
        self.needed = needed;
    }

    /// Tells all connections whether they are needed, by the engine or for what is on its way: the peer may be using
    /// another than we are.
    pub(crate) fn update_keep_alive(&self) {
        let needed = self.needed || self.is_busy();
        for connection in &self.connections {
            connection.mailbox.keep_alive(needed);
        }
    }

    /// What a connection said was applied: it may say more.
    pub(crate) fn applied(&self, id: ConnectionId) {
        let said = self.connections.iter().filter(|known| known.id == id);
        said.for_each(|known| known.mailbox.applied());
    }

    /// What any of its connections said was applied.
    pub(crate) fn applied_all(&self) {
        self.connections.iter().for_each(|known| known.mailbox.applied());
    }

    /// The connection in use.
    fn used(&self) -> Option<&Connection> {
        self.connections.iter().find(|known| known.established)
    }

    /// The connection in use does not move: takes another, if there is one.
    fn use_another(&mut self, streams: &mut StreamIds) -> Vec<Input> {
        let at = self.connections.iter().position(|known| known.established);
        let Some(at) = at.filter(|_| self.connections() > 1) else {
            return Vec::new();
        };
        let stuck = self.connections.remove(at);
        let mailbox = stuck.mailbox.clone();
        self.connections.push(stuck);
        self.move_streams(Some(mailbox), streams)
    }

    /// The connection that was in use is not any more. Streams that were being opened are opened on
    /// the next one; the engine opens the others again when it needs them.
    fn move_streams(&mut self, old: Option<Mailbox>, streams: &mut StreamIds) -> Vec<Input> {
        let mut inputs = Vec::new();
        for kind in StreamKind::ALL {
            if let StreamState::Opening(stream) = *self.streams.get(kind) {
                *self.streams.get_mut(kind) = StreamState::Closed;
                old.iter().for_each(|old| old.put(Command::Reset { kind, stream }));
                inputs.extend(self.open(kind, streams));
            } else {
                inputs.extend(self.give_up(kind, old.clone()));
            }
        }
        inputs
    }

    /// Resets a stream, if it is open.
    fn give_up(&mut self, kind: StreamKind, mailbox: Option<Mailbox>) -> Vec<Input> {
        let StreamState::Open(stream, _) = *self.streams.get(kind) else {
            return Vec::new();
        };
        mailbox.iter().for_each(|mailbox| mailbox.put(Command::Reset { kind, stream }));
        self.stream_lost(kind, SendError::Closed)
    }

    /// A stream is gone.
    fn stream_lost(&mut self, kind: StreamKind, error: SendError) -> Vec<Input> {
        match std::mem::take(self.streams.get_mut(kind)) {
            StreamState::Open(_, sending) => {
                let failed = sending.into_iter().map(|id| Input::Sent(id, Err(error)));
                failed.chain([Input::Reset(kind)]).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Every interleaving with the task of a connection: `ci/loom`.
#[cfg(test)]
#[cfg(bitswap_loom)]
mod interleavings {
    use std::task::Waker;

    use bitswap_core::{Config, Engine, Output, Prefix, SessionOptions, Timestamp, Want};
    use loom::thread;
    use web_time::Instant;

    use super::*;

    /// A message that asks a peer for a block.
    fn request() -> Outgoing<PeerId> {
        let (now, peer) = (Timestamp::ZERO, PeerId::random());
        let mut engine = Engine::new(Config::default(), [1; 32], now);
        engine.handle_connected(peer, None, now);
        let session = engine.open_session(SessionOptions::default(), now).unwrap();
        let want = Want::from(*crate::tests::block("wanted").cid());
        engine.want(session, [want], now).unwrap();
        loop {
            match engine.poll_output().expect("it asks the peer") {
                Output::Open { peer, stream } => {
                    engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(outgoing) => return outgoing,
                _ => {}
            }
        }
    }

    #[test]
    fn what_was_asked_for_is_known_before_it_can_be_answered() {
        let prefix = Prefix::parse(&[1, 0x55, 0x12, 32]).unwrap();
        loom::model(move || {
            let kind = StreamKind::Requests;
            let (streams, id) = (&mut StreamIds::default(), ConnectionId::new_unchecked(1));
            let versions = Versions::new(Version::V1_2, false);
            let mut peer = Peer::new(Allowance::new(1, Instant::now()), versions);
            let mailbox = peer.connecting(id);
            peer.connected(id);
            peer.open(kind, streams);
            let commands = mailbox.take(Waker::noop()).commands;
            let Some(Command::Open { stream, .. }) = commands.front() else { panic!("it opens") };
            let event = StreamEvent::Opened(Ok(Version::V1_2));
            peer.on_stream_event(StreamReport { kind, stream: *stream, event }, streams);
            let filter = peer.filter().clone();
            // An engine needs more stack than loom's threads have.
            let request = std::thread::spawn(request).join().unwrap();
            let asking = thread::spawn(move || assert_eq!(peer.send(request), None));
            if !mailbox.take(Waker::noop()).commands.is_empty() {
                assert!(filter.lock().admit(&prefix), "the answer would be refused");
            }
            asking.join().unwrap();
        });
    }
}

#[cfg(test)]
mod tests;
