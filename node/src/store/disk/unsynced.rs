//! Directories whose newest names a crash may still take away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each with the number of the last name in it.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    last: BTreeMap<PathBuf, u64>,
    names: u64,
}

impl Unsynced {
    /// A name has come into a directory.
    pub(super) fn named(&mut self, directory: &Path) {
        self.names += 1;
        self.last.insert(directory.to_owned(), self.names);
    }

    /// The last name in a directory that has to be synced.
    pub(super) fn last(&self, directory: &Path) -> Option<u64> {
        self.last.get(directory).copied()
    }

    /// A directory was synced with all its names up to this one.
    pub(super) fn synced(&mut self, directory: &Path, last: u64) {
        if self.last(directory) == Some(last) {
            self.last.remove(directory);
        }
    }
}
