//! Wants come and go: the local user's side.

use alloc::vec::Vec;
use core::cmp::Reverse;

use cid::Cid;

use super::lists::unqueue;
use super::session::Session;
use super::table::{End, Interest, Links, Stage, WantRow};
use super::{Client, Options};
use crate::error::WantError;
use crate::key::Key;
use crate::output::{BlockInfo, Want};
use crate::prefix::Prefix;
use crate::rows::{Id, NONE};
use crate::time::Timestamp;

impl Client {
    pub(crate) fn open_session(&mut self, options: Options) -> Result<Id, WantError> {
        if self.shut_down {
            return Err(WantError::ShuttingDown);
        }
        let limit = self.config.limits.sessions;
        if self.sessions.len() >= limit as usize {
            return Err(WantError::TooMany { limit });
        }
        Ok(self.sessions.insert(Session::new(options)))
    }

    /// Lets a session that may ask only given peers ask this one.
    pub(crate) fn admit(&mut self, session: Id, peer: u32) {
        let Some(contact) = self.peers.get(peer) else { return };
        let id = contact.id;
        let Some(row) = self.sessions.get_mut(session) else { return };
        row.allowed.retain(|old| self.peers.get(old.index).is_some_and(|peer| peer.id == *old));
        row.allowed.push(id);
        row.recheck = row.waiting.len();
        self.set_ready(session.index);
    }

    pub(crate) fn close_session(&mut self, session: Id, now: Timestamp) -> bool {
        if self.sessions.get(session).is_none() {
            return false;
        }
        while let Some(interest) = self.any_interest(session.index) {
            self.remove_interest(interest, now);
        }
        let Some(mut row) = self.sessions.remove(session.index) else { return false };
        if let Some(at) = row.search_at {
            self.searches.remove(&(at, session.index));
        }
        if let Some(lookup) = row.lookup {
            self.stop_lookup(lookup.id);
        }
        if row.ready {
            self.ready.retain(|other| *other != session.index);
            if self.ready.is_empty() {
                self.ready = alloc::collections::VecDeque::new();
            }
        }
        if row.telling {
            self.telling.retain(|other| *other != session.index);
            if self.telling.is_empty() {
                self.telling = alloc::collections::VecDeque::new();
            }
        }
        self.blocked.remove(row.blocked);
        self.unserved.remove(&mut row.unserved);
        self.release();
        true
    }

    pub(crate) fn want(
        &mut self,
        session: Id,
        wants: Vec<Want>,
        now: Timestamp,
    ) -> Result<(), WantError> {
        if self.shut_down {
            return Err(WantError::ShuttingDown);
        }
        let limit = self.config.limits.wants;
        let Some(row) = self.sessions.get_mut(session) else { return Err(WantError::NoSession) };
        if self.interests.len().saturating_add(wants.len()) > limit as usize {
            return Err(WantError::TooMany { limit });
        }
        for want in &wants {
            Prefix::of(&want.cid)
                .and_then(|prefix| prefix.fetchable())
                .map_err(WantError::Unfetchable)?;
        }
        let idle = row.wants() == 0;
        for want in wants {
            self.want_one(session.index, want, now);
        }
        if idle {
            self.start_search(session.index, now);
        }
        self.set_ready(session.index);
        Ok(())
    }

    fn want_one(&mut self, session: u32, wanted: Want, now: Timestamp) {
        let key = Key::new(&wanted.cid);
        let hash = self.index.hash(key.bytes(), 0);
        let want = match self.find_want(hash, key.bytes()) {
            Some(want) => want,
            None => {
                let row = WantRow {
                    key,
                    interests: NONE,
                    pairs: NONE,
                    next_undecided: NONE,
                    undecided: false,
                    guessing: false,
                    requests: 0,
                    pairs_len: 0,
                    rounds: 0,
                    live: 0,
                    linger: None,
                    delivered: None,
                };
                let want = self.wants.insert(row).index;
                self.index.insert(hash, want);
                want
            }
        };
        if let Some(at) = self.live_interest(session, want) {
            self.raise(at, &wanted);
            return;
        }
        let Some(row) = self.sessions.at_mut(session) else { return };
        let expires = row.options.want_timeout.map(|timeout| now + timeout);
        let next_of_want = self.wants.at(want).map_or(NONE, |row| row.interests);
        let interest = Interest {
            session,
            want,
            next_of_want,
            links: Links::NONE,
            priority: wanted.priority,
            size: wanted.size.unwrap_or(0),
            stage: Stage::Queued,
            searched: false,
            expires,
        };
        let at = self.interests.insert(interest).index;
        row.queue.entry(Reverse(wanted.priority)).or_default().push(&mut self.interests, at);
        row.queued += 1;
        if let Some(expires) = expires {
            self.expiries.insert((expires, at));
        }
        let Some(row) = self.wants.at_mut(want) else { return };
        row.interests = at;
        row.live += 1;
        if row.live == 1 {
            self.live += 1;
            self.revive_pairs(want, now);
        }
        let Some(row) = self.wants.at(want) else { return };
        if let Some(delivered) = &row.delivered {
            // It has arrived already, and other sessions are about to be told.
            let size = delivered.data.len() as u64;
            self.end(at, End::Block, size, now);
        }
    }

    /// The session's interest in a want, unless it has ended.
    fn live_interest(&self, session: u32, want: u32) -> Option<u32> {
        if self.sessions.at(session)?.wants() == 0 {
            return None;
        }
        self.interests_in(want)
            .find(|(_, interest)| {
                interest.session == session && !matches!(interest.stage, Stage::Ended(_))
            })
            .map(|(at, _)| at)
    }

    /// Some interest of a session in a want, ended or not.
    fn interest_of(&self, session: u32, want: u32) -> Option<u32> {
        self.interests_in(want).find(|(_, interest)| interest.session == session).map(|(at, _)| at)
    }

    /// Wanted again: the higher priority and the newer size count.
    fn raise(&mut self, at: u32, wanted: &Want) {
        let Some(interest) = self.interests.at_mut(at) else { return };
        if interest.stage != Stage::Queued || wanted.priority <= interest.priority {
            return;
        }
        let before = core::mem::replace(&mut interest.priority, wanted.priority);
        let Some(session) = self.sessions.at_mut(interest.session) else { return };
        unqueue(session, &mut self.interests, at, before);
        session.queue.entry(Reverse(wanted.priority)).or_default().push(&mut self.interests, at);
        session.queued += 1;
    }

    pub(crate) fn cancel(&mut self, session: Id, cids: impl Iterator<Item = Cid>, now: Timestamp) {
        if self.sessions.get(session).is_none() {
            return;
        }
        for cid in cids {
            let Some(want) = self.want_of(&cid) else { continue };
            while let Some(at) = self.interest_of(session.index, want) {
                self.remove_interest(at, now);
            }
        }
        self.set_ready(session.index);
    }

    pub(crate) fn taken(&mut self, session: Id, bytes: u64) {
        let Some(row) = self.sessions.get_mut(session) else { return };
        row.untaken = row.untaken.saturating_sub(bytes);
        self.set_ready(session.index);
    }

    /// Blocks that are in the local store now end the wants for them.
    pub(crate) fn announce(&mut self, blocks: &[BlockInfo], now: Timestamp) {
        for block in blocks {
            if let Some(want) = self.want_of(&block.cid) {
                self.end_want(want, End::Stored, None, now);
            }
        }
    }
}
