//! What people expect of any command.

use super::sharing::Sharing;
use super::{HELLO, bitswap, path, run, sample};

#[test]
fn completions_and_manual_pages_are_written_for_packages() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("new");
    let output = run(&["generate", path(&into)]);
    assert!(output.status.success(), "{output:?}");
    let text = |name: &str| std::fs::read_to_string(into.join(name)).unwrap();
    for name in ["bitswap.bash", "_bitswap", "bitswap.fish", "_bitswap.ps1", "bitswap.elv"] {
        let text = text(name);
        assert!(text.contains("limit-up") && !text.contains(path(&into)), "{name}");
    }
    for page in ["bitswap.1", "bitswap-get.1", "bitswap-share.1", "bitswap-cat.1", "bitswap-ls.1"] {
        assert!(text(page).contains(".TH "), "{page}");
    }
    assert!(text("bitswap.1").contains("Exit codes"));
    assert!(text("bitswap-get.1").contains("limit\\-down"));
    let short = String::from_utf8(run(&["-h"]).stdout).unwrap();
    assert!(!short.contains("generate") && !short.contains("--runtime"), "{short}");
}

#[test]
fn the_version_says_what_was_built() {
    let version = |flag: &str| String::from_utf8(run(&[flag]).stdout).unwrap();
    let number = format!("bitswap {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(version("-V").trim(), number);
    let long = version("--version");
    assert!(long.starts_with(&number), "{long}");
    let features = long.lines().find_map(|line| line.strip_prefix("features: ")).unwrap();
    let built: Vec<_> = features.split(", ").filter(|feature| *feature != "none").collect();
    let is_built = |feature: &str| built.contains(&feature);
    assert_eq!(is_built("quic"), cfg!(feature = "quic"), "{long}");
    assert_eq!(is_built("tls"), cfg!(feature = "tls"), "{long}");
    assert_eq!(is_built("websocket"), cfg!(feature = "websocket"), "{long}");
    if let Some(commit) = long.lines().next().unwrap().strip_prefix(&format!("{number} (")) {
        assert!(commit.len() >= 8 && commit.ends_with(')'), "{long}");
    }
}

#[test]
fn options_are_taken_from_the_environment_unless_they_are_on_the_command_line() {
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let cat = |from: &str, more: &[&str]| {
        let mut cat = bitswap();
        cat.env("BITSWAP_FROM", from).args(["cat", HELLO]).args(more);
        cat.output().unwrap()
    };
    assert_eq!(cat(&sharing.address, &[]).stdout, b"Hello World");
    assert_eq!(cat("/ip4/127.0.0.1/tcp/1", &["--from", &sharing.address]).stdout, b"Hello World");
    assert_eq!(cat("nonsense", &[]).status.code(), Some(2));
    for (value, is_on) in [("1", true), ("true", true), ("0", false), ("", false), ("no", false)] {
        let mut missing = bitswap();
        missing.env("BITSWAP_JSON", value).args(["get", HELLO, "--from", "/ip4/127.0.0.1/tcp/1"]);
        let output = missing.output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        assert_eq!(output.stdout.starts_with(b"{"), is_on, "{value:?}: {output:?}");
        // Also when the command line is wrong.
        let wrong = bitswap().env("BITSWAP_JSON", value).args(["nonsense"]).output().unwrap();
        assert_eq!(wrong.stdout.starts_with(b"{"), is_on, "{value:?}: {wrong:?}");
    }
}

#[test]
fn a_quiet_command_prints_results_and_errors_and_a_verbose_one_logs() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 1 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    // The first machine is not there, of which there is a note.
    let from =
        ["--from", "/ip4/127.0.0.1/tcp/1", "--from", &sharing.address, "--if-exists", "unique"];
    let target = directory.path().join("target");
    let get = |more: &[&str]| {
        let get = ["get", &sharing.cid, "-o", path(&target)];
        let output = run(&[&get[..], &from, more].concat());
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (results, notes) = get(&["-q"]);
    assert!(results.contains("verified") && notes.is_empty(), "{results} {notes}");
    let (results, notes) = get(&["-q", "--json"]);
    assert!(results.lines().count() == 1 && notes.is_empty(), "{results} {notes}");
    assert!(results.contains(r#""event":"fetched""#), "{results}");
    let (_, log) = get(&["-v"]);
    assert!(log.contains(" INFO ") && log.contains("a peer connected"), "{log}");
    assert!(!log.contains('\x1b'), "no colours for what is no terminal: {log}");
    let (_, log) = get(&[]);
    assert!(!log.contains("a peer connected"), "{log}");
    // A variable that is empty chooses nothing, and one that cannot be read is not passed over in silence.
    for (filter, said) in [("", " INFO "), ("bitswap=loud", "RUST_LOG=bitswap=loud is left out")] {
        let mut cat = bitswap();
        cat.env("RUST_LOG", filter).args(["cat", &sharing.cid, "-v", "--from", &sharing.address]);
        let log = String::from_utf8(cat.output().unwrap().stderr).unwrap();
        assert!(log.contains(said), "{filter:?}: {log}");
    }
    assert_eq!(run(&["cat", HELLO, "-q", "-v"]).status.code(), Some(2));
    let failed = run(&["cat", HELLO, "-q", "--from", "/ip4/127.0.0.1/tcp/1"]);
    assert!(String::from_utf8(failed.stderr).unwrap().starts_with("error: no machine"));
}

#[test]
fn a_mistyped_address_or_cid_is_answered_with_what_may_have_been_meant() {
    let said = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let address = said(&["cat", HELLO, "--from", "192.0.2.1:4001"]);
    assert!(address.contains("did you mean /ip4/192.0.2.1/tcp/4001 ?"), "{address}");
    let cid = said(&["cat", &HELLO.replacen('l', "1", 1)]);
    assert!(cid.contains(&format!("did you mean {HELLO} ?")), "{cid}");
}
