//! A limit of download: when more may be asked for.

use crate::bucket::Bucket;
use crate::time::Timestamp;

/// A limit of download in bytes per second, or none.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// `None`: there is no limit.
    bucket: Option<Bucket>,
    /// Nothing may be asked for before this. Whoever has the throttle wakes for it.
    opens_at: Option<Timestamp>,
}

impl Throttle {
    pub(super) fn new(rate: Option<u64>, now: Timestamp) -> Self {
        Self { bucket: rate.map(|rate| Bucket::new(rate, now)), opens_at: None }
    }

    pub(super) const fn is_limited(&self) -> bool {
        self.bucket.is_some()
    }

    /// Nothing may be asked for now.
    pub(super) const fn is_closed(&self) -> bool {
        self.opens_at.is_some()
    }

    pub(super) const fn opens_at(&self) -> Option<Timestamp> {
        self.opens_at
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.opens_at.is_some_and(|at| at.is_due(now))
    }

    /// So many bytes are asked for, or have arrived. [`Self::update`] is due.
    pub(super) fn take(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(bytes);
        }
    }

    /// So many bytes that were taken have arrived, or are not to come. [`Self::update`] is due.
    pub(super) fn give(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.give(bytes);
        }
    }

    /// Opens or closes after what was taken, given and has passed; what [`Self::opens_at`] was before.
    pub(super) fn update(&mut self, now: Timestamp) -> Option<Timestamp> {
        let bucket = self.bucket.as_mut();
        let opens_at = bucket.and_then(|bucket| (!bucket.is_open(now)).then(|| bucket.opens_at()));
        core::mem::replace(&mut self.opens_at, opens_at)
    }

    /// The time has come at which it opens.
    pub(super) fn open(&mut self, now: Timestamp) {
        self.update(now);
        debug_assert!(!self.is_closed(), "a limit opens later than it said");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_closed_until_what_was_taken_is_paid_off() {
        let at = |us| Timestamp::from_micros(us);
        let mut throttle = Throttle::new(Some(1000), at(0));
        assert!(!throttle.is_closed());
        throttle.take(500);
        assert_eq!((throttle.update(at(0)), throttle.is_closed()), (None, true));
        let opens = throttle.opens_at().unwrap();
        assert!((at(499_000)..=at(501_000)).contains(&opens), "{opens:?}");
        throttle.give(400);
        assert_eq!(throttle.update(at(0)), Some(opens));
        assert!(throttle.opens_at().unwrap() < at(101_000));
        assert!(!throttle.is_due(at(90_000)) && throttle.is_due(at(101_000)));
        throttle.open(at(101_000));
        assert!(!throttle.is_closed() && throttle.is_limited());
    }

    #[test]
    fn without_a_limit_it_is_never_closed() {
        let mut throttle = Throttle::new(None, Timestamp::ZERO);
        throttle.take(u64::MAX);
        assert_eq!((throttle.update(Timestamp::ZERO), throttle.is_closed()), (None, false));
        assert!(!throttle.is_limited());
    }
}
