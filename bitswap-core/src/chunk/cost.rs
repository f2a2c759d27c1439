//! The memory that the bookkeeping of a download takes.
//!
//! [`DownloadOptions::memory_max`](super::DownloadOptions::memory_max) is the bound. Everything that a DAG
//! can make a download hold is a term of it, and its size is defined here.

use super::manifest::Bounds;
use super::unixfs::{Child, FileNode, Link};
use crate::limits::BLOCK_BYTES_MAX;

/// The largest leaf: what is longer must be a node.
pub(super) const LEAF_MAX: u64 = 2 << 20;
/// Children of a node that are expanded into rows at a time.
pub(super) const EXPAND_BATCH: usize = 64;

/// The memory of a row and its block, at most, in all tables.
const ROW_BYTES: u64 = 512;
/// The memory of a node beside its children: itself, its counters and its entry among the held ones.
const NODE_BYTES: usize = 256;
/// The overhead of the bytes of an inline child.
const INLINE_BYTES: usize = 64;

/// The estimated length of a node's block, if its parent's link gives none.
const NODE_ESTIMATE: u64 = 64 << 10;
/// A node takes at most this many times the length of its block: a link of 44 bytes becomes a [`Child`].
const NODE_FACTOR: u64 = 3;
/// More than most nodes take.
const NODE_MAX: u64 = 2 << 20;
/// The dag-pb wrapper of a leaf is shorter than this.
const WRAP_MAX: u64 = 1024;

/// The number of rows above which no node is expanded while anything is in flight: they take as much
/// memory as the window, within bounds.
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
    let rows = rows_max(window) as u64 + (EXPAND_BATCH as u64 + 2) * (u64::from(depth) + 1);
    let blocks = window.max(1) + block;
    blocks + share(window).max(block) + share(window).max(node) + node + ROW_BYTES * rows
}

/// The share of the window that nodes may take, and again the leaf cache.
pub(super) const fn share(window: u64) -> u64 {
    window / 4
}

/// The memory of a node that was [made compact](FileNode::into_compact).
pub(super) fn node_bytes(node: &FileNode) -> u64 {
    let inline = node.children.iter().map(|child| match &child.link {
        Link::Block(_) => 0,
        Link::Inline { data, .. } => data.len() + INLINE_BYTES,
    });
    let children = node.children.len() * size_of::<Child>();
    (NODE_BYTES + children + inline.sum::<usize>() + node.data.len()) as u64
}

/// The estimated memory of a dag-pb block if it is expected to be a node, from its parent's link: how many
/// bytes of the file it covers, and the serialized size of it and all below it.
pub(super) fn expected_node_bytes(len: u64, tsize: u64) -> Option<u64> {
    let above = tsize.saturating_sub(len);
    let is_long = len > LEAF_MAX;
    if !is_long && above <= WRAP_MAX {
        return None;
    }
    let block = if above == 0 { NODE_ESTIMATE } else { above.min(NODE_MAX) };
    Some((block * NODE_FACTOR).min(NODE_MAX))
}

/// The estimated length of the block of a node that takes this much memory.
pub(super) const fn expected_block_len(node_bytes: u64) -> u64 {
    node_bytes / NODE_FACTOR
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The terms that `DownloadOptions::memory_max` documents, each where it is the larger one and where it is not.
    #[test]
    fn the_most_that_a_download_takes_is_the_documented_sum() {
        let block = (4 << 20) - 64;
        let link = size_of::<Child>() as u64 + 64;
        let most = |window, links, depth| {
            memory_max(window, &Bounds { links, depth, ..Bounds::default() })
        };
        let small_node = 256 + block;
        let rows = |rows: u64, depth: u64| 512 * (rows + 66 * (depth + 1));
        assert_eq!(most(1, 0, 0), (1 + block) + block + small_node + small_node + rows(4096, 0));
        assert_eq!(most(0, 0, 0), most(1, 0, 0), "no window is one of a byte");
        let node = small_node + 1000 * link;
        assert_eq!(
            most(4 << 20, 1000, 3),
            ((4 << 20) + block) + block + node + node + rows(8192, 3)
        );
        let quarter = 25 << 20;
        assert_eq!(
            most(4 * quarter, 1000, 32),
            (4 * quarter + block) + quarter + quarter + node + rows(65_536, 32)
        );
        // What `docs/limits.md` says.
        let mebibytes = |window| most(window, 1 << 14, 32).div_ceil(1 << 20);
        assert_eq!((mebibytes(32 << 20), mebibytes(1 << 20)), (92, 26));
    }

    #[test]
    fn rows_take_as_much_as_the_window_within_bounds() {
        let windows = [0, (1 << 21) - 1, 1 << 21, (1 << 21) + 512, (1 << 25) - 1, 1 << 25, 1 << 40];
        assert_eq!(windows.map(rows_max), [4096, 4096, 4096, 4097, 65_535, 65_536, 65_536]);
    }

    #[test]
    fn a_block_is_taken_for_a_node_when_it_is_longer_than_a_leaf_or_its_wrapper() {
        assert_eq!(expected_node_bytes(LEAF_MAX, LEAF_MAX + WRAP_MAX), None);
        assert_eq!(expected_node_bytes(0, 0), None);
        assert_eq!(expected_node_bytes(9, 9 + WRAP_MAX + 1), Some((WRAP_MAX + 1) * NODE_FACTOR));
        assert_eq!(expected_node_bytes(LEAF_MAX + 1, 0), Some(NODE_ESTIMATE * NODE_FACTOR));
        assert_eq!(expected_node_bytes(LEAF_MAX + 1, LEAF_MAX + 8), Some(7 * NODE_FACTOR));
        assert_eq!(expected_node_bytes(9, 9 + NODE_MAX / 2), Some(NODE_MAX));
        assert_eq!(expected_node_bytes(0, u64::MAX), Some(NODE_MAX));
        assert_eq!(expected_block_len(NODE_FACTOR * 1000), 1000);
        let rows = |window| rows_max(window);
        assert_eq!(
            [0, 1 << 21, (1 << 21) + 512, (1 << 25) - 512, 1 << 25, 1 << 40].map(rows),
            [4096, 4096, 4097, 65_535, 65_536, 65_536]
        );
    }
}
