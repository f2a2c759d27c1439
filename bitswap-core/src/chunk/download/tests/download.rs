//! What a download asks for and writes.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use cid::Cid;

use super::harness::*;
use crate::chunk::testing::{FakeDisk, fs_error};
use crate::chunk::unixfs::{encode_inner, encode_node};
use crate::chunk::*;
use crate::prefix::Prefix;
use crate::time::Timestamp;

fn fetch(file: &File, options: DownloadOptions) -> Run<'_> {
    let mut run = Run::new(file, options, FakeDisk::new());
    run.finish();
    run
}

fn target<'a>(run: &'a Run<'_>) -> &'a [u8] {
    run.disk.bytes(FileRole::Target(0)).expect("a target")
}

#[test]
fn every_file_shape_arrives_byte_for_byte_and_leaves_nothing_behind() {
    for lens in [vec![], vec![1], vec![10; 2], vec![10; 174], vec![9; 175], vec![3; 174 * 174 + 1]]
    {
        let file = File::of(lens);
        let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
        assert_eq!(run.finish(), finished(file.bytes.len()));
        assert_eq!(target(&run), file.bytes);
        assert_eq!(run.disk.files(), [FileRole::Target(0)]);
        assert!(run.disk.is_idle());
        let mut blocks: Vec<_> = run.wanted.clone();
        blocks.sort();
        blocks.dedup();
        assert_eq!(blocks.len(), run.wanted.len(), "nothing is asked for twice");
        assert_eq!(run.wanted.len(), file.blocks.len().max(1));
    }
}

#[test]
fn an_empty_file_is_created_and_reported() {
    let file = File::of([]);
    let run = fetch(&file, DownloadOptions::default());
    assert_eq!(target(&run), b"");
    assert_eq!(run.events[0], DownloadEvent::Started { total: 0, have: 0 });
    assert_eq!(run.outcome(), Some(finished(0)));
}

#[test]
fn chunks_of_unequal_length_are_written_at_their_offsets() {
    let file = File::of([1000, 28, 3, 777, 1, 1, 4096]);
    assert_eq!(target(&fetch(&file, DownloadOptions::default())), file.bytes);
}

#[test]
fn an_inline_root_needs_no_block() {
    let text = cid::multihash::Multihash::wrap(0, b"inline").unwrap();
    let root = Cid::new_v1(RAW, text);
    let file = File { root, bytes: b"inline".to_vec(), blocks: BTreeMap::new(), leaves: vec![] };
    let run = fetch(&file, DownloadOptions::default());
    assert_eq!(target(&run), b"inline");
    assert!(run.wanted.is_empty());
}

#[test]
fn a_trickle_layout_with_wrapped_leaves_is_read() {
    // A root with data of its own, a leaf beside a subtree, leaves of both wrapped types.
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let mut blocks = BTreeMap::new();
    let mut put = |block: Bytes| {
        let (cid, block) = Prefix::V0.block(block).unwrap().into_parts();
        blocks.insert(cid, block.clone());
        (cid.to_bytes(), block.len() as u64)
    };
    let (a, b) = (
        put(LeafForm::WrappedFile.block(&text("bb"))),
        put(LeafForm::WrappedRaw.block(&text("ccc"))),
    );
    let sub = encode_inner([(&b.0[..], b.1, 3), (&a.0[..], a.1, 2)].into_iter());
    let sub = put(sub.into());
    let meta = [8, 2, 0x12, 1, b'a', 0x18, 8, 0x20, 2, 0x20, 5];
    let root =
        encode_node([(&a.0[..], &b""[..], a.1), (&sub.0[..], b"", sub.1)].into_iter(), &meta);
    let root = Cid::try_from(&put(root.into()).0[..]).unwrap();
    let file = File { root, bytes: b"abbcccbb".to_vec(), blocks, leaves: vec![] };
    let run = fetch(&file, DownloadOptions::default());
    assert_eq!(target(&run), b"abbcccbb");
}

#[test]
fn a_leaf_at_a_thousand_offsets_is_requested_once_and_written_a_thousand_times() {
    let file = File::of_leaves(vec![vec![7; 64]; 1000]);
    let run = fetch(&file, DownloadOptions::default());
    assert_eq!(target(&run), file.bytes);
    assert_eq!(run.leaves_wanted(), 1);
    let writes = run.positions(|effect| matches!(effect, Effect::Write { .. }));
    assert_eq!(writes.len(), 1 + 1000, "the id, and the leaf");
}

#[test]
fn a_leaf_that_repeats_below_many_nodes_is_wanted_once() {
    // 58 nodes, of which the window lets only a few be known at a time.
    let file = File::of_leaves(vec![vec![7; 64]; 10_000]);
    let run = fetch(&file, DownloadOptions { window: 1, ..DownloadOptions::default() });
    assert_eq!(target(&run), file.bytes);
    assert_eq!(run.leaves_wanted(), 1);
}

#[test]
fn a_range_wants_only_what_covers_it() {
    // Three levels: a root, 3 nodes of 174, 174 and 52 leaves of 10 bytes.
    let file = File::of(vec![10; 400]);
    for (wanted, nodes, leaves) in [
        (0..10, 1, 1),
        (5..15, 1, 2),
        (1735..1745, 2, 2),
        (1740..1741, 1, 1),
        (1739..3481, 3, 176),
        (3995..9999, 1, 1),
        (4000..5000, 0, 0),
        (70..70, 0, 0),
    ] {
        let options = DownloadOptions { wanted: wanted.clone(), ..DownloadOptions::default() };
        let run = fetch(&file, options);
        let end = (wanted.end as usize).min(file.bytes.len());
        let start = (wanted.start as usize).min(end);
        assert_eq!(target(&run), &file.bytes[start..end]);
        assert_eq!(run.leaves_wanted(), leaves, "leaves of {wanted:?}");
        assert_eq!(run.wanted.len(), 1 + nodes + leaves, "nodes of {wanted:?}");
    }
}

#[test]
fn an_invalid_dag_fails_before_anything_is_allocated() {
    let huge = encode_inner([(&cid_of(b"x").to_bytes()[..], 1, (1 << 62) + 1)].into_iter());
    let (root, block) = Prefix::V0.block(huge.into()).unwrap().into_parts();
    let file = File { root, bytes: vec![], blocks: [(root, block)].into(), leaves: vec![] };
    let run = fetch(&file, DownloadOptions::default());
    let invalid = InvalidDag { cid: root, reason: DagFault::TooLarge };
    assert_eq!(run.outcome(), Some(failed(DownloadError::InvalidDag(invalid))));
    assert!(run.positions(|effect| matches!(effect, Effect::Allocate { .. })).is_empty());
    assert!(run.disk.is_idle());
}

#[test]
fn a_false_length_below_the_root_fails_with_the_block_that_has_it() {
    let mut file = File::of([10, 10]);
    let leaf = Prefix::of(&file.leaves[0]).unwrap().block(Bytes::from_static(b"short")).unwrap();
    let (cid, data) = leaf.into_parts();
    let links = [(cid.to_bytes(), 10), (file.leaves[1].to_bytes(), 10)];
    let root = encode_inner(links.iter().map(|(cid, len)| (&cid[..], 10, *len)));
    let (root, block) = Prefix::V0.block(root.into()).unwrap().into_parts();
    file.root = root;
    file.blocks.extend([(root, block), (cid, data)]);
    let run = fetch(&file, DownloadOptions::default());
    let reason = DagFault::LengthMismatch { claimed: 10, actual: 5 };
    let error = DownloadError::InvalidDag(InvalidDag { cid, reason });
    assert_eq!(run.outcome(), Some(failed(error)));
    assert!(run.disk.is_idle());
}

#[test]
fn the_window_bounds_what_is_asked_for_and_held() {
    let file = File::of(vec![1000; 170]);
    let options = DownloadOptions { window: 5000, ..DownloadOptions::default() };
    let mut run = Run::new(&file, options, FakeDisk::new());
    while run.download.map().is_none() {
        run.step();
    }
    // The root, which is no leaf, is not kept for longer than it takes to read it.
    assert_eq!(run.held(), 0);
    // A slow disk and fast peers: an operation ends when nothing more can be delivered.
    let (mut most_asked, mut most_held, mut most) = (0, 0, 0);
    while !run.is_over() {
        let (asked, held) = (run.asked.len() * 1000, run.held());
        (most_asked, most_held) = (most_asked.max(asked), most_held.max(held));
        most = most.max(asked + held);
        if !run.deliver() && !run.run_effect() {
            run.wait();
        }
    }
    assert_eq!((most_asked, most_held, most), (5000, 5000, 5000), "the window is used, and kept");
    assert_eq!(run.held(), 0);
    assert_eq!(target(&run), file.bytes);
}

#[test]
fn each_order_asks_as_documented() {
    let file = File::of(vec![10; 12]);
    let wants = |order: Order, prepare: &dyn Fn(&mut Download)| {
        let options = DownloadOptions { order, window: 1, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, FakeDisk::new());
        while run.download.map().is_none() {
            run.step();
        }
        let first = run.wanted.len();
        prepare(&mut run.download);
        run.finish();
        let role = |cid: &Cid| file.leaves.iter().position(|leaf| leaf == cid).unwrap();
        run.wanted[first - 1..].iter().map(role).collect::<Vec<_>>()
    };
    let sequential: Vec<_> = (0..12).collect();
    assert_eq!(wants(Order::Sequential, &|_| {}), sequential);
    let mut holders = Holders::new(3);
    for (leaf, of) in [(2, 1), (3, 2), (11, 1)] {
        holders.insert(file.leaves[leaf], of);
    }
    // The first leaf is asked for before this is told.
    let rarest = wants(Order::Rarest, &|download| {
        download.set_holders(holders.clone());
    });
    assert_eq!(rarest, [0, 2, 11, 3, 1, 4, 5, 6, 7, 8, 9, 10]);
    let deadline = wants(Order::Deadline, &|download| download.seek(75, Timestamp::ZERO));
    assert_eq!(deadline, [0, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6]);
    let random = wants(Order::Random, &|_| {});
    assert_ne!(random, sequential);
    assert_eq!(random, wants(Order::Random, &|_| {}), "the seed decides");
}

#[test]
fn nodes_go_before_the_leaves_that_wait_beside_them() {
    // Two nodes below the root.
    let file = File::of(vec![10; 200]);
    for order in [Order::Sequential, Order::Rarest, Order::Random] {
        let options = DownloadOptions { order, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, FakeDisk::new());
        run.finish();
        let is_node = |cid: &&Cid| !file.leaves.contains(cid);
        assert_eq!(
            run.urgent.iter().collect::<Vec<_>>(),
            run.wanted.iter().filter(is_node).collect::<Vec<_>>()
        );
        assert_eq!(run.urgent.len(), 3);
    }
}

#[test]
fn a_reader_that_jumps_gets_its_blocks_within_one_round() {
    let file = File::of(vec![1000; 100]);
    let options = DownloadOptions {
        order: Order::Deadline,
        window: 4000,
        read_ahead: 3000,
        ..DownloadOptions::default()
    };
    let mut run = Run::new(&file, options, FakeDisk::new());
    run.silent = file.leaves[..20].to_vec();
    run.run_for(Duration::from_secs(1));
    assert_eq!(run.asked, &file.leaves[..4]);
    run.download.seek(50_500, run.now);
    run.drain();
    run.cancelled.sort();
    let mut first = file.leaves[..4].to_vec();
    first.sort();
    assert_eq!(run.cancelled, first);
    assert_eq!(run.asked, &file.leaves[50..54]);
    let have = |run: &Run<'_>| run.download.map().unwrap().have().contiguous_end(50_500);
    for _ in 0..20 {
        run.step();
    }
    assert!(have(&run) >= 54_000, "bytes are there in order");
}

#[test]
fn pausing_cancels_wants_and_resuming_requests_them_again() {
    let file = File::of(vec![1000; 50]);
    let options = DownloadOptions { window: 8000, ..DownloadOptions::default() };
    let mut run = Run::new(&file, options, FakeDisk::new());
    while run.download.map().is_none_or(|map| map.have().total() < 10_000) {
        run.step();
    }
    run.download.pause(run.now);
    run.drain();
    assert!(run.asked.is_empty());
    let wanted = run.wanted.len();
    run.run_for(Duration::from_secs(60));
    assert_eq!(run.wanted.len(), wanted, "nothing new while paused");
    assert!(run.disk.bytes(FileRole::Journal).is_some(), "what is there is claimed");
    run.download.resume(run.now);
    assert_eq!(run.finish(), finished(50_000));
    assert_eq!(target(&run), file.bytes);
}

#[test]
fn stopping_keeps_what_is_there_and_cancelling_removes_it() {
    let file = File::of(vec![1000; 50]);
    for cancel in [false, true] {
        let options = DownloadOptions { window: 8000, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, FakeDisk::new());
        while run.download.map().is_none_or(|map| map.have().total() < 10_000) {
            run.step();
        }
        if cancel {
            run.download.cancel(run.now);
        } else {
            run.download.stop(run.now);
        }
        let outcome = if cancel { Outcome::Cancelled } else { Outcome::Stopped };
        assert_eq!(run.finish(), outcome);
        assert!(run.asked.is_empty(), "every want was taken back");
        assert!(run.disk.is_idle());
        let kept = if cancel { vec![] } else { vec![FileRole::Temp, FileRole::Journal] };
        assert_eq!(run.disk.files(), kept);
    }
}

#[test]
fn a_cancelled_second_process_removes_nothing() {
    let file = File::of(vec![10; 3]);
    let mut disk = FakeDisk::new();
    disk.is_locked_elsewhere = true;
    disk.put(FileRole::Temp, b"the other's");
    let mut run = Run::new(&file, DownloadOptions::default(), disk);
    run.download.cancel(run.now);
    assert_eq!(run.finish(), Outcome::Cancelled);
    assert_eq!(run.disk.bytes(FileRole::Temp), Some(&b"the other's"[..]));
}

#[test]
fn a_second_download_to_the_same_target_is_refused() {
    let file = File::of(vec![10; 3]);
    let mut disk = FakeDisk::new();
    disk.is_locked_elsewhere = true;
    let mut run = Run::new(&file, DownloadOptions::default(), disk);
    assert_eq!(run.finish(), failed(DownloadError::AlreadyInProgress));
    assert!(run.wanted.is_empty());
}

#[test]
fn too_little_space_fails_before_any_leaf_is_wanted() {
    let file = File::of(vec![1000; 10]);
    let mut disk = FakeDisk::new();
    disk.space = Some(9_999);
    let mut run = Run::new(&file, DownloadOptions::default(), disk);
    let error = DownloadError::NotEnoughSpace { needed: 10_000, available: 9_999 };
    assert_eq!(run.finish(), failed(error));
    assert_eq!(run.wanted, [file.root]);
}

/// A disk that has no space for the temporary file and all of ten leaves of 1000 bytes.
fn small_disk(is_quota: bool) -> FakeDisk {
    // The id of the temporary file is the first that is written.
    let mut disk = FakeDisk::new();
    (disk.space, disk.is_quota) = (Some(4_524), is_quota);
    disk
}

#[test]
fn a_full_disk_pauses_and_goes_on_without_asking_again() {
    let file = File::of(vec![1000; 10]);
    for is_quota in [false, true] {
        let wait_for_space = Duration::from_secs(601);
        let options = DownloadOptions { wait_for_space, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, small_disk(is_quota));
        run.run_for(Duration::from_secs(600));
        let available = if is_quota { u64::MAX } else { 500 };
        let full = DownloadEvent::DiskFull { needed: 6_000, available, is_quota };
        assert_eq!(run.events.iter().filter(|event| **event == full).count(), 1, "said once");
        assert!(run.events.contains(&DownloadEvent::Stalled(StallReason::DiskSlow)));
        let tries = run.positions(|effect| matches!(effect, Effect::Write { .. })).len();
        assert!(tries < 4 + 8 + 20, "no busy loop: {tries}");
        run.disk.space = None;
        assert_eq!(run.finish(), finished(10_000));
        assert!(run.events.contains(&DownloadEvent::SpaceAvailable));
        assert_eq!(target(&run), file.bytes);
        assert_eq!(run.leaves_wanted(), 10, "nothing verified is fetched again");
    }
}

#[test]
fn a_disk_that_stays_full_ends_it_after_the_time_that_was_allowed_and_the_data_stays() {
    let file = File::of(vec![1000; 10]);
    for (seconds, is_quota) in [(0, false), (0, true), (1, false), (90, false), (90, true)] {
        let wait_for_space = Duration::from_secs(seconds);
        let options = DownloadOptions {
            wait_for_space,
            check_space: false,
            window: 1000,
            ..DownloadOptions::default()
        };
        let mut run = Run::new(&file, options.clone(), small_disk(is_quota));
        let (needed, available) = (6_000, 500);
        let error = match is_quota {
            true => DownloadError::QuotaExceeded { needed },
            false => DownloadError::NotEnoughSpace { needed, available },
        };
        assert_eq!(run.finish(), failed(error));
        assert_eq!(run.now.since(Timestamp::ZERO), wait_for_space);
        assert!(run.disk.is_idle());
        let mut disk = run.disk;
        disk.space = None;
        let mut again = Run::new(&file, options, disk);
        assert_eq!(again.finish(), finished(10_000));
        assert_eq!(again.leaves_wanted(), 6, "what was written is kept");
    }
}

#[test]
fn a_disk_without_room_for_the_temporary_file_is_waited_for_as_one_that_fills_up() {
    let file = File::of(vec![1000; 10]);
    for (seconds, is_quota) in [(0, false), (0, true), (90, false), (90, true)] {
        let wait_for_space = Duration::from_secs(seconds);
        let options =
            DownloadOptions { wait_for_space, check_space: false, ..DownloadOptions::default() };
        // Too little for the id.
        let mut disk = small_disk(is_quota);
        disk.space = Some(20);
        let mut run = Run::new(&file, options.clone(), disk.clone());
        let needed = 10_000;
        let error = match is_quota {
            true => DownloadError::QuotaExceeded { needed },
            false => DownloadError::NotEnoughSpace { needed, available: 20 },
        };
        assert_eq!(run.finish(), failed(error));
        assert_eq!(run.now.since(Timestamp::ZERO), wait_for_space);
        assert!(run.disk.is_idle());
        assert_eq!(run.wanted, [file.root]);
        if seconds == 0 {
            continue;
        }
        let tries = run.positions(|effect| matches!(effect, Effect::Write { .. })).len();
        assert!((2..10).contains(&tries), "no busy loop: {tries}");
        let mut run = Run::new(&file, options, disk);
        run.run_for(Duration::from_secs(80));
        let available = if is_quota { u64::MAX } else { 20 };
        let full = DownloadEvent::DiskFull { needed, available, is_quota };
        assert_eq!(run.events, vec![full; 1], "said once");
        run.disk.space = None;
        assert_eq!(run.finish(), finished(10_000));
        assert!(run.events.contains(&DownloadEvent::SpaceAvailable));
        assert_eq!(target(&run), file.bytes);
    }
}

#[test]
fn a_missing_block_ends_it_and_keeps_the_data() {
    let file = File::of(vec![1000; 10]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    run.silent = vec![file.leaves[4]];
    run.run_for(Duration::from_secs(20));
    assert!(run.events.contains(&DownloadEvent::Stalled(StallReason::PeersSilent)));
    run.fail_want(&file.leaves[4], Missing::NotFound);
    let error = DownloadError::Unavailable { cid: file.leaves[4] };
    assert_eq!(run.finish(), failed(error));
    assert_eq!(run.disk.files(), [FileRole::Temp, FileRole::Journal]);
    assert!(run.disk.is_idle());
}

#[test]
fn a_withdrawn_want_is_asked_for_again() {
    let file = File::of(vec![1000; 2]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    while !run.asked.contains(&file.leaves[1]) {
        run.step();
    }
    run.fail_want(&file.leaves[1], Missing::Withdrawn);
    assert_eq!(run.finish(), finished(2000));
    assert_eq!(run.leaves_wanted(), 3);
}

#[test]
fn a_write_error_is_tried_again_and_then_ends_it() {
    let file = File::of(vec![1000; 3]);
    let io = fs_error(FsErrorKind::Io);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    let probe = fetch(&file, DownloadOptions::default());
    // After the id, which belongs to no range.
    let write = probe.positions(|effect| matches!(effect, Effect::Write { .. }))[1];
    run.disk.fail_at = Some((write, io));
    assert_eq!(run.finish(), finished(3000));
    assert_eq!(target(&run), file.bytes);
    for kind in [FsErrorKind::PermissionDenied, FsErrorKind::ReadOnly, FsErrorKind::TooLarge] {
        let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
        run.disk.fail_at = Some((write, fs_error(kind)));
        let (operation, error) = (Operation::Write, fs_error(kind));
        assert_eq!(run.finish(), failed(DownloadError::File { operation, error }));
    }
}

#[test]
fn a_stranger_block_is_of_no_use() {
    let file = File::of(vec![1000; 3]);
    let other = File::of([5]);
    let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
    run.step();
    let block = other.block(&other.leaves[0]);
    assert!(!run.download.handle_block(&block, run.now));
    assert_eq!(run.finish(), finished(3000));
    assert!(!run.download.handle_block(&file.block(&file.root), run.now), "after the end");
}

#[test]
fn a_list_of_cids_and_lengths_becomes_a_file() {
    let file = File::of([100, 28, 5]);
    let mut tree = Tree::new(Profile::default());
    let mut nodes = Vec::new();
    for (cid, len) in file.leaves.iter().zip([100, 28, 5]) {
        nodes.extend(tree.push_range(*cid, len, len));
    }
    let (root, last) = tree.finish();
    nodes.extend(last);
    let mut listed = File { root: root.cid, ..File::of([100, 28, 5]) };
    listed.blocks.extend(nodes.into_iter().map(crate::Block::into_parts));
    assert_eq!(target(&fetch(&listed, DownloadOptions::default())), file.bytes);
}

#[test]
fn a_target_that_cannot_be_replaced_is_found_before_any_leaf_is_wanted() {
    let file = File::of(vec![1000; 10]);
    let options = || DownloadOptions { if_exists: IfExists::Replace, ..DownloadOptions::default() };
    // Of another length, and of the same.
    for old in [&[7; 30][..], &[7; 10_000]] {
        let mut disk = FakeDisk::new();
        disk.put(FileRole::Target(0), old);
        disk.is_busy = true;
        let mut run = Run::new(&file, options(), disk);
        let (operation, error) = (Operation::Replace, fs_error(FsErrorKind::Busy));
        assert_eq!(run.finish(), failed(DownloadError::File { operation, error }));
        assert_eq!(run.wanted, [file.root]);
        assert_eq!(target(&run), old);
    }
    // Nothing has to be replaced when the file is there.
    let mut disk = FakeDisk::new();
    disk.put(FileRole::Target(0), &file.bytes);
    disk.is_busy = true;
    assert!(
        matches!(Run::new(&file, options(), disk).finish(), Outcome::Finished(it) if it.already)
    );
}

#[test]
fn a_link_to_nothing_at_the_target_is_found_before_anything_is_wanted() {
    let file = File::of(vec![1000; 3]);
    for if_exists in [IfExists::Refuse, IfExists::Replace, IfExists::Unique] {
        let mut disk = FakeDisk::new();
        disk.is_dangling = true;
        let options = DownloadOptions { if_exists, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, disk);
        if if_exists == IfExists::Refuse {
            assert_eq!(run.finish(), failed(DownloadError::TargetExists));
            assert!(run.wanted.is_empty());
        } else {
            assert_eq!(run.finish(), finished(3000));
        }
    }
}

#[test]
fn a_lock_file_in_place_of_a_lock_is_reported() {
    let file = File::of(vec![1000; 3]);
    let mut disk = FakeDisk::new();
    disk.has_no_locks = true;
    let mut run = Run::new(&file, DownloadOptions::default(), disk);
    assert_eq!(run.finish(), finished(3000));
    assert_eq!(run.events.first(), Some(&DownloadEvent::LockFile));
    let run = fetch(&file, DownloadOptions::default());
    assert!(!run.events.contains(&DownloadEvent::LockFile));
}

/// A file of leaves of ten bytes below nodes of so many links, in as many levels as that takes.
fn tree_of(leaves: u32, links: usize) -> File {
    let mut file =
        File { root: cid_of(b""), bytes: vec![], blocks: BTreeMap::new(), leaves: vec![] };
    let mut level = Vec::new();
    for number in 0..leaves {
        let content = [&number.to_le_bytes()[..], &[7; 6]].concat();
        file.bytes.extend_from_slice(&content);
        let prefix = Prefix::of(&Cid::new_v1(RAW, *cid_of(b"").hash())).unwrap();
        let (cid, data) = prefix.block(content.into()).unwrap().into_parts();
        file.leaves.push(cid);
        file.blocks.insert(cid, data);
        level.push((cid.to_bytes(), 10, 10));
    }
    while level.len() > 1 {
        let nodes = level.chunks(links).map(|below| {
            let (len, tsize) = below.iter().fold((0, 0), |sum, it| (sum.0 + it.1, sum.1 + it.2));
            let below = below.iter().map(|(cid, len, tsize)| (&cid[..], *tsize, *len));
            let block = Prefix::V0.block(encode_inner(below).into()).unwrap();
            let size = block.data().len() as u64;
            let (cid, data) = block.into_parts();
            file.root = cid;
            file.blocks.insert(cid, data);
            (cid.to_bytes(), len, tsize + size)
        });
        level = nodes.collect();
    }
    file
}

#[test]
fn trees_of_all_widths_arrive_with_each_block_asked_for_once() {
    // Of three levels; and so wide that a node is all that the window has for nodes, and more.
    for (leaves, links, windows) in [
        (16_000, 174, &[64 << 10, 1 << 20, 32 << 20][..]),
        (12_000, 1024, &[1 << 20, 32 << 20]),
        (12_000, 4000, &[64 << 10, 1 << 20]),
        (17_000, 16_384, &[1 << 20]),
    ] {
        let file = tree_of(leaves, links);
        for window in windows {
            let run =
                fetch(&file, DownloadOptions { window: *window, ..DownloadOptions::default() });
            assert_eq!(run.outcome(), Some(finished(file.bytes.len())), "{links} {window}");
            assert!(target(&run) == file.bytes, "{links} {window}");
            assert_eq!(run.wanted.len(), file.blocks.len(), "{links} {window}");
        }
    }
}

/// Nodes are evicted from a window that is too small for a path of them, and asked for again.
#[test]
fn a_window_smaller_than_a_path_of_nodes_asks_for_nodes_again() {
    let file = tree_of(12_000, 100);
    for order in [Order::Sequential, Order::Rarest, Order::Deadline, Order::Random] {
        let options = DownloadOptions { window: 1000, order, ..DownloadOptions::default() };
        let mut run = Run::new(&file, options, FakeDisk::new());
        while run.download.map().is_none() {
            run.step();
        }
        run.download.seek(60_000, run.now);
        assert_eq!(run.finish(), finished(file.bytes.len()), "{order:?}");
        assert!(target(&run) == file.bytes);
        let again = run.wanted.len() - file.blocks.len();
        assert!((1..=260).contains(&again), "{again} asked for again, {order:?}");
    }
}

#[test]
fn bytes_in_a_node_are_written_without_waiting_for_time_to_pass() {
    let meta = [8, 2, 0x12, 2, b'x', b'y', 0x18, 5, 0x20, 3];
    let leaf = Bytes::from_static(b"abc");
    let cid = Cid::new_v1(RAW, *Prefix::V0.block(leaf.clone()).unwrap().cid().hash());
    let inline = [&[1, RAW as u8, 0, 3][..], b"abc"].concat();
    for link in [cid.to_bytes(), inline] {
        let root = encode_node([(&link[..], &b""[..], 3)].into_iter(), &meta);
        let block = Prefix::V0.block(root.into()).unwrap();
        let (root, data) = block.into_parts();
        let blocks = BTreeMap::from([(root, data), (cid, leaf.clone())]);
        let file = File { root, bytes: b"xyabc".to_vec(), blocks, leaves: vec![] };
        let mut run = Run::new(&file, DownloadOptions::default(), FakeDisk::new());
        while run.run_effect() || run.deliver() {}
        assert_eq!((run.outcome(), run.now), (Some(finished(5)), Timestamp::ZERO));
    }
}
