//! How bytes arrive: whether they keep coming, and in which pauses.
//!
//! A connection delivers whole messages of its encryption, of up to 64 KiB: on a slow link there are seconds between two,
//! and nothing is wrong.

use std::time::Duration;

/// After so long without a byte it is said that none comes.
const SILENT_AFTER: Duration = Duration::from_secs(3);

/// A longer pause is none between bytes that keep coming.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Bytes that have come for so long, with no pause that is too long, keep coming.
const KEPT_FOR: Duration = Duration::from_secs(3);

/// The bytes that have come, and when.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    received: u64,
    /// How long no byte has come.
    silent: Duration,
    /// How long bytes have come, up to the last one; none while they do not.
    flowing: Option<Duration>,
    /// The longest pause between bytes that kept coming.
    longest: Duration,
}

impl Arrivals {
    /// So much time has passed, and so many bytes have come in all. Whether there are new ones.
    pub(crate) fn pass(&mut self, passed: Duration, received: u64) -> bool {
        let pause = self.silent + passed;
        if pause > PAUSE_MAX {
            self.flowing = None;
        }
        if received == self.received {
            self.silent = pause;
            return false;
        }
        (self.received, self.silent) = (received, Duration::ZERO);
        self.flowing = Some(match self.flowing {
            Some(flowing) => {
                self.longest = self.longest.max(pause);
                flowing + pause
            }
            // What ended with this byte is no pause between two.
            None => Duration::ZERO,
        });
        true
    }

    /// What comes from now on has to show anew that it keeps coming.
    pub(crate) const fn doubt(&mut self) {
        self.flowing = None;
    }

    /// After how long without a byte it is said that none comes: not in a pause as this link has had them before.
    pub(crate) fn silent_after(&self) -> Duration {
        SILENT_AFTER.max(2 * self.longest)
    }

    /// Whether no byte has come for so long that it is said.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent >= self.silent_after()
    }

    /// Whether bytes keep coming.
    pub(crate) fn is_steady(&self) -> bool {
        self.flowing.is_some_and(|flowing| flowing >= KEPT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Looks every 250 ms for so long, while a byte comes every `every` milliseconds; 0 for never.
    fn run(arrivals: &mut Arrivals, seconds: u64, every: u64) {
        let before = arrivals.received;
        for ms in (250..=seconds * 1000).step_by(250) {
            arrivals.pass(250 * MS, before + ms.checked_div(every).unwrap_or_default());
        }
    }

    #[test]
    fn it_is_silent_once_no_byte_has_come_for_three_seconds() {
        let mut arrivals = Arrivals::default();
        run(&mut arrivals, 60, 1_000);
        assert!(!arrivals.is_silent() && arrivals.is_steady());
        run(&mut arrivals, 2, 0);
        assert!(!arrivals.is_silent());
        run(&mut arrivals, 1, 0);
        assert!(arrivals.is_silent());
        run(&mut arrivals, 1, 1_000);
        assert!(!arrivals.is_silent());
    }

    #[test]
    fn a_pause_of_a_slow_link_is_no_silence_once_it_has_had_one() {
        let mut arrivals = Arrivals::default();
        run(&mut arrivals, 10, 5_000);
        assert_eq!(arrivals.silent_after(), 10_000 * MS);
        for every in [5_000, 8_000] {
            for _ in 0..10 {
                run(&mut arrivals, every / 1000, every);
                assert!(!arrivals.is_silent() && arrivals.is_steady());
            }
        }
        run(&mut arrivals, 15, 0);
        assert!(!arrivals.is_silent());
        run(&mut arrivals, 1, 0);
        assert!(arrivals.is_silent() && !arrivals.is_steady());
    }

    #[test]
    fn a_silence_that_ended_is_no_pause_of_the_link() {
        let mut arrivals = Arrivals::default();
        run(&mut arrivals, 10, 1_000);
        run(&mut arrivals, 60, 0);
        run(&mut arrivals, 5, 1_000);
        assert_eq!(arrivals.silent_after(), SILENT_AFTER);
    }

    #[test]
    fn one_byte_does_not_show_that_they_keep_coming() {
        let mut arrivals = Arrivals::default();
        run(&mut arrivals, 20, 0);
        run(&mut arrivals, 3, 1_000);
        assert!(!arrivals.is_steady(), "for two seconds");
        run(&mut arrivals, 1, 1_000);
        assert!(arrivals.is_steady());
        arrivals.doubt();
        run(&mut arrivals, 3, 1_000);
        assert!(!arrivals.is_steady());
    }
}
