//! Crates depend on crates below them only.

use std::env;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::{process, tree};

/// The longest that cargo may take: another one may hold its lock.
const LIMIT: Duration = Duration::from_secs(300);

const RUNTIMES: [&str; 3] =
    ["bitswap-runtime-tokio", "bitswap-runtime-async-std", "bitswap-runtime-smol"];

/// Each crate, and the crates of ours that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("bitswap-core", &[]),
    ("bitswap-testing", &["bitswap-core"]),
    ("bitswap-libp2p", &["bitswap-core"]),
    ("bitswap-net-async-io", &[]),
    ("bitswap-node", &["bitswap-core", "bitswap-libp2p"]),
    ("bitswap-runtime-tokio", &["bitswap-core", "bitswap-libp2p", "bitswap-node"]),
    (
        "bitswap-runtime-async-std",
        &["bitswap-core", "bitswap-libp2p", "bitswap-net-async-io", "bitswap-node"],
    ),
    (
        "bitswap-runtime-smol",
        &["bitswap-core", "bitswap-libp2p", "bitswap-net-async-io", "bitswap-node"],
    ),
    (
        "bitswap",
        &[
            "bitswap-core",
            "bitswap-libp2p",
            "bitswap-node",
            "bitswap-runtime-tokio",
            "bitswap-runtime-async-std",
            "bitswap-runtime-smol",
        ],
    ),
    ("bitswap-sim", &["bitswap-core", "bitswap-testing"]),
    (
        "bitswap-interop",
        &[
            "bitswap-core",
            "bitswap-libp2p",
            "bitswap-node",
            "bitswap-runtime-tokio",
            "bitswap-runtime-async-std",
            "bitswap-runtime-smol",
        ],
    ),
    ("bitswap-rivals", &["bitswap-benches", "bitswap-core"]),
    (
        "bitswap-benches",
        &[
            "bitswap-core",
            "bitswap-testing",
            "bitswap-libp2p",
            "bitswap-node",
            "bitswap-runtime-tokio",
            "bitswap-runtime-async-std",
            "bitswap-runtime-smol",
            "bitswap-sim",
            "bitswap-interop",
        ],
    ),
    (
        "bitswap-doctests",
        &[
            "bitswap-core",
            "bitswap-testing",
            "bitswap-libp2p",
            "bitswap-node",
            "bitswap-runtime-tokio",
        ],
    ),
    ("bitswap-fuzz", &["bitswap-core", "bitswap-testing", "bitswap-sim"]),
    ("bitswap-fuzz-targets", &["bitswap-fuzz"]),
    ("bitswap-tidy", &[]),
    // Programs that take the packed crates, as an outsider does.
    ("outside-engine", &["bitswap-core"]),
    ("outside-swarm", &["bitswap-libp2p"]),
    ("outside-fetch", &["bitswap-node", "bitswap-runtime-tokio"]),
];

/// A crate whose integration tests use one that is built on it.
const TESTED_WITH: &[(&str, &str)] = &[("bitswap-core", "bitswap-testing")];

/// Crates that may know which async runtime runs them.
const KNOWS_ITS_RUNTIME: &[&str] = &[
    "bitswap-runtime-tokio",
    "bitswap-runtime-async-std",
    "bitswap-runtime-smol",
    "bitswap-net-async-io",
    "bitswap",
    "bitswap-interop",
    "bitswap-benches",
    "bitswap-rivals",
    "bitswap-doctests",
    "outside-swarm",
    "outside-fetch",
];

/// Crates that stand on top of all: they choose a runtime, and none of ours depends on them.
const CHOOSES_A_RUNTIME: &[&str] =
    &["bitswap", "bitswap-interop", "bitswap-benches", "bitswap-doctests", "outside-fetch"];

/// Crates that are an async runtime, or a piece of one.
const RUNTIME_CRATES: &[&str] =
    &["tokio", "async-std", "smol", "async-io", "async-global-executor", "async-executor"];

/// The packages of all manifests, as cargo sees them.
pub(crate) fn packages() -> Vec<Value> {
    let mut packages = Vec::new();
    let alone = tree::files("Cargo.toml")
        .into_iter()
        .filter(|file| file.path == "Cargo.toml" || file.text.contains("\n[workspace]\n"));
    for manifest in alone {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .arg("--manifest-path")
            .arg(tree::root().join(&manifest.path));
        let output = process::output(&mut command, LIMIT).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata of {}: {errors}", manifest.path);
        let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let Value::Array(found) = metadata["packages"].take() else { panic!("no packages") };
        packages.extend(found);
    }
    packages
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

fn dependencies(package: &Value) -> &[Value] {
    package["dependencies"].as_array().unwrap()
}

/// Only there with a feature that nothing turns on by itself.
fn is_opted_in(package: &Value, dependency: &Value) -> bool {
    dependency["optional"] == true && package["features"].get("default").is_none()
}

/// Not one for tests alone.
fn is_shipped(dependency: &Value) -> bool {
    dependency["kind"] != "dev"
}

#[test]
fn crates_depend_on_crates_below_them_only() {
    let packages = packages();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for package in &packages {
        let krate = name(package);
        let Some((_, may)) = ALLOWED.iter().find(|(of, _)| *of == krate) else {
            wrong.push(format!("{krate} is not in the list of dependencies"));
            continue;
        };
        for dependency in dependencies(package) {
            let on = name(dependency);
            if !on.starts_with("bitswap-") {
                continue;
            }
            seen += 1;
            // A runtime's own tests use what the crate above them shares with all runtimes.
            let is_tested_with = !is_shipped(dependency) && TESTED_WITH.contains(&(krate, on));
            if !may.contains(&on) && on != krate && !is_tested_with {
                wrong.push(format!("{krate} must not depend on {on}"));
            }
        }
    }
    assert!(seen > 0, "no crate depends on another: this test sees nothing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_list_of_dependencies_has_no_cycle() {
    for (krate, below) in ALLOWED {
        for other in *below {
            let (_, back) = ALLOWED.iter().find(|(of, _)| of == other).unwrap();
            assert!(!back.contains(krate), "{krate} and {other} depend on each other");
        }
        let is_top = CHOOSES_A_RUNTIME.contains(krate);
        for runtime in RUNTIMES {
            assert!(is_top || !below.contains(&runtime), "{krate} must run on any runtime");
        }
    }
}

#[test]
fn what_runs_on_any_runtime_names_none() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for package in packages().iter().filter(|package| !KNOWS_ITS_RUNTIME.contains(&name(package))) {
        for dependency in dependencies(package).iter().filter(|one| is_shipped(one)) {
            seen += 1;
            let on = name(dependency);
            if is_opted_in(package, dependency) {
                continue;
            }
            if RUNTIME_CRATES.contains(&on) {
                wrong.push(format!("{} depends on {on}", name(package)));
            }
            let features = dependency["features"].as_array().unwrap();
            for feature in features.iter().filter_map(Value::as_str) {
                if RUNTIME_CRATES.contains(&feature) {
                    wrong.push(format!("{} turns on {on}/{feature}", name(package)));
                }
            }
        }
    }
    assert!(seen > 0, "no dependencies: this test sees nothing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_has_the_dependencies_of_its_list_and_no_more() {
    let packages = packages();
    let core = packages.iter().find(|package| name(package) == "bitswap-core").unwrap();
    let mut has: Vec<&str> =
        dependencies(core).iter().filter(|one| is_shipped(one)).map(name).collect();
    has.sort_unstable();
    let list = [
        "bytes",
        "cid",
        "hashbrown",
        "multihash-codetable",
        "multihash-derive",
        "quick-protobuf",
        "rand_xoshiro",
        "serde",
        "sha3",
        "siphasher",
        "thiserror",
        "tracing",
        "unsigned-varint",
    ];
    assert_eq!(has, list);
}
