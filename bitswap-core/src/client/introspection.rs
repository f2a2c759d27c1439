//! What can be asked of this half. Nothing here changes anything.

use alloc::vec::Vec;

use cid::Cid;

use super::Client;
use super::peer_state::PeerState;
use super::peer_want::Answer;
use super::session::Session;
use super::want_table::Want;
use crate::output::{PeerOutcome, PeerReport};
use crate::peer::Peer;
use crate::stats::{Fetched, PeerStats, SessionStats};
use crate::util::rows::{Id, Ref};

/// Peers named that could not be sent a want.
const UNREACHED_MAX: usize = 8;

impl Client {
    /// What each peer did about a want so far.
    pub(crate) fn diagnose(
        &self,
        session: Id<Session>,
        cid: &Cid,
    ) -> Option<Vec<PeerReport<Ref<Peer>>>> {
        self.sessions.get(session)?;
        let want = self.wants.find(cid)?;
        self.wants.session_want_of(want, session.at())?;
        Some(self.reports(session, want))
    }

    /// What each peer that was sent a want did. Where none could be sent it: why not, of the session's peers,
    /// as far as [`UNREACHED_MAX`].
    pub(super) fn reports(
        &self,
        session: Id<Session>,
        want: Ref<Want>,
    ) -> Vec<PeerReport<Ref<Peer>>> {
        let answers = self.answers(want);
        let Some(session) = self.sessions.get(session).filter(|_| answers.is_empty()) else {
            return answers;
        };
        let why = |state: &PeerState| match state {
            _ if state.is_mute() => Some(PeerOutcome::NoBitswap),
            _ if state.stream().retry_at().is_some() => Some(PeerOutcome::Unreachable),
            _ => None,
        };
        self.peers
            .iter()
            .filter(|(_, state)| session.given().may_ask(state.id()))
            .filter_map(|(peer, state)| Some(PeerReport { peer, outcome: why(state)? }))
            .take(UNREACHED_MAX)
            .collect()
    }

    fn answers(&self, want: Ref<Want>) -> Vec<PeerReport<Ref<Peer>>> {
        let sent = self.wants.peer_wants_of(want).filter(|(_, of)| of.sent().is_some());
        sent.map(|(_, of)| {
            let outcome = match of.answer() {
                Answer::None => PeerOutcome::Asked,
                Answer::Have => PeerOutcome::Have,
                Answer::DontHave => PeerOutcome::DontHave,
                Answer::Silent => PeerOutcome::Silent,
                Answer::HaveThenSilent => PeerOutcome::HaveThenSilent,
            };
            PeerReport { peer: of.peer(), outcome }
        })
        .collect()
    }

    pub(crate) const fn fetched(&self) -> Fetched {
        self.fetched
    }

    /// Adds what this half knows of a peer.
    pub(crate) fn add_peer_stats(&self, peer: Ref<Peer>, stats: &mut PeerStats) {
        if let Some(state) = self.peers.get(peer) {
            state.add_stats(stats);
        }
    }

    pub(crate) fn session_stats(&self, session: Id<Session>) -> Option<SessionStats> {
        self.sessions.get(session).map(Session::stats)
    }

    pub(crate) fn sessions_len(&self) -> u32 {
        self.sessions.len() as u32
    }

    /// Wants that have not ended.
    pub(crate) const fn wants_len(&self) -> u32 {
        self.wants.live()
    }

    /// Wants that peers were sent, each as often as peers.
    pub(crate) fn peer_wants_len(&self) -> u32 {
        self.wants.peer_wants_len() as u32
    }

    /// Bytes held. Looks at each session and peer.
    pub(crate) fn held_bytes(&self) -> usize {
        self.wants.held_bytes()
            + self.sessions.bytes()
            + self.sessions.iter().map(|(_, session)| session.heap_bytes()).sum::<usize>()
            + self.peers.held_bytes()
            + self.schedule.bytes()
            + self.timers.bytes()
            + self.lookups.bytes()
            + self.reporting.bytes()
            + self.outbox.bytes()
    }

    /// What is wrong with the state, if anything: the rules that no part can see alone.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        use alloc::collections::BTreeMap;

        self.wants.validate()?;
        self.peers.validate()?;
        let mut session_wants = 0;
        let (mut searches, mut lookups, mut expiries, mut throttles) = (0, 0, 0, 0);
        for (id, session) in self.sessions.iter() {
            session_wants += session.wants().validate(self.wants.session_wants())? as usize;
            self.schedule.validate(id.at(), session.place())?;
            if let Some(at) = session.search().due() {
                searches += 1;
                if !self.timers.searches.is_set(id.at(), at) {
                    return Err("a session's search is not armed");
                }
            } else if session.wants().live_len() > 0 {
                return Err("a session wants something and never searches");
            }
            if let Some(at) = session.throttle().opens_at() {
                throttles += 1;
                if !self.timers.session_throttles.is_set(id.at(), at) {
                    return Err("a session is held to its rate for ever");
                }
            }
            if let Some(lookup) = session.search().lookup() {
                lookups += 1;
                if self.lookups.session(lookup.id) != Some(id.at()) {
                    return Err("a session's lookup is not under way");
                }
            }
        }
        if session_wants != self.wants.session_wants_len() {
            return Err("a want is in no list of its session");
        }
        let mut requests = 0;
        let mut charged: BTreeMap<Ref<Peer>, u64> = BTreeMap::new();
        for (id, of) in self.wants.peer_wants().iter() {
            *charged.entry(of.peer()).or_default() += u64::from(of.charged());
            if let Some(at) = of.deadline() {
                requests += 1;
                if !of.is_request() || !self.timers.requests.is_set(id.at(), at) {
                    return Err("a deadline is not armed, or of no request");
                }
            } else if of.is_request() {
                return Err("a request has no deadline");
            }
        }
        let (mut peer_wants, mut timers) = (0, 0);
        for (peer, state) in self.peers.iter() {
            peer_wants += state.queue().validate(self.wants.peer_wants())? as usize;
            timers += usize::from(state.timer().is_some());
            if let Some(at) = state.throttle().opens_at() {
                throttles += 1;
                if !self.timers.peer_throttles.is_set(peer, at) {
                    return Err("a peer is held to its rate for ever");
                }
            }
            if state.asked_bytes() != charged.get(&peer).copied().unwrap_or(0) {
                return Err("a peer owes other bytes than it was asked for");
            }
        }
        if peer_wants != self.wants.peer_wants_len() {
            return Err("a peer want is in no list of its peer");
        }
        for (id, of) in self.wants.session_wants().iter() {
            if let Some(at) = of.expires() {
                expiries += 1;
                if of.has_ended() || !self.timers.expiries.is_set(id.at(), at) {
                    return Err("the time of a want is not armed, or over");
                }
            }
        }
        let counted = (requests, searches, expiries, timers, throttles, lookups);
        let armed = (
            self.timers.requests.len(),
            self.timers.searches.len(),
            self.timers.expiries.len(),
            self.timers.peers_len(),
            self.timers.peer_throttles.len() + self.timers.session_throttles.len(),
            self.lookups.len(),
        );
        if counted != armed {
            return Err("a timer or lookup is left of a row that does not know of it");
        }
        Ok(())
    }
}
