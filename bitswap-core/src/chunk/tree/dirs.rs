//! The directories of a tree that are not complete.
//!
//! A directory is complete when all of its entries were given and each of them is complete. It gets its metadata
//! then, because everything that is made in it changes its time.

use alloc::collections::BTreeMap;

use super::path::TreePath;
use super::walk::DirId;
use crate::chunk::unixfs::Metadata;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Dirs {
    open: BTreeMap<DirId, Dir>,
}

#[derive(Clone, Debug)]
struct Dir {
    parent: Option<DirId>,
    path: TreePath,
    metadata: Metadata,
    /// Entries that are not complete.
    entries: u64,
    is_listed: bool,
    /// Whether it is there, and was made in this run.
    made: Option<bool>,
}

impl Dirs {
    /// A directory was found. It is an entry of its parent.
    pub(super) fn found(
        &mut self,
        id: DirId,
        parent: Option<DirId>,
        path: TreePath,
        metadata: Metadata,
    ) {
        let dir = Dir { parent, path, metadata, entries: 0, is_listed: false, made: None };
        self.open.insert(id, dir);
    }

    pub(super) fn path(&self, id: DirId) -> Option<TreePath> {
        self.open.get(&id).map(|dir| dir.path.clone())
    }

    /// It is there now.
    pub(super) fn made(&mut self, id: DirId, is_new: bool) {
        if let Some(dir) = self.open.get_mut(&id) {
            dir.made = Some(is_new);
        }
    }

    /// Whether entries can be made in it; of one that was made in this run nothing is in it but what this run made.
    pub(super) fn state(&self, id: DirId) -> Option<bool> {
        self.open.get(&id).and_then(|dir| dir.made)
    }

    /// An entry of it is begun.
    pub(super) fn begin_entry(&mut self, id: DirId) {
        if let Some(dir) = self.open.get_mut(&id) {
            dir.entries += 1;
        }
    }

    /// An entry of it is complete. Returns the directory's path and metadata if it lacks nothing but these.
    pub(super) fn end_entry(&mut self, id: DirId) -> Option<(TreePath, Metadata)> {
        let dir = self.open.get_mut(&id)?;
        debug_assert!(dir.entries > 0, "an entry ends once");
        dir.entries = dir.entries.saturating_sub(1);
        dir.end()
    }

    /// All entries of it are known. Returns as [`Self::end_entry`].
    pub(super) fn listed(&mut self, id: DirId) -> Option<(TreePath, Metadata)> {
        let dir = self.open.get_mut(&id)?;
        dir.is_listed = true;
        dir.end()
    }

    /// It is complete. Returns the directory that it is an entry of.
    pub(super) fn complete(&mut self, id: DirId) -> Option<DirId> {
        self.open.remove(&id).and_then(|dir| dir.parent)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Dir {
    fn end(&self) -> Option<(TreePath, Metadata)> {
        let is_complete = self.is_listed && self.entries == 0;
        is_complete.then(|| (self.path.clone(), self.metadata))
    }
}
