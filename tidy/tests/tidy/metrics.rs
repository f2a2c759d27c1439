//! The list of counters in the docs is the list in the code.

use std::collections::BTreeSet;

use crate::tree;

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

/// The same of the tables in the docs: a heading names the struct, each row begins with a field.
fn documented(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut of = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("## `") {
            of = rest.split('`').next().unwrap_or_default();
        } else if let Some(rest) = line.strip_prefix("| `")
            && let Some((field, _)) = rest.split_once('`')
        {
            found.insert(format!("{of}.{field}"));
        }
    }
    found
}

#[test]
fn every_counter_is_documented_and_every_documented_counter_exists() {
    let code = fields(&tree::read("bitswap-core/src/stats.rs"));
    assert!(code.contains("Stats.held_bytes"), "this test sees no counters");
    let docs = documented(&tree::read("docs/metrics.md"));
    let missing: Vec<&String> = code.difference(&docs).collect();
    let stale: Vec<&String> = docs.difference(&code).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    assert!(stale.is_empty(), "docs/metrics.md has what is not there any more: {stale:?}");
}
