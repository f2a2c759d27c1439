//! The local store of blocks, as the behaviour needs it.

mod memory;

pub use memory::MemoryStore;

use std::error::Error;
use std::sync::Arc;

use bitswap_core::Block;
use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use thiserror::Error;

/// A store of blocks.
///
/// The futures run on the [`TaskSpawner`](crate::TaskSpawner), not in the swarm's task, so they may
/// take their time; they should still not block the thread they run on. A store that
/// [answers at once](Self::answers_at_once) is spared that way. Lookups come in batches
/// of what one peer asked for. A store is keyed by multihash: a block stored as dag-pb is found
/// as raw too.
pub trait Blockstore: Send + Sync + 'static {
    /// Whether the futures are mostly ready the first time they are polled, after microseconds and without
    /// a system call. Then they are first polled in the swarm's task, which saves a task and two hops per
    /// call; one that is not ready then goes on on the [`TaskSpawner`](crate::TaskSpawner).
    ///
    /// A store that says so and then takes its time keeps every peer waiting.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// The length of each block, in the order asked; `None` for a block that is not there.
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>>;

    /// The bytes of each block, in the order asked; `None` for a block that is not there.
    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>>;

    /// Stores blocks. They were hashed already.
    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<S: Blockstore + ?Sized> Blockstore for Arc<S> {
    fn answers_at_once(&self) -> bool {
        (**self).answers_at_once()
    }

    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        (**self).sizes(cids)
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        (**self).get(cids)
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        (**self).put(blocks)
    }
}

/// What went wrong in the store.
#[derive(Clone, Debug, Error)]
#[error("the block store failed")]
pub struct StoreError(#[source] Arc<dyn Error + Send + Sync>);

#[cfg(feature = "serde")]
impl serde::Serialize for StoreError {
    /// The text of the error and of its causes.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        to.serialize_str(&text)
    }
}

impl StoreError {
    /// Wraps the store's own error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}
