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
