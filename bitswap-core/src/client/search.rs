//! When nobody asked can help: provider lookups, second chances, and wants that nobody has.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::peer_state::PeerState;
use super::peer_want::Answer;
use super::reachability::{Reachability, ReachabilityCounts};
use super::session::Session;
use super::session_want::{End, SessionWant, Stage};
use super::want_table::Want;
use super::{Client, Output};
use crate::output;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::Ref;

/// Waiting wants whose silent peers get a second chance at a time.
const SECOND_CHANCES: usize = 256;
/// So many wants of each stage may stay with preferred peers before the first that a lookup may be for.
const LOOKED_AT: usize = 256;
/// Of each peer so many wants are looked at that take the room of others.
const HELD_PER_PEER: usize = 4;

impl Client {
    // Timers.

    /// A session that had nothing to want has wants now. If its peers did not just serve it, a lookup runs
    /// beside the first requests.
    pub(super) fn start_search(&mut self, session: Ref<Session>, now: Timestamp) {
        let interval = self.config.search_interval;
        let Some(row) = self.sessions.at(session) else { return };
        match row.search().recent_progress(interval, now) {
            Some(last) => self.arm_search(session, last + interval),
            None => {
                self.arm_search(session, now + interval);
                self.look_up(session);
            }
        }
    }

    /// Preferred peers of a session have failed for a want: a lookup runs beside the requests to others, unless
    /// the session was just served.
    pub(super) fn search_beside_others(
        &mut self,
        session: Ref<Session>,
        at: Ref<SessionWant>,
        now: Timestamp,
    ) {
        let interval = self.config.search_interval;
        let Some(row) = self.sessions.at(session) else { return };
        if row.search().recent_progress(interval, now).is_none() {
            self.look_up_for(session, at);
        }
    }

    /// A session searches at this time, or looks at its wants again before if it waits for preferred peers.
    pub(super) fn arm_search(&mut self, session: Ref<Session>, at: Timestamp) {
        let awaited = self.sessions.at(session).and_then(|row| row.given().awaited_until());
        self.set_search(session, Some(awaited.map_or(at, |until| until.min(at))));
    }

    pub(super) fn disarm_search(&mut self, session: Ref<Session>) {
        self.set_search(session, None);
    }

    fn set_search(&mut self, session: Ref<Session>, at: Option<Timestamp>) {
        if let Some(row) = self.sessions.at_mut(session) {
            let before = row.search_mut().set_due(at);
            self.timers.searches.set(session, before, at);
        }
    }

    /// The search timer of a session: if it made no progress, it looks for providers, and peers that were
    /// silent may be asked again.
    pub(super) fn search(&mut self, session: Ref<Session>, now: Timestamp) {
        let interval = self.config.search_interval;
        let Some(row) = self.sessions.at_mut(session) else {
            debug_assert!(false, "a session that is closed searches");
            return;
        };
        row.search_mut().set_due(None);
        if row.wants().live_len() == 0 {
            return;
        }
        if row.given_mut().stop_awaiting(now) {
            row.wants_mut().recheck_all();
            self.arm_search(session, now + interval);
            return self.set_ready(session);
        }
        if let Some(last) = row.search().recent_progress(interval, now) {
            return self.arm_search(session, last + interval);
        }
        let pause = row.search_mut().search(interval);
        self.arm_search(session, now + pause);
        self.give_second_chances(session, now);
        self.look_up(session);
        self.set_ready(session);
    }

    /// Peers that let a deadline pass may have lost the want, and those that lacked the block may have
    /// forgotten it before they got it: they may be asked again. Where there is no room for more peer wants
    /// these are given up, and others have their turn first.
    fn give_second_chances(&mut self, session: Ref<Session>, now: Timestamp) {
        if self.wants.peer_wants_len() >= self.config.limits.sent_wants as usize {
            self.full_at = Some(now);
        }
        // What one session gives up is not all taken by it again: the others that search now do the same.
        let is_full = self.full_at == Some(now);
        let mut evicted_from: BTreeSet<Ref<Peer>> = BTreeSet::new();
        let held = if is_full { self.held_wants(session) } else { Vec::new() };
        for want in self.stuck_wants(session).into_iter().chain(held) {
            for at in self.peer_wants_of(want) {
                let Some(row) = self.wants.peer_want(at) else { continue };
                if row.is_request() || row.is_cancelled() {
                    continue;
                }
                let (peer, has) = (row.peer(), row.answer() == Answer::Have);
                if has && row.sent().is_some() {
                    continue;
                }
                let is_full = is_full || self.is_crowded(peer);
                // That it has what it was not asked for is worth knowing, but no place of a want that is to
                // be asked.
                if has && !is_full {
                    continue;
                }
                self.wants.set_answer(at, Answer::None);
                // What it has not delivered by now takes no room with it.
                self.refund(at, now);
                if is_full {
                    self.remove_peer_want(at, now);
                    evicted_from.insert(peer);
                }
            }
        }
        let has_evicted = !evicted_from.is_empty();
        for peer in evicted_from {
            self.retransmit(peer, now);
            self.peers.set_sending(peer);
        }
        if has_evicted {
            self.wake_blocked();
        }
        if let Some(row) = self.sessions.at_mut(session) {
            if has_evicted && row.wants().queued_len() > 0 {
                row.wants_mut().recheck_none();
            } else {
                row.wants_mut().recheck_all();
            }
        }
    }

    /// The first wants of each stage of a session.
    fn stuck_wants(&self, session: Ref<Session>) -> Vec<Ref<Want>> {
        let Some(row) = self.sessions.at(session) else { return Vec::new() };
        let rows = self.wants.session_wants();
        let waiting = row.wants().waiting(rows).take(SECOND_CHANCES);
        let asked = row.wants().asked(rows).take(SECOND_CHANCES);
        let queued = row.wants().most_urgent(rows).take(SECOND_CHANCES);
        waiting.chain(asked).chain(queued).map(|(_, row)| row.want()).collect()
    }

    /// Wants of a session for which peers keep room that they have not answered for long, whatever their turn
    /// among those that are to be asked for again.
    fn held_wants(&self, session: Ref<Session>) -> Vec<Ref<Want>> {
        let rows = self.wants.peer_wants();
        let oldest = |(_, state): (_, &PeerState)| -> Vec<Ref<Want>> {
            state.queue().oldest(rows).take(HELD_PER_PEER).map(|row| row.want()).collect()
        };
        let held = self.peers.iter().flat_map(oldest);
        held.filter(|want| self.wants.session_want_of(*want, session).is_some())
            .take(SECOND_CHANCES)
            .collect()
    }

    // Provider lookups.

    /// Looks for providers of the want that needs them most, unless a lookup is under way.
    fn look_up(&mut self, session: Ref<Session>) {
        let Some(row) = self.sessions.at(session) else { return };
        let (rows, wants) = (self.wants.session_wants(), row.wants());
        let any = || {
            let first =
                wants.waiting(rows).take(LOOKED_AT).chain(wants.asked(rows).take(LOOKED_AT));
            let mut first = first.chain(wants.most_urgent(rows).take(LOOKED_AT));
            first.find(|(_, of)| !row.keeps(of)).map(|(at, _)| at)
        };
        if let Some(at) = self.not_looked_up(session).or_else(any) {
            self.look_up_for(session, at);
        }
    }

    /// Looks for providers of a waiting want that no lookup was made for yet.
    fn look_up_next(&mut self, session: Ref<Session>) {
        if let Some(at) = self.not_looked_up(session) {
            self.look_up_for(session, at);
        }
    }

    fn not_looked_up(&self, session: Ref<Session>) -> Option<Ref<SessionWant>> {
        let row = self.sessions.at(session).filter(|row| row.search().lookup().is_none())?;
        let mut waiting = row.wants().waiting(self.wants.session_wants());
        waiting.find(|(_, of)| !of.was_looked_up() && !row.keeps(of)).map(|(at, _)| at)
    }

    fn look_up_for(&mut self, session: Ref<Session>, at: Ref<SessionWant>) {
        let Some(session_id) = self.sessions.id(session) else { return };
        let Some(row) = self.sessions.at_mut(session).filter(|row| row.finds_providers()) else {
            return;
        };
        let want = self.wants.session_want(at).map(SessionWant::want);
        let Some(want) = want.and_then(|want| self.wants.want_id(want)) else { return };
        let Some(cid) = self.wants.want(want.at()).map(Want::cid) else { return };
        if let Some(id) = self.lookups.start(session, row.search_mut(), want) {
            log!(
                debug,
                "providers are looked for",
                session = output::SessionId(session_id),
                cid = cid
            );
            self.outbox.push_back(Output::FindProviders { id, session: session_id, cid });
        }
    }

    /// A session's want has ended: its lookup for it is over.
    pub(super) fn end_lookup_for(&mut self, session: Ref<Session>, want: Ref<Want>) {
        self.end_lookup(session, |of| of == want);
    }

    /// Ends a session's lookup, if it is for a want that `which` holds for. One that the host was not asked for
    /// yet never starts.
    pub(super) fn end_lookup(&mut self, session: Ref<Session>, which: impl Fn(Ref<Want>) -> bool) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        let state = row.search_mut();
        let Some(ended) = self.lookups.end(state, |lookup| which(lookup.want.at())) else { return };
        let is_start =
            |output: &Output| matches!(output, Output::FindProviders { id, .. } if *id == ended.id);
        if self.outbox.remove_first(is_start).is_none() {
            self.outbox.push_back(Output::StopLookup { id: ended.id });
        }
    }

    /// The answer to a lookup, whole or in part.
    pub(crate) fn providers(
        &mut self,
        id: u64,
        peers: &[Ref<Peer>],
        state: output::ProviderProgress,
        now: Timestamp,
    ) -> bool {
        let Some(session) = self.lookups.session(id) else { return false };
        let Some(lookup) = self.sessions.at(session).and_then(|row| row.search().lookup()) else {
            debug_assert!(false, "a lookup is under way that its session does not know of");
            return false;
        };
        for peer in peers {
            self.provider_found(*peer, lookup.want.at(), now);
        }
        if state == output::ProviderProgress::Final {
            if let Some(row) = self.sessions.at_mut(session) {
                self.lookups.end(row.search_mut(), |_| true);
            }
            self.lookup_done(session, lookup.want.at(), now);
        }
        true
    }

    /// A lookup has ended: wants that only waited for it are missing, and the next one that waits has its
    /// turn.
    fn lookup_done(&mut self, session: Ref<Session>, want: Ref<Want>, now: Timestamp) {
        let fails = self.fails_when_missing(session);
        if let Some(at) = self.wants.session_want_of(want, session)
            && let Some(row) = self.wants.session_want_mut(at)
        {
            row.set_looked_up();
            let waits = row.stage() == Stage::Waiting;
            let is_undecided = self.wants.want(want).is_some_and(Want::is_undecided);
            if waits && !is_undecided && fails && self.is_missing(session, want) {
                self.end(at, End::NotFound, 0, now);
            }
        }
        if fails {
            self.look_up_next(session);
        }
    }

    // Wants that nobody has.

    pub(super) fn fails_when_missing(&self, session: Ref<Session>) -> bool {
        self.sessions.at(session).is_some_and(Session::fails_when_missing)
    }

    /// Whether peers have answered that they lack a want's block, and none of those that the session may ask
    /// can still say otherwise. A peer that left, or is silent, or cannot be sent anything for the moment, has
    /// answered nothing; one that does not speak Bitswap has answered for good.
    fn is_missing(&self, session: Ref<Session>, want: Ref<Want>) -> bool {
        let Some(row) = self.sessions.at(session) else { return false };
        let mut has_answer = false;
        for (_, of) in self.wants.peer_wants_of(want) {
            has_answer |= match of.answer() {
                Answer::DontHave => true,
                Answer::Silent | Answer::HaveThenSilent => {
                    let may_say = self.peers.get(of.peer()).is_none_or(PeerState::has_presence);
                    if may_say || !row.search().is_out_of_patience() {
                        return false;
                    }
                    true
                }
                Answer::None | Answer::Have => false,
            };
        }
        let counts = self.reachable_by(session);
        has_answer |= counts.count(Reachability::Mute) > 0;
        counts.count(Reachability::Resting) == 0 && has_answer
    }

    /// How many of the peers that a session may ask can be asked.
    pub(super) fn reachable_by(&self, session: Ref<Session>) -> ReachabilityCounts {
        let allowed = self.sessions.at(session).and_then(|row| row.given().only());
        allowed.map_or_else(|| self.peers.counts(), |allowed| self.peers.counts_of(allowed))
    }

    /// Nobody can be asked for a want now: the sessions' policies decide.
    pub(super) fn nobody_to_ask(&mut self, want: Ref<Want>, now: Timestamp) {
        let waiting: Vec<Ref<SessionWant>> = self
            .wants
            .session_wants_of(want)
            .filter(|(_, row)| row.stage() == Stage::Waiting)
            .map(|(at, _)| at)
            .collect();
        for at in waiting {
            let Some(row) = self.wants.session_want(at) else { continue };
            let session = row.session();
            let Some(of) = self.sessions.at(session).filter(|of| !of.keeps(row)) else { continue };
            let was_looked_up = row.was_looked_up() || !of.finds_providers();
            let (fails, is_first) = (of.fails_when_missing(), of.search().is_first());
            if fails && was_looked_up && self.is_missing(session, want) {
                self.end(at, End::NotFound, 0, now);
            } else if is_first || fails {
                self.look_up_next(session);
            }
        }
    }
}
