//! A file that no module names is built by nobody, so nothing tells that it is out of date.

use crate::tree::{self, File};

/// Files that cargo builds without being told of them.
fn is_root(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder.rsplit('/').next().unwrap_or_default();
    matches!(name, "lib.rs" | "main.rs" | "build.rs")
        || matches!(folder, "tests" | "examples" | "benches" | "bin")
            && !path.contains("/src/tests/")
}

/// The folder that the module in `path` is in, and its name.
fn module(path: &str) -> (&str, &str) {
    let module = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    module.rsplit_once('/').unwrap_or(("", module))
}

/// Whether modules in `folder` are named in the file `path`.
fn is_parent(path: &str, folder: &str) -> bool {
    let is_in = path.rsplit_once('/').is_some_and(|(other, _)| other == folder);
    path.strip_suffix(".rs") == Some(folder)
        || is_in && (path.ends_with("/mod.rs") || is_root(path))
}

fn names(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim().trim_end_matches(';');
        let line = line.strip_suffix(" {").unwrap_or(line);
        line.ends_with(&format!("mod {module}")) && !line.starts_with("//")
    })
}

/// Whether a manifest or an attribute names the file by its path, from its own folder or the one above.
fn is_named_by_path(path: &str, others: &[File]) -> bool {
    let names = |other: &File, folder: &str, up: &str| {
        path.strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| other.text.contains(&format!("path = \"{up}{rest}\"")))
    };
    others.iter().any(|other| {
        let folder = other.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
        names(other, folder, "") || names(other, above, "../")
    })
}

fn orphans(files: &[File], manifests: &[File]) -> Vec<String> {
    let is_orphan = |file: &&File| {
        let (folder, module) = module(&file.path);
        let named = |other: &File| is_parent(&other.path, folder) && names(&other.text, module);
        !is_root(&file.path)
            && !files.iter().any(named)
            && !is_named_by_path(&file.path, manifests)
            && !is_named_by_path(&file.path, files)
    };
    files.iter().filter(is_orphan).map(|file| file.path.clone()).collect()
}

#[test]
fn every_file_is_part_of_a_crate() {
    let orphans = orphans(&tree::files(".rs"), &tree::files("Cargo.toml"));
    assert!(
        orphans.is_empty(),
        "no module names these, so nothing is built of them:\n{orphans:#?}"
    );
}

#[test]
fn a_file_that_no_module_names_is_found() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let files = [
        file("a/src/lib.rs", "pub mod used;\n// mod unused;\n#[cfg(test)]\nmod tests {\n}"),
        file("a/src/used.rs", "mod deeper;"),
        file("a/src/used/deeper.rs", ""),
        file("a/src/unused.rs", ""),
        file("a/tests/root.rs", "mod shared;"),
        file("a/tests/shared/mod.rs", ""),
        file("a/tests/folder/main.rs", "mod part;\n#[path = \"../beside/mod.rs\"]\nmod beside;"),
        file("a/tests/beside/mod.rs", ""),
        file("a/tests/folder/part.rs", ""),
        file("a/tests/folder/left.rs", ""),
        file("a/tests/folder/named.rs", ""),
    ];
    let manifests = [file("a/Cargo.toml", "path = \"tests/folder/named.rs\"")];
    assert_eq!(orphans(&files, &manifests), ["a/src/unused.rs", "a/tests/folder/left.rs"]);
}
