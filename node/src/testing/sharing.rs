//! Files that are shared, and read.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bitswap_core::chunk::{Leaf, LeafRange, Obstacle, Profile, Tree};
use bitswap_core::{Block, SessionOptions, WhenMissing};
use bitswap_libp2p::{Blockstore, MemoryStore, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};

use super::hooked::Hooked;
#[cfg(unix)]
use super::make_fifo;
use super::{bytes, client, connect, file, loopback, names, pair, raw, server};
use crate::error::{FetchError, GetError, ReadError, ShareError};
use crate::fetch::FetchOptions;
use crate::node::Node;
use crate::runtime::Runtime;

const PROFILES: [Profile; 2] = [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015];

pub async fn files_of_every_shape_arrive_equal_and_leave_nothing_else_behind(
    runtime: Arc<dyn Runtime>,
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

pub async fn a_shared_file_is_not_copied(runtime: Arc<dyn Runtime>) {
    let blocks = Arc::new(MemoryStore::new());
    let node = Node::builder(runtime.clone()).with_blocks(blocks.clone()).start().await.unwrap();
    let (_directory, path) = file(&bytes(5_000_000));
    let shared = node.share_file(&path, Profile::UnixfsV1_2025).await.unwrap();
    assert_eq!(shared.root.leaves, 5);
    assert_eq!(blocks.len(), 1, "the root alone");
    // And yet it is all there.
    let read = node.read_file(shared.root.cid, SessionOptions::default()).await.unwrap();
    let pieces: Vec<_> = read.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), bytes(5_000_000));
}

pub async fn a_leaf_that_cannot_be_made_again_is_not_promised(runtime: Arc<dyn Runtime>) {
    // A file of three bytes, wrapped without its length, as none of our forms is.
    let bytes: &[u8] = &[0x0a, 7, 8, 2, 0x12, 3, b'o', b'd', b'd'];
    let cid = *Block::sha2_256(bitswap_core::DAG_PB, bytes.to_vec()).cid();
    let (a, b) = pair(&runtime).await;
    a.put_blocks(vec![Block::new_unchecked(cid, Bytes::from_static(bytes))]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    b.fetch_file(cid, &target, FetchOptions::default()).unwrap().finish().await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"odd");
    assert_eq!(b.store().files().size(cid.hash()).unwrap(), None);
}

pub async fn a_leaf_that_a_file_repeats_is_collected_once(runtime: Arc<dyn Runtime>) {
    const TIMES: u64 = 1 << 16;
    let node = client(&runtime).await;
    let block = Block::new_unchecked(raw(b"!"), Bytes::from_static(b"!"));
    let mut tree = Tree::new(Profile::UnixfsV1_2025);
    let mut nodes = Vec::new();
    for offset in 0..TIMES {
        let range = LeafRange { offset, len: 1 };
        nodes.extend(tree.push(&Leaf { range, block: block.clone() }));
    }
    let (root, last) = tree.finish();
    nodes.extend(last);
    assert_eq!(root.leaves, TIMES);
    node.put_blocks(nodes).await.unwrap();
    let leaves = crate::share::leaves(&node, root.cid, root.size).await;
    assert_eq!(leaves.len(), 1);
    assert_eq!((leaves[0].0, leaves[0].1.len), (raw(b"!"), 1));
}

pub async fn a_file_that_changed_is_not_served(runtime: Arc<dyn Runtime>) {
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

/// Keeps nothing, and cannot tell of any block whether it is there.
struct Broken;

impl Broken {
    fn answers<T>(cids: &[Cid]) -> Vec<Result<Option<T>, StoreError>> {
        cids.iter().map(|_| Err(StoreError::new("broken"))).collect()
    }
}

impl Blockstore for Broken {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        Box::pin(async move { Self::answers(&cids) })
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        Box::pin(async move { Self::answers(&cids) })
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

pub async fn a_block_that_left_its_file_may_be_in_the_store_that_fails(runtime: Arc<dyn Runtime>) {
    let node = Node::builder(runtime).with_blocks(Arc::new(Broken)).start().await.unwrap();
    let content = bytes(1000);
    let (_directory, path) = file(&content);
    let cid = node.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    assert_eq!(node.store().block(cid).await.unwrap().unwrap(), content);
    std::fs::write(&path, "other").unwrap();
    assert!(node.store().block(cid).await.is_err());
}

pub async fn a_missing_file_is_not_shared(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing");
    let refused = node.share_file(&path, Profile::default()).await;
    assert!(matches!(refused, Err(ShareError::Read { path: named, .. }) if named == path));
}

pub async fn only_regular_files_are_shared(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let directory = tempfile::tempdir().unwrap();
    let others = [(directory.path().to_owned(), Obstacle::Directory)];
    #[cfg(unix)]
    let others = {
        let (fifo, socket) = (directory.path().join("fifo"), directory.path().join("socket"));
        make_fifo(&fifo);
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        others.into_iter().chain([
            (fifo, Obstacle::Fifo),
            (socket, Obstacle::Socket),
            ("/dev/zero".into(), Obstacle::Device),
        ])
    };
    for (path, expected) in others {
        let refused = node.share_file(&path, Profile::default()).await;
        assert!(
            matches!(&refused, Err(ShareError::NotRegular { path: named, what }) if *named == path && *what == expected),
            "{refused:?}"
        );
    }
}

pub async fn a_file_that_changes_while_it_is_shared_is_refused(runtime: Arc<dyn Runtime>) {
    let hooked = Hooked::new(runtime);
    let node = Node::builder(hooked.clone()).start().await.unwrap();
    let (_directory, path) = file(&bytes(3 << 20));
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let open = || std::fs::File::options().write(true).open(&path).unwrap();
    open().set_modified(long_ago).unwrap();
    // The first job opens the file and the second reads from it: the change comes before the third.
    let (mut jobs, mut changed) = (0, Some(open()));
    hooked.before_each(move || {
        jobs += 1;
        if jobs == 3 {
            changed.take().unwrap().write_all(b"changed").unwrap();
        }
    });
    let refused = node.share_file(&path, Profile::default()).await;
    assert!(matches!(&refused, Err(ShareError::Changed { path: named }) if *named == path));
    node.share_file(&path, Profile::default()).await.unwrap();
}

pub async fn a_file_that_is_written_to_all_the_time_is_not_waited_for_for_ever(
    runtime: Arc<dyn Runtime>,
) {
    let hooked = Hooked::new(runtime);
    let (_directory, path) = file(b"");
    let mut written = std::fs::File::options().append(true).open(&path).unwrap();
    // It is written to before each look.
    hooked.before_each(move || written.write_all(b"more").unwrap());
    hooked.never_sleep();
    let refused = crate::share::settled(&hooked, &path).await;
    assert!(matches!(&refused, Err(ShareError::Changed { path: named }) if *named == path));
}

pub async fn a_file_that_says_no_size_is_shared_with_all_its_bytes(runtime: Arc<dyn Runtime>) {
    let path = std::path::Path::new("/proc/version");
    if !path.exists() {
        // Only Linux has such files.
        return;
    }
    assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
    let kept = Arc::new(Counting::default());
    let a =
        Node::builder(runtime.clone()).with_blocks(kept.clone()).with_listen_address(loopback());
    let (a, b) = (a.start().await.unwrap(), client(&runtime).await);
    connect(&b, &a).await;
    let shared = a.share_file(path, Profile::default()).await.unwrap();
    assert!(a.is_unchanged(shared.id).await.unwrap(), "its copy is served");
    let root = shared.root;
    let read = b.read_file(root.cid, SessionOptions::default()).await.unwrap();
    let pieces: Vec<_> = read.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), std::fs::read(path).unwrap());
    assert_eq!(root.size, pieces.concat().len() as u64);
    assert_eq!(kept.put.load(Ordering::Relaxed), 1, "there may be other bytes in it the next time");
}

pub async fn a_fetched_file_is_served_by_its_fetcher(runtime: Arc<dyn Runtime>) {
    for profile in PROFILES {
        let content = bytes(3_000_000);
        let (directory, path) = file(&content);
        let a = server(&runtime).await;
        let b =
            Node::builder(runtime.clone()).with_listen_address(loopback()).start().await.unwrap();
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

pub async fn what_is_fetched_and_not_shared_leaves_no_block_behind(runtime: Arc<dyn Runtime>) {
    let a = server(&runtime).await;
    let (directory, path) = file(&bytes(5_000_000));
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root;
    let blocks = Arc::new(MemoryStore::new());
    let b = Node::builder(runtime.clone()).with_blocks(blocks.clone()).start().await.unwrap();
    connect(&b, &a).await;
    let whole = FetchOptions { share: false, ..FetchOptions::default() };
    let mut part = FetchOptions::default();
    part.download.wanted = 10..2_000_000;
    for (name, options) in [("whole", whole), ("part", part)] {
        let fetch = b.fetch_file(root.cid, &directory.path().join(name), options).unwrap();
        fetch.finish().await.unwrap();
        assert_eq!(blocks.len(), 0, "{name}");
    }
}

pub async fn a_file_is_read_in_order(runtime: Arc<dyn Runtime>) {
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

/// Counts what it is asked to keep, and keeps it.
#[derive(Default)]
struct Counting {
    blocks: MemoryStore,
    put: AtomicUsize,
}

impl Blockstore for Counting {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.blocks.sizes(cids)
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.blocks.get(cids)
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.put.fetch_add(blocks.len(), Ordering::Relaxed);
        self.blocks.put(blocks)
    }
}

pub async fn what_is_read_is_kept_only_in_a_store_that_was_given_for_it(runtime: Arc<dyn Runtime>) {
    let a = server(&runtime).await;
    let (_directory, path) = file(&bytes(5_000_000));
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root;
    let given = Arc::new(Counting::default());
    let keeps = Node::builder(runtime.clone()).with_blocks(given.clone()).start().await.unwrap();
    let forgets = client(&runtime).await;
    for (node, kept) in [(&keeps, true), (&forgets, false)] {
        connect(node, &a).await;
        let read = node.read_file(root.cid, SessionOptions::default()).await.unwrap();
        let pieces: Vec<_> = read.try_collect().await.unwrap();
        assert!(pieces.concat() == bytes(5_000_000));
        assert_eq!(node.store().block(root.cid).await.unwrap().is_some(), kept);
        // Read again, it comes from the store, or again from the peer.
        let before = node.stats().await.unwrap().bitswap.engine.fetched.blocks;
        assert_eq!(before, 6, "five leaves and the root");
        let read = node.read_file(root.cid, SessionOptions::default()).await.unwrap();
        let pieces: Vec<_> = read.try_collect().await.unwrap();
        assert!(pieces.concat() == bytes(5_000_000));
        let after = node.stats().await.unwrap().bitswap.engine.fetched.blocks;
        assert_eq!(after, if kept { 6 } else { 12 });
    }
    assert_eq!(given.put.load(Ordering::Relaxed), 6);
}

pub async fn a_reader_holds_no_more_than_its_window(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let (_directory, path) = file(&bytes(40 << 20));
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root;
    let read = b.read_file(root.cid, SessionOptions::default()).await.unwrap();
    let mut read = std::pin::pin!(read);
    for leaf in 1..=40 {
        read.next().await.unwrap().unwrap();
        // Fetched is the root, what was read, and the window at most; nobody else holds a block.
        let blocks = b.stats().await.unwrap().bitswap.engine.fetched.blocks;
        assert!(blocks <= 1 + leaf + 16, "{blocks} blocks after {leaf} leaves");
    }
    assert!(read.next().await.is_none());
    assert!(b.store().block(root.cid).await.unwrap().is_none());
}
