//! The end of a batch: what slow or silent peers were asked for is asked of those that have nothing else to do.
//!
//! When a session has no more to ask, or no room in its window for more, its quick peers would stand idle until the
//! slow ones are done. A request whose cancel reaches the slow peer in time is *moved*, the last one first: that
//! costs nothing. One that is likely on its way is asked of a second peer *beside* the first, which may bring the
//! block twice: only as often as the session can bear.

use alloc::vec::Vec;
use core::time::Duration;

use super::Client;
use super::given_peers::GivenPeers;
use super::peer_state::PeerState;
use super::peer_want::{Answer, PeerWant};
use super::session::Session;
use super::session_want::Stage;
use super::want_table::Want;
use crate::peer::Peer;
use crate::time::{Timestamp, micros};
use crate::trace::log;
use crate::util::rows::{Id, Ref};

/// Requests that are moved in one go, before messages are composed.
const MOVES: u32 = 16;
/// The latest requests of a peer that are looked at.
const LATEST: usize = 64;
/// The slowest peers, of those that are looked at.
const SLOWEST: usize = 8;
/// How many times as soon, in per cent, another peer must be expected to bring a block: estimates are no better
/// than that.
const MOVE_GAIN: u64 = 150;
const HEDGE_GAIN: u64 = 400;

/// A peer that has nothing else to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Idle {
    /// Microseconds until it could bring a block.
    expected: u64,
    peer: Id<Peer>,
    /// It has never lacked a block of the session.
    is_flawless: bool,
}

/// A request that another peer is asked for as well.
#[derive(Clone, Copy, Debug)]
struct Relief {
    at: Ref<PeerWant>,
    want: Ref<Want>,
    to: Id<Peer>,
    size: u32,
    /// The slow peer is sent a cancel.
    is_move: bool,
}

impl Client {
    /// Has idle peers of a session do what others are expected to do much later. The work done, in wants.
    pub(super) fn relieve(&mut self, session: Ref<Session>, now: Timestamp) -> u32 {
        for moved in 0..MOVES {
            let Some(relief) = self.find_relief(session, now) else { return moved };
            let Relief { at, want, to, size, is_move } = relief;
            log!(
                trace,
                "a block is asked of a quicker peer",
                cid = self.wants.logged_cid(want),
                row = to.at(),
                moved = is_move,
            );
            self.open_if_preferred_failed(session, want, now);
            self.ask_peer(session, want, to, size, now);
            if let Some(at) = self.wants.peer_want_of(want, to.at())
                && let Some(row) = self.wants.peer_want_mut(at)
            {
                row.set_moved();
            }
            if is_move {
                self.cancel_peer_want(at, now);
            } else {
                self.for_sessions_of(want, |session| session.count_hedge());
            }
        }
        self.set_ready(session);
        MOVES
    }

    /// The latest request of the slowest peer that another one is expected to fulfil much sooner.
    fn find_relief(&self, session: Ref<Session>, now: Timestamp) -> Option<Relief> {
        let row = self.sessions.at(session)?;
        if row.wants().asked_len() == 0 {
            return None;
        }
        let size = row.recent_size();
        let members = row.peers().members().iter();
        let members = members.filter(|member| row.given().may_ask(member.id()));
        let (mut idle, mut owing) = (Vec::new(), Vec::new());
        for member in members {
            let Some(state) = self.peers.get_id(member.id()) else { continue };
            if member.has_served() && self.is_idle(state, size) {
                let is_flawless = !member.has_lacked();
                idle.push(Idle {
                    expected: state.expected(size, 0),
                    peer: member.id(),
                    is_flawless,
                });
            }
            if state.asked_bytes() > 0 {
                owing.push((self.remaining(state, state.owed_bytes(size), now), member.id()));
            }
        }
        let soonest = idle.iter().map(|idle| idle.expected).min()?;
        owing.retain(|(remaining, _)| self.is_gain(*remaining, soonest, MOVE_GAIN));
        if owing.is_empty() {
            return None;
        }
        idle.sort_unstable();
        owing.sort_unstable_by(|one, other| other.cmp(one));
        let mut owing = owing.into_iter().take(SLOWEST);
        owing.find_map(|(_, peer)| self.relief_of(session, peer, &idle, size, now))
    }

    /// A request of a slow peer that one of those that are idle is expected to fulfil much sooner.
    fn relief_of(
        &self,
        session: Ref<Session>,
        peer: Id<Peer>,
        idle: &[Idle],
        recent_size: u32,
        now: Timestamp,
    ) -> Option<Relief> {
        let (state, soonest) = (self.peers.get_id(peer)?, idle.first()?.expected);
        let may_hedge = self.may_hedge_at_end(self.sessions.at(session)?);
        let mut bytes = state.owed_bytes(recent_size);
        for (at, of) in state.queue().latest(self.wants.peer_wants()).take(LATEST) {
            let until = bytes;
            bytes = bytes.saturating_sub(u64::from(of.owed(recent_size)));
            if !of.is_request() {
                continue;
            }
            let want = of.want();
            let remaining = self.remaining(state, until, now);
            let may_cancel = of.sent().is_none()
                || state.punctuality().may_still_cancel(
                    bytes,
                    of.owed(recent_size),
                    self.slack(),
                    now,
                );
            let may_move = !of.was_moved() && may_cancel;
            let may_hedge = may_hedge
                && self.is_gain(remaining, soonest, HEDGE_GAIN)
                && state.punctuality().is_late(of.owed(recent_size), self.slack(), now)
                && self.wants.want(want).is_some_and(|want| !want.is_hedged());
            if !(may_move || may_hedge) || !self.is_asked_by(session, want) {
                continue;
            }
            let is_open = self.have_preferred_failed(session, want, now);
            let may_ask = |idle: &Idle| is_open || self.may_ask_for(session, want, idle.peer);
            let Some(idle) = self.find_idle(want, peer, idle, may_ask) else { continue };
            let is_move = may_move && self.is_gain(remaining, idle.expected, MOVE_GAIN);
            let is_hedge = may_hedge && self.is_gain(remaining, idle.expected, HEDGE_GAIN);
            if is_move || is_hedge && self.may_hedge(want) {
                let (to, size) = (idle.peer, self.size_of(session, want).max(recent_size));
                return Some(Relief { at, want, to, size, is_move });
            }
        }
        None
    }

    /// The session can bear one more duplicate. Where there are many peers, slow ones are part of any sample: a quarter
    /// of what it can bear is for these.
    fn may_hedge_at_end(&self, session: &Session) -> bool {
        let share = self.config.hedge_per_mille;
        session.may_hedge(share) && (!self.has_choice() || session.has_hedged_less_than(share / 4))
    }

    /// The session waits for the want, and so does no other that keeps to peers of its own.
    fn is_asked_by(&self, session: Ref<Session>, want: Ref<Want>) -> bool {
        let mut is_asked = false;
        for (_, of) in self.wants.session_wants_of(want).filter(|(_, of)| !of.has_ended()) {
            is_asked |= of.session() == session && of.stage() == Stage::Asked;
            let given = self.sessions.at(of.session()).map(Session::given);
            if of.session() != session && given.is_none_or(GivenPeers::is_limited) {
                return false;
            }
        }
        is_asked
    }

    /// Of the idle peers the first that may be asked for the want, and has it as far as is known.
    fn find_idle<'a>(
        &self,
        want: Ref<Want>,
        slow: Id<Peer>,
        idle: &'a [Idle],
        may_ask: impl Fn(&Idle) -> bool,
    ) -> Option<&'a Idle> {
        let most = u32::from(self.config.peers_per_want_max);
        let may_widen = self.wants.want(want).is_some_and(|want| want.hopeful() < most);
        idle.iter().filter(|idle| idle.peer != slow && may_ask(idle)).find(|idle| {
            let known = self.wants.peer_want_of(want, idle.peer.at());
            match known.and_then(|known| self.wants.peer_want(known)) {
                Some(of) if of.answer() == Answer::Have => of.may_request(),
                Some(of) => of.may_request() && !of.is_cancelled() && idle.is_flawless,
                None => may_widen && idle.is_flawless && !self.is_crowded(idle.peer.at()),
            }
        })
    }

    /// A peer that delivers, and can be asked for more.
    fn is_idle(&self, state: &PeerState, size: u32) -> bool {
        state.is_usable()
            && state.punctuality().is_measured()
            && !state.punctuality().is_silent()
            && state.has_room(size, u32::MAX, self.has_choice())
    }

    fn remaining(&self, state: &PeerState, bytes: u64, now: Timestamp) -> u64 {
        state.punctuality().remaining(bytes, micros(self.config.first_deadline) / 4, now)
    }

    /// `expected` is so much sooner than `remaining`, in per cent, and by more than what is not worth a message.
    fn is_gain(&self, remaining: u64, expected: u64, per_cent: u64) -> bool {
        remaining > expected.saturating_mul(per_cent) / 100 + micros(self.slack())
    }

    const fn slack(&self) -> Duration {
        self.config.deadline_min
    }
}
