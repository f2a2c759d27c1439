//! Which peers are to be looked at, and when the others are.
//!
//! Nothing scans peers: an event about a peer puts it among the ready ones, and each of those is looked at once.
//!
//! Invariant: a peer is among the ready ones once, or not at all, and has one timer at most, as its entry says.

use alloc::collections::BTreeSet;

use crate::memory::tree;
use crate::per_peer::PerPeer;
use crate::ring::Ring;
use crate::stats::TimerReason;
use crate::time::Timestamp;

use super::bound::peer_slot_bytes;
use super::consistent;

/// One peer.
#[derive(Debug, Default)]
struct Entry {
    ticket: Option<u64>,
    timer: Option<(Timestamp, TimerReason)>,
}

/// The ready peers and the timers of all.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    peers: PerPeer<Entry>,
    ready: Ring,
    timers: BTreeSet<(Timestamp, TimerReason, u32)>,
}

impl Agenda {
    pub(super) fn connected(&mut self, peer: u32) {
        self.peers.insert(peer, Entry::default());
    }

    pub(super) fn disconnected(&mut self, peer: u32) {
        let Some(gone) = consistent(self.peers.remove(peer), "a peer leaves twice") else { return };
        self.ready.remove(gone.ticket);
        if let Some((at, reason)) = gone.timer {
            self.timers.remove(&(at, reason, peer));
        }
        if self.peers.len() == 0 {
            self.ready.release();
            self.timers = BTreeSet::new();
        }
    }

    /// Makes a peer ready.
    pub(super) fn touch(&mut self, peer: u32) {
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
    pub(super) fn next(&mut self) -> Option<u32> {
        let peer = self.ready.pop()?;
        entry(&mut self.peers, peer)?.ticket = None;
        Some(peer)
    }

    /// Nobody is to be looked at now.
    pub(super) fn is_done(&self) -> bool {
        self.ready.is_empty()
    }

    /// Sets the peer's timer, to none or to when it is to be looked at again and why.
    pub(super) fn set_timer(&mut self, peer: u32, timer: Option<(Timestamp, TimerReason)>) {
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
            + (self.ready.len() * size_of::<(u64, u32)>()
                + self.timers.len() * size_of::<(Timestamp, TimerReason, u32)>())
                * 3
                / 2
    }

    /// The most bytes of a peer, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        peer_slot_bytes::<Entry>(peers)
    }

    /// The most bytes of the orders of so many peers.
    pub(super) const fn lists_bytes_max(peers: u64) -> u64 {
        tree::<(u64, u32)>(peers) + tree::<(Timestamp, TimerReason, u32)>(peers)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let (mut tickets, mut timers) = (0, 0);
        for (peer, entry) in self.peers.iter() {
            tickets += usize::from(entry.ticket.is_some());
            timers += usize::from(entry.timer.is_some());
            if entry.timer.is_some_and(|(at, reason)| !self.timers.contains(&(at, reason, peer))) {
                return Err("a peer's timer is not among the timers");
            }
        }
        if (tickets, timers) != (self.ready.len(), self.timers.len()) {
            return Err("a peer is ready, or has a timer, and does not know of it");
        }
        Ok(())
    }
}

fn entry(peers: &mut PerPeer<Entry>, peer: u32) -> Option<&mut Entry> {
    consistent(peers.get_mut(peer), "the agenda does not know a peer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_peer_is_ready_once_in_the_order_of_events_and_timers() {
        let mut agenda = Agenda::default();
        (0..4).for_each(|peer| agenda.connected(peer));
        for peer in [2, 0, 2] {
            agenda.touch(peer);
        }
        agenda.set_timer(1, Some((at(5), TimerReason::Rest)));
        agenda.set_timer(3, Some((at(4), TimerReason::LaneIdle)));
        agenda.set_timer(0, Some((at(9), TimerReason::LaneRetry)));
        agenda.validate().unwrap();
        assert_eq!(agenda.first_timer(), Some((at(4), TimerReason::LaneIdle)));
        agenda.run_timers(at(5));
        agenda.validate().unwrap();
        let order: [Option<u32>; 5] = core::array::from_fn(|_| agenda.next());
        assert_eq!(order, [Some(2), Some(0), Some(3), Some(1), None]);
        assert_eq!(agenda.first_timer(), Some((at(9), TimerReason::LaneRetry)));
        agenda.set_timer(0, None);
        assert_eq!(agenda.first_timer(), None);
    }

    #[test]
    fn a_peer_that_leaves_takes_its_timer_and_its_turn_along() {
        let mut agenda = Agenda::default();
        agenda.connected(0);
        agenda.connected(1);
        agenda.touch_all();
        agenda.set_timer(0, Some((at(5), TimerReason::Rest)));
        agenda.disconnected(0);
        agenda.validate().unwrap();
        assert_eq!((agenda.next(), agenda.next()), (Some(1), None));
        agenda.disconnected(1);
        assert_eq!((agenda.bytes(), agenda.first_timer()), (0, None));
    }
}
