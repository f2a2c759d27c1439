//! Store futures: run on the spawner, answered through a channel.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use bitswap_core::{Block, BlockInfo, Load, LoadAnswer, LoadId, LoadKind, Loaded};
use bytes::Bytes;
use cid::Cid;
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use libp2p_identity::PeerId;

use super::requests::FindId;
use crate::blockstore::{Blockstore, StoreError};
use crate::event::PutId;
use crate::spawner::TaskSpawner;

/// Who may have what: called beside the swarm's task for each block that a peer asks for.
pub(crate) type Access = Arc<dyn Fn(&PeerId, &Cid) -> bool + Send + Sync>;

/// The store and what is under way in it.
pub(crate) struct Storage<S> {
    store: Arc<S>,
    spawner: Arc<dyn TaskSpawner>,
    access: Access,
    // Each future has a sender of its own, and every sender has room for one answer, so answering
    // never waits and the channel holds one answer per running future at most.
    answer: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    running: usize,
}

/// An answer of the store.
#[derive(Debug)]
pub(crate) enum Answer {
    Load { id: LoadId, loaded: Vec<Loaded>, error: Option<StoreError> },
    Put { id: PutId, blocks: Vec<BlockInfo>, result: Result<(), StoreError> },
    Found { find: FindId, cid: Cid, found: Result<Option<Bytes>, StoreError> },
}

impl<S: Blockstore> Storage<S> {
    pub(crate) fn new(store: Arc<S>, spawner: Arc<dyn TaskSpawner>) -> Self {
        let (answer, answers) = mpsc::channel(0);
        Self { store, spawner, access: Arc::new(|_, _| true), answer, answers, running: 0 }
    }

    pub(crate) const fn store(&self) -> &Arc<S> {
        &self.store
    }

    pub(crate) fn set_access(&mut self, access: Access) {
        self.access = access;
    }

    /// Futures that have not answered yet.
    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    /// Looks blocks up for a peer.
    pub(crate) fn load(&mut self, load: Load<PeerId>) {
        let Load { id, peer, cids, kind } = load;
        let (store, access) = (self.store.clone(), self.access.clone());
        let unanswered = cids.clone();
        self.spawn(
            async move {
                let (allowed, refused): (Vec<_>, Vec<_>) =
                    cids.into_iter().partition(|cid| access(&peer, cid));
                let (mut loaded, error) = look_up(&*store, allowed, kind).await;
                loaded.extend(refused.into_iter().map(|cid| answered(cid, LoadAnswer::NotFound)));
                Answer::Load { id, loaded, error }
            },
            move |error| Answer::Load { id, loaded: failed(unanswered), error: Some(error) },
        );
    }

    /// Looks a block up for the user.
    pub(crate) fn find(&mut self, find: FindId, cid: Cid) {
        let store = self.store.clone();
        self.spawn(
            async move {
                let missing = || Err(StoreError::new("it gave no answer"));
                let found = store.get(vec![cid]).await.pop().unwrap_or_else(missing);
                Answer::Found { find, cid, found }
            },
            move |error| Answer::Found { find, cid, found: Err(error) },
        );
    }

    /// Stores blocks.
    pub(crate) fn put(&mut self, id: PutId, blocks: Vec<Block>) {
        let store = self.store.clone();
        let infos: Vec<_> = blocks.iter().map(BlockInfo::from).collect();
        self.spawn(
            async move {
                let result = store.put(blocks).await;
                let blocks = if result.is_ok() { infos } else { Vec::new() };
                Answer::Put { id, blocks, result }
            },
            move |error| Answer::Put { id, blocks: Vec::new(), result: Err(error) },
        );
    }

    /// The next answer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        match std::task::ready!(self.answers.poll_next_unpin(cx)) {
            Some(answer) => {
                self.running -= 1;
                Poll::Ready(answer)
            }
            // Cannot happen while `answer` lives.
            None => Poll::Pending,
        }
    }

    /// Runs a future that answers once, whatever becomes of it.
    fn spawn(
        &mut self,
        work: impl Future<Output = Answer> + Send + 'static,
        lost: impl FnOnce(StoreError) -> Answer + Send + 'static,
    ) {
        self.running += 1;
        let mut reply = Reply { to: self.answer.clone(), lost: Some(lost) };
        self.spawner.spawn(
            async move {
                match AssertUnwindSafe(work).catch_unwind().await {
                    Ok(answer) => reply.send(answer),
                    Err(_) => reply.lose("it panicked"),
                }
            }
            .boxed(),
        );
    }
}

/// The sender of one answer. A future that is dropped unanswered still answers.
struct Reply<L: FnOnce(StoreError) -> Answer> {
    to: mpsc::Sender<Answer>,
    lost: Option<L>,
}

impl<L: FnOnce(StoreError) -> Answer> Reply<L> {
    fn send(&mut self, answer: Answer) {
        self.lost = None;
        // It fails only when the behaviour is gone, and nobody waits any more.
        self.to.try_send(answer).ok();
    }

    fn lose(&mut self, why: &'static str) {
        if let Some(lost) = self.lost.take() {
            self.to.try_send(lost(StoreError::new(why))).ok();
        }
    }
}

impl<L: FnOnce(StoreError) -> Answer> Drop for Reply<L> {
    fn drop(&mut self) {
        self.lose("the spawner dropped its future");
    }
}

/// Asks the store; the first error, if there was one, goes along.
async fn look_up(
    store: &impl Blockstore,
    cids: Vec<Cid>,
    what: LoadKind,
) -> (Vec<Loaded>, Option<StoreError>) {
    if cids.is_empty() {
        return (Vec::new(), None);
    }
    match what {
        LoadKind::Size => matched(&cids, store.sizes(cids.clone()).await, LoadAnswer::Size),
        LoadKind::Data => matched(&cids, store.get(cids.clone()).await, LoadAnswer::Data),
    }
}

/// Brings answers and CIDs together. What a store left out counts as failed.
fn matched<T>(
    cids: &[Cid],
    found: Vec<Result<Option<T>, StoreError>>,
    answer: impl Fn(T) -> LoadAnswer,
) -> (Vec<Loaded>, Option<StoreError>) {
    let mut error = None;
    let mut found = found.into_iter();
    let loaded = cids.iter().map(|cid| {
        let missing = || Err(StoreError::new("it gave fewer answers than it was asked for"));
        answered(
            *cid,
            match found.next().unwrap_or_else(missing) {
                Ok(Some(value)) => answer(value),
                Ok(None) => LoadAnswer::NotFound,
                Err(failure) => {
                    error.get_or_insert(failure);
                    LoadAnswer::Failed
                }
            },
        )
    });
    (loaded.collect(), error)
}

fn failed(cids: Vec<Cid>) -> Vec<Loaded> {
    cids.into_iter().map(|cid| answered(cid, LoadAnswer::Failed)).collect()
}

const fn answered(cid: Cid, answer: LoadAnswer) -> Loaded {
    Loaded { cid, answer }
}
