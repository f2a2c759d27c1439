//! Names that stand for a CID, and can stand for another one later.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use serde_json::Value;

use super::process::lines;
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

    // How long it holds is told as it is, and a time in which nobody can look is none.
    let lasting = |hours: &str| {
        let publish = ["publish", HELLO, "--identity", path(&key), "--lifetime", hours];
        let output = run(&[&publish[..], &dht].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (hours, said) in [("0.001", "for 3.6 s;"), ("1", "for 1 hour;"), ("48", "for 48 hours;")] {
        let (ended, told) = lasting(hours);
        assert!(ended == Some(0) && told.contains(said), "{hours}: {told}");
    }
    let (ended, told) = lasting("0");
    assert!(ended == Some(2) && told.contains("a record holds for a second"), "{told}");

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

#[test]
fn a_name_is_published_again_until_it_is_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let hub = Sharing::start(&["--text", "Hello World", "--dht=server", "--bootstrap", "none"]);
    // Three seconds.
    let publish = ["--json", "publish", HELLO, "--renew", "--lifetime", "0.0009"];
    let to = ["--bootstrap", &hub.address, "--identity", path(&key)];
    let mut renewing = bitswap().args(publish).args(to).spawn().unwrap();
    let published: Vec<Value> =
        lines(&mut renewing).filter(|object| object["event"] == "published").take(3).collect();
    assert!(published.iter().all(|object| *object == published[0]), "{published:?}");
    assert_eq!(published[0]["sequence"], 0);
    let is_told = renewing.interrupt();
    let code = renewing.wait().unwrap().code();
    assert!(!is_told || code == Some(0), "{code:?} {renewing}");
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
fn whoever_waits_for_a_name_is_told_which_one_and_who_is_asked() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let asked = ["--dns-server", &server, "--from", sharing.address.as_str()];
    let expected =
        format!("waiting: the DNS server {server} has not said yet what example.test stands for");
    let start = |arguments: &[&str]| bitswap().args(arguments).spawn().unwrap();
    // A machine that takes connections and says nothing is all there is of this DHT.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port();
    let dht = format!(
        "/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
    );
    let key = "/ipns/k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku";
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("key");
    let publish = ["publish", HELLO, "--identity", path(&own), "--bootstrap", &dht, "--json"];
    // All of them wait at the same time.
    let for_people = ["resolve", "get", "cat"]
        .map(|command| start(&[&[command, "/ipns/example.test"], &asked[..]].concat()));
    let for_programs = [
        (start(&[&["resolve", "/ipns/example.test", "--json"], &asked[..]].concat()), expected),
        (
            start(&["resolve", key, "--bootstrap", &dht, "--json"]),
            format!("waiting: the DHT has not said yet what {key} stands for"),
        ),
        (start(&publish), "waiting: no machine of the DHT has stored the record yet".to_owned()),
    ];
    for running in for_people {
        running.until_error(&for_programs[0].1);
    }
    for (mut running, expected) in for_programs {
        let note = lines(&mut running).find(|line| line["event"] == "waiting").unwrap();
        assert_eq!((&note["message"], &note["blocks"]), (&expected.into(), &0.into()), "{note}");
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
        (
            "_dnslink.escape.example.test",
            "dnslink=/ipfs/bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny/\x1b[2J\nb",
        ),
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
        // What the owner of a domain writes does nothing to a terminal.
        let escape = [&["resolve", "/ipns/escape.example.test"], &asked[..]].concat();
        let printed = String::from_utf8(run(&escape).stdout).unwrap();
        assert_eq!(printed, format!("/ipfs/{HELLO}/\\u{{1b}}[2J\\nb\n"));
        assert_eq!(result(&escape)["path"], format!("/ipfs/{HELLO}/\x1b[2J\nb"));
        for (name, expected) in
            [("loop", 6), ("bad", 6), ("nothing", 3), ("broken", 7), ("half-broken", 7)]
        {
            let name = format!("/ipns/{name}.example.test");
            let output = run(&[&["resolve", &name], &asked[..]].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(expected), "{name}: {said}");
            let is_failed = said.contains("the DNS server has failed to look it up");
            assert_eq!(is_failed, expected == 7, "{name}: {said}");
        }
    }
    assert_eq!(sharing.stop(), 0);
}
