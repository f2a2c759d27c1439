//! Messages that were received and not applied yet.
//!
//! A swarm polls its connections for as long as one of them has something to say, before it looks at
//! its listeners and before it returns to its owner. Applying messages takes the engine longer than
//! sending them takes a peer; so whoever applies them as they come can be kept from ever returning.
//! Therefore a connection says nothing more until what it said is applied, and after some work the
//! inbox rests: by then all connections have fallen silent, and everybody else gets a turn.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bitswap_core::Message;
use futures_timer::Delay;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use crate::memory::Held;

/// Work after which the inbox rests.
const WORK: Duration = Duration::from_millis(5);

/// How long it rests: some tasks' turns, and a tenth of the time that could be worked.
const REST: Duration = Duration::from_micros(500);

/// What a connection said at once.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) messages: Vec<Message>,
    /// Their memory.
    pub(super) held: Vec<Held>,
}

/// At most one [`Received`] per connection, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Received>,
    worked: Duration,
    rest: Option<Delay>,
}

impl Inbox {
    pub(super) fn push(&mut self, received: Received) {
        self.queue.push_back(received);
    }

    /// Takes out what a peer said.
    pub(super) fn take_of(&mut self, peer: PeerId) -> Vec<Message> {
        let mut messages = Vec::new();
        self.queue.retain_mut(|received| {
            let keep = received.peer != peer;
            if !keep {
                messages.append(&mut received.messages);
            }
            keep
        });
        messages
    }

    /// The engine was at work for so long.
    pub(super) fn worked(&mut self, time: Duration) {
        self.worked += time;
    }

    /// What is to be applied next, unless it is time to rest.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        if self.worked >= WORK {
            self.worked = Duration::ZERO;
            self.rest = Some(Delay::new(REST));
        }
        if let Some(rest) = &mut self.rest {
            ready!(Pin::new(rest).poll(cx));
            self.rest = None;
        }
        // Whoever puts something in polls afterwards.
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt;

    use super::*;

    fn received(peer: PeerId) -> Received {
        let connection = ConnectionId::new_unchecked(1);
        Received { peer, connection, messages: vec![Message::default()], held: Vec::new() }
    }

    #[tokio::test]
    async fn after_some_work_the_inbox_rests_and_goes_on() {
        let mut inbox = Inbox::default();
        let peers = [PeerId::random(), PeerId::random()];
        peers.iter().for_each(|peer| inbox.push(received(*peer)));
        inbox.worked(WORK - Duration::from_micros(1));
        let next = poll_fn(|cx| inbox.poll_next(cx)).now_or_never();
        assert_eq!(next.expect("not yet").peer, peers[0]);
        inbox.worked(Duration::from_micros(1));
        assert!(poll_fn(|cx| inbox.poll_next(cx)).now_or_never().is_none(), "it rests");
        assert_eq!(poll_fn(|cx| inbox.poll_next(cx)).await.peer, peers[1]);
    }

    #[test]
    fn what_a_peer_said_can_be_taken_out() {
        let mut inbox = Inbox::default();
        let peers = [PeerId::random(), PeerId::random()];
        peers.iter().for_each(|peer| inbox.push(received(*peer)));
        assert_eq!(inbox.take_of(peers[0]).len(), 1);
        assert_eq!(inbox.take_of(peers[0]).len(), 0);
        assert_eq!(inbox.take_of(peers[1]).len(), 1);
    }
}
