//! Messages are composed from what is in the queues when a lane has room.

use alloc::vec::Vec;

use crate::block::Block;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::message::{Message, Presence, Wantlist};
use crate::time::Timestamp;

use super::peer::{Answer, Flight};
use super::want::{Said, State};
use super::{Output, Server};

/// Stands for the number of a message being filled.
const UNNUMBERED: u32 = u32::MAX;

/// A message being filled.
#[derive(Debug, Default)]
struct Draft {
    blocks: Vec<Block>,
    presences: Vec<Presence>,
    answers: Vec<Answer>,
    rows: Vec<(u32, Said)>,
    block_bytes: u64,
    encoded: usize,
}

/// Answers in one message: bounds what is kept of the messages on their way to a peer that reads none
/// and changes its mind about what it wants.
pub(super) const ANSWERS_MAX: usize = 1024;

impl Server {
    /// Composes a message with blocks up to `target` bytes (or one block, however big; none for a
    /// target of 0) and as many presences as fit. The peer's lane has room.
    pub(super) fn compose(&mut self, number: u32, target: u64, now: Timestamp) -> Option<Output> {
        let version = self.peers.get(number)?.lane.version()?;
        let mut draft = Draft { encoded: Message::OVERHEAD_MAX, ..Draft::default() };
        while self.add_block(number, target, &mut draft) {}
        while self.add_presence(number, &mut draft) {}
        if draft.answers.is_empty() {
            self.settle(number);
            return None;
        }
        let peer = self.peers.get_mut(number)?;
        let seq = peer.lane.send(draft.block_bytes as u32, now);
        peer.pace.begin(now);
        peer.flights.push(Flight { seq, answers: draft.answers });
        for (row, said) in draft.rows {
            self.turn(row, State::Sending(said, seq));
        }
        let peer = self.peers.get_mut(number)?;
        if draft.block_bytes > 0 {
            peer.balance -= draft.block_bytes as i64;
            for bucket in [&mut peer.upload, &mut self.upload].into_iter().flatten() {
                bucket.take(draft.block_bytes);
            }
        }
        // Older versions have no field for it.
        let pending_bytes = if version.has_prefix() { peer.pending() } else { 0 };
        self.count(number, |served| served.messages_sent += 1);
        self.settle(number);
        let message = Message {
            wantlist: Wantlist::default(),
            blocks: draft.blocks,
            presences: draft.presences,
            pending_bytes,
        };
        Some(Output::Send { peer: number, seq, version, message })
    }

    /// Moves the most urgent block into the message; false when it has no room for it.
    fn add_block(&mut self, number: u32, target: u64, draft: &mut Draft) -> bool {
        let Some(peer) = self.peers.get(number) else { return false };
        let Some((place, data)) = peer.queues.blocks.first_key_value() else { return false };
        let (row, bytes) = (place.row, data.len() as u64);
        let (Some(want), Some(id)) = (self.ledger.at(row), self.ledger.id(row)) else {
            return false;
        };
        let Some(version) = peer.lane.version() else { return false };
        let cid = want.key.cid();
        if !version.can_carry(&cid) {
            // Not on this lane, but perhaps on the next one.
            self.turn(row, State::Idle);
            return true;
        }
        let block = Block::from_store(cid, data.clone());
        let encoded = block.encoded_len(version);
        let fits = draft.blocks.is_empty() || draft.block_bytes + bytes <= target;
        let is_full = draft.answers.len() >= ANSWERS_MAX;
        if is_full || target == 0 || !fits || draft.encoded + encoded > MESSAGE_BYTES_MAX {
            return false;
        }
        draft.encoded += encoded;
        draft.block_bytes += bytes;
        let said = Said::Block(bytes as u32);
        draft.answers.push(Answer { want: id, what: said });
        draft.rows.push((row, said));
        // The message gets its number when it is complete.
        self.turn(row, State::Sending(said, UNNUMBERED));
        draft.blocks.push(block);
        true
    }

    /// Moves the most urgent presence into the message; false when it has no room for it.
    fn add_presence(&mut self, number: u32, draft: &mut Draft) -> bool {
        let Some(peer) = self.peers.get(number) else { return false };
        let Some(place) = peer.queues.presences.first() else { return false };
        let row = place.row;
        let (Some(want), Some(id)) = (self.ledger.at(row), self.ledger.id(row)) else {
            return false;
        };
        let State::Presence { have } = want.state else { return false };
        if !peer.lane.version().is_some_and(|version| version.has_presence()) {
            if want.servable {
                self.turn(row, State::Idle);
            } else {
                self.remove(row);
            }
            return true;
        }
        let presence = Presence { cid: want.key.cid(), have };
        let encoded = presence.encoded_len();
        if draft.answers.len() >= ANSWERS_MAX || draft.encoded + encoded > MESSAGE_BYTES_MAX {
            return false;
        }
        draft.encoded += encoded;
        draft.presences.push(presence);
        let said = if have { Said::Have } else { Said::DontHave };
        draft.answers.push(Answer { want: id, what: said });
        draft.rows.push((row, said));
        self.change(row, |want| {
            want.owes &= have;
            want.state = State::Sending(said, UNNUMBERED);
        });
        true
    }
}
