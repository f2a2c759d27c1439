//! Many that fetch the same from few, and how much of it they give each other.
//!
//! Every seeder sends at one speed at most, on all its paths together, so that the seeders alone would take the longer the
//! more fetch from them. Where all begin in the same instant, nobody has anything to give; where they begin one
//! after another, as people do, whoever comes late finds others who have a part.

use std::fmt;
use std::time::Duration;

use bitswap_core::{Config, Rates};

use crate::chart::{self, Chart, Series, Style};
use crate::counts::Counts;
use crate::fetch::Plan;
use crate::host::HostBehavior;
use crate::link::Link;
use crate::scenario::{RunResult, Scenario};

/// Up to so many fetchers all know each other; of more an eighth of the pairs do.
const ALL_ACQUAINTED: usize = 16;

/// How many there are of each kind in [`grid`].
const SIDES: [usize; 5] = [1, 2, 4, 8, 16];

/// The file, and the network between those who fetch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Blocks of the file.
    pub blocks: usize,
    /// Bytes of each.
    pub size: usize,
    /// From one node to another.
    pub latency: Duration,
    /// Bytes per second that a seeder sends.
    pub seeder: u64,
    /// Its engine keeps to that limit, and whatever it sends is there at once. Otherwise its line has that limit, and what it
    /// was given too much waits in front of it.
    pub limits_itself: bool,
    /// Bytes per second that a leech sends; `None`: as much as it can.
    pub leech: Option<u64>,
}

impl Setting {
    /// Far apart, and everybody sends 10 MB/s at most: 64 blocks of 64 KiB.
    pub const FAR: Self = Self {
        blocks: 64,
        size: 64 << 10,
        latency: Duration::from_millis(20),
        seeder: 10_000_000,
        limits_itself: false,
        leech: Some(10_000_000),
    };

    /// One network, in which only the seeder has a limit, of 10 MiB/s: 64 blocks of 256 KiB.
    pub const NEAR: Self = Self {
        blocks: 64,
        size: 256 << 10,
        latency: Duration::from_micros(100),
        seeder: 10 << 20,
        limits_itself: false,
        leech: None,
    };

    /// The same, of which the seeder was told the limit.
    pub const NEAR_TOLD: Self = Self { limits_itself: true, ..Self::NEAR };

    const fn bytes(&self) -> u64 {
        (self.blocks * self.size) as u64
    }

    /// A round trip, and all bytes at this speed. An engine that keeps to a limit saves what it may send from its start on, and
    /// its last block passes when those before it are paid for: then it is all bytes but that block, and the way back.
    fn least(&self, bytes_per_second: Option<u64>) -> Duration {
        let (ways, owed) = if self.limits_itself { (1, self.size as u64) } else { (2, 0) };
        let bytes = self.bytes() - owed;
        let transfer = bytes_per_second.map_or(0, |rate| bytes * 1_000_000 / rate.max(1));
        Duration::from_micros(transfer) + self.latency * ways
    }
}

/// A file that many fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Nodes that have all blocks.
    pub seeders: usize,
    /// Nodes that fetch them, and serve what they have.
    pub leeches: usize,
    /// Each leech connects and begins so long after the one before it.
    pub stagger: Duration,
    /// What they fetch, and over which network.
    pub setting: Setting,
}

/// What runs of a crowd came to, the median of each figure.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The crowd.
    pub crowd: Crowd,
    /// From the first start until the last one has all; `None`: half of the runs did not end.
    pub took: Option<Duration>,
    /// The longest that one of them took from its own start.
    pub slowest: Option<Duration>,
    /// What the last one to begin took from its own start.
    pub late: Option<Duration>,
    /// What a leech takes that is alone with the seeders.
    pub lone: Option<Duration>,
    /// Copies of the file that the seeders sent all together, in hundredths.
    pub copies: u64,
    /// Bytes that came twice, in per mille of all that were wanted.
    pub duplicates: u64,
    /// Entries of wantlists that a leech sent for each of its blocks, in hundredths: want-blocks, want-haves, cancels.
    pub entries: [u64; 3],
}

impl Crowd {
    /// So many of each, all from the same instant on, in [`Setting::FAR`].
    #[must_use]
    pub const fn new(seeders: usize, leeches: usize) -> Self {
        Self { seeders, leeches, stagger: Duration::ZERO, setting: Setting::FAR }
    }

    /// The same crowd, of which each leech begins so long after the one before it.
    #[must_use]
    pub const fn staggered(self, stagger: Duration) -> Self {
        Self { stagger, ..self }
    }

    /// The same crowd over another network.
    #[must_use]
    pub const fn over(self, setting: Setting) -> Self {
        Self { setting, ..self }
    }

    /// The least time that the first leech could take: a round trip, and all bytes at the speed of all seeders.
    #[must_use]
    pub fn floor_alone(&self) -> Duration {
        self.setting.least(Some(self.setting.seeder * self.seeders as u64))
    }

    /// The least time until all could have all, from the first start: that of the first leech, or that of the last one,
    /// which gets everything from all others.
    #[must_use]
    pub fn floor(&self) -> Duration {
        let others = self.leeches.saturating_sub(1);
        let seeders = self.setting.seeder * self.seeders as u64;
        let all = match self.setting.leech {
            Some(leech) => Some(seeders + leech * others as u64),
            None if others == 0 => Some(seeders),
            None => None,
        };
        self.floor_alone().max(self.stagger * others as u32 + self.setting.least(all))
    }

    fn scenario(&self) -> Scenario {
        let Setting { blocks, size, latency, seeder, limits_itself, leech } = self.setting;
        let acquaintance = if self.leeches > ALL_ACQUAINTED { 125 } else { 1000 };
        let scenario = match limits_itself {
            true => {
                let rates = Rates { upload: Some(seeder), ..Rates::default() };
                Scenario::new("a crowd").seeders_configured(Config::default().with_rates(rates))
            }
            false => Scenario::new("a crowd").seeder_uplinks(seeder),
        };
        scenario
            .blocks(blocks, size)
            .links(Link { latency, ..Link::default() })
            .fetcher_uplinks(leech)
            .seeders(self.seeders)
            .fetchers(self.leeches)
            .staggered(self.stagger)
            .acquaintance(acquaintance)
            .fetched_by(move |cids| Plan::of_size(cids, size as u32))
            .hosted(HostBehavior { keeps_blocks: true, ..HostBehavior::default() })
            .unwatched()
            .at_most(self.stagger * self.leeches as u32 + Duration::from_secs(600))
    }

    /// Runs it with each of these seeds.
    ///
    /// # Panics
    ///
    /// When an engine breaks its contract.
    #[must_use]
    pub fn run(&self, seeds: impl Iterator<Item = u64>) -> Measured {
        let seeds: Vec<u64> = seeds.collect();
        let runs: Vec<RunResult> = seeds.iter().map(|seed| self.scenario().run(*seed)).collect();
        let median = |mut values: Vec<u64>| {
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let time = |runs: &[RunResult], of: fn(&RunResult) -> Duration| {
            // A run that does not end takes longer than any other.
            let micros = |run: &RunResult| match run.is_complete() {
                true => of(run).as_micros() as u64,
                false => u64::MAX,
            };
            let median = median(runs.iter().map(micros).collect());
            (median < u64::MAX).then(|| Duration::from_micros(median))
        };
        let lone = Self { leeches: 1, stagger: Duration::ZERO, ..*self };
        let lone: Vec<RunResult> = seeds.iter().map(|seed| lone.scenario().run(*seed)).collect();
        let each = |of: &dyn Fn(&RunResult) -> u64| median(runs.iter().map(of).collect());
        let file = self.setting.bytes();
        let wanted = file * self.leeches as u64;
        let leeches = |run: &RunResult, of: fn(&Counts) -> u64| -> u64 {
            run.nodes.fetchers.iter().map(|leech| of(run.world.counts(*leech))).sum()
        };
        let entries = |of: fn(&Counts) -> u64| {
            each(&|run| leeches(run, of) * 100 / (self.setting.blocks * self.leeches) as u64)
        };
        Measured {
            crowd: *self,
            took: time(&runs, RunResult::ended),
            slowest: time(&runs, RunResult::took),
            late: time(&runs, |run| {
                let last = run.fetches.last().and_then(|fetch| run.world.took(*fetch));
                last.unwrap_or_default()
            }),
            lone: time(&lone, RunResult::took),
            copies: each(&|run| {
                let seeders = run.nodes.seeders.iter();
                let sent: u64 = seeders.map(|node| run.world.counts(*node).block_bytes_sent).sum();
                sent * 100 / file
            }),
            duplicates: each(&|run| {
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

/// The heads of the columns of [`Measured`]: the floor of all, when the last one has all, the longest that one took from its own
/// start beside the floor of one alone, what the last one to begin took beside what a lone leech takes, and the rest.
pub const HEAD: &str = "\
seeders leeches    floor                last             slowest           late/lone  copies  twice  blocks   haves cancels";

/// Crowds of growing size around one seeder.
#[must_use]
pub fn crowds(stagger: Duration) -> Vec<Crowd> {
    [1, 4, 16, 64, 256].map(|leeches| Crowd::new(1, leeches).staggered(stagger)).to_vec()
}

/// Crowds in one network, as large as real ones were measured on one machine.
#[must_use]
pub fn near(stagger: Duration, setting: Setting) -> Vec<Crowd> {
    [1, 4, 8].map(|leeches| Crowd::new(1, leeches).staggered(stagger).over(setting)).to_vec()
}

/// Few and many seeders, each with few and many leeches.
#[must_use]
pub fn grid(stagger: Duration) -> Vec<Crowd> {
    let crowd = |(seeders, leeches)| Crowd::new(seeders, leeches).staggered(stagger);
    SIDES.iter().flat_map(|seeders| SIDES.map(|leeches| crowd((*seeders, leeches)))).collect()
}

/// What a [`grid`] came to: a row for each number of seeders, with how many times as long as the floor of one alone the slowest
/// leech of each crowd took from its own start.
#[must_use]
pub fn table(grid: &[Measured]) -> String {
    let mut table = format!("{:8}", "seeders");
    for leeches in SIDES {
        table += &format!("{leeches:>4} leech{}", if leeches == 1 { "  " } else { "es" });
    }
    for seeders in SIDES {
        table += &format!("\n{seeders:7} ");
        for measured in grid.iter().filter(|measured| measured.crowd.seeders == seeders) {
            table += &match measured.slowest_ratio() {
                Some(ratio) => format!("{ratio:9.2} x"),
                None => format!("{:>11}", "never"),
            };
        }
    }
    table
}

/// Grids as a picture, one below the other.
#[must_use]
pub fn svg(grids: &[(String, Vec<Measured>)]) -> String {
    let series = |grid: &[Measured], seeders: usize| Series {
        name: format!("{seeders} seeder{}", if seeders == 1 { "" } else { "s" }),
        points: grid
            .iter()
            .filter(|measured| measured.crowd.seeders == seeders)
            .filter_map(|measured| Some((measured.crowd.leeches as f64, measured.slowest_ratio()?)))
            .collect(),
    };
    let chart = |(title, grid): &(String, Vec<Measured>)| Chart {
        title: title.clone(),
        x: "leeches",
        y: "times the floor",
        style: Style::Lines,
        series: SIDES.map(|seeders| series(grid, seeders)).to_vec(),
    };
    let charts: Vec<Chart> = grids.iter().map(chart).collect();
    chart::page("A crowd: how long the slowest leech takes from its own start", &charts)
}

/// How many times as long the first is as the second.
fn ratio(time: Option<Duration>, of: Option<Duration>) -> Option<f64> {
    Some(time?.as_secs_f64() / of?.as_secs_f64())
}

impl Measured {
    /// How many times as long as the floor of one alone the slowest took from its own start.
    fn slowest_ratio(&self) -> Option<f64> {
        ratio(self.slowest, Some(self.crowd.floor_alone()))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crowd { seeders, leeches, .. } = self.crowd;
        let floor = self.crowd.floor();
        let time = |time: Option<Duration>, of: Option<Duration>| match time.zip(ratio(time, of)) {
            Some((time, ratio)) => format!("{:8.2} s {ratio:6.2} x", time.as_secs_f64()),
            None => format!("{:>19}", "never"),
        };
        let hundredths = |value: u64| value as f64 / 100.0;
        let [blocks, haves, cancels] = self.entries.map(hundredths);
        write!(
            f,
            "{seeders:7} {leeches:7} {:6.2} s {} {} {} {:7.2} {:4} ‰ {blocks:7.2} {haves:7.2} {cancels:7.2}",
            floor.as_secs_f64(),
            time(self.took, Some(floor)),
            time(self.slowest, Some(self.crowd.floor_alone())),
            time(self.late, self.lone),
            hundredths(self.copies),
            self.duplicates,
        )
    }
}
