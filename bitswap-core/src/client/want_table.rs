//! What is wanted, by which sessions, and which peers know of it.
//!
//! * A [`Want`] is one CID. It lives while a session wants it, a peer knows or is to be told of it, or a
//!   decision about it is due.
//! * A [`SessionWant`] is one session's want, and a [`PeerWant`] what one peer knows of it. Each is in a list
//!   of its want, the latest first.
//!
//! Invariant: each session want and peer want is in the list of its want, each want that is not unused is in the index,
//! and what is summed up over all wants is their sum. Rows come, go and change their want's counts here and nowhere else.

mod want;

pub(super) use want::{Delivered, OfPeer, OfSession, OfWant, Want};

use cid::Cid;

use super::peer_want::{Answer, PeerWant};
use super::session::Session;
use super::session_want::SessionWant;
use crate::index::{Hash, Index};
use crate::key::Key;
use crate::message::WantKind;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::list::List;
use crate::util::rows::{Id, Ref, Rows};
use want::Undecided;

/// All wants.
#[derive(Debug)]
pub(super) struct WantTable {
    index: Index<Ref<Want>>,
    wants: Rows<Want>,
    session_wants: Rows<SessionWant>,
    peer_wants: Rows<PeerWant>,
    /// Wants in need of a decision, first come, first served.
    undecided: List<Want, Undecided>,
    /// Wants that are not over.
    live: u32,
    /// Bytes that the wants hold outside of their rows.
    heap_bytes: usize,
}

impl WantTable {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self {
            index: Index::new(seed, "wants"),
            wants: Rows::default(),
            session_wants: Rows::default(),
            peer_wants: Rows::default(),
            undecided: List::default(),
            live: 0,
            heap_bytes: 0,
        }
    }

    // Wants.

    pub(super) fn want(&self, at: Ref<Want>) -> Option<&Want> {
        self.wants.at(at)
    }

    pub(super) fn want_mut(&mut self, at: Ref<Want>) -> Option<&mut Want> {
        self.wants.at_mut(at)
    }

    /// What a want is called in the log.
    pub(super) fn logged_cid(&self, at: Ref<Want>) -> Cid {
        self.want(at).map(Want::cid).unwrap_or_default()
    }

    pub(super) fn want_id(&self, at: Ref<Want>) -> Option<Id<Want>> {
        self.wants.id(at)
    }

    pub(super) fn find(&self, cid: &Cid) -> Option<Ref<Want>> {
        let key = Key::new(cid);
        self.find_key(self.index.hash(key.bytes(), 0), &key)
    }

    fn find_key(&self, hash: Hash, key: &Key) -> Option<Ref<Want>> {
        self.index.find(hash, |at| self.wants.at(at).is_some_and(|want| want.key() == key))
    }

    /// The want of a CID. A new one is to be given a session want.
    pub(super) fn find_or_insert(&mut self, cid: &Cid) -> Ref<Want> {
        let key = Key::new(cid);
        let hash = self.index.hash(key.bytes(), 0);
        if let Some(want) = self.find_key(hash, &key) {
            return want;
        }
        let want = Want::new(key);
        self.heap_bytes += want.heap_bytes();
        let at = self.wants.insert(want).at();
        self.index.insert(hash, at);
        at
    }

    /// Keeps a block for the sessions that are to be told of it.
    pub(super) fn set_delivered(&mut self, at: Ref<Want>, block: Delivered) {
        if let Some(want) = self.wants.at_mut(at) {
            self.heap_bytes -= want.heap_bytes();
            want.set_delivered(Some(block));
            self.heap_bytes += want.heap_bytes();
        }
    }

    /// Frees a want, or its block, when nobody needs it any more.
    pub(super) fn free_if_unused(&mut self, at: Ref<Want>) {
        let Some(want) = self.wants.at_mut(at) else { return };
        if !want.has_no_session() {
            return;
        }
        self.heap_bytes -= want.heap_bytes();
        want.set_delivered(None);
        self.heap_bytes += want.heap_bytes();
        if !want.is_unused() {
            return;
        }
        self.heap_bytes -= want.heap_bytes();
        let hash = self.index.hash(want.key().bytes(), 0);
        self.index.remove(hash, at);
        self.wants.remove(at);
    }

    // Decisions that are due.

    /// A decision about the want is due.
    pub(super) fn set_undecided(&mut self, at: Ref<Want>) {
        if let Some(want) = self.wants.at_mut(at)
            && !want.set_undecided(true)
        {
            self.undecided.push_back(&mut self.wants, at);
        }
    }

    pub(super) fn next_undecided(&mut self) -> Option<Ref<Want>> {
        let at = self.undecided.first()?;
        self.undecided.remove(&mut self.wants, at);
        self.wants.at_mut(at)?.set_undecided(false);
        Some(at)
    }

    pub(super) const fn has_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    // Session wants.

    pub(super) fn session_want(&self, at: Ref<SessionWant>) -> Option<&SessionWant> {
        self.session_wants.at(at)
    }

    pub(super) fn session_want_mut(&mut self, at: Ref<SessionWant>) -> Option<&mut SessionWant> {
        self.session_wants.at_mut(at)
    }

    /// The rows that the lists of sessions go through.
    pub(super) const fn session_wants_mut(&mut self) -> &mut Rows<SessionWant> {
        &mut self.session_wants
    }

    pub(super) const fn session_wants(&self) -> &Rows<SessionWant> {
        &self.session_wants
    }

    /// What sessions want of a CID, the latest first.
    pub(super) fn session_wants_of(
        &self,
        want: Ref<Want>,
    ) -> impl Iterator<Item = (Ref<SessionWant>, &SessionWant)> {
        let list = self.wants.at(want).map(|want| want.session_wants().iter(&self.session_wants));
        list.into_iter().flatten()
    }

    pub(super) fn first_session_want(&self, want: Ref<Want>) -> Option<Ref<SessionWant>> {
        self.wants.at(want)?.session_wants().first()
    }

    /// The next of [`Self::session_wants_of`], for those who change them meanwhile.
    pub(super) fn next_session_want(&self, at: Ref<SessionWant>) -> Option<Ref<SessionWant>> {
        List::<SessionWant, OfWant>::next(&self.session_wants, at)
    }

    /// No session was told the size of a want's block by its caller.
    pub(super) fn is_size_guessed(&self, want: Ref<Want>) -> bool {
        self.session_wants_of(want).all(|(_, of)| of.is_size_guessed())
    }

    /// What a session wants of a CID.
    pub(super) fn session_want_of(
        &self,
        want: Ref<Want>,
        session: Ref<Session>,
    ) -> Option<Ref<SessionWant>> {
        self.session_wants_of(want).find(|(_, of)| of.session() == session).map(|(at, _)| at)
    }

    /// Adds a session want, which is in no list of its session yet. Whether it is the only live one.
    pub(super) fn add_session_want(&mut self, new: SessionWant) -> (Ref<SessionWant>, bool) {
        let want = new.want();
        let at = self.session_wants.insert(new).at();
        let Some(want) = self.wants.at_mut(want) else {
            debug_assert!(false, "a session wants what is not in the table");
            return (at, false);
        };
        let is_only = want.add_session_want(&mut self.session_wants, at);
        self.live += u32::from(is_only);
        (at, is_only)
    }

    /// A session want has ended, or is removed before: whether it was the last live one of its want, which
    /// then begins anew.
    pub(super) fn end_session_want(&mut self, want: Ref<Want>) -> bool {
        let Some(want) = self.wants.at_mut(want) else {
            debug_assert!(false, "a want ends that is not in the table");
            return false;
        };
        let was_last = want.end_session_want();
        self.live -= u32::from(was_last);
        was_last
    }

    /// Takes out a session want that is in no list of its session.
    pub(super) fn remove_session_want(&mut self, at: Ref<SessionWant>) -> Option<SessionWant> {
        let want = self.session_wants.at(at)?.want();
        if let Some(want) = self.wants.at_mut(want) {
            want.remove_session_want(&mut self.session_wants, at);
        }
        self.session_wants.remove(at)
    }

    // Peer wants.

    pub(super) fn peer_want(&self, at: Ref<PeerWant>) -> Option<&PeerWant> {
        self.peer_wants.at(at)
    }

    pub(super) fn peer_want_mut(&mut self, at: Ref<PeerWant>) -> Option<&mut PeerWant> {
        self.peer_wants.at_mut(at)
    }

    /// The rows that the lists of peers go through.
    pub(super) const fn peer_wants_mut(&mut self) -> &mut Rows<PeerWant> {
        &mut self.peer_wants
    }

    pub(super) const fn peer_wants(&self) -> &Rows<PeerWant> {
        &self.peer_wants
    }

    /// What peers know of a want, the latest first.
    pub(super) fn peer_wants_of(
        &self,
        want: Ref<Want>,
    ) -> impl Iterator<Item = (Ref<PeerWant>, &PeerWant)> {
        let list = self.wants.at(want).map(|want| want.peer_wants().iter(&self.peer_wants));
        list.into_iter().flatten()
    }

    pub(super) fn peer_want_of(&self, want: Ref<Want>, peer: Ref<Peer>) -> Option<Ref<PeerWant>> {
        self.peer_wants_of(want).find(|(_, of)| of.peer() == peer).map(|(at, _)| at)
    }

    /// Adds a peer want, which is in no list of its peer yet.
    pub(super) fn add_peer_want(&mut self, new: PeerWant) -> Ref<PeerWant> {
        let want = new.want();
        let at = self.peer_wants.insert(new).at();
        match self.wants.at_mut(want) {
            Some(want) => want.add_peer_want(&mut self.peer_wants, at),
            None => debug_assert!(false, "a peer is asked for what is not in the table"),
        }
        at
    }

    /// Makes a peer want a request for the block, or not one any more; whether that is new.
    pub(super) fn set_request(&mut self, at: Ref<PeerWant>, is_request: bool) -> bool {
        let Some(peer_want) = self.peer_wants.at_mut(at) else { return false };
        if peer_want.set_request(is_request) == is_request {
            return false;
        }
        if let Some(want) = self.wants.at_mut(peer_want.want()) {
            want.count_request(is_request);
        }
        true
    }

    /// Sets what a peer answered last.
    pub(super) fn set_answer(&mut self, at: Ref<PeerWant>, answer: Answer) {
        self.count_lacking(at, |row| row.set_answer(answer));
    }

    /// A peer want was written into a message.
    pub(super) fn mark_sent(&mut self, at: Ref<PeerWant>, kind: WantKind, now: Timestamp) {
        self.count_lacking(at, |row| row.mark_sent(kind, now));
    }

    /// Changes what a peer is known to lack.
    fn count_lacking(&mut self, at: Ref<PeerWant>, change: impl FnOnce(&mut PeerWant)) {
        let Some(row) = self.peer_wants.at_mut(at) else { return };
        let before = row.lacks();
        change(row);
        let after = row.lacks();
        if let Some(want) = self.wants.at_mut(row.want()) {
            want.count_lacking(before, after);
        }
    }

    /// Takes out a peer want that is in no list of its peer and no request.
    pub(super) fn remove_peer_want(&mut self, at: Ref<PeerWant>) {
        let Some(row) = self.peer_wants.at(at) else { return };
        let (want, lacks) = (row.want(), row.lacks());
        if let Some(want) = self.wants.at_mut(want) {
            want.remove_peer_want(&mut self.peer_wants, at, lacks);
        }
        self.peer_wants.remove(at);
    }

    // Sizes.

    /// Wants that are not over.
    pub(super) const fn live(&self) -> u32 {
        self.live
    }

    pub(super) fn session_wants_len(&self) -> usize {
        self.session_wants.len()
    }

    pub(super) fn peer_wants_len(&self) -> usize {
        self.peer_wants.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.heap_bytes
            + self.index.bytes()
            + self.wants.bytes()
            + self.session_wants.bytes()
            + self.peer_wants.bytes()
    }

    /// What is wrong with the table, if anything.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        self.undecided.validate(&self.wants)?;
        let (mut live, mut undecided, mut heap) = (0, 0, 0);
        let (mut of_sessions, mut of_peers) = (0, 0);
        for (id, want) in self.wants.iter() {
            want.validate(id.at(), &self.session_wants, &self.peer_wants)?;
            live += u32::from(!want.is_over());
            undecided += u32::from(want.is_undecided());
            heap += want.heap_bytes();
            of_sessions += want.session_wants().len() as usize;
            of_peers += want.peers() as usize;
            if self.find(&want.cid()) != Some(id.at()) {
                return Err("a want is not found by its CID");
            }
        }
        if (live, undecided, heap) != (self.live, self.undecided.len(), self.heap_bytes) {
            return Err("the sums over all wants are wrong");
        }
        if (of_sessions, of_peers) != (self.session_wants.len(), self.peer_wants.len()) {
            return Err("a session want or peer want belongs to no want");
        }
        Ok(())
    }
}

/// The terms of a want and of a peer want in the bound on memory.
pub(super) mod bound {
    use super::{Delivered, Index, PeerWant, Ref, Rows, SessionWant, Want};
    use crate::limits::CID_BYTES_MAX;

    pub(in crate::client) const EMPTY: u64 = Index::<Ref<Want>>::bytes_max(0);

    /// So many wants of one session each.
    pub(in crate::client) const fn wants(wants: u64) -> u64 {
        Rows::<Want>::bytes_max(wants)
            + Rows::<SessionWant>::bytes_max(wants)
            + Index::<Ref<Want>>::bytes_max(wants)
            + wants * (CID_BYTES_MAX + size_of::<Delivered>()) as u64
    }

    pub(in crate::client) const fn peer_wants(wants: u64) -> u64 {
        Rows::<PeerWant>::bytes_max(wants)
    }
}
