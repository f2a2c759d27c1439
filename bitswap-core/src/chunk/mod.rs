//! Chunk bookkeeping: from a CID to a file on disk.

mod dagpb;
mod error;
mod field;
mod import;
mod link;
mod manifest;
mod unixfs;

pub use error::{DagFault, InvalidDag};
pub use import::{Chunk, Chunker, Imported, Importer, Leaf, LeafPlace, Profile, Root, Tree};
pub use link::{DAG_PB, INLINE_MAX, Link, RAW};
pub use manifest::{Bounds, Contents, Extent, Manifest, Piece};
pub use unixfs::{Child, FileNode, LeafForm, NodeKind};
