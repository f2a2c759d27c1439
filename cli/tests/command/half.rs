//! A machine that has some blocks at first, and the rest once it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitswap_core::Block;
use bitswap_libp2p::{Blockstore, StoreError};
use bitswap_node::Node;
use bitswap_runtime_tokio::Tokio;
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// Blocks by their CIDs.
pub(crate) type Blocks = BTreeMap<Cid, Bytes>;

struct Store {
    at_first: Blocks,
    later: Blocks,
    is_open: AtomicBool,
}

impl Store {
    fn find(&self, cid: &Cid) -> Option<Bytes> {
        let later = || self.later.get(cid).filter(|_| self.is_open.load(Ordering::SeqCst));
        self.at_first.get(cid).or_else(later).cloned()
    }
}

impl Blockstore for Store {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        let size = |cid: &Cid| Ok(self.find(cid).map(|bytes| bytes.len() as u32));
        let sizes = cids.iter().map(size).collect();
        async { sizes }.boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        let blocks = cids.iter().map(|cid| Ok(self.find(cid))).collect();
        async { blocks }.boxed()
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

/// The machine, as long as this is there.
pub(crate) struct Half {
    store: Arc<Store>,
    /// Where it can be dialled.
    pub(crate) address: String,
    _node: Node,
    _runtime: tokio::runtime::Runtime,
}

impl Half {
    /// Starts it.
    pub(crate) fn serve(at_first: Blocks, later: Blocks) -> Self {
        let store = Arc::new(Store { at_first, later, is_open: AtomicBool::new(false) });
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (node, address) = runtime.block_on(async {
            let node = Node::builder(Tokio::current())
                .with_listen_address("/ip4/127.0.0.1/tcp/0".parse().unwrap())
                .with_blocks(store.clone())
                .start()
                .await
                .unwrap();
            let address = node.addresses().await.unwrap().remove(0).to_string();
            (node, address)
        });
        Self { store, address, _node: node, _runtime: runtime }
    }

    /// From now on it has everything.
    pub(crate) fn open(&self) {
        self.store.is_open.store(true, Ordering::SeqCst);
    }
}
