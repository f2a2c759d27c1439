//! Everything that becomes due without an input, by the time at which it does.

use alloc::collections::BTreeSet;

use super::peer_want::PeerWant;
use super::session::Session;
use super::session_want::SessionWant;
use super::want_table::Want;
use crate::memory::tree;
use crate::peer::Peer;
use crate::stats::TimerReason;
use crate::time::Timestamp;
use crate::util::rows::Ref;

/// Rows by the time at which each is due. A row is due at one time at most, and knows it.
#[derive(Debug)]
pub(super) struct Due<K>(BTreeSet<(Timestamp, Ref<K>)>);

impl<K> Default for Due<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K> Due<K> {
    /// Changes when a row is due, from `before`.
    pub(super) fn set(&mut self, row: Ref<K>, before: Option<Timestamp>, at: Option<Timestamp>) {
        if before != at {
            let known = before.is_none_or(|before| self.0.remove(&(before, row)));
            debug_assert!(known, "a timer is not where its row says");
            at.map(|at| self.0.insert((at, row)));
        }
    }

    /// Takes out the first row that is due. It is not due any more.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Ref<K>> {
        let (_, row) = self.0.first().copied().filter(|(at, _)| at.is_due(now))?;
        self.0.pop_first();
        Some(row)
    }

    fn first(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Gives up what an empty set keeps for the next time.
    fn release(&mut self) {
        if self.0.is_empty() {
            self.0 = BTreeSet::new();
        }
    }

    fn bytes(&self) -> usize {
        self.0.len() * size_of::<(Timestamp, Ref<K>)>() * 3 / 2
    }

    pub(super) const fn bytes_max(rows: u64) -> u64 {
        tree::<(Timestamp, Ref<K>)>(rows)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_set(&self, row: Ref<K>, at: Timestamp) -> bool {
        self.0.contains(&(at, row))
    }
}

/// All timers of the client but those of the schedule and of the download limit of all peers together.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Deadlines of requests.
    pub(super) requests: Due<PeerWant>,
    /// Wants whose next request waits for want-haves already sent.
    pub(super) presence_waits: Due<Want>,
    /// Sessions that search.
    pub(super) searches: Due<Session>,
    /// Session wants whose time is up.
    pub(super) expiries: Due<SessionWant>,
    /// Peers whose download limit lets nothing through yet.
    pub(super) peer_throttles: Due<Peer>,
    /// Sessions whose download limit lets nothing through yet.
    pub(super) session_throttles: Due<Session>,
    /// Peers whose streams or cancels are due.
    peers: BTreeSet<(Timestamp, Ref<Peer>, TimerReason)>,
}

impl Timers {
    /// Changes when a peer is due and why, from `before`.
    pub(super) fn set_peer(
        &mut self,
        peer: Ref<Peer>,
        before: Option<(Timestamp, TimerReason)>,
        due: Option<(Timestamp, TimerReason)>,
    ) {
        if before != due {
            let known = before.is_none_or(|(at, reason)| self.peers.remove(&(at, peer, reason)));
            debug_assert!(known, "a timer is not where its peer says");
            due.map(|(at, reason)| self.peers.insert((at, peer, reason)));
        }
    }

    pub(super) fn pop_peer(&mut self, now: Timestamp) -> Option<Ref<Peer>> {
        let (_, peer, _) = self.peers.first().copied().filter(|(at, ..)| at.is_due(now))?;
        self.peers.pop_first();
        Some(peer)
    }

    /// The next moment at which something is due, and why.
    pub(super) fn first(&self) -> Option<(Timestamp, TimerReason)> {
        [
            self.requests.first().map(|at| (at, TimerReason::Request)),
            self.presence_waits.first().map(|at| (at, TimerReason::Request)),
            self.searches.first().map(|at| (at, TimerReason::Search)),
            self.expiries.first().map(|at| (at, TimerReason::WantTimeout)),
            self.peer_throttles.first().map(|at| (at, TimerReason::Throttle)),
            self.session_throttles.first().map(|at| (at, TimerReason::Throttle)),
            self.peers.first().map(|(at, _, reason)| (*at, *reason)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Gives up what empty sets keep for the next time.
    pub(super) fn release(&mut self) {
        self.requests.release();
        self.presence_waits.release();
        self.searches.release();
        self.expiries.release();
        self.peer_throttles.release();
        self.session_throttles.release();
        if self.peers.is_empty() {
            self.peers = BTreeSet::new();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.requests.bytes()
            + self.presence_waits.bytes()
            + self.searches.bytes()
            + self.expiries.bytes()
            + self.peer_throttles.bytes()
            + self.session_throttles.bytes()
            + self.peers.len() * size_of::<(Timestamp, Ref<Peer>, TimerReason)>() * 3 / 2
    }

    /// What so many peers take at most.
    pub(super) const fn peers_bytes_max(peers: u64) -> u64 {
        tree::<(Timestamp, Ref<Peer>, TimerReason)>(peers)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn peers_len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    #[test]
    fn rows_become_due_in_the_order_of_their_times() {
        let mut due: Due<Want> = Due::default();
        let row = Ref::from_place;
        due.set(row(1), None, Some(at(5)));
        due.set(row(2), None, Some(at(3)));
        due.set(row(3), None, Some(at(4)));
        due.set(row(3), Some(at(4)), None);
        due.set(row(1), Some(at(5)), Some(at(2)));
        assert_eq!((due.pop(at(1)), due.len()), (None, 2));
        assert_eq!(
            [due.pop(at(9)), due.pop(at(9)), due.pop(at(9))],
            [Some(row(1)), Some(row(2)), None]
        );
        due.release();
        assert_eq!(due.bytes(), 0);
    }

    #[test]
    fn the_first_timer_says_why() {
        let mut timers = Timers::default();
        assert_eq!(timers.first(), None);
        timers.searches.set(Ref::from_place(1), None, Some(at(9)));
        assert_eq!(timers.first(), Some((at(9), TimerReason::Search)));
        let retry = Some((at(7), TimerReason::StreamRetry));
        timers.set_peer(Ref::from_place(4), None, retry);
        assert_eq!(timers.first(), retry);
        let cancel = Some((at(6), TimerReason::Cancel));
        timers.set_peer(Ref::from_place(4), retry, cancel);
        assert_eq!((timers.first(), timers.pop_peer(at(5))), (cancel, None));
        assert_eq!(timers.pop_peer(at(6)), Some(Ref::from_place(4)));
        assert_eq!(timers.first(), Some((at(9), TimerReason::Search)));
    }

    #[test]
    fn each_timer_takes_its_entry_and_half_of_that() {
        let entry = size_of::<(Timestamp, Ref<Want>)>() * 3 / 2;
        let mut timers = Timers::default();
        assert_eq!(timers.bytes(), 0);
        // So many that the sum names each kind.
        fn fill<K>(due: &mut Due<K>, count: u32) {
            (0..count).for_each(|row| due.set(Ref::from_place(row), None, Some(at(5))));
        }
        fill(&mut timers.requests, 2);
        assert_eq!(timers.bytes(), 2 * entry);
        fill(&mut timers.presence_waits, 4);
        fill(&mut timers.searches, 8);
        fill(&mut timers.expiries, 16);
        fill(&mut timers.peer_throttles, 32);
        fill(&mut timers.session_throttles, 64);
        assert_eq!(timers.bytes(), 126 * entry);
        for place in 0..6 {
            timers.set_peer(Ref::from_place(place), None, Some((at(1), TimerReason::Cancel)));
        }
        let peers = 6 * size_of::<(Timestamp, Ref<Peer>, TimerReason)>() * 3 / 2;
        assert_eq!(timers.bytes(), 126 * entry + peers);
    }
}
