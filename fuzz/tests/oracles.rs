//! Files, folders, symbolic links and Merkle roots, beside what another implementation makes of the same.

use std::collections::BTreeSet;

use bitswap_core::chunk::{
    DirectoryBuilder, FileDigest, Importer, LeafRun, Metadata, NodeRoot, Profile, symlink,
};
use cid::{Cid, Version};
use multihash_codetable::Code;
use proptest::collection::btree_set;
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;
use rs_merkle::algorithms::Sha256;
use rs_merkle::{Hasher as _, MerkleTree};
use rust_unixfs::dir::builder::{BufferingTreeBuilder, TreeOptions};
use rust_unixfs::file::adder::{BalancedCollector, Chunker, FileAdder};
use rust_unixfs::symlink::symlink_block;

/// A profile, as the other implementation is told it.
fn told(profile: Profile) -> (Version, usize, usize) {
    match profile {
        Profile::UnixfsV0_2015 => (Version::V0, 256 << 10, 174),
        _ => (Version::V1, 1 << 20, 1024),
    }
}

fn profile() -> impl Strategy<Value = Profile> {
    prop_oneof![Just(Profile::UnixfsV0_2015), Just(Profile::UnixfsV1_2025)]
}

/// Lengths around those at which another block or another level begins, and any in between.
fn len() -> impl Strategy<Value = usize> {
    let around = (0..5usize, prop_oneof![Just(256 << 10), Just(1 << 20)], 0..3usize)
        .prop_map(|(count, chunk, off)| (count * chunk + off).saturating_sub(1));
    prop_oneof![around, 0..3000usize, 0..(5usize << 20)]
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// The blocks of a file, by CID, and its root.
fn ours(profile: Profile, bytes: &[u8], piece: usize) -> (Cid, BTreeSet<(Cid, Vec<u8>)>) {
    let mut importer = Importer::new(profile);
    let mut blocks = BTreeSet::new();
    let mut take = |importer: &mut Importer| {
        while let Some(imported) = importer.poll_block() {
            blocks.insert((*imported.block.cid(), imported.block.data().to_vec()));
        }
    };
    for some in bytes.chunks(piece) {
        importer.write(some.to_vec());
        take(&mut importer);
    }
    let root = importer.finish();
    take(&mut importer);
    (root.cid, blocks)
}

fn theirs(profile: Profile, bytes: &[u8]) -> (Cid, BTreeSet<(Cid, Vec<u8>)>) {
    let (version, chunk, links) = told(profile);
    let mut adder = FileAdder::builder()
        .with_chunker(Chunker::Size(chunk))
        .with_collector(BalancedCollector::with_branching_factor(links))
        .with_cid_version(version)
        .with_raw_leaves(version == Version::V1)
        .build();
    let mut blocks: Vec<(Cid, Vec<u8>)> = Vec::new();
    let mut pushed = 0;
    while pushed < bytes.len() {
        let (some, taken) = adder.push(&bytes[pushed..]);
        blocks.extend(some);
        pushed += taken;
    }
    blocks.extend(adder.finish());
    let root = blocks.last().expect("even an empty file has a block").0;
    (root, blocks.into_iter().collect())
}

/// Makes a directory of entries with these names, and compares its root.
fn assert_same_directory(profile: Profile, names: &BTreeSet<String>) {
    let (version, ..) = told(profile);
    let entry = |name: &String| {
        let (cid, blocks) = ours(profile, name.as_bytes(), usize::MAX);
        NodeRoot { cid, dag_size: blocks.first().map_or(0, |(_, data)| data.len() as u64) }
    };
    let mut builder = DirectoryBuilder::new(profile);
    let mut roots = Vec::new();
    for name in names {
        let root = entry(name);
        builder.add(name, root).unwrap();
        roots.push((name, root));
    }
    let (root, nodes) = builder.finish(&Metadata::default());
    let mut options = TreeOptions::default();
    options.block_size_limit(None);
    options.cid_version(version);
    options.wrap_with_directory();
    // Its estimate is that of one of the profiles; where that switches to a trie is compared with public CIDs
    // elsewhere. Here both make the same of it.
    options.shard_threshold((nodes.len() > 1).then_some(0));
    let mut tree = BufferingTreeBuilder::new(options);
    for (name, root) in roots {
        tree.put_link(name, root.cid, root.dag_size).unwrap();
    }
    let last = tree.build().last().expect("a root").expect("it is built");
    assert_eq!((last.cid, last.total_size), (root.cid, root.dag_size), "{} entries", names.len());
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(24)))]

    #[test]
    fn another_implementation_makes_the_same_blocks_of_any_file(
        profile in profile(), len in len(), seed: u64, piece in 1..(3usize << 20),
    ) {
        let bytes = bytes(len, seed);
        prop_assert_eq!(ours(profile, &bytes, piece), theirs(profile, &bytes));
    }

    #[test]
    fn another_implementation_makes_the_same_directory_of_any_names(
        profile in profile(),
        names in btree_set("[a-zA-Z0-9 ._äжあ-]{1,40}".prop_filter("a name", |name| name != "." && name != ".."), 1..300),
    ) {
        assert_same_directory(profile, &names);
    }

    #[test]
    fn another_implementation_makes_the_same_symbolic_link(profile in profile(), target in "[a-zé/.]{1,200}") {
        let (root, block) = symlink(profile, &target, &Metadata::default()).unwrap();
        let metadata = rust_unixfs::Metadata::default();
        let (cid, data) = symlink_block(&target, &metadata, told(profile).0, Code::Sha2_256);
        prop_assert_eq!((root.cid, block.data().to_vec()), (cid, data));
    }

    #[test]
    fn another_implementation_has_the_same_merkle_root(
        len in 1..5000usize, leaf in 1..700usize, seed: u64,
    ) {
        let bytes = bytes(len, seed);
        let leaves: Vec<[u8; 32]> = bytes.chunks(leaf).map(Sha256::hash).collect();
        let expected = MerkleTree::<Sha256>::from_leaves(&leaves).root().unwrap();
        let (whole, rest) = ((len / leaf) as u64, (len % leaf) as u64);
        let runs = [(leaf as u64, whole), (rest, u64::from(rest > 0))];
        let runs = runs.into_iter().filter(|(_, count)| *count > 0);
        let runs: Vec<LeafRun> = runs.map(|(len, count)| LeafRun { len, count }).collect();
        let mut digest = FileDigest::merkle_root(&runs);
        digest.update(&bytes);
        prop_assert_eq!(digest.finish().0, expected);
    }
}

#[test]
fn another_implementation_makes_the_same_trie_of_a_large_directory() {
    for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
        // Above the size at which both profiles make a trie.
        let names = (0..6000).map(|number| format!("an entry with a rather long name {number}"));
        assert_same_directory(profile, &names.collect());
    }
}
