//! Somebody who waits for blocks of a session.

use std::collections::HashMap;

use bitswap_core::{SessionId, Want};
use cid::Cid;
use futures::channel::mpsc;
use futures::stream::StreamExt as _;

use crate::error::NodeClosed;
use crate::node::Node;
use crate::node::routes::{Call, Delivery, Outcome, Release, Token, Waiter};

/// Somebody who waits for blocks of a session. Its wants are cancelled when it is dropped, unless
/// others wait for them too.
#[derive(Debug)]
pub(crate) struct SessionWaiter {
    node: Node,
    session: SessionId,
    token: Token,
    takes_stored: bool,
    open: OpenWants,
    deliveries: mpsc::UnboundedSender<Delivery>,
    delivered: mpsc::UnboundedReceiver<Delivery>,
}

impl Drop for SessionWaiter {
    fn drop(&mut self) {
        // First, so that a want that is still on its way to the node's task finds nobody.
        self.delivered.close();
        let cids = self.open.take();
        if !cids.is_empty() {
            self.node.release(Release::Waiter(self.session, self.token, cids));
        }
    }
}

impl SessionWaiter {
    /// A waiter that waits for nothing yet. What comes into the store in some other way ends its wants at any time if it
    /// `takes_stored`, and otherwise only while the engine is told of it.
    pub(super) fn new(node: Node, session: SessionId, takes_stored: bool) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "one entry per want, and the window bounds them"
        )]
        let (deliveries, delivered) = mpsc::unbounded();
        let token = node.token();
        let open = OpenWants::default();
        Self { node, session, token, takes_stored, open, deliveries, delivered }
    }

    /// Wants blocks; each ends as one delivery, also what cannot be wanted.
    pub(crate) fn want(
        &mut self,
        mut wants: Vec<Want>,
    ) -> impl Future<Output = Result<(), NodeClosed>> + Send + use<> {
        let call = self.open.want(wants.iter().map(|want| want.cid));
        let Self { token, takes_stored, session, .. } = *self;
        let waiter = Waiter { token, call, takes_stored, deliveries: self.deliveries.clone() };
        wants.retain(|want| match self.node.denied(&want.cid) {
            Some(denied) => {
                waiter.deliver(want.cid, Outcome::Failed(denied));
                false
            }
            None => true,
        });
        let node = self.node.clone();
        async move {
            if wants.is_empty() {
                return Ok(());
            }
            node.send(move |driver| driver.want(session, wants, &waiter)).await
        }
    }

    /// Wants some blocks no more; no delivery of them follows.
    pub(crate) fn unwant(
        &mut self,
        cids: Vec<Cid>,
    ) -> impl Future<Output = Result<(), NodeClosed>> + Send + use<> {
        self.open.unwant(&cids);
        let (node, session, token) = (self.node.clone(), self.session, self.token);
        async move { node.call(move |driver| driver.unwant(session, token, cids)).await }
    }

    /// The next want that has ended.
    pub(crate) async fn next(&mut self) -> Result<Delivery, NodeClosed> {
        loop {
            // The waiter holds a sender of its own, so the channel itself never ends.
            let delivery = self.delivered.next().await.ok_or(NodeClosed)?;
            if self.open.end(&delivery.cid, delivery.call) {
                return Ok(delivery);
            }
        }
    }
}

/// What a waiter waits for, with the last call that wanted it: what an earlier call is answered late concerns
/// nobody any more.
#[derive(Debug, Default)]
struct OpenWants {
    calls: u64,
    calls_of: HashMap<Cid, Call>,
}

impl OpenWants {
    fn want(&mut self, cids: impl IntoIterator<Item = Cid>) -> Call {
        self.calls += 1;
        let call = Call(self.calls);
        self.calls_of.extend(cids.into_iter().map(|cid| (cid, call)));
        call
    }

    fn unwant(&mut self, cids: &[Cid]) {
        for cid in cids {
            self.calls_of.remove(cid);
        }
    }

    /// A call is answered. False when nobody waits for that answer.
    fn end(&mut self, cid: &Cid, call: Call) -> bool {
        let waits = self.calls_of.get(cid) == Some(&call);
        if waits {
            self.calls_of.remove(cid);
        }
        waits
    }

    /// Takes all that is waited for.
    fn take(&mut self) -> Vec<Cid> {
        self.calls_of.drain().map(|(cid, _)| cid).collect()
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::Block;

    use super::*;

    #[test]
    fn a_late_answer_to_an_earlier_call_ends_nothing() {
        let cid = *Block::raw("wanted twice").cid();
        let mut open = OpenWants::default();
        let first = open.want([cid]);
        open.unwant(&[cid]);
        let second = open.want([cid]);
        assert!(!open.end(&cid, first), "it was cancelled");
        assert!(open.end(&cid, second));
        assert!(!open.end(&cid, second), "answered once");
        assert_eq!(open.take(), []);
    }

    #[test]
    fn what_is_left_is_taken_once() {
        let cids = ["a", "b"].map(|data| *Block::raw(data).cid());
        let mut open = OpenWants::default();
        let call = open.want(cids);
        assert!(open.end(&cids[0], call));
        assert_eq!((open.take(), open.take()), (vec![cids[1]], vec![]));
    }
}
