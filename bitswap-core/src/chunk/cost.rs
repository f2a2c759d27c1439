//! What the bookkeeping of a download takes of memory.
//!
//! With the [window](super::DownloadOptions::window) *W*, a node of *n* links whose own bytes and inline
//! children are *b* takes `256 + 128 n + b` bytes, 2 MiB at most by default. A download holds no more
//! than
//!
//! ```text
//!   W + one leaf                     asked for and received, nodes included up to W/4
//! + max(W/4, one node) + one node    nodes whose children are not all placed, and the one being read
//! + max(W/4, one leaf)               leaves that filled several places at once
//! + the root                         for as long as the download lives
//! + 512 (rows_max(W) + 66 (depth + 1))   ranges that are not there yet
//! ```
//!
//! where `rows_max(W)` is W/512, but 4,096 at least and 65,536 at most. So 32 MiB of window take 90 MiB at the
//! very worst, and an ordinary file the window and little more.

use super::unixfs::{Child, FileNode};
use super::{DAG_PB, Link, Piece};

/// The largest leaf: what is longer must be a node.
pub(super) const LEAF_MAX: u64 = 2 << 20;
/// The children of a node that get rows of their own at a time.
pub(super) const STEP: usize = 64;

/// What a row and its block take, at most, in all tables.
const ROW_BYTES: u64 = 512;
/// What a node takes beside its children: itself, its counts and its place among the held ones.
const NODE_BYTES: usize = 256;
/// What the bytes of an inline child take beside themselves.
const INLINE_BYTES: usize = 64;

/// What the block of a node is taken to be long before it is there, if its parent does not say.
const NODE_ESTIMATE: u64 = 64 << 10;
/// A node takes up to so many times its block: a link of 44 bytes becomes a [`Child`].
const NODE_FACTOR: u64 = 3;
/// More than most nodes take that are read.
const NODE_MAX: u64 = 2 << 20;
/// What wraps a leaf is shorter than this.
const WRAP_MAX: u64 = 1024;

/// How many ranges are known at a time, apart from a few of each level of the tree: they take as much as
/// the window, within bounds.
pub(super) const fn rows_max(window: u64) -> usize {
    let rows = window / ROW_BYTES;
    if rows < 1 << 12 {
        1 << 12
    } else if rows > 1 << 16 {
        1 << 16
    } else {
        rows as usize
    }
}

/// What of the window nodes may take, and again leaves that repeat.
pub(super) const fn share(window: u64) -> u64 {
    window / 4
}

/// What holding a node takes that is [fit to be held](FileNode::into_held).
pub(super) fn of(node: &FileNode) -> u64 {
    let inline = node.children.iter().map(|child| match &child.link {
        Link::Block(_) => 0,
        Link::Inline { data, .. } => data.len() + INLINE_BYTES,
    });
    let children = node.children.len() * size_of::<Child>();
    (NODE_BYTES + children + inline.sum::<usize>() + node.data.len()) as u64
}

/// What holding a block will take if it is taken for a node, by what its parent says of it: a hint.
pub(super) fn expected(piece: &Piece) -> Option<u64> {
    let above = piece.tsize.saturating_sub(piece.len);
    let is_long = piece.len > LEAF_MAX;
    if piece.cid.codec() != DAG_PB || !is_long && above <= WRAP_MAX {
        return None;
    }
    let block = if above == 0 { NODE_ESTIMATE } else { above.min(NODE_MAX) };
    Some((block * NODE_FACTOR).min(NODE_MAX))
}

/// How long the block of a node is taken to be that takes so much.
pub(super) const fn block_len(cost: u64) -> u64 {
    cost / NODE_FACTOR
}
