//! Connections that are lost, silent or slow, and ports that somebody else has.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::proxy::{Proxy, Way, port};
use super::sharing::Sharing;
use super::{HELLO, bitswap, lines, path, sample};

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that is killed at the limit, and when the test ends before it.
struct Running {
    child: Arc<Mutex<Child>>,
    /// Ends the watch when it is dropped.
    _watch: SyncSender<()>,
}

impl Running {
    /// Starts it; its errors can be read, and its output too unless it goes elsewhere.
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let child = Arc::new(Mutex::new(child));
        let (watch, ended) = sync_channel(1);
        let watched = child.clone();
        thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                watched.lock().unwrap().kill().unwrap();
            }
        });
        Self { child, _watch: watch }
    }

    fn lines(&self) -> impl Iterator<Item = Value> + use<> {
        lines(&mut self.child.lock().unwrap())
    }

    /// Waits for its end: its exit code, none if it was killed, and what it said.
    fn end(self) -> (Option<i32>, String) {
        let errors = self.child.lock().unwrap().stderr.take().unwrap();
        // They end with the process, and it is not waited for before, so that it can be killed.
        let said = std::io::read_to_string(errors).unwrap();
        (self.child.lock().unwrap().wait().unwrap().code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The first line of which this is so; the limit ends the process, and with it the lines.
fn first(lines: &mut impl Iterator<Item = Value>, is: impl Fn(&Value) -> bool) -> Value {
    lines.find(|line| is(line)).expect("such a line before the end")
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
    let get = Running::start(
        bitswap()
            .args(["get", &sharing.cid, "--from", &proxy.address(), "-o", path(&target), "--json"])
            .stdout(Stdio::piped()),
    );
    let mut lines = get.lines();
    first(&mut lines, |line| line["event"] == "progress" && line["done"].as_u64() > Some(0));
    // The same file at the same place, shared by a node with another identity.
    let before = sharing.address.clone();
    drop(sharing);
    proxy.cut(Way::Open);
    let again = Sharing::start_at(&format!("/ip4/127.0.0.1/tcp/{at}"), &[path(&source)]);
    assert_ne!(again.address, before);
    let last = first(&mut lines, |line| line["event"] == "fetched" || line["event"] == "error");
    assert_eq!(last["event"], "fetched", "{last}");
    assert_eq!(get.end().0, Some(0));
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
    let get = Running::start(
        bitswap()
            .args([
                "get",
                &sharing.cid,
                "--from",
                &proxy.address(),
                "-o",
                path(&target),
                "--json",
                "--reconnect-for",
                "5",
            ])
            .stdout(Stdio::piped()),
    );
    let mut lines = get.lines();
    first(&mut lines, |line| line["event"] == "progress" && line["done"].as_u64() > Some(0));
    drop(sharing);
    proxy.cut(Way::Open);
    let lost = format!("the connection to {peer} was lost ");
    // Said while it waits, too.
    let waiting = first(&mut lines, |line| line["event"] == "waiting" && line["peers"] == 0);
    assert!(waiting["message"].as_str().unwrap().starts_with(&format!("waiting: {lost}")));
    assert_eq!(waiting["lost"][0]["peer"], peer.as_str());
    let last = first(&mut lines, |line| line["event"] == "error");
    let message = last["message"].as_str().unwrap();
    assert!(message.starts_with(&lost) && message.contains("goes on from there"), "{message}");
    assert_eq!((last["code"].as_u64(), get.end().0), (Some(7), Some(7)));
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
        let printed = directory.path().join("printed");
        let mut bitswap = bitswap();
        bitswap.args([command, &sharing.cid, "--from", &proxy.address(), "--timeout", "2"]);
        if command == "get" {
            bitswap.args(["-o", path(&target)]);
        }
        // More than a pipe holds.
        let running = Running::start(bitswap.stdout(File::create(&printed).unwrap()));
        let (code, said) = running.end();
        assert_eq!(code, Some(0), "{command}: {said}");
        let arrived = if command == "get" { &target } else { &printed };
        assert!(std::fs::read(arrived).unwrap() == bytes, "{command}");
    }
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
        let running = Running::start(bitswap.stdout(Stdio::null()));
        let (code, said) = running.end();
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
    let (code, said) = Running::start(
        bitswap()
            .args([
                "get",
                HELLO,
                "--from",
                &silent,
                "--from",
                &sharing.address,
                "-o",
                path(&target),
            ])
            .stdout(Stdio::null()),
    )
    .end();
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
            let (code, said) = Running::start(
                bitswap()
                    .args([
                        "share",
                        "--text",
                        "x",
                        "--no-mdns",
                        "--listen",
                        &listen,
                        "--runtime",
                        second,
                    ])
                    .stdout(Stdio::null()),
            )
            .end();
            assert_eq!(code, Some(7), "{first}, {second}");
            let expected =
                format!("error: cannot listen on {listen}: another program listens there already");
            assert!(said.starts_with(&expected), "{first}, {second}: {said}");
        }
    }
}
