//! Wants end: their sessions are told, and their peers.

use super::session::Session;
use super::session_want::{End, SessionWant, Stage};
use super::want_table::{Delivered, Want};
use super::{Client, Output};
use crate::block::Block;
use crate::output::WantFailure;
use crate::time::Timestamp;
use crate::util::rows::Ref;

impl Client {
    /// Ends a want for all sessions; the peers that still keep it will be sent that it is over.
    pub(super) fn end_want(
        &mut self,
        want: Ref<Want>,
        end: End,
        delivered: Option<Delivered>,
        now: Timestamp,
    ) {
        let size = delivered.as_ref().map_or(0, |block| block.data.len() as u64);
        if let Some(delivered) = delivered {
            self.wants.set_delivered(want, delivered);
        }
        let mut next = self.wants.first_session_want(want);
        while let Some(at) = next {
            next = self.wants.next_session_want(at);
            if self.wants.session_want(at).is_some_and(|row| !row.has_ended()) {
                self.end(at, end, size, now);
            }
        }
    }

    /// Ends all wants of a session.
    pub(super) fn end_all(&mut self, session: Ref<Session>, end: End, now: Timestamp) {
        while let Some(at) = self.sessions.at(session).and_then(|row| row.wants().any_live()) {
            self.end(at, end, 0, now);
        }
    }

    /// Ends one session's want; the session is told when it polls.
    pub(super) fn end(&mut self, at: Ref<SessionWant>, end: End, size: u64, now: Timestamp) {
        let Some(row) = self.wants.session_want(at) else { return };
        let (index, want) = (row.session(), row.want());
        self.drop_expiry(at);
        if end == End::Block {
            self.charge_session(index, size, now);
        }
        self.refund_want(at, now);
        let Some(session) = self.sessions.at_mut(index) else {
            debug_assert!(false, "a want ends without its session");
            return;
        };
        session.end_want(self.wants.session_wants_mut(), at, end, size);
        let is_progress = matches!(end, End::Block | End::Stored);
        let was_fruitless = is_progress && session.search_mut().progress(now);
        if session.start_reporting() {
            self.reporting.push_back(index);
        }
        if session.wants().live_len() == 0 {
            // A session that wants nothing searches for nothing.
            self.disarm_search(index);
        } else if was_fruitless && session.search().due().is_some() {
            // The pauses between fruitless searches had grown long.
            self.arm_search(index, now + self.config.search_interval);
        }
        self.set_ready(index);
        self.after_session_want(index, want, now);
    }

    fn drop_expiry(&mut self, at: Ref<SessionWant>) {
        if let Some(row) = self.wants.session_want_mut(at) {
            let expires = row.take_expiry();
            self.timers.expiries.set(at, expires, None);
        }
    }

    /// One live session want less of a want.
    fn after_session_want(&mut self, session: Ref<Session>, want: Ref<Want>, now: Timestamp) {
        self.end_lookup_for(session, want);
        if !self.wants.end_session_want(want) {
            return;
        }
        if let Some(row) = self.wants.want_mut(want) {
            let until = row.set_presence_wait(None);
            self.timers.presence_waits.set(want, until, None);
        }
        for at in self.peer_wants_of(want) {
            self.cancel_peer_want(at, now);
        }
        self.wants.free_if_unused(want);
    }

    /// Cancels a session's want, or forgets one that has ended.
    pub(super) fn remove_session_want(&mut self, at: Ref<SessionWant>, now: Timestamp) {
        self.refund_want(at, now);
        let Some(row) = self.forget(at) else { return };
        let (session, want) = (row.session(), row.want());
        let Stage::Ended(end) = row.stage() else {
            return self.after_session_want(session, want, now);
        };
        if end == End::Block {
            // A block that is not delivered will not be released.
            let block = self.wants.want(want).and_then(Want::delivered);
            let size = block.map_or(0, |block| block.data.len() as u64);
            if let Some(row) = self.sessions.at_mut(session) {
                row.release(size);
                self.schedule.set_ready(session, row);
            }
        }
        self.wants.free_if_unused(want);
    }

    fn forget(&mut self, at: Ref<SessionWant>) -> Option<SessionWant> {
        self.drop_expiry(at);
        let index = self.wants.session_want(at)?.session();
        if let Some(session) = self.sessions.at_mut(index) {
            session.wants_mut().remove(self.wants.session_wants_mut(), at);
            if session.wants().live_len() == 0 {
                self.disarm_search(index);
            }
        }
        self.wants.remove_session_want(at)
    }

    /// The next end of a want that its session has not been told of.
    pub(super) fn next_ended(&mut self) -> Option<Output> {
        loop {
            let index = *self.reporting.front()?;
            let ended = self.sessions.at(index).and_then(|row| row.wants().first_ended());
            let Some(at) = ended else {
                self.reporting.pop_front();
                if let Some(session) = self.sessions.at_mut(index) {
                    session.stop_reporting();
                }
                continue;
            };
            let output = self.report(at);
            if let Some(row) = self.forget(at) {
                self.wants.free_if_unused(row.want());
            }
            if output.is_some() {
                return output;
            }
            debug_assert!(false, "a want ended without a trace");
        }
    }

    /// What a session is told of a want that has ended.
    fn report(&self, at: Ref<SessionWant>) -> Option<Output> {
        let row = self.wants.session_want(at)?;
        let Stage::Ended(end) = row.stage() else { return None };
        let session = self.sessions.id(row.session())?;
        let want = self.wants.want(row.want())?;
        let cid = want.cid();
        let reports = || self.reports(session, row.want());
        let failed = |reason| Output::Failed { session, cid, reason };
        Some(match (end, want.delivered()) {
            (End::Block, Some(delivered)) => Output::Block {
                session,
                block: Block::hashed(cid, delivered.data.clone()),
                from: delivered.from,
            },
            (End::NotFound, _) => failed(WantFailure::NotFound(reports())),
            (End::TimedOut, _) => failed(WantFailure::TimedOut(reports())),
            (End::ShutDown, _) => failed(WantFailure::ShutDown),
            (End::Stored | End::Block, _) => Output::Stored { session, cid },
        })
    }
}
