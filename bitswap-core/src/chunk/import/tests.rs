//! Files become the DAGs that everybody else makes of them.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

use crate::chunk::{
    Chunker, DagFault, DirectoryBuilder, FileNode, HashPath, Imported, Importer, LeafRange, Link,
    Metadata, Mtime, NodeRoot, Profile, Root, ShardChild, Tree, UnixfsNode, symlink,
};

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

/// The root of `len` bytes of keystream, written in segments and taken out as it goes.
fn root_of(profile: Profile, seed: &str, len: u64) -> Root {
    let (mut stream, mut left) = (Keystream::new(seed), len);
    let mut importer = Importer::new(profile);
    let mut at = 0;
    while left > 0 {
        let segment = left.min(3 * MIB + 7);
        importer.write(stream.bytes(segment as usize));
        left -= segment;
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
    assert_eq!(v1(seed, MIB + 1), "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64");
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
fn blocks_come_leaves_first_and_carry_their_range() {
    let file = Keystream::new("places").bytes(2 * 262_144 + 5);
    let (root, blocks) = blocks_of(Profile::UnixfsV0_2015, &file);
    let places: Vec<_> = blocks.iter().map(|imported| imported.leaf).collect();
    let leaf = |offset, len| Some(LeafRange { offset, len });
    let expected = [leaf(0, 262_144), leaf(262_144, 262_144), leaf(524_288, 5), None];
    assert_eq!(places, expected);
    assert_eq!(blocks[3].block.cid(), &root.cid);
    for imported in &blocks {
        let Some(range) = imported.leaf else { continue };
        // What a store that shares the file in place does.
        let bytes = &file[range.offset as usize..(range.offset + range.len) as usize];
        let bytes = Bytes::copy_from_slice(bytes);
        assert_eq!(Profile::UnixfsV0_2015.leaf_form().block(&bytes), imported.block.data());
    }
}

#[test]
fn a_written_piece_is_sliced_and_not_copied() {
    let file = Bytes::from(vec![1; 2 << 20]);
    let mut chunker = Chunker::new(Profile::UnixfsV1_2025);
    chunker.write(file.clone());
    let leaf = chunker.poll_chunk().unwrap().hash();
    assert_eq!(leaf.block.data().as_ptr(), file.as_ptr());
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

/// The directory of the public vectors: files of one byte under random names of these lengths.
fn vector_directory(
    profile: Profile,
    seed: &str,
    lens: impl Iterator<Item = usize>,
) -> (NodeRoot, Vec<crate::Block>) {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz01234567890-_";
    let (mut stream, file) = (Keystream::new(seed), blocks_of(profile, b"x").0);
    let mut directory = DirectoryBuilder::new(profile);
    for len in lens {
        let name = stream.bytes(len).into_iter().map(|byte| alphabet[usize::from(byte) % 39]);
        let name: alloc::string::String = name.map(char::from).collect();
        directory.add(&name, NodeRoot { cid: file.cid, dag_size: file.dag_size }).unwrap();
    }
    directory.finish(&Metadata::default())
}

#[test]
fn directories_on_both_sides_of_the_switch_to_a_trie_have_the_public_cids() {
    let (v0, v1) = (Profile::UnixfsV0_2015, Profile::UnixfsV1_2025);
    let of = |profile, seed, lens: &mut dyn Iterator<Item = usize>| {
        let (root, nodes) = vector_directory(profile, seed, lens);
        (root.cid.to_string(), nodes.len())
    };
    let repeat = |len, count| of(v0, "hamt-unixfs-v0-2015", &mut core::iter::repeat_n(len, count));
    let flat = ("QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN".to_string(), 1);
    let trie = ("QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP".to_string(), 388);
    assert_eq!(repeat(30, 4096), flat);
    assert_eq!(repeat(31, 4033), trie);
    let last =
        |len| of(v1, "hamt-unixfs-v1-2025", &mut core::iter::repeat_n(11, 4765).chain([len]));
    let flat = "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4";
    let trie = "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu";
    assert_eq!(last(21), (flat.to_string(), 1));
    let (cid, nodes) = last(22);
    assert_eq!((cid, nodes > 256), (trie.to_string(), true));
}

#[test]
fn an_empty_directory_has_the_public_cid() {
    let (root, nodes) = DirectoryBuilder::new(Profile::UnixfsV0_2015).finish(&Metadata::default());
    assert_eq!(root.cid.to_string(), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    assert_eq!((root.dag_size, nodes.len()), (4, 1));
}

#[test]
fn entries_are_in_the_order_of_their_names_and_bad_ones_are_refused() {
    let file = blocks_of(Profile::default(), b"x").0;
    let root = NodeRoot { cid: file.cid, dag_size: 1 };
    let mut directory = DirectoryBuilder::new(Profile::default());
    assert!(directory.is_empty());
    for name in ["é", "b", "B", "a"] {
        directory.add(name, root).unwrap();
    }
    assert_eq!((directory.len(), directory.is_empty()), (4, false));
    assert_eq!(directory.add("a", root), Err(DagFault::DuplicateName));
    for name in ["", ".", "..", "a/b", "a\0"] {
        assert!(matches!(directory.add(name, root), Err(DagFault::BadName(_))), "{name:?}");
    }
    let (made, nodes) = directory.finish(&Metadata::default());
    let [node] = &nodes[..] else { panic!("{nodes:?}") };
    assert_eq!(made.dag_size, node.data().len() as u64 + 4);
    let read = UnixfsNode::decode(node.cid().codec(), node.data(), 9).unwrap();
    let UnixfsNode::Directory(read, _) = read else { panic!("{read:?}") };
    let names: Vec<_> = read.entries.iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(names, ["B", "a", "b", "é"]);
    assert!(read.entries.iter().all(|entry| entry.link == Link::Block(file.cid)));
}

#[test]
fn every_entry_of_a_trie_lies_where_its_name_leads() {
    let (root, nodes) =
        vector_directory(Profile::UnixfsV0_2015, "places", core::iter::repeat_n(40, 5000));
    let blocks: BTreeMap<Cid, Bytes> = nodes.into_iter().map(crate::Block::into_parts).collect();
    let mut open = vec![(root.cid, HashPath::default())];
    let mut entries = 0;
    while let Some((cid, path)) = open.pop() {
        let node = UnixfsNode::decode(cid.codec(), &blocks[&cid], 256).unwrap();
        let UnixfsNode::Shard(node, _) = node else { panic!("{node:?}") };
        for child in node.children {
            let path = path.below(child.digit()).unwrap();
            match child {
                ShardChild::Shard { link: Link::Block(cid), .. } => open.push((cid, path)),
                ShardChild::Entry { entry, .. } => {
                    path.leads_to(&entry.name).unwrap();
                    entries += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(entries, 5000);
}

#[test]
fn metadata_goes_to_the_root_alone() {
    let metadata =
        Metadata { mode: Some(0o640), mtime: Some(Mtime { seconds: -5, nanoseconds: 7 }) };
    for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
        // A root that is a leaf, one above leaves, and one that was complete before the file ended.
        for leaves in [1, 3, profile.links_max() as u64, profile.links_max() as u64 + 1] {
            let (mut plain, mut with) = (Tree::new(profile), Tree::new(profile));
            let leaf = profile.block(Some(profile.leaf_form()), Bytes::from_static(b"x"));
            let mut blocks = BTreeMap::new();
            for _ in 0..leaves {
                plain.push_range(*leaf.cid(), 1, 1);
                blocks.extend(
                    with.push_range(*leaf.cid(), 1, 1).into_iter().map(crate::Block::into_parts),
                );
            }
            let (without, _) = plain.finish();
            let (root, last) = with.finish_with(&metadata);
            blocks.extend(last.into_iter().map(crate::Block::into_parts));
            let read = |cid: &Cid| UnixfsNode::decode(cid.codec(), &blocks[cid], 2000).unwrap();
            let UnixfsNode::File(node, found) = read(&root.cid) else { panic!() };
            assert_eq!((found, node.size, root.size), (metadata, leaves, leaves));
            if leaves > 1 {
                let UnixfsNode::File(same, none) = read(&without.cid) else { panic!() };
                assert_eq!((same.children, none), (node.children, Metadata::default()));
            }
        }
        let (root, blocks) = DirectoryBuilder::new(profile).finish(&metadata);
        let node = UnixfsNode::decode(root.cid.codec(), blocks[0].data(), 1).unwrap();
        assert!(matches!(node, UnixfsNode::Directory(_, found) if found == metadata));
        let (root, block) = symlink(profile, "../é", &metadata).unwrap();
        let node = UnixfsNode::decode(root.cid.codec(), block.data(), 1).unwrap();
        assert_eq!(node, UnixfsNode::Symlink("../é".into(), metadata));
        for target in ["", "a\0"] {
            assert_eq!(symlink(profile, target, &metadata), Err(DagFault::BadSymlink));
        }
    }
}

/// Reads a DAG back by plain recursion.
fn read_back(cid: &Cid, blocks: &BTreeMap<Cid, Bytes>, out: &mut Vec<u8>) {
    let node = FileNode::decode(cid.codec(), &blocks[cid], 2000).unwrap();
    out.extend_from_slice(&node.data);
    for child in &node.children {
        let Link::Block(cid) = &child.link else { panic!("no inline blocks") };
        read_back(cid, blocks, out);
    }
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(12)))]

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
                let (segment, after) = rest.split_at(*cut);
                importer.write(segment.to_vec());
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
