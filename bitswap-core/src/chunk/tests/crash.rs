//! A crash after every operation, and a failure of every operation.

use alloc::collections::VecDeque;
use alloc::vec;
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

/// Every byte that the journal on disk claims is right.
fn check_claims(disk: &FakeDisk, file: &File) -> usize {
    let Some(bytes) = disk.bytes(Place::Journal) else { return 0 };
    let journal = Journal::decode(bytes, &file.root, &(0..u64::MAX)).expect("a whole journal");
    if let Some(data) = disk.bytes(Place::Temp) {
        for run in journal.have.iter() {
            let range = run.start as usize..run.end as usize;
            assert_eq!(data.get(range.clone()), Some(&file.bytes[range]), "claimed and wrong");
        }
    }
    journal.have.total() as usize
}

/// The target is not there, or it is right.
fn check_target(disk: &FakeDisk, file: &File) {
    if let Some(bytes) = disk.bytes(Place::Target(0)) {
        assert_eq!(bytes, file.bytes);
    }
}

/// Restarts on what a crash left and crashes again after `second` operations, then finishes.
fn recover(file: &File, disk: FakeDisk, second: Option<usize>) {
    let claimed = check_claims(&disk, file);
    check_target(&disk, file);
    let mut run = Run::new(file, options(), disk);
    if let Some(second) = second {
        while run.disk.log.len() < second && run.step() {
            check_claims(&run.disk, file);
        }
        for survives in [Survives::Nothing, Survives::Some(9)] {
            recover(file, run.disk.crash(survives), None);
        }
        return;
    }
    let outcome = run.finish();
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    assert_eq!(run.disk.bytes(Place::Target(0)), Some(&file.bytes[..]));
    assert_eq!(run.disk.files(), [Place::Target(0)]);
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
        while run.disk.log.len() < crash_after && run.step() {
            check_claims(&run.disk, &file);
            check_target(&run.disk, &file);
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

#[test]
fn a_finished_download_survives_the_next_crash() {
    let file = File::of(vec![100; 12]);
    let mut run = Run::new(&file, options(), FakeDisk::new());
    assert_eq!(run.finish(), finished(1200));
    let after = run.disk.crash(Survives::Nothing);
    assert_eq!(after.bytes(Place::Target(0)), Some(&file.bytes[..]));
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
            check_claims(&run.disk, &file);
            let effect = &probe.disk.log[at];
            if *effect != Effect::Unlock {
                assert!(run.disk.is_at_rest(), "{effect:?} {kind:?}");
            }
            if let Outcome::Finished(_) = outcome {
                assert_eq!(run.disk.bytes(Place::Target(0)), Some(&file.bytes[..]));
                continue;
            }
            assert!(matches!(outcome, Outcome::Failed(_)), "{effect:?} {kind:?}: {outcome:?}");
            let mut disk = run.disk;
            disk.fail_at = None;
            if disk.is_at_rest() {
                recover(&file, disk, None);
            }
        }
    }
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(200)))]

    /// Operations overlap: they run and are answered in any order, and a crash may come between.
    #[test]
    fn overlapping_operations_never_claim_what_a_crash_takes(
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
            check_claims(&after, &file);
            check_target(&after, &file);
        }
        let disk = run.disk.crash(Survives::Some(7));
        let mut again = Run::new(&file, options(), disk);
        prop_assert!(matches!(again.finish(), Outcome::Finished(_)));
        prop_assert_eq!(again.disk.bytes(Place::Target(0)), Some(&file.bytes[..]));
    }
}
