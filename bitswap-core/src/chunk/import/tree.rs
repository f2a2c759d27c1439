//! The nodes above the leaves.

use alloc::vec::Vec;

use cid::Cid;

use super::chunker::{Chunk, Leaf};
use super::profile::Profile;
use crate::block::Block;
use crate::chunk::unixfs::{Metadata, encode_root};

/// The top of an imported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The file's CID.
    pub cid: Cid,
    /// The file's length in bytes.
    pub size: u64,
    /// The length of all blocks together, those that occur again counted again.
    pub dag_size: u64,
    /// How many leaves the file has; at least one.
    pub leaves: u64,
}

/// A subtree whose parent is not written yet.
#[derive(Clone, Copy, Debug)]
struct Subtree {
    cid: Cid,
    len: u64,
    tsize: u64,
}

/// Builds the nodes above the leaves: balanced, filled from the left, all leaves at one depth.
#[derive(Clone, Debug)]
pub struct Tree {
    profile: Profile,
    /// Unfinished nodes, lowest first; each holds fewer than the profile's links.
    levels: Vec<Vec<Subtree>>,
    leaves: u64,
    /// The children of the node that was written last.
    last: Vec<Subtree>,
}

impl Tree {
    /// A tree for one file.
    #[must_use]
    pub const fn new(profile: Profile) -> Self {
        Self { profile, levels: Vec::new(), leaves: 0, last: Vec::new() }
    }

    /// Adds the next leaf in file order and gives the nodes that it completed.
    pub fn push(&mut self, leaf: &Leaf) -> Vec<Block> {
        self.push_range(*leaf.block.cid(), leaf.range.len, leaf.block.data().len() as u64)
    }

    /// Adds the next range by its CID: `len` bytes of the file in a block of `block_len` bytes.
    ///
    /// This makes a file DAG from a flat list of CIDs and lengths (any lengths, any chunker). The
    /// nodes given here and by [`Self::finish`] are the only blocks that no peer has.
    pub fn push_range(&mut self, cid: Cid, len: u64, block_len: u64) -> Vec<Block> {
        self.leaves += 1;
        let mut nodes = Vec::new();
        self.add(0, Subtree { cid, len, tsize: block_len }, &mut nodes);
        nodes
    }

    /// Ends the file: its root, and the nodes not given yet, the root's last. Without any leaf the
    /// root is that of the empty file. The tree is then ready for another file.
    pub fn finish(&mut self) -> (Root, Vec<Block>) {
        self.finish_with(&Metadata::default())
    }

    /// As [`Self::finish`], with metadata in the root. With any, a leaf is never the root.
    pub fn finish_with(&mut self, metadata: &Metadata) -> (Root, Vec<Block>) {
        let mut nodes = Vec::new();
        if self.leaves == 0 {
            let empty = Chunk::empty(self.profile).hash();
            nodes = self.push(&empty);
            nodes.push(empty.block);
        }
        let mut level = 0;
        let top = loop {
            let is_top =
                self.levels.get(level + 1..).is_none_or(|above| above.iter().all(Vec::is_empty));
            match self.levels.get(level).map(Vec::as_slice) {
                Some([only]) if is_top => break *only,
                Some([]) => {}
                _ => self.close(level, &mut nodes),
            }
            level += 1;
        };
        let top = if metadata.is_empty() {
            top
        } else {
            // The root once more: nobody links to the one without.
            let children =
                if self.leaves == 1 { Vec::from([top]) } else { core::mem::take(&mut self.last) };
            let (top, block) = self.node(&children, metadata);
            nodes.push(block);
            top
        };
        let root = Root { cid: top.cid, size: top.len, dag_size: top.tsize, leaves: self.leaves };
        *self = Self::new(self.profile);
        (root, nodes)
    }

    fn add(&mut self, level: usize, subtree: Subtree, nodes: &mut Vec<Block>) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let Some(open) = self.levels.get_mut(level) else {
            debug_assert!(false, "level {level} follows those below it");
            return;
        };
        open.push(subtree);
        if open.len() == self.profile.links_max() {
            self.close(level, nodes);
        }
    }

    /// Writes the unfinished node of `level` and hands it to the level above.
    fn close(&mut self, level: usize, nodes: &mut Vec<Block>) {
        let Some(children) = self.levels.get_mut(level).map(core::mem::take) else {
            debug_assert!(false, "level {level} is open");
            return;
        };
        let (subtree, block) = self.node(&children, &Metadata::default());
        nodes.push(block);
        self.last = children;
        self.add(level + 1, subtree, nodes);
    }

    /// A node above these.
    fn node(&self, children: &[Subtree], metadata: &Metadata) -> (Subtree, Block) {
        let cids: Vec<Vec<u8>> = children.iter().map(|child| child.cid.to_bytes()).collect();
        let links = cids.iter().zip(children);
        let links = links.map(|(cid, child)| (&cid[..], child.tsize, child.len));
        let data = encode_root(links, metadata);
        // Saturating, because the lengths of a list are the caller's.
        let sum = |of: fn(&Subtree) -> u64| children.iter().map(of).fold(0, u64::saturating_add);
        let len = sum(|child| child.len);
        let tsize = sum(|child| child.tsize).saturating_add(data.len() as u64);
        let block = self.profile.block(None, data.into());
        (Subtree { cid: *block.cid(), len, tsize }, block)
    }
}
