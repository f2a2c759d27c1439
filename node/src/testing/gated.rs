//! Stores of blocks that let something else happen at one point of their lookups, or never answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bitswap_core::Block;
use bitswap_libp2p::{Blockstore, MemoryStore, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::channel::oneshot;
use futures::future::{BoxFuture, pending, ready};

/// A store in memory. Every lookup passes two points: before it looks, and when it has looked and
/// has not answered yet. At one of them it stops until it is let go.
#[derive(Debug)]
pub(super) struct Gated {
    blocks: MemoryStore,
    passed: AtomicUsize,
    stop_at: usize,
    gate: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

/// The other side of the gate.
#[derive(Debug)]
pub(super) struct Gate {
    reached: oneshot::Receiver<()>,
    open: oneshot::Sender<()>,
}

impl Gated {
    /// A store whose lookups stop at the point of this number, from 0.
    pub(super) fn stopping_at(stop_at: usize) -> (Self, Gate) {
        let (reach, reached) = oneshot::channel();
        let (open, opened) = oneshot::channel();
        let store = Self {
            blocks: MemoryStore::new(),
            passed: AtomicUsize::new(0),
            stop_at,
            gate: Mutex::new(Some((reach, opened))),
        };
        (store, Gate { reached, open })
    }

    async fn point(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) == self.stop_at {
            let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((reach, opened)) = gate {
                reach.send(()).ok();
                // The test that holds the other side may have failed.
                opened.await.ok();
            }
        }
    }
}

impl Gate {
    /// Does something while the lookup stands at its point, and lets it go.
    pub(super) async fn meanwhile(self, something: impl Future<Output = ()>) {
        self.reached.await.expect("the point is reached");
        something.await;
        self.open.send(()).expect("the lookup waits");
    }
}

impl Blockstore for Gated {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        Box::pin(async move {
            self.point().await;
            let found = self.blocks.sizes(cids).await;
            self.point().await;
            found
        })
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        Box::pin(async move {
            self.point().await;
            let found = self.blocks.get(cids).await;
            self.point().await;
            found
        })
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.blocks.put(blocks)
    }
}

/// A store that answers no lookup.
#[derive(Debug)]
pub(super) struct Mute;

impl Blockstore for Mute {
    fn sizes(&self, _: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        Box::pin(pending())
    }

    fn get(&self, _: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        Box::pin(pending())
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }
}
