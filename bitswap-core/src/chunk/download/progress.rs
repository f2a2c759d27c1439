//! Progress: bytes, rate, time left, and stalls.

use core::time::Duration;

use super::events::{DownloadEvent, Progress, StallReason};
use super::outbox::Outbox;
use super::transfer::Transfer;
use crate::time::Timestamp;

/// How often progress is reported and measured.
const TICK: Duration = Duration::from_millis(500);

/// Time constants of the two averages. They agree when the rate is steady.
const FAST: u128 = 2_000_000;
const SLOW: u128 = 10_000_000;

/// Measurements before a time left is reported.
const SAMPLES_MIN: u32 = 10;

/// Measures one download.
#[derive(Clone, Debug)]
struct ProgressMeter {
    progress: Progress,
    reported: Option<Progress>,
    measured: u64,
    measured_at: Timestamp,
    fast: u64,
    slow: u64,
    samples: u32,
    gained_at: Timestamp,
    /// The reason that was told of a stall that has not ended.
    stalled: Option<StallReason>,
}

impl ProgressMeter {
    /// A meter of a download that starts with `have` of `total` bytes.
    fn new(have: u64, total: u64, now: Timestamp) -> Self {
        Self {
            progress: Progress { done: have, total, ..Progress::default() },
            reported: None,
            measured: have,
            measured_at: now,
            fast: 0,
            slow: 0,
            samples: 0,
            gained_at: now,
            stalled: None,
        }
    }

    /// Continues from what another meter reported.
    fn after(mut self, before: &Self) -> Self {
        self.progress.done = self.progress.done.max(before.progress.done);
        self.stalled = before.stalled;
        self
    }

    /// When to measure next.
    fn due(&self) -> Timestamp {
        self.measured_at + TICK
    }

    /// Does not count the time until now: the download was paused.
    fn skip(&mut self, now: Timestamp) {
        self.measured_at = now;
        self.gained_at = now;
        self.samples = 0;
    }

    /// No byte arrives for a good reason: until now, nothing has stalled.
    const fn not_stalled(&mut self, now: Timestamp) {
        self.gained_at = now;
    }

    /// Measures, and returns what is to be reported.
    fn measure(
        &mut self,
        have: u64,
        now: Timestamp,
        stall_after: Duration,
        reason: StallReason,
    ) -> [Option<DownloadEvent>; 2] {
        let elapsed = now.since(self.measured_at).as_micros().max(1);
        // Less than before only after a failed sync; what is fetched again is not progress.
        let gained = have.saturating_sub(self.measured);
        self.measured = have;
        self.measured_at = now;
        let instant = u128::from(gained) * 1_000_000 / elapsed;
        let blend = |old: u64, constant: u128| {
            let blended = (u128::from(old) * constant + instant * elapsed) / (constant + elapsed);
            u64::try_from(blended).unwrap_or(u64::MAX)
        };
        (self.fast, self.slow) = match self.samples {
            0 => (blend(self.fast, 0), blend(self.slow, 0)),
            _ => (blend(self.fast, FAST), blend(self.slow, SLOW)),
        };
        self.samples = self.samples.saturating_add(1);
        self.progress.done = self.progress.done.max(have);
        self.progress.rate = self.slow;
        self.progress.eta = self.eta();
        [self.stall(gained > 0, now, stall_after, reason), self.event()]
    }

    /// The last progress, if it was not reported yet.
    fn finish(&mut self, have: u64) -> Option<DownloadEvent> {
        self.progress.done = self.progress.done.max(have);
        self.progress.eta = None;
        let unchanged = self.reported.is_some_and(|reported| reported.done == self.progress.done);
        if unchanged { None } else { self.event() }
    }

    fn eta(&self) -> Option<Duration> {
        let steady = self.fast.abs_diff(self.slow) <= self.slow / 4;
        if self.samples < SAMPLES_MIN || self.slow == 0 || !steady {
            return None;
        }
        Some(Duration::from_secs((self.progress.total - self.progress.done).div_ceil(self.slow)))
    }

    fn stall(
        &mut self,
        gained: bool,
        now: Timestamp,
        stall_after: Duration,
        reason: StallReason,
    ) -> Option<DownloadEvent> {
        if gained {
            self.gained_at = now;
            return self.stalled.take().map(|_| DownloadEvent::StallEnded);
        }
        if self.stalled == Some(reason) || now.since(self.gained_at) < stall_after {
            return None;
        }
        self.stalled = Some(reason);
        Some(DownloadEvent::Stalled(reason))
    }

    fn event(&mut self) -> Option<DownloadEvent> {
        // Before the root is known there is nothing to report.
        if self.reported == Some(self.progress) || self.progress.total == 0 {
            return None;
        }
        self.reported = Some(self.progress);
        Some(DownloadEvent::Progress(self.progress))
    }
}

/// What a download reports of its progress: the start once, then progress and stalls.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    meter: ProgressMeter,
    network: StallReason,
    stall_after: Duration,
    is_started: bool,
}

impl Reporter {
    pub(super) fn new(stall_after: Duration, now: Timestamp) -> Self {
        let (meter, network) = (ProgressMeter::new(0, 0, now), StallReason::PeersSilent);
        Self { meter, network, stall_after, is_started: false }
    }

    /// Why no block may arrive.
    pub(super) const fn set_network(&mut self, reason: StallReason) {
        self.network = reason;
    }

    /// When to measure next.
    pub(super) fn due(&self) -> Timestamp {
        self.meter.due()
    }

    /// Does not count the time until now: the download was paused.
    pub(super) fn skip(&mut self, now: Timestamp) {
        self.meter.skip(now);
    }

    /// `have` of `total` bytes are written: what is reported of that the first time.
    pub(super) fn start(&mut self, have: u64, total: u64) -> Option<DownloadEvent> {
        let is_first = !core::mem::replace(&mut self.is_started, true);
        is_first.then_some(DownloadEvent::Started { total, have })
    }

    /// The transfer begins, perhaps again: after a failed sync less is written than was reported, and what
    /// was reported stays.
    pub(super) fn begin(&mut self, have: u64, total: u64, now: Timestamp) -> Option<DownloadEvent> {
        self.meter = ProgressMeter::new(have, total, now).after(&self.meter);
        self.start(have, total)
    }

    /// Measures when it is time, and returns what is to be reported.
    pub(super) fn measure(
        &mut self,
        transfer: &Transfer,
        outbox: &Outbox,
        now: Timestamp,
    ) -> impl Iterator<Item = DownloadEvent> + use<> {
        if now < self.meter.due() {
            return [None, None].into_iter().flatten();
        }
        if outbox.comparisons() > 0 {
            // What is compared is not fetched, and is no stall.
            self.meter.not_stalled(now);
        }
        let is_disk = transfer.disk().is_full() || outbox.writes() > 0;
        let reason = if is_disk { StallReason::DiskSlow } else { self.network };
        let have = transfer.next_claims().total();
        self.meter.measure(have, now, self.stall_after, reason).into_iter().flatten()
    }

    /// The last progress, if it was not reported yet.
    pub(super) fn finish(&mut self, total: u64) -> Option<DownloadEvent> {
        self.meter.finish(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(10);

    /// Feeds one measurement per tick and gives all events.
    fn run(
        meter: &mut ProgressMeter,
        haves: impl IntoIterator<Item = u64>,
    ) -> alloc::vec::Vec<DownloadEvent> {
        let mut events = alloc::vec::Vec::new();
        for have in haves {
            let now = meter.due();
            let event = meter.measure(have, now, STALL, StallReason::PeersSilent);
            events.extend(event.into_iter().flatten());
        }
        events
    }

    fn progress(event: &DownloadEvent) -> Progress {
        let DownloadEvent::Progress(progress) = event else { panic!("{event:?}") };
        *progress
    }

    #[test]
    fn a_steady_rate_is_measured_and_gives_a_time_left() {
        let mut meter = ProgressMeter::new(0, 100_000, Timestamp::ZERO);
        let events = run(&mut meter, (1..=20).map(|tick| tick * 500));
        let (early, last) = (progress(&events[8]), progress(&events[19]));
        assert_eq!((early.rate, early.eta), (1000, None));
        assert_eq!((last.rate, last.eta), (1000, Some(Duration::from_secs(90))));
    }

    #[test]
    fn a_changing_rate_has_no_time_left_until_it_is_steady_again() {
        let mut meter = ProgressMeter::new(0, 10_000_000, Timestamp::ZERO);
        run(&mut meter, (1..=40).map(|tick| tick * 500));
        let faster = run(&mut meter, (1..=80).map(|tick| 20_000 + tick * 5000));
        assert_eq!(progress(&faster[4]).eta, None);
        assert!(progress(&faster[79]).eta.is_some());
        let rates: alloc::vec::Vec<_> = faster.iter().map(|event| progress(event).rate).collect();
        assert!(rates.is_sorted(), "smoothed");
        assert!((9_500..=10_000).contains(&rates[79]));
    }

    #[test]
    fn bytes_never_go_back() {
        let mut meter = ProgressMeter::new(0, 1000, Timestamp::ZERO);
        let events = run(&mut meter, [400, 600, 300, 500, 700]);
        let done = events.iter().map(|event| progress(event).done);
        assert_eq!(done.collect::<alloc::vec::Vec<_>>(), [400, 600, 600, 600, 700]);
    }

    #[test]
    fn a_stall_is_reported_again_when_there_is_another_reason_for_it() {
        let mut meter = ProgressMeter::new(0, 1000, Timestamp::ZERO);
        let stalls = [StallReason::PeersSilent, StallReason::NoPeers, StallReason::NoPeers];
        let told = stalls.map(|reason| {
            meter.stall(false, Timestamp::from_micros(60_000_000), Duration::from_secs(15), reason)
        });
        let told = told.into_iter().flatten().collect::<alloc::vec::Vec<_>>();
        let expected = [StallReason::PeersSilent, StallReason::NoPeers].map(DownloadEvent::Stalled);
        assert_eq!(told, expected);
    }

    #[test]
    fn a_stall_is_reported_once_and_ends_with_the_next_byte() {
        let mut meter = ProgressMeter::new(0, 1000, Timestamp::ZERO);
        let silent = run(&mut meter, core::iter::repeat_n(0, 60));
        let stalls = silent.iter().filter(|event| !matches!(event, DownloadEvent::Progress(_)));
        let expected = [DownloadEvent::Stalled(StallReason::PeersSilent)];
        assert!(stalls.eq(&expected));
        assert!(run(&mut meter, [1]).contains(&DownloadEvent::StallEnded));
    }
}
