//! One CID that is wanted: the sessions that want it, the peers that know of it, and what is counted of both.
//!
//! Invariant: what it counts is what is in its lists. The rows of the lists are in the [`WantTable`](super::WantTable),
//! which alone can change a list, and passes them.

use alloc::boxed::Box;

use bytes::Bytes;
use cid::Cid;

use crate::client::peer_want::PeerWant;
use crate::client::session_want::SessionWant;
use crate::key::Key;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::list::{Linked, Links, List};
use crate::util::rows::{Id, Ref, Rows};

/// The list of a want.
#[derive(Debug)]
pub(in crate::client) struct OfWant;
/// The list of a session.
#[derive(Debug)]
pub(in crate::client) struct OfSession;
/// The list of a peer.
#[derive(Debug)]
pub(in crate::client) struct OfPeer;
/// The list of wants that a decision is due about.
#[derive(Debug)]
pub(super) struct Undecided;

/// One CID that is wanted, or about which a peer is still to be sent that it is not any more.
#[derive(Debug)]
pub(in crate::client) struct Want {
    key: Key,
    session_wants: List<SessionWant, OfWant>,
    peer_wants: List<PeerWant, OfWant>,
    undecided: Links<Self>,
    is_undecided: bool,
    /// Its first choice of a peer has neither delivered nor failed.
    first_choice_open: bool,
    /// Peer wants that are requests.
    requests: u16,
    /// Peer wants of peers that lack the block.
    lacking: u32,
    /// Session wants that have not ended.
    live: u32,
    /// How often a request of it passed its deadline: doubles the number of peers asked.
    rounds: u8,
    /// When want-haves that are not answered stop holding up the next request.
    presence_wait: Option<Timestamp>,
    /// The block, from its arrival until its sessions were told.
    delivered: Option<Box<Delivered>>,
}

/// A block on its way to the sessions that wanted it.
#[derive(Debug)]
pub(in crate::client) struct Delivered {
    pub(in crate::client) data: Bytes,
    pub(in crate::client) from: Id<Peer>,
}

impl Want {
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            session_wants: List::default(),
            peer_wants: List::default(),
            undecided: Links::default(),
            is_undecided: false,
            first_choice_open: false,
            requests: 0,
            lacking: 0,
            live: 0,
            rounds: 0,
            presence_wait: None,
            delivered: None,
        }
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    pub(in crate::client) fn cid(&self) -> Cid {
        self.key.cid()
    }

    /// Bytes of the CID.
    pub(in crate::client) fn cid_len(&self) -> usize {
        self.key.bytes().len()
    }

    // How far it is.

    pub(in crate::client) const fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Another round of requests has passed its deadline.
    pub(in crate::client) const fn count_round(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
    }

    pub(in crate::client) const fn open_first_choice(&mut self) {
        self.first_choice_open = true;
    }

    /// The outcome of the first choice is known: true the first time.
    pub(in crate::client) const fn close_first_choice(&mut self) -> bool {
        core::mem::replace(&mut self.first_choice_open, false)
    }

    pub(in crate::client) const fn presence_wait(&self) -> Option<Timestamp> {
        self.presence_wait
    }

    pub(in crate::client) const fn set_presence_wait(
        &mut self,
        until: Option<Timestamp>,
    ) -> Option<Timestamp> {
        core::mem::replace(&mut self.presence_wait, until)
    }

    pub(in crate::client) const fn is_undecided(&self) -> bool {
        self.is_undecided
    }

    /// Called by the table, which lists it; whether it was.
    pub(super) const fn set_undecided(&mut self, is_undecided: bool) -> bool {
        core::mem::replace(&mut self.is_undecided, is_undecided)
    }

    // Its block.

    pub(in crate::client) fn delivered(&self) -> Option<&Delivered> {
        self.delivered.as_deref()
    }

    /// Sets its block. The table counts [`Self::heap_bytes`].
    pub(super) fn set_delivered(&mut self, block: Option<Delivered>) {
        self.delivered = block.map(Box::new);
    }

    // Sessions that want it.

    /// No session wants it any more.
    pub(in crate::client) const fn is_over(&self) -> bool {
        self.live == 0
    }

    /// No session wants it, or is to be told how that ended.
    pub(super) const fn has_no_session(&self) -> bool {
        self.session_wants.is_empty()
    }

    /// Nobody needs it any more.
    pub(super) const fn is_unused(&self) -> bool {
        self.session_wants.is_empty() && self.peer_wants.is_empty() && !self.is_undecided
    }

    /// What sessions want of it, the latest first.
    pub(super) const fn session_wants(&self) -> &List<SessionWant, OfWant> {
        &self.session_wants
    }

    /// Adds a live session want; whether it is the only live one.
    pub(super) fn add_session_want(
        &mut self,
        rows: &mut Rows<SessionWant>,
        at: Ref<SessionWant>,
    ) -> bool {
        self.session_wants.push_front(rows, at);
        self.live += 1;
        self.live == 1
    }

    /// One of its session wants has ended: whether that was the last live one. It begins anew then.
    pub(super) fn end_session_want(&mut self) -> bool {
        debug_assert!(self.live > 0, "more sessions end a want than wanted it");
        self.live = self.live.saturating_sub(1);
        if self.live > 0 {
            return false;
        }
        self.rounds = 0;
        self.first_choice_open = false;
        true
    }

    /// Takes out a session want that has ended.
    pub(super) fn remove_session_want(
        &mut self,
        rows: &mut Rows<SessionWant>,
        at: Ref<SessionWant>,
    ) {
        self.session_wants.remove(rows, at);
    }

    // Peers that know of it.

    /// Nobody was told of it yet.
    pub(in crate::client) const fn is_unasked(&self) -> bool {
        self.peer_wants.is_empty()
    }

    /// Peers that were told of it, or are to be.
    pub(in crate::client) const fn peers(&self) -> u32 {
        self.peer_wants.len()
    }

    /// Those of them that have not said that they lack the block.
    pub(in crate::client) const fn hopeful(&self) -> u32 {
        self.peer_wants.len().saturating_sub(self.lacking)
    }

    pub(in crate::client) const fn has_request(&self) -> bool {
        self.requests > 0
    }

    /// Several peers are asked for the block.
    pub(in crate::client) const fn is_hedged(&self) -> bool {
        self.requests > 1
    }

    /// What peers know of it, the latest first.
    pub(super) const fn peer_wants(&self) -> &List<PeerWant, OfWant> {
        &self.peer_wants
    }

    /// Adds a peer want that is no request, of a peer that is not known to lack the block.
    pub(super) fn add_peer_want(&mut self, rows: &mut Rows<PeerWant>, at: Ref<PeerWant>) {
        self.peer_wants.push_front(rows, at);
    }

    /// One of its peer wants has become a request, or is none any more.
    pub(super) const fn count_request(&mut self, is_request: bool) {
        self.requests = if is_request {
            self.requests.saturating_add(1)
        } else {
            self.requests.saturating_sub(1)
        };
    }

    /// The peer of one of its peer wants lacks the block, or does not any more.
    pub(super) fn count_lacking(&mut self, before: bool, after: bool) {
        self.lacking = self.lacking + u32::from(after) - u32::from(before);
    }

    /// Takes out a peer want that is no request.
    pub(super) fn remove_peer_want(
        &mut self,
        rows: &mut Rows<PeerWant>,
        at: Ref<PeerWant>,
        lacks: bool,
    ) {
        self.peer_wants.remove(rows, at);
        self.lacking -= u32::from(lacks);
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let block = self.delivered.as_ref();
        self.key.heap_bytes() + block.map_or(0, |block| size_of::<Delivered>() + block.data.len())
    }

    /// What is wrong with the want in this row, if anything.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(
        &self,
        at: Ref<Self>,
        session_wants: &Rows<SessionWant>,
        peer_wants: &Rows<PeerWant>,
    ) -> Result<(), &'static str> {
        self.session_wants.validate(session_wants)?;
        self.peer_wants.validate(peer_wants)?;
        let sessions = || self.session_wants.iter(session_wants);
        if self.live as usize != sessions().filter(|(_, of)| !of.has_ended()).count() {
            return Err("a want has another number of live session wants");
        }
        if sessions().any(|(_, of)| of.want() != at) {
            return Err("a session want is in the list of another want");
        }
        let peers = || self.peer_wants.iter(peer_wants);
        if usize::from(self.requests) != peers().filter(|(_, of)| of.is_request()).count() {
            return Err("a want has another number of requests");
        }
        if self.lacking as usize != peers().filter(|(_, of)| of.lacks()).count() {
            return Err("a want has another number of peers that lack it");
        }
        if peers().any(|(_, of)| of.want() != at) {
            return Err("a peer want is in the list of another want");
        }
        if self.delivered.is_some() && self.session_wants.is_empty() {
            return Err("a block is kept for nobody");
        }
        if self.is_unused() {
            return Err("a want is kept for nobody");
        }
        Ok(())
    }
}

impl Linked<Undecided> for Want {
    fn links(&self) -> &Links<Self> {
        &self.undecided
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.undecided
    }
}
