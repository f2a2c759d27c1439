//! Which waiter a block goes to.
//!
//! The engine knows sessions and wants; here each want has the waiters that asked for it. A waiter
//! registers under a token before the engine learns of the want, so no answer can come too early,
//! and everything about it is freed when the want ends or the waiter is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitswap_core::{Block, SessionId, WantFailure};
use cid::Cid;
use futures::channel::mpsc::UnboundedSender;
use libp2p::PeerId;

/// What a waiter is told when its want has ended.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) cid: Cid,
    pub(crate) outcome: Outcome,
}

/// How a want ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Block(Held),
    /// The block is in the store.
    Stored,
    Failed(WantFailure<PeerId>),
}

/// A delivered block. The session's window has room for more once all clones are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) block: Block,
    pub(crate) from: Option<PeerId>,
    _window: Arc<Window>,
}

#[derive(Debug)]
struct Window {
    session: SessionId,
    bytes: u64,
    releases: UnboundedSender<Release>,
}

impl Drop for Window {
    fn drop(&mut self) {
        // A node that has stopped has no windows.
        let _ = self.releases.unbounded_send(Release::Taken(self.session, self.bytes));
    }
}

/// Something that is let go of. At most one per block delivered, waiter and session, so the channel that
/// carries them is bounded by what exists.
#[derive(Debug)]
pub(crate) enum Release {
    /// Bytes of a session's window.
    Taken(SessionId, u64),
    /// A waiter, with all wants that it still waits for.
    Waiter(SessionId, Token),
    /// A session.
    Session(SessionId),
}

/// Names a waiter within a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) token: Token,
    pub(crate) deliveries: UnboundedSender<Delivery>,
}

#[derive(Debug, Default)]
pub(crate) struct Routes {
    sessions: BTreeMap<SessionId, BTreeMap<Cid, Vec<Waiter>>>,
}

impl Routes {
    pub(crate) fn open(&mut self, session: SessionId) {
        self.sessions.insert(session, BTreeMap::new());
    }

    pub(crate) fn close(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    pub(crate) fn wait(
        &mut self,
        session: SessionId,
        cids: impl IntoIterator<Item = Cid>,
        waiter: &Waiter,
    ) {
        if let Some(wants) = self.sessions.get_mut(&session) {
            for cid in cids {
                let waiters = wants.entry(cid).or_default();
                if waiters.iter().all(|other| other.token != waiter.token) {
                    waiters.push(waiter.clone());
                }
            }
        }
    }

    /// Forgets a waiter; gives the wants that nobody waits for any more.
    pub(crate) fn leave(&mut self, session: SessionId, token: Token) -> Vec<Cid> {
        let mut alone = Vec::new();
        if let Some(wants) = self.sessions.get_mut(&session) {
            wants.retain(|cid, waiters| {
                waiters.retain(|waiter| waiter.token != token);
                if waiters.is_empty() {
                    alone.push(*cid);
                }
                !waiters.is_empty()
            });
        }
        alone
    }

    /// Forgets that a waiter waits for some of its wants; gives those that nobody else waits for.
    pub(crate) fn leave_some(
        &mut self,
        session: SessionId,
        token: Token,
        cids: impl IntoIterator<Item = Cid>,
    ) -> Vec<Cid> {
        let Some(wants) = self.sessions.get_mut(&session) else { return Vec::new() };
        let mut alone = Vec::new();
        for cid in cids {
            if let Some(waiters) = wants.get_mut(&cid) {
                waiters.retain(|waiter| waiter.token != token);
                if waiters.is_empty() {
                    wants.remove(&cid);
                    alone.push(cid);
                }
            }
        }
        alone
    }

    pub(crate) fn block(
        &mut self,
        session: SessionId,
        block: Block,
        from: Option<PeerId>,
        releases: &UnboundedSender<Release>,
    ) {
        let bytes = block.data().len() as u64;
        let cid = *block.cid();
        let window = Window { session, bytes, releases: releases.clone() };
        let held = Held { block, from, _window: Arc::new(window) };
        self.end(session, cid, || Outcome::Block(held.clone()));
    }

    pub(crate) fn stored(&mut self, session: SessionId, cid: Cid) {
        self.end(session, cid, || Outcome::Stored);
    }

    pub(crate) fn failed(&mut self, session: SessionId, cid: Cid, reason: &WantFailure<PeerId>) {
        self.end(session, cid, || Outcome::Failed(reason.clone()));
    }

    fn end(&mut self, session: SessionId, cid: Cid, outcome: impl Fn() -> Outcome) {
        let wants = self.sessions.get_mut(&session);
        for waiter in wants.and_then(|wants| wants.remove(&cid)).into_iter().flatten() {
            // A waiter that was dropped meanwhile says so by itself.
            let _ = waiter.deliveries.unbounded_send(Delivery { cid, outcome: outcome() });
        }
    }
}

/// The node has stopped: everybody who waits is told.
impl Drop for Routes {
    fn drop(&mut self) {
        for wants in std::mem::take(&mut self.sessions).into_values() {
            for (cid, waiters) in wants {
                for waiter in waiters {
                    let outcome = Outcome::Failed(WantFailure::ShutDown);
                    // A waiter that was dropped needs not be told.
                    let _ = waiter.deliveries.unbounded_send(Delivery { cid, outcome });
                }
            }
        }
    }
}
