//! Files that are fetched: to a disk that may fail, once or in several goes.

use std::path::Path;
use std::sync::Arc;

use bitswap_core::WhenMissing;
use bitswap_core::chunk::{
    DownloadError, DownloadEvent, Effect, FsError, FsErrorKind, IfExists, Obstacle, Profile,
    RenameRetry, SyncPolicy,
};
use cid::Cid;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use futures::future::join;

use super::{Fault, FaultyFs, bytes, connect, file, names, pair, server};
use crate::error::{FetchError, GetError};
use crate::fetch::{Fetch, FetchOptions, Fetched};
use crate::fs::{DiskFs, Paths};
use crate::node::Node;
use crate::runtime::Runtime;

const FULL: FsError = FsError { kind: FsErrorKind::DiskFull, code: Some(28) };

/// Two connected nodes, one with a file, and a directory for the other.
struct Fixture<R: Runtime> {
    /// Keeps the file in being served.
    _a: Node<R>,
    b: Node<R>,
    root: Cid,
    content: Vec<u8>,
    _source: tempfile::TempDir,
    directory: tempfile::TempDir,
}

impl<R: Runtime> Fixture<R> {
    async fn new(runtime: &R, len: usize) -> Self {
        let (a, b) = pair(runtime).await;
        let content = bytes(len);
        let (source, path) = file(&content);
        let root = a.share_file(&path, Profile::default()).await.unwrap().root.cid;
        let directory = tempfile::tempdir().unwrap();
        Self { _a: a, b, root, content, _source: source, directory }
    }

    fn target(&self) -> std::path::PathBuf {
        self.directory.path().join("target")
    }

    fn fetch(&self, options: FetchOptions) -> Fetch {
        self.b.fetch_file(self.root, &self.target(), options).unwrap()
    }

    fn fetch_with(
        &self,
        options: FetchOptions,
        decide: impl FnMut(&Effect) -> Fault + Send + 'static,
    ) -> (Fetch, Arc<FaultyFs>) {
        let paths = Paths::new(&self.target()).unwrap();
        let disk = DiskFs::new(self.b.runtime().clone(), paths.clone());
        let faulty = FaultyFs::new(Arc::new(disk), decide);
        (self.b.fetch_through(self.root, paths, faulty.clone(), options), faulty)
    }

    fn assert_arrived(&self) {
        assert!(std::fs::read(self.target()).unwrap() == self.content);
        assert_eq!(names(self.directory.path()), ["target"]);
    }
}

/// Bytes that came from peers.
fn received(fetched: &Fetched) -> u64 {
    fetched.from_peers.values().sum()
}

pub async fn a_fetch_says_what_it_waits_for<R: Runtime>(runtime: R) {
    let fixture = Fixture::new(&runtime, 1).await;
    let (_, lonely) = (server(&runtime).await, super::client(&runtime).await);
    let directory = fixture.directory.path();
    let missing = super::raw(b"nowhere");
    let mut fetch =
        lonely.fetch_file(missing, &directory.join("x"), FetchOptions::default()).unwrap();
    let waiting = fetch.why().await.unwrap();
    assert_eq!((waiting.peers, waiting.to_string()), (0, "no peer is connected".to_owned()));
    drop(fetch);

    let mut fetch =
        fixture.b.fetch_file(missing, &directory.join("y"), FetchOptions::default()).unwrap();
    let expected = format!("block {missing}: asked {}: DONT_HAVE", fixture._a.peer_id());
    // Asked again until the answer has come.
    while fetch.why().await.unwrap().to_string() != expected {}
    fetch.cancel().await;
    assert!(matches!(fetch.finish().await, Err(FetchError::Cancelled)));

    let mut options = FetchOptions::default();
    options.session.when_missing = WhenMissing::Fail;
    let fetch = fixture.b.fetch_file(missing, &directory.join("z"), options).unwrap();
    let failed = fetch.finish().await;
    assert!(matches!(failed, Err(FetchError::Block(GetError::NotFound(said))) if said.len() == 1));
}

pub async fn a_fetch_does_not_replace_another_file<R: Runtime>(runtime: R) {
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

pub async fn a_fetch_of_what_is_there_fetches_no_leaf<R: Runtime>(runtime: R) {
    let fixture = Fixture::new(&runtime, 5_000_000).await;
    std::fs::write(fixture.target(), &fixture.content).unwrap();
    let fetched = fixture.fetch(FetchOptions::default()).finish().await.unwrap();
    assert!(fetched.finished.already);
    assert!(received(&fetched) < 1000, "the root alone");
    fixture.assert_arrived();
}

pub async fn a_second_fetch_to_the_same_target_is_refused<R: Runtime>(runtime: R) {
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

/// Options under which every write is claimed by the journal before long.
fn checkpointed() -> FetchOptions {
    let mut options = FetchOptions::default();
    options.download.window = 1;
    let every = std::time::Duration::from_secs(3600);
    options.download.sync = SyncPolicy::Checkpoints { bytes: 1, every };
    options
}

pub async fn a_stopped_fetch_goes_on_where_it_was<R: Runtime>(runtime: R) {
    let fixture = Fixture::new(&runtime, 10 << 20).await;
    let (mut seen, mut third) = mpsc::channel(10);
    // From the fourth write on they wait, so that the fetch cannot end before it is stopped.
    let (release, gate) = oneshot::channel::<()>();
    let gate = gate.map(drop).shared();
    let mut writes = 0;
    let (mut fetch, _) = fixture.fetch_with(checkpointed(), move |effect| match effect {
        Effect::Write { .. } => {
            writes += 1;
            if writes > 3 { Fault::Wait(gate.clone().boxed()) } else { Fault::None }
        }
        Effect::SaveJournal { .. } if writes >= 3 => {
            // The test may have seen enough.
            let _ = seen.try_send(());
            Fault::None
        }
        _ => Fault::None,
    });
    third.next().await.unwrap();
    join(fetch.stop(), async { release.send(()).unwrap() }).await;
    assert!(matches!(fetch.finish().await, Err(FetchError::Stopped(_))));
    assert!(!fixture.target().exists());

    let fetched = fixture.fetch(FetchOptions::default()).finish().await.unwrap();
    let left = received(&fetched);
    assert!(left <= 8 << 20, "{left} bytes came again although two leaves were there");
    fixture.assert_arrived();
}

pub async fn a_cancelled_fetch_leaves_nothing<R: Runtime>(runtime: R) {
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

pub async fn a_full_disk_pauses_a_fetch_and_loses_nothing<R: Runtime>(runtime: R) {
    let fixture = Fixture::new(&runtime, 10 << 20).await;
    let mut failures = 3;
    let mut written = 0;
    let (mut fetch, _) = fixture.fetch_with(FetchOptions::default(), move |effect| match effect {
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
            DownloadEvent::SpaceAgain => again += 1,
            _ => {}
        }
    }
    // Once, unless writes that were on their way already fail after another one succeeded.
    assert!(full == again && (1..=3).contains(&full), "{full} times full, {again} times not");
    let fetched = fetch.finish().await.unwrap();
    assert!(received(&fetched) < (10 << 20) + 1000, "no leaf came twice");
    fixture.assert_arrived();
}

pub async fn a_file_is_closed_before_it_is_renamed_and_a_passing_failure_is_tried_again<
    R: Runtime,
>(
    runtime: R,
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

pub async fn a_directory_or_garbage_is_no_file<R: Runtime>(runtime: R) {
    let (a, b) = pair(&runtime).await;
    connect(&b, &a).await;
    let directory = tempfile::tempdir().unwrap();
    // An empty UnixFS directory, and a block that is no dag-pb at all.
    for node in [&[0x0a, 0x02, 0x08, 0x01][..], b"garbage"] {
        let cid = Cid::new_v1(0x70, crate::store::sha2_256(node));
        let block = bitswap_core::Block::new(cid, bytes::Bytes::copy_from_slice(node)).unwrap();
        a.put_blocks(vec![block]).await.unwrap();
        let target: &Path = &directory.path().join("target");
        let failed = b.fetch_file(cid, target, FetchOptions::default()).unwrap().finish().await;
        assert!(matches!(failed, Err(FetchError::Download(DownloadError::InvalidDag(_)))));
    }
    assert!(names(directory.path()).is_empty());
}

pub async fn a_fetch_never_waits_for_what_is_not_a_file<R: Runtime>(runtime: R) {
    #[cfg(unix)]
    for if_exists in [IfExists::Refuse, IfExists::Replace, IfExists::Unique] {
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

pub async fn a_target_that_leads_to_the_temporary_file_costs_nothing<R: Runtime>(runtime: R) {
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
