//! How long a command waits for bytes, and when it says what it waits for.

use std::time::{Duration, Instant};

use bitswap_node::StallReport;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::arrivals::Arrivals;

/// After so long without a byte it says what it waits for.
const SAY_AFTER: Duration = Duration::from_secs(3);

/// It says the same again after twice as long each time, but at least so often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The longest time between two looks.
const TICK_MAX: Duration = Duration::from_millis(250);

/// How long to wait until it is said again what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause(Duration);

impl Pause {
    /// Before it is said for the first time.
    pub(crate) const FIRST: Self = Self(SAY_AFTER);

    /// The pause, which is longer from now on.
    pub(crate) fn pass(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(SAY_EVERY);
        pause
    }
}

/// Watches whether anything comes.
///
/// Bytes of blocks under way count, so a slow link is not taken for one that is dead. Time does not count
/// while nothing is asked for, as when a file on disk is checked, nor while the process did not run:
/// stopped, or asleep with its machine.
#[derive(Debug)]
pub(crate) struct Patience {
    timeout: Option<Duration>,
    tick: Duration,
    /// The bytes that have come, whether they were waited for or not.
    arrivals: Arrivals,
    /// How long nothing has come that was waited for.
    idle: Duration,
    /// When it says so next, and the pause after that.
    due: Duration,
    pause: Pause,
    looked: Instant,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    /// Say what is waited for.
    Say,
    /// Nothing has come for all the time that the user allows.
    GiveUp,
}

impl Patience {
    /// With `timeout`, it ends after so long without a byte.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let tick = timeout
            .map_or(TICK_MAX, |timeout| (timeout / 4).clamp(Duration::from_millis(5), TICK_MAX));
        let mut pause = Pause::FIRST;
        let (idle, due) = (Duration::ZERO, pause.pass());
        let arrivals = Arrivals::default();
        Self { timeout, tick, arrivals, idle, due, pause, looked: Instant::now() }
    }

    /// Ticks when to look.
    pub(crate) fn ticks(&self) -> Interval {
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// How long nothing has come.
    pub(crate) const fn idle(&self) -> Duration {
        self.idle
    }

    /// How bytes have come.
    pub(crate) const fn arrivals(&mut self) -> &mut Arrivals {
        &mut self.arrivals
    }

    /// How much time counts since the last look, which is now at `now`.
    pub(crate) fn pass(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.looked).min(2 * self.tick);
        self.looked = now;
        passed
    }

    /// Looks at what is waited for after so much time.
    pub(crate) fn look(&mut self, waiting: &StallReport, passed: Duration) -> Verdict {
        if self.arrivals.pass(passed, waiting.received) || waiting.blocks == 0 {
            (self.idle, self.pause) = (Duration::ZERO, Pause::FIRST);
            self.due = self.pause.pass().max(self.arrivals.silent_after());
            return Verdict::Wait;
        }
        self.idle += passed;
        if self.timeout.is_some_and(|timeout| self.idle >= timeout) {
            return Verdict::GiveUp;
        }
        if self.idle < self.due {
            return Verdict::Wait;
        }
        self.due = self.idle + self.pause.pass();
        Verdict::Say
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn waiting(received: u64, blocks: usize) -> StallReport {
        let mut waiting = StallReport::default();
        (waiting.received, waiting.blocks) = (received, blocks);
        waiting
    }

    /// Looks every 250 ms for so long; what it said other than to wait, and when.
    fn run(
        patience: &mut Patience,
        seconds: u64,
        mut at: impl FnMut(u64) -> StallReport,
    ) -> Vec<(u64, Verdict)> {
        let mut verdicts = Vec::new();
        for look in 1..=seconds * 4 {
            let ms = look * 250;
            let passed = patience.pass(patience.looked + 250 * MS);
            let verdict = patience.look(&at(ms), passed);
            if verdict != Verdict::Wait {
                verdicts.push((ms, verdict));
            }
        }
        verdicts
    }

    #[test]
    fn it_says_what_it_waits_for_ever_less_often_and_gives_up_in_the_end() {
        let mut patience = Patience::new(Some(220_000 * MS));
        let verdicts = run(&mut patience, 220, |_| waiting(0, 1));
        let said: Vec<u64> = verdicts.iter().map(|(ms, _)| ms / 1000).collect();
        assert_eq!(said, [3, 9, 21, 45, 93, 153, 213, 220]);
        assert_eq!(verdicts.last(), Some(&(220_000, Verdict::GiveUp)));
    }

    #[test]
    fn it_is_said_soon_again_after_something_came() {
        let mut patience = Patience::new(None);
        let verdicts = run(&mut patience, 30, |ms| waiting(ms / 20_000, 1));
        let said: Vec<u64> = verdicts.iter().map(|(ms, _)| ms / 1000).collect();
        assert_eq!(said, [3, 9, 23, 29]);
    }

    #[test]
    fn bytes_of_a_block_under_way_are_news() {
        let mut patience = Patience::new(Some(5_000 * MS));
        // A kilobyte every two seconds.
        assert!(run(&mut patience, 60, |ms| waiting(ms / 2_000 * 1_000, 1)).is_empty());
    }

    #[test]
    fn time_in_which_nothing_is_asked_for_does_not_count() {
        let mut patience = Patience::new(Some(5_000 * MS));
        assert!(run(&mut patience, 60, |_| waiting(0, 0)).is_empty());
    }

    #[test]
    fn a_link_with_long_pauses_is_waited_for_silently_once_they_are_known() {
        let mut patience = Patience::new(None);
        // A message of 64 KiB every five seconds.
        let verdicts = run(&mut patience, 600, |ms| waiting(ms / 5_000 * 65_536, 1));
        assert_eq!(verdicts, [(3_000, Verdict::Say), (8_000, Verdict::Say)]);
    }

    #[test]
    fn time_in_which_the_process_was_stopped_does_not_count() {
        let mut patience = Patience::new(Some(5_000 * MS));
        assert!(run(&mut patience, 2, |_| waiting(0, 1)).is_empty());
        let passed = patience.pass(patience.looked + 3_600_000 * MS);
        assert_eq!(patience.look(&waiting(0, 1), passed), Verdict::Wait);
        assert_eq!(patience.idle(), 2_500 * MS);
    }
}
