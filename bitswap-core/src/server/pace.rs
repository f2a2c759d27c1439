//! Whether a peer takes what is sent to it, and how long it rests after its stream was reset.

use core::time::Duration;

use crate::time::Timestamp;

/// A stream that takes fewer bytes per second than this does not keep pace.
const SPEED_MIN: u64 = 64 << 10;
/// How far a stream may fall behind that speed, besides the time that the message being sent may take:
/// transports take bytes in lumps of half a stream's first window, which is 128 KiB.
const GRACE: Duration = Duration::from_secs(2);
/// How long a peer rests after its stream was reset; doubles each time.
const REST_FIRST: Duration = Duration::from_secs(1);
/// The longest rest. A peer that stops reading each time holds memory for a few seconds in four minutes.
const REST_MAX: Duration = Duration::from_secs(256);
/// Bytes that a peer has to take for one reset to be forgotten.
const FORGIVEN: u64 = 1 << 20;

/// How well one peer takes what it is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// While the peer has blocks to take: when it last kept pace, and the bytes taken since.
    owes: Option<(Timestamp, u64)>,
    /// Resets that are not forgotten.
    resets: u32,
    /// Bytes taken towards the next reset to be forgotten.
    taken: u64,
    rest: Option<Timestamp>,
}

impl Pace {
    /// There are blocks for the peer to take, or a stream for it to agree to.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.owes.get_or_insert((now, 0));
    }

    /// There are none for it to take.
    pub(super) fn end(&mut self) {
        self.owes = None;
    }

    /// It took so many bytes.
    pub(super) fn took(&mut self, bytes: u32, now: Timestamp) {
        if let Some((since, taken)) = &mut self.owes {
            *taken += u64::from(bytes);
            if *since + time_for(*taken) >= now {
                (*since, *taken) = (now, 0);
            }
        }
        self.taken += u64::from(bytes);
        if self.taken >= FORGIVEN {
            self.taken = 0;
            self.resets = self.resets.saturating_sub(1);
        }
    }

    /// When it will have fallen behind, if it does not take the `next` bytes before.
    pub(super) fn late_at(&self, next: u64) -> Option<Timestamp> {
        self.owes.map(|(since, taken)| since + GRACE + time_for(taken + next))
    }

    /// Microseconds in which it takes `held` bytes, at the speed that it has at best while the `next`
    /// bytes are not taken.
    pub(super) fn takes(&self, held: u64, next: u64, now: Timestamp) -> u128 {
        let (since, taken) = self.owes.unwrap_or((now, 0));
        u128::from(held) * now.since(since).as_micros() / u128::from((taken + next).max(1))
    }

    /// Its stream was reset because it takes too little: it rests.
    pub(super) fn rest(&mut self, now: Timestamp) {
        self.resets = self.resets.saturating_add(1);
        (self.owes, self.taken, self.rest) = (None, 0, Some(now + self.last_rest()));
    }

    /// How long it rests after the last reset that is not forgotten.
    pub(super) fn last_rest(&self) -> Duration {
        match self.resets.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => REST_FIRST.saturating_mul(1 << before.min(16)).min(REST_MAX),
        }
    }

    /// Ends the rest, if it is over.
    pub(super) fn wake(&mut self, now: Timestamp) {
        self.rest = self.rest.filter(|until| !until.is_due(now));
    }

    /// Until when it rests.
    pub(super) const fn rests_until(&self) -> Option<Timestamp> {
        self.rest
    }

    /// No reset of its stream is remembered.
    pub(super) const fn is_trusted(&self) -> bool {
        self.resets == 0
    }
}

/// The time in which a stream takes so many bytes if it just keeps pace.
fn time_for(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / SPEED_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    #[test]
    fn a_stream_is_late_once_it_took_less_than_64_kib_per_second_for_two_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.late_at(256 << 10), None, "nothing is sent");
        pace.begin(at(1000));
        pace.begin(at(5000));
        assert_eq!(pace.late_at(256 << 10), Some(at(7000)), "from the first message on");
        pace.took(64 << 10, at(3000));
        assert_eq!(pace.late_at(64 << 10), Some(at(5000)), "64 KiB in two seconds are too few");
        pace.took(64 << 10, at(3000));
        assert_eq!(pace.late_at(64 << 10), Some(at(6000)), "and 128 KiB are not");
        pace.end();
        assert_eq!(pace.late_at(1), None);
    }

    /// What was taken fast earlier is no credit, and small messages do not hide that nothing moves.
    #[test]
    fn speed_cannot_be_saved_up_and_small_messages_are_no_progress() {
        let mut pace = Pace::default();
        pace.begin(at(0));
        pace.took(u32::MAX, at(1));
        assert_eq!(pace.late_at(0), Some(at(2001)));
        for ms in (501..=2001).step_by(500) {
            pace.took(64, at(ms));
        }
        // 256 bytes since then: four milliseconds' worth.
        let late = pace.late_at(0).unwrap().as_micros();
        assert_eq!(late, 2_001_000 + 256 * 1_000_000 / (64 << 10));
    }

    #[test]
    fn the_slowest_per_byte_held_needs_the_longest() {
        let mut pace = Pace::default();
        pace.begin(at(0));
        assert_eq!(pace.takes(400, 100, at(10)), 40_000, "100 bytes in 10 ms at best");
        pace.owes = Some((at(0), 100));
        assert_eq!(pace.takes(400, 100, at(10)), 20_000);
        assert_eq!(pace.takes(400, 0, at(10)), 40_000);
    }

    #[test]
    fn a_rest_doubles_up_to_a_bound_and_a_reset_is_forgotten_for_a_mebibyte_taken() {
        let mut pace = Pace::default();
        let rests: Vec<u64> = (0..12)
            .map(|_| {
                pace.rest(at(0));
                pace.rests_until().unwrap().as_micros() / 1_000_000
            })
            .collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256, 256]);
        pace.wake(at(255_999));
        assert!(pace.rests_until().is_some());
        pace.wake(at(256_000));
        assert_eq!(pace.rests_until(), None);
        for _ in 0..12 {
            assert!(!pace.is_trusted());
            pace.took((1 << 20) - 1, at(0));
            pace.took(1, at(0));
        }
        assert!(pace.is_trusted());
    }

    extern crate std;
    use std::vec::Vec;
}
