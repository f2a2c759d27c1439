//! When a peer delivers: what is measured of it, what its answers promise until then, and how often it was late.
//!
//! Invariant: a block that it delivers ends its silences and its being overdue, and what its answers promise counts until
//! then only.

use core::time::Duration;

use super::delivery_estimator::DeliveryEstimator;
use crate::output::PeerHistory;
use crate::time::{Timestamp, micros};

/// How many times as long as HAVE or DONT_HAVE the first block of a peer is expected to take, besides its
/// transfer: answers are cheap to give soon.
const CLAIMED: u64 = 8;
/// The same where a wrong expectation costs one block of many.
const CLAIMED_AT_LEAST: u64 = 2;
/// The least, in microseconds, that a silent peer is expected to take, before that grows with its silences.
const SILENT_LEAST: u64 = 250_000;
/// Round trips of its connection after which the first block of a peer is late.
const EARLY_ROUND_TRIPS: u64 = 4;
/// Bytes that a peer has handed to its transport, and cannot take back.
const BUFFERED: u64 = 128 << 10;

/// Whether the first block of a peer is late for the round trip of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    No,
    Once,
    /// It has taken twice as long as it may: what it was asked for is asked of others instead. Its store may be that
    /// slow, and then one block comes twice; it is not asked for another while others deliver.
    Twice,
}

/// When a peer delivers, as far as is known.
#[derive(Debug)]
pub(super) struct Punctuality {
    estimator: DeliveryEstimator,
    /// Since when it has had something to deliver without a pause.
    busy_since: Timestamp,
    /// Requests in a row that passed their deadline.
    silences: u32,
    overdue: Overdue,
    /// The shortest time, in microseconds, in which it answered HAVE or DONT_HAVE. Of a peer that has not
    /// delivered anything it is all that is known of its latency; of one that has it says nothing.
    answers_in: Option<u64>,
}

impl Punctuality {
    pub(super) fn new(history: Option<PeerHistory>, now: Timestamp) -> Self {
        Self {
            estimator: DeliveryEstimator::from_history(history),
            busy_since: now,
            silences: 0,
            overdue: Overdue::No,
            answers_in: None,
        }
    }

    pub(super) const fn estimator(&self) -> &DeliveryEstimator {
        &self.estimator
    }

    /// Since when it has had something to deliver.
    pub(super) const fn busy_since(&self) -> Timestamp {
        self.busy_since
    }

    // What it does.

    /// It owed nothing, and is asked for something.
    pub(super) const fn begin(&mut self, now: Timestamp) {
        self.busy_since = now;
    }

    /// A round trip of its connection took this time, or somewhat less: whether that is news.
    pub(super) fn set_round_trip(&mut self, took: Duration) -> bool {
        self.estimator.set_round_trip(took)
    }

    /// It answered HAVE or DONT_HAVE after this time.
    pub(super) fn answered(&mut self, took: Duration) {
        let took = micros(took);
        self.answers_in = Some(self.answers_in.map_or(took, |before| before.min(took)));
    }

    /// It delivered a wanted block.
    pub(super) const fn delivered(&mut self) {
        self.silences = 0;
        self.overdue = Overdue::No;
    }

    /// A block that was asked for at `asked`, behind `before` other bytes, took until now.
    pub(super) fn measure(&mut self, bytes: u64, asked: Timestamp, before: u64, now: Timestamp) {
        self.estimator.delivered(bytes, asked, before, self.busy_since, now);
    }

    /// It has not delivered anything, and is late for the round trip of its connection.
    pub(super) const fn set_overdue(&mut self) {
        if matches!(self.overdue, Overdue::No) {
            self.overdue = Overdue::Once;
        }
    }

    /// It has not delivered anything in twice the time.
    pub(super) const fn set_overdue_twice(&mut self) {
        self.overdue = Overdue::Twice;
    }

    /// A request passed its deadline.
    pub(super) const fn missed_deadline(&mut self) {
        self.silences = self.silences.saturating_add(1);
    }

    // What is expected of it.

    /// It has delivered a wanted block, so there are measurements.
    pub(super) fn is_measured(&self) -> bool {
        self.estimator.latency().is_some()
    }

    pub(super) const fn is_silent(&self) -> bool {
        self.silences > 0
    }

    /// It delivers nothing: late for the round trip of its connection, or for its deadline.
    pub(super) const fn is_overdue(&self) -> bool {
        !matches!(self.overdue, Overdue::No) || self.is_silent()
    }

    /// Microseconds after which the first block of a peer may be here that has only answered so far, without
    /// its transfer; `at_best` where one block too many does not count.
    pub(super) fn promised(&self, at_best: bool) -> Option<u64> {
        let answer = self.answers_in.filter(|_| !self.is_measured() && !self.is_overdue())?;
        Some(answer.saturating_mul(if at_best { CLAIMED_AT_LEAST } else { CLAIMED }))
    }

    /// Microseconds until it has delivered so many bytes, if the last of them are asked for now, made longer by silences.
    /// Being late for the round trip of its connection is one as well: what it was asked for may have come from elsewhere
    /// before its deadline, each time.
    pub(super) fn expected(&self, bytes: u64, unmeasured: u64) -> u64 {
        let claimed = self.answers_in.map(|answer| answer.saturating_mul(CLAIMED));
        let latency = claimed.map_or(unmeasured, |claimed| claimed.min(unmeasured));
        let expected = self.estimator.expected(bytes, latency);
        // A quick peer that has fallen silent is no quick peer.
        let least = if self.is_overdue() { SILENT_LEAST } else { 0 };
        let silences = self.silences.max(self.is_overdue().into());
        expected.max(least).saturating_mul(1 + u64::from(silences) * 2)
    }

    /// Microseconds after which it is late for the round trip of its connection, if it has not delivered
    /// anything: another may be asked beside it then. `None` if that cannot be told.
    pub(super) fn early_patience(&self, bytes: u64, slack: Duration) -> Option<u64> {
        let round_trip = self.estimator.round_trip().filter(|_| !self.is_measured())?;
        let time = round_trip.saturating_mul(EARLY_ROUND_TRIPS).saturating_add(micros(slack * 2));
        Some(time.saturating_add(self.estimator.transfer(bytes)))
    }

    /// Since when nothing has come of what it was asked for.
    fn waiting_since(&self) -> Timestamp {
        self.estimator.last_block().map_or(self.busy_since, |last| last.max(self.busy_since))
    }

    /// Microseconds until it has delivered so many of the bytes that it was asked for: more and more while
    /// nothing comes. `unmeasured` is the latency assumed before the first block.
    pub(super) fn remaining(&self, bytes: u64, unmeasured: u64, now: Timestamp) -> u64 {
        let latency = self.estimator.expected(0, unmeasured);
        let waited = micros(now.since(self.waiting_since()));
        // While blocks come one after the other, their latency is over.
        let is_streaming = self.estimator.last_block().is_some_and(|last| last > self.busy_since);
        let first = if is_streaming { 0 } else { latency.saturating_sub(waited) };
        let late = waited.saturating_sub(latency);
        let least = if self.is_overdue() { SILENT_LEAST } else { 0 };
        let remaining = self.estimator.transfer(bytes).saturating_add(first).saturating_add(late);
        remaining.max(least).saturating_mul(1 + u64::from(self.silences) * 2)
    }

    /// Its next block should be here by now, for the round trip of its connection or what it has delivered.
    pub(super) fn is_late(&self, size: u32, slack: Duration, now: Timestamp) -> bool {
        let waited = micros(now.since(self.waiting_since()));
        let early = self.early_patience(u64::from(size), slack);
        self.is_measured() || self.is_overdue() || early.is_some_and(|early| waited > early)
    }

    /// A cancel of what it was asked for behind `ahead` other bytes reaches it before it sends the block: it
    /// has yet to send more than a round trip's worth, or has not answered anything for long.
    pub(super) fn may_still_cancel(
        &self,
        ahead: u64,
        size: u32,
        slack: Duration,
        now: Timestamp,
    ) -> bool {
        let Some(rate) = self.estimator.throughput().filter(|_| self.is_measured()) else {
            let is_gone = self.is_silent() || self.overdue == Overdue::Twice;
            return is_gone || ahead > 0 && self.is_late(size, slack, now);
        };
        let latency = self.estimator.expected(0, 0).max(self.estimator.round_trip().unwrap_or(0));
        let sent = u128::from(rate) * u128::from(latency) / 1_000_000;
        u128::from(ahead) >= sent + u128::from(BUFFERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::ZERO;

    #[test]
    fn until_it_delivers_its_answers_are_all_that_is_known_of_its_latency() {
        let mut peer = Punctuality::new(None, START);
        let unmeasured = 250_000;
        assert_eq!(peer.expected(0, unmeasured), unmeasured);
        peer.answered(Duration::from_millis(10));
        peer.answered(Duration::from_millis(20));
        assert_eq!(peer.expected(0, unmeasured), 80_000);
        peer.missed_deadline();
        assert_eq!(peer.expected(0, unmeasured), 750_000, "who falls silent is slow");
        peer.delivered();
        peer.measure(0, START, 0, START + Duration::from_millis(30));
        assert_eq!(peer.expected(0, unmeasured), 30_000);
    }
}
