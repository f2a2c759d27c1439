//! UnixFS files on dag-pb: reading and writing the blocks of a file, and what can be wrong with one.

mod dag_pb;
mod encode;
mod error;
mod kind;
mod link;
mod node;

pub use encode::LeafForm;
pub use error::{DagFault, InvalidDag};
pub use kind::NodeKind;
pub use link::{DAG_PB, INLINE_MAX, Link, RAW};
pub use node::{Child, FileNode};

#[cfg(test)]
pub(in crate::chunk) use dag_pb::encode as encode_node;
pub(in crate::chunk) use encode::encode_inner;
