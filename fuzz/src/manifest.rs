//! `manifest`: any DAG, be it a bomb or full of lies, is walked in a bounded number of steps, and its
//! ranges hold the bytes that a plain recursive reader finds, each once.
//!
//! Input: bounds (2 bytes), the wanted range (2), then nodes; each links only to those before it.

use std::collections::BTreeMap;
use std::ops::Range;

use bitswap_core::chunk::{
    Bounds, Contents, DAG_PB, FileNode, InvalidDag, LeafForm, Link, Manifest, RAW, Segment,
};
use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::Input;
use crate::dagpb_unixfs::{field, varint};

/// Nodes of one DAG at most.
const NODES_MAX: usize = 24;

/// Expands a node, as [`Manifest::expand`] does.
pub type Expand = fn(&mut Manifest, &Segment, &FileNode) -> Result<Contents, InvalidDag>;

/// Runs the target on our manifest.
pub fn run(data: &[u8]) {
    check(data, Manifest::expand);
}

/// Runs the target with a way to expand nodes.
///
/// # Panics
///
/// When the walk and the recursive reader differ, or the walk does not end.
pub fn check(data: &[u8], expand: Expand) {
    let mut input = Input::new(data);
    let [depth, segments] = input.array();
    let bounds = Bounds {
        depth: u16::from(depth & 15),
        links: usize::from(depth >> 4) + 1,
        segments: u64::from(segments),
        size: 1 << 40,
    };
    let from = u64::from(input.byte());
    let wanted = from..match input.byte() {
        0 => u64::MAX,
        len => from + u64::from(len),
    };
    let dag = Dag::compose(&mut input);
    let walked = dag.walk(&wanted, bounds, expand);
    let read = dag.read(&wanted, bounds);
    match (&walked, &read) {
        (Ok(walked), Some(read)) => assert_eq!(walked, read, "bytes of the range"),
        (Err(_), None) => {}
        _ => panic!("the walk gave {walked:?}, a recursive reader {read:?}"),
    }
}

/// Blocks by their CIDs.
struct Dag {
    root: Cid,
    blocks: BTreeMap<Cid, Bytes>,
}

/// A block that was composed, and the length that an honest parent says of it.
struct Node {
    codec: u64,
    block: Bytes,
    len: u64,
}

impl Node {
    fn cid(&self) -> Cid {
        Cid::new_v1(self.codec, Code::Sha2_256.digest(&self.block))
    }
}

impl Dag {
    fn compose(input: &mut Input<'_>) -> Self {
        let mut nodes = vec![leaf(0, Bytes::new())];
        while !input.is_empty() && nodes.len() < NODES_MAX {
            let node = match input.byte() {
                form @ 0..64 => {
                    let len = input.below(40);
                    leaf(form, Bytes::copy_from_slice(input.take(len)))
                }
                count => inner(usize::from(count) % 12, &nodes, input),
            };
            nodes.push(node);
        }
        let root = nodes.last().map(Node::cid).unwrap_or_default();
        let blocks = nodes.into_iter().map(|node| (node.cid(), node.block)).collect();
        Self { root, blocks }
    }

    /// As a download does it: node after node as their blocks come. The bytes of the range.
    fn walk(
        &self,
        wanted: &Range<u64>,
        bounds: Bounds,
        expand: Expand,
    ) -> Result<BTreeMap<u64, u8>, InvalidDag> {
        let mut manifest = Manifest::new(wanted.clone(), bounds);
        let mut found = BTreeMap::new();
        let root = manifest.read(&self.root, &self.blocks[&self.root])?;
        let mut contents = manifest.open(&self.root, &root)?;
        let selection = manifest.selection();
        let mut waiting = Vec::new();
        let mut steps = 0;
        loop {
            for extent in contents.extents {
                assert!(!extent.bytes.is_empty());
                for (at, byte) in (extent.offset..).zip(&extent.bytes) {
                    assert!(selection.contains(&at), "byte {at} is outside of {selection:?}");
                    assert_eq!(found.insert(at, *byte), None, "byte {at} comes twice");
                }
            }
            waiting.append(&mut contents.segments);
            let Some(segment) = waiting.pop() else { return Ok(found) };
            steps += 1;
            assert!(steps <= bounds.segments, "the walk takes more steps than allowed");
            let node = manifest.read(&segment.cid, &self.blocks[&segment.cid])?;
            contents = expand(&mut manifest, &segment, &node)?;
        }
    }

    /// By recursion, without ranges: the whole tree, as far as it overlaps the range.
    fn read(&self, wanted: &Range<u64>, bounds: Bounds) -> Option<BTreeMap<u64, u8>> {
        let root =
            FileNode::decode(self.root.codec(), &self.blocks[&self.root], bounds.links).ok()?;
        if root.size > bounds.size {
            return None;
        }
        let mut reader = Reader { dag: self, wanted, bounds, visited: 0, found: BTreeMap::new() };
        reader.node(&root, 0, 0)?;
        Some(reader.found)
    }
}

struct Reader<'a> {
    dag: &'a Dag,
    wanted: &'a Range<u64>,
    bounds: Bounds,
    visited: u64,
    found: BTreeMap<u64, u8>,
}

impl Reader<'_> {
    fn node(&mut self, node: &FileNode, start: u64, depth: u16) -> Option<()> {
        let bytes = (start..).zip(node.data.iter().copied());
        self.found.extend(bytes.filter(|(at, _)| self.wanted.contains(at)));
        let mut offset = start + node.data.len() as u64;
        for child in &node.children {
            let range = offset..offset + child.len;
            offset = range.end;
            let overlap = range.start.max(self.wanted.start)..range.end.min(self.wanted.end);
            if overlap.is_empty() {
                continue;
            }
            self.visited += 1;
            if depth == self.bounds.depth || self.visited > self.bounds.segments {
                return None;
            }
            let (codec, block) = match &child.link {
                Link::Block(cid) => (cid.codec(), &self.dag.blocks[cid]),
                Link::Inline { codec, data } => (*codec, data),
            };
            let below = FileNode::decode(codec, block, self.bounds.links).ok()?;
            if below.size != child.len {
                return None;
            }
            self.node(&below, range.start, depth + 1)?;
        }
        Some(())
    }
}

fn leaf(form: u8, bytes: Bytes) -> Node {
    let form = [LeafForm::Raw, LeafForm::WrappedFile, LeafForm::WrappedRaw][usize::from(form % 3)];
    let codec = if form == LeafForm::Raw { RAW } else { DAG_PB };
    Node { codec, block: form.block(&bytes), len: bytes.len() as u64 }
}

/// A node over some of those before it: often the last ones, so that DAGs grow deep.
fn inner(count: usize, nodes: &[Node], input: &mut Input<'_>) -> Node {
    let mut links = Vec::new();
    let mut meta = vec![8, 2];
    let own = usize::from(count > 8);
    let own = input.take(own);
    if !own.is_empty() {
        meta.extend(field(2, own));
    }
    let mut size = own.len() as u64;
    for _ in 0..count {
        let [back, lie] = input.array();
        let child = &nodes[nodes.len() - 1 - usize::from(back) % nodes.len()];
        let len = match lie {
            0xf0 => child.len.wrapping_add(1),
            0xf1 => child.len.wrapping_sub(1),
            0xf2 => u64::MAX,
            0xf3 => 1 << 39,
            _ => child.len,
        };
        let cid = if lie & 1 == 1 && child.block.len() <= 128 {
            let inline = field(0, &child.block);
            [&[1, child.codec as u8, 0][..], &inline[1..]].concat()
        } else {
            child.cid().to_bytes()
        };
        links.extend(field(2, &[&field(1, &cid)[..], &[0x12, 0, 0x18, 1]].concat()));
        meta.extend([&[0x20][..], &varint(len)].concat());
        size = size.wrapping_add(len);
    }
    meta.extend([&[0x18][..], &varint(size)].concat());
    links.extend(field(1, &meta));
    Node { codec: DAG_PB, block: links.into(), len: size }
}
