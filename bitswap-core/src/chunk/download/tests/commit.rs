//! From complete data to a file under its name.

use alloc::vec;
use core::time::Duration;

use super::harness::*;
use crate::chunk::testing::{FakeDisk, fs_error};
use crate::chunk::*;

const BUSY: FsError = FsError { kind: FsErrorKind::PermissionDenied, code: Some(5) };
const SHARED: FsError = FsError { kind: FsErrorKind::Io, code: Some(32) };

fn windows() -> DownloadOptions {
    DownloadOptions { rename: RenameRetry::WINDOWS, ..DownloadOptions::default() }
}

#[test]
fn the_last_steps_have_one_order() {
    let file = File::of([10, 10]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    run.finish();
    let last = run.disk.log.len() - 9;
    let tail = &run.disk.log[last..];
    assert_eq!(
        tail[..3],
        [Effect::Allocate { len: 20, reserve: false }, Effect::Sync, Effect::Stamp]
    );
    assert!(matches!(tail[3], Effect::SaveJournal { .. }));
    let rest = [
        Effect::Close { role: FileRole::Temp },
        Effect::Rename { to: FileRole::Target(0), replace: false },
        Effect::SyncDir,
        Effect::Remove { role: FileRole::Journal },
        Effect::Unlock,
    ];
    assert_eq!(tail[4..], rest);
}

#[test]
fn without_syncs_the_file_is_still_closed_before_it_is_renamed() {
    let file = File::of([10, 10]);
    let options = DownloadOptions { sync: SyncPolicy::Never, ..DownloadOptions::default() };
    let mut run = Run::new(&file, options, FakeDisk::new());
    let Outcome::Finished(finished) = run.finish() else { panic!() };
    assert!(!finished.durable);
    let at = |kind: &dyn Fn(&Effect) -> bool| run.positions(kind);
    let close = at(&|effect| matches!(effect, Effect::Close { role: FileRole::Temp }));
    let rename = at(&|effect| matches!(effect, Effect::Rename { .. }));
    assert!(close[0] < rename[0]);
    let syncs = |effect: &Effect| matches!(effect, Effect::Sync | Effect::SaveJournal { .. });
    assert!(at(&syncs).is_empty());
}

#[test]
fn a_rename_that_is_refused_for_a_while_is_tried_again() {
    let file = File::of([10, 10]);
    let mut disk = FakeDisk::new();
    disk.rename_failures = vec![BUSY, SHARED, BUSY];
    let mut run = Run::new(&file, windows(), disk);
    let Outcome::Finished(finished) = run.finish() else { panic!() };
    assert_eq!((finished.retries, finished.number), (3, 0));
    // 10, 20 and 40 ms.
    assert_eq!(run.now.as_micros(), 70_000);
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn a_rename_that_is_never_possible_rests_and_later_only_the_rename_is_done() {
    let file = File::of([10, 10]);
    let mut disk = FakeDisk::new();
    disk.rename_failures = vec![SHARED; 1000];
    let mut run = Run::new(&file, windows(), disk);
    let Outcome::NeedsCommit { retries, code } = run.finish() else { panic!() };
    assert_eq!(code, Some(32));
    assert!((60..100).contains(&retries), "{retries}");
    assert_eq!(run.now.as_micros(), Duration::from_secs(60).as_micros() as u64);
    assert_eq!(run.disk.files(), [FileRole::Temp, FileRole::Journal]);
    assert!(run.disk.is_idle());
    let mut disk = run.disk;
    disk.rename_failures.clear();
    disk.log.clear();
    let checks = |run: &Run<'_>| run.positions(|effect| matches!(effect, Effect::Check(_))).len();

    // All of it is hashed again first, as anybody may have changed it.
    let mut again = Run::new(&file, windows(), disk.clone());
    assert_eq!(again.finish(), finished(20));
    assert_eq!((again.leaves_wanted(), checks(&again)), (0, 2));
    assert_eq!(again.disk.files(), [FileRole::Target(0)]);

    // Unless what nobody changed is to be trusted. It is not called verified then.
    let options = DownloadOptions { resume: Resume::Changed, ..windows() };
    let mut again = Run::new(&file, options.clone(), disk.clone());
    let Outcome::Finished(finished) = again.finish() else { panic!() };
    assert_eq!((finished.unchecked, checks(&again)), (20, 0));
    assert!(again.wanted.is_empty(), "nothing is asked of the network");
    assert_eq!(again.disk.files(), [FileRole::Target(0)]);

    // Somebody did change it.
    disk.put(FileRole::Temp, &[0; 20]);
    let mut again = Run::new(&file, options, disk);
    assert_eq!(again.finish(), super::harness::finished(20));
    assert_eq!(again.leaves_wanted(), 2);
    assert_eq!(again.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn a_file_that_another_program_holds_is_opened_again_until_the_time_is_over() {
    let file = File::of([10, 10]);
    let options = |rename| DownloadOptions { if_exists: IfExists::Replace, rename, ..windows() };
    for role in [FileRole::Lock, FileRole::Journal, FileRole::Temp, FileRole::Target(0)] {
        let disk = || {
            let mut disk = FakeDisk::new();
            disk.put(FileRole::Target(0), b"old");
            disk.held = Some((role, 3));
            disk
        };
        let mut run = Run::new(&file, options(RenameRetry::WINDOWS), disk());
        assert_eq!(run.finish(), finished(20), "{role}");
        // 10, 20 and 40 ms.
        assert_eq!(run.now.as_micros(), 70_000, "{role}");
        assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));

        // Without a journal everything is hashed again; without anything else it is over.
        let is_needed = role != FileRole::Journal;
        let operation = if role == FileRole::Lock { Operation::Lock } else { Operation::Open };
        let busy = failed(DownloadError::File { operation, error: fs_error(FsErrorKind::Busy) });
        let mut held = disk();
        held.held = Some((role, u32::MAX));
        let mut run = Run::new(&file, options(RenameRetry::WINDOWS), held);
        assert_eq!(run.finish(), if is_needed { busy.clone() } else { finished(20) }, "{role}");
        assert_eq!(run.now.as_micros(), Duration::from_secs(60).as_micros() as u64, "{role}");
        assert!(run.disk.is_idle());

        // Where nothing passes by itself, it is over at once.
        let mut run = Run::new(&file, options(RenameRetry::NONE), disk());
        assert_eq!(run.finish(), if is_needed { busy } else { finished(20) }, "{role}");
        assert_eq!(run.now.as_micros(), 0, "{role}");
    }
}

#[test]
fn a_download_that_waits_for_another_program_is_cancelled_at_once() {
    let file = File::of([10, 10]);
    for role in [FileRole::Lock, FileRole::Temp] {
        let mut disk = FakeDisk::new();
        disk.held = Some((role, u32::MAX));
        let mut run = Run::new(&file, windows(), disk);
        run.run_for(Duration::from_secs(5));
        assert!(!run.is_over());
        run.download.cancel(run.now);
        let cancelled = run.now;
        assert_eq!(run.finish(), Outcome::Cancelled);
        assert_eq!(run.now, cancelled);
        assert!(run.disk.is_idle());
    }
}

#[test]
fn a_journal_that_could_not_be_removed_is_removed_by_the_next_run() {
    let file = File::of([10, 10]);
    let removal = Effect::Remove { role: FileRole::Journal };
    let mut run = Run::new(&file, windows(), FakeDisk::new());
    run.finish();
    let number = run.positions(|effect| *effect == removal)[0];
    let mut disk = FakeDisk::new();
    disk.fail_at = Some((number, fs_error(FsErrorKind::Busy)));
    let mut run = Run::new(&file, windows(), disk);
    let Outcome::Finished(finished) = run.finish() else { panic!() };
    assert!(finished.leftover && finished.durable);
    assert_eq!(run.disk.files(), [FileRole::Journal, FileRole::Target(0)]);
    let mut disk = run.disk;
    (disk.fail_at, disk.log) = (None, vec![]);
    let mut again = Run::new(&file, windows(), disk);
    let Outcome::Finished(finished) = again.finish() else { panic!() };
    assert!(finished.already && !finished.leftover);
    assert_eq!(again.leaves_wanted(), 0);
    assert_eq!(again.disk.files(), [FileRole::Target(0)]);
}

#[test]
fn any_other_failure_of_the_rename_is_final() {
    let file = File::of([10, 10]);
    let other = FsError { kind: FsErrorKind::Io, code: Some(18) };
    for (options, error) in [(windows(), other), (DownloadOptions::default(), BUSY)] {
        let mut disk = FakeDisk::new();
        disk.rename_failures = vec![error];
        let mut run = Run::new(&file, options, disk);
        assert_eq!(run.finish(), failed(DownloadError::RenameFailed(error)));
        assert_eq!(run.now.as_micros(), 0, "at once");
        assert_eq!(run.disk.files(), [FileRole::Temp, FileRole::Journal]);
    }
}

#[test]
fn an_existing_target_is_refused_replaced_or_left_beside_a_numbered_name() {
    let file = File::of([10, 10]);
    for old in [&b"old"[..], &[0; 20]] {
        for policy in [IfExists::Refuse, IfExists::Replace, IfExists::Unique] {
            let mut disk = FakeDisk::new();
            disk.put(FileRole::Target(0), old);
            let options = DownloadOptions { if_exists: policy, ..DownloadOptions::default() };
            let mut run = Run::new(&file, options, disk);
            let outcome = run.finish();
            let removes =
                |effect: &Effect| matches!(effect, Effect::Remove { role: FileRole::Target(_) });
            assert!(run.positions(removes).is_empty(), "only a rename replaces");
            assert!(run.disk.is_idle());
            let (first, second) =
                (run.disk.bytes(FileRole::Target(0)), run.disk.bytes(FileRole::Target(1)));
            match policy {
                IfExists::Refuse => {
                    assert_eq!(outcome, failed(DownloadError::TargetExists));
                    assert_eq!((first, run.leaves_wanted()), (Some(old), 0));
                }
                IfExists::Replace => assert_eq!((first, second), (Some(&file.bytes[..]), None)),
                IfExists::Unique => {
                    assert_eq!((first, second), (Some(old), Some(&file.bytes[..])));
                    assert!(matches!(outcome, Outcome::Finished(Finished { number: 1, .. })));
                }
            }
        }
    }
}

#[test]
fn a_target_that_appears_at_the_last_moment_is_not_overwritten() {
    let file = File::of([10, 10]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    while run.positions(|effect| matches!(effect, Effect::Close { .. })).is_empty() {
        run.step();
    }
    run.disk.put(FileRole::Target(0), b"theirs");
    assert_eq!(run.finish(), failed(DownloadError::TargetExists));
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&b"theirs"[..]));
}

#[test]
fn a_target_that_is_right_already_is_not_fetched() {
    for lens in [vec![], vec![10], vec![10; 2], vec![10; 400]] {
        let file = File::of(lens);
        let mut disk = FakeDisk::new();
        disk.put(FileRole::Target(0), &file.bytes);
        let mut run = Run::new(&file, DownloadOptions::default(), disk);
        let Outcome::Finished(finished) = run.finish() else { panic!() };
        assert!(finished.already);
        assert_eq!(run.leaves_wanted(), 0);
        assert_eq!(run.disk.files(), [FileRole::Target(0)]);
    }
}

#[test]
fn a_file_system_that_syncs_no_directories_costs_only_the_promise() {
    let file = File::of([10, 10]);
    let mut disk = FakeDisk::new();
    // A journal of another file must go first, and that cannot be made durable either.
    disk.put(FileRole::Journal, b"of another file");
    disk.has_no_dir_syncs = true;
    let mut run = Run::new(&file, DownloadOptions::default(), disk);
    let Outcome::Finished(finished) = run.finish() else { panic!() };
    assert!(!finished.durable && !finished.leftover);
    assert_eq!(run.disk.files(), [FileRole::Target(0)]);
    assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
}

#[test]
fn a_directory_that_cannot_be_synced_is_reported() {
    let file = File::of([10, 10]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    run.finish();
    let sync_dir = run.positions(|effect| *effect == Effect::SyncDir)[1];
    let mut disk = FakeDisk::new();
    disk.fail_at = Some((sync_dir, fs_error(FsErrorKind::Io)));
    let mut run = Run::new(&file, DownloadOptions::default(), disk);
    let Outcome::Finished(finished) = run.finish() else { panic!() };
    assert!(!finished.durable);
}

#[test]
fn a_stop_that_comes_when_the_file_has_its_name_is_too_late() {
    let file = File::of(vec![1000; 3]);
    let mut whole = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    assert_eq!(whole.finish(), finished(3000));
    let last = |effect: Effect| *whole.positions(|other| *other == effect).last().unwrap();
    for at in [last(Effect::SyncDir), last(Effect::Remove { role: FileRole::Journal })] {
        let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
        let answer = loop {
            match run.run_unanswered(0) {
                Some(answer) if run.disk.log.len() > at => break answer,
                Some(answer) => run.answer(answer),
                None => assert!(run.deliver() || run.wait()),
            }
        };
        run.download.stop(run.now);
        run.answer(answer);
        assert_eq!(run.finish(), finished(3000));
        assert_eq!(run.disk.files(), [FileRole::Target(0)]);
    }
}
