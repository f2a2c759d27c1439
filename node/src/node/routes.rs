//! Which waiter a block goes to.
//!
//! The engine knows sessions and wants; here each want has the waiters that asked for it. A waiter
//! registers under a token before the engine learns of the want, so no answer can come too early,
//! and everything about it is freed when the want ends or the waiter is dropped. A waiter knows what it
//! waits for and says so when it is dropped: nothing here takes longer the more others wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::{Block, PeerReport, SessionId, Timestamp};
use cid::Cid;
use futures::channel::mpsc::UnboundedSender;
use libp2p::PeerId;

use crate::error::{GetError, NodeClosed};
use crate::trace::{Span, span};

/// What a waiter is told when its want has ended.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) cid: Cid,
    /// Which of the waiter's calls asked for it, the last one if several did.
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
}

/// How a want ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A peer delivered it.
    Block(Held),
    /// It was found in the store when it was looked for there.
    Here(Block),
    /// The block is in the store now.
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
    /// Wants that a waiter waits for no more, whichever of its calls they are of.
    Waiter(SessionId, Token, Vec<Cid>),
    /// A session.
    Session(SessionId),
}

/// Names a waiter within a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

/// Counts the calls of one waiter in which it wanted something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call(pub(crate) u64);

impl Call {
    /// After all others.
    pub(crate) const LAST: Self = Self(u64::MAX);
}

/// Where deliveries go.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) token: Token,
    pub(crate) call: Call,
    /// What the store has by the time the engine knows the want is [`Outcome::Stored`]. Otherwise peers alone are asked.
    pub(crate) takes_stored: bool,
    pub(crate) deliveries: UnboundedSender<Delivery>,
}

impl Waiter {
    pub(crate) fn deliver(&self, cid: Cid, outcome: Outcome) {
        // A waiter that was dropped meanwhile says so by itself.
        let _ = self.deliveries.unbounded_send(Delivery { cid, call: self.call, outcome });
    }
}

#[derive(Debug, Default)]
pub(crate) struct Routes {
    sessions: BTreeMap<SessionId, Route>,
    /// Wants so far: orders them by age.
    wants: u64,
    /// Wants that the engine has given up, with the reports of peers, and whose waiters do not know yet.
    held: BTreeMap<(SessionId, Cid), Vec<PeerReport<PeerId>>>,
}

#[derive(Debug)]
struct Route {
    /// Its wants end when peers say that they lack the block.
    fails: bool,
    /// The file or folder that it is for.
    root: Option<Cid>,
    /// When it wanted a block for the first time, until one has come.
    first: Option<Timestamp>,
    is_served: bool,
    span: Span,
    wants: HashMap<Cid, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    number: u64,
    since: Timestamp,
    span: Span,
    waiters: Vec<Waiter>,
}

/// How a block was waited for.
#[derive(Debug)]
pub(crate) struct Waited {
    /// What is got with it, where it is part of something.
    pub(crate) root: Option<Cid>,
    /// How long ago it was wanted.
    pub(crate) latency: Duration,
    /// Of the first block of a session: how long ago the session wanted anything.
    pub(crate) first: Option<Duration>,
    /// Wants that the session still has.
    pub(crate) others: usize,
    pub(crate) span: Span,
}

impl Routes {
    /// Opens a session; `fails` when its wants end once peers say that they lack the block.
    pub(crate) fn open(&mut self, session: SessionId, fails: bool, root: Option<Cid>, span: Span) {
        let (first, is_served, wants) = (None, false, HashMap::new());
        self.sessions.insert(session, Route { fails, root, first, is_served, span, wants });
    }

    pub(crate) fn close(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.held.retain(|(of, _), _| *of != session);
    }

    pub(crate) fn wait(
        &mut self,
        session: SessionId,
        cids: impl IntoIterator<Item = Cid>,
        waiter: &Waiter,
        now: Timestamp,
    ) {
        if let Some(route) = self.sessions.get_mut(&session) {
            if !route.is_served {
                route.first.get_or_insert(now);
            }
            for cid in cids {
                self.wants += 1;
                let number = self.wants;
                let new = || Wanted {
                    number,
                    since: now,
                    span: span!(DEBUG, route.span, "want", cid = cid),
                    waiters: Vec::new(),
                };
                let wanted = route.wants.entry(cid).or_insert_with(new);
                // The engine was told of it just now.
                self.held.remove(&(session, cid));
                match wanted.waiters.iter_mut().find(|other| other.token == waiter.token) {
                    Some(before) => before.call = waiter.call,
                    None => wanted.waiters.push(waiter.clone()),
                }
            }
        }
    }

    /// Keeps the end of a want from its waiters.
    pub(crate) fn hold(&mut self, session: SessionId, cid: Cid, reports: Vec<PeerReport<PeerId>>) {
        if self.sessions.get(&session).is_some_and(|route| route.wants.contains_key(&cid)) {
            self.held.insert((session, cid), reports);
        }
    }

    /// The wants whose end was kept from their waiters, with the reports of peers. They are kept no longer.
    pub(crate) fn take_held(&mut self) -> Vec<(SessionId, Cid, Vec<PeerReport<PeerId>>)> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|((session, cid), reports)| (session, cid, reports)).collect()
    }

    /// Those of these wants whose end is kept from their waiters, and which are ended by the store as well.
    pub(crate) fn held_of(&self, cids: impl IntoIterator<Item = Cid>) -> Vec<(SessionId, Cid)> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let cids: BTreeSet<Cid> = cids.into_iter().collect();
        let held = self
            .held
            .keys()
            .filter(|(session, cid)| cids.contains(cid) && self.takes_stored(*session, cid));
        held.copied().collect()
    }

    /// Whether somebody who waits for a block takes what the store has.
    pub(crate) fn takes_stored(&self, session: SessionId, cid: &Cid) -> bool {
        let wanted = self.sessions.get(&session).and_then(|route| route.wants.get(cid));
        wanted.is_some_and(|wanted| wanted.waiters.iter().any(|waiter| waiter.takes_stored))
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

    /// Forgets that a waiter waits for some of its wants, but for what a call after `last` wanted again; gives those
    /// that nobody waits for any more.
    pub(crate) fn leave(
        &mut self,
        session: SessionId,
        token: Token,
        last: Call,
        cids: impl IntoIterator<Item = Cid>,
    ) -> Vec<Cid> {
        let Some(route) = self.sessions.get_mut(&session) else { return Vec::new() };
        let mut alone = Vec::new();
        for cid in cids {
            if let Some(wanted) = route.wants.get_mut(&cid) {
                wanted.waiters.retain(|waiter| waiter.token != token || waiter.call > last);
                if wanted.waiters.is_empty() {
                    route.wants.remove(&cid);
                    self.held.remove(&(session, cid));
                    alone.push(cid);
                }
            }
        }
        alone
    }

    /// A block is about to be delivered: what it was waited for.
    pub(crate) fn waited(
        &mut self,
        session: SessionId,
        cid: &Cid,
        now: Timestamp,
    ) -> Option<Waited> {
        let route = self.sessions.get_mut(&session)?;
        let wanted = route.wants.get(cid)?;
        route.is_served = true;
        Some(Waited {
            root: route.root,
            latency: now.since(wanted.since),
            first: route.first.take().map(|first| now.since(first)),
            others: route.wants.len() - 1,
            span: wanted.span.clone(),
        })
    }

    /// What is got with the wants of these blocks, looking at so many sessions at most, the newest.
    pub(crate) fn roots_of(&self, cids: &[Cid], sessions: usize) -> BTreeSet<Cid> {
        let newest = self.sessions.values().rev().take(sessions);
        let wanted = newest.flat_map(|route| {
            let of_route = cids.iter().filter(|cid| route.wants.contains_key(*cid));
            of_route.map(|cid| route.root.unwrap_or(*cid))
        });
        wanted.collect()
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
        self.held.remove(&(session, cid));
        let wanted = self.sessions.get_mut(&session).and_then(|route| route.wants.remove(&cid));
        for waiter in wanted.into_iter().flat_map(|wanted| wanted.waiters) {
            waiter.deliver(cid, outcome());
        }
    }
}

/// The node has stopped: everybody who waits is told.
impl Drop for Routes {
    fn drop(&mut self) {
        let wants = std::mem::take(&mut self.sessions).into_values().flat_map(|route| route.wants);
        let waiting = wants
            .flat_map(|(cid, wanted)| wanted.waiters.into_iter().map(move |waiter| (cid, waiter)));
        // In any order: nothing comes after it.
        waiting.for_each(|(cid, waiter)| {
            waiter.deliver(cid, Outcome::Failed(GetError::NodeClosed(NodeClosed)));
        });
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::{Config, Engine, SessionOptions, Timestamp};
    use futures::channel::mpsc::{self, UnboundedReceiver};

    use super::*;

    /// Routes with one open session.
    fn routes() -> (Routes, SessionId) {
        let now = Timestamp::ZERO;
        let mut engine = Engine::<u8>::new(Config::default(), [1; 32], now);
        let session = engine.open_session(SessionOptions::default(), now).unwrap();
        let mut routes = Routes::default();
        routes.open(session, true, None, Span::default());
        (routes, session)
    }

    fn waiter(token: u64) -> (Waiter, UnboundedReceiver<Delivery>) {
        #[expect(clippy::disallowed_methods, reason = "a test's few deliveries")]
        let (deliveries, delivered) = mpsc::unbounded();
        (Waiter { token: Token(token), call: Call(1), takes_stored: true, deliveries }, delivered)
    }

    fn cid(name: &'static str) -> Cid {
        *Block::raw(name).cid()
    }

    /// The calls of the deliveries so far.
    fn calls(delivered: &mut UnboundedReceiver<Delivery>) -> Vec<u64> {
        std::iter::from_fn(|| delivered.try_recv().ok()).map(|delivery| delivery.call.0).collect()
    }

    #[test]
    fn a_waiter_that_wants_again_is_answered_once_for_its_last_call() {
        let (mut routes, session) = routes();
        let ((first, mut delivered), (other, mut others)) = (waiter(1), waiter(2));
        routes.wait(session, [cid("a")], &first, Timestamp::ZERO);
        routes.wait(session, [cid("a")], &other, Timestamp::ZERO);
        routes.wait(session, [cid("a")], &Waiter { call: Call(2), ..first }, Timestamp::ZERO);
        routes.stored(session, cid("a"));
        assert_eq!((calls(&mut delivered), calls(&mut others)), (vec![2], vec![1]));
        routes.stored(session, cid("a"));
        assert_eq!((calls(&mut delivered), calls(&mut others)), (vec![], vec![]));
    }

    #[test]
    fn a_want_is_alone_once_its_last_waiter_leaves() {
        let (mut routes, session) = routes();
        let (first, other) = (waiter(1), waiter(2));
        routes.wait(session, [cid("a"), cid("b")], &first.0, Timestamp::ZERO);
        routes.wait(session, [cid("a")], &other.0, Timestamp::ZERO);
        assert_eq!(
            routes.leave(session, Token(1), Call(1), [cid("a"), cid("b"), cid("c")]),
            [cid("b")]
        );
        assert_eq!(routes.leave(session, Token(2), Call(1), [cid("a")]), [cid("a")]);
        assert_eq!(routes.oldest(9), (0, vec![]));
    }

    #[test]
    fn what_was_wanted_again_since_is_not_left() {
        let (mut routes, session) = routes();
        let (first, mut delivered) = waiter(1);
        routes.wait(session, [cid("a")], &first, Timestamp::ZERO);
        routes.wait(session, [cid("a")], &Waiter { call: Call(2), ..first }, Timestamp::ZERO);
        assert_eq!(routes.leave(session, Token(1), Call(1), [cid("a")]), []);
        routes.stored(session, cid("a"));
        assert_eq!(calls(&mut delivered), [2]);
    }

    #[test]
    fn an_end_is_held_only_for_a_want_that_somebody_waits_for() {
        let (mut routes, session) = routes();
        let (first, _delivered) = waiter(1);
        let held = |routes: &mut Routes| -> Vec<Cid> {
            routes.take_held().into_iter().map(|(_, cid, _)| cid).collect()
        };
        routes.hold(session, cid("a"), Vec::new());
        assert_eq!(held(&mut routes), [], "nobody wants it");
        let wants = ["a", "b", "c", "d"].map(cid);
        routes.wait(session, wants, &first, Timestamp::ZERO);
        wants.into_iter().for_each(|cid| routes.hold(session, cid, Vec::new()));
        routes.leave(session, Token(1), Call(1), [cid("b")]);
        routes.stored(session, cid("c"));
        routes.wait(session, [cid("d")], &first, Timestamp::ZERO);
        assert_eq!(held(&mut routes), [cid("a")]);
        assert_eq!(held(&mut routes), [], "it is held no longer");
        routes.hold(session, cid("a"), Vec::new());
        routes.close(session);
        assert_eq!(held(&mut routes), []);
    }
}
