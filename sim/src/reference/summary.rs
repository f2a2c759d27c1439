//! Median and worst of many runs, beside the reference implementation's figures and the goals.

use std::fmt::Write as _;

use super::cases::Case;
use super::run::Outcome;

/// Many runs of one case.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The case.
    pub case: Case,
    outcomes: Vec<Outcome>,
}

impl Summary {
    /// Sums up runs.
    ///
    /// # Panics
    ///
    /// Without runs.
    #[must_use]
    pub fn new(case: Case, outcomes: Vec<Outcome>) -> Self {
        assert!(!outcomes.is_empty(), "{} was not run", case.name);
        Self { case, outcomes }
    }

    /// Median and worst of a figure, lower being better.
    fn spread(&self, figure: impl Fn(&Outcome) -> u64) -> (u64, u64) {
        let mut all: Vec<u64> = self.outcomes.iter().map(figure).collect();
        all.sort_unstable();
        (all[all.len() / 2], all[all.len() - 1])
    }

    /// Time in microseconds; a run that did not end counts as endless.
    #[must_use]
    pub fn micros(&self) -> (u64, u64) {
        self.spread(|outcome| outcome.micros.unwrap_or(u64::MAX))
    }

    /// The least time that the runs could have taken, in microseconds: each has links of its own.
    #[must_use]
    pub fn floor_micros(&self) -> (u64, u64) {
        self.spread(|outcome| outcome.floor_micros)
    }

    /// What the runs took of the least time that each of them could have taken, in per mille.
    #[must_use]
    pub fn of_floor(&self) -> (u64, u64) {
        self.spread(|outcome| match outcome.micros {
            Some(micros) => (micros * 1000).div_ceil(outcome.floor_micros.max(1)),
            None => u64::MAX,
        })
    }

    /// Whether the median run comes as close to the least time as the case's goal says. A missed one is shown and fails
    /// nothing.
    #[must_use]
    pub fn is_near_floor(&self) -> bool {
        self.of_floor().0 <= self.case.floor_goal()
    }

    /// Messages sent.
    #[must_use]
    pub fn sent(&self) -> (u64, u64) {
        self.spread(|outcome| outcome.sent)
    }

    /// Messages received.
    #[must_use]
    pub fn received(&self) -> (u64, u64) {
        self.spread(|outcome| outcome.received)
    }

    /// Blocks received.
    #[must_use]
    pub fn blocks(&self) -> (u64, u64) {
        self.spread(|outcome| outcome.blocks)
    }

    /// Real time in the fetcher's engine, in microseconds.
    #[must_use]
    pub fn cpu_micros(&self) -> (u64, u64) {
        self.spread(|outcome| outcome.cpu_micros)
    }

    /// Which goals the median misses: time, sent, blocks.
    #[must_use]
    pub fn misses(&self) -> [bool; 3] {
        let goal = &self.case.goal;
        [
            self.micros().0 > goal.micros,
            self.sent().0 > goal.sent,
            // A run that never ended received too few blocks, not few enough.
            self.blocks().0 > goal.blocks || self.micros().0 == u64::MAX,
        ]
    }

    /// Whether the medians of messages and blocks are within 15 % of what the reference
    /// implementation was measured at.
    #[must_use]
    pub fn is_near_measured(&self) -> bool {
        let measured = &self.case.measured;
        [
            (self.sent().0, measured.sent),
            (self.received().0, measured.received),
            (self.blocks().0, measured.blocks),
        ]
        .iter()
        .all(|(ours, theirs)| ours.abs_diff(*theirs) * 100 <= theirs * 15)
    }

    /// Whether the median reaches all goals.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.misses() == [false; 3]
    }
}

/// A table of cases: median/worst, the reference's figure, our goal, and of the time the least that was possible and how
/// many times as long it took. `!` marks a missed goal.
#[must_use]
pub fn table(summaries: &[Summary]) -> String {
    let mut text = format!(
        "{:<42}{:>24}{:>9}{:>8} |{:>9}{:>14}{:>7} |{:>12}{:>6}{:>6} |{:>11}{:>6} |{:>12}{:>6}{:>6} |{:>14}\n",
        "case (median/worst, reference, goal)",
        "time s",
        "ref",
        "goal",
        "floor s",
        "times it",
        "goal",
        "sent",
        "ref",
        "goal",
        "recv",
        "ref",
        "blocks",
        "ref",
        "goal",
        "engine us",
    );
    for summary in summaries {
        let case = &summary.case;
        let [time, sent, blocks] = summary.misses().map(|miss| if miss { "!" } else { " " });
        let seconds = |micros: u64| {
            if micros == u64::MAX { "never".into() } else { format!("{:.4}", micros as f64 / 1e6) }
        };
        let times = |per_mille: u64| match per_mille {
            u64::MAX => "never".into(),
            _ => format!("{:.3}", per_mille as f64 / 1e3),
        };
        let near = if summary.is_near_floor() { " " } else { "!" };
        let of_floor = summary.of_floor();
        let (median, worst) = summary.micros();
        let pair = |(median, worst): (u64, u64), mark: &str| format!("{median}/{worst}{mark}");
        let _ = writeln!(
            text,
            "{:<42}{:>24}{:>9.3}{:>8.3} |{:>9}{:>14}{:>7} |{:>12}{:>6}{:>6} |{:>11}{:>6} |{:>12}{:>6}{:>6} |{:>14}",
            case.name,
            format!("{}/{}{time}", seconds(median), seconds(worst)),
            case.measured.ms as f64 / 1e3,
            case.goal.micros as f64 / 1e6,
            seconds(summary.floor_micros().0),
            format!("{}/{}{near}", times(of_floor.0), times(of_floor.1)),
            times(case.floor_goal()),
            pair(summary.sent(), sent),
            case.measured.sent,
            case.goal.sent,
            pair(summary.received(), " "),
            case.measured.received,
            pair(summary.blocks(), blocks),
            case.measured.blocks,
            case.goal.blocks,
            pair(summary.cpu_micros(), " "),
        );
    }
    text
}

/// How many cases come close to the least time possible, and which do not.
#[must_use]
pub fn beside_floors(summaries: &[Summary]) -> String {
    let far: Vec<&str> = summaries
        .iter()
        .filter(|summary| !summary.is_near_floor())
        .map(|summary| summary.case.name)
        .collect();
    let near = summaries.len() - far.len();
    let mut text = format!(
        "{near} of {} cases take at most 1.1 times their floor, or 1.25 times where holders must be found",
        summaries.len(),
    );
    if !far.is_empty() {
        let _ = write!(text, "; not so: {}", far.join(", "));
    }
    text
}
