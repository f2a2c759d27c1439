//! Which waiter a block goes to.
//!
//! The engine knows sessions and wants; here each want has the waiters that asked for it. A waiter
//! registers under a token before the engine learns of the want, so no answer can come too early,
//! and everything about it is freed when the want ends or the waiter is dropped. A waiter knows what it
//! waits for and says so when it is dropped: nothing here takes longer the more others wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::repeat_n;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitswap_core::{Block, PeerReport, SessionId, Timestamp};
use cid::Cid;
use futures::channel::mpsc::UnboundedSender;
use libp2p::PeerId;

use crate::error::{GetError, NodeClosed};
use crate::session::Mailbox;
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
    _share: Arc<Share>,
}

/// What a delivered block takes of its session's window.
#[derive(Debug)]
struct Share {
    window: Arc<Window>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.window.free(self.bytes);
    }
}

/// Bytes of a session's window that nobody holds any more, and that the engine does not know of yet.
#[derive(Debug)]
pub(crate) struct Window {
    session: SessionId,
    freed: AtomicU64,
    releases: UnboundedSender<Release>,
}

impl Window {
    /// Bytes are held no more. The node's task is told of the first of them, and takes all that there are by then.
    fn free(self: &Arc<Self>, bytes: u64) {
        if bytes > 0 && self.freed.fetch_add(bytes, Ordering::AcqRel) == 0 {
            // A node that has stopped has no windows.
            let _ = self.releases.unbounded_send(Release::Taken(self.clone()));
        }
    }

    /// Takes what has become free.
    pub(crate) fn take(&self) -> (SessionId, u64) {
        (self.session, self.freed.swap(0, Ordering::AcqRel))
    }
}

/// Something that is let go of. At most one per waiter, one per block that a waiter cancelled and wanted again, and two per
/// session, so the channel that carries them is bounded by what exists.
#[derive(Debug)]
pub(crate) enum Release {
    /// Bytes of a session's window.
    Taken(Arc<Window>),
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
    pub(crate) mailbox: Mailbox,
}

impl Waiter {
    pub(crate) fn deliver(&self, cid: Cid, outcome: Outcome) {
        self.mailbox.deliver(Delivery { cid, call: self.call, outcome });
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
    window: Arc<Window>,
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

/// How a block was waited for, and by whom.
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
    waiters: Vec<Waiter>,
    window: Arc<Window>,
}

impl Waited {
    /// Gives the block to all who wait for it.
    pub(crate) fn deliver(self, block: Block, from: Option<PeerId>) {
        let (cid, bytes) = (*block.cid(), block.data().len() as u64);
        let share = Arc::new(Share { window: self.window, bytes });
        let held = Held { block, from, _share: share };
        for (waiter, held) in self.waiters.iter().zip(repeat_n(held, self.waiters.len())) {
            waiter.deliver(cid, Outcome::Block(held));
        }
    }
}

impl Routes {
    /// Opens a session; `fails` when its wants end once peers say that they lack the block.
    pub(crate) fn open(
        &mut self,
        session: SessionId,
        fails: bool,
        root: Option<Cid>,
        releases: UnboundedSender<Release>,
        span: Span,
    ) {
        let window = Arc::new(Window { session, freed: AtomicU64::new(0), releases });
        let (first, is_served, wants) = (None, false, HashMap::new());
        self.sessions.insert(session, Route { fails, root, window, first, is_served, span, wants });
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

    /// A block is to be delivered to those who wait for it, which are taken out; `None` when nobody does.
    pub(crate) fn take_waited(
        &mut self,
        session: SessionId,
        cid: &Cid,
        now: Timestamp,
    ) -> Option<Waited> {
        let Wanted { since, span, waiters, .. } = self.take(session, cid)?;
        let route = self.sessions.get_mut(&session)?;
        route.is_served = true;
        Some(Waited {
            root: route.root,
            latency: now.since(since),
            first: route.first.take().map(|first| now.since(first)),
            others: route.wants.len(),
            span,
            waiters,
            window: route.window.clone(),
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

    pub(crate) fn stored(&mut self, session: SessionId, cid: Cid) {
        self.end(session, cid, || Outcome::Stored);
    }

    pub(crate) fn failed(&mut self, session: SessionId, cid: Cid, reason: &GetError) {
        self.end(session, cid, || Outcome::Failed(reason.clone()));
    }

    fn end(&mut self, session: SessionId, cid: Cid, outcome: impl Fn() -> Outcome) {
        for waiter in self.take(session, &cid).into_iter().flat_map(|wanted| wanted.waiters) {
            waiter.deliver(cid, outcome());
        }
    }

    /// Takes out a want that has ended.
    fn take(&mut self, session: SessionId, cid: &Cid) -> Option<Wanted> {
        if !self.held.is_empty() {
            self.held.remove(&(session, *cid));
        }
        self.sessions.get_mut(&session)?.wants.remove(cid)
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
    use futures::task::noop_waker_ref;
    use std::task::{Context, Poll};

    use super::*;

    /// Routes with one open session.
    fn routes() -> (Routes, SessionId) {
        let now = Timestamp::ZERO;
        let mut engine = Engine::<u8>::new(Config::default(), [1; 32], now);
        let session = engine.open_session(SessionOptions::default(), now).unwrap();
        let mut routes = Routes::default();
        routes.open(session, true, None, releases().0, Span::default());
        (routes, session)
    }

    fn releases() -> (UnboundedSender<Release>, UnboundedReceiver<Release>) {
        #[expect(clippy::disallowed_methods, reason = "a test's few releases")]
        mpsc::unbounded()
    }

    fn cid(name: &'static str) -> Cid {
        *Block::raw(name).cid()
    }

    /// A call of a waiter that wants these blocks.
    fn want(token: u64, mailbox: &Mailbox, cids: &[Cid]) -> Waiter {
        let call = mailbox.want(cids.iter().copied());
        Waiter { token: Token(token), call, takes_stored: true, mailbox: mailbox.clone() }
    }

    /// The wants that have ended.
    fn ended(mailbox: &Mailbox) -> Vec<Cid> {
        let cx = Context::from_waker(noop_waker_ref());
        let next = || match mailbox.poll_next(&cx) {
            Poll::Ready(ended) => Some(ended.cid),
            Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_waiter_that_wants_again_is_answered_once_for_its_last_call() {
        let ((mut routes, session), cids) = (routes(), [cid("a")]);
        let (first, other) = (Mailbox::default(), Mailbox::default());
        routes.wait(session, cids, &want(1, &first, &cids), Timestamp::ZERO);
        routes.wait(session, cids, &want(2, &other, &cids), Timestamp::ZERO);
        first.unwant(&cids);
        routes.wait(session, cids, &want(1, &first, &cids), Timestamp::ZERO);
        routes.stored(session, cids[0]);
        assert_eq!((ended(&first), ended(&other)), (cids.to_vec(), cids.to_vec()));
        want(1, &first, &cids);
        routes.stored(session, cids[0]);
        assert_eq!((ended(&first), ended(&other)), (vec![], vec![]));
    }

    #[test]
    fn a_want_is_alone_once_its_last_waiter_leaves() {
        let (mut routes, session) = routes();
        let (first, other) = (Mailbox::default(), Mailbox::default());
        let both = ["a", "b"].map(cid);
        routes.wait(session, both, &want(1, &first, &both), Timestamp::ZERO);
        routes.wait(session, [cid("a")], &want(2, &other, &[cid("a")]), Timestamp::ZERO);
        assert_eq!(
            routes.leave(session, Token(1), Call(1), [cid("a"), cid("b"), cid("c")]),
            [cid("b")]
        );
        assert_eq!(routes.leave(session, Token(2), Call(1), [cid("a")]), [cid("a")]);
        assert_eq!(routes.oldest(9), (0, vec![]));
    }

    #[test]
    fn what_was_wanted_again_since_is_not_left() {
        let ((mut routes, session), cids) = (routes(), [cid("a")]);
        let mailbox = Mailbox::default();
        let first = want(1, &mailbox, &cids);
        routes.wait(session, cids, &first, Timestamp::ZERO);
        mailbox.unwant(&cids);
        routes.wait(session, cids, &want(1, &mailbox, &cids), Timestamp::ZERO);
        assert_eq!(routes.leave(session, Token(1), first.call, cids), []);
        routes.stored(session, cids[0]);
        assert_eq!(ended(&mailbox), cids);
    }

    /// What the node's task is told, and takes.
    fn freed(releases: &mut UnboundedReceiver<Release>) -> Vec<u64> {
        let next = || releases.try_recv().ok();
        let bytes = |release| match release {
            Release::Taken(window) => window.take().1,
            other => panic!("not of a window: {other:?}"),
        };
        std::iter::from_fn(next).map(bytes).collect()
    }

    #[test]
    fn a_windows_bytes_are_free_once_nobody_holds_the_block_and_are_told_of_together() {
        let ((mut routes, session), now) = (routes(), Timestamp::ZERO);
        let (release, mut releases) = releases();
        routes.open(session, false, None, release, Span::default());
        let (first, other) = (Mailbox::default(), Mailbox::default());
        let blocks = [Block::raw("abc"), Block::raw("abcde"), Block::raw("")];
        let cids = blocks.each_ref().map(|block| *block.cid());
        routes.wait(session, cids, &want(1, &first, &cids), now);
        routes.wait(session, [cids[0]], &want(2, &other, &[cids[0]]), now);
        for block in blocks {
            let waited = routes.take_waited(session, block.cid(), now).unwrap();
            waited.deliver(block, None);
        }
        assert_eq!(ended(&first), cids);
        assert_eq!(freed(&mut releases), [5], "somebody else holds the first block still");
        assert_eq!(ended(&other), [cids[0]]);
        assert_eq!(freed(&mut releases), [3]);
        let window = routes.sessions.get(&session).unwrap().window.clone();
        window.free(1);
        window.free(2);
        assert_eq!(freed(&mut releases), [3], "one message for both");
        assert!(routes.take_waited(session, &cids[0], now).is_none(), "nobody waits any more");
    }

    #[test]
    fn an_end_is_held_only_for_a_want_that_somebody_waits_for() {
        let (mut routes, session) = routes();
        let held = |routes: &mut Routes| -> Vec<Cid> {
            routes.take_held().into_iter().map(|(_, cid, _)| cid).collect()
        };
        routes.hold(session, cid("a"), Vec::new());
        assert_eq!(held(&mut routes), [], "nobody wants it");
        let wants = ["a", "b", "c", "d"].map(cid);
        let first = want(1, &Mailbox::default(), &wants);
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
