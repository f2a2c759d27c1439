//! Trees come to the folder as they are, and what is there already is kept.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use super::disk::FakeFolder;
use super::harness::*;
use crate::chunk::testing::fs_error;
use crate::chunk::tree::testing::Source;
use crate::chunk::*;

#[test]
fn a_tree_arrives_as_it_is() {
    let (source, expected) = sample();
    let mut run = Run::new(&source, options(), FakeFolder::new());
    let finished = finished(run.finish());
    assert!(run.folder.tree() == expected, "{:?}", run.folder.tree().keys());
    assert_eq!((finished.files, finished.directories, finished.links), (37, 7, 3));
    let bytes: usize = expected.values().flatten().map(Vec::len).sum();
    assert_eq!(finished.size as usize, bytes - 3 * b"-> ../../outside".len());
    assert_eq!((finished.already, finished.skipped, finished.durable), (0, 0, true));
    assert!(!run.folder.has("w") && run.folder.is_idle(), "no trace is left");
    // Durable, too.
    assert!(run.folder.crash(testing::Survives::Nothing).tree() == expected);
}

#[test]
fn nothing_is_made_before_the_root_is_known() {
    let (source, _) = sample();
    let mut run = Run::new(&source, options(), FakeFolder::new());
    while run.run_effect() {}
    assert_eq!(run.asked, [source.root]);
    let made =
        |effect: &TreeEffect| !matches!(effect, TreeEffect::Lock | TreeEffect::ReadJournal { .. });
    assert!(!run.folder.log.iter().any(made), "{:?}", run.folder.log);
    // The work directory is the mark of a tree that is not complete: from before its first entry until the end.
    while run.step() {
        assert!(
            run.folder.has("w")
                || run.folder.tree().is_empty()
                || run.outcome().is_some()
                || run.folder.log.last() == Some(&TreeEffect::RemoveWork)
                || run.folder.log.last() == Some(&TreeEffect::Unlock)
        );
    }
}

#[test]
fn an_equal_tree_is_not_fetched_again() {
    let (source, expected) = sample();
    let mut run = Run::new(&source, options(), FakeFolder::new());
    run.finish();
    let mut folder = run.folder;
    folder.log.clear();
    let mut again = Run::new(&source, options(), folder);
    let finished = finished(again.finish());
    assert_eq!((finished.already, finished.files), (37, 37));
    assert!(again.folder.tree() == expected && !again.folder.has("w"));
    // Only what is above leaves is fetched.
    assert!(again.wanted.iter().all(|cid| cid.codec() == DAG_PB), "{:?}", again.wanted);
}

#[test]
fn a_small_file_that_another_program_holds_is_looked_at_again() {
    let (source, expected) = sample();
    const NAME: &str = "folder1/\u{444}\u{430}\u{439}\u{43b} 3";
    let run = |rename, tries| {
        let mut folder = FakeFolder::new();
        folder.put("t", None);
        folder.put("t/folder1", None);
        folder.put(&alloc::format!("t/{NAME}"), expected[NAME].as_deref());
        folder.held = Some((alloc::format!("t/{NAME}"), tries));
        let mut options = options();
        options.download.rename = rename;
        let mut run = Run::new(&source, options, folder);
        (run.finish(), run.now, run.folder)
    };
    let (outcome, now, folder) = run(RenameRetry::WINDOWS, 3);
    assert_eq!(finished(outcome).already, 1);
    assert!(folder.tree() == expected && now.as_micros() >= 300_000, "{now:?}");
    for (rename, seconds) in [(RenameRetry::WINDOWS, 60), (RenameRetry::NONE, 0)] {
        let (outcome, now, _) = run(rename, u32::MAX);
        let TreeOutcome::Failed(TreeError::File { path, operation, error }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((path.as_str(), operation), (NAME, TreeOperation::Look));
        assert_eq!((error.kind, now.as_micros() / 1_000_000), (FsErrorKind::Busy, seconds));
    }
    // A tenth of a second after each try, for less than the budget.
    let rename = RenameRetry { budget: Duration::from_millis(300), ..RenameRetry::WINDOWS };
    assert_eq!(finished(run(rename, 3).0).already, 1);
    let (outcome, now, _) = run(rename, 4);
    assert!(matches!(outcome, TreeOutcome::Failed(TreeError::File { .. })), "{outcome:?}");
    assert_eq!(now.as_micros(), 300_000);
}

#[test]
fn progress_is_told_when_there_is_some_and_not_again_while_there_is_none() {
    let (source, _) = sample();
    let mut whole = Run::new(&source, options(), FakeFolder::new());
    whole.finish();
    let mut run = Run::new(&source, options(), FakeFolder::new());
    // All but one block come, and time passes.
    run.silent.extend(whole.wanted.last());
    for _ in 0..20 {
        while run.run_effect() || run.deliver() {}
        run.wait();
    }
    let told: Vec<TreeProgress> = run
        .events
        .iter()
        .filter_map(|event| match event {
            TreeEvent::Progress(progress) => Some(TreeProgress { rate: 0, ..*progress }),
            _ => None,
        })
        .collect();
    assert!(!told.is_empty() && told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
}

#[test]
fn a_small_file_that_cannot_have_its_name_rests_and_is_named_by_the_next_run() {
    let (source, expected) = sample();
    let name = "folder1/\u{444}\u{430}\u{439}\u{43b} 3";
    let mut options = options();
    options.download.rename = RenameRetry::WINDOWS;
    let mut folder = FakeFolder::new();
    folder.held = Some((alloc::format!("t/{name}"), u32::MAX));
    let mut run = Run::new(&source, options.clone(), folder);
    let outcome = run.finish();
    assert!(
        matches!(&outcome, TreeOutcome::NeedsCommit { path } if path.as_str() == name),
        "{outcome:?}"
    );
    assert!(run.folder.is_idle() && !run.folder.has(&alloc::format!("t/{name}")));
    let mut folder = run.folder;
    folder.held = Some((alloc::format!("t/{name}"), 3));
    let mut again = Run::new(&source, options, folder);
    finished(again.finish());
    assert!(again.folder.tree() == expected);
}

#[test]
fn what_is_there_already_follows_the_policy_file_by_file() {
    let (source, expected) = sample();
    let there = || {
        let mut folder = FakeFolder::new();
        folder.put("t", None);
        folder.put("t/mine", Some(b"mine"));
        folder.put("t/folder1", None);
        folder.put("t/folder1/large", Some(b"another large"));
        folder.put("t/folder1/link", Some(b"no link"));
        folder.put("t/folder1/\u{444}\u{430}\u{439}\u{43b} 3", Some(b"another"));
        folder
    };
    let with = |if_exists| {
        let mut options = options();
        options.download.if_exists = if_exists;
        let mut run = Run::new(&source, options, there());
        let outcome = run.finish();
        assert_eq!(run.folder.bytes("t/mine"), Some(&b"mine"[..]));
        assert!(run.folder.is_idle());
        (outcome, run.folder.tree())
    };
    let (outcome, tree) = with(IfExists::Refuse);
    assert!(matches!(outcome, TreeOutcome::Failed(TreeError::Exists { .. })), "{outcome:?}");
    for (path, bytes) in there().tree() {
        assert_eq!(tree[&path], bytes, "{path}: it is the user's");
    }
    let mut merged = expected.clone();
    merged.insert("mine".to_string(), Some(b"mine".to_vec()));
    let (outcome, tree) = with(IfExists::Replace);
    assert_eq!(finished(outcome).already, 0);
    assert!(tree == merged);
    let (outcome, tree) = with(IfExists::Unique);
    finished(outcome);
    for (path, bytes) in there().tree() {
        assert_eq!(tree[&path], bytes, "{path}: it is the user's");
    }
    for name in ["large", "link", "\u{444}\u{430}\u{439}\u{43b} 3"] {
        let path = alloc::format!("folder1/{name}");
        assert_eq!(tree[&alloc::format!("{path} (1)")], expected[&path]);
    }
}

#[test]
fn a_directory_where_a_file_should_be_is_never_replaced() {
    let (source, _) = sample();
    for (path, is_dir) in [("t/inline", true), ("t/folder1", false), ("t/folder0/link", true)] {
        for if_exists in [IfExists::Refuse, IfExists::Replace] {
            let mut folder = FakeFolder::new();
            folder.put("t", None);
            folder.put("t/folder0", None);
            folder.put(path, (!is_dir).then_some(b"a file"));
            let mut options = options();
            options.download.if_exists = if_exists;
            let mut run = Run::new(&source, options, folder);
            let outcome = run.finish();
            let TreeOutcome::Failed(TreeError::Exists { path: found }) = outcome else {
                panic!("{path}: {outcome:?}")
            };
            assert_eq!(alloc::format!("t/{found}"), path);
        }
    }
}

#[test]
fn links_are_left_out_when_that_is_chosen() {
    let (source, mut expected) = sample();
    let options = TreeOptions { links: false, ..options() };
    let mut run = Run::new(&source, options, FakeFolder::new());
    let finished = finished(run.finish());
    assert_eq!((finished.links, finished.skipped), (0, 3));
    expected.retain(|path, _| !path.ends_with("link"));
    assert!(run.folder.tree() == expected);
    let skipped = |event: &&TreeEvent| matches!(event, TreeEvent::LinkSkipped { .. });
    assert_eq!(run.events.iter().filter(skipped).count(), 3);
}

#[test]
fn directories_get_their_metadata_after_everything_in_them_is_made() {
    let mut source = Source::new();
    let metadata = Metadata { mode: Some(0o500), mtime: None };
    let file = source.file(b"x");
    let inner = source.directory_with([("file", file)], &metadata);
    source.root = source.directory_with([("inner", inner)], &metadata).cid;
    let mut run = Run::new(&source, options(), FakeFolder::new());
    finished(run.finish());
    let at = |kind: &dyn Fn(&TreeEffect) -> bool| run.folder.log.iter().position(kind).unwrap();
    let set = |name: &'static str| move |effect: &TreeEffect| matches!(effect, TreeEffect::SetMetadata { path, .. } if path.as_str() == name);
    let named = at(&|effect| matches!(effect, TreeEffect::Name { .. }));
    assert!(named < at(&set("inner")) && at(&set("inner")) < at(&set("")));
    assert_eq!(run.folder.metadata["t/inner"], metadata);
    let mut without =
        Run::new(&source, TreeOptions { metadata: false, ..options() }, FakeFolder::new());
    finished(without.finish());
    assert!(without.folder.metadata.values().all(Metadata::is_empty));
}

#[test]
fn a_file_is_no_tree() {
    let mut source = Source::new();
    source.root = source.file(b"x").cid;
    let mut run = Run::new(&source, options(), FakeFolder::new());
    assert_eq!(run.finish(), TreeOutcome::Failed(TreeError::NotADirectory));
    assert!(run.folder.is_idle() && run.folder.tree().is_empty() && !run.folder.has("w"));
}

#[test]
fn a_tree_that_somebody_else_downloads_is_left_alone() {
    let (source, _) = sample();
    let mut folder = FakeFolder::new();
    folder.is_locked_elsewhere = true;
    let mut run = Run::new(&source, options(), folder);
    assert_eq!(run.finish(), TreeOutcome::Failed(TreeError::AlreadyInProgress));
    assert_eq!(run.folder.log, [TreeEffect::Lock]);
}

#[test]
fn a_block_that_nobody_has_ends_it_and_what_is_there_stays() {
    let (mut source, expected) = sample();
    let missing = source.file(&content(100, 1300)).cid;
    source.blocks.remove(&missing);
    let mut run = Run::new(&source, options(), FakeFolder::new());
    assert_eq!(run.finish(), TreeOutcome::Failed(TreeError::Unavailable { cid: missing }));
    assert!(run.folder.is_idle() && run.folder.has("w"));
    let tree = run.folder.tree();
    assert!(tree.iter().all(|(path, bytes)| expected[path] == *bytes) && tree.len() > 20);
}

#[test]
fn a_stop_keeps_what_is_there_and_a_cancel_removes_what_is_not_whole() {
    let (source, expected) = sample();
    for steps in [0, 1, 3, 7, 20, 60, 100, 150, 200, 300] {
        for cancels in [false, true] {
            let mut run = Run::new(&source, options(), FakeFolder::new());
            for _ in 0..steps {
                run.step();
            }
            if run.outcome().is_some() {
                continue;
            }
            if cancels {
                run.tree.cancel(run.now);
            } else {
                run.tree.stop(run.now);
            }
            let outcome = run.finish();
            let as_asked = if cancels { TreeOutcome::Cancelled } else { TreeOutcome::Stopped };
            assert_eq!(outcome, as_asked, "{steps}");
            assert!(run.folder.is_idle(), "{steps}");
            assert!(!cancels || !run.folder.has("w"), "{steps}");
            let tree = run.folder.tree();
            assert!(tree.iter().all(|(path, bytes)| expected[path] == *bytes), "{steps}");
            let mut folder = run.folder;
            folder.log.clear();
            let mut again = Run::new(&source, options(), folder);
            finished(again.finish());
            assert!(again.folder.tree() == expected);
        }
    }
}

#[test]
fn a_stop_that_comes_when_everything_has_its_name_is_too_late() {
    let (source, expected) = sample();
    let mut whole = Run::new(&source, options(), FakeFolder::new());
    finished(whole.finish());
    let log = whole.folder.log;
    let last = |effect: TreeEffect| log.iter().rposition(|other| *other == effect).unwrap();
    for at in [last(TreeEffect::Sync), last(TreeEffect::RemoveWork)] {
        let mut run = Run::new(&source, options(), FakeFolder::new());
        let answer = loop {
            match run.run_unanswered(0) {
                Some(answer) if run.folder.log.len() > at => break answer,
                Some(answer) => run.answer(answer),
                None => assert!(run.deliver() || run.wait()),
            }
        };
        run.tree.stop(run.now);
        run.answer(answer);
        finished(run.finish());
        assert!(run.folder.tree() == expected && !run.folder.has("w"));
    }
}

#[test]
fn a_full_disk_is_waited_for_as_long_as_is_allowed() {
    let (source, expected) = sample();
    let full = |patience| {
        let mut options = options();
        options.download.wait_for_space = patience;
        options.download.check_space = false;
        let mut folder = FakeFolder::new();
        folder.space = Some(4000);
        Run::new(&source, options, folder)
    };
    let mut run = full(seconds(0));
    let outcome = run.finish();
    let TreeOutcome::Failed(TreeError::File { operation: TreeOperation::Write, error, .. }) =
        outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(error, fs_error(FsErrorKind::DiskFull));
    let mut run = full(seconds(600));
    while !run.events.contains(&TreeEvent::DiskFull) {
        assert!(run.step());
    }
    run.folder.space = None;
    finished(run.finish());
    assert!(run.events.contains(&TreeEvent::SpaceAvailable) && run.folder.tree() == expected);
}

#[test]
fn a_pause_asks_for_nothing_until_it_ends() {
    let (source, expected) = sample();
    let mut folder = FakeFolder::new();
    // So that files are looked at, and not only fetched.
    folder.put("t", None);
    folder.put("t/folder0", None);
    for steps in [10, 20, 30, 40, 60] {
        let mut run = Run::new(&source, options(), folder.clone());
        for _ in 0..steps {
            run.step();
        }
        run.tree.pause(run.now);
        run.drain();
        let wanted = run.wanted.len();
        while run.run_effect() || run.deliver() {}
        assert_eq!(run.wanted.len(), wanted, "{steps}");
        assert!(run.outcome().is_none(), "{steps}");
        run.tree.resume(run.now);
        finished(run.finish());
        assert!(run.folder.tree() == expected);
    }
}
