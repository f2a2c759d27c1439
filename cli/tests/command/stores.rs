//! Looking after a store of blocks: what is in it, what must stay, what can go.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::sharing::Sharing;
use super::{HELLO, NOWHERE, bitswap, code, path, run, sample};

/// The objects that a command on a store prints, which ends well.
fn store(at: &Path, arguments: &[&str]) -> Vec<Value> {
    let (what, rest) = arguments.split_first().unwrap();
    let output = run(&[&["store", *what, "--store", path(at), "--json"], rest].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The exit code of one that does not.
fn refused(at: &Path, arguments: &[&str]) -> i32 {
    let (what, rest) = arguments.split_first().unwrap();
    code(&[&["store", *what, "--store", path(at)], rest].concat())
}

fn add(at: &Path, arguments: &[&str]) -> String {
    let output = run(&[&["add", "--quiet", "--store", path(at)], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The files of the blocks.
fn blocks(at: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(at.join("blocks")).unwrap().map(|shard| shard.unwrap().path());
    let files = shards.flat_map(|shard| fs::read_dir(shard).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn what_is_added_is_pinned_and_survives_a_collection_until_it_is_unpinned() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("store");
    let bytes = sample(directory.path(), 3 << 20);
    let source = directory.path().join("source");
    let kept = add(&at, &[path(&source)]);
    fs::write(&source, "something else").unwrap();
    let loose = add(&at, &["--no-pin", path(&source)]);
    let stat = &store(&at, &["stat"])[0];
    assert_eq!((&stat["blocks"], &stat["pins"]), (&5.into(), &1.into()));
    assert!(stat["bytes"].as_u64().unwrap() > bytes.len() as u64);
    let listed: Vec<Value> = store(&at, &["ls"]);
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().any(|block| block["cid"] == loose.as_str() && block["size"] == 14));
    assert_eq!(store(&at, &["ls", "--pins"])[0]["cid"], kept.as_str());

    let collected = &store(&at, &["gc"])[0];
    assert_eq!((&collected["blocks"], &collected["left_blocks"]), (&1.into(), &4.into()));
    let printed = run(&["cat", &kept, "--store", path(&at)]);
    assert!(printed.status.success() && printed.stdout == bytes, "nobody else is asked");
    // What is pinned, whole or in part, is not removed; what is not there cannot be pinned.
    assert_eq!(refused(&at, &["rm", &kept]), 14);
    let leaf = listed.iter().find(|block| block["size"] == 1 << 20).unwrap()["cid"].clone();
    assert_eq!(refused(&at, &["rm", leaf.as_str().unwrap()]), 14);
    assert_eq!(refused(&at, &["rm", NOWHERE]), 3);
    assert_eq!(refused(&at, &["pin", NOWHERE]), 3);
    assert_eq!(refused(&at, &["unpin", NOWHERE]), 3);
    store(&at, &["unpin", &kept]);
    store(&at, &["rm", &kept]);
    assert_eq!(store(&at, &["gc"])[0]["left_blocks"], 0);
    assert_eq!(blocks(&at), [""; 0].map(PathBuf::from));
    assert_eq!(refused(directory.path(), &["stat"]), 8);
    assert!(!directory.path().join("blocks").exists(), "no store is made by looking at one");
}

#[test]
fn blocks_that_changed_on_the_disk_are_found_and_can_be_removed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("store");
    sample(directory.path(), 2 << 20);
    let root = add(&at, &[path(&directory.path().join("source"))]);
    assert_eq!(store(&at, &["verify"])[0]["corrupt"], 0);
    let leaf = blocks(&at).into_iter().find(|file| fs::metadata(file).unwrap().len() == 1 << 20);
    fs::write(leaf.unwrap(), "other").unwrap();
    assert_eq!(refused(&at, &["verify"]), 10);
    let repaired = store(&at, &["verify", "--remove"]);
    assert_eq!((&repaired[0]["event"], &repaired[0]["removed"]), (&"corrupt".into(), &true.into()));
    assert_eq!(store(&at, &["verify"])[0]["blocks"], 2);
    // It is pinned still, and that a part of it lacks is said.
    assert_eq!(store(&at, &["gc"])[1]["missing"], 1);
    assert_eq!(refused(&at, &["pin", &root]), 3);
}

#[test]
fn a_store_keeps_what_is_read_and_stays_within_its_limit() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("store");
    let bytes = sample(directory.path(), 12 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let hello = run(&["add", "--quiet", "--store", path(&at), path(&hello(directory.path()))]);
    assert!(hello.status.success(), "{hello:?}");
    let kept = ["--store", path(&at), "--store-limit", "5MiB"];
    let cat = ["cat", &sharing.cid, "--from", &sharing.address];
    let printed = run(&[&cat[..], &kept].concat());
    assert!(printed.status.success() && printed.stdout == bytes);
    let stat = &store(&at, &["stat"])[0];
    let size = stat["bytes"].as_u64().unwrap();
    assert!((1 << 20..=5 << 20).contains(&size), "{stat}");
    // What is pinned has not made room.
    assert_eq!(run(&["cat", HELLO, "--store", path(&at)]).stdout, b"Hello World");
    assert_eq!(sharing.stop(), 0);
    // What does not fit is refused as a full disk is, and not kept in part.
    let source = directory.path().join("source");
    assert_eq!(code(&[&["add", path(&source)], &kept[..]].concat()), 4);
    let full = ["--store", path(&at), "--store-limit", "1", "--no-mdns"];
    assert_eq!(code(&[&["share", "--text", "does not fit"], &full[..]].concat()), 4);
    // A limit is one of a store.
    assert_eq!(code(&["cat", HELLO, "--store-limit", "5MiB"]), 2);
}

fn hello(directory: &Path) -> PathBuf {
    let file = directory.join("hello");
    fs::write(&file, "Hello World").unwrap();
    file
}

#[test]
fn a_collection_that_is_killed_has_lost_nothing_that_is_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("store");
    let bytes = sample(directory.path(), 3 << 20);
    let kept = add(&at, &[path(&directory.path().join("source"))]);
    let many = directory.path().join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..1500 {
        fs::write(many.join(number.to_string()), format!("file {number}")).unwrap();
    }
    add(&at, &["--no-pin", path(&many)]);
    let before = blocks(&at).len();
    let mut collecting = bitswap().args(["store", "gc", "--store", path(&at)]).spawn().unwrap();
    while blocks(&at).len() == before {
        std::thread::yield_now();
    }
    collecting.kill().unwrap();
    collecting.wait().unwrap();
    assert_eq!(store(&at, &["verify"])[0]["corrupt"], 0);
    assert_eq!(run(&["cat", &kept, "--store", path(&at)]).stdout, bytes);
    let stat = &store(&at, &["stat"])[0];
    assert_eq!(stat["blocks"], blocks(&at).len(), "it is counted again");
    assert_eq!(store(&at, &["gc"])[0]["left_blocks"], 4);
    assert_eq!(run(&["cat", &kept, "--store", path(&at)]).stdout, bytes);
}

#[cfg(unix)]
#[test]
fn a_place_where_no_store_can_be_is_not_called_one_without_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "mine").unwrap();
    for (store, expected) in [
        (file.join("below"), "cannot be opened: Not a directory"),
        (directory.path().join("missing"), "`bitswap add --store` makes one"),
    ] {
        let output = run(&["store", "ls", "--store", path(&store)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
