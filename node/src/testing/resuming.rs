//! Fetches that are interrupted, and go on.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::chunk::{
    DownloadError, DownloadEvent, Effect, FileRole, Obstacle, Resume, SyncPolicy,
};
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use futures::future::join;

use super::Fault;
use super::fetching::{FULL, Fixture, received};
use crate::error::FetchError;
use crate::fetch::FetchOptions;
use crate::fs::Paths;
use crate::runtime::Runtime;

/// How long a leaf is.
const LEAF: u64 = 1 << 20;

/// Options under which every write is claimed by the journal before long.
pub(super) fn checkpointed() -> FetchOptions {
    let mut options = FetchOptions::default();
    options.download.window = 1;
    let every = Duration::from_secs(3600);
    options.download.sync = SyncPolicy::Checkpoints { bytes: 1, every };
    options
}

fn resuming(resume: Resume) -> FetchOptions {
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    options.download.resume = resume;
    options
}

/// Ten leaves, of which exactly three were fetched when the fetch was stopped.
async fn stopped(runtime: &Arc<dyn Runtime>) -> Fixture {
    let fixture = Fixture::new(runtime, 10 << 20).await;
    let (mut seen, mut third) = mpsc::channel(10);
    // From the fourth leaf on they wait, so that the fetch cannot end before it is stopped.
    let (release, gate) = oneshot::channel::<()>();
    let gate = gate.map(drop).shared();
    let mut writes = 0;
    let (mut fetch, _) = fixture.fetch_with(checkpointed(), move |effect| match effect {
        Effect::Write { bytes, .. } if bytes.len() as u64 == LEAF => {
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
    let ended = fetch.finish().await;
    assert!(matches!(ended, Err(FetchError::Interrupted)), "{ended:?}");
    assert!(!fixture.target().exists());
    let journal = Paths::new(&fixture.target()).unwrap().path(FileRole::Journal);
    assert!(std::fs::read(journal).unwrap().starts_with(b"bswpj"), "by which it is known");
    fixture
}

impl Fixture {
    fn part(&self) -> PathBuf {
        Paths::new(&self.target()).unwrap().path(FileRole::Temp)
    }

    /// The leaves that the temporary file holds.
    fn leaves(&self) -> u64 {
        let part = std::fs::read(self.part()).unwrap();
        let same = |(part, leaf): &(&[u8], &[u8])| part == leaf;
        let leaf = LEAF as usize;
        part.chunks(leaf).zip(self.content.chunks(leaf)).filter(same).count() as u64
    }
}

pub async fn a_stopped_fetch_goes_on_where_it_was(runtime: Arc<dyn Runtime>) {
    for resume in [Resume::Full, Resume::Sample, Resume::Changed] {
        let fixture = stopped(&runtime).await;
        let there = fixture.leaves();
        assert!((3..=4).contains(&there), "{there}");
        let fetched = fixture.fetch(resuming(resume)).finish().await.unwrap();
        assert_eq!(received(&fetched), (10 - there) * LEAF, "{resume:?}");
        fixture.assert_arrived();
    }
}

pub async fn a_temporary_file_that_was_altered_is_repaired_whatever_is_to_be_checked(
    runtime: Arc<dyn Runtime>,
) {
    for resume in [Resume::Full, Resume::Sample, Resume::Changed] {
        for hole in [false, true] {
            let fixture = stopped(&runtime).await;
            let there = fixture.leaves();
            let mut part = std::fs::File::options().write(true).open(fixture.part()).unwrap();
            if hole {
                let len = part.metadata().unwrap().len();
                part.set_len(1000).unwrap();
                part.set_len(len).unwrap();
            } else {
                part.seek(SeekFrom::Start(1000)).unwrap();
                part.write_all(b"8 others").unwrap();
            }
            drop(part);
            let fetched = fixture.fetch(resuming(resume)).finish().await.unwrap();
            let lost = if hole { there } else { 1 };
            assert_eq!(received(&fetched), (10 - there + lost) * LEAF, "{resume:?}");
            assert_eq!(fetched.finished.unchecked, 0, "all of it was hashed");
            fixture.assert_arrived();
        }
    }
}

/// What another program does to the temporary file while it is fetched.
async fn changed_meanwhile(
    runtime: &Arc<dyn Runtime>,
    change: impl FnOnce(&Path),
) -> (Fixture, FetchError) {
    let fixture = Fixture::new(runtime, 10 << 20).await;
    let (mut seen, mut third) = mpsc::channel(10);
    let (release, gate) = oneshot::channel::<()>();
    let gate = gate.map(drop).shared();
    let mut writes = 0;
    let (fetch, _) = fixture.fetch_with(checkpointed(), move |effect| match effect {
        Effect::Write { bytes, .. } if bytes.len() as u64 == LEAF => {
            writes += 1;
            if writes > 3 {
                // The test may have seen enough.
                let _ = seen.try_send(());
                Fault::Wait(gate.clone().boxed())
            } else {
                Fault::None
            }
        }
        _ => Fault::None,
    });
    third.next().await.unwrap();
    change(&fixture.part());
    release.send(()).unwrap();
    let ended = fetch.finish().await.unwrap_err();
    assert!(!fixture.target().exists(), "it has no name, and is called nothing");
    (fixture, ended)
}

pub async fn a_temporary_file_that_another_program_puts_in_its_place_gets_no_name(
    runtime: Arc<dyn Runtime>,
) {
    let (fixture, ended) = changed_meanwhile(&runtime, |part| {
        let other = part.with_file_name("other");
        std::fs::write(&other, "a diary").unwrap();
        std::fs::rename(&other, part).unwrap();
    })
    .await;
    let what = Obstacle::NotOurs;
    assert!(
        matches!(&ended, FetchError::InTheWay { path, what: seen } if *path == fixture.part() && *seen == what),
        "{ended:?}"
    );
    assert_eq!(std::fs::read(fixture.part()).unwrap(), b"a diary", "it is left alone");
}

/// Where the file system tells of each write at once.
#[cfg(target_os = "linux")]
pub async fn a_temporary_file_that_another_program_writes_to_is_compared_before_it_gets_a_name(
    runtime: Arc<dyn Runtime>,
) {
    let (fixture, ended) = changed_meanwhile(&runtime, |part| {
        let mut part = std::fs::File::options().write(true).open(part).unwrap();
        part.seek(SeekFrom::Start(1000)).unwrap();
        part.write_all(b"8 others").unwrap();
        // Not within the tick of the clock in which we wrote.
        let later = part.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        part.set_modified(later).unwrap();
    })
    .await;
    assert!(matches!(&ended, FetchError::Changed { path } if *path == fixture.part()), "{ended:?}");
    let fetched = fixture.fetch(resuming(Resume::Changed)).finish().await.unwrap();
    assert_eq!(fetched.finished.unchecked, 0, "all of it was hashed");
    fixture.assert_arrived();
}

#[cfg(not(target_os = "linux"))]
pub async fn a_temporary_file_that_another_program_writes_to_is_compared_before_it_gets_a_name(
    _: Arc<dyn Runtime>,
) {
}

pub async fn what_is_trusted_is_told_and_not_hashed(runtime: Arc<dyn Runtime>) {
    let fixture = stopped(&runtime).await;
    let there = fixture.leaves() * LEAF;
    let (fetch, faulty) = fixture.fetch_with(resuming(Resume::Changed), |_| Fault::None);
    assert_eq!(fetch.finish().await.unwrap().finished.unchecked, there);
    let checks = faulty.log().iter().filter(|it| matches!(it, Effect::Check(_))).count();
    assert_eq!(checks, 0);
    fixture.assert_arrived();
}

pub async fn a_full_disk_ends_a_fetch_and_what_was_written_is_kept(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 10 << 20).await;
    let mut writes = 0;
    let (fetch, _) = fixture.fetch_with(checkpointed(), move |effect| match effect {
        Effect::Write { bytes, .. } if bytes.len() as u64 == LEAF => {
            writes += 1;
            if writes > 4 { Fault::Fail(FULL) } else { Fault::None }
        }
        _ => Fault::None,
    });
    let ended = fetch.finish().await;
    let Err(FetchError::Download(DownloadError::NotEnoughSpace { needed, .. })) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!((needed, fixture.leaves()), (6 * LEAF, 4));

    let mut fetch = fixture.fetch(resuming(Resume::Full));
    let started = fetch.next_event().await.unwrap();
    assert_eq!(started, DownloadEvent::Started { total: 10 * LEAF, have: 4 * LEAF });
    assert_eq!(received(&fetch.finish().await.unwrap()), 6 * LEAF);
    fixture.assert_arrived();
}
