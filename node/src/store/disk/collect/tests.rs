use std::cell::Cell;
use std::time::Duration;

use bitswap_core::chunk::{DAG_PB, RAW};
use ipld_core::ipld::Ipld;
use tempfile::TempDir;

use super::*;
use crate::store::DAG_CBOR;

const DAG_JSON: u64 = 0x0129;

fn leaf(number: u32) -> Block {
    let mut bytes = vec![7; 1000];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Block::raw(bytes)
}

/// A dag-pb node that is no file.
fn node(links: &[Cid]) -> Block {
    let mut bytes = Vec::new();
    for link in links {
        let cid = link.to_bytes();
        let cid = [&[0x0a, cid.len() as u8][..], &cid].concat();
        bytes.extend([&[0x12, cid.len() as u8][..], &cid].concat());
    }
    Block::sha2_256(DAG_PB, bytes)
}

struct Fixture {
    store: Directory,
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { store: Directory::open(directory.path()).unwrap(), directory }
    }

    fn put(&self, block: &Block) -> Cid {
        self.store.put(std::slice::from_ref(block)).unwrap();
        *block.cid()
    }

    /// Puts a block as one that was used so long ago.
    fn put_used(&self, block: &Block, ago: Duration) -> Cid {
        let cid = self.put(block);
        let file =
            fs::File::options().write(true).open(self.store.blocks().path(cid.hash())).unwrap();
        file.set_modified(SystemTime::now() - ago).unwrap();
        cid
    }

    fn has(&self, cid: &Cid) -> bool {
        self.store.blocks().size(cid.hash()).unwrap().is_some()
    }

    fn reopened(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        Self { store: Directory::open(directory.path()).unwrap(), directory }
    }

    /// What is there, by counting it.
    fn counted(&self) -> Usage {
        let mut usage = Usage::default();
        self.store
            .each(|found| {
                usage.add(found.block.size.into());
                Ok(())
            })
            .unwrap();
        usage
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// A pinned folder-like DAG, two nodes deep, and so many blocks that nobody pins.
fn pinned_and_others(fixture: &Fixture, others: u32) -> (Vec<Cid>, Vec<Cid>) {
    let leaves: Vec<Cid> = (0..6).map(|number| fixture.put(&leaf(number))).collect();
    let low = fixture.put(&node(&leaves[..3]));
    let cbor = Ipld::List(leaves[3..].iter().copied().map(Ipld::Link).collect());
    let cbor = Block::sha2_256(DAG_CBOR, serde_ipld_dagcbor::to_vec(&cbor).unwrap());
    let cbor = fixture.put(&cbor);
    let root = fixture.put(&node(&[low, cbor]));
    fixture.store.pin(&root).unwrap();
    let pinned = [leaves, vec![low, cbor, root]].concat();
    let others = (100..100 + others).map(|number| fixture.put(&leaf(number))).collect();
    (pinned, others)
}

#[test]
fn what_is_not_pinned_is_collected_and_all_that_a_pin_leads_to_stays() {
    let fixture = Fixture::new();
    let (pinned, others) = pinned_and_others(&fixture, 20);
    let collected = fixture.store.collect(0).unwrap();
    assert_eq!(collected.removed, Usage { blocks: 20, bytes: 20_000 });
    assert_eq!((collected.left.blocks, collected.missing), (9, 0));
    assert!(pinned.iter().all(|cid| fixture.has(cid)));
    assert!(!others.iter().any(|cid| fixture.has(cid)));
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.pins().all().unwrap(), [pinned[8]]);
    assert!(fixture.store.unpin(&pinned[8]).unwrap());
    assert!(!fixture.store.unpin(&pinned[8]).unwrap());
    assert_eq!(fixture.store.collect(0).unwrap().left, Usage::default());
}

#[test]
fn wherever_a_collection_stops_nothing_that_is_pinned_is_gone() {
    for stop in 0..12 {
        let fixture = Fixture::new();
        let (pinned, others) = pinned_and_others(&fixture, 12);
        let calls = Cell::new(0);
        let all = Goal { target: 0, most: u64::MAX };
        let removed = fixture.store.collect_by(all, &|path| {
            calls.set(calls.get() + 1);
            if calls.get() > stop { Err(io::Error::other("killed")) } else { fs::remove_file(path) }
        });
        assert!(matches!(removed, Err(StoreFault::File(_))), "{stop}");
        // A killed process writes no usage.
        let Fixture { store, directory } = fixture;
        drop(store);
        let _ = fs::remove_file(directory.path().join("usage"));
        let store = Directory::open(directory.path()).unwrap();
        let fixture = Fixture { store, directory };
        assert!(pinned.iter().all(|cid| fixture.has(cid)), "{stop}");
        assert_eq!(others.iter().filter(|cid| fixture.has(cid)).count(), 12 - stop, "{stop}");
        assert_eq!(fixture.store.usage().unwrap(), fixture.counted());
        fixture.store.collect(0).unwrap();
        assert!(pinned.iter().all(|cid| fixture.has(cid)));
    }
}

#[test]
fn those_that_were_used_least_recently_go_first_and_no_more_than_need_be() {
    let fixture = Fixture::new();
    let used = |number: u32| hours(2 * (u64::from(number) + 1));
    let blocks: Vec<Cid> =
        (0..10).map(|number| fixture.put_used(&leaf(number), used(number))).collect();
    // The oldest of all is pinned, and the next was read a moment ago.
    fixture.store.pin(&blocks[9]).unwrap();
    fixture.store.blocks().get(blocks[8].hash()).unwrap().unwrap();
    // So was one that was put again.
    fixture.put(&leaf(7));
    let collected = fixture.store.collect(6500).unwrap();
    assert_eq!(collected.removed.blocks, 4);
    let left: Vec<usize> = (0..10).filter(|at| fixture.has(&blocks[*at])).collect();
    assert_eq!(left, [0, 1, 2, 7, 8, 9]);
    // It fits already.
    assert_eq!(fixture.store.collect(6000).unwrap().removed, Usage::default());
}

#[test]
fn blocks_of_one_age_go_only_as_far_as_need_be() {
    let fixture = Fixture::new();
    let used = hours(5);
    for number in 0..10 {
        fixture.put_used(&leaf(number), used);
    }
    assert_eq!(fixture.store.collect(6500).unwrap().left, Usage { blocks: 6, bytes: 6000 });
}

#[test]
fn a_limit_is_kept_at_the_cost_of_what_is_old_and_never_of_what_is_pinned() {
    let fixture = Fixture::new();
    let pinned = fixture.put_used(&leaf(0), hours(500));
    fixture.store.pin(&pinned).unwrap();
    fixture.store.set_limit(10_000);
    for number in 1..40 {
        fixture.put_used(&leaf(number), hours(100 - u64::from(number)));
        assert!(fixture.store.usage().unwrap().bytes <= 10_000, "{number}");
        assert!(fixture.has(&pinned));
    }
    assert!(fixture.has(leaf(39).cid()) && !fixture.has(leaf(20).cid()));
    assert_eq!(fixture.store.usage().unwrap(), fixture.counted());
    // What cannot make room refuses what comes.
    for number in 39..45 {
        let cid = fixture.put(&leaf(number));
        fixture.store.pin(&cid).unwrap();
    }
    let mut refused = None;
    for number in 50..70 {
        match fixture.store.put(&[leaf(number)]) {
            Ok(()) => fixture.store.pin(leaf(number).cid()).unwrap(),
            Err(error) => refused = Some(error),
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert!(refused.to_string().contains("limit of 10000 bytes"), "{refused}");
    assert!(fixture.counted().bytes <= 10_000);
    // Room that is made later is found.
    let pins = fixture.store.pins().all().unwrap();
    assert!(fixture.store.put(&[leaf(99)]).is_err());
    for pin in pins {
        assert!(fixture.store.unpin(&pin).unwrap());
    }
    fixture.put(&leaf(99));
}

#[test]
fn puts_at_the_same_time_stay_within_the_limit_together() {
    let fixture = Fixture::new();
    fixture.store.set_limit(10_500);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &fixture.store;
            scope.spawn(move || {
                for number in 0..15 {
                    // One that finds no room at this moment is refused.
                    let _ = store.put(&[leaf(100 * thread + number)]);
                    assert!(store.usage().unwrap().bytes <= 10_500);
                }
            });
        }
    });
    assert_eq!(fixture.store.usage().unwrap(), fixture.counted());
    fixture.put(&leaf(1000));
    // What is larger than the limit never fits, and is not waited for.
    let larger = Block::raw(vec![7; 20_000]);
    assert_eq!(fixture.store.put(&[larger]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    fixture.put(&leaf(1001));
}

#[test]
fn what_can_never_fit_is_refused_before_anything_makes_room_for_it() {
    let fixture = Fixture::new();
    fixture.store.set_limit(10_000);
    let earlier = fixture.put(&leaf(1));
    let refused = fixture.store.put(&[Block::raw(vec![7; 20_000])]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert!(refused.to_string().contains("at once has 20000"), "{refused}");
    assert!(fixture.has(&earlier));
}

#[test]
fn what_does_not_fit_beside_what_is_pinned_or_held_is_refused_with_nothing_removed() {
    let fixture = Fixture::new();
    fixture.store.set_limit(10_000);
    let pinned: Vec<Cid> = (0..5).map(|number| fixture.put_used(&leaf(number), hours(9))).collect();
    pinned.iter().for_each(|cid| fixture.store.pin(cid).unwrap());
    let others: Vec<Cid> = (5..8).map(|number| fixture.put_used(&leaf(number), hours(9))).collect();
    let before = fixture.counted();
    let refused = |bytes: usize| {
        let refused = fixture.store.put(&[Block::raw(vec![7; bytes])]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert!(refused.to_string().contains(&format!("{bytes} more do not fit")), "{refused}");
        assert_eq!(fixture.counted(), before);
    };
    refused(5001);
    // What is being added counts as well.
    let hold = fixture.store.holds().hold();
    fixture.put(&leaf(5));
    refused(4001);
    fixture.store.release(hold);
    // That there was no room for more does not keep out what just fits.
    refused(5001);
    fixture.put(&Block::raw(vec![7; 5000]));
    assert!(pinned.iter().all(|cid| fixture.has(cid)));
    assert!(!others.iter().any(|cid| fixture.has(cid)));
}

#[test]
fn a_block_that_is_read_is_used() {
    let fixture = Fixture::new();
    let (read, other) = (leaf(1), leaf(2));
    for block in [&read, &other] {
        fixture.put_used(block, hours(3));
    }
    fixture.store.blocks().get(read.cid().hash()).unwrap();
    fixture.store.collect(1000).unwrap();
    assert!(fixture.has(read.cid()) && !fixture.has(other.cid()));
}

#[test]
fn what_is_no_block_stops_nothing() {
    let fixture = Fixture::new();
    let cid = fixture.put(&leaf(1));
    let shard = fixture.store.blocks().path(cid.hash()).parent().unwrap().to_owned();
    for directory in [fixture.directory.path().join("blocks"), shard] {
        fs::write(directory.join(".DS_Store"), "of a file manager").unwrap();
    }
    let one = Usage { blocks: 1, bytes: 1000 };
    // As after a crash, when all blocks are counted.
    let Fixture { store, directory } = fixture;
    drop(store);
    fs::remove_file(directory.path().join("usage")).unwrap();
    let fixture = Fixture { store: Directory::open(directory.path()).unwrap(), directory };
    assert_eq!(fixture.store.usage().unwrap(), one);
    assert_eq!(fixture.store.collect(0).unwrap().removed, one);
}

#[test]
fn what_is_put_during_a_hold_stays_until_it_ends() {
    let fixture = Fixture::new();
    let old = fixture.put_used(&leaf(0), hours(9));
    let again = fixture.put_used(&leaf(1), hours(9));
    let hold = fixture.store.holds().hold();
    let new = fixture.put(&leaf(2));
    // It was there, and is wanted again.
    fixture.put(&leaf(1));
    fixture.store.collect(0).unwrap();
    assert_eq!([old, again, new].map(|cid| fixture.has(&cid)), [false, true, true]);
    fixture.store.release(hold);
    assert_eq!(fixture.store.collect(0).unwrap().left.blocks, 0);
}

#[test]
fn a_node_that_was_first_met_as_a_leaf_is_followed_all_the_same() {
    let fixture = Fixture::new();
    let below = fixture.put(&leaf(0));
    let middle = fixture.put(&node(&[below]));
    let as_leaf = Cid::new_v1(RAW, *middle.hash());
    let root = fixture.put(&node(&[as_leaf, middle]));
    fixture.store.pin(&root).unwrap();
    fixture.store.collect(0).unwrap();
    assert!([below, middle, root].iter().all(|cid| fixture.has(cid)));
}

#[test]
fn what_cannot_be_followed_is_not_pinned_and_what_changed_stops_a_collection() {
    let fixture = Fixture::new();
    let missing = *leaf(0).cid();
    let root = fixture.put(&node(&[missing]));
    let refused = fixture.store.pin(&root);
    assert!(matches!(refused, Err(StoreFault::Missing { cid }) if cid == missing));
    let json = fixture.put(&Block::sha2_256(DAG_JSON, "{}"));
    let unknown = |root: &Cid| match fixture.store.pin(root) {
        Err(StoreFault::UnknownLinks { cid, codec }) => (cid, codec),
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(&json), (json, DAG_JSON));
    // Within a link it is the link's codec that is not known.
    let within = Cid::new_v1(DAG_JSON, cid::multihash::Multihash::wrap(0, b"{}").unwrap());
    let above = fixture.put(&node(&[within]));
    assert_eq!(unknown(&above), (above, DAG_JSON));
    let junk = fixture.put(&Block::sha2_256(DAG_PB, "junk"));
    assert!(matches!(fixture.store.pin(&junk), Err(StoreFault::Invalid { cid }) if cid == junk));
    assert_eq!(fixture.store.pins().all().unwrap(), []);

    fixture.put(&leaf(0));
    fixture.store.pin(&root).unwrap();
    let other = fixture.put(&leaf(9));
    fs::write(fixture.store.blocks().path(root.hash()), node(&[other]).data()).unwrap();
    assert!(matches!(fixture.store.collect(0), Err(StoreFault::Corrupt { cid }) if cid == root));
    assert!(fixture.has(&missing) && fixture.has(&other));
    // A pin that nobody can read stops it too.
    fs::remove_file(fixture.store.blocks().path(root.hash())).unwrap();
    assert_eq!(fixture.store.collect(1).unwrap().missing, 1);
    fs::write(fixture.directory.path().join("pins/no-pin"), "").unwrap();
    assert!(matches!(fixture.store.collect(0), Err(StoreFault::File(_))));
}

#[test]
fn what_is_pinned_is_not_removed_and_nothing_beside_it_either() {
    let fixture = Fixture::new();
    let (pinned, others) = pinned_and_others(&fixture, 2);
    for part in &pinned {
        let refused = fixture.store.remove(&[others[0], *part]);
        assert!(matches!(refused, Err(StoreFault::Pinned { cid }) if cid == *part));
    }
    assert!(fixture.has(&others[0]));
    let absent = *leaf(77).cid();
    let removed = fixture.store.remove(&[others[0], absent]).unwrap();
    assert_eq!(removed, Usage { blocks: 1, bytes: 1000 });
    assert!(!fixture.has(&others[0]) && fixture.has(&others[1]));
}

#[test]
fn the_usage_is_exact_and_outlives_the_process_unless_it_is_killed() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.usage().unwrap(), Usage::default());
    for number in [1, 2, 2, 3] {
        fixture.put(&leaf(number));
    }
    fixture.store.remove(&[*leaf(3).cid()]).unwrap();
    let expected = Usage { blocks: 2, bytes: 2000 };
    assert_eq!(fixture.store.usage().unwrap(), expected);
    let fixture = fixture.reopened();
    // It is known without a look at the blocks.
    fs::remove_file(fixture.store.blocks().path(leaf(1).cid().hash())).unwrap();
    assert_eq!(fixture.store.usage().unwrap(), expected);
    assert!(!fixture.directory.path().join("usage").exists());
    let Fixture { store, directory } = fixture.reopened();
    std::mem::forget(store);
    // Killed, as far as the file shows.
    assert!(!directory.path().join("usage").exists());
}

#[test]
fn a_block_that_changed_on_the_disk_is_found_and_removed_alone() {
    let fixture = Fixture::new();
    let (intact, changed) = (fixture.put(&leaf(0)), fixture.put(&leaf(1)));
    fs::write(fixture.store.blocks().path(changed.hash()), "other").unwrap();
    assert!(fixture.store.blocks().get_verified(&intact).unwrap().is_some());
    let fault = fixture.store.blocks().get_verified(&changed);
    assert!(matches!(fault, Err(StoreFault::Corrupt { cid }) if cid == changed));
    assert!(!fixture.store.remove_corrupt(intact.hash()).unwrap());
    assert!(fixture.store.remove_corrupt(changed.hash()).unwrap());
    assert!(fixture.has(&intact) && !fixture.has(&changed));
}

#[test]
fn ages_grow_with_time_and_never_beyond_their_table() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 4);
    let mut last = 0;
    for power in 0..33 {
        for part in 0..4 {
            let seconds = (1_u64 << power) + part * (1_u64 << power) / 4;
            let age = age(now - Duration::from_secs(seconds), now);
            assert!(age >= last && age < AGES, "{seconds}: {age}");
            last = age;
        }
    }
    assert_eq!(age(now + hours(1), now), 0);
}

#[test]
fn an_age_is_the_power_of_two_and_the_four_bits_behind_it() {
    let of = |seconds| {
        let used = std::time::UNIX_EPOCH;
        age(used, used + Duration::from_secs(seconds))
    };
    assert_eq!([0, 1, 2, 3, 4, 6, 16, 17, 31, 32].map(of), [0, 1, 17, 25, 33, 41, 65, 66, 80, 81]);
    let later = std::time::UNIX_EPOCH + Duration::from_secs(9);
    assert_eq!(age(later, std::time::UNIX_EPOCH), 0, "a clock that was set back");
}
