//! Peers that want everything and read slowly, or not at all.

use std::time::Duration;

use bitswap_core::{Entry, Message, WantKind, Wantlist};

use crate::actor::{Actor, Context};
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
    fn want_all(&mut self, context: &mut Context<'_>) {
        let Some(victim) = self.victim.filter(|_| self.left > 0) else { return };
        self.left -= 1;
        let cids = (0..context.block_set.len()).map(|number| context.block_set.cid(number));
        let entries = cids.map(|cid| Entry::want(cid, WantKind::Block, i32::MAX, true)).collect();
        let wantlist = Wantlist { entries, full: false };
        context.send(victim, Message { wantlist, ..Message::default() });
        context.wake_at(context.now + PAUSE);
    }
}

impl Actor for SlowReader {
    fn connected(&mut self, peer: Node, context: &mut Context<'_>) {
        self.victim = Some(peer);
        self.want_all(context);
    }

    fn disconnected(&mut self, _peer: Node, _scene: &mut Context<'_>) {
        self.victim = None;
    }

    fn received(&mut self, _from: Node, _message: Message, _scene: &mut Context<'_>) {}

    fn woken(&mut self, context: &mut Context<'_>) {
        self.want_all(context);
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
