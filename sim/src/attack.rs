//! Attackers beside honest peers, compared with the same world without them.
//!
//! What must hold whatever the attackers do: the honest transfer takes at most [`Attack::allowed`], no
//! engine breaks its contract, none holds more than [`BYTES_PER_ATTACKER`] on behalf of each, when they
//! have left it remembers exactly what it would remember had they never come, and when all have left it
//! takes exactly the memory of a new one.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Stats, Timestamp};

use crate::adversary::{PeerBehavior, Server};
use crate::block_set::BlockSet;
use crate::draw;
use crate::fetch::{FetchId, Plan};
use crate::link::Link;
use crate::network::Opening;
use crate::node::Node;
use crate::rng::Rng;
use crate::scenario::rest;
use crate::world::World;

/// What an engine and the streams in front of it may hold on behalf of one attacker, in bytes.
pub const BYTES_PER_ATTACKER: u64 = 12 << 20;
/// The time that one want may be held up by a peer that says nothing, when nothing is known of it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Blocks are asked for in batches, and streams open, within this time beyond round trips.
const SLACK: Duration = Duration::from_millis(100);
/// The longest that a world runs.
const LIMIT: Duration = Duration::from_secs(600);
/// How often what engines hold is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A run of more steps than this loops.
const STEPS_MAX: u64 = 3_000_000;

/// Blocks of the honest transfer.
const BLOCKS: usize = 100;
/// Their size in bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that only attackers ask for: large ones, and small ones.
const OTHERS: [(usize, usize); 2] = [(16, 1 << 20), (200, 600)];

/// Whose peer an attacker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The engine that fetches.
    Fetcher,
    /// The engines that serve.
    Seeders,
    /// All engines.
    All,
}

/// How the honest peers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// 2 ms and 10 MB/s.
    Fast,
    /// 100 ms and 1 MB/s.
    Slow,
}

impl Speed {
    const fn link(self) -> Link {
        let (ms, rate) = match self {
            Self::Fast => (2, 10_000_000),
            Self::Slow => (100, 1_000_000),
        };
        Link {
            latency: Duration::from_millis(ms),
            jitter: Duration::ZERO,
            bandwidth: Some(rate),
            buffer: 64 << 10,
        }
    }
}

/// One attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attacker {
    /// What it does.
    pub behavior: PeerBehavior,
    /// How it answers wants, if its behavior says nothing about that.
    pub manner: PeerBehavior,
    /// Wants that it answers honestly before it turns.
    pub honest_first: u32,
    /// Whose peer it is.
    pub victim: Victim,
    /// When it connects, after the transfer began.
    pub joins: Duration,
    /// Latency of its links.
    pub latency: Duration,
}

/// A world with attackers.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What everything that is not said here is drawn from.
    pub seed: u64,
    /// The attackers.
    pub attackers: Vec<Attacker>,
    /// Honest engines that have all blocks.
    pub seeders: usize,
    /// How they are connected.
    pub speed: Speed,
    /// Blocks that are asked for at a time.
    pub batch: usize,
    /// Told every message, a line each.
    pub tell: Option<fn(&str)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Attacked {
    /// How long the transfer takes without attackers.
    pub alone: Duration,
    /// How long it took beside them.
    pub beside: Duration,
    /// How long it was allowed to take.
    pub allowed: Duration,
    /// The most that one engine and its streams held beyond what they hold without attackers, in bytes.
    pub held: u64,
    /// Things that happened in both worlds.
    pub steps: u64,
    /// A hash over what all engines said beside attackers.
    pub transcript: u64,
}

impl fmt::Display for Attacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (alone, beside) = (self.alone.as_secs_f64(), self.beside.as_secs_f64());
        let (allowed, held) = (self.allowed.as_secs_f64(), self.held >> 10);
        write!(
            f,
            "{alone:7.3} s alone, {beside:7.3} s beside, {allowed:7.3} s allowed, {held:6} KiB"
        )
    }
}

impl Attack {
    /// One attacker beside one honest pair.
    #[must_use]
    pub fn of(behavior: PeerBehavior, victim: Victim, speed: Speed) -> Self {
        let attacker = Attacker {
            behavior,
            manner: PeerBehavior::Silent,
            honest_first: 0,
            victim,
            joins: Duration::ZERO,
            latency: speed.link().latency,
        };
        let attackers = vec![attacker];
        Self { seed: 1, attackers, seeders: 1, speed, batch: BLOCKS, tell: None }
    }

    /// A random combination: up to all but one of the victim's peers attack.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(&draw::seed(seed, 1), "attack");
        let speed = if draw::chance(&mut rng, 500) { Speed::Fast } else { Speed::Slow };
        let seeders = if draw::chance(&mut rng, 600) { 1 } else { 2 };
        let count = 1 + draw::skewed(&mut rng, 0, 8);
        let attacker = |rng: &mut Rng| Attacker {
            behavior: PeerBehavior::draw(rng),
            manner: PeerBehavior::draw(rng),
            honest_first: if draw::chance(rng, 300) { draw::skewed(rng, 1, 40) as u32 } else { 0 },
            victim: [Victim::Fetcher, Victim::Seeders, Victim::All][rng.below(3) as usize],
            joins: if draw::chance(rng, 600) {
                Duration::ZERO
            } else {
                Duration::from_millis(draw::skewed(rng, 0, 5000))
            },
            latency: Duration::from_micros(draw::skewed(rng, 100, 200_000)),
        };
        let attackers = (0..count).map(|_| attacker(&mut rng)).collect();
        let batch = [1, 10, BLOCKS, BLOCKS][rng.below(4) as usize];
        Self { seed, attackers, seeders, speed, batch, tell: None }
    }

    /// How long the transfer may take that takes `alone` without attackers: half as long again, twice as
    /// long when all peers but one attack, and the time in which it is found out who answers.
    #[must_use]
    pub fn allowed(&self, alone: Duration) -> Duration {
        let attackers = self.attackers.len() as u32;
        let colluders = attackers > 1 && self.seeders == 1;
        let times = if colluders { 4 } else { 3 };
        let doublings = (attackers + 1).next_power_of_two().ilog2();
        alone * times / 2 + TIMEOUT * doublings + SLACK
    }

    /// Leaves out these attackers, by their place.
    #[must_use]
    pub fn without(mut self, places: &[usize]) -> Self {
        let mut place = 0..;
        self.attackers.retain(|_| place.next().is_none_or(|place| !places.contains(&place)));
        self
    }

    /// Runs the world without attackers and with them.
    ///
    /// # Errors
    ///
    /// Which promise was not kept.
    ///
    /// # Panics
    ///
    /// When an engine breaks its contract.
    pub fn run(&self) -> Result<Attacked, String> {
        let calm = Played::play(self, &[])?;
        let beside = Played::play(self, &self.attackers)?;
        let (alone, took) = (calm.took, beside.took);
        let allowed = self.allowed(alone);
        let held = beside.held.saturating_sub(calm.held);
        let outcome = Attacked {
            alone,
            beside: took,
            allowed,
            held,
            steps: calm.world.steps() + beside.world.steps(),
            transcript: beside.world.transcript(),
        };
        if took > allowed {
            return Err(format!("the honest transfer takes too long: {outcome}"));
        }
        let most = BYTES_PER_ATTACKER * self.attackers.len() as u64;
        if held > most {
            return Err(format!("{held} B are held for them, at most {most}"));
        }
        if calm.left != beside.left {
            let (calm, beside) = (calm.left, beside.left);
            return Err(format!("they left something behind: {beside:?}, without them {calm:?}"));
        }
        Ok(outcome)
    }
}

/// A world that was run to its end.
struct Played {
    world: World,
    took: Duration,
    /// The most that one engine and its streams held.
    held: u64,
    /// What each engine held when the attackers had left.
    left: Vec<Left>,
}

/// What an engine remembers; memory is another matter while others are connected, since a page of rows
/// is there as long as one row in it is.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    peers: u32,
    sessions: u32,
    wants: u32,
    sent_wants: u32,
    ledger: u32,
    response_bytes: u64,
}

impl From<Stats> for Left {
    fn from(stats: Stats) -> Self {
        let Stats { peers, sessions, wants, sent_wants, ledger, response_bytes, .. } = stats;
        Self { peers, sessions, wants, sent_wants, ledger, response_bytes }
    }
}

impl Played {
    fn play(attack: &Attack, attackers: &[Attacker]) -> Result<Self, String> {
        let block_set = block_set();
        let mut world = World::new(attack.seed, block_set.clone(), Opening::RoundTrip);
        world.limit_steps(STEPS_MAX);
        if let Some(tell) = attack.tell.filter(|_| !attackers.is_empty()) {
            world.trace(tell);
        }
        world.every_link(attack.speed.link());
        let fetcher = world.host(Config::default());
        let seeders: Vec<Node> =
            (0..attack.seeders).map(|_| world.host(Config::default())).collect();
        world.stock(fetcher, BLOCKS..block_set.len());
        for seeder in &seeders {
            world.stock(*seeder, 0..block_set.len());
            world.connect(fetcher, *seeder);
        }
        for (place, attacker) in attackers.iter().enumerate() {
            let victims = match attacker.victim {
                Victim::Fetcher => vec![fetcher],
                Victim::Seeders => seeders.clone(),
                Victim::All => [&[fetcher][..], &seeders].concat(),
            };
            join(&mut world, *attacker, attack.seed.wrapping_add(place as u64), victims);
        }
        let cids = &block_set.cids()[..BLOCKS];
        let plan = Plan::in_batches(cids, attack.batch);
        let fetch = world.fetch(fetcher, plan, SessionOptions::default());
        let held = watch(&mut world, fetch)?;
        let took = world.took(fetch).ok_or_else(|| world.explain(fetch))?;
        // The attack goes on for a while after the transfer, and then they leave.
        let last = attackers.iter().map(|attacker| attacker.joins).max().unwrap_or_default();
        let end = world.now().max(Timestamp::ZERO + last) + Duration::from_secs(2);
        world.run_until(end);
        let hosts = world.hosts();
        for actor in world.actors() {
            hosts.iter().for_each(|host| world.disconnect(*host, actor));
        }
        rest(&mut world);
        let left = hosts.iter().map(|host| world.engine(*host).stats().into()).collect();
        seeders.iter().for_each(|seeder| world.disconnect(fetcher, *seeder));
        world.run_until(world.now() + Duration::from_secs(1));
        let new = world.host(Config::default());
        let new = world.engine(new).held_bytes();
        for host in hosts {
            let held = world.engine(host).held_bytes();
            if held != new {
                return Err(format!(
                    "{host} holds {held} B after all have left, a new one {new} B"
                ));
            }
        }
        Ok(Self { world, took, held, left })
    }
}

/// Runs until the transfer has ended, and looks at what engines hold meanwhile.
fn watch(world: &mut World, fetch: FetchId) -> Result<u64, String> {
    let mut held = 0;
    while !world.has_ended(fetch) {
        if world.now() >= Timestamp::ZERO + LIMIT {
            return Err(format!("the honest transfer does not end: {}", world.explain(fetch)));
        }
        world.run_fetches(world.now() + LOOK_EVERY);
        for host in world.hosts() {
            let engine = world.engine(host);
            let own = engine.held_bytes() + engine.stats().response_bytes;
            let streams = world.counts(host).gate_bytes_max;
            held = held.max(own + streams);
        }
    }
    Ok(held)
}

fn join(world: &mut World, attacker: Attacker, seed: u64, victims: Vec<Node>) {
    let server = Server::new(attacker.behavior, 0..BLOCKS, seed)
        .answering(attacker.manner)
        .honest_first(attacker.honest_first)
        .writing_bytes();
    let node = world.attacker(server);
    for victim in &victims {
        let link = Link { latency: attacker.latency, ..Link::default() };
        world.link(node, *victim, link);
        let rate = attacker.behavior.reads_per_second();
        world.link(*victim, node, Link { bandwidth: rate, ..link });
    }
    let come = move |world: &mut World| {
        for victim in victims {
            world.connect(node, victim);
        }
    };
    if attacker.joins.is_zero() {
        come(world);
    } else {
        world.after(attacker.joins, come);
    }
}

/// The blocks of all these worlds; hashed once.
fn block_set() -> BlockSet {
    static UNIVERSE: OnceLock<BlockSet> = OnceLock::new();
    let all = || {
        let others = OTHERS.into_iter().flat_map(|(count, size)| std::iter::repeat_n(size, count));
        BlockSet::new(std::iter::repeat_n(BLOCK_BYTES, BLOCKS).chain(others))
    };
    UNIVERSE.get_or_init(all).clone()
}
