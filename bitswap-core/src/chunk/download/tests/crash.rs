//! A crash after every operation, and a failure of every operation.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

use super::harness::*;
use crate::chunk::testing::{FakeDisk, Survives, fs_error};
use crate::chunk::*;

const KINDS: [Survives; 8] = [
    Survives::Nothing,
    Survives::All,
    Survives::Some(1),
    Survives::Some(2),
    Survives::Some(3),
    Survives::Some(4),
    Survives::Some(5),
    Survives::Some(6),
];

fn options() -> DownloadOptions {
    // A checkpoint every three leaves.
    let sync = SyncPolicy::Checkpoints { bytes: 300, every: Duration::from_secs(5) };
    DownloadOptions { sync, window: 200, ..DownloadOptions::default() }
}

/// Every byte that the journal on disk claims is right: in the temporary file, or in the target once that
/// was renamed. Gives how many it claims.
fn check_claims(disk: &FakeDisk, files: &[&File]) -> usize {
    let Some(bytes) = disk.bytes(FileRole::Journal) else { return 0 };
    let decoded = files.iter().find_map(|file| {
        Journal::decode(bytes, &file.root, &(0..u64::MAX)).map(|journal| (*file, journal))
    });
    let (file, journal) = decoded.expect("a whole journal");
    let data = disk.bytes(FileRole::Temp).or_else(|| disk.bytes(FileRole::Target(0)));
    let data = data.expect("a journal beside the file that it speaks of");
    for run in journal.have.iter() {
        let range = run.start as usize..run.end as usize;
        assert_eq!(data.get(range.clone()), Some(&file.bytes[range]), "claimed and wrong");
    }
    journal.have.total() as usize
}

/// The target is not there, or it is right.
fn check_target(disk: &FakeDisk, file: &File) {
    if let Some(bytes) = disk.bytes(FileRole::Target(0)) {
        assert_eq!(bytes, file.bytes);
    }
}

/// Restarts on what a crash left and crashes again after `second` operations, then finishes.
fn recover(file: &File, disk: FakeDisk, second: Option<usize>) {
    let claimed = check_claims(&disk, &[file]);
    check_target(&disk, file);
    let mut run = Run::new(file, options(), disk);
    if let Some(second) = second {
        while run.disk.log.len() < second && run.step() {
            check_claims(&run.disk, &[file]);
        }
        for survives in [Survives::Nothing, Survives::Some(9)] {
            recover(file, run.disk.crash(survives), None);
        }
        return;
    }
    let Outcome::Finished(finished) = run.finish() else { panic!("{:?}", run.outcome()) };
    assert_eq!(finished.unchecked, 0, "all of it is hashed again");
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
    assert_eq!(run.disk.files(), [FileRole::Target(0)]);
    let missing = file.bytes.len().saturating_sub(claimed).div_ceil(100);
    assert!(run.leaves_wanted() <= missing, "what was durable is not fetched again");
}

#[test]
fn no_crash_costs_more_than_a_checkpoint() {
    let file = File::of(vec![100; 12]);
    let mut probe = Run::new(&file, options(), FakeDisk::new());
    probe.finish();
    let operations = probe.disk.log.len();
    assert!(operations > 25, "{operations}");
    let journals = probe.positions(|effect| matches!(effect, Effect::SaveJournal { .. }));
    assert!(journals.len() >= 4, "{journals:?}");
    for crash_after in 0..=operations {
        let mut run = Run::new(&file, options(), FakeDisk::new());
        let mut there = 0;
        while run.disk.log.len() < crash_after && run.step() {
            let claimed = check_claims(&run.disk, &[&file]);
            check_target(&run.disk, &file);
            there = run.download.map().map_or(there, |map| map.have().total() as usize);
            // A checkpoint's bytes, and the window's that come while it is being made.
            let is_done = run.disk.bytes(FileRole::Target(0)).is_some();
            assert!(is_done || there - claimed <= 300 + 200, "{there} there, {claimed} claimed");
        }
        for survives in KINDS {
            let disk = run.disk.crash(survives);
            recover(&file, disk.clone(), None);
            for second in [3, 9, 14, 20] {
                recover(&file, disk.clone(), Some(second));
            }
        }
    }
}

/// A disk on which a download was stopped half-way.
fn half(file: &File) -> FakeDisk {
    let mut run = Run::new(file, options(), FakeDisk::new());
    while run.download.map().is_none_or(|map| map.have().total() < 600) {
        run.step();
    }
    run.download.stop(run.now);
    assert_eq!(run.finish(), Outcome::Stopped);
    assert!(check_claims(&run.disk, &[file]) >= 600);
    run.disk.log.clear();
    run.disk
}

/// A disk on which a download was killed between the rename and the removal of the journal.
fn renamed(file: &File) -> FakeDisk {
    let mut run = Run::new(file, options(), FakeDisk::new());
    while run.disk.files() != [FileRole::Journal, FileRole::Target(0)] {
        run.step();
    }
    let mut disk = run.disk.crash(Survives::All);
    assert_eq!(check_claims(&disk, &[file]), 1200);
    disk.delete(FileRole::Target(0));
    disk
}

/// A journal of before is there, and a download of `next` is killed after any number of operations;
/// then `file` is downloaded.
fn outlived(file: &File, next: &File, disk: &FakeDisk) {
    let modes = [Resume::Full, Resume::Sample, Resume::Changed];
    let kinds = [Survives::Nothing, Survives::All, Survives::Some(3), Survives::Some(4)];
    let begin = |file, mode, disk| {
        Run::new(file, DownloadOptions { resume: mode, seed: [7; 32], ..options() }, disk)
    };
    for mode in modes {
        let mut run = begin(next, mode, disk.clone());
        // The journal that is left may speak of nothing; it must not once anything is there.
        let mut is_touched = false;
        loop {
            let last = run.disk.log.last();
            is_touched |= matches!(last, Some(Effect::Allocate { .. } | Effect::Write { .. }));
            for survives in kinds {
                let after = run.disk.crash(survives);
                if is_touched {
                    check_claims(&after, &[file, next]);
                }
                for mode in modes {
                    let mut again = begin(file, mode, after.clone());
                    let outcome = again.finish();
                    if after.bytes(FileRole::Target(0)) == Some(&next.bytes[..])
                        && next.root != file.root
                    {
                        assert_eq!(outcome, failed(DownloadError::TargetExists));
                    } else {
                        assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
                        let target = again.disk.bytes(FileRole::Target(0));
                        assert_eq!(target, Some(&file.bytes[..]), "{mode:?}");
                    }
                }
            }
            if run.is_over() {
                break;
            }
            let operations = run.disk.log.len();
            while run.disk.log.len() == operations && run.step() {}
        }
    }
}

#[test]
fn a_journal_of_another_file_does_not_outlive_its_bytes() {
    let file = File::of(vec![100; 12]);
    let other = File::of_leaves((0..12).map(|leaf| vec![200 + leaf; 100]));
    outlived(&file, &other, &half(&file));
}

#[test]
fn a_journal_whose_temporary_file_was_deleted_is_ignored() {
    let file = File::of(vec![100; 12]);
    let mut disk = half(&file);
    disk.delete(FileRole::Temp);
    outlived(&file, &file, &disk);
}

#[test]
fn a_journal_that_outlived_the_rename_is_ignored() {
    let file = File::of(vec![100; 12]);
    outlived(&file, &file, &renamed(&file));
}

#[test]
fn a_journal_that_cannot_be_removed_ends_it_before_anything_is_written() {
    let file = File::of(vec![100; 12]);
    let mut disk = half(&file);
    disk.delete(FileRole::Temp);
    let mut probe = Run::new(&file, options(), disk.clone());
    probe.finish();
    let removed = probe.positions(|effect| matches!(effect, Effect::Remove { .. }))[0];
    // The removal, and what makes it durable.
    for at in [removed, removed + 1] {
        let mut disk = disk.clone();
        disk.fail_at = Some((at, fs_error(FsErrorKind::PermissionDenied)));
        let mut run = Run::new(&file, options(), disk);
        let (operation, error) = (Operation::Remove, fs_error(FsErrorKind::PermissionDenied));
        assert_eq!(run.finish(), failed(DownloadError::File { operation, error }));
        assert_eq!(run.disk.bytes(FileRole::Temp), Some(&[][..]), "nothing is allocated");
        assert!(run.disk.is_idle());
    }
}

#[test]
fn temporary_data_that_cannot_be_removed_is_reported() {
    let file = File::of(vec![100; 12]);
    let error = fs_error(FsErrorKind::PermissionDenied);
    let remove = |effect: &Effect| matches!(effect, Effect::Remove { .. });
    // The file is complete all the same.
    let mut probe = Run::new(&file, options(), FakeDisk::new());
    probe.finish();
    let mut disk = FakeDisk::new();
    disk.fail_at = Some((probe.positions(remove)[0], error));
    let mut run = Run::new(&file, options(), disk);
    let Outcome::Finished(finished) = run.finish() else { panic!() };
    assert!(finished.leftover);
    // A cancelled download promised to leave nothing.
    for nth in [0, 1] {
        let cancelled = |disk| {
            let mut run = Run::new(&file, options(), disk);
            while run.download.map().is_none_or(|map| map.have().total() < 600) {
                run.step();
            }
            run.download.cancel(run.now);
            (run.finish(), run)
        };
        let (outcome, probe) = cancelled(FakeDisk::new());
        assert_eq!(outcome, Outcome::Cancelled);
        let mut disk = FakeDisk::new();
        disk.fail_at = Some((probe.positions(remove)[nth], error));
        let (outcome, run) = cancelled(disk);
        let operation = Operation::Remove;
        assert_eq!(outcome, failed(DownloadError::File { operation, error }));
        assert!(run.disk.is_idle());
    }
}

#[test]
fn an_obstacle_at_the_name_of_the_journal_ends_it_and_the_data_stays() {
    let file = File::of(vec![100; 12]);
    let save = |effect: &Effect| matches!(effect, Effect::SaveJournal { .. });
    let (role, what) = (FileRole::Journal, Obstacle::Link);
    let error = fs_error(FsErrorKind::InTheWay { role, what });
    let operation = Operation::Save;
    // While it fetches: all but the last, without which the file is complete all the same.
    let mut probe = Run::new(&file, options(), FakeDisk::new());
    probe.finish();
    let saves = probe.positions(save);
    assert!(saves.len() >= 4, "{saves:?}");
    for at in &saves[..saves.len() - 1] {
        let mut disk = FakeDisk::new();
        disk.fail_at = Some((*at, error));
        let mut run = Run::new(&file, options(), disk);
        assert_eq!(run.finish(), failed(DownloadError::File { operation, error }));
        assert!(run.disk.is_idle());
        let there = run.disk.bytes(FileRole::Temp).unwrap();
        let leaves = there.chunks(100).zip(file.bytes.chunks(100)).filter(|(a, b)| a == b).count();
        assert!(leaves >= 3, "{leaves}");
        // Without a journal all that is there is compared, and otherwise what the last good one claims.
        let kept = Some(check_claims(&run.disk, &[&file]) / 100).filter(|claimed| *claimed > 0);
        let mut disk = run.disk;
        (disk.fail_at, disk.log) = (None, Vec::new());
        let mut again = Run::new(&file, options(), disk);
        assert_eq!(again.finish(), finished(1200));
        assert_eq!(again.leaves_wanted(), 12 - kept.unwrap_or(leaves));
        assert!(leaves - kept.unwrap_or(leaves) <= 3, "a checkpoint is fetched again at most");
    }
    // Whoever stops a download is told that it will not go on by itself.
    let stopped = |fail_at| {
        let mut disk = FakeDisk::new();
        disk.fail_at = fail_at;
        let mut run =
            Run::new(&file, DownloadOptions { sync: SyncPolicy::AtEnd, ..options() }, disk);
        while run.download.map().is_none_or(|map| map.have().total() < 600) {
            run.step();
        }
        run.download.stop(run.now);
        (run.finish(), run)
    };
    let (outcome, probe) = stopped(None);
    assert_eq!(outcome, Outcome::Stopped);
    let (outcome, run) = stopped(Some((probe.positions(save)[0], error)));
    assert_eq!(outcome, failed(DownloadError::File { operation, error }));
    assert!(run.disk.is_idle());
}

#[test]
fn one_checkpoint_is_made_at_a_time() {
    let file = File::of(vec![100; 60]);
    let mut run = Run::new(&file, options(), FakeDisk::new());
    let saves = |run: &Run<'_>| {
        let is = |effect: &Effect| {
            matches!(effect, Effect::Sync | Effect::Stamp | Effect::SaveJournal { .. })
        };
        run.positions(is).len()
    };
    while saves(&run) == 0 {
        run.step();
    }
    // From here on each step of a checkpoint is answered only after five checkpoints' bytes were written.
    let start = saves(&run);
    for step in 1..=5 {
        while !run.next_is_checkpoint() {
            assert!(run.run_effect() || run.deliver());
        }
        let held = run.run_unanswered(0).expect("a step of a checkpoint");
        let have = |run: &Run<'_>| run.download.map().unwrap().have().total();
        let before = have(&run);
        while have(&run) < before + 900 {
            assert!(!run.next_is_checkpoint(), "two at once");
            assert!(run.run_effect() || run.deliver());
        }
        assert_eq!(saves(&run), start + step);
        run.answer(held);
    }
}

#[test]
fn a_finished_download_survives_the_next_crash() {
    let file = File::of(vec![100; 12]);
    let mut run = Run::new(&file, options(), FakeDisk::new());
    assert_eq!(run.finish(), finished(1200));
    let after = run.disk.crash(Survives::Nothing);
    assert_eq!(after.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn every_operation_may_fail_and_nothing_wrong_comes_of_it() {
    let file = File::of(vec![100; 12]);
    let mut probe = Run::new(&file, options(), FakeDisk::new());
    probe.finish();
    let kinds = [
        FsErrorKind::Io,
        FsErrorKind::DiskFull,
        FsErrorKind::PermissionDenied,
        FsErrorKind::ReadOnly,
        FsErrorKind::TooLarge,
        FsErrorKind::NotFound,
    ];
    for at in 0..probe.disk.log.len() {
        for kind in kinds {
            let mut disk = FakeDisk::new();
            disk.fail_at = Some((at, fs_error(kind)));
            let mut run = Run::new(&file, options(), disk);
            let outcome = run.finish();
            check_target(&run.disk, &file);
            check_claims(&run.disk, &[&file]);
            let effect = &probe.disk.log[at];
            if *effect != Effect::Unlock {
                assert!(run.disk.is_idle(), "{effect:?} {kind:?}");
            }
            if let Outcome::Finished(_) = outcome {
                assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
                continue;
            }
            assert!(matches!(outcome, Outcome::Failed(_)), "{effect:?} {kind:?}: {outcome:?}");
            let mut disk = run.disk;
            disk.fail_at = None;
            if disk.is_idle() {
                recover(&file, disk, None);
            }
        }
    }
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(200)))]

    /// Operations overlap: they run and are answered in any order, and a crash may come between.
    #[test]
    fn overlapping_operations_never_claim_what_a_crash_loses(
        choices in proptest::collection::vec((0..8u8, any::<usize>()), 0..250),
    ) {
        let file = File::of(vec![100; 12]);
        let mut run = Run::new(&file, options(), FakeDisk::new());
        let mut answers = VecDeque::new();
        for (choice, at) in choices {
            match choice {
                0..=2 => answers.extend(run.run_unanswered(at)),
                3..=5 if !answers.is_empty() => {
                    let answer = answers.remove(at % answers.len());
                    run.answer(answer.unwrap());
                }
                6 => _ = run.deliver_at(at),
                _ => _ = run.wait(),
            }
            let after = run.disk.crash(Survives::Nothing);
            check_claims(&after, &[&file]);
            check_target(&after, &file);
        }
        let disk = run.disk.crash(Survives::Some(7));
        let mut again = Run::new(&file, options(), disk);
        prop_assert!(matches!(again.finish(), Outcome::Finished(_)));
        prop_assert_eq!(again.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
    }
}
