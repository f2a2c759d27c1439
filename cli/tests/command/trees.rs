//! Folders, from one process to another.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use bitswap_core::Block;
use bitswap_core::chunk::{
    DAG_PB, DirectoryBuilder, Importer, Metadata, NodeRoot, Profile, Tree, symlink as link_node,
};
use bytes::Bytes;
use cid::Cid;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::half::{Blocks, Half};
use super::process::{Pipe, lines};
use super::sharing::Sharing;
use super::{bitswap, names, path, run, sample};

/// Everything in a folder: the bytes of files, where links lead, nothing of directories.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let (mut open, mut found) = (vec![root.to_owned()], BTreeMap::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let at = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&at).unwrap();
            let what = if metadata.is_symlink() {
                let target = fs::read_link(&at).unwrap();
                Some(format!("-> {}", target.display()).into_bytes())
            } else if metadata.is_dir() {
                open.push(at.clone());
                None
            } else {
                Some(fs::read(&at).unwrap())
            };
            found.insert(at.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    found
}

/// A folder with files of all sizes, empty directories, links and names of several scripts.
fn folder(at: &Path) {
    fs::create_dir_all(at.join("inner/deep/deeper")).unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    fs::create_dir(at.join("папка")).unwrap();
    fs::write(at.join("hello.txt"), "hello").unwrap();
    fs::write(at.join("nothing"), "").unwrap();
    fs::write(at.join(".hidden"), "hidden").unwrap();
    fs::write(at.join("папка/日本 語.txt"), "unicode").unwrap();
    symlink("../hello.txt", at.join("inner/link")).unwrap();
    symlink("/nowhere/at/all", at.join("dangling")).unwrap();
    sample(&at.join("inner/deep"), 3 << 20);
    for number in 0..50 {
        let bytes = format!("file {number}").repeat(number);
        fs::write(at.join(format!("inner/deep/deeper/{number}")), bytes).unwrap();
    }
}

fn last(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn get(what: &str, address: &str, more: &[&str]) -> Output {
    let from = ["get", what, "--from", address, "--json"];
    run(&from.iter().chain(more).copied().collect::<Vec<_>>())
}

#[test]
fn a_folder_goes_from_one_process_to_another_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    folder(&source);
    for profile in ["unixfs-v1-2025", "unixfs-v0-2015"] {
        let sharing = Sharing::start(&[path(&source), "--profile", profile]);
        let into = directory.path().join(profile);
        fs::create_dir(&into).unwrap();
        let target = into.join("target");
        let fetched = last(&get(&sharing.cid, &sharing.address, &["-o", path(&target)]));
        assert!(tree(&target) == tree(&source));
        assert_eq!((&fetched["files"], &fetched["links"]), (&55.into(), &2.into()));
        assert_eq!(fetched["verified"], true);
        assert_eq!(names(&into), ["target"], "nothing is left beside it");
        // Again: nothing but what is above leaves.
        let again = last(&get(&sharing.cid, &sharing.address, &["-o", path(&target)]));
        assert_eq!(again["files_already"], 55);
        assert!(again["bytes_from_peers"].as_u64().unwrap() < 30_000, "{again}");
    }
}

#[test]
fn several_things_are_wrapped_in_a_folder_under_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    folder(&at("folder"));
    fs::write(at("file.txt"), "a file").unwrap();
    let sharing = Sharing::start(&[path(&at("folder")), path(&at("file.txt"))]);
    let output = run(&["ls", &sharing.cid, "--from", &sharing.address, "--json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let listed = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let entry = |line: Value| {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("name"), text("type"), line["size"].as_u64().unwrap())
    };
    let mut listed: Vec<_> = listed.map(entry).collect();
    listed.sort();
    assert_eq!(listed[0], ("file.txt".to_owned(), "file".to_owned(), 6));
    assert_eq!((&listed[1].0[..], &listed[1].1[..]), ("folder", "directory"));
    assert!(listed.len() == 2 && listed[1].2 > 3 << 20, "{listed:?}");
    // Text for people, and a path into it.
    let inner = format!("{}/folder/inner", sharing.cid);
    let output = run(&["ls", &inner, "--from", &sharing.address]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("deep/").starts_with("directory "), "{text}");
    assert!(line("link -> ../hello.txt").starts_with("symlink "), "{text}");
}

#[test]
fn what_is_in_a_folder_is_got_by_its_path_under_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    folder(&source);
    let sharing = Sharing::start(&[path(&source)]);
    let here = directory.path().join("here");
    fs::create_dir(&here).unwrap();
    let cid = &sharing.cid;
    let got = |what: &str, more: &[&str]| {
        let args = ["get", what, "--from", &sharing.address];
        let mut program = bitswap();
        program.args(args.iter().chain(more)).current_dir(&here);
        let output = program.output().unwrap();
        assert!(output.status.success(), "{what}: {output:?}");
    };
    got(&format!("{cid}/hello.txt"), &[]);
    got(&format!("/ipfs/{cid}/папка/日本 語.txt"), &[]);
    got(&format!("ipfs://{cid}/inner/deep/deeper/7"), &[]);
    got(&format!("https://example.test/ipfs/{cid}/inner/deep"), &[]);
    got(&format!("https://{cid}.ipfs.example.test/hello.txt?filename=renamed%20it"), &[]);
    assert_eq!(names(&here), ["7", "deep", "hello.txt", "renamed it", "日本 語.txt"]);
    assert_eq!(fs::read(here.join("日本 語.txt")).unwrap(), b"unicode");
    assert!(tree(&here.join("deep")) == tree(&source.join("inner/deep")));
    // A file goes into a folder that is there.
    got(&format!("{cid}/nothing"), &["-o", "deep"]);
    assert!(here.join("deep/nothing").is_file());
    // What is not there, and what is no folder.
    for (what, code, said) in [
        ("nothing here", 3, "there is no"),
        ("hello.txt/below", 6, "no directory"),
        ("inner/link/below", 6, "symbolic link"),
        ("inner/link", 6, "symbolic link"),
    ] {
        let output =
            get(&format!("{cid}/{what}"), &sharing.address, &["-o", path(&here.join("x"))]);
        assert_eq!(output.status.code(), Some(code), "{what}: {output:?}");
        assert!(format!("{output:?}").contains(said), "{what}: {output:?}");
    }
    assert_eq!(run(&["get", &format!("{cid}/../x")]).status.code(), Some(2));
    let output = run(&["cat", &format!("{cid}/hello.txt"), "--from", &sharing.address]);
    assert_eq!(output.stdout, b"hello");
    // A folder cannot be printed, and what can be done with it is said.
    let output = run(&["cat", cid, "--from", &sharing.address]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(6), 0), "{output:?}");
    assert!(format!("{output:?}").contains("bitswap ls"), "{output:?}");
}

#[test]
fn what_comes_on_standard_input_is_shared() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 5 << 20);
    let source = directory.path().join("source");
    let expected = Sharing::start(&[path(&source)]).cid;
    let mut program = bitswap();
    program.args(["share", "-", "--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    let (read, mut write) = std::io::pipe().unwrap();
    let mut running = program.stdin(read).spawn().unwrap();
    drop(program);
    let writer = std::thread::spawn(move || write.write_all(&bytes));
    let shared = lines(&mut running).find(|line| line["event"] == "shared").unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(shared["cid"].as_str().unwrap(), expected, "as of a file");
    let address = shared["addresses"][0].as_str().unwrap();
    let target = directory.path().join("target");
    last(&get(&expected, address, &["-o", path(&target)]));
    assert!(fs::read(target).unwrap() == fs::read(source).unwrap());
    running.interrupt();
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_in_the_target_already_follows_the_policy() {
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    folder(&source);
    let sharing = Sharing::start(&[path(&source)]);
    let prepare = || {
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(target.join("inner/deep")).unwrap();
        fs::write(target.join("hello.txt"), "mine").unwrap();
        fs::write(target.join("inner/deep/source"), "mine too").unwrap();
        fs::write(target.join("only mine"), "only mine").unwrap();
    };
    let with = |policy| {
        prepare();
        let output =
            get(&sharing.cid, &sharing.address, &["-o", path(&target), "--if-exists", policy]);
        assert_eq!(fs::read(target.join("only mine")).unwrap(), b"only mine");
        (output, tree(&target))
    };
    let (output, after) = with("refuse");
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(after[Path::new("hello.txt")], Some(b"mine".to_vec()));
    let (output, mut after) = with("replace");
    last(&output);
    after.remove(Path::new("only mine"));
    assert!(after == tree(&source));
    let (output, after) = with("unique");
    last(&output);
    assert_eq!(after[Path::new("hello.txt")], Some(b"mine".to_vec()));
    assert_eq!(after[Path::new("hello (1).txt")], Some(b"hello".to_vec()));
    assert_eq!(after[Path::new("inner/deep/source")], Some(b"mine too".to_vec()));
    assert!(after[Path::new("inner/deep/source (1)")].as_ref().unwrap().len() == 3 << 20);
}

#[test]
fn what_keeps_a_folder_from_its_place_is_named_with_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("source")).unwrap();
    fs::write(at("source/a"), "new").unwrap();
    let sharing = Sharing::start(&[path(&at("source"))]);
    let refused = |target: &str, if_exists: &str| {
        let target = at(target);
        let more = ["-o", path(&target), "--if-exists", if_exists];
        let get = ["get", &sharing.cid, "--from", &sharing.address];
        let output = run(&[&get[..], &more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // A file where a file goes can be replaced; a folder there is not, and nobody is told to try.
    fs::create_dir(at("file")).unwrap();
    fs::write(at("file/a"), "old").unwrap();
    let (code, said) = refused("file", "refuse");
    assert!(code == Some(5) && said.contains("add `--if-exists replace`"), "{said}");
    fs::create_dir_all(at("folder/a")).unwrap();
    for if_exists in ["refuse", "replace"] {
        let (code, said) = refused("folder", if_exists);
        assert_eq!(code, Some(5), "{said}");
        assert!(!said.contains("--if-exists") && said.contains("move it away"), "{said}");
    }
    // Nor is a file the folder that it has the name of, or that of its unfinished parts.
    fs::write(at("taken"), "mine").unwrap();
    fs::write(at("t.part"), "mine").unwrap();
    for if_exists in ["refuse", "replace", "unique"] {
        let (code, said) = refused("taken", if_exists);
        let expected =
            format!("error: {} is no folder, and what is got is one", path(&at("taken")));
        assert!(code == Some(5) && said.contains(&expected), "{said}");
        let (code, said) = refused("t", if_exists);
        let expected =
            format!("error: {} has the name of the folder that is not", path(&at("t.part")));
        assert!(code == Some(8) && said.contains(&expected), "{said}");
    }
    assert_eq!(
        (fs::read(at("taken")).unwrap(), fs::read(at("t.part")).unwrap()),
        (b"mine".to_vec(), b"mine".to_vec())
    );
}

#[test]
fn links_are_left_out_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    folder(&source);
    let sharing = Sharing::start(&[path(&source), "--skip-hidden"]);
    let output = get(&sharing.cid, &sharing.address, &["-o", path(&target), "--no-symlinks"]);
    assert_eq!(last(&output)["links_skipped"], 2);
    let mut expected = tree(&source);
    for name in ["dangling", "inner/link", ".hidden"] {
        expected.remove(Path::new(name)).unwrap();
    }
    assert!(tree(&target) == expected);
}

#[test]
fn permissions_and_times_come_along_when_they_are_shared() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    fs::create_dir_all(source.join("inner")).unwrap();
    fs::write(source.join("inner/script"), "#!/bin/sh").unwrap();
    sample(&source, 3 << 20);
    let long_ago =
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500_000_000_250);
    for (name, mode) in [("inner/script", 0o755), ("source", 0o600), ("inner", 0o750), ("", 0o711)]
    {
        let at = source.join(name);
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        fs::File::open(&at).unwrap().set_modified(long_ago).unwrap();
    }
    let sharing = Sharing::start(&[path(&source), "--metadata"]);
    last(&get(&sharing.cid, &sharing.address, &["-o", path(&target)]));
    for name in ["inner/script", "source", "inner", ""] {
        let (from, to) = (fs::metadata(source.join(name)), fs::metadata(target.join(name)));
        let (from, to) = (from.unwrap(), to.unwrap());
        assert_eq!(to.mode() & 0o7777, from.mode() & 0o7777, "{name:?}");
        assert_eq!(to.modified().unwrap(), long_ago, "{name:?}");
    }
}

#[test]
fn a_shared_file_that_changes_is_told_of_and_the_others_are_still_served() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    folder(&source);
    let mut sharing = bitswap()
        .args(["share", path(&source), "--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .spawn()
        .unwrap();
    let shared = lines(&mut sharing).find(|line| line["event"] == "shared").unwrap();
    fs::write(source.join("hello.txt"), "other").unwrap();
    let changed = lines(&mut sharing).find(|line| line["event"] == "changed").unwrap();
    assert!(changed["path"].as_str().unwrap().ends_with("source/hello.txt"), "{changed}");
    let (cid, address) =
        (shared["cid"].as_str().unwrap(), shared["addresses"][0].as_str().unwrap());
    let target = directory.path().join("target");
    let there = get(&format!("{cid}/inner"), address, &["-o", path(&target)]);
    assert_eq!(last(&there)["files"], 51);
    let gone =
        get(&format!("{cid}/hello.txt"), address, &["-o", path(&directory.path().join("x"))]);
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
}

/// A tree that is made here: files of one block, and one of several.
struct Made {
    blocks: Blocks,
}

impl Made {
    fn put(&mut self, block: Block) -> Cid {
        let (cid, data) = block.into_parts();
        self.blocks.insert(cid, data);
        cid
    }

    fn any(&mut self, codec: u64, bytes: Vec<u8>) -> NodeRoot {
        let hash = cid::multihash::Multihash::wrap(0x12, &Sha256::digest(&bytes)).unwrap();
        let dag_size = bytes.len() as u64;
        let block = Block::new(Cid::new_v1(codec, hash), Bytes::from(bytes)).unwrap();
        NodeRoot { cid: self.put(block), dag_size }
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

    fn directory<S: AsRef<str>>(
        &mut self,
        entries: impl IntoIterator<Item = (S, NodeRoot)>,
    ) -> NodeRoot {
        let mut directory = DirectoryBuilder::new(Profile::default());
        for (name, root) in entries {
            directory.add(name.as_ref(), root).unwrap();
        }
        let (root, nodes) = directory.finish(&Metadata::default());
        nodes.into_iter().for_each(|node| _ = self.put(node));
        root
    }

    /// A directory that no builder makes.
    fn lying(&mut self, name: &str, root: NodeRoot) -> NodeRoot {
        let cid = root.cid.to_bytes();
        let field =
            |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
        let link = [field(1, &cid), field(2, name.as_bytes()), vec![0x18, 1]].concat();
        let node = [field(2, &link), field(1, &[8, 1])].concat();
        self.any(DAG_PB, node)
    }
}

#[test]
fn a_killed_get_of_a_folder_goes_on_when_it_is_run_again() {
    const LEAF: usize = 1 << 18;
    let mut made = Made { blocks: Blocks::new() };
    let small: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 5000 + usize::from(n)]).collect();
    let mut entries: Vec<(String, NodeRoot)> = Vec::new();
    for (at, bytes) in small.iter().enumerate() {
        entries.push((format!("small {at:02}"), made.file(bytes)));
    }
    // A file of eight leaves, of which three come later, as do the last ten of the small ones.
    let mut cut = Tree::new(Profile::UnixfsV0_2015);
    let (mut large, mut late) = (Vec::new(), Vec::new());
    for leaf in 0..8u8 {
        let bytes: Vec<u8> = (0..LEAF).map(|at| leaf ^ (at / 7) as u8).collect();
        let root = made.any(0x55, bytes.clone());
        large.extend(bytes);
        if leaf >= 5 {
            late.push(root.cid);
        }
        for node in cut.push_range(root.cid, LEAF as u64, LEAF as u64) {
            made.put(node);
        }
    }
    let (root, nodes) = cut.finish();
    nodes.into_iter().for_each(|node| _ = made.put(node));
    entries.push(("large".to_owned(), NodeRoot { cid: root.cid, dag_size: root.dag_size }));
    late.extend(entries[30..40].iter().map(|(_, root)| root.cid));
    let inner = made.directory(entries);
    let top = made.directory([("inner", inner)]);
    let (later, at_first): (Blocks, Blocks) =
        made.blocks.into_iter().partition(|(cid, _)| late.contains(cid));
    let later_bytes: usize = later.values().map(Bytes::len).sum();
    let above: usize =
        at_first.iter().filter(|(cid, _)| cid.codec() == DAG_PB).map(|(_, it)| it.len()).sum();
    let half = Half::serve(at_first, later);
    let directory = tempfile::tempdir().unwrap();
    let (target, work) = (directory.path().join("target"), directory.path().join("target.part"));
    let root = top.cid.to_string();
    let arguments = ["get", &root, "--from", &half.address, "-o", path(&target), "--json"];
    let mut get = bitswap().args(arguments).args(["--wait"]).spawn().unwrap();
    // Until everything that is there has its name, and the journal speaks of the large file.
    let there = |dir: &Path| fs::read_dir(dir).map_or(0, |entries| entries.count());
    let is_half = lines(&mut get)
        .take(200)
        .any(|_| there(&target.join("inner")) == 30 && fs::metadata(work.join("journal")).is_ok());
    get.kill().unwrap();
    get.wait().unwrap();
    assert!(is_half, "{} files{get}", there(&target.join("inner")));
    assert!(work.is_dir(), "it is marked as not complete");
    half.open();
    let fetched = last(&bitswap().args(arguments).output().unwrap());
    assert_eq!((&fetched["files"], &fetched["files_already"]), (&41.into(), &30.into()));
    let bytes = fetched["bytes_from_peers"].as_u64().unwrap() as usize;
    assert_eq!(bytes, later_bytes + above, "nothing that was there is fetched again");
    assert_eq!(names(directory.path()), ["target"]);
    let tree = tree(&target.join("inner"));
    assert_eq!(tree[Path::new("large")].as_ref(), Some(&large));
    for (at, bytes) in small.iter().enumerate() {
        assert_eq!(tree[Path::new(&format!("small {at:02}"))].as_ref(), Some(bytes));
    }
}

#[test]
fn a_hostile_folder_touches_nothing_outside_the_target() {
    let mut made = Made { blocks: Blocks::new() };
    let file = made.file(b"evil");
    let (to_above, block) = link_node(Profile::default(), "..", &Metadata::default()).unwrap();
    made.put(block);
    let inner = made.directory([("evil", file)]);
    let mut roots = Vec::new();
    for name in ["..", "../evil", "/tmp/evil", "a/../../evil", "", ".", "a\0b"] {
        let lying = made.lying(name, file);
        roots.push((name, made.directory([("inner", lying)]), 6));
    }
    for name in ["C:evil", "..\\evil", "NUL", "evil.", "evil ", "a:b", "a*b"] {
        roots.push((name, made.directory([(name, file)]), 6));
    }
    roots.push(("clash", made.directory([("evil", file), ("EVIL", file)]), 6));
    // A link with the name of a directory: the same name twice, and names that differ in case only.
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let link = |name: &[u8], root: NodeRoot| {
        field(2, &[field(1, &root.cid.to_bytes()), field(2, name), vec![0x18, 1]].concat())
    };
    let twice = [link(b"x", to_above), link(b"x", inner), field(1, &[8, 1])].concat();
    roots.push(("twice", made.any(DAG_PB, twice), 6));
    roots.push(("link", made.directory([("X", to_above), ("x", inner)]), 6));
    let half = Half::serve(made.blocks, Blocks::new());
    for (name, root, code) in roots {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("a/b");
        fs::create_dir_all(&at).unwrap();
        let output = get(&root.cid.to_string(), &half.address, &["-o", path(&at.join("target"))]);
        assert_eq!(output.status.code(), Some(code), "{name:?}: {output:?}");
        let outside = tree(directory.path());
        let is_inside =
            |path: &PathBuf| path.starts_with("a/b/target") || path.starts_with("a/b/target.part");
        let known = [PathBuf::from("a"), PathBuf::from("a/b")];
        assert!(
            outside.keys().all(|path| is_inside(path) || known.contains(path)),
            "{name:?}: {outside:?}"
        );
    }
}

#[test]
fn names_of_this_system_are_taken_when_that_is_asked_for() {
    let mut made = Made { blocks: Blocks::new() };
    let file = made.file(b"x");
    let root = made.directory([("a:b", file), ("README", file), ("readme", file)]).cid.to_string();
    let half = Half::serve(made.blocks, Blocks::new());
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let output = get(&root, &half.address, &["-o", path(&target)]);
    assert!(format!("{output:?}").contains("--native-names"), "{output:?}");
    last(&get(&root, &half.address, &["-o", path(&target), "--native-names"]));
    assert_eq!(names(&target), ["README", "a:b", "readme"]);
}

#[test]
fn blocks_of_any_codec_are_printed_and_got_as_they_are() {
    let mut made = Made { blocks: Blocks::new() };
    let (cbor, json) = (made.any(0x71, vec![0xa1, 0x61, 0x61, 1]), made.any(0x129, b"{}".to_vec()));
    let file = made.file(b"x");
    let node = made.directory([("x", file)]);
    let blocks = made.blocks.clone();
    let half = Half::serve(made.blocks, Blocks::new());
    let directory = tempfile::tempdir().unwrap();
    for (at, root) in [cbor, json, node].into_iter().enumerate() {
        let (cid, target) = (root.cid.to_string(), directory.path().join(at.to_string()));
        let output = get(&cid, &half.address, &["--raw", "-o", path(&target)]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read(&target).unwrap(), blocks[&root.cid]);
        let printed = run(&["get", &cid, "--raw", "-o", "-", "--from", &half.address]);
        assert!(printed.status.success() && printed.stdout == blocks[&root.cid], "{printed:?}");
        if at < 2 {
            let cat = run(&["cat", &cid, "--from", &half.address]);
            assert!(cat.status.success() && cat.stdout == blocks[&root.cid], "{cat:?}");
            let plain = get(&cid, &half.address, &["-o", path(&directory.path().join("x"))]);
            assert_eq!(plain.status.code(), Some(6), "{plain:?}");
            assert!(format!("{plain:?}").contains("--raw"), "{plain:?}");
        }
    }
}

#[test]
fn an_empty_file_needs_nobody_who_has_it() {
    let sharing = Sharing::start(&["--text", "something else"]);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    let fetched = last(&get(empty, &sharing.address, &["-o", path(&target)]));
    assert_eq!((&fetched["size"], &fetched["blocks"]), (&0.into(), &0.into()));
    assert_eq!(fs::read(&target).unwrap(), b"");
    let cat = run(&["cat", empty, "--from", &sharing.address]);
    assert!(cat.status.success() && cat.stdout.is_empty(), "{cat:?}");
}

#[test]
fn of_two_gets_to_one_folder_the_second_is_told_of_the_first() {
    let mut made = Made { blocks: Blocks::new() };
    let file = made.file(b"x");
    let root = made.directory([("x", file)]).cid;
    let (later, at_first) = made.blocks.into_iter().partition(|(cid, _)| *cid != root);
    let half = Half::serve(at_first, later);
    let directory = tempfile::tempdir().unwrap();
    let (root, target) = (root.to_string(), directory.path().join("target"));
    let arguments = ["get", &root, "--from", &half.address, "-o", path(&target)];
    let mut first = bitswap();
    first.args(arguments).args(["--wait"]);
    let (read, write) = std::io::pipe().unwrap();
    let mut first = first.stderr(write).spawn().unwrap();
    // It says what it waits for, once it has the lock and the root.
    Pipe::of(read).until("waiting:");
    let second = bitswap().args(arguments).output().unwrap();
    assert_eq!(second.status.code(), Some(9), "{second:?}");
    half.open();
    assert!(first.wait().unwrap().success());
    assert_eq!(fs::read(target.join("x")).unwrap(), b"x");
}
