//! Bytes in, blocks out: cutting a file into a DAG whose CID is the same everywhere.
//!
//! [`Importer`] streams: it holds at most one unfinished chunk and one unfinished node per level,
//! so a file of any size passes through a few MiB of memory, as long as its host takes the blocks
//! out between writes.
//!
//! A host with several cores uses the three parts by themselves: [`Chunker`] cuts, [`Chunk::hash`]
//! is a pure function that runs anywhere, and [`Tree`] takes the leaves in their order.
//!
//! ```
//! use bitswap_core::chunk::{Imported, Importer, Profile};
//!
//! let mut importer = Importer::new(Profile::UnixfsV1_2025);
//! importer.write("hello world");
//! let root = importer.finish();
//! while let Some(Imported { block, leaf }) = importer.poll_block() {
//!     // Store `block`; or note only where `leaf` lies in the file, and read it from there.
//! }
//! assert_eq!(root.size, 11);
//! # assert_eq!(root.cid.to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
//! ```
//!
//! A tree is imported from its leaves: each file by itself, then a [`DirectoryBuilder`] for the directory that
//! holds them, and so on to the top. Nothing is held but the entries of the directories that are not finished.
//!
//! Source of the profiles: IPIP-499.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::block::Block;

mod chunker;
mod directory;
mod profile;
#[cfg(test)]
mod tests;
mod tree;

pub use chunker::{Chunk, Chunker, Leaf, LeafRange};
pub use directory::{DirectoryBuilder, NodeRoot, symlink};
pub use profile::Profile;
pub use tree::{Root, Tree};

/// A finished block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The block.
    pub block: Block,
    /// The bytes of the file that a leaf holds; `None` for an inner node.
    pub leaf: Option<LeafRange>,
}

/// Streams a file into blocks.
#[derive(Clone, Debug)]
pub struct Importer {
    chunker: Chunker,
    tree: Tree,
    ready: VecDeque<Imported>,
}

impl Importer {
    /// An importer for one file.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { chunker: Chunker::new(profile), tree: Tree::new(profile), ready: VecDeque::new() }
    }

    /// The next bytes of the file, in pieces of any size. Take the blocks out before the next
    /// write: what is ready and not taken stays in memory.
    pub fn write(&mut self, bytes: impl Into<Bytes>) {
        self.chunker.write(bytes.into());
        while let Some(chunk) = self.chunker.poll_chunk() {
            self.add(chunk);
        }
    }

    /// The next finished block: leaves in file order, a node right after its last child. The root
    /// comes last, once [`Self::finish`] was called.
    pub fn poll_block(&mut self) -> Option<Imported> {
        self.ready.pop_front()
    }

    /// Ends the file and makes its root. The importer is then ready for another file.
    pub fn finish(&mut self) -> Root {
        if let Some(chunk) = self.chunker.finish() {
            self.add(chunk);
        }
        let (root, nodes) = self.tree.finish();
        self.ready.extend(nodes.into_iter().map(|block| Imported { block, leaf: None }));
        root
    }

    fn add(&mut self, chunk: Chunk) {
        let leaf = chunk.hash();
        let nodes = self.tree.push(&leaf);
        self.ready.push_back(Imported { block: leaf.block, leaf: Some(leaf.range) });
        self.ready.extend(nodes.into_iter().map(|block| Imported { block, leaf: None }));
    }
}
