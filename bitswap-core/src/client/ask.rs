//! When peers are asked, and how many.
//!
//! A want goes as want-block to the peer expected to deliver it soonest, and in the same step as
//! want-have to a few others, fewer the better the session's guesses are. DONT_HAVE, a missed
//! deadline or a lost peer moves it to the next ones.

use core::time::Duration;

use super::Client;
use super::lists::first_queued;
use super::pick::For;
use super::table::{Answer, Say, Stage};
use crate::message::WantKind;
use crate::rows::NONE;
use crate::time::Timestamp;

/// Wants of a batch for which one more peer is worth a message.
const WANTS_PER_PEER: u32 = 5;
/// Wants asked in one go, before messages are composed.
pub(super) const BATCH: u32 = 128;
/// Blocked sessions looked at when a peer gains room.
const WOKEN: usize = 64;
/// Bounds of the wait for want-haves that were told together with a guess that failed.
const LINGER: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// Pause before blocked sessions that were passed over are looked at.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// What came of asking for a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Some peer is asked for the block.
    Yes,
    /// There are peers to ask, but they are busy.
    Busy,
    /// There is nobody left to ask.
    Nobody,
}

impl Client {
    /// Decides about the next undecided want; false when there is none.
    pub(super) fn decide_next(&mut self, now: Timestamp) -> bool {
        let want = self.undecided.0;
        let Some(row) = self.wants.at_mut(want) else { return false };
        row.undecided = false;
        self.undecided.0 = row.next_undecided;
        if self.undecided.0 == NONE {
            self.undecided.1 = NONE;
        }
        if row.live == 0 {
            self.free_if_unused(want);
        } else if row.requests == 0 && !self.lingers_on(want, now) {
            self.ask_again(want, now);
        }
        true
    }

    /// Want-haves are about to be answered, and may name the peer to ask. Nothing is waited for
    /// once a peer has said HAVE.
    fn lingers_on(&self, want: u32, now: Timestamp) -> bool {
        let lingers = self.wants.at(want).and_then(|row| row.linger).is_some_and(|at| at > now);
        lingers
            && self.asked_presence(want)
            && !self.pairs_of(want).any(|(_, pair)| pair.answer == Answer::Have)
    }

    /// The first guess has failed: if others were asked at the same time, their answers are due.
    pub(super) fn linger(&mut self, want: u32, asked: Timestamp, now: Timestamp) {
        let open = self.asked_presence(want);
        let Some(row) = self.wants.at_mut(want) else { return };
        if open && row.linger.is_none() {
            let at = now + (now.since(asked) / 2).clamp(LINGER.0, LINGER.1);
            row.linger = Some(at);
            self.lingers.insert((at, want));
        }
    }

    /// Some peer was asked whether it has the block and has not answered.
    fn asked_presence(&self, want: u32) -> bool {
        self.pairs_of(want).any(|(_, pair)| {
            pair.answer == Answer::None && pair.told == Some(WantKind::Have) && pair.say.is_none()
        })
    }

    /// Asks further peers for a want of which no request is open.
    fn ask_again(&mut self, want: u32, now: Timestamp) {
        let mut busy = false;
        let mut next = self.wants.at(want).map_or(NONE, |row| row.interests);
        while let Some(interest) = self.interests.at(next) {
            let (session, stage) = (interest.session, interest.stage);
            next = interest.next_of_want;
            if !matches!(stage, Stage::Asked | Stage::Waiting) {
                continue;
            }
            match self.ask(session, want, now) {
                Asked::Yes => return self.move_interests(want, Stage::Asked),
                Asked::Busy => busy = true,
                Asked::Nobody => {}
            }
        }
        if busy {
            self.move_interests(want, Stage::Queued);
        } else {
            self.move_interests(want, Stage::Waiting);
            self.now_waiting(want, now);
        }
    }

    /// Moves the interests that were asked, or waiting, to another stage.
    fn move_interests(&mut self, want: u32, to: Stage) {
        let mut next = self.wants.at(want).map_or(NONE, |row| row.interests);
        while let Some(interest) = self.interests.at(next) {
            let at = core::mem::replace(&mut next, interest.next_of_want);
            let session = interest.session;
            if interest.stage == to || !matches!(interest.stage, Stage::Asked | Stage::Waiting) {
                continue;
            }
            self.relist(at, Some(to));
            if to == Stage::Queued {
                self.set_blocked(session);
            }
        }
    }

    /// Lets the next session that may be able to ask do so. The work done, in wants: 0 when there is
    /// no such session.
    pub(super) fn dispatch_next(&mut self, now: Timestamp) -> u32 {
        if core::mem::take(&mut self.room) {
            self.wake_blocked();
            self.room_at = (!self.blocked.is_empty()).then(|| now + ROOM_PAUSE);
        }
        let Some(session) = self.ready.pop_front() else { return 0 };
        if self.ready.is_empty() {
            self.ready = alloc::collections::VecDeque::new();
        }
        if let Some(row) = self.sessions.at_mut(session) {
            row.ready = false;
            return 1 + self.dispatch(session, now);
        }
        1
    }

    /// Sessions that waited for room may ask, before those that something has just happened to: one that
    /// is served must not take every place that it frees.
    pub(super) fn wake_blocked(&mut self) {
        let woken = core::iter::from_fn(|| self.blocked.pop()).take(WOKEN);
        let woken: alloc::vec::Vec<u32> = woken.collect();
        for session in woken.into_iter().rev() {
            if let Some(row) = self.sessions.at_mut(session) {
                row.blocked = None;
                if !core::mem::replace(&mut row.ready, true) {
                    self.ready.push_front(session);
                }
            }
        }
    }

    fn dispatch(&mut self, session: u32, now: Timestamp) -> u32 {
        let Some(row) = self.sessions.at(session) else { return 0 };
        let (queued, size) = (row.queued, row.expected_size());
        if queued + row.recheck == 0 {
            return 0;
        }
        let peers = queued.div_ceil(WANTS_PER_PEER).clamp(1, u32::from(self.config.fan_out));
        self.gather(session, peers as usize, size);
        for done in 0..BATCH {
            let Some(row) = self.sessions.at_mut(session) else { return done };
            if !row.has_room() {
                return done;
            }
            let at = if row.recheck > 0 {
                row.recheck -= 1;
                row.waiting.head
            } else if let Some(at) = first_queued(row) {
                at
            } else {
                return done;
            };
            if !self.download_open(session, now) || !self.dispatch_one(session, at, now) {
                return done;
            }
        }
        self.set_ready(session);
        BATCH
    }

    /// Asks for one queued or waiting want; false when the session can do no more now.
    fn dispatch_one(&mut self, session: u32, at: u32, now: Timestamp) -> bool {
        let Some(interest) = self.interests.at(at) else { return false };
        let (want, stage) = (interest.want, interest.stage);
        let shared = self.wants.at(want).is_some_and(|row| row.requests > 0);
        let asked = if shared { Asked::Yes } else { self.ask(session, want, now) };
        match asked {
            Asked::Yes => {
                self.charge_size(session, at);
                self.relist(at, Some(Stage::Asked));
                true
            }
            Asked::Busy => {
                if stage == Stage::Waiting {
                    self.relist(at, Some(Stage::Queued));
                }
                self.set_blocked(session);
                false
            }
            Asked::Nobody => {
                // Without anybody to ask, the rest of the queue need not be looked at.
                let nobody = !self.peers.iter().any(|(_, contact)| contact.usable());
                if stage == Stage::Queued && nobody && !self.fails_when_missing(session) {
                    return false;
                }
                self.relist(at, Some(Stage::Waiting));
                self.now_waiting(want, now);
                true
            }
        }
    }

    /// The size that the session's window and the download limit count for a want.
    fn charge_size(&mut self, session: u32, at: u32) {
        let Some(expected) = self.sessions.at(session).map(|row| row.expected_size()) else {
            return;
        };
        let Some(interest) = self.interests.at_mut(at) else { return };
        if interest.size == 0 {
            interest.size = expected;
        }
        if let Some(bucket) = &mut self.download {
            bucket.take(u64::from(interest.size));
        }
    }

    /// The download limit lets the session ask; arms its timer otherwise.
    fn download_open(&mut self, session: u32, now: Timestamp) -> bool {
        let Some(bucket) = &mut self.download else { return true };
        if bucket.is_open(now) {
            return true;
        }
        self.download_at = Some(bucket.opens_at());
        self.set_blocked(session);
        false
    }

    /// Asks the best peers of a session for a want.
    fn ask(&mut self, session: u32, want: u32, now: Timestamp) -> Asked {
        let Some(row) = self.sessions.at(session) else { return Asked::Nobody };
        let size = self
            .interests_in(want)
            .find(|(_, interest)| interest.session == session && interest.size > 0)
            .map_or_else(|| row.expected_size(), |(_, interest)| interest.size);
        let fan_out = u32::from(self.config.fan_out);
        let Some(want_row) = self.wants.at(want) else { return Asked::Nobody };
        let (first, rounds) = (want_row.pairs_len == 0, want_row.rounds);
        // What none of those asked before has is rarer than thought: twice as many are asked.
        let widened = u32::from(want_row.pairs_len) * 2;
        let extras = row.extras(fan_out).max(widened).min(fan_out.saturating_sub(1));
        // One peer, one more when it is late, then twice as many each time.
        let doublings = u32::from(rounds.saturating_sub(1));
        let count = 1u32.checked_shl(doublings).unwrap_or(fan_out).min(fan_out);
        let found = self.pick(session, Some(want), size, For::Block, count as usize);
        if found.peers.is_empty() {
            return if found.busy { Asked::Busy } else { Asked::Nobody };
        }
        let certain = found.peers.iter().any(|candidate| candidate.said_have);
        // The first guess was late, not wrong: a peer that delivers needs no second opinion.
        let late = rounds > 0 && found.peers.iter().any(|candidate| candidate.proven);
        for candidate in &found.peers {
            self.ask_peer(session, want, candidate.peer, size, now);
        }
        if first
            && !certain
            && let Some(row) = self.wants.at_mut(want)
        {
            row.guessing = true;
        }
        if !certain && !late && extras > 0 {
            // While some peers have everything, those that had nothing need not be asked again.
            let sure = found.peers.iter().all(|candidate| candidate.proven && candidate.flawless);
            let purpose = if first && sure { For::OpenPresence } else { For::Presence };
            let told = self.ask_presence(session, want, size, purpose, extras as usize, now);
            if first && !told {
                self.ask_old(session, want, size, now);
            }
        }
        Asked::Yes
    }

    fn ask_peer(&mut self, session: u32, want: u32, peer: u32, size: u32, now: Timestamp) {
        let pair = match self.find_pair(want, peer) {
            Some(pair) => pair,
            None => self.new_pair(want, peer, now),
        };
        self.request(pair, size, now);
        if let Some(id) = self.peers.get(peer).map(|contact| contact.id)
            && let Some(row) = self.sessions.at_mut(session)
        {
            row.member(id);
        }
    }

    /// Asks a few more peers whether they have the block; false when there are none.
    fn ask_presence(
        &mut self,
        session: u32,
        want: u32,
        size: u32,
        purpose: For,
        extras: usize,
        now: Timestamp,
    ) -> bool {
        let found = self.pick(session, Some(want), size, purpose, extras);
        for candidate in &found.peers {
            let pair = self.new_pair(want, candidate.peer, now);
            self.say(pair, Some(Say::Want(WantKind::Have)), now);
            if let Some(id) = self.peers.get(candidate.peer).map(|contact| contact.id)
                && let Some(row) = self.sessions.at_mut(session)
            {
                row.questioned.insert(id);
            }
        }
        !found.peers.is_empty()
    }

    /// Where all other peers are too old to be asked whether they have the block, one of them is
    /// asked for the block instead while nothing else is known.
    fn ask_old(&mut self, session: u32, want: u32, size: u32, now: Timestamp) {
        let served = self
            .sessions
            .at(session)
            .is_some_and(|row| row.members.iter().any(|member| member.served > 0));
        if served {
            return;
        }
        let found = self.pick(session, Some(want), size, For::Block, 1);
        for candidate in &found.peers {
            if self.peers.get(candidate.peer).is_some_and(|contact| !contact.has_presence()) {
                self.ask_peer(session, want, candidate.peer, size, now);
            }
        }
    }
}
