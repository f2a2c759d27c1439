//! What peers are sent: messages are composed when their stream has room, from what is pending then.
//!
//! After a stream was lost the next message is the whole wantlist, which replaces whatever the peer did not
//! receive.

use super::peer_want::Pending;
use super::want_table::Want;
use super::{Client, Output};
use crate::error::{OpenError, SendError};
use crate::message::{Entry, Message, Version, WantKind, Wantlist};
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::Ref;

/// Bytes of an entry besides its CID, at most.
const ENTRY_BYTES: usize = 20;
/// Bytes of entries in one message.
const MESSAGE_BYTES: usize = 64 << 10;
/// Bits of a wire priority that keep the order of equal ones.
const ORDER_BITS: u32 = 20;

/// A message that is being composed.
#[derive(Debug)]
struct Draft {
    version: Version,
    entries: alloc::vec::Vec<Entry>,
    bytes: usize,
    /// It is the whole wantlist: what it does not name is cancelled.
    is_full: bool,
}

impl Client {
    // What the transport answers.

    /// The answer to a request to open a stream.
    pub(crate) fn opened(
        &mut self,
        peer: Ref<Peer>,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.peers.get_mut(peer) else { return false };
        let Some(took) = state.stream_mut().opened(result, now) else { return false };
        let is_closed = state.stream().is_closed();
        match result {
            Ok(version) => {
                // The two ends agreed on a protocol meanwhile: a round trip, before the peer was asked for anything.
                state.set_round_trip(took);
                if !version.has_presence() {
                    self.adapt_to_old_version(peer, now);
                }
                self.peers.set_sending(peer);
            }
            Err(_) if is_closed => self.peers.set_sending(peer),
            Err(error) => {
                self.give_up_peer(peer, now);
                self.arm_peer(peer);
                self.outbox.push_back(Output::Unreachable { peer, error });
            }
        }
        self.refresh_peer(peer);
        true
    }

    /// The stream turns out to be too old for want-haves: what was asked only there is asked for itself, the
    /// rest is left to others.
    fn adapt_to_old_version(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get(peer) else { return };
        for at in state.queue().pending(self.wants.peer_wants()) {
            let Some(row) = self.wants.peer_want(at) else { continue };
            if row.pending() != Some(Pending::Want(WantKind::Have)) {
                continue;
            }
            let speaks_presence = |peer| {
                let version = self.peers.get(peer).and_then(|state| state.stream().version());
                version.is_some_and(Version::has_presence)
            };
            if self.wants.peer_wants_of(row.want()).any(|(_, of)| speaks_presence(of.peer())) {
                self.remove_peer_want(at, now);
            } else {
                self.request(at, 1, now);
            }
        }
    }

    /// The transport took a message or failed to.
    pub(crate) fn sent(
        &mut self,
        peer: Ref<Peer>,
        seq: u32,
        result: Result<(), SendError>,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.peers.get_mut(peer) else { return false };
        if state.stream_mut().sent(seq, result.is_ok(), now).is_none() {
            return false;
        }
        if result.is_err() {
            self.stream_lost(peer, now);
        }
        self.peers.set_sending(peer);
        true
    }

    /// What was sent on the stream may be lost.
    pub(crate) fn reset(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.stream_mut().reset(now);
        self.stream_lost(peer, now);
        self.peers.set_sending(peer);
    }

    /// The stream is gone. When the next one has to wait, so would what was asked there.
    fn stream_lost(&mut self, peer: Ref<Peer>, now: Timestamp) {
        if self.peers.get(peer).is_some_and(|state| state.stream().retry_at().is_some()) {
            self.give_up_peer(peer, now);
        } else {
            self.retransmit(peer, now);
        }
        self.refresh_peer(peer);
    }

    /// The next message names all that the peer should know of.
    pub(super) fn retransmit(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.queue_mut().make_full();
        for at in state.queue().all(self.wants.peer_wants()) {
            let Some(row) = self.wants.peer_want(at) else { continue };
            match (row.pending(), row.sent()) {
                // A wantlist that does not name it cancels it.
                (Some(Pending::Cancel), _) => self.remove_peer_want(at, now),
                (None, Some(kind)) => self.set_pending(at, Some(Pending::Want(kind)), now),
                _ => {}
            }
        }
    }

    // What the transport is asked for.

    /// The next message, or the opening or closing of a stream.
    pub(super) fn next_message(&mut self, now: Timestamp) -> Option<Output> {
        while let Some(peer) = self.peers.next_sending() {
            let output = self.serve_peer(peer, now);
            self.refresh_peer(peer);
            self.arm_peer(peer);
            if output.is_some() {
                return output;
            }
        }
        None
    }

    fn serve_peer(&mut self, peer: Ref<Peer>, now: Timestamp) -> Option<Output> {
        let limits = self.config.limits;
        let state = self.peers.get_mut(peer)?;
        if state.stream_mut().close_idle(self.config.stream_idle, now) {
            self.peers.set_sending(peer);
            return Some(Output::Close(peer));
        }
        if !state.queue().is_due(now) || state.is_mute() {
            return None;
        }
        let Some(version) = state.stream().version() else {
            return state.stream_mut().open(now).then_some(Output::Open(peer));
        };
        if !state.stream().has_room(limits.messages_per_stream, limits.want_bytes_per_peer) {
            return None;
        }
        let (message, bytes) = self.compose(peer, version, now);
        if message.is_empty() {
            return None;
        }
        self.count(peer, |fetched| fetched.messages_sent += 1);
        let state = self.peers.get_mut(peer)?;
        state.queue_mut().mark_sent();
        let seq = state.stream_mut().send(bytes, now);
        self.peers.set_sending(peer);
        Some(Output::Send { peer, seq, version, message })
    }

    fn compose(&mut self, peer: Ref<Peer>, version: Version, now: Timestamp) -> (Message, u32) {
        let Some(state) = self.peers.get_mut(peer) else { return Default::default() };
        let is_full = state.queue_mut().take_full();
        let mut draft = Draft { version, entries: Default::default(), bytes: 0, is_full };
        self.add_owed_cancels(peer, &mut draft, now);
        // A full wantlist must be whole, so only other messages are cut.
        while is_full || draft.bytes < MESSAGE_BYTES {
            if !self.add_pending(peer, &mut draft, now) {
                break;
            }
        }
        let Draft { entries, bytes, .. } = draft;
        let message =
            Message { wantlist: Wantlist { entries, full: is_full }, ..Message::default() };
        // Also a wantlist that names nothing takes room on its way.
        let bytes = Message::OVERHEAD_MAX + bytes;
        (message, u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    /// Cancels what the peer answers and nobody wants of it.
    fn add_owed_cancels(&mut self, peer: Ref<Peer>, draft: &mut Draft, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        let owed = state.queue_mut().take_owed_cancels(now);
        if draft.is_full {
            // A whole wantlist cancels what it does not name.
            return;
        }
        for cid in owed {
            // What is wanted again is sent. What is wanted of others only is cancelled like anything else: the
            // peer is not to learn of it.
            let live = self.wants.find(&cid).filter(|want| !self.is_over(*want));
            if live.and_then(|want| self.wants.peer_want_of(want, peer)).is_none() {
                draft.bytes += cid.encoded_len() + ENTRY_BYTES;
                draft.entries.push(Entry::cancel(cid));
                self.count(peer, |fetched| fetched.cancels_sent += 1);
            }
        }
    }

    /// Adds an entry for the next pending peer want; false when there is none.
    fn add_pending(&mut self, peer: Ref<Peer>, draft: &mut Draft, now: Timestamp) -> bool {
        let Some(state) = self.peers.get(peer) else { return false };
        let Some(at) = state.queue().first_pending() else { return false };
        let Some(row) = self.wants.peer_want(at) else { return false };
        let (pending, want, id) = (row.pending(), row.want(), state.id());
        let Some(want_row) = self.wants.want(want) else { return false };
        let (cid, len) = (want_row.cid(), want_row.cid_len() + ENTRY_BYTES);
        let Some(Pending::Want(kind)) = pending else {
            draft.bytes += len;
            if !draft.is_full {
                draft.entries.push(Entry::cancel(cid));
            }
            self.count(peer, |fetched| fetched.cancels_sent += 1);
            self.remove_peer_want(at, now);
            return true;
        };
        if !self.may_learn(want, id) {
            // The session that might ask here wants it no more, and the others may not: they ask another peer.
            self.cancel_peer_want(at, now);
            if !self.is_over(want) {
                self.wants.set_undecided(want);
            }
            return true;
        }
        draft.bytes += len;
        let priority = self.priority_of(want);
        self.set_pending(at, None, now);
        let mut order = 0;
        self.wants.mark_sent(at, kind, now);
        if let Some(state) = self.peers.get_mut(peer) {
            order = state.queue_mut().next_order();
        }
        self.count(peer, |fetched| match kind {
            WantKind::Block => fetched.want_blocks_sent += 1,
            WantKind::Have => fetched.want_haves_sent += 1,
        });
        self.arm_deadline(at, now);
        let priority = wire_priority(priority, order);
        draft.entries.push(Entry::want(cid, kind, priority, draft.version.has_presence()));
        true
    }

    /// The highest priority that a session gives a want.
    fn priority_of(&self, want: Ref<Want>) -> i32 {
        self.wants.session_wants_of(want).map(|(_, of)| of.priority()).max().unwrap_or(0)
    }

    // Timers of peers.

    /// Arms the one timer of a peer: for its next attempt to open, its idle stream or its cancels.
    pub(super) fn arm_peer(&mut self, peer: Ref<Peer>) {
        if let Some(state) = self.peers.get_mut(peer) {
            let due = state.due(self.config.stream_idle);
            let before = state.set_timer(due);
            self.timers.set_peer(peer, before, due);
        }
    }

    /// The peer wants something of us.
    pub(crate) fn was_asked(&mut self, peer: Ref<Peer>, now: Timestamp) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.queue_mut().was_asked(now);
        }
    }

    /// Whether the peer wanted something of us lately.
    pub(crate) fn fetches(&self, peer: Ref<Peer>, now: Timestamp) -> bool {
        self.peers.get(peer).is_some_and(|state| state.queue().peer_fetches(now))
    }

    pub(super) fn peer_is_due(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else {
            debug_assert!(false, "a peer that has left is due");
            return;
        };
        state.set_timer(None);
        if state.stream().retry_at().is_some_and(|at| at <= now) {
            state.stream_mut().retry();
            self.refresh_peer(peer);
        }
        self.peers.set_sending(peer);
    }
}

/// The priority on the wire: the caller's first, then the order of sending.
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
