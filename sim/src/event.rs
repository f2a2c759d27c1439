//! What can happen in a world, and the parts of the world outside of its nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{Load, LookupId, Message, SendId, SessionId, StreamKind, Timestamp, Version};
use bitswap_testing::wire_len;
use bytes::Bytes;
use cid::Cid;

use crate::block_set::{BlockSet, altered};
use crate::network::{Connection, Network};
use crate::node::Node;
use crate::queue::Queue;
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::World;

/// A step of the user's script.
pub(crate) type Script = Box<dyn FnOnce(&mut World)>;

pub(crate) enum Event {
    /// A message arrives.
    Deliver {
        from: Node,
        to: Node,
        kind: StreamKind,
        stream: u32,
        connection: Connection,
        message: Message,
    },
    /// Bytes arrive on a stream that the sender opened.
    Bytes { from: Node, to: Node, connection: Connection, stream: u32, bytes: Bytes },
    /// The transport has taken a message, or could not.
    Sent { node: Node, id: SendId, result: Result<(), SendError> },
    /// A stream was negotiated, or could not be.
    Opened {
        node: Node,
        peer: Node,
        kind: StreamKind,
        connection: Connection,
        result: Result<Version, OpenError>,
    },
    /// A ping was answered.
    Pinged { node: Node, peer: Node, connection: Connection, took: Duration },
    /// The store answers.
    Loaded { node: Node, load: Load<Node> },
    /// A provider search answers; `last` when the found peers have been dialled.
    Found { node: Node, id: LookupId, cid: Cid, last: bool },
    /// A node's deadline.
    Deadline { node: Node },
    /// A host that is late takes its engine's outputs.
    Drain { node: Node },
    /// A connection is there.
    Up { a: Node, b: Node },
    /// One end notices that a connection is gone.
    Down { node: Node, peer: Node, connection: Connection },
    /// A slow disk has taken delivered bytes.
    Taken { node: Node, session: SessionId, bytes: u64 },
    /// The script goes on.
    Script(Script),
}

/// Everything outside of the nodes.
pub(crate) struct Outside {
    pub(crate) now: Timestamp,
    pub(crate) queue: Queue<Event>,
    pub(crate) network: Network,
    pub(crate) block_set: BlockSet,
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    /// Which nodes a provider search finds, by number of the block.
    pub(crate) providers: BTreeMap<usize, Vec<Node>>,
    pub(crate) search_takes: Duration,
    /// Messages, out of a million, that take their connection with them.
    pub(crate) cuts_per_million: u32,
    /// Messages, out of a million, of which a block is altered on the way.
    pub(crate) flips_per_million: u32,
}

impl Outside {
    pub(crate) fn later(&mut self, at: Timestamp, what: Event) {
        self.queue.push(at.max(self.now), what);
    }

    /// Puts a message on its way. When the sender's transport has taken it or gives it up;
    /// `None` when the connection is dead already.
    pub(crate) fn send(
        &mut self,
        from: Node,
        to: Node,
        kind: StreamKind,
        version: Version,
        connection: Connection,
        mut message: Message,
    ) -> Option<(Timestamp, Result<(), SendError>)> {
        let bytes = wire_len(&message, version);
        self.trace.message(self.now, &self.block_set, (from, to), &message, bytes);
        if !self.network.is_alive(connection) {
            return None;
        }
        if let Some(at) = self.network.given_up(from, to, bytes, self.now) {
            return Some((at, Err(SendError::Timeout)));
        }
        for block in &mut message.blocks {
            // What travels is bytes: a receiver makes of altered ones a block of another CID.
            let number = self.block_set.number(block.cid());
            let known = number.map(|number| self.block_set.block(number).data());
            if known.is_none_or(|known| known.as_ptr() != block.data().as_ptr()) {
                *block = altered(block.cid(), block.data().clone()).expect("it was hashed before");
            }
        }
        if self.flips_per_million > 0
            && !message.blocks.is_empty()
            && self.rng.below(1_000_000) < u64::from(self.flips_per_million)
        {
            let block = &message.blocks[0];
            let flipped = altered(block.cid(), crate::store::rotten(block.data()));
            message.blocks[0] = flipped.expect("the CID was hashed before");
        }
        let passage = self.network.send(from, to, kind, bytes, self.now, &mut self.rng);
        if self.cuts_per_million > 0 && self.rng.below(1_000_000) < u64::from(self.cuts_per_million)
        {
            // The connection dies with this message: between its departure and its arrival.
            self.later(
                passage.taken,
                Event::Script(Box::new(move |world| {
                    world.cut(connection);
                })),
            );
        }
        let stream = passage.stream;
        let deliver = Event::Deliver { from, to, kind, stream, connection, message };
        self.later(passage.arrives, deliver);
        Some((passage.taken, Ok(())))
    }

    /// Puts bytes on their way; on a dead connection they are lost.
    pub(crate) fn send_bytes(
        &mut self,
        from: Node,
        to: Node,
        connection: Connection,
        stream: u32,
        bytes: Bytes,
    ) {
        self.trace
            .note(self.now, || format!("{from} -> {to}: {} B on stream {stream}", bytes.len()));
        if self.network.is_alive(connection) {
            let (now, kind) = (self.now, StreamKind::Responses);
            let passage = self.network.send(from, to, kind, bytes.len(), now, &mut self.rng);
            self.later(passage.arrives, Event::Bytes { from, to, connection, stream, bytes });
        }
    }
}
