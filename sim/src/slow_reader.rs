//! Peers that want everything and read slowly, or not at all.

use std::time::Duration;

use bitswap_core::{Entry, Message, WantKind, Wantlist};

use crate::actor::{Actor, Scene};
use crate::link::Link;
use crate::node::Node;
use crate::world::World;

/// Pause between two wantlists.
const PAUSE: Duration = Duration::from_secs(3);

/// A peer that wants every block, says so again and again, and keeps none. How fast it reads is a matter
/// of the link to it.
#[derive(Debug)]
struct SlowReader {
    victim: Option<Node>,
    /// Wantlists still to be sent.
    left: u32,
}

impl SlowReader {
    fn want_all(&mut self, scene: &mut Scene<'_>) {
        let Some(victim) = self.victim.filter(|_| self.left > 0) else { return };
        self.left -= 1;
        let cids = (0..scene.universe.len()).map(|number| scene.universe.cid(number));
        let entries = cids.map(|cid| Entry::want(cid, WantKind::Block, i32::MAX, true)).collect();
        let wantlist = Wantlist { entries, full: false };
        scene.send(victim, Message { wantlist, ..Message::default() });
        scene.wake_at(scene.now + PAUSE);
    }
}

impl Actor for SlowReader {
    fn connected(&mut self, peer: Node, scene: &mut Scene<'_>) {
        self.victim = Some(peer);
        self.want_all(scene);
    }

    fn disconnected(&mut self, _peer: Node, _scene: &mut Scene<'_>) {
        self.victim = None;
    }

    fn received(&mut self, _from: Node, _message: Message, _scene: &mut Scene<'_>) {}

    fn woken(&mut self, scene: &mut Scene<'_>) {
        self.want_all(scene);
    }
}

impl World {
    /// Connects so many peers to a node that want every block it has, say so as often as told, and read so
    /// many bytes per second each.
    pub fn slow_readers(&mut self, of: Node, count: usize, bytes_per_second: u64, says: u32) {
        for _ in 0..count {
            let reader = self.actor(Box::new(SlowReader { victim: None, left: says }));
            self.link(of, reader, Link::latency_ms(10).bytes_per_second(bytes_per_second));
            self.connect(of, reader);
        }
    }
}
