//! The least time that a run of a case could take, whatever the client does.
//!
//! The sum over the rounds of the plan, as a round begins when the one before it is complete. A round takes a round trip
//! and its bytes at the sum of the bandwidths that are usable: those of the seeds that have some of its blocks, each from
//! the moment on when its first byte can be there. No block comes sooner than from the best of its holders.
//!
//! A round trip more is due where a holder must be found, as whoever asks one peer at a time for a block has to be told
//! first who has it. That is so in the first round of which a seed lacks a block, and in each later one of which none of
//! those that could have served all rounds since then has every block: the fewest changes of holders. Nothing is added for
//! seeds older than 1.2.0: they answer no question but that for the block itself.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cases::Case;
use crate::block_set::BlockSet;
use crate::link::Link;

/// A seed, seen from a fetcher.
pub(super) struct Seed {
    blocks: BTreeSet<usize>,
    /// Until the first byte of an answer is there.
    answers_in: Duration,
    /// Bytes per second, if there is a limit.
    bandwidth: Option<u64>,
}

impl Seed {
    /// A seed with these blocks, whose store takes so long, between the way to it and the way back.
    pub(super) fn new(blocks: &[usize], store: Duration, [there, back]: [Link; 2]) -> Self {
        Self {
            blocks: blocks.iter().copied().collect(),
            answers_in: there.latency + store + back.latency,
            bandwidth: back.bandwidth,
        }
    }

    fn has_all(&self, round: &[usize]) -> bool {
        round.iter().all(|block| self.blocks.contains(block))
    }

    fn has_some(&self, round: &[usize]) -> bool {
        round.iter().any(|block| self.blocks.contains(block))
    }

    /// When so many bytes can have come from it alone.
    fn brings(&self, bytes: usize) -> Duration {
        let rate = self.bandwidth.unwrap_or(u64::MAX).max(1);
        self.answers_in + Duration::from_micros(bytes as u64 * 1_000_000 / rate)
    }

    /// Bytes that can have come from it by then.
    fn brought(&self, by: Duration) -> u128 {
        match (by.checked_sub(self.answers_in), self.bandwidth) {
            (None, _) => 0,
            (Some(time), Some(rate)) => time.as_micros() * u128::from(rate) / 1_000_000,
            (Some(_), None) => u128::MAX,
        }
    }
}

/// The least time in which one fetcher can have the blocks of a case from these seeds.
pub(super) fn floor(case: &Case, block_set: &BlockSet, seeds: &[Seed]) -> Duration {
    let plan = case.plan(block_set);
    let rounds = plan.rounds.iter().map(|round| -> Vec<usize> {
        let cids = round.iter().flatten().map(|want| &want.cid);
        cids.filter_map(|cid| block_set.number(cid)).collect()
    });
    // Places of the seeds that could have served everything since holders were last looked for.
    let mut known: Option<BTreeSet<usize>> = None;
    let mut least = Duration::ZERO;
    for round in rounds {
        let holders: BTreeSet<usize> =
            (0..seeds.len()).filter(|place| seeds[*place].has_all(&round)).collect();
        let still = match &known {
            Some(known) => known & &holders,
            None if holders.len() == seeds.len() => holders.clone(),
            None => BTreeSet::new(),
        };
        if still.is_empty() {
            if !case.old_seeds {
                let asked = seeds.iter().filter(|seed| seed.has_some(&round));
                least += asked.map(|seed| seed.answers_in).min().unwrap_or_default();
            }
            known = Some(holders);
        } else {
            known = Some(still);
        }
        least += transfer(block_set, &round, seeds);
    }
    least
}

/// The least time in which the blocks of a round can come when it is known who has which.
fn transfer(block_set: &BlockSet, round: &[usize], seeds: &[Seed]) -> Duration {
    let size = |block: usize| block_set.block(block).data().len();
    let first = |block: &usize| {
        let holders = seeds.iter().filter(|seed| seed.blocks.contains(block));
        holders.map(|seed| seed.brings(size(*block))).min().unwrap_or_default()
    };
    let slowest = round.iter().map(first).max().unwrap_or_default();
    let bytes: usize = round.iter().map(|block| size(*block)).sum();
    let usable: Vec<&Seed> = seeds.iter().filter(|seed| seed.has_some(round)).collect();
    let brought = |by: Duration| -> u128 {
        usable.iter().fold(0, |sum: u128, seed| sum.saturating_add(seed.brought(by)))
    };
    // One of them alone brings all by the end, so that the least time lies between.
    let alone = usable.iter().map(|seed| seed.brings(bytes)).min().unwrap_or_default();
    let (mut early, mut late) = (0, alone.as_micros() as u64 + 1);
    while early < late {
        let middle = u64::midpoint(early, late);
        if brought(Duration::from_micros(middle)) >= bytes as u128 {
            late = middle;
        } else {
            early = middle + 1;
        }
    }
    slowest.max(Duration::from_micros(late))
}

#[cfg(test)]
mod tests {
    use super::super::CASES;
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// The floor of a case whose seeds have these blocks, on links of 10 ms one way.
    fn of(name: &str, stock: &[Vec<usize>]) -> Duration {
        let case = CASES.into_iter().find(|case| case.name == name).unwrap();
        let link = Link::latency_ms(10);
        let seed = |blocks: &Vec<usize>| Seed::new(blocks, Duration::ZERO, [link, link]);
        floor(&case, &case.block_set(), &stock.iter().map(seed).collect::<Vec<_>>())
    }

    fn stock(seeds: usize, has: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
        (0..seeds).map(|seed| (0..100).filter(|block| has(seed, *block)).collect()).collect()
    }

    #[test]
    fn a_round_takes_a_round_trip_where_any_seed_has_its_blocks() {
        let all = stock(2, |_, _| true);
        assert_eq!(of("3Nodes-AllToAll-OneAtATime", &all), MS(100 * 20));
        assert_eq!(of("3Nodes-AllToAll-BigBatch", &all), MS(20));
        assert_eq!(of("10Nodes-AllToAll-UnixfsFetch", &all), MS(3 * 20));
    }

    #[test]
    fn a_round_trip_more_is_due_where_those_who_served_before_lack_a_block() {
        let halves = stock(2, |seed, block| (block < 50) == (seed == 0));
        assert_eq!(of("3Nodes-Overlap1-OneAtATime", &halves), MS((100 + 2) * 20));
        let thirds = stock(2, |seed, block| block % 2 == seed || block % 3 == 0);
        // The second one serves 0 and 1, the first one 2 to 4, the second one 5 to 7 ...
        assert_eq!(of("3Nodes-Overlap3-OneAtATime", &thirds), MS((100 + 33) * 20));
        // Neither has all of a batch, so that it is never known.
        assert_eq!(of("3Nodes-Overlap3-BatchBy10", &thirds), MS(2 * 10 * 20));
        assert_eq!(of("3Nodes-Overlap3-UnixfsFetch", &thirds), MS((1 + 2 + 2) * 20));
    }

    #[test]
    fn old_seeds_are_asked_for_blocks_alone() {
        let thirds = stock(2, |seed, block| block % 2 == seed || block % 3 == 0);
        assert_eq!(of("FetchFromOld-3Nodes-Overlap3-OneAtATime", &thirds), MS(10 * 20));
    }

    #[test]
    fn a_bandwidth_counts_from_the_moment_on_when_its_first_byte_is_there() {
        let block_set = BlockSet::equal(100, 1000);
        let all: Vec<usize> = (0..100).collect();
        let seed = |ms: u64, rate: u64, store: u64| {
            let link = Link::latency_ms(ms / 2).bytes_per_second(rate);
            Seed::new(&all, MS(store), [Link::latency_ms(ms / 2), link])
        };
        let transfer = |seeds: &[Seed]| transfer(&block_set, &all, seeds);
        assert_eq!(transfer(&[seed(20, 100_000, 5)]), MS(20 + 5 + 1000));
        // 9 KB come from the first one before the other begins.
        let two = [seed(20, 100_000, 0), seed(110, 100_000, 0)];
        assert_eq!(transfer(&two), MS(110 + 455));
        // What begins after the end counts for nothing.
        let late = [seed(20, 100_000, 0), seed(2000, 100_000, 0)];
        assert_eq!(transfer(&late), MS(20 + 1000));
    }

    #[test]
    fn no_block_comes_sooner_than_from_its_best_holder() {
        let block_set = BlockSet::equal(2, 1000);
        let link = |ms| Link::latency_ms(ms).bytes_per_second(100_000);
        let seeds = [
            Seed::new(&[0], Duration::ZERO, [link(10), link(10)]),
            Seed::new(&[1], Duration::ZERO, [link(50), link(50)]),
        ];
        assert_eq!(transfer(&block_set, &[0, 1], &seeds), MS(100 + 10));
    }
}
