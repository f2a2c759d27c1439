//! A store in memory.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bitswap_core::Block;
use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use super::{Blockstore, StoreError};

/// Blocks in memory, without a bound: for tests, for small sets, and as the simplest example of a
/// [`Blockstore`].
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: RwLock<HashMap<Multihash<64>, Bytes>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a block.
    ///
    /// The bytes are shared, not copied. A block that the behaviour has received holds at most a seventh
    /// more memory than its length; a slice of a larger buffer would keep all of that buffer.
    pub fn insert(&self, block: &Block) {
        self.write().insert(*block.cid().hash(), block.data().clone());
    }

    /// The bytes of a block.
    #[must_use]
    pub fn bytes_of(&self, cid: &Cid) -> Option<Bytes> {
        self.read().get(cid.hash()).cloned()
    }

    /// Forgets a block.
    pub fn remove(&self, cid: &Cid) -> Option<Bytes> {
        self.write().remove(cid.hash())
    }

    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Multihash<64>, Bytes>> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Multihash<64>, Bytes>> {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blockstore for MemoryStore {
    fn answers_at_once(&self) -> bool {
        true
    }

    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        let blocks = self.read();
        let size = |cid: &Cid| blocks.get(cid.hash()).map(|data| data.len() as u32);
        ready(cids.iter().map(|cid| Ok(size(cid))).collect()).boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        let blocks = self.read();
        ready(cids.iter().map(|cid| Ok(blocks.get(cid.hash()).cloned())).collect()).boxed()
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut stored = self.write();
        stored.extend(blocks.iter().map(|block| (*block.cid().hash(), block.data().clone())));
        ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use cid::multihash::Multihash;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_block_is_found_under_every_codec_of_its_hash() {
        let hash = Multihash::wrap(0x12, &[7; 32]).unwrap();
        let (raw, dag_pb, v0) =
            (Cid::new_v1(0x55, hash), Cid::new_v1(0x70, hash), Cid::new_v0(hash).unwrap());
        let other = Cid::new_v1(0x55, Multihash::wrap(0x12, &[8; 32]).unwrap());
        let store = MemoryStore::new();
        block_on(store.put(vec![Block::new_unchecked(raw, Bytes::from_static(b"abc"))])).unwrap();
        let sizes = block_on(store.sizes(vec![dag_pb, other, v0]));
        let sizes: Vec<_> = sizes.into_iter().map(Result::unwrap).collect();
        assert_eq!(sizes, [Some(3), None, Some(3)]);
        let data = block_on(store.get(vec![v0])).remove(0).unwrap();
        assert_eq!(data, Some(Bytes::from_static(b"abc")));
        assert_eq!(
            (store.len(), store.remove(&dag_pb).is_some(), store.is_empty()),
            (1, true, true)
        );
    }
}
