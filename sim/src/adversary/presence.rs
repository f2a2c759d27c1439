//! What is done to connections.

use std::time::Duration;

use super::PeerBehavior;
use super::server::Server;
use crate::actor::Context;
use crate::network::Manners;
use crate::node::Node;
use crate::world::World;

/// Bytes that a transport takes for a peer that reads nothing: a stream's window.
const WINDOW: u64 = 256 << 10;

impl Server {
    /// One turn, of which so many are left.
    pub(super) fn come_and_go(&self, victim: Node, left: u32, context: &mut Context<'_>) {
        let me = context.me;
        match self.behavior {
            PeerBehavior::ConnectionChurner => {
                let at_once = left.is_multiple_of(3);
                context.after(Duration::ZERO, move |world| {
                    // Not after it was shown the door.
                    let old = world.connections(me, victim);
                    let Some(oldest) = old.first().copied() else {
                        return;
                    };
                    if at_once {
                        world.disconnect(me, victim);
                    }
                    world.connect(me, victim);
                    if old.len() > 3 {
                        world.kill(oldest);
                    }
                });
            }
            PeerBehavior::IdentityChurner if left > 0 => {
                let next = self.reborn(left);
                context.after(Duration::ZERO, move |world| {
                    if world.connections(me, victim).is_empty() {
                        return;
                    }
                    world.disconnect(me, victim);
                    let next = world.attacker(next);
                    world.connect(next, victim);
                });
            }
            _ => {}
        }
    }
}

impl World {
    /// A scripted peer, with the manners that its behavior needs.
    pub fn attacker(&mut self, server: Server) -> Node {
        let behavior = server.behavior();
        let node = self.actor(Box::new(server));
        match behavior {
            PeerBehavior::Downgrader => self.manners(node, Manners::AnyVersion),
            PeerBehavior::NeverNegotiates => self.manners(node, Manners::NeverNegotiates),
            PeerBehavior::NeverReads => self.manners(node, Manners::Reads(WINDOW)),
            _ => {}
        }
        node
    }
}
