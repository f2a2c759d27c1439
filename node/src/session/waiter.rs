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
        let mut on_their_way = OnTheirWay { waiter, wants };
        let sent = node.send(move |driver| {
            let OnTheirWay { waiter, wants } = &mut on_their_way;
            let mut wants = take(wants);
            // What was cancelled meanwhile is not begun.
            waiter.mailbox.retain_open(waiter.call, &mut wants);
            if !wants.is_empty() {
                driver.want(session, wants, waiter);
            }
        });
        // Of a node that has stopped the wants have failed, and the waiter is told.
        let _ = sent.await;
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

/// Wants on their way to the node's task. If that ends before they get there, they have failed.
struct OnTheirWay {
    waiter: Waiter,
    wants: Vec<Want>,
}

impl Drop for OnTheirWay {
    fn drop(&mut self) {
        for want in &self.wants {
            self.waiter.deliver(want.cid, Outcome::Failed(NodeClosed.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::error::GetError;

    #[test]
    fn wants_that_never_reach_the_nodes_task_have_failed() {
        let mailbox = Mailbox::default();
        let cids = ["a", "b"].map(|data| *Block::raw(data).cid());
        let call = mailbox.want(cids);
        let waiter = Waiter { token: Token(1), call, takes_stored: true, mailbox: mailbox.clone() };
        let mut on_their_way = OnTheirWay { waiter, wants: cids.map(Want::from).to_vec() };
        let begun = on_their_way.wants.pop().unwrap();
        let next = || poll_fn(|cx| mailbox.poll_next(cx)).now_or_never();
        assert!(next().is_none(), "they are on their way");
        drop(on_their_way);
        let Some(EndedWant { cid, outcome: Outcome::Failed(GetError::NodeClosed(_)), .. }) = next()
        else {
            panic!("the node has stopped");
        };
        assert_eq!((cid, begun.cid), (cids[0], cids[1]));
        assert!(next().is_none(), "the other one got there");
    }
}
