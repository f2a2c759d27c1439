//! Files that are fetched: to a disk that may fail, once or in several goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::chunk::{
    DownloadError, DownloadEvent, Effect, FileRole, FsError, FsErrorKind, IfExists, Profile,
    RenameRetry,
};
use bitswap_core::{Block, WhenMissing};
use bitswap_libp2p::{Blockstore, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, join, join_all};

use super::resuming::checkpointed;
use super::{Fault, FaultyFs, bytes, connect, file, names, pair, server};
use crate::error::{FetchError, GetError};
use crate::fetch::{Fetch, FetchOptions, Fetched};
use crate::fs::{DiskFs, Paths};
use crate::node::Node;
use crate::runtime::Runtime;

pub(super) const FULL: FsError = FsError { kind: FsErrorKind::DiskFull, code: Some(28) };

/// Two connected nodes, one with a file, and a directory for the other.
pub(super) struct Fixture {
    /// Keeps the file in being served.
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) root: Cid,
    pub(super) content: Vec<u8>,
    _source: tempfile::TempDir,
    pub(super) directory: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn new(runtime: &Arc<dyn Runtime>, len: usize) -> Self {
        let (a, b) = pair(runtime).await;
        let content = bytes(len);
        let (source, path) = file(&content);
        let root = a.share_file(&path, Profile::default()).await.unwrap().root.cid;
        let directory = tempfile::tempdir().unwrap();
        Self { a, b, root, content, _source: source, directory }
    }

    pub(super) fn target(&self) -> std::path::PathBuf {
        self.directory.path().join("target")
    }

    pub(super) fn fetch(&self, options: FetchOptions) -> Fetch {
        self.b.fetch_file(self.root, &self.target(), options).unwrap()
    }

    pub(super) fn fetch_with(
        &self,
        options: FetchOptions,
        decide: impl FnMut(&Effect) -> Fault + Send + 'static,
    ) -> (Fetch, Arc<FaultyFs>) {
        let paths = Paths::new(&self.target()).unwrap();
        let disk = DiskFs::new(self.b.runtime().clone(), paths.clone());
        let faulty = FaultyFs::new(Arc::new(disk), decide);
        (self.b.fetch_through(self.root, paths, faulty.clone(), options), faulty)
    }

    pub(super) fn assert_arrived(&self) {
        assert!(std::fs::read(self.target()).unwrap() == self.content);
        assert_eq!(names(self.directory.path()), ["target"]);
    }
}

/// Bytes that came from peers.
pub(super) fn received(fetched: &Fetched) -> u64 {
    fetched.from_peers.values().sum()
}

pub async fn a_fetch_says_what_it_waits_for(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 1).await;
    let (_, lonely) = (server(&runtime).await, super::client(&runtime).await);
    let directory = fixture.directory.path();
    let missing = super::raw(b"nowhere");
    let mut fetch =
        lonely.fetch_file(missing, &directory.join("x"), FetchOptions::default()).unwrap();
    let waiting = fetch.diagnose().await.unwrap();
    assert_eq!((waiting.peers, waiting.to_string()), (0, "no peer is connected".to_owned()));
    drop(fetch);

    let mut fetch =
        fixture.b.fetch_file(missing, &directory.join("y"), FetchOptions::default()).unwrap();
    let expected = format!("block {missing}: asked {}: DONT_HAVE", fixture.a.peer_id());
    // Asked again until the answer has come.
    while fetch.diagnose().await.unwrap().to_string() != expected {}
    fetch.cancel().await;
    assert!(matches!(fetch.finish().await, Err(FetchError::Cancelled)));

    let mut options = FetchOptions::default();
    options.session.when_missing = WhenMissing::Fail;
    let fetch = fixture.b.fetch_file(missing, &directory.join("z"), options).unwrap();
    let failed = fetch.finish().await;
    assert!(matches!(failed, Err(FetchError::Block(GetError::NotFound(said))) if said.len() == 1));
}

pub async fn a_fetch_does_not_replace_another_file(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 2_000_000).await;
    std::fs::write(fixture.target(), "mine").unwrap();
    let refused = fixture.fetch(FetchOptions::default()).finish().await;
    assert!(matches!(refused, Err(FetchError::Download(DownloadError::TargetExists))));
    assert_eq!(std::fs::read(fixture.target()).unwrap(), b"mine");

    let mut options = FetchOptions::default();
    options.download.if_exists = IfExists::Unique;
    let fetched = fixture.fetch(options).finish().await.unwrap();
    assert_eq!(fetched.path, fixture.directory.path().join("target (1)"));
    assert!(std::fs::read(&fetched.path).unwrap() == fixture.content);
    assert_eq!(std::fs::read(fixture.target()).unwrap(), b"mine");
    std::fs::remove_file(fetched.path).unwrap();

    let mut options = FetchOptions::default();
    options.download.if_exists = IfExists::Replace;
    fixture.fetch(options).finish().await.unwrap();
    fixture.assert_arrived();
}

pub async fn a_fetch_of_what_is_there_fetches_no_leaf(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 5_000_000).await;
    std::fs::write(fixture.target(), &fixture.content).unwrap();
    let fetched = fixture.fetch(FetchOptions::default()).finish().await.unwrap();
    assert!(fetched.finished.already);
    assert!(received(&fetched) < 1000, "the root alone");
    fixture.assert_arrived();
}

pub async fn a_second_fetch_to_the_same_target_is_refused(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 2_000_000).await;
    let (gate, opened) = oneshot::channel::<()>();
    let (mut at_gate, mut arrived) = mpsc::channel(1);
    let mut opened = Some(opened.map(|_| ()).boxed());
    let (first, _) = fixture.fetch_with(FetchOptions::default(), move |effect| match effect {
        Effect::Rename { .. } => {
            at_gate.try_send(()).unwrap();
            Fault::Wait(opened.take().unwrap())
        }
        _ => Fault::None,
    });
    arrived.next().await.unwrap();
    let second = fixture.fetch(FetchOptions::default()).finish().await;
    assert!(matches!(second, Err(FetchError::Download(DownloadError::AlreadyInProgress))));
    gate.send(()).unwrap();
    first.finish().await.unwrap();
    fixture.assert_arrived();
}

pub async fn a_cancelled_fetch_leaves_nothing(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 5 << 20).await;
    let (mut seen, mut second) = mpsc::channel(10);
    // From the second write on they wait, so that the fetch cannot end before it is cancelled.
    let (release, gate) = oneshot::channel::<()>();
    let gate = gate.map(drop).shared();
    let mut writes = 0;
    let (mut fetch, _) = fixture.fetch_with(checkpointed(), move |effect| {
        if !matches!(effect, Effect::Write { .. }) {
            return Fault::None;
        }
        writes += 1;
        if writes == 1 {
            return Fault::None;
        }
        // The test may have seen enough.
        let _ = seen.try_send(());
        Fault::Wait(gate.clone().boxed())
    });
    second.next().await.unwrap();
    assert!(!names(fixture.directory.path()).is_empty(), "there is something to remove");
    join(fetch.cancel(), async { release.send(()).unwrap() }).await;
    assert!(matches!(fetch.finish().await, Err(FetchError::Cancelled)));
    assert_eq!(names(fixture.directory.path()), [] as [&str; 0]);
}

pub async fn a_full_disk_pauses_a_fetch_and_loses_nothing(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 10 << 20).await;
    let mut failures = 3;
    let mut written = 0;
    let mut options = FetchOptions::default();
    options.download.wait_for_space = Duration::MAX;
    let (mut fetch, _) = fixture.fetch_with(options, move |effect| match effect {
        Effect::Write { bytes, .. } if written >= 4 << 20 && failures > 0 => {
            assert!(!bytes.is_empty());
            failures -= 1;
            Fault::Fail(FULL)
        }
        Effect::Write { bytes, .. } => {
            written += bytes.len();
            Fault::None
        }
        _ => Fault::None,
    });
    let (mut full, mut again) = (0, 0);
    while let Some(event) = fetch.next_event().await {
        match event {
            DownloadEvent::DiskFull { .. } => {
                full += 1;
                // As a user would who has made room.
                fetch.resume().await;
            }
            DownloadEvent::SpaceAvailable => again += 1,
            _ => {}
        }
    }
    // Once, unless writes that were on their way already fail after another one succeeded.
    assert!(full == again && (1..=3).contains(&full), "{full} times full, {again} times not");
    let fetched = fetch.finish().await.unwrap();
    assert!(received(&fetched) < (10 << 20) + 1000, "no leaf came twice");
    fixture.assert_arrived();
}

pub async fn a_file_is_closed_before_it_is_renamed_and_a_passing_failure_is_tried_again(
    runtime: Arc<dyn Runtime>,
) {
    let fixture = Fixture::new(&runtime, 2_000_000).await;
    let mut options = FetchOptions::default();
    options.download.rename = RenameRetry::WINDOWS;
    let mut failures = 2;
    let (fetch, faulty) = fixture.fetch_with(options, move |effect| match effect {
        Effect::Rename { .. } if failures > 0 => {
            failures -= 1;
            Fault::Fail(FsError { kind: FsErrorKind::PermissionDenied, code: Some(32) })
        }
        _ => Fault::None,
    });
    let fetched = fetch.finish().await.unwrap();
    assert_eq!(fetched.finished.retries, 2);
    let log = faulty.log();
    let last = |is: fn(&Effect) -> bool| log.iter().rposition(is).unwrap();
    let first = |is: fn(&Effect) -> bool| log.iter().position(is).unwrap();
    let closed = last(|effect| matches!(effect, Effect::Close { .. }));
    let renamed = first(|effect| matches!(effect, Effect::Rename { .. }));
    assert!(last(|effect| matches!(effect, Effect::Write { .. })) < closed && closed < renamed);
    fixture.assert_arrived();
}

pub async fn a_fetch_makes_durable_what_it_claims_before_it_claims_it_and_before_it_renames(
    runtime: Arc<dyn Runtime>,
) {
    let fixture = Fixture::new(&runtime, 10 << 20).await;
    let (fetch, faulty) = fixture.fetch_with(checkpointed(), |_| Fault::None);
    fetch.finish().await.unwrap();
    fixture.assert_arrived();
    let log = faulty.log();
    let mut journals = 0;
    for (at, effect) in log.iter().enumerate() {
        if matches!(effect, Effect::SaveJournal { .. }) {
            journals += 1;
            let before = |is: fn(&Effect) -> bool| log[..at].iter().rposition(is);
            let synced = before(|effect| *effect == Effect::Sync);
            let saved = before(|effect| matches!(effect, Effect::SaveJournal { .. }));
            assert!(synced > saved, "each is saved after a sync of its own");
        }
    }
    assert!(journals > 3, "{journals}");
    let is_last = |effect: &Effect| !matches!(effect, Effect::Stamp | Effect::Unlock);
    let last: Vec<&Effect> = log.iter().filter(|effect| is_last(effect)).collect();
    let [cut, sync, save, close, rename, dir, remove] = last[last.len() - 7..] else { panic!() };
    assert_eq!(*cut, Effect::Allocate { len: 10 << 20, reserve: false });
    assert_eq!((sync, dir), (&Effect::Sync, &Effect::SyncDir));
    assert!(matches!(save, Effect::SaveJournal { .. }));
    assert_eq!(*close, Effect::Close { role: FileRole::Temp });
    assert!(matches!(rename, Effect::Rename { .. }));
    assert_eq!(*remove, Effect::Remove { role: FileRole::Journal });
}

pub async fn three_fetches_at_once_arrive_equal(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 5_000_000).await;
    let (others, mut fetches) = ([3_000_000, 4_000_000], Vec::new());
    let mut sources = Vec::new();
    for (number, len) in others.into_iter().enumerate() {
        let content = bytes(len);
        let (source, path) = file(&content);
        let root = fixture.a.share_file(&path, Profile::default()).await.unwrap().root.cid;
        let target = fixture.directory.path().join(format!("other {number}"));
        sources.push((source, target.clone(), content));
        fetches.push(fixture.b.fetch_file(root, &target, FetchOptions::default()).unwrap());
    }
    fetches.push(fixture.fetch(FetchOptions::default()));
    for ended in join_all(fetches.into_iter().map(Fetch::finish)).await {
        assert_eq!(ended.unwrap().finished.unchecked, 0);
    }
    for (_, target, content) in sources {
        assert!(std::fs::read(target).unwrap() == content);
    }
    assert!(std::fs::read(fixture.target()).unwrap() == fixture.content);
    assert_eq!(names(fixture.directory.path()), ["other 0", "other 1", "target"]);
}

/// Has a block for every CID, and it is always the wrong one.
struct Wrong;

impl Blockstore for Wrong {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        async move { cids.iter().map(|_| Ok(Some(5))).collect() }.boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        async move { cids.iter().map(|_| Ok(Some(Bytes::from_static(b"wrong")))).collect() }.boxed()
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

pub async fn a_wrong_block_of_the_local_store_is_fetched_from_a_peer(runtime: Arc<dyn Runtime>) {
    let mut fixture = Fixture::new(&runtime, 5_000_000).await;
    let blocks = Arc::new(Wrong);
    fixture.b = Node::builder(runtime.clone()).with_blocks(blocks).start().await.unwrap();
    connect(&fixture.b, &fixture.a).await;
    let fetched = fixture.fetch(FetchOptions::default()).finish().await.unwrap();
    assert_eq!(fetched.from_here, 0);
    assert!(received(&fetched) > 5_000_000);
    fixture.assert_arrived();
}

pub async fn a_directory_or_garbage_is_no_file(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    connect(&b, &a).await;
    let directory = tempfile::tempdir().unwrap();
    // An empty UnixFS directory, and a block that is no dag-pb at all.
    for node in [&[0x0a, 0x02, 0x08, 0x01][..], b"garbage"] {
        let cid = *Block::sha2_256(bitswap_core::DAG_PB, node.to_vec()).cid();
        let block = Block::new(cid, Bytes::copy_from_slice(node)).unwrap();
        a.put_blocks(vec![block]).await.unwrap();
        let target: &Path = &directory.path().join("target");
        let failed = b.fetch_file(cid, target, FetchOptions::default()).unwrap().finish().await;
        assert!(matches!(failed, Err(FetchError::Download(DownloadError::InvalidDag(_)))));
    }
    assert!(names(directory.path()).is_empty());
}

pub async fn a_fetch_never_waits_for_what_is_not_a_file(runtime: Arc<dyn Runtime>) {
    #[cfg(unix)]
    for if_exists in [IfExists::Refuse, IfExists::Replace, IfExists::Unique] {
        use bitswap_core::chunk::Obstacle;
        for name in ["target", ".target.part", ".target.part-journal", ".target.part-lock"] {
            let fixture = Fixture::new(&runtime, 2_000_000).await;
            let path = fixture.directory.path().join(name);
            super::make_fifo(&path);
            let mut options = FetchOptions::default();
            options.download.if_exists = if_exists;
            let refused = fixture.fetch(options).finish().await;
            assert!(
                matches!(&refused, Err(FetchError::InTheWay { path: named, what: Obstacle::Fifo }) if *named == path),
                "{refused:?}"
            );
            assert_eq!(names(fixture.directory.path()), [name], "nothing else is left");
            let stats = fixture.b.stats().await.unwrap().bitswap.engine.fetched;
            assert_eq!(stats.blocks, 0, "found before anything is fetched");
        }
    }
    let _ = runtime;
}

pub async fn a_target_that_leads_to_the_temporary_file_costs_nothing(runtime: Arc<dyn Runtime>) {
    #[cfg(unix)]
    {
        // The link comes in the middle of the download.
        let fixture = Fixture::new(&runtime, 5_000_000).await;
        let target = fixture.target();
        let (fetch, _) = fixture.fetch_with(FetchOptions::default(), move |effect| {
            if matches!(effect, Effect::Rename { .. }) {
                std::os::unix::fs::symlink(".target.part", &target).unwrap();
            }
            Fault::None
        });
        let refused = fetch.finish().await;
        assert!(matches!(refused, Err(FetchError::Download(DownloadError::TargetExists))));
        let part = fixture.directory.path().join(".target.part");
        assert!(std::fs::read(&part).unwrap() == fixture.content, "the data is still there");

        // And it is there when the download begins again.
        let refused = fixture.fetch(FetchOptions::default()).finish().await;
        assert!(matches!(refused, Err(FetchError::Download(DownloadError::TargetExists))));
        assert!(std::fs::read(&part).unwrap() == fixture.content);
        let mut options = FetchOptions::default();
        options.download.if_exists = IfExists::Replace;
        fixture.fetch(options).finish().await.unwrap();
        assert!(!std::fs::symlink_metadata(fixture.target()).unwrap().is_symlink());
        fixture.assert_arrived();
    }
    let _ = runtime;
}
