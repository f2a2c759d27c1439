//! Wants come and go: the local user's side.

use alloc::vec::Vec;
use core::cmp::Reverse;

use cid::Cid;

use super::session::Session;
use super::table::{Delivered, End, Interest, Links, List, Stage, WantRow};
use super::{Client, Options, Output, list_of};
use crate::block::Block;
use crate::error::WantError;
use crate::key::Key;
use crate::output::{BlockInfo, Want, WantFailure};
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
        let Some(row) = self.sessions.remove(session.index) else { return false };
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
        self.blocked.remove(&session.index);
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
                let (index, wants) = (&mut self.index, &self.wants);
                // The closure needs the hasher while the index grows, so it gets a copy of it.
                let hasher = index.hasher();
                index.insert(hash, want, |row| {
                    wants.at(row).map_or(hash, |row| hasher.hash(row.key.bytes(), 0))
                });
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

    /// Ends a want for all sessions, and tells all peers but `deliverer` that it is over.
    pub(super) fn end_want(
        &mut self,
        want: u32,
        end: End,
        delivered: Option<Delivered>,
        now: Timestamp,
    ) {
        let size = delivered.as_ref().map_or(0, |block| block.data.len() as u64);
        if let Some(row) = self.wants.at_mut(want)
            && let Some(delivered) = delivered
        {
            row.delivered = Some(alloc::boxed::Box::new(delivered));
        }
        let mut next = self.wants.at(want).map_or(NONE, |row| row.interests);
        while let Some(interest) = self.interests.at(next) {
            let at = core::mem::replace(&mut next, interest.next_of_want);
            if !matches!(interest.stage, Stage::Ended(_)) {
                self.end(at, end, size, now);
            }
        }
    }

    pub(super) fn fail_all(&mut self, session: u32, end: End, now: Timestamp) {
        loop {
            let Some(row) = self.sessions.at(session) else { return };
            let queued = row.queue.values().next().map_or(NONE, |list| list.head);
            let lists = [queued, row.asked.head, row.waiting.head];
            let Some(at) = lists.into_iter().find(|at| *at != NONE) else { return };
            self.end(at, end, 0, now);
        }
    }

    /// Ends one interest; its session is told when it polls.
    pub(super) fn end(&mut self, at: u32, end: End, size: u64, now: Timestamp) {
        self.unlist(at);
        let Some(interest) = self.interests.at_mut(at) else { return };
        interest.stage = Stage::Ended(end);
        let (index, want) = (interest.session, interest.want);
        let mut searches_early = false;
        if let Some(session) = self.sessions.at_mut(index) {
            session.ended.push(&mut self.interests, at);
            session.untaken = session.untaken.saturating_add(size);
            let fruitless = session.searches > 0;
            if matches!(end, End::Block | End::Stored) {
                session.last_progress = Some(now);
                session.searches = 0;
            }
            searches_early = fruitless && session.searches == 0 && session.search_at.is_some();
            if end == End::Block {
                session.blocks += 1;
                session.bytes = session.bytes.saturating_add(size);
            }
            if !session.telling {
                session.telling = true;
                self.telling.push_back(index);
            }
        }
        if searches_early {
            // The pauses between fruitless searches had grown long.
            self.arm_search(index, now + self.config.search_interval);
        }
        self.set_ready(index);
        self.after_interest(index, want, now);
    }

    /// One interest less is alive in a want.
    fn after_interest(&mut self, session: u32, want: u32, now: Timestamp) {
        self.stop_lookup_for(session, want);
        let Some(row) = self.wants.at_mut(want) else { return };
        row.live = row.live.saturating_sub(1);
        if row.live > 0 {
            return;
        }
        self.live -= 1;
        row.rounds = 0;
        row.guessing = false;
        if let Some(linger) = row.linger.take() {
            self.lingers.remove(&(linger, want));
        }
        let pairs: Vec<u32> = self.pairs_of(want).map(|(at, _)| at).collect();
        for pair in pairs {
            self.cancel_pair(pair, now);
        }
        self.free_if_unused(want);
    }

    /// Takes an interest out of whichever list of its session it is in.
    pub(super) fn unlist(&mut self, at: u32) {
        let Some(interest) = self.interests.at_mut(at) else { return };
        if let Some(expires) = interest.expires.take() {
            self.expiries.remove(&(expires, at));
        }
        self.relist(at, None);
    }

    /// Moves an interest to the list of another stage, or to none.
    pub(super) fn relist(&mut self, at: u32, to: Option<Stage>) {
        let Some(interest) = self.interests.at_mut(at) else { return };
        let (index, stage, size) = (interest.session, interest.stage, interest.size);
        let priority = interest.priority;
        if let Some(to) = to {
            interest.stage = to;
        }
        let Some(session) = self.sessions.at_mut(index) else { return };
        match stage {
            Stage::Queued => unqueue(session, &mut self.interests, at, priority),
            Stage::Asked => {
                session.asked.remove(&mut self.interests, at);
                session.asked_bytes = session.asked_bytes.saturating_sub(u64::from(size));
            }
            Stage::Waiting => {
                session.waiting.remove(&mut self.interests, at);
                session.recheck = session.recheck.min(session.waiting.len());
            }
            Stage::Ended(_) => session.ended.remove(&mut self.interests, at),
        }
        match to {
            Some(Stage::Queued) => {
                session.queue.entry(Reverse(priority)).or_default().push(&mut self.interests, at);
                session.queued += 1;
            }
            Some(Stage::Asked) => {
                session.asked.push(&mut self.interests, at);
                session.asked_bytes += u64::from(size);
            }
            Some(Stage::Waiting) => session.waiting.push(&mut self.interests, at),
            Some(Stage::Ended(_)) | None => {
                // A session that wants nothing searches for nothing.
                if session.wants() == 0
                    && let Some(search_at) = session.search_at.take()
                {
                    self.searches.remove(&(search_at, index));
                }
            }
        }
    }

    /// Cancels an interest, or forgets one that has ended.
    fn remove_interest(&mut self, at: u32, now: Timestamp) {
        let Some(interest) = self.forget(at) else { return };
        if matches!(interest.stage, Stage::Ended(_)) {
            // A block that is not delivered will not be taken.
            let block = self.wants.at(interest.want).and_then(|row| row.delivered.as_ref());
            let size = block.map_or(0, |block| block.data.len() as u64);
            if interest.stage == Stage::Ended(End::Block)
                && let Some(session) = self.sessions.at_mut(interest.session)
            {
                session.untaken = session.untaken.saturating_sub(size);
                self.set_ready(interest.session);
            }
            self.free_if_unused(interest.want);
        } else {
            self.after_interest(interest.session, interest.want, now);
        }
    }

    fn forget(&mut self, at: u32) -> Option<Interest> {
        self.unlist(at);
        let interest = self.interests.remove(at)?;
        let want = interest.want;
        let before = self
            .interests_in(want)
            .find(|(_, other)| other.next_of_want == at)
            .map(|(before, _)| before);
        match before.and_then(|before| self.interests.at_mut(before)) {
            Some(before) => before.next_of_want = interest.next_of_want,
            None => {
                if let Some(row) = self.wants.at_mut(want) {
                    row.interests = interest.next_of_want;
                }
            }
        }
        Some(interest)
    }

    /// Frees a want, or its block, when nobody needs it any more.
    pub(super) fn free_if_unused(&mut self, want: u32) {
        let Some(row) = self.wants.at_mut(want) else { return };
        if row.interests == NONE {
            row.delivered = None;
        }
        if row.interests != NONE || row.pairs != NONE || row.undecided {
            return;
        }
        let hash = self.index.hash(row.key.bytes(), 0);
        let wants = &self.wants;
        let hasher = self.index.hasher();
        self.index.remove(hash, want, |row| {
            wants.at(row).map_or(hash, |row| hasher.hash(row.key.bytes(), 0))
        });
        self.wants.remove(want);
    }

    /// Some interest of a session, ended or not.
    fn any_interest(&self, session: u32) -> Option<u32> {
        let row = self.sessions.at(session)?;
        let queued = row.queue.values().next().map_or(NONE, |list| list.head);
        let heads = [queued, row.asked.head, row.waiting.head, row.ended.head];
        list_of(&self.interests, heads.into_iter().find(|head| *head != NONE)?).next()
    }

    /// The next end of a want that its session has not been told of.
    pub(super) fn next_ended(&mut self) -> Option<Output> {
        loop {
            let index = *self.telling.front()?;
            let ended = self.sessions.at(index).map_or(NONE, |session| session.ended.head);
            let Some(interest) = self.interests.at(ended) else {
                self.telling.pop_front();
                if self.telling.is_empty() {
                    self.telling = alloc::collections::VecDeque::new();
                }
                if let Some(session) = self.sessions.at_mut(index) {
                    session.telling = false;
                }
                continue;
            };
            let (want, stage) = (interest.want, interest.stage);
            let Some(session) = self.sessions.id(index) else { continue };
            let Some(row) = self.wants.at(want) else { continue };
            let cid = row.key.cid();
            let output = match (stage, &row.delivered) {
                (Stage::Ended(End::Block), Some(delivered)) => Output::Block {
                    session,
                    block: Block::hashed(cid, delivered.data.clone()),
                    from: delivered.from,
                },
                (Stage::Ended(End::NotFound), _) => {
                    let reason = WantFailure::NotFound(self.reports(want));
                    Output::Failed { session, cid, reason }
                }
                (Stage::Ended(End::TimedOut), _) => {
                    let reason = WantFailure::TimedOut(self.reports(want));
                    Output::Failed { session, cid, reason }
                }
                (Stage::Ended(End::ShutDown), _) => {
                    Output::Failed { session, cid, reason: WantFailure::ShutDown }
                }
                _ => Output::Stored { session, cid },
            };
            self.forget(ended);
            self.free_if_unused(want);
            return Some(output);
        }
    }
}

fn unqueue(
    session: &mut Session,
    interests: &mut crate::rows::Rows<Interest>,
    at: u32,
    priority: i32,
) {
    if let Some(list) = session.queue.get_mut(&Reverse(priority)) {
        list.remove(interests, at);
        session.queued -= 1;
        if list.is_empty() {
            session.queue.remove(&Reverse(priority));
        }
    }
}

/// The first interest in a session's queue.
pub(super) fn first_queued(session: &Session) -> Option<u32> {
    session.queue.values().next().map(|list: &List| list.head)
}
