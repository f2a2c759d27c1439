//! The project's files, as a checkout has them.

use std::fs;
use std::path::{Path, PathBuf};

/// What tools make. (`.git` is a folder, or a file where the checkout is one of several.)
const MADE: [&str; 4] = ["target", "node_modules", ".git", "mutants.out"];

/// The root of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in the workspace")
}

/// A text file of the project.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files whose path ends so, sorted by path. There is one at least.
pub(crate) fn files(ending: &str) -> Vec<File> {
    let mut found = Vec::new();
    collect(root(), ending, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file ends with {ending:?}: this test sees nothing");
    found
}

/// The text of one file, which must be there.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<File>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let entry = entry.unwrap();
        let path: PathBuf = entry.path();
        let kind = entry.file_type().unwrap();
        let name = entry.file_name();
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        if kind.is_dir() {
            // A folder with a cache tag is somebody's build folder, whatever it is called.
            if !path.join("CACHEDIR.TAG").exists() {
                collect(&path, ending, found);
            }
        } else if kind.is_file() {
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            // What is not UTF-8 is no text.
            if relative.ends_with(ending)
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push(File { path: relative, text });
            }
        }
    }
}
