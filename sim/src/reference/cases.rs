//! The reference implementation's benchmark cases, with what it was measured at and our goals.

use std::time::Duration;

use crate::block_set::BlockSet;
use crate::draw;
use crate::fetch::Plan;
use crate::link::Link;
use crate::rng::Rng;

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Nodes that fetch.
    pub fetchers: u16,
    /// Nodes that have blocks.
    pub seeds: u16,
    /// The seeds speak 1.1.0, so they cannot say DONT_HAVE.
    pub old_seeds: bool,
    /// Blocks fetched.
    pub blocks: usize,
    /// Their sizes.
    pub sizes: Sizes,
    /// Which seed has which blocks.
    pub spread: Spread,
    /// In which order they are fetched.
    pub order: Order,
    /// Latency and bandwidth of the links.
    pub links: Links,
    /// Time that a seed's store takes for a lookup.
    pub store_ms: u64,
    /// What the reference implementation was measured at.
    pub measured: Figures,
    /// What the median run must reach.
    pub goal: Goal,
}

/// Block sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// A root of 800 bytes, then 8000 bytes each.
    SmallRoot,
    /// All of this size.
    Equal(usize),
}

/// Which seed has which blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All have all.
    AllToAll,
    /// Of two seeds the first has blocks 0 to 74, the second 25 to 99.
    Overlap1,
    /// Of two seeds the first has even blocks, the second odd ones, both every third.
    Overlap3,
    /// One seed each, drawn.
    OnePeerPerBlock,
}

/// In which order blocks are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other.
    OneAtATime,
    /// Ten, and the next ten when all have come.
    BatchBy10,
    /// All in one call.
    BigBatch,
    /// All at once, each by its own call.
    AllConcurrent,
    /// 1, 10, then the rest.
    UnixfsFetch,
    /// 1, 10, 89, then rounds of five groups of ten.
    UnixfsFetchLarge,
}

/// Latencies and bandwidths; each direction of each pair of nodes draws its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// 10 ms one way, no limit.
    Fixed,
    /// 5 ms, deviation 3 ms; 125 MB/s, deviation 3 MB/s.
    Datacenter,
    /// 60 ms, deviation 20 ms; 1.25 MB/s, deviation 0.3 MB/s.
    Fast,
    /// As fast, 30 % with 140 ms more and 30 % with 740 ms more; 0.5 MB/s, deviation 0.08 MB/s.
    Average,
    /// As fast, 30 % with 140 ms more and 30 % with 3940 ms more; 0.1 MB/s, deviation 16.5 kB/s.
    Slow,
}

/// What the reference implementation was measured at.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Time to fetch everything, in milliseconds.
    pub ms: u64,
    /// Messages sent by the fetcher.
    pub sent: u64,
    /// Messages received by the fetcher.
    pub received: u64,
    /// Blocks received by the fetcher, duplicates included.
    pub blocks: u64,
}

/// What the median run must reach.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Time to fetch everything, in microseconds.
    pub micros: u64,
    /// Messages sent.
    pub sent: u64,
    /// Blocks received.
    pub blocks: u64,
}

impl Case {
    /// The blocks of the case.
    #[must_use]
    pub fn block_set(&self) -> BlockSet {
        BlockSet::new((0..self.blocks).map(|number| match self.sizes {
            Sizes::SmallRoot if number == 0 => 800,
            Sizes::SmallRoot => 8000,
            Sizes::Equal(size) => size,
        }))
    }

    /// Whether a fetcher must find out who has which block, as no peer has all of them.
    #[must_use]
    pub fn has_holders_to_find(&self) -> bool {
        self.spread != Spread::AllToAll
    }

    /// The most that the median run may take of the least time possible, in per mille: more where holders must be found.
    #[must_use]
    pub fn floor_goal(&self) -> u64 {
        if self.has_holders_to_find() { 1250 } else { 1100 }
    }

    /// The plan of each fetcher.
    #[must_use]
    pub fn plan(&self, block_set: &BlockSet) -> Plan {
        let cids = block_set.cids();
        match self.order {
            Order::OneAtATime => Plan::one_at_a_time(&cids),
            Order::BatchBy10 => Plan::in_batches(&cids, 10),
            Order::BigBatch => Plan::all_at_once(&cids),
            Order::AllConcurrent => Plan::all_concurrently(&cids),
            Order::UnixfsFetch => Plan::like_a_file(&cids),
            Order::UnixfsFetchLarge => Plan::like_a_large_file(&cids),
        }
    }

    /// The blocks of each seed, by number.
    #[must_use]
    pub fn stock(&self, rng: &mut Rng) -> Vec<Vec<usize>> {
        let seeds = usize::from(self.seeds);
        let all = 0..self.blocks;
        match self.spread {
            Spread::AllToAll => vec![all.collect(); seeds],
            Spread::Overlap1 => vec![(0..75).collect(), (25..self.blocks).collect()],
            Spread::Overlap3 => vec![
                all.clone().filter(|number| number % 2 == 0 || number % 3 == 0).collect(),
                all.filter(|number| number % 2 == 1 || number % 3 == 0).collect(),
            ],
            Spread::OnePeerPerBlock => {
                let mut stock = vec![Vec::new(); seeds];
                for number in all {
                    stock[rng.below(seeds as u64) as usize].push(number);
                }
                stock
            }
        }
    }
}

impl Links {
    /// One direction of one link.
    #[must_use]
    pub fn draw(self, rng: &mut Rng) -> Link {
        let (base, deviation, medium, large, rate, rate_deviation) = match self {
            Self::Fixed => return Link::latency_ms(10),
            Self::Datacenter => (5.0, 3.0, None, None, 125e6, 3e6),
            Self::Fast => (60.0, 20.0, None, None, 1.25e6, 0.3e6),
            Self::Average => (60.0, 20.0, Some(140.0), Some(740.0), 0.5e6, 0.08e6),
            Self::Slow => (60.0, 20.0, Some(140.0), Some(3940.0), 0.1e6, 16.5e3),
        };
        let mut ms = draw::normal(rng, base, deviation);
        if let (Some(medium), Some(large)) = (medium, large) {
            ms += match draw::unit(rng) {
                share if share < 0.3 => large,
                share if share < 0.6 => medium,
                _ => 0.0,
            };
        }
        // A normal distribution has no lower end, a cable has.
        let rate = draw::normal(rng, rate, rate_deviation).max(rate / 10.0);
        Link {
            latency: Duration::from_micros((ms.max(0.0) * 1000.0) as u64),
            bandwidth: Some(rate as u64),
            ..Link::default()
        }
    }
}

const SMALL: Sizes = Sizes::SmallRoot;
const LARGE: Sizes = Sizes::Equal(256 << 10);

/// All cases, in the reference implementation's order.
pub const CASES: [Case; 26] = {
    use Links::{Average, Datacenter, Fast, Slow};
    use Order::{AllConcurrent, BatchBy10, BigBatch, OneAtATime, UnixfsFetch, UnixfsFetchLarge};
    use Spread::{AllToAll, OnePeerPerBlock, Overlap1, Overlap3};
    [
        case("3Nodes-AllToAll-OneAtATime", 2, 100, AllToAll, OneAtATime)
            .measured(3403, 276, 171, 101)
            .goal(2_050, 130, 102),
        case("3Nodes-AllToAll-BigBatch", 2, 100, AllToAll, BigBatch)
            .measured(45, 6, 35, 101)
            .goal(25, 5, 101),
        case("3Nodes-Overlap1-OneAtATime", 2, 100, Overlap1, OneAtATime)
            .measured(3542, 198, 131, 100)
            .goal(2_100, 140, 102),
        case("3Nodes-Overlap3-OneAtATime", 2, 100, Overlap3, OneAtATime)
            .measured(4295, 346, 227, 101)
            .goal(2_800, 250, 102),
        case("3Nodes-Overlap3-BatchBy10", 2, 100, Overlap3, BatchBy10)
            .measured(719, 70, 51, 101)
            .goal(420, 50, 102),
        case("3Nodes-Overlap3-AllConcurrent", 2, 100, Overlap3, AllConcurrent)
            .measured(100, 11, 38, 102)
            .goal(45, 8, 102),
        case("3Nodes-Overlap3-BigBatch", 2, 100, Overlap3, BigBatch)
            .measured(90, 10, 37, 101)
            .goal(45, 8, 102),
        case("3Nodes-Overlap3-UnixfsFetch", 2, 100, Overlap3, UnixfsFetch)
            .measured(183, 19, 39, 101)
            .goal(105, 14, 102),
        case("10Nodes-AllToAll-OneAtATime", 9, 100, AllToAll, OneAtATime)
            .measured(3531, 523, 322, 108)
            .goal(2_050, 160, 103),
        case("10Nodes-AllToAll-BatchFetchBy10", 9, 100, AllToAll, BatchBy10)
            .measured(409, 180, 101, 108)
            .goal(220, 90, 103),
        case("10Nodes-AllToAll-BigBatch", 9, 100, AllToAll, BigBatch)
            .measured(61, 34, 48, 108)
            .goal(25, 20, 103),
        case("10Nodes-AllToAll-AllConcurrent", 9, 100, AllToAll, AllConcurrent)
            .measured(66, 36, 58, 109)
            .goal(25, 20, 103),
        case("10Nodes-AllToAll-UnixfsFetch", 9, 100, AllToAll, UnixfsFetch)
            .measured(106, 26, 44, 108)
            .goal(65, 24, 103),
        case("10Nodes-AllToAll-UnixfsFetchLarge", 9, 1000, AllToAll, UnixfsFetchLarge)
            .measured(846, 96, 368, 1008)
            .goal(450, 60, 1005),
        case("10Nodes-OnePeerPerBlock-OneAtATime", 9, 100, OnePeerPerBlock, OneAtATime)
            .measured(6154, 1589, 873, 100)
            .goal(4_050, 1050, 101),
        case("10Nodes-OnePeerPerBlock-BigBatch", 9, 100, OnePeerPerBlock, BigBatch)
            .measured(101, 50, 57, 100)
            .goal(65, 45, 101),
        case("10Nodes-OnePeerPerBlock-UnixfsFetch", 9, 100, OnePeerPerBlock, UnixfsFetch)
            .measured(247, 97, 61, 100)
            .goal(150, 85, 101),
        case("200Nodes-AllToAll-BigBatch", 199, 20, AllToAll, BigBatch)
            .measured(2026, 398, 206, 218)
            .goal(25, 24, 22),
        case("FetchFromOld-3Nodes-Overlap3-OneAtATime", 2, 10, Overlap3, OneAtATime)
            .served_by_old_nodes()
            .measured(2440, 27, 11, 11)
            .goal(650, 25, 14),
        case("FetchFromOld-3Nodes-AllToAll-OneAtATime", 2, 10, AllToAll, OneAtATime)
            .served_by_old_nodes()
            .measured(296, 19, 11, 11)
            .goal(210, 17, 12),
        case("FetchFromOld-3Nodes-Overlap3-AllConcurrent", 2, 10, Overlap3, AllConcurrent)
            .served_by_old_nodes()
            .measured(42, 6, 6, 14)
            .goal(30, 5, 14),
        case("Datacenter-3Nodes-UnixfsFetch", 2, 100, AllToAll, UnixfsFetch)
            .over(Datacenter, LARGE, 25)
            .measured(739, 40, 101, 101)
            .goal(450, 36, 102),
        case("Datacenter-3Leech3Seed-UnixfsFetchLarge", 3, 1000, AllToAll, UnixfsFetchLarge)
            .over(Datacenter, LARGE, 25)
            .by(3)
            .measured(5724, 706, 1014, 1005)
            .goal(2_900, 350, 1005),
        case("RealWorld-300Nodes-BigBatch-Fast", 299, 200, AllToAll, BigBatch)
            .over(Fast, Sizes::SmallRoot, 0)
            .measured(2512, 598, 664, 498)
            .goal(750, 180, 210),
        case("RealWorld-300Nodes-BigBatch-Average", 299, 200, AllToAll, BigBatch)
            .over(Average, Sizes::SmallRoot, 0)
            .measured(4655, 897, 664, 498)
            .goal(1_400, 270, 210),
        case("RealWorld-300Nodes-BigBatch-Slow", 299, 200, AllToAll, BigBatch)
            .over(Slow, Sizes::SmallRoot, 0)
            .measured(19336, 2392, 864, 646)
            .goal(5_800, 700, 210),
    ]
};

const fn case(name: &'static str, seeds: u16, blocks: usize, spread: Spread, order: Order) -> Case {
    Case {
        name,
        fetchers: 1,
        seeds,
        old_seeds: false,
        blocks,
        sizes: SMALL,
        spread,
        order,
        links: Links::Fixed,
        store_ms: 0,
        measured: Figures { ms: 0, sent: 0, received: 0, blocks: 0 },
        goal: Goal { micros: 0, sent: 0, blocks: 0 },
    }
}

impl Case {
    const fn by(mut self, fetchers: u16) -> Self {
        self.fetchers = fetchers;
        self
    }

    const fn over(mut self, links: Links, sizes: Sizes, store_ms: u64) -> Self {
        self.links = links;
        self.sizes = sizes;
        self.store_ms = store_ms;
        self
    }

    const fn served_by_old_nodes(mut self) -> Self {
        self.old_seeds = true;
        self
    }

    const fn measured(mut self, ms: u64, sent: u64, received: u64, blocks: u64) -> Self {
        self.measured = Figures { ms, sent, received, blocks };
        self
    }

    const fn goal(mut self, ms: u64, sent: u64, blocks: u64) -> Self {
        self.goal = Goal { micros: ms * 1000, sent, blocks };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reaches_a_goal_is_ahead_of_the_reference() {
        for Case { name, measured, goal, .. } in CASES {
            assert!(goal.micros < measured.ms * 1000, "{name}: as slow");
            assert!(goal.sent < measured.sent, "{name}: as many messages");
            // A few may come twice.
            assert!(goal.blocks <= measured.blocks + 3, "{name}: more blocks twice");
        }
    }
}
