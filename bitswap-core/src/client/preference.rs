//! Sessions that prefer peers: for which of their wants others may be asked.
//!
//! A want of such a session stays with the preferred peers while one of them can be expected to serve it, and is open
//! to all peers from then on. A peer that let a deadline pass and has delivered nothing since is expected to serve
//! nothing, so a silent one costs the session one deadline and not one for each want.

use super::Client;
use super::peer_state::PeerState;
use super::session::Session;
use super::want_table::Want;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::{Id, Ref};

impl Client {
    /// Whether a session may ask a peer for a want now.
    pub(super) fn may_ask_for(
        &self,
        session: Ref<Session>,
        want: Ref<Want>,
        peer: Id<Peer>,
    ) -> bool {
        let Some(row) = self.sessions.at(session) else { return false };
        row.given().may_ask(peer) && (row.given().prefers(peer) || !self.is_kept(session, want))
    }

    /// The want stays with the preferred peers of the session.
    pub(super) fn is_kept(&self, session: Ref<Session>, want: Ref<Want>) -> bool {
        let Some(row) = self.sessions.at(session) else { return false };
        row.given().preferred().is_some() && {
            let at = self.wants.session_want_of(want, session);
            at.and_then(|at| self.wants.session_want(at)).is_some_and(|of| row.keeps(of))
        }
    }

    /// The preferred peers of a session that keeps a want to them have failed for it: each has answered that it lacks
    /// the block, is late, silent, gone or out of reach.
    pub(super) fn have_preferred_failed(
        &self,
        session: Ref<Session>,
        want: Ref<Want>,
        now: Timestamp,
    ) -> bool {
        let Some(row) = self.sessions.at(session).filter(|_| self.is_kept(session, want)) else {
            return false;
        };
        let may_serve = |id: &Id<Peer>| {
            let of = self.wants.peer_want_of(want, id.at());
            let of = of.and_then(|of| self.wants.peer_want(of));
            self.peers.get_id(*id).is_some_and(is_good)
                && of.is_none_or(|of| of.is_request() || of.may_request())
        };
        !row.given().awaits(|id| self.peers.is_here(id), now)
            && !row.given().preferred().into_iter().flatten().any(may_serve)
    }

    /// Opens a want of a session to all peers if the preferred ones have failed for it.
    pub(super) fn open_if_preferred_failed(
        &mut self,
        session: Ref<Session>,
        want: Ref<Want>,
        now: Timestamp,
    ) {
        if !self.have_preferred_failed(session, want, now) {
            return;
        }
        let Some(at) = self.wants.session_want_of(want, session) else { return };
        let Some(row) = self.wants.session_want_mut(at) else { return };
        row.open_to_others();
        log!(debug, "preferred peers have failed", cid = self.wants.logged_cid(want));
        self.search_beside_others(session, at, now);
    }
}

/// It can be asked, and is not silent.
fn is_good(state: &PeerState) -> bool {
    state.is_usable() && !state.punctuality().is_silent()
}
