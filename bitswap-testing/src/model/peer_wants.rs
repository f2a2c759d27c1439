//! What one peer wants of us, and what it was sent.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use super::store_answers::StoreAnswer;
use bitswap_core::SendId;
use bitswap_core::Timestamp;
use bitswap_core::message::{Entry, Version, WantKind};

/// The server puts the wants of its last answers back when their stream is lost: those that the
/// transport took in this time, and no more than so many.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(10);
const UNCONFIRMED_MAX: usize = 64;

/// A want of a peer, until its cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerWant {
    pub(super) kind: WantKind,
    pub(super) dont_have: bool,
    /// The last time it asked, it asked for DONT_HAVE.
    pub(super) owed: bool,
    /// What it was sent since it asked.
    pub(super) sent_have: bool,
    pub(super) sent_dont_have: bool,
    pub(super) sent_block: bool,
    /// The stream was lost while the block was on its way. The transport may take it all the same.
    pub(super) lost_block: bool,
    /// Tells this want from an earlier one for the same CID.
    pub(super) serial: u64,
    /// When the transport took the block. A stream that is lost soon after puts the want back.
    pub(super) taken: Option<Timestamp>,
    /// It has its answer, as far as the transport said.
    pub(super) answered: bool,
    /// The message with its last answer.
    pub(super) last: Option<SendId>,
    /// It was sent DONT_HAVE since it asked, as far as the transport said. A stream that
    /// is lost later changes nothing: the want stays, and so does the answer.
    pub(super) knows_absence: bool,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) wants: BTreeMap<Cid, PeerWant>,
    /// The last answers of the store, latest last: lookups of one CID may overtake each other.
    pub(super) known: BTreeMap<Cid, Vec<StoreAnswer>>,
    /// CIDs that one message both wanted and cancelled, or that came beyond a limit: either reading
    /// of them is right.
    pub(super) ambiguous: BTreeSet<Cid>,
    /// Responses that the transport took since the stream was lost last.
    pub(super) confirmed: usize,
    /// The oldest version that the stream for responses was open for.
    pub(super) oldest: Option<Version>,
}

impl PeerWant {
    pub(super) fn respond_block(&mut self, message: SendId) {
        self.last = Some(message);
        (self.sent_block, self.lost_block, self.answered) = (true, false, true);
    }

    /// A message that answered it was not sent. A later answer stands.
    pub(super) fn failed(&mut self, message: SendId) {
        let answered = self.answered && self.last != Some(message);
        (self.sent_have, self.sent_dont_have, self.sent_block) = (false, false, false);
        (self.answered, self.knows_absence) = (answered, false);
    }

    pub(super) fn respond_presence(&mut self, message: SendId, have: bool) {
        (self.answered, self.last) = (true, Some(message));
        if have {
            self.sent_have = true;
        } else {
            (self.sent_dont_have, self.knows_absence) = (true, true);
        }
    }
}

impl Peer {
    pub(super) fn ask(&mut self, entry: &Entry, on_its_way: bool, serial: u64) {
        let ask = self.wants.entry(entry.cid).or_insert(PeerWant {
            kind: entry.kind,
            dont_have: false,
            owed: false,
            sent_have: false,
            sent_dont_have: false,
            sent_block: false,
            lost_block: false,
            serial,
            taken: None,
            answered: false,
            last: None,
            knows_absence: false,
        });
        let more = entry.kind > ask.kind;
        ask.knows_absence &= on_its_way;
        if ask.sent_block && !on_its_way {
            // A new want after a block starts anew.
            ask.kind = entry.kind;
            ask.dont_have = false;
            (ask.serial, ask.taken) = (serial, None);
        }
        ask.kind = ask.kind.max(entry.kind);
        ask.dont_have |= entry.send_dont_have;
        ask.owed = entry.send_dont_have;
        // Asked again while the answer is on its way, it need not be answered again.
        ask.answered &= on_its_way && (ask.sent_block || !more);
        (ask.sent_have, ask.sent_dont_have, ask.sent_block) = (false, false, false);
        ask.lost_block = false;
    }

    /// Responses may be lost: blocks may go again, and so may what was said. A block that the transport
    /// took long ago has arrived, and its want has ended. What ended when more blocks were taken since
    /// than are remembered is not known from outside.
    pub(super) fn lost(&mut self, now: Timestamp) {
        let recent = |ask: &PeerWant| ask.taken.is_none_or(|at| at + UNCONFIRMED_FOR >= now);
        self.wants.retain(|_, ask| recent(ask));
        let taken = self.wants.iter().filter(|(_, ask)| ask.taken.is_some());
        let taken: Vec<Cid> = taken.map(|(cid, _)| *cid).collect();
        if self.confirmed > UNCONFIRMED_MAX {
            self.ambiguous.extend(taken);
        }
        self.confirmed = 0;
        for ask in self.wants.values_mut() {
            ask.taken = None;
            ask.lost_block |= ask.sent_block;
            (ask.sent_have, ask.sent_dont_have, ask.sent_block) = (false, false, false);
        }
    }
}
