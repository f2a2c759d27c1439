//! How fast blocks go between two machines.

use serde_json::Value;

use super::process::{Running, lines};
use super::sharing::Sharing;
use super::{bitswap, run};

/// A machine that serves what is measured with: its addresses.
fn serve() -> (Running, Value) {
    let mut serving = bitswap();
    serving.args(["bench", "serve", "--json", "--size", "2", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    let mut serving = serving.spawn().unwrap();
    let mut objects = lines(&mut serving);
    let object = objects.find(|object| object["event"] == "bench_serving").unwrap();
    drop(objects);
    (serving, object)
}

const SHORT: [&str; 6] = ["--size", "2", "--rounds", "1", "--seconds", "1"];

#[test]
fn blocks_of_every_size_are_measured_beside_a_bare_stream() {
    let (serving, at) = serve();
    let (address, bare) = (at["address"].as_str().unwrap(), at["bare"].as_str().unwrap());
    assert_ne!(address, bare);
    let measure = |more: &[&str]| {
        let arguments = ["bench", address].into_iter().chain(SHORT).chain(more.iter().copied());
        run(&arguments.collect::<Vec<_>>())
    };
    let output = measure(&["--bare", bare, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let result: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&result["event"], &result["size"]), (&"bench".into(), &(2 << 20).into()));
    assert_eq!(result["bare_runs_mib_per_second"].as_array().unwrap().len(), 2, "before and after");
    let rows = result["rows"].as_array().unwrap();
    let asked: Vec<_> = rows.iter().map(|row| (&row["block_size"], &row["at_once"])).collect();
    let sizes = [1, 4, 16, 64, 256, 1024, 2048].map(|kib| Value::from(kib << 10));
    let ways = [1.into(), 64.into(), Value::Null];
    let all: Vec<_> =
        sizes.iter().flat_map(|size| ways.iter().map(move |way| (size, way))).collect();
    assert_eq!(asked, all);
    for row in rows {
        let speed = row["mib_per_second"].as_f64().unwrap();
        let blocks = row["blocks_per_second"].as_f64().unwrap();
        let ratio = row["ratio_to_bare"].as_f64().unwrap();
        let bare = result["bare_mib_per_second"].as_f64().unwrap();
        assert!(speed > 0.0 && (ratio - speed / bare).abs() < 1e-6, "{row}");
        let bytes = blocks * row["block_size"].as_f64().unwrap();
        assert!((bytes / f64::from(1 << 20) / speed - 1.0).abs() < 1e-6, "{row}");
    }
    let text = measure(&["--at-once", "all"]);
    assert_eq!(text.status.code(), Some(0), "{text:?}");
    let text = String::from_utf8(text.stdout).unwrap();
    let heads: Vec<_> = text.lines().map(|line| line.get(..10).unwrap_or(line).trim()).collect();
    let lines = [
        "MiB/s, med",
        "blocks of",
        "1 KiB",
        "4 KiB",
        "16 KiB",
        "64 KiB",
        "256 KiB",
        "1024 KiB",
        "2048 KiB",
    ];
    assert_eq!(heads, lines, "{text}");
    drop(serving);
}

#[test]
fn a_machine_without_these_blocks_is_named_and_so_is_a_smaller_one() {
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let arguments = ["bench", &sharing.address].into_iter().chain(SHORT);
    let output = run(&arguments.collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("it is no `bitswap bench serve`"), "{told}");
    let (serving, at) = serve();
    let address = at["address"].as_str().unwrap();
    let output = run(&["bench", address, "--size", "4", "--rounds", "1", "--at-once", "all"]);
    assert_eq!(output.status.code(), Some(3), "it serves two MiB: {output:?}");
    drop(serving);
}

#[cfg(unix)]
#[test]
fn who_serves_for_a_bench_ends_with_success_when_it_is_interrupted() {
    let (serving, _) = serve();
    serving.signal("INT");
    assert_eq!(serving.output().unwrap().status.code(), Some(0));
}
