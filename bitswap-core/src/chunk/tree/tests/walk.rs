//! Walks, as far as no download makes them.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::chunk::tree::testing::Source;
use crate::chunk::tree::walk::estimate;
use crate::chunk::*;

/// Walks to the end, skips the directories that it is told to, and gives the paths and the blocks of it.
fn walk(source: &Source, skips: &[&str]) -> (Vec<String>, usize) {
    let rule: NameRule = |_| Ok(None);
    let mut walk = TreeWalk::new(source.root, TreeBounds::default(), rule, 1 << 20).unwrap();
    let (mut paths, mut blocks, mut open) = (Vec::new(), 0, 0);
    loop {
        while let Some(output) = walk.next_output().unwrap() {
            match output {
                WalkOutput::Entry(entry) => {
                    if let EntryKind::Directory(id) = entry.kind {
                        open += 1;
                        if skips.contains(&entry.path.as_str()) {
                            walk.skip(id);
                        }
                    }
                    paths.push(entry.path.to_string());
                }
                WalkOutput::Listed(_) => open -= 1,
            }
        }
        let Some(want) = walk.next_want() else { break };
        assert!(walk.awaited_at(&want.cid).count() <= 1);
        blocks += 1;
        assert!(walk.handle_block(&source.block(&want.cid)).unwrap());
    }
    assert!(walk.is_over());
    assert_eq!(open, 0, "each directory ends once");
    (paths, blocks)
}

#[test]
fn a_directory_that_is_skipped_costs_the_blocks_that_are_under_way_and_no_more() {
    let mut source = Source::new();
    source.profile = Profile::UnixfsV0_2015;
    // Each is a node that the walk must have to know what it is.
    let names = (0..1000).map(|at| alloc::format!("{at:04}"));
    let files: Vec<_> = names.map(|name| (name.clone(), source.file(name.as_bytes()))).collect();
    let large = source.directory(files);
    let file = source.file(b"after");
    let root = source.directory([("a", large), ("b", file)]);
    source.root = root.cid;
    let (paths, blocks) = walk(&source, &[]);
    assert_eq!((paths.len(), blocks), (1003, 1003));
    let (paths, blocks) = walk(&source, &["a"]);
    assert!(paths.contains(&"b".to_string()) && paths.contains(&"a".to_string()));
    assert!(blocks <= 3 + 64, "{blocks}");
}

#[test]
fn a_trie_that_is_skipped_gives_nothing_of_nodes_that_arrive_later() {
    let mut source = Source::new();
    let file = source.file(b"x");
    let long = "n".repeat(200);
    let large = source.directory((0..3000).map(|at| (alloc::format!("{long}{at}"), file)));
    source.root = source.directory([("a", large)]).cid;
    let (paths, _) = walk(&source, &[]);
    assert_eq!(paths.len(), 3002);
    let (paths, blocks) = walk(&source, &["a"]);
    assert!(blocks <= 2 + 64 && paths.len() <= 2 + 64, "{blocks} {}", paths.len());
}

#[test]
fn a_node_is_as_long_as_its_link_claims_within_what_a_node_can_be() {
    const MOST: u64 = 2 << 20;
    let estimates = [0, 1, MOST - 1, MOST, MOST + 1, u64::MAX].map(estimate);
    assert_eq!(estimates, [16 << 10, 1, MOST - 1, MOST, MOST, MOST]);
}
