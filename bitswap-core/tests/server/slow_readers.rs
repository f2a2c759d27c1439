//! Memory under starvation: whose stream is reset, when, for whom, and what becomes of the peer.

use crate::rig::{Rig, Said, ask_or, cid, limits, want};
use bitswap_core::error::SendError;
use bitswap_core::{LoadKind, Rates, SendId, TimerReason, Timestamp};

const KIB: usize = 1 << 10;
/// The size of each block: a peer keeps pace that takes one per second.
const SIZE: usize = 64 * KIB;
/// The memory of all, in blocks. Two are the reserve.
const BLOCKS: usize = 16;
const SECOND: u64 = 1_000_000;
/// A block that is not taken is late after two seconds, and the second in which it could have been.
const LATE: u64 = 3 * SECOND;

/// An engine with memory for [`BLOCKS`], and a store with a thousand.
fn rig() -> Rig {
    let mut rig = Rig::new(limits(|limits| limits.response_bytes = (BLOCKS * SIZE) as u32));
    for n in 0..1000 {
        rig.put(cid(n), SIZE);
    }
    rig
}

/// A peer connects and wants so many blocks.
fn join(rig: &mut Rig, peer: u32, blocks: u32) {
    rig.connect(peer);
    rig.tell(peer, (0..blocks).map(|n| want(cid(n))).collect::<Vec<_>>());
    rig.run();
}

/// Peers from 0 on that read nothing, until they hold all memory; how many they are.
fn fill(rig: &mut Rig) -> u32 {
    let mut peers = 0;
    while rig.engine.stats().response_bytes < (BLOCKS * SIZE) as u64 {
        rig.slow.insert(peers);
        join(rig, peers, 10);
        peers += 1;
        assert!(peers < 100, "they get no more, but there is some");
    }
    peers
}

/// Goes on from timer to timer, up to and with `end`.
fn run_to(rig: &mut Rig, end: u64) {
    loop {
        rig.run();
        match rig.engine.poll_timeout() {
            Some(at) if at.as_micros() <= end => {
                rig.now = at.as_micros();
                rig.engine.handle_timeout(at);
            }
            _ => break,
        }
    }
    rig.now = end;
    rig.engine.handle_timeout(rig.at());
    rig.run();
}

fn held(rig: &Rig, peer: u32) -> u64 {
    rig.engine.peer_stats(peer).unwrap().response_bytes / SIZE as u64
}

fn served(rig: &Rig, peer: u32) -> u64 {
    rig.engine.peer_stats(peer).unwrap().served.blocks
}

fn sends_to(rig: &Rig, peer: u32) -> Vec<SendId> {
    rig.unsent.iter().filter(|sending| sending.peer == peer).map(|sending| sending.id).collect()
}

#[test]
fn the_stream_that_moves_slowest_per_byte_held_is_reset_for_a_starved_peer() {
    let mut rig = rig();
    let slow = fill(&mut rig);
    // The first ones found more memory free than the others.
    assert_eq!(
        (0..slow).map(|peer| held(&rig, peer)).collect::<Vec<_>>(),
        [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
    );
    join(&mut rig, 100, 10);
    assert_eq!(held(&rig, 100), 0);
    let due = Timestamp::from_micros(LATE);
    assert_eq!(rig.engine.poll_timeout_reason(), Some((due, TimerReason::Starvation)));
    run_to(&mut rig, LATE - 1);
    assert_eq!((rig.reset.len(), served(&rig, 100)), (0, 0), "they might take it yet");
    run_to(&mut rig, LATE);
    assert_eq!(rig.reset, [0]);
    assert_eq!(served(&rig, 100), 10, "what one stream held is enough for a peer that reads");
    assert_eq!(held(&rig, 0), 0);
    assert_eq!(rig.ledger(0), 10, "what was being sent is wanted still");
    assert_eq!(rig.engine.stats().served.slow_resets, 1);
    assert_eq!(rig.engine.peer_stats(0).unwrap().served.slow_resets, 1);
    run_to(&mut rig, LATE + 2 * SECOND - 1);
    assert_eq!(rig.reset, [0], "nobody else is starved");
}

#[test]
fn starvation_costs_nobody_a_stream_before_it_has_lasted_a_quarter_of_a_second() {
    let mut rig = rig();
    fill(&mut rig);
    run_to(&mut rig, 10 * SECOND);
    join(&mut rig, 100, 1);
    run_to(&mut rig, 10 * SECOND + 249_999);
    assert_eq!(rig.reset, []);
    run_to(&mut rig, 10 * SECOND + 250_000);
    assert_eq!((rig.reset.len(), served(&rig, 100)), (1, 1));
}

#[test]
fn nobody_is_reset_for_peers_that_do_not_read_themselves() {
    let mut rig = rig();
    let slow = fill(&mut rig);
    assert!((0..slow).all(|peer| held(&rig, peer) < 8), "all could hold more");
    run_to(&mut rig, 1000 * SECOND);
    assert_eq!((rig.reset.len(), rig.engine.poll_timeout()), (0, None));
}

#[test]
fn nobody_is_reset_while_there_is_memory_for_all() {
    let mut rig = rig();
    rig.slow.extend(0..4);
    (0..4).for_each(|peer| join(&mut rig, peer, 2));
    for second in 0..1000 {
        run_to(&mut rig, second * SECOND);
        rig.tell(100, [want(cid(second as u32))]);
        join(&mut rig, 100, 1);
    }
    assert_eq!(rig.reset, []);
}

#[test]
fn a_peer_that_takes_150_kb_per_second_is_not_reset_for_any_other() {
    let mut rig = rig();
    // It holds most of all, because it is the first.
    rig.slow.insert(0);
    join(&mut rig, 0, 500);
    for (stalled, taken) in (1..).zip(0..300) {
        // Ever more peers that take nothing: some of them wait for memory at any time.
        rig.slow.insert(stalled);
        join(&mut rig, stalled, 10);
        run_to(&mut rig, (taken + 1) * SIZE as u64 * SECOND / 150_000);
        if let Some(first) = sends_to(&rig, 0).first().copied() {
            rig.unsent.retain(|sending| sending.id != first);
            rig.sent(first, Ok(()));
        }
        rig.run();
    }
    assert!(served(&rig, 0) > 100, "{}", served(&rig, 0));
    assert!(!rig.reset.contains(&0), "{:?}", rig.reset);
    assert!(rig.reset.len() > 20, "{:?}", rig.reset);
}

#[test]
fn a_peer_rests_after_each_reset_twice_as_long_and_then_begins_with_one_block() {
    let mut rig = Rig::new(limits(|limits| limits.response_bytes = SIZE as u32));
    (0..100).for_each(|n| rig.put(cid(n), SIZE));
    rig.slow.insert(0);
    join(&mut rig, 0, 10);
    let mut now = 0;
    for (peer, rest) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 256]) {
        assert_eq!((held(&rig, 0), sends_to(&rig, 0).len()), (1, 1));
        join(&mut rig, peer, 1);
        now += LATE;
        run_to(&mut rig, now);
        assert_eq!((rig.reset.len() as u32, served(&rig, peer)), (peer, 1));
        let end = Timestamp::from_micros(now + rest * SECOND);
        run_to(&mut rig, end.as_micros() - 1);
        assert_eq!(rig.engine.poll_timeout_reason(), Some((end, TimerReason::Rest)));
        assert_eq!(held(&rig, 0), 0);
        now = end.as_micros();
        run_to(&mut rig, now);
    }
    assert_eq!(rig.reset, [0; 10]);
}

#[test]
fn after_a_reset_a_peer_is_given_more_only_for_what_it_takes() {
    let mut rig = rig();
    fill(&mut rig);
    join(&mut rig, 100, 1);
    run_to(&mut rig, LATE);
    assert_eq!(rig.reset, [0]);
    (1..50).chain([100]).for_each(|peer| rig.engine.handle_disconnected(peer, rig.at()));
    run_to(&mut rig, LATE + SECOND);
    for blocks in [1, 2, 3, 3] {
        assert_eq!(held(&rig, 0), blocks);
        let first = sends_to(&rig, 0)[0];
        rig.unsent.retain(|sending| sending.id != first);
        rig.sent(first, Ok(()));
        rig.run();
    }
}

#[test]
fn a_resting_peer_is_told_what_is_not_here() {
    let mut rig = rig();
    fill(&mut rig);
    join(&mut rig, 100, 1);
    run_to(&mut rig, LATE);
    assert_eq!(rig.reset, [0]);
    rig.slow.remove(&0);
    rig.tell(0, [ask_or(cid(5000))]);
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(5000)]));
    // A block that comes after all stays out of memory.
    rig.fast = false;
    let asked =
        rig.loads.iter().filter(|load| load.peer == 0 && load.kind == LoadKind::Data).count();
    rig.tell(0, [want(cid(900))]);
    rig.run();
    let now = rig.loads.iter().filter(|load| load.peer == 0 && load.kind == LoadKind::Data).count();
    assert_eq!((now, held(&rig, 0)), (asked, 0));
}

#[test]
fn answers_to_what_was_on_its_way_on_a_reset_stream_change_nothing() {
    for result in [Ok(()), Err(SendError::Closed), Err(SendError::Timeout)] {
        let mut rig = rig();
        fill(&mut rig);
        let sends = sends_to(&rig, 0);
        assert_eq!(sends.len(), 3);
        join(&mut rig, 100, 1);
        run_to(&mut rig, LATE);
        assert_eq!(rig.reset, [0]);
        let before = rig.engine.stats();
        for id in sends {
            rig.sent(id, result);
        }
        let mut after = rig.engine.stats();
        assert_eq!(after.stale_inputs, before.stale_inputs + 3);
        after.stale_inputs = before.stale_inputs;
        assert_eq!(after, before);
        // It gets them all, once it reads.
        rig.slow.clear();
        rig.take_all();
        run_to(&mut rig, 100 * SECOND);
        assert_eq!((served(&rig, 0), rig.ledger(0)), (10, 0));
    }
}

/// What the transport took shortly before may be lost with the stream.
#[test]
fn what_was_taken_last_on_a_reset_stream_is_sent_again() {
    let mut rig = rig();
    rig.connect(0);
    rig.tell(0, [want(cid(500))]);
    rig.run();
    assert_eq!(served(&rig, 0), 1);
    fill(&mut rig);
    join(&mut rig, 100, 1);
    run_to(&mut rig, LATE);
    assert_eq!(rig.reset, [0]);
    rig.slow.clear();
    rig.take_all();
    run_to(&mut rig, 100 * SECOND);
    assert_eq!(served(&rig, 0), 12, "the first one twice");
}

#[test]
fn part_of_the_memory_is_for_the_first_block_of_peers_that_hold_nothing() {
    let mut rig = rig();
    rig.reads = false;
    // Peers that hold something leave two blocks, whatever they are trusted with.
    let mut last = 0;
    while rig.engine.stats().response_bytes < ((BLOCKS - 2) * SIZE) as u64 {
        join(&mut rig, last, 10);
        last += 1;
        assert!(last < 100, "they get no more, but there is some");
    }
    join(&mut rig, 100, 10);
    join(&mut rig, 101, 10);
    join(&mut rig, 102, 10);
    assert_eq!([100, 101, 102].map(|peer| held(&rig, peer)), [1, 1, 0]);
}

#[test]
fn the_reserve_is_not_for_a_peer_that_was_reset() {
    let mut rig = rig();
    fill(&mut rig);
    join(&mut rig, 100, 1);
    run_to(&mut rig, LATE);
    assert_eq!(rig.reset, [0]);
    // Its memory is taken by others before its rest is over, up to the reserve.
    rig.slow.extend(200..202);
    join(&mut rig, 200, 1);
    run_to(&mut rig, LATE + SECOND);
    let free = (BLOCKS * SIZE) as u64 - rig.engine.stats().response_bytes;
    assert_eq!((held(&rig, 0), free), (0, 2 * SIZE as u64));
    join(&mut rig, 201, 1);
    assert_eq!(held(&rig, 201), 1);
    // Others give way to it only after it has waited for as long as it rested.
    run_to(&mut rig, LATE + 2 * SECOND - 1);
    assert_eq!((rig.reset.len(), held(&rig, 0)), (1, 0));
    run_to(&mut rig, LATE + 2 * SECOND);
    assert_eq!((rig.reset.len(), held(&rig, 0)), (2, 1));
}

/// What becomes free is for those that read, also if they hold more.
#[test]
fn a_stream_that_has_fallen_behind_is_given_no_more() {
    let mut rig = rig();
    fill(&mut rig);
    run_to(&mut rig, LATE);
    (0..4).for_each(|peer| rig.engine.handle_disconnected(peer, rig.at()));
    rig.run();
    assert_eq!([4, 5, 6, 7, 8, 9].map(|peer| held(&rig, peer)), [1; 6]);
    // Until it has caught up.
    let first = sends_to(&rig, 4)[0];
    rig.unsent.retain(|sending| sending.id != first);
    rig.sent(first, Ok(()));
    rig.run();
    assert_eq!(held(&rig, 4), 2);
}

#[test]
fn a_starved_peer_that_does_not_take_what_it_holds_costs_nobody_a_stream() {
    let mut rig = rig();
    for n in 2000..2010 {
        rig.put(cid(n), KIB);
    }
    for peer in 0..BLOCKS as u32 - 1 {
        rig.slow.insert(peer);
        join(&mut rig, peer, 1);
    }
    rig.slow.insert(100);
    rig.connect(100);
    rig.tell(100, (2000..2010).map(|n| want(cid(n))).collect::<Vec<_>>());
    rig.run();
    // So little that it is starved, and it does not take it.
    assert_eq!(rig.engine.peer_stats(100).unwrap().response_bytes, KIB as u64);
    run_to(&mut rig, 100 * SECOND);
    assert_eq!(rig.reset, []);
}

#[test]
fn a_peer_that_never_agrees_to_a_stream_keeps_no_memory_either() {
    let mut rig = rig();
    rig.opens_at_once = false;
    fill(&mut rig);
    assert_eq!(rig.unsent.len(), 0);
    rig.opens_at_once = true;
    rig.opening.clear();
    join(&mut rig, 100, 10);
    run_to(&mut rig, 10 * SECOND);
    assert_eq!(rig.reset, [], "there is no stream to reset");
    assert_eq!(served(&rig, 100), 10);
    assert!(rig.engine.stats().served.slow_resets > 0);
}

/// Blocks that wait for our own rate limit are not the fault of the peer that they are for.
#[test]
fn a_peer_that_waits_for_our_own_limit_is_not_reset() {
    let rates = Rates { upload_per_peer: Some(1), ..Rates::default() };
    let limits = limits(|limits| limits.response_bytes = (BLOCKS * SIZE) as u32);
    let mut rig = Rig::new(limits.with_rates(rates));
    for n in 0..1000 {
        rig.put(cid(n), SIZE);
    }
    let mut peers = 0;
    while rig.engine.stats().response_bytes < (BLOCKS * SIZE) as u64 {
        join(&mut rig, peers, 10);
        peers += 1;
    }
    join(&mut rig, 1000, 1);
    run_to(&mut rig, 100 * SECOND);
    assert_eq!((rig.reset.len(), served(&rig, 1000)), (0, 0));
}

#[test]
fn memory_goes_to_the_peer_that_was_given_none_for_longest() {
    let mut rig = rig();
    rig.reads = false;
    for peer in 0..16 {
        join(&mut rig, peer, 1);
    }
    // Two that had none yet, and the latter has the smaller number.
    rig.pass(1000);
    join(&mut rig, 51, 3);
    rig.pass(1000);
    join(&mut rig, 50, 3);
    for turn in [51, 50, 51, 50] {
        let first = rig.unsent.pop_front().unwrap();
        rig.pass(1000);
        rig.sent(first.id, Ok(()));
        let sent = rig.run();
        assert_eq!(sent.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [turn]);
        let back = rig.unsent.pop_back().unwrap();
        rig.unsent.push_front(back);
    }
}
