//! What the client keeps of a connected peer: its stream, what is measured of it, how much it is asked for,
//! and what it is still to be sent.

use core::time::Duration;

use super::message_queue::MessageQueue;
use super::punctuality::Punctuality;
use super::reachability::Reachability;
use super::request_window::RequestWindow;
use super::throttle::Throttle;
use crate::message::Version;
use crate::need::Need;
use crate::outbound_stream::OutboundStream;
use crate::output::{PeerHistory, ProtocolSupport};
use crate::peer::Peer;
use crate::stats::{Fetched, PeerStats, TimerReason};
use crate::time::Timestamp;
use crate::util::rows::Id;

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
    punctuality: Punctuality,
    window: RequestWindow,
    queue: MessageQueue,
    need: Need,
    throttle: Throttle,
    /// HAVEs of wants that it was not sent, since `claims_since`.
    claims: u32,
    claims_since: Timestamp,
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
            punctuality: Punctuality::new(history, now),
            window: RequestWindow::from_history(history),
            queue: MessageQueue::new(now),
            need: Need::default(),
            throttle,
            claims: 0,
            claims_since: now,
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

    pub(super) const fn punctuality(&self) -> &Punctuality {
        &self.punctuality
    }

    pub(super) const fn punctuality_mut(&mut self) -> &mut Punctuality {
        &mut self.punctuality
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
        self.window.asked()
    }

    /// Bytes that it is asked for, if what was not known of the sizes is `size` each at least.
    pub(super) fn owed_bytes(&self, size: u32) -> u64 {
        self.window.owed(size)
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
        self.window.has_room(self.window_size(size, choice))
            && self.queue.len() < wants_max
            && !self.throttle.is_closed()
    }

    /// Bytes to be asked of it at once.
    fn window_size(&self, size: u32, choice: bool) -> u64 {
        self.window.size(self.punctuality.estimator(), self.fetched.bytes, size, choice)
    }

    /// It is asked for a block of about this size; the bytes that were asked of it before.
    pub(super) fn charge(&mut self, size: u32, choice: bool, now: Timestamp) -> u64 {
        let before = self.window.asked();
        if before == 0 {
            self.punctuality.begin(now);
        }
        self.window.charge(size, self.window_size(size, choice));
        self.throttle.take(size.into());
        before
    }

    /// What it was just asked for is of a size that was not known.
    pub(super) fn guess(&mut self, bytes: u32) {
        self.window.guess(bytes);
    }

    /// It does not owe these bytes any more; `is_guess`: their number was not known.
    pub(super) fn refund(&mut self, bytes: u32, is_guess: bool) {
        self.window.refund(bytes, is_guess);
        self.throttle.give(bytes.into());
    }

    /// Microseconds until a block of about this size that is asked for now arrives, behind all that it owes.
    pub(super) fn expected(&self, size: u32, unmeasured: u64) -> u64 {
        let bytes = self.window.asked().saturating_add(u64::from(size));
        self.punctuality.expected(bytes, unmeasured)
    }

    // What it does.

    /// A wanted block that was asked for at `asked`, behind `before` other bytes, took until now.
    pub(super) fn measure(&mut self, bytes: u64, asked: Timestamp, before: u64, now: Timestamp) {
        self.window.delivered(bytes, asked, self.punctuality.busy_since(), now);
        self.punctuality.measure(bytes, asked, before, now);
    }

    /// It says HAVE of what it was not sent: whether that counts.
    pub(super) fn may_claim(&mut self, now: Timestamp) -> bool {
        if now.since(self.claims_since) >= CLAIMS_TIME {
            (self.claims_since, self.claims) = (now, 0);
        }
        self.claims = self.claims.saturating_add(1);
        self.claims <= CLAIMS_MAX
    }

    /// A round trip of its connection took this time, or somewhat less: whether that is news.
    pub(super) fn set_round_trip(&mut self, took: Duration) -> bool {
        self.punctuality.set_round_trip(took)
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
        let estimator = self.punctuality.estimator();
        stats.latency = estimator.latency();
        stats.throughput = estimator.throughput().unwrap_or(0);
        stats.asked_bytes = self.asked_bytes();
        stats.sent_wants = self.queue.len();
    }

    pub(super) fn history(&self) -> PeerHistory {
        let estimator = self.punctuality.estimator();
        PeerHistory {
            latency: estimator.latency().unwrap_or_default(),
            throughput: estimator.throughput().unwrap_or(0),
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
