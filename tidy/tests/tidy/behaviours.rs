//! The tests that the table of behaviours names exist.

use std::collections::BTreeSet;

use crate::tree;

#[test]
fn every_behaviour_has_the_test_that_it_names() {
    let tests: BTreeSet<String> = tree::files(".rs")
        .iter()
        .flat_map(|file| file.text.lines())
        .filter_map(|line| {
            let rest = line.trim_start();
            // The tests of the suite of all runtimes are public.
            let rest = rest.strip_prefix("pub ").unwrap_or(rest);
            let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
            Some(rest.split(['(', '<']).next()?.to_string())
        })
        .collect();
    // Tests with a harness of their own are told by a string.
    let strings = tree::read("sim/tests/memory.rs");
    let table = tree::read("docs/behaviours.md");
    let named: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "))
        .flat_map(|(_, names)| names.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 60, "this test sees {} names", named.len());
    let missing: Vec<&&str> = named
        .iter()
        .filter(|name| !tests.contains(**name) && !strings.contains(&format!("\"{name}\"")))
        .collect();
    assert!(missing.is_empty(), "docs/behaviours.md names tests that are not there: {missing:?}");
}
