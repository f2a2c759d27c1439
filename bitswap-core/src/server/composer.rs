//! Messages are composed from what is in a peer's queues when its stream has room for one.
//!
//! Invariant: every response in a message is that of a want which is in flight with this message's number.

use alloc::vec::Vec;

use crate::block::Block;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::message::{Message, Presence, Version, Wantlist};
use crate::peer::Peer;
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
        let block = Block::new_unchecked(cid, data.clone());
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::Config;
    use crate::output::LoadKind;
    use crate::server::samples::{cid, peer, want_block, want_have_or};

    /// A ledger with loaded blocks of these sizes, the most urgent first.
    fn loaded(sizes: &[usize]) -> Ledger {
        let mut ledger = Ledger::new(&Config::default(), &[1; 32]);
        ledger.connected(peer(0));
        for (n, size) in (0..).zip(sizes) {
            ledger.apply(peer(0), &want_block(n, 0));
            let row = ledger.queue(peer(0)).unwrap().next_data().unwrap();
            ledger.lookup_started(row, LoadKind::Data);
            ledger.block_found(row, Bytes::from(alloc::vec![0; *size]), true);
        }
        ledger
    }

    /// Adds wants whose absence is to be told.
    fn absent(ledger: &mut Ledger, numbers: core::ops::Range<u32>) {
        for n in numbers {
            ledger.apply(peer(0), &want_have_or(n, 0));
            let row = ledger.queue(peer(0)).unwrap().next_size().unwrap();
            ledger.lookup_started(row, LoadKind::Size);
            ledger.not_found(row);
        }
    }

    fn compose(ledger: &mut Ledger, version: Version, target: u64) -> Option<Draft> {
        let draft = Draft::compose(ledger, peer(0), version, 3, target);
        ledger.validate().unwrap();
        if let Some(draft) = &draft {
            for sent in &draft.responses {
                let row = ledger.row(sent.want).unwrap();
                let state = ledger.at(row).unwrap().state();
                assert_eq!(state, State::InFlight(sent.response, 3));
            }
        }
        draft
    }

    #[test]
    fn a_message_has_blocks_up_to_its_target_and_one_in_any_case() {
        let mut ledger = loaded(&[500, 60, 40, 10]);
        let sizes = |ledger: &mut Ledger, target| {
            let draft = compose(ledger, Version::V1_2, target)?;
            let (message, _) = draft.finish(0);
            Some(message.blocks.iter().map(|block| block.data().len()).collect::<Vec<_>>())
        };
        assert_eq!(sizes(&mut ledger, 0), None);
        assert_eq!(sizes(&mut ledger, 100).unwrap(), [500]);
        assert_eq!(sizes(&mut ledger, 100).unwrap(), [60, 40]);
        assert_eq!(sizes(&mut ledger, 100).unwrap(), [10]);
    }

    #[test]
    fn presences_go_along_and_alone_when_no_block_may() {
        let mut ledger = loaded(&[10]);
        absent(&mut ledger, 5..7);
        let (message, responses) = compose(&mut ledger, Version::V1_2, 0).unwrap().finish(9);
        assert_eq!((message.blocks.len(), message.pending_bytes, responses.len()), (0, 9, 2));
        let denied: Vec<_> = message.presences.iter().map(|presence| presence.cid).collect();
        assert_eq!(denied, [cid(5), cid(6)]);
        absent(&mut ledger, 7..8);
        let (message, _) = compose(&mut ledger, Version::V1_2, 1).unwrap().finish(9);
        assert_eq!((message.blocks.len(), message.presences.len()), (1, 1));
    }

    #[test]
    fn a_message_has_at_most_1024_responses() {
        let mut ledger = loaded(&[]);
        absent(&mut ledger, 0..1100);
        for left in [1024, 76] {
            let (message, responses) = compose(&mut ledger, Version::V1_2, 1).unwrap().finish(0);
            assert_eq!((message.presences.len(), responses.len()), (left, left));
        }
    }

    #[test]
    fn what_the_version_cannot_say_is_not_in_the_message() {
        let mut ledger = loaded(&[10]);
        absent(&mut ledger, 5..6);
        assert!(compose(&mut ledger, Version::V1_0, 100).is_none());
        let queue = ledger.queue(peer(0)).unwrap();
        assert!(!queue.has_blocks() && !queue.has_presences());
        assert_eq!(ledger.len(), 2, "another stream may do");
    }
}
