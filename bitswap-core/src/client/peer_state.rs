//! What the client keeps of a connected peer: its stream, what is measured of it, how much it is asked for,
//! and what it is still to be sent.

use core::time::Duration;

use super::delivery_estimator::DeliveryEstimator;
use super::message_queue::MessageQueue;
use super::reachability::Reachability;
use super::throttle::Throttle;
use crate::message::Version;
use crate::need::Need;
use crate::outbound_stream::OutboundStream;
use crate::output::{PeerHistory, ProtocolSupport};
use crate::peer::Peer;
use crate::stats::{Fetched, PeerStats, TimerReason};
use crate::time::{Timestamp, micros};
use crate::util::rows::Id;

/// Bytes asked of a peer of which nothing is measured.
const FIRST_WINDOW: u64 = 1 << 20;
/// How many times what it has delivered is asked of a peer of unknown speed.
const TRUST: u64 = 4;
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
/// The most bytes asked of a peer at once.
const WINDOW_MAX: u64 = 32 << 20;
/// HAVEs of a peer in [`CLAIMS_TIME`] that count although it was not sent the want. Who says HAVE of one CID
/// after another learns from the requests which are wanted here.
const CLAIMS_MAX: u32 = 16;
const CLAIMS_TIME: Duration = Duration::from_secs(1);

/// What the client keeps of a peer.
#[derive(Debug)]
pub(super) struct PeerState {
    id: Id<Peer>,
    support: ProtocolSupport,
    /// Whether it can be asked, as the peers' table has counted it.
    reachability: Reachability,
    stream: OutboundStream,
    estimator: DeliveryEstimator,
    queue: MessageQueue,
    need: Need,
    throttle: Throttle,
    /// HAVEs of wants that it was not sent, since `claims_since`.
    claims: u32,
    claims_since: Timestamp,
    /// Bytes asked for and not delivered.
    asked_bytes: u64,
    /// Those of them that are estimates, and of how many blocks.
    guessed_bytes: u64,
    guesses: u32,
    /// It was asked for all that its window allows, and not enough of it has come yet to be worth another
    /// message.
    is_full: bool,
    /// Since when it has had something to deliver without a pause.
    busy_since: Timestamp,
    /// Requests in a row that passed their deadline.
    silences: u32,
    /// Its first block is late for the round trip of its connection.
    is_overdue: bool,
    /// The shortest time, in microseconds, in which it answered HAVE or DONT_HAVE. Of a peer that has not
    /// delivered anything it is all that is known of its latency; of one that has it says nothing.
    answers_in: Option<u64>,
    /// Wants sent to it that ended otherwise before it answered: blocks that may still come.
    superfluous: u32,
    /// The armed timer for its stream and cancels.
    timer: Option<(Timestamp, TimerReason)>,
    /// It is among the peers that may have something to be sent.
    is_sending: bool,
    fetched: Fetched,
}

impl PeerState {
    pub(super) fn new(
        id: Id<Peer>,
        history: Option<PeerHistory>,
        retry: Duration,
        throttle: Throttle,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            support: ProtocolSupport::Unknown,
            reachability: Reachability::Askable,
            stream: OutboundStream::new(retry, now),
            estimator: DeliveryEstimator::from_history(history),
            queue: MessageQueue::new(now),
            need: Need::default(),
            throttle,
            claims: 0,
            claims_since: now,
            asked_bytes: 0,
            guessed_bytes: 0,
            guesses: 0,
            is_full: false,
            busy_since: now,
            silences: 0,
            is_overdue: false,
            answers_in: None,
            superfluous: 0,
            timer: None,
            is_sending: false,
            fetched: Fetched::default(),
        }
    }

    pub(super) const fn id(&self) -> Id<Peer> {
        self.id
    }

    pub(super) const fn stream(&self) -> &OutboundStream {
        &self.stream
    }

    pub(super) const fn stream_mut(&mut self) -> &mut OutboundStream {
        &mut self.stream
    }

    pub(super) const fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// Whether the connection is needed for a want that it is to be sent, or was sent.
    pub(super) const fn need(&self) -> &Need {
        &self.need
    }

    pub(super) const fn need_mut(&mut self) -> &mut Need {
        &mut self.need
    }

    pub(super) const fn queue_mut(&mut self) -> &mut MessageQueue {
        &mut self.queue
    }

    pub(super) const fn estimator(&self) -> &DeliveryEstimator {
        &self.estimator
    }

    // Whether it can be asked.

    /// What it says of itself; whether that is news.
    pub(super) fn set_support(&mut self, support: ProtocolSupport) -> bool {
        core::mem::replace(&mut self.support, support) != support
    }

    pub(super) fn says_no(&self) -> bool {
        self.support == ProtocolSupport::No
    }

    /// It does not speak Bitswap, as far as it says.
    pub(super) fn is_mute(&self) -> bool {
        self.says_no() || self.stream.is_refused()
    }

    /// It has sent a message, so it speaks Bitswap. Whether that is a surprise.
    pub(super) fn has_spoken(&mut self) -> bool {
        let surprise = self.is_mute();
        if surprise {
            self.support = ProtocolSupport::Yes;
            self.stream.revive();
        }
        surprise
    }

    /// It can be asked, now or as soon as its stream is open.
    pub(super) fn is_usable(&self) -> bool {
        Reachability::of(self) == Reachability::Askable
    }

    /// Called by the peers' table, which counts it.
    pub(super) const fn set_reachability(&mut self, reachability: Reachability) -> Reachability {
        core::mem::replace(&mut self.reachability, reachability)
    }

    pub(super) const fn reachability(&self) -> Reachability {
        self.reachability
    }

    /// It speaks 1.2.0, as far as is known.
    pub(super) fn has_presence(&self) -> bool {
        self.stream.version().is_none_or(Version::has_presence)
    }

    // How much it is asked for, and when that is expected.

    pub(super) const fn asked_bytes(&self) -> u64 {
        self.asked_bytes
    }

    /// Bytes that it is asked for, if what was not known of the sizes is `size` each at least.
    pub(super) fn owed_bytes(&self, size: u32) -> u64 {
        let guessed = u64::from(self.guesses).saturating_mul(u64::from(size));
        self.asked_bytes - self.guessed_bytes + guessed.max(self.guessed_bytes)
    }

    /// It has delivered a wanted block, so there are measurements.
    pub(super) fn is_measured(&self) -> bool {
        self.estimator.latency().is_some()
    }

    pub(super) const fn is_silent(&self) -> bool {
        self.silences > 0
    }

    pub(super) const fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub(super) const fn throttle_mut(&mut self) -> &mut Throttle {
        &mut self.throttle
    }

    /// It can take another request for a block of about this size. `choice`: there are peers enough to be
    /// wary of each.
    pub(super) fn has_room(&self, size: u32, wants_max: u32, choice: bool) -> bool {
        self.window_has_room(size, choice)
            && self.queue.len() < wants_max
            && !self.throttle.is_closed()
    }

    fn window_has_room(&self, size: u32, choice: bool) -> bool {
        let window = self.window(size, choice);
        let least = if self.is_full { window / 4 * 3 } else { window };
        self.asked_bytes < least
    }

    /// Bytes to be asked of it at once.
    fn window(&self, size: u32, choice: bool) -> u64 {
        let least = u64::from(size).saturating_mul(2);
        // Trust grows with what was delivered, because the first measurements say little; where there is a
        // choice of peers, from nothing.
        let trust = self.fetched.bytes.saturating_mul(TRUST);
        let start = if choice && trust > 0 { 0 } else { FIRST_WINDOW };
        let most = trust.clamp(start, WINDOW_MAX);
        match self.estimator.window() {
            Some(window) => {
                // What it delivers in a second is little to take back, and spares round trips.
                let second = self.estimator.throughput().unwrap_or(0).min(FIRST_WINDOW);
                window.max(second).min(most).max(least)
            }
            None => most.min(FIRST_WINDOW).max(least),
        }
    }

    /// It is asked for a block of about this size; the bytes that were asked of it before.
    pub(super) fn charge(&mut self, size: u32, choice: bool, now: Timestamp) -> u64 {
        let before = self.asked_bytes;
        if before == 0 {
            self.busy_since = now;
        }
        self.is_full &= !self.window_has_room(size, choice);
        self.asked_bytes += u64::from(size);
        self.throttle.take(size.into());
        self.is_full |= self.asked_bytes >= self.window(size, choice);
        before
    }

    /// What it was just asked for is of a size that was not known.
    pub(super) fn guess(&mut self, bytes: u32) {
        self.guessed_bytes += u64::from(bytes);
        self.guesses += 1;
    }

    /// It does not owe these bytes any more; `is_guess`: their number was not known.
    pub(super) fn refund(&mut self, bytes: u32, is_guess: bool) {
        if is_guess {
            self.guessed_bytes = self.guessed_bytes.saturating_sub(u64::from(bytes));
            self.guesses = self.guesses.saturating_sub(1);
        }
        debug_assert!(
            self.asked_bytes >= u64::from(bytes),
            "more is given back than was asked for"
        );
        self.asked_bytes = self.asked_bytes.saturating_sub(u64::from(bytes));
        self.throttle.give(bytes.into());
    }

    /// Microseconds after which the first block of a peer may be here that has only answered so far, without
    /// its transfer; `at_best` where one block too many does not count.
    pub(super) fn promised(&self, at_best: bool) -> Option<u64> {
        let answer = self.answers_in.filter(|_| !self.is_measured() && !self.is_overdue())?;
        Some(answer.saturating_mul(if at_best { CLAIMED_AT_LEAST } else { CLAIMED }))
    }

    /// Microseconds until a block asked for now arrives, made longer by silences. Being late for the round trip of its
    /// connection is one as well: what it was asked for may have come from elsewhere before its deadline, each time.
    pub(super) fn expected(&self, size: u32, unmeasured: u64) -> u64 {
        let claimed = self.answers_in.map(|answer| answer.saturating_mul(CLAIMED));
        let latency = claimed.map_or(unmeasured, |claimed| claimed.min(unmeasured));
        let expected =
            self.estimator.expected(self.asked_bytes.saturating_add(u64::from(size)), latency);
        // A quick peer that has fallen silent is no quick peer.
        let least = if self.is_overdue() { SILENT_LEAST } else { 0 };
        let silences = self.silences.max(self.is_overdue.into());
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
        let least = if self.is_silent() { SILENT_LEAST } else { 0 };
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
            return self.is_silent() || ahead > 0 && self.is_late(size, slack, now);
        };
        let latency = self.estimator.expected(0, 0).max(self.estimator.round_trip().unwrap_or(0));
        let sent = u128::from(rate) * u128::from(latency) / 1_000_000;
        u128::from(ahead) >= sent + u128::from(BUFFERED)
    }

    // What it does.

    /// It answered HAVE or DONT_HAVE after this time.
    pub(super) fn answered(&mut self, took: Duration) {
        let took = micros(took);
        self.answers_in = Some(self.answers_in.map_or(took, |before| before.min(took)));
    }

    /// It says HAVE of what it was not sent: whether that counts.
    pub(super) fn may_claim(&mut self, now: Timestamp) -> bool {
        if now.since(self.claims_since) >= CLAIMS_TIME {
            (self.claims_since, self.claims) = (now, 0);
        }
        self.claims = self.claims.saturating_add(1);
        self.claims <= CLAIMS_MAX
    }

    /// It delivered a wanted block.
    pub(super) const fn delivered(&mut self) {
        self.silences = 0;
        self.is_overdue = false;
    }

    /// It delivers nothing: late for the round trip of its connection, or for its deadline.
    pub(super) const fn is_overdue(&self) -> bool {
        self.is_overdue || self.is_silent()
    }

    /// It has not delivered anything, and is late for the round trip of its connection.
    pub(super) const fn set_overdue(&mut self) {
        self.is_overdue = true;
    }

    /// A block that was asked for at `asked`, behind `before` other bytes, took until now.
    pub(super) fn measure(&mut self, bytes: u64, asked: Timestamp, before: u64, now: Timestamp) {
        self.estimator.delivered(bytes, asked, before, self.busy_since, now);
    }

    /// Its stream was opened.
    pub(super) fn measure_opening(&mut self) {
        if let Some(took) = self.stream.opened_in() {
            self.estimator.set_round_trip(took);
        }
    }

    /// A request passed its deadline.
    pub(super) const fn missed_deadline(&mut self) {
        self.silences = self.silences.saturating_add(1);
    }

    /// A want that it was sent has ended otherwise, and its block may still come.
    pub(super) const fn expect_superfluous(&mut self) {
        self.superfluous = self.superfluous.saturating_add(1);
    }

    /// A block came that is not wanted: whether it was asked for once.
    pub(super) const fn take_superfluous(&mut self) -> bool {
        let expected = self.superfluous > 0;
        self.superfluous -= expected as u32;
        expected
    }

    pub(super) const fn fetched_mut(&mut self) -> &mut Fetched {
        &mut self.fetched
    }

    // Its timer and its turn to be sent something.

    /// When its stream or its cancels are due, and why.
    pub(super) fn due(&self, idle: Duration) -> Option<(Timestamp, TimerReason)> {
        let cancels = self.queue.cancels_due_at().filter(|_| self.stream.can_act());
        [
            (self.stream.retry_at(), TimerReason::StreamRetry),
            (self.stream.idle_at(idle), TimerReason::StreamIdle),
            (cancels, TimerReason::Cancel),
        ]
        .into_iter()
        .filter_map(|(at, reason)| Some((at?, reason)))
        .min()
    }

    /// Sets the timer; the one before.
    pub(super) const fn set_timer(
        &mut self,
        due: Option<(Timestamp, TimerReason)>,
    ) -> Option<(Timestamp, TimerReason)> {
        core::mem::replace(&mut self.timer, due)
    }

    pub(super) const fn timer(&self) -> Option<(Timestamp, TimerReason)> {
        self.timer
    }

    /// Called by the peers' table, which lists it.
    pub(super) const fn set_sending(&mut self, is_sending: bool) -> bool {
        core::mem::replace(&mut self.is_sending, is_sending)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) const fn is_sending(&self) -> bool {
        self.is_sending
    }

    // What is told of it.

    /// Adds what is known of it here.
    pub(super) fn add_stats(&self, stats: &mut PeerStats) {
        stats.fetched = self.fetched;
        // What it did counts for more than what it says.
        stats.support = if self.stream.is_refused() { ProtocolSupport::No } else { self.support };
        stats.version = self.stream.version();
        stats.latency = self.estimator.latency();
        stats.throughput = self.estimator.throughput().unwrap_or(0);
        stats.asked_bytes = self.asked_bytes;
        stats.sent_wants = self.queue.len();
    }

    pub(super) fn history(&self) -> PeerHistory {
        PeerHistory {
            latency: self.estimator.latency().unwrap_or_default(),
            throughput: self.estimator.throughput().unwrap_or(0),
            blocks: self.fetched.blocks,
            timeouts: self.fetched.timeouts,
        }
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.stream.heap_bytes() + self.queue.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::ZERO;

    fn peer() -> PeerState {
        PeerState::new(Id::from_bits(1), None, Duration::from_secs(1), Throttle::default(), START)
    }

    #[test]
    fn a_full_peer_is_asked_again_when_a_quarter_has_come() {
        let mut peer = peer();
        let size = 256 << 10;
        for n in 0..4 {
            assert!(peer.has_room(size, 9, false), "{n}");
            assert_eq!(peer.charge(size, false, START), n * u64::from(size));
        }
        assert!(!peer.has_room(size, 9, false));
        peer.refund(size - 1, false);
        assert!(!peer.has_room(size, 9, false), "not worth a message yet");
        peer.refund(2, false);
        assert!(peer.has_room(size, 9, false) && !peer.has_room(size, 0, false));
    }

    #[test]
    fn until_it_delivers_its_answers_are_all_that_is_known_of_its_latency() {
        let mut peer = peer();
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

    #[test]
    fn few_haves_count_of_what_it_was_not_sent() {
        let mut peer = peer();
        let claims = |peer: &mut PeerState, now| (0..100).filter(|_| peer.may_claim(now)).count();
        assert_eq!(claims(&mut peer, START), CLAIMS_MAX as usize);
        assert_eq!(claims(&mut peer, START + CLAIMS_TIME / 2), 0);
        assert_eq!(claims(&mut peer, START + CLAIMS_TIME), CLAIMS_MAX as usize);
    }

    #[test]
    fn a_block_that_is_not_wanted_was_asked_for_as_often_as_its_want_ended() {
        let mut peer = peer();
        peer.expect_superfluous();
        assert!(peer.take_superfluous() && !peer.take_superfluous());
    }

    #[test]
    fn who_sends_a_message_speaks_bitswap() {
        let mut peer = peer();
        assert!(!peer.has_spoken());
        assert!(peer.set_support(ProtocolSupport::No) && peer.is_mute() && !peer.is_usable());
        assert!(peer.has_spoken() && peer.is_usable() && !peer.has_spoken());
    }
}
