//! Sessions: blocks that belong together.

mod mailbox;
mod many;
mod waiter;

pub(crate) use mailbox::{EndedWant, Mailbox};
pub(crate) use waiter::{SessionWaiter, WantCall};

use bitswap_core::chunk::Link;
use bitswap_core::{Block, PeerReport, SessionId, SessionStats, Want};
use cid::Cid;
use futures::stream::{self, Stream};
use libp2p::PeerId;

use crate::error::{GetError, NodeClosed};
use crate::node::Node;
use crate::node::routes::{Outcome, Release};
use many::Many;

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
        waiter.want(vec![Want::from(cid)]).await;
        match waiter.next().await.outcome {
            Outcome::Block(held) => Ok(held.block),
            Outcome::Here(block) => Ok(block),
            Outcome::Stored => self.local(cid).await?.ok_or(GetError::NotFound(Vec::new())),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Gets many blocks, in the order in which they come. Dropping the stream cancels what has
    /// not come. Not all are asked for at once; the session's window bounds what waits to be taken.
    pub fn get_many<I>(
        &self,
        cids: I,
    ) -> impl Stream<Item = (Cid, Result<Block, GetError>)> + Send + Unpin + use<'_, I>
    where
        I: IntoIterator<Item = Cid>,
        I::IntoIter: Send,
    {
        let many = Many::new(self, cids.into_iter());
        Box::pin(stream::unfold(many, |mut many| async move { Some((many.next().await?, many)) }))
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

    /// Changes how many bytes per second the session asks for at most; `None` is no limit. See
    /// [`SessionOptions::download`](crate::SessionOptions::download).
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn set_rate(&self, download: Option<u64>) -> Result<(), NodeClosed> {
        let id = self.id;
        self.node.call(move |driver| driver.bitswap().set_session_rate(id, download)).await
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
        SessionWaiter::new(self.node.clone(), self.id, true)
    }

    /// A new waiter for what peers deliver, whatever is here already.
    pub(crate) fn waiter_for_peers(&self) -> SessionWaiter {
        SessionWaiter::new(self.node.clone(), self.id, false)
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
