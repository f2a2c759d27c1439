//! Nodes on different async runtimes, side by side.

use super::sharing::Sharing;
use super::{path, run, sample};

const RUNTIMES: [&str; 3] = ["tokio", "async-std", "smol"];

#[test]
fn a_node_on_any_runtime_gets_a_file_from_a_node_on_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = sample(directory.path(), 5 << 20);
    let source = directory.path().join("source");
    for from in RUNTIMES {
        let sharing = Sharing::start(&[path(&source), "--runtime", from]);
        for to in RUNTIMES {
            let target = directory.path().join(format!("{from} to {to}"));
            let get = ["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target)];
            let output = run(&[&get[..], &["--runtime", to]].concat());
            assert!(output.status.success(), "{from} to {to}: {output:?}");
            assert!(std::fs::read(&target).unwrap() == bytes, "{from} to {to}");
        }
        assert_eq!(sharing.stop(), 0, "{from}");
    }
}

#[test]
fn a_name_is_resolved_on_every_runtime() {
    let sharing = Sharing::start(&["--text", "Hello World"]);
    for name in ["/dns4/localhost/", "/dns/localhost/"] {
        let address = sharing.address.replace("/ip4/127.0.0.1/", name);
        assert!(address.starts_with(name));
        for runtime in RUNTIMES {
            let output = run(&["cat", &sharing.cid, "--from", &address, "--runtime", runtime]);
            assert!(output.status.success(), "{runtime}: {output:?}");
            assert_eq!(output.stdout, b"Hello World");
        }
    }
}

#[test]
fn the_demo_runs_on_every_runtime() {
    for runtime in RUNTIMES {
        let output = run(&["demo", "--size", "2", "--runtime", runtime]);
        assert!(output.status.success(), "{runtime}: {output:?}");
    }
}
