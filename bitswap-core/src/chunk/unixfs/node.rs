//! UnixFS files: what a block holds of a file.
//!
//! A file is a tree. A leaf is a raw block, or a dag-pb node that wraps a piece of the file; an
//! inner node lists its children and how many bytes of the file each one covers, so every range is
//! known before its block arrives. Only a file can be read here; any other kind is named in the
//! error.
//!
//! Source: the UnixFS specification; deviations are stricter and are marked.

use alloc::vec::Vec;

use bytes::Bytes;

use super::dag_pb::{self, PbLink, PbNode};
use super::encode::LeafForm;
use super::error::DagFault;
use super::kind::NodeKind;
use super::link::{DAG_PB, Link, RAW};
use super::metadata::Data;

/// A part of a file: its own bytes, then those of its children in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNode {
    /// The node's own bytes: all of a leaf, usually nothing in an inner node.
    pub data: Bytes,
    /// The children in file order.
    pub children: Vec<Child>,
    /// The length of the file below this node: `data` and all children.
    pub size: u64,
}

/// A child of a [`FileNode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The child's block.
    pub link: Link,
    /// How many bytes of the file it covers, as its parent claims.
    pub len: u64,
    /// The serialized size of the child and all below it, as its parent claims. A hint.
    pub tsize: u64,
}

impl FileNode {
    /// Reads a block of a file.
    ///
    /// # Errors
    ///
    /// The fault of the block: an unknown codec, not a file, more than `links_max` children,
    /// children and lengths that do not match, or lengths that do not add up.
    pub fn decode(codec: u64, block: &Bytes, links_max: usize) -> Result<Self, DagFault> {
        match codec {
            RAW => Ok(Self { data: block.clone(), children: Vec::new(), size: block.len() as u64 }),
            DAG_PB => Self::decode_node(block, links_max),
            other => Err(DagFault::UnknownCodec(other)),
        }
    }

    fn decode_node(block: &Bytes, links_max: usize) -> Result<Self, DagFault> {
        let node = dag_pb::decode(block, links_max)?;
        let data = Data::decode(node.data.ok_or(DagFault::NotAFile(NodeKind::Other))?, links_max)?;
        Self::of(block, node, data)
    }

    /// The file in a node that was read.
    pub(super) fn of(block: &Bytes, node: PbNode<'_>, meta: Data<'_>) -> Result<Self, DagFault> {
        let is_file = match meta.kind {
            NodeKind::File => true,
            // A raw node is a leaf by definition.
            NodeKind::Raw => node.links.is_empty(),
            _ => false,
        };
        if !is_file {
            return Err(DagFault::NotAFile(meta.kind));
        }
        // Some writers leave all lengths out.
        let lens = match meta.blocksizes {
            lens if lens.len() == node.links.len() => lens,
            lens if lens.is_empty() => lengths_by_size(&node.links)?,
            _ => return Err(DagFault::BlocksizesMismatch),
        };
        let mut size = meta.bytes.len() as u64;
        let mut children = Vec::with_capacity(node.links.len());
        for (link, len) in node.links.into_iter().zip(lens) {
            if !link.name.is_empty() {
                return Err(DagFault::NamedLink);
            }
            size = size.checked_add(len).ok_or(DagFault::SizeMismatch)?;
            children.push(Child { link: link.target, len, tsize: link.tsize });
        }
        if meta.filesize.is_some_and(|claimed| claimed != size) {
            return Err(DagFault::SizeMismatch);
        }
        Ok(Self { data: block.slice_ref(meta.bytes), children, size })
    }

    /// The node without what would take memory and is of no use: children without bytes, and the rest of
    /// the block around its few own bytes.
    pub(in crate::chunk) fn into_compact(mut self, block: &Bytes) -> Self {
        self.children.retain(|child| child.len > 0);
        self.children.shrink_to_fit();
        let around = block.len() - self.data.len();
        if around > block.len() / 8 {
            self.data = Bytes::copy_from_slice(&self.data);
        }
        self
    }

    /// Whether the node has no children.
    #[must_use]
    pub const fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }
}

/// The lengths of the children of a node that does not say them, from the sizes that its links claim: of a raw
/// block that is its length, and of a wrapped leaf its length and the wrapper's. Whoever claims wrongly makes
/// the node invalid once the child arrives.
fn lengths_by_size(links: &[PbLink<'_>]) -> Result<Vec<u64>, DagFault> {
    let length = |link: &PbLink<'_>| match &link.target {
        Link::Block(cid) if cid.codec() == RAW => Some(link.tsize),
        Link::Block(_) => unwrapped_len(link.tsize),
        Link::Inline { codec: RAW, data } => Some(data.len() as u64),
        Link::Inline { .. } => None,
    };
    links.iter().map(length).collect::<Option<_>>().ok_or(DagFault::BlocksizesMismatch)
}

/// How many bytes of the file a wrapped leaf of this length holds.
fn unwrapped_len(block_len: u64) -> Option<u64> {
    let block_len = usize::try_from(block_len).ok()?;
    // A wrapper of a leaf has 6 to 18 bytes.
    let candidates = block_len.saturating_sub(18)..=block_len.checked_sub(6)?;
    let is_it = |len: &usize| LeafForm::WrappedFile.block_len(*len) == block_len;
    candidates.into_iter().find(is_it).map(|len| len as u64)
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    const MAX: usize = 16;

    fn leaf_cid(text: &[u8]) -> Vec<u8> {
        Cid::new_v1(RAW, Code::Sha2_256.digest(text)).to_bytes()
    }

    /// A dag-pb node with `links` links and this `Data` message.
    fn node(links: usize, meta: &[u8]) -> Bytes {
        let cid = leaf_cid(b"x");
        dag_pb::encode(core::iter::repeat_n((&cid[..], &b""[..], 1), links), meta).into()
    }

    fn decode(links: usize, meta: &[u8]) -> Result<FileNode, DagFault> {
        FileNode::decode(DAG_PB, &node(links, meta), MAX)
    }

    #[test]
    fn reads_what_others_write() {
        let unpacked = decode(2, &[8, 2, 0x18, 3, 0x20, 1, 0x20, 2]).unwrap();
        let packed = decode(2, &[8, 2, 0x18, 3, 0x22, 2, 1, 2]).unwrap();
        assert_eq!(unpacked, packed);
        assert_eq!(decode(2, &[8, 2, 0x20, 1, 0x20, 2]).unwrap(), packed, "no filesize");
        let with_data = decode(1, &[8, 2, 0x12, 2, 7, 7, 0x18, 3, 0x20, 1]).unwrap();
        assert_eq!((&with_data.data[..], with_data.size), (&[7, 7][..], 3));
        let with_mode_and_mtime = decode(0, &[8, 2, 0x18, 0, 0x38, 1, 0x42, 2, 8, 1]);
        assert!(with_mode_and_mtime.unwrap().is_leaf());
    }

    /// A node over one child of this codec and claimed size, without lengths.
    fn without_lengths(codec: u64, tsize: u64, meta: &[u8]) -> Result<FileNode, DagFault> {
        let cid = Cid::new_v1(codec, Code::Sha2_256.digest(b"x")).to_bytes();
        let block = dag_pb::encode([(&cid[..], &b""[..], tsize)].into_iter(), meta).into();
        FileNode::decode(DAG_PB, &block, MAX)
    }

    #[test]
    fn lengths_that_are_left_out_follow_from_the_sizes_of_the_links() {
        let len = |codec, tsize| without_lengths(codec, tsize, &[8, 2]).map(|node| node.size);
        assert_eq!(len(RAW, 300), Ok(300));
        for leaf in [0, 1, 121, 122, 127, 128, 16_383, 16_384, 262_144] {
            let tsize = LeafForm::WrappedFile.block_len(leaf) as u64;
            assert_eq!(len(DAG_PB, tsize), Ok(leaf as u64), "{leaf}");
        }
        // No leaf has a block of five bytes; and what the file claims must be what they add up to.
        assert_eq!(len(DAG_PB, 5), Err(DagFault::BlocksizesMismatch));
        let claimed = without_lengths(RAW, 300, &[8, 2, 0x18, 1]);
        assert_eq!(claimed, Err(DagFault::SizeMismatch));
    }

    #[test]
    fn every_contradiction_has_its_fault() {
        use DagFault::*;
        let cases: [(&str, usize, &[u8], DagFault); 15] = [
            ("no type", 0, &[0x18, 0], NotAFile(NodeKind::Other)),
            ("directory", 0, &[8, 1], NotAFile(NodeKind::Directory)),
            ("metadata", 0, &[8, 3], NotAFile(NodeKind::Metadata)),
            ("symlink", 0, &[8, 4], NotAFile(NodeKind::Symlink)),
            ("trie", 0, &[8, 5], NotAFile(NodeKind::HamtShard)),
            ("unknown type", 0, &[8, 6], NotAFile(NodeKind::Other)),
            ("raw with links", 1, &[8, 0, 0x18, 1, 0x20, 1], NotAFile(NodeKind::Raw)),
            ("fewer sizes", 2, &[8, 2, 0x18, 1, 0x20, 1], BlocksizesMismatch),
            ("more sizes", 1, &[8, 2, 0x18, 2, 0x20, 1, 0x20, 1], BlocksizesMismatch),
            (
                "more sizes than allowed",
                0,
                &[8, 2, 0x22, 17, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
                BlocksizesMismatch,
            ),
            ("file too long", 1, &[8, 2, 0x18, 2, 0x20, 1], SizeMismatch),
            ("file too short", 0, &[8, 2, 0x12, 1, 9, 0x18, 0], SizeMismatch),
            ("type twice", 0, &[8, 2, 8, 2], Malformed),
            ("type as bytes", 0, &[0x0a, 0], Malformed),
            (
                "nanoseconds out of range",
                0,
                &[8, 2, 0x42, 7, 8, 1, 0x15, 0, 0xca, 0x9a, 0x3b],
                Malformed,
            ),
        ];
        for (name, links, meta, fault) in cases {
            assert_eq!(decode(links, meta), Err(fault), "{name}");
        }
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let overflow = [&[8, 2, 0x20][..], &huge, &[0x20], &huge].concat();
        assert_eq!(decode(2, &overflow), Err(SizeMismatch));
        assert_eq!(decode(MAX + 1, &[8, 2]), Err(TooManyLinks));
        assert_eq!(FileNode::decode(0x71, &Bytes::new(), MAX), Err(UnknownCodec(0x71)));
        assert_eq!(FileNode::decode(DAG_PB, &Bytes::new(), MAX), Err(NotAFile(NodeKind::Other)));
    }

    #[test]
    fn a_named_link_is_not_part_of_a_file() {
        let cid = leaf_cid(b"x");
        let link = [&[0x0a, 36][..], &cid, &[0x12, 1, b'a']].concat();
        let block = [&[0x12, link.len() as u8][..], &link, &[0x0a, 4, 8, 2, 0x20, 1]].concat();
        assert_eq!(FileNode::decode(DAG_PB, &block.into(), MAX), Err(DagFault::NamedLink));
    }
}
