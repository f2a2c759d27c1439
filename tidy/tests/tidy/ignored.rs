//! A test that is left out of the quick run says why, and CONTRIBUTING.md says how to run it.

use crate::tree;

/// The names of the tests that are ignored, with the reason given.
fn ignored(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("#[ignore") else { continue };
        let reason = rest.split('"').nth(1).map(str::to_owned);
        let name = lines
            .by_ref()
            .find_map(|line| line.split("fn ").nth(1)?.split(['(', '<']).next().map(str::to_owned));
        found.push((name.unwrap_or_default(), reason));
    }
    found
}

#[test]
fn a_test_that_is_left_out_is_explained() {
    let contributing = tree::read("CONTRIBUTING.md");
    for file in tree::files(".rs").into_iter().filter(|file| !file.path.starts_with("tidy/")) {
        for (name, reason) in ignored(&file.text) {
            let path = &file.path;
            let reason = reason.unwrap_or_default();
            assert!(reason.len() > 5, "{path}: {name} is ignored without a reason");
            assert!(contributing.contains(&name), "CONTRIBUTING.md does not name {name} ({path})");
        }
    }
}

#[test]
fn ignored_tests_are_found() {
    let text =
        "#[test]\n#[ignore = \"takes ten minutes\"]\nasync fn slow() {\n}\n#[ignore]\nfn bare() {}";
    let found = ignored(text);
    assert_eq!(found[0], ("slow".to_owned(), Some("takes ten minutes".to_owned())));
    assert_eq!(found[1], ("bare".to_owned(), None));
}
