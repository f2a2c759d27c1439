//! How many wants a node tells its peers until it has a block, or a file, that few of them have.
//!
//! Every entry costs whoever gets it a lookup, also those who have never heard of the block. So what counts is not the
//! time alone but how many entries leave for each block, and for each peer that is connected.

use std::fmt;
use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Timestamp};

use crate::block_set::BlockSet;
use crate::chart::{self, Chart, Series, Style};
use crate::fetch::Plan;
use crate::link::Link;
use crate::network::Opening;
use crate::node::Node;
use crate::world::World;

/// From one node to another.
const LATENCY_MS: u64 = 20;
/// Bytes of a block.
const SIZE: usize = 8000;
/// Blocks of a file.
const FILE: usize = 100;
/// After so long whoever wants a block that nobody has gives it up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long cancels are still counted after that, or after the last block.
const AFTERMATH: Duration = Duration::from_secs(10);
/// Numbers of connected peers.
const PEERS: [usize; 4] = [1, 10, 100, 1000];

/// Who has what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holders {
    /// Nobody, and lookups of providers find nobody.
    Nobody,
    /// None of the connected peers; a lookup finds somebody else after half a second.
    Provider,
    /// One of the connected peers.
    One,
    /// Each of them.
    All,
}

impl Holders {
    /// All of them, the rarest first.
    pub const ALL: [Self; 4] = [Self::Nobody, Self::Provider, Self::One, Self::All];
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nobody => "nobody for 60 s",
            Self::Provider => "found by a lookup",
            Self::One => "one of them",
            Self::All => "all of them",
        })
    }
}

/// One node that wants a block or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// How many peers are connected.
    pub peers: usize,
    /// Who has what it wants.
    pub holders: Holders,
    /// A file of 100 blocks: a root, its ten nodes, the leaves. One block otherwise.
    pub is_file: bool,
}

/// What runs came to, the median of each figure.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// What was wanted.
    pub asking: Asking,
    /// Until all was there; `None`: half of the runs did not end.
    pub took: Option<Duration>,
    /// The longest time; `None`: a run did not end.
    pub worst: Option<Duration>,
    /// Entries told: want-haves, want-blocks, cancels.
    pub entries: [u64; 3],
    /// Wants told for the blocks after the first one; without any for a single block.
    pub next: u64,
}

/// What one run came to.
struct Run {
    took: Option<Duration>,
    entries: [u64; 3],
}

impl Asking {
    /// Every number of peers, with every number of holders, for a block and for a file.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for is_file in [false, true] {
            for holders in Holders::ALL {
                all.extend(PEERS.map(|peers| Self { peers, holders, is_file }));
            }
        }
        all
    }

    /// How many blocks were asked for: of a file that nobody has, the root alone.
    const fn blocks(&self) -> usize {
        match (self.is_file, self.holders) {
            (false, _) | (true, Holders::Nobody) => 1,
            (true, _) => FILE,
        }
    }

    /// Runs it with each of these seeds.
    #[must_use]
    pub fn run(&self, seeds: impl Iterator<Item = u64>) -> Measured {
        let seeds: Vec<u64> = seeds.collect();
        let runs: Vec<Run> = seeds.iter().map(|seed| self.play(*seed)).collect();
        let median = |mut values: Vec<u64>| {
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let times: Vec<u64> = runs
            .iter()
            .map(|run| run.took.map_or(u64::MAX, |took| took.as_micros() as u64))
            .collect();
        let ended = |time: u64| (time < u64::MAX).then(|| Duration::from_micros(time));
        // Until its root is there a file is fetched as a block is, so what is told beyond that is for the blocks below it.
        let root = Self { is_file: false, ..*self };
        let next = |(run, seed): (&Run, &u64)| match self.blocks() {
            1 => 0,
            _ => run.wants().saturating_sub(root.play(*seed).wants()),
        };
        Measured {
            asking: *self,
            worst: ended(times.iter().copied().max().unwrap_or(u64::MAX)),
            took: ended(median(times)),
            entries: [0, 1, 2]
                .map(|kind| median(runs.iter().map(|run| run.entries[kind]).collect())),
            next: median(runs.iter().zip(&seeds).map(next).collect()),
        }
    }

    fn play(&self, seed: u64) -> Run {
        let blocks = if self.is_file { FILE } else { 1 };
        let block_set = BlockSet::equal(blocks, SIZE);
        let mut world = World::new(seed, block_set.clone(), Opening::Lazy);
        world.every_link(Link::latency_ms(LATENCY_MS));
        let asks = world.unwatched_host(Config::default());
        let peers: Vec<Node> =
            (0..self.peers).map(|_| world.unwatched_host(Config::default())).collect();
        let other = world.unwatched_host(Config::default());
        match self.holders {
            Holders::Nobody => {}
            Holders::Provider => {
                world.stock(other, 0..blocks);
                world.provide(other, 0..blocks);
            }
            // Whom the engine asks first is drawn from its seed, so that any place is as good as another.
            Holders::One => world.stock(peers[self.peers * 7 / 9], 0..blocks),
            Holders::All => peers.iter().for_each(|peer| world.stock(*peer, 0..blocks)),
        }
        for peer in &peers {
            world.connect(asks, *peer);
        }
        let plan = Plan::like_a_file(&block_set.cids());
        let fetch = world.fetch(asks, plan, SessionOptions::default());
        world.run_fetches(Timestamp::ZERO + PATIENCE);
        let took = world.took(fetch);
        world.close(fetch);
        world.run_until(world.now() + AFTERMATH);
        let counts = world.counts(asks);
        Run {
            took,
            entries: [counts.want_haves_sent, counts.want_blocks_sent, counts.cancels_sent],
        }
    }
}

impl Run {
    const fn wants(&self) -> u64 {
        self.entries[0] + self.entries[1]
    }
}

impl Measured {
    /// Want-haves and want-blocks.
    #[must_use]
    pub const fn wants(&self) -> u64 {
        self.entries[0] + self.entries[1]
    }

    /// Wants told for each connected peer.
    #[must_use]
    pub fn wants_per_peer(&self) -> f64 {
        self.wants() as f64 / self.asking.peers as f64
    }

    /// Wants told for each block after the first one, if there were any.
    #[must_use]
    pub fn next_each(&self) -> Option<f64> {
        let next = self.asking.blocks() - 1;
        (next > 0).then(|| self.next as f64 / next as f64)
    }
}

/// The heads of the columns of [`Measured`]: entries for each block, wants for each peer, and for each block after the first.
pub const HEAD: &str = "\
want   peers who has it            haves   blocks  cancels   per peer   next each    median     worst";

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Asking { peers, holders, is_file } = self.asking;
        let [haves, blocks, cancels] =
            self.entries.map(|entries| entries as f64 / self.asking.blocks() as f64);
        let time = |time: Option<Duration>| match time {
            Some(time) => format!("{:.2} s", time.as_secs_f64()),
            None => "never".into(),
        };
        write!(
            f,
            "{:6} {peers:5} {holders:18} {haves:8.2} {blocks:8.2} {cancels:8.2} {:10.3} {:>11} {:>9} {:>9}",
            if is_file { "file" } else { "block" },
            self.wants_per_peer(),
            self.next_each().map_or_else(|| "-".into(), |each| format!("{each:.2}")),
            time(self.took),
            time(self.worst),
        )
    }
}

/// What should be reached with one holder among a thousand peers, each with what was, and whether it was.
#[must_use]
pub fn goals(all: &[Measured]) -> String {
    let of = |is_file| {
        all.iter().find(|measured| {
            measured.asking == Asking { peers: 1000, holders: Holders::One, is_file }
        })
    };
    let (Some(block), Some(file)) = (of(false), of(true)) else {
        return String::new();
    };
    let line = |what: &str, most: f64, was: f64| {
        let ended = if was <= most { "reached" } else { "missed" };
        format!("{what:<64} at most {most:7.1}, was {was:8.2}: {ended}\n")
    };
    let seconds = |time: Option<Duration>| time.map_or(f64::INFINITY, |time| time.as_secs_f64());
    [
        String::from("one holder among 1,000 peers\n"),
        line("  a block is found, seconds, median", 2.0, seconds(block.took)),
        line("  a block is found, seconds, worst", 2.0, seconds(block.worst)),
        line("  wants told until then", 1100.0, block.wants() as f64),
        line("  wants told for each next block", 1.2, file.next_each().unwrap_or(f64::INFINITY)),
        line("  wants told for each peer and file of 100 blocks", 1.2, file.wants_per_peer()),
    ]
    .concat()
}

/// The wants told in all as a picture, over the number of peers.
#[must_use]
pub fn svg(all: &[Measured]) -> String {
    let chart = |is_file: bool, title: &str| Chart {
        title: title.into(),
        x: "connected peers",
        y: "wants told",
        style: Style::Lines,
        series: Holders::ALL
            .map(|holders| Series {
                name: holders.to_string(),
                points: all
                    .iter()
                    .map(|measured| (measured.asking, measured.wants()))
                    .filter(|(asking, _)| asking.holders == holders && asking.is_file == is_file)
                    .map(|(asking, wants)| (asking.peers as f64, wants as f64))
                    .collect(),
            })
            .to_vec(),
    };
    chart::page(
        "Wants told, by who has what is wanted",
        &[chart(false, "One block"), chart(true, "A file of 100 blocks")],
    )
}
