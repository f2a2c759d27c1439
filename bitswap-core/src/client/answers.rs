//! What peers answer: blocks, HAVE, DONT_HAVE.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cid::Cid;

use super::Client;
use super::peer_want::{Answer, PeerWant};
use super::session::Session;
use super::session_want::End;
use super::want_table::{Delivered, Want};
use crate::block::Block;
use crate::message::{Presence, WantKind};
use crate::peer::Peer;
use crate::stats::Fetched;
use crate::time::Timestamp;
use crate::util::rows::{Id, Ref};

impl Client {
    /// A message of a peer.
    pub(crate) fn received(
        &mut self,
        peer: Ref<Peer>,
        blocks: Vec<Block>,
        mut presences: Vec<Presence>,
        now: Timestamp,
    ) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        if state.has_spoken() {
            self.refresh_peer(peer);
        }
        for block in blocks {
            if block.data().len() > self.config.block_bytes_max as usize {
                self.count(peer, |fetched| fetched.unwanted_blocks += 1);
                presences.push(Presence { cid: *block.cid(), have: false });
            } else {
                self.received_block(peer, block, now);
            }
        }
        for presence in presences {
            self.received_presence(peer, presence, now);
        }
    }

    fn received_presence(&mut self, peer: Ref<Peer>, presence: Presence, now: Timestamp) {
        let want = self.wants.find(&presence.cid);
        let known = want.and_then(|want| self.wants.peer_want_of(want, peer));
        if let Some(row) = known.and_then(|known| self.wants.peer_want_mut(known))
            && row.answers_only_sending()
            && let Some(state) = self.peers.get_mut(peer)
        {
            state.punctuality_mut().answered(now.since(row.asked_at()));
        }
        match (want, presence.have) {
            (Some(want), true) if known.is_some() || self.is_credible_claim(peer, want, now) => {
                self.received_have(peer, want, now);
            }
            (Some(want), false) if known.is_some() => self.received_dont_have(peer, want, now),
            // The same whether it is wanted or not: the peer is not to learn which.
            _ => self.received_unsolicited(peer, presence.cid),
        }
    }

    /// Whether a HAVE counts of a peer that was not sent the want: a session must be free to ask it, and more
    /// peers may learn of the want.
    fn is_credible_claim(&mut self, peer: Ref<Peer>, want: Ref<Want>, now: Timestamp) -> bool {
        let Some(id) = self.peers.id(peer) else { return false };
        let is_open = self.wants.want(want).is_some_and(|row| {
            !row.is_over() && row.hopeful() < u32::from(self.config.peers_per_want_max)
        });
        is_open
            && self.may_learn(want, id)
            && self.peers.get_mut(peer).is_some_and(|state| state.may_claim(now))
    }

    /// No session wants it any more; some peer is still to be sent that.
    pub(super) fn is_over(&self, want: Ref<Want>) -> bool {
        self.wants.want(want).is_none_or(Want::is_over)
    }

    fn received_block(&mut self, peer: Ref<Peer>, block: Block, now: Timestamp) {
        let (cid, data) = block.into_parts();
        let bytes = data.len() as u64;
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.queue_mut().disown_cancel(&cid);
        let want = self.wants.find(&cid);
        let Some(want) = want.filter(|want| !self.is_over(*want)) else {
            return self.received_superfluous(peer, want, bytes, now);
        };
        let Some(state) = self.peers.get_mut(peer) else { return };
        let was_measured = state.punctuality().is_measured();
        state.punctuality_mut().delivered();
        let id = state.id();
        self.count(peer, |fetched| {
            fetched.blocks += 1;
            fetched.bytes += bytes;
        });
        let known = self.wants.peer_want_of(want, peer);
        let row = known.and_then(|known| self.wants.peer_want(known));
        // After a HAVE the block is no news.
        let news = row.is_none_or(|row| row.answer() != Answer::Have);
        let is_resent = row.is_some_and(PeerWant::was_sent_again);
        if let Some((kind, row)) = row.and_then(|row| Some((row.sent()?, row))) {
            if let Some(state) = self.peers.get_mut(peer) {
                state.measure(bytes, row.asked_at(), row.bytes_before(), now);
            }
            if kind == WantKind::Block {
                self.first_choice_was(want, true);
            }
        }
        self.served(want, id, news);
        self.charge_arrival(peer, bytes, now);
        if let Some(at) = known {
            // The peer forgets the want with the block: no cancel for it, unless it was sent again since the
            // peer sent the block.
            self.remove_peer_want(at, now);
            if is_resent
                && let Some(state) = self.peers.get_mut(peer)
                && state.queue_mut().owe_cancel_for_resent(cid)
            {
                self.peers.set_sending(peer);
            }
        }
        if !was_measured {
            self.expect_second(peer, now);
        }
        self.schedule.peer_has_room();
        self.end_want(want, End::Block, Some(Delivered { data, from: id }), now);
    }

    /// A block that nobody wants, any more or at all.
    fn received_superfluous(
        &mut self,
        peer: Ref<Peer>,
        want: Option<Ref<Want>>,
        bytes: u64,
        now: Timestamp,
    ) {
        let is_duplicate = self.peers.get_mut(peer).is_some_and(|state| state.take_superfluous());
        self.count(peer, |fetched| {
            if is_duplicate {
                fetched.duplicate_blocks += 1;
                fetched.duplicate_bytes += bytes;
            } else {
                fetched.unwanted_blocks += 1;
            }
        });
        if is_duplicate {
            self.charge_arrival(peer, bytes, now);
        }
        if let Some(at) = want.and_then(|want| self.wants.peer_want_of(want, peer)) {
            // It has forgotten the want with the block: the cancel is spared.
            self.remove_peer_want(at, now);
        }
    }

    /// Counts something for a peer and for all.
    pub(super) fn count(&mut self, peer: Ref<Peer>, mut count: impl FnMut(&mut Fetched)) {
        if let Some(state) = self.peers.get_mut(peer) {
            count(state.fetched_mut());
            count(&mut self.fetched);
        }
    }

    /// An answer about something that is not wanted: the peer seems not to know, so it is sent a cancel.
    fn received_unsolicited(&mut self, peer: Ref<Peer>, cid: Cid) {
        if let Some(state) = self.peers.get_mut(peer)
            && state.queue_mut().owe_cancel_for_unsolicited(cid)
        {
            self.peers.set_sending(peer);
        }
    }

    fn received_have(&mut self, peer: Ref<Peer>, want: Ref<Want>, now: Timestamp) {
        self.count(peer, |fetched| fetched.haves += 1);
        let Some(id) = self.peers.id(peer) else { return };
        if self.is_over(want) || !self.may_learn(want, id) {
            return;
        }
        let Some(at) = self.peer_want_for_answer(want, peer, now) else { return };
        let Some(row) = self.wants.peer_want(at) else { return };
        if row.is_cancelled() {
            // Its cancel is about to be sent.
            return;
        }
        // Who was asked for the block and lacks it says so with DONT_HAVE, and sends the block itself should
        // it come by it later: a HAVE after that is no reason to ask again. The next search gives it its
        // second chance.
        if row.answer() == Answer::DontHave && row.sent() == Some(WantKind::Block) {
            return;
        }
        let asked = row.asked_at();
        if matches!(row.answer(), Answer::None | Answer::DontHave | Answer::Silent) {
            self.wants.set_answer(at, Answer::Have);
            self.learn(want, id, true);
        }
        let has_request = self.wants.want(want).is_some_and(Want::has_request);
        if has_request && self.ask_beside_overdue(want, now) {
            return;
        }
        if has_request {
            // Who comes after others is no reason to hurry these.
            if self.may_learn_now(want, id) {
                self.shorten_deadline(want, now.since(asked), now);
            }
        } else {
            self.wants.set_undecided(want);
        }
    }

    /// What the peer knows of the want, or a new peer want if there is room for one.
    fn peer_want_for_answer(
        &mut self,
        want: Ref<Want>,
        peer: Ref<Peer>,
        now: Timestamp,
    ) -> Option<Ref<PeerWant>> {
        match self.wants.peer_want_of(want, peer) {
            Some(at) => Some(at),
            None if self.is_crowded(peer) => None,
            None => Some(self.add_peer_want(want, peer, now)),
        }
    }

    fn received_dont_have(&mut self, peer: Ref<Peer>, want: Ref<Want>, now: Timestamp) {
        self.count(peer, |fetched| fetched.dont_haves += 1);
        let Some(id) = self.peers.id(peer) else { return };
        let Some(at) = self.wants.peer_want_of(want, peer) else { return };
        let Some(row) = self.wants.peer_want(at) else { return };
        if row.is_cancelled() {
            return;
        }
        let (was_request, asked) = (row.is_request(), row.asked_at());
        self.wants.set_answer(at, Answer::DontHave);
        self.end_request(at);
        self.refund(at, now);
        self.learn(want, id, false);
        if was_request {
            self.first_choice_was(want, false);
            self.wait_for_presence(want, asked, now);
        }
        if self.wants.want(want).is_some_and(|row| !row.has_request() && !row.is_over()) {
            self.wants.set_undecided(want);
        }
    }

    /// Found providers count as having said HAVE.
    pub(super) fn provider_found(&mut self, peer: Ref<Peer>, want: Ref<Want>, now: Timestamp) {
        let Some(id) = self.peers.id(peer) else { return };
        if !self.may_learn(want, id) {
            return;
        }
        let Some(at) = self.peer_want_for_answer(want, peer, now) else { return };
        if self.wants.peer_want(at).is_some_and(|row| row.answer() == Answer::None) {
            self.wants.set_answer(at, Answer::Have);
        }
        self.learn(want, id, true);
        if self.wants.want(want).is_some_and(|row| !row.has_request()) {
            self.wants.set_undecided(want);
        }
    }

    /// Some session that waits for the want may ask this peer, though others may come first.
    pub(super) fn may_learn(&self, want: Ref<Want>, peer: Id<Peer>) -> bool {
        self.wants.session_wants_of(want).any(|(_, of)| {
            self.sessions.at(of.session()).is_some_and(|session| session.given().may_ask(peer))
        })
    }

    /// The same, now.
    fn may_learn_now(&self, want: Ref<Want>, peer: Id<Peer>) -> bool {
        let mut sessions = self.wants.session_wants_of(want);
        sessions.any(|(_, of)| self.may_ask_for(of.session(), want, peer))
    }

    /// The sessions that wait for a want.
    pub(super) fn sessions_of(&self, want: Ref<Want>) -> Box<[Ref<Session>]> {
        let waiting = self.wants.session_wants_of(want).filter(|(_, of)| of.is_asked_or_waiting());
        waiting.map(|(_, of)| of.session()).collect()
    }

    pub(super) fn for_sessions_of(
        &mut self,
        want: Ref<Want>,
        mut change: impl FnMut(&mut Session),
    ) {
        let mut next = self.wants.first_session_want(want);
        while let Some(at) = next {
            next = self.wants.next_session_want(at);
            if let Some(session) = self.asked_or_waiting(at)
                && let Some(session) = self.sessions.at_mut(session)
            {
                change(session);
            }
        }
    }

    /// The sessions that wait for a want learn something about a peer.
    pub(super) fn learn(&mut self, want: Ref<Want>, peer: Id<Peer>, has: bool) {
        self.for_sessions_of(want, |session| {
            if session.given().may_ask(peer) {
                session.peers_mut().learn(peer, has);
            }
        });
    }

    /// A peer has delivered a block; `news` when it had not said HAVE before.
    fn served(&mut self, want: Ref<Want>, peer: Id<Peer>, news: bool) {
        self.for_sessions_of(want, |session| {
            if session.given().may_ask(peer) {
                session.peers_mut().serve(peer, news);
            }
        });
    }

    /// The outcome of a want's first choice, told once.
    fn first_choice_was(&mut self, want: Ref<Want>, right: bool) {
        if self.wants.want_mut(want).is_some_and(Want::close_first_choice) {
            self.for_sessions_of(want, |session| session.peers_mut().first_choice_was(right));
        }
    }
}
