//! Setting a world up, and the steps of a script.

use super::*;

impl World {
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
        let mut engine = Checked::new(config, seed, self.outside.now);
        engine.trust(self.outside.block_set.blocks());
        self.add_host(name, engine)
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
        self.members.push(Member::Actor(Box::new(Cast {
            name,
            actor,
            counts: Counts::default(),
            connections: BTreeMap::new(),
            armed: None,
        })));
        name
    }

    fn next_name(&self) -> Node {
        Node(u16::try_from(self.members.len()).expect("at most 65 536 nodes"))
    }

    /// The newest version that a node speaks; `None`: it does not speak Bitswap.
    pub fn speaks(&mut self, node: Node, newest: Option<Version>) {
        self.outside.network.set_version(node, newest);
    }

    /// What a node makes of streams that others open to it.
    pub fn manners(&mut self, node: Node, manners: Manners) {
        self.outside.network.set_manners(node, manners);
    }

    /// Paths that were not set otherwise.
    pub fn every_link(&mut self, link: Link) {
        self.outside.network.set_default(link);
    }

    /// The path in one direction.
    pub fn link(&mut self, from: Node, to: Node, link: Link) {
        self.outside.network.set_link(from, to, link);
    }

    /// What a node sends on all its paths together, in bytes per second.
    pub fn uplink(&mut self, node: Node, bytes_per_second: u64) {
        self.outside.network.set_uplink(node, bytes_per_second);
    }

    /// How a node's store behaves.
    pub fn store(&mut self, node: Node, behavior: StoreBehavior) {
        self.host_mut(node).store.behavior = behavior;
    }

    /// How a node's host behaves.
    pub fn behavior(&mut self, node: Node, behavior: HostBehavior) {
        self.host_mut(node).behavior = behavior;
    }

    /// The host's clock jumps by so many microseconds.
    pub fn jump_clock(&mut self, node: Node, micros: i64) {
        self.host_mut(node).behavior.clock_off += micros;
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
        self.outside.later(at, Event::Script(Box::new(script)));
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
                Member::Host(host) => {
                    host.up(peer, connection, &self.outside);
                    if let Some(took) = self.outside.network.ping(node, peer) {
                        let at = self.outside.now + took;
                        self.outside.later(at, Event::Pinged { node, peer, connection, took });
                    }
                }
                Member::Actor(cast) => {
                    let connections = cast.connections.entry(peer).or_default();
                    connections.push(connection);
                    if connections.len() == 1 {
                        act(cast, &mut self.outside, |actor, context| {
                            actor.connected(peer, context);
                        });
                    }
                }
            }
            self.dirty.insert(node);
        }
        connection
    }

    /// A connection dies with a message that was on its way, unless the world has healed since.
    pub(crate) fn cut(&mut self, connection: Connection) {
        if self.outside.cuts_per_million > 0 {
            self.kill(connection);
        }
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
            self.outside.later(at, Event::Down { node, peer, connection });
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
        host.start(place, &self.outside);
        self.dirty.insert(node);
        FetchId { node, place }
    }

    /// The user no longer wants these blocks of a fetch.
    pub fn cancel(&mut self, fetch: FetchId, cids: &[Cid]) {
        if let Member::Host(host) = &mut self.members[fetch.node.index()] {
            host.cancel(fetch.place, cids, &self.outside);
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
            act(cast, &mut self.outside, |actor, context| actor.woken(context));
        }
    }

    /// A node loses a block.
    pub fn lose(&mut self, node: Node, number: usize) {
        self.host_mut(node).store.remove(number);
    }
}
