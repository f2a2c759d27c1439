//! One line that is all another machine needs.

use super::process::Running;
use super::{HELLO, NOWHERE, bitswap, lines, path, run, sample};

/// A share that says its ticket. It listens on loopback, which is then the only address.
fn share(arguments: &[&str]) -> (Running, String) {
    let mut running = bitswap()
        .args(["share", "--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .args(arguments)
        .spawn()
        .unwrap();
    let shared = lines(&mut running).find(|line| line["event"] == "shared").unwrap();
    let ticket = shared["ticket"].as_str().unwrap().to_owned();
    (running, ticket)
}

#[test]
fn a_ticket_is_all_that_another_machine_needs() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 3 << 20);
    let source = directory.path().join("a movie.mp4");
    std::fs::rename(directory.path().join("source"), &source).unwrap();
    let (_sharing, ticket) = share(&[path(&source)]);
    assert!(ticket.starts_with("bitswap:v1/bafy") && ticket.contains("+name=a%20movie.mp4+peer="));
    let here = tempfile::tempdir().unwrap();
    let get = bitswap().args(["get", &ticket]).current_dir(here.path()).output().unwrap();
    assert!(get.status.success(), "{get:?}");
    assert!(std::fs::read(here.path().join("a movie.mp4")).unwrap() == bytes);
    // The machine that it names lacks this, and nobody else is waited for.
    let (cid, rest) = ticket.split_once('+').unwrap();
    let other = format!("bitswap:v1/{NOWHERE}+{rest}");
    assert_eq!(run(&["cat", &other]).status.code(), Some(3), "{cid}");
    for command in ["cat", "ls"] {
        assert!(run(&[command, &ticket]).status.success());
    }
    std::fs::write(&source, [&bytes[..], b"more"].concat()).unwrap();
    let verify = run(&["verify", path(&source), &ticket, "--timeout", "30"]);
    assert_eq!(verify.status.code(), Some(10), "{verify:?}");
    let cut = run(&["get", &ticket[..ticket.len() - 7]]);
    let said = String::from_utf8(cut.stderr).unwrap();
    assert_eq!(cut.status.code(), Some(2), "{said}");
    assert!(said.contains("its address ") && said.contains("it may have been cut"), "{said}");
}

#[test]
fn a_person_who_shares_is_told_the_line_to_copy() {
    let share = bitswap()
        .args(["share", "--text", "Hello World", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .spawn()
        .unwrap();
    let said = share.until("Serving until Ctrl-C.");
    let line =
        said.lines().find_map(|line| line.trim().strip_prefix("bitswap get bitswap:")).unwrap();
    assert!(said.starts_with(HELLO), "a script takes the first line: {said}");
    assert!(!said.contains("On the local network"), "nobody there is told: {said}");
    let output = run(&["get", &format!("bitswap:{line}"), "-o", "-"]);
    assert_eq!(output.stdout, b"Hello World", "{output:?}");
}

#[test]
fn who_can_be_reached_on_this_machine_alone_is_not_called_known_on_the_local_network() {
    let share = bitswap()
        .args(["share", "--text", "Hello World", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .spawn()
        .unwrap();
    let said = share.until("Serving until Ctrl-C.");
    assert!(!said.contains("On the local network"), "{said}");
}

#[test]
fn several_things_are_got_one_after_the_other_and_one_that_fails_stops_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (_first, first) = share(&["--text", "Hello World"]);
    let bytes = sample(directory.path(), 1 << 20);
    let (_second, second) = share(&[path(&directory.path().join("source"))]);
    let missing = format!("bitswap:v1/{NOWHERE}+{}", first.split_once('+').unwrap().1);
    let list = directory.path().join("list");
    std::fs::write(&list, format!("# what is missing\n\n {missing}\n{second}\n")).unwrap();
    let into = directory.path().join("into");
    let get = ["get", &first, "--input", path(&list), "-o", path(&into), "--json"];
    assert_eq!(run(&get).status.code(), Some(8), "it does not say where several go");
    std::fs::create_dir(&into).unwrap();
    let output = run(&get);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("1 of 3 could not be got"), "{said}");
    assert_eq!(std::fs::read(into.join(HELLO)).unwrap(), b"Hello World");
    assert!(std::fs::read(into.join("source")).unwrap() == bytes);
    // Each is told with its own numbers.
    let fetched = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let fetched: Vec<_> = fetched.filter(|line| line["event"] == "fetched").collect();
    assert_eq!(fetched.len(), 2);
    assert_eq!((&fetched[0]["bytes_from_peers"], &fetched[0]["blocks"]), (&11.into(), &1.into()));

    std::fs::write(&list, format!("{HELLO}\nnonsense\n")).unwrap();
    let output = run(&["get", "--input", path(&list)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line 2 of "), "{said}");
    assert_eq!(run(&["get", &first, &second, "-o", "-"]).status.code(), Some(2));
    assert_eq!(run(&["get"]).status.code(), Some(2));
}
