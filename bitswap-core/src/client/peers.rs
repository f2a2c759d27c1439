//! All connected peers as the client sees them.
//!
//! The table keeps count of how many can be asked, and lists those that may have something to be sent, and those
//! whose connection is needed now and was not before, or the reverse.

use super::message_queue::MessageQueue;
use super::peer_state::PeerState;
use super::reachability::{Reachability, ReachabilityCounts};
use crate::need::Needs;
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
    needs: Needs,
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
        self.needs.remove(peer, state.need());
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

    // Whose connection is needed.

    /// The number of wants that a peer is to be sent or was sent has changed.
    pub(super) fn update_need(&mut self, peer: Ref<Peer>) {
        if let Some(state) = self.states.get_mut(peer) {
            let is_needed = state.queue().len() > 0;
            self.needs.set(peer, state.need_mut(), is_needed);
        }
    }

    /// The next peer whose connection is needed now and was not before, or the reverse.
    pub(super) fn next_changed_need(&mut self) -> Option<Ref<Peer>> {
        let peer = self.needs.next()?;
        if let Some(state) = self.states.get_mut(peer) {
            Needs::looked_at(state.need_mut());
        }
        Some(peer)
    }

    pub(super) fn is_needed(&self, peer: Ref<Peer>) -> bool {
        self.states.get(peer).is_some_and(|state| state.need().is_needed())
    }

    pub(super) fn held_bytes(&self) -> usize {
        let heaps: usize = self.states.iter().map(|(_, state)| state.heap_bytes()).sum();
        self.states.bytes() + heaps + self.sending.bytes() + self.needs.bytes()
    }

    /// The most bytes of one of so many peers, with so many messages on their way.
    pub(super) const fn bytes_max_each(peers: u64, messages: u64) -> u64 {
        SideTable::<PeerState, Peer>::bytes_max_each(peers)
            + MessageQueue::heap_bytes_max()
            + crate::memory::list::<[u32; 2]>(messages)
            + crate::memory::list::<Ref<Peer>>(1)
            + Needs::bytes_max_each()
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
            self.needs.validate(at, state.need())?;
            if state.need().is_needed() != (state.queue().len() > 0) {
                return Err("the connection to a peer is needed for no want, or not for one");
            }
        }
        if counts != self.counts {
            return Err("another number of peers can be asked than is counted");
        }
        Ok(())
    }
}
