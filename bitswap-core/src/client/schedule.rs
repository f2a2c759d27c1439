//! Which session asks next.
//!
//! * *Ready* sessions may be able to ask, and are looked at next.
//! * *Blocked* ones could ask if their peers had room. They are looked at again, a few at a time, the one
//!   that has waited longest first, when some peer may have gained room.
//! * *Unserved* ones have wants that no peer can be asked for (see [`super::unserved`]).
//!
//! A session that becomes ready leaves the other two; one that becomes blocked is not unserved.

use core::time::Duration;

use super::session::Session;
use super::unserved::{self, Unserved};
use crate::time::Timestamp;
use crate::util::deque::Deque;
use crate::util::rows::Ref;
use crate::util::ticket_queue::{Ticket, TicketQueue};

/// Blocked sessions looked at when a peer gains room.
const WOKEN: usize = 64;
/// Pause before blocked sessions that were passed over are looked at.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// The order in which sessions ask.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    ready: Deque<Ref<Session>>,
    blocked: TicketQueue<Session>,
    unserved: Unserved,
    /// A peer may have gained room since the blocked sessions were last looked at.
    room: bool,
    /// When blocked sessions that were passed over are looked at again.
    room_at: Option<Timestamp>,
}

/// Where a session is in that order.
#[derive(Debug, Default)]
pub(super) struct Place {
    is_ready: bool,
    blocked: Ticket,
    unserved: unserved::Place,
}

impl Place {
    pub(super) const fn bytes_max() -> u64 {
        // Beside the ready, which are a list that grows by doubling.
        2 * TicketQueue::<Session>::bytes_max(1) + crate::memory::list::<Ref<Session>>(1)
    }
}

impl Schedule {
    pub(super) fn set_ready(&mut self, at: Ref<Session>, session: &mut Session) {
        let place = session.place_mut();
        self.blocked.remove(&mut place.blocked);
        self.unserved.remove(&mut place.unserved);
        if !core::mem::replace(&mut place.is_ready, true) {
            self.ready.push_back(at);
        }
    }

    /// Has a session wait until its peers have room, behind those that wait already.
    pub(super) fn set_blocked(&mut self, at: Ref<Session>, session: &mut Session) {
        let place = session.place_mut();
        self.unserved.remove(&mut place.unserved);
        self.blocked.push(at, &mut place.blocked);
    }

    /// Has a session that still has something to ask wait for a peer, unless it waits already.
    pub(super) fn set_unserved(&mut self, at: Ref<Session>, session: &mut Session) {
        let asks = session.has_something_to_ask();
        let place = session.place_mut();
        if asks && !place.is_ready && !place.blocked.is_queued() {
            self.unserved.push(at, &mut place.unserved);
        }
    }

    /// Takes a session out that is closed.
    pub(super) fn remove(&mut self, at: Ref<Session>, mut place: Place) {
        if place.is_ready {
            self.ready.retain(|other| *other != at);
        }
        self.blocked.remove(&mut place.blocked);
        self.unserved.remove(&mut place.unserved);
    }

    /// The next ready session; the caller tells it by [`Self::taken`].
    pub(super) fn pop_ready(&mut self) -> Option<Ref<Session>> {
        self.ready.pop_front()
    }

    /// A ready session was taken out to be looked at.
    pub(super) const fn taken(session: &mut Session) {
        session.place_mut().is_ready = false;
    }

    // Room at peers.

    /// Some peer may have gained room.
    pub(super) const fn peer_has_room(&mut self) {
        self.room = true;
    }

    /// A peer may have gained room since this was last asked.
    pub(super) const fn take_room(&mut self) -> bool {
        core::mem::replace(&mut self.room, false)
    }

    /// The blocked sessions that may ask now: before those that something has just happened to, because one
    /// that is served must not take every place that it frees. The caller makes each ready by
    /// [`Self::wake`], the last one first.
    pub(super) fn pop_blocked(&mut self) -> alloc::vec::Vec<Ref<Session>> {
        core::iter::from_fn(|| self.blocked.pop()).take(WOKEN).collect()
    }

    /// Makes a session ready that was blocked, before all others.
    pub(super) fn wake(&mut self, at: Ref<Session>, session: &mut Session) {
        let place = session.place_mut();
        place.blocked = Ticket::new();
        if !core::mem::replace(&mut place.is_ready, true) {
            self.ready.push_front(at);
        }
    }

    /// Those that were passed over are looked at in a while.
    pub(super) fn arm_room(&mut self, now: Timestamp) {
        self.room_at = (!self.blocked.is_empty()).then(|| now + ROOM_PAUSE);
    }

    pub(super) const fn room_at(&self) -> Option<Timestamp> {
        self.room_at
    }

    /// Whether the time to look at those passed over has come.
    pub(super) fn room_is_due(&mut self, now: Timestamp) -> bool {
        let due = self.room_at.take_if(|at| at.is_due(now)).is_some();
        self.room |= due;
        due
    }

    // Sessions that nobody can serve.

    pub(super) const fn unserved(&self) -> &Unserved {
        &self.unserved
    }

    pub(super) const fn unserved_mut(&mut self) -> &mut Unserved {
        &mut self.unserved
    }

    /// A peer is new, or can be asked again: sessions that had nobody to ask, or whose peers were busy, may
    /// ask it.
    pub(super) fn peer_can_be_asked(&mut self) {
        self.unserved.peer_can_be_asked();
        self.room = true;
    }

    /// An unserved session was taken out to be looked at.
    pub(super) const fn taken_unserved(session: &mut Session) {
        session.place_mut().unserved.leave();
    }

    /// A peer came since the session was last looked at.
    pub(super) fn has_news(&self, session: &mut Session) -> bool {
        session.place_mut().unserved.has_news(&self.unserved)
    }

    /// It was time for a pause before all waiting wants of a session were looked at: it goes on later.
    pub(super) fn pause(&mut self, at: Ref<Session>, session: &mut Session) {
        self.unserved.push(at, &mut session.place_mut().unserved);
        self.unserved.go_round_again();
    }

    /// Some session is to be looked at, and may be now.
    pub(super) fn has_work(&mut self, now: Timestamp) -> bool {
        !self.ready.is_empty() || self.room || self.unserved.is_due(now)
    }

    /// Gives up what empty queues keep for the next time.
    pub(super) fn release(&mut self) {
        self.blocked.release();
        self.unserved.release();
    }

    pub(super) fn bytes(&self) -> usize {
        self.ready.bytes() + self.blocked.bytes() + self.unserved.bytes()
    }

    /// What is wrong with a session's place, if anything.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, at: Ref<Session>, place: &Place) -> Result<(), &'static str> {
        if place.is_ready != self.ready.iter().any(|other| *other == at) {
            return Err("a session is wrong about being ready");
        }
        if place.blocked.is_queued() && !self.blocked.holds(at, place.blocked) {
            return Err("a session is wrong about being blocked");
        }
        if !self.unserved.is_right(at, &place.unserved) {
            return Err("a session is wrong about being unserved");
        }
        if place.blocked.is_queued() && place.unserved.is_queued() {
            return Err("a session is blocked and unserved");
        }
        Ok(())
    }
}
