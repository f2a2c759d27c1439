//! Pairs of a want and a peer: made, charged, turned around and dropped.

use alloc::vec::Vec;
use core::time::Duration;

use super::Client;
use super::contact::Contact;
use super::table::{Answer, Links, Pair, Say};
use crate::message::WantKind;
use crate::rows::NONE;
use crate::time::Timestamp;

/// How long the cancel of a block waits for a message to go with.
const CANCEL_PAUSE: Duration = Duration::from_millis(10);
/// The same when the peer has nothing to send.
const IDLE_CANCEL_PAUSE: Duration = Duration::from_millis(250);

impl Client {
    pub(super) fn find_pair(&self, want: u32, peer: u32) -> Option<u32> {
        self.pairs_of(want).find(|(_, pair)| pair.peer == peer).map(|(at, _)| at)
    }

    /// Makes a pair with nothing to say yet.
    pub(super) fn new_pair(&mut self, want: u32, peer: u32, now: Timestamp) -> u32 {
        let next_of_want = self.wants.at(want).map_or(NONE, |row| row.pairs);
        let pair = Pair {
            want,
            peer,
            next_of_want,
            links: Links::NONE,
            say: None,
            told: None,
            unanswered: 0,
            answer: Answer::None,
            request: false,
            asked: now,
            deadline: None,
            last_chance: now,
            charged: 0,
            queue: 0,
        };
        let at = self.pairs.insert(pair).index;
        if let Some(row) = self.wants.at_mut(want) {
            row.pairs = at;
            row.pairs_len = row.pairs_len.saturating_add(1);
        }
        if let Some(contact) = self.peers.get_mut(peer) {
            contact.told.push(&mut self.pairs, at);
        }
        at
    }

    /// Sets what is to be said to the peer of a pair.
    pub(super) fn say(&mut self, at: u32, say: Option<Say>, now: Timestamp) {
        let Some(pair) = self.pairs.at_mut(at) else { return };
        let peer = pair.peer;
        // Only a block that may still be sent is worth stopping soon.
        let block = pair.told == Some(WantKind::Block) && pair.answer != Answer::DontHave;
        let pause = if block { CANCEL_PAUSE } else { IDLE_CANCEL_PAUSE };
        let before = core::mem::replace(&mut pair.say, say);
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.cancels -= u32::from(before == Some(Say::Cancel));
        if contact.cancels == 0 {
            contact.cancel_at = None;
        }
        if say == Some(Say::Cancel) {
            contact.cancels += 1;
            let at = now + pause;
            contact.cancel_at = Some(contact.cancel_at.map_or(at, |other| other.min(at)));
        }
        match (before.is_some(), say.is_some()) {
            (false, true) => {
                contact.told.remove(&mut self.pairs, at);
                contact.unsaid.push(&mut self.pairs, at);
            }
            (true, false) => {
                contact.unsaid.remove(&mut self.pairs, at);
                contact.told.push(&mut self.pairs, at);
            }
            _ => {}
        }
        if say.is_some() {
            self.set_speaking(peer);
        }
    }

    /// Makes the pair a request for the block of about `size` bytes.
    pub(super) fn request(&mut self, at: u32, size: u32, now: Timestamp) {
        let choice = self.has_choice();
        let Some(pair) = self.pairs.at_mut(at) else { return };
        if !pair.request {
            pair.request = true;
            if let Some(row) = self.wants.at_mut(pair.want) {
                row.requests = row.requests.saturating_add(1);
            }
        }
        if pair.charged == 0
            && let Some(contact) = self.peers.get_mut(pair.peer)
        {
            pair.charged = size.max(1);
            pair.queue = contact.asked_bytes;
            contact.charge(pair.charged, choice, now);
        }
        pair.asked = now;
        self.say(at, Some(Say::Want(WantKind::Block)), now);
        self.arm_deadline(at, now);
    }

    /// The pair no longer holds up further requests.
    pub(super) fn settle(&mut self, at: u32) {
        let Some(pair) = self.pairs.at_mut(at) else { return };
        if core::mem::take(&mut pair.request)
            && let Some(row) = self.wants.at_mut(pair.want)
        {
            row.requests = row.requests.saturating_sub(1);
        }
        if let Some(deadline) = pair.deadline.take() {
            self.deadlines.remove(&(deadline, at));
        }
    }

    /// The peer owes nothing for the pair any more.
    pub(super) fn refund(&mut self, at: u32) {
        let Some(pair) = self.pairs.at_mut(at) else { return };
        let charged = core::mem::take(&mut pair.charged);
        if charged > 0
            && let Some(contact) = self.peers.get_mut(pair.peer)
        {
            contact.asked_bytes = contact.asked_bytes.saturating_sub(u64::from(charged));
            self.room = true;
        }
    }

    /// Removes a pair. What the peer was told of it must have ended, or not matter any more.
    pub(super) fn drop_pair(&mut self, at: u32, now: Timestamp) {
        self.settle(at);
        self.refund(at);
        self.say(at, None, now);
        let Some(pair) = self.pairs.at(at) else { return };
        let Pair { want, peer, next_of_want, .. } = *pair;
        if let Some(contact) = self.peers.get_mut(peer) {
            contact.told.remove(&mut self.pairs, at);
        }
        let before =
            self.pairs_of(want).find(|(_, other)| other.next_of_want == at).map(|(at, _)| at);
        match before.and_then(|before| self.pairs.at_mut(before)) {
            Some(before) => before.next_of_want = next_of_want,
            None => {
                if let Some(row) = self.wants.at_mut(want) {
                    row.pairs = next_of_want;
                }
            }
        }
        self.pairs.remove(at);
        if let Some(row) = self.wants.at_mut(want) {
            row.pairs_len = row.pairs_len.saturating_sub(1);
        }
        self.free_if_unused(want);
    }

    /// The want is over for this peer: it is told so if it was told of the want.
    pub(super) fn cancel_pair(&mut self, at: u32, now: Timestamp) {
        self.settle(at);
        let Some(pair) = self.pairs.at(at) else { return };
        if pair.told.is_none() {
            self.drop_pair(at, now);
            return;
        }
        let superfluous = pair.answer != Answer::DontHave;
        let peer = pair.peer;
        self.refund(at);
        if superfluous && let Some(contact) = self.peers.get_mut(peer) {
            contact.superfluous = contact.superfluous.saturating_add(1);
        }
        self.say(at, Some(Say::Cancel), now);
    }

    /// A want is wanted again before all its peers were told that it was over: those not told yet
    /// go on as if nothing had happened.
    pub(super) fn revive_pairs(&mut self, want: u32, now: Timestamp) {
        let pairs: Vec<u32> = self.pairs_of(want).map(|(at, _)| at).collect();
        for at in pairs {
            let Some(pair) = self.pairs.at(at) else { continue };
            // A whole wantlist is due: it must name what is wanted again.
            let contact = self.peers.get(pair.peer);
            let lost = contact.is_some_and(|contact| contact.resync);
            if lost
                && pair.told == Some(WantKind::Have)
                && !contact.is_some_and(Contact::has_presence)
            {
                // The lane was opened again for an older version, which has no want-haves.
                self.drop_pair(at, now);
                continue;
            }
            self.say(at, pair.told.filter(|_| lost).map(Say::Want), now);
            let Some(pair) = self.pairs.at_mut(at) else { continue };
            if pair.told == Some(WantKind::Block) && pair.answer == Answer::None {
                pair.request = true;
                pair.asked = now;
                if let Some(row) = self.wants.at_mut(want) {
                    row.requests = row.requests.saturating_add(1);
                }
                self.arm_deadline(at, now);
            }
        }
    }

    /// Removes all pairs of a peer that cannot be asked any more. Their wants need a decision.
    pub(super) fn drop_pairs(&mut self, peer: u32, now: Timestamp) {
        if let Some(contact) = self.peers.get_mut(peer) {
            // It may remember what it was told: a whole wantlist will put it right.
            contact.resync |= contact.said;
            contact.strays = Vec::new();
        }
        loop {
            let Some(contact) = self.peers.get(peer) else { return };
            let head =
                if contact.unsaid.is_empty() { contact.told.head } else { contact.unsaid.head };
            let Some(pair) = self.pairs.at(head) else { return };
            let want = pair.want;
            self.drop_pair(head, now);
            self.set_undecided(want);
        }
    }
}
