//! Many that fetch the same from few, and how much of it they give each other.
//!
//! Every node sends at one speed at most, on all its paths together, so that the seeders alone would take the longer the
//! more fetch from them. All begin in the same instant, when nobody has anything to give.

use std::fmt;
use std::time::Duration;

use crate::chart::{self, Chart, Series, Style};
use crate::counts::Counts;
use crate::fetch::Plan;
use crate::host::HostBehavior;
use crate::link::Link;
use crate::scenario::{RunResult, Scenario};

/// Bytes per second that a node sends.
const UPLINK: u64 = 10_000_000;
/// From one node to another.
const LATENCY_MS: u64 = 20;
/// Up to so many fetchers all know each other; of more an eighth of the pairs do.
const ALL_ACQUAINTED: usize = 16;

/// Blocks of the file.
const BLOCKS: usize = 64;
/// Bytes of each.
const SIZE: usize = 64 << 10;

/// How many there are of each kind in [`grid`].
const SIDES: [usize; 5] = [1, 2, 4, 8, 16];

/// A file that many fetch at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Nodes that have all blocks.
    pub seeders: usize,
    /// Nodes that fetch them, and serve what they have.
    pub leeches: usize,
}

/// What runs of a crowd came to, the median of each figure.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The crowd.
    pub crowd: Crowd,
    /// Until the last one has all; `None`: half of the runs did not end.
    pub took: Option<Duration>,
    /// Copies of the file that the seeders sent all together, in hundredths.
    pub copies: u64,
    /// Bytes that came twice, in per mille of all that came.
    pub duplicates: u64,
    /// Entries of wantlists that a leech sent for each of its blocks, in hundredths: want-blocks, want-haves, cancels.
    pub entries: [u64; 3],
}

impl Crowd {
    /// The least time that one leech alone would take: a round trip, and all bytes at the speed of all seeders.
    #[must_use]
    pub fn floor(&self) -> Duration {
        let bytes = (BLOCKS * SIZE) as u64;
        Duration::from_micros(bytes * 1_000_000 / (UPLINK * self.seeders as u64))
            + Duration::from_millis(2 * LATENCY_MS)
    }

    fn scenario(&self) -> Scenario {
        let acquaintance = if self.leeches > ALL_ACQUAINTED { 125 } else { 1000 };
        Scenario::new("a crowd")
            .blocks(BLOCKS, SIZE)
            .links(Link::latency_ms(LATENCY_MS))
            .uplinks(UPLINK)
            .seeders(self.seeders)
            .fetchers(self.leeches)
            .acquaintance(acquaintance)
            .fetched_by(|cids| Plan::of_size(cids, SIZE as u32))
            .hosted(HostBehavior { keeps_blocks: true, ..HostBehavior::default() })
            .unwatched()
            .at_most(Duration::from_secs(600))
    }

    /// Runs it with each of these seeds.
    ///
    /// # Panics
    ///
    /// When an engine breaks its contract.
    #[must_use]
    pub fn run(&self, seeds: impl Iterator<Item = u64>) -> Measured {
        let runs: Vec<RunResult> = seeds.map(|seed| self.scenario().run(seed)).collect();
        let median = |of: &dyn Fn(&RunResult) -> u64| {
            let mut values: Vec<u64> = runs.iter().map(of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let time = |run: &RunResult| {
            if run.is_complete() { run.took().as_micros() as u64 } else { u64::MAX }
        };
        let wanted = (BLOCKS * SIZE * self.leeches) as u64;
        let leeches = |run: &RunResult, of: fn(&Counts) -> u64| -> u64 {
            run.nodes.fetchers.iter().map(|leech| of(run.world.counts(*leech))).sum()
        };
        let entries = |of: fn(&Counts) -> u64| {
            median(&|run| leeches(run, of) * 100 / (BLOCKS * self.leeches) as u64)
        };
        let took = median(&time);
        Measured {
            crowd: *self,
            took: (took < u64::MAX).then(|| Duration::from_micros(took)),
            copies: median(&|run| {
                let seeders = run.nodes.seeders.iter();
                let sent: u64 = seeders.map(|node| run.world.counts(*node).block_bytes_sent).sum();
                sent * 100 / (BLOCKS * SIZE) as u64
            }),
            duplicates: median(&|run| {
                let came = leeches(run, |counts| counts.block_bytes_received);
                came.saturating_sub(wanted) * 1000 / wanted.max(1)
            }),
            entries: [
                entries(|counts| counts.want_blocks_sent),
                entries(|counts| counts.want_haves_sent),
                entries(|counts| counts.cancels_sent),
            ],
        }
    }
}

/// The heads of the columns of [`Measured`].
pub const HEAD: &str = "\
seeders leeches    floor              median  copies  twice  blocks   haves cancels";

/// Crowds of growing size around one seeder.
#[must_use]
pub fn crowds() -> Vec<Crowd> {
    [1, 4, 16, 64, 256].map(|leeches| Crowd { seeders: 1, leeches }).to_vec()
}

/// Few and many seeders, each with few and many leeches.
#[must_use]
pub fn grid() -> Vec<Crowd> {
    SIDES
        .iter()
        .flat_map(|seeders| SIDES.map(|leeches| Crowd { seeders: *seeders, leeches }))
        .collect()
}

/// What a [`grid`] came to: a row for each number of seeders, with how many times as long as its floor each crowd took.
#[must_use]
pub fn table(grid: &[Measured]) -> String {
    let mut table = format!("{:8}", "seeders");
    for leeches in SIDES {
        table += &format!("{leeches:>4} leech{}", if leeches == 1 { "  " } else { "es" });
    }
    for seeders in SIDES {
        table += &format!("\n{seeders:7} ");
        for measured in grid.iter().filter(|measured| measured.crowd.seeders == seeders) {
            table += &match measured.ratio() {
                Some(ratio) => format!("{ratio:9.2} x"),
                None => format!("{:>11}", "never"),
            };
        }
    }
    table
}

/// The same as a picture.
#[must_use]
pub fn svg(grid: &[Measured]) -> String {
    let of = |seeders: usize| Series {
        name: format!("{seeders} seeder{}", if seeders == 1 { "" } else { "s" }),
        points: grid
            .iter()
            .filter(|measured| measured.crowd.seeders == seeders)
            .filter_map(|measured| Some((measured.crowd.leeches as f64, measured.ratio()?)))
            .collect(),
    };
    let chart = Chart {
        title: String::from("Time until the last leech has the file"),
        x: "leeches",
        y: "times the floor",
        style: Style::Lines,
        series: SIDES.map(of).to_vec(),
    };
    chart::page("A crowd of leeches", &[chart])
}

impl Measured {
    /// How many times as long as the floor it took.
    fn ratio(&self) -> Option<f64> {
        Some(self.took?.as_secs_f64() / self.crowd.floor().as_secs_f64())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crowd { seeders, leeches } = self.crowd;
        let floor = self.crowd.floor().as_secs_f64();
        let took = match self.took.zip(self.ratio()) {
            Some((took, ratio)) => format!("{:8.2} s {ratio:6.2} x", took.as_secs_f64()),
            None => format!("{:>19}", "never"),
        };
        let hundredths = |value: u64| value as f64 / 100.0;
        let [blocks, haves, cancels] = self.entries.map(hundredths);
        write!(
            f,
            "{seeders:7} {leeches:7} {floor:6.2} s {took} {:7.2} {:4} ‰ {blocks:7.2} {haves:7.2} {cancels:7.2}",
            hundredths(self.copies),
            self.duplicates,
        )
    }
}
