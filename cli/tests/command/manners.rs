//! What the command prints, where, and what it does when that fails.

use std::io::Read as _;
use std::time::Duration;

use bitswap_node::{SocketBytes, transport};
use bitswap_runtime_tokio::Tokio;
use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use serde_json::Value;

#[cfg(unix)]
use super::process::Program;
use super::sharing::Sharing;
use super::{HELLO, NOWHERE, bitswap, lines, path, run, sample};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(120);

/// The only object of an output.
fn object(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(bytes));
    })
}

#[test]
fn every_command_and_every_wrong_argument_prints_objects_when_asked_to() {
    let sharing = Sharing::start(&["--text", "Hello World"]);
    for wrong in [
        &["get", "not a CID", "--json"][..],
        &["get", HELLO, "--from", "nowhere", "--json"],
        &["--json", "nonsense"],
        &["share", "--json"],
        &["--json"],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        let object = object(&output.stdout);
        assert_eq!((&object["event"], &object["code"]), (&"error".into(), &2.into()), "{wrong:?}");
        assert!(output.stderr.is_empty(), "{wrong:?}");
    }
    let version = object(&run(&["--version", "--json"]).stdout);
    assert_eq!(version["event"], "version");
    let text = version["text"].as_str().unwrap();
    assert!(text.starts_with(concat!("bitswap ", env!("CARGO_PKG_VERSION"))), "{text}");
    let help = object(&run(&["get", "--help", "--json"]).stdout);
    assert!(help["text"].as_str().unwrap().contains("--if-exists"));

    // The standard output of `cat` is the file: its objects go elsewhere.
    let cat = run(&["cat", HELLO, "--from", &sharing.address, "--json"]);
    assert!(cat.status.success(), "{cat:?}");
    assert_eq!(cat.stdout, b"Hello World");
    let printed = object(&cat.stderr);
    assert_eq!((&printed["event"], &printed["size"]), (&"printed".into(), &11.into()));
    let cat = run(&["cat", NOWHERE, "--from", &sharing.address, "--json"]);
    assert_eq!(cat.status.code(), Some(3));
    assert!(cat.stdout.is_empty());
    let last = String::from_utf8(cat.stderr).unwrap().lines().last().unwrap().to_owned();
    let error = object(last.as_bytes());
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &3.into()));
    for wrong in [&["cat", "nonsense"][..], &["get", "nonsense", "-o", "-"], &["cat"]] {
        let output = run(&[wrong, &["--json"]].concat());
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
        assert_eq!(object(&output.stderr)["event"], "error", "{wrong:?}");
    }
    assert_eq!(object(&run(&["cat", "--help", "--json"]).stdout)["event"], "help");
}

#[test]
fn a_reader_that_wants_no_more_ends_the_command_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 4 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let cat = bitswap()
        .args(["cat", &sharing.cid, "--from", &sharing.address])
        .stdout(writer)
        .spawn()
        .unwrap();
    let mut head = [0; 100];
    reader.read_exact(&mut head).unwrap();
    drop(reader);
    let output = cat.output().unwrap();
    assert_eq!(head, bytes[..100]);
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_reader_that_stands_still_keeps_no_command_from_being_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 4 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut cat = bitswap()
        .args(["cat", &sharing.cid, "--from", &sharing.address])
        .stdout(writer)
        .spawn()
        .unwrap();
    // It has begun, and the pipe takes less than the rest.
    reader.read_exact(&mut [0; 100]).unwrap();
    if cat.interrupt() {
        assert_eq!(cat.wait().unwrap().code(), Some(130));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_ends_a_command_that_does_not_end_at_the_first() {
    use std::io::Write as _;

    let sharing = Sharing::start(&["--text", "Hello World"]);
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // All that a pipe takes: what it has to say after the text is not taken.
    writer.write_all(&[0; 64 << 10]).unwrap();
    let mut cat = bitswap()
        .args(["cat", HELLO, "--json", "--from", &sharing.address])
        .stderr(writer)
        .spawn()
        .unwrap();
    cat.until("Hello World");
    assert_eq!(cat.interrupt_until_it_ends().code(), Some(130));
}

/// A mebibyte is what Windows gives the first thread of a program.
#[cfg(unix)]
#[test]
fn a_mebibyte_of_stack_is_enough_for_a_command() {
    let mut demo = Program::new("sh").with_data_of_its_own();
    demo.args(["-c", r#"ulimit -s 1024 && exec "$0" demo --size 1 --json"#]);
    let output = demo.args([env!("CARGO_BIN_EXE_bitswap")]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let into = ["demo", "--dir", path(directory.path()), "--size", "256"];
    let mut demo = bitswap().args(into).spawn().unwrap();
    let has_begun = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        entries.into_iter().any(|entry| entry.unwrap().path().join("sample").exists())
    };
    while !has_begun() {
        std::thread::yield_now();
    }
    if demo.interrupt() {
        assert_eq!(demo.wait().unwrap().code(), Some(130));
        assert_eq!(super::names(directory.path()), [""; 0]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_no_success_whoever_prints_it() {
    use std::fs::File;

    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let from = ["--from", sharing.address.as_str()];
    let target = directory.path().join("target");
    let get = ["get", HELLO, from[0], from[1], "-o", path(&target)];
    let cat = ["cat", HELLO, from[0], from[1]];
    let share = ["share", "--text", "x", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let json = |command: &[&'static str]| [command, &["--json"]].concat();
    let commands: Vec<Vec<&str>> = vec![
        get.to_vec(),
        [&get[..], &["--json", "--if-exists", "replace"]].concat(),
        cat.to_vec(),
        share.to_vec(),
        json(&share),
        vec!["demo", "--size", "1", "--rounds", "1"],
        vec!["--help"],
        vec!["get", "--help"],
        vec!["--version"],
        json(&["--version"]),
    ];
    for arguments in commands {
        // No room, and not open for writing at all.
        for (full, code) in [(File::create("/dev/full"), 4), (File::open("/dev/null"), 8)] {
            let output = bitswap().args(&arguments).stdout(full.unwrap()).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(said.contains("cannot write to standard output"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_cid_with_white_space_around_is_read_and_a_bad_one_explained() {
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let output = run(&["cat", &format!(" {HELLO}\n"), "--from", &sharing.address]);
    assert_eq!(output.stdout, b"Hello World", "{output:?}");
    let output = run(&["cat", &HELLO.replacen('7', "1", 1)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("character 16 is '1'"), "{said}");
}

#[test]
fn an_address_that_this_build_does_not_dial_says_why() {
    let mut addresses = vec![
        ("/ip4/127.0.0.1/udp/1/webrtc-direct", "WebRTC is not supported"),
        ("/dns4/localhost/udp/1/webrtc-direct", "WebRTC is not supported"),
        ("/ip4/127.0.0.1", "it says no port"),
    ];
    if cfg!(not(feature = "quic")) {
        addresses.push(("/ip4/127.0.0.1/udp/1/quic-v1", "this node has no QUIC"));
    }
    if cfg!(feature = "websocket") {
        addresses.push(("/ip4/127.0.0.1/tcp/1/ws", "/ws: Connection refused"));
    }
    for (address, why) in addresses {
        for runtime in ["tokio", "async-std", "smol"] {
            let output = run(&["cat", HELLO, "--from", address, "--runtime", runtime]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(7), "{runtime}: {said}");
            assert!(said.contains(why), "{runtime}, {address}: {said}");
        }
    }
}

#[test]
fn a_cause_is_told_once_and_no_code_in_the_words_of_a_programming_language() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let share = run(&["share", path(&missing)]);
    let said = String::from_utf8(share.stderr).unwrap();
    assert_eq!(said.matches("(os error 2)").count(), 1, "{said}");
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let target = missing.join("target");
    let get = run(&["get", HELLO, "--from", &sharing.address, "-o", path(&target)]);
    let said = String::from_utf8(get.stderr).unwrap();
    assert!(said.contains("does not exist") && !said.contains("Some("), "{said}");
}

#[test]
fn a_share_says_what_it_hashes_what_it_serves_and_that_the_file_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 3 << 20);
    let source = directory.path().join("source");
    let mut share = bitswap()
        .args(["share", path(&source), "--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .spawn()
        .unwrap();
    let mut said = lines(&mut share);
    let hashing = said.next().unwrap();
    assert_eq!((&hashing["event"], &hashing["total"]), (&"hashing".into(), &bytes.len().into()));
    let shared = said.find(|line| line["event"] == "shared").unwrap();
    let (cid, address) =
        (shared["cid"].as_str().unwrap(), shared["addresses"][0].as_str().unwrap());
    let cat = ["cat", cid, "--from", address];
    assert_eq!(run(&cat).stdout.len(), bytes.len());
    let serving = said.find(|line| line["event"] == "serving" && line["blocks"] == 4).unwrap();
    assert!(serving["bytes"].as_u64().unwrap() >= bytes.len() as u64);

    std::fs::write(&source, "something else").unwrap();
    let changed = said.find(|line| line["event"] == "changed").unwrap();
    assert_eq!((&changed["path"], &changed["cid"]), (&path(&source).into(), &cid.into()));
    assert_eq!(run(&cat).status.code(), Some(3), "what differs is not served");
    drop(said);
    let is_told = share.interrupt();
    let output = share.output().unwrap();
    if !is_told {
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    assert_eq!(object(last.as_bytes())["event"], "served");
}

#[test]
fn a_machine_that_does_not_speak_bitswap_is_called_that() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (found, address) = futures::channel::oneshot::channel();
    let peer = Keypair::generate_ed25519();
    let name = peer.public().to_peer_id();
    runtime.spawn(async move {
        let tokio = Tokio::current();
        let transport = transport(&tokio, &peer, None, &SocketBytes::default()).unwrap();
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(LONG);
        let mut swarm = Swarm::new(transport, libp2p_stream::Behaviour::new(), name, config);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let mut found = Some(found);
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await
                && let Some(found) = found.take()
            {
                found.send(address).unwrap();
            }
        }
    });
    let address = runtime.block_on(async { tokio::time::timeout(LONG, address).await });
    let address = format!("{}/p2p/{name}", address.unwrap().unwrap());
    let said = format!("{name} does not speak Bitswap");
    let directory = tempfile::tempdir().unwrap();
    for command in [&["cat", HELLO][..], &["get", HELLO, "-o", path(&directory.path().join("x"))]] {
        let output = run(&[command, &["--from", &address]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{stderr}");
        assert!(stderr.contains(&format!("error: {said}")), "{stderr}");
    }
    // Others may be asked: it is said, and is no failure.
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let output = run(&["cat", NOWHERE, "--from", &address, "--from", &sharing.address]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!String::from_utf8(output.stderr).unwrap().contains(&format!("error: {said}")));
}
