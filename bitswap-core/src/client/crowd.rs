//! A crowd: peers that fetch the same at the same time. They lack a block now, and have it soon.
//!
//! A crowd is as slow as the sources that it fetches from, unless its members give each other what they have. What peers
//! want of us says who they are, and that they lack it. A session that knows of two such peers (its *leeches*) or more
//!
//! * asks each source for little ahead, and first for blocks that no leech is known to have, in random order: so the
//!   members have different ones, and what the source is not asked for yet may come from others;
//! * tells a few leeches of its next wants when the sources are busy. They say HAVE once they have the block, and are
//!   asked for it then;
//! * has those forget a want that were asked for the block and lack it: they would send it as soon as they have it, when
//!   it may have come from elsewhere.
//!
//! Otherwise none of this happens: one peer alone may only say that it wants what we want.

use alloc::vec::Vec;

use super::Client;
use super::peer_state::PeerState;
use super::peer_want::{Answer, PeerWant, Pending};
use super::session::Session;
use super::session_want::{SessionWant, Stage};
use super::want_table::Want;
use crate::message::{WantKind, Wantlist};
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::{Id, Ref};

/// Bytes of a block for which one more peer is told of it: an entry, its answer and its cancel are a fiftieth of that.
const BYTES_PER_PEER: u32 = 8 << 10;
/// Peers that are told of one want at most.
const PEERS_MAX: u32 = 8;
/// Wants among which the next one is chosen, at most; and the bytes of a block for each, as looking takes time.
const CHOICE_MAX: u32 = 64;
const BYTES_PER_CHOICE: u32 = 1 << 10;
/// The latest requests of a peer that are looked at.
const LATEST: usize = 64;
/// Wants of a session of which peers that lack the block are told that they are over for them.
const WITHDRAWN_MAX: usize = 1024;

/// How many of the next wants are looked at, if their blocks are of that size.
fn choice(size: u32) -> usize {
    (size / BYTES_PER_CHOICE).clamp(1, CHOICE_MAX) as usize
}

impl Client {
    /// What a peer wants of us it does not have; what it wants no more it may have.
    pub(crate) fn also_wanted(&mut self, peer: Ref<Peer>, wantlist: &Wantlist, now: Timestamp) {
        if self.wants.live() == 0 {
            return;
        }
        let most = self.config.limits.entries_per_message as usize;
        for entry in wantlist.entries.iter().take(most) {
            match self.wants.find(&entry.cid) {
                Some(want) if entry.cancel => self.is_wanted_no_more(want, peer, now),
                Some(want) => self.is_wanted_by(want, peer, now),
                None => {}
            }
        }
    }

    /// The peer does not want the block any more that it was known to lack for that alone.
    fn is_wanted_no_more(&mut self, want: Ref<Want>, peer: Ref<Peer>, now: Timestamp) {
        let Some(at) = self.wants.peer_want_of(want, peer) else { return };
        let is_untold = |row: &PeerWant| row.sent().is_none() && row.pending().is_none();
        if !self.is_over(want) && self.wants.peer_want(at).is_some_and(is_untold) {
            self.remove_peer_want(at, now);
            // Whoever waits for it has somebody to ask.
            self.wants.set_undecided(want);
        }
    }

    /// The peer wants the same block, so it lacks it until it says HAVE.
    fn is_wanted_by(&mut self, want: Ref<Want>, peer: Ref<Peer>, now: Timestamp) {
        let Some(id) = self.peers.id(peer) else { return };
        if self.is_over(want) || !self.may_learn(want, id) {
            return;
        }
        for session in self.sessions_of(want) {
            if let Some(row) = self.sessions.at_mut(session).filter(|row| row.peers().may_ask(id)) {
                let was_crowd = row.peers().is_crowd();
                row.peers_mut().set_leech(id);
                if !was_crowd && row.peers().is_crowd() {
                    self.take_back(session, now);
                    self.withdraw_all(session, now);
                }
            }
        }
        let at = match self.wants.peer_want_of(want, peer) {
            Some(at) => at,
            None if self.is_crowded(peer) => return,
            None => self.add_peer_want(want, peer, now),
        };
        let is_unasked = |row: &PeerWant| {
            row.sent().is_none() && row.pending().is_none() && row.answer() == Answer::None
        };
        if self.wants.peer_want(at).is_some_and(is_unasked) {
            self.wants.set_answer(at, Answer::DontHave);
        }
    }

    /// A peer lacks a block that it was asked for. In a crowd it may fetch the same, and would send the block as soon as it
    /// has it, when it may have come from elsewhere: it is to forget the want.
    pub(super) fn withdraw_in_crowd(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        let Some(want) = self.wants.peer_want(at).map(PeerWant::want) else { return };
        let is_crowd =
            |session| self.sessions.at(session).is_some_and(|row| row.peers().is_crowd());
        if self.wants.session_wants_of(want).any(|(_, of)| is_crowd(of.session())) {
            self.cancel_peer_want(at, now);
        }
    }

    /// The same of all that a session asked for before it knew.
    fn withdraw_all(&mut self, session: Ref<Session>, now: Timestamp) {
        let Some(row) = self.sessions.at(session) else { return };
        let rows = self.wants.session_wants();
        let open = row.wants().asked(rows).chain(row.wants().waiting(rows));
        let open = open.chain(row.wants().most_urgent(rows)).take(WITHDRAWN_MAX);
        let open: Vec<Ref<Want>> = open.map(|(_, of)| of.want()).collect();
        for want in open {
            for at in self.peer_wants_of(want) {
                let lacks = |row: &PeerWant| {
                    row.sent() == Some(WantKind::Block)
                        && row.answer() == Answer::DontHave
                        && !row.is_cancelled()
                };
                if self.wants.peer_want(at).is_some_and(lacks) {
                    self.cancel_peer_want(at, now);
                }
            }
        }
    }

    /// The peer has forgotten a want, and is still known to lack its block.
    pub(super) fn remove_cancelled(&mut self, at: Ref<PeerWant>, now: Timestamp) {
        let Some(row) = self.wants.peer_want(at) else { return };
        let (want, peer, lacks) = (row.want(), row.peer(), row.answer() == Answer::DontHave);
        self.remove_peer_want(at, now);
        if lacks && !self.is_over(want) {
            let at = self.add_peer_want(want, peer, now);
            self.wants.set_answer(at, Answer::DontHave);
        }
    }

    /// What a session asks for next, and of whom if that is known: in a crowd a want that a peer with room has said HAVE to,
    /// or else any of the first, so that its members ask for different ones.
    pub(super) fn next_queued(
        &mut self,
        session: Ref<Session>,
        size: u32,
    ) -> Option<(Ref<SessionWant>, Option<Id<Peer>>)> {
        let row = self.sessions.at(session)?;
        let first = (row.wants().first_queued()?, None);
        if !row.is_in_crowd() {
            return Some(first);
        }
        let leeches = row.peers().leeches();
        let is_held = |of: &PeerWant| {
            of.answer() == Answer::Have
                && leeches.binary_search(&of.peer()).is_ok()
                && self
                    .peers
                    .get(of.peer())
                    .is_some_and(|state| state.is_usable() && !state.punctuality().is_silent())
        };
        let rows = self.wants.session_wants();
        let (mut all, mut rare) = (Vec::new(), Vec::new());
        for (at, of) in row.wants().most_urgent(rows).take(choice(size)) {
            let mut holders = self.wants.peer_wants_of(of.want()).filter(|(_, of)| is_held(of));
            let mut is_rare = true;
            let free = holders.find_map(|(_, of)| {
                is_rare = false;
                let peer = self.peers.id(of.peer()).filter(|_| of.may_request())?;
                self.is_free(session, peer, size).then_some(peer)
            });
            if free.is_some() {
                return Some((at, free));
            }
            all.push(at);
            if is_rare {
                rare.push(at);
            }
        }
        // Who has the others may be slow, so a source that has room is asked for these as well.
        let next = if rare.is_empty() { all } else { rare };
        let drawn = self.rng.below(next.len().max(1) as u64) as usize;
        next.get(drawn).map(|at| (*at, None))
    }

    /// The sessions that want a block and have not asked for it.
    pub(super) fn sessions_with_queued(&self, want: Ref<Want>) -> Vec<Ref<Session>> {
        let queued = self.wants.session_wants_of(want);
        let queued = queued.filter(|(_, of)| of.stage() == Stage::Queued);
        queued.map(|(_, of)| of.session()).collect()
    }

    /// The peer may be asked for one more block of a crowd.
    fn is_free(&self, session: Ref<Session>, peer: Id<Peer>, size: u32) -> bool {
        let may_ask = self.sessions.at(session).is_some_and(|row| row.peers().may_ask(peer));
        may_ask
            && self.peers.get_id(peer).is_some_and(|state| {
                state.is_usable()
                    && state.has_room(size, u32::MAX, self.has_choice())
                    && state.has_room_in_crowd(size, true)
            })
    }

    /// The sources of a session have no room for its next wants: leeches are told of them.
    pub(super) fn tell_leeches_of_next(&mut self, session: Ref<Session>, now: Timestamp) {
        let Some(row) = self.sessions.at(session).filter(|row| row.peers().is_crowd()) else {
            return;
        };
        let size = row.recent_size();
        let rows = self.wants.session_wants();
        let next = row.wants().most_urgent(rows).take(choice(size)).map(|(_, of)| of.want());
        let next: Vec<Ref<Want>> = next.collect();
        for want in next {
            self.tell_leeches(session, want, size, now);
        }
    }

    /// Tells a few leeches of a want, unless they were told.
    pub(super) fn tell_leeches(
        &mut self,
        session: Ref<Session>,
        want: Ref<Want>,
        size: u32,
        now: Timestamp,
    ) {
        let Some(row) = self.sessions.at(session).filter(|row| row.peers().is_crowd()) else {
            return;
        };
        let was_told = |of: &PeerWant| of.sent().is_some() || of.pending().is_some();
        let told = self.wants.peer_wants_of(want).filter(|(_, of)| was_told(of)).count();
        let most = (size / BYTES_PER_PEER).clamp(1, PEERS_MAX) as usize;
        let can_be_told = |peer: &Ref<Peer>| {
            let state = self.peers.get(*peer);
            let known = self.wants.peer_want_of(want, *peer);
            let known = known.and_then(|at| self.wants.peer_want(at));
            state.is_some_and(|state| {
                state.is_usable() && state.has_presence() && row.peers().may_ask(state.id())
            }) && known.map_or_else(|| !self.is_crowded(*peer), |of| !was_told(of))
        };
        let mut leeches = row.peers().leeches();
        leeches.retain(can_be_told);
        for _ in told..most {
            if leeches.is_empty() {
                return;
            }
            let drawn = self.rng.below(leeches.len() as u64) as usize;
            let peer = leeches.swap_remove(drawn);
            let at = match self.wants.peer_want_of(want, peer) {
                Some(at) => at,
                None => self.add_peer_want(want, peer, now),
            };
            self.set_pending(at, Some(Pending::Want(WantKind::Have)), now);
        }
    }

    /// What sources were asked for beyond what they deliver soon, before it was known that others fetch the same, is asked
    /// for anew later, in another order and perhaps of others.
    fn take_back(&mut self, session: Ref<Session>, now: Timestamp) {
        let Some(row) = self.sessions.at(session) else { return };
        let size = row.recent_size();
        let members: Vec<Id<Peer>> =
            row.peers().members().iter().map(|member| member.id()).collect();
        for peer in members {
            let owes_too_much = |state: &&PeerState| state.owes_too_much(size);
            let Some(state) = self.peers.get_id(peer).filter(owes_too_much) else { continue };
            let latest: Vec<Ref<PeerWant>> = state
                .queue()
                .latest(self.wants.peer_wants())
                .filter(|(_, of)| of.is_request() && self.is_asked_by(session, of.want()))
                .map(|(at, _)| at)
                .take(LATEST)
                .collect();
            for at in latest {
                let has_room = |state: &PeerState| state.has_room_in_crowd(size, false);
                if self.peers.get_id(peer).is_none_or(has_room) {
                    break;
                }
                let Some(want) = self.wants.peer_want(at).map(PeerWant::want) else { continue };
                self.cancel_peer_want(at, now);
                if self.wants.want(want).is_some_and(|want| !want.has_request()) {
                    self.move_session_wants(want, Stage::Queued, now);
                }
            }
        }
    }
}
