//! Names that stand for a CID, and can stand for another one later.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::thread;

use serde_json::Value;

use super::sharing::Sharing;
use super::{HELLO, bitswap, code, path, run};

fn result(arguments: &[&str]) -> Value {
    let output = run(&[&["--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_name_is_published_followed_and_published_anew() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let hub = Sharing::start(&["--text", "Hello World", "--dht=server", "--bootstrap", "none"]);
    let dht = ["--bootstrap", &hub.address];
    let publish =
        |what: &str| result(&[&["publish", what, "--identity", path(&key)], &dht[..]].concat());
    let first = publish(HELLO);
    let name = first["name"].as_str().unwrap();
    assert!(name.starts_with("/ipns/k51"), "{name}");
    assert_eq!(
        (&first["sequence"], &first["value"]),
        (&0.into(), &format!("/ipfs/{HELLO}").into())
    );
    let from = [&dht[..], &["--from", &hub.address]].concat();
    let resolve = |name: &str| result(&[&["resolve", name], &from[..]].concat())["path"].clone();
    assert_eq!(resolve(name), format!("/ipfs/{HELLO}"));
    for form in [name.to_owned(), name.replacen("/ipns/", "ipns://", 1)] {
        let printed = run(&[&["cat", &form], &from[..]].concat());
        assert_eq!(printed.stdout, b"Hello World", "{printed:?}");
    }
    let got = bitswap().args(["get", name]).args(&from).current_dir(directory.path()).output();
    assert!(got.unwrap().status.success());
    let called = directory.path().join(name.trim_start_matches("/ipns/"));
    assert_eq!(fs::read(called).unwrap(), b"Hello World");

    // A renewal is none of another value, and another value is a later record.
    assert_eq!(publish(HELLO)["sequence"], 0);
    let second = publish(&format!("{HELLO}/a/b"));
    assert_eq!((&second["sequence"], &second["name"]), (&1.into(), &name.into()));
    assert_eq!(resolve(name), format!("/ipfs/{HELLO}/a/b"));
    assert_eq!(resolve(&format!("{name}/c")), format!("/ipfs/{HELLO}/a/b/c"));

    // Nobody has published this one; and nothing is looked up where nobody can be asked.
    let nobody = "/ipns/k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku";
    assert_eq!(code(&[&["resolve", nobody], &from[..]].concat()), 3);
    assert_eq!(code(&["resolve", nobody, "--from", &hub.address]), 2);
    let new = directory.path().join("new");
    assert_eq!(code(&["publish", HELLO, "--identity", path(&new)]), 2);
    assert!(!new.exists(), "a command that is wrong makes no key");
    assert_eq!(code(&[&["publish", HELLO], &dht[..]].concat()), 2);
    assert_eq!(code(&[&["publish", name, "--identity", path(&key)], &dht[..]].concat()), 2);
    // Nor is it missing when nobody answers.
    let gone = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf";
    assert_eq!(code(&["resolve", nobody, "--bootstrap", gone]), 7);
    let alone = ["--bootstrap", "none"];
    let published = [&["publish", HELLO, "--identity", path(&key)], &alone[..]].concat();
    assert_eq!(code(&published), 7, "nobody has taken it");
    assert_eq!(hub.stop(), 0);
}

/// A DNS server that knows a few TXT records, fails for two names, and says of every other that it does not
/// exist.
fn dns_server(records: &'static [(&str, &str)]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut query) {
            socket.send_to(&answer(&query[..len], records), from).unwrap();
        }
    });
    address
}

fn answer(query: &[u8], records: &[(&str, &str)]) -> Vec<u8> {
    // The name of the one question: labels behind their lengths.
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    let question = &query[12..at + 5];
    let name = labels.join(".");
    let texts: Vec<_> = records.iter().filter(|(owner, _)| *owner == name).collect();
    let code = match texts.is_empty() {
        true if ["broken.example.test", "_dnslink.half-broken.example.test"]
            .contains(&name.as_str()) =>
        {
            2
        }
        true => 3,
        false => 0,
    };
    let mut out = [&query[..2], &[0x85, code, 0, 1, 0, texts.len() as u8, 0, 0, 0, 0]].concat();
    out.extend_from_slice(question);
    for (_, text) in texts {
        // The name again, TXT, IN, a minute.
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, text.len() as u8 + 1, text.len() as u8]);
        out.extend(text.bytes());
    }
    out
}

#[test]
fn a_name_that_nobody_answers_for_is_not_waited_for_longer_than_the_user_does() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let asked = ["--dns-server", &server, "--from", sharing.address.as_str(), "--timeout", "0.2"];
    for command in ["resolve", "cat", "ls"] {
        let output = run(&[&[command, "/ipns/example.test"], &asked[..]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{command}: {said}");
        let expected = "nobody has said within 0.2 s what /ipns/example.test stands for";
        assert!(said.contains(expected), "{command}: {said}");
    }
}

#[test]
fn a_domain_stands_for_what_its_records_say() {
    let server = dns_server(&[
        (
            "_dnslink.example.test",
            "dnslink=/ipfs/bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny",
        ),
        ("_dnslink.example.test", "something else"),
        ("old.example.test", "dnslink=/ipns/example.test/a"),
        ("_dnslink.loop.example.test", "dnslink=/ipns/loop.example.test"),
        ("_dnslink.bad.example.test", "dnslink=/ipfs/nonsense"),
    ])
    .to_string();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    for runtime in ["tokio", "smol", "async-std"] {
        let asked = ["--dns-server", &server, "--from", &sharing.address, "--runtime", runtime];
        let printed = run(&[&["cat", "/ipns/example.test"], &asked[..]].concat());
        assert_eq!(printed.stdout, b"Hello World", "{runtime}: {printed:?}");
        let resolved = result(&[&["resolve", "/ipns/old.example.test/b"], &asked[..]].concat());
        assert_eq!(resolved["path"], format!("/ipfs/{HELLO}/a/b"));
        for (name, expected) in
            [("loop", 6), ("bad", 6), ("nothing", 3), ("broken", 7), ("half-broken", 7)]
        {
            let name = format!("/ipns/{name}.example.test");
            assert_eq!(code(&[&["resolve", &name], &asked[..]].concat()), expected, "{name}");
        }
    }
    assert_eq!(sharing.stop(), 0);
}
