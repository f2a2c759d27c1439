//! One stream to one peer: is its stream open, for which version, and how much is on its way.

use core::time::Duration;

use crate::error::OpenError;
use crate::message::Version;
use crate::time::Timestamp;

/// Longest pause between two attempts to open a stream.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Whether a stream can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// It was asked for then.
    Opening(Timestamp),
    Open(Version),
    /// An attempt failed; the next one is due then.
    Waiting(Timestamp),
    /// The peer speaks no version of Bitswap.
    Refused,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
struct Sending {
    seq: u32,
    bytes: u32,
}

/// The state of one stream.
#[derive(Clone, Debug)]
pub(crate) struct OutboundStream {
    state: State,
    sending: alloc::vec::Vec<Sending>,
    bytes: u32,
    next_seq: u32,
    /// Failures in a row, of opening or of sending.
    failures: u32,
    /// The first pause between two attempts.
    retry: Duration,
    active: Timestamp,
}

impl OutboundStream {
    pub(crate) const fn new(retry: Duration, now: Timestamp) -> Self {
        Self {
            state: State::Closed,
            sending: alloc::vec::Vec::new(),
            bytes: 0,
            next_seq: 0,
            failures: 0,
            retry,
            active: now,
        }
    }

    /// There is something to say: true when the host must be asked to open the stream.
    pub(crate) fn open(&mut self, now: Timestamp) -> bool {
        let due = match self.state {
            State::Closed => true,
            State::Waiting(until) => until <= now,
            _ => false,
        };
        if due {
            self.state = State::Opening(now);
        }
        due
    }

    /// The host's answer to a request to open: how long that took. `None` when none was under way.
    pub(crate) fn opened(
        &mut self,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) -> Option<Duration> {
        let State::Opening(since) = self.state else { return None };
        self.active = now;
        match result {
            Ok(version) => self.state = State::Open(version),
            Err(OpenError::Unsupported) => self.state = State::Refused,
            // The connection that it was to be opened on closed; there may be another one.
            Err(OpenError::Closed) => self.lost(now),
            Err(_) => self.back_off(now),
        }
        Some(now.since(since))
    }

    /// The stream is gone: once that is an accident, and the next may be opened at once. A peer with
    /// which it happens again before a message got through is left alone for a while.
    fn lost(&mut self, now: Timestamp) {
        if self.failures == 0 {
            self.failures = 1;
            self.state = State::Closed;
        } else {
            self.back_off(now);
        }
    }

    fn back_off(&mut self, now: Timestamp) {
        let pause = self.retry.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + pause);
    }

    /// The peer has shown that it speaks Bitswap after all.
    pub(crate) fn revive(&mut self) {
        if matches!(self.state, State::Refused | State::Waiting(_)) {
            self.state = State::Closed;
            self.failures = 0;
        }
    }

    /// The version to compose for, while the stream is open.
    pub(crate) const fn version(&self) -> Option<Version> {
        match self.state {
            State::Open(version) => Some(version),
            _ => None,
        }
    }

    /// Nothing is on its way, and the stream is open or opening it can be asked for at once.
    pub(crate) fn can_act(&self) -> bool {
        self.sending.is_empty() && matches!(self.state, State::Closed | State::Open(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    /// The pause after a failed attempt is over.
    pub(crate) fn retry(&mut self) {
        if matches!(self.state, State::Waiting(_)) {
            self.state = State::Closed;
        }
    }

    /// When the next attempt to open is due.
    pub(crate) const fn retry_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting(until) => Some(until),
            _ => None,
        }
    }

    /// The stream is open and takes another message.
    pub(crate) fn has_room(&self, messages: u8, bytes: u32) -> bool {
        self.version().is_some() && self.sending.len() < usize::from(messages) && self.bytes < bytes
    }

    /// Bytes of the oldest message on its way.
    pub(crate) fn head(&self) -> Option<u32> {
        self.sending.first().map(|sending| sending.bytes)
    }

    /// Messages on their way.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const fn len(&self) -> usize {
        self.sending.len()
    }

    /// Bytes on their way.
    pub(crate) const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The number of the message that leaves next.
    pub(crate) const fn next_seq(&self) -> u32 {
        self.next_seq
    }

    /// A message of this size leaves; the number to know it by.
    pub(crate) fn send(&mut self, bytes: u32, now: Timestamp) -> u32 {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.sending.push(Sending { seq, bytes });
        self.active = now;
        seq
    }

    /// A message was written or failed; its size, or `None` when it is unknown or was reported before.
    /// A failure closes the stream.
    pub(crate) fn sent(&mut self, seq: u32, ok: bool, now: Timestamp) -> Option<u32> {
        let at = self.sending.iter().position(|sending| sending.seq == seq)?;
        let Sending { bytes, .. } = self.sending.remove(at);
        self.bytes -= bytes;
        self.active = now;
        if self.sending.is_empty() {
            self.sending = alloc::vec::Vec::new();
        }
        if ok {
            self.failures = 0;
        } else {
            self.reset(now);
        }
        Some(bytes)
    }

    /// Opening it may be asked for at once.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The stream is gone, if there is one.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        if matches!(self.state, State::Open(_)) {
            self.lost(now);
        }
    }

    /// We give the stream up with all that is on its way, if there is one: then it is to be reset.
    pub(crate) fn abort(&mut self) -> bool {
        let open = self.version().is_some();
        if open {
            self.sending = alloc::vec::Vec::new();
            self.bytes = 0;
            self.state = State::Closed;
        }
        open
    }

    /// When the stream, if nothing more is said, has been idle for `idle`.
    pub(crate) fn idle_at(&self, idle: Duration) -> Option<Timestamp> {
        (self.version().is_some() && self.sending.is_empty()).then(|| self.active + idle)
    }

    /// Closes an idle stream: true when the host must be told.
    pub(crate) fn close_idle(&mut self, idle: Duration, now: Timestamp) -> bool {
        let due = self.idle_at(idle).is_some_and(|at| at <= now);
        if due {
            self.state = State::Closed;
        }
        due
    }

    /// Bytes held outside of the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.sending.capacity() * size_of::<Sending>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_millis(100);
    const IDLE: Duration = Duration::from_secs(5);

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    #[test]
    fn a_failed_open_backs_off_and_a_refusal_is_final() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        assert!(stream.open(at(0)));
        assert!(!stream.open(at(0)), "one request at a time");
        assert!(stream.opened(Err(OpenError::Timeout), at(10)).is_some());
        assert_eq!(stream.retry_at(), Some(at(110)));
        assert!(!stream.open(at(109)));
        assert!(stream.open(at(110)));
        stream.opened(Err(OpenError::Closed), at(120));
        assert_eq!(stream.retry_at(), Some(at(320)), "the second failure is no accident");
        assert!(stream.open(at(320)));
        stream.opened(Err(OpenError::Unsupported), at(330));
        assert!(!stream.open(at(1_000_000)));
        stream.revive();
        assert!(stream.open(at(1_000_000)));
    }

    #[test]
    fn it_is_known_how_long_opening_took() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        stream.open(at(50));
        assert_eq!(stream.opened(Ok(Version::V1_2), at(150)), Some(Duration::from_millis(100)));
        assert_eq!(stream.opened(Ok(Version::V1_2), at(160)), None, "nobody asked");
    }

    #[test]
    fn a_connection_that_closes_while_the_stream_opens_costs_no_time() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        stream.open(at(0));
        stream.opened(Err(OpenError::Closed), at(10));
        assert!(stream.open(at(10)));
        stream.opened(Err(OpenError::Closed), at(20));
        assert!(!stream.open(at(20)), "but only once");
    }

    #[test]
    fn a_stream_that_takes_nothing_backs_off_until_a_message_gets_through() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        let fail = |stream: &mut OutboundStream, now| {
            assert!(stream.open(now));
            stream.opened(Ok(Version::V1_2), now);
            let seq = stream.send(1, now);
            stream.sent(seq, false, now);
            stream.retry_at()
        };
        assert_eq!(fail(&mut stream, at(0)), None, "an accident");
        assert_eq!(fail(&mut stream, at(0)), Some(at(200)));
        assert_eq!(fail(&mut stream, at(200)), Some(at(600)));
        stream.open(at(600));
        stream.opened(Ok(Version::V1_2), at(600));
        let seq = stream.send(1, at(600));
        stream.sent(seq, true, at(600));
        stream.reset(at(600));
        assert_eq!(stream.retry_at(), None, "an accident again");
    }

    #[test]
    fn credit_is_bytes_and_messages() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        stream.open(at(0));
        stream.opened(Ok(Version::V1_2), at(0));
        let first = stream.send(60, at(1));
        assert!(stream.has_room(2, 100));
        let second = stream.send(60, at(1));
        assert!(!stream.has_room(2, 100) && !stream.has_room(4, 100) && !stream.has_room(2, 1000));
        assert_eq!(stream.sent(first, true, at(2)), Some(60));
        assert_eq!(stream.sent(first, true, at(2)), None, "answered once");
        assert!(stream.has_room(2, 100));
        assert_eq!(stream.sent(second, false, at(3)), Some(60));
        assert_eq!(stream.version(), None, "a failure closes the stream");
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_however_often_it_fails() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        let mut now = at(0);
        let pauses = (0..40).map(|_| {
            assert!(stream.open(now));
            stream.opened(Err(OpenError::Timeout), now);
            let next = stream.retry_at().expect("it waits");
            let pause = next.since(now);
            now = next;
            pause.as_millis()
        });
        let pauses: alloc::vec::Vec<_> = pauses.collect();
        assert_eq!(pauses[..9], [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600]);
        assert!(pauses[9..].iter().all(|pause| *pause == 30_000), "{pauses:?}");
    }

    #[test]
    fn a_stream_whose_bytes_or_messages_are_used_up_has_no_room() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        assert!(!stream.has_room(2, 100), "it is closed");
        stream.open(at(0));
        assert!(!stream.has_room(2, 100), "it is being opened");
        stream.opened(Ok(Version::V1_2), at(0));
        assert!(!stream.has_room(0, 100) && !stream.has_room(2, 0));
        stream.send(100, at(0));
        assert!(!stream.has_room(1, 101) && !stream.has_room(2, 100));
        assert!(stream.has_room(2, 101));
    }

    #[test]
    fn a_stream_acts_only_while_nothing_is_on_its_way() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        assert!(stream.can_act(), "it may be opened");
        stream.open(at(0));
        assert!(!stream.can_act(), "it is being opened");
        stream.opened(Ok(Version::V1_2), at(0));
        assert!(stream.can_act());
        let seq = stream.send(1, at(0));
        assert!(!stream.can_act());
        stream.sent(seq, true, at(0));
        assert!(stream.can_act());
        stream.reset(at(0));
        stream.open(at(0));
        stream.opened(Err(OpenError::Timeout), at(0));
        assert!(!stream.can_act(), "it waits for its next attempt");
        stream.retry();
        assert!(stream.can_act());
    }

    #[test]
    fn an_idle_stream_closes_once() {
        let mut stream = OutboundStream::new(RETRY, at(0));
        stream.open(at(0));
        stream.opened(Ok(Version::V1_2), at(0));
        let seq = stream.send(1, at(1000));
        assert_eq!(stream.idle_at(IDLE), None, "not while something is on its way");
        stream.sent(seq, true, at(2000));
        assert_eq!(stream.idle_at(IDLE), Some(at(7000)));
        assert!(!stream.close_idle(IDLE, at(6999)));
        assert!(stream.close_idle(IDLE, at(7000)));
        assert!(!stream.close_idle(IDLE, at(7000)));
    }
}
