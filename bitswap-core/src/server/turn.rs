//! How a want changes its state, and how the sums and queues of its peer follow.

use bytes::Bytes;

use crate::stats::Served;

use super::Server;
use super::want::{State, Want};

impl Server {
    /// Moves a want into another state.
    pub(super) fn turn(&mut self, row: u32, to: State) -> Option<Bytes> {
        self.change(row, |want| want.state = to)
    }

    /// Puts the loaded block of a want into the queue of those to be sent.
    pub(super) fn hold(&mut self, row: u32, data: Bytes) {
        let Some(want) = self.ledger.at_mut(row) else { return };
        let Some(peer) = self.peers.get_mut(want.peer) else { return };
        peer.queues.take(want, row);
        want.state = State::Block;
        peer.queues.put(want, row, Some(data));
    }

    /// Changes a want and its place in the queues. Gives back the block that it held, unless it
    /// goes on holding it.
    pub(super) fn change(&mut self, row: u32, how: impl FnOnce(&mut Want)) -> Option<Bytes> {
        let want = self.ledger.at_mut(row)?;
        let peer = self.peers.get_mut(want.peer)?;
        self.unconfirmed -= u32::from(matches!(want.state, State::Sent(_)));
        let mut data = peer.queues.take(want, row);
        how(want);
        let kept = if want.state == State::Block { data.take() } else { None };
        peer.queues.put(want, row, kept);
        self.unconfirmed += u32::from(matches!(want.state, State::Sent(_)));
        data
    }

    /// Adds a want. The caller has seen to it that there is room.
    pub(super) fn insert(&mut self, want: Want) -> Option<u32> {
        let peer = self.peers.get_mut(want.peer)?;
        let row = self.ledger.insert(want, &mut peer.first);
        peer.len += 1;
        peer.queues.put(self.ledger.at(row)?, row, None);
        Some(row)
    }

    /// Ends a want.
    pub(super) fn remove(&mut self, row: u32) {
        let Some(want) = self.ledger.at(row) else { return };
        let Some(peer) = self.peers.get_mut(want.peer) else { return };
        self.unconfirmed -= u32::from(matches!(want.state, State::Sent(_)));
        peer.queues.take(want, row);
        peer.len -= 1;
        self.ledger.remove(row, &mut peer.first);
    }

    /// Ends all wants of a peer.
    pub(super) fn forget_wants(&mut self, peer: u32) {
        while let Some(state) = self.peers.get(peer) {
            let first = state.first;
            if self.ledger.at(first).is_none() {
                break;
            }
            self.remove(first);
        }
    }

    /// Brings the sums and orders up to date after a peer's wants or bytes changed, and has it
    /// looked at by the next poll. Every input about a peer ends here.
    pub(super) fn settle(&mut self, number: u32) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        let used = peer.used();
        self.shortage.settle(number, peer);
        self.answer_bytes = self.answer_bytes - peer.counted + used;
        peer.counted = used;
        if peer.ranked != peer.len {
            self.by_wants.remove(&(peer.ranked, number));
            if peer.len > 0 {
                self.by_wants.insert((peer.len, number));
            }
            peer.ranked = peer.len;
        }
        self.ready.push(number, &mut peer.ready);
    }

    /// Has a peer looked at by the next poll.
    pub(super) fn touch(&mut self, number: u32) {
        if let Some(peer) = self.peers.get_mut(number) {
            self.ready.push(number, &mut peer.ready);
        }
    }

    /// Counts something for a peer and in all.
    pub(super) fn count(&mut self, peer: u32, how: impl Fn(&mut Served)) {
        how(&mut self.served);
        if let Some(peer) = self.peers.get_mut(peer) {
            how(&mut peer.served);
        }
    }
}
