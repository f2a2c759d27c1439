//! A tree's folder on a real file system.

use std::collections::BTreeMap;
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::PathBuf;

#[cfg(unix)]
use bitswap_core::chunk::IfExists;
use bitswap_core::chunk::{
    DirectoryBuilder, FsErrorKind, Importer, Metadata, NodeRoot, Profile, SyncPolicy, Tree,
    TreeDownload, TreeEvent, TreeOptions, TreeOutcome, TreeOutput, symlink as link_node,
};
use bitswap_core::{Block, Timestamp};
use bytes::Bytes;
use cid::Cid;

use super::*;
use crate::fs::errors::fs_error;

/// On Windows a link takes a right that few have.
const HAS_LINKS: bool = cfg!(unix);

struct Source {
    root: Cid,
    blocks: BTreeMap<Cid, Bytes>,
}

impl Source {
    fn put(&mut self, block: Block) {
        let (cid, data) = block.into_parts();
        self.blocks.insert(cid, data);
    }

    fn file(&mut self, bytes: &[u8]) -> NodeRoot {
        let mut importer = Importer::new(Profile::default());
        importer.write(bytes.to_vec());
        let root = importer.finish();
        while let Some(imported) = importer.poll_block() {
            self.put(imported.block);
        }
        NodeRoot { cid: root.cid, dag_size: root.dag_size }
    }

    /// A file of small leaves.
    fn large(&mut self, leaves: u8) -> NodeRoot {
        let mut tree = Tree::new(Profile::UnixfsV0_2015);
        for leaf in 0..leaves {
            let bytes = Bytes::from(vec![leaf; 700]);
            let cid = *Block::sha2_256(0x55, bytes.clone()).cid();
            self.put(Block::new(cid, bytes).unwrap());
            tree.push_range(cid, 700, 700).into_iter().for_each(|node| self.put(node));
        }
        let (root, nodes) = tree.finish();
        nodes.into_iter().for_each(|node| self.put(node));
        NodeRoot { cid: root.cid, dag_size: root.dag_size }
    }

    fn link(&mut self, target: &str) -> NodeRoot {
        let (root, block) = link_node(Profile::default(), target, &Metadata::default()).unwrap();
        self.put(block);
        root
    }

    fn directory<'a>(
        &mut self,
        entries: impl IntoIterator<Item = (&'a str, NodeRoot)>,
    ) -> NodeRoot {
        let mut directory = DirectoryBuilder::new(Profile::default());
        for (name, root) in entries {
            directory.add(name, root).unwrap();
        }
        let (root, nodes) = directory.finish(&Metadata::default());
        nodes.into_iter().for_each(|node| self.put(node));
        root
    }
}

fn sample() -> Source {
    let mut source = Source { root: Cid::default(), blocks: BTreeMap::new() };
    let (small, empty, large) = (source.file(b"small"), source.file(b""), source.large(5));
    let deep = source.directory([("small", small), ("large", large)]);
    let mut inner = vec![("deep", deep), ("small", small), ("large", large)];
    if HAS_LINKS {
        inner.push(("link", source.link("../outside")));
    }
    let inner = source.directory(inner);
    source.root = source.directory([("inner", inner), ("empty", empty)]).cid;
    source
}

/// Downloads with operations on `folder`, and calls `look` before each of them with its number.
fn run(
    source: &Source,
    folder: &Folder,
    options: &TreeOptions,
    mut look: impl FnMut(usize) -> bool,
) -> Option<TreeOutcome> {
    let now = Timestamp::ZERO;
    let mut tree = TreeDownload::new(source.root, options.clone(), now);
    let mut number = 0;
    loop {
        match tree.poll_output() {
            Some(TreeOutput::Want(want)) => {
                let block = Block::new(want.cid, source.blocks[&want.cid].clone()).unwrap();
                tree.handle_block(&block, now);
            }
            Some(TreeOutput::Effect(id, effect)) => {
                if !look(number) {
                    return None;
                }
                number += 1;
                let result = folder.perform(effect).map_err(|error| fs_error(&error));
                tree.handle_done(id, result, now);
            }
            Some(TreeOutput::Event(TreeEvent::Ended(outcome))) => return Some(outcome),
            Some(_) => {}
            None => panic!("it waits for nothing"),
        }
    }
}

struct Fixture {
    directory: tempfile::TempDir,
    options: TreeOptions,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        let mut options = TreeOptions::default();
        options.download.sync = SyncPolicy::Never;
        Self { directory, options }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn folder(&self) -> Folder {
        Folder::new(&self.at("target"), write_at).unwrap()
    }

    fn assert_complete(&self) {
        for at in ["target/inner/small", "target/inner/deep/small"] {
            assert_eq!(fs::read(self.at(at)).unwrap(), b"small", "{at}");
        }
        for at in ["target/inner/large", "target/inner/deep/large"] {
            assert_eq!(fs::read(self.at(at)).unwrap().len(), 3500, "{at}");
        }
        assert_eq!(fs::read(self.at("target/empty")).unwrap(), b"");
        if HAS_LINKS {
            let target = fs::read_link(self.at("target/inner/link")).unwrap();
            assert_eq!(target, PathBuf::from("../outside"));
        }
        assert!(!self.at("target.part").exists() && !self.at(".target.part-lock").exists());
        self.assert_nothing_outside();
    }

    fn assert_nothing_outside(&self) {
        assert_eq!(fs::read_dir(self.at("outside")).unwrap().count(), 0);
    }
}

fn is_finished(outcome: Option<TreeOutcome>) -> bool {
    matches!(outcome, Some(TreeOutcome::Finished(_)))
}

#[test]
fn a_tree_comes_to_a_real_folder_with_and_without_syncs() {
    let source = sample();
    for sync in [SyncPolicy::Never, SyncPolicy::AtEnd, SyncPolicy::default()] {
        let mut fixture = Fixture::new();
        fixture.options.download.sync = sync;
        assert!(is_finished(run(&source, &fixture.folder(), &fixture.options, |_| true)));
        fixture.assert_complete();
    }
}

#[test]
fn killed_after_any_operation_a_tree_is_completed_by_the_next_run() {
    let source = sample();
    let mut operations = 0;
    let probe = Fixture::new();
    run(&source, &probe.folder(), &probe.options, |number| {
        operations = number + 1;
        true
    });
    assert!(operations >= if HAS_LINKS { 40 } else { 39 }, "{operations}");
    for killed_after in 0..operations {
        let fixture = Fixture::new();
        run(&source, &fixture.folder(), &fixture.options, |number| number < killed_after);
        let again = run(&source, &fixture.folder(), &fixture.options, |_| true);
        assert!(is_finished(again.clone()), "{killed_after}: {again:?}");
        fixture.assert_complete();
    }
}

/// Where the file system tells of each write at once.
#[cfg(target_os = "linux")]
#[test]
fn what_another_program_writes_into_the_work_directory_at_any_moment_gets_no_name() {
    use std::time::{Duration, SystemTime};

    let source = sample();
    let (mut changed, mut at) = (0, 0);
    loop {
        let (fixture, mut is_over, mut files) = (Fixture::new(), true, 0);
        let outcome = run(&source, &fixture.folder(), &fixture.options, |number| {
            if number == at {
                is_over = false;
                for entry in fs::read_dir(fixture.at("target.part")).into_iter().flatten() {
                    let entry = entry.unwrap();
                    let name = entry.file_name().into_string().unwrap();
                    let len = entry.metadata().unwrap().len();
                    if (name.starts_with(PUT) || name.starts_with(FILE)) && len > 0 {
                        let file = File::options().write(true).open(entry.path()).unwrap();
                        write_at(&file, 0, &vec![b'?'; len as usize]).unwrap();
                        // Not within the tick of the clock in which we wrote.
                        file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
                        files += 1;
                    }
                }
            }
            true
        });
        if is_over {
            break;
        }
        match outcome.unwrap() {
            TreeOutcome::Finished(_) => {
                fixture.assert_complete();
                let large: Vec<u8> = (0..5).flat_map(|leaf| [leaf; 700]).collect();
                assert!(fs::read(fixture.at("target/inner/large")).unwrap() == large, "{at}");
                assert_eq!(files, 0, "{at}: it was written to and has its name");
            }
            TreeOutcome::Failed(error) => {
                assert!(
                    files > 0 && error.to_string().contains("another program"),
                    "{at}: {error}"
                );
                changed += 1;
            }
            other => panic!("{at}: {other:?}"),
        }
        at += 1;
    }
    assert!(changed >= 10, "{changed} of {at}");
}

#[cfg(unix)]
#[test]
fn a_link_put_in_the_place_of_a_directory_at_any_moment_leads_nowhere() {
    let source = sample();
    for swapped in ["target", "target/inner", "target/inner/deep", "target.part"] {
        let mut at = 0;
        loop {
            let mut fixture = Fixture::new();
            fixture.options.download.if_exists = IfExists::Replace;
            let mut was_swapped = false;
            let outcome = run(&source, &fixture.folder(), &fixture.options, |number| {
                if number == at && fs::rename(fixture.at(swapped), fixture.at("moved")).is_ok() {
                    symlink(fixture.at("outside"), fixture.at(swapped)).unwrap();
                    was_swapped = true;
                }
                true
            });
            fixture.assert_nothing_outside();
            assert!(outcome.is_some());
            at += 1;
            if at > 80 {
                break;
            }
            if was_swapped {
                // A second run finds the link, and does not follow it either.
                run(&source, &fixture.folder(), &fixture.options, |_| true);
                fixture.assert_nothing_outside();
            }
        }
    }
}

#[test]
fn a_directory_of_the_user_that_has_the_name_of_the_work_directory_is_left_alone() {
    let (source, fixture) = (sample(), Fixture::new());
    fs::create_dir(fixture.at("target.part")).unwrap();
    for name in ["put-0", "journal", "mine"] {
        fs::write(fixture.at("target.part").join(name), "mine").unwrap();
    }
    let outcome = run(&source, &fixture.folder(), &fixture.options, |_| true);
    assert!(matches!(outcome, Some(TreeOutcome::Failed(_))), "{outcome:?}");
    for name in ["put-0", "journal", "mine"] {
        assert_eq!(fs::read(fixture.at("target.part").join(name)).unwrap(), b"mine");
    }
    assert!(!fixture.at("target").exists());
}

#[test]
fn files_of_the_user_in_the_work_directory_outlive_it() {
    let (source, fixture) = (sample(), Fixture::new());
    run(&source, &fixture.folder(), &fixture.options, |number| number < 10);
    fs::write(fixture.at("target.part/mine"), "mine").unwrap();
    let outcome = run(&source, &fixture.folder(), &fixture.options, |_| true);
    assert!(matches!(outcome, Some(TreeOutcome::Failed(_))), "{outcome:?}");
    assert_eq!(fs::read(fixture.at("target.part/mine")).unwrap(), b"mine");
    // Once it is moved away, all is well.
    fs::remove_file(fixture.at("target.part/mine")).unwrap();
    assert!(is_finished(run(&source, &fixture.folder(), &fixture.options, |_| true)));
    fixture.assert_complete();
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_file_is_neither_waited_for_nor_replaced() {
    use bitswap_core::chunk::TreeError;

    use crate::fs::testing::Thing;

    let source = sample();
    for name in ["target/inner/small", "target/inner/large", "target/inner/link", "target/empty"] {
        for thing in Thing::all() {
            for if_exists in [IfExists::Refuse, IfExists::Replace] {
                let mut fixture = Fixture::new();
                fixture.options.download.if_exists = if_exists;
                fs::create_dir_all(fixture.at("target/inner")).unwrap();
                thing.put_at(&fixture.at(name));
                let outcome = run(&source, &fixture.folder(), &fixture.options, |_| true);
                // A link is replaced, and what it leads to stays.
                let is_link = matches!(thing, Thing::Link | Thing::DanglingLink);
                let replaces = is_link && if_exists == IfExists::Replace;
                assert_eq!(is_finished(outcome.clone()), replaces, "{name} {thing:?}: {outcome:?}");
                if !replaces {
                    thing.assert_untouched(&fixture.at(name));
                    let exists = matches!(
                        outcome,
                        Some(TreeOutcome::Failed(
                            TreeError::Exists { .. } | TreeError::Download { .. }
                        ))
                    );
                    assert!(exists, "{name} {thing:?}: {outcome:?}");
                }
            }
        }
    }
}

#[test]
fn long_names_have_a_work_directory_of_allowed_length() {
    let paths = |name: &str| Paths::new(Path::new(name)).unwrap();
    let (a, b) = ("x".repeat(254) + "a", "x".repeat(254) + "b");
    assert_ne!(work_name(&paths(&a)), work_name(&paths(&b)));
    assert!(work_name(&paths(&a)).len() < 255);
    assert_eq!(work_name(&paths("movies")), "movies.part");
}

#[cfg(unix)]
#[test]
fn what_a_link_replaces_stays_until_the_link_is_there() {
    let (source, mut fixture) = (sample(), Fixture::new());
    fixture.options.download.if_exists = IfExists::Replace;
    fs::create_dir_all(fixture.at("target/inner")).unwrap();
    fs::write(fixture.at("target/inner/link"), "mine").unwrap();
    let folder = fixture.folder();
    for effect in [TreeEffect::Lock, TreeEffect::Begin] {
        folder.perform(effect).unwrap();
    }
    let path = TreePath::root().join("inner").unwrap().join("link").unwrap();
    // No file system takes such a link.
    let too_long = "x".repeat(1 << 16);
    let link = |target: &str| {
        let (path, target) = (path.clone(), target.to_owned());
        folder.perform(TreeEffect::MakeLink { path, number: 0, target, replace: true })
    };
    link(&too_long).unwrap_err();
    assert_eq!(fs::read(fixture.at("target/inner/link")).unwrap(), b"mine");
    link("elsewhere").unwrap();
    drop(folder);
    assert!(is_finished(run(&source, &fixture.folder(), &fixture.options, |_| true)));
    fixture.assert_complete();
}

#[test]
fn a_large_file_looks_whether_what_has_its_name_can_be_replaced() {
    let fixture = Fixture::new();
    let folder = fixture.folder();
    for effect in [TreeEffect::Lock, TreeEffect::Begin] {
        folder.perform(effect).unwrap();
    }
    let path = TreePath::root().join("large").unwrap();
    let look = || {
        let effect = Effect::CheckReplace { role: FileRole::Target(0) };
        folder.perform(TreeEffect::File { path: path.clone(), effect })
    };
    look().unwrap();
    fs::create_dir(fixture.at("target/large")).unwrap();
    let kind = fs_error(&look().unwrap_err()).kind;
    let (role, what) = (FileRole::Target(0), Obstacle::Directory);
    assert_eq!(kind, FsErrorKind::InTheWay { role, what });
}

/// Where there is no step that makes everything durable, each directory is opened for that again.
#[cfg(target_os = "linux")]
#[test]
fn a_tree_of_many_directories_keeps_few_of_them_open() {
    const DIRS: usize = 500;
    let mut source = Source { root: Cid::default(), blocks: BTreeMap::new() };
    let file = source.file(b"bytes");
    let dir = source.directory([("file", file)]);
    let mut root = DirectoryBuilder::new(Profile::default());
    for number in 0..DIRS {
        root.add(&number.to_string(), dir).unwrap();
    }
    let (root, nodes) = root.finish(&Metadata::default());
    nodes.into_iter().for_each(|node| source.put(node));
    source.root = root.cid;
    for sync in [SyncPolicy::Never, SyncPolicy::AtEnd] {
        let mut fixture = Fixture::new();
        fixture.options.download.sync = sync;
        let folder = Folder { syncs_at_once: false, ..fixture.folder() };
        let mut most = 0;
        let outcome = run(&source, &folder, &fixture.options, |_| {
            let open = fs::read_dir("/proc/self/fd").unwrap();
            let leads = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
            let ours = |path: &PathBuf| path.starts_with(fixture.directory.path());
            let open = open.filter_map(Result::ok).filter_map(leads).filter(ours).count();
            most = most.max(open);
            true
        });
        assert!(is_finished(outcome));
        assert_eq!(fs::read_dir(fixture.at("target")).unwrap().count(), DIRS);
        assert!(most <= DIRS_MAX + 8, "{most}");
    }
}

#[test]
fn of_the_work_directory_only_what_a_fetch_put_there_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(&directory.path().join("tree"), write_at).unwrap();
    let work = directory.path().join("tree.part");
    folder.perform(TreeEffect::Lock).unwrap();
    folder.perform(TreeEffect::RemoveWork).unwrap();
    let begin = || {
        folder.perform(TreeEffect::Begin).unwrap();
        for name in [JOURNAL, NEW_JOURNAL, "put-7", "file-abc"] {
            fs::write(work.join(name), "x").unwrap();
        }
    };
    begin();
    folder.perform(TreeEffect::RemoveWork).unwrap();
    assert!(!work.exists());
    for name in ["other", "put", "a-journal", "x-put-7"] {
        begin();
        fs::write(work.join(name), "the user's").unwrap();
        let error = folder.perform(TreeEffect::RemoveWork).unwrap_err();
        assert!(matches!(fs_error(&error).kind, FsErrorKind::InTheWay { .. }), "{error:?}");
        let mut left: Vec<_> =
            fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut expected = [name, MARK];
        expected.sort_unstable();
        assert_eq!(left, expected, "it stays a work directory");
        fs::remove_file(work.join(name)).unwrap();
        folder.perform(TreeEffect::RemoveWork).unwrap();
        assert!(!work.exists());
    }
}

#[test]
fn a_long_name_has_a_work_directory_of_another_name() {
    let of = |len: usize| work_name(&Paths::new(&PathBuf::from("n".repeat(len))).unwrap());
    assert_eq!((of(1), of(250)), ("n.part".to_owned(), "n".repeat(250) + ".part"));
    assert_eq!((of(251).len(), of(251) == of(252)), (37, false));
}
