//! What peers answer: blocks, HAVE, DONT_HAVE.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use super::Client;
use super::session::Session;
use super::table::{Answer, Delivered, End, Say, Stage};
use crate::block::Block;
use crate::message::{Presence, WantKind};
use crate::output::Support;
use crate::peer::micros;
use crate::rows::Id;
use crate::time::Timestamp;

/// Cancels of what a peer answers and was not told, kept for it.
pub(super) const STRAYS_MAX: usize = 16;
/// Cancels owed for what was told again before it came, at most: without one the peer sends a block twice.
pub(super) const AGAIN_MAX: usize = 48;
/// HAVEs of a peer in [`CLAIMS_TIME`] that count although it was not told of the want. Who says HAVE of
/// one CID after another learns from the requests which are wanted here.
const CLAIMS_MAX: u32 = 16;
const CLAIMS_TIME: Duration = Duration::from_secs(1);

impl Client {
    /// A message of a peer.
    pub(crate) fn received(
        &mut self,
        peer: u32,
        blocks: Vec<Block>,
        mut presences: Vec<Presence>,
        now: Timestamp,
    ) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        if contact.support == Support::No || contact.lane.is_refused() {
            // It speaks after all.
            contact.support = Support::Yes;
            contact.lane.revive();
            self.update_standing(peer);
        }
        for block in blocks {
            if block.data().len() > self.config.block_bytes_max as usize {
                self.count_unwanted(peer);
                presences.push(Presence { cid: *block.cid(), have: false });
            } else {
                self.received_block(peer, block, now);
            }
        }
        for presence in presences {
            let want = self.want_of(&presence.cid);
            let pair = want.and_then(|want| self.find_pair(want, peer));
            if let Some(pair) = pair.and_then(|pair| self.pairs.at_mut(pair))
                && pair.told.is_some()
                // Told twice, it is not known which of them it answers.
                && core::mem::take(&mut pair.unanswered) == 1
                && let Some(contact) = self.peers.get_mut(peer)
            {
                contact.answered(micros(now.since(pair.asked)));
            }
            match (want, presence.have) {
                (Some(want), true) if pair.is_some() || self.claims(peer, want, now) => {
                    self.received_have(peer, want, presence.cid, now);
                }
                (Some(want), false) if pair.is_some() => self.received_dont_have(peer, want, now),
                // The same whether it is wanted or not: the peer is not to learn which.
                _ => self.stray(peer, presence.cid),
            }
        }
    }

    /// Whether a HAVE counts of a peer that was not told of the want: a session must be free to ask it,
    /// and more peers may learn of the want.
    fn claims(&mut self, peer: u32, want: u32, now: Timestamp) -> bool {
        let Some(contact) = self.peers.get(peer) else { return false };
        if self.is_over(want) || !self.may_learn(want, contact.id) || !self.may_widen(Some(want)) {
            return false;
        }
        let Some(contact) = self.peers.get_mut(peer) else { return false };
        if now.since(contact.claims_since) >= CLAIMS_TIME {
            (contact.claims_since, contact.claims) = (now, 0);
        }
        contact.claims = contact.claims.saturating_add(1);
        contact.claims <= CLAIMS_MAX
    }

    /// No session wants it any more; some peer is still to hear of that.
    pub(super) fn is_over(&self, want: u32) -> bool {
        self.wants.at(want).is_none_or(|row| row.live == 0)
    }

    fn received_block(&mut self, peer: u32, block: Block, now: Timestamp) {
        let (cid, data) = block.into_parts();
        let bytes = data.len() as u64;
        self.forget_stray(peer, &cid);
        let want = self.want_of(&cid);
        let Some(want) = want.filter(|want| !self.is_over(*want)) else {
            self.received_superfluous(peer, want, bytes, now);
            return;
        };
        let pair = self.find_pair(want, peer);
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.silences = 0;
        for fetched in [&mut contact.fetched, &mut self.fetched] {
            fetched.blocks += 1;
            fetched.bytes += bytes;
        }
        let id = contact.id;
        if let Some(pair) = pair.and_then(|pair| self.pairs.at(pair))
            && pair.told.is_some()
        {
            contact.meter.delivered(bytes, pair.asked, pair.queue, contact.busy, now);
            let guessed = pair.told == Some(WantKind::Block);
            self.guessed(want, true, guessed);
        }
        // After a HAVE the block is no news.
        let news =
            !pair.and_then(|pair| self.pairs.at(pair)).is_some_and(|p| p.answer == Answer::Have);
        self.served(want, id, news);
        if let Some(at) = pair {
            // The peer forgets the want with the block: no cancel for it, unless it was told again
            // since it sent the block.
            let again = self.pairs.at(at).is_some_and(|pair| pair.unanswered > 1);
            self.drop_pair(at, now);
            if again
                && let Some(contact) = self.peers.get_mut(peer)
                && contact.strays.len() < STRAYS_MAX + AGAIN_MAX
            {
                contact.strays.push(cid);
                self.set_speaking(peer);
            }
        }
        if let Some(bucket) = &mut self.download {
            bucket.take(bytes);
        }
        self.refund_download(want);
        self.room = true;
        self.end_want(want, End::Block, Some(Delivered { data, from: id }), now);
    }

    /// Estimates charged to the download limit are replaced by what arrived.
    fn refund_download(&mut self, want: u32) {
        let sizes = self
            .interests_in(want)
            .filter(|(_, interest)| interest.stage == Stage::Asked)
            .map(|(_, interest)| u64::from(interest.size))
            .sum();
        if let Some(bucket) = &mut self.download {
            bucket.give(sizes);
        }
    }

    /// A block that nobody wants, any more or at all.
    fn received_superfluous(&mut self, peer: u32, want: Option<u32>, bytes: u64, now: Timestamp) {
        let pair = want.and_then(|want| self.find_pair(want, peer));
        let Some(contact) = self.peers.get_mut(peer) else { return };
        if contact.superfluous > 0 {
            contact.superfluous -= 1;
            for fetched in [&mut contact.fetched, &mut self.fetched] {
                fetched.duplicate_blocks += 1;
                fetched.duplicate_bytes += bytes;
            }
        } else {
            self.count_unwanted(peer);
        }
        if let Some(pair) = pair {
            // It has forgotten the want with the block: the cancel is spared.
            self.drop_pair(pair, now);
        }
    }

    fn count_unwanted(&mut self, peer: u32) {
        if let Some(contact) = self.peers.get_mut(peer) {
            contact.fetched.unwanted_blocks += 1;
            self.fetched.unwanted_blocks += 1;
        }
    }

    /// The peer has forgotten the want with the block.
    fn forget_stray(&mut self, peer: u32, cid: &Cid) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.strays.retain(|stray| stray != cid);
        if contact.strays.is_empty() {
            contact.strays = Vec::new();
        }
    }

    /// An answer about something that is not wanted: the peer seems not to know, so it is told.
    fn stray(&mut self, peer: u32, cid: Cid) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        let new = !contact.strays.contains(&cid);
        if new && contact.strays.len() < STRAYS_MAX && contact.said {
            contact.strays.push(cid);
            self.set_speaking(peer);
        }
    }

    fn received_have(&mut self, peer: u32, want: u32, cid: Cid, now: Timestamp) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.fetched.haves += 1;
        self.fetched.haves += 1;
        let id = contact.id;
        if self.is_over(want) || !self.may_learn(want, id) {
            return;
        }
        let at = match self.find_pair(want, peer) {
            Some(at) => at,
            None if self.is_crowded(peer) => return,
            None => self.new_pair(want, peer, now),
        };
        let Some(pair) = self.pairs.at_mut(at) else { return };
        if pair.say == Some(Say::Cancel) {
            return self.stray(peer, cid);
        }
        // Who was asked for the block and lacks it says so with DONT_HAVE, and sends the block itself
        // should it come by it later: a HAVE after that is no reason to ask again. The next search
        // gives it its second chance.
        if pair.answer == Answer::DontHave && pair.told == Some(WantKind::Block) {
            return;
        }
        let news = matches!(pair.answer, Answer::None | Answer::DontHave | Answer::Silent);
        if news {
            pair.answer = Answer::Have;
        }
        let asked = pair.asked;
        if news {
            self.learn(want, id, true);
        }
        if self.wants.at(want).is_some_and(|row| row.requests == 0) {
            self.set_undecided(want);
        } else {
            self.shorten(want, micros(now.since(asked)), now);
        }
    }

    fn received_dont_have(&mut self, peer: u32, want: u32, now: Timestamp) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        contact.fetched.dont_haves += 1;
        self.fetched.dont_haves += 1;
        let id = contact.id;
        let Some(at) = self.find_pair(want, peer) else { return };
        let Some(pair) = self.pairs.at_mut(at) else { return };
        if pair.say == Some(Say::Cancel) {
            return;
        }
        pair.answer = Answer::DontHave;
        let (requested, asked) = (pair.request, pair.asked);
        self.settle(at);
        self.refund(at);
        self.learn(want, id, false);
        if requested {
            self.guessed(want, false, true);
            self.linger(want, asked, now);
        }
        if self.wants.at(want).is_some_and(|row| row.requests == 0 && row.live > 0) {
            self.set_undecided(want);
        }
    }

    /// Found providers count as having said HAVE.
    pub(super) fn provided(&mut self, peer: u32, want: u32, now: Timestamp) {
        let Some(id) = self.peers.get(peer).map(|contact| contact.id) else { return };
        if !self.may_learn(want, id) {
            return;
        }
        let at = match self.find_pair(want, peer) {
            Some(at) => at,
            None if self.is_crowded(peer) => return,
            None => self.new_pair(want, peer, now),
        };
        if let Some(pair) = self.pairs.at_mut(at)
            && pair.answer == Answer::None
        {
            pair.answer = Answer::Have;
        }
        self.learn(want, id, true);
        if self.wants.at(want).is_some_and(|row| row.requests == 0) {
            self.set_undecided(want);
        }
    }

    /// Some session that waits for the want may ask this peer.
    pub(super) fn may_learn(&self, want: u32, peer: Id) -> bool {
        self.interests_in(want).any(|(_, interest)| {
            self.sessions.at(interest.session).is_some_and(|session| session.may_ask(peer))
        })
    }

    /// The sessions that wait for a want.
    pub(super) fn sessions_of(&self, want: u32) -> Box<[u32]> {
        self.interests_in(want)
            .filter(|(_, interest)| matches!(interest.stage, Stage::Asked | Stage::Waiting))
            .map(|(_, interest)| interest.session)
            .collect()
    }

    /// The sessions that wait for a want learn something about a peer.
    pub(super) fn learn(&mut self, want: u32, peer: Id, has: bool) {
        self.tell_sessions(want, peer, |session| session.member(peer).learn(has));
    }

    /// A peer has delivered a block; `news` when it had not said HAVE before.
    fn served(&mut self, want: u32, peer: Id, news: bool) {
        self.tell_sessions(want, peer, |session| {
            session.favourite = Some(peer);
            let member = session.member(peer);
            member.served += 1;
            if news {
                member.learn(true);
            }
        });
    }

    fn tell_sessions(&mut self, want: u32, peer: Id, mut tell: impl FnMut(&mut Session)) {
        for session in self.sessions_of(want) {
            if let Some(session) = self.sessions.at_mut(session)
                && session.may_ask(peer)
            {
                tell(session);
            }
        }
    }

    /// The outcome of a want's first guess, told once.
    pub(super) fn guessed(&mut self, want: u32, right: bool, was_guess: bool) {
        let Some(row) = self.wants.at_mut(want) else { return };
        if !was_guess || !core::mem::take(&mut row.guessing) {
            return;
        }
        for session in self.sessions_of(want) {
            if let Some(session) = self.sessions.at_mut(session) {
                session.guessed(right);
            }
        }
    }
}
