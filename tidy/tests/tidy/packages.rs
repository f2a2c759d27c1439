//! What is published can stand alone, and says what it is.

use serde_json::Value;

use crate::{dependencies, tree};

/// What users take. Everything else stays in the workspace.
const PUBLISHED: [&str; 10] = [
    "bitswap",
    "bitswap-core",
    "bitswap-libp2p",
    "bitswap-net-async-io",
    "bitswap-node",
    "bitswap-runtime-async-std",
    "bitswap-runtime-smol",
    "bitswap-runtime-tokio",
    "bitswap-sim",
    "bitswap-testing",
];

/// The packages of the workspace that may be published: `null` is any registry, and a list of none is `false`.
fn published() -> Vec<Value> {
    let all = dependencies::packages().into_iter();
    all.filter(|package| package["publish"].is_null()).collect()
}

/// The folder of a package, relative to the root.
fn folder(package: &Value) -> String {
    let manifest = package["manifest_path"].as_str().unwrap().replace('\\', "/");
    let root = tree::root().to_string_lossy().replace('\\', "/");
    let path = manifest.strip_prefix(&format!("{root}/")).unwrap();
    path.strip_suffix("/Cargo.toml").unwrap().to_owned()
}

/// The features that a front page does not have in its list.
fn unlisted<'a>(front: &str, features: &[&'a str]) -> Vec<&'a str> {
    let page: Vec<&str> = front
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .skip_while(|line| *line != "# Features")
        .collect();
    if page.is_empty() {
        return vec!["# Features"];
    }
    let listed = |feature: &&&str| {
        let item = format!("* `{feature}`: ");
        page.iter().any(|line| line.starts_with(&item))
    };
    features.iter().filter(|feature| !listed(feature)).copied().collect()
}

#[test]
fn what_is_published_is_what_users_take() {
    let mut names: Vec<String> =
        published().iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, PUBLISHED);
}

#[test]
fn what_is_published_says_what_it_is() {
    for package in published() {
        let name = package["name"].as_str().unwrap();
        for field in ["description", "license", "repository", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        for (field, max) in [("keywords", 5), ("categories", 5)] {
            let len = package[field].as_array().unwrap().len();
            assert!((1..=max).contains(&len), "{name} has {len} {field}");
        }
        let docs = &package["metadata"]["docs"]["rs"];
        assert_eq!(docs["all-features"], true, "{name}: the docs lack items behind features");
        let arguments = docs["rustdoc-args"].to_string();
        assert!(arguments.contains("doc_cfg"), "{name}: the docs do not say what needs a feature");
    }
}

#[test]
fn what_is_published_has_its_licences_and_a_readme_of_its_own() {
    for package in published() {
        let folder = folder(&package);
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let own = tree::read(&format!("{folder}/{licence}"));
            assert!(own == tree::read(licence), "{folder}/{licence} is not that of the project");
        }
        let readme = tree::read(&format!("{folder}/README.md"));
        let title = format!("# {}\n", package["name"].as_str().unwrap());
        assert!(readme.starts_with(&title), "{folder}/README.md begins with another title");
        assert!(readme.contains("```"), "{folder}/README.md has no example");
    }
}

#[test]
fn front_pages_list_the_features() {
    for package in published() {
        let features: Vec<&str> =
            package["features"].as_object().unwrap().keys().map(String::as_str).collect();
        let folder = folder(&package);
        let file = if package["name"] == "bitswap" { "main.rs" } else { "lib.rs" };
        let missing = unlisted(&tree::read(&format!("{folder}/src/{file}")), &features);
        assert!(missing.is_empty(), "the front page of {folder} lacks {missing:?}");
    }
}

#[test]
fn a_feature_that_is_not_listed_is_seen() {
    let front = "//! A crate.\n//!\n//! # Features\n//!\n//! * `one`: the first.\n";
    assert_eq!(unlisted(front, &["one", "two"]), ["two"]);
    assert_eq!(unlisted("//! * `one`: the first.\n", &["one"]), ["# Features"]);
}
