//! When nobody asked can help: provider lookups, second chances, and the end of patience.

use alloc::collections::BTreeSet;
use core::time::Duration;

use super::contact::Contact;
use super::lists::first_queued;
use super::options::WhenMissing;
use super::session::{Lookup, Session};
use super::standing::{Standing, Standings};
use super::table::{Answer, End, Say, Stage};
use super::{Client, Output, list_of};
use crate::output;
use crate::rows::NONE;
use crate::time::Timestamp;

/// Lookups under way, of all sessions together.
pub(super) const LOOKUPS_MAX: usize = 64;
/// How often the search interval doubles.
const DOUBLINGS_MAX: u32 = 6;
/// Searches without progress after which silence of a peer that cannot say DONT_HAVE counts as one.
const PATIENCE: u32 = 3;
/// Waiting wants whose silent peers get a second chance at a time.
const SECOND_CHANCES: usize = 256;

impl Client {
    /// A session that had nothing to want has wants now. If its peers did not just serve it, a
    /// lookup runs beside the first questions.
    pub(super) fn start_search(&mut self, session: u32, now: Timestamp) {
        let interval = self.config.search_interval;
        let Some(row) = self.sessions.at(session) else { return };
        let recent = row.last_progress.filter(|last| now.since(*last) < interval);
        match recent {
            Some(last) => self.arm_search(session, last + interval),
            None => {
                self.arm_search(session, now + interval);
                self.look_up(session);
            }
        }
    }

    pub(super) fn arm_search(&mut self, session: u32, at: Timestamp) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        if let Some(before) = row.search_at.replace(at) {
            self.searches.remove(&(before, session));
        }
        self.searches.insert((at, session));
    }

    /// The search timer of a session: if it made no progress, it looks for providers, and peers
    /// that were silent may be asked again.
    pub(super) fn search(&mut self, session: u32, now: Timestamp) {
        let interval = self.config.search_interval;
        let Some(row) = self.sessions.at_mut(session) else { return };
        row.search_at = None;
        if row.wants() == 0 {
            return;
        }
        if let Some(last) = row.last_progress.filter(|last| now.since(*last) < interval) {
            self.arm_search(session, last + interval);
            return;
        }
        let pause = interval.saturating_mul(1 << row.searches.min(DOUBLINGS_MAX));
        row.searches = row.searches.saturating_add(1);
        self.arm_search(session, now + pause.max(Duration::from_micros(1)));
        self.second_chances(session, now);
        self.look_up(session);
        self.set_ready(session);
    }

    /// Peers that let a deadline pass may have lost the want, and those that lacked the block may
    /// have forgotten it before they got it: they may be asked again. Where there is no room for
    /// more pairs they give way, and others have their turn first.
    fn second_chances(&mut self, session: u32, now: Timestamp) {
        if self.pairs.len() >= self.config.limits.told as usize {
            self.full_at = Some(now);
        }
        // What one session gives up is not all taken by it again: the others that search now do the same.
        let is_full = self.full_at == Some(now);
        let Some(row) = self.sessions.at(session) else { return };
        let first_queued = first_queued(row).unwrap_or(NONE);
        let wants: alloc::vec::Vec<u32> = [row.waiting.head, row.asked.head, first_queued]
            .into_iter()
            .flat_map(|head| list_of(&self.interests, head).take(SECOND_CHANCES))
            .filter_map(|at| self.interests.at(at).map(|interest| interest.want))
            .collect();
        let mut left = BTreeSet::new();
        for want in wants {
            let pairs: alloc::vec::Vec<u32> = self.pairs_of(want).map(|(at, _)| at).collect();
            for at in pairs {
                let Some(pair) = self.pairs.at_mut(at) else { continue };
                if pair.request || pair.answer == Answer::Have || pair.say == Some(Say::Cancel) {
                    continue;
                }
                let peer = pair.peer;
                pair.answer = Answer::None;
                // What it has not delivered by now takes no room with it.
                self.refund(at);
                if is_full || self.is_crowded(peer) {
                    self.drop_pair(at, now);
                    left.insert(peer);
                }
            }
        }
        let gave_way = !left.is_empty();
        for peer in left {
            self.retell(peer, now);
            self.set_speaking(peer);
        }
        if gave_way {
            self.wake_blocked();
        }
        if let Some(row) = self.sessions.at_mut(session) {
            row.recheck = if gave_way && row.queued > 0 { 0 } else { row.waiting.len() };
        }
    }

    /// There is no room for another pair of this peer.
    pub(super) fn is_crowded(&self, peer: u32) -> bool {
        let limits = &self.config.limits;
        let full = |contact: &Contact| contact.pairs() >= limits.told_per_peer;
        self.pairs.len() >= limits.told as usize || self.peers.get(peer).is_some_and(full)
    }

    /// Looks for providers of the want that needs them most, unless a lookup is under way.
    fn look_up(&mut self, session: u32) {
        let Some(row) = self.sessions.at(session) else { return };
        let heads = [row.waiting.head, row.asked.head].into_iter().find(|head| *head != NONE);
        let other = heads.or_else(|| first_queued(row));
        if let Some(at) = self.unsearched(session).or(other) {
            self.look_up_for(session, at);
        }
    }

    /// Looks for providers of a waiting want that no lookup was made for yet.
    fn look_up_next(&mut self, session: u32) {
        if let Some(at) = self.unsearched(session) {
            self.look_up_for(session, at);
        }
    }

    fn unsearched(&self, session: u32) -> Option<u32> {
        let row = self.sessions.at(session).filter(|row| row.lookup.is_none())?;
        list_of(&self.interests, row.waiting.head)
            .find(|at| self.interests.at(*at).is_some_and(|interest| !interest.searched))
    }

    fn look_up_for(&mut self, session: u32, at: u32) {
        let Some(id) = self.sessions.id(session) else { return };
        let Some(row) = self.sessions.at(session) else { return };
        if !row.options.find_providers || row.lookup.is_some() || self.lookups.len() >= LOOKUPS_MAX
        {
            return;
        }
        let Some(want) = self.interests.at(at).map(|interest| interest.want) else { return };
        let Some(want) = self.wants.id(want) else { return };
        let Some(cid) = self.wants.get(want).map(|row| row.key.cid()) else { return };
        let number = self.next_lookup;
        self.next_lookup += 1;
        self.lookups.insert(number, session);
        if let Some(row) = self.sessions.at_mut(session) {
            row.lookup = Some(Lookup { id: number, want });
        }
        self.outbox.push_back(Output::FindProviders { id: number, session: id, cid });
    }

    /// A session's want has ended: its lookup for it is over.
    pub(super) fn stop_lookup_for(&mut self, session: u32, want: u32) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        if let Some(lookup) = row.lookup.take_if(|lookup| lookup.want.index == want) {
            self.stop_lookup(lookup.id);
        }
    }

    /// Ends a lookup. One that nobody was asked for yet never starts.
    pub(super) fn stop_lookup(&mut self, lookup: u64) {
        self.lookups.remove(&lookup);
        let unsaid = self
            .outbox
            .iter()
            .position(|output| matches!(output, Output::FindProviders { id, .. } if *id == lookup));
        match unsaid {
            Some(place) => {
                self.outbox.remove(place);
                if self.outbox.is_empty() {
                    self.outbox = alloc::collections::VecDeque::new();
                }
            }
            None => self.outbox.push_back(Output::StopLookup { id: lookup }),
        }
    }

    /// The answer to a lookup, whole or in part.
    pub(crate) fn providers(
        &mut self,
        id: u64,
        peers: &[u32],
        state: output::Lookup,
        now: Timestamp,
    ) -> bool {
        let Some(session) = self.lookups.get(&id).copied() else { return false };
        let Some(lookup) = self.sessions.at(session).and_then(|row| row.lookup) else {
            return false;
        };
        for peer in peers {
            self.provided(*peer, lookup.want.index, now);
        }
        if state == output::Lookup::Done {
            self.lookups.remove(&id);
            if let Some(row) = self.sessions.at_mut(session) {
                row.lookup = None;
            }
            self.lookup_done(session, lookup.want.index, now);
        }
        true
    }

    /// A lookup has ended: wants that only waited for it are missing, and the next one that waits
    /// has its turn.
    fn lookup_done(&mut self, session: u32, want: u32, now: Timestamp) {
        let at = self
            .interests_in(want)
            .find(|(_, interest)| interest.session == session)
            .map(|(at, _)| at);
        if let Some(at) = at
            && let Some(interest) = self.interests.at_mut(at)
        {
            interest.searched = true;
            let undecided = self.wants.at(want).is_some_and(|row| row.undecided);
            let waits = interest.stage == Stage::Waiting && !undecided;
            if waits && self.fails_when_missing(session) && self.is_missing(session, want) {
                self.end(at, End::NotFound, 0, now);
            }
        }
        if self.fails_when_missing(session) {
            self.look_up_next(session);
        }
    }

    pub(super) fn fails_when_missing(&self, session: u32) -> bool {
        self.sessions.at(session).is_some_and(|row| row.options.when_missing == WhenMissing::Fail)
    }

    /// Whether peers have answered that they lack a want's block, and none of those that the session
    /// may ask can still say otherwise. A peer that left, or is silent, or cannot be told anything for
    /// the moment, has answered nothing; one that does not speak Bitswap has answered for good.
    fn is_missing(&self, session: u32, want: u32) -> bool {
        let Some(row) = self.sessions.at(session) else { return false };
        let mut answered = false;
        for (_, pair) in self.pairs_of(want) {
            answered |= match pair.answer {
                Answer::DontHave => true,
                Answer::Silent | Answer::HaveThenSilent => {
                    let may_say = self.peers.get(pair.peer).is_none_or(Contact::has_presence);
                    if may_say || row.searches < PATIENCE {
                        return false;
                    }
                    true
                }
                Answer::None | Answer::Have => false,
            };
        }
        let standings = self.standings_for(row);
        answered |= standings.count(Standing::Mute) > 0;
        standings.count(Standing::Resting) == 0 && answered
    }

    /// How many of the peers that a session may ask are of each standing.
    pub(super) fn standings_for(&self, session: &Session) -> Standings {
        if !session.options.only {
            return self.standings;
        }
        let mut standings = Standings::default();
        for id in &session.allowed {
            let contact = self.peers.get(id.index).filter(|contact| contact.id == *id);
            if let Some(contact) = contact {
                standings.add(contact.standing);
            }
        }
        standings
    }

    /// Nobody can be asked for a want now: the sessions' policies decide.
    pub(super) fn now_waiting(&mut self, want: u32, now: Timestamp) {
        let waiting: alloc::vec::Vec<(u32, u32, bool)> = self
            .interests_in(want)
            .filter(|(_, interest)| interest.stage == Stage::Waiting)
            .map(|(at, interest)| (at, interest.session, interest.searched))
            .collect();
        for (at, session, searched) in waiting {
            let Some(row) = self.sessions.at(session) else { continue };
            let searched = searched || !row.options.find_providers;
            let fails = row.options.when_missing == WhenMissing::Fail;
            let first = row.searches == 0;
            if fails && searched && self.is_missing(session, want) {
                self.end(at, End::NotFound, 0, now);
            } else if first || fails {
                self.look_up_next(session);
            }
        }
    }
}
