//! The event loop: virtual time that jumps to the next thing that happens, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::testing::Checked;
use bitswap_core::{Config, Lane, Lookup, Rng, SessionOptions, Timestamp, Version};
use cid::Cid;

use crate::actor::{Actor, Cast, Scene};
use crate::counts::Counts;
use crate::draw;
use crate::fetch::{FetchId, Plan};
use crate::happening::{Happening, Outside};
use crate::host::{Host, HostConduct};
use crate::link::Link;
use crate::network::{Connection, Network, Opening};
use crate::node::Node;
use crate::queue::Queue;
use crate::store::StoreConduct;
use crate::trace::Trace;
use crate::universe::Universe;

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
    Actor(Cast),
}

impl World {
    /// A world without nodes.
    #[must_use]
    pub fn new(seed: u64, universe: Universe, opening: Opening) -> Self {
        Self {
            seed,
            members: Vec::new(),
            outside: Outside {
                now: Timestamp::ZERO,
                queue: Queue::default(),
                network: Network::new(opening),
                universe,
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

    // Setting up.

    /// Tells every message from now on, a line each.
    pub fn trace(&mut self, tell: fn(&str)) {
        self.outside.trace.tell = Some(tell);
    }

    /// Tells a line, if lines are told.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        self.outside.trace.note(self.outside.now, text);
    }

    /// Fails the run after so many steps: a loop detector.
    pub fn limit_steps(&mut self, steps: u64) {
        self.steps_max = steps;
    }

    /// A node that runs an engine under the checker's watch.
    pub fn host(&mut self, config: Config) -> Node {
        let name = self.next_name();
        let seed = draw::seed(self.seed, u64::from(name.0));
        self.add_host(name, Checked::new(config, seed, self.outside.now))
    }

    /// A node that runs an engine which nobody watches, to measure its speed.
    pub fn unwatched_host(&mut self, config: Config) -> Node {
        let name = self.next_name();
        let seed = draw::seed(self.seed, u64::from(name.0));
        self.add_host(name, Checked::unwatched(config, seed, self.outside.now))
    }

    fn add_host(&mut self, name: Node, engine: Checked<Node>) -> Node {
        self.members.push(Member::Host(Box::new(Host::new(name, engine))));
        name
    }

    /// A scripted node.
    pub fn actor(&mut self, actor: Box<dyn Actor>) -> Node {
        let name = self.next_name();
        self.members.push(Member::Actor(Cast {
            name,
            actor,
            counts: Counts::default(),
            connections: BTreeMap::new(),
            armed: None,
        }));
        name
    }

    fn next_name(&self) -> Node {
        Node(u16::try_from(self.members.len()).expect("at most 65 536 nodes"))
    }

    /// The newest version that a node speaks; `None`: it does not speak Bitswap.
    pub fn speaks(&mut self, node: Node, newest: Option<Version>) {
        self.outside.network.set_version(node, newest);
    }

    /// Paths that were not set otherwise.
    pub fn every_link(&mut self, link: Link) {
        self.outside.network.set_default(link);
    }

    /// The path in one direction.
    pub fn link(&mut self, from: Node, to: Node, link: Link) {
        self.outside.network.set_link(from, to, link);
    }

    /// How a node's store behaves.
    pub fn store(&mut self, node: Node, conduct: StoreConduct) {
        self.host_mut(node).store.conduct = conduct;
    }

    /// How a node's host behaves.
    pub fn conduct(&mut self, node: Node, conduct: HostConduct) {
        self.host_mut(node).conduct = conduct;
    }

    /// The host's clock jumps by so many microseconds.
    pub fn jump_clock(&mut self, node: Node, micros: i64) {
        self.host_mut(node).conduct.clock_off += micros;
        self.dirty.insert(node);
    }

    /// Faults on the way, out of a million messages: cut connections, altered blocks.
    pub fn spoil(&mut self, cuts_per_million: u32, flips_per_million: u32) {
        self.outside.cuts_per_million = cuts_per_million;
        self.outside.flips_per_million = flips_per_million;
    }

    /// Blocks that a node has from the start, by number. Its engine is not told.
    pub fn stock(&mut self, node: Node, blocks: impl IntoIterator<Item = usize>) {
        let host = self.host_mut(node);
        for number in blocks {
            host.store.insert(number);
        }
    }

    /// Lets provider searches find a node for these blocks.
    pub fn provide(&mut self, node: Node, blocks: impl IntoIterator<Item = usize>) {
        for number in blocks {
            self.outside.providers.entry(number).or_default().push(node);
        }
    }

    /// How long a provider search takes.
    pub fn searches_take(&mut self, time: Duration) {
        self.outside.search_takes = time;
    }

    // The script.

    /// Runs a step of the script at a point in time.
    pub fn at(&mut self, at: Timestamp, script: impl FnOnce(&mut Self) + 'static) {
        self.outside.later(at, Happening::Script(Box::new(script)));
    }

    /// Runs a step of the script after some time.
    pub fn after(&mut self, time: Duration, script: impl FnOnce(&mut Self) + 'static) {
        self.at(self.outside.now + time, script);
    }

    /// Connects two nodes now; a second connection if they are connected already.
    pub fn connect(&mut self, a: Node, b: Node) -> Connection {
        let connection = self.outside.network.connect(a, b);
        for (node, peer) in [(a, b), (b, a)] {
            match &mut self.members[node.index()] {
                Member::Host(host) => host.up(peer, connection, &self.outside),
                Member::Actor(cast) => {
                    let connections = cast.connections.entry(peer).or_default();
                    connections.push(connection);
                    if connections.len() == 1 {
                        act(cast, &mut self.outside, |actor, scene| actor.connected(peer, scene));
                    }
                }
            }
            self.dirty.insert(node);
        }
        connection
    }

    /// A connection dies: what is on its way on it is lost, and each end notices after the latency.
    pub fn kill(&mut self, connection: Connection) {
        let Some((a, b)) = self.outside.network.kill(connection) else {
            return;
        };
        self.outside.trace.note(self.outside.now, || format!("{a} and {b} lose a connection"));
        for (node, peer) in [(a, b), (b, a)] {
            let latency = self.outside.network.latency(peer, node);
            let at = self.outside.now + draw::up_to(&mut self.outside.rng, latency);
            self.outside.later(at, Happening::Down { node, peer, connection });
        }
    }

    /// Ends all connections between two nodes; both notice at once.
    pub fn disconnect(&mut self, a: Node, b: Node) {
        for connection in self.outside.network.between(a, b) {
            self.outside.network.kill(connection);
            self.notice(a, b, connection);
            self.notice(b, a, connection);
        }
    }

    /// Live connections between two nodes, oldest first.
    #[must_use]
    pub fn connections(&self, a: Node, b: Node) -> Vec<Connection> {
        self.outside.network.between(a, b)
    }

    /// Nothing passes between two nodes, in either direction, until then.
    pub fn clog(&mut self, a: Node, b: Node, until: Timestamp) {
        self.outside.network.pipe(a, b).clogged_until = until;
        self.outside.network.pipe(b, a).clogged_until = until;
    }

    /// Starts fetching. Several fetches of a node run side by side.
    pub fn fetch(&mut self, node: Node, plan: Plan, options: SessionOptions<Node>) -> FetchId {
        let Member::Host(host) = &mut self.members[node.index()] else {
            panic!("{node} runs no engine");
        };
        let place = host.fetch(plan, options);
        host.start(place, &mut self.outside);
        self.dirty.insert(node);
        FetchId { node, place }
    }

    /// The user no longer wants these blocks of a fetch.
    pub fn cancel(&mut self, fetch: FetchId, cids: &[Cid]) {
        if let Member::Host(host) = &mut self.members[fetch.node.index()] {
            host.cancel(fetch.place, cids, &mut self.outside);
            self.dirty.insert(fetch.node);
        }
    }

    /// The user closes the session of a fetch.
    pub fn close(&mut self, fetch: FetchId) {
        if let Member::Host(host) = &mut self.members[fetch.node.index()] {
            host.close(fetch.place, &self.outside);
            self.dirty.insert(fetch.node);
        }
    }

    /// A node comes by a block, and its engine is told.
    pub fn put(&mut self, node: Node, number: usize) {
        if let Member::Host(host) = &mut self.members[node.index()] {
            host.put(number, &self.outside);
            self.dirty.insert(node);
        }
    }

    /// Wakes an actor now.
    pub fn wake(&mut self, node: Node) {
        if let Member::Actor(cast) = &mut self.members[node.index()] {
            act(cast, &mut self.outside, |actor, scene| actor.woken(scene));
        }
    }

    /// A node loses a block.
    pub fn lose(&mut self, node: Node, number: usize) {
        self.host_mut(node).store.remove(number);
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
            let late = host.conduct.drains_late;
            if late.is_zero() {
                host.drain(&mut self.outside);
            } else if !host.drain_waits {
                host.drain_waits = true;
                self.outside.later(self.outside.now + late, Happening::Drain { node });
            }
        }
    }

    fn happen(&mut self, what: Happening) {
        let out = &mut self.outside;
        match what {
            Happening::Script(script) => script(self),
            Happening::Down { node, peer, connection } => self.notice(node, peer, connection),
            Happening::Up { a, b } => {
                self.connect(a, b);
            }
            Happening::Deliver { from, to, connection, message } => {
                if !out.network.is_alive(connection) {
                    return;
                }
                match &mut self.members[to.index()] {
                    Member::Host(host) => {
                        host.received(from, message, out);
                        self.dirty.insert(to);
                    }
                    Member::Actor(cast) => {
                        cast.counts.received(&message, out.now);
                        act(cast, out, |actor, scene| actor.received(from, message, scene));
                    }
                }
            }
            Happening::Deadline { node } => match &mut self.members[node.index()] {
                Member::Host(host) => {
                    host.deadline(out);
                    self.dirty.insert(node);
                }
                Member::Actor(cast) => {
                    if cast.armed.is_some_and(|at| at <= out.now) {
                        cast.armed = None;
                        act(cast, out, |actor, scene| actor.woken(scene));
                    }
                }
            },
            Happening::Drain { node } => {
                if let Member::Host(host) = &mut self.members[node.index()] {
                    host.drain_waits = false;
                    host.drain(out);
                }
            }
            Happening::Found { node, id, cid, last } => self.found(node, id, &cid, last),
            Happening::Sent { node, id, result } => {
                self.tell(node, |host, out| host.sent(id, result, out));
            }
            Happening::Opened { node, peer, lane, connection, result } => {
                self.tell(node, |host, out| {
                    if out.network.is_alive(connection) {
                        host.opened(peer, lane, connection, result, out);
                    }
                });
            }
            Happening::Loaded { node, load } => {
                self.tell(node, |host, out| host.loaded(&load, out))
            }
            Happening::Taken { node, session, bytes } => {
                self.tell(node, |host, out| host.taken(session, bytes, out));
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
                    act(cast, &mut self.outside, |actor, scene| actor.disconnected(peer, scene));
                }
            }
        }
    }

    /// A provider search answers: first the peers found are dialled, then all of them are named.
    fn found(&mut self, node: Node, id: bitswap_core::LookupId, cid: &Cid, last: bool) {
        let number = self.outside.universe.number(cid);
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
            self.tell(node, |host, out| host.found(id, &found, Lookup::Done, out));
            return;
        }
        let mut ready = self.outside.now;
        for peer in missing {
            let trip =
                self.outside.network.latency(node, peer) + self.outside.network.latency(peer, node);
            let at = self.outside.now + 2 * trip;
            self.outside.later(at, Happening::Up { a: node, b: peer });
            ready = ready.max(at);
        }
        let found_now: Vec<Node> = found;
        self.tell(node, |host, out| host.found(id, &found_now, Lookup::More, out));
        self.outside.later(ready, Happening::Found { node, id, cid: *cid, last: true });
    }

    // Looking.

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.outside.now
    }

    /// Things that happened so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The blocks of this world.
    #[must_use]
    pub fn universe(&self) -> &Universe {
        &self.outside.universe
    }

    /// The engine of a node, for its pure queries.
    #[must_use]
    pub fn engine(&self, node: Node) -> &bitswap_core::Engine<Node> {
        self.host_ref(node).engine.engine()
    }

    /// What a node sent and received.
    #[must_use]
    pub fn counts(&self, node: Node) -> &Counts {
        match &self.members[node.index()] {
            Member::Host(host) => &host.counts,
            Member::Actor(cast) => &cast.counts,
        }
    }

    /// When a fetch had everything, from its start; `None` while it runs.
    #[must_use]
    pub fn took(&self, fetch: FetchId) -> Option<Duration> {
        let fetch = &self.host_ref(fetch.node).fetches[fetch.place];
        Some(fetch.finished?.since(fetch.started?))
    }

    /// Blocks that a fetch has received, and wants of it that failed.
    #[must_use]
    pub fn progress(&self, fetch: FetchId) -> (u64, u64) {
        let fetch = &self.host_ref(fetch.node).fetches[fetch.place];
        (fetch.blocks, fetch.failed)
    }

    /// Why a fetch still runs: what it waits for, and what each peer did about that.
    #[must_use]
    pub fn explain(&self, fetch: FetchId) -> String {
        let host = self.host_ref(fetch.node);
        let state = &host.fetches[fetch.place];
        let waits = state.outstanding.iter().map(|cid| {
            let number = self.outside.universe.number(cid);
            let engine = host.engine.engine();
            let did = state.session.map(|session| engine.diagnose(session, cid));
            format!("{number:?}: {did:?}")
        });
        let waits: Vec<String> = waits.take(5).collect();
        format!(
            "{} has {} of its blocks, {} failed, and waits for {} with {:?}; deadline {:?} at {:?}: {}",
            fetch.node,
            state.blocks,
            state.failed,
            state.outstanding.len(),
            state.options,
            host.engine.engine().poll_timeout_reason(),
            self.outside.now,
            waits.join(", "),
        )
    }

    /// Whether a fetch has ended or was closed.
    #[must_use]
    pub fn has_ended(&self, fetch: FetchId) -> bool {
        let fetch = &self.host_ref(fetch.node).fetches[fetch.place];
        fetch.session.is_none() || fetch.finished.is_some()
    }

    /// The longest that one want of a fetch took, of those that have ended.
    #[must_use]
    pub fn slowest_want(&self, fetch: FetchId) -> Duration {
        Duration::from_micros(self.host_ref(fetch.node).fetches[fetch.place].slowest_micros)
    }

    /// When an actor that fetches had everything.
    #[must_use]
    pub fn actor_finished(&self, node: Node) -> Option<Timestamp> {
        match &self.members[node.index()] {
            Member::Actor(cast) => cast.actor.finished(),
            Member::Host(_) => None,
        }
    }

    /// Nodes that run engines.
    #[must_use]
    pub fn hosts(&self) -> Vec<Node> {
        let hosts = self.members.iter().filter_map(|member| match member {
            Member::Host(host) => Some(host.name),
            Member::Actor(_) => None,
        });
        hosts.collect()
    }

    /// All fetches, those that were closed too.
    #[must_use]
    pub fn fetches(&self) -> Vec<FetchId> {
        self.hosts().into_iter().flat_map(|node| self.fetches_of(node)).collect()
    }

    /// The fetches of one node.
    #[must_use]
    pub fn fetches_of(&self, node: Node) -> Vec<FetchId> {
        let places = 0..self.host_ref(node).fetches.len();
        places.map(|place| FetchId { node, place }).collect()
    }

    /// A hash over what all engines said: equal for equal runs.
    #[must_use]
    pub fn transcript(&self) -> u64 {
        self.hosts().into_iter().fold(0, |hash: u64, node| {
            hash.rotate_left(7) ^ self.host_ref(node).engine.transcript()
        })
    }

    /// Messages that all nodes sent.
    #[must_use]
    pub fn messages(&self) -> u64 {
        (0..self.members.len() as u16).map(|node| self.counts(Node(node)).messages_sent).sum()
    }

    /// The links, stores, clocks and hosts are as good as can be from now on.
    pub fn heal(&mut self) {
        self.outside.cuts_per_million = 0;
        self.outside.flips_per_million = 0;
        self.outside.network.heal();
        for member in &mut self.members {
            if let Member::Host(host) = member {
                host.store.conduct = StoreConduct::default();
                host.conduct.drains_late = Duration::ZERO;
                host.conduct.disk = None;
            }
        }
    }

    /// Checks that every two connected engines agree on what one wants of the other. Right only
    /// while nothing is on its way. Two that do not agree on how often they met are left out: one
    /// of them saw the other leave and come back, which the other one did not notice.
    pub fn check_agreement(&self) {
        let hosts = self.hosts();
        for a in &hosts {
            for b in hosts.iter().filter(|b| *b != a) {
                let (one, other) = (self.host_ref(*a), self.host_ref(*b));
                let met = one.is_connected(*b) && other.is_connected(*a);
                if met && one.greeted.get(b) == other.greeted.get(a) {
                    one.engine.agrees_with(*a, &other.engine, *b);
                }
            }
        }
    }

    /// The next deadline of any engine: `None` when all are at rest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let deadlines = self.hosts().into_iter();
        deadlines.filter_map(|node| self.host_ref(node).engine.poll_timeout()).min()
    }

    /// Whether every fetch that was started has ended or was closed.
    #[must_use]
    pub fn all_fetched(&self) -> bool {
        self.members.iter().all(|member| match member {
            Member::Host(host) => {
                host.fetches.iter().all(|fetch| fetch.session.is_none() || fetch.finished.is_some())
            }
            Member::Actor(_) => true,
        })
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
fn act(cast: &mut Cast, out: &mut Outside, play: impl FnOnce(&mut dyn Actor, &mut Scene<'_>)) {
    let universe = out.universe.clone();
    let mut scene = Scene { now: out.now, universe: &universe, messages: Vec::new(), wake: None };
    play(cast.actor.as_mut(), &mut scene);
    let Scene { messages, wake, .. } = scene;
    for (to, version, message) in messages {
        if let Some(connection) = cast.connections.get(&to).and_then(|all| all.first()).copied() {
            cast.counts.sent(&message, out.now);
            let lane =
                if message.wantlist.entries.is_empty() { Lane::Answers } else { Lane::Wants };
            out.send(cast.name, to, lane, version, connection, message);
        }
    }
    if let Some(at) = wake {
        if cast.armed.is_none_or(|before| at < before) {
            out.later(at, Happening::Deadline { node: cast.name });
            cast.armed = Some(at);
        }
    }
}
