//! What waiters call for, and what they let go of: calls that follow each other go to the engine together, and so does
//! what concerns one session.

use std::collections::BTreeMap;

use bitswap_core::error::WantError;
use bitswap_core::{SessionId, SessionOptions, Want, WhenMissing};
use bitswap_libp2p::BlockDisposition;
use cid::Cid;
use libp2p::PeerId;

use super::driver::Driver;
use super::routes::{Call, Outcome, Release, Token, Waiter};
use crate::session::WantCall;
use crate::trace::{Span, span};

impl Driver {
    /// Opens a session, and the place where its waiters wait. It is for the file or folder `root`, if for any.
    pub(super) fn open_session(
        &mut self,
        options: SessionOptions<PeerId>,
        keep: BlockDisposition,
        root: Option<Cid>,
        above: &Span,
    ) -> Result<SessionId, WantError> {
        let fails = options.when_missing == WhenMissing::Fail;
        let session = self.bitswap().open_session(options, keep)?;
        let span = span!(INFO, above, "session", id = session);
        self.routes.open(session, fails, root, self.release.clone(), span);
        Ok(session)
    }

    /// Wants what waiters called for. Each want ends as one delivery, also what cannot be wanted.
    pub(super) fn want_all(&mut self, calls: &mut Vec<WantCall>) {
        let arrived = calls.drain(..).map(WantCall::arrived);
        let wanted: Vec<_> = arrived.filter(|(_, _, wants)| !wants.is_empty()).collect();
        for of_session in wanted.chunk_by(|(one, ..), (other, ..)| one == other) {
            self.want_together(of_session);
        }
    }

    /// Wants what several calls of one session are for.
    fn want_together(&mut self, calls: &[(SessionId, Waiter, Vec<Want>)]) {
        let Some((session, ..)) = calls.first() else { return };
        let all = calls.iter().flat_map(|(_, _, wants)| wants).copied();
        let are_wanted = self.bitswap().want(*session, all).is_ok();
        let mut looked_for = Vec::new();
        for (session, waiter, wants) in calls {
            let mut cids: Vec<Cid> = wants.iter().map(|want| want.cid).collect();
            if !are_wanted {
                // One of them is at fault, or there are too many for all.
                cids.clear();
                for want in wants {
                    match self.bitswap().want(*session, [*want]) {
                        Ok(()) => cids.push(want.cid),
                        Err(error) => waiter.deliver(want.cid, Outcome::Failed(error.into())),
                    }
                }
            }
            self.routes.wait(*session, cids.iter().copied(), waiter, self.now());
            if waiter.takes_stored {
                looked_for.append(&mut cids);
            }
        }
        if !looked_for.is_empty() {
            self.look_again(looked_for);
        }
    }

    /// A waiter waits no more for some of its wants, but for what a call after `last` wanted again.
    pub(crate) fn unwant(
        &mut self,
        session: SessionId,
        token: Token,
        last: Call,
        cids: impl IntoIterator<Item = Cid>,
    ) {
        let alone = self.routes.leave(session, token, last, cids);
        if !alone.is_empty() {
            self.bitswap().cancel(session, alone);
        }
    }

    /// Lets go of things. What concerns one session goes to the engine together.
    pub(super) fn release(&mut self, releases: impl IntoIterator<Item = Release>) {
        let mut taken: BTreeMap<SessionId, u64> = BTreeMap::new();
        let mut alone: BTreeMap<SessionId, Vec<Cid>> = BTreeMap::new();
        let mut closed = Vec::new();
        for release in releases {
            match release {
                Release::Taken(window) => {
                    let (session, bytes) = window.take();
                    *taken.entry(session).or_default() += bytes;
                }
                Release::Waiter(session, token, cids) => {
                    alone.entry(session).or_default().extend(self.routes.leave(
                        session,
                        token,
                        Call::LAST,
                        cids,
                    ));
                }
                Release::Session(session) => closed.push(session),
            }
        }
        for (session, bytes) in taken {
            self.bitswap().release_capacity(session, bytes);
        }
        for (session, cids) in alone.into_iter().filter(|(_, cids)| !cids.is_empty()) {
            self.bitswap().cancel(session, cids);
        }
        for session in closed {
            self.routes.close(session);
            self.searches.forget(session);
            self.bitswap().close_session(session);
        }
    }
}
