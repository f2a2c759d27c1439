//! Sessions: blocks that belong together.

use bitswap_core::chunk::Link;
use bitswap_core::{Block, PeerReport, SessionId, SessionStats, Want};
use cid::Cid;
use futures::channel::mpsc;
use futures::stream::{self, Stream, StreamExt as _};
use libp2p::PeerId;

use crate::error::{GetError, NodeClosed};
use crate::node::Node;
use crate::node::routes::{Delivery, Outcome, Release, Waiter};

/// Blocks of one [`Session::get_many`] that are asked for at once: as many as servers remember
/// wants of one peer.
const AT_ONCE: usize = 1024;

/// Wants that belong together and are likely served by the same peers. Closed when dropped, with all
/// that it still wants.
#[derive(Debug)]
pub struct Session {
    node: Node,
    id: SessionId,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.node.release(Release::Session(self.id));
    }
}

impl Session {
    pub(crate) const fn new(node: Node, id: SessionId) -> Self {
        Self { node, id }
    }

    /// Gets a block: from the local store, or from a peer; then it is stored too. Dropping the
    /// future cancels the want.
    ///
    /// # Errors
    ///
    /// [`GetError`] says why there will be none. How long it waits is set by the session's options.
    pub async fn get(&self, cid: Cid) -> Result<Block, GetError> {
        if let Some(block) = self.local(cid).await? {
            return Ok(block);
        }
        let mut waiter = self.waiter();
        waiter.want(vec![Want::from(cid)]).await?;
        // It may have been stored after the first look and before the want was known: the engine is
        // not notified again.
        if let Some(block) = self.local(cid).await? {
            return Ok(block);
        }
        match waiter.next().await?.outcome {
            Outcome::Block(held) => Ok(held.block),
            Outcome::Stored => self.local(cid).await?.ok_or(GetError::NotFound(Vec::new())),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Gets many blocks, in the order in which they come. Dropping the stream cancels what has
    /// not come. Not all are asked for at once; the session's window bounds what waits to be taken.
    pub fn get_many<I>(
        &self,
        cids: I,
    ) -> impl Stream<Item = (Cid, Result<Block, GetError>)> + Send + use<'_, I>
    where
        I: IntoIterator<Item = Cid>,
        I::IntoIter: Send,
    {
        let get = move |cid| async move { (cid, self.get(cid).await) };
        stream::iter(cids).map(get).buffer_unordered(AT_ONCE)
    }

    /// The session's name in the engine.
    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    /// Why a want still waits: what each peer that was told of it did. `None` when it does not
    /// wait.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn diagnose(&self, cid: Cid) -> Result<Option<Vec<PeerReport<PeerId>>>, NodeClosed> {
        let id = self.id;
        self.node.call(move |driver| driver.bitswap().diagnose(id, &cid)).await
    }

    /// The session's counters.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn stats(&self) -> Result<SessionStats, NodeClosed> {
        let id = self.id;
        let stats = self.node.call(move |driver| driver.bitswap().session_stats(id)).await?;
        Ok(stats.unwrap_or_default())
    }

    /// A new waiter, that waits for nothing yet.
    pub(crate) fn waiter(&self) -> SessionWaiter {
        #[expect(
            clippy::disallowed_methods,
            reason = "one entry per want, and the window bounds them"
        )]
        let (deliveries, delivered) = mpsc::unbounded();
        let token = self.node.token();
        let waiter = Waiter { token, deliveries };
        SessionWaiter { node: self.node.clone(), session: self.id, waiter, delivered }
    }

    /// The block, if its bytes are in the store or in the CID itself.
    async fn local(&self, cid: Cid) -> Result<Option<Block>, GetError> {
        if let Ok(Link::Inline { data, .. }) = Link::of(&cid) {
            return Ok(Some(Block::new_unchecked(cid, data)));
        }
        let found = self.node.store().block(cid).await?;
        Ok(found.map(|data| Block::new_unchecked(cid, data)))
    }
}

/// Somebody who waits for blocks of a session. Its wants are cancelled when it is dropped, unless
/// others wait for them too.
#[derive(Debug)]
pub(crate) struct SessionWaiter {
    node: Node,
    session: SessionId,
    waiter: Waiter,
    delivered: mpsc::UnboundedReceiver<Delivery>,
}

impl Drop for SessionWaiter {
    fn drop(&mut self) {
        self.node.release(Release::Waiter(self.session, self.waiter.token));
    }
}

impl SessionWaiter {
    /// Wants blocks; each comes as one delivery.
    pub(crate) fn want(
        &self,
        wants: Vec<Want>,
    ) -> impl Future<Output = Result<(), GetError>> + Send + use<> {
        let (node, session, waiter) = (self.node.clone(), self.session, self.waiter.clone());
        async move { Ok(node.call(move |driver| driver.want(session, wants, &waiter)).await??) }
    }

    /// Wants some blocks no more. A delivery that is on its way may still come.
    pub(crate) fn unwant(
        &self,
        cids: Vec<Cid>,
    ) -> impl Future<Output = Result<(), NodeClosed>> + Send + use<> {
        let (node, session, token) = (self.node.clone(), self.session, self.waiter.token);
        async move { node.call(move |driver| driver.unwant(session, token, cids)).await }
    }

    /// The next want that has ended.
    pub(crate) async fn next(&mut self) -> Result<Delivery, NodeClosed> {
        // The waiter holds a sender of its own, so the channel itself never ends.
        self.delivered.next().await.ok_or(NodeClosed)
    }
}
