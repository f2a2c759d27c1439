//! All connected peers as the client sees them.
//!
//! The table keeps count of how many can be asked, and lists those that may have something to be sent.

use super::message_queue::MessageQueue;
use super::peer_state::PeerState;
use super::reachability::{Reachability, ReachabilityCounts};
use crate::peer::Peer;
use crate::util::deque::Deque;
use crate::util::rows::{Id, Ref};
use crate::util::side_table::SideTable;

#[derive(Debug, Default)]
pub(super) struct Peers {
    states: SideTable<PeerState, Peer>,
    counts: ReachabilityCounts,
    /// Peers that may have something to be sent, each once.
    sending: Deque<Ref<Peer>>,
}

impl Peers {
    pub(super) fn insert(&mut self, state: PeerState) {
        self.counts.add(state.reachability());
        self.states.insert(state.id().at(), state);
    }

    pub(super) fn remove(&mut self, peer: Ref<Peer>) -> Option<PeerState> {
        let mut state = self.states.remove(peer)?;
        self.counts.remove(state.reachability());
        if state.set_sending(false) {
            // The next peer in this place is another one.
            self.sending.retain(|other| *other != peer);
        }
        Some(state)
    }

    pub(super) fn get(&self, peer: Ref<Peer>) -> Option<&PeerState> {
        self.states.get(peer)
    }

    pub(super) fn get_mut(&mut self, peer: Ref<Peer>) -> Option<&mut PeerState> {
        self.states.get_mut(peer)
    }

    /// The peer, unless it has left and another is in its place.
    pub(super) fn get_id(&self, peer: Id<Peer>) -> Option<&PeerState> {
        self.states.get(peer.at()).filter(|state| state.id() == peer)
    }

    /// The full name of a connected peer.
    pub(super) fn id(&self, peer: Ref<Peer>) -> Option<Id<Peer>> {
        self.states.get(peer).map(PeerState::id)
    }

    pub(super) fn is_here(&self, peer: Id<Peer>) -> bool {
        self.get_id(peer).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Ref<Peer>, &PeerState)> {
        self.states.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Ref<Peer>, &mut PeerState)> {
        self.states.iter_mut()
    }

    // Whether they can be asked.

    /// Something about a peer has changed that may decide whether it can be asked: whether it can now, and
    /// could not before.
    pub(super) fn refresh(&mut self, peer: Ref<Peer>) -> bool {
        let Some(state) = self.states.get_mut(peer) else { return false };
        let now = Reachability::of(state);
        let before = state.set_reachability(now);
        if before == now {
            return false;
        }
        self.counts.remove(before);
        self.counts.add(now);
        now == Reachability::Askable
    }

    pub(super) const fn counts(&self) -> ReachabilityCounts {
        self.counts
    }

    /// The same of those among `allowed` that are here.
    pub(super) fn counts_of(&self, allowed: &[Id<Peer>]) -> ReachabilityCounts {
        let mut counts = ReachabilityCounts::default();
        for state in allowed.iter().filter_map(|id| self.get_id(*id)) {
            debug_assert_eq!(state.reachability(), Reachability::of(state), "{:?}", state.id());
            counts.add(state.reachability());
        }
        counts
    }

    // Who may have something to be sent.

    pub(super) fn set_sending(&mut self, peer: Ref<Peer>) {
        if let Some(state) = self.states.get_mut(peer)
            && !state.set_sending(true)
        {
            self.sending.push_back(peer);
        }
    }

    pub(super) fn next_sending(&mut self) -> Option<Ref<Peer>> {
        let peer = self.sending.pop_front()?;
        if let Some(state) = self.states.get_mut(peer) {
            state.set_sending(false);
        }
        Some(peer)
    }

    pub(super) fn held_bytes(&self) -> usize {
        let heaps: usize = self.states.iter().map(|(_, state)| state.heap_bytes()).sum();
        self.states.bytes() + heaps + self.sending.bytes()
    }

    /// The most bytes of one of so many peers, with so many messages on their way.
    pub(super) const fn bytes_max_each(peers: u64, messages: u64) -> u64 {
        SideTable::<PeerState, Peer>::bytes_max_each(peers)
            + MessageQueue::heap_bytes_max()
            + crate::memory::list::<[u32; 2]>(messages)
            + crate::memory::list::<Ref<Peer>>(1)
    }

    /// What is wrong with the table, if anything.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let mut counts = ReachabilityCounts::default();
        for (at, state) in self.states.iter() {
            counts.add(Reachability::of(state));
            if state.is_sending() != self.sending.iter().any(|other| *other == at) {
                return Err("a peer is wrong about being listed as sending");
            }
        }
        if counts != self.counts {
            return Err("another number of peers can be asked than is counted");
        }
        Ok(())
    }
}
