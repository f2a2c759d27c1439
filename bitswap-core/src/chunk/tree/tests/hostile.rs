//! Trees that lie.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use super::disk::FakeFolder;
use super::harness::*;
use crate::chunk::tree::testing::Source;
use crate::chunk::unixfs::{encode_directory, encode_shard};
use crate::chunk::*;

/// A directory with any names.
fn named(source: &mut Source, names: &[&[u8]], root: NodeRoot) -> NodeRoot {
    let cid = root.cid.to_bytes();
    let entries: Vec<_> = names.iter().map(|name| (&cid[..], *name, 1)).collect();
    let block = encode_directory(entries.into_iter(), &Metadata::default());
    source.any(DAG_PB, block)
}

fn run_with(source: &Source, options: TreeOptions) -> (TreeOutcome, FakeFolder) {
    let mut folder = FakeFolder::new();
    folder.is_eternal = true;
    let mut run = Run::new(source, options, folder);
    let outcome = run.finish();
    assert!(run.folder.is_idle());
    (outcome, run.folder)
}

fn fault(source: &Source, options: TreeOptions) -> (String, TreeFault) {
    match run_with(source, options).0 {
        TreeOutcome::Failed(TreeError::Invalid(InvalidTree { path, fault })) => {
            (path.as_str().to_string(), fault)
        }
        other => panic!("{other:?}"),
    }
}

fn dag(fault: TreeFault) -> DagFault {
    match fault {
        TreeFault::Dag(invalid) => invalid.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_name_leads_out_of_the_target() {
    for (names, reason) in [
        (vec![&b".."[..]], DagFault::BadName(NameError::Dots)),
        (vec![b"a", b"."], DagFault::BadName(NameError::Dots)),
        (vec![b""], DagFault::BadName(NameError::Empty)),
        (vec![b"../../etc/passwd"], DagFault::BadName(NameError::Separator)),
        (vec![b"/etc/passwd"], DagFault::BadName(NameError::Separator)),
        (vec![b"a\0b"], DagFault::BadName(NameError::Nul)),
        (vec![b"\xc3\x28"], DagFault::BadName(NameError::NotText)),
        (vec![b"a", b"b", b"a"], DagFault::DuplicateName),
    ] {
        let mut source = Source::new();
        let file = source.file(b"x");
        let inner = named(&mut source, &names, file);
        source.root = source.directory([("inner", inner)]).cid;
        let (path, found) = fault(&source, options());
        assert_eq!((&path[..], dag(found)), ("inner", reason), "{names:?}");
    }
}

#[test]
fn a_name_that_the_host_refuses_and_one_that_clashes_are_errors() {
    let mut source = Source::new();
    let file = source.file(b"x");
    let inner = source.directory([("README", file), ("readme", file), ("NUL", file)]);
    source.root = source.directory([("inner", inner)]).cid;
    let refuse: NameRule = |name| match name {
        "NUL" => Err(NameRefusal::Device("NUL")),
        _ => Ok(None),
    };
    let clash: NameRule = |name| Ok(Some(name.to_lowercase().len() as u64));
    let with = |rule| fault(&source, TreeOptions { rule, ..options() });
    let refused = TreeFault::Name(NameRefusal::Device("NUL"));
    assert_eq!(with(refuse), ("inner/NUL".to_string(), refused));
    assert_eq!(with(clash), ("inner/readme".to_string(), TreeFault::NameClash));
}

#[test]
fn a_tree_is_as_deep_as_it_may_be_and_no_deeper() {
    let mut source = Source::new();
    let mut dir = source.directory::<String>([]);
    for _ in 0..10 {
        dir = source.directory([("d", dir)]);
    }
    source.root = dir.cid;
    let with =
        |depth| TreeOptions { bounds: TreeBounds { depth, ..TreeBounds::default() }, ..options() };
    assert_eq!(finished(run_with(&source, with(10)).0).directories, 11);
    assert_eq!(fault(&source, with(9)).1, TreeFault::TooDeep);
    let path = TreeBounds { path: 8, ..TreeBounds::default() };
    let long = fault(&source, TreeOptions { bounds: path, ..options() });
    assert_eq!(long, ("d/d/d/d/d".to_string(), TreeFault::LongPath));
}

#[test]
fn few_nodes_that_repeat_are_no_endless_tree() {
    let mut source = Source::new();
    let mut dir = source.file(b"x");
    for _ in 0..20 {
        dir = source.directory((0..40).map(|n| (format!("{n}"), dir)));
    }
    source.root = dir.cid;
    let bounds = TreeBounds { entries: 3000, ..TreeBounds::default() };
    assert_eq!(fault(&source, TreeOptions { bounds, ..options() }).1, TreeFault::TooManyEntries);
}

#[test]
fn listings_that_take_too_much_memory_are_refused() {
    let mut source = Source::new();
    let mut dir = source.file(b"x");
    for _ in 0..10 {
        dir = source.directory((0..100).map(|n| (format!("{n}"), dir)));
    }
    source.root = dir.cid;
    let bounds = TreeBounds { listings: 100_000, ..TreeBounds::default() };
    assert_eq!(fault(&source, TreeOptions { bounds, ..options() }).1, TreeFault::LargeListings);
}

#[test]
fn an_entry_of_a_trie_that_lies_elsewhere_is_refused() {
    let mut source = Source::new();
    let file = source.file(b"x").cid.to_bytes();
    // The hash of "hello" begins with CB D8.
    let mut shard = |name: &str, link: &[u8]| {
        let digit = usize::from(u8::from_str_radix(&name[..2], 16).unwrap());
        let mut bits = [0; 32];
        bits[31 - digit / 8] = 1 << (digit % 8);
        let children = [(link, name.as_bytes(), 1)];
        let block = encode_shard(children.into_iter(), &bits, &Metadata::default());
        source.any(DAG_PB, block)
    };
    let right = shard("D8hello", &file);
    let below = shard("CB", &right.cid.to_bytes());
    let wrong = shard("CChello", &file);
    let deeper = shard("CC", &right.cid.to_bytes());
    let mut endless = shard("D8hello", &file);
    for _ in 0..9 {
        endless = shard("CB", &endless.cid.to_bytes());
    }
    source.root = below.cid;
    assert_eq!(finished(run_with(&source, options()).0).files, 1);
    for root in [wrong, deeper] {
        source.root = root.cid;
        assert_eq!(dag(fault(&source, options()).1), DagFault::BadShard);
    }
    source.root = endless.cid;
    assert_eq!(dag(fault(&source, options()).1), DagFault::TooDeep);
}

#[test]
fn what_is_neither_file_nor_directory_is_refused_by_its_codec() {
    let mut source = Source::new();
    let cbor = source.any(0x71, vec![0xa0]);
    source.root = source.directory([("data", cbor)]).cid;
    assert_eq!(fault(&source, options()), ("data".to_string(), TreeFault::NotAFile(0x71)));
}

#[test]
fn a_trie_node_is_no_directory_of_its_own_and_no_file_is_part_of_a_trie() {
    let mut source = Source::new();
    let file = source.file(b"x").cid.to_bytes();
    let raw = encode_shard([(&file[..], &b"00"[..], 1)].into_iter(), &[1], &Metadata::default());
    source.root = source.any(DAG_PB, raw).cid;
    assert_eq!(dag(fault(&source, options()).1), DagFault::BadShard);
    let folder = source.directory::<String>([]).cid.to_bytes();
    let dir = encode_shard([(&folder[..], &b"00"[..], 1)].into_iter(), &[1], &Metadata::default());
    source.root = source.any(DAG_PB, dir).cid;
    assert_eq!(dag(fault(&source, options()).1), DagFault::BadShard);
}

#[test]
fn a_trie_arrives_whole() {
    let mut source = Source::new();
    source.profile = Profile::UnixfsV0_2015;
    let names: Vec<String> = (0..6000).map(|n| format!("{n:04}-{}", "x".repeat(40))).collect();
    let file = source.file(b"x");
    source.root = source.directory(names.iter().map(|name| (name.clone(), file))).cid;
    assert!(source.blocks.len() > 300, "it is a trie");
    let (outcome, folder) = run_with(&source, options());
    assert_eq!(finished(outcome).files, 6000);
    let tree = folder.tree();
    assert_eq!(tree.len(), 6000);
    assert!(names.iter().all(|name| tree[name] == Some(b"x".to_vec())));
}
