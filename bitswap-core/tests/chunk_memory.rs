//! What a DAG can make a download hold stays within what its options say.
//!
//! A process of one thread and without a test harness, so that nothing else allocates meanwhile.

use std::alloc::System;
use std::collections::VecDeque;

use bitswap_core::chunk::{
    DAG_PB, Done, Download, DownloadEvent, DownloadOptions, DownloadOutput, Effect, FsError,
    FsErrorKind, Order, Outcome, RAW, Stamp,
};
use bitswap_core::{Block, Prefix, Timestamp};
use bytes::Bytes;
use cap::Cap;
use cid::Cid;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const NOW: Timestamp = Timestamp::ZERO;
const MIB: u64 = 1 << 20;
/// The most links that a node may have.
const WIDE: usize = 1 << 14;

fn main() {
    nodes_of_children_without_bytes_stay_within_the_window();
    wide_nodes_above_withheld_leaves_stay_within_the_window();
    a_path_of_wide_nodes_stays_within_the_bound();
    leaves_of_a_byte_stay_within_the_bound();
    leaves_wrapped_in_junk_count_as_what_they_hold();
    leaves_that_repeat_stay_within_the_bound();
    println!("6 passed, 0 failed");
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    put_varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

/// A link as its parent writes it: CID, bytes of the file below, and size of the blocks below.
type Link = (Cid, u64, u64);

/// An inner node.
fn node(links: &[Link]) -> Block {
    let mut block = Vec::new();
    let mut meta = vec![8, 2];
    for (cid, len, tsize) in links {
        let mut link = [field(1, &cid.to_bytes()), field(2, b"")].concat();
        link.push(0x18);
        put_varint(&mut link, *tsize);
        block.extend(field(2, &link));
        meta.push(0x20);
        put_varint(&mut meta, *len);
    }
    block.extend(field(1, &meta));
    Prefix::of(&leaf_cid(DAG_PB, 0)).unwrap().block(block.into()).unwrap()
}

/// A CID that no block of these tests has: each number another.
fn leaf_cid(codec: u64, number: u64) -> Cid {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    Cid::new_v1(codec, cid::multihash::Multihash::wrap(0x12, &digest).unwrap())
}

/// A download by hand: what it asks for, and the most that it held after any step.
struct Run {
    download: Download,
    before: usize,
    most: usize,
    asked: VecDeque<Cid>,
    outcome: Option<Outcome>,
    /// The disk answers no write.
    is_slow: bool,
}

impl Run {
    fn new(root: &Block, options: DownloadOptions) -> Self {
        let asked = VecDeque::with_capacity(1 << 20);
        let before = ALLOCATOR.allocated();
        let options = DownloadOptions { check_space: false, ..options };
        let download = Download::new(*root.cid(), options, NOW);
        let mut run = Self { download, before, most: 0, asked, outcome: None, is_slow: false };
        run.drain();
        run.give(root);
        run
    }

    fn drain(&mut self) {
        while let Some(output) = self.download.poll_output() {
            match output {
                DownloadOutput::Want(want) => self.asked.push_back(want.cid),
                DownloadOutput::Cancel(cid) => self.asked.retain(|asked| *asked != cid),
                DownloadOutput::Effect(_, Effect::Write { offset, .. })
                    if self.is_slow && offset < u64::MAX / 2 => {}
                DownloadOutput::Effect(id, effect) => {
                    let missing = FsError { kind: FsErrorKind::NotFound, code: None };
                    let result = match effect {
                        Effect::Open { create: false, .. } | Effect::Read { .. } => Err(missing),
                        Effect::Open { .. } => Ok(Done::Opened { len: 0 }),
                        Effect::Stamp => Ok(Done::Stamp(Stamp([0; 32]))),
                        Effect::FreeSpace => Ok(Done::Space(u64::MAX)),
                        Effect::Check(_) => Ok(Done::Equal(false)),
                        _ => Ok(Done::Unit),
                    };
                    self.download.handle_done(id, result, NOW);
                }
                DownloadOutput::Event(DownloadEvent::Ended(outcome)) => {
                    self.outcome = Some(outcome);
                }
                DownloadOutput::Event(_) => {}
            }
        }
        self.most = self.most.max(ALLOCATOR.allocated().saturating_sub(self.before));
    }

    fn give(&mut self, block: &Block) {
        self.asked.retain(|asked| asked != block.cid());
        self.download.handle_block(block, NOW);
        self.drain();
    }

    /// Gives what is asked for as long as it is among `blocks`, and tells how many that were.
    fn serve(&mut self, steps: usize, blocks: &[Block]) -> usize {
        let find = |cid: &Cid| blocks.iter().find(|block| block.cid() == cid);
        let mut withheld = 0;
        for step in 0..steps {
            let Some(cid) = self.asked.pop_front() else { return step };
            match find(&cid) {
                Some(block) => {
                    // Nobody else holds what it is given.
                    let data = Bytes::copy_from_slice(block.data());
                    self.download.handle_block(&Block::new_unchecked(cid, data), NOW);
                    self.drain();
                    withheld = 0;
                }
                None => {
                    self.asked.push_back(cid);
                    withheld += 1;
                    if withheld >= self.asked.len() {
                        return step;
                    }
                }
            }
        }
        steps
    }

    fn assert_within(&self, what: &str, most: u64) {
        println!("{what}: {} KiB held of {} KiB", self.most >> 10, most >> 10);
        assert!(self.most as u64 <= most, "{what}: {} held, {most} allowed", self.most);
    }
}

fn options(window: u64, order: Order) -> DownloadOptions {
    DownloadOptions { window, order, ..DownloadOptions::default() }
}

/// Each node has one leaf with bytes, which nobody delivers, and 16,383 links that hold nothing.
fn nodes_of_children_without_bytes_stay_within_the_window() {
    let node_of = |number: u64| {
        let mut links = vec![(leaf_cid(RAW, 0), 0, 0); WIDE - 1];
        links.push((leaf_cid(RAW, 1 + number), 3 * MIB, 3 * MIB));
        node(&links)
    };
    let nodes: Vec<Block> = (0..30).map(node_of).collect();
    // Their parent says nothing, or that they are small.
    for (window, tsize) in [(1, 0), (32 * MIB, 0), (32 * MIB, 3 * MIB + 50)] {
        let links = nodes.iter().map(|node| (*node.cid(), 3 * MIB, tsize));
        let root = node(&links.collect::<Vec<_>>());
        let mut run = Run::new(&root, options(window, Order::Sequential));
        run.serve(3000, &nodes);
        // Only the children that hold something are kept: a few hundred bytes of each node.
        run.assert_within(&format!("children without bytes, window {window}"), MIB / 4);
    }
}

/// Nodes of as many leaves as possible, which nobody delivers.
fn wide_nodes_above_withheld_leaves_stay_within_the_window() {
    let node_of = |number: u64| {
        let first = 1 + number * WIDE as u64;
        let leaf = |at: u64| (leaf_cid(RAW, first + at), 1000, 1000);
        node(&(0..WIDE as u64).map(leaf).collect::<Vec<_>>())
    };
    let len = WIDE as u64 * 1000;
    let nodes: Vec<Block> = (0..30).map(node_of).collect();
    for (window, order, tsize) in [
        (MIB, Order::Sequential, len + 50),
        (8 * MIB, Order::Sequential, len + 50),
        (8 * MIB, Order::Random, 0),
    ] {
        let links = nodes.iter().map(|node| (*node.cid(), len, tsize));
        let root = node(&links.collect::<Vec<_>>());
        let mut run = Run::new(&root, options(window, order));
        run.serve(100, &nodes);
        // One node, or those that fit a quarter of the window; and the ranges, as many as that window has.
        let rows = (window / 512).clamp(4096, 65_536) * 512;
        let most = (window / 4).max(3 * MIB) + rows + MIB;
        run.assert_within(&format!("wide nodes, window {window}, {order:?}"), most);
    }
}

/// Each node has as many links as possible, the first of which is the next node.
fn a_path_of_wide_nodes_stays_within_the_bound() {
    let mut path = Vec::new();
    let mut below = (leaf_cid(RAW, 0), 1000, 1000);
    for level in 1..=32 {
        let leaf = |at: u64| (leaf_cid(RAW, level * WIDE as u64 + at), 1000, 1000);
        let links = core::iter::once(below).chain((1..WIDE as u64).map(leaf));
        let block = node(&links.collect::<Vec<_>>());
        let len = below.1 + (WIDE as u64 - 1) * 1000;
        below = (*block.cid(), len, len + (760 << 10));
        path.push(block);
    }
    let root = path.pop().unwrap();
    for (window, order) in
        [(1, Order::Sequential), (32 * MIB, Order::Deadline), (32 * MIB, Order::Random)]
    {
        let options = options(window, order);
        let rows = (window / 512).clamp(4096, 65_536) * 512;
        // The root and one more, or those that fit a quarter of the window.
        let most = rows + (window / 4).max(3 * MIB) + 3 * MIB;
        assert!(most <= options.memory_max());
        let mut run = Run::new(&root, options);
        run.serve(100, &path);
        run.assert_within(&format!("a path, window {window}, {order:?}"), most);
    }
}

/// What is asked for is short, and its bookkeeping is not.
fn leaves_of_a_byte_stay_within_the_bound() {
    let node_of = |number: u64| {
        let first = 1 + number * WIDE as u64;
        node(&(0..WIDE as u64).map(|at| (leaf_cid(RAW, first + at), 1, 1)).collect::<Vec<_>>())
    };
    let len = WIDE as u64;
    let nodes: Vec<Block> = (0..6).map(node_of).collect();
    let links = nodes.iter().map(|node| (*node.cid(), len, len + (760 << 10)));
    let root = node(&links.collect::<Vec<_>>());
    for (window, order) in
        [(MIB, Order::Sequential), (32 * MIB, Order::Sequential), (32 * MIB, Order::Random)]
    {
        let options = options(window, order);
        let rows = (window / 512).clamp(4096, 65_536) * 512;
        let mut run = Run::new(&root, options);
        run.serve(100, &nodes);
        let most = rows + (window / 4).max(3 * MIB);
        run.assert_within(&format!("leaves of a byte, window {window}, {order:?}"), most);
    }
}

/// A leaf of five bytes whose block has a MiB of fields that nobody knows, on a disk that stands still.
fn leaves_wrapped_in_junk_count_as_what_they_hold() {
    let leaf_of = |number: u32| {
        let junk = field(9, &vec![0; MIB as usize]);
        let number = number.to_le_bytes();
        let meta = [&[8, 2][..], &field(2, &[number[0], number[1], 3, 4, 5]), &junk].concat();
        let prefix = Prefix::of(&leaf_cid(DAG_PB, 0)).unwrap();
        prefix.block(field(1, &meta).into()).unwrap()
    };
    let leaves: Vec<Block> = (0..30).map(leaf_of).collect();
    let links = leaves.iter().map(|leaf| (*leaf.cid(), 5, 5));
    let mut run = Run::new(&node(&links.collect::<Vec<_>>()), options(32 * MIB, Order::Sequential));
    run.is_slow = true;
    assert_eq!(run.serve(1000, &leaves), 30);
    run.assert_within("leaves in junk", MIB / 4);
}

/// Each node holds twice a leaf of its own, and all the leaves before it.
fn leaves_that_repeat_stay_within_the_bound() {
    let leaf_of = |number: u32| {
        let mut data = vec![9; MIB as usize];
        data[..4].copy_from_slice(&number.to_le_bytes());
        Prefix::of(&leaf_cid(RAW, 0)).unwrap().block(Bytes::from(data)).unwrap()
    };
    let leaves: Vec<Block> = (0..12).map(leaf_of).collect();
    let links_of = |number: usize| {
        let links = [&leaves[number], &leaves[number]].into_iter().chain(&leaves[..number]);
        links.map(|leaf| (*leaf.cid(), MIB, MIB)).collect::<Vec<_>>()
    };
    let mut blocks = leaves.clone();
    let mut links = Vec::new();
    for number in 0..leaves.len() {
        let below = links_of(number);
        let block = node(&below);
        let len = below.len() as u64 * MIB;
        links.push((*block.cid(), len, len + 3000));
        blocks.push(block);
    }
    let root = node(&links);
    for (window, order) in
        [(1, Order::Sequential), (4 * MIB, Order::Random), (32 * MIB, Order::Sequential)]
    {
        let mut run = Run::new(&root, options(window, order));
        run.serve(10_000, &blocks);
        assert!(matches!(run.outcome, Some(Outcome::Finished(_))), "{:?}", run.outcome);
        // No more than the window, leaves that are kept, and small things.
        let most = window + MIB + (window / 4).max(MIB) + (200 << 10);
        run.assert_within(&format!("leaves that repeat, window {window}, {order:?}"), most);
    }
}
