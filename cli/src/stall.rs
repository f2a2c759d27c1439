//! Whether a download stands still, as people see it.
//!
//! The download counts bytes of blocks that are whole, since nothing else is proven: on a slow link one block may take
//! longer than it waits before it speaks of a stall. Who watches sees bytes, so that is no stall for them. And what was
//! told holds until bytes keep coming, not until the next few: a note that comes and goes says nothing.

use std::time::Duration;

use bitswap_core::chunk::StallReason;

use crate::arrivals::Arrivals;

/// After so long in which the download has not spoken of a stall, there is none, whether bytes come or not: a disk may be
/// all that it waits for. Longer than it waits before it speaks of the next.
const OVER_AFTER: Duration = Duration::from_secs(15);

/// What the download says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// No block has come for a while, and this may be why.
    Stalled(StallReason),
    /// One has come again.
    Ended,
}

/// What it said, and what people were told of it.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    said: Option<StallReason>,
    /// How long it has said nothing.
    quiet: Duration,
    told: Option<StallReason>,
}

impl Stall {
    /// The download says something.
    pub(crate) const fn heard(&mut self, change: Change) {
        self.said = match change {
            Change::Stalled(reason) => Some(reason),
            Change::Ended => None,
        };
        self.quiet = Duration::ZERO;
    }

    /// What is to be told now, as bytes arrive or do not, after so much time.
    pub(crate) fn look(&mut self, arrivals: &mut Arrivals, passed: Duration) -> Option<Change> {
        if self.said.is_none() {
            self.quiet += passed;
        }
        let is_over = self.said.is_none() && self.quiet >= OVER_AFTER;
        if self.told.is_some() && (is_over || arrivals.is_steady()) {
            return self.ended();
        }
        let reason = self.said.filter(|_| arrivals.is_silent())?;
        if self.told == Some(reason) {
            return None;
        }
        self.told = Some(reason);
        arrivals.doubt();
        Some(Change::Stalled(reason))
    }

    /// All has come, perhaps since the last look.
    pub(crate) fn ended(&mut self) -> Option<Change> {
        self.told.take().map(|_| Change::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: StallReason = StallReason::PeersSilent;
    const MS: Duration = Duration::from_millis(1);

    /// A download in virtual time.
    #[derive(Default)]
    struct Watched {
        stall: Stall,
        arrivals: Arrivals,
        ms: u64,
        received: u64,
        told: Vec<(u64, Change)>,
    }

    impl Watched {
        /// Looks every 250 ms for so long, while a byte comes every `every` milliseconds; 0 for never.
        fn run(&mut self, seconds: u64, every: u64) {
            for _ in 0..seconds * 4 {
                self.ms += 250;
                if every > 0 && self.ms.is_multiple_of(every) {
                    self.received += 1;
                }
                self.arrivals.pass(250 * MS, self.received);
                let told = self.stall.look(&mut self.arrivals, 250 * MS);
                self.told.extend(told.map(|change| (self.ms, change)));
            }
        }

        fn told(&mut self) -> Vec<(u64, Change)> {
            std::mem::take(&mut self.told)
        }
    }

    #[test]
    fn a_stall_is_told_once_no_byte_comes_and_ends_once_bytes_keep_coming() {
        let mut watched = Watched::default();
        watched.run(20, 0);
        assert_eq!(watched.told(), [], "a silence alone is none");
        // Bytes of a block that is not whole come.
        watched.run(1, 1_000);
        watched.stall.heard(Change::Stalled(SILENT));
        watched.run(20, 1_000);
        assert_eq!(watched.told(), []);
        // None come any more.
        watched.run(20, 0);
        assert_eq!(watched.told(), [(44_000, Change::Stalled(SILENT))]);
        // There is another reason for it.
        watched.stall.heard(Change::Stalled(StallReason::NoPeers));
        watched.run(1, 0);
        assert_eq!(watched.told(), [(61_250, Change::Stalled(StallReason::NoPeers))]);
        // A few bytes, and then again none.
        watched.run(2, 1_000);
        watched.run(17, 0);
        assert_eq!(watched.told(), []);
        watched.run(20, 1_000);
        assert_eq!(watched.told(), [(85_000, Change::Ended)]);
        assert_eq!(watched.stall.ended(), None);
    }

    #[test]
    fn the_note_of_a_slow_link_comes_once_and_goes_once() {
        // A message of 64 KiB on links of 20, 16 and 8 kB/s, with blocks of 1 MiB: one is whole every minute or two, and after
        // ten seconds the download speaks of a stall again.
        for every in [3_250, 4_000, 8_000] {
            let mut watched = Watched::default();
            for _ in 0..20 {
                watched.run(10, every);
                watched.stall.heard(Change::Stalled(SILENT));
                watched.run(16 * every / 1000 - 10, every);
                watched.stall.heard(Change::Ended);
            }
            let told: Vec<Change> = watched.told().into_iter().map(|(_, change)| change).collect();
            assert!(
                told.is_empty() || told == [Change::Stalled(SILENT), Change::Ended],
                "a message every {every} ms: {told:?}"
            );
        }
        // One that is silent for longer than bytes that keep coming are stays with what was told.
        let mut watched = Watched::default();
        for _ in 0..20 {
            watched.run(10, 12_000);
            watched.stall.heard(Change::Stalled(SILENT));
            watched.run(182, 12_000);
            watched.stall.heard(Change::Ended);
        }
        assert_eq!(watched.told(), [(10_250, Change::Stalled(SILENT))]);
    }

    #[test]
    fn what_goes_on_without_bytes_ends_a_stall_after_a_while() {
        const SLOW: StallReason = StallReason::DiskSlow;
        let mut watched = Watched::default();
        watched.stall.heard(Change::Stalled(SLOW));
        watched.run(10, 0);
        watched.stall.heard(Change::Ended);
        watched.run(20, 0);
        assert_eq!(watched.told(), [(3_000, Change::Stalled(SLOW)), (25_000, Change::Ended)]);
    }

    #[test]
    fn the_end_of_all_ends_a_stall_at_once() {
        let mut watched = Watched::default();
        watched.stall.heard(Change::Stalled(SILENT));
        watched.run(4, 0);
        assert_eq!(watched.stall.ended(), Some(Change::Ended));
        assert_eq!(watched.stall.ended(), None);
    }
}
