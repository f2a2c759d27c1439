//! Nodes that run no engine: scripted peers, honest and not.

use std::time::Duration;

use bitswap_core::{Message, Timestamp, Version};
use bytes::Bytes;

use crate::block_set::BlockSet;
use crate::counts::Counts;
use crate::event::Script;
use crate::node::Node;
use crate::world::World;

/// A scripted peer.
pub trait Actor {
    /// A peer connected.
    fn connected(&mut self, _peer: Node, _scene: &mut Context<'_>) {}
    /// A peer is gone.
    fn disconnected(&mut self, _peer: Node, _scene: &mut Context<'_>) {}
    /// A message came.
    fn received(&mut self, from: Node, message: Message, context: &mut Context<'_>);
    /// The time asked for with [`Context::wake_at`] has come.
    fn woken(&mut self, _scene: &mut Context<'_>) {}
    /// The blocks a fetching actor has received, and when it had all it wants.
    fn finished(&self) -> Option<Timestamp> {
        None
    }
}

/// What an actor sees and does.
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The actor's own name.
    pub me: Node,
    /// All blocks.
    pub block_set: &'a BlockSet,
    pub(crate) sent: Vec<(Node, Sent)>,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) steps: Vec<(Duration, Script)>,
}

/// What an actor sends.
pub(crate) enum Sent {
    /// A message, as one engine sends it to another.
    Message(Version, Message),
    /// Bytes on a stream of the actor's, whatever they are.
    Bytes(u32, Bytes),
}

impl Context<'_> {
    /// Sends a message.
    pub fn send(&mut self, to: Node, message: Message) {
        self.sent.push((to, Sent::Message(Version::V1_2, message)));
    }

    /// Writes bytes to the stream with this number, which opens with its first byte. What they mean is
    /// for the receiver to find out: an engine's host decodes and verifies them as the adapter does.
    pub fn send_bytes(&mut self, to: Node, stream: u32, bytes: Bytes) {
        self.sent.push((to, Sent::Bytes(stream, bytes)));
    }

    /// Does something to the network after some time: connects, disconnects, brings others in.
    pub fn after(&mut self, time: Duration, step: impl FnOnce(&mut World) + 'static) {
        self.steps.push((time, Box::new(step)));
    }

    /// Asks to be woken. Only the earliest request is kept.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |before| before.min(at)));
    }
}

/// An actor in its place.
pub(crate) struct Cast {
    pub(crate) name: Node,
    pub(crate) actor: Box<dyn Actor>,
    pub(crate) counts: Counts,
    pub(crate) connections: std::collections::BTreeMap<Node, Vec<crate::network::Connection>>,
    pub(crate) armed: Option<Timestamp>,
}
