//! Looking at a world.

use super::*;

impl World {
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
    pub fn block_set(&self) -> &BlockSet {
        &self.outside.block_set
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

    /// When a fetch had everything; `None` while it runs.
    #[must_use]
    pub fn finished(&self, fetch: FetchId) -> Option<Timestamp> {
        self.host_ref(fetch.node).fetches[fetch.place].finished
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
            let number = self.outside.block_set.number(cid);
            let engine = host.engine.engine();
            let outcome = state.session.map(|session| engine.diagnose(session, cid));
            format!("{number:?}: {outcome:?}")
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

    /// Scripted nodes.
    #[must_use]
    pub fn actors(&self) -> Vec<Node> {
        let actors = self.members.iter().filter_map(|member| match member {
            Member::Host(_) => None,
            Member::Actor(cast) => Some(cast.name),
        });
        actors.collect()
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
                host.store.behavior = StoreBehavior::default();
                host.behavior.drains_late = Duration::ZERO;
                host.behavior.disk = None;
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
                let met = one.met_with(*b);
                if met.is_some() && met == other.met_with(*a) {
                    one.engine.agrees_with(*a, &other.engine, *b);
                }
            }
        }
    }

    /// When the last message arrives of those that are on their way, some of them on links as slow as they once
    /// were.
    #[must_use]
    pub fn last_arrival(&self) -> Option<Timestamp> {
        let is_arrival =
            |event: &Event| matches!(event, Event::Deliver { .. } | Event::Bytes { .. });
        self.outside.queue.last_at(is_arrival)
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
}
