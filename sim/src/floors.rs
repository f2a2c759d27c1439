//! Transfers beside the least time that they could take: a round trip for each round of wants, and all bytes at the speed of
//! all links. Where one of many peers has the blocks, a round trip more: somebody has to say that he has them.
//!
//! That streams open in a round trip counts for nothing, as an open one may be there.
//!
//! Each is a place where time was lost once: a slow or silent peer beside quick ones, one holder among many peers,
//! a long path, a connection that dies.

use std::fmt;
use std::time::Duration;

use crate::adversary::PeerBehavior;
use crate::fetch::Plan;
use crate::link::Link;
use crate::scenario::{RunResult, Scenario};

/// One transfer.
#[derive(Clone)]
pub struct Floor {
    scenario: Scenario,
    /// All bytes at the speed of all links.
    transfer: Duration,
    round_trip: Duration,
    /// Round trips of which each begins when the one before it ended.
    trips: u32,
    /// A holder must be found.
    is_searched: bool,
}

/// What the runs of a transfer came to: of each figure the median, of the times the worst too.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The transfer.
    pub name: &'static str,
    /// The least time that it could take.
    pub floor: Duration,
    /// The most that the median may take of it, in per cent: more where a holder must be found.
    pub goal: u32,
    /// Time to fetch everything; `None`: half of the runs did not end.
    pub median: Option<Duration>,
    /// The longest time; `None`: a run did not end.
    pub worst: Option<Duration>,
    /// Bytes that came twice, in per mille.
    pub duplicates: u64,
    /// Want-blocks, want-haves and cancels sent.
    pub entries: [u64; 3],
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = self.floor.as_secs_f64();
        let time = |time: Option<Duration>| match time {
            Some(time) => {
                let time = time.as_secs_f64();
                format!("{time:8.2} s {:6.2} x", time / floor)
            }
            None => format!("{:>19}", "never"),
        };
        let [blocks, haves, cancels] = self.entries;
        write!(
            f,
            "{:<56}{floor:7.2} s {}{} {:5.2} {} {:5} ‰ {blocks:6} {haves:6} {cancels:6}",
            self.name,
            time(self.median),
            if self.is_near_floor() { ' ' } else { '!' },
            f64::from(self.goal) / 100.0,
            time(self.worst),
            self.duplicates,
        )
    }
}

/// The heads of the columns of [`Measured`].
pub const HEAD: &str = "\
transfer                                                  floor       median             goal       worst      \
twice  blocks  haves cancels";

impl Measured {
    /// Whether the median is as close to the floor as it should be. A goal that is missed is shown and fails nothing.
    #[must_use]
    pub fn is_near_floor(&self) -> bool {
        self.median.is_some_and(|median| median <= self.floor * self.goal / 100)
    }
}

/// The least time in which so many bytes come at this speed: a round trip, and all of them.
#[must_use]
pub fn least(bytes: u64, bytes_per_second: u64, round_trip_ms: u64) -> Duration {
    Duration::from_micros(bytes * 1_000_000 / bytes_per_second.max(1))
        + Duration::from_millis(round_trip_ms)
}

impl Floor {
    fn new(scenario: Scenario, bytes: u64, bytes_per_second: u64, round_trip_ms: u64) -> Self {
        Self {
            scenario,
            transfer: least(bytes, bytes_per_second, 0),
            round_trip: Duration::from_millis(round_trip_ms),
            trips: 1,
            is_searched: false,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.scenario.name()
    }

    /// Runs it with each of these seeds.
    ///
    /// # Panics
    ///
    /// When an engine breaks its contract.
    #[must_use]
    pub fn run(&self, seeds: impl Iterator<Item = u64>) -> Measured {
        let runs: Vec<RunResult> = seeds.map(|seed| self.scenario.run(seed)).collect();
        let median = |mut values: Vec<u64>| {
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        // A run that does not end takes longer than any other.
        let time = |run: &RunResult| {
            if run.is_complete() { run.took().as_micros() as u64 } else { u64::MAX }
        };
        let ended = |time: u64| (time < u64::MAX).then(|| Duration::from_micros(time));
        let times: Vec<u64> = runs.iter().map(time).collect();
        let counts = |run: &RunResult| run.world.counts(run.nodes.fetchers[0]).clone();
        let each = |of: fn(&crate::Counts) -> u64| {
            median(runs.iter().map(|run| of(&counts(run))).collect())
        };
        Measured {
            name: self.scenario.name(),
            floor: self.transfer + self.round_trip * self.trips,
            goal: if self.is_searched { 125 } else { 110 },
            worst: ended(times.iter().copied().max().unwrap_or(u64::MAX)),
            median: ended(median(times)),
            duplicates: median(runs.iter().map(RunResult::duplicate_per_mille).collect()),
            entries: [
                each(|counts| counts.want_blocks_sent),
                each(|counts| counts.want_haves_sent),
                each(|counts| counts.cancels_sent),
            ],
        }
    }
}

/// Equal seeders, and one more of another speed.
fn one_slow(name: &'static str, count: usize, size: usize, fast: usize, slow: u64) -> Floor {
    const FAST: u64 = 1_000_000;
    let mut speeds = vec![FAST; fast];
    speeds.push(slow);
    let scenario = Scenario::new(name)
        .blocks(count, size)
        .seeders(fast + 1)
        .links(Link::latency_ms(15))
        .speeds(&speeds);
    Floor::new(scenario, (count * size) as u64, FAST * fast as u64 + slow, 30)
}

/// One seeder at 10 MB/s beside peers that never answer.
fn silent(name: &'static str, count: usize, size: usize, silent: usize) -> Floor {
    const SPEED: u64 = 10_000_000;
    let link = Link::latency_ms(10).bytes_per_second(SPEED);
    let scenario = Scenario::new(name)
        .blocks(count, size)
        .seeders(1)
        .peers(silent, PeerBehavior::Silent)
        .links(link);
    Floor::new(scenario, (count * size) as u64, SPEED, 20)
}

/// The same nearby, where the whole transfer takes less than a peer may be silent.
fn silent_nearby(name: &'static str, silent: usize) -> Floor {
    const SPEED: u64 = 300_000_000;
    let scenario = Scenario::new(name)
        .blocks(80, 256 << 10)
        .seeders(1)
        .peers(silent, PeerBehavior::Silent)
        .links(Link::latency_ms(1).bytes_per_second(SPEED));
    Floor::new(scenario, 80 * (256 << 10), SPEED, 2)
}

/// One of so many peers has the blocks, and there is no lookup.
fn one_holder(name: &'static str, blocks: usize, peers: usize) -> Floor {
    let holder = peers * 7 / 9;
    let scenario = Scenario::new(name)
        .blocks(blocks, 8000)
        .seeders(peers)
        .stocked(move |seeder, _| seeder == holder)
        .links(Link::latency_ms(20))
        .at_most(Duration::from_secs(300));
    Floor { trips: 2, is_searched: true, ..Floor::new(scenario, 0, 1, 40) }
}

/// Equal seeders on a long path.
fn long(
    name: &'static str,
    count: usize,
    size: usize,
    seeders: usize,
    mbit: u64,
    round_trip_ms: u64,
) -> Floor {
    let speed = mbit * 125_000;
    let scenario = Scenario::new(name)
        .blocks(count, size)
        .seeders(seeders)
        .links(Link::latency_ms(round_trip_ms / 2).bytes_per_second(speed));
    Floor::new(scenario, (count * size) as u64, speed * seeders as u64, round_trip_ms)
}

/// The root, its ten nodes, and all leaves: two rounds more.
fn like_a_file(floor: Floor) -> Floor {
    let scenario = floor.scenario.fetched_by(Plan::like_a_file);
    Floor { scenario, trips: floor.trips + 2, ..floor }
}

/// A connection that dies every two seconds, and is back after half a second.
fn flaky() -> Floor {
    const SPEED: u64 = 1_000_000;
    let mut scenario = Scenario::new("a connection that dies every 2 s, 200 x 64 KiB")
        .blocks(200, 64 << 10)
        .seeders(1)
        .links(Link::latency_ms(20).bytes_per_second(SPEED));
    for death in 0..30 {
        scenario = scenario
            .at_ms(2000 + death * 2500, |world, nodes| {
                world.disconnect(nodes.fetchers[0], nodes.seeders[0]);
            })
            .at_ms(2500 + death * 2500, |world, nodes| {
                world.connect(nodes.fetchers[0], nodes.seeders[0]);
            });
    }
    Floor::new(scenario, 200 * (64 << 10) * 5 / 4, SPEED, 40)
}

/// All of them.
#[must_use]
pub fn floors() -> Vec<Floor> {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    vec![
        one_slow("8 at 1 MB/s, one at 100 KB/s: 500 x 16 KiB", 500, 16 * KIB, 8, 100_000),
        one_slow("8 at 1 MB/s, one at 50 KB/s: 500 x 16 KiB", 500, 16 * KIB, 8, 50_000),
        one_slow("8 at 1 MB/s, one at 100 KB/s: 200 x 64 KiB", 200, 64 * KIB, 8, 100_000),
        one_slow("8 at 1 MB/s, one at 100 KB/s: 40 x 1 MiB", 40, MIB, 8, 100_000),
        like_a_file(one_slow(
            "8 at 1 MB/s, one at 100 KB/s: a file of 500 x 16 KiB",
            500,
            16 * KIB,
            8,
            100_000,
        )),
        one_slow("2 at 1 MB/s, one at 50 KB/s: 500 x 16 KiB", 500, 16 * KIB, 2, 50_000),
        silent("one seeder, one silent peer: 80 x 256 KiB", 80, 256 * KIB, 1),
        silent("one seeder, four silent peers: 80 x 256 KiB", 80, 256 * KIB, 4),
        like_a_file(silent(
            "one seeder, one silent peer: a file of 80 x 256 KiB",
            80,
            256 * KIB,
            1,
        )),
        like_a_file(silent("one seeder, four silent: a file of 80 x 256 KiB", 80, 256 * KIB, 4)),
        silent_nearby("one seeder nearby, one silent peer: 80 x 256 KiB", 1),
        silent_nearby("one seeder nearby, four silent peers: 80 x 256 KiB", 4),
        silent_nearby("one seeder nearby, eight silent peers: 80 x 256 KiB", 8),
        one_holder("one holder among 100 peers: one block", 1, 100),
        one_holder("one holder among 1,000 peers: one block", 1, 1000),
        like_a_file(one_holder("one holder among 1,000 peers: a file of 100", 100, 1000)),
        long("1 Gbit/s, 100 ms: 4,000 x 4 KiB", 4000, 4 * KIB, 1, 1000, 100),
        long("1 Gbit/s, 200 ms: 4,000 x 4 KiB", 4000, 4 * KIB, 1, 1000, 200),
        long("1 Gbit/s, 200 ms: 400 x 256 KiB", 400, 256 * KIB, 1, 1000, 200),
        long("1 Gbit/s, 200 ms, 4 seeders: 400 x 256 KiB", 400, 256 * KIB, 4, 1000, 200),
        long("100 Mbit/s, 200 ms: 4,000 x 4 KiB", 4000, 4 * KIB, 1, 100, 200),
        long("100 Mbit/s, 200 ms: 400 x 256 KiB", 400, 256 * KIB, 1, 100, 200),
        long("16 Mbit/s, 600 ms, 4 seeders: 400 x 256 KiB", 400, 256 * KIB, 4, 16, 600),
        flaky(),
    ]
}
