//! What the local user asks for: sessions, and wants that come and go.

use alloc::vec::Vec;

use cid::Cid;

use super::given_peers::GivenPeers;
use super::session::Session;
use super::session_want::{End, SessionWant, Stage};
use super::want_table::Want as WantRow;
use super::{Client, Options, PeerRule};
use crate::error::WantError;
use crate::output::{BlockInfo, Want};
use crate::peer::Peer;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::util::rows::{Id, Ref};

impl Client {
    pub(crate) fn open_session(
        &mut self,
        options: Options,
        peers: PeerRule,
        now: Timestamp,
    ) -> Result<Id<Session>, WantError> {
        if self.is_shut_down {
            return Err(WantError::ShuttingDown);
        }
        let limit = self.config.limits.sessions;
        if self.sessions.len() >= limit as usize {
            return Err(WantError::TooMany { limit });
        }
        // Who is still to connect has as long as a peer that is here and has yet to deliver something.
        let given = GivenPeers::new(peers, now + self.config.first_deadline);
        Ok(self.sessions.insert(Session::new(options, given, now)))
    }

    /// A peer that a session was given is here: it may be asked, or comes first.
    pub(crate) fn admit(&mut self, session: Id<Session>, peer: Ref<Peer>) {
        let Some(id) = self.peers.id(peer) else { return };
        let Some(row) = self.sessions.get_mut(session) else { return };
        row.given_mut().admit(id, |other| self.peers.is_here(other));
        if row.given().prefers(id) {
            row.peers_mut().add(id);
        }
        row.wants_mut().recheck_all();
        self.schedule.set_ready(session.at(), row);
    }

    pub(crate) fn close_session(&mut self, session: Id<Session>, now: Timestamp) -> bool {
        let Some(row) = self.sessions.get(session) else { return false };
        let first = |row: &Session| row.wants().any_live().or_else(|| row.wants().first_ended());
        let mut next = first(row);
        while let Some(at) = next {
            self.remove_session_want(at, now);
            next = self.sessions.get(session).and_then(first);
        }
        let at = session.at();
        self.disarm_search(at);
        self.end_lookup(at, |_| true);
        let Some(mut row) = self.sessions.remove(at) else { return false };
        self.timers.session_throttles.set(at, row.throttle().opens_at(), None);
        if row.stop_reporting() {
            self.reporting.retain(|other| *other != at);
        }
        self.schedule.remove(at, core::mem::take(row.place_mut()));
        self.release();
        true
    }

    pub(crate) fn want(
        &mut self,
        session: Id<Session>,
        wants: Vec<Want>,
        now: Timestamp,
    ) -> Result<(), WantError> {
        if self.is_shut_down {
            return Err(WantError::ShuttingDown);
        }
        let limit = self.config.limits.wants;
        let Some(row) = self.sessions.get(session) else { return Err(WantError::NoSession) };
        if self.wants.session_wants_len().saturating_add(wants.len()) > limit as usize {
            return Err(WantError::TooMany { limit });
        }
        for want in &wants {
            Prefix::of(&want.cid)
                .and_then(|prefix| prefix.fetchable())
                .map_err(WantError::Unfetchable)?;
        }
        if wants.is_empty() {
            // Nothing is looked for.
            return Ok(());
        }
        let was_idle = row.wants().live_len() == 0;
        for want in wants {
            self.want_one(session.at(), &want, now);
        }
        if was_idle {
            self.start_search(session.at(), now);
        }
        self.set_ready(session.at());
        Ok(())
    }

    fn want_one(&mut self, session: Ref<Session>, wanted: &Want, now: Timestamp) {
        let want = self.wants.find_or_insert(&wanted.cid);
        if let Some(at) = self.live_session_want(session, want) {
            return self.raise_priority(at, wanted.priority);
        }
        let Some(row) = self.sessions.at_mut(session) else { return };
        let expires = row.want_timeout().map(|timeout| now + timeout);
        let size = wanted.size.unwrap_or(0);
        let new = SessionWant::new(session, want, wanted.priority, size, expires);
        let (at, is_only) = self.wants.add_session_want(new);
        row.wants_mut().insert(self.wants.session_wants_mut(), at);
        self.timers.expiries.set(at, None, expires);
        if is_only {
            self.revive_peer_wants(want, now);
        }
        if let Some(delivered) = self.wants.want(want).and_then(WantRow::delivered) {
            // It has arrived already, and other sessions are about to be told.
            let size = delivered.data.len() as u64;
            self.end(at, End::Block, size, now);
        }
    }

    /// The session's want of a CID, unless it has ended.
    fn live_session_want(
        &self,
        session: Ref<Session>,
        want: Ref<WantRow>,
    ) -> Option<Ref<SessionWant>> {
        if self.sessions.at(session)?.wants().live_len() == 0 {
            return None;
        }
        let is_it = |of: &SessionWant| of.session() == session && !of.has_ended();
        self.wants.session_wants_of(want).find(|(_, of)| is_it(of)).map(|(at, _)| at)
    }

    /// Wanted again: the higher priority counts.
    fn raise_priority(&mut self, at: Ref<SessionWant>, priority: i32) {
        let Some(row) = self.wants.session_want(at) else { return };
        if row.stage() == Stage::Queued
            && priority > row.priority()
            && let Some(session) = self.sessions.at_mut(row.session())
        {
            session.wants_mut().set_priority(self.wants.session_wants_mut(), at, priority);
        }
    }

    pub(crate) fn cancel(
        &mut self,
        session: Id<Session>,
        cids: impl Iterator<Item = Cid>,
        now: Timestamp,
    ) {
        if self.sessions.get(session).is_none() {
            return;
        }
        for cid in cids {
            let Some(want) = self.wants.find(&cid) else { continue };
            while let Some(at) = self.wants.session_want_of(want, session.at()) {
                self.remove_session_want(at, now);
            }
        }
        self.set_ready(session.at());
    }

    /// The user has released bytes of delivered blocks.
    pub(crate) fn release_capacity(&mut self, session: Id<Session>, bytes: u64) {
        if let Some(row) = self.sessions.get_mut(session) {
            row.release(bytes);
            self.schedule.set_ready(session.at(), row);
        }
    }

    /// Blocks that are in the local store now end the wants for them.
    pub(crate) fn notify_new_blocks(&mut self, blocks: &[BlockInfo], now: Timestamp) {
        for block in blocks {
            if let Some(want) = self.wants.find(&block.cid) {
                self.end_want(want, End::Stored, None, now);
            }
        }
    }

    pub(crate) fn shutdown(&mut self, now: Timestamp) {
        self.is_shut_down = true;
        let sessions: Vec<Ref<Session>> = self.sessions.iter().map(|(id, _)| id.at()).collect();
        for session in sessions {
            self.end_all(session, End::ShutDown, now);
        }
    }
}
