//! Going on after an interruption, and comparing a file with its CID.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use super::harness::*;
use crate::chunk::testing::{FakeDisk, Survives, fs_error};
use crate::chunk::*;
use crate::time::Timestamp;

fn options(resume: Resume) -> DownloadOptions {
    DownloadOptions { resume, window: 8000, ..DownloadOptions::default() }
}

/// A disk on which `leaves` of 1000 bytes were written before a clean stop.
fn stopped(file: &File, leaves: usize) -> FakeDisk {
    let mut run = Run::new(file, options(Resume::Full), FakeDisk::new());
    while run.download.map().is_none_or(|map| map.have().total() < 1000 * leaves as u64) {
        run.step();
    }
    run.download.pause(run.now);
    run.download.stop(run.now);
    assert_eq!(run.finish(), Outcome::Stopped);
    run.disk.log.clear();
    run.disk
}

fn written(disk: &FakeDisk, file: &File) -> usize {
    let journal =
        Journal::decode(disk.bytes(FileRole::Journal).unwrap(), &file.root, &(0..u64::MAX));
    journal.unwrap().have.total() as usize / 1000
}

/// How many ranges of the temporary file a run compared, apart from its id.
fn compared(run: &Run<'_>) -> usize {
    let is_range = |effect: &Effect| matches!(effect, Effect::Check(check) if check.len == 1000);
    run.positions(is_range).len()
}

fn outcome(run: &mut Run<'_>) -> Finished {
    match run.finish() {
        Outcome::Finished(finished) => finished,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_missing_leaves_are_wanted_after_a_clean_stop() {
    let file = File::of(vec![1000; 200]);
    let disk = stopped(&file, 100);
    let there = written(&disk, &file);
    assert!(there >= 100);
    let samples = 10..=17;
    for (resume, checks) in
        [(Resume::Full, there..=there), (Resume::Sample, samples), (Resume::Changed, 0..=0)]
    {
        let mut run = Run::new(&file, options(resume), disk.clone());
        let finished = outcome(&mut run);
        assert_eq!(run.leaves_wanted(), 200 - there, "{resume:?}");
        let (total, have) = (200_000, 1000 * there as u64);
        assert_eq!(run.events[0], DownloadEvent::Started { total, have });
        assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
        assert!(checks.contains(&compared(&run)), "{resume:?}: {}", compared(&run));
        // What was not compared is told, to the byte.
        assert_eq!(finished.unchecked, 1000 * (there - compared(&run)) as u64, "{resume:?}");
    }
}

#[test]
fn without_a_good_journal_what_is_on_disk_is_compared_and_kept() {
    let file = File::of(vec![1000; 50]);
    let disk = stopped(&file, 20);
    let there = written(&disk, &file);
    let journal = disk.bytes(FileRole::Journal).unwrap().to_vec();
    let mut flipped = journal.clone();
    flipped[20] ^= 1;
    let everything = |root: Cid, id: [u8; 16]| Journal {
        id,
        stamp: None,
        root,
        wanted: 0..u64::MAX,
        size: 50_000,
        have: core::iter::once(0..50_000).collect(),
    };
    let of_another_file = everything(File::of([1]).root, [0; 16]).encode();
    let of_another_part = everything(file.root, [0; 16]).encode();
    let half = &journal[..journal.len() / 2];
    for bad in [half, &flipped, &of_another_file, &of_another_part, b""] {
        for resume in [Resume::Full, Resume::Sample, Resume::Changed] {
            let mut disk = disk.clone();
            disk.put(FileRole::Journal, bad);
            let mut run = Run::new(&file, options(resume), disk);
            assert_eq!(run.finish(), finished(50_000));
            assert_eq!(run.leaves_wanted(), 50 - there);
            assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
        }
    }
}

/// The bytes of the temporary file with one changed in the second of its leaves.
fn altered(disk: &FakeDisk) -> Vec<u8> {
    let mut bytes = disk.bytes(FileRole::Temp).unwrap().to_vec();
    bytes[1500] ^= 1;
    bytes
}

#[test]
fn what_was_altered_in_a_temporary_file_is_found_whatever_is_to_be_checked() {
    let file = File::of(vec![1000; 50]);
    let disk = stopped(&file, 20);
    let there = written(&disk, &file);
    // A hole as of a file that was cut and made longer again: the id is gone too.
    let mut hole = disk.bytes(FileRole::Temp).unwrap().to_vec();
    hole[1500..].fill(0);
    for (bytes, again) in [(altered(&disk), 1), (hole, there - 1)] {
        for resume in [Resume::Full, Resume::Sample, Resume::Changed] {
            let mut disk = disk.clone();
            disk.put(FileRole::Temp, &bytes);
            let mut run = Run::new(&file, options(resume), disk);
            assert_eq!(run.finish(), finished(50_000), "{resume:?}");
            assert_eq!(run.leaves_wanted(), 50 - there + again, "{resume:?}");
            assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
        }
    }
}

#[test]
fn a_full_verification_finds_corruption_that_changed_no_metadata() {
    let file = File::of(vec![1000; 50]);
    let mut disk = stopped(&file, 20);
    let there = written(&disk, &file);
    disk.corrupt(FileRole::Temp, &altered(&disk));
    let mut run = Run::new(&file, options(Resume::Full), disk);
    assert_eq!(run.finish(), finished(50_000));
    assert_eq!(run.leaves_wanted(), 50 - there + 1);
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn a_sample_that_hits_what_decayed_checks_everything() {
    let file = File::of(vec![1000; 50]);
    let mut disk = stopped(&file, 20);
    let there = written(&disk, &file);
    disk.corrupt(FileRole::Temp, &altered(&disk));
    let mut found = 0;
    for seed in 0..20 {
        let options = DownloadOptions { seed: [seed; 32], ..options(Resume::Sample) };
        let mut run = Run::new(&file, options, disk.clone());
        let finished = outcome(&mut run);
        if run.disk.bytes(FileRole::Target(0)) == Some(&file.bytes[..]) {
            found += 1;
            assert!(compared(&run) >= there, "everything");
            assert_eq!(finished.unchecked, 0);
        } else {
            assert!(compared(&run) <= 17, "a sample");
            assert_eq!(finished.unchecked, 1000 * (there - compared(&run)) as u64);
        }
    }
    // 16 of about 24 leaves, drawn with repetition: a miss about one time in two.
    assert!((5..=17).contains(&found), "{found}");
}

#[test]
fn a_stop_during_verification_keeps_the_claims_and_adds_no_stamp() {
    let file = File::of(vec![1000; 50]);
    let disk = stopped(&file, 30);
    let there = written(&disk, &file);
    let mut decayed = disk.clone();
    let mut bytes = disk.bytes(FileRole::Temp).unwrap().to_vec();
    bytes[20_500] ^= 1;
    decayed.corrupt(FileRole::Temp, &bytes);
    // The check has come as far as some leaves before the wrong one when it is stopped.
    let mut run = Run::new(&file, options(Resume::Full), decayed);
    while compared(&run) < 10 {
        run.step();
    }
    run.download.stop(run.now);
    assert_eq!(run.finish(), Outcome::Stopped);
    assert_eq!(written(&run.disk, &file), there, "nothing is claimed no longer");
    // Another program writes to it, and a check of all that is claimed begins and is stopped too, after
    // something new was fetched and claimed.
    let mut disk = run.disk;
    disk.log.clear();
    let bytes = disk.bytes(FileRole::Temp).unwrap().to_vec();
    disk.put(FileRole::Temp, &bytes);
    let mut run = Run::new(&file, options(Resume::Changed), disk);
    while compared(&run) < 5 {
        run.step();
    }
    let new = *file.leaves.last().unwrap();
    let have = |run: &Run<'_>| run.download.map().unwrap().have().contains(&(49_000..50_000));
    run.give(new);
    while !have(&run) {
        run.run_effect();
    }
    run.download.stop(run.now);
    assert_eq!(run.finish(), Outcome::Stopped);
    assert!(written(&run.disk, &file) > there);
    // Nobody wrote since: but the stamp must not speak for what was not compared.
    let mut run = Run::new(&file, options(Resume::Changed), run.disk);
    assert_eq!(run.finish(), finished(50_000));
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn a_temporary_file_of_another_length_is_compared_whatever_the_journal_claims() {
    let file = File::of(vec![1000; 50]);
    let mut disk = stopped(&file, 20);
    let short = disk.bytes(FileRole::Temp).unwrap()[..5_500].to_vec();
    disk.put(FileRole::Temp, &short);
    let mut run = Run::new(&file, options(Resume::Changed), disk);
    assert_eq!(run.finish(), finished(50_000));
    assert_eq!(run.leaves_wanted(), 45);
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn a_leaf_that_is_claimed_in_part_is_fetched_whole_and_does_not_count_as_written() {
    let file = File::of(vec![1000; 50]);
    let mut disk = stopped(&file, 20);
    let bytes = disk.bytes(FileRole::Journal).unwrap();
    let mut journal = Journal::decode(bytes, &file.root, &(0..u64::MAX)).unwrap();
    journal.have = core::iter::once(0..3_500).collect();
    disk.put(FileRole::Journal, &journal.encode());
    let mut run = Run::new(&file, options(Resume::Changed), disk);
    while run.events.is_empty() {
        run.step();
    }
    let have: Vec<_> = run.download.map().unwrap().have().iter().collect();
    assert_eq!(have, vec![0..3_000; 1]);
    let finished = outcome(&mut run);
    assert_eq!((run.leaves_wanted(), finished.unchecked), (47, 3_000));
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn after_a_failed_sync_everything_since_the_last_good_one_is_written_again() {
    let file = File::of(vec![1000; 100]);
    let every = Duration::from_secs(5);
    let sync = SyncPolicy::Checkpoints { bytes: 20_000, every };
    let options = DownloadOptions { sync, window: 4000, ..DownloadOptions::default() };
    let mut probe = Run::new(&file, options.clone(), FakeDisk::new());
    probe.finish();
    let syncs = probe.positions(|effect| *effect == Effect::Sync);
    for (number, at) in syncs.iter().enumerate() {
        let mut disk = FakeDisk::new();
        disk.fail_at = Some((*at, fs_error(FsErrorKind::Io)));
        let mut run = Run::new(&file, options.clone(), disk);
        assert_eq!(run.finish(), finished(100_000), "sync {number}");
        assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
        let after = run.disk.crash(Survives::Nothing);
        assert_eq!(after.bytes(FileRole::Target(0)), Some(&file.bytes[..]), "durable");
        let again = run.leaves_wanted() - 100;
        assert!((1..=30).contains(&again), "sync {number}: {again} leaves again");
        let opens = run.positions(|it| matches!(it, Effect::Open { role: FileRole::Temp, .. }));
        assert_eq!(opens.len(), 2, "a new handle");
        let done = run.events.iter().filter_map(|event| match event {
            DownloadEvent::Progress(progress) => Some(progress.done),
            _ => None,
        });
        assert!(done.is_sorted());
    }
}

#[test]
fn a_temporary_file_that_is_gone_when_it_is_opened_again_is_not_made_anew() {
    let file = File::of(vec![1000; 100]);
    let mut probe = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    probe.finish();
    let sync = probe.positions(|effect| *effect == Effect::Sync)[0];
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    run.disk.fail_at = Some((sync, fs_error(FsErrorKind::Io)));
    while !matches!(run.disk.log.last(), Some(Effect::Close { .. })) {
        run.step();
    }
    run.disk.delete(FileRole::Temp);
    let (operation, error) = (Operation::Open, fs_error(FsErrorKind::NotFound));
    assert_eq!(run.finish(), failed(DownloadError::File { operation, error }));
}

#[test]
fn what_was_found_wrong_and_not_made_durable_is_written_again() {
    let file = File::of(vec![1000; 50]);
    let mut disk = stopped(&file, 20);
    disk.corrupt(FileRole::Temp, &altered(&disk));
    let mut probe = Run::new(&file, options(Resume::Full), disk.clone());
    probe.finish();
    let syncs = probe.positions(|effect| *effect == Effect::Sync);
    assert_eq!(syncs.len(), 1);
    disk.fail_at = Some((syncs[0], fs_error(FsErrorKind::Io)));
    let mut run = Run::new(&file, options(Resume::Full), disk);
    assert_eq!(run.finish(), finished(50_000));
    let after = run.disk.crash(Survives::Nothing);
    assert_eq!(after.bytes(FileRole::Target(0)), Some(&file.bytes[..]), "durable");
    // The id was cut off before the sync that failed, and is there again while bytes move.
    let allocated = run.disk.log.iter().filter_map(|effect| match effect {
        Effect::Allocate { len, .. } => Some(*len),
        _ => None,
    });
    assert_eq!(allocated.collect::<Vec<_>>(), [50_000, 50_024, 50_000]);
}

#[test]
fn a_node_that_is_compared_as_a_leaf_removes_no_claim() {
    let file = File::of(vec![1000; 200]);
    let disk = stopped(&file, 100);
    let there = written(&disk, &file);
    // The first node is short enough to be a leaf.
    let mut run = Run::new(&file, options(Resume::Full), disk);
    while run.positions(|effect| matches!(effect, Effect::Check(_))).is_empty() {
        run.step();
    }
    run.download.stop(run.now);
    assert_eq!(run.finish(), Outcome::Stopped);
    assert_eq!((written(&run.disk, &file), compared(&run)), (there, 0));
}

#[test]
fn a_slow_comparison_is_no_stall() {
    let file = File::of(vec![1000; 50]);
    let mut run = Run::new(&file, options(Resume::Full), stopped(&file, 20));
    while !run.next_is_check() {
        run.step();
    }
    let slow = run.run_unanswered(0).unwrap();
    run.silent.clone_from(&file.leaves);
    run.run_for(Duration::from_secs(60));
    run.answer(slow);
    let is_stall = |event: &DownloadEvent| matches!(event, DownloadEvent::Stalled(_));
    assert!(!run.events.iter().any(is_stall), "{:?}", run.events);
    // From now on it is one.
    run.run_for(Duration::from_secs(60));
    assert!(run.events.iter().any(is_stall));
}

#[test]
fn a_disk_that_never_syncs_is_given_up() {
    let file = File::of(vec![1000; 10]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    while !run.is_over() {
        // Whatever comes next fails if it is a sync.
        let next = run.disk.log.len();
        run.disk.fail_at = Some((next, fs_error(FsErrorKind::Io)));
        let is_sync = run.next_is_sync();
        if !is_sync {
            run.disk.fail_at = None;
        }
        run.step();
    }
    let (operation, error) = (Operation::Sync, fs_error(FsErrorKind::Io));
    assert_eq!(run.outcome(), Some(failed(DownloadError::File { operation, error })));
    assert!(run.disk.is_idle());
}

#[test]
fn verify_reports_what_differs_and_fetches_no_leaf() {
    // Raw leaves, and leaves wrapped in nodes, which only their size tells apart from nodes.
    let raw = File::of(vec![1000; 400]);
    let wrapped = wrapped_file(400);
    for (file, leaf) in [(&raw, 1000), (&wrapped, 262_144)] {
        let nodes = file.blocks.len() - file.leaves.len();
        let verify = |bytes: &[u8]| {
            let mut disk = FakeDisk::new();
            disk.put(FileRole::Target(0), bytes);
            let options = DownloadOptions::default();
            let download = Download::verify(file.root, options, Timestamp::ZERO);
            let mut run = Run::with(download, file, disk);
            let Outcome::Verified { size, different } = run.finish() else { panic!() };
            assert_eq!(size, Some(file.bytes.len() as u64));
            assert_eq!((run.leaves_wanted(), run.wanted.len()), (0, nodes));
            assert!(run.disk.is_idle());
            let writes = |effect: &Effect| {
                !matches!(
                    effect,
                    Effect::Open { create: false, .. } | Effect::Check(_) | Effect::Close { .. }
                )
            };
            assert!(run.positions(writes).is_empty(), "only reads");
            different
        };
        assert!(verify(&file.bytes).is_empty());
        let mut altered = file.bytes.clone();
        altered[leaf * 3 + 5] ^= 1;
        altered[leaf * 4] ^= 1;
        altered[leaf * 200] ^= 1;
        let leaf = leaf as u64;
        assert_eq!(verify(&altered), [leaf * 3..leaf * 5, leaf * 200..leaf * 201]);
        let end = file.bytes.len() as u64;
        let shorter = verify(&file.bytes[..file.bytes.len() - 1]);
        assert_eq!(shorter, vec![end - leaf..end; 1]);
        let longer = [&file.bytes[..], b"more"].concat();
        assert_eq!(verify(&longer), vec![end..end + 4; 1]);
    }
}

#[test]
fn verify_of_a_file_of_one_raw_block_fetches_nothing_at_all() {
    let file = File::of([1000]);
    let root = Cid::new_v1(RAW, *file.leaves[0].hash());
    let verify = |bytes: &[u8]| {
        let mut disk = FakeDisk::new();
        disk.put(FileRole::Target(0), bytes);
        let download = Download::verify(root, DownloadOptions::default(), Timestamp::ZERO);
        let mut run = Run::with(download, &file, disk);
        let outcome = run.finish();
        assert!(run.wanted.is_empty() && run.disk.is_idle());
        outcome
    };
    let verified = |size, different| Outcome::Verified { size, different };
    assert_eq!(verify(&file.bytes), verified(Some(1000), Vec::new()));
    for len in [0, 999, 1001, 5 << 20] {
        let whole = 0..len.max(1) as u64;
        assert_eq!(verify(&vec![7; len]), verified(None, vec![whole; 1]), "{len}");
    }
}

fn wrapped_file(leaves: usize) -> File {
    let mut file = File::of([]);
    file.blocks.clear();
    file.leaves.clear();
    let mut importer = Importer::new(Profile::UnixfsV0_2015);
    for leaf in 0..leaves {
        let bytes: Vec<u8> = (0..262_144).map(|at| (leaf * 3 + at / 1000) as u8).collect();
        file.bytes.extend_from_slice(&bytes);
        importer.write(bytes);
    }
    file.root = importer.finish().cid;
    while let Some(imported) = importer.poll_block() {
        let (cid, data) = imported.block.into_parts();
        if imported.leaf.is_some() && !file.leaves.contains(&cid) {
            file.leaves.push(cid);
        }
        file.blocks.insert(cid, data);
    }
    file
}

#[test]
fn verify_of_a_missing_file_fails() {
    let file = File::of([10, 10]);
    let download = Download::verify(file.root, DownloadOptions::default(), Timestamp::ZERO);
    let mut run = Run::with(download, &file, FakeDisk::new());
    let (operation, error) = (Operation::Open, fs_error(FsErrorKind::NotFound));
    assert_eq!(run.finish(), failed(DownloadError::File { operation, error }));
}

#[test]
fn a_range_that_proves_wrong_while_a_checkpoint_runs_is_not_claimed_by_it() {
    let file = File::of(vec![1000; 10]);
    let mut disk = stopped(&file, 5);
    let mut bytes = disk.bytes(FileRole::Temp).unwrap().to_vec();
    bytes[0] ^= 1;
    disk.corrupt(FileRole::Temp, &bytes);
    let every = Duration::from_secs(3600);
    let sync = SyncPolicy::Checkpoints { bytes: 1, every };
    let options = DownloadOptions { sync, ..options(Resume::Full) };
    let mut download = Download::new(file.root, options, Timestamp::ZERO);
    let (mut comparison, mut has_proved_wrong) = (None, false);
    for _ in 0..1000 {
        let now = download.poll_timeout().unwrap();
        match download.poll_output() {
            Some(DownloadOutput::Want(want)) => {
                download.handle_block(&file.block(&want.cid), now);
            }
            // The first leaf's comparison ends when the first sync runs.
            Some(DownloadOutput::Effect(id, Effect::Check(check)))
                if check.offset == 0 && check.len == 1000 && !has_proved_wrong =>
            {
                comparison = Some((id, disk.run(&Effect::Check(check))));
            }
            Some(DownloadOutput::Effect(id, effect)) => {
                if let Some((compared, result)) = comparison.take_if(|_| effect == Effect::Sync) {
                    assert_eq!(result, Ok(Done::Equal(false)));
                    download.handle_done(compared, result, now);
                    has_proved_wrong = true;
                }
                let result = disk.run(&effect);
                if let Effect::SaveJournal { bytes } = &effect {
                    let journal = Journal::decode(bytes, &file.root, &(0..u64::MAX)).unwrap();
                    assert!(has_proved_wrong && journal.have.total() > 0);
                    assert_eq!(journal.have.covered(&(0..1000)), 0, "{:?}", journal.have);
                    return;
                }
                download.handle_done(id, result, now);
            }
            Some(_) => {}
            None => download.handle_timeout(now),
        }
    }
    panic!("no checkpoint");
}
