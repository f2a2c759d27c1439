//! From a root CID to exact byte ranges.
//!
//! A manifest is read from the root down: each verified node defines which block covers which range, so
//! the length of every block is known before it arrives, and a block of another length makes its
//! parent invalid. A node is checked whole before anything is kept of it, and nothing is ever allocated
//! by a length that a node claims.
//!
//! Bounds, and the attack that each stops:
//!
//! * [`Bounds::depth`]: a chain of nodes that leads nowhere, and a cycle (possible if a hash breaks).
//! * [`Bounds::links`]: one node of hundreds of thousands of links.
//! * [`Bounds::segments`]: few nodes that point many times to the same children, so that their ranges
//!   multiply with every level.
//! * [`Bounds::size`]: a claimed length that no disk has.
//!
//! Children without bytes are skipped: they hold nothing, and their blocks are not requested.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use cid::Cid;

use super::unixfs::{DagFault, FileNode, InvalidDag, Link};

/// What a DAG may cost before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Bounds {
    /// Levels below the root. A balanced file of 2⁶⁰ bytes needs 6.
    pub depth: u16,
    /// Links of one node. Writers stay below 1,024 unless configured otherwise; a block of 2 MiB could
    /// hold about 40,000 of usual length.
    pub links: usize,
    /// Ranges visited in all, those of the same block counted again.
    pub segments: u64,
    /// Bytes of the file.
    pub size: u64,
}

impl Default for Bounds {
    /// Room for any file that others make: 32 levels, 16,384 links, 2²⁸ ranges (64 TiB of
    /// 256 KiB), 2⁶² bytes.
    fn default() -> Self {
        Self { depth: 32, links: 1 << 14, segments: 1 << 28, size: 1 << 62 }
    }
}

/// A block of the file and the range that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The block.
    pub cid: Cid,
    /// The first byte's position in the file.
    pub offset: u64,
    /// How many bytes of the file the block and all below it hold; never zero.
    pub len: u64,
    /// Levels below the root.
    pub depth: u16,
    /// The serialized size of the block and all below it, as its parent claims. A hint.
    pub tsize: u64,
}

/// Bytes of the file and where they belong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first byte's position in the file.
    pub offset: u64,
    /// The bytes; never empty.
    pub bytes: Bytes,
}

/// What a block holds of the selected range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Contents {
    /// Bytes that are here now, cut to the selection.
    pub extents: Vec<Extent>,
    /// Blocks still needed, in file order, each overlapping the selection.
    pub segments: Vec<Segment>,
}

/// The ranges of one file, as far as they are requested.
#[derive(Clone, Debug)]
pub struct Manifest {
    bounds: Bounds,
    wanted: Range<u64>,
    selection: Range<u64>,
    visited: u64,
}

impl Manifest {
    /// A manifest of the bytes `wanted` of a file, `0..u64::MAX` for all of it.
    #[must_use]
    pub const fn new(wanted: Range<u64>, bounds: Bounds) -> Self {
        Self { bounds, wanted, selection: 0..0, visited: 0 }
    }

    /// The part of the wanted range that the file has. Empty before the root was read.
    #[must_use]
    pub fn selection(&self) -> Range<u64> {
        self.selection.clone()
    }

    /// Reads a verified block.
    ///
    /// # Errors
    ///
    /// [`InvalidDag`] when the block is not a part of a file or contradicts itself.
    pub fn read(&self, cid: &Cid, block: &Bytes) -> Result<FileNode, InvalidDag> {
        FileNode::decode(cid.codec(), block, self.bounds.links)
            .map_err(|reason| InvalidDag { cid: *cid, reason })
    }

    /// Takes the root: the file's length becomes known and the selection is cut to it.
    ///
    /// # Errors
    ///
    /// [`InvalidDag`] when the file or its first level breaks a bound.
    pub fn open(&mut self, cid: &Cid, root: &FileNode) -> Result<Contents, InvalidDag> {
        let top = self.begin(cid, root)?;
        self.expand(&top, root)
    }

    /// [Opens](Self::open) the file, without expanding its first level.
    pub(super) fn begin(&mut self, cid: &Cid, root: &FileNode) -> Result<Segment, InvalidDag> {
        if root.size > self.bounds.size {
            return Err(InvalidDag { cid: *cid, reason: DagFault::TooLarge });
        }
        let end = self.wanted.end.min(root.size);
        self.selection = self.wanted.start.min(end)..end;
        self.visited = 0;
        Ok(Segment { cid: *cid, offset: 0, len: root.size, depth: 0, tsize: root.size })
    }

    /// Expands a block's node at one of the segments that it fills.
    ///
    /// # Errors
    ///
    /// [`InvalidDag`] when the node has another length than its parent claims, or breaks a bound.
    pub fn expand(&mut self, segment: &Segment, node: &FileNode) -> Result<Contents, InvalidDag> {
        self.expand_some(segment, 0, node, usize::MAX).map(|(contents, _)| contents)
    }

    /// Expands at most about `max` parts of a node, from its child `from` on (0: from its beginning), and
    /// returns the rest of it: its segment, and its first child. `segment` is the rest of the call before.
    pub(super) fn expand_some(
        &mut self,
        segment: &Segment,
        from: usize,
        node: &FileNode,
        max: usize,
    ) -> Result<(Contents, Option<(Segment, usize)>), InvalidDag> {
        let invalid = |reason| InvalidDag { cid: segment.cid, reason };
        if from == 0 && node.size != segment.len {
            let fault = DagFault::LengthMismatch { claimed: segment.len, actual: node.size };
            return Err(invalid(fault));
        }
        let mut contents = Contents::default();
        let left = self
            .collect(node, from, segment.offset, segment.depth, max, &mut contents)
            .map_err(invalid)?;
        let rest = left.map(|(child, offset)| {
            let len = segment.offset + segment.len - offset;
            (Segment { offset, len, ..*segment }, child)
        });
        Ok((contents, rest))
    }

    /// Returns the first child of the rest and where it begins.
    fn collect(
        &mut self,
        node: &FileNode,
        from: usize,
        start: u64,
        depth: u16,
        max: usize,
        contents: &mut Contents,
    ) -> Result<Option<(usize, u64)>, DagFault> {
        let mut offset = start;
        if from == 0 {
            contents.extents.extend(self.cut(start, &node.data));
            offset += node.data.len() as u64;
        }
        for (number, child) in node.children.iter().enumerate().skip(from) {
            let (at, end) = (offset, offset + child.len);
            if at.max(self.selection.start) >= end.min(self.selection.end) {
                offset = end;
                continue;
            }
            if contents.segments.len() + contents.extents.len() >= max {
                return Ok(Some((number, at)));
            }
            offset = end;
            let depth = depth + 1;
            self.visited += 1;
            if depth > self.bounds.depth {
                return Err(DagFault::TooDeep);
            }
            if self.visited > self.bounds.segments {
                return Err(DagFault::TooManySegments);
            }
            match &child.link {
                Link::Block(cid) => contents.segments.push(Segment {
                    cid: *cid,
                    offset: at,
                    len: child.len,
                    depth,
                    tsize: child.tsize,
                }),
                Link::Inline { codec, data } => {
                    let node = FileNode::decode(*codec, data, self.bounds.links)?;
                    if node.size != child.len {
                        let (claimed, actual) = (child.len, node.size);
                        return Err(DagFault::LengthMismatch { claimed, actual });
                    }
                    // Bounded twice: by the depth, and because what is inline in something
                    // inline is shorter than it.
                    self.collect(&node, 0, at, depth, usize::MAX, contents)?;
                }
            }
        }
        Ok(None)
    }

    /// The part of `bytes` at `offset` that is selected.
    fn cut(&self, offset: u64, bytes: &Bytes) -> Option<Extent> {
        let end = offset + bytes.len() as u64;
        let from = offset.max(self.selection.start);
        let to = end.min(self.selection.end);
        // Both differences are at most the length of `bytes`.
        (from < to).then(|| Extent {
            offset: from,
            bytes: bytes.slice((from - offset) as usize..(to - offset) as usize),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use multihash_codetable::{Code, MultihashDigest};

    use super::*;
    use crate::chunk::unixfs::{encode_inner, encode_node};
    use crate::chunk::{DAG_PB, LeafForm, RAW};

    fn cid(codec: u64, block: &Bytes) -> Cid {
        Cid::new_v1(codec, Code::Sha2_256.digest(block))
    }

    /// A node over children given as (CID bytes, length).
    fn inner(children: &[(Vec<u8>, u64)]) -> (Cid, Bytes) {
        let block = encode_inner(children.iter().map(|(cid, len)| (&cid[..], 9, *len))).into();
        (cid(DAG_PB, &block), block)
    }

    fn raw(text: &'static str) -> (Cid, Bytes) {
        let block = Bytes::from_static(text.as_bytes());
        (cid(RAW, &block), block)
    }

    fn inline(codec: u64, data: &[u8]) -> Vec<u8> {
        [&[1, codec as u8, 0, data.len() as u8], data].concat()
    }

    fn all() -> Manifest {
        Manifest::new(0..u64::MAX, Bounds::default())
    }

    fn open(manifest: &mut Manifest, root: &(Cid, Bytes)) -> Result<Contents, InvalidDag> {
        let node = manifest.read(&root.0, &root.1)?;
        manifest.open(&root.0, &node)
    }

    fn expand(
        manifest: &mut Manifest,
        segment: &Segment,
        block: &Bytes,
    ) -> Result<Contents, InvalidDag> {
        let node = manifest.read(&segment.cid, block)?;
        manifest.expand(segment, &node)
    }

    fn ranges(contents: &Contents) -> Vec<(u64, u64)> {
        contents.segments.iter().map(|segment| (segment.offset, segment.len)).collect()
    }

    #[test]
    fn a_raw_root_is_the_file() {
        let mut manifest = all();
        let contents = open(&mut manifest, &raw("hello")).unwrap();
        assert_eq!(manifest.selection(), 0..5);
        assert_eq!(contents.extents, [Extent { offset: 0, bytes: Bytes::from_static(b"hello") }]);
        assert!(contents.segments.is_empty());
    }

    #[test]
    fn ranges_follow_the_lengths_and_no_stride() {
        let (a, b, c) = (raw("aaa"), raw("b"), raw("cccccc"));
        let root = inner(&[(a.0.to_bytes(), 3), (b.0.to_bytes(), 1), (c.0.to_bytes(), 6)]);
        let mut manifest = all();
        let contents = open(&mut manifest, &root).unwrap();
        assert_eq!(ranges(&contents), [(0, 3), (3, 1), (4, 6)]);
        let last = expand(&mut manifest, &contents.segments[2], &c.1).unwrap();
        assert_eq!(last.extents, [Extent { offset: 4, bytes: c.1 }]);
    }

    #[test]
    fn only_what_covers_the_selection_is_needed_and_bytes_are_cut_to_it() {
        let leaves = [raw("aaaa"), raw("bbbb"), raw("cccc"), raw("dddd")];
        let cids = |at: usize| (leaves[at].0.to_bytes(), 4);
        let (left, right) = (inner(&[cids(0), cids(1)]), inner(&[cids(2), cids(3)]));
        let root = inner(&[(left.0.to_bytes(), 8), (right.0.to_bytes(), 8)]);
        let mut manifest = Manifest::new(5..7, Bounds::default());
        let top = open(&mut manifest, &root).unwrap();
        assert_eq!(ranges(&top), [(0, 8)]);
        let below = expand(&mut manifest, &top.segments[0], &left.1).unwrap();
        assert_eq!(ranges(&below), [(4, 4)]);
        let leaf = expand(&mut manifest, &below.segments[0], &leaves[1].1).unwrap();
        assert_eq!(leaf.extents, [Extent { offset: 5, bytes: Bytes::from_static(b"bb") }]);
        for (range, selection) in [(14..99, 14..16), (16..20, 16..16), (30..40, 16..16)] {
            let mut manifest = Manifest::new(range, Bounds::default());
            let segments = open(&mut manifest, &root).unwrap().segments.len();
            assert_eq!(
                (manifest.selection(), segments),
                (selection.clone(), selection.count().min(1))
            );
        }
    }

    #[test]
    fn a_wrapped_leaf_and_a_node_with_data_of_its_own_are_read() {
        let text = Bytes::from_static(b"abc");
        let leaf = LeafForm::WrappedRaw.block(&text);
        let leaf = (cid(DAG_PB, &leaf), leaf);
        let meta = [8, 2, 0x12, 2, b'x', b'y', 0x18, 5, 0x20, 3];
        let link = leaf.0.to_bytes();
        let root = Bytes::from(encode_node([(&link[..], &b""[..], 9)].into_iter(), &meta));
        let mut manifest = all();
        let top = open(&mut manifest, &(cid(DAG_PB, &root), root)).unwrap();
        assert_eq!(top.extents, [Extent { offset: 0, bytes: Bytes::from_static(b"xy") }]);
        assert_eq!(ranges(&top), [(2, 3)]);
        let below = expand(&mut manifest, &top.segments[0], &leaf.1).unwrap();
        assert_eq!(below.extents, [Extent { offset: 2, bytes: text }]);
    }

    #[test]
    fn inline_blocks_are_resolved_where_they_stand() {
        let a = raw("aaa");
        let wrapped = LeafForm::WrappedFile.block(&Bytes::from(vec![b'z'; 100]));
        let root =
            inner(&[(inline(RAW, b"12"), 2), (a.0.to_bytes(), 3), (inline(DAG_PB, &wrapped), 100)]);
        let contents = open(&mut all(), &root).unwrap();
        assert_eq!(ranges(&contents), [(2, 3)]);
        let extents: Vec<_> = contents.extents.iter().map(|e| (e.offset, e.bytes.len())).collect();
        assert_eq!(extents, [(0, 2), (5, 100)]);
    }

    #[test]
    fn children_without_bytes_are_not_needed() {
        let (a, empty) = (raw("a"), raw(""));
        let root = inner(&[(empty.0.to_bytes(), 0), (a.0.to_bytes(), 1), (empty.0.to_bytes(), 0)]);
        assert_eq!(ranges(&open(&mut all(), &root).unwrap()), [(0, 1)]);
        let nothing = inner(&[(empty.0.to_bytes(), 0)]);
        assert_eq!(open(&mut all(), &nothing), Ok(Contents::default()));
    }

    #[test]
    fn contradictions_between_blocks_are_found() {
        let a = raw("aaa");
        let root = inner(&[(a.0.to_bytes(), 4)]);
        let mut manifest = all();
        let top = open(&mut manifest, &root).unwrap();
        let fault = DagFault::LengthMismatch { claimed: 4, actual: 3 };
        let invalid = InvalidDag { cid: a.0, reason: fault };
        assert_eq!(expand(&mut manifest, &top.segments[0], &a.1), Err(invalid));
        let inlined = inner(&[(inline(RAW, b"12"), 3)]);
        let fault = DagFault::LengthMismatch { claimed: 3, actual: 2 };
        let invalid = InvalidDag { cid: inlined.0, reason: fault };
        assert_eq!(open(&mut all(), &inlined), Err(invalid));
    }

    #[test]
    fn a_huge_claim_is_refused_and_a_large_one_costs_nothing() {
        let a = raw("a");
        let refused = inner(&[(a.0.to_bytes(), (1 << 62) + 1)]);
        assert_eq!(open(&mut all(), &refused).unwrap_err().reason, DagFault::TooLarge);
        let allowed = inner(&[(a.0.to_bytes(), 1 << 62)]);
        assert_eq!(ranges(&open(&mut all(), &allowed).unwrap()), [(0, 1 << 62)]);
    }

    #[test]
    fn depth_is_bounded() {
        let mut node = raw("a");
        let mut chain = vec![node.clone()];
        for _ in 0..33 {
            node = inner(&[(node.0.to_bytes(), 1)]);
            chain.push(node.clone());
        }
        let walk = |levels: usize| {
            let mut manifest = all();
            let mut contents = open(&mut manifest, &chain[levels])?;
            for below in (0..levels).rev() {
                contents = expand(&mut manifest, &contents.segments[0], &chain[below].1)?;
            }
            Ok::<_, InvalidDag>(contents.extents.len())
        };
        assert_eq!(walk(32), Ok(1));
        assert_eq!(walk(33), Err(InvalidDag { cid: chain[1].0, reason: DagFault::TooDeep }));
    }

    #[test]
    fn ranges_that_multiply_are_bounded() {
        let leaf = raw("a");
        let low = inner(&vec![(leaf.0.to_bytes(), 1); 10]);
        let root = inner(&vec![(low.0.to_bytes(), 10); 10]);
        let bounds = Bounds { segments: 50, ..Bounds::default() };
        let mut manifest = Manifest::new(0..u64::MAX, bounds);
        let top = open(&mut manifest, &root).unwrap();
        let expanded = top.segments.iter().map(|segment| expand(&mut manifest, segment, &low.1));
        let results: Vec<_> = expanded.collect();
        assert!(results[..4].iter().all(Result::is_ok));
        let fault = InvalidDag { cid: low.0, reason: DagFault::TooManySegments };
        assert_eq!(results[4], Err(fault));
    }

    #[test]
    fn links_are_bounded() {
        let leaf = raw("a");
        let root = inner(&vec![(leaf.0.to_bytes(), 1); 3]);
        let bounds = Bounds { links: 2, ..Bounds::default() };
        let mut manifest = Manifest::new(0..u64::MAX, bounds);
        let fault = InvalidDag { cid: root.0, reason: DagFault::TooManyLinks };
        assert_eq!(open(&mut manifest, &root), Err(fault));
    }
}
