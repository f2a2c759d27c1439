//! What peers are told: messages are composed when their lane has room, from what is to be said then.
//!
//! Wants and cancels meet here: a want that ended before it was told is never told, and a cancel
//! waits a little for company. After a lane was lost the next message is the whole wantlist, which
//! puts right whatever the peer did not hear.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::contact::Contact;
use super::table::{Answer, Pair, Say};
use super::{Client, Output, list_of};
use crate::error::{OpenError, SendError};
use crate::message::{Entry, Message, Version, WantKind, Wantlist};
use crate::output::Support;
use crate::time::Timestamp;

/// Cancels that go at once.
const CANCELS_MAX: u32 = 512;
/// Messages to a peer only to cancel what it answers and nobody wants are this far apart.
const STRAY_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of an entry besides its CID, at most.
const ENTRY_BYTES: usize = 20;
/// Bytes of entries in one message.
const MESSAGE_BYTES: usize = 64 << 10;
/// Bits of a wire priority that keep the order of equal ones.
const ORDER_BITS: u32 = 20;

impl Client {
    /// The answer to a request to open a lane.
    pub(crate) fn opened(
        &mut self,
        peer: u32,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) -> bool {
        let Some(contact) = self.peers.get_mut(peer) else { return false };
        if !contact.lane.opened(result, now) {
            return false;
        }
        let again = contact.lane.is_closed();
        match result {
            Err(_) if again => self.set_speaking(peer),
            Ok(version) => {
                if !version.has_presence() {
                    self.adapt_to_old(peer, now);
                }
                self.set_speaking(peer);
            }
            Err(error) => {
                self.drop_pairs(peer, now);
                self.arm_timer(peer);
                self.outbox.push_back(Output::Unreachable { peer, error });
            }
        }
        self.update_standing(peer);
        true
    }

    /// The lane turns out to be too old for want-haves: what was asked only there is asked for
    /// itself, the rest is left to others.
    fn adapt_to_old(&mut self, peer: u32, now: Timestamp) {
        let Some(contact) = self.peers.get(peer) else { return };
        let unsaid: Vec<u32> = list_of(&self.pairs, contact.unsaid.head).collect();
        for at in unsaid {
            let Some(pair) = self.pairs.at(at) else { continue };
            if pair.say != Some(Say::Want(WantKind::Have)) {
                continue;
            }
            let want = pair.want;
            let others = self.pairs_of(want).any(|(_, other)| {
                let contact = self.peers.get(other.peer);
                contact
                    .and_then(|contact| contact.lane.version())
                    .is_some_and(Version::has_presence)
            });
            if others {
                self.drop_pair(at, now);
            } else {
                self.request(at, 1, now);
            }
        }
    }

    /// The transport took a message or failed to.
    pub(crate) fn sent(
        &mut self,
        peer: u32,
        seq: u32,
        result: Result<(), SendError>,
        now: Timestamp,
    ) -> bool {
        let Some(contact) = self.peers.get_mut(peer) else { return false };
        if contact.lane.sent(seq, result.is_ok(), now).is_none() {
            return false;
        }
        if result.is_err() {
            self.lost(peer, now);
        }
        self.set_speaking(peer);
        true
    }

    /// What was said on the lane may be lost.
    pub(crate) fn reset(&mut self, peer: u32, now: Timestamp) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.lane.reset(now);
        self.lost(peer, now);
        self.set_speaking(peer);
    }

    /// The stream is gone. When the next one has to wait, so would what was asked there.
    fn lost(&mut self, peer: u32, now: Timestamp) {
        if self.peers.get(peer).is_some_and(|contact| contact.lane.retry_at().is_some()) {
            self.drop_pairs(peer, now);
        } else {
            self.retell(peer, now);
        }
        self.update_standing(peer);
    }

    /// The next message tells the peer all that it should know, and that this is all.
    pub(super) fn retell(&mut self, peer: u32, now: Timestamp) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.resync |= contact.said;
        let all: Vec<u32> = list_of(&self.pairs, contact.told.head)
            .chain(list_of(&self.pairs, contact.unsaid.head))
            .collect();
        for at in all {
            let Some(pair) = self.pairs.at_mut(at) else { continue };
            match (pair.say, pair.told) {
                // A wantlist that does not name it cancels it.
                (Some(Say::Cancel), _) => self.drop_pair(at, now),
                (None, Some(kind)) => self.say(at, Some(Say::Want(kind)), now),
                _ => {}
            }
        }
    }

    /// The next message, or the opening or closing of a lane.
    pub(super) fn speak_next(&mut self, now: Timestamp) -> Option<Output> {
        while let Some(peer) = self.speaking.pop_front() {
            if self.speaking.is_empty() {
                self.speaking = VecDeque::new();
            }
            if let Some(contact) = self.peers.get_mut(peer) {
                contact.speaking = false;
            }
            let output = self.speak(peer, now);
            self.update_standing(peer);
            self.arm_timer(peer);
            if output.is_some() {
                return output;
            }
        }
        None
    }

    fn speak(&mut self, peer: u32, now: Timestamp) -> Option<Output> {
        let idle = self.config.lane_idle;
        let limits = self.config.limits;
        let contact = self.peers.get_mut(peer)?;
        if contact.lane.close_idle(idle, now) {
            self.set_speaking(peer);
            return Some(Output::Close(peer));
        }
        let left_alone = contact.lane.is_refused() || contact.support == Support::No;
        if !contact.has_something_to_say(now) || left_alone {
            return None;
        }
        let Some(version) = contact.lane.version() else {
            return contact.lane.open(now).then_some(Output::Open(peer));
        };
        if !contact.lane.has_room(limits.messages_per_lane, limits.want_bytes_per_peer) {
            return None;
        }
        let (message, bytes) = self.compose(peer, version, now);
        if message.is_empty() {
            return None;
        }
        let contact = self.peers.get_mut(peer)?;
        contact.said = true;
        contact.fetched.messages_sent += 1;
        self.fetched.messages_sent += 1;
        let seq = contact.lane.send(bytes, now);
        self.set_speaking(peer);
        Some(Output::Send { peer, seq, version, message })
    }

    fn compose(&mut self, peer: u32, version: Version, now: Timestamp) -> (Message, u32) {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let Some(contact) = self.peers.get_mut(peer) else { return Default::default() };
        let full = core::mem::take(&mut contact.resync);
        let strays = core::mem::take(&mut contact.strays);
        if !strays.is_empty() {
            contact.stray_at = now + STRAY_PAUSE;
        }
        for cid in strays {
            // A whole wantlist cancels what it does not name, and what is wanted again is told. What is
            // wanted of others only is cancelled like anything else: the peer is not to learn of it.
            let live = self.want_of(&cid).filter(|want| !self.is_over(*want));
            if !full && live.and_then(|want| self.find_pair(want, peer)).is_none() {
                bytes += cid.encoded_len() + ENTRY_BYTES;
                entries.push(Entry::cancel(cid));
            }
        }
        let Some(contact) = self.peers.get_mut(peer) else { return Default::default() };
        contact.fetched.cancels_sent += entries.len() as u64;
        self.fetched.cancels_sent += entries.len() as u64;
        // A full wantlist must be whole, so only other messages are cut.
        while full || bytes < MESSAGE_BYTES {
            let Some(contact) = self.peers.get(peer) else { break };
            let at = contact.unsaid.head;
            let Some(pair) = self.pairs.at(at) else { break };
            let Some(row) = self.wants.at(pair.want) else { break };
            let (say, want, cid) = (pair.say, pair.want, row.key.cid());
            if say != Some(Say::Cancel) && !self.may_learn(want, contact.id) {
                // The session that might ask here wants it no more, and the others may not: they ask
                // somebody else.
                let index = pair.want;
                self.cancel_pair(at, now);
                if !self.is_over(index) {
                    self.set_undecided(index);
                }
                continue;
            }
            bytes += row.key.bytes().len() + ENTRY_BYTES;
            match say {
                Some(Say::Want(kind)) => {
                    entries.push(self.tell_want(at, want, cid, kind, version, now));
                }
                _ => {
                    if !full {
                        entries.push(Entry::cancel(cid));
                    }
                    self.tell_cancel(at, now);
                }
            }
        }
        if let Some(contact) = self.peers.get_mut(peer)
            && contact.cancels == 0
        {
            contact.cancel_at = None;
        }
        let message = Message { wantlist: Wantlist { entries, full }, ..Message::default() };
        // Also a wantlist that names nothing takes room on its way.
        let bytes = Message::OVERHEAD_MAX + bytes;
        (message, u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    fn tell_want(
        &mut self,
        at: u32,
        want: u32,
        cid: cid::Cid,
        kind: WantKind,
        version: Version,
        now: Timestamp,
    ) -> Entry {
        let caller =
            self.interests_in(want).map(|(_, interest)| interest.priority).max().unwrap_or(0);
        self.say(at, None, now);
        let mut order = 0;
        if let Some(pair) = self.pairs.at_mut(at) {
            pair.unanswered = pair.unanswered.saturating_add(1);
            pair.told = Some(kind);
            pair.asked = now;
            if pair.answer == Answer::DontHave {
                pair.answer = Answer::None;
            }
            if let Some(contact) = self.peers.get_mut(pair.peer) {
                order = contact.entries;
                contact.entries = contact.entries.wrapping_add(1);
                for fetched in [&mut contact.fetched, &mut self.fetched] {
                    match kind {
                        WantKind::Block => fetched.want_blocks_sent += 1,
                        WantKind::Have => fetched.want_haves_sent += 1,
                    }
                }
            }
        }
        self.arm_deadline(at, now);
        Entry::want(cid, kind, wire_priority(caller, order), version.has_presence())
    }

    fn tell_cancel(&mut self, at: u32, now: Timestamp) {
        if let Some(Pair { peer, .. }) = self.pairs.at(at)
            && let Some(contact) = self.peers.get_mut(*peer)
        {
            contact.fetched.cancels_sent += 1;
            self.fetched.cancels_sent += 1;
        }
        self.drop_pair(at, now);
    }

    /// Arms the one timer of a peer: for its next attempt to open, its idle lane or its cancels.
    pub(super) fn arm_timer(&mut self, peer: u32) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        let can_speak = contact.lane.can_act();
        let cancels = contact.cancel_at.filter(|_| can_speak);
        let strays = (can_speak && !contact.strays.is_empty()).then_some(contact.stray_at);
        let due =
            [contact.lane.retry_at(), contact.lane.idle_at(self.config.lane_idle), cancels, strays]
                .into_iter()
                .flatten()
                .min();
        if due != contact.timer {
            if let Some(before) = core::mem::replace(&mut contact.timer, due) {
                self.timers.remove(&(before, peer));
            }
            if let Some(due) = due {
                self.timers.insert((due, peer));
            }
        }
    }
}

impl Contact {
    fn has_something_to_say(&self, now: Timestamp) -> bool {
        self.unsaid.len() > self.cancels
            || self.cancels >= CANCELS_MAX
            || (self.resync && self.said)
            || (!self.strays.is_empty() && self.stray_at <= now)
            || self.cancel_at.is_some_and(|at| at <= now)
    }
}

/// The priority on the wire: the caller's first, then the order of telling.
fn wire_priority(caller: i32, order: u32) -> i32 {
    let limit = 1 << (31 - ORDER_BITS);
    let mask = (1u32 << ORDER_BITS) - 1;
    (caller.clamp(-limit, limit - 1) << ORDER_BITS) + (mask - (order & mask)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_priorities_keep_both_orders() {
        assert!(wire_priority(1, 5) > wire_priority(0, 0));
        assert!(wire_priority(0, 0) > wire_priority(0, 1));
        assert!(wire_priority(0, 1_000) > wire_priority(-1, 0));
        assert_eq!(wire_priority(i32::MAX, 0), i32::MAX);
        assert_eq!(wire_priority(i32::MIN, u32::MAX), i32::MIN);
    }
}
