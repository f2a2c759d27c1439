//! One direction of a path between two nodes: latency, jitter and a bandwidth with a queue.

use std::time::Duration;

use bitswap_core::{StreamKind, Timestamp};

use crate::draw;
use crate::rng::Rng;

/// The properties of one direction of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// From the last byte's departure to its arrival.
    pub latency: Duration,
    /// Added to the latency: up to this much, drawn for each message. Order within a stream is kept.
    pub jitter: Duration,
    /// Bytes per second; `None` is unlimited, and with 0 nothing ever arrives.
    pub bandwidth: Option<u64>,
    /// Bytes that the sender's transport takes beyond those that have left.
    pub buffer: u64,
}

impl Link {
    /// A path without jitter or limit.
    #[must_use]
    pub fn latency_ms(ms: u64) -> Self {
        Self { latency: Duration::from_millis(ms), ..Self::default() }
    }

    /// The same path with a bandwidth in bytes per second.
    #[must_use]
    pub const fn bytes_per_second(mut self, bandwidth: u64) -> Self {
        self.bandwidth = Some(bandwidth);
        self
    }
}

/// When a message passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The sender's transport has taken all of it.
    pub(crate) taken: Timestamp,
    /// The receiver has all of it.
    pub(crate) arrives: Timestamp,
    /// The stream that it is on: see [`Pipe::is_cut`].
    pub(crate) stream: u32,
}

/// Bytes that go between those of other messages whatever waits: a packet, as the transports of the paths share the uplink
/// packet by packet.
const PACKET: usize = 1500;

/// What a node sends on all its paths together.
#[derive(Debug)]
pub(crate) struct Uplink {
    /// Bytes per second.
    bandwidth: u64,
    free_at: Timestamp,
}

impl Uplink {
    pub(crate) const fn new(bandwidth: u64) -> Self {
        Self { bandwidth, free_at: Timestamp::ZERO }
    }

    /// Sends `bytes` behind those sent before: when the last of them has left.
    fn carry(&mut self, bytes: usize, now: Timestamp) -> Timestamp {
        let time = time_of(bytes as u64, Some(self.bandwidth));
        let start = self.free_at.max(now);
        self.free_at = start + time;
        if bytes <= PACKET { now + time } else { self.free_at }
    }
}

/// How long so many bytes take at a bandwidth.
fn time_of(bytes: u64, bandwidth: Option<u64>) -> Duration {
    match bandwidth {
        _ if bytes == 0 => Duration::ZERO,
        Some(0) => Duration::MAX,
        Some(rate) => {
            Duration::from_micros((u128::from(bytes) * 1_000_000 / u128::from(rate)) as u64)
        }
        None => Duration::ZERO,
    }
}

/// A path in use.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) link: Link,
    /// When the last byte so far has left.
    free_at: Timestamp,
    /// Nothing leaves before.
    pub(crate) clogged_until: Timestamp,
    /// The last arrival on each stream.
    last: [Timestamp; 2],
    /// Messages that have not left, with when they will have.
    queued: Vec<(StreamKind, Timestamp)>,
    /// How often the stream of each stream was reset.
    cuts: [u32; 2],
}

impl Pipe {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, ..Self::default() }
    }

    /// What is queued leaves at once, and from now on only the latency counts.
    pub(crate) fn heal(&mut self) {
        self.link = Link { latency: self.link.latency, ..Link::default() };
        self.free_at = Timestamp::ZERO;
        self.clogged_until = Timestamp::ZERO;
    }

    /// Sends `bytes`; they queue behind those sent before, also on the sender's other paths if it has an uplink.
    pub(crate) fn carry(
        &mut self,
        bytes: usize,
        kind: StreamKind,
        uplink: Option<&mut Uplink>,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Passage {
        let start = now.max(self.free_at).max(self.clogged_until);
        let time = |bytes: u64| time_of(bytes, self.link.bandwidth);
        let left = start + time(bytes as u64);
        let left = uplink.map_or(left, |uplink| uplink.carry(bytes, start).max(left));
        self.free_at = left;
        self.queued.retain(|(_, left)| *left > now);
        self.queued.push((kind, left));
        let ahead = time(self.link.buffer);
        let taken = Timestamp::from_micros(
            left.as_micros().saturating_sub(ahead.as_micros() as u64).max(now.as_micros()),
        );
        let jitter = if self.link.jitter.is_zero() {
            Duration::ZERO
        } else {
            draw::up_to(rng, self.link.jitter)
        };
        let last = &mut self.last[kind as usize];
        *last = (left + self.link.latency + jitter).max(*last);
        Passage { taken, arrives: *last, stream: self.cuts[kind as usize] }
    }

    /// The sender resets the stream of a stream: what of it has not arrived never does, and what has not
    /// left holds up nothing any more.
    pub(crate) fn cut(&mut self, kind: StreamKind, now: Timestamp) {
        self.cuts[kind as usize] += 1;
        self.last[kind as usize] = now;
        self.queued.retain(|(on, _)| *on != kind);
        self.free_at = self.queued.iter().map(|(_, left)| *left).max().unwrap_or(now);
    }

    /// Whether the stream of a stream was reset since this one was in use.
    pub(crate) const fn is_cut(&self, kind: StreamKind, stream: u32) -> bool {
        self.cuts[kind as usize] != stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    #[test]
    fn messages_queue_for_bandwidth_and_keep_their_order() {
        let mut rng = Rng::new(&[1; 32], "test");
        let mut pipe = Pipe::new(Link::latency_ms(10).bytes_per_second(1000));
        let first = pipe.carry(100, StreamKind::Requests, None, at(0), &mut rng);
        assert_eq!(first, Passage { taken: at(100), arrives: at(110), stream: 0 });
        let second = pipe.carry(50, StreamKind::Responses, None, at(20), &mut rng);
        assert_eq!(second, Passage { taken: at(150), arrives: at(160), stream: 0 });
        pipe.link.buffer = 100;
        let third = pipe.carry(50, StreamKind::Requests, None, at(160), &mut rng);
        assert_eq!(third, Passage { taken: at(160), arrives: at(220), stream: 0 });
        pipe.link.bandwidth = None;
        pipe.link.jitter = Duration::from_millis(50);
        let mut last = Timestamp::ZERO;
        for ms in 220..270 {
            let passage = pipe.carry(1, StreamKind::Requests, None, at(ms), &mut rng);
            assert!(passage.arrives >= last);
            last = passage.arrives;
        }
    }

    #[test]
    fn the_paths_of_a_node_share_its_uplink_packet_by_packet() {
        let mut rng = Rng::new(&[1; 32], "test");
        let mut uplink = Uplink::new(10_000);
        let (mut one, mut other) = (Pipe::new(Link::latency_ms(10)), Pipe::new(Link::default()));
        let mut send = |pipe: &mut Pipe, bytes, ms| {
            pipe.carry(bytes, StreamKind::Responses, Some(&mut uplink), at(ms), &mut rng).arrives
        };
        assert_eq!(send(&mut one, 10_000, 0), at(1010));
        assert_eq!(send(&mut other, 5000, 500), at(1500), "behind what is on the first path");
        assert_eq!(send(&mut other, 100, 1500), at(1510));
        assert_eq!(send(&mut one, 10_000, 1600), at(2610));
        let packet = other.carry(1500, StreamKind::Requests, Some(&mut uplink), at(1700), &mut rng);
        assert_eq!(packet.arrives, at(1850), "between the bytes of the other path");
        let next = other.carry(10_000, StreamKind::Requests, Some(&mut uplink), at(1900), &mut rng);
        assert_eq!(next.arrives, at(3750), "which are so much later");
    }

    #[test]
    fn a_stream_that_is_reset_holds_up_nothing_any_more() {
        let mut rng = Rng::new(&[1; 32], "test");
        let mut pipe = Pipe::new(Link::latency_ms(10).bytes_per_second(1000));
        pipe.carry(100, StreamKind::Requests, None, at(0), &mut rng);
        let slow = pipe.carry(1_000_000, StreamKind::Responses, None, at(0), &mut rng);
        pipe.cut(StreamKind::Responses, at(50));
        assert!(
            pipe.is_cut(StreamKind::Responses, slow.stream)
                && !pipe.is_cut(StreamKind::Requests, 0)
        );
        let next = pipe.carry(10, StreamKind::Responses, None, at(50), &mut rng);
        assert_eq!(next, Passage { taken: at(110), arrives: at(120), stream: 1 });
        pipe.link.bandwidth = Some(0);
        let never = pipe.carry(1, StreamKind::Responses, None, at(200), &mut rng);
        assert_eq!((never.taken, never.arrives), (Timestamp::MAX, Timestamp::MAX));
    }
}
