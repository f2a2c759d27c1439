//! The event loop: virtual time that jumps to the next thing that happens, and nowhere else.

mod inspect;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::{Config, ProviderProgress, SessionOptions, StreamKind, Timestamp, Version};
use bitswap_testing::Checked;
use cid::Cid;

use crate::actor::{Actor, Cast, Context, Sent};
use crate::block_set::BlockSet;
use crate::counts::Counts;
use crate::draw;
use crate::event::{Event, Outside};
use crate::fetch::{FetchId, Plan};
use crate::host::{Host, HostBehavior};
use crate::link::Link;
use crate::network::{Connection, Manners, Network, Opening};
use crate::node::Node;
use crate::queue::Queue;
use crate::rng::Rng;
use crate::store::StoreBehavior;
use crate::trace::Trace;

/// A simulated network of nodes. Everything in it follows from its seed and its script.
pub struct World {
    seed: u64,
    members: Vec<Member>,
    outside: Outside,
    /// Nodes that had an input since they were last drained.
    dirty: BTreeSet<Node>,
    steps: u64,
    steps_max: u64,
}

enum Member {
    Host(Box<Host>),
    Actor(Box<Cast>),
}

impl World {
    /// A world without nodes.
    #[must_use]
    pub fn new(seed: u64, block_set: BlockSet, opening: Opening) -> Self {
        Self {
            seed,
            members: Vec::new(),
            outside: Outside {
                now: Timestamp::ZERO,
                queue: Queue::default(),
                network: Network::new(opening),
                block_set,
                rng: Rng::new(&draw::seed(seed, u64::MAX), "world"),
                trace: Trace::default(),
                providers: BTreeMap::new(),
                search_takes: Duration::from_millis(500),
                cuts_per_million: 0,
                flips_per_million: 0,
            },
            dirty: BTreeSet::new(),
            steps: 0,
            steps_max: 50_000_000,
        }
    }

    // Running.

    /// Runs until nothing happens any more or until that time.
    ///
    /// # Panics
    ///
    /// When the step limit is reached: something loops.
    pub fn run_until(&mut self, end: Timestamp) {
        self.run_while(end, |_| true);
    }

    /// Runs until all fetches have ended, nothing happens any more, or that time has come.
    pub fn run_fetches(&mut self, end: Timestamp) {
        self.run_while(end, |world| !world.all_fetched());
    }

    fn run_while(&mut self, end: Timestamp, go_on: impl Fn(&Self) -> bool) {
        loop {
            self.drain();
            if !go_on(self) {
                return;
            }
            match self.outside.queue.next_at() {
                Some(at) if at <= end => self.outside.now = self.outside.now.max(at),
                _ => {
                    self.outside.now = self.outside.now.max(end);
                    return;
                }
            }
            // Everything that is due in this instant reaches the nodes before they are drained.
            while let Some(what) = self.outside.queue.pop_due(self.outside.now) {
                self.steps += 1;
                assert!(self.steps <= self.steps_max, "seed {}: something loops", self.seed);
                self.happen(what);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(node) = self.dirty.pop_first() {
            let Member::Host(host) = &mut self.members[node.index()] else {
                continue;
            };
            let late = host.behavior.drains_late;
            if late.is_zero() {
                host.drain(&mut self.outside);
            } else if !host.drain_waits {
                host.drain_waits = true;
                self.outside.later(self.outside.now + late, Event::Drain { node });
            }
        }
    }

    fn happen(&mut self, what: Event) {
        let out = &mut self.outside;
        match what {
            Event::Script(script) => script(self),
            Event::Down { node, peer, connection } => self.notice(node, peer, connection),
            Event::Up { a, b } => {
                self.connect(a, b);
            }
            Event::Deliver { from, to, kind, stream, connection, message } => {
                let cut = out.network.pipe(from, to).is_cut(kind, stream);
                if cut || !out.network.is_alive(connection) {
                    return;
                }
                match &mut self.members[to.index()] {
                    Member::Host(host) => {
                        host.received(from, message, out);
                        self.dirty.insert(to);
                    }
                    Member::Actor(cast) => {
                        cast.counts.received(&message, out.now);
                        act(cast, out, |actor, context| actor.received(from, message, context));
                    }
                }
            }
            Event::Bytes { from, to, connection, stream, bytes } => {
                if out.network.is_alive(connection) {
                    self.tell(to, |host, out| host.bytes(from, connection, stream, &bytes, out));
                }
            }
            Event::Deadline { node } => match &mut self.members[node.index()] {
                Member::Host(host) => {
                    host.deadline(out);
                    self.dirty.insert(node);
                }
                Member::Actor(cast) => {
                    if cast.armed.is_some_and(|at| at <= out.now) {
                        cast.armed = None;
                        act(cast, out, |actor, context| actor.woken(context));
                    }
                }
            },
            Event::Drain { node } => {
                if let Member::Host(host) = &mut self.members[node.index()] {
                    host.drain_waits = false;
                    host.drain(out);
                }
            }
            Event::Found { node, id, cid, last } => self.found(node, id, &cid, last),
            Event::Sent { node, id, result } => {
                self.tell(node, |host, out| host.sent(id, result, out));
            }
            Event::Opened { node, peer, kind, connection, result } => {
                self.tell(node, |host, out| {
                    if out.network.is_alive(connection) {
                        host.opened(peer, kind, connection, result, out);
                    }
                });
            }
            Event::Pinged { node, peer, connection, took } => {
                self.tell(node, |host, out| {
                    if out.network.is_alive(connection) {
                        host.pinged(peer, took, out);
                    }
                });
            }
            Event::Loaded { node, load } => {
                self.tell(node, |host, out| host.loaded(&load, out));
            }
            Event::Taken { node, session, bytes } => {
                self.tell(node, |host, out| host.release_capacity(session, bytes, out));
            }
        }
    }

    fn tell(&mut self, node: Node, input: impl FnOnce(&mut Host, &mut Outside)) {
        if let Member::Host(host) = &mut self.members[node.index()] {
            input(host, &mut self.outside);
            self.dirty.insert(node);
        }
    }

    fn notice(&mut self, node: Node, peer: Node, connection: Connection) {
        match &mut self.members[node.index()] {
            Member::Host(host) => {
                host.down(peer, connection, &self.outside);
                self.dirty.insert(node);
            }
            Member::Actor(cast) => {
                let Some(connections) = cast.connections.get_mut(&peer) else {
                    return;
                };
                connections.retain(|other| *other != connection);
                if connections.is_empty() {
                    cast.connections.remove(&peer);
                    act(cast, &mut self.outside, |actor, context| {
                        actor.disconnected(peer, context);
                    });
                }
            }
        }
    }

    /// A provider search answers: first the peers found are dialled, then all of them are named.
    fn found(&mut self, node: Node, id: bitswap_core::LookupId, cid: &Cid, last: bool) {
        let number = self.outside.block_set.number(cid);
        let found = number.and_then(|number| self.outside.providers.get(&number));
        let found: Vec<Node> =
            found.into_iter().flatten().copied().filter(|peer| *peer != node).collect();
        let Member::Host(host) = &self.members[node.index()] else {
            return;
        };
        if !host.searches(id) {
            return;
        }
        let missing: Vec<Node> =
            found.iter().copied().filter(|peer| !host.is_connected(*peer)).collect();
        if last || missing.is_empty() {
            self.tell(node, |host, out| host.found(id, &found, ProviderProgress::Final, out));
            return;
        }
        let mut ready = self.outside.now;
        for peer in missing {
            let trip =
                self.outside.network.latency(node, peer) + self.outside.network.latency(peer, node);
            let at = self.outside.now + 2 * trip;
            self.outside.later(at, Event::Up { a: node, b: peer });
            ready = ready.max(at);
        }
        let found_now: Vec<Node> = found;
        self.tell(node, |host, out| host.found(id, &found_now, ProviderProgress::Partial, out));
        self.outside.later(ready, Event::Found { node, id, cid: *cid, last: true });
    }

    fn host_ref(&self, node: Node) -> &Host {
        match &self.members[node.index()] {
            Member::Host(host) => host,
            Member::Actor(_) => panic!("{node} runs no engine"),
        }
    }

    fn host_mut(&mut self, node: Node) -> &mut Host {
        match &mut self.members[node.index()] {
            Member::Host(host) => host,
            Member::Actor(_) => panic!("{node} runs no engine"),
        }
    }
}

/// Lets an actor act, and carries its messages away.
fn act(cast: &mut Cast, out: &mut Outside, play: impl FnOnce(&mut dyn Actor, &mut Context<'_>)) {
    let block_set = out.block_set.clone();
    let (sent, steps) = (Vec::new(), Vec::new());
    let mut context =
        Context { now: out.now, me: cast.name, block_set: &block_set, sent, wake: None, steps };
    play(cast.actor.as_mut(), &mut context);
    let Context { sent, wake, steps, .. } = context;
    for (to, what) in sent {
        let Some(connection) = cast.connections.get(&to).and_then(|all| all.first()).copied()
        else {
            continue;
        };
        match what {
            Sent::Message(version, message) => {
                cast.counts.sent(&message, out.now);
                let kind = if message.wantlist.entries.is_empty() {
                    StreamKind::Responses
                } else {
                    StreamKind::Requests
                };
                out.send(cast.name, to, kind, version, connection, message);
            }
            Sent::Bytes(stream, bytes) => {
                out.send_bytes(cast.name, to, connection, stream, bytes);
            }
        }
    }
    for (after, step) in steps {
        out.later(out.now + after, Event::Script(step));
    }
    if let Some(at) = wake
        && cast.armed.is_none_or(|before| at < before)
    {
        out.later(at, Event::Deadline { node: cast.name });
        cast.armed = Some(at);
    }
}
