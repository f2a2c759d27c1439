//! A crash after every operation, and a failure of every operation.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

use super::disk::FakeFolder;
use super::harness::*;
use crate::chunk::testing::{Survives, fs_error};
use crate::chunk::tree::testing::Source;
use crate::chunk::*;

const KINDS: [Survives; 5] =
    [Survives::Nothing, Survives::All, Survives::Some(1), Survives::Some(2), Survives::Some(3)];

/// Bytes between two checkpoints, and what may come while one is made: the window is larger than this tree, so
/// all that is under way.
const CHECKPOINT: usize = 3000;

/// Every name in the target has the bytes that it should have, and every byte that the journal claims is
/// right. Gives the bytes that are safe.
fn check(folder: &FakeFolder, source: &Source, expected: &Entries) -> usize {
    let mut safe = 0;
    for (path, bytes) in folder.tree() {
        assert_eq!(expected.get(&path), Some(&bytes), "{path} is wrong");
        safe += bytes.map_or(0, |bytes| bytes.len());
    }
    let Some(journal) = folder.bytes("w/journal") else { return safe };
    let journal = Bytes::copy_from_slice(journal);
    let journal = TreeJournal::decode(&journal, &source.root).expect("a whole journal");
    for (path, journal) in journal.files {
        // The root is in the bytes; which one it is follows from the path.
        let right = expected[path.as_str()].as_ref().unwrap();
        let root = large_root(source, right);
        let journal = Journal::decode(&journal, &root, &(0..u64::MAX)).expect("a whole journal");
        let temp = alloc::format!("w/{}", path.as_str().replace('/', ":"));
        let target = alloc::format!("t/{path}");
        let Some(there) = folder.bytes(&temp).or_else(|| folder.bytes(&target)) else {
            panic!("{path}: a journal beside the file that it speaks of");
        };
        for run in journal.have.iter() {
            let range = run.start as usize..run.end as usize;
            assert_eq!(there.get(range.clone()), Some(&right[range]), "claimed and wrong");
        }
        if !folder.has(&target) {
            safe += journal.have.total() as usize;
        }
    }
    safe
}

/// The root of the file of several leaves that has these bytes.
fn large_root(source: &Source, bytes: &[u8]) -> Cid {
    let node = |cid: &Cid, block: &Bytes| FileNode::decode(cid.codec(), block, 99).ok();
    let found = source.blocks.iter().find(|(cid, block)| {
        cid.codec() == DAG_PB
            && node(cid, block).is_some_and(|node| node.size == bytes.len() as u64)
    });
    *found.unwrap().0
}

/// Restarts on what a crash left, crashes again after `second` operations, and then finishes. `safe` bytes need
/// not be fetched again.
fn recover(source: &Source, expected: &Entries, folder: FakeFolder, second: Option<usize>) {
    let safe = check(&folder, source, expected);
    let mut run = Run::new(source, options(), folder);
    if let Some(second) = second {
        while run.folder.log.len() < second && run.step() {
            check(&run.folder, source, expected);
        }
        for survives in [Survives::Nothing, Survives::Some(9)] {
            recover(source, expected, run.folder.crash(survives), None);
        }
        return;
    }
    let finished = finished(run.finish());
    assert_eq!(finished.unchecked, 0, "all of it is hashed again");
    assert!(run.folder.tree() == *expected, "{:?}", run.folder.tree().keys());
    assert!(!run.folder.has("w") && run.folder.is_idle());
    let leaves: usize = run
        .wanted
        .iter()
        .filter(|cid| cid.codec() == RAW)
        .map(|cid| source.blocks[cid].len())
        .sum();
    let all: usize = expected.values().flatten().map(Vec::len).sum();
    assert!(
        leaves + safe <= all,
        "what was durable is not fetched again: {leaves} of {all}, {safe} safe"
    );
}

#[test]
fn no_crash_of_a_tree_costs_more_than_a_checkpoint() {
    let (source, expected) = sample();
    let mut probe = Run::new(&source, options(), FakeFolder::new());
    probe.finish();
    let operations = probe.folder.log.len();
    assert!(operations > 120, "{operations}");
    for crash_after in 0..=operations {
        let mut run = Run::new(&source, options(), FakeFolder::new());
        while run.folder.log.len() < crash_after && run.step() {}
        let safe = check(&run.folder, &source, &expected);
        for survives in KINDS {
            let folder = run.folder.crash(survives);
            let kept = check(&folder, &source, &expected);
            // Names that were given since the last sync may be lost, and their files with them.
            assert!(safe - kept.min(safe) <= 4 * CHECKPOINT, "{safe} there, {kept} kept");
            recover(&source, &expected, folder.clone(), None);
            if crash_after % 7 == 0 {
                for second in [5, 40, 120] {
                    recover(&source, &expected, folder.clone(), Some(second));
                }
            }
        }
    }
}

#[test]
fn every_operation_on_a_tree_may_fail_and_nothing_wrong_comes_of_it() {
    let (source, expected) = sample();
    let mut probe = Run::new(&source, options(), FakeFolder::new());
    probe.finish();
    let kinds = [
        FsErrorKind::Io,
        FsErrorKind::DiskFull,
        FsErrorKind::PermissionDenied,
        FsErrorKind::ReadOnly,
        FsErrorKind::NotFound,
    ];
    for at in 0..probe.folder.log.len() {
        for kind in kinds {
            let mut folder = FakeFolder::new();
            folder.fail_at = Some((at, fs_error(kind)));
            let mut run = Run::new(&source, options(), folder);
            let outcome = run.finish();
            check(&run.folder, &source, &expected);
            let effect = probe.folder.log[at].clone();
            if effect != TreeEffect::Unlock {
                assert!(run.folder.is_idle(), "{effect:?} {kind:?}");
            }
            if let TreeOutcome::Finished(_) = outcome {
                assert!(run.folder.tree() == expected, "{effect:?} {kind:?}");
                continue;
            }
            assert!(matches!(outcome, TreeOutcome::Failed(_)), "{effect:?} {kind:?}: {outcome:?}");
            let mut folder = run.folder;
            (folder.fail_at, folder.log) = (None, Vec::new());
            recover(&source, &expected, folder, None);
        }
    }
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(60)))]

    /// Operations overlap: they run and are answered in any order, and a crash may come between.
    #[test]
    fn overlapping_operations_of_a_tree_never_show_what_a_crash_loses(
        choices in proptest::collection::vec((0..8u8, any::<usize>()), 0..600),
    ) {
        let (source, expected) = sample();
        let mut run = Run::new(&source, options(), FakeFolder::new());
        let mut answers = VecDeque::new();
        for (choice, at) in choices {
            match choice {
                0..=2 => answers.extend(run.run_unanswered(at)),
                3..=5 if !answers.is_empty() => {
                    let answer = answers.remove(at % answers.len());
                    run.answer(answer.unwrap());
                }
                6 => _ = run.deliver(),
                _ => _ = run.wait(),
            }
        }
        for survives in [Survives::Nothing, Survives::Some(7)] {
            recover(&source, &expected, run.folder.crash(survives), None);
        }
    }
}
