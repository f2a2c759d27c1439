//! One run of one case.

use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Timestamp, Version};

use super::cases::Case;
use super::floor::{Seed, floor};
use crate::baseline::Baseline;
use crate::block_set::BlockSet;
use crate::draw;
use crate::fetch::Plan;
use crate::link::Link;
use crate::network::Opening;
use crate::node::Node;
use crate::rng::Rng;
use crate::store::StoreBehavior;
use crate::world::World;

/// How long a run may take in virtual time.
const LONGEST: Duration = Duration::from_secs(120);
/// How long messages are still counted after the last block.
const AFTERMATH: Duration = Duration::from_secs(10);

/// What one run came to. Counts are per fetcher.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Virtual time until the last fetcher had all blocks, in microseconds; `None`: never.
    pub micros: Option<u64>,
    /// The least time that it could have taken on the links of this run, in microseconds.
    pub floor_micros: u64,
    /// Messages that a fetcher sent.
    pub sent: u64,
    /// Messages that a fetcher received.
    pub received: u64,
    /// Blocks that a fetcher received.
    pub blocks: u64,
    /// Real time spent in a fetcher's engine, in microseconds.
    pub cpu_micros: u64,
    /// A hash of all outputs of all engines: equal runs have equal transcripts.
    pub transcript: u64,
}

/// Runs a case.
#[must_use]
pub fn run(case: &Case, block_set: &BlockSet, seed: u64) -> Outcome {
    play(case, block_set, seed, World::unwatched_host, None)
}

/// Runs a case under the checker's watch. The engine's time is then not its own.
#[must_use]
pub fn run_watched(case: &Case, block_set: &BlockSet, seed: u64) -> Outcome {
    play(case, block_set, seed, World::host, None)
}

/// Runs a case with baseline nodes instead of engines.
#[must_use]
pub fn run_baseline(
    case: &Case,
    block_set: &BlockSet,
    seed: u64,
    tell: Option<fn(&str)>,
) -> Outcome {
    let mut rng = Rng::new(&draw::seed(seed, 0), case.name);
    let mut world = World::new(seed, block_set.clone(), Opening::Free);
    if let Some(tell) = tell {
        world.trace(tell);
    }
    let store = Duration::from_millis(case.store_ms);
    let fetcher =
        world.actor(Box::new(Baseline::new(case.plan(block_set), &[], seed, Duration::ZERO)));
    let mut seen = Vec::new();
    for blocks in case.stock(&mut rng) {
        let peer = world.actor(Box::new(Baseline::new(Plan::default(), &blocks, seed, store)));
        seen.push(Seed::new(&blocks, store, link(&mut world, case, &mut rng, fetcher, peer)));
        world.connect(fetcher, peer);
    }
    world.wake(fetcher);
    world.run_until(Timestamp::ZERO + LONGEST);
    let counts = world.counts(fetcher);
    Outcome {
        micros: world.actor_finished(fetcher).map(Timestamp::as_micros),
        floor_micros: floor(case, block_set, &seen).as_micros() as u64,
        sent: counts.messages_sent,
        received: counts.messages_received,
        blocks: counts.blocks_received,
        cpu_micros: 0,
        transcript: 0,
    }
}

/// Draws the paths between two nodes: the way there and the way back.
fn link(world: &mut World, case: &Case, rng: &mut Rng, a: Node, b: Node) -> [Link; 2] {
    [(a, b), (b, a)].map(|(from, to)| {
        let link = case.links.draw(rng);
        world.link(from, to, link);
        link
    })
}

/// Runs a case and tells every message, a line each.
#[must_use]
pub fn run_verbose(case: &Case, block_set: &BlockSet, seed: u64, tell: fn(&str)) -> Outcome {
    play(case, block_set, seed, World::unwatched_host, Some(tell))
}

fn play(
    case: &Case,
    block_set: &BlockSet,
    seed: u64,
    host: fn(&mut World, Config) -> Node,
    tell: Option<fn(&str)>,
) -> Outcome {
    let mut rng = Rng::new(&draw::seed(seed, 0), case.name);
    let mut world = World::new(seed, block_set.clone(), Opening::Free);
    if let Some(tell) = tell {
        world.trace(tell);
    }
    world.searches_take(Duration::ZERO);
    let fetchers: Vec<Node> =
        (0..case.fetchers).map(|_| host(&mut world, Config::default())).collect();
    let seeds: Vec<Node> = (0..case.seeds).map(|_| host(&mut world, Config::default())).collect();
    let store = Duration::from_millis(case.store_ms);
    let stock = case.stock(&mut rng);
    for (node, blocks) in seeds.iter().zip(&stock) {
        world.stock(*node, blocks.iter().copied());
        world.store(*node, StoreBehavior { latency: store, ..StoreBehavior::default() });
        if case.old_seeds {
            world.speaks(*node, Some(Version::V1_1));
        }
    }
    // Seeds have nothing to say to each other, so only pairs with a fetcher are connected.
    let mut least = Duration::ZERO;
    for (place, fetcher) in fetchers.iter().enumerate() {
        for peer in fetchers.iter().skip(place + 1) {
            link(&mut world, case, &mut rng, *fetcher, *peer);
            world.connect(*fetcher, *peer);
        }
        let mut seen = Vec::new();
        for (peer, blocks) in seeds.iter().zip(&stock) {
            let paths = link(&mut world, case, &mut rng, *fetcher, *peer);
            seen.push(Seed::new(blocks, store, paths));
            world.connect(*fetcher, *peer);
        }
        // Fetchers keep nothing, so that all of them get everything from seeds.
        least = least.max(floor(case, block_set, &seen));
    }
    let fetches: Vec<_> = fetchers
        .iter()
        .map(|node| world.fetch(*node, case.plan(block_set), SessionOptions::default()))
        .collect();
    world.run_fetches(Timestamp::ZERO + LONGEST);
    let micros = fetches
        .iter()
        .map(|fetch| Some(world.took(*fetch)?.as_micros() as u64))
        .reduce(|a, b| Some(a?.max(b?)))
        .flatten();
    world.run_until(world.now() + AFTERMATH);
    let mean = |count: fn(&crate::counts::Counts) -> u64| {
        let sum: u64 = fetchers.iter().map(|node| count(world.counts(*node))).sum();
        sum.div_ceil(fetchers.len() as u64)
    };
    Outcome {
        micros,
        floor_micros: least.as_micros() as u64,
        sent: mean(|counts| counts.messages_sent),
        received: mean(|counts| counts.messages_received),
        blocks: mean(|counts| counts.blocks_received),
        cpu_micros: mean(|counts| counts.cpu.as_micros() as u64),
        transcript: world.transcript(),
    }
}
