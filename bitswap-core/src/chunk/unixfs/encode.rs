//! Writing blocks: leaves and inner nodes of files, directories and links, in the one encoding of each.

use alloc::vec::Vec;

use bytes::Bytes;

use super::dag_pb;
use super::directory::{HAMT_FANOUT, HAMT_HASH};
use super::metadata::Metadata;
use crate::protobuf::{field_len, number_len, put_len, put_number};

/// How a leaf's bytes become its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafForm {
    /// The bytes are the block.
    Raw,
    /// A dag-pb node of type `File` around the bytes.
    WrappedFile,
    /// A dag-pb node of type `Raw` around the bytes: written by others, only read here.
    WrappedRaw,
}

impl LeafForm {
    /// The block of a leaf that holds `bytes`.
    #[must_use]
    pub fn block(self, bytes: &Bytes) -> Bytes {
        let kind = match self {
            Self::Raw => return bytes.clone(),
            Self::WrappedFile => 2,
            Self::WrappedRaw => 0,
        };
        let len = Self::meta_len(bytes.len());
        let mut out = Vec::with_capacity(field_len(len));
        put_len(&mut out, 1, len);
        put_number(&mut out, 1, kind);
        if !bytes.is_empty() {
            put_len(&mut out, 2, bytes.len());
            out.extend_from_slice(bytes);
        }
        put_number(&mut out, 3, bytes.len() as u64);
        out.into()
    }

    /// The length of the block of a leaf of `len` bytes.
    #[must_use]
    pub fn block_len(self, len: usize) -> usize {
        match self {
            Self::Raw => len,
            Self::WrappedFile | Self::WrappedRaw => field_len(Self::meta_len(len)),
        }
    }

    fn meta_len(len: usize) -> usize {
        let data = if len == 0 { 0 } else { field_len(len) };
        number_len(2) + data + number_len(len as u64)
    }
}

/// Writes an inner node without metadata: its children as (CID bytes, tsize, bytes of the file).
#[cfg(test)]
pub(in crate::chunk) fn encode_inner<'a>(
    children: impl Iterator<Item = (&'a [u8], u64, u64)> + Clone,
) -> Vec<u8> {
    encode_root(children, &Metadata::default())
}

/// Writes an inner node: its children as (CID bytes, tsize, bytes of the file), and metadata, which only the root
/// of a file has.
pub(in crate::chunk) fn encode_root<'a>(
    children: impl Iterator<Item = (&'a [u8], u64, u64)> + Clone,
    metadata: &Metadata,
) -> Vec<u8> {
    let mut meta = Vec::new();
    put_number(&mut meta, 1, 2);
    let size = children.clone().fold(0, |sum: u64, (_, _, len)| sum.saturating_add(len));
    put_number(&mut meta, 3, size);
    for (_, _, len) in children.clone() {
        put_number(&mut meta, 4, len);
    }
    metadata.encode(&mut meta);
    dag_pb::encode(children.map(|(cid, tsize, _)| (cid, &b""[..], tsize)), &meta)
}

/// Writes a directory: its entries as (CID bytes, name, tsize), in the order of their names.
pub(in crate::chunk) fn encode_directory<'a>(
    entries: impl Iterator<Item = (&'a [u8], &'a [u8], u64)> + Clone,
    metadata: &Metadata,
) -> Vec<u8> {
    let mut data = Vec::new();
    put_number(&mut data, 1, 1);
    metadata.encode(&mut data);
    dag_pb::encode(entries, &data)
}

/// Writes a node of a trie: its children as (CID bytes, prefix and name, tsize), in the order of the prefixes,
/// and a bit for each of those.
pub(in crate::chunk) fn encode_shard<'a>(
    children: impl Iterator<Item = (&'a [u8], &'a [u8], u64)> + Clone,
    bits: &[u8],
    metadata: &Metadata,
) -> Vec<u8> {
    let mut data = Vec::new();
    put_number(&mut data, 1, 5);
    put_len(&mut data, 2, bits.len());
    data.extend_from_slice(bits);
    put_number(&mut data, 5, HAMT_HASH);
    put_number(&mut data, 6, HAMT_FANOUT);
    metadata.encode(&mut data);
    dag_pb::encode(children, &data)
}

/// Writes a symbolic link.
pub(in crate::chunk) fn encode_symlink(target: &str, metadata: &Metadata) -> Vec<u8> {
    let mut data = Vec::new();
    put_number(&mut data, 1, 4);
    put_len(&mut data, 2, target.len());
    data.extend_from_slice(target.as_bytes());
    metadata.encode(&mut data);
    dag_pb::encode(core::iter::empty(), &data)
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;
    use crate::chunk::{DAG_PB, FileNode, RAW};

    const MAX: usize = 16;

    #[test]
    fn leaves_have_the_exact_bytes() {
        let abc = Bytes::from_static(b"abc");
        assert_eq!(LeafForm::Raw.block(&abc), abc);
        assert_eq!(LeafForm::WrappedFile.block(&abc)[..], *b"\x0a\x09\x08\x02\x12\x03abc\x18\x03");
        assert_eq!(LeafForm::WrappedRaw.block(&abc)[..], *b"\x0a\x09\x08\x00\x12\x03abc\x18\x03");
        // No empty data field, but always a size.
        assert_eq!(LeafForm::WrappedFile.block(&Bytes::new())[..], *b"\x0a\x04\x08\x02\x18\x00");
        for len in [0, 1, 127, 128, 16_383, 16_384, 300_000] {
            let bytes = Bytes::from(alloc::vec![1; len]);
            for form in [LeafForm::Raw, LeafForm::WrappedFile, LeafForm::WrappedRaw] {
                let block = form.block(&bytes);
                assert_eq!(block.len(), form.block_len(len));
                let codec = if form == LeafForm::Raw { RAW } else { DAG_PB };
                let read = FileNode::decode(codec, &block, MAX).unwrap();
                assert_eq!((read.data, read.size), (bytes.clone(), len as u64));
            }
        }
    }

    #[test]
    fn inner_nodes_have_the_exact_bytes() {
        let cid = Cid::new_v1(RAW, Code::Sha2_256.digest(b"x")).to_bytes();
        let bytes = encode_inner([(&cid[..], 5, 300), (&cid[..], 5, 1)].into_iter());
        let meta = [8, 2, 0x18, 0xad, 0x02, 0x20, 0xac, 0x02, 0x20, 1];
        assert!(bytes.ends_with(&[&[0x0a, 10][..], &meta].concat()));
        let node = FileNode::decode(DAG_PB, &bytes.into(), MAX).unwrap();
        assert_eq!(node.size, 301);
        assert_eq!(node.children.iter().map(|child| child.len).collect::<Vec<_>>(), [300, 1]);
    }
}
