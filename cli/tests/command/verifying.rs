//! What is on disk, compared with a CID.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::sharing::Sharing;
use super::{HELLO, NOWHERE, code, path, run, sample};

fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What differs, by path, and the bytes that were fetched to know it.
fn differences(at: &Path, cid: &str, address: &str) -> (Vec<(String, Value)>, u64) {
    let output = run(&["verify", path(at), cid, "--from", address, "--json"]);
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    let objects = objects(&output);
    let verified = objects.iter().find(|object| object["event"] == "verified").unwrap();
    assert_eq!(verified["equal"], false);
    let of = |event: &Value| {
        let mut what = event.clone();
        let path = what.as_object_mut().unwrap().remove("path").unwrap();
        what.as_object_mut().unwrap().remove("event");
        (path.as_str().unwrap().to_owned(), what)
    };
    let differ = objects.iter().filter(|object| object["event"] == "difference");
    let mut differ: Vec<_> = differ.map(of).collect();
    differ.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(verified["differences"], differ.len());
    let error = objects.last().unwrap();
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &10.into()));
    (differ, verified["bytes_from_peers"].as_u64().unwrap())
}

/// Whether it is equal, which nobody is asked for.
fn is_equal_by_itself(at: &Path, cid: &str) -> bool {
    let output = run(&["verify", path(at), cid, "--json"]);
    let verified = objects(&output).pop().unwrap();
    assert_eq!(verified["bytes_from_peers"], 0);
    output.status.success() && verified["equal"] == true
}

#[test]
fn a_file_is_compared_without_its_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 4 << 20);
    let source = directory.path().join("source");
    for (profile, leaf) in [("unixfs-v1-2025", 1u64 << 20), ("unixfs-v0-2015", 256 << 10)] {
        let sharing = Sharing::start(&[path(&source), "--profile", profile]);
        let at = directory.path().join(profile);
        fs::write(&at, &bytes).unwrap();
        assert!(is_equal_by_itself(&at, &sharing.cid));

        let differ = |bytes: &[u8]| {
            fs::write(&at, bytes).unwrap();
            let (differ, fetched) = differences(&at, &sharing.cid, &sharing.address);
            assert!(fetched < 2_000, "{fetched}: its root and no leaf");
            assert_eq!(differ.len(), 1);
            assert_eq!((&differ[0].0[..], &differ[0].1["difference"]), ("", &json!("bytes")));
            differ[0].1["ranges"].clone()
        };
        let mut altered = bytes.clone();
        altered[leaf as usize + 5] ^= 1;
        assert_eq!(differ(&altered), json!([[leaf, 2 * leaf]]));
        altered.truncate(altered.len() - 1);
        let end = bytes.len() as u64;
        assert_eq!(differ(&altered), json!([[leaf, 2 * leaf], [end - leaf, end]]));
        assert_eq!(differ(&[&bytes[..], b"more"].concat()), json!([[end, end + 4]]));
    }
}

#[test]
fn a_file_of_one_raw_block_is_compared_by_its_hash_alone() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("hello");
    fs::write(&at, "Hello World").unwrap();
    assert!(is_equal_by_itself(&at, HELLO));
    let sharing = Sharing::start(&["--text", "Hello World"]);
    fs::write(&at, "Hello").unwrap();
    let (differ, fetched) = differences(&at, HELLO, &sharing.address);
    assert_eq!(differ[0].1, json!({"difference": "bytes", "size": null, "ranges": [[0, 5]]}));
    assert_eq!(fetched, 0);
}

#[cfg(unix)]
#[test]
fn a_folder_is_compared_entry_by_entry() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    for profile in ["unixfs-v1-2025", "unixfs-v0-2015"] {
        let source = directory.path().join(format!("source-{profile}"));
        let make = |at: &Path| {
            fs::create_dir_all(at.join("inner/deep")).unwrap();
            fs::create_dir_all(at.join("gone/with/all")).unwrap();
            fs::create_dir(at.join("empty")).unwrap();
            let bytes = sample(&at.join("inner"), 3 << 20);
            fs::write(at.join("gone/with/all/this"), "x").unwrap();
            for name in ["small", "changed", "becomes a folder", "inner/deep/same"] {
                fs::write(at.join(name), format!("contents of {name}")).unwrap();
            }
            // In one of the profiles a node by itself, which is made again and not fetched.
            fs::write(at.join("inner/deep/large"), vec![7; 200_000]).unwrap();
            for name in ["link", "inner/other link"] {
                symlink("small", at.join(name)).unwrap();
            }
            bytes
        };
        let mut bytes = make(&source);
        let sharing = Sharing::start(&[path(&source), "--profile", profile]);
        let at = directory.path().join(format!("at-{profile}"));
        make(&at);
        assert!(is_equal_by_itself(&at, &sharing.cid));

        bytes[5] ^= 1;
        fs::write(at.join("inner/source"), &bytes).unwrap();
        fs::write(at.join("changed"), "contents of Changed").unwrap();
        fs::remove_dir_all(at.join("gone")).unwrap();
        fs::remove_file(at.join("becomes a folder")).unwrap();
        fs::create_dir(at.join("becomes a folder")).unwrap();
        fs::write(at.join("becomes a folder/not told"), "").unwrap();
        fs::write(at.join("inner/deep/extra"), "").unwrap();
        fs::create_dir(at.join("empty/extra folder")).unwrap();
        fs::remove_file(at.join("inner/other link")).unwrap();
        symlink("elsewhere", at.join("inner/other link")).unwrap();
        let (differ, fetched) = differences(&at, &sharing.cid, &sharing.address);
        let leaf = if profile == "unixfs-v1-2025" { 1 << 20 } else { 256 << 10 };
        let size = "contents of changed".len();
        // Of a raw block that differs the length is not known.
        let known = if profile == "unixfs-v1-2025" { json!(null) } else { json!(size) };
        let expected = [
            (
                "becomes a folder",
                json!({"difference": "type", "expected": "file", "found": "directory"}),
            ),
            ("changed", json!({"difference": "bytes", "size": known, "ranges": [[0, size]]})),
            ("empty/extra folder", json!({"difference": "extra"})),
            ("gone", json!({"difference": "missing"})),
            ("inner/deep/extra", json!({"difference": "extra"})),
            (
                "inner/other link",
                json!({"difference": "target", "expected": "small", "found": "elsewhere"}),
            ),
            (
                "inner/source",
                json!({"difference": "bytes", "size": bytes.len(), "ranges": [[0, leaf]]}),
            ),
        ];
        let expected = expected.map(|(path, what)| (path.to_owned(), what));
        assert_eq!(differ, expected);
        assert!(fetched < 4_000, "{fetched}: directories, and roots of files");

        // What is named by a path within the folder is compared alike.
        let inner = format!("{}/inner/deep", sharing.cid);
        let (differ, _) = differences(&at.join("inner/deep"), &inner, &sharing.address);
        assert_eq!(differ, [("extra".to_owned(), json!({"difference": "extra"}))]);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_differs_from_what_should_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let at = directory.path().join("at");
    std::os::unix::fs::symlink("nowhere", &at).unwrap();
    let (differ, fetched) = differences(&at, HELLO, &sharing.address);
    let what = json!({"difference": "type", "expected": "file", "found": "symlink"});
    assert_eq!((differ, fetched), (vec![(String::new(), what)], 0));
}

#[test]
fn a_comparison_is_told_also_when_results_alone_are() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("at");
    fs::write(&at, "Hello").unwrap();
    let output = run(&["verify", path(&at), HELLO, "--json", "--quiet"]);
    let events: Vec<_> = objects(&output).iter().map(|object| object["event"].clone()).collect();
    assert_eq!(events, ["difference", "verified", "error"]);
}

#[test]
fn a_comparison_that_connects_can_be_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("at");
    fs::write(&at, "Hello").unwrap();
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let from = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let verify = ["verify", path(&at), HELLO, "--from", &from];
    let mut verify = super::bitswap().args(verify).spawn().unwrap();
    let _connection = silent.accept().unwrap();
    if verify.interrupt() {
        assert_eq!(verify.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn a_comparison_that_cannot_be_made_is_no_difference() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let at = directory.path().join("at");
    let verify = |cid: &str| code(&["verify", path(&at), cid, "--from", &sharing.address]);
    assert_eq!(verify(HELLO), 8, "there is nothing to compare with");
    fs::create_dir(&at).unwrap();
    let folder = cid::Cid::new_v1(0x70, *NOWHERE.parse::<cid::Cid>().unwrap().hash()).to_string();
    assert_eq!(verify(&folder), 3, "nobody has its nodes");
}
