//! Which waiter a block goes to.
//!
//! The engine knows sessions and wants; here each want has the waiters that asked for it. A waiter
//! registers under a token before the engine learns of the want, so no answer can come too early,
//! and everything about it is freed when the want ends or the waiter is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitswap_core::{Block, PeerReport, SessionId};
use cid::Cid;
use futures::channel::mpsc::UnboundedSender;
use libp2p::PeerId;

use crate::error::{GetError, NodeClosed};

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
    Failed(GetError),
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
    sessions: BTreeMap<SessionId, Route>,
    /// Wants so far: orders them by age.
    wants: u64,
}

#[derive(Debug)]
struct Route {
    /// Its wants end when peers say that they lack the block.
    fails: bool,
    wants: BTreeMap<Cid, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    number: u64,
    waiters: Vec<Waiter>,
    /// The engine has given it up, with these reports of peers, and its waiters do not know yet.
    held: Option<Vec<PeerReport<PeerId>>>,
}

impl Routes {
    /// Opens a session; `fails` when its wants end once peers say that they lack the block.
    pub(crate) fn open(&mut self, session: SessionId, fails: bool) {
        self.sessions.insert(session, Route { fails, wants: BTreeMap::new() });
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
        if let Some(route) = self.sessions.get_mut(&session) {
            for cid in cids {
                self.wants += 1;
                let number = self.wants;
                let new = || Wanted { number, waiters: Vec::new(), held: None };
                let wanted = route.wants.entry(cid).or_insert_with(new);
                // The engine was told of it just now.
                wanted.held = None;
                if wanted.waiters.iter().all(|other| other.token != waiter.token) {
                    wanted.waiters.push(waiter.clone());
                }
            }
        }
    }

    /// Keeps the end of a want from its waiters.
    pub(crate) fn hold(&mut self, session: SessionId, cid: Cid, reports: Vec<PeerReport<PeerId>>) {
        let route = self.sessions.get_mut(&session);
        if let Some(wanted) = route.and_then(|route| route.wants.get_mut(&cid)) {
            wanted.held = Some(reports);
        }
    }

    /// The wants whose end was kept from their waiters, with the reports of peers. They are kept no longer.
    pub(crate) fn take_held(&mut self) -> Vec<(SessionId, Cid, Vec<PeerReport<PeerId>>)> {
        let mut held = Vec::new();
        for (session, route) in &mut self.sessions {
            for (cid, wanted) in &mut route.wants {
                held.extend(wanted.held.take().map(|reports| (*session, *cid, reports)));
            }
        }
        held
    }

    /// The wants of sessions that fail.
    pub(crate) fn that_fail(&self) -> Vec<(SessionId, Vec<Cid>)> {
        let failing = self.sessions.iter().filter(|(_, route)| route.fails);
        failing.map(|(session, route)| (*session, route.wants.keys().copied().collect())).collect()
    }

    /// How many wants there are, and up to `max` of the oldest.
    pub(crate) fn oldest(&self, max: usize) -> (usize, Vec<(SessionId, Cid)>) {
        let mut wants: Vec<_> = self
            .sessions
            .iter()
            .flat_map(|(session, route)| {
                route.wants.iter().map(|(cid, wanted)| (wanted.number, (*session, *cid)))
            })
            .collect();
        wants.sort_unstable_by_key(|(number, _)| *number);
        (wants.len(), wants.into_iter().take(max).map(|(_, want)| want).collect())
    }

    /// Forgets a waiter; gives the wants that nobody waits for any more.
    pub(crate) fn leave(&mut self, session: SessionId, token: Token) -> Vec<Cid> {
        let mut alone = Vec::new();
        if let Some(route) = self.sessions.get_mut(&session) {
            route.wants.retain(|cid, wanted| {
                wanted.waiters.retain(|waiter| waiter.token != token);
                if wanted.waiters.is_empty() {
                    alone.push(*cid);
                }
                !wanted.waiters.is_empty()
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
        let Some(route) = self.sessions.get_mut(&session) else { return Vec::new() };
        let mut alone = Vec::new();
        for cid in cids {
            if let Some(wanted) = route.wants.get_mut(&cid) {
                wanted.waiters.retain(|waiter| waiter.token != token);
                if wanted.waiters.is_empty() {
                    route.wants.remove(&cid);
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

    pub(crate) fn failed(&mut self, session: SessionId, cid: Cid, reason: &GetError) {
        self.end(session, cid, || Outcome::Failed(reason.clone()));
    }

    fn end(&mut self, session: SessionId, cid: Cid, outcome: impl Fn() -> Outcome) {
        let wanted = self.sessions.get_mut(&session).and_then(|route| route.wants.remove(&cid));
        for waiter in wanted.into_iter().flat_map(|wanted| wanted.waiters) {
            // A waiter that was dropped meanwhile says so by itself.
            let _ = waiter.deliveries.unbounded_send(Delivery { cid, outcome: outcome() });
        }
    }
}

/// The node has stopped: everybody who waits is told.
impl Drop for Routes {
    fn drop(&mut self) {
        for route in std::mem::take(&mut self.sessions).into_values() {
            for (cid, wanted) in route.wants {
                for waiter in wanted.waiters {
                    let outcome = Outcome::Failed(GetError::NodeClosed(NodeClosed));
                    // A waiter that was dropped needs not be told.
                    let _ = waiter.deliveries.unbounded_send(Delivery { cid, outcome });
                }
            }
        }
    }
}
