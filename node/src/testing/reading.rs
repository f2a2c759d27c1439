//! Files that are read from anywhere, and ranges of them.

use std::io::SeekFrom;
use std::sync::Arc;

use bitswap_core::chunk::{Profile, Tree};
use bitswap_core::{Block, SessionOptions, WhenMissing};
use futures::{AsyncReadExt as _, AsyncSeekExt as _, TryStreamExt as _};

use super::{bytes, file, pair, raw};
use crate::node::Node;
use crate::read::ReadOptions;
use crate::runtime::Runtime;

const MIB: usize = 1 << 20;

async fn fetched(node: &Node) -> u64 {
    node.stats().await.unwrap().bitswap.engine.fetched.blocks
}

pub async fn a_range_of_a_file_costs_its_leaves_and_no_more(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let content = bytes(20 * MIB);
    let (_directory, path) = file(&content);
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    let mut before = 0;
    for (range, blocks) in [
        (5 * MIB + 10..5 * MIB + 20, 2),
        (7 * MIB - 1..8 * MIB + 1, 4),
        (20 * MIB - 1..usize::MAX, 2),
        (3..3, 1),
        (30 * MIB..40 * MIB, 1),
    ] {
        let wanted = range.start as u64..range.end as u64;
        let read = b.read_range(root, wanted, ReadOptions::default()).await.unwrap();
        let pieces: Vec<_> = read.try_collect().await.unwrap();
        let expected = content.get(range.start..range.end.min(content.len())).unwrap_or_default();
        assert!(pieces.concat() == expected, "{range:?}");
        let now = fetched(&b).await;
        assert_eq!(now - before, blocks, "{range:?}: its leaves and the root");
        before = now;
    }
}

pub async fn a_reader_that_seeks_drops_what_is_outside_of_its_window(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let content = bytes(40 * MIB);
    let (_directory, path) = file(&content);
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    let options = ReadOptions { blocks_ahead: 2, ..ReadOptions::default() };
    let mut reader = b.open(root, options).await.unwrap();
    assert_eq!((reader.len(), fetched(&b).await), (content.len() as u64, 1));
    let mut buf = vec![0; MIB];

    reader.read_exact(&mut buf[..10]).await.unwrap();
    assert!(buf[..10] == content[..10]);
    // Within what is there already, forwards and back.
    assert_eq!(reader.seek(SeekFrom::Current(990)).await.unwrap(), 1000);
    reader.read_exact(&mut buf[..10]).await.unwrap();
    assert!(buf[..10] == content[1000..1010]);
    assert!(fetched(&b).await <= 3);
    // Far forwards: nothing between is asked for.
    reader.seek(SeekFrom::Start(30 * MIB as u64 + 5)).await.unwrap();
    reader.read_exact(&mut buf).await.unwrap();
    assert!(buf == content[30 * MIB + 5..31 * MIB + 5]);
    let so_far = fetched(&b).await;
    assert!(so_far <= 1 + 2 + 3, "{so_far} blocks");
    // From the end, and back to the beginning.
    reader.seek(SeekFrom::End(-7)).await.unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert!(rest == content[40 * MIB - 7..]);
    reader.seek(SeekFrom::Start(3)).await.unwrap();
    reader.read_exact(&mut buf[..4]).await.unwrap();
    assert!(buf[..4] == content[3..7]);
    // Beyond the end there is nothing, and before the beginning no position.
    reader.seek(SeekFrom::Start(50 * MIB as u64)).await.unwrap();
    assert_eq!(reader.read(&mut buf).await.unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(-51 * MIB as i64)).await.is_err());
    let so_far = fetched(&b).await;
    assert!(so_far <= 1 + 2 + 3 + 1 + 2, "{so_far} blocks");
}

pub async fn a_reader_that_is_dropped_leaves_no_want_behind(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let (_directory, path) = file(&bytes(3 * MIB));
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    let mut reader = b.open(root, ReadOptions::default()).await.unwrap();
    // The leaves are gone: they are waited for.
    std::fs::write(&path, "something else").unwrap();
    let mut buf = [0; 10];
    while b.stats().await.unwrap().bitswap.engine.wants < 3 {
        assert!(futures::poll!(reader.read(&mut buf)).is_pending());
    }
    // Two of three are passed over.
    reader.seek(SeekFrom::Start(2 * MIB as u64)).await.unwrap();
    while b.stats().await.unwrap().bitswap.engine.wants > 1 {}
    drop(reader);
    while b.stats().await.unwrap().bitswap.engine.wants > 0 {}
    while b.stats().await.unwrap().bitswap.engine.sessions > 0 {}
}

pub async fn a_reader_tells_what_is_missing_once_it_is_reached(runtime: Arc<dyn Runtime>) {
    let (_a, b) = pair(&runtime).await;
    let session = SessionOptions { when_missing: WhenMissing::Fail, ..SessionOptions::default() };
    assert!(b.open(raw(b"nowhere"), session.clone()).await.is_err());

    let (a, b) = pair(&runtime).await;
    let content = bytes(3 * MIB);
    let (_directory, path) = file(&content);
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    // Of three leaves the second is not what it was.
    let mut altered = content.clone();
    altered[MIB] ^= 1;
    std::fs::write(&path, &altered).unwrap();
    let mut reader = b.open(root, session).await.unwrap();
    let mut buf = vec![0; MIB];
    reader.read_exact(&mut buf).await.unwrap();
    assert!(buf == content[..MIB]);
    let error = reader.read(&mut buf).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    // What comes after it can still be read.
    reader.seek(SeekFrom::Start(2 * MIB as u64)).await.unwrap();
    reader.read_exact(&mut buf).await.unwrap();
    assert!(buf == content[2 * MIB..]);
}

pub async fn a_reader_gives_no_byte_for_a_block_that_does_not_fit(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    // The parent says four bytes of the first child, which has three.
    let leaves = [Block::raw(&b"odd"[..]), Block::raw(&b"even"[..])];
    let mut tree = Tree::new(Profile::UnixfsV1_2025);
    for leaf in &leaves {
        assert!(tree.push_range(*leaf.cid(), 4, 4).is_empty());
    }
    let (root, nodes) = tree.finish();
    a.put_blocks(nodes.into_iter().chain(leaves).collect()).await.unwrap();
    let mut reader = b.open(root.cid, ReadOptions::default()).await.unwrap();
    let mut buf = [0; 8];
    for _ in 0..3 {
        let error = reader.read(&mut buf).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
    reader.seek(SeekFrom::Start(4)).await.unwrap();
    assert_eq!(reader.read(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf[..4], b"even");
}
