//! Where blocks are kept, and how they are found again.
//!
//! A node's [`Store`] looks in two places: whole blocks, in any [`Blockstore`] (memory, or a
//! [`DiskStore`]), and files shared in place ([`SharedFiles`]), whose bytes stay where the user has
//! them. Blocks are found by their hash: the same bytes under another codec or CID version are
//! the same block.

#[cfg(feature = "blockstore")]
mod blockstore;
mod disk;
mod files;

#[cfg(feature = "blockstore")]
pub use blockstore::{BlockstoreError, ForeignStore};
pub use disk::{CheckedBlock, Collected, DiskStore, Hold, StoreFault, StoredBlock, Usage};
pub use files::{FileId, SharedFiles, SharedLeaf, Stamp};

use std::fmt;
use std::io;
use std::sync::Arc;

use bitswap_core::Block;
use bitswap_libp2p::{Blockstore, MemoryStore, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;

use crate::runtime::{Runtime, RuntimeExt};

/// The codec of nodes in CBOR.
const DAG_CBOR: u64 = 0x71;

/// A hash that names a block.
pub type Hash = cid::multihash::Multihash<64>;

/// All the blocks that a node has. A value of it is a cheap handle.
#[derive(Clone)]
pub struct Store {
    runtime: Arc<dyn Runtime>,
    blocks: Arc<dyn Blockstore>,
    keeps_what_is_read: bool,
    files: Arc<SharedFiles>,
}

impl Store {
    /// Whole blocks are kept in `blocks`, also those of files that are only read; no file is shared yet.
    pub fn new(runtime: Arc<dyn Runtime>, blocks: Arc<dyn Blockstore>) -> Self {
        Self { runtime, blocks, keeps_what_is_read: true, files: Arc::default() }
    }

    /// Whole blocks are kept in memory, without a bound. So it takes what is put and what is asked for by
    /// name, and not what goes by while a file is read.
    pub fn in_memory(runtime: Arc<dyn Runtime>) -> Self {
        let keeps_what_is_read = false;
        Self { keeps_what_is_read, ..Self::new(runtime, Arc::new(MemoryStore::new())) }
    }

    /// Whether the blocks of files that are only read are kept.
    #[must_use]
    pub const fn keeps_what_is_read(&self) -> bool {
        self.keeps_what_is_read
    }

    /// The files shared in place.
    #[must_use]
    pub fn files(&self) -> &Arc<SharedFiles> {
        &self.files
    }

    /// The bytes of one block.
    ///
    /// # Errors
    ///
    /// When the store fails; a block that is not there is `Ok(None)`.
    pub async fn block(&self, cid: Cid) -> Result<Option<Bytes>, StoreError> {
        self.get(vec![cid]).await.pop().unwrap_or(Ok(None))
    }

    /// Fills up, from the shared files, what the store of whole blocks does not have.
    async fn and_in_files<T: Send + 'static>(
        &self,
        cids: &[Cid],
        mut answers: Vec<Result<Option<T>, StoreError>>,
        look: fn(&SharedFiles, &Hash) -> io::Result<Option<T>>,
    ) -> Vec<Result<Option<T>, StoreError>> {
        let missing: Vec<(usize, Hash)> = cids
            .iter()
            .map(|cid| *cid.hash())
            .enumerate()
            .filter(|(at, hash)| {
                !matches!(answers.get(*at), Some(Ok(Some(_)))) && self.files.contains(hash)
            })
            .collect();
        if missing.is_empty() {
            return answers;
        }
        let files = self.files.clone();
        let found = self.runtime.run_blocking(move || {
            let look = |(at, hash)| (at, look(&files, &hash).map_err(StoreError::new));
            missing.into_iter().map(look).collect::<Vec<_>>()
        });
        match found.await {
            Ok(found) => {
                for (at, answer) in found {
                    // That the files lack it does not tell that the store which failed has not got it.
                    if !matches!((&answers[at], &answer), (Err(_), Ok(None))) {
                        answers[at] = answer;
                    }
                }
            }
            Err(error) => {
                let error = StoreError::new(error);
                answers.iter_mut().for_each(|answer| *answer = Err(error.clone()));
            }
        }
        answers
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runtime, blocks: _, keeps_what_is_read, files } = self;
        f.debug_struct("Store")
            .field("runtime", runtime)
            .field("keeps_what_is_read", keeps_what_is_read)
            .field("files", files)
            .finish_non_exhaustive()
    }
}

impl Blockstore for Store {
    fn answers_at_once(&self) -> bool {
        self.blocks.answers_at_once()
    }

    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        Box::pin(async move {
            let answers = self.blocks.sizes(cids.clone()).await;
            self.and_in_files(&cids, answers, SharedFiles::size).await
        })
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        Box::pin(async move {
            let answers = self.blocks.get(cids.clone()).await;
            self.and_in_files(&cids, answers, SharedFiles::get).await
        })
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.blocks.put(blocks)
    }
}
