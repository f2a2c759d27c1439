//! Which peers are to be looked at, and when the others are.
//!
//! Nothing scans peers: an event about a peer puts it among the ready ones, and each of those is looked at once.
//!
//! Invariant: a peer is among the ready ones once, or not at all, and has one timer at most, as its entry says.

use alloc::collections::BTreeSet;

use crate::memory::tree;
use crate::peer::Peer;
use crate::stats::TimerReason;
use crate::time::Timestamp;
use crate::util::rows::Ref;
use crate::util::side_table::SideTable;
use crate::util::ticket_queue::{Ticket, TicketQueue};

use super::consistent;

/// One peer.
#[derive(Debug, Default)]
struct Entry {
    ticket: Ticket,
    timer: Option<(Timestamp, TimerReason)>,
}

/// The ready peers and the timers of all.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    peers: SideTable<Entry, Peer>,
    ready: TicketQueue<Peer>,
    timers: BTreeSet<(Timestamp, TimerReason, Ref<Peer>)>,
}

impl Agenda {
    pub(super) fn connected(&mut self, peer: Ref<Peer>) {
        self.peers.insert(peer, Entry::default());
    }

    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        let Some(mut gone) = consistent(self.peers.remove(peer), "a peer leaves twice") else {
            return;
        };
        self.ready.remove(&mut gone.ticket);
        if let Some((at, reason)) = gone.timer {
            self.timers.remove(&(at, reason, peer));
        }
        if self.peers.len() == 0 {
            self.ready.release();
            self.timers = BTreeSet::new();
        }
    }

    /// Makes a peer ready.
    pub(super) fn touch(&mut self, peer: Ref<Peer>) {
        if let Some(entry) = entry(&mut self.peers, peer) {
            self.ready.push(peer, &mut entry.ticket);
        }
    }

    /// Makes all peers ready.
    pub(super) fn touch_all(&mut self) {
        for (peer, entry) in self.peers.iter_mut() {
            self.ready.push(peer, &mut entry.ticket);
        }
    }

    /// Makes ready whose timer is due.
    pub(super) fn run_timers(&mut self, now: Timestamp) {
        while let Some(&(at, reason, peer)) = self.timers.first()
            && at.is_due(now)
        {
            self.timers.remove(&(at, reason, peer));
            if let Some(entry) = entry(&mut self.peers, peer) {
                entry.timer = None;
                self.ready.push(peer, &mut entry.ticket);
            }
        }
    }

    /// The peer to be looked at next. It is not ready any more.
    pub(super) fn next(&mut self) -> Option<Ref<Peer>> {
        let peer = self.ready.pop()?;
        entry(&mut self.peers, peer)?.ticket = Ticket::new();
        Some(peer)
    }

    /// Nobody is to be looked at now.
    pub(super) fn is_done(&self) -> bool {
        self.ready.is_empty()
    }

    /// Sets the peer's timer, to none or to when it is to be looked at again and why.
    pub(super) fn set_timer(&mut self, peer: Ref<Peer>, timer: Option<(Timestamp, TimerReason)>) {
        let Some(entry) = entry(&mut self.peers, peer) else { return };
        if entry.timer == timer {
            return;
        }
        if let Some((at, reason)) = entry.timer {
            self.timers.remove(&(at, reason, peer));
        }
        if let Some((at, reason)) = timer {
            self.timers.insert((at, reason, peer));
        }
        entry.timer = timer;
    }

    /// The first of all timers.
    pub(super) fn first_timer(&self) -> Option<(Timestamp, TimerReason)> {
        self.timers.first().map(|(at, reason, _)| (*at, *reason))
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.peers.bytes()
            + self.ready.bytes()
            + self.timers.len() * size_of::<(Timestamp, TimerReason, Ref<Peer>)>() * 3 / 2
    }

    /// The most bytes of a peer, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        SideTable::<Entry, Peer>::bytes_max_each(peers)
    }

    /// The most bytes of the orders of so many peers.
    pub(super) const fn lists_bytes_max(peers: u64) -> u64 {
        TicketQueue::<Peer>::bytes_max(peers) + tree::<(Timestamp, TimerReason, Ref<Peer>)>(peers)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let (mut ready, mut timers) = (0, 0);
        for (peer, entry) in self.peers.iter() {
            ready += usize::from(entry.ticket.is_queued());
            timers += usize::from(entry.timer.is_some());
            if entry.ticket.is_queued() && !self.ready.holds(peer, entry.ticket) {
                return Err("a peer is not ready, and its entry says that it is");
            }
            if entry.timer.is_some_and(|(at, reason)| !self.timers.contains(&(at, reason, peer))) {
                return Err("a peer's timer is not among the timers");
            }
        }
        if (ready, timers) != (self.ready.len(), self.timers.len()) {
            return Err("a peer is ready, or has a timer, and its entry does not say so");
        }
        Ok(())
    }
}

fn entry(peers: &mut SideTable<Entry, Peer>, peer: Ref<Peer>) -> Option<&mut Entry> {
    consistent(peers.get_mut(peer), "the agenda does not know a peer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn peers<const N: usize>(agenda: &mut Agenda) -> [Ref<Peer>; N] {
        let peers = core::array::from_fn(|place| Ref::from_place(place as u32));
        peers.iter().for_each(|peer| agenda.connected(*peer));
        peers
    }

    #[test]
    fn a_peer_is_ready_once_in_the_order_of_events_and_timers() {
        let mut agenda = Agenda::default();
        let [a, b, c, d] = peers(&mut agenda);
        for peer in [c, a, c] {
            agenda.touch(peer);
        }
        agenda.set_timer(b, Some((at(5), TimerReason::Rest)));
        agenda.set_timer(d, Some((at(4), TimerReason::StreamIdle)));
        agenda.set_timer(a, Some((at(9), TimerReason::StreamRetry)));
        agenda.validate().unwrap();
        assert_eq!(agenda.first_timer(), Some((at(4), TimerReason::StreamIdle)));
        agenda.run_timers(at(5));
        agenda.validate().unwrap();
        let order: [_; 5] = core::array::from_fn(|_| agenda.next());
        assert_eq!(order, [Some(c), Some(a), Some(d), Some(b), None]);
        assert_eq!(agenda.first_timer(), Some((at(9), TimerReason::StreamRetry)));
        agenda.set_timer(a, None);
        assert_eq!(agenda.first_timer(), None);
    }

    #[test]
    fn a_peer_that_leaves_takes_its_timer_and_its_turn_along() {
        let mut agenda = Agenda::default();
        let [a, b] = peers(&mut agenda);
        agenda.touch_all();
        agenda.set_timer(a, Some((at(5), TimerReason::Rest)));
        agenda.disconnected(a);
        agenda.validate().unwrap();
        assert_eq!((agenda.next(), agenda.next()), (Some(b), None));
        agenda.disconnected(b);
        assert_eq!((agenda.bytes(), agenda.first_timer()), (0, None));
    }

    #[test]
    fn a_timer_that_no_entry_knows_is_noticed() {
        let mut agenda = Agenda::default();
        let [a] = peers(&mut agenda);
        agenda.set_timer(a, Some((at(5), TimerReason::Rest)));
        agenda.peers.get_mut(a).unwrap().timer = None;
        assert!(agenda.validate().is_err());
        agenda.timers.clear();
        agenda.validate().unwrap();
        agenda.touch(a);
        agenda.peers.get_mut(a).unwrap().ticket = Ticket::new();
        assert!(agenda.validate().is_err());
    }

    #[test]
    fn a_timer_and_a_turn_take_their_entries_and_half_of_that() {
        let mut agenda = Agenda::default();
        let peers: [_; 4] = peers(&mut agenda);
        let known = agenda.peers.bytes();
        assert!(known > 0);
        assert_eq!(agenda.bytes(), known);
        agenda.touch(peers[0]);
        agenda.touch(peers[1]);
        let turns = 3 * size_of::<(u64, Ref<Peer>)>();
        assert_eq!(agenda.bytes(), known + turns);
        peers.iter().for_each(|peer| agenda.set_timer(*peer, Some((at(5), TimerReason::Rest))));
        let timers = 6 * size_of::<(Timestamp, TimerReason, Ref<Peer>)>();
        assert_eq!(agenda.bytes(), known + turns + timers);
    }
}
