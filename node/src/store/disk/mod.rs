//! Blocks on disk, and which of them must stay.

mod block_files;
mod collect;
mod counts;
mod directory;
mod fault;
mod holds;
mod links;
mod marks;
mod pins;
mod renaming;
mod unsynced;
mod usage;

pub use collect::Collected;
pub use fault::StoreFault;
pub use usage::Usage;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bitswap_core::Block;
use bitswap_libp2p::{Blockstore, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use futures::stream::{self, Stream, TryStreamExt as _};

use super::Hash;
use crate::runtime::{Runtime, RuntimeExt};
use block_files::{BlockFiles, Found};
use directory::Directory;

/// Blocks on disk.
///
/// A block that is pinned, or that a pinned one leads to, is never removed. Others are removed by
/// [`Self::collect`], and when the store [has a limit](Self::with_limit), those that were used least
/// recently first.
#[derive(Clone, Debug)]
pub struct DiskStore {
    runtime: Arc<dyn Runtime>,
    directory: Arc<Directory>,
}

/// A block in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredBlock {
    /// The hash that names it. Stores know no codec.
    pub hash: Hash,
    /// Its length in bytes.
    pub size: u32,
}

/// A block that was read again and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedBlock {
    /// The block.
    pub block: StoredBlock,
    /// Whether its bytes are what its name says.
    pub is_intact: bool,
}

/// While this lives, what is put into a store is not removed from it to make room. For work that puts blocks
/// first and pins their root at the end.
#[derive(Debug)]
pub struct Hold {
    directory: Arc<Directory>,
    id: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.directory.release(self.id);
    }
}

impl DiskStore {
    /// Opens the store in a directory, and makes it if need be. It is this value's alone until the last
    /// clone is dropped.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when it is open already, here or in another process; or when the
    /// directory cannot be made, read or cleaned up.
    pub async fn open(runtime: impl Runtime, directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        let directory = runtime.run_blocking(move || Directory::open(&directory)).await??;
        Ok(Self { runtime: Arc::new(runtime), directory: Arc::new(directory) })
    }

    /// Keeps the blocks within so many bytes. When a put would exceed them, blocks that are not pinned make
    /// room, down to nine tenths of the limit, those that were used least recently first; to within an hour, because
    /// that is how exactly uses are remembered. What does not fit beside what is pinned or held removes nothing: the put fails
    /// with [`StorageFull`](io::ErrorKind::StorageFull). Default: no limit.
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        self.directory.set_limit(bytes);
        self
    }

    /// How many blocks there are, and their bytes. Usually remembered; after a crash all blocks are counted
    /// again, once.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub async fn usage(&self) -> io::Result<Usage> {
        self.run(Directory::usage).await?
    }

    /// All blocks, in no order that means anything, with a thousandth of the names in memory at a time. What is put
    /// or removed meanwhile may be among them or not.
    ///
    /// # Errors
    ///
    /// Ends with what the file system says.
    pub fn list(&self) -> impl Stream<Item = io::Result<StoredBlock>> + Send + 'static {
        self.listed(|_, block| Ok(Some(block)))
    }

    /// Reads all blocks and hashes them, as [`Self::list`] lists them.
    ///
    /// # Errors
    ///
    /// Ends with what the file system says.
    pub fn check(&self) -> impl Stream<Item = io::Result<CheckedBlock>> + Send + 'static {
        self.listed(|blocks, block| {
            // One that was removed in between is none.
            let Some(bytes) = blocks.get(&block.hash)? else { return Ok(None) };
            let is_intact = is_block(&block.hash, bytes);
            Ok(Some(CheckedBlock { block, is_intact }))
        })
    }

    /// The block, hashed again; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Corrupt`] when its bytes have changed, [`StoreFault::File`].
    pub async fn get_verified(&self, cid: Cid) -> Result<Option<Block>, StoreFault> {
        let get = move |directory: &Directory| directory.blocks().get_verified(&cid);
        self.run(get).await.map_err(StoreFault::File)?
    }

    /// Removes blocks, and gives what was removed: those that were not there are not counted.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Pinned`] when one is pinned or a part of what is, and nothing was removed; or
    /// as [`Self::collect`].
    pub async fn remove(&self, cids: Vec<Cid>) -> Result<Usage, StoreFault> {
        let remove = move |directory: &Directory| directory.remove(&cids);
        self.run(remove).await.map_err(StoreFault::File)?
    }

    /// Removes one block whose bytes are not what its name says, even if it is pinned. False if it is intact, or
    /// not there.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub async fn remove_corrupt(&self, hash: Hash) -> io::Result<bool> {
        self.run(move |directory| directory.remove_corrupt(&hash)).await?
    }

    /// Keeps a block and all that it leads to, until [`Self::unpin`]. Links in dag-pb and dag-cbor are
    /// followed.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Missing`] unless all of it is in the store; [`StoreFault::UnknownLinks`],
    /// [`StoreFault::Corrupt`], [`StoreFault::Invalid`] or [`StoreFault::File`].
    pub async fn pin(&self, root: Cid) -> Result<(), StoreFault> {
        self.run(move |directory| directory.pin(&root)).await.map_err(StoreFault::File)?
    }

    /// Pins a block no longer; false if it was not pinned by this CID.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub async fn unpin(&self, root: Cid) -> io::Result<bool> {
        self.run(move |directory| directory.unpin(&root)).await?
    }

    /// What is pinned.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub async fn pins(&self) -> io::Result<Vec<Cid>> {
        self.run(|directory| directory.pins().all()).await?
    }

    /// Removes blocks that are not pinned, those that were used least recently first, until what is left has at most
    /// `target` bytes; with 0 all of them. A process that is killed meanwhile has removed fewer, and nothing that is
    /// pinned.
    ///
    /// It takes memory for half a million blocks at most; of more pinned ones it writes a list into the store's
    /// directory.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Corrupt`], [`StoreFault::Invalid`] and [`StoreFault::UnknownLinks`] when it cannot be told
    /// what a pinned block leads to, and nothing was removed; [`StoreFault::File`].
    pub async fn collect(&self, target: u64) -> Result<Collected, StoreFault> {
        self.run(move |directory| directory.collect(target)).await.map_err(StoreFault::File)?
    }

    /// Keeps what is put from now on while the value lives.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold { id: self.directory.holds().hold(), directory: self.directory.clone() }
    }

    /// Looks at all blocks, a shard a job; those of which nothing is to be said are left out.
    fn listed<T: Send + 'static>(
        &self,
        look: fn(&BlockFiles, StoredBlock) -> io::Result<Option<T>>,
    ) -> impl Stream<Item = io::Result<T>> + Send + 'static {
        let store = self.clone();
        let of = store.clone();
        let shards = async move {
            let shards = of.run(|directory| directory.blocks().shards()).await??;
            io::Result::Ok(stream::iter(shards.into_iter().map(io::Result::Ok)))
        };
        let in_shard = move |shard: PathBuf| {
            let store = store.clone();
            async move {
                let list = move |directory: &Directory| {
                    let blocks = directory.blocks();
                    let look = |found: Found| look(blocks, found.block).transpose();
                    io::Result::Ok(blocks.in_shard(&shard)?.into_iter().filter_map(look).collect())
                };
                let looked: Vec<io::Result<T>> = store.run(list).await??;
                io::Result::Ok(stream::iter(looked))
            }
        };
        stream::once(shards).try_flatten().and_then(in_shard).try_flatten()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> T + Send + 'static,
    ) -> io::Result<T> {
        let directory = self.directory.clone();
        self.runtime.run_blocking(move || work(&directory)).await
    }

    /// One job for a batch; a job that the runtime drops fails all of it.
    fn each<T: Send + 'static>(
        &self,
        cids: Vec<Cid>,
        look: fn(&BlockFiles, &Hash) -> io::Result<Option<T>>,
    ) -> BoxFuture<'_, Vec<Result<Option<T>, StoreError>>> {
        Box::pin(async move {
            let asked = cids.len();
            let look = move |directory: &Directory| {
                let look =
                    |cid: &Cid| look(directory.blocks(), cid.hash()).map_err(StoreError::new);
                cids.iter().map(look).collect()
            };
            self.run(look).await.unwrap_or_else(|error| {
                let error = StoreError::new(error);
                (0..asked).map(|_| Err(error.clone())).collect()
            })
        })
    }
}

/// Whether these bytes are the block of this hash.
fn is_block(hash: &Hash, bytes: Bytes) -> bool {
    Block::new(Cid::new_v1(bitswap_core::chunk::RAW, *hash), bytes).is_ok()
}

impl Blockstore for DiskStore {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.each(cids, BlockFiles::size)
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.each(cids, BlockFiles::get)
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let put = self.run(move |directory| directory.put(&blocks)).await;
            put.and_then(|result| result).map_err(StoreError::new)
        })
    }
}
