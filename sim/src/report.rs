//! What a scenario came to: a table for reading and a picture for seeing.

use std::fmt::Write as _;
use std::time::Duration;

use bitswap_core::Timestamp;

use crate::chart::{Chart, Series, Style, page};
use crate::counts::Counts;
use crate::node::Node;
use crate::scenario::RunResult;
use crate::trace::seconds;

/// Points of a curve over time.
const POINTS: u64 = 120;

/// The report of one run.
#[derive(Clone, Debug)]
pub struct Report {
    name: &'static str,
    rows: Vec<(String, String)>,
    charts: Vec<Chart>,
}

impl Report {
    /// Sums up how a scenario ended, seen from its first fetcher, beside the least time that it could take if that can be
    /// said.
    #[must_use]
    pub fn new(name: &'static str, floor: Option<Duration>, result: &RunResult) -> Self {
        let world = &result.world;
        let fetcher = result.nodes.fetchers[0];
        let counts = world.counts(fetcher);
        let end = counts.delivered.last().map_or(0, |block| block.at.as_micros());
        let wanted: u64 = counts.delivered.iter().map(|block| block.bytes).sum();
        let took = world.took(result.fetches[0]);
        let rows = vec![
            (
                "time to fetch".into(),
                took.map_or_else(|| "never".into(), |took| seconds(took) + " s"),
            ),
            ("floor".into(), floor.map_or_else(|| "none".into(), |floor| seconds(floor) + " s")),
            (
                "times the floor".into(),
                took.zip(floor).map_or_else(
                    || "none".into(),
                    |(took, floor)| format!("{:.2}", took.as_secs_f64() / floor.as_secs_f64()),
                ),
            ),
            ("slowest want".into(), seconds(world.slowest_want(result.fetches[0])) + " s"),
            ("blocks".into(), counts.blocks_delivered().to_string()),
            ("messages sent".into(), counts.messages_sent.to_string()),
            ("messages received".into(), counts.messages_received.to_string()),
            ("want-blocks told".into(), counts.want_blocks_sent.to_string()),
            ("want-haves told".into(), counts.want_haves_sent.to_string()),
            ("cancels told".into(), counts.cancels_sent.to_string()),
            (
                "duplicate bytes".into(),
                format!("{:.2} %", percent(counts.block_bytes_received - wanted, wanted)),
            ),
            ("provider searches".into(), counts.searches.to_string()),
        ];
        let peers: Vec<Node> =
            result.nodes.seeders.iter().chain(&result.nodes.peers).copied().collect();
        let charts = vec![blocks(counts, end), messages(counts, end), shares(counts, &peers, end)];
        Self { name, rows, charts }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.name);
        for (what, value) in &self.rows {
            let _ = writeln!(text, "  {what:<20}{value:>14}");
        }
        text
    }

    /// The picture, as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        page(self.name, &self.charts)
    }

    /// A file name made of the scenario's name.
    #[must_use]
    pub fn file_name(&self) -> String {
        let letters = self.name.chars().map(|letter| match letter {
            'a'..='z' | '0'..='9' => letter,
            'A'..='Z' => letter.to_ascii_lowercase(),
            _ => '-',
        });
        letters.collect::<String>() + ".svg"
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// How many of some moments had passed, over time.
fn curve(name: &str, moments: &[Timestamp], end: u64) -> Series {
    let points = (0..=POINTS).map(|point| {
        let at = end * point / POINTS;
        let passed = moments.partition_point(|moment| moment.as_micros() <= at);
        (at as f64 / 1e6, passed as f64)
    });
    Series { name: name.into(), points: points.collect() }
}

fn blocks(counts: &Counts, end: u64) -> Chart {
    let delivered: Vec<Timestamp> = counts.delivered.iter().map(|block| block.at).collect();
    Chart {
        title: "Blocks over time".into(),
        x: "time in s",
        y: "blocks",
        style: Style::Lines,
        series: vec![
            curve("wanted", &delivered, end),
            curve("received in all", &counts.arrived, end),
        ],
    }
}

fn messages(counts: &Counts, end: u64) -> Chart {
    Chart {
        title: "Messages over time".into(),
        x: "time in s",
        y: "messages",
        style: Style::Lines,
        series: vec![
            curve("sent", &counts.sent_at, end),
            curve("received", &counts.received_at, end),
        ],
    }
}

/// Who delivered how much, in equal spans of time.
fn shares(counts: &Counts, peers: &[Node], end: u64) -> Chart {
    let span = Duration::from_micros((end / 40).max(1));
    let spans = end as usize / span.as_micros() as usize + 1;
    // The busiest seven by name, the others together.
    let mut busiest: Vec<Node> = peers.to_vec();
    busiest.retain(|peer| counts.bytes_from(*peer) > 0);
    busiest.sort_by_key(|peer| std::cmp::Reverse(counts.bytes_from(*peer)));
    let named = &busiest[..busiest.len().min(7)];
    let rate = |takes: &dyn Fn(Option<Node>) -> bool| -> Vec<(f64, f64)> {
        let mut bytes = vec![0u64; spans];
        for block in counts.delivered.iter().filter(|block| takes(block.from)) {
            bytes[(block.at.as_micros() / span.as_micros() as u64) as usize] += block.bytes;
        }
        let seconds = span.as_secs_f64();
        let per_second = |bytes: u64| bytes as f64 / seconds / 1e6;
        bytes
            .into_iter()
            .enumerate()
            .map(|(place, bytes)| (place as f64 * seconds, per_second(bytes)))
            .collect()
    };
    let mut series: Vec<Series> = named
        .iter()
        .map(|peer| {
            let all: u64 = counts.delivered.iter().map(|block| block.bytes).sum();
            let share = percent(counts.bytes_from(*peer), all);
            Series {
                name: format!("{peer}: {share:.0} %"),
                points: rate(&|from| from == Some(*peer)),
            }
        })
        .collect();
    if busiest.len() > named.len() {
        let others = |from: Option<Node>| from.is_none_or(|from| !named.contains(&from));
        series.push(Series { name: "others".into(), points: rate(&others) });
    }
    Chart { title: "Who delivers".into(), x: "time in s", y: "MB/s", style: Style::Stacked, series }
}
