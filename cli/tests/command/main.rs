//! The command as a user runs it: processes of their own, on loopback.

mod access;
mod adding;
mod bench;
mod connections;
mod conventions;
mod dht;
mod diagnosing;
mod digests;
#[cfg(target_os = "linux")]
mod discovery;
#[cfg(unix)]
mod files;
mod half;
mod identity;
mod limits;
mod manners;
mod names;
mod observing;
mod process;
mod promises;
mod proxy;
mod ranges;
mod resuming;
mod runtimes;
mod schema;
mod settings;
mod sharing;
mod stores;
#[cfg(unix)]
mod terminal;
mod tickets;
#[cfg(unix)]
mod trees;
mod verifying;
#[cfg(windows)]
mod windows;
mod wss;

use std::path::Path;
use std::process::Output;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;

use process::{Program, lines};
use sharing::Sharing;

const HELLO: &str = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
/// Nobody has this.
const NOWHERE: &str = "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti";

fn bitswap() -> Program {
    Program::new(env!("CARGO_BIN_EXE_bitswap")).with_data_of_its_own()
}

/// What is in a folder, by name.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn run(arguments: &[&str]) -> Output {
    bitswap().args(arguments).output().unwrap()
}

fn code(arguments: &[&str]) -> i32 {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.code().unwrap_or_else(|| panic!("{error}"))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file with bytes that differ everywhere.
fn sample(directory: &Path, len: u32) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    Xoshiro256PlusPlus::seed_from_u64(len.into()).fill_bytes(&mut bytes);
    std::fs::write(directory.join("source"), &bytes).unwrap();
    bytes
}

#[test]
fn a_file_goes_from_one_process_to_another() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 20 << 20);
    for profile in ["unixfs-v1-2025", "unixfs-v0-2015"] {
        let source = directory.path().join("source");
        let sharing = Sharing::start(&[path(&source), "--profile", profile]);
        let target = directory.path().join(profile);
        let output =
            run(&["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target), "--json"]);
        assert!(output.status.success(), "{output:?}");
        assert!(std::fs::read(&target).unwrap() == bytes);
        let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!((&last["event"], &last["verified"]), (&"fetched".into(), &true.into()));
        assert_eq!(last["size"], bytes.len());
        assert_eq!(last["duplicate_blocks"], 0);
        assert!(last["socket_bytes_received"].as_u64().unwrap() > bytes.len() as u64);
        assert_eq!(sharing.stop(), 0);
    }
}

#[test]
fn a_text_is_shared_and_printed() {
    let sharing = Sharing::start(&["--text", "Hello World"]);
    assert_eq!(sharing.cid, HELLO);
    let output = run(&["cat", HELLO, "--from", &sharing.address]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"Hello World");
}

#[test]
fn a_file_is_printed_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 9 << 20);
    let source = directory.path().join("source");
    let sharing = Sharing::start(&[path(&source)]);
    let output = run(&["cat", &sharing.cid, "--from", &sharing.address]);
    assert!(output.status.success() && output.stdout == bytes);
}

#[test]
fn without_a_name_the_file_is_called_by_its_cid() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let get = bitswap()
        .args(["get", HELLO, "--from", &sharing.address])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(get.status.success(), "{get:?}");
    assert_eq!(std::fs::read(directory.path().join(HELLO)).unwrap(), b"Hello World");
    let into = run(&["get", HELLO, "--from", &sharing.address, "-o", path(directory.path())]);
    assert!(String::from_utf8(into.stdout).unwrap().contains("was there already"));
    // How fast eleven bytes come says nothing.
    let said = String::from_utf8(get.stdout).unwrap();
    assert!(said.contains(" s from one peer") && !said.contains("MiB/s"), "{said}");
    // Which of the files that are there is in the way is said.
    std::fs::write(directory.path().join(HELLO), "mine").unwrap();
    let other = run(&["get", HELLO, "--from", &sharing.address, "-o", path(directory.path())]);
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(said.contains(&format!("{HELLO}: the target exists")), "{said}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let from = ["--from", sharing.address.as_str(), "-o", path(&target)];
    let get = |cid: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["get", cid].iter().chain(&from).chain(more).copied().collect();
        code(&arguments)
    };
    // The command line.
    assert_eq!(code(&["get", "not a CID"]), 2);
    assert_eq!(code(&["get", HELLO, "--from", "nowhere"]), 2);
    assert_eq!(code(&["share"]), 2);
    // Nobody has it, or not in time.
    assert_eq!(get(NOWHERE, &[]), 3);
    assert_eq!(get(NOWHERE, &["--wait", "--timeout", "0.1"]), 3);
    assert_eq!(code(&["cat", NOWHERE, "--from", &sharing.address]), 3);
    // Another file is there.
    std::fs::write(&target, "mine").unwrap();
    assert_eq!(get(HELLO, &[]), 5);
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    assert_eq!(get(HELLO, &["--if-exists", "replace"]), 0);
    assert_eq!(get(HELLO, &[]), 0, "the same file is no other file");
    // The same bytes, called a dag-pb node, which they are not.
    let hello: cid::Cid = HELLO.parse().unwrap();
    let garbage = cid::Cid::new_v1(0x70, *hello.hash()).to_string();
    assert_eq!(get(&garbage, &["--if-exists", "unique"]), 6);
    assert_eq!(code(&["cat", &garbage, "--from", &sharing.address]), 6);
    // The network: nobody listens there any more.
    let address = sharing.address.clone();
    assert_eq!(sharing.stop(), 0);
    assert_eq!(code(&["cat", HELLO, "--from", &address]), 7);
    assert_eq!(code(&["share", "--text", "x", "--no-mdns", "--listen", "/ip4/192.0.2.1/tcp/0"]), 7);
    // Files.
    assert_eq!(code(&["share", path(&directory.path().join("missing"))]), 8);
}

#[test]
fn a_directory_that_is_missing_is_a_file_error() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let target = directory.path().join("missing/target");
    assert_eq!(code(&["get", HELLO, "--from", &sharing.address, "-o", path(&target)]), 8);
}

#[test]
fn a_get_that_waits_says_what_for() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let mut get = bitswap()
        .args(["get", NOWHERE, "--from", &sharing.address, "--wait", "--json", "-o", path(&target)])
        .spawn()
        .unwrap();
    let peer = sharing.address.rsplit('/').next().unwrap();
    let expected = format!("waiting: block {NOWHERE}: asked {peer}: DONT_HAVE");
    let note = lines(&mut get).find(|line| line["event"] == "waiting");
    get.kill().unwrap();
    get.wait().unwrap();
    assert_eq!(note.unwrap()["message"], expected.as_str());
}

#[test]
fn the_demo_moves_a_file_and_proves_it() {
    let output = run(&["demo", "--size", "8", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["verified"], true);
    assert_eq!((&last["size"], &last["duplicate_blocks"]), (&(8 << 20).into(), &0.into()));
    assert_eq!(last["blocks"], 9, "eight leaves and the root");
    let socket = last["socket_bytes_received"].as_u64().unwrap();
    assert!((8 << 20..9 << 20).contains(&socket), "{socket}");
    for streams in ["raw_runs_mib_per_second", "hashed_runs_mib_per_second"] {
        let streams = last[streams].as_array().unwrap();
        assert!(streams.len() > 1 && streams.iter().all(|rate| rate.as_f64().unwrap() > 0.0));
    }
    // The same seed gives the same file.
    let again: Value = serde_json::from_str(
        String::from_utf8(run(&["demo", "--size", "8", "--json"]).stdout)
            .unwrap()
            .lines()
            .last()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(last["cid"], again["cid"]);
}
