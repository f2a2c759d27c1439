//! The lists of a session: what is queued, asked, waiting and over.

use core::cmp::Reverse;

use super::Client;
use super::session::Session;
use super::table::{Interest, List, Stage};
use crate::rows::Rows;

impl Client {
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
}

/// Takes an interest out of the queue.
pub(super) fn unqueue(
    session: &mut Session,
    interests: &mut Rows<Interest>,
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
