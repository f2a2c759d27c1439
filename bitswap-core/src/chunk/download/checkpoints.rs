//! When written data is made durable.

use super::options::SyncPolicy;
use crate::time::Timestamp;

/// Failed syncs after which the disk is given up.
const LOSSES_MAX: u32 = 3;

/// The schedule of checkpoints. At most one is due while one runs: the caller tells when one begins and ends.
#[derive(Clone, Debug)]
pub(super) struct Checkpoints {
    policy: SyncPolicy,
    last: Timestamp,
    is_forced: bool,
    losses: u32,
}

impl Checkpoints {
    pub(super) const fn new(policy: SyncPolicy) -> Self {
        Self { policy, last: Timestamp::ZERO, is_forced: false, losses: 0 }
    }

    /// The next one is due at once, whatever the schedule.
    pub(super) const fn force(&mut self) {
        self.is_forced = true;
    }

    /// Whether one is due when this many bytes are written and not claimed.
    pub(super) fn is_due(&self, dirty: u64, now: Timestamp) -> bool {
        let is_due = match self.policy {
            SyncPolicy::Never => false,
            SyncPolicy::AtEnd => self.is_forced,
            SyncPolicy::Checkpoints { bytes, every } => {
                self.is_forced || dirty >= bytes || now >= self.last + every
            }
        };
        is_due && dirty > 0
    }

    /// When one is due at the latest, while anything is written and not claimed.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.policy {
            SyncPolicy::Checkpoints { every, .. } => Some(self.last + every),
            _ => None,
        }
    }

    /// One begins.
    pub(super) const fn begin(&mut self) {
        self.is_forced = false;
    }

    /// One ended, or the time before the first begins.
    pub(super) const fn end(&mut self, now: Timestamp) {
        self.last = now;
    }

    /// A sync failed. Returns whether what it lost is written again.
    pub(super) const fn lost(&mut self) -> bool {
        self.losses += 1;
        self.losses < LOSSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn each_policy_has_its_checkpoints() {
        let at = |secs| Timestamp::ZERO + Duration::from_secs(secs);
        let by = SyncPolicy::Checkpoints { bytes: 100, every: Duration::from_secs(5) };
        for (policy, dirty, secs, is_forced, is_due) in [
            (SyncPolicy::Never, 1000, 99, true, false),
            (SyncPolicy::AtEnd, 1000, 99, false, false),
            (SyncPolicy::AtEnd, 1, 0, true, true),
            (by, 99, 4, false, false),
            (by, 100, 0, false, true),
            (by, 1, 5, false, true),
            (by, 1, 0, true, true),
            (by, 0, 99, true, false),
        ] {
            let mut checkpoints = Checkpoints::new(policy);
            if is_forced {
                checkpoints.force();
            }
            assert_eq!(checkpoints.is_due(dirty, at(secs)), is_due, "{policy:?} {dirty} {secs}");
            assert_eq!(checkpoints.deadline().is_some(), policy == by);
        }
        let mut checkpoints = Checkpoints::new(by);
        checkpoints.force();
        checkpoints.begin();
        checkpoints.end(at(7));
        assert!(!checkpoints.is_due(1, at(11)) && checkpoints.is_due(1, at(12)));
        assert_eq!([(); 3].map(|()| checkpoints.lost()), [true, true, false]);
    }
}
