//! The stream to each peer, what the transport has of it, and what was served.
//!
//! Invariant: a peer's stream and its list of messages in flight know the same messages.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::OpenError;
use crate::message::Version;
use crate::outbound_stream::OutboundStream;
use crate::peer::Peer;
use crate::stats::Served;
use crate::time::Timestamp;
use crate::util::rows::Ref;
use crate::util::side_table::SideTable;

use super::consistent;
use super::in_flight::{InFlight, SentResponse, Unanswered};

/// One connected peer.
#[derive(Debug)]
pub(super) struct PeerState {
    stream: OutboundStream,
    in_flight: InFlight,
    served: Served,
}

impl PeerState {
    /// There is something to send: true when the host must be asked to open the stream.
    pub(super) fn open(&mut self, now: Timestamp) -> bool {
        self.stream.open(now)
    }

    /// The host's answer to that; false when it was not asked.
    pub(super) fn opened(&mut self, result: Result<Version, OpenError>, now: Timestamp) -> bool {
        self.stream.opened(result, now).is_some()
    }

    /// The peer has shown that it speaks Bitswap after all.
    pub(super) fn revive(&mut self) {
        self.stream.revive();
    }

    /// Closes the stream when it was idle for so long: true when the host must be told.
    pub(super) fn close_idle(&mut self, idle: Duration, now: Timestamp) -> bool {
        self.stream.close_idle(idle, now)
    }

    /// The transport reset the stream.
    pub(super) fn reset(&mut self, now: Timestamp) {
        self.stream.reset(now);
    }

    /// We reset the stream: the messages that the transport had. None when there is no stream.
    pub(super) fn abort(&mut self) -> Option<Vec<Unanswered>> {
        self.stream.abort().then(|| self.in_flight.remove_all())
    }

    /// Hands a message to the transport, with so many bytes of blocks. Its number was [`OutboundStream::next_seq`].
    pub(super) fn send(&mut self, bytes: u32, responses: Vec<SentResponse>, now: Timestamp) -> u32 {
        let seq = self.stream.send(bytes, now);
        self.in_flight.push(seq, responses);
        seq
    }

    /// The transport took the message of this number, or could not: its bytes of blocks and its responses. None when
    /// there is no such message. A failure closes the stream.
    pub(super) fn sent(
        &mut self,
        seq: u32,
        ok: bool,
        now: Timestamp,
    ) -> Option<(u32, Vec<SentResponse>)> {
        let bytes = self.stream.sent(seq, ok, now)?;
        let responses = consistent(self.in_flight.remove(seq), "a message has no responses")?;
        Some((bytes, responses))
    }

    fn heap_bytes(&self) -> usize {
        self.stream.heap_bytes() + self.in_flight.heap_bytes()
    }
}

/// Blocks may be brought into memory for a peer with this stream: it is open or may be opened at once.
pub(super) fn can_hold_blocks(stream: &OutboundStream) -> bool {
    !stream.is_refused() && stream.retry_at().is_none()
}

/// All connected peers.
#[derive(Debug)]
pub(super) struct Peers {
    states: SideTable<PeerState, Peer>,
    served: Served,
    /// Bytes that the states hold.
    heap_bytes: usize,
    open_retry: Duration,
}

impl Peers {
    pub(super) fn new(open_retry: Duration) -> Self {
        Self { states: SideTable::default(), served: Served::default(), heap_bytes: 0, open_retry }
    }

    pub(super) fn connected(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let stream = OutboundStream::new(self.open_retry, now);
        let state = PeerState { stream, in_flight: InFlight::default(), served: Served::default() };
        self.states.insert(peer, state);
    }

    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        if let Some(gone) = consistent(self.states.remove(peer), "a peer leaves twice") {
            self.heap_bytes -= gone.heap_bytes();
        }
    }

    /// The places of all peers.
    pub(super) fn all(&self) -> Vec<Ref<Peer>> {
        self.states.iter().map(|(peer, _)| peer).collect()
    }

    pub(super) fn stream(&self, peer: Ref<Peer>) -> Option<&OutboundStream> {
        consistent(self.states.get(peer), "a peer is not connected").map(|state| &state.stream)
    }

    /// Does something to a peer.
    pub(super) fn update<R>(
        &mut self,
        peer: Ref<Peer>,
        how: impl FnOnce(&mut PeerState) -> R,
    ) -> Option<R> {
        let state = consistent(self.states.get_mut(peer), "a peer is not connected")?;
        self.heap_bytes -= state.heap_bytes();
        let result = how(state);
        self.heap_bytes += state.heap_bytes();
        Some(result)
    }

    /// Counts something for a peer and in all.
    pub(super) fn count(&mut self, peer: Ref<Peer>, how: impl Fn(&mut Served)) {
        how(&mut self.served);
        if let Some(state) = consistent(self.states.get_mut(peer), "a peer is not connected") {
            how(&mut state.served);
        }
    }

    /// What was served to all peers since the start.
    pub(super) const fn served(&self) -> Served {
        self.served
    }

    /// What was served to a peer since it connected.
    pub(super) fn served_to(&self, peer: Ref<Peer>) -> Option<Served> {
        self.states.get(peer).map(|state| state.served)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.states.bytes() + self.heap_bytes
    }

    /// The most bytes of a peer without messages in flight, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        SideTable::<PeerState, Peer>::bytes_max_each(peers)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let mut bytes = 0;
        for (_, state) in self.states.iter() {
            state.in_flight.validate()?;
            bytes += state.heap_bytes();
            if state.in_flight.len() != state.stream.len() {
                return Err("a stream and the list of its messages differ");
            }
        }
        if bytes != self.heap_bytes {
            return Err("the bytes of the peers are not their sum");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::samples::peer;
    use crate::server::want::Response;
    use crate::util::rows::Id;

    const NOW: Timestamp = Timestamp::ZERO;

    /// A peer with an open stream, and two messages in flight.
    fn sending() -> Peers {
        let mut peers = Peers::new(Duration::from_secs(1));
        peers.connected(peer(0), NOW);
        peers.update(peer(0), |state| {
            assert!(state.open(NOW) && state.opened(Ok(Version::V1_2), NOW));
            for bytes in [10, 20] {
                let response = SentResponse { want: Id::from_bits(7), response: Response::Have };
                state.send(bytes, alloc::vec![response], NOW);
            }
        });
        peers.validate().unwrap();
        peers
    }

    #[test]
    fn a_message_is_answered_once_and_nothing_is_kept_of_it() {
        let mut peers = sending();
        let held = peers.bytes();
        let bytes = |peers: &mut Peers, seq, ok| {
            let sent = peers.update(peer(0), |state| state.sent(seq, ok, NOW)).unwrap();
            peers.validate().unwrap();
            sent.map(|(bytes, responses)| (bytes, responses.len()))
        };
        assert_eq!(bytes(&mut peers, 1, true), Some((20, 1)));
        assert_eq!(bytes(&mut peers, 1, true), None);
        assert_eq!(bytes(&mut peers, 0, false), Some((10, 1)));
        assert!(peers.bytes() < held);
        assert_eq!(peers.stream(peer(0)).unwrap().version(), None, "a failure closes the stream");
        peers.disconnected(peer(0));
        assert_eq!(peers.bytes(), 0);
    }

    #[test]
    fn a_stream_that_we_reset_gives_its_messages_back() {
        let mut peers = sending();
        let given = peers.update(peer(0), PeerState::abort).flatten().unwrap();
        assert_eq!(given.iter().map(|message| message.seq).collect::<Vec<_>>(), [0, 1]);
        peers.validate().unwrap();
        assert!(peers.update(peer(0), PeerState::abort).flatten().is_none(), "it has no stream");
    }

    #[test]
    fn a_message_that_only_the_stream_knows_is_noticed() {
        let mut peers = sending();
        peers.states.get_mut(peer(0)).unwrap().in_flight.remove(0);
        assert!(peers.validate().is_err());
    }
}
