//! Peers that want everything and read it slowly, beside peers that read: what the latter notice of it.

use std::sync::OnceLock;
use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Timestamp};
use bitswap_sim::{BlockSet, Link, Opening, Plan, World};

const KIB: u64 = 1 << 10;
/// Blocks that each honest peer fetches.
const BLOCKS: usize = 40;

/// A node with a hundred blocks, and who wants them.
#[derive(Clone, Copy, Debug)]
struct Case {
    readers: usize,
    /// Bytes per second that each of these reads.
    reads: u64,
    /// How long they have been there when the honest peers come.
    before: Duration,
    honest: usize,
    /// Bytes per second that each honest peer can be sent.
    speed: u64,
}

fn block_set() -> BlockSet {
    static BLOCKS: OnceLock<Vec<usize>> = OnceLock::new();
    BlockSet::new(BLOCKS.get_or_init(|| vec![256 << 10; 100]).iter().copied())
}

/// How long each honest peer needs, and how many streams were reset.
fn run(case: Case) -> (Vec<Duration>, u64) {
    let mut world = World::new(7, block_set(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(10));
    let server = world.host(Config::default());
    world.stock(server, 0..100);
    world.slow_readers(server, case.readers, case.reads, 200);
    world.run_until(Timestamp::ZERO + case.before);
    let mut fetches = Vec::new();
    for number in 0..case.honest {
        let peer = world.host(Config::default());
        world.link(server, peer, Link::latency_ms(10).bytes_per_second(case.speed));
        world.connect(server, peer);
        let cids = world.block_set().cids();
        let first = number * 7 % 60;
        let plan = Plan::all_at_once(&cids[first..first + BLOCKS]);
        fetches.push(world.fetch(peer, plan, SessionOptions::default()));
    }
    world.run_fetches(world.now() + Duration::from_secs(600));
    let took = fetches.iter().map(|fetch| world.took(*fetch).expect("an honest peer got nothing"));
    (took.collect(), world.engine(server).stats().served.slow_resets)
}

/// Checks that the transfers of honest peers take at most so many per cent of the time that they take
/// without slow readers.
fn check(case: Case, per_cent: u32) -> u64 {
    let (alone, none) = run(Case { readers: 0, ..case });
    assert_eq!(none, 0);
    let (beside, resets) = run(case);
    for (beside, alone) in beside.iter().zip(&alone) {
        assert!(*beside * 100 <= *alone * per_cent, "{beside:?} instead of {alone:?}: {case:?}");
    }
    resets
}

/// Two that would hold all memory for minutes: one reads a little, the other nothing at all.
const LOCKS: Case =
    Case { readers: 160, reads: KIB, before: Duration::from_secs(10), honest: 1, speed: 1_000_000 };

#[test]
fn readers_of_a_kibibyte_per_second_leave_an_honest_peer_its_speed() {
    for speed in [150_000, 1_000_000, 20_000_000] {
        assert!(check(Case { speed, ..LOCKS }, 150) > 0);
    }
}

#[test]
fn readers_that_read_nothing_leave_an_honest_peer_its_speed() {
    assert!(check(Case { reads: 0, ..LOCKS }, 150) > 0);
    assert!(check(Case { reads: 0, readers: 400, ..LOCKS }, 150) > 0);
}

#[test]
fn readers_that_come_in_the_same_moment_leave_an_honest_peer_its_speed() {
    for reads in [0, KIB] {
        check(Case { before: Duration::ZERO, speed: 500_000, reads, ..LOCKS }, 150);
    }
}

#[test]
fn eight_honest_peers_have_95_per_cent_of_their_speed_beside_64_slow_readers() {
    for (reads, speed) in [(0, 1_000_000), (KIB, 1_000_000), (KIB, 20_000_000)] {
        check(Case { readers: 64, honest: 8, reads, speed, ..LOCKS }, 105);
    }
}

#[test]
fn peers_that_read_150_kb_per_second_are_not_reset_beside_fast_ones() {
    let case = Case { readers: 160, reads: 150_000, honest: 8, ..LOCKS };
    let (took, resets) = run(case);
    assert_eq!(resets, 0, "{took:?}");
}
