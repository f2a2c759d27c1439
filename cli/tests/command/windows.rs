//! What only Windows does: files that other programs hold, read-only files, and names.

use std::fs::{self, File};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::sharing::Sharing;
use super::{HELLO, bitswap, names, path, run, sample};

/// `FILE_SHARE_READ` and `FILE_SHARE_WRITE`: others may read and write it, and not rename or remove it.
const SHARE_ALL_BUT_DELETE: u32 = 1 | 2;

fn hold(path: &Path, share: u32) -> File {
    File::options().read(true).share_mode(share).open(path).unwrap()
}

fn last(stdout: Vec<u8>) -> Value {
    serde_json::from_str(String::from_utf8(stdout).unwrap().lines().last().unwrap()).unwrap()
}

#[test]
fn a_rename_that_another_handle_stops_is_tried_again_then_rests_and_is_only_a_rename_in_the_next_run()
 {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 3 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let into = tempfile::tempdir().unwrap();
    let target = into.path().join("target");
    fs::write(&target, "old").unwrap();
    let get = |check: &str| {
        let get = ["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target), "--json"];
        run(&[&get[..], &["--if-exists", "replace", "--check", check]].concat())
    };
    let held = hold(&target, SHARE_ALL_BUT_DELETE);
    let rests = get("full");
    assert_eq!(rests.status.code(), Some(9), "{rests:?}");
    assert_eq!(names(into.path()), [".target.part", ".target.part-journal", "target"]);
    assert_eq!(fs::read(&target).unwrap(), b"old");
    drop(held);
    let renamed = get("changed");
    assert!(renamed.status.success(), "{renamed:?}");
    let renamed = last(renamed.stdout);
    // The root at most: Wine has another time of creation after each try, and the file is then hashed again.
    assert!(renamed["blocks"].as_u64().unwrap() <= 1, "no leaf is fetched again: {renamed}");
    assert!(renamed["bytes_from_peers"].as_u64().unwrap() < 1000, "{renamed}");
    assert!(fs::read(&target).unwrap() == bytes);
    assert_eq!(names(into.path()), ["target"]);
}

#[test]
fn a_rename_goes_on_once_another_program_lets_go_of_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 3 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let into = tempfile::tempdir().unwrap();
    let target = into.path().join("target");
    fs::write(&target, "old").unwrap();
    let held = hold(&target, SHARE_ALL_BUT_DELETE);
    let get = bitswap()
        .args(["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target), "--json"])
        .args(["--if-exists", "replace"])
        .spawn()
        .unwrap();
    // The temporary file is cut to its length and closed just before the rename: from then on nobody but us is in
    // the way.
    let part = into.path().join(".target.part");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let is_complete =
        || fs::metadata(&part).is_ok_and(|metadata| metadata.len() == bytes.len() as u64);
    while !is_complete() {
        assert!(std::time::Instant::now() < end, "never complete");
        std::thread::yield_now();
    }
    drop(held);
    let output = get.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(last(output.stdout)["rename_retries"].is_u64());
    assert!(fs::read(&target).unwrap() == bytes);
    assert_eq!(names(into.path()), ["target"]);
}

/// A failure of files, in which nothing was waited for: a rename that is tried again ends with another code.
fn assert_refused(output: Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_read_only_target_and_a_folder_are_refused_at_once() {
    let into = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let target = into.path().join("target");
    let get = || {
        let get = ["get", HELLO, "--from", &sharing.address, "--if-exists", "replace"];
        run(&[&get[..], &["-o", path(&target)]].concat())
    };
    fs::write(&target, "old").unwrap();
    let set = |is_read_only| {
        let mut permissions = fs::metadata(&target).unwrap().permissions();
        permissions.set_readonly(is_read_only);
        fs::set_permissions(&target, permissions).unwrap();
    };
    set(true);
    assert_refused(get(), "a read-only file");
    assert_eq!(fs::read(&target).unwrap(), b"old");
    set(false);
    assert!(get().status.success());
    // A folder that has the name which the file would have in the folder that is named.
    let folder = into.path().join(HELLO);
    fs::create_dir(&folder).unwrap();
    let get = ["get", HELLO, "--from", &sharing.address, "--if-exists", "replace"];
    assert_refused(run(&[&get[..], &["-o", path(into.path())]].concat()), "a directory");
    assert!(folder.is_dir());
    assert_eq!(names(into.path()), [HELLO, "target"]);
}

#[test]
fn a_name_that_windows_would_change_is_refused_with_the_name() {
    let into = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    for name in ["ab:c", "name.", "name ", "NUL", "aux.txt", r"con\file"] {
        let target = format!("{}\\{name}", path(into.path()));
        let refused = run(&["get", HELLO, "--from", &sharing.address, "-o", &target]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(8), "{name}: {said}");
        let component = name.split('\\').next().unwrap();
        assert!(said.contains(&format!("{component:?}: ")), "{name}: {said}");
    }
    assert!(names(into.path()).is_empty());
}

#[test]
fn a_folder_goes_from_one_process_to_another() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    fs::create_dir_all(folder.join("inner/empty")).unwrap();
    fs::write(folder.join("inner/ünï.txt"), "unicode").unwrap();
    fs::write(folder.join("nothing"), "").unwrap();
    let bytes = sample(&folder.join("inner"), 3 << 20);
    let sharing = Sharing::start(&[path(&folder)]);
    let target = directory.path().join("target");
    let get = run(&["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target)]);
    assert!(get.status.success(), "{get:?}");
    assert_eq!(fs::read(target.join("inner/ünï.txt")).unwrap(), b"unicode");
    assert_eq!(fs::read(target.join("nothing")).unwrap(), b"");
    assert!(fs::read(target.join("inner/source")).unwrap() == bytes);
    assert!(target.join("inner/empty").is_dir());
    assert_eq!(names(directory.path()), ["folder", "target"]);
}
