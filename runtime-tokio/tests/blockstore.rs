//! The stores of the crate `blockstore` in a node, and ours behind its trait.

use std::sync::Arc;

use bitswap_node::store::ForeignStore;
use bitswap_node::{Blockstore as _, Cid, DiskStore, Keep, Node, chunk::Profile};
use bitswap_runtime_tokio::Tokio;
use blockstore::{Blockstore, EitherBlockstore, InMemoryBlockstore, RedbBlockstore};

type Foreign = EitherBlockstore<InMemoryBlockstore<64>, RedbBlockstore>;

async fn node(store: Arc<ForeignStore<Foreign>>) -> Node {
    let builder = Node::builder(Tokio::current()).with_blocks(store);
    builder.with_listen_address("/ip4/127.0.0.1/tcp/0".parse().unwrap()).start().await.unwrap()
}

#[tokio::test]
async fn a_node_serves_from_a_foreign_store_and_keeps_blocks_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, vec![7; 3_000_000]).unwrap();
    for profile in [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015] {
        let memory = Foreign::Left(InMemoryBlockstore::new());
        let redb = Foreign::Right(RedbBlockstore::in_memory().unwrap());
        let stores = [memory, redb].map(|store| Arc::new(ForeignStore::new(store)));
        let (a, b) = (node(stores[0].clone()).await, node(stores[1].clone()).await);
        let cut = (profile, Keep::Copies);
        let (root, _) = a.import_file(&file, cut, |_| {}).await.unwrap();
        assert!(stores[0].inner().has(&root.cid).await.unwrap());
        b.connect(a.addresses().await.unwrap().remove(0)).await.unwrap();
        let block = b.get(root.cid).await.unwrap();
        let kept = stores[1].inner().get(&root.cid).await.unwrap().unwrap();
        assert!(kept == block.data()[..]);
        // Stores of blocks have no codecs: the same block is found as a raw one.
        let raw = Cid::new_v1(0x55, *root.cid.hash());
        let found = stores[1].get(vec![raw]).await.remove(0).unwrap();
        assert_eq!(found.unwrap(), block.data());
        assert_eq!(
            stores[1].sizes(vec![raw]).await.remove(0).unwrap(),
            Some(block.data().len() as u32)
        );
    }
}

#[tokio::test]
async fn our_store_keeps_the_rules_of_the_foreign_trait_and_takes_no_wrong_block() {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(Tokio::current(), directory.path()).await.unwrap();
    let block = bitswap_node::Block::raw("block");
    let (cid, other) = (*block.cid(), *bitswap_node::Block::raw("other").cid());
    store.put_keyed(&cid, b"block").await.unwrap();
    assert!(Blockstore::has(&store, &cid).await.unwrap());
    assert_eq!(Blockstore::get(&store, &cid).await.unwrap().unwrap(), b"block");
    assert_eq!(Blockstore::get(&store, &other).await.unwrap(), None);
    assert!(store.put_keyed(&other, b"block").await.is_err());
    store.pin(cid).await.unwrap();
    assert!(Blockstore::remove(&store, &cid).await.is_err(), "it is pinned");
    store.unpin(cid).await.unwrap();
    Blockstore::remove(&store, &cid).await.unwrap();
    assert!(!Blockstore::has(&store, &cid).await.unwrap());
    Blockstore::close(store).await.unwrap();
    DiskStore::open(Tokio::current(), directory.path()).await.unwrap();
}
