//! The health of the disk: when the next write may be tried, and when it is given up.
//!
//! A full disk is tried again, with one write at a time, until a deadline that the first failure sets;
//! other failures are retried a few times.

use core::time::Duration;

use super::effects::{Done, FsError, FsErrorKind};
use super::events::{DownloadError, DownloadEvent};
use crate::time::Timestamp;

/// Writes at a time: enough for a disk that sorts them.
const WRITES_MAX: usize = 8;

/// Tries of a write before the disk is given up.
const WRITE_TRIES: u32 = 5;
const WRITE_WAIT: Duration = Duration::from_millis(100);

/// How long a full disk is left alone, at first and at most.
const FULL_WAIT: Duration = Duration::from_secs(1);
const FULL_WAIT_MAX: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(in crate::chunk) struct DiskHealth {
    hold_until: Option<Timestamp>,
    failures: u32,
    full: Option<Full>,
}

/// A disk without space.
#[derive(Clone, Copy, Debug)]
struct Full {
    /// How long it is left alone.
    wait: Duration,
    /// When it is tried for the last time.
    until: Timestamp,
}

impl DiskHealth {
    pub(in crate::chunk) const fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Until when nothing is written.
    pub(in crate::chunk) const fn held_until(&self) -> Option<Timestamp> {
        self.hold_until
    }

    /// Whether a write may be tried; a wait that is over ends.
    pub(in crate::chunk) fn may_write(&mut self, now: Timestamp) -> bool {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        self.hold_until.is_none()
    }

    /// Ends the wait before its time.
    pub(in crate::chunk) const fn try_now(&mut self) {
        self.hold_until = None;
    }

    /// How many writes may run at a time.
    pub(in crate::chunk) const fn writes_max(&self) -> usize {
        if self.is_full() { 1 } else { WRITES_MAX }
    }

    /// A write succeeded. Returns whether the disk was full until now.
    pub(in crate::chunk) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.full.take().is_some()
    }

    /// A write found the disk full, which is waited for up to `patience`. Returns whether that is to be
    /// reported: it is new, or this was the last try.
    pub(in crate::chunk) fn filled(&mut self, now: Timestamp, patience: Duration) -> bool {
        let (wait, until) = match self.full {
            Some(full) => ((full.wait * 2).min(FULL_WAIT_MAX), full.until),
            None => (FULL_WAIT, now + patience),
        };
        let is_new = self.full.replace(Full { wait, until }).is_none();
        let again = now + wait;
        self.hold_until = Some(if now < until { again.min(until) } else { again });
        is_new || self.is_given_up(now)
    }

    /// Whether it is full and was tried for the last time.
    pub(in crate::chunk) fn is_given_up(&self, now: Timestamp) -> bool {
        self.full.is_some_and(|full| full.until <= now)
    }

    /// The free space of a disk that is full in this way is known: what to report, or, after the last try,
    /// how the download fails. It needs `needed` bytes.
    ///
    /// # Errors
    ///
    /// The disk is given up.
    pub(super) fn report_full(
        &self,
        kind: FsErrorKind,
        space: &Result<Done, FsError>,
        needed: u64,
        now: Timestamp,
    ) -> Result<DownloadEvent, DownloadError> {
        let available = if let Ok(Done::Space(available)) = space { *available } else { 0 };
        let is_quota = kind == FsErrorKind::QuotaExceeded;
        if !self.is_given_up(now) {
            Ok(DownloadEvent::DiskFull { needed, available, is_quota })
        } else if is_quota {
            Err(DownloadError::QuotaExceeded { needed })
        } else {
            Err(DownloadError::NotEnoughSpace { needed, available })
        }
    }

    /// A write failed otherwise. Returns whether it is tried again.
    pub(in crate::chunk) fn failed(&mut self, now: Timestamp) -> bool {
        self.hold_until = Some(now + WRITE_WAIT * (1 << self.failures.min(8)));
        self.failures += 1;
        self.failures < WRITE_TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_failing_disk_is_tried_five_times_with_growing_waits() {
        let mut disk = DiskHealth::default();
        let mut waits = [0; 5];
        for (tries, wait) in (1..=5).zip(&mut waits) {
            assert_eq!(disk.failed(at(0)), tries < 5);
            *wait = disk.held_until().unwrap().since(Timestamp::ZERO).as_millis();
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600]);
        disk.succeeded();
        assert!(disk.failed(at(0)), "a success forgets the failures");
    }

    #[test]
    fn a_full_disk_is_reported_at_first_and_at_the_end() {
        let mut disk = DiskHealth::default();
        let patience = Duration::from_secs(5);
        assert!(disk.filled(at(0), patience));
        assert_eq!((disk.held_until(), disk.writes_max()), (Some(at(1000)), 1));
        assert!(!disk.may_write(at(999)) && disk.may_write(at(1000)));
        assert!(!disk.filled(at(1000), patience), "the second time is no news");
        assert_eq!(disk.held_until(), Some(at(3000)));
        assert!(!disk.filled(at(3000), patience));
        assert_eq!(disk.held_until(), Some(at(5000)), "never beyond the deadline");
        assert!(disk.filled(at(5000), patience) && disk.is_given_up(at(5000)));
        assert!(disk.succeeded() && !disk.succeeded() && !disk.is_full());
    }
}
