//! Files that are shared, and read.

use std::sync::Arc;

use bitswap_core::chunk::{Leaf, LeafPlace, Profile, Tree};
use bitswap_core::{Block, SessionOptions, WhenMissing};
use bitswap_libp2p::MemoryStore;
use bytes::Bytes;
use cid::Cid;
use futures::TryStreamExt as _;

use super::{bytes, client, connect, file, loopback, names, pair, raw, server};
use crate::error::{FetchError, GetError, ReadError, ShareError};
use crate::fetch::FetchOptions;
use crate::node::Node;
use crate::runtime::Runtime;

const PROFILES: [Profile; 2] = [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015];

pub async fn files_of_every_shape_arrive_equal_and_leave_nothing_else_behind<R: Runtime>(
    runtime: R,
) {
    let (a, b) = pair(&runtime).await;
    let kib = 1 << 10;
    let lens =
        [0, 1, 256 * kib - 1, 256 * kib, 256 * kib + 1, 1024 * kib, 1024 * kib + 1, 5_000_000];
    for profile in PROFILES {
        for len in lens {
            let content = bytes(len);
            let (_directory, path) = file(&content);
            let shared = a.share_file(&path, profile).await.unwrap();
            assert_eq!(shared.root.size, len as u64);
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("target");
            let fetch = b.fetch_file(shared.root.cid, &target, FetchOptions::default()).unwrap();
            let fetched = fetch.finish().await.unwrap();
            assert_eq!((fetched.finished.size, &fetched.path), (len as u64, &target));
            assert!(std::fs::read(&target).unwrap() == content, "{profile:?} {len}");
            assert_eq!(names(directory.path()), ["target"]);
        }
    }
}

pub async fn a_shared_file_is_not_copied<R: Runtime>(runtime: R) {
    let blocks = Arc::new(MemoryStore::new());
    let node = Node::builder(runtime.clone()).blocks(blocks.clone()).start().await.unwrap();
    let (_directory, path) = file(&bytes(5_000_000));
    let shared = node.share_file(&path, Profile::UnixfsV1_2025).await.unwrap();
    assert_eq!(shared.root.leaves, 5);
    assert_eq!(blocks.len(), 1, "the root alone");
    // And yet it is all there.
    let read = node.read_file(shared.root.cid, SessionOptions::default()).await.unwrap();
    let pieces: Vec<_> = read.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), bytes(5_000_000));
}

pub async fn a_leaf_that_cannot_be_made_again_is_not_promised<R: Runtime>(runtime: R) {
    // A file of three bytes, wrapped without its length, as none of our forms is.
    let bytes: &[u8] = &[0x0a, 7, 8, 2, 0x12, 3, b'o', b'd', b'd'];
    let cid = Cid::new_v1(0x70, crate::store::sha2_256(bytes));
    let (a, b) = pair(&runtime).await;
    a.put_blocks(vec![Block::from_store(cid, Bytes::from_static(bytes))]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    b.fetch_file(cid, &target, FetchOptions::default()).unwrap().finish().await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"odd");
    assert_eq!(b.store().files().size(cid.hash()).unwrap(), None);
}

pub async fn a_leaf_that_a_file_repeats_is_collected_once<R: Runtime>(runtime: R) {
    const TIMES: u64 = 1 << 16;
    let node = client(&runtime).await;
    let block = Block::from_store(raw(b"!"), Bytes::from_static(b"!"));
    let mut tree = Tree::new(Profile::UnixfsV1_2025);
    let mut nodes = Vec::new();
    for offset in 0..TIMES {
        let place = LeafPlace { offset, len: 1 };
        nodes.extend(tree.push(&Leaf { place, block: block.clone() }));
    }
    let (root, last) = tree.finish();
    nodes.extend(last);
    assert_eq!(root.leaves, TIMES);
    node.put_blocks(nodes).await.unwrap();
    let leaves = crate::share::leaves(&node, root.cid, root.size).await;
    assert_eq!(leaves.len(), 1);
    assert_eq!((leaves[0].0, leaves[0].1.len), (raw(b"!"), 1));
}

pub async fn a_file_that_changed_is_not_served<R: Runtime>(runtime: R) {
    let (a, b) = pair(&runtime).await;
    let mut content = bytes(3 << 20);
    let (directory, path) = file(&content);
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root;
    content[1 << 20] ^= 1;
    std::fs::write(&path, content).unwrap();
    let mut options = FetchOptions::default();
    options.session.when_missing = WhenMissing::Fail;
    let fetch = b.fetch_file(root.cid, &directory.path().join("target"), options).unwrap();
    let failed = fetch.finish().await;
    assert!(matches!(failed, Err(FetchError::Block(GetError::NotFound(_)))), "{failed:?}");
    // The two leaves that stayed as they were are there all the same.
    let served = a.stats().await.unwrap().bitswap.engine.served;
    assert!(served.dont_haves >= 1 && served.bytes < 3 << 20);
}

pub async fn a_missing_file_is_not_shared<R: Runtime>(runtime: R) {
    let node = client(&runtime).await;
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().join("missing"), directory.path().to_owned()] {
        let refused = node.share_file(&path, Profile::default()).await;
        assert!(matches!(refused, Err(ShareError::Read { path: named, .. }) if named == path));
    }
}

pub async fn a_fetched_file_is_served_by_its_fetcher<R: Runtime>(runtime: R) {
    for profile in PROFILES {
        let content = bytes(3_000_000);
        let (directory, path) = file(&content);
        let a = server(&runtime).await;
        let b = Node::builder(runtime.clone()).listen(loopback()).start().await.unwrap();
        connect(&b, &a).await;
        let root = a.share_file(&path, profile).await.unwrap().root;
        let target = directory.path().join("at b");
        let fetch = b.fetch_file(root.cid, &target, FetchOptions::default()).unwrap();
        fetch.finish().await.unwrap();
        a.shutdown().await;
        std::fs::remove_file(path).unwrap();

        let c = client(&runtime).await;
        connect(&c, &b).await;
        let target = directory.path().join("at c");
        let fetch = c.fetch_file(root.cid, &target, FetchOptions::default()).unwrap();
        let fetched = fetch.finish().await.unwrap();
        assert!(std::fs::read(&target).unwrap() == content);
        assert_eq!(fetched.from_peers.keys().collect::<Vec<_>>(), [&b.peer_id()]);
    }
}

pub async fn a_file_is_read_in_order<R: Runtime>(runtime: R) {
    let (a, b) = pair(&runtime).await;
    for profile in PROFILES {
        let content = bytes(20 << 20);
        let (_directory, path) = file(&content);
        let root = a.share_file(&path, profile).await.unwrap().root;
        let read = b.read_file(root.cid, SessionOptions::default()).await.unwrap();
        let pieces: Vec<_> = read.try_collect().await.unwrap();
        assert!(pieces.concat() == content);
    }
    let options = SessionOptions { when_missing: WhenMissing::Fail, ..SessionOptions::default() };
    let read = b.read_file(raw(b"nowhere"), options).await.unwrap();
    let failed: Result<Vec<_>, _> = read.try_collect().await;
    assert!(matches!(failed, Err(ReadError::Block(GetError::NotFound(_)))));
}
