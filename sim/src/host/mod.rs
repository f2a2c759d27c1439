//! A node that runs an engine: its host, its store and its users.
//!
//! It is not the host of `bitswap-testing`, which answers at once or when a test says so. Here every answer
//! is an event in the queue of the world, at the time that a link, a store or a search takes; a peer has
//! several connections that die with what is on its way on them; clocks differ, and drains come late.

mod gate;
mod outputs;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{
    BlockInfo, Load, Loaded, LookupId, Message, PeerHistory, ProviderProgress, SendId, SessionId,
    SessionOptions, StreamKind, Timestamp, Version, Want,
};
use bitswap_testing::Checked;
use cid::Cid;

use crate::counts::Counts;
use crate::event::Outside;
use crate::fetch::{Fetch, Plan};
use crate::network::Connection;
use crate::node::Node;
use crate::store::Store;
use gate::Gate;

/// What the host does apart from the engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostBehavior {
    /// Received blocks are stored and announced.
    pub keeps_blocks: bool,
    /// Bytes per second at which delivered blocks are taken; `None`: at once.
    pub disk: Option<u64>,
    /// Outputs are drained this much after an input, not at once.
    pub drains_late: Duration,
    /// Microseconds by which the host's clock differs from the world's.
    pub clock_off: i64,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: Node,
    pub(crate) engine: Checked<Node>,
    pub(crate) behavior: HostBehavior,
    pub(crate) store: Store,
    pub(crate) counts: Counts,
    pub(crate) fetches: Vec<Fetch>,
    sessions: BTreeMap<SessionId, usize>,
    /// Live connections of each peer; the first one is used.
    connections: BTreeMap<Node, Vec<Connection>>,
    /// The connection of each open or opening stream.
    streams: BTreeMap<(Node, StreamKind), Connection>,
    /// The connection that each peer was last sent wants on, on a stream that may be closed by now.
    spoke_on: BTreeMap<Node, Connection>,
    /// Streams of which the answer is still due.
    opening: BTreeSet<(Node, StreamKind)>,
    /// Messages that the transport has not taken yet.
    sends: BTreeMap<SendId, (Node, StreamKind, Connection)>,
    /// What stands between the bytes of each connected peer and the engine.
    gates: BTreeMap<Node, Gate>,
    lookups: BTreeMap<LookupId, Cid>,
    histories: BTreeMap<Node, PeerHistory>,
    /// With which connection each peer was met. What two engines know of each other can be compared when both met
    /// with the same one: one of them may not have noticed that the other was gone for a while.
    met_with: BTreeMap<Node, Connection>,
    /// The earliest wake-up in the queue.
    armed: Option<Timestamp>,
    disk_free_at: Timestamp,
    /// A late drain is in the queue.
    pub(crate) drain_waits: bool,
}

impl Host {
    pub(crate) fn new(name: Node, engine: Checked<Node>) -> Self {
        Self {
            name,
            engine,
            behavior: HostBehavior::default(),
            store: Store::default(),
            counts: Counts::default(),
            fetches: Vec::new(),
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            streams: BTreeMap::new(),
            spoke_on: BTreeMap::new(),
            opening: BTreeSet::new(),
            sends: BTreeMap::new(),
            gates: BTreeMap::new(),
            lookups: BTreeMap::new(),
            histories: BTreeMap::new(),
            met_with: BTreeMap::new(),
            armed: None,
            disk_free_at: Timestamp::ZERO,
            drain_waits: false,
        }
    }

    /// Calls the engine and measures how long that takes.
    fn engine<R>(&mut self, call: impl FnOnce(&mut Checked<Node>) -> R) -> R {
        let began = Instant::now();
        let result = call(&mut self.engine);
        self.counts.cpu += began.elapsed();
        result
    }

    /// The time by the host's clock.
    fn now(&self, out: &Outside) -> Timestamp {
        shift(out.now, self.behavior.clock_off)
    }

    // Network.

    pub(crate) fn up(&mut self, peer: Node, connection: Connection, out: &Outside) {
        let connections = self.connections.entry(peer).or_default();
        connections.push(connection);
        if connections.len() == 1 {
            self.met_with.insert(peer, connection);
            self.gates.insert(peer, Gate::default());
            let history = self.histories.remove(&peer);
            let now = self.now(out);
            self.engine(|engine| engine.handle_connected(peer, history, now));
        }
    }

    /// The connection with which a peer was met that is connected still.
    pub(crate) fn met_with(&self, peer: Node) -> Option<Connection> {
        self.met_with.get(&peer).copied().filter(|_| self.is_connected(peer))
    }

    pub(crate) fn is_connected(&self, peer: Node) -> bool {
        self.connections.contains_key(&peer)
    }

    /// A connection is gone. What was on its way on it fails; the peer is gone with the last one.
    pub(crate) fn down(&mut self, peer: Node, connection: Connection, out: &Outside) {
        let Some(connections) = self.connections.get_mut(&peer) else {
            return;
        };
        connections.retain(|other| *other != connection);
        let last = connections.is_empty();
        if last {
            self.connections.remove(&peer);
            self.gates.remove(&peer);
        } else if let Some(gate) = self.gates.get_mut(&peer) {
            gate.closed(connection);
        }
        let failed: Vec<SendId> = self
            .sends
            .iter()
            .filter(|(_, (.., on))| *on == connection)
            .map(|(id, _)| *id)
            .collect();
        for id in failed {
            self.sent(id, Err(SendError::Closed), out);
        }
        let mut reset = self.spoke_on.get(&peer) == Some(&connection) && !last;
        for kind in [StreamKind::Requests, StreamKind::Responses] {
            if self.streams.get(&(peer, kind)) == Some(&connection) {
                self.streams.remove(&(peer, kind));
                if self.opening.remove(&(peer, kind)) {
                    let now = self.now(out);
                    self.engine(|engine| {
                        engine.handle_open(peer, kind, Err(OpenError::Closed), now);
                    });
                } else if !last {
                    let now = self.now(out);
                    self.engine(|engine| engine.handle_reset(peer, kind, now));
                    reset &= kind != StreamKind::Requests;
                }
            }
        }
        if reset {
            let now = self.now(out);
            self.engine(|engine| engine.handle_reset(peer, StreamKind::Requests, now));
        }
        if last {
            self.spoke_on.remove(&peer);
            let now = self.now(out);
            self.engine(|engine| engine.handle_disconnected(peer, now));
        }
    }

    pub(crate) fn received(&mut self, from: Node, message: Message, out: &Outside) {
        if self.is_connected(from) {
            self.counts.received(&message, out.now);
            let now = self.now(out);
            self.engine(|engine| engine.handle_message(from, message, now));
        }
    }

    /// Bytes of a stream that the peer opened.
    pub(crate) fn bytes(
        &mut self,
        from: Node,
        connection: Connection,
        stream: u32,
        bytes: &[u8],
        out: &Outside,
    ) {
        let Some(gate) = self.gates.get_mut(&from) else {
            return;
        };
        let messages = gate.pass(connection, stream, bytes);
        self.counts.gate_bytes_max = self.counts.gate_bytes_max.max(self.gate_bytes());
        for message in messages {
            self.received(from, message, out);
        }
    }

    /// Bytes of unfinished frames.
    fn gate_bytes(&self) -> u64 {
        self.gates.values().map(|gate| gate.memory() as u64).sum()
    }

    pub(crate) fn sent(&mut self, id: SendId, result: Result<(), SendError>, out: &Outside) {
        if self.sends.remove(&id).is_some() {
            let now = self.now(out);
            self.engine(|engine| engine.handle_sent(id, result, now));
        }
    }

    pub(crate) fn opened(
        &mut self,
        peer: Node,
        kind: StreamKind,
        connection: Connection,
        result: Result<Version, OpenError>,
        out: &Outside,
    ) {
        if self.streams.get(&(peer, kind)) != Some(&connection) {
            return;
        }
        self.opening.remove(&(peer, kind));
        if result.is_err() {
            self.streams.remove(&(peer, kind));
        }
        let now = self.now(out);
        self.engine(|engine| engine.handle_open(peer, kind, result, now));
    }

    pub(crate) fn pinged(&mut self, peer: Node, took: Duration, out: &Outside) {
        if self.is_connected(peer) {
            let now = self.now(out);
            self.engine(|engine| engine.handle_round_trip(peer, took, now));
        }
    }

    // Store, search, time.

    pub(crate) fn loaded(&mut self, load: &Load<Node>, out: &mut Outside) {
        let answers: Vec<Loaded> = load
            .cids
            .iter()
            .map(|cid| Loaded {
                cid: *cid,
                answer: self.store.load(&out.block_set, cid, load.kind, &mut out.rng),
            })
            .collect();
        let now = self.now(out);
        self.engine(|engine| engine.handle_load(load.id, answers, now));
    }

    pub(crate) fn searches(&self, id: LookupId) -> bool {
        self.lookups.contains_key(&id)
    }

    pub(crate) fn found(
        &mut self,
        id: LookupId,
        peers: &[Node],
        progress: ProviderProgress,
        out: &Outside,
    ) {
        if progress == ProviderProgress::Final {
            self.lookups.remove(&id);
        }
        let now = self.now(out);
        self.engine(|engine| engine.handle_providers(id, peers, progress, now));
    }

    /// A wake-up from the queue. The engine is called only if it still wants to be: an early call
    /// would hide a deadline that it forgot to tell.
    pub(crate) fn deadline(&mut self, out: &mut Outside) {
        if self.armed.is_some_and(|at| at <= out.now) {
            self.armed = None;
            if self.engine.poll_timeout().is_some_and(|at| at <= self.now(out)) {
                let now = self.now(out);
                self.engine(|engine| engine.handle_timeout(now));
            } else {
                self.arm(out);
            }
        }
    }
}

/// A point in time, so many microseconds later or earlier.
fn shift(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add_signed(micros))
}
