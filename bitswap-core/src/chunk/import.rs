//! Bytes in, blocks out: cutting a file into a DAG whose CID is the same everywhere.
//!
//! [`Importer`] streams: it holds at most one unfinished chunk and one unfinished node per level,
//! so a file of any size passes through a few MiB of memory, as long as its host takes the blocks
//! out between writes.
//!
//! A host with several cores uses the three parts by themselves: [`Chunker`] cuts, [`Chunk::hash`]
//! is a pure function that runs anywhere, and [`Tree`] takes the leaves in their order.
//!
//! ```
//! use bitswap_core::chunk::{Imported, Importer, Profile};
//!
//! let mut importer = Importer::new(Profile::UnixfsV1_2025);
//! importer.write("hello world");
//! let root = importer.finish();
//! while let Some(Imported { block, leaf }) = importer.poll_block() {
//!     // Store `block`; or note only where `leaf` lies in the file, and read it from there.
//! }
//! assert_eq!(root.size, 11);
//! # assert_eq!(root.cid.to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
//! ```
//!
//! Source of the profiles: IPIP-499.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::link::{DAG_PB, RAW};
use super::unixfs::{LeafForm, encode_inner};
use crate::block::Block;

/// How a file is cut: the same profile gives the same CID everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// 1 MiB chunks as raw leaves, at most 1024 links per node, CIDv1.
    #[default]
    UnixfsV1_2025,
    /// 256 KiB chunks wrapped in dag-pb, at most 174 links per node, CIDv0.
    UnixfsV0_2015,
}

impl Profile {
    /// The profile's registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnixfsV1_2025 => "unixfs-v1-2025",
            Self::UnixfsV0_2015 => "unixfs-v0-2015",
        }
    }

    /// The profile with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::UnixfsV1_2025, Self::UnixfsV0_2015]
            .into_iter()
            .find(|profile| profile.name() == name)
    }

    /// The length of every chunk but the last, in bytes.
    #[must_use]
    pub const fn chunk_len(self) -> usize {
        match self {
            Self::UnixfsV1_2025 => 1 << 20,
            Self::UnixfsV0_2015 => 1 << 18,
        }
    }

    /// The largest number of links of a node.
    #[must_use]
    pub const fn links_max(self) -> usize {
        match self {
            Self::UnixfsV1_2025 => 1024,
            Self::UnixfsV0_2015 => 174,
        }
    }

    /// How a chunk's bytes become a leaf's block. A store that shares a file in place makes the
    /// block anew from the bytes in the file with this.
    #[must_use]
    pub const fn leaf_form(self) -> LeafForm {
        match self {
            Self::UnixfsV1_2025 => LeafForm::Raw,
            Self::UnixfsV0_2015 => LeafForm::WrappedFile,
        }
    }

    fn block(self, form: Option<LeafForm>, data: Bytes) -> Block {
        let hash = Code::Sha2_256.digest(&data);
        let codec = if form == Some(LeafForm::Raw) { RAW } else { DAG_PB };
        let cid = match self {
            Self::UnixfsV1_2025 => Cid::new_v1(codec, hash),
            Self::UnixfsV0_2015 => Cid::new_v0(hash).unwrap_or_else(|_| Cid::new_v1(codec, hash)),
        };
        Block::hashed(cid, data)
    }
}

/// Where a leaf lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafPlace {
    /// The first byte's position in the file.
    pub offset: u64,
    /// How many bytes of the file the leaf holds.
    pub len: u64,
}

/// A finished block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The block.
    pub block: Block,
    /// The bytes of the file that a leaf holds; `None` for an inner node.
    pub leaf: Option<LeafPlace>,
}

/// The top of an imported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The file's CID.
    pub cid: Cid,
    /// The file's length in bytes.
    pub size: u64,
    /// The length of all blocks together, those that occur again counted again.
    pub dag_size: u64,
    /// How many leaves the file has; at least one.
    pub leaves: u64,
}

/// Streams a file into blocks.
#[derive(Clone, Debug)]
pub struct Importer {
    chunker: Chunker,
    tree: Tree,
    ready: VecDeque<Imported>,
}

impl Importer {
    /// An importer for one file.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { chunker: Chunker::new(profile), tree: Tree::new(profile), ready: VecDeque::new() }
    }

    /// The next bytes of the file, in pieces of any size. Take the blocks out before the next
    /// write: what is ready and not taken stays in memory.
    pub fn write(&mut self, bytes: impl Into<Bytes>) {
        self.chunker.write(bytes.into());
        while let Some(chunk) = self.chunker.poll_chunk() {
            self.add(chunk);
        }
    }

    /// The next finished block: leaves in file order, a node right after its last child. The root
    /// comes last, once [`Self::finish`] was called.
    pub fn poll_block(&mut self) -> Option<Imported> {
        self.ready.pop_front()
    }

    /// Ends the file and makes its root. The importer is then ready for another file.
    pub fn finish(&mut self) -> Root {
        if let Some(chunk) = self.chunker.finish() {
            self.add(chunk);
        }
        let (root, nodes) = self.tree.finish();
        self.ready.extend(nodes.into_iter().map(|block| Imported { block, leaf: None }));
        root
    }

    fn add(&mut self, chunk: Chunk) {
        let leaf = chunk.hash();
        let nodes = self.tree.push(&leaf);
        self.ready.push_back(Imported { block: leaf.block, leaf: Some(leaf.place) });
        self.ready.extend(nodes.into_iter().map(|block| Imported { block, leaf: None }));
    }
}

/// Cuts a file into chunks of the profile's length. Holds less than one chunk besides those ready.
#[derive(Clone, Debug)]
pub struct Chunker {
    profile: Profile,
    partial: BytesMut,
    ready: VecDeque<Chunk>,
    offset: u64,
}

impl Chunker {
    /// A chunker for one file.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, partial: BytesMut::new(), ready: VecDeque::new(), offset: 0 }
    }

    /// The next bytes of the file. A chunk that lies within one piece is a slice of it.
    pub fn write(&mut self, mut bytes: Bytes) {
        let chunk_len = self.profile.chunk_len();
        while !bytes.is_empty() {
            if self.partial.is_empty() && bytes.len() >= chunk_len {
                let data = bytes.split_to(chunk_len);
                self.cut(data);
                continue;
            }
            let take = bytes.len().min(chunk_len - self.partial.len());
            self.partial.extend_from_slice(&bytes.split_to(take));
            if self.partial.len() == chunk_len {
                let data = self.partial.split().freeze();
                self.cut(data);
            }
        }
    }

    /// The next whole chunk.
    pub fn poll_chunk(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// The last, shorter chunk: once, when every chunk was polled and no byte follows. An empty
    /// file has one empty chunk. The chunker is then ready for another file.
    pub fn finish(&mut self) -> Option<Chunk> {
        if !self.partial.is_empty() || self.offset == 0 {
            let data = self.partial.split().freeze();
            self.cut(data);
        }
        self.offset = 0;
        self.ready.pop_front()
    }

    fn cut(&mut self, data: Bytes) {
        let offset = self.offset;
        self.offset += data.len() as u64;
        self.ready.push_back(Chunk { profile: self.profile, offset, data });
    }
}

/// A piece of a file that is not hashed yet.
#[derive(Clone, Debug)]
pub struct Chunk {
    profile: Profile,
    offset: u64,
    data: Bytes,
}

impl Chunk {
    /// Makes the leaf: the expensive step, pure, for any core.
    #[must_use]
    pub fn hash(self) -> Leaf {
        let place = LeafPlace { offset: self.offset, len: self.data.len() as u64 };
        let form = self.profile.leaf_form();
        Leaf { place, block: self.profile.block(Some(form), form.block(&self.data)) }
    }
}

/// A hashed leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it lies in the file.
    pub place: LeafPlace,
    /// Its block.
    pub block: Block,
}

/// A subtree whose parent is not written yet.
#[derive(Clone, Copy, Debug)]
struct Subtree {
    cid: Cid,
    len: u64,
    tsize: u64,
}

/// Builds the nodes above the leaves: balanced, filled from the left, all leaves at one depth.
#[derive(Clone, Debug)]
pub struct Tree {
    profile: Profile,
    /// Unfinished nodes, lowest first; each holds fewer than the profile's links.
    levels: Vec<Vec<Subtree>>,
    leaves: u64,
}

impl Tree {
    /// A tree for one file.
    #[must_use]
    pub const fn new(profile: Profile) -> Self {
        Self { profile, levels: Vec::new(), leaves: 0 }
    }

    /// Adds the next leaf in file order and gives the nodes that it completed.
    pub fn push(&mut self, leaf: &Leaf) -> Vec<Block> {
        self.push_range(*leaf.block.cid(), leaf.place.len, leaf.block.data().len() as u64)
    }

    /// Adds the next range by its CID: `len` bytes of the file in a block of `block_len` bytes.
    ///
    /// This makes a file DAG from a flat list of CIDs and lengths (any lengths, any chunker). The
    /// nodes given here and by [`Self::finish`] are the only blocks that no peer has.
    pub fn push_range(&mut self, cid: Cid, len: u64, block_len: u64) -> Vec<Block> {
        self.leaves += 1;
        let mut nodes = Vec::new();
        self.add(0, Subtree { cid, len, tsize: block_len }, &mut nodes);
        nodes
    }

    /// Ends the file: its root, and the nodes not given yet, the root's last. Without any leaf the
    /// root is that of the empty file. The tree is then ready for another file.
    pub fn finish(&mut self) -> (Root, Vec<Block>) {
        let mut nodes = Vec::new();
        if self.leaves == 0 {
            let empty = Chunk { profile: self.profile, offset: 0, data: Bytes::new() }.hash();
            nodes = self.push(&empty);
            nodes.push(empty.block);
        }
        let mut level = 0;
        let top = loop {
            let is_top =
                self.levels.get(level + 1..).is_none_or(|above| above.iter().all(Vec::is_empty));
            match self.levels.get(level).map(Vec::as_slice) {
                Some([only]) if is_top => break *only,
                Some([]) => {}
                _ => self.close(level, &mut nodes),
            }
            level += 1;
        };
        let root = Root { cid: top.cid, size: top.len, dag_size: top.tsize, leaves: self.leaves };
        *self = Self::new(self.profile);
        (root, nodes)
    }

    fn add(&mut self, level: usize, subtree: Subtree, nodes: &mut Vec<Block>) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let Some(open) = self.levels.get_mut(level) else { return };
        open.push(subtree);
        if open.len() == self.profile.links_max() {
            self.close(level, nodes);
        }
    }

    /// Writes the unfinished node of `level` and hands it to the level above.
    fn close(&mut self, level: usize, nodes: &mut Vec<Block>) {
        let Some(children) = self.levels.get_mut(level).map(core::mem::take) else { return };
        let cids: Vec<Vec<u8>> = children.iter().map(|child| child.cid.to_bytes()).collect();
        let links = cids.iter().zip(&children);
        let data = encode_inner(links.map(|(cid, child)| (&cid[..], child.tsize, child.len)));
        // Saturating, because the lengths of a list are the caller's.
        let sum = |of: fn(&Subtree) -> u64| children.iter().map(of).fold(0, u64::saturating_add);
        let len = sum(|child| child.len);
        let tsize = sum(|child| child.tsize).saturating_add(data.len() as u64);
        let block = self.profile.block(None, data.into());
        let subtree = Subtree { cid: *block.cid(), len, tsize };
        nodes.push(block);
        self.add(level + 1, subtree, nodes);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;
    use alloc::vec;

    use chacha20::ChaCha20;
    use chacha20::cipher::{KeyIvInit, StreamCipher};
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::FileNode;

    const MIB: u64 = 1 << 20;

    /// The input of the public vectors: a ChaCha20 keystream, keyed by the seed's SHA-256.
    struct Keystream(ChaCha20);

    impl Keystream {
        fn new(seed: &str) -> Self {
            let key: [u8; 32] = Code::Sha2_256.digest(seed.as_bytes()).digest().try_into().unwrap();
            Self(ChaCha20::new(&key.into(), &[0; 12].into()))
        }

        fn bytes(&mut self, len: usize) -> Vec<u8> {
            let mut bytes = vec![0; len];
            self.0.apply_keystream(&mut bytes);
            bytes
        }
    }

    /// The root of `len` bytes of keystream, written in pieces and taken out as it goes.
    fn root_of(profile: Profile, seed: &str, len: u64) -> Root {
        let (mut stream, mut left) = (Keystream::new(seed), len);
        let mut importer = Importer::new(profile);
        let mut at = 0;
        while left > 0 {
            let piece = left.min(3 * MIB + 7);
            importer.write(stream.bytes(piece as usize));
            left -= piece;
            while let Some(imported) = importer.poll_block() {
                if let Some(leaf) = imported.leaf {
                    assert_eq!(leaf.offset, at);
                    at += leaf.len;
                }
            }
        }
        let root = importer.finish();
        while let Some(imported) = importer.poll_block() {
            at += imported.leaf.map_or(0, |leaf| leaf.len);
        }
        assert_eq!((root.size, at), (len, len));
        root
    }

    fn blocks_of(profile: Profile, file: &[u8]) -> (Root, Vec<Imported>) {
        let mut importer = Importer::new(profile);
        importer.write(file.to_vec());
        let root = importer.finish();
        (root, core::iter::from_fn(|| importer.poll_block()).collect())
    }

    #[test]
    fn small_files_have_the_public_cids() {
        let cid = |profile, file| blocks_of(profile, file).0.cid.to_string();
        let v0 = Profile::UnixfsV0_2015;
        let v1 = Profile::UnixfsV1_2025;
        assert_eq!(cid(v0, b"hello world"), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
        assert_eq!(cid(v0, b""), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
        assert_eq!(cid(v1, b""), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
        assert_eq!(
            cid(v1, b"hello world"),
            "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
        );
    }

    #[test]
    fn chunk_boundaries_have_the_public_cids() {
        let v0 = |seed, len| root_of(Profile::UnixfsV0_2015, seed, len).cid.to_string();
        let v1 = |seed, len| root_of(Profile::UnixfsV1_2025, seed, len).cid.to_string();
        let seed = "chunk-v0-seed";
        assert_eq!(v0(seed, 262_144), "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE");
        assert_eq!(v0(seed, 262_145), "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ");
        let seed = "chunk-v1-seed";
        assert_eq!(v1(seed, MIB), "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta");
        assert_eq!(
            v1(seed, MIB + 1),
            "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"
        );
    }

    #[test]
    fn a_full_node_and_one_leaf_more_have_the_public_cids() {
        let root = |len| root_of(Profile::UnixfsV0_2015, "v0-seed", len);
        let full = root(174 * 262_144);
        assert_eq!(full.cid.to_string(), "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2");
        assert_eq!(full.leaves, 174);
        let more = root(174 * 262_144 + 1);
        assert_eq!(more.cid.to_string(), "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW");
        assert_eq!(more.leaves, 175);
    }

    /// Two files of 1 GiB. Run with
    /// `cargo test -p bitswap-core --release -- --ignored a_full_node_of_the_default_profile`.
    #[test]
    #[ignore = "hashes 2 GiB"]
    fn a_full_node_of_the_default_profile_has_the_public_cids() {
        let cid = |len| root_of(Profile::UnixfsV1_2025, "v1-2025-seed", len).cid.to_string();
        let full = "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm";
        let more = "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe";
        assert_eq!(cid(1024 * MIB), full);
        assert_eq!(cid(1024 * MIB + 1), more);
    }

    #[test]
    fn a_full_level_of_full_nodes_gets_one_level_more() {
        // Leaves of one byte make the shapes of files that are too large for a test.
        let shape = |leaves: u64| {
            let mut tree = Tree::new(Profile::UnixfsV0_2015);
            let leaf = Profile::UnixfsV0_2015.block(None, Bytes::from_static(b"x"));
            let mut nodes = 0;
            for _ in 0..leaves {
                nodes += tree.push_range(*leaf.cid(), 1, 1).len();
            }
            let (root, last) = tree.finish();
            assert_eq!((root.size, root.leaves), (leaves, leaves));
            nodes + last.len()
        };
        assert_eq!(shape(1), 0);
        assert_eq!(shape(2), 1);
        assert_eq!(shape(174), 1);
        assert_eq!(shape(175), 3);
        assert_eq!(shape(174 * 174), 174 + 1);
        // 175 nodes above the leaves, 2 above those, and the root.
        assert_eq!(shape(174 * 174 + 1), 175 + 2 + 1);
    }

    #[test]
    fn blocks_come_leaves_first_and_carry_their_place() {
        let file = Keystream::new("places").bytes(2 * 262_144 + 5);
        let (root, blocks) = blocks_of(Profile::UnixfsV0_2015, &file);
        let places: Vec<_> = blocks.iter().map(|imported| imported.leaf).collect();
        let leaf = |offset, len| Some(LeafPlace { offset, len });
        let expected = [leaf(0, 262_144), leaf(262_144, 262_144), leaf(524_288, 5), None];
        assert_eq!(places, expected);
        assert_eq!(blocks[3].block.cid(), &root.cid);
        for imported in &blocks {
            let Some(place) = imported.leaf else { continue };
            // What a store that shares the file in place does.
            let bytes = &file[place.offset as usize..(place.offset + place.len) as usize];
            let bytes = Bytes::copy_from_slice(bytes);
            assert_eq!(Profile::UnixfsV0_2015.leaf_form().block(&bytes), imported.block.data());
        }
    }

    #[test]
    fn a_written_piece_is_sliced_and_not_copied() {
        let file = Bytes::from(vec![1; 2 << 20]);
        let mut chunker = Chunker::new(Profile::UnixfsV1_2025);
        chunker.write(file.clone());
        assert_eq!(chunker.poll_chunk().unwrap().data.as_ptr(), file.as_ptr());
    }

    #[test]
    fn an_importer_serves_one_file_after_another() {
        let mut importer = Importer::new(Profile::UnixfsV1_2025);
        let empty = importer.finish();
        importer.write("hello world");
        let hello = importer.finish();
        assert_eq!(empty.cid, blocks_of(Profile::UnixfsV1_2025, b"").0.cid);
        assert_eq!(hello.cid, blocks_of(Profile::UnixfsV1_2025, b"hello world").0.cid);
    }

    #[test]
    fn a_tree_without_leaves_is_the_empty_file() {
        for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
            let (root, nodes) = Tree::new(profile).finish();
            assert_eq!(root.cid, blocks_of(profile, b"").0.cid);
            assert_eq!(nodes.len(), 1);
        }
    }

    /// Reads a DAG back by plain recursion.
    fn read_back(cid: &Cid, blocks: &BTreeMap<Cid, Bytes>, out: &mut Vec<u8>) {
        let node = FileNode::decode(cid.codec(), &blocks[cid], 2000).unwrap();
        out.extend_from_slice(&node.data);
        for child in &node.children {
            let crate::chunk::Link::Block(cid) = &child.link else { panic!("no inline blocks") };
            read_back(cid, blocks, out);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn any_cut_of_the_input_gives_the_same_file_back(
            cuts in proptest::collection::vec(1..900_000usize, 0..6),
            seed in "[a-z]{4}",
        ) {
            let file = Keystream::new(&seed).bytes(cuts.iter().sum());
            for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
                let mut importer = Importer::new(profile);
                let mut rest = &file[..];
                for cut in &cuts {
                    let (piece, after) = rest.split_at(*cut);
                    importer.write(piece.to_vec());
                    rest = after;
                }
                let root = importer.finish();
                let mut blocks = BTreeMap::new();
                let mut dag_size = 0;
                while let Some(imported) = importer.poll_block() {
                    let (cid, data) = imported.block.into_parts();
                    dag_size += data.len() as u64;
                    blocks.insert(cid, data);
                }
                prop_assert_eq!(root.dag_size, dag_size);
                prop_assert_eq!(root.cid, blocks_of(profile, &file).0.cid);
                let mut read = Vec::new();
                read_back(&root.cid, &blocks, &mut read);
                prop_assert!(read == file);
            }
        }
    }
}
