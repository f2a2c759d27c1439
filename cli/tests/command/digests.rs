//! Digests that the user has from elsewhere.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::sharing::Sharing;
use super::{HELLO, code, path, run, sample};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The root over leaves of this length, level by level.
fn merkle_root(bytes: &[u8], leaf: usize) -> String {
    let mut level: Vec<Vec<u8>> =
        bytes.chunks(leaf).map(|leaf| Sha256::digest(leaf).to_vec()).collect();
    while level.len() > 1 {
        let parent = |pair: &[Vec<u8>]| match pair {
            [alone] => alone.clone(),
            pair => Sha256::digest(pair.concat()).to_vec(),
        };
        level = level.chunks(2).map(parent).collect();
    }
    hex(&level[0])
}

#[test]
fn a_file_that_has_not_the_digest_that_was_given_gets_no_name_and_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 5 << 20);
    let sha256 = hex(&Sha256::digest(&bytes));
    let source = directory.path().join("source");
    for (profile, leaf) in [("unixfs-v1-2025", 1 << 20), ("unixfs-v0-2015", 256 << 10)] {
        let sharing = Sharing::start(&[path(&source), "--profile", profile]);
        let root = merkle_root(&bytes, leaf);
        for (flag, right) in [("--sha256", &sha256), ("--merkle-root", &root)] {
            let target = directory.path().join(format!("{profile}{flag}"));
            let get = |digest: &[&str]| {
                let from = ["--from", sharing.address.as_str(), "-o", path(&target), "--json"];
                run(&[&["get", sharing.cid.as_str()], &from[..], digest].concat())
            };
            let wrong = get(&[flag, &"7".repeat(64)]);
            assert_eq!(wrong.status.code(), Some(11), "{wrong:?}");
            let said = String::from_utf8(wrong.stdout).unwrap();
            assert!(said.contains(right.as_str()) && said.contains("without the digest"), "{said}");
            assert!(!target.exists());
            let right = get(&[flag, &right.to_uppercase(), "--order", "random"]);
            assert!(right.status.success(), "{right:?}");
            assert!(std::fs::read(&target).unwrap() == bytes);
            let text = String::from_utf8(right.stdout).unwrap();
            let fetched: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert!(
                fetched["blocks"].as_u64().unwrap() <= 1,
                "what was fetched was kept: {fetched}"
            );
        }
    }
}

#[test]
fn a_digest_is_of_one_file_on_a_disk() {
    let digest = "7".repeat(64);
    assert_eq!(code(&["get", HELLO, "-o", "-", "--sha256", &digest]), 2);
    assert_eq!(code(&["get", HELLO, HELLO, "--merkle-root", &digest]), 2);
}
