//! One want of one peer, and how each event changes where it stands.
//!
//! Everything that can happen to a want is a method here. [`Ledger`](super::ledger::Ledger) calls them, and keeps
//! the want in the queue of its state meanwhile.
//!
//! Invariant: an unservable want, which ends with its DONT_HAVE, is never looked up.

use core::cmp::Reverse;

use cid::Cid;

use crate::key::Key;
use crate::message::{Entry, WantKind};
use crate::output::LoadKind;
use crate::peer::Peer;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::util::list::{Linked, Links};
use crate::util::rows::Ref;

/// Where a want stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The block was not there, and the peer was told so if it had asked: waits for the block.
    Unavailable,
    /// To be looked up.
    Queued(LoadKind),
    /// Being looked up. A later answer to the same lookup finds the want by its generational id.
    Loading(LoadKind),
    /// HAVE or DONT_HAVE is to be sent.
    Presence { have: bool },
    /// The block is in memory and is to be sent.
    Loaded,
    /// This response is in the message of this number, which was handed to the transport.
    InFlight(Response, u32),
    /// The transport took the response then. No want any more, but put back should the transport report that the
    /// end of the stream was lost.
    Unconfirmed(Timestamp),
}

/// What a want is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// The block itself, of so many bytes.
    Block(u32),
    Have,
    DontHave,
}

/// Marks the list of the wants of one peer.
#[derive(Debug)]
pub(super) struct OfPeer;
/// Marks the chain of the wants of one CID.
#[derive(Debug)]
pub(super) struct OfCid;

/// One want of one peer.
#[derive(Debug)]
pub(super) struct Want {
    key: Key,
    peer: Ref<Peer>,
    priority: i32,
    /// Counts up over all wants: the order among equal priorities.
    age: u64,
    /// The block's size, once the store or a notification of new blocks told it.
    size: Option<u32>,
    state: State,
    kind: WantKind,
    /// The entry asked for a DONT_HAVE.
    send_dont_have: bool,
    /// A DONT_HAVE was asked for, and none was sent since.
    dont_have_owed: bool,
    /// The block was stored while the want was being looked up: that it is absent is out of date.
    stored_meanwhile: bool,
    /// False for a CID that no store can serve.
    servable: bool,
    of_peer: Links<Self>,
    of_cid: Links<Self>,
}

impl Linked<OfPeer> for Want {
    fn links(&self) -> &Links<Self> {
        &self.of_peer
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_peer
    }
}

impl Linked<OfCid> for Want {
    fn links(&self) -> &Links<Self> {
        &self.of_cid
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_cid
    }
}

/// The position of a want in its peer's queues: most urgent first, then oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    priority: Reverse<i32>,
    age: u64,
    row: Ref<Want>,
}

impl Position {
    pub(super) const fn row(self) -> Ref<Want> {
        self.row
    }

    pub(super) const fn priority(self) -> i32 {
        self.priority.0
    }
}

impl Want {
    /// A want that is to be looked up. `replace_have_bytes` is [`Config::with_replace_have_bytes`](crate::Config).
    pub(super) fn new(
        peer: Ref<Peer>,
        key: Key,
        entry: &Entry,
        age: u64,
        replace_have_bytes: Option<u32>,
    ) -> Self {
        let mut want = Self {
            key,
            peer,
            priority: entry.priority,
            age,
            size: None,
            state: State::Unavailable,
            kind: entry.kind,
            send_dont_have: entry.send_dont_have,
            dont_have_owed: entry.send_dont_have,
            stored_meanwhile: false,
            servable: true,
            of_peer: Links::default(),
            of_cid: Links::default(),
        };
        want.requeue(replace_have_bytes);
        want
    }

    /// A want for what no store can have: it ends with its DONT_HAVE.
    pub(super) fn unservable(peer: Ref<Peer>, key: Key, entry: &Entry, age: u64) -> Self {
        let mut want = Self::new(peer, key, entry, age, None);
        want.servable = false;
        want.state = State::Presence { have: false };
        want
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    pub(super) const fn peer(&self) -> Ref<Peer> {
        self.peer
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn size(&self) -> Option<u32> {
        self.size
    }

    pub(super) const fn age(&self) -> u64 {
        self.age
    }

    pub(super) const fn is_servable(&self) -> bool {
        self.servable
    }

    pub(super) const fn is_unconfirmed(&self) -> bool {
        matches!(self.state, State::Unconfirmed(_))
    }

    /// It is not known whether the block is there, and the peer is to be told if it is not.
    pub(super) const fn absence_matters(&self) -> bool {
        self.dont_have_owed && self.size.is_none()
    }

    pub(super) const fn position(&self, row: Ref<Self>) -> Position {
        Position { priority: Reverse(self.priority), age: self.age, row }
    }

    /// Nothing is to be said of it before the block is stored.
    pub(super) const fn waits_for_block(&self) -> bool {
        matches!(self.state, State::Unavailable | State::InFlight(Response::DontHave, _))
    }

    /// The want as the peer would send it.
    pub(super) fn entry(&self) -> Entry {
        Entry::want(self.key.cid(), self.kind, self.priority, self.send_dont_have)
    }

    /// An entry of a full wantlist asks for less than this want.
    pub(super) fn exceeds(&self, entry: &Entry) -> bool {
        entry.kind < self.kind || (self.send_dont_have && !entry.send_dont_have)
    }

    /// The peer sent the want again. It takes the new priority and the stronger kind, and is answered again unless
    /// the response is on its way already.
    pub(super) fn repeated(&mut self, entry: &Entry, replace_have_bytes: Option<u32>) {
        self.priority = entry.priority;
        self.kind = self.kind.max(entry.kind);
        self.send_dont_have |= entry.send_dont_have;
        self.dont_have_owed |= entry.send_dont_have;
        let again = match self.state {
            State::Unavailable | State::Queued(_) => true,
            State::Presence { have } => have && self.kind == WantKind::Block,
            // A block is not sent twice for one want; presences cost nothing.
            State::InFlight(Response::Have | Response::DontHave, _) => true,
            State::InFlight(Response::Block(_), _)
            | State::Loading(_)
            | State::Loaded
            | State::Unconfirmed(_) => false,
        };
        if again {
            self.requeue(replace_have_bytes);
        }
    }

    /// The block is in the store now. False when that changes nothing.
    pub(super) fn block_stored(&mut self, size: u32, replace_have_bytes: Option<u32>) -> bool {
        match self.state {
            _ if !self.servable => false,
            State::Loading(_) => {
                self.stored_meanwhile = true;
                true
            }
            State::Unavailable
            | State::Queued(_)
            | State::Presence { have: false }
            | State::InFlight(Response::DontHave, _) => {
                self.size = Some(size);
                self.requeue(replace_have_bytes);
                true
            }
            // These responses say what has become true.
            State::Presence { have: true }
            | State::Loaded
            | State::InFlight(Response::Have | Response::Block(_), _)
            | State::Unconfirmed(_) => false,
        }
    }

    /// It is part of a lookup from now on.
    pub(super) fn lookup_started(&mut self, kind: LoadKind) {
        debug_assert!(matches!(self.state, State::Queued(_)), "it is not to be looked up");
        self.state = State::Loading(kind);
    }

    /// The store does not have the block, or does not tell.
    pub(super) fn not_found(&mut self, replace_have_bytes: Option<u32>) {
        debug_assert!(matches!(self.state, State::Loading(_)), "it is not being looked up");
        if core::mem::take(&mut self.stored_meanwhile) {
            self.requeue(replace_have_bytes);
            return;
        }
        self.size = None;
        self.state =
            if self.dont_have_owed { State::Presence { have: false } } else { State::Unavailable };
    }

    /// The store has the block, of this size.
    pub(super) fn size_found(&mut self, size: u32, replace_have_bytes: Option<u32>) {
        debug_assert!(matches!(self.state, State::Loading(_)), "it is not being looked up");
        self.stored_meanwhile = false;
        self.size = Some(size);
        self.state = if self.takes_block(replace_have_bytes) {
            State::Queued(LoadKind::Data)
        } else {
            State::Presence { have: true }
        };
    }

    /// The block was loaded, and has this size. It stays in memory, if it is the response at all, only when `keep`.
    pub(super) fn block_found(&mut self, size: u32, keep: bool, replace_have_bytes: Option<u32>) {
        self.size_found(size, replace_have_bytes);
        if keep && self.state == State::Queued(LoadKind::Data) {
            self.state = State::Loaded;
        }
    }

    /// The block that was loaded for it is given up.
    pub(super) fn unloaded(&mut self) {
        debug_assert!(self.state == State::Loaded, "there is no block to give up");
        self.state = State::Queued(LoadKind::Data);
    }

    /// The stream's version has no way to send the response. Another one may: the want waits on.
    pub(super) fn cannot_be_sent(&mut self) {
        debug_assert!(self.servable, "it waits for a block that cannot be");
        self.state = State::Unavailable;
    }

    /// The response is part of the message of this number.
    pub(super) fn sent(&mut self, response: Response, seq: u32) {
        let has_response = matches!(self.state, State::Presence { .. } | State::Loaded);
        debug_assert!(has_response, "there is no response to send");
        self.dont_have_owed &= response != Response::DontHave;
        self.state = State::InFlight(response, seq);
    }

    /// The transport took the message with this response.
    pub(super) fn transport_took(&mut self, response: Response, now: Timestamp) {
        debug_assert!(matches!(self.state, State::InFlight(..)), "it is not in flight");
        self.state = if response == Response::DontHave {
            State::Unavailable
        } else {
            State::Unconfirmed(now)
        };
    }

    /// The message with this response was not sent.
    pub(super) fn send_failed(
        &mut self,
        response: Response,
        seq: u32,
        replace_have_bytes: Option<u32>,
    ) {
        match self.state {
            State::InFlight(other, of) if (other, of) == (response, seq) => {
                self.lost(replace_have_bytes);
            }
            // The block was said to have arrived since, and was not there after all.
            State::Unavailable if self.send_dont_have => self.lost(replace_have_bytes),
            // The peer asked again or the block arrived since: it is being answered anew.
            _ => self.dont_have_owed |= self.send_dont_have,
        }
    }

    /// The response did not arrive: the want is as it was asked.
    pub(super) fn lost(&mut self, replace_have_bytes: Option<u32>) {
        self.dont_have_owed = self.send_dont_have;
        if self.servable {
            self.requeue(replace_have_bytes);
        } else {
            self.state = State::Presence { have: false };
        }
    }

    /// Looks it up (again), for what it is answered with as far as its size is known.
    fn requeue(&mut self, replace_have_bytes: Option<u32>) {
        let kind =
            if self.takes_block(replace_have_bytes) { LoadKind::Data } else { LoadKind::Size };
        self.state = State::Queued(kind);
    }

    /// The block itself is the response, as far as its size is known.
    fn takes_block(&self, replace_have_bytes: Option<u32>) -> bool {
        self.kind == WantKind::Block
            || matches!((self.size, replace_have_bytes), (Some(size), Some(most)) if size <= most)
    }

    /// What contradicts itself, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) const fn validate(&self) -> Result<(), &'static str> {
        match self.state {
            State::Presence { have: false } | State::InFlight(Response::DontHave, _) => Ok(()),
            _ if !self.servable => Err("a want that cannot be served is served"),
            _ => Ok(()),
        }
    }
}

/// Whether a store could have a block of this CID, and the peer could check it.
pub(super) fn can_be_served(cid: &Cid) -> bool {
    Prefix::of(cid).is_ok_and(|prefix| prefix.fetchable().is_ok())
}

#[cfg(test)]
mod tests;
