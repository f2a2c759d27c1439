//! Somebody who waits for blocks of a session.

use std::future::poll_fn;
use std::mem::take;

use bitswap_core::{Block, SessionId, Want};
use bitswap_libp2p::Blockstore as _;
use cid::Cid;

use super::mailbox::{EndedWant, Mailbox};
use crate::error::NodeClosed;
use crate::node::Node;
use crate::node::routes::{Outcome, Release, Token, Waiter};
use crate::runtime::RuntimeExt as _;

/// Somebody who waits for blocks of a session. Its wants are cancelled when it is dropped, unless
/// others wait for them too.
#[derive(Debug)]
pub(crate) struct SessionWaiter {
    node: Node,
    session: SessionId,
    token: Token,
    takes_stored: bool,
    mailbox: Mailbox,
}

impl Drop for SessionWaiter {
    fn drop(&mut self) {
        // A want that is still on its way to the node's task is not begun there.
        let cids = self.mailbox.close();
        if !cids.is_empty() {
            self.node.release(Release::Waiter(self.session, self.token, cids));
        }
    }
}

impl SessionWaiter {
    /// A waiter that waits for nothing yet. What comes into the store in some other way ends its wants at any time if it
    /// `takes_stored`, and otherwise only while the engine is told of it.
    pub(super) fn new(node: Node, session: SessionId, takes_stored: bool) -> Self {
        let token = node.token();
        Self { node, session, token, takes_stored, mailbox: Mailbox::default() }
    }

    /// Wants blocks of peers; each ends as one delivery, also what cannot be wanted. They are on their way once the
    /// future has run.
    pub(crate) fn want(&self, wants: Vec<Want>) -> impl Future<Output = ()> + Send + use<> {
        self.begin(&wants).want(wants)
    }

    /// Wants blocks, of peers what the local store does not have; each ends as one delivery. What the store has is
    /// hashed: what is on a disk may have changed there.
    pub(crate) fn look_and_want(
        &self,
        wants: Vec<Want>,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.begin(&wants).look_and_want(wants)
    }

    fn begin(&self, wants: &[Want]) -> Wanting {
        Wanting {
            node: self.node.clone(),
            session: self.session,
            waiter: Waiter {
                token: self.token,
                call: self.mailbox.want(wants.iter().map(|want| want.cid)),
                takes_stored: self.takes_stored,
                mailbox: self.mailbox.clone(),
            },
        }
    }

    /// Wants some blocks no more; no delivery of them follows. Their wants end once the future has run.
    pub(crate) fn unwant(
        &self,
        cids: Vec<Cid>,
    ) -> impl Future<Output = Result<(), NodeClosed>> + Send + use<> {
        let last = self.mailbox.unwant(&cids);
        let (node, session, token) = (self.node.clone(), self.session, self.token);
        async move { node.send(move |driver| driver.unwant(session, token, last, cids)).await }
    }

    /// The next want that has ended. Waits for ever when nothing is wanted.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "a mailbox wakes one task")]
    pub(crate) async fn next(&mut self) -> EndedWant {
        let ended = poll_fn(|cx| self.mailbox.poll_next(cx)).await;
        if ended.again {
            self.node.release(Release::Waiter(self.session, self.token, vec![ended.cid]));
        }
        ended
    }

    /// Wants that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.mailbox.len()
    }

    /// Up to `max` of those that have waited longest.
    pub(crate) fn oldest(&self, max: usize) -> Vec<Cid> {
        self.mailbox.oldest(max)
    }
}

/// A call of a waiter, on its way to the node's task.
struct Wanting {
    node: Node,
    session: SessionId,
    waiter: Waiter,
}

impl Wanting {
    async fn look_and_want(self, wants: Vec<Want>) {
        let found = self.look(wants.iter().map(|want| want.cid).collect()).await;
        let mut missing = Vec::new();
        for (want, found) in wants.into_iter().zip(found) {
            match found {
                Some(block) => self.waiter.deliver(want.cid, Outcome::Here(block)),
                None => missing.push(want),
            }
        }
        self.want(missing).await;
    }

    async fn want(self, mut wants: Vec<Want>) {
        let Self { node, session, waiter } = self;
        wants.retain(|want| match node.denied(&want.cid) {
            Some(denied) => {
                waiter.deliver(want.cid, Outcome::Failed(denied));
                false
            }
            None => true,
        });
        if wants.is_empty() {
            return;
        }
        // Of a node that has stopped the wants have failed, and the waiter is told.
        let _ = node.send_wants(WantCall { session, waiter, wants }).await;
    }

    /// What the local store has of these blocks, each checked.
    async fn look(&self, cids: Vec<Cid>) -> Vec<Option<Block>> {
        let found = self.node.store().get(cids.clone()).await;
        let mut blocks = vec![None; cids.len()];
        let bytes = found.into_iter().map(|answer| answer.ok().flatten());
        let some: Vec<_> = bytes.enumerate().filter_map(|(at, bytes)| Some((at, bytes?))).collect();
        if some.is_empty() {
            return blocks;
        }
        let nothing = blocks.clone();
        let checked = self.node.runtime().run_blocking(move || {
            for (at, bytes) in some {
                if let (Some(cid), Some(block)) = (cids.get(at), blocks.get_mut(at)) {
                    *block = Block::new(*cid, bytes).ok();
                }
            }
            blocks
        });
        // Of a runtime that is ending nothing is known.
        checked.await.unwrap_or(nothing)
    }
}

/// A call of a waiter that has begun. If it does not reach the node's task, its wants have failed.
pub(crate) struct WantCall {
    session: SessionId,
    waiter: Waiter,
    wants: Vec<Want>,
}

impl WantCall {
    /// It has reached the node's task: the session, who waits, and what has not been cancelled meanwhile.
    pub(crate) fn arrived(mut self) -> (SessionId, Waiter, Vec<Want>) {
        let mut wants = take(&mut self.wants);
        self.waiter.mailbox.retain_open(self.waiter.call, &mut wants);
        (self.session, self.waiter.clone(), wants)
    }
}

impl Drop for WantCall {
    fn drop(&mut self) {
        for want in &self.wants {
            self.waiter.deliver(want.cid, Outcome::Failed(NodeClosed.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::{Config, Engine, SessionOptions, Timestamp};
    use futures::FutureExt as _;
    use std::task::Poll;

    use super::*;
    use crate::error::GetError;

    #[test]
    fn wants_that_never_reach_the_nodes_task_have_failed() {
        let mut engine = Engine::<u8>::new(Config::default(), [1; 32], Timestamp::ZERO);
        let session = engine.open_session(SessionOptions::default(), Timestamp::ZERO).unwrap();
        let mailbox = Mailbox::default();
        let cids = ["a", "b", "c"].map(|data| *Block::raw(data).cid());
        let begin = |cids: &[Cid]| {
            let call = mailbox.want(cids.iter().copied());
            let waiter =
                Waiter { token: Token(1), call, takes_stored: true, mailbox: mailbox.clone() };
            WantCall { session, waiter, wants: cids.iter().copied().map(Want::from).collect() }
        };
        let (lost, arrives) = (begin(&cids[..1]), begin(&cids[1..]));
        let next = || poll_fn(|cx| Poll::Ready(mailbox.poll_next(cx))).now_or_never().unwrap();
        assert!(next().is_pending(), "they are on their way");
        drop(lost);
        let Poll::Ready(EndedWant { cid, outcome, .. }) = next() else {
            panic!("the node has stopped");
        };
        assert!(cid == cids[0] && matches!(outcome, Outcome::Failed(GetError::NodeClosed(_))));
        mailbox.unwant(&cids[1..2]);
        let (_, _, wants) = arrives.arrived();
        assert_eq!(wants, [Want::from(cids[2])], "the other one was cancelled");
        assert!(next().is_pending(), "the other one got there");
    }
}
