//! Limits of download: of all peers together, of each peer, of each session.
//!
//! A want is charged to all peers and to its session when it is asked for, a request to its peer. What is not to come is
//! given back, and what arrives is charged with its real size instead: before, because more than can be saved up would be
//! lost otherwise.

use super::Client;
use super::session::Session;
use super::session_want::SessionWant;
use super::throttle::Throttle;
use crate::output::Rates;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::{Id, Ref};

impl Client {
    /// The limits change.
    pub(crate) fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.config.rates = rates;
        self.download = Throttle::new(rates.download, now);
        for (peer, state) in self.peers.iter_mut() {
            self.timers.peer_throttles.set(peer, state.throttle().opens_at(), None);
            *state.throttle_mut() = Throttle::new(rates.download_per_peer, now);
        }
        self.schedule.peer_has_room();
    }

    /// The limit of a session changes; false when there is no such session.
    pub(crate) fn set_session_rate(
        &mut self,
        session: Id<Session>,
        rate: Option<u64>,
        now: Timestamp,
    ) -> bool {
        let Some(row) = self.sessions.get_mut(session) else { return false };
        self.timers.session_throttles.set(session.at(), row.throttle().opens_at(), None);
        *row.throttle_mut() = Throttle::new(rate, now);
        self.set_ready(session.at());
        true
    }

    /// A limit of all peers, of the session or of some peer holds back what the session asks for.
    pub(crate) fn is_rate_limited(&self, session: Id<Session>) -> bool {
        let is_closed = |session: &Session| {
            session.throttle().is_closed()
                || self.download.is_closed()
                || self.peers.iter().any(|(_, state)| state.throttle().is_closed())
        };
        self.sessions.get(session).is_some_and(is_closed)
    }

    /// The limits of all peers and of the session let it ask; it is blocked otherwise.
    pub(super) fn download_is_open(&mut self, session: Ref<Session>) -> bool {
        let Some(row) = self.sessions.at(session) else { return false };
        let is_open = !self.download.is_closed() && !row.throttle().is_closed();
        if !is_open {
            self.set_blocked(session);
        }
        is_open
    }

    /// A session's want is asked for. Also sets the size that the session's window counts for it.
    pub(super) fn charge_want(
        &mut self,
        session: Ref<Session>,
        at: Ref<SessionWant>,
        now: Timestamp,
    ) {
        let Some(expected) = self.sessions.at(session).map(Session::expected_size) else { return };
        let Some(row) = self.wants.session_want_mut(at) else { return };
        row.estimate_size(expected);
        row.set_charged();
        let size = row.size().into();
        self.change_download(now, |throttle| throttle.take(size));
        self.change_session_throttle(session, now, |throttle| throttle.take(size));
    }

    /// A session's want is not asked for any more, or has ended.
    pub(super) fn refund_want(&mut self, at: Ref<SessionWant>, now: Timestamp) {
        let Some(row) = self.wants.session_want_mut(at) else { return };
        if row.take_charged() {
            let (session, size) = (row.session(), row.size().into());
            self.change_download(now, |throttle| throttle.give(size));
            self.change_session_throttle(session, now, |throttle| throttle.give(size));
        }
    }

    /// A block has come of which the peer was asked.
    pub(super) fn charge_arrival(&mut self, peer: Ref<Peer>, bytes: u64, now: Timestamp) {
        self.change_download(now, |throttle| throttle.take(bytes));
        if let Some(state) = self.peers.get_mut(peer) {
            state.throttle_mut().take(bytes);
            self.update_peer_throttle(peer, now);
        }
    }

    /// A block that the session wanted has come.
    pub(super) fn charge_session(&mut self, session: Ref<Session>, bytes: u64, now: Timestamp) {
        self.change_session_throttle(session, now, |throttle| throttle.take(bytes));
    }

    fn change_download(&mut self, now: Timestamp, change: impl FnOnce(&mut Throttle)) {
        if self.download.is_limited() {
            change(&mut self.download);
            if self.download.update(now).is_some() && !self.download.is_closed() {
                self.schedule.peer_has_room();
            }
        }
    }

    fn change_session_throttle(
        &mut self,
        session: Ref<Session>,
        now: Timestamp,
        change: impl FnOnce(&mut Throttle),
    ) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        if row.throttle().is_limited() {
            change(row.throttle_mut());
            self.update_session_throttle(session, now);
        }
    }

    /// What the peer may be asked for may be another now.
    pub(super) fn update_peer_throttle(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        if !state.throttle().is_limited() {
            return;
        }
        let before = state.throttle_mut().update(now);
        let opens_at = state.throttle().opens_at();
        self.timers.peer_throttles.set(peer, before, opens_at);
        if before.is_none() && opens_at.is_some() {
            log!(trace, "a peer has reached its download limit", row = peer);
        }
        if before.is_some() && opens_at.is_none() {
            self.schedule.peer_has_room();
        }
    }

    fn update_session_throttle(&mut self, session: Ref<Session>, now: Timestamp) {
        let Some(row) = self.sessions.at_mut(session) else { return };
        let before = row.throttle_mut().update(now);
        let opens_at = row.throttle().opens_at();
        self.timers.session_throttles.set(session, before, opens_at);
        if before.is_some() && opens_at.is_none() {
            self.set_ready(session);
        }
    }

    /// Opens the limits whose time has come; false when there is none.
    pub(super) fn open_throttles(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        if self.download.is_due(now) {
            self.download.open(now);
            self.schedule.peer_has_room();
            any = true;
        }
        while let Some(peer) = self.timers.peer_throttles.pop(now) {
            if let Some(state) = self.peers.get_mut(peer) {
                state.throttle_mut().open(now);
            }
            self.schedule.peer_has_room();
            any = true;
        }
        while let Some(session) = self.timers.session_throttles.pop(now) {
            if let Some(row) = self.sessions.at_mut(session) {
                row.throttle_mut().open(now);
            }
            self.set_ready(session);
            any = true;
        }
        any
    }
}
