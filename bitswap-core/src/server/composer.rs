//! Messages are composed from what is in a peer's queues when its stream has room for one.
//!
//! Invariant: every response in a message is that of a want which is in flight with this message's number.

use crate::peer::Peer;
use alloc::vec::Vec;

use crate::block::Block;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::message::{Message, Presence, Version, Wantlist};
use crate::util::rows::Ref;

use super::in_flight::SentResponse;
use super::ledger::Ledger;
use super::task_queue::TaskQueue;
use super::want::{Response, State, Want};

/// Responses in one message: bounds what is kept of the messages on their way to a peer that reads none and changes its
/// mind about what it wants.
pub(super) const RESPONSES_MAX: usize = 1024;

/// A message that was composed.
#[derive(Debug)]
pub(super) struct Draft {
    version: Version,
    seq: u32,
    blocks: Vec<Block>,
    presences: Vec<Presence>,
    responses: Vec<SentResponse>,
    block_bytes: u64,
    encoded: usize,
}

impl Draft {
    /// Composes the message of the number `seq`, with blocks up to `target` bytes (or one block, however big; none for
    /// a target of 0) and as many presences as fit. None when there is nothing that can be sent in this version.
    pub(super) fn compose(
        ledger: &mut Ledger,
        peer: Ref<Peer>,
        version: Version,
        seq: u32,
        target: u64,
    ) -> Option<Self> {
        let mut draft = Self {
            version,
            seq,
            blocks: Vec::new(),
            presences: Vec::new(),
            responses: Vec::new(),
            block_bytes: 0,
            encoded: Message::OVERHEAD_MAX,
        };
        while draft.add_block(ledger, peer, target).is_some() {}
        while draft.add_presence(ledger, peer).is_some() {}
        (!draft.responses.is_empty()).then_some(draft)
    }

    /// Bytes of its blocks.
    pub(super) const fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    /// The message, with so many bytes still waiting for the peer, and the responses in it.
    pub(super) fn finish(self, pending_bytes: i32) -> (Message, Vec<SentResponse>) {
        let message = Message {
            wantlist: Wantlist::default(),
            blocks: self.blocks,
            presences: self.presences,
            // Older versions have no field for it.
            pending_bytes: if self.version.has_prefix() { pending_bytes } else { 0 },
        };
        (message, self.responses)
    }

    /// Moves the most urgent block into the message; None when there is none or no room for it.
    fn add_block(&mut self, ledger: &mut Ledger, peer: Ref<Peer>, target: u64) -> Option<()> {
        let (row, data) = ledger.queue(peer)?.next_block()?;
        let (cid, bytes) = (ledger.at(row)?.key().cid(), data.len() as u64);
        if !self.version.can_carry(&cid) {
            ledger.cannot_be_sent(row);
            return Some(());
        }
        let fits = self.blocks.is_empty() || self.block_bytes + bytes <= target;
        if target == 0 || !fits {
            return None;
        }
        let block = Block::from_store(cid, data.clone());
        self.add(ledger, row, Response::Block(bytes as u32), block.encoded_len(self.version))?;
        self.block_bytes += bytes;
        self.blocks.push(block);
        Some(())
    }

    /// Moves the most urgent presence into the message; None when there is none or no room for it.
    fn add_presence(&mut self, ledger: &mut Ledger, peer: Ref<Peer>) -> Option<()> {
        let row = ledger.queue(peer).and_then(TaskQueue::next_presence)?;
        let want = ledger.at(row)?;
        let State::Presence { have } = want.state() else {
            debug_assert!(false, "the queue of presences holds something else");
            return None;
        };
        if !self.version.has_presence() {
            ledger.cannot_be_sent(row);
            return Some(());
        }
        let presence = Presence { cid: want.key().cid(), have };
        let response = if have { Response::Have } else { Response::DontHave };
        self.add(ledger, row, response, presence.encoded_len())?;
        self.presences.push(presence);
        Some(())
    }

    /// Makes a response of so many encoded bytes part of the message, if it has room for it.
    fn add(
        &mut self,
        ledger: &mut Ledger,
        row: Ref<Want>,
        response: Response,
        encoded: usize,
    ) -> Option<()> {
        let is_full = self.responses.len() >= RESPONSES_MAX;
        if is_full || self.encoded + encoded > MESSAGE_BYTES_MAX {
            return None;
        }
        let want = ledger.id(row)?;
        ledger.sent(row, response, self.seq);
        self.encoded += encoded;
        self.responses.push(SentResponse { want, response });
        Some(())
    }
}
