//! What every manifest says.

use crate::tree::{self, File};

#[test]
fn the_workspace_names_its_resolver_and_its_rust() {
    let text = tree::read("Cargo.toml");
    for line in ["resolver = \"3\"", "edition = \"2024\"", "rust-version = \"1.88\""] {
        assert!(text.lines().any(|have| have == line), "Cargo.toml lacks: {line}");
    }
    assert!(text.contains("unsafe_code = \"forbid\""), "unsafe code is forbidden in all crates");
}

#[test]
fn every_crate_takes_its_lints_and_its_rust_from_the_workspace() {
    for file in tree::files("Cargo.toml").into_iter().filter(|file| file.path != "Cargo.toml") {
        let File { path, text } = &file;
        // A package that is its own workspace (it is built in its own way) cannot inherit.
        let lines = if text.lines().any(|line| line == "[workspace]") {
            ["edition = \"2024\"", "rust-version = \"1.88\"", "publish = false"]
        } else {
            [
                "edition.workspace = true",
                "rust-version.workspace = true",
                "[lints]\nworkspace = true",
            ]
        };
        for line in lines {
            assert!(text.contains(line), "{path} lacks: {line}");
        }
    }
}

#[test]
fn a_clippy_file_repeats_what_it_hides() {
    let bans = |text: &str| -> Vec<String> {
        let paths = text.split("path = \"").skip(1);
        paths.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let all = bans(&tree::read("clippy.toml"));
    assert!(!all.is_empty(), "the root bans nothing");
    for file in tree::files("clippy.toml") {
        let has = bans(&file.text);
        for ban in &all {
            assert!(has.contains(ban), "{} hides the ban of {ban}", file.path);
        }
    }
}

#[test]
fn withdrawn_crates_are_not_in_the_lock_file() {
    let lock = tree::read("Cargo.lock");
    assert!(lock.contains("name = \"bitswap-core\""), "this is not our lock file");
    for name in ["core2", "fxhash"] {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} came in");
    }
}

#[test]
fn the_required_files_are_there() {
    for path in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "deny.toml",
        "docs/metrics.md",
    ] {
        assert!(!tree::read(path).trim().is_empty(), "{path} is empty");
    }
    let changes = tree::read("CHANGELOG.md");
    assert!(changes.contains("## [Unreleased]"), "CHANGELOG.md has no place for the next change");
}
