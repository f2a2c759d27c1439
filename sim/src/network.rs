//! Connections, streams and versions: what is between the nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use bitswap_core::error::OpenError;
use bitswap_core::{StreamKind, Timestamp, Version};

use crate::draw;
use crate::link::{Link, Passage, Pipe, Uplink};
use crate::node::Node;
use crate::rng::Rng;

/// A connection between two nodes. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(pub(crate) u32);

/// What opening a stream costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A round trip, as negotiating a protocol does.
    RoundTrip,
    /// Nothing, where the version is taken for granted, unless the peer refuses it. Both ends learn of a new connection
    /// how long a round trip takes, as by a ping.
    Lazy,
    /// Nothing: whole messages are all there is.
    Free,
}

/// How long a host waits for the end of a negotiation, and for a reader that takes nothing, as the
/// adapter does unless it is configured otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a node makes of the streams that others open to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// It negotiates its newest version and reads all that comes.
    #[default]
    Good,
    /// It never answers an offer.
    NeverNegotiates,
    /// Every stream gets another version.
    AnyVersion,
    /// It reads so many bytes of each stream, that its transport takes, and never more.
    Reads(u64),
}

/// The network between the nodes.
#[derive(Debug)]
pub(crate) struct Network {
    opening: Opening,
    default: Link,
    pipes: BTreeMap<(Node, Node), Pipe>,
    /// Of the nodes whose paths share one.
    uplinks: BTreeMap<Node, Uplink>,
    /// Live connections with their ends.
    connections: BTreeMap<Connection, (Node, Node)>,
    /// The newest version each node speaks, where that is not the newest of all; `None` is none.
    versions: BTreeMap<Node, Option<Version>>,
    /// Of nodes whose manners are not good.
    manners: BTreeMap<Node, Manners>,
    /// Bytes that the second node's transport took from the first, of streams that it does not read.
    unread: BTreeMap<(Node, Node), u64>,
    next: u32,
}

impl Network {
    pub(crate) const fn new(opening: Opening) -> Self {
        Self {
            opening,
            default: Link {
                latency: Duration::ZERO,
                jitter: Duration::ZERO,
                bandwidth: None,
                buffer: 0,
            },
            pipes: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            connections: BTreeMap::new(),
            versions: BTreeMap::new(),
            manners: BTreeMap::new(),
            unread: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    pub(crate) fn set_link(&mut self, from: Node, to: Node, link: Link) {
        self.pipe(from, to).link = link;
    }

    pub(crate) fn set_uplink(&mut self, node: Node, bytes_per_second: u64) {
        self.uplinks.insert(node, Uplink::new(bytes_per_second));
    }

    pub(crate) fn set_version(&mut self, node: Node, newest: Option<Version>) {
        self.versions.insert(node, newest);
    }

    pub(crate) fn set_manners(&mut self, node: Node, manners: Manners) {
        self.manners.insert(node, manners);
    }

    fn manners(&self, node: Node) -> Manners {
        self.manners.get(&node).copied().unwrap_or_default()
    }

    pub(crate) fn pipe(&mut self, from: Node, to: Node) -> &mut Pipe {
        let default = self.default;
        self.pipes.entry((from, to)).or_insert_with(|| Pipe::new(default))
    }

    /// Nothing is clogged, slow or jittery any more.
    pub(crate) fn heal(&mut self) {
        self.default = Link { latency: self.default.latency, ..Link::default() };
        for pipe in self.pipes.values_mut() {
            pipe.heal();
        }
        self.uplinks.clear();
    }

    pub(crate) fn latency(&mut self, from: Node, to: Node) -> Duration {
        self.pipe(from, to).link.latency
    }

    /// A new connection.
    pub(crate) fn connect(&mut self, a: Node, b: Node) -> Connection {
        let connection = Connection(self.next);
        self.next += 1;
        self.connections.insert(connection, (a, b));
        connection
    }

    /// The connection dies; what is on its way is lost. Its ends, if it lived.
    pub(crate) fn kill(&mut self, connection: Connection) -> Option<(Node, Node)> {
        self.connections.remove(&connection)
    }

    pub(crate) fn is_alive(&self, connection: Connection) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Live connections between two nodes, oldest first.
    pub(crate) fn between(&self, a: Node, b: Node) -> Vec<Connection> {
        self.connections
            .iter()
            .filter(|(_, ends)| **ends == (a, b) || **ends == (b, a))
            .map(|(connection, _)| *connection)
            .collect()
    }

    /// How long a ping of a new connection takes, if there is one.
    pub(crate) fn ping(&mut self, from: Node, to: Node) -> Option<Duration> {
        let is_pinged = self.opening == Opening::Lazy;
        is_pinged.then(|| self.latency(from, to) + self.latency(to, from))
    }

    /// Negotiates a stream: how long it takes and what comes of it.
    pub(crate) fn open(
        &mut self,
        from: Node,
        to: Node,
        now: Timestamp,
        rng: &mut Rng,
    ) -> (Timestamp, Result<Version, OpenError>) {
        self.unread.remove(&(from, to));
        let newest = |node| self.versions.get(&node).copied().unwrap_or(Some(Version::V1_2));
        let result = match (newest(from), newest(to)) {
            (Some(ours), Some(theirs)) => Ok(ours.min(theirs)),
            _ => Err(OpenError::Unsupported),
        };
        let result = match self.manners(to) {
            Manners::NeverNegotiates => return (now + PATIENCE, Err(OpenError::Timeout)),
            Manners::AnyVersion => Ok(Version::PREFERRED[rng.below(4) as usize]),
            Manners::Good | Manners::Reads(_) => result,
        };
        let at = match self.opening {
            Opening::Free => now,
            Opening::Lazy if result.is_ok() => now,
            Opening::Lazy | Opening::RoundTrip => {
                let mut way = |from, to| {
                    let pipe = self.pipe(from, to);
                    let wait = pipe.clogged_until.since(now);
                    wait + pipe.link.latency + draw::up_to(rng, pipe.link.jitter)
                };
                now + way(from, to) + way(to, from)
            }
        };
        (at, result)
    }

    /// When the sender of a message gives it up, because the receiver has not made room for it.
    pub(crate) fn given_up(
        &mut self,
        from: Node,
        to: Node,
        bytes: usize,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Manners::Reads(most) = self.manners(to) else {
            return None;
        };
        let unread = self.unread.entry((from, to)).or_default();
        *unread += bytes as u64;
        (*unread > most).then(|| now + PATIENCE)
    }

    /// Sends a message.
    pub(crate) fn send(
        &mut self,
        from: Node,
        to: Node,
        kind: StreamKind,
        bytes: usize,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Passage {
        let default = self.default;
        let pipe = self.pipes.entry((from, to)).or_insert_with(|| Pipe::new(default));
        pipe.carry(bytes, kind, self.uplinks.get_mut(&from), now, rng)
    }
}
