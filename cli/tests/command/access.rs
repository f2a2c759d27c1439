//! Who may have what, and who is spoken to.

use std::path::Path;

use super::sharing::Sharing;
use super::{HELLO, NOWHERE, code, path, run};

/// Runs `cat` on what is shared: its exit code, and what it said.
fn cat(sharing: &Sharing, more: &[&str]) -> (Option<i32>, String) {
    let cat = ["cat", &sharing.cid, "--from", &sharing.address];
    let output = run(&[&cat[..], more].concat());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn file(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    path(&file).to_owned()
}

#[test]
fn who_is_not_allowed_hears_that_nothing_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let keys = ["friend", "other"].map(|name| path(&directory.path().join(name)).to_owned());
    let peers = keys.each_ref().map(|key| {
        // Its identity is made here, and known from how it shares.
        let sharing = Sharing::start(&["--text", "x", "--identity", key]);
        sharing.address.rsplit('/').next().unwrap().to_owned()
    });
    let [friend, other] = keys.each_ref().map(|key| ["--identity", key.as_str()]);
    for rule in [["--allow-peer", &peers[0]], ["--deny-peer", &peers[1]]] {
        let sharing = Sharing::start(&[&["--text", "Hello World"], &rule[..]].concat());
        assert_eq!(cat(&sharing, &friend).0, Some(0), "{rule:?}");
        let (code, said) = cat(&sharing, &other);
        assert_eq!(code, Some(3), "{said}");
        let absent = run(&["cat", NOWHERE, "--from", &sharing.address, other[0], other[1]]);
        let absent = String::from_utf8(absent.stderr).unwrap();
        assert_eq!(said, absent.replace(NOWHERE, HELLO), "a refusal looks like absence");
    }
    assert_eq!(code(&["cat", HELLO, "--allow-peer", "nobody"]), 2);
}

#[test]
fn what_a_list_denies_is_neither_served_nor_got() {
    let directory = tempfile::tempdir().unwrap();
    let list = file(directory.path(), "list.deny", &format!("# why\n/ipfs/{HELLO}\n"));
    let below = file(directory.path(), "below.deny", &format!("/ipfs/{HELLO}/a*\n"));
    let deny = ["--deny", list.as_str()];
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let (denied, said) = cat(&sharing, &deny);
    assert_eq!(denied, Some(12), "{said}");
    assert!(said.contains("is denied by line 2 of a list given with --deny"), "{said}");
    for command in ["get", "ls"] {
        assert_eq!(code(&[command, HELLO, deny[0], deny[1]]), 12);
    }
    assert_eq!(code(&["ls", &format!("{HELLO}/a/b"), "--deny", &below]), 12);
    assert_eq!(cat(&sharing, &["--deny", &below]).0, Some(0));
    assert_eq!(code(&["share", "--text", "Hello World", "--no-mdns", deny[0], deny[1]]), 12);
    // A folder's list does not deny the folder: what it denies is not there.
    std::fs::create_dir(directory.path().join("folder")).unwrap();
    file(&directory.path().join("folder"), "a", "Hello World");
    file(&directory.path().join("folder"), "b", "open");
    let folder = directory.path().join("folder");
    let sharing = Sharing::start(&[path(&folder), deny[0], deny[1]]);
    let of_folder =
        |name: &str| code(&["cat", &format!("{}/{name}", sharing.cid), "--from", &sharing.address]);
    assert_eq!((of_folder("a"), of_folder("b")), (3, 0));

    // Who gets has a list too: what a path leads to, one of several things, and what is only compared or checked.
    let folder = Sharing::start(&[path(&folder)]);
    let from = ["--from", folder.address.as_str()];
    let child = |name: &str| format!("{}/{name}", folder.cid);
    for command in ["get", "cat", "ls"] {
        let (a, b) = (child("a"), child("b"));
        let arguments = |what| {
            [&[command, what, "-o", "-"][..if command == "get" { 4 } else { 2 }], &from, &deny]
                .concat()
        };
        assert_eq!((code(&arguments(&a)), code(&arguments(&b))), (12, 0), "{command}");
    }
    // A whole folder of which a part is denied.
    let whole = directory.path().join("whole");
    let all = ["get", &folder.cid, "-o", path(&whole)];
    let output = run(&[&all[..], &from, &deny].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains(&format!("{HELLO} is denied by line 2")), "{said}");
    assert!(!whole.join("a").exists());
    let into = directory.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let (denied, got) = (HELLO.to_owned(), child("b"));
    for order in [[&denied, &got], [&got, &denied]] {
        let several = ["get", order[0], order[1], "-o", path(&into)];
        assert_eq!(code(&[&several[..], &from, &deny].concat()), 12);
        assert_eq!(super::names(&into), ["b"]);
        std::fs::remove_file(into.join("b")).unwrap();
    }
    let a = path(&directory.path().join("folder/a")).to_owned();
    assert_eq!(code(&["verify", &a, HELLO, deny[0], deny[1]]), 12);
    assert_eq!(code(&[&["verify", &a, &child("a")], &from[..], &deny].concat()), 12);
    assert_eq!(code(&["check", HELLO, &folder.address, deny[0], deny[1]]), 12);

    let broken = file(directory.path(), "broken.deny", "\n/ipns/example.test\n");
    let output = run(&["cat", HELLO, "--deny", &broken]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line 2: names of IPNS"), "{said}");
}

#[test]
fn a_private_network_is_of_those_who_have_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str, digit: &str| {
        let text = format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", digit.repeat(64));
        file(directory.path(), name, &text)
    };
    let (ours, theirs) = (key("ours", "a"), key("theirs", "b"));
    let sharing = Sharing::start(&["--text", "Hello World", "--swarm-key", &ours]);
    assert_eq!(cat(&sharing, &["--swarm-key", &ours]).0, Some(0));
    for stranger in [&["--swarm-key", theirs.as_str()][..], &[]] {
        let (code, said) = cat(&sharing, stranger);
        assert_eq!(code, Some(7), "{said}");
        // Who has no key cannot tell a private network from anything else.
        assert_eq!(said.contains("another swarm key, or none"), !stranger.is_empty(), "{said}");
    }
    let open = Sharing::start(&["--text", "Hello World"]);
    let (code, said) = cat(&open, &["--swarm-key", &ours]);
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("another swarm key, or none"), "{said}");
    let public = run(&["cat", HELLO, "--dht", "--swarm-key", &ours]);
    let said = String::from_utf8(public.stderr).unwrap();
    assert_eq!(public.status.code(), Some(2), "{said}");
    assert!(said.contains("--bootstrap"), "{said}");
    let broken = file(directory.path(), "broken", "key");
    assert_eq!(super::code(&["cat", HELLO, "--swarm-key", &broken]), 2);
}
