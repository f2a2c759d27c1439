//! What the bookkeeping of a download takes of memory.
//!
//! [`DownloadOptions::memory_max`](super::DownloadOptions::memory_max) is the bound. Everything that a DAG can make a download hold is a term
//! of it, and has its size here.

use super::manifest::Bounds;
use super::unixfs::{Child, FileNode, Link};
use crate::limits::BLOCK_BYTES_MAX;

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

/// What a download with this window and these bounds takes at most. See
/// [`DownloadOptions::memory_max`](super::DownloadOptions::memory_max) for the terms.
pub(super) fn memory_max(window: u64, bounds: &Bounds) -> u64 {
    let Bounds { links, depth, .. } = *bounds;
    let block = BLOCK_BYTES_MAX as u64;
    // A node has either many children or many bytes inline, and both come from its block.
    let node = (NODE_BYTES + links * (size_of::<Child>() + INLINE_BYTES)) as u64 + block;
    let rows = rows_max(window) as u64 + (STEP as u64 + 2) * (u64::from(depth) + 1);
    let blocks = window.max(1) + block;
    blocks + share(window).max(block) + share(window).max(node) + node + ROW_BYTES * rows
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

/// What holding a dag-pb block will take if it is taken for a node, by what its parent says of it, which
/// is a hint: how many bytes of the file it covers, and how many it and all below it have.
pub(super) fn expected(len: u64, tsize: u64) -> Option<u64> {
    let above = tsize.saturating_sub(len);
    let is_long = len > LEAF_MAX;
    if !is_long && above <= WRAP_MAX {
        return None;
    }
    let block = if above == 0 { NODE_ESTIMATE } else { above.min(NODE_MAX) };
    Some((block * NODE_FACTOR).min(NODE_MAX))
}

/// How long the block of a node is taken to be that takes so much.
pub(super) const fn block_len(cost: u64) -> u64 {
    cost / NODE_FACTOR
}
