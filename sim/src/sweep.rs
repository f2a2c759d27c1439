//! Many seeds, each with its own mixture of faults: first a storm, then everything heals and must
//! come to an end.

use std::time::Duration;

use bitswap_core::{Config, PeerSet, SessionOptions, Timestamp, Version, WhenMissing};

use crate::adversary::{PAUSES, PeerBehavior, Server};
use crate::block_set::BlockSet;
use crate::draw;
use crate::fetch::Plan;
use crate::host::HostBehavior;
use crate::link::Link;
use crate::network::Opening;
use crate::node::Node;
use crate::rng::Rng;
use crate::scenario::rest;
use crate::store::StoreBehavior;
use crate::world::World;

/// How long the storm lasts.
const STORM: Duration = Duration::from_secs(20);
/// In which time everything must end once the world has healed. The longest back-off between two
/// searches is reached after minutes, and peers that were silent are asked again only then.
const HEALED_WITHIN: Duration = Duration::from_secs(1500);
/// A run of more steps than this loops.
const STEPS_MAX: u64 = 3_000_000;

/// What one seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    /// Things that happened.
    pub steps: u64,
    /// Blocks delivered.
    pub blocks: u64,
    /// A hash over what all engines said.
    pub transcript: u64,
}

/// Declares the kinds of faults with their names.
macro_rules! faults {
    ($($name:ident)*) => {
        /// Which faults a seed has, drawn so that every mixture occurs, also none.
        #[derive(Clone, Debug)]
        struct Faults {
            $($name: bool,)*
        }

        /// The names of all kinds of faults, as [`Sweep::without`] takes them.
        pub const FAULTS: &[&str] = &[$(stringify!($name)),*];

        impl Faults {
            fn draw(rng: &mut Rng) -> Self {
                // Some seeds are calm, some wild.
                let often = [0, 100, 300, 600][rng.below(4) as usize];
                Self { $($name: draw::chance(rng, often),)* }
            }

            fn turn_off(&mut self, kind: &str) {
                match kind {
                    $(stringify!($name) => self.$name = false,)*
                    _ => {}
                }
            }
        }
    };
}

faults! {
    jitter
    slow_links
    cuts
    flips
    flapping
    several_connections
    clogs
    slow_stores
    failing_stores
    late_hosts
    slow_disks
    clock_jumps
    old_versions
    liars
    cancels
    small_windows
}

/// One seed to run.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// What everything else is drawn from.
    pub seed: u64,
    /// Half of the sessions ask peers of their own first.
    pub prefers: bool,
    /// Kinds of faults left out: names in [`FAULTS`].
    pub without: Vec<String>,
    /// Told every message, a line each.
    pub tell: Option<fn(&str)>,
}

impl Sweep {
    /// The seed with all its faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Leaves out every kind of fault that the failure of this seed does not need. Runs the seed once
    /// for each kind; the seed must fail.
    #[must_use]
    pub fn shrink(mut self) -> Self {
        for kind in FAULTS {
            self.without.push((*kind).to_owned());
            if std::panic::catch_unwind(|| sweep(&self)).is_ok() {
                self.without.pop();
            }
        }
        self
    }
}

/// Runs one seed.
///
/// # Panics
///
/// When an engine breaks its contract or something does not end after healing.
pub fn sweep(run: &Sweep) -> Swept {
    let seed = run.seed;
    let mut rng = Rng::new(&draw::seed(seed, 0), "sweep");
    let mut faults = Faults::draw(&mut rng);
    run.without.iter().for_each(|kind| faults.turn_off(kind));
    let count = draw::between(&mut rng, 1, 40) as usize;
    let size = draw::skewed(&mut rng, 10, 50_000) as usize;
    let block_set = BlockSet::equal(count, size);
    // From a draw of its own, so that all else in the world is as with the other.
    let opening = match Rng::new(&draw::seed(seed, 2), "opening").below(2) {
        0 => Opening::RoundTrip,
        _ => Opening::Lazy,
    };
    let mut world = World::new(seed, block_set.clone(), opening);
    if let Some(tell) = run.tell {
        world.trace(tell);
    }
    world.limit_steps(STEPS_MAX);
    world.note(|| format!("{count} blocks of {size} B, {faults:?}"));
    let hosts: Vec<Node> =
        (0..draw::between(&mut rng, 2, 6)).map(|_| world.host(Config::default())).collect();
    set_up_hosts(&mut world, &hosts, &faults, count, &mut rng);
    let nodes = add_liars(&mut world, &hosts, &faults, count, &mut rng);
    set_up_links(&mut world, &nodes, &faults, &mut rng);
    connect_all(&mut world, &hosts, &nodes, &faults, &mut rng);
    // From draws of their own, so that all else in the world is as without.
    let preferences = run.prefers.then(|| Rng::new(&draw::seed(seed, 1), "preferences"));
    start_fetches(&mut world, &hosts, &faults, &block_set, &mut rng, preferences);
    script_storm(&mut world, &hosts, &nodes, &faults, &mut rng);
    world.run_until(Timestamp::ZERO + STORM);
    heal(&mut world, &hosts, &nodes, count);
    let limit = world.now() + HEALED_WITHIN;
    world.run_fetches(limit);
    for fetch in world.fetches() {
        assert!(world.has_ended(fetch), "did not end after healing: {}", world.explain(fetch));
    }
    rest(&mut world);
    let blocks = hosts.iter().map(|node| world.counts(*node).blocks_delivered()).sum();
    Swept { steps: world.steps(), blocks, transcript: world.transcript() }
}

fn set_up_hosts(world: &mut World, hosts: &[Node], faults: &Faults, count: usize, rng: &mut Rng) {
    for node in hosts {
        let share = rng.below(1001) as u32;
        let stock: Vec<usize> = (0..count).filter(|_| draw::chance(rng, share)).collect();
        if draw::chance(rng, 500) {
            world.provide(*node, stock.iter().copied());
        }
        world.stock(*node, stock);
        let ms = |rng: &mut Rng, most| Duration::from_millis(draw::skewed(rng, 0, most));
        let mut store = StoreBehavior::default();
        if faults.slow_stores {
            store.latency = ms(rng, 500);
            store.jitter = ms(rng, 3000);
        }
        if faults.failing_stores {
            store.fails_per_mille = rng.below(300) as u32;
            store.rot_per_mille = rng.below(100) as u32;
        }
        world.store(*node, store);
        let mut behavior =
            HostBehavior { keeps_blocks: draw::chance(rng, 700), ..Default::default() };
        if faults.late_hosts {
            behavior.drains_late = ms(rng, 2000);
        }
        if faults.slow_disks {
            behavior.disk = Some(draw::skewed(rng, 10_000, 100_000_000));
        }
        world.behavior(*node, behavior);
        if faults.old_versions && draw::chance(rng, 400) {
            world.speaks(*node, Some(Version::V1_1));
        }
    }
}

fn add_liars(
    world: &mut World,
    hosts: &[Node],
    faults: &Faults,
    count: usize,
    rng: &mut Rng,
) -> Vec<Node> {
    let mut nodes = hosts.to_vec();
    if faults.liars {
        for _ in 0..draw::between(rng, 1, 4) {
            let behavior =
                PeerBehavior::BASIC[rng.below(PeerBehavior::BASIC.len() as u64) as usize];
            let seed = rng.next_u64();
            let pause = PAUSES[(seed % PAUSES.len() as u64) as usize];
            let server = Server::new(behavior.with_pause(pause), 0..count, seed);
            nodes.push(world.actor(Box::new(server)));
        }
    }
    nodes
}

fn set_up_links(world: &mut World, nodes: &[Node], faults: &Faults, rng: &mut Rng) {
    for from in nodes {
        for to in nodes {
            let mut link = Link {
                latency: Duration::from_micros(draw::skewed(rng, 50, 400_000)),
                ..Link::default()
            };
            if faults.jitter {
                link.jitter = Duration::from_micros(draw::skewed(rng, 0, 500_000));
            }
            if faults.slow_links {
                link.bandwidth = Some(draw::skewed(rng, 20_000, 50_000_000));
                link.buffer = draw::skewed(rng, 0, 262_144);
            }
            if from != to {
                world.link(*from, *to, link);
            }
        }
    }
    let per_million = |on: bool, most: u64, rng: &mut Rng| {
        if on { draw::skewed(rng, 100, most) as u32 } else { 0 }
    };
    let cuts = per_million(faults.cuts, 50_000, rng);
    let flips = per_million(faults.flips, 100_000, rng);
    world.spoil(cuts, flips);
}

fn connect_all(world: &mut World, hosts: &[Node], nodes: &[Node], faults: &Faults, rng: &mut Rng) {
    for (place, a) in hosts.iter().enumerate() {
        for b in nodes.iter().skip(place + 1) {
            if draw::chance(rng, 800) {
                world.connect(*a, *b);
            }
            if faults.several_connections && draw::chance(rng, 500) {
                world.connect(*a, *b);
            }
        }
    }
}

fn start_fetches(
    world: &mut World,
    hosts: &[Node],
    faults: &Faults,
    block_set: &BlockSet,
    rng: &mut Rng,
    mut preferences: Option<Rng>,
) {
    for node in hosts {
        for _ in 0..rng.below(3) {
            let share = 100 + rng.below(901) as u32;
            let mut cids = block_set.cids();
            draw::shuffle(rng, &mut cids);
            cids.retain(|_| draw::chance(rng, share));
            let plan = match rng.below(4) {
                0 => Plan::one_at_a_time(&cids),
                1 => Plan::in_batches(&cids, 10),
                2 => Plan::all_concurrently(&cids),
                _ => Plan::all_at_once(&cids),
            };
            let mut options = SessionOptions::default();
            if draw::chance(rng, 200) {
                let others = hosts.iter().copied().filter(|other| other != node);
                options.peers = PeerSet::Only(others.collect());
            }
            if let Some(rng) = &mut preferences
                && draw::chance(rng, 500)
            {
                let share = rng.below(1001) as u32;
                let others = hosts.iter().copied().filter(|other| other != node);
                options.peers =
                    PeerSet::Prefer(others.filter(|_| draw::chance(rng, share)).collect());
            }
            if draw::chance(rng, 200) {
                options.when_missing = WhenMissing::Fail;
            }
            if draw::chance(rng, 200) {
                let ms = draw::between(rng, 100, 20_000);
                options.want_timeout = Some(Duration::from_millis(ms));
            }
            if faults.small_windows {
                options.window_bytes = draw::skewed(rng, 1, 1 << 20);
            }
            options.find_providers = draw::chance(rng, 700);
            let (node, at) = (*node, draw::up_to(rng, STORM / 2));
            world.after(at, move |world| {
                world.fetch(node, plan, options);
            });
        }
    }
}

fn script_storm(world: &mut World, hosts: &[Node], nodes: &[Node], faults: &Faults, rng: &mut Rng) {
    let pick = |from: &[Node], rng: &mut Rng| from[rng.below(from.len() as u64) as usize];
    for _ in 0..draw::between(rng, 0, 30) {
        let (a, b) = (pick(hosts, rng), pick(nodes, rng));
        if a == b {
            continue;
        }
        let at = draw::up_to(rng, STORM);
        let back = Duration::from_millis(draw::skewed(rng, 0, 5000));
        let kind = rng.below(5);
        match kind {
            0 if faults.flapping => world.after(at, move |world| {
                world.disconnect(a, b);
                world.after(back, move |world| {
                    world.connect(a, b);
                });
            }),
            1 if faults.flapping => world.after(at, move |world| {
                if let Some(connection) = world.connections(a, b).first().copied() {
                    world.kill(connection);
                }
                world.after(back, move |world| {
                    world.connect(a, b);
                });
            }),
            2 if faults.clogs => world.after(at, move |world| {
                world.clog(a, b, world.now() + back * 3);
            }),
            3 if faults.clock_jumps => {
                let micros = draw::between(rng, 0, 60_000_000) as i64 - 10_000_000;
                world.after(at, move |world| world.jump_clock(a, micros));
            }
            4 if faults.cancels => {
                let portion = rng.below(4) as usize + 1;
                world.after(at, move |world| {
                    let cids: Vec<_> =
                        world.block_set().cids().into_iter().step_by(portion).collect();
                    for fetch in world.fetches_of(a) {
                        world.cancel(fetch, &cids);
                    }
                });
            }
            _ => {}
        }
    }
}

/// Everything works again, and the first host has every block.
fn heal(world: &mut World, hosts: &[Node], nodes: &[Node], count: usize) {
    world.heal();
    for number in 0..count {
        world.put(hosts[0], number);
    }
    for (place, a) in hosts.iter().enumerate() {
        for b in nodes.iter().skip(place + 1) {
            if world.connections(*a, *b).is_empty() {
                world.connect(*a, *b);
            }
        }
    }
}
