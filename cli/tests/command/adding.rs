//! Blocks that are kept in a store, and served later.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[cfg(unix)]
use super::bitswap;
use super::sharing::Sharing;
use super::{HELLO, code, path, run, sample};

const PROFILES: [&str; 2] = ["unixfs-v1-2025", "unixfs-v0-2015"];

/// Adds something, and gives what was said of it.
fn add(arguments: &[&str]) -> Value {
    let arguments = ["add", "--json"].iter().chain(arguments).copied();
    let output = run(&arguments.collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A folder of a file of several blocks, a small one, and an empty folder.
fn folder(at: &Path) -> Vec<u8> {
    fs::create_dir_all(at.join("empty")).unwrap();
    fs::write(at.join("small"), "small").unwrap();
    sample(at, 3 << 20)
}

#[test]
fn what_is_added_is_served_later_although_its_source_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for profile in PROFILES {
        let bytes = folder(&at("folder"));
        let store = at(profile);
        let cut = [path(&at("folder")).to_owned(), "--profile".to_owned(), profile.to_owned()];
        let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
        let hashed = add(&[&cut[..], &["--only-hash"]].concat());
        assert_eq!((&hashed["kept"], &hashed["files"]), (&false.into(), &2.into()));
        assert!(!store.exists());
        let added = add(&[&cut[..], &["--store", path(&store)]].concat());
        assert_eq!((&added["kept"], &added["cid"]), (&true.into(), &hashed["cid"]));
        assert_eq!(added["size"], bytes.len() + 5);
        let cid = added["cid"].as_str().unwrap();
        assert_eq!(Sharing::start(&cut).cid, cid, "it is shared under the same CID");
        fs::remove_dir_all(at("folder")).unwrap();

        let sharing = Sharing::start(&["--store", path(&store), "--root", cid]);
        assert_eq!(sharing.cid, cid);
        let target = at("target");
        let got = run(&["get", cid, "--from", &sharing.address, "-o", path(&target)]);
        assert!(got.status.success(), "{got:?}");
        assert!(fs::read(target.join("source")).unwrap() == bytes);
        assert_eq!(fs::read(target.join("small")).unwrap(), b"small");
        assert!(target.join("empty").is_dir());
        fs::remove_dir_all(target).unwrap();
        // Nobody else may change it meanwhile.
        assert_eq!(code(&["add", path(&store), "--store", path(&store)]), 9);
    }
}

#[cfg(unix)]
#[test]
fn what_comes_on_standard_input_is_added_and_hashed() {
    let directory = tempfile::tempdir().unwrap();
    let (input, store) = (directory.path().join("input"), directory.path().join("store"));
    fs::write(&input, "Hello World").unwrap();
    for keep in [&["--only-hash"][..], &["--store", path(&store)]] {
        let output = bitswap()
            .args(["add", "-"])
            .args(keep)
            .stdin(fs::File::open(&input).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, format!("{HELLO}\n").into_bytes());
    }
    let sharing = Sharing::start(&["--store", path(&store), "--root", HELLO]);
    let printed = run(&["cat", HELLO, "--from", &sharing.address]);
    assert_eq!(printed.stdout, b"Hello World");
}

#[test]
fn a_store_says_what_it_lacks_and_why_it_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (store, file) = (directory.path().join("store"), directory.path().join("file"));
    fs::write(&file, "x").unwrap();
    let missing = ["share", "--no-mdns", "--store", path(&store), "--root", HELLO];
    assert_eq!(code(&missing), 3);
    assert_eq!(code(&["add", path(&file), "--store", path(&file)]), 8);
    assert_eq!(code(&["add", path(&directory.path().join("none")), "--only-hash"]), 8);
}
