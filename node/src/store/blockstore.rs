//! The `blockstore` crate's trait, both ways: its stores in a node, and ours in what takes any of its stores.

use std::fmt;

use bitswap_core::Block;
use bitswap_core::chunk::{DAG_PB, RAW};
use bitswap_libp2p::{Blockstore, StoreError};
use blockstore::Blockstore as Foreign;
use blockstore::block::CidError;
use bytes::Bytes;
use cid::multihash::Multihash;
use cid::{Cid, CidGeneric, Version};
use futures::future::BoxFuture;

use super::{DAG_CBOR, DiskStore};

/// What stores of the crate `blockstore` say when they fail.
pub use blockstore::Error as BlockstoreError;

/// A store of the crate `blockstore` (memory, redb, sled, or one's own), for [`with_blocks`].
///
/// Those stores name a block by its CID and a node by its hash alone. So a block is looked for under the CID that was
/// asked for, and then under those of the same hash that are in use: raw, dag-pb in both versions, dag-cbor.
///
/// [`with_blocks`]: crate::NodeBuilder::with_blocks
pub struct ForeignStore<S>(S);

impl<S> ForeignStore<S> {
    /// A node's store in another's.
    pub const fn new(store: S) -> Self {
        Self(store)
    }

    /// The store.
    pub const fn inner(&self) -> &S {
        &self.0
    }
}

impl<S> fmt::Debug for ForeignStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignStore").finish_non_exhaustive()
    }
}

/// The names that the block of a CID may have.
fn names(cid: &Cid) -> impl Iterator<Item = Cid> {
    let hash = *cid.hash();
    let v1 = [RAW, DAG_PB, DAG_CBOR].map(|codec| Cid::new_v1(codec, hash));
    let first = *cid;
    let rest = v1.into_iter().chain(Cid::new_v0(hash)).filter(move |name| *name != first);
    std::iter::once(first).chain(rest)
}

impl<S: Foreign> ForeignStore<S> {
    async fn one(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        for name in names(cid) {
            if let Some(bytes) = self.0.get(&name).await.map_err(StoreError::new)? {
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }
}

impl<S: Foreign + Send + Sync + 'static> Blockstore for ForeignStore<S> {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        Box::pin(async move {
            let blocks = self.get(cids).await.into_iter();
            // No block has 4 GiB.
            blocks.map(|block| Ok(block?.map(|bytes| bytes.len() as u32))).collect()
        })
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        Box::pin(async move {
            let mut blocks = Vec::with_capacity(cids.len());
            for cid in &cids {
                blocks.push(self.one(cid).await);
            }
            blocks
        })
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let named = blocks.into_iter().map(Block::into_parts);
            self.0.put_many_keyed(named.collect::<Vec<_>>()).await.map_err(StoreError::new)
        })
    }
}

/// A CID as it is here.
fn ours<const S: usize>(cid: &CidGeneric<S>) -> Result<Cid, BlockstoreError> {
    let hash = Multihash::wrap(cid.hash().code(), cid.hash().digest());
    let hash = hash.map_err(|_| BlockstoreError::CidTooLarge)?;
    match cid.version() {
        Version::V0 => Cid::new_v0(hash).map_err(|error| {
            BlockstoreError::StoredDataError(format!("a CID of version 0: {error}"))
        }),
        Version::V1 => Ok(Cid::new_v1(cid.codec(), hash)),
    }
}

fn fatal(error: impl fmt::Display) -> BlockstoreError {
    BlockstoreError::FatalDatabaseError(error.to_string())
}

/// A block is hashed when it is put: one whose bytes are not what its CID says is refused.
impl Foreign for DiskStore {
    async fn get<const S: usize>(
        &self,
        cid: &CidGeneric<S>,
    ) -> Result<Option<Vec<u8>>, BlockstoreError> {
        let block = Blockstore::get(self, vec![ours(cid)?]).await.pop();
        let bytes = block.unwrap_or(Ok(None)).map_err(fatal)?;
        Ok(bytes.map(Vec::from))
    }

    async fn put_keyed<const S: usize>(
        &self,
        cid: &CidGeneric<S>,
        data: &[u8],
    ) -> Result<(), BlockstoreError> {
        let block = Block::new(ours(cid)?, Bytes::copy_from_slice(data)).map_err(|error| {
            BlockstoreError::CidError(CidError::InvalidDataFormat(error.to_string()))
        })?;
        Blockstore::put(self, vec![block]).await.map_err(fatal)
    }

    async fn remove<const S: usize>(&self, cid: &CidGeneric<S>) -> Result<(), BlockstoreError> {
        Self::remove(self, vec![ours(cid)?]).await.map(drop).map_err(fatal)
    }

    async fn has<const S: usize>(&self, cid: &CidGeneric<S>) -> Result<bool, BlockstoreError> {
        let size = Blockstore::sizes(self, vec![ours(cid)?]).await.pop();
        Ok(size.unwrap_or(Ok(None)).map_err(fatal)?.is_some())
    }

    async fn close(self) -> Result<(), BlockstoreError> {
        Ok(())
    }
}
