//! One peer and one want: what the peer was sent of it, what it answered, and what is to be sent next.

use super::want_table::{OfPeer, OfWant, Want};
use crate::message::WantKind;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::list::{Linked, Links};
use crate::util::rows::Ref;

/// Something to be sent to a peer about a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Want(WantKind),
    Cancel,
}

/// What a peer answered last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    None,
    Have,
    DontHave,
    /// It let the deadline pass.
    Silent,
    /// It said HAVE, was asked for the block, and let the deadline pass.
    HaveThenSilent,
}

/// What a deadline is of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// What the peer is given.
    Full,
    /// Its first block is late for the round trip of its connection: another peer is asked beside it.
    Early,
    /// Its first block takes twice as long as that: another peer is asked instead.
    Twice,
    /// Another peer said HAVE, or the peer has delivered its first block and not the next: another is asked instead if the
    /// sessions can bear a duplicate.
    Shortened,
}

/// One peer and one want.
///
/// It is in one of the two lists of its peer's [`MessageQueue`](super::message_queue::MessageQueue): in that
/// of the pending ones exactly while `pending` is set.
#[derive(Debug)]
pub(super) struct PeerWant {
    want: Ref<Want>,
    peer: Ref<Peer>,
    of_want: Links<Self>,
    of_peer: Links<Self>,
    pending: Option<Pending>,
    /// What the peer was sent and was not sent a cancel for.
    sent: Option<WantKind>,
    /// How often it was sent since the peer last answered. With more than once a block may be the answer to
    /// an earlier sending, and the latest is then still to be cancelled.
    unanswered: u8,
    answer: Answer,
    /// It said last that it lacks the block, and was not asked again since.
    lacks: bool,
    /// It counts as a request for the block: while one is open, no other peer is asked.
    is_request: bool,
    /// When it was last sent, or decided.
    asked_at: Timestamp,
    deadline: Option<Timestamp>,
    patience: Patience,
    /// It was asked of the peer because another one was slow.
    was_moved: bool,
    /// Until when other blocks of the peer excuse it: put off no further with the deadline.
    last_chance: Timestamp,
    /// Bytes charged to the peer for it.
    charged: u32,
    /// They are an estimate.
    is_guess: bool,
    /// Bytes that were asked of the peer before it.
    bytes_before: u64,
}

impl PeerWant {
    pub(super) fn new(want: Ref<Want>, peer: Ref<Peer>, now: Timestamp) -> Self {
        Self {
            want,
            peer,
            of_want: Links::default(),
            of_peer: Links::default(),
            pending: None,
            sent: None,
            unanswered: 0,
            answer: Answer::None,
            lacks: false,
            is_request: false,
            asked_at: now,
            deadline: None,
            patience: Patience::Full,
            was_moved: false,
            last_chance: now,
            charged: 0,
            is_guess: false,
            bytes_before: 0,
        }
    }

    pub(super) const fn want(&self) -> Ref<Want> {
        self.want
    }

    pub(super) const fn peer(&self) -> Ref<Peer> {
        self.peer
    }

    pub(super) const fn pending(&self) -> Option<Pending> {
        self.pending
    }

    pub(super) const fn sent(&self) -> Option<WantKind> {
        self.sent
    }

    pub(super) const fn answer(&self) -> Answer {
        self.answer
    }

    pub(super) const fn lacks(&self) -> bool {
        self.lacks
    }

    pub(super) const fn is_request(&self) -> bool {
        self.is_request
    }

    pub(super) const fn was_moved(&self) -> bool {
        self.was_moved
    }

    pub(super) const fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    pub(super) const fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    pub(super) const fn last_chance(&self) -> Timestamp {
        self.last_chance
    }

    pub(super) const fn charged(&self) -> u32 {
        self.charged
    }

    pub(super) const fn bytes_before(&self) -> u64 {
        self.bytes_before
    }

    /// Bytes that the peer owes for it, if a size that was not known is `size` at least.
    pub(super) fn owed(&self, size: u32) -> u32 {
        if self.is_guess { self.charged.max(size) } else { self.charged }
    }

    /// The same up to and including this block, if it may be of `size`.
    pub(super) fn owed_until(&self, size: u32) -> u64 {
        self.bytes_before.saturating_add(u64::from(self.owed(size)))
    }

    /// Bytes that the peer was asked for up to and including this block.
    pub(super) fn bytes_until(&self) -> u64 {
        self.bytes_before.saturating_add(u64::from(self.charged))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.pending == Some(Pending::Cancel)
    }

    /// It was asked whether it has the block, and has not answered.
    pub(super) fn awaits_presence(&self) -> bool {
        self.answer == Answer::None && self.sent == Some(WantKind::Have) && self.pending.is_none()
    }

    /// The block may be asked for: no request is open, and nothing is known against it. A peer that was late
    /// is asked again when it says HAVE, or when it has its second chance.
    pub(super) const fn may_request(&self) -> bool {
        !self.is_request && matches!(self.answer, Answer::None | Answer::Have)
    }

    /// The peer was asked for the block and may still send it.
    pub(super) fn may_bring_block(&self) -> bool {
        self.sent == Some(WantKind::Block) && self.answer != Answer::DontHave
    }

    /// A block of it may be the answer to an earlier sending than the last one.
    pub(super) const fn was_sent_again(&self) -> bool {
        self.unanswered > 1
    }

    // Each of these is called by the part that keeps the rest of the state in step.

    /// Called by the message queue of its peer.
    pub(super) const fn set_pending(&mut self, pending: Option<Pending>) -> Option<Pending> {
        core::mem::replace(&mut self.pending, pending)
    }

    /// Called by the table of wants.
    pub(super) const fn set_request(&mut self, is_request: bool) -> bool {
        core::mem::replace(&mut self.is_request, is_request)
    }

    /// It was written into a message. Called by the table of wants.
    pub(super) fn mark_sent(&mut self, kind: WantKind, now: Timestamp) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.sent = Some(kind);
        self.asked_at = now;
        self.lacks = false;
        if self.answer == Answer::DontHave {
            self.answer = Answer::None;
        }
    }

    /// The peer answered: whether it is known which sending that answers.
    pub(super) const fn answers_only_sending(&mut self) -> bool {
        self.sent.is_some() && core::mem::replace(&mut self.unanswered, 0) == 1
    }

    /// Called by the table of wants. Who may be asked again lacks it until then, for all that is known.
    pub(super) const fn set_answer(&mut self, answer: Answer) {
        self.answer = answer;
        match answer {
            Answer::DontHave => self.lacks = true,
            Answer::Have => self.lacks = false,
            Answer::None | Answer::Silent | Answer::HaveThenSilent => {}
        }
    }

    /// Its deadline has passed.
    pub(super) const fn time_out(&mut self) {
        self.answer = match self.answer {
            Answer::Have | Answer::HaveThenSilent => Answer::HaveThenSilent,
            Answer::None | Answer::DontHave | Answer::Silent => Answer::Silent,
        };
    }

    /// It is asked anew from now on.
    pub(super) const fn restart(&mut self, now: Timestamp) {
        self.asked_at = now;
    }

    pub(super) const fn set_deadline(&mut self, at: Option<Timestamp>) -> Option<Timestamp> {
        core::mem::replace(&mut self.deadline, at)
    }

    /// What its deadline is.
    pub(super) const fn patience(&self) -> Patience {
        self.patience
    }

    /// What its deadline is from now on; what it was before.
    pub(super) const fn set_patience(&mut self, patience: Patience) -> Patience {
        core::mem::replace(&mut self.patience, patience)
    }

    /// It is asked of the peer because another one is slow.
    pub(super) const fn set_moved(&mut self) {
        self.was_moved = true;
    }

    pub(super) const fn set_last_chance(&mut self, at: Timestamp) {
        self.last_chance = at;
    }

    /// The peer was charged so many bytes for it, behind others.
    pub(super) const fn set_charge(&mut self, bytes: u32, is_guess: bool, before: u64) {
        self.charged = bytes;
        self.is_guess = is_guess;
        self.bytes_before = before;
    }

    /// The charge is given back: how much, and whether that was an estimate.
    pub(super) const fn take_charge(&mut self) -> (u32, bool) {
        let was_guess = core::mem::replace(&mut self.is_guess, false);
        (core::mem::replace(&mut self.charged, 0), was_guess)
    }
}

impl Linked<OfWant> for PeerWant {
    fn links(&self) -> &Links<Self> {
        &self.of_want
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_want
    }
}

impl Linked<OfPeer> for PeerWant {
    fn links(&self) -> &Links<Self> {
        &self.of_peer
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_peer
    }
}
