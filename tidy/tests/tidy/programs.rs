//! Programs in the READMEs that run a node get by with two crates of ours, and with what those re-export.

use std::collections::BTreeSet;

use crate::tree::{self, File};

/// Crates whose types a node's users need: the node re-exports them.
const RE_EXPORTED: [&str; 5] = ["bitswap_core", "bitswap_libp2p", "bytes", "cid", "libp2p"];

/// The programs in Rust that a text has, with its name.
fn programs(file: &File) -> Vec<&str> {
    let blocks = file.text.split("```rust\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default()).collect()
}

/// The crates that a program names in its imports.
fn crates(program: &str) -> BTreeSet<&str> {
    let imports = program.lines().filter_map(|line| line.trim_start().strip_prefix("use "));
    let first = imports.map(|path| path.split([':', ';', ' ']).next().unwrap_or_default());
    first.filter(|name| *name != "std").collect()
}

/// What is wrong with the programs of a file that run a node, and how many there are.
fn node_programs(file: &File) -> (usize, Vec<String>) {
    let (mut seen, mut wrong) = (0, Vec::new());
    for program in programs(file).into_iter().filter(|text| text.contains("Node::builder(")) {
        seen += 1;
        let crates = crates(program);
        let ours = crates.iter().filter(|name| name.starts_with("bitswap_")).count();
        if ours > 2 || RE_EXPORTED.iter().any(|name| crates.contains(name)) {
            wrong.push(format!("{}: a program with a node names {crates:?}", file.path));
        }
    }
    (seen, wrong)
}

#[test]
fn a_program_with_a_node_names_two_crates_of_ours_and_none_that_the_node_re_exports() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in tree::files("README.md") {
        let (here, bad) = node_programs(&file);
        seen += here;
        wrong.extend(bad);
    }
    assert!(seen >= 3, "{seen} programs: the scanner sees too few");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scanner_sees_a_program_that_names_more() {
    for extra in ["use cid::Cid;", "use libp2p::PeerId;", "use bitswap_other::Thing;"] {
        let text = format!(
            "```rust\nuse bitswap_node::Node;\n{extra}\nuse bitswap_runtime_x::X;\nNode::builder(X);\n```\n"
        );
        let (seen, wrong) = node_programs(&File { path: "README.md".to_owned(), text });
        assert_eq!((seen, wrong.len()), (1, 1), "{extra}");
    }
}
