//! How many bytes a peer is asked for at once, and how many it still owes.
//!
//! Invariant: of the bytes that it owes those that are guesses are a part. A window that was full has room again only once
//! a quarter of it has come: less is not worth another message.

use super::delivery_estimator::DeliveryEstimator;
use crate::output::PeerHistory;
use crate::time::{Timestamp, micros};

/// Bytes asked of a peer of which nothing is measured.
const FIRST: u64 = 1 << 20;
/// How many times what it has delivered is asked of a peer of unknown speed.
const TRUST: u64 = 4;
/// The most bytes asked of a peer at once.
const MAX: u64 = 32 << 20;

/// What a peer owes, beside what it may.
#[derive(Debug, Default)]
pub(super) struct RequestWindow {
    /// Bytes asked for and not delivered.
    asked: u64,
    /// Those of them that are estimates, and of how many blocks.
    guessed: u64,
    guesses: u32,
    /// It was asked for all that its window allows, and not enough of it has come yet.
    is_full: bool,
    growth: Growth,
}

/// Whether a peer delivers faster the more it is asked for at once, measured over round trips: from a block to the first one
/// that was asked for after it. What it delivers in a round trip says how fast it is only once asking for more
/// does not bring more: until then it may be the asking that limits it.
#[derive(Debug, Default)]
struct Growth {
    /// When the round trip began, and what has come since.
    since: Timestamp,
    bytes: u64,
    /// Bytes per second in the best one.
    best: u64,
    is_over: bool,
}

impl Growth {
    /// A block came that was asked for at `asked`. `busy`: since when the peer has had something to deliver; `is_full`: it
    /// was asked for as much as it may be.
    fn delivered(
        &mut self,
        bytes: u64,
        asked: Timestamp,
        busy: Timestamp,
        is_full: bool,
        now: Timestamp,
    ) {
        if self.since < busy {
            (self.since, self.bytes) = (busy, 0);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if asked < self.since {
            return;
        }
        let took = micros(now.since(self.since)).max(1);
        let rate = u128::from(self.bytes) * 1_000_000 / u128::from(took);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        // A quarter more, as where a transport looks for the bandwidth of its path.
        let grows = rate >= self.best.saturating_add(self.best / 4);
        self.is_over |= is_full && !grows;
        self.best = self.best.max(rate);
        (self.since, self.bytes) = (now, 0);
    }
}

impl RequestWindow {
    /// Of a peer that was here before: how fast it is, is known.
    pub(super) fn from_history(hint: Option<PeerHistory>) -> Self {
        let is_over = hint.is_some_and(|hint| hint.throughput > 0);
        Self { growth: Growth { is_over, ..Growth::default() }, ..Self::default() }
    }

    /// Bytes to be asked of a peer at once that has delivered so many. Blocks are of about `block` bytes; `choice`: there
    /// are peers enough to be wary of each.
    pub(super) fn size(
        &self,
        estimator: &DeliveryEstimator,
        delivered: u64,
        block: u32,
        choice: bool,
    ) -> u64 {
        let least = u64::from(block).saturating_mul(2);
        // Trust grows with what was delivered, because the first measurements say little; where there is a
        // choice of peers, from nothing.
        let trust = delivered.saturating_mul(TRUST);
        let start = if choice && trust > 0 { 0 } else { FIRST };
        let most = trust.clamp(start, MAX);
        if !choice && !self.growth.is_over {
            return most.max(least);
        }
        match estimator.window() {
            Some(window) => {
                // What it delivers in a second is little to take back, and spares round trips.
                let second = estimator.throughput().unwrap_or(0).min(FIRST);
                window.max(second).min(most).max(least)
            }
            None => most.min(FIRST).max(least),
        }
    }

    /// A block came that was asked for at `asked`; the peer has had something to deliver since `busy`.
    pub(super) fn delivered(
        &mut self,
        bytes: u64,
        asked: Timestamp,
        busy: Timestamp,
        now: Timestamp,
    ) {
        self.growth.delivered(bytes, asked, busy, self.is_full, now);
    }

    /// Bytes that it owes.
    pub(super) const fn asked(&self) -> u64 {
        self.asked
    }

    /// Bytes that it owes, if what was not known of the sizes is `block` each at least.
    pub(super) fn owed(&self, block: u32) -> u64 {
        let guessed = u64::from(self.guesses).saturating_mul(u64::from(block));
        self.asked - self.guessed + guessed.max(self.guessed)
    }

    /// It owes so much less than a window of this size that it is asked for more.
    pub(super) const fn has_room(&self, size: u64) -> bool {
        let least = if self.is_full { size / 4 * 3 } else { size };
        self.asked < least
    }

    /// It is asked for so many bytes more, when its window has this size.
    pub(super) fn charge(&mut self, bytes: u32, size: u64) {
        self.is_full &= !self.has_room(size);
        self.asked += u64::from(bytes);
        self.is_full |= self.asked >= size;
    }

    /// What it was just asked for is of a size that was not known.
    pub(super) fn guess(&mut self, bytes: u32) {
        self.guessed += u64::from(bytes);
        self.guesses += 1;
    }

    /// It does not owe these bytes any more; `is_guess`: their number was not known.
    pub(super) fn refund(&mut self, bytes: u32, is_guess: bool) {
        if is_guess {
            self.guessed = self.guessed.saturating_sub(u64::from(bytes));
            self.guesses = self.guesses.saturating_sub(1);
        }
        debug_assert!(self.asked >= u64::from(bytes), "more is given back than was asked for");
        self.asked = self.asked.saturating_sub(u64::from(bytes));
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const KIB: u64 = 1 << 10;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    /// The window of a peer that has delivered so much, and is not one of many.
    fn size(window: &RequestWindow, delivered: u64) -> u64 {
        let mut estimator = DeliveryEstimator::default();
        // 1 MB/s after 20 ms: what is asked for at once is no more than the first window.
        for n in 0..190 {
            estimator.delivered(10_000, at(0), n * 10_000, at(0), at(20 + n * 10));
        }
        window.size(&estimator, delivered, 1 << 10, false)
    }

    #[test]
    fn a_peer_is_asked_for_more_as_long_as_it_delivers_faster_for_it() {
        let mut window = RequestWindow::default();
        window.charge(1 << 20, 1 << 20);
        // In each round trip of 100 ms a quarter more, all of it asked for when the one before was there.
        let mut delivered = 0;
        for (round, kib) in [(0, 1000), (1, 1250), (2, 1563)] {
            window.delivered(kib * KIB, at(round * 100), at(0), at((round + 1) * 100));
            delivered += kib * KIB;
            assert_eq!(size(&window, delivered), TRUST * delivered, "round {round}");
        }
        window.delivered(1900 * KIB, at(300), at(0), at(400));
        let steady = size(&window, delivered);
        assert!(steady <= FIRST, "{steady}");
        window.delivered(4000 * KIB, at(400), at(0), at(500));
        assert_eq!(size(&window, delivered), steady, "what is known is not forgotten");
    }

    #[test]
    fn a_round_trip_in_which_little_was_asked_for_tells_nothing_of_what_more_would_bring() {
        let mut window = RequestWindow::default();
        window.charge(1 << 20, 1 << 20);
        window.refund(1 << 20, false);
        window.charge(1 << 10, 1 << 20);
        for round in 0..5 {
            window.delivered(KIB, at(round * 100), at(round * 100), at(round * 100 + 50));
        }
        assert_eq!(size(&window, 1 << 20), TRUST << 20);
    }

    #[test]
    fn a_peer_of_which_it_is_known_how_fast_it_is_is_not_tried_again() {
        let known = PeerHistory { latency: Duration::ZERO, throughput: 1, blocks: 1, timeouts: 0 };
        assert!(size(&RequestWindow::from_history(Some(known)), 1 << 20) <= FIRST);
        let unknown = PeerHistory { throughput: 0, ..known };
        assert_eq!(size(&RequestWindow::from_history(Some(unknown)), 1 << 20), TRUST << 20);
    }

    #[test]
    fn where_there_are_peers_enough_each_is_asked_for_what_it_brings_in_a_round_trip() {
        let window = RequestWindow::default();
        let mut estimator = DeliveryEstimator::default();
        for n in 0..190 {
            estimator.delivered(10_000, at(0), n * 10_000, at(0), at(20 + n * 10));
        }
        assert!(window.size(&estimator, 64 << 20, 1 << 10, true) <= FIRST);
    }
}
