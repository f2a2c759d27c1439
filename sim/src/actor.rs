//! Nodes that run no engine: scripted peers, honest and not.

use bitswap_core::{Message, Timestamp, Version};

use crate::counts::Counts;
use crate::node::Node;
use crate::universe::Universe;

/// A scripted peer.
pub trait Actor {
    /// A peer connected.
    fn connected(&mut self, _peer: Node, _scene: &mut Scene<'_>) {}
    /// A peer is gone.
    fn disconnected(&mut self, _peer: Node, _scene: &mut Scene<'_>) {}
    /// A message came.
    fn received(&mut self, from: Node, message: Message, scene: &mut Scene<'_>);
    /// The time asked for with [`Scene::wake_at`] has come.
    fn woken(&mut self, _scene: &mut Scene<'_>) {}
    /// The blocks a fetching actor has received, and when it had all it wants.
    fn finished(&self) -> Option<Timestamp> {
        None
    }
}

/// What an actor sees and does.
pub struct Scene<'a> {
    /// The time.
    pub now: Timestamp,
    /// All blocks.
    pub universe: &'a Universe,
    pub(crate) messages: Vec<(Node, Version, Message)>,
    pub(crate) wake: Option<Timestamp>,
}

impl Scene<'_> {
    /// Sends a message.
    pub fn send(&mut self, to: Node, message: Message) {
        self.messages.push((to, Version::V1_2, message));
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
