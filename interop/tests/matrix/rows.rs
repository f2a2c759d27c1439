//! What every row does. A row proves three things: that each byte arrived as it was sent (by SHA-256),
//! that all of it came by Bitswap and each block once (by our counters, which know the other peer), and
//! that the peer counts the same (where it counts).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitswap_core::{Version, chunk::Profile};
use bitswap_interop::{
    AddOptions, Listen, content,
    us::{self, UsOptions},
};
use bitswap_libp2p::Config;
use bitswap_node::{Node, Runtime};
use cid::Cid;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::peer::{Count, Peer, import};

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const FIVE_MB: usize = 5_000_000;
pub(crate) const FIFTY_MB: usize = 50_000_000;
const CHUNK: u32 = 256 << 10;
pub(crate) const MIB_CHUNK: u32 = 1 << 20;

/// One file, and how it is moved.
#[derive(Clone)]
pub(crate) struct Case {
    len: usize,
    options: AddOptions,
    listen: Listen,
    newest: Version,
}

/// A file of `len` bytes in chunks of `CHUNK`, CIDv1, over TCP, with the newest protocol.
pub(crate) fn file(len: usize) -> Case {
    Case { len, options: AddOptions::v1(CHUNK), listen: Listen::Tcp, newest: Version::V1_2 }
}

impl Case {
    pub(crate) fn v0(mut self) -> Self {
        self.options = AddOptions { chunk_size: self.options.chunk_size, ..AddOptions::v0() };
        self
    }

    pub(crate) fn chunks(mut self, bytes: u32) -> Self {
        self.options.chunk_size = Some(bytes);
        self
    }

    pub(crate) fn hash(mut self, name: &'static str) -> Self {
        self.options.hash = Some(name);
        self
    }

    pub(crate) fn quic(mut self) -> Self {
        self.listen = Listen::Quic;
        self
    }

    pub(crate) fn speaking(mut self, newest: Version) -> Self {
        self.newest = newest;
        self
    }

    async fn us(&self, runtime: impl Runtime) -> Node {
        let config = Config::default().with_newest(self.newest);
        us::start(runtime, UsOptions { listen: self.listen, config }).await
    }
}

/// A folder for one row, with its input.
struct Folder {
    dir: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, len: usize) -> PathBuf {
        let path = self.path("in");
        fs::write(&path, content::bytes(len as u64, len)).unwrap();
        path
    }

    /// Twenty files, one of several blocks, one in a folder below. None is empty: the newest Kubo denies
    /// the empty block even if it has it.
    fn tree(&self) -> PathBuf {
        let tree = self.path("tree");
        fs::create_dir_all(tree.join("below")).unwrap();
        for number in 0..18_usize {
            let name = format!("file {number}");
            fs::write(tree.join(name), content::bytes(number as u64, 100 * number + 1)).unwrap();
        }
        fs::write(tree.join("large"), content::bytes(100, 700 * KIB)).unwrap();
        fs::write(tree.join("below/ünïcode"), content::bytes(101, 5000)).unwrap();
        tree
    }
}

/// A transfer that hangs is a failed row. (The peers' commands have deadlines of their own.)
async fn in_time<T>(transfer: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), transfer).await.expect("it takes longer than a minute")
}

/// Asks until it is so: counters follow what they count.
async fn until<T: PartialEq + std::fmt::Debug>(mut value: impl AsyncFnMut() -> T, wanted: T) {
    let mut last = None;
    let asking = async {
        while last.as_ref() != Some(&wanted) {
            last = Some(value().await);
        }
    };
    let late = timeout(Duration::from_secs(20), asking).await.is_err();
    assert!(!late, "is {last:?}, not {wanted:?}");
}

/// The peer serves a file, our node fetches it.
pub(crate) async fn from<P: Peer>(runtime: impl Runtime, case: Case) {
    let folder = Folder::new();
    let input = folder.file(case.len);
    let (server, root) = P::serving(case.listen, &input, &case.options).await;
    let us = case.us(runtime).await;

    let peer = us.connect(server.addr()).await.unwrap();
    let fetched = in_time(us::fetch(&us, root, &folder.path("out"))).await.unwrap();

    assert_same(&input, &folder.path("out"));
    assert_eq!(fetched.from_here, 0);
    assert_eq!(fetched.from_peers.keys().collect::<Vec<_>>(), [&peer]);
    let got = received(&us, case.newest).await;
    assert!(got.bytes >= case.len as u64, "{got:?}");
    assert_eq!(fetched.from_peers[&peer], got.bytes);
    if server.sent().await.is_some() {
        until(async || server.sent().await, Some(got)).await;
    }
}

/// Our node serves a file, the peer fetches it.
pub(crate) async fn to<P: Peer>(runtime: impl Runtime, case: Case) {
    let folder = Folder::new();
    let input = folder.file(case.len);
    let us = case.us(runtime).await;
    let root = share(&us, &input, &case.options).await;
    let client = P::empty(case.listen).await;
    assert!(!client.has(&root).await);

    client.connect(&us::address(&us).await).await;
    client.get(&root, &folder.path("out")).await;

    assert_same(&input, &folder.path("out"));
    assert!(client.has(&root).await);
    assert_served(&us, &client, case.len as u64).await;
}

/// The peer has a directory; our node gets it block by block, following its links.
pub(crate) async fn directory_from<P: Peer>(runtime: impl Runtime, fanout: Option<u32>) {
    let folder = Folder::new();
    let tree = folder.tree();
    let options = AddOptions { hamt_fanout: fanout, ..AddOptions::v1(CHUNK) };
    let dag = import(&tree, &options).await;
    let (server, root) = P::serving(Listen::Tcp, &tree, &options).await;
    assert_eq!(root, dag.root);
    let us = file(0).us(runtime).await;

    us.connect(server.addr()).await.unwrap();
    let walked = in_time(us::walk(&us, root)).await.unwrap();

    let all: BTreeMap<Cid, Vec<u8>> = dag.blocks.into_iter().collect();
    assert!(all.len() > 20, "{} blocks", all.len());
    assert_eq!(walked.len(), all.len());
    assert!(walked.into_iter().collect::<BTreeMap<_, _>>() == all, "a block differs");
    let got = received(&us, Version::V1_2).await;
    assert_eq!(got.blocks, all.len() as u64);
    if server.sent().await.is_some() {
        until(async || server.sent().await, Some(got)).await;
    }
}

/// Our node has a directory's blocks; the peer gets the directory.
pub(crate) async fn directory_to<P: Peer>(runtime: impl Runtime, fanout: Option<u32>) {
    let folder = Folder::new();
    let tree = folder.tree();
    let options = AddOptions { hamt_fanout: fanout, ..AddOptions::v1(CHUNK) };
    let dag = import(&tree, &options).await;
    let bytes = dag.bytes();
    let us = file(0).us(runtime).await;
    us::put(&us, dag.blocks).await.unwrap();
    let client = P::empty(Listen::Tcp).await;

    client.connect(&us::address(&us).await).await;
    client.get(&dag.root, &folder.path("out")).await;

    assert_eq!(files(&folder.path("out")), files(&tree));
    assert_served(&us, &client, bytes).await;
}

/// Shares a file from where it lies if that gives the same CID, and as stored blocks otherwise.
async fn share(us: &Node, path: &Path, options: &AddOptions) -> Cid {
    let profile = if *options == AddOptions::v0() {
        Some(Profile::UnixfsV0_2015)
    } else if *options == AddOptions::v1(MIB_CHUNK) {
        Some(Profile::UnixfsV1_2025)
    } else {
        None
    };
    match profile {
        Some(profile) => us.share_file(path, profile).await.unwrap().root.cid,
        None => {
            let dag = import(path, options).await;
            us::put(us, dag.blocks).await.unwrap();
            dag.root
        }
    }
}

/// What our node received, every block once and with the version that it was held to.
async fn received(us: &Node, version: Version) -> Count {
    let stats = us.stats().await.unwrap().bitswap;
    let fetched = stats.engine.fetched;
    assert_eq!((fetched.duplicate_blocks, fetched.unwanted_blocks), (0, 0), "{fetched:?}");
    assert_eq!(stats.traffic.failed_streams, 0, "{stats:?}");
    let peers = us.peers().await.unwrap();
    let spoken = peers[0].bitswap.unwrap().stats.unwrap().version;
    assert!(spoken.is_none_or(|spoken| spoken == version), "{spoken:?}");
    Count { blocks: fetched.blocks, bytes: fetched.bytes }
}

/// That our node sent `least` bytes at least, and the client counts just what we count.
async fn assert_served(us: &Node, client: &impl Peer, least: u64) {
    let served = async || {
        let served = us.stats().await.unwrap().bitswap.engine.served;
        Count { blocks: served.blocks, bytes: served.bytes }
    };
    match client.received().await {
        Some(received) => {
            assert!(received.bytes >= least, "{received:?}");
            until(served, received).await;
        }
        None => {
            let served = served().await;
            assert!(served.bytes >= least, "{served:?}");
        }
    }
}

fn assert_same(one: &Path, other: &Path) {
    let sha256 = |path| content::sha256_of_file(path).unwrap();
    assert_eq!(sha256(one), sha256(other));
}

/// Every file below a folder, with its digest.
fn files(folder: &Path) -> BTreeSet<(PathBuf, [u8; 32])> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let digest = content::sha256_of_file(&path).unwrap();
            found.insert((path.strip_prefix(folder).unwrap().to_owned(), digest));
        }
    }
    assert!(!found.is_empty());
    found
}
