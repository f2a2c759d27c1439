//! A token bucket in engine time.

use core::time::Duration;

use crate::time::Timestamp;

/// What may be sent at once after a pause: this much time's worth. Hosts wake up late by less.
const BURST: Duration = Duration::from_millis(50);
/// A message under a rate limit is at most this part of a second's worth, so that time-sharing
/// between peers stays fine-grained.
const MESSAGES_PER_SECOND: u64 = 20;

/// Limits bytes over time to a rate that is an argument, so that it may change at any moment.
///
/// A sender may send while the bucket is not in debt and then goes into debt by what it sent: no
/// block is too big for it, and over a long time the rate is exact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Millionths of a byte that may be sent; negative: debt.
    tokens: i128,
    at: Timestamp,
}

impl Bucket {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { tokens: 0, at: now }
    }

    /// Whether something may be sent now.
    pub(super) fn is_open(&mut self, rate: Option<u64>, now: Timestamp) -> bool {
        let Some(rate) = rate else {
            *self = Self::new(now);
            return true;
        };
        let earned = |time: Duration| i128::from(rate).saturating_mul(time.as_micros() as i128);
        let tokens = self.tokens.saturating_add(earned(now.since(self.at)));
        self.tokens = tokens.min(earned(BURST));
        self.at = self.at.max(now);
        rate > 0 && self.tokens >= 0
    }

    /// This many bytes were sent.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(i128::from(bytes) * 1_000_000);
    }

    /// When something may be sent again; `None` when never.
    pub(super) fn opens_at(&self, rate: Option<u64>) -> Option<Timestamp> {
        let rate = u128::from(rate.unwrap_or(u64::MAX));
        let debt = self.tokens.min(0).unsigned_abs();
        let micros = u64::try_from(debt.checked_add(rate)?.checked_sub(1)?.checked_div(rate)?);
        Some(self.at + Duration::from_micros(micros.unwrap_or(u64::MAX)))
    }
}

/// The most block bytes that one message may carry under these rates, if it has several blocks.
pub(super) fn message_bytes(target: u32, rates: [Option<u64>; 2]) -> u64 {
    rates
        .into_iter()
        .flatten()
        .fold(u64::from(target), |most, rate| most.min((rate / MESSAGES_PER_SECOND).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn the_rate_is_exact_over_time_and_a_pause_earns_one_burst() {
        for rate in [1_000, 333_333, 1_000_000, 10_000_000_000] {
            let mut bucket = Bucket::new(at(0));
            let (mut now, mut sent) = (at(0), 0u64);
            let end = at(10_000_000);
            loop {
                while bucket.is_open(Some(rate), now) {
                    bucket.spend(rate / 40);
                    sent += rate / 40;
                }
                let next = bucket.opens_at(Some(rate)).unwrap();
                assert!(next > now);
                now = next;
                if now > end {
                    break;
                }
            }
            assert!(sent >= rate * 10 && sent <= rate * 10 + rate / 20, "{sent} at {rate}");
            // An hour's pause is worth 50 ms.
            now = now + Duration::from_secs(3600);
            let mut burst = 0;
            while bucket.is_open(Some(rate), now) {
                bucket.spend(rate / 1000);
                burst += rate / 1000;
            }
            assert!(burst <= rate / 20 + rate / 1000 * 2);
        }
    }

    #[test]
    fn the_extremes_neither_panic_nor_open() {
        let mut bucket = Bucket::new(at(0));
        assert!(!bucket.is_open(Some(0), at(u64::MAX)));
        assert_eq!(bucket.opens_at(Some(0)), None);
        assert!(bucket.is_open(Some(u64::MAX), at(u64::MAX)));
        bucket.spend(u64::MAX);
        assert!(!bucket.is_open(Some(1), at(0)), "time does not run backwards");
        assert_eq!(bucket.opens_at(Some(1)), Some(Timestamp::MAX));
        assert!(bucket.is_open(None, at(0)));
    }

    #[test]
    fn a_message_is_at_most_a_twentieth_of_a_second() {
        assert_eq!(message_bytes(1000, [None, None]), 1000);
        assert_eq!(message_bytes(1000, [Some(200_000), Some(4_000)]), 200);
        assert_eq!(message_bytes(1000, [Some(0), None]), 1);
    }
}
