//! When peers are asked, and how many.
//!
//! A want goes as want-block to the peer expected to deliver it soonest, and in the same step as want-have
//! to a few others, fewer the better the session's first choices are. DONT_HAVE, a missed deadline or a lost
//! peer moves it to the next ones.

use core::time::Duration;

use super::Client;
use super::peer_selection::{Purpose, Request, Selected, Selector, TRIAL_WANTS, has_choice};
use super::peer_state::PeerState;
use super::peer_want::{Answer, Pending};
use super::reachability::Reachability;
use super::schedule::Schedule;
use super::session::Session;
use super::session_peers::SessionPeer;
use super::session_want::{SessionWant, Stage};
use super::want_table::Want;
use crate::message::WantKind;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::{Id, Ref};

/// Wants of a batch for which one more peer is worth a message.
const WANTS_PER_PEER: u32 = 5;
/// Wants asked in one go, before messages are composed.
pub(super) const BATCH: u32 = 128;
/// Where peers of a session fetch themselves, the next want is one of so many. The more, the less often two of them ask for
/// the same at the same time; finding one takes as many steps.
const FIRST_ANY: u32 = 64;
/// Bounds of the wait for want-haves that were sent together with a first choice that failed.
const PRESENCE_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What came of asking for a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Some peer is asked for the block.
    Yes,
    /// There are peers to ask, but they are busy.
    Busy,
    /// There is nobody left to ask.
    Nobody,
}

impl Client {
    // Wants about which a decision is due.

    /// Decides about the next undecided want; false when there is none.
    pub(super) fn decide_next(&mut self, now: Timestamp) -> bool {
        let Some(want) = self.wants.next_undecided() else { return false };
        let Some(row) = self.wants.want(want) else { return true };
        if row.is_over() {
            self.wants.free_if_unused(want);
        } else if !row.has_request() && !self.waits_for_presence(want, now) {
            self.ask_again(want, now);
        }
        true
    }

    /// Want-haves are about to be answered, and may name the peer to ask. Nothing is waited for once a peer
    /// has said HAVE.
    fn waits_for_presence(&self, want: Ref<Want>, now: Timestamp) -> bool {
        let until = self.wants.want(want).and_then(Want::presence_wait);
        until.is_some_and(|until| until > now)
            && self.is_presence_open(want)
            && !self.wants.peer_wants_of(want).any(|(_, of)| of.answer() == Answer::Have)
    }

    /// The first choice has failed: if others were asked at the same time, their answers are due.
    pub(super) fn wait_for_presence(&mut self, want: Ref<Want>, asked: Timestamp, now: Timestamp) {
        if !self.is_presence_open(want) {
            return;
        }
        let Some(row) = self.wants.want_mut(want) else { return };
        if row.presence_wait().is_none() {
            let (least, most) = PRESENCE_WAIT;
            let until = Some(now + (now.since(asked) / 2).clamp(least, most));
            let before = row.set_presence_wait(until);
            self.timers.presence_waits.set(want, before, until);
        }
    }

    /// Some peer was asked whether it has the block and has not answered.
    fn is_presence_open(&self, want: Ref<Want>) -> bool {
        self.wants.peer_wants_of(want).any(|(_, of)| of.awaits_presence())
    }

    /// Asks further peers for a want of which no request is open.
    fn ask_again(&mut self, want: Ref<Want>, now: Timestamp) {
        let mut is_busy = false;
        let mut next = self.wants.first_session_want(want);
        while let Some(at) = next {
            next = self.wants.next_session_want(at);
            let Some(session) = self.asked_or_waiting(at) else { continue };
            match self.ask(session, want, now) {
                Asked::Yes => return self.move_session_wants(want, Stage::Asked, now),
                Asked::Busy => is_busy = true,
                Asked::Nobody => {}
            }
        }
        if is_busy {
            self.move_session_wants(want, Stage::Queued, now);
        } else {
            self.move_session_wants(want, Stage::Waiting, now);
            self.nobody_to_ask(want, now);
        }
    }

    /// The session of a want that peers were asked for, or would be if there were any.
    pub(super) fn asked_or_waiting(&self, at: Ref<SessionWant>) -> Option<Ref<Session>> {
        let row = self.wants.session_want(at)?;
        row.is_asked_or_waiting().then(|| row.session())
    }

    /// Moves the session wants that were asked, or waiting, to another stage.
    fn move_session_wants(&mut self, want: Ref<Want>, to: Stage, now: Timestamp) {
        let mut next = self.wants.first_session_want(want);
        while let Some(at) = next {
            next = self.wants.next_session_want(at);
            let Some(index) = self.asked_or_waiting(at) else { continue };
            if self.wants.session_want(at).is_none_or(|row| row.stage() == to) {
                continue;
            }
            if to != Stage::Asked {
                self.refund_want(at, now);
            }
            let Some(session) = self.sessions.at_mut(index) else { continue };
            session.wants_mut().move_to(self.wants.session_wants_mut(), at, to);
            match to {
                Stage::Queued => self.schedule.set_blocked(index, session),
                Stage::Waiting => self.schedule.set_unserved(index, session),
                Stage::Asked | Stage::Ended(_) => {}
            }
        }
    }

    // Sessions that may ask.

    /// Lets the next session that may be able to ask do so. The work done, in wants: 0 when there is no such
    /// session.
    pub(super) fn dispatch_next(&mut self, now: Timestamp) -> u32 {
        if self.schedule.take_room() {
            self.wake_blocked();
            self.schedule.arm_room(now);
        }
        let Some(session) = self.schedule.pop_ready() else {
            return self.dispatch_unserved(now);
        };
        let Some(row) = self.sessions.at_mut(session) else { return 1 };
        Schedule::taken(row);
        1 + self.dispatch(session, now)
    }

    /// Lets the next session ask that had nobody to ask before a peer came. The work done, in wants.
    fn dispatch_unserved(&mut self, now: Timestamp) -> u32 {
        // Finding out whom to ask takes longer the more peers there are.
        let cost = 1 + self.peers.len() as u32 / 32;
        let Some(session) = self.schedule.unserved_mut().pop(cost, now) else { return 0 };
        let Some(row) = self.sessions.at_mut(session) else { return 1 };
        Schedule::taken_unserved(row);
        if self.reachable_by(session).count(Reachability::Askable) > 0 {
            return 1 + self.dispatch(session, now);
        }
        if let Some(row) = self.sessions.at_mut(session) {
            self.schedule.set_unserved(session, row);
        }
        1
    }

    /// Lets the sessions ask that have waited longest for room at their peers.
    pub(super) fn wake_blocked(&mut self) {
        for session in self.schedule.pop_blocked().into_iter().rev() {
            if let Some(row) = self.sessions.at_mut(session) {
                self.schedule.wake(session, row);
            }
        }
    }

    fn dispatch(&mut self, session: Ref<Session>, now: Timestamp) -> u32 {
        let done = self.dispatch_batch(session, now);
        if let Some(row) = self.sessions.at_mut(session) {
            self.schedule.set_unserved(session, row);
        }
        done
    }

    fn dispatch_batch(&mut self, session: Ref<Session>, now: Timestamp) -> u32 {
        let Some(row) = self.sessions.at_mut(session) else { return 0 };
        if self.schedule.has_news(row) {
            row.wants_mut().recheck_all();
        }
        let (queued, size) = (row.wants().queued_len(), row.expected_size());
        if queued + row.wants().recheck_len() == 0 {
            return self.relieve(session, now);
        }
        let peers = queued.div_ceil(WANTS_PER_PEER).clamp(1, u32::from(self.config.fan_out));
        self.gather(session, peers as usize, size);
        let in_any_order = self.peers_fetch_too(session, now);
        for done in 0..BATCH {
            let Some(row) = self.sessions.at_mut(session) else { return done };
            if !row.has_room() {
                return done + self.relieve(session, now);
            }
            let recheck =
                row.wants().recheck_len() > 0 && self.schedule.unserved_mut().may_attempt(now);
            let next = match recheck {
                true => row.wants_mut().next_recheck(),
                false if in_any_order => {
                    row.wants().any_queued(self.wants.session_wants(), FIRST_ANY, &mut self.rng)
                }
                false => row.wants().first_queued(),
            };
            let Some(at) = next else {
                if row.wants().recheck_len() > 0 {
                    self.schedule.pause(session, row);
                }
                return done;
            };
            if !self.download_is_open(session) || !self.dispatch_one(session, at, now) {
                return done;
            }
        }
        self.set_ready(session);
        BATCH
    }

    /// Of several peers of the session some fetch themselves, most likely the same. If all asked for it in the same order, who
    /// has it would send everything to each of them; this way it sends them parts that they can give each other.
    fn peers_fetch_too(&self, session: Ref<Session>, now: Timestamp) -> bool {
        let fetches = |member: &SessionPeer| {
            self.peers.get_id(member.id()).is_some_and(|state| state.queue().peer_fetches(now))
        };
        let members = self.sessions.at(session).map_or(&[][..], |row| row.peers().members());
        members.len() > 1 && members.iter().any(fetches)
    }

    /// Asks for one queued or waiting want; false when the session can do no more now.
    fn dispatch_one(
        &mut self,
        session: Ref<Session>,
        at: Ref<SessionWant>,
        now: Timestamp,
    ) -> bool {
        let Some(row) = self.wants.session_want(at) else { return false };
        let (want, stage) = (row.want(), row.stage());
        let is_shared = self.wants.want(want).is_some_and(Want::has_request);
        let asked = if is_shared { Asked::Yes } else { self.ask(session, want, now) };
        match asked {
            Asked::Yes => {
                self.charge_want(session, at, now);
                self.move_session_want(session, at, Stage::Asked);
                true
            }
            Asked::Busy => {
                if stage == Stage::Waiting {
                    self.move_session_want(session, at, Stage::Queued);
                }
                self.set_blocked(session);
                false
            }
            Asked::Nobody => {
                if stage == Stage::Waiting {
                    self.schedule.unserved_mut().attempt(1, now);
                }
                // Without anybody to ask, the rest of the queue need not be looked at.
                let nobody = self.peers.counts().count(Reachability::Askable) == 0;
                if stage == Stage::Queued && nobody && !self.fails_when_missing(session) {
                    return false;
                }
                self.move_session_want(session, at, Stage::Waiting);
                self.nobody_to_ask(want, now);
                true
            }
        }
    }

    fn move_session_want(&mut self, session: Ref<Session>, at: Ref<SessionWant>, to: Stage) {
        if let Some(row) = self.sessions.at_mut(session) {
            row.wants_mut().move_to(self.wants.session_wants_mut(), at, to);
        }
    }

    // Asking.

    /// Selects peers for a session.
    fn select(&mut self, session: Ref<Session>, request: Request) -> Selected {
        let preferred_alone = request.want.is_some_and(|want| self.is_kept(session, want));
        let Some(session) = self.sessions.at(session) else { return Selected::default() };
        let (config, wants, peers) = (&self.config, &self.wants, &self.peers);
        Selector { config, wants, peers, session, preferred_alone }.select(request, &mut self.rng)
    }

    /// Asks the best peers of a session for a want.
    fn ask(&mut self, session: Ref<Session>, want: Ref<Want>, now: Timestamp) -> Asked {
        self.open_if_preferred_failed(session, want, now);
        let Some(row) = self.sessions.at(session) else { return Asked::Nobody };
        let Some(want_row) = self.wants.want(want) else { return Asked::Nobody };
        let size = self.size_of(session, want);
        let fan_out = u32::from(self.config.fan_out);
        let (is_first, rounds) = (want_row.is_unasked(), want_row.rounds());
        // What none of those asked before has is rarer than thought: twice as many are asked.
        let widened = want_row.peers().saturating_mul(2);
        let (hopeful, most) = (want_row.hopeful(), u32::from(self.config.peers_per_want_max));
        // As long as all lack it, they go on doubling to as many as may be asked at once.
        let step = if hopeful == 0 { most.max(fan_out) } else { fan_out };
        let few = row.wants().live_len() <= TRIAL_WANTS;
        let probes = is_first && few && row.peers().is_probe_due();
        let extras = row.peers().extras(fan_out).max(widened).min(step.saturating_sub(1));
        // One peer, one more when it is late, then twice as many each time.
        let doublings = u32::from(rounds.saturating_sub(1));
        let count = 1u32.checked_shl(doublings).unwrap_or(fan_out).min(fan_out) as usize;
        let request = Request { want: Some(want), size, purpose: Purpose::Block, count };
        let Selected { peers, is_busy, trial, .. } = self.select(session, request);
        if peers.is_empty() {
            return if is_busy { Asked::Busy } else { Asked::Nobody };
        }
        let is_certain = peers.iter().any(|candidate| candidate.said_have);
        // The first choice was late, not wrong: a peer that delivers needs no second opinion.
        let is_late = rounds > 0 && peers.iter().any(|candidate| candidate.is_proven);
        for candidate in &peers {
            self.ask_peer(session, want, candidate.peer, size, now);
        }
        if let Some(trial) = trial.filter(|_| rounds == 0)
            && let Some(row) = self.sessions.at_mut(session)
        {
            row.peers_mut().try_out(trial.peer);
            self.ask_peer(session, want, trial.peer, size, now);
        }
        if is_first
            && !is_certain
            && let Some(row) = self.wants.want_mut(want)
        {
            row.open_first_choice();
        }
        if !is_certain && !is_late && extras > 0 {
            // While some peers have everything, those that had nothing need not be asked again.
            let is_sure =
                peers.iter().all(|candidate| candidate.is_proven && candidate.is_flawless);
            let is_sure = is_first && is_sure;
            if is_sure && self.are_others_unlikely(session) {
                return Asked::Yes;
            }
            let purpose = if is_sure { Purpose::OpenPresence } else { Purpose::Presence };
            let request = Request { want: Some(want), size, purpose, count: extras as usize };
            let has_asked = self.ask_presence(session, want, request, now);
            if is_first && !has_asked {
                self.ask_old_peer(session, want, size, now);
            }
        } else if probes {
            let request = Request { want: Some(want), size, purpose: Purpose::Probe, count: 1 };
            self.ask_presence(session, want, request, now);
        }
        Asked::Yes
    }

    /// Those that never had a block of the session hardly have others, for all that was answered.
    fn are_others_unlikely(&self, session: Ref<Session>) -> bool {
        self.sessions.at(session).is_some_and(|row| row.peers().share_of_others().is_some())
    }

    /// Asks one more peer for a want beside the one that is late: one that delivers, or owes nothing. False when
    /// there is none.
    pub(super) fn ask_another(&mut self, want: Ref<Want>, now: Timestamp) -> bool {
        for session in self.sessions_of(want) {
            let size = self.size_of(session, want);
            let request = Request { want: Some(want), size, purpose: Purpose::Block, count: 1 };
            let other = self.select(session, request).peers.first().map(|it| it.peer);
            let is_better =
                |state: &PeerState| state.punctuality().is_measured() || state.asked_bytes() == 0;
            let is_worth = |id: &Id<Peer>| self.peers.get_id(*id).is_some_and(is_better);
            if let Some(other) = other.filter(is_worth) {
                self.ask_peer(session, want, other, size, now);
                return true;
            }
        }
        false
    }

    /// Asks a few more peers whether they have a want's block.
    pub(super) fn ask_presence_again(&mut self, want: Ref<Want>, now: Timestamp) {
        for session in self.sessions_of(want) {
            let size = self.size_of(session, want);
            let fan_out = u32::from(self.config.fan_out);
            let extras = self.sessions.at(session).map_or(0, |row| row.peers().extras(fan_out));
            let (purpose, count) = (Purpose::Presence, extras as usize);
            self.ask_presence(
                session,
                want,
                Request { want: Some(want), size, purpose, count },
                now,
            );
        }
    }

    /// The size of a want's block, as far as a session knows.
    pub(super) fn size_of(&self, session: Ref<Session>, want: Ref<Want>) -> u32 {
        let told = self
            .wants
            .session_wants_of(want)
            .find(|(_, of)| of.session() == session && of.size() > 0);
        let expected = || self.sessions.at(session).map_or(0, Session::expected_size);
        told.map_or_else(expected, |(_, of)| of.size())
    }

    pub(super) fn ask_peer(
        &mut self,
        session: Ref<Session>,
        want: Ref<Want>,
        peer: Id<Peer>,
        size: u32,
        now: Timestamp,
    ) {
        let at = match self.wants.peer_want_of(want, peer.at()) {
            Some(at) => at,
            None => self.add_peer_want(want, peer.at(), now),
        };
        self.request(at, size, now);
        if let Some(row) = self.sessions.at_mut(session) {
            row.peers_mut().add(peer);
        }
    }

    /// Asks a few more peers whether they have the block; false when there are none.
    fn ask_presence(
        &mut self,
        session: Ref<Session>,
        want: Ref<Want>,
        request: Request,
        now: Timestamp,
    ) -> bool {
        let selected = self.select(session, request);
        for candidate in &selected.peers {
            let at = self.add_peer_want(want, candidate.peer.at(), now);
            log!(
                trace,
                "a peer is asked whether it has a block",
                cid = self.wants.logged_cid(want),
                row = candidate.peer.at(),
            );
            self.set_pending(at, Some(Pending::Want(WantKind::Have)), now);
            if let Some(row) = self.sessions.at_mut(session) {
                row.peers_mut().probe(candidate.peer);
            }
        }
        !selected.peers.is_empty()
    }

    /// Where all other peers are too old to be asked whether they have the block, one of them is asked for
    /// the block instead while nothing else is known.
    fn ask_old_peer(&mut self, session: Ref<Session>, want: Ref<Want>, size: u32, now: Timestamp) {
        if self.sessions.at(session).is_some_and(|row| row.peers().any_has_served()) {
            return;
        }
        let request = Request { want: Some(want), size, purpose: Purpose::Block, count: 1 };
        for candidate in self.select(session, request).peers {
            let is_old = |state: &PeerState| !state.has_presence();
            if self.peers.get_id(candidate.peer).is_some_and(is_old) {
                self.ask_peer(session, want, candidate.peer, size, now);
            }
        }
    }

    /// Forgets members that have left, and adds the best others until `count` members are likely to be of use.
    fn gather(&mut self, session: Ref<Session>, count: usize, size: u32) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        row.peers_mut().retain(|id| self.peers.is_here(id));
        let members = row.peers().members();
        let is_useful = |id: Id<Peer>| {
            let state = self.peers.get(id.at());
            state.is_some_and(|state| !state.punctuality().is_silent() && state.is_usable())
        };
        let useful = members.iter().filter(|m| m.is_useful() && is_useful(m.id())).count();
        let members = members.len();
        if useful >= count || members >= self.peers.len() {
            return;
        }
        let count = members + count - useful;
        let request = Request { want: None, size, purpose: Purpose::Block, count };
        let selected = self.select(session, request);
        if let Some(row) = self.sessions.at_mut(session) {
            selected.peers.iter().for_each(|candidate| row.peers_mut().add(candidate.peer));
        }
    }

    /// There are more peers than one step asks.
    pub(super) fn has_choice(&self) -> bool {
        has_choice(&self.config, &self.peers)
    }
}
