//! One piece of work by name, for `ci/instructions`, which counts what it costs: `instructions CASE TIMES`.
//!
//! The preparation is the same whatever TIMES is, so that the difference of two runs is the work alone.

use std::hint::black_box;
use std::process::ExitCode;

use bitswap_benches::blocks::{answers, blocks, wants, wire};
use bitswap_benches::engines::{Carrier, Pair};
use bitswap_core::Prefix;
use bitswap_core::chunk::{Bounds, Importer, Manifest, Profile, RAW, Tree};
use bitswap_core::message::{Message, Payload, Version, decode};
use cid::Cid;

/// What is counted: its name, how many units its work has (blocks, entries, leaves or MiB), and the work, so many
/// times.
type Case = (&'static str, u32, fn(u32));

const CASES: [Case; 9] = [
    ("engines, 1 KiB blocks as values", 1000, |times| fetch(times, 1 << 10, Carrier::Values)),
    ("engines, 1 KiB blocks on the wire", 1000, |times| fetch(times, 1 << 10, Carrier::Wire)),
    ("decode a message of 1000 wants", 1000, |times| decoding(times, &wants(1000))),
    ("decode a message of 1000 blocks of 1 KiB", 1000, |times| {
        decoding(times, &answers(1000, 1 << 10));
    }),
    ("encode a message of 1000 wants", 1000, |times| encoding(times, &wants(1000))),
    ("encode a message of 1000 blocks of 1 KiB", 1000, |times| {
        encoding(times, &answers(1000, 1 << 10));
    }),
    ("verify blocks of 1 KiB", 1000, verify),
    ("import 4 MiB", 4, import),
    ("read the manifest of 1000 leaves", 1000, manifest),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [] => {
            CASES.iter().for_each(|(name, units, _)| println!("{name}\t{units}"));
            ExitCode::SUCCESS
        }
        [name, times] => {
            let case = CASES.iter().find(|(known, ..)| known == name);
            let (Some((_, _, work)), Ok(times)) = (case, times.parse()) else {
                eprintln!("no such case, or no number");
                return ExitCode::from(2);
            };
            work(times);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("instructions [CASE TIMES]");
            ExitCode::from(2)
        }
    }
}

fn fetch(times: u32, len: usize, carrier: Carrier) {
    let blocks = blocks(1000, len);
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    let mut pairs: Vec<Pair> = (0..2).map(|_| Pair::new(&blocks, carrier)).collect();
    for pair in pairs.iter_mut().take(times as usize) {
        black_box(pair.fetch(&cids));
    }
}

fn decoding(times: u32, message: &Message) {
    let wire = wire(message);
    let body = wire.slice(wire.len() - message.encoded_len(Version::V1_2)..);
    for _ in 0..times {
        black_box(decode(black_box(&body)).expect("a message of ours"));
    }
}

fn encoding(times: u32, message: &Message) {
    for _ in 0..times {
        black_box(black_box(message).encode(Version::V1_2));
    }
}

fn verify(times: u32) {
    let blocks = blocks(1000, 1 << 10);
    for _ in 0..times {
        for block in &blocks {
            let prefix = Prefix::of(block.cid()).expect("a usual CID");
            let payload = Payload { prefix, data: block.data().clone() };
            black_box(payload.verify().expect("a known hash"));
        }
    }
}

fn import(times: u32) {
    let bytes = blocks(1, 4 << 20).remove(0).into_parts().1;
    for _ in 0..times {
        let mut importer = Importer::new(Profile::UnixfsV0_2015);
        importer.write(bytes.clone());
        black_box(importer.finish());
        while let Some(block) = importer.poll_block() {
            black_box(block);
        }
    }
}

fn manifest(times: u32) {
    const LEAF: u64 = 256 << 10;
    let mut tree = Tree::new(Profile::UnixfsV0_2015);
    let mut nodes = Vec::new();
    for leaf in blocks(1000, 8) {
        nodes.extend(tree.push_range(*leaf.cid(), LEAF, LEAF));
    }
    let (root, last) = tree.finish();
    nodes.extend(last);
    let block = |cid: &Cid| nodes.iter().find(|block| block.cid() == cid).expect("a node").data();
    for _ in 0..times {
        let mut manifest = Manifest::new(0..u64::MAX, Bounds::default());
        let node = manifest.read(&root.cid, block(&root.cid)).expect("a node of ours");
        let mut open = manifest.open(&root.cid, &node).expect("a root of ours").segments;
        while let Some(segment) = open.pop() {
            if segment.cid.codec() != RAW {
                let node = manifest.read(&segment.cid, block(&segment.cid)).expect("a node");
                open.extend(manifest.expand(&segment, &node).expect("as its parent says").segments);
            }
        }
    }
}
