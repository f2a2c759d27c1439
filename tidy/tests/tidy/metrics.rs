//! The list of counters in the docs is the list in the code, and all of them can be scraped.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree;

/// Where counters are, and what stands before the name of a struct where two have the same.
const SOURCES: [(&str, &str); 6] = [
    ("bitswap-core/src/stats.rs", ""),
    ("bitswap-libp2p/src/traffic.rs", ""),
    ("bitswap-libp2p/src/histogram.rs", ""),
    ("bitswap-libp2p/src/behaviour/api.rs", "bitswap_libp2p::"),
    ("node/src/node/mod.rs", ""),
    ("node/src/node/observed.rs", ""),
];

/// Structs in those files that are about one peer or session, which no metric is: there may be any number of them. Of the
/// first two there is a page.
const OF_ONE: [&str; 4] = ["PeerStats.", "SessionStats.", "bitswap_libp2p::PeerInfo.", "PeerInfo."];

/// Gauges that are no field of a struct, for they are summed up when they are asked for: the file, what is there, and its name.
const METHODS: [(&str, &str, &str); 1] = [(
    "bitswap-core/src/engine/mod.rs",
    "    pub fn held_bytes(&self) -> u64 {",
    "Engine.held_bytes",
)];

/// `Struct.field` of all public structs with public fields in a source file.
fn fields(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut of = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            of = rest.split([' ', '<', '(']).next();
        } else if line == "}" {
            of = None;
        } else if let (Some(of), Some(rest)) = (of, line.strip_prefix("    pub "))
            && let Some((field, _)) = rest.split_once(':')
        {
            found.insert(format!("{of}.{field}"));
        }
    }
    found
}

/// The same of all sources.
fn counters() -> BTreeSet<String> {
    let of = |(path, before): &(&str, &str)| {
        let fields = fields(&tree::read(path));
        fields.into_iter().map(|field| format!("{before}{field}")).collect::<Vec<_>>()
    };
    let methods = METHODS
        .iter()
        .filter(|(path, method, _)| tree::read(path).lines().any(|line| line == *method));
    SOURCES.iter().flat_map(of).chain(methods.map(|(_, _, name)| (*name).to_owned())).collect()
}

/// The same of the tables in the docs: a heading names the struct, each row begins with a field and has a kind. Parts
/// are those that are no counters by themselves.
fn documented(text: &str) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let mut of = "";
    for line in text.lines() {
        if line.starts_with("## ") {
            let name = line.strip_prefix("## `").and_then(|rest| rest.split('`').next());
            of = name.unwrap_or_default();
        } else if let Some(rest) = line.strip_prefix("| `").filter(|_| !of.is_empty())
            && let Some((field, rest)) = rest.split_once('`')
        {
            found.insert(format!("{of}.{field}"), rest.starts_with(" | part |"));
        }
    }
    found
}

/// The metrics of the list in the code, each with its counter.
fn metrics(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim_start) {
        let Some((kind, rest)) = line.split_once("(\"bitswap_") else { continue };
        if !(kind.ends_with("counter") || kind.ends_with("gauge") || kind.ends_with("histogram")) {
            continue;
        }
        let mut parts = rest.split('"');
        let (name, counter) = (parts.next().unwrap(), parts.nth(1).unwrap());
        let unit = match kind.split('_').next() {
            Some("bytes") => "_bytes",
            Some("seconds") => "_seconds",
            _ => "",
        };
        let total = if kind.ends_with("counter") { "_total" } else { "" };
        let name = format!("bitswap_{name}{unit}{total}");
        assert!(found.insert(name.clone(), counter.to_owned()).is_none(), "{name} is there twice");
    }
    found
}

/// The same of the page: a row is a metric, its counter, and more.
fn documented_metrics(text: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `bitswap_"));
    rows.map(|row| {
        let mut parts = row.split('`');
        let (name, counter) = (parts.next().unwrap(), parts.nth(1).unwrap());
        (format!("bitswap_{name}"), counter.to_owned())
    })
    .collect()
}

#[test]
fn every_counter_is_documented_and_every_documented_counter_exists() {
    let mut code = counters();
    for seen in
        ["Engine.held_bytes", "Stats.wants", "Traffic.pauses", "NodeHistograms.block_latency"]
    {
        assert!(code.contains(seen), "this test does not see {seen}");
    }
    code.retain(|counter| !OF_ONE[2..].iter().any(|of| counter.starts_with(of)));
    let docs: BTreeSet<String> = documented(&tree::read("docs/metrics.md")).into_keys().collect();
    let missing: Vec<&String> = code.difference(&docs).collect();
    let stale: Vec<&String> = docs.difference(&code).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    assert!(stale.is_empty(), "docs/metrics.md has what is not there any more: {stale:?}");
}

#[test]
fn every_counter_is_a_metric_and_every_metric_is_documented() {
    let page = tree::read("docs/metrics.md");
    let code = metrics(&tree::read("node/src/metrics/families.rs"));
    assert!(code.len() > 50, "this test sees {} metrics", code.len());
    assert_eq!(code, documented_metrics(&page), "docs/metrics.md and the list in the code differ");
    let exported: BTreeSet<&String> = code.values().collect();
    let counters = documented(&page);
    let counted = counters
        .iter()
        .filter(|(name, is_part)| !**is_part && !OF_ONE.iter().any(|of| name.starts_with(of)));
    let counted: BTreeSet<&String> = counted.map(|(name, _)| name).collect();
    assert_eq!(exported, counted, "the metrics are not the counters");
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let code = metrics(&tree::read("node/src/metrics/families.rs"));
    let dashboard = tree::read("docs/grafana.json");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let named = dashboard.match_indices("bitswap_").map(|(at, _)| {
        let name = &dashboard[at..];
        &name[..name.find(|c| !is_name(c)).unwrap_or(name.len())]
    });
    let named: BTreeSet<&str> = named.filter(|name| *name != "bitswap_build_info").collect();
    assert!(named.len() > 20, "this test sees {} names", named.len());
    let unknown: Vec<&&str> = named
        .iter()
        .filter(|name| {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            !code.contains_key(name)
        })
        .collect();
    assert!(unknown.is_empty(), "docs/grafana.json shows {unknown:?}");
}
