//! Any order of answers, and any bytes as blocks.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

use super::harness::*;
use crate::chunk::testing::FakeDisk;
use crate::chunk::unixfs::encode_inner;
use crate::chunk::*;
use crate::prefix::Prefix;

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(64)))]

    /// Effects and blocks are answered in any order, with pauses, seeks and changes of order.
    #[test]
    fn any_order_of_answers_gives_the_file(
        lens in proptest::collection::vec(1..300usize, 0..40),
        repeats in any::<bool>(),
        window in 1..3000u64,
        choices in proptest::collection::vec((0..9u8, any::<u64>()), 0..200),
    ) {
        let file = if repeats {
            File::of_leaves(lens.iter().map(|len| vec![1; len % 3 + 1]))
        } else {
            File::of(lens)
        };
        let options = DownloadOptions { window, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, FakeDisk::new());
        for (choice, number) in choices {
            match choice {
                0..=2 => _ = run.run_effect_at(number as usize),
                3..=4 => _ = run.deliver_at(number as usize),
                5 => _ = run.wait(),
                6 => run.download.pause(run.now),
                7 => run.download.resume(run.now),
                _ => {
                    let orders = [Order::Sequential, Order::Rarest, Order::Deadline, Order::Random];
                    run.download.set_order(orders[(number % 4) as usize], run.now);
                    run.download.seek(number % 5000, run.now);
                }
            }
            run.drain();
        }
        run.download.resume(run.now);
        prop_assert_eq!(run.finish(), finished(file.bytes.len()));
        prop_assert_eq!(run.disk.bytes(FileRole::Target(0)), Some(&file.bytes[..]));
        prop_assert!(run.disk.is_idle());
    }

    /// A root of any bytes ends in an error or in a download, never in a panic, and never has a
    /// node of more than its bytes can hold.
    #[test]
    fn any_bytes_are_read_as_a_node_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        if let Ok(node) = FileNode::decode(DAG_PB, &bytes, 1 << 16) {
            prop_assert!(node.children.len() * 5 <= bytes.len());
            let len = |child: &Child| u128::from(child.len);
            let sum: u128 = node.children.iter().map(len).sum();
            prop_assert_eq!(u128::from(node.size), sum + node.data.len() as u128);
        }
    }

    /// Nodes that are nearly right: bytes of a real node, changed in one place.
    #[test]
    fn a_changed_node_is_refused_or_consistent(at in any::<usize>(), to in any::<u8>()) {
        let file = File::of([10, 20, 30]);
        let mut bytes = file.blocks[&file.root].to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        let block = Prefix::V0.block(Bytes::from(bytes)).unwrap();
        let (root, data) = block.into_parts();
        if let Ok(node) = FileNode::decode(DAG_PB, &data, 1 << 16) {
            let mut manifest = Manifest::new(0..u64::MAX, Bounds::default());
            if let Ok(contents) = manifest.open(&root, &node) {
                let mut end = 0;
                for segment in &contents.segments {
                    prop_assert!(segment.offset >= end, "segments do not overlap");
                    end = segment.offset + segment.len;
                }
                prop_assert!(end <= node.size);
            }
        }
    }
}

/// Each level points 100 times to the next: 10¹⁶ leaves from 9 blocks.
fn bomb() -> File {
    let mut blocks = BTreeMap::new();
    let mut put = |codec: u64, data: Vec<u8>| {
        let prefix = Prefix::of(&Cid::new_v1(codec, *cid_of(b"").hash())).unwrap();
        let (cid, data) = prefix.block(data.into()).unwrap().into_parts();
        blocks.insert(cid, data);
        cid
    };
    let (mut top, mut len) = (put(RAW, vec![1]), 1u64);
    for _ in 0..8 {
        let link = top.to_bytes();
        let links = core::iter::repeat_n((&link[..], 1, len), 100);
        top = put(DAG_PB, encode_inner(links));
        len *= 100;
    }
    File { root: top, bytes: vec![], blocks, leaves: vec![] }
}

#[test]
fn ranges_that_multiply_end_at_the_bound() {
    let file = bomb();
    let bounds = Bounds { segments: 5000, ..Bounds::default() };
    let options = DownloadOptions { bounds, check_space: false, ..DownloadOptions::default() };
    let mut run = Run::new(&file, options, FakeDisk::sparse());
    let Outcome::Failed(DownloadError::InvalidDag(invalid)) = run.finish() else { panic!() };
    assert_eq!(invalid.reason, DagFault::TooManySegments);
}

#[test]
fn ranges_that_multiply_cost_bounded_memory() {
    let file = bomb();
    for order in [Order::Sequential, Order::Rarest, Order::Deadline, Order::Random] {
        let options = DownloadOptions { order, check_space: false, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, FakeDisk::sparse());
        for _ in 0..100 {
            run.step();
            let footprint = run.download.map().map_or((0, 0, 0), |map| map.footprint());
            let (rows, queued, targets) = footprint;
            let most = (1 << 16) + 9 * 100;
            assert!(rows.max(targets) <= most, "{order:?}: {footprint:?}");
            // A row may be in the queue and known by its place.
            assert!(queued <= 2 * most, "{order:?}: {footprint:?}");
        }
        assert_eq!(run.wanted.len(), 9, "every block once");
        run.download.cancel(run.now);
        assert_eq!(run.finish(), Outcome::Cancelled);
    }
}
