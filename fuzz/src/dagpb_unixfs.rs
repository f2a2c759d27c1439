//! `dagpb_unixfs`: a block is read as a part of a file exactly when prost reads it, it is in its one
//! encoding and the rules of files hold; and then both see the same.
//!
//! Input: codec and the limit on links (1 byte), then the block.

use bitswap_core::Prefix;
use bitswap_core::chunk::{Child, DAG_PB, DagFault, FileNode, INLINE_MAX, Link, RAW};
use bytes::Bytes;
use cid::{Cid, CidGeneric};
use prost::Message as _;

use crate::Input;

/// The schemas, declared by hand.
pub(crate) mod schema {
    use bytes::Bytes;

    /// dag-pb, as it is read. It is written by hand: protobuf has no rule on the order of fields.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Node {
        #[prost(bytes = "bytes", optional, tag = "1")]
        pub(crate) data: Option<Bytes>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) links: Vec<Link>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Link {
        #[prost(bytes = "bytes", optional, tag = "1")]
        pub(crate) hash: Option<Bytes>,
        #[prost(bytes = "bytes", optional, tag = "2")]
        pub(crate) name: Option<Bytes>,
        #[prost(uint64, optional, tag = "3")]
        pub(crate) tsize: Option<u64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Data {
        #[prost(uint64, optional, tag = "1")]
        pub(crate) kind: Option<u64>,
        #[prost(bytes = "bytes", optional, tag = "2")]
        pub(crate) data: Option<Bytes>,
        #[prost(uint64, optional, tag = "3")]
        pub(crate) filesize: Option<u64>,
        #[prost(uint64, repeated, packed = "false", tag = "4")]
        pub(crate) blocksizes: Vec<u64>,
        #[prost(uint64, optional, tag = "5")]
        pub(crate) hash_type: Option<u64>,
        #[prost(uint64, optional, tag = "6")]
        pub(crate) fanout: Option<u64>,
        #[prost(uint64, optional, tag = "7")]
        pub(crate) mode: Option<u64>,
        #[prost(message, optional, tag = "8")]
        pub(crate) mtime: Option<Time>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Time {
        #[prost(int64, optional, tag = "1")]
        pub(crate) seconds: Option<i64>,
        #[prost(fixed32, optional, tag = "2")]
        pub(crate) nanos: Option<u32>,
    }
}

/// Runs the target on our decoder.
pub fn run(data: &[u8]) {
    check(data, FileNode::decode);
}

/// Runs the target on a decoder.
///
/// # Panics
///
/// When it differs from prost and the rules of files.
pub fn check(data: &[u8], decode: impl Fn(u64, &Bytes, usize) -> Result<FileNode, DagFault>) {
    let mut input = Input::new(data);
    let head = input.byte();
    let codec = if head & 7 == 7 { u64::from(head >> 3) << 3 } else { DAG_PB };
    let links_max = [1000, 0, 1, 3][usize::from(head >> 3 & 3)];
    let block = Bytes::copy_from_slice(input.rest());
    let ours = decode(codec, &block, links_max);
    match codec {
        RAW => {
            let size = block.len() as u64;
            assert_eq!(ours, Ok(FileNode { data: block, children: Vec::new(), size }));
        }
        DAG_PB => compare(&block, links_max, ours),
        other => assert_eq!(ours, Err(DagFault::UnknownCodec(other))),
    }
}

fn compare(block: &Bytes, links_max: usize, ours: Result<FileNode, DagFault>) {
    let node = schema::Node::decode(block.clone()).ok().filter(|node| is_canonical(node, block));
    let Some(node) = node else {
        assert!(ours.is_err(), "not one encoding, read as {ours:?}: {block:02x?}");
        return;
    };
    let bytes = node.data.clone().unwrap_or_default();
    let meta = schema::Data::decode(bytes.clone());
    match (ours, meta.map(|meta| (expected(&node, &meta, links_max), meta))) {
        (Ok(ours), Ok((expected, _))) => {
            assert_eq!(Some(ours), expected, "{block:02x?}");
        }
        // Our reader wants each known field once and in its shortest form.
        (Err(fault), Ok((Some(_), meta))) => {
            assert_ne!(meta.encode_to_vec(), bytes, "refused with {fault}: {block:02x?}");
        }
        (Ok(ours), Err(error)) => panic!("{error}, read as {ours:?}: {block:02x?}"),
        (Err(_), _) => {}
    }
}

/// Links and then data, or data and then links, in the shortest form.
fn is_canonical(node: &schema::Node, block: &[u8]) -> bool {
    let links: Vec<u8> = node.links.iter().flat_map(|link| field(2, &link_bytes(link))).collect();
    let data = node.data.as_ref().map(|data| field(1, data)).unwrap_or_default();
    [&links[..], &data].concat() == block || [&data[..], &links].concat() == block
}

fn link_bytes(link: &schema::Link) -> Vec<u8> {
    let hash = link.hash.as_ref().map(|hash| field(1, hash)).unwrap_or_default();
    let name = link.name.as_ref().map(|name| field(2, name)).unwrap_or_default();
    let tsize = link.tsize.map(|tsize| [vec![0x18], varint(tsize)].concat()).unwrap_or_default();
    [hash, name, tsize].concat()
}

/// A field of bytes.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

/// A number, in as few bytes as it needs.
pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The rules of files, written as plainly as possible.
fn expected(node: &schema::Node, meta: &schema::Data, links_max: usize) -> Option<FileNode> {
    let is_file = match meta.kind? {
        0 => node.links.is_empty(),
        2 => true,
        _ => false,
    };
    let time_is_right = meta.mtime.as_ref().is_none_or(|time| {
        time.seconds.is_some() && time.nanos.is_none_or(|nanos| (1..1_000_000_000).contains(&nanos))
    });
    if !(is_file && time_is_right && node.links.len() <= links_max) {
        return None;
    }
    let lens = match meta.blocksizes.len() {
        0 => node.links.iter().map(claimed_len).collect::<Option<_>>()?,
        count if count == node.links.len() => meta.blocksizes.clone(),
        _ => return None,
    };
    let data = meta.data.clone().unwrap_or_default();
    let mut size = data.len() as u64;
    let mut children = Vec::new();
    for (link, len) in node.links.iter().zip(lens) {
        if link.name.as_ref().is_some_and(|name| !name.is_empty()) {
            return None;
        }
        size = size.checked_add(len)?;
        children.push(Child { link: target(link.hash.as_ref()?)?, len, tsize: tsize(link) });
    }
    let claimed = meta.filesize.unwrap_or(size);
    (claimed == size).then_some(FileNode { data, children, size })
}

fn tsize(link: &schema::Link) -> u64 {
    link.tsize.filter(|tsize| *tsize < 1 << 63).unwrap_or(0)
}

/// How many bytes of the file a link leads to where the node leaves the lengths out: a raw block is as long as
/// the link says, and a wrapped leaf holds as many bytes as make a block of that length.
fn claimed_len(link: &schema::Link) -> Option<u64> {
    match target(link.hash.as_ref()?)? {
        Link::Inline { codec: RAW, data } => Some(data.len() as u64),
        Link::Inline { .. } => None,
        Link::Block(cid) if cid.codec() == RAW => Some(tsize(link)),
        Link::Block(_) => {
            let mut lens = (0..=20).rev().filter_map(|wrapper| tsize(link).checked_sub(wrapper));
            lens.find(|len| wrapped_len(*len) == tsize(link))
        }
    }
}

/// The length of the block of a leaf: its type, its bytes if there are any and their count, as `Data`.
fn wrapped_len(len: u64) -> u64 {
    let of_field = |len: u64| 1 + varint(len).len() as u64 + len;
    let bytes = if len == 0 { 0 } else { of_field(len) };
    of_field(2 + bytes + 1 + varint(len).len() as u64)
}

fn target(bytes: &Bytes) -> Option<Link> {
    let wide =
        CidGeneric::<255>::try_from(&bytes[..]).ok().filter(|cid| cid.to_bytes() == *bytes)?;
    if wide.hash().code() == 0 {
        let data = Bytes::copy_from_slice(wide.hash().digest());
        return (data.len() <= INLINE_MAX).then_some(Link::Inline { codec: wide.codec(), data });
    }
    let cid = Cid::try_from(&bytes[..]).ok()?;
    let prefix = Prefix::of(&cid).ok()?;
    prefix.fetchable().ok()?;
    // A block of no bytes is proved by its CID alone.
    let data = Bytes::new();
    let is_empty = prefix.block(data.clone()).is_ok_and(|block| *block.cid() == cid);
    Some(if is_empty { Link::Inline { codec: cid.codec(), data } } else { Link::Block(cid) })
}
