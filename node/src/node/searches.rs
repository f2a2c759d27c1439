//! For which sessions a search for providers has named nobody.

use std::collections::{BTreeMap, BTreeSet};

use bitswap_core::{LookupId, SessionId};

/// What came of searches: at most one entry for each lookup on its way, and for each session.
#[derive(Debug, Default)]
pub(super) struct Searches {
    /// Whose each is, and whether it has named anybody.
    running: BTreeMap<LookupId, (SessionId, bool)>,
    fruitless: BTreeSet<SessionId>,
}

impl Searches {
    pub(super) fn begin(&mut self, id: LookupId, session: SessionId) {
        self.running.insert(id, (session, false));
    }

    /// It has named a provider.
    pub(super) fn named(&mut self, id: LookupId) {
        if let Some((session, named)) = self.running.get_mut(&id) {
            *named = true;
            self.fruitless.remove(session);
        }
    }

    /// It has come to its end.
    pub(super) fn end(&mut self, id: LookupId) {
        if let Some((session, false)) = self.running.remove(&id) {
            self.fruitless.insert(session);
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn stop(&mut self, id: LookupId) {
        self.running.remove(&id);
    }

    /// A session is closed.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.running.retain(|_, (of, _)| *of != session);
        self.fruitless.remove(&session);
    }

    /// Whether a session searches, or somebody whom its search named is being dialled.
    pub(super) fn is_running(&self, session: SessionId) -> bool {
        self.running.values().any(|(of, _)| *of == session)
    }

    /// Whether the last search of a session that has ended named nobody.
    pub(super) fn found_nobody(&self, session: SessionId) -> bool {
        self.fruitless.contains(&session)
    }
}
