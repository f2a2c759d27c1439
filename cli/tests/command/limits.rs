//! Limits that are given on the command line.

use std::time::{Duration, Instant};

use super::sharing::Sharing;
use super::{HELLO, code, path, run, sample};

#[test]
fn a_transfer_takes_as_long_as_the_limits_of_either_side_say() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 3 << 20);
    let source = directory.path().join("source");
    // Two blocks of three after the first one, less what may have been saved up.
    let least = Duration::from_secs(2) - Duration::from_millis(250);
    for (of_share, of_get) in [
        (&["--limit-up", "1MiB"][..], &[][..]),
        (&["--limit-up-per-peer", "1Mi"], &[]),
        (&[], &["--limit-down", "1024KiB/s"]),
        (&[], &["--limit-down-per-peer", "1Mi"]),
    ] {
        let sharing = Sharing::start(&[&[path(&source)], of_share].concat());
        let target = tempfile::tempdir().unwrap();
        let to = ["--from", &sharing.address, "-o", path(target.path())];
        let start = Instant::now();
        let output = run(&[&["get", &sharing.cid], &to[..], of_get].concat());
        let taken = start.elapsed();
        assert!(output.status.success(), "{output:?}");
        assert!(taken >= least, "{of_share:?} {of_get:?}: {taken:?}");
    }
}

#[test]
fn limits_that_mean_nothing_are_refused() {
    for (limit, value, said) in [
        ("--limit-up", "0", "leave the option out for no limit"),
        ("--limit-down", "fast", "is no unit"),
        ("--limit-up-per-peer", "5 apples", "is no unit"),
        ("--limit-down-per-peer", "0", "leave the option out for no limit"),
        ("--max-connections", "0", "0 is not in 1.."),
        ("--max-connections-per-peer", "-1", "-1"),
    ] {
        let output = run(&["cat", HELLO, limit, value]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let limits = ["--max-connections", "2", "--max-connections-per-peer", "1"];
    let more = ["--max-connections-per-network", "2", "--max-connecting", "2"];
    let text = ["--text", "Hello World"];
    let sharing = Sharing::start(&[&text[..], &limits, &more].concat());
    assert_eq!(code(&["cat", HELLO, "--from", &sharing.address]), 0);
}
