//! How much a peer may say in a time.
//!
//! An entry of a wantlist takes its sender 48 bytes and the engine a microsecond or more, in the one
//! task that serves everybody. So what a peer says is counted, and when it says more than its
//! allowance its streams are not read for a while: it is slowed down, not cut off.

use std::time::Duration;

use web_time::Instant;

/// Items that a peer may say as soon as it connects: one message as large as they get. No more, or
/// connecting again would be worth its while.
const FIRST: u32 = 8192;

/// A rate of so many items per second, of which a second's worth can be saved.
///
/// It may go into debt: a message is applied whole, and paid off before the next one is read.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_second: u32,
    /// In items times a million; negative while in debt.
    balance: i64,
    updated: Instant,
}

const SCALE: i64 = 1_000_000;

impl Allowance {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let balance = i64::from(FIRST.min(per_second)) * SCALE;
        Self { per_second, balance, updated: now }
    }

    /// Something was said.
    pub(crate) fn take(&mut self, items: usize, now: Instant) {
        self.earn(now);
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        self.balance = self.balance.saturating_sub(items.saturating_mul(SCALE));
    }

    /// How long nothing more may be said; `None` when something may.
    pub(crate) fn pause(&mut self, now: Instant) -> Option<Duration> {
        self.earn(now);
        let debt = u64::try_from(-self.balance).ok().filter(|debt| *debt > 0)?;
        // A millisecond more: a timer that rings early would ring again and again.
        Some(Duration::from_micros(debt / u64::from(self.per_second) + 1000))
    }

    fn earn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.updated);
        self.updated = self.updated.max(now);
        let micros = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
        let rate = i64::from(self.per_second);
        self.balance = self
            .balance
            .saturating_add(micros.saturating_mul(rate))
            .min(rate.saturating_mul(SCALE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Items in messages of `size` that get through in the first `time`, by who never rests.
    fn said_within(time: Duration, size: usize) -> usize {
        let start = Instant::now();
        let (mut now, mut said) = (start, 0);
        let mut allowance = Allowance::new(10_000, start);
        // Who is never stopped says enough in this many messages.
        for _ in 0..1_000_000 {
            match allowance.pause(now) {
                Some(pause) => now += pause,
                None => {
                    allowance.take(size, now);
                    said += size;
                }
            }
            if now.duration_since(start) >= time {
                break;
            }
        }
        said
    }

    #[test]
    fn nobody_says_more_than_the_rate_however_it_is_cut() {
        for size in [1, 100, 8192] {
            let said = said_within(10 * SECOND, size);
            assert!((100_000..=100_000 + 8192 + 8192).contains(&said), "{size}: {said}");
        }
    }

    #[test]
    fn a_peer_that_has_just_come_may_say_one_message_and_one_that_rested_a_seconds_worth() {
        let start = Instant::now();
        let mut allowance = Allowance::new(100_000, start);
        allowance.take(8191, start);
        assert_eq!(allowance.pause(start), None);
        allowance.take(2, start);
        assert!(allowance.pause(start).is_some());
        let later = start + 100 * SECOND;
        allowance.take(99_999, later);
        assert_eq!(allowance.pause(later), None);
        allowance.take(2, later);
        assert!(allowance.pause(later).is_some());
    }

    #[test]
    fn a_debt_is_paid_off_in_its_time() {
        let start = Instant::now();
        let mut allowance = Allowance::new(1000, start);
        allowance.take(3000, start);
        let pause = allowance.pause(start).unwrap();
        assert_eq!(pause, 2 * SECOND + Duration::from_millis(1));
        assert_eq!(allowance.pause(start + pause), None);
        allowance.take(usize::MAX, start);
        assert!(allowance.pause(start + 1000 * SECOND).is_some());
    }
}
