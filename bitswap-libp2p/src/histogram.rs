//! How large, how long, how many: values counted in fixed buckets.
//!
//! A value costs one addition, and what is kept does not grow: so they can be always on.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of a histogram at most, the last one included, which has no upper bound.
const BUCKETS_MAX: usize = 16;

/// Bytes of messages.
const SIZES: &[u64] =
    &[64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 2 << 20, 4 << 20];

/// Microseconds.
const TIMES: &[u64] = &[
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Things that wait.
const DEPTHS: &[u64] = &[0, 1, 4, 16, 64, 256, 1024, 4096];

/// Values counted in fixed buckets: each bucket has those up to and including its bound that are in none before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [u64; BUCKETS_MAX],
    sum: u64,
}

impl Histogram {
    const fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: [0; BUCKETS_MAX], sum: 0 }
    }

    /// An empty one for bytes of messages: from 64 bytes to 4 MiB.
    #[must_use]
    pub const fn of_sizes() -> Self {
        Self::new(SIZES)
    }

    /// An empty one for times in microseconds: from a millisecond to a minute.
    #[must_use]
    pub const fn of_times() -> Self {
        Self::new(TIMES)
    }

    /// An empty one for numbers of things that wait: from none to 4096.
    #[must_use]
    pub const fn of_depths() -> Self {
        Self::new(DEPTHS)
    }

    /// Counts a value.
    pub fn observe(&mut self, value: u64) {
        self.counts[bucket(self.bounds, value)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The buckets in order, each with its bound, which belongs to it, and the number of values in it alone. The last one has
    /// no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the values.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

fn bucket(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

/// A histogram that several tasks count in.
#[derive(Debug)]
pub(crate) struct SharedHistogram {
    bounds: &'static [u64],
    counts: [AtomicU64; BUCKETS_MAX],
    sum: AtomicU64,
}

impl SharedHistogram {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: Default::default(), sum: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, value: u64) {
        self.counts[bucket(self.bounds, value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn get(&self) -> Histogram {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        Histogram { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// Sizes of messages on the streams of all connections.
#[derive(Debug)]
pub(crate) struct MessageSizes {
    pub(crate) received: SharedHistogram,
    pub(crate) sent: SharedHistogram,
}

impl Default for MessageSizes {
    fn default() -> Self {
        Self { received: SharedHistogram::new(SIZES), sent: SharedHistogram::new(SIZES) }
    }
}

/// What [`Behaviour::histograms`](crate::Behaviour::histograms) counts, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Histograms {
    /// Bytes of the messages received, without their lengths.
    pub message_sizes_received: Histogram,
    /// Bytes of the messages that streams took, with their lengths.
    pub message_sizes_sent: Histogram,
    /// Messages of a peer that were waiting for the engine when it came to them.
    pub inbox_depth: Histogram,
}

impl Histograms {
    pub(crate) fn new(sizes: &MessageSizes, inbox_depth: Histogram) -> Self {
        let (received, sent) = (sizes.received.get(), sizes.sent.get());
        Self { message_sizes_received: received, message_sizes_sent: sent, inbox_depth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_it_fits() {
        let mut depths = Histogram::of_depths();
        for value in [0, 1, 2, 4, 5, 4096, 4097, u64::MAX] {
            depths.observe(value);
        }
        let buckets: Vec<_> = depths.buckets().collect();
        let (some, none) = (Some, None);
        assert_eq!(
            buckets,
            [
                (some(0), 1),
                (some(1), 1),
                (some(4), 2),
                (some(16), 1),
                (some(64), 0),
                (some(256), 0),
                (some(1024), 0),
                (some(4096), 1),
                (none, 2)
            ]
        );
        assert_eq!(
            (depths.count(), depths.sum()),
            (8, u64::MAX),
            "the sum has an end, as all things"
        );
    }

    #[test]
    fn bounds_rise_and_leave_a_bucket_for_the_rest() {
        for bounds in [SIZES, TIMES, DEPTHS] {
            assert!(bounds.is_sorted() && bounds.len() < BUCKETS_MAX);
        }
    }

    #[test]
    fn what_tasks_count_is_what_one_would_have_counted() {
        let shared = MessageSizes::default();
        let mut alone = Histogram::of_sizes();
        for value in [0, 64, 65, 5 << 20] {
            shared.received.observe(value);
            alone.observe(value);
        }
        assert_eq!(shared.received.get(), alone);
        assert_eq!(shared.sent.get(), Histogram::of_sizes());
    }
}
