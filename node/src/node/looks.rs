//! Blocks that came into the store just before the engine knew that they are wanted.
//!
//! The engine is told of each new block once, and ends the wants that it has then. Whoever wants a block has
//! looked into the store before; what came after that look and before the want, nobody would be told of. So
//! the store is asked once more when the engine knows the want.

use bitswap_core::BlockInfo;
use bitswap_libp2p::Blockstore as _;
use cid::Cid;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::task::{Context, Poll};

use super::driver::Driver;
use crate::runtime::Runtime;
use crate::store::Store;

/// Looks into the store whose answers were not taken yet.
pub(super) struct Looks {
    store: Store,
    running: FuturesUnordered<oneshot::Receiver<Vec<BlockInfo>>>,
}

impl Looks {
    pub(super) fn new(store: Store) -> Self {
        Self { store, running: FuturesUnordered::new() }
    }

    /// Which of these blocks are here. A store that answers at once does; of another the answer is found by
    /// [`Self::poll`].
    fn look(&self, cids: Vec<Cid>, runtime: &dyn Runtime) -> Vec<BlockInfo> {
        let at_once = self.store.answers_at_once();
        let mut look = those_here(self.store.clone(), cids).boxed();
        if at_once && let Some(here) = (&mut look).now_or_never() {
            return here;
        }
        let (answer, running) = oneshot::channel();
        // A node that has stopped asks no more.
        runtime.spawn(look.map(|here| _ = answer.send(here)).boxed());
        self.running.push(running);
        Vec::new()
    }

    /// What a look has found.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<BlockInfo>> {
        match self.running.poll_next_unpin(cx) {
            // A task that was lost has found nothing.
            Poll::Ready(Some(here)) => Poll::Ready(here.unwrap_or_default()),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Those of the blocks that the store has, as far as it can tell: what it fails to look up, peers are asked for.
async fn those_here(store: Store, cids: Vec<Cid>) -> Vec<BlockInfo> {
    let sizes = store.sizes(cids.clone()).await;
    let found = cids.into_iter().zip(sizes).filter_map(|(cid, size)| {
        let size = size.ok().flatten()?;
        Some(BlockInfo { cid, size })
    });
    found.collect()
}

impl Driver {
    /// The engine knows these wants now: what of them is here ends as stored.
    pub(super) fn look_again(&mut self, cids: Vec<Cid>) {
        let here = self.looks.look(cids, &*self.runtime);
        self.notify_new_blocks(&here);
    }

    /// These blocks are in the store: whoever wants them gets them.
    pub(crate) fn notify_new_blocks(&mut self, blocks: &[BlockInfo]) {
        if blocks.is_empty() {
            return;
        }
        self.bitswap().notify_new_blocks(blocks);
        for (session, cid) in self.routes.held_of(blocks.iter().map(|block| block.cid)) {
            self.routes.stored(session, cid);
        }
    }
}
