//! The file that is downloaded, as far as it is known.
//!
//! The selection always lies within the size, and once the root's node is known its size is the size.

use alloc::sync::Arc;
use core::ops::Range;

use bytes::Bytes;
use cid::Cid;

use crate::chunk::manifest::{Bounds, Manifest};
use crate::chunk::unixfs::{FileNode, InvalidDag};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    root: Cid,
    wanted: Range<u64>,
    size: u64,
    node: Option<Arc<FileNode>>,
}

impl SourceFile {
    pub(super) const fn new(root: Cid, wanted: Range<u64>) -> Self {
        Self { root, wanted, size: 0, node: None }
    }

    pub(super) const fn root(&self) -> &Cid {
        &self.root
    }

    pub(super) const fn wanted(&self) -> &Range<u64> {
        &self.wanted
    }

    /// The length of the whole file; 0 until it is known.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The root's node, once it was fetched.
    pub(super) const fn node(&self) -> Option<&Arc<FileNode>> {
        self.node.as_ref()
    }

    /// The part of the wanted range that the file has.
    pub(super) fn selection(&self) -> Range<u64> {
        let end = self.wanted.end.min(self.size);
        self.wanted.start.min(end)..end
    }

    /// The bytes that the target will have.
    pub(super) fn target_len(&self) -> u64 {
        let selection = self.selection();
        selection.end - selection.start
    }

    /// The size is known without the root: from a complete journal, or an equal target.
    pub(super) fn set_size(&mut self, size: u64) {
        debug_assert!(self.node.is_none(), "the root's size is final");
        self.size = size;
    }

    /// Reads the root's block, and checks it and its first level before any file is touched because of it.
    ///
    /// # Errors
    ///
    /// [`InvalidDag`] when it is no file or breaks a bound; nothing changes then.
    pub(super) fn read_root(&mut self, block: &Bytes, bounds: Bounds) -> Result<(), InvalidDag> {
        let mut manifest = Manifest::new(self.wanted.clone(), bounds);
        let node = manifest.read(&self.root, block)?;
        manifest.open(&self.root, &node)?;
        self.size = node.size;
        self.node = Some(Arc::new(node.into_compact(block)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{DagFault, RAW};

    #[test]
    fn the_selection_is_cut_to_the_size() {
        let root = Cid::new_v1(RAW, *Cid::default().hash());
        let mut file = SourceFile::new(root, 3..9);
        assert_eq!((file.selection(), file.target_len()), (0..0, 0));
        file.read_root(&Bytes::from_static(b"hello"), Bounds::default()).unwrap();
        assert_eq!((file.selection(), file.target_len(), file.size()), (3..5, 2, 5));
        assert!(file.node().is_some());
    }

    #[test]
    fn an_invalid_root_changes_nothing() {
        let root = Cid::new_v1(RAW, *Cid::default().hash());
        let mut file = SourceFile::new(root, 0..u64::MAX);
        let bounds = Bounds { size: 4, ..Bounds::default() };
        let invalid = file.read_root(&Bytes::from_static(b"hello"), bounds);
        assert_eq!(invalid, Err(InvalidDag { cid: root, reason: DagFault::TooLarge }));
        assert_eq!((file.size(), file.node()), (0, None));
    }
}
