//! What is measured of a peer: how soon it answers and how fast it delivers.
//!
//! Only delivered blocks count. A peer that answers presences fast and blocks slowly gains nothing
//! by it. All estimates are integers in microseconds and bytes, so they are the same everywhere.

use core::time::Duration;

use crate::output::PeerHistory;
use crate::time::{Timestamp, micros};

/// Span of deliveries that the throughput looks back on, in microseconds.
const SPAN: u64 = 2_000_000;
/// Bytes per second assumed of a peer that delivered nothing yet.
const THROUGHPUT_GUESS: u64 = 1 << 20;
/// The guess weighs as much as having been measured for this long, in microseconds: a few blocks
/// that arrive together say little.
const GUESS_SPAN: u64 = 20_000;
/// Until a delivery took this many microseconds, or was of so many bytes, it tells nothing.
const SPAN_MIN: u64 = 10_000;
const BYTES_MIN: u64 = 512 << 10;
/// The longest latency believed, in microseconds: a longer wait says that the peer got the block late.
const LATENCY_MAX: u64 = 5_000_000;
/// The part of a sample that is taken into the smoothed latency.
const SLOWER_PART: u64 = 2;
const QUICKER_PART: u64 = 8;
/// The highest throughput that is told apart from "at once".
const THROUGHPUT_MAX: u64 = 16 << 30;

/// Latency and throughput of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeliveryEstimator {
    /// Smoothed latency and its mean deviation, in microseconds; zero before the first sample.
    latency: u64,
    deviation: u64,
    measured: bool,
    /// Bytes delivered and time taken for them, both halved now and then.
    bytes: u64,
    micros: u64,
    /// Bytes per second below which the throughput cannot be: a block came that soon after it was asked for.
    at_least: u64,
    last_block: Option<Timestamp>,
    /// A round trip of the connection, in microseconds, or somewhat more; zero while that is not known.
    round_trip: u64,
    /// The least time from a request to its block, without the transfer of that block, in microseconds.
    soonest: Option<u64>,
}

impl DeliveryEstimator {
    /// What was known of the peer when it was last here.
    pub(super) fn from_history(hint: Option<PeerHistory>) -> Self {
        let Some(hint) = hint.filter(|hint| hint.blocks > 0) else { return Self::default() };
        let latency = micros(hint.latency).min(LATENCY_MAX);
        // A tenth of the span: soon outweighed by what is measured now.
        let (bytes, micros) =
            if hint.throughput == 0 { (0, 0) } else { (hint.throughput / 5, SPAN / 10) };
        Self {
            latency,
            deviation: latency / 2,
            measured: true,
            bytes: bytes.min(THROUGHPUT_MAX),
            micros,
            at_least: 0,
            last_block: None,
            round_trip: 0,
            soonest: None,
        }
    }

    /// A round trip of the connection takes so long, or somewhat less: whether that is news. What takes no
    /// time tells nothing.
    pub(super) fn set_round_trip(&mut self, took: Duration) -> bool {
        let took = micros(took).min(LATENCY_MAX);
        let is_news = took > 0 && self.round_trip().is_none_or(|known| took < known);
        if is_news {
            self.round_trip = took;
        }
        is_news
    }

    /// A round trip of the connection, or somewhat more, once that is known.
    pub(super) const fn round_trip(&self) -> Option<u64> {
        if self.round_trip > 0 { Some(self.round_trip) } else { None }
    }

    /// A wanted block arrived. `asked` is when it was asked for, `busy` since when the peer has
    /// had something to deliver without a pause, `queue` how many bytes were asked before it.
    pub(super) fn delivered(
        &mut self,
        bytes: u64,
        asked: Timestamp,
        queue: u64,
        busy: Timestamp,
        now: Timestamp,
    ) {
        // The transfer of what was queued before and of the block itself is no latency. What it is guessed
        // to take counts too: it is added again to what is expected.
        let took = micros(now.since(asked));
        // Of what was queued before, the size is often a guess.
        let rate = u128::from(bytes) * 1_000_000 / u128::from(took.max(1));
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).min(THROUGHPUT_MAX);
        self.at_least = self.at_least.max(rate);
        let transfer = self.transfer(queue.saturating_add(bytes));
        let sample = took.saturating_sub(transfer).min(LATENCY_MAX);
        if self.throughput().is_some() {
            let alone = took.saturating_sub(self.transfer(bytes)).min(LATENCY_MAX);
            self.soonest = Some(self.soonest.map_or(alone, |soonest| soonest.min(alone)));
        }
        if self.measured {
            let off = sample.abs_diff(self.latency);
            self.deviation = self.deviation - self.deviation / 4 + off / 4;
            // Upwards sooner than downwards: who has become slow holds up all that it is asked for meanwhile.
            let part = if sample > self.latency { SLOWER_PART } else { QUICKER_PART };
            self.latency = self.latency - self.latency / part + sample / part;
        } else {
            self.latency = sample;
            self.deviation = sample / 2;
            self.measured = true;
        }
        if let Some(last) = self.last_block.filter(|last| *last >= busy) {
            self.bytes = self.bytes.saturating_add(bytes);
            self.micros = self.micros.saturating_add(micros(now.since(last)));
            if self.micros > SPAN {
                self.micros /= 2;
                self.bytes /= 2;
            }
        }
        self.last_block = Some(now);
    }

    /// When the last wanted block arrived.
    pub(super) const fn last_block(&self) -> Option<Timestamp> {
        self.last_block
    }

    /// Smoothed latency, once a block was measured.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.measured.then(|| Duration::from_micros(self.latency))
    }

    /// Bytes per second while delivering, once measured.
    pub(super) fn throughput(&self) -> Option<u64> {
        if self.micros < SPAN_MIN && self.bytes < BYTES_MIN {
            return None;
        }
        let guess = u128::from(THROUGHPUT_GUESS) * u128::from(GUESS_SPAN) / 1_000_000;
        let span = u128::from(self.micros) + u128::from(GUESS_SPAN);
        let rate = (u128::from(self.bytes) + guess) * 1_000_000 / span;
        Some(u64::try_from(rate).unwrap_or(u64::MAX).clamp(1, THROUGHPUT_MAX))
    }

    /// Microseconds that a transfer of `bytes` takes.
    pub(super) fn transfer(&self, bytes: u64) -> u64 {
        let rate = self.throughput().unwrap_or_else(|| THROUGHPUT_GUESS.max(self.at_least));
        u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(rate)).unwrap_or(u64::MAX)
    }

    /// Microseconds until a block arrives that is asked for now, with `bytes` asked up to and
    /// including it; `unmeasured` is the latency assumed before the first sample.
    pub(super) fn expected(&self, bytes: u64, unmeasured: u64) -> u64 {
        let latency = if self.measured { self.latency } else { unmeasured };
        latency.saturating_add(self.transfer(bytes))
    }

    /// Microseconds after which that block counts as late: twice as long as expected, and
    /// four deviations more.
    pub(super) fn patience(&self, bytes: u64) -> u64 {
        self.latency
            .saturating_mul(2)
            .saturating_add(self.deviation.saturating_mul(4))
            .saturating_add(self.transfer(bytes).saturating_mul(2))
    }

    /// Bytes to keep asked of the peer so that it never runs dry: twice its bandwidth-delay
    /// product and a little for the pauses of its disk; `None` before anything was measured.
    pub(super) fn window(&self) -> Option<u64> {
        const SLACK: u64 = 50_000;
        let rate = u128::from(self.throughput()?);
        // While too little is asked for, the pauses count as transfer, and what is left for latency is less
        // than a round trip.
        let delay = self.latency.max(self.round_trip).max(self.soonest.unwrap_or(0));
        let delay = delay.saturating_add(SLACK);
        let bytes = rate * u128::from(delay) * 2 / 1_000_000;
        Some(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    #[test]
    fn a_steady_delivery_is_measured() {
        let mut estimator = DeliveryEstimator::default();
        assert_eq!((estimator.latency(), estimator.throughput()), (None, None));
        // Asked all at once at 0; the first after 20 ms, then one of 10 kB each 10 ms: 1 MB/s.
        for n in 0..190u64 {
            estimator.delivered(10_000, at(0), n * 10_000, at(0), at(20 + n * 10));
        }
        let rate = estimator.throughput().unwrap();
        assert!((990_000..1_100_000).contains(&rate), "{rate}");
        let latency = estimator.latency().unwrap().as_millis();
        assert!((8..=25).contains(&latency), "{latency} ms");
        // Twice of 1 MB/s for latency + 50 ms.
        assert!((110_000..170_000).contains(&estimator.window().unwrap()));
    }

    #[test]
    fn what_is_asked_for_at_once_covers_a_round_trip_however_short_the_latency_seems() {
        let mut estimator = DeliveryEstimator::default();
        for n in 0..190u64 {
            estimator.delivered(10_000, at(0), n * 10_000, at(0), at(20 + n * 10));
        }
        let before = estimator.window().unwrap();
        estimator.set_round_trip(Duration::from_millis(500));
        // Twice of 1 MB/s for 500 ms + 50 ms.
        let after = estimator.window().unwrap();
        assert!(before < 170_000 && (1_100_000..1_200_000).contains(&after), "{before}, {after}");
        assert_eq!(estimator.round_trip(), Some(500_000));
    }

    #[test]
    fn what_is_asked_for_at_once_covers_the_time_in_which_a_block_can_come_however_short_the_latency_seems()
     {
        let mut estimator = DeliveryEstimator::default();
        // Each takes 210 ms, and ten are under way: 10 MB/s, so that all of it seems to be transfer.
        for n in 0..40u64 {
            estimator.delivered(210_000, at(n * 21), 9 * 210_000, at(0), at(n * 21 + 210));
        }
        let latency = estimator.latency().unwrap().as_millis();
        assert!(latency < 50, "{latency} ms");
        // Twice of what comes in 190 ms + 50 ms; without that it were 10 MB/s for 50 ms and the latency.
        let window = estimator.window().unwrap();
        assert!((4_300_000..5_000_000).contains(&window), "{window}");
    }

    #[test]
    fn a_pause_between_requests_is_not_slowness() {
        let mut estimator = DeliveryEstimator::default();
        for n in 0..10 {
            let asked = at(n * 10_000);
            estimator.delivered(1000, asked, 0, asked, at(n * 10_000 + 20));
        }
        assert_eq!(estimator.throughput(), None, "one block at a time tells latency only");
        assert_eq!(estimator.expected(1000, 0), 20_000);
    }

    #[test]
    fn who_has_become_slow_is_expected_to_be_slow_at_once_and_quick_again_in_time() {
        let mut estimator = DeliveryEstimator::default();
        let mut deliver = |took_ms: u64| {
            estimator.delivered(1000, at(0), 0, at(0), at(took_ms));
            estimator.latency().unwrap().as_millis()
        };
        assert_eq!(deliver(100), 99);
        assert!((540..=560).contains(&deliver(1000)));
        assert!((480..=500).contains(&deliver(100)));
    }

    #[test]
    fn after_the_first_block_another_is_expected_to_take_as_long() {
        for (bytes, took) in
            [(1000, 20_000), (256 << 10, 662_000), (1 << 20, 1_500_000), (256 << 10, 30_000)]
        {
            let mut estimator = DeliveryEstimator::default();
            estimator.delivered(bytes, at(0), 0, at(0), Timestamp::from_micros(took));
            assert_eq!(estimator.expected(bytes, 0), took, "{bytes} bytes");
        }
    }

    #[test]
    fn extremes_saturate() {
        let mut estimator = DeliveryEstimator::default();
        estimator.delivered(u64::MAX, at(0), u64::MAX, at(0), Timestamp::MAX);
        estimator.delivered(u64::MAX, at(0), u64::MAX, at(0), Timestamp::MAX);
        assert!(estimator.throughput().is_some());
        assert!(estimator.expected(u64::MAX, u64::MAX) > 0 && estimator.patience(u64::MAX) > 0);
        assert!(estimator.window().is_some());
    }
}
