//! Parts of files.

use serde_json::Value;

use super::sharing::Sharing;
use super::{HELLO, code, path, run, sample};

#[test]
fn a_range_of_a_file_is_got_and_printed_and_nothing_else_is_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 8 << 20);
    let source = directory.path().join("source");
    for (profile, leaf) in [("unixfs-v1-2025", 1 << 20), ("unixfs-v0-2015", 256 << 10)] {
        let sharing = Sharing::start(&[path(&source), "--profile", profile]);
        let from = ["--from", sharing.address.as_str(), "--json"];
        // One leaf, and parts of three.
        for (first, last, leaves) in
            [(leaf + 5, leaf + 9, 1), (leaf - 1, 2 * leaf, 3), (bytes.len() - 3, usize::MAX, 1)]
        {
            let end = (last.saturating_add(1)).min(bytes.len());
            let range = match last {
                usize::MAX => format!("{first}-"),
                last => format!("{first}-{last}"),
            };
            let cat = ["cat", sharing.cid.as_str(), "--range", &range];
            let printed = run(&[&cat[..], &from[..2]].concat());
            assert!(printed.status.success() && printed.stdout == bytes[first..end], "{range}");

            let get = ["get", sharing.cid.as_str(), "--range", &range, "-o", "-"];
            let printed = run(&[&get[..], &from[..2]].concat());
            assert!(printed.status.success() && printed.stdout == bytes[first..end], "{range}");

            let target = directory.path().join(format!("{profile} {range}"));
            let get = ["get", sharing.cid.as_str(), "--range", &range, "-o", path(&target)];
            let got = run(&[&get[..], &from].concat());
            assert!(got.status.success(), "{got:?}");
            assert!(std::fs::read(&target).unwrap() == bytes[first..end]);
            let text = String::from_utf8(got.stdout).unwrap();
            let fetched: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(fetched["blocks"], 1 + leaves, "{fetched}");

            // What is there already stays there, and anything else is not replaced.
            let again = run(&[&get[..], &from].concat());
            assert!(again.status.success(), "{again:?}");
            let text = String::from_utf8(again.stdout).unwrap();
            let there: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!((&there["already"], &there["size"]), (&true.into(), &(end - first).into()));
            let mut other = bytes[first..end].to_vec();
            other[end - first - 1] ^= 1;
            std::fs::write(&target, &other).unwrap();
            assert_eq!(code(&[&get[..], &from].concat()), 5);
            assert!(std::fs::read(&target).unwrap() == other);
        }
    }
}

#[test]
fn a_range_is_of_a_file_and_not_of_a_folder() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let sharing = Sharing::start(&[path(&folder)]);
    assert_eq!(code(&["get", &sharing.cid, "--from", &sharing.address, "--range", "0-9"]), 2);
    assert_eq!(code(&["cat", HELLO, "--range", "9-0"]), 2);
}

#[test]
fn a_sparse_get_leaves_zeros_out_and_arrives_equal() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("zeros");
    let mut bytes = vec![0; 12 << 20];
    bytes[7 << 20] = 1;
    std::fs::write(&source, &bytes).unwrap();
    // A file of one block in a folder goes another way to the disk than one of several.
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("small"), vec![0; 900 << 10]).unwrap();
    std::fs::write(folder.join("large"), &bytes).unwrap();
    for what in [&source, &folder] {
        let sharing = Sharing::start(&[path(what)]);
        let target = directory.path().join("target");
        let from = ["--from", sharing.address.as_str(), "-o", path(&target)];
        let get: Vec<&str> =
            ["get", &sharing.cid, "--sparse"].iter().chain(&from).copied().collect();
        let output = run(&get);
        assert!(output.status.success(), "{output:?}");
        let equal = run(&["verify", path(&target), &sharing.cid]);
        assert!(equal.status.success(), "{equal:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let hole = std::fs::File::create(directory.path().join("hole")).unwrap();
            hole.set_len(12 << 20).unwrap();
            let has_holes = hole.metadata().unwrap().blocks() == 0;
            let files = match target.is_dir() {
                true => vec![target.join("small"), target.join("large")],
                false => vec![target.clone()],
            };
            for file in files {
                let used = std::fs::metadata(&file).unwrap().blocks() * 512;
                assert!(!has_holes || used <= 1 << 20, "{used} bytes of {file:?}");
            }
        }
        match target.is_dir() {
            true => std::fs::remove_dir_all(&target).unwrap(),
            false => std::fs::remove_file(&target).unwrap(),
        }
    }
}
