//! UnixFS on dag-pb: reading and writing the blocks of files and directories, and what can be wrong with one.

mod dag_pb;
mod directory;
mod encode;
mod error;
mod kind;
mod link;
mod metadata;
mod murmur3;
mod node;

pub use directory::{
    DirEntry, DirectoryNode, HashPath, NAME_MAX, ShardChild, ShardNode, TARGET_MAX, UnixfsNode,
};
pub use encode::LeafForm;
pub use error::{DagFault, InvalidDag, NameError};
pub use kind::NodeKind;
pub use link::{DAG_PB, INLINE_MAX, Link, RAW};
pub use metadata::{Metadata, Mtime};
pub use node::{Child, FileNode};

#[cfg(test)]
pub(in crate::chunk) use dag_pb::encode as encode_node;
pub(in crate::chunk) use dag_pb::link_field_len;
pub(in crate::chunk) use directory::{HAMT_LEVELS, check_name, hamt_digits, prefix as hamt_prefix};
#[cfg(test)]
pub(in crate::chunk) use encode::encode_inner;
pub(in crate::chunk) use encode::{encode_directory, encode_root, encode_shard, encode_symlink};
