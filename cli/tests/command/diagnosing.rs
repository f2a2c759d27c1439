//! What may be wrong, in one report; and what one machine has.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::sharing::Sharing;
use super::{HELLO, NOWHERE, code, path, run, sample};

/// The object of this event, and the exit code.
fn reported(output: &Output, event: &str) -> (Value, Option<i32>) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let object = objects.find(|object| object["event"] == event);
    (object.unwrap_or_else(|| panic!("{output:?}")), output.status.code())
}

const LOOPBACK: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0"];

fn doctor(target: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let arguments: Vec<&str> =
        ["doctor", path(target), "--json"].iter().chain(&LOOPBACK).chain(more).copied().collect();
    let (object, code) = reported(&run(&arguments), "doctor");
    (object["report"].clone(), code)
}

#[test]
fn a_doctor_tells_all_that_is_asked_of_it_when_all_is_well() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let target = directory.path().join("movie.mp4");
    let (report, code) = doctor(&target, &["--from", &sharing.address]);
    assert_eq!((code, &report["findings"]), (Some(0), &Value::Array(vec![])), "{report}");
    let node = &report["node"];
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&node["os"], &node["runtime"]), (&std::env::consts::OS.into(), &"tokio".into()));
    assert!(node["addresses"][0].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"));
    assert_eq!(node["waiting"]["blocks"], 0);
    assert_eq!(node["errors"], Value::Array(vec![]));
    let stats = &node["peers"][0]["info"]["bitswap"]["stats"];
    for counter in ["haves", "dont_haves", "bytes"] {
        assert_eq!(stats["fetched"][counter], 0, "{stats}");
    }
    let from = &report["from"][0];
    let speaks = from["peer"]["identified"]["protocols"].as_array().unwrap();
    assert!(speaks.contains(&"/ipfs/bitswap/1.2.0".into()), "{speaks:?}");
    assert!(from["connected_after"].is_object() && from["error"].is_null());
    let place = &report["target"];
    assert_eq!(place["path_len"], path(&target).len());
    assert_eq!((&place["found"], &place["name_fault"]), (&"Nothing".into(), &Value::Null));
    assert!(place["free_space"].as_u64().unwrap() > 0);
    assert_eq!((&place["is_network"], &place["synced_by"]), (&false.into(), &Value::Null));
    assert_eq!((&place["write_error"], &place["has_locks"]), (&Value::Null, &true.into()));
    assert_eq!((&place["journal"], &place["lock"]), (&"Missing".into(), &"Free".into()));
    if cfg!(target_os = "linux") {
        assert!(place["file_system"].is_string() && place["permissions"].is_number());
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left there");

    let text =
        run(&["doctor", path(&target), "--from", &sharing.address, LOOPBACK[0], LOOPBACK[1]]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.ends_with("all is well\n")
            && text.contains("speaks /ipfs/bitswap, /ipfs/bitswap/1.0.0"),
        "{text}"
    );
}

#[test]
fn a_doctor_names_each_problem_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let gone = sharing.address.clone();
    // The port is taken, and then nobody is there.
    let taken = gone.split("/p2p/").next().unwrap();
    let missing = directory.path().join("missing/file");
    let (report, code) = doctor(&missing, &["--listen", taken]);
    assert_eq!(code, Some(13));
    let what = |report: &Value| {
        let findings = report["findings"].as_array().unwrap().clone();
        let text = |finding: &Value| {
            assert!(!finding["next"].as_str().unwrap().is_empty());
            format!(
                "{}: {}",
                finding["gravity"].as_str().unwrap(),
                finding["what"].as_str().unwrap()
            )
        };
        findings.iter().map(text).collect::<Vec<_>>()
    };
    let found = what(&report);
    assert!(found.len() == 2 && found[0].contains("another program listens there"), "{found:?}");
    assert!(found[1].starts_with("Problem: there is no directory"), "{found:?}");
    let errors = report["node"]["errors"].to_string();
    assert!(errors.contains("another program listens there"), "{errors}");

    assert_eq!(sharing.stop(), 0);
    let target = directory.path().join("x".repeat(256));
    let (report, code) = doctor(&target, &["--from", &gone]);
    let found = what(&report);
    assert_eq!(code, Some(13));
    assert!(found[0].contains("refused") && found[1].contains("the name has 256 "), "{found:?}");
    // A lock file of that name cannot be there, and nobody is told to remove it. On Windows the whole path is too long as well.
    assert_eq!(found.len(), if cfg!(windows) { 3 } else { 2 }, "{found:?}");
    assert_eq!(report["node"]["errors"].as_array().unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_doctor_finds_what_no_get_replaces() {
    use super::process::Program;

    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["fifo", ".a.part-lock", ".b.part", ".c.part-journal"] {
        let made = Program::new("mkfifo").args([at(name)]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    std::os::unix::fs::symlink("/dev/zero", at("link")).unwrap();
    fs::write(at("text"), "text").unwrap();
    fs::write(at(".d.part"), "a diary").unwrap();
    for (target, what) in [
        (at("fifo"), "fifo is a pipe (FIFO)"),
        (at("link"), "link is a device"),
        ("/dev/zero".into(), "/dev/zero is a device"),
        (at("a"), ".a.part-lock is a pipe (FIFO)"),
        (at("b"), ".b.part is a pipe (FIFO)"),
        (at("c"), ".c.part-journal is a pipe (FIFO)"),
        (at("d"), ".d.part is a file that is not of this program"),
        (at("text/below/target"), "text is no directory"),
    ] {
        let (report, code) = doctor(&target, &[]);
        assert_eq!(code, Some(13), "{target:?}: {report}");
        let findings = report["findings"].as_array().unwrap();
        let is_it = |finding: &&Value| finding["what"].as_str().unwrap().ends_with(what);
        let finding = findings.iter().find(is_it);
        let next = finding.unwrap_or_else(|| panic!("{target:?}: {report}"))["next"].as_str();
        assert!(next.unwrap().starts_with("Move it away"), "{report}");
        assert!(!report.to_string().contains("another machine"), "{report}");
        assert!(!report.to_string().contains("Make it first"), "{report}");
    }
    // One that is a link to a file, or a file, may be fetched to.
    fs::write(at("file"), "text").unwrap();
    std::os::unix::fs::symlink(at("file"), at("good")).unwrap();
    for target in [at("file"), at("good")] {
        assert_eq!(doctor(&target, &[]).1, Some(0), "{target:?}");
    }
}

#[test]
fn a_doctor_takes_a_directory_with_a_separator_behind_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (plain, code) = doctor(directory.path(), &[]);
    assert_eq!((code, &plain["target"]["found"]), (Some(0), &"Directory".into()), "{plain}");
    let (separated, code) = doctor(&directory.path().join(""), &[]);
    assert_eq!((code, &separated["findings"]), (Some(0), &plain["findings"]), "{separated}");
    for field in ["path", "path_len", "name_len", "name_fault", "directory", "lock"] {
        assert_eq!(separated["target"][field], plain["target"][field], "{field}");
    }
}

#[cfg(unix)]
#[test]
fn a_doctor_sees_what_an_interrupted_get_has_left() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 8 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let target = directory.path().join("target");
    let from = ["--from", sharing.address.as_str(), "-o", path(&target)];
    let get: Vec<&str> = ["get", &sharing.cid, "--limit-down", "100k", "--json"]
        .iter()
        .chain(&from)
        .copied()
        .collect();
    let mut running = super::bitswap().args(&get).spawn().unwrap();
    let written = |line: &Value| line["done"].as_u64().is_some_and(|done| done > 0);
    super::process::lines(&mut running).find(written).unwrap();
    let (report, code) = doctor(&target, &[]);
    assert_eq!((code, &report["target"]["lock"]), (Some(0), &"Held".into()), "{report}");
    running.interrupt();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let (report, code) = doctor(&target, &[]);
    let place = &report["target"];
    assert_eq!(
        (code, &place["lock"], &place["found"]),
        (Some(0), &"Free".into(), &"Nothing".into())
    );
    assert!(place["part"].as_u64().unwrap() >= 1 << 20, "{place}");
    let journal = &place["journal"]["OfFile"];
    assert_eq!(
        (&journal["root"], &journal["size"]),
        (&sharing.cid.as_str().into(), &(8 << 20).into())
    );
    assert!(journal["have"].as_u64().unwrap() >= 1 << 20, "{journal}");
    // The machine was started again: whoever had the lock was a process before that.
    let lock = directory.path().join(".target.part-lock");
    let gone = "bitswap lock 1\nowner earlier 1 1\n";
    fs::write(&lock, gone).unwrap();
    let (report, code) = doctor(&target, &[]);
    assert_eq!((code, &report["target"]["lock"]), (Some(0), &"Stale".into()), "{report}");
    assert_eq!(fs::read_to_string(&lock).unwrap(), gone);
    fs::remove_file(lock).unwrap();
    fs::write(directory.path().join(".target.part-journal"), "damaged").unwrap();
    let (report, code) = doctor(&target, &[]);
    assert_eq!((code, &report["target"]["journal"]), (Some(0), &"Unreadable".into()));
    assert!(report["findings"][0]["next"].as_str().unwrap().contains("bitswap get"));
}

#[test]
fn a_check_tells_whether_one_machine_has_it_and_how_fast() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 3 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let check = |cid: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            ["check", cid, &sharing.address, "--json"].iter().chain(more).copied().collect();
        let (object, code) = reported(&run(&arguments), "checked");
        (object, code)
    };
    let (object, found) = check(&sharing.cid, &[]);
    let report = &object["report"];
    assert_eq!(
        (found, &report["answer"], &report["is_all"]),
        (Some(0), &"Has".into(), &true.into())
    );
    assert_eq!((&report["blocks"], &report["missing"]), (&4.into(), &0.into()));
    assert!(report["bytes"].as_u64().unwrap() > 3 << 20);
    assert!(object["mib_per_second"].as_f64().unwrap() > 0.0);
    // No more than is asked for, but for what was on its way.
    let (object, found) = check(&sharing.cid, &["--size", "0"]);
    assert_eq!((found, &object["report"]["blocks"]), (Some(0), &1.into()));
    assert_eq!(object["report"]["is_all"], false);

    // A report is the result, which nobody wants to be spared.
    let (object, lacks) = check(NOWHERE, &["--quiet"]);
    assert_eq!((lacks, &object["report"]["answer"]), (Some(3), &"Lacks".into()));
    // Only the leaves that are still as they were are served.
    fs::write(directory.path().join("source"), "other").unwrap();
    let (object, partly) = check(&sharing.cid, &[]);
    assert_eq!((partly, &object["report"]["answer"]), (Some(13), &"Partly".into()));
    assert_eq!(object["report"]["missing"], 3);
    let address = sharing.address.clone();
    assert_eq!(sharing.stop(), 0);
    assert_eq!(code(&["check", HELLO, &address]), 7);
}

#[test]
fn a_check_asks_for_no_more_than_it_is_told_and_a_block_beyond() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 12 << 20);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    for (mib, most) in [("1", 2), ("4", 5)] {
        let output = run(&["check", &sharing.cid, &sharing.address, "--json", "--size", mib]);
        let (object, code) = reported(&output, "checked");
        let report = &object["report"];
        assert_eq!((code, &report["answer"]), (Some(0), &"Has".into()), "{report}");
        assert_eq!(report["is_all"], false);
        assert!(report["bytes"].as_u64().unwrap() <= most << 20, "{mib}: {report}");
    }
}

#[test]
fn a_check_of_a_slow_machine_waits_as_long_as_blocks_come() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 3 << 20);
    let slow = ["--profile", "unixfs-v0-2015", "--limit-up", "512k"];
    let source = directory.path().join("source");
    let sharing = Sharing::start(&[&[path(&source)], &slow[..]].concat());
    // All twelve leaves are asked for at once, and take longer together.
    let output = run(&["check", &sharing.cid, &sharing.address, "--json", "--timeout", "3"]);
    let (object, code) = reported(&output, "checked");
    let report = &object["report"];
    assert_eq!((code, &report["answer"]), (Some(0), &"Has".into()), "{report}");
    assert_eq!((&report["blocks"], &report["is_all"]), (&13.into(), &true.into()));
    assert!(report["elapsed"]["secs"].as_u64().unwrap() >= 3, "{report}");
}
