//! Wants end: their sessions are told, and their peers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::table::{Delivered, End, Interest, Stage};
use super::{Client, Output, list_of};
use crate::block::Block;
use crate::output::WantFailure;
use crate::rows::NONE;
use crate::time::Timestamp;

impl Client {
    /// Ends a want for all sessions; the peers that still keep it will be told that it is over.
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
            row.delivered = Some(Box::new(delivered));
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

    /// Cancels an interest, or forgets one that has ended.
    pub(super) fn remove_interest(&mut self, at: u32, now: Timestamp) {
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
        self.index.remove(hash, want);
        self.wants.remove(want);
    }

    /// Some interest of a session, ended or not.
    pub(super) fn any_interest(&self, session: u32) -> Option<u32> {
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
                    self.telling = VecDeque::new();
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
                    let reason = WantFailure::NotFound(self.reports(session, want));
                    Output::Failed { session, cid, reason }
                }
                (Stage::Ended(End::TimedOut), _) => {
                    let reason = WantFailure::TimedOut(self.reports(session, want));
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
