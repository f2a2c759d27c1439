//! Sessions with wants that no peer can be asked for.
//!
//! A peer that comes, or comes back, may be the one that they wait for. What a peer can bring about by
//! that is bounded: sessions, and wants in vain, are looked at a few at a time.

use core::time::Duration;

use super::session::Session;
use crate::time::Timestamp;
use crate::util::rows::Ref;
use crate::util::ticket_queue::{Ticket, TicketQueue};

/// Sessions, and wants in vain, that are looked at within one [`PERIOD`]: a millisecond's work or less.
const ATTEMPTS: u32 = 1024;
/// So that what a peer can bring about takes a twentieth of one core's time at most.
const PERIOD: Duration = Duration::from_millis(20);

/// Sessions that nobody can serve, and how far they have been looked at since a peer came.
#[derive(Debug)]
pub(super) struct Unserved {
    sessions: TicketQueue<Session>,
    /// How often a peer came that can be asked.
    arrivals: u64,
    /// How many sessions have not been looked at since.
    left: usize,
    /// Attempts that are left of this period, and when the next one begins.
    attempts: u32,
    next_period: Timestamp,
}

impl Default for Unserved {
    fn default() -> Self {
        Self {
            sessions: TicketQueue::default(),
            arrivals: 0,
            left: 0,
            attempts: ATTEMPTS,
            next_period: Timestamp::ZERO,
        }
    }
}

/// A session's place here, and the last arrival that it knows of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    ticket: Ticket,
    seen: u64,
}

impl Place {
    /// The session was last looked at before a peer came. It knows of it now.
    pub(super) fn has_news(&mut self, unserved: &Unserved) -> bool {
        core::mem::replace(&mut self.seen, unserved.arrivals) != unserved.arrivals
    }

    /// The session was taken out.
    pub(super) const fn leave(&mut self) {
        self.ticket = Ticket::new();
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) const fn is_queued(&self) -> bool {
        self.ticket.is_queued()
    }
}

impl Unserved {
    /// A peer came that can be asked: all sessions are to be looked at.
    pub(super) fn peer_can_be_asked(&mut self) {
        self.arrivals += 1;
        self.left = self.sessions.len();
    }

    /// Adds a session, unless it is here.
    pub(super) fn push(&mut self, session: Ref<Session>, place: &mut Place) {
        self.sessions.push(session, &mut place.ticket);
    }

    /// It was time for a pause before all wants of the last session were looked at. It is behind those
    /// that were looked at, so they have another turn first.
    pub(super) fn go_round_again(&mut self) {
        self.left = self.sessions.len();
    }

    pub(super) fn remove(&mut self, place: &mut Place) {
        if place.ticket.is_queued() {
            self.sessions.remove(&mut place.ticket);
            // Those that are left are in front, so one that was looked at may be looked at again.
            self.left = self.left.min(self.sessions.len());
        }
    }

    /// The next session to be looked at, which counts as so many attempts, unless it is time for a pause.
    pub(super) fn pop(&mut self, cost: u32, now: Timestamp) -> Option<Ref<Session>> {
        if !self.is_due(now) {
            return None;
        }
        self.left -= 1;
        self.attempt(cost, now);
        self.sessions.pop()
    }

    /// A session is to be looked at, and may be now.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        self.left > 0 && self.may_attempt(now)
    }

    /// When the next session may be looked at, if some are left.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        (self.left > 0).then_some(self.next_period)
    }

    /// An attempt was made that cost as much as so many.
    pub(super) fn attempt(&mut self, cost: u32, now: Timestamp) {
        if self.may_attempt(now) {
            self.attempts = self.attempts.saturating_sub(cost);
        }
    }

    /// It is not time for a pause.
    pub(super) fn may_attempt(&mut self, now: Timestamp) -> bool {
        if self.next_period <= now {
            self.next_period = now + PERIOD;
            self.attempts = ATTEMPTS;
        }
        self.attempts > 0
    }

    /// Gives up what an empty queue keeps for the next time.
    pub(super) fn release(&mut self) {
        self.sessions.release();
    }

    pub(super) fn bytes(&self) -> usize {
        self.sessions.bytes()
    }

    /// A session's place is right.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_right(&self, session: Ref<Session>, place: &Place) -> bool {
        !place.ticket.is_queued() || self.sessions.holds(session, place.ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    /// So many sessions that nobody can serve.
    fn unserved(sessions: u32) -> (Unserved, alloc::vec::Vec<Place>) {
        let mut unserved = Unserved::default();
        let places = (0..sessions).map(|session| {
            let mut place = Place::default();
            unserved.push(Ref::from_place(session), &mut place);
            unserved.push(Ref::from_place(session), &mut place);
            place
        });
        let places = places.collect();
        (unserved, places)
    }

    #[test]
    fn sessions_are_looked_at_once_for_each_peer_that_comes() {
        let (mut unserved, mut places) = unserved(3);
        assert_eq!((unserved.due_at(), unserved.pop(1, at(0))), (None, None));
        assert!(!places[0].has_news(&unserved));
        unserved.peer_can_be_asked();
        assert!(places[0].has_news(&unserved) && !places[0].has_news(&unserved));
        let popped = [(); 4].map(|()| unserved.pop(1, at(0)).map(Ref::place));
        assert_eq!(popped, [Some(0), Some(1), Some(2), None]);
        places.iter_mut().for_each(Place::leave);
        for (session, place) in (5..).zip(&mut places) {
            unserved.push(Ref::from_place(session), place);
        }
        assert_eq!(unserved.pop(1, at(0)), None, "nobody came");
        unserved.go_round_again();
        assert_eq!(unserved.pop(1, at(0)).map(Ref::place), Some(5));
        // One that is left leaves, and none is looked at in its stead.
        places[0].leave();
        unserved.remove(&mut places[0]);
        unserved.remove(&mut places[1]);
        assert!(unserved.is_right(Ref::from_place(7), &places[2]));
        assert_eq!(unserved.pop(1, at(0)).map(Ref::place), Some(7));
        assert_eq!((unserved.due_at(), unserved.bytes()), (None, 0));
    }

    #[test]
    fn a_period_has_so_many_attempts_and_the_next_one_as_many() {
        let (mut unserved, _) = unserved(9);
        unserved.peer_can_be_asked();
        assert!(unserved.pop(ATTEMPTS - 1, at(5)).is_some());
        assert_eq!(unserved.due_at(), Some(at(25)));
        assert!(unserved.is_due(at(24)) && unserved.pop(1, at(24)).is_some());
        assert!(!unserved.is_due(at(24)) && !unserved.may_attempt(at(24)));
        assert_eq!((unserved.pop(1, at(24)), unserved.due_at()), (None, Some(at(25))));
        // One attempt costs a whole period, and not more.
        assert!(unserved.pop(ATTEMPTS * 2, at(25)).is_some());
        assert_eq!((unserved.pop(1, at(44)), unserved.due_at()), (None, Some(at(45))));
        unserved.attempt(9, at(44));
        assert!(unserved.is_due(at(45)));
        unserved.attempt(ATTEMPTS, at(45));
        assert!(!unserved.is_due(at(46)));
    }
}
