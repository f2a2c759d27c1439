//! A token bucket in the engine's time: a rate limit in bytes per second.

use core::time::Duration;

use crate::time::Timestamp;

/// How much unused time may be saved up for a burst, in microseconds.
const BURST: u64 = 250_000;

/// A limit of so many bytes per second.
///
/// The bucket may go into debt: something larger than what is saved passes at once and is paid
/// off before anything else does. So the rate holds over time whatever the sizes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: u64,
    /// Bytes that may pass now, times a million; negative while in debt.
    balance: i128,
    updated: Timestamp,
}

const SCALE: i128 = 1_000_000;

impl Bucket {
    pub(crate) fn new(rate: u64, now: Timestamp) -> Self {
        Self { rate: rate.max(1), balance: 1, updated: now }
    }

    /// Whether something may pass.
    pub(crate) fn is_open(&mut self, now: Timestamp) -> bool {
        let passed =
            i128::from(now.since(self.updated).as_micros().min(u128::from(u64::MAX)) as u64);
        let full = i128::from(self.rate) * i128::from(BURST);
        let earned = passed.saturating_mul(i128::from(self.rate));
        self.balance = self.balance.saturating_add(earned).min(full.max(1));
        self.updated = self.updated.max(now);
        self.balance > 0
    }

    /// Lets `bytes` pass.
    pub(crate) fn take(&mut self, bytes: u64) {
        self.balance -= i128::from(bytes) * SCALE;
    }

    /// Gives back `bytes` that did not pass after all.
    pub(crate) fn give(&mut self, bytes: u64) {
        self.balance += i128::from(bytes) * SCALE;
    }

    /// When something may pass, as of the last call to [`Bucket::is_open`].
    pub(crate) fn opens_at(&self) -> Timestamp {
        if self.balance > 0 {
            return self.updated;
        }
        let micros = (1 - self.balance) / i128::from(self.rate) + 1;
        self.updated + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_whatever_the_sizes() {
        for size in [1u64, 100, 4096, 3_000_000] {
            let rate = 100_000;
            let mut now = Timestamp::ZERO;
            let mut bucket = Bucket::new(rate, now);
            let mut passed = 0;
            while now < Timestamp::from_micros(100_000_000) {
                assert!(bucket.is_open(now));
                bucket.take(size);
                passed += size;
                if !bucket.is_open(now) {
                    let next = bucket.opens_at();
                    assert!(next > now);
                    now = next;
                }
            }
            // 100 seconds, and the last one may be in debt.
            let over = passed.abs_diff(rate * 100);
            assert!(over <= rate / 4 + size, "{size}: {passed}");
        }
    }

    #[test]
    fn a_bucket_without_a_byte_is_closed_and_says_when_it_opens() {
        let mut bucket = Bucket::new(1, Timestamp::ZERO);
        assert_eq!(bucket.opens_at(), Timestamp::ZERO, "it is open");
        bucket.take(1);
        let empty = Timestamp::from_micros(999_999);
        assert!(!bucket.is_open(empty));
        assert_eq!(bucket.balance, 0);
        let opens = Timestamp::from_micros(1_000_001);
        assert_eq!(bucket.opens_at(), opens);
        assert!(bucket.is_open(opens));
    }

    #[test]
    fn idle_time_is_saved_up_to_a_bound() {
        let mut bucket = Bucket::new(1000, Timestamp::ZERO);
        assert!(bucket.is_open(Timestamp::MAX));
        bucket.take(250);
        assert!(!bucket.is_open(Timestamp::MAX));
        bucket.give(1);
        assert!(bucket.is_open(Timestamp::MAX));
        let mut fastest = Bucket::new(u64::MAX, Timestamp::ZERO);
        assert!(fastest.is_open(Timestamp::MAX));
    }
}
