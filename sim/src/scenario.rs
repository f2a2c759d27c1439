//! A scenario, told like a sentence.
//!
//! ```
//! use bitswap_sim::{PeerBehavior, Link, Plan, Scenario};
//! use std::time::Duration;
//!
//! let result = Scenario::new("one peer has the blocks, another one says so and stays silent")
//!     .blocks(20, 8000)
//!     .links(Link::latency_ms(10))
//!     .seeders(1)
//!     .peers(1, PeerBehavior::HaveThenSilent)
//!     .fetched_by(Plan::all_at_once)
//!     .run(1);
//! assert_eq!(result.blocks(), 20);
//! ```

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bitswap_core::{Config, PeerSet, SessionOptions, Timestamp};
use cid::Cid;

use crate::adversary::{PeerBehavior, Server};
use crate::block_set::BlockSet;
use crate::draw;
use crate::fetch::{FetchId, Plan};
use crate::host::HostBehavior;
use crate::link::Link;
use crate::network::Opening;
use crate::node::Node;
use crate::rng::Rng;
use crate::world::World;

/// Who takes part.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Engines that fetch.
    pub fetchers: Vec<Node>,
    /// Engines that have the blocks.
    pub seeders: Vec<Node>,
    /// Scripted peers, in the order in which they were named.
    pub peers: Vec<Node>,
}

type Step = Rc<dyn Fn(&mut World, &Nodes)>;
type Order = Rc<dyn Fn(&[Cid]) -> Plan>;
type Stock = Rc<dyn Fn(usize, usize) -> bool>;

/// A scenario. It is always run twice, and both runs must be the same.
#[derive(Clone)]
pub struct Scenario {
    name: &'static str,
    block_set: BlockSet,
    opening: Opening,
    link: Link,
    fetchers: usize,
    seeders: usize,
    peers: Vec<PeerBehavior>,
    stock: Stock,
    speeds: Vec<u64>,
    seeder_uplink: Option<u64>,
    fetcher_uplink: Option<u64>,
    stagger: Duration,
    acquaintance_per_mille: u32,
    is_watched: bool,
    plan: Order,
    options: SessionOptions<Node>,
    given: PeerSet<usize>,
    config: Config,
    seeder_config: Option<Config>,
    behavior: HostBehavior,
    connected: bool,
    steps: Vec<(Duration, Step)>,
    limit: Duration,
}

impl Scenario {
    /// A scenario of one fetcher, one block and nobody else.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            block_set: BlockSet::equal(1, 8000),
            opening: Opening::Lazy,
            link: Link::latency_ms(10),
            fetchers: 1,
            seeders: 0,
            peers: Vec::new(),
            stock: Rc::new(|_, _| true),
            speeds: Vec::new(),
            seeder_uplink: None,
            fetcher_uplink: None,
            stagger: Duration::ZERO,
            acquaintance_per_mille: 1000,
            is_watched: true,
            plan: Rc::new(Plan::all_at_once),
            options: SessionOptions::default(),
            given: PeerSet::Any,
            config: Config::default(),
            seeder_config: None,
            behavior: HostBehavior::default(),
            connected: true,
            steps: Vec::new(),
            limit: Duration::from_secs(600),
        }
    }

    /// So many blocks of so many bytes.
    #[must_use]
    pub fn blocks(mut self, count: usize, size: usize) -> Self {
        self.block_set = BlockSet::equal(count, size);
        self
    }

    /// All links are like this.
    #[must_use]
    pub fn links(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Streams open at once, and only whole messages count.
    #[must_use]
    pub fn without_handshakes(mut self) -> Self {
        self.opening = Opening::Free;
        self
    }

    /// Engines that fetch; one unless said otherwise.
    #[must_use]
    pub fn fetchers(mut self, count: usize) -> Self {
        self.fetchers = count;
        self
    }

    /// Engines that have the blocks.
    #[must_use]
    pub fn seeders(mut self, count: usize) -> Self {
        self.seeders = count;
        self
    }

    /// Scripted peers that have all blocks.
    #[must_use]
    pub fn peers(mut self, count: usize, behavior: PeerBehavior) -> Self {
        self.peers.extend(std::iter::repeat_n(behavior, count));
        self
    }

    /// Which seeder has which block, by their numbers; all have all unless said otherwise.
    #[must_use]
    pub fn stocked(mut self, has: impl Fn(usize, usize) -> bool + 'static) -> Self {
        self.stock = Rc::new(has);
        self
    }

    /// How many bytes per second each seeder can send to each fetcher.
    #[must_use]
    pub fn speeds(mut self, bytes_per_second: &[u64]) -> Self {
        self.speeds = bytes_per_second.to_vec();
        self
    }

    /// Every seeder sends so many bytes per second at most, on all its paths together.
    #[must_use]
    pub const fn seeder_uplinks(mut self, bytes_per_second: u64) -> Self {
        self.seeder_uplink = Some(bytes_per_second);
        self
    }

    /// Every fetcher sends so many bytes per second at most, on all its paths together; `None`: it has no such limit.
    #[must_use]
    pub const fn fetcher_uplinks(mut self, bytes_per_second: Option<u64>) -> Self {
        self.fetcher_uplink = bytes_per_second;
        self
    }

    /// Each fetcher connects and begins so long after the one before it; all in the same instant unless said otherwise.
    #[must_use]
    pub const fn staggered(mut self, between: Duration) -> Self {
        self.stagger = between;
        self
    }

    /// Engines run without the contract's checker, which takes most of the time of a large world.
    #[must_use]
    pub const fn unwatched(mut self) -> Self {
        self.is_watched = false;
        self
    }

    /// Of the pairs of fetchers so many in a thousand are connected, drawn by the seed: all unless said otherwise. Each
    /// fetcher is connected to every seeder.
    #[must_use]
    pub const fn acquaintance(mut self, per_mille: u32) -> Self {
        self.acquaintance_per_mille = per_mille;
        self
    }

    /// How the blocks are fetched: all at once unless said otherwise.
    #[must_use]
    pub fn fetched_by(mut self, plan: impl Fn(&[Cid]) -> Plan + 'static) -> Self {
        self.plan = Rc::new(plan);
        self
    }

    /// With these options.
    #[must_use]
    pub fn options(mut self, options: SessionOptions<Node>) -> Self {
        self.options = options;
        self
    }

    /// From these seeders, by their numbers, and nobody else.
    #[must_use]
    pub fn only_from(mut self, seeders: &[usize]) -> Self {
        self.given = PeerSet::Only(seeders.to_vec());
        self
    }

    /// From these seeders first.
    #[must_use]
    pub fn preferring(mut self, seeders: &[usize]) -> Self {
        self.given = PeerSet::Prefer(seeders.to_vec());
        self
    }

    /// All engines are configured like this.
    #[must_use]
    pub fn configured(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The engines of the seeders are configured like this, whatever the others are like.
    #[must_use]
    pub fn seeders_configured(mut self, config: Config) -> Self {
        self.seeder_config = Some(config);
        self
    }

    /// The fetchers' hosts behave like this.
    #[must_use]
    pub fn hosted(mut self, behavior: HostBehavior) -> Self {
        self.behavior = behavior;
        self
    }

    /// Nobody is connected at the start.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.connected = false;
        self
    }

    /// This happens so many milliseconds after the fetches began.
    #[must_use]
    pub fn at_ms(mut self, ms: u64, step: impl Fn(&mut World, &Nodes) + 'static) -> Self {
        self.steps.push((Duration::from_millis(ms), Rc::new(step)));
        self
    }

    /// The run ends then at the latest.
    #[must_use]
    pub fn at_most(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The scenario's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs twice.
    ///
    /// # Panics
    ///
    /// When the two runs differ, or an engine breaks its contract.
    #[must_use]
    pub fn run(&self, seed: u64) -> RunResult {
        let (first, second) = (self.play(seed), self.play(seed));
        let told = |result: &RunResult| (result.world.transcript(), result.world.steps());
        assert_eq!(told(&first), told(&second), "{}: two runs of seed {seed} differ", self.name);
        second
    }

    fn play(&self, seed: u64) -> RunResult {
        let mut world = World::new(seed, self.block_set.clone(), self.opening);
        world.every_link(self.link);
        let mut nodes = Nodes::default();
        let host = |world: &mut World, config: &Config| match self.is_watched {
            true => world.host(config.clone()),
            false => world.unwatched_host(config.clone()),
        };
        for _ in 0..self.fetchers {
            let node = host(&mut world, &self.config);
            world.behavior(node, self.behavior);
            nodes.fetchers.push(node);
        }
        for number in 0..self.seeders {
            let node = host(&mut world, self.seeder_config.as_ref().unwrap_or(&self.config));
            let has = |block: &usize| (self.stock)(number, *block);
            world.stock(node, (0..self.block_set.len()).filter(has));
            if let Some(speed) = self.speeds.get(number) {
                for fetcher in &nodes.fetchers {
                    world.link(node, *fetcher, self.link.bytes_per_second(*speed));
                }
            }
            nodes.seeders.push(node);
        }
        for (number, behavior) in self.peers.iter().enumerate() {
            let server = Server::new(*behavior, 0..self.block_set.len(), seed + number as u64);
            nodes.peers.push(world.actor(Box::new(server)));
        }
        for (nodes, uplink) in
            [(&nodes.fetchers, self.fetcher_uplink), (&nodes.seeders, self.seeder_uplink)]
        {
            if let Some(uplink) = uplink {
                nodes.iter().for_each(|node| world.uplink(*node, uplink));
            }
        }
        let mut options = self.options.clone();
        let named =
            |seeders: &[usize]| seeders.iter().map(|number| nodes.seeders[*number]).collect();
        match &self.given {
            PeerSet::Only(seeders) => options.peers = PeerSet::Only(named(seeders)),
            PeerSet::Prefer(seeders) => options.peers = PeerSet::Prefer(named(seeders)),
            _ => {}
        }
        let cids = self.block_set.cids();
        let known = self.acquaintances(&nodes, seed);
        let mut fetches = Vec::new();
        for (after, begin) in self.starts() {
            world.run_until(Timestamp::ZERO + after);
            for (_, a, b) in known.iter().filter(|(from, ..)| begin.contains(from)) {
                world.connect(*a, *b);
            }
            for node in &nodes.fetchers[begin] {
                fetches.push(world.fetch(*node, (self.plan)(&cids), options.clone()));
            }
            if after.is_zero() {
                for (after, step) in &self.steps {
                    let (step, nodes) = (step.clone(), nodes.clone());
                    world.after(*after, move |world| step(world, &nodes));
                }
            }
        }
        // The last step may start something, so the run does not end before it.
        let last = self.steps.iter().map(|(after, _)| *after).max().unwrap_or_default();
        world.run_until(Timestamp::ZERO + last);
        world.run_fetches(Timestamp::ZERO + self.limit);
        RunResult { world, nodes, fetches }
    }

    /// When fetchers begin, by their numbers.
    fn starts(&self) -> Vec<(Duration, Range<usize>)> {
        if self.stagger.is_zero() {
            return vec![(Duration::ZERO, 0..self.fetchers)];
        }
        let start = |place: usize| (self.stagger * place as u32, place..place + 1);
        (0..self.fetchers).map(start).collect()
    }

    /// Who is connected to whom, from the start of which fetcher on: of two fetchers that of the later one.
    fn acquaintances(&self, nodes: &Nodes, seed: u64) -> Vec<(usize, Node, Node)> {
        let mut known = Vec::new();
        if !self.connected {
            return known;
        }
        let mut rng = Rng::new(&draw::seed(seed, u64::MAX), "acquaintance");
        for (place, fetcher) in nodes.fetchers.iter().enumerate() {
            for (later, other) in nodes.fetchers.iter().enumerate().skip(place + 1) {
                if draw::chance(&mut rng, self.acquaintance_per_mille) {
                    known.push((later, *fetcher, *other));
                }
            }
            let others = nodes.seeders.iter().chain(&nodes.peers);
            known.extend(others.map(|peer| (place, *fetcher, *peer)));
        }
        known
    }
}

/// How a run ended.
pub struct RunResult {
    /// The world as it is then.
    pub world: World,
    /// Who took part.
    pub nodes: Nodes,
    /// The fetches, in the order of the fetchers.
    pub fetches: Vec<FetchId>,
}

impl RunResult {
    /// Blocks that the first fetch received.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.world.progress(self.fetches[0]).0
    }

    /// How long the slowest fetch took, each from its own start.
    ///
    /// # Panics
    ///
    /// When one did not end.
    #[must_use]
    pub fn took(&self) -> Duration {
        let all = self.fetches.iter().map(|fetch| self.world.took(*fetch));
        all.map(|took| took.expect("a fetch did not end")).max().unwrap_or_default()
    }

    /// When the last fetch ended, from the start of the first.
    ///
    /// # Panics
    ///
    /// When one did not end.
    #[must_use]
    pub fn ended(&self) -> Duration {
        let all = self.fetches.iter().map(|fetch| self.world.finished(*fetch));
        let last = all.map(|at| at.expect("a fetch did not end")).max();
        last.unwrap_or_default().since(Timestamp::ZERO)
    }

    /// Whether all fetches ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.fetches.iter().all(|fetch| self.world.took(*fetch).is_some())
    }

    /// Bytes of blocks that the first fetcher received beyond those that it wanted, in per mille.
    #[must_use]
    pub fn duplicate_per_mille(&self) -> u64 {
        let counts = self.world.counts(self.nodes.fetchers[0]);
        let wanted: u64 = counts.delivered.iter().map(|block| block.bytes).sum();
        (counts.block_bytes_received - wanted) * 1000 / wanted.max(1)
    }

    /// Lets everything come to rest, and checks that it does: no message, no deadline, and both
    /// ends of each connection agree that nothing is wanted.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn rests(&mut self) {
        rest(&mut self.world);
    }
}

/// Closes all sessions and checks that within 120 s of the last message on its way nothing is said or due any more, and that no
/// engine keeps wants of another.
///
/// # Panics
///
/// When something goes on.
pub fn rest(world: &mut World) {
    for fetch in world.fetches() {
        world.close(fetch);
    }
    let arrived = world.last_arrival().unwrap_or_default().max(world.now());
    world.run_until(arrived + Duration::from_secs(120));
    assert_eq!(world.next_deadline(), None, "a timer is set although nobody wants anything");
    let messages = world.messages();
    world.run_until(world.now() + Duration::from_secs(120));
    assert_eq!(world.messages(), messages, "messages go on although nobody wants anything");
    world.check_agreement();
    for node in world.hosts() {
        let stats = world.engine(node).stats();
        assert_eq!((stats.wants, stats.sent_wants), (0, 0), "{node} keeps wants that nobody has");
    }
}
