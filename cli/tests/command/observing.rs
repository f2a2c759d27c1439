//! What an operator sees: metrics, and a log that holds nothing up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::process::lines;
use super::{bitswap, path, run, sample};

fn scraped(url: &str) -> String {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_is_counted_can_be_scraped_while_a_command_runs() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 4 << 20);
    for runtime in ["tokio", "async-std", "smol"] {
        let mut share = bitswap()
            .args(["--json", "--runtime", runtime, "share", path(&directory.path().join("source"))])
            .args(["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--metrics", "127.0.0.1:0"])
            .spawn()
            .unwrap();
        let mut lines = lines(&mut share);
        let url = lines.find(|line| line["event"] == "metrics").unwrap()["url"].clone();
        let shared = lines.find(|line| line["event"] == "shared").unwrap();
        drop(lines);
        let (cid, from) =
            (shared["cid"].as_str().unwrap(), shared["addresses"][0].as_str().unwrap());
        let target = directory.path().join(runtime);
        let output = run(&["get", cid, "--from", from, "-o", path(&target)]);
        assert!(output.status.success(), "{output:?}");
        let text = scraped(url.as_str().unwrap());
        for line in [
            "bitswap_server_blocks_sent_total 5",
            "bitswap_server_dont_haves_sent_total 0",
            &format!(
                "bitswap_build_info{{version=\"{}\",runtime=\"{runtime}\"}} 1",
                env!("CARGO_PKG_VERSION")
            ),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
    let refused = run(&["cat", super::HELLO, "--metrics", "everywhere"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn nobody_who_reads_the_log_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 8 << 20);
    let source = directory.path().join("source");
    let sharing = super::Sharing::start(&[path(&source)]);
    let target = directory.path().join("target");
    let (unread, mut full) = std::io::pipe().unwrap();
    // A little less than a pipe takes on most systems; what is logged is more by far.
    let held = if cfg!(windows) { 3 << 10 } else { 60 << 10 };
    full.write_all(&vec![b'.'; held]).unwrap();
    let mut get = bitswap();
    get.args(["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target), "-vvv"]);
    let output = get.stderr(full).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("verified"));
    assert!(std::fs::read(&target).unwrap() == bytes);
    drop(unread);
}

#[test]
fn a_log_has_the_lines_that_an_operator_looks_for() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 2 << 20);
    let sharing = super::Sharing::start(&[path(&directory.path().join("source"))]);
    let target = directory.path().join("target");
    let get = ["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target)];
    let output = run(&[&get[..], &["-vv"]].concat());
    let log = String::from_utf8(output.stderr).unwrap();
    let spans = format!("transfer{{root={}}}:session{{id=", sharing.cid);
    for line in ["connected to 1 of 1 peers", "received chunk", "finalized"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    // Before the transfer it is looked at what the CID leads to.
    let chunk = log.lines().rfind(|line| line.contains("received chunk")).unwrap();
    assert!(chunk.contains(&spans) && chunk.contains(":want{cid="), "{chunk}");
    assert!(chunk.contains(" from=12D3KooW") && chunk.contains(" bytes="), "{chunk}");
    // RUST_LOG chooses by module.
    let target = directory.path().join("other");
    let mut get = bitswap();
    get.args(["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target)]);
    let output = get.env("RUST_LOG", "bitswap_node::fetch=info").output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("finalized") && !log.contains("connected to 1 of"), "{log}");
}
