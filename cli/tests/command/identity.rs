//! Who a sharing machine is, also after a restart.

#[cfg(unix)]
use std::path::Path;

#[cfg(unix)]
use super::process::Running;
use super::proxy::{Proxy, Way, port};
use super::sharing::Sharing;
use super::{HELLO, bitswap, code, lines, path, run, sample};

/// Shares a text as whoever it is with these data, and gives what it said up to its announcement.
#[cfg(unix)]
fn share(data: &Path, more: &[&str]) -> (Running, Vec<serde_json::Value>) {
    let mut running = bitswap()
        .env("XDG_DATA_HOME", data)
        .args(["share", "--text", "Hello World", "--json", "--no-mdns"])
        .args(["--listen", "/ip4/127.0.0.1/tcp/0"])
        .args(more)
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in lines(&mut running) {
        let is_last = line["event"] == "shared";
        said.push(line);
        if is_last {
            break;
        }
    }
    (running, said)
}

#[cfg(unix)]
fn address(said: &[serde_json::Value]) -> String {
    said.last().unwrap()["addresses"][0].as_str().unwrap().to_owned()
}

#[cfg(unix)]
fn stop(mut running: Running) {
    running.interrupt();
    running.wait().unwrap();
}

#[test]
fn a_get_goes_on_with_the_same_machine_after_its_restart() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 8 << 20);
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    let key = directory.path().join("key");
    let with_key = [path(&source), "--identity", path(&key)];
    let sharing = Sharing::start(&with_key);
    let at = port(&sharing.address);
    // Three of eight blocks, then silence.
    let proxy = Proxy::start(at, Way::Only(3 << 20));
    let peer = sharing.address.rsplit('/').next().unwrap().to_owned();
    // It says of whom it is: another machine would not do.
    let from = format!("{}/p2p/{peer}", proxy.address());
    let mut get = bitswap()
        .args(["get", &sharing.cid, "--from", &from, "-o", path(&target), "--json"])
        .spawn()
        .unwrap();
    let progressed =
        lines(&mut get).any(|line| line["event"] == "progress" && line["done"].as_u64() > Some(0));
    assert!(progressed);
    let before = sharing.address.clone();
    drop(sharing);
    proxy.cut(Way::Open);
    let again = Sharing::start_at(&format!("/ip4/127.0.0.1/tcp/{at}"), &with_key);
    assert_eq!(again.address, before);
    let last = lines(&mut get)
        .find(|line| line["event"] == "fetched" || line["event"] == "error")
        .unwrap();
    assert_eq!(last["event"], "fetched", "{last}");
    assert_eq!(get.wait().unwrap().code(), Some(0));
    assert!(std::fs::read(&target).unwrap() == bytes);
}

#[cfg(unix)]
#[test]
fn what_a_user_shares_has_the_same_address_after_every_start_unless_told_otherwise() {
    let data = tempfile::tempdir().unwrap();
    let (running, said) = share(data.path(), &[]);
    let first = address(&said);
    stop(running);
    let (running, said) = share(data.path(), &[]);
    assert_eq!(address(&said), first);
    // A second one beside it is somebody else, says so, and does without.
    let (second, said) = share(data.path(), &[]);
    let note = said.iter().find(|line| line["event"] == "note").unwrap();
    assert!(note["message"].as_str().unwrap().contains("--identity FILE"), "{note}");
    assert_ne!(address(&said).rsplit('/').next(), first.rsplit('/').next());
    stop(second);
    stop(running);
    let (running, said) = share(data.path(), &["--ephemeral"]);
    assert!(said.iter().all(|line| line["event"] != "note"), "{said:?}");
    assert_ne!(address(&said).rsplit('/').next(), first.rsplit('/').next());
    stop(running);
}

#[cfg(unix)]
#[test]
fn a_user_without_a_place_for_an_identity_is_told_that_a_new_one_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("file");
    std::fs::write(&data, "mine").unwrap();
    let (running, said) = share(&data, &[]);
    let note = said.iter().find(|line| line["event"] == "note").unwrap();
    let expected = "Not a directory (os error 20): a new peer identity is used, and addresses and tickets that are printed \
                    hold until this ends. With --identity FILE it is kept.";
    assert!(note["message"].as_str().unwrap().ends_with(expected), "{note}");
    stop(running);
}

#[test]
fn an_identity_that_was_named_is_never_replaced_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let sharing = Sharing::start(&["--text", "Hello World", "--identity", path(&key)]);
    for command in [&["share", "--text", "x", "--no-mdns"][..], &["cat", HELLO]] {
        let output = run(&[command, &["--identity", path(&key)]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(9), "{said}");
        assert!(said.contains("another process runs with the identity"), "{said}");
    }
    drop(sharing);
    let both = ["share", "--text", "x", "--identity", path(&key), "--ephemeral"];
    assert_eq!(code(&both), 2);
    let nowhere = directory.path().join("missing").join("key");
    assert_eq!(code(&["cat", HELLO, "--identity", path(&nowhere)]), 8);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let output = run(&["cat", HELLO, "--identity", path(&key)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains("chmod 600"), "{said}");
    }
}
