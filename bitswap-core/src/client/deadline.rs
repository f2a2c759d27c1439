//! Deadlines: a request that passes its own moves the want on, whatever its peer had claimed.

use alloc::collections::BTreeSet;
use core::time::Duration;

use super::Client;
use super::table::{Answer, End};
use crate::time::Timestamp;

/// The longest that a peer of known speed is given for a block.
const PROVEN_MAX: Duration = Duration::from_secs(60);
/// How many times its first deadline a request may last while its peer delivers other blocks.
const STRETCH: u32 = 4;

impl Client {
    /// Runs all timers that are due; false when there is none.
    pub(super) fn run_timers(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some(at) = due(&mut self.deadlines, now) {
            self.deadline_passed(at, now);
            any = true;
        }
        while let Some(want) = due(&mut self.lingers, now) {
            if let Some(row) = self.wants.at_mut(want) {
                row.linger = None;
            }
            self.set_undecided(want);
            any = true;
        }
        while let Some(at) = due(&mut self.expiries, now) {
            if let Some(interest) = self.interests.at_mut(at) {
                interest.expires = None;
                self.end(at, End::TimedOut, 0, now);
            }
            any = true;
        }
        while let Some(session) = due(&mut self.searches, now) {
            self.search(session, now);
            any = true;
        }
        while let Some(peer) = due(&mut self.timers, now) {
            self.timer_passed(peer, now);
            any = true;
        }
        for at in [&mut self.room_at, &mut self.download_at] {
            if at.take_if(|at| at.is_due(now)).is_some() {
                self.room = true;
                any = true;
            }
        }
        any
    }

    /// (Re-)arms the deadline of a request from what is measured of its peer.
    pub(super) fn arm_deadline(&mut self, at: u32, now: Timestamp) {
        let Some(pair) = self.pairs.at(at) else { return };
        if !pair.request {
            return;
        }
        let Some(contact) = self.peers.get(pair.peer) else { return };
        let bytes = pair.queue.saturating_add(u64::from(pair.charged));
        let time = if contact.meter.latency().is_some() {
            let time = Duration::from_micros(contact.meter.patience(bytes));
            time.clamp(self.config.deadline_min, PROVEN_MAX.max(self.config.deadline_max))
        } else {
            let transfer = Duration::from_micros(contact.meter.transfer(bytes));
            (self.config.first_deadline + transfer).min(self.config.deadline_max)
        };
        if let Some(pair) = self.pairs.at_mut(at) {
            pair.last_chance = now + time.saturating_mul(STRETCH);
        }
        self.set_deadline(at, now + time);
    }

    fn set_deadline(&mut self, at: u32, deadline: Timestamp) {
        let Some(pair) = self.pairs.at_mut(at) else { return };
        if let Some(before) = pair.deadline.replace(deadline) {
            self.deadlines.remove(&(before, at));
        }
        self.deadlines.insert((deadline, at));
    }

    /// Another peer says that it has the block: a guess at a peer that never delivered anything is
    /// given no more time than that peer, whose answer took `answer` microseconds, would need, and as
    /// much again.
    pub(super) fn shorten(&mut self, want: u32, answer: u64, now: Timestamp) {
        let unproven = self
            .pairs_of(want)
            .find(|(_, pair)| {
                pair.request
                    && pair.answer != Answer::Have
                    && self.peers.get(pair.peer).is_some_and(|c| c.meter.latency().is_none())
            })
            .map(|(at, pair)| (at, pair.deadline, pair.queue + u64::from(pair.charged), pair.peer));
        let Some((at, Some(deadline), bytes, peer)) = unproven else { return };
        if !self.may_hedge(want) {
            return;
        }
        let transfer = self.peers.get(peer).map_or(0, |contact| contact.meter.transfer(bytes));
        let time = Duration::from_micros(answer.saturating_mul(3).saturating_add(transfer));
        let sooner = now + time.max(self.config.deadline_min);
        if sooner < deadline {
            self.set_deadline(at, sooner);
            self.hedged(want);
        }
    }

    /// Counts a hedge for the sessions that wait for the want.
    fn hedged(&mut self, want: u32) {
        for session in self.sessions_of(want) {
            if let Some(session) = self.sessions.at_mut(session) {
                session.hedges += 1;
            }
        }
    }

    /// The sessions that wait for the want can bear one more duplicate.
    fn may_hedge(&self, want: u32) -> bool {
        self.sessions_of(want).iter().all(|session| {
            let session = self.sessions.at(*session);
            session.is_some_and(|session| session.may_hedge(self.config.hedge_per_mille))
        })
    }

    fn deadline_passed(&mut self, at: u32, now: Timestamp) {
        let Some(pair) = self.pairs.at_mut(at) else { return };
        pair.deadline = None;
        let (want, peer, asked) = (pair.want, pair.peer, pair.asked);
        if let Some(later) = self.still_delivering(at, now) {
            self.set_deadline(at, later);
            return;
        }
        if let Some(pair) = self.pairs.at_mut(at) {
            pair.answer = match pair.answer {
                Answer::Have | Answer::HaveThenSilent => Answer::HaveThenSilent,
                _ => Answer::Silent,
            };
        }
        self.settle(at);
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.silences = contact.silences.saturating_add(1);
        contact.fetched.timeouts += 1;
        self.fetched.timeouts += 1;
        let id = contact.id;
        self.learn(want, id, false);
        let Some(row) = self.wants.at_mut(want) else { return };
        if row.requests == 0 {
            row.rounds = row.rounds.saturating_add(1);
            self.linger(want, asked, now);
            self.set_undecided(want);
        }
    }

    /// The peer is busy delivering what was asked before: until when that excuses it.
    fn still_delivering(&self, at: u32, now: Timestamp) -> Option<Timestamp> {
        let pair = self.pairs.at(at)?;
        let contact = self.peers.get(pair.peer)?;
        let last = contact.meter.last_block().filter(|last| *last > pair.asked)?;
        let patience = Duration::from_micros(contact.meter.patience(u64::from(pair.charged)));
        let later = last + patience.max(self.config.deadline_min);
        (later > now && now < pair.last_chance).then_some(later.min(pair.last_chance))
    }

    fn timer_passed(&mut self, peer: u32, now: Timestamp) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.timer = None;
        let retry = contact.lane.retry_at().is_some_and(|at| at <= now);
        if retry {
            contact.lane.retry();
            self.wake_all();
        }
        self.set_speaking(peer);
    }
}

/// Takes out the first entry that is due.
fn due(set: &mut BTreeSet<(Timestamp, u32)>, now: Timestamp) -> Option<u32> {
    let (_, row) = set.first().copied().filter(|(at, _)| at.is_due(now))?;
    set.pop_first();
    Some(row)
}
