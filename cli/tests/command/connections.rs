//! Connections that are lost, silent or slow, and ports that somebody else has.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{Program, Running};
use super::proxy::{Proxy, Way, port};
use super::sharing::Sharing;
use super::{HELLO, bitswap, lines, path, sample};

/// Runs it to its end: its exit code, and what it said.
fn end(program: &mut Program) -> (Option<i32>, String) {
    let output = program.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The next line of which this is so.
fn first(running: &mut Running, is: impl Fn(&Value) -> bool) -> Value {
    lines(running).find(|line| is(line)).expect("such a line before the end")
}

#[test]
fn a_get_goes_on_with_the_machine_that_comes_back_as_another() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 8 << 20);
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    let sharing = Sharing::start(&[path(&source)]);
    let at = port(&sharing.address);
    // Three of eight blocks, then silence.
    let proxy = Proxy::start(at, Way::Only(3 << 20));
    let mut get = bitswap()
        .args(["get", &sharing.cid, "--from", &proxy.address(), "-o", path(&target), "--json"])
        .spawn()
        .unwrap();
    first(&mut get, |line| line["event"] == "progress" && line["done"].as_u64() > Some(0));
    // The same file at the same place, shared by a node with another identity.
    let before = sharing.address.clone();
    drop(sharing);
    proxy.cut(Way::Open);
    let again = Sharing::start_at(&format!("/ip4/127.0.0.1/tcp/{at}"), &[path(&source)]);
    assert_ne!(again.address, before);
    let last = first(&mut get, |line| line["event"] == "fetched" || line["event"] == "error");
    assert_eq!(last["event"], "fetched", "{last}");
    assert_eq!(get.wait().unwrap().code(), Some(0));
    assert!(std::fs::read(&target).unwrap() == bytes);
}

#[test]
fn a_get_whose_machine_stays_away_says_that_the_connection_was_lost() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 8 << 20);
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    let sharing = Sharing::start(&[path(&source)]);
    let peer = sharing.address.rsplit('/').next().unwrap().to_owned();
    let proxy = Proxy::start(port(&sharing.address), Way::Only(3 << 20));
    let mut get = bitswap()
        .args(["get", &sharing.cid, "--from", &proxy.address(), "-o", path(&target), "--json"])
        .args(["--reconnect-for", "5"])
        .spawn()
        .unwrap();
    first(&mut get, |line| line["event"] == "progress" && line["done"].as_u64() > Some(0));
    drop(sharing);
    proxy.cut(Way::Open);
    let lost = format!("the connection to {peer} was lost ");
    // Said while it waits, too.
    let waiting = first(&mut get, |line| line["event"] == "waiting" && line["peers"] == 0);
    assert!(waiting["message"].as_str().unwrap().starts_with(&format!("waiting: {lost}")));
    assert_eq!(waiting["lost"][0]["peer"], peer.as_str());
    let last = first(&mut get, |line| line["event"] == "error");
    let message = last["message"].as_str().unwrap();
    assert!(message.starts_with(&lost) && message.contains("goes on from there"), "{message}");
    assert_eq!((last["code"].as_u64(), get.wait().unwrap().code()), (Some(7), Some(7)));
}

#[test]
fn a_link_that_takes_longer_for_a_block_than_the_timeout_is_not_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 3 << 20);
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    let sharing = Sharing::start(&[path(&source)]);
    // 2.6 s for a block.
    let proxy = Proxy::start(port(&sharing.address), Way::Slow(400));
    for command in ["get", "cat"] {
        let mut bitswap = bitswap();
        bitswap.args([command, &sharing.cid, "--from", &proxy.address(), "--timeout", "2"]);
        if command == "get" {
            bitswap.args(["-o", path(&target)]);
        }
        let output = bitswap.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {said}");
        let arrived =
            if command == "get" { std::fs::read(&target).unwrap() } else { output.stdout };
        assert!(arrived == bytes, "{command}");
    }
}

#[test]
fn a_stall_is_told_when_no_byte_comes_and_not_while_a_slow_link_brings_some() {
    let directory = tempfile::tempdir().unwrap();
    // One block takes 13 s, and the download speaks of a stall after 10 s without a whole one.
    sample(directory.path(), (1 << 20) + 1);
    let (source, slow) = (directory.path().join("source"), directory.path().join("slow"));
    let sharing = Sharing::start(&[path(&source)]);
    let get = |way, target: &Path| {
        let proxy = Proxy::start(port(&sharing.address), way);
        let from = ["--json", "--from", &proxy.address(), "-o", path(target)];
        let running = bitswap().args(["get", &sharing.cid]).args(from).spawn().unwrap();
        (proxy, running)
    };
    let (_slow_link, slow) = get(Way::Slow(80), &slow);
    let (dead_link, mut dead) = get(Way::Only(1 << 19), &directory.path().join("dead"));
    let stalled = {
        let mut said = lines(&mut dead);
        let stalled = said.find(|line| line["event"] == "stalled").unwrap();
        // The next connection is a good one, and it goes on.
        dead_link.cut(Way::Open);
        let rest: Vec<Value> = said.collect();
        assert!(rest.iter().any(|line| line["event"] == "stall_ended"), "{rest:?}");
        stalled
    };
    assert!(stalled["message"].as_str().unwrap().starts_with("nothing comes: "), "{stalled}");
    assert_eq!(dead.wait().unwrap().code(), Some(0), "{dead}");
    let output = slow.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("stall"), "{said}");
}

#[test]
fn what_is_waited_for_is_said_also_after_the_start_and_then_the_timeout_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 3 << 20);
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    let sharing = Sharing::start(&[path(&source)]);
    let proxy = Proxy::start(port(&sharing.address), Way::Only(3 << 19));
    for command in ["get", "cat"] {
        let mut bitswap = bitswap();
        bitswap.args([command, &sharing.cid, "--from", &proxy.address(), "--timeout", "5"]);
        if command == "get" {
            bitswap.args(["-o", path(&target)]);
        }
        let (code, said) = end(&mut bitswap);
        assert_eq!(code, Some(3), "{command}: {said}");
        let waits: Vec<_> = said.lines().filter(|line| line.starts_with("waiting: ")).collect();
        assert_eq!(waits.len(), 1, "{said}");
        assert!(waits[0].contains("asked "), "{said}");
        assert!(said.contains("error: nothing has come for 5."), "{said}");
    }
}

#[test]
fn a_get_begins_with_the_first_machine_that_answers() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    // The system accepts for it, and it never says a word. Such a dial takes ten seconds.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let start = Instant::now();
    let get = ["get", HELLO, "-o", path(&target), "--from", &silent, "--from", &sharing.address];
    let (code, said) = end(bitswap().args(get));
    assert_eq!(code, Some(0), "{said}");
    assert!(start.elapsed() < Duration::from_secs(9), "it waited for the dial");
}

#[test]
fn a_port_that_another_process_listens_on_is_an_error_on_every_runtime() {
    for first in ["tokio", "async-std", "smol"] {
        let sharing = Sharing::start(&["--text", "Hello World", "--runtime", first]);
        let taken = format!("/ip4/127.0.0.1/tcp/{}", port(&sharing.address));
        for (second, on) in
            [("tokio", "127.0.0.1"), ("async-std", "0.0.0.0"), ("smol", "127.0.0.1")]
        {
            let listen = taken.replace("127.0.0.1", on);
            let share = ["share", "--text", "x", "--no-mdns", "--listen", &listen];
            let (code, said) = end(bitswap().args(share).args(["--runtime", second]));
            assert_eq!(code, Some(7), "{first}, {second}");
            let expected =
                format!("error: cannot listen on {listen}: another program listens there already");
            assert!(said.starts_with(&expected), "{first}, {second}: {said}");
        }
    }
}
