//! Memory under starvation: whose stream is reset, when, for whom, and what becomes of the peer.

use crate::harness::{Harness, Responses, ask_or, cid, limits, want};
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
fn harness() -> Harness {
    let mut harness = Harness::new(limits(|limits| limits.response_bytes = (BLOCKS * SIZE) as u32));
    for n in 0..1000 {
        harness.put(cid(n), SIZE);
    }
    harness
}

/// A peer connects and wants so many blocks.
fn join(harness: &mut Harness, peer: u32, blocks: u32) {
    harness.connect(peer);
    harness.wants(peer, (0..blocks).map(|n| want(cid(n))).collect::<Vec<_>>());
    harness.run();
}

/// Peers from 0 on that read nothing, until they hold all memory; how many they are.
fn fill(harness: &mut Harness) -> u32 {
    let mut peers = 0;
    while harness.engine().stats().response_bytes < (BLOCKS * SIZE) as u64 {
        harness.stalled.insert(peers);
        join(harness, peers, 10);
        peers += 1;
        assert!(peers < 100, "they get no more, but there is some");
    }
    peers
}

/// Goes on from timer to timer, up to and with `end`.
fn run_to(harness: &mut Harness, end: u64) {
    let time = Timestamp::from_micros(end).since(harness.now);
    let outputs = harness.advance(time);
    harness.note(outputs);
}

fn held(harness: &Harness, peer: u32) -> u64 {
    harness.engine().peer_stats(peer).unwrap().response_bytes / SIZE as u64
}

fn served(harness: &Harness, peer: u32) -> u64 {
    harness.engine().peer_stats(peer).unwrap().served.blocks
}

fn sends_to(harness: &Harness, peer: u32) -> Vec<SendId> {
    harness.sends.iter().filter(|sending| sending.peer == peer).map(|sending| sending.id).collect()
}

#[test]
fn the_stream_that_moves_slowest_per_byte_held_is_reset_for_a_starved_peer() {
    let mut harness = harness();
    let slow = fill(&mut harness);
    // The first ones found more memory free than the others.
    assert_eq!(
        (0..slow).map(|peer| held(&harness, peer)).collect::<Vec<_>>(),
        [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
    );
    join(&mut harness, 100, 10);
    assert_eq!(held(&harness, 100), 0);
    let due = Timestamp::from_micros(LATE);
    assert_eq!(harness.engine().poll_timeout_reason(), Some((due, TimerReason::Starvation)));
    run_to(&mut harness, LATE - 1);
    assert_eq!((harness.reset.len(), served(&harness, 100)), (0, 0), "they might take it yet");
    run_to(&mut harness, LATE);
    assert_eq!(harness.reset, [0]);
    assert_eq!(served(&harness, 100), 10, "what one stream held is enough for a peer that reads");
    assert_eq!(held(&harness, 0), 0);
    assert_eq!(harness.ledger(0), 10, "what was being sent is wanted still");
    assert_eq!(harness.engine().stats().served.slow_resets, 1);
    assert_eq!(harness.engine().peer_stats(0).unwrap().served.slow_resets, 1);
    run_to(&mut harness, LATE + 2 * SECOND - 1);
    assert_eq!(harness.reset, [0], "nobody else is starved");
}

#[test]
fn starvation_costs_nobody_a_stream_before_it_has_lasted_a_quarter_of_a_second() {
    let mut harness = harness();
    fill(&mut harness);
    run_to(&mut harness, 10 * SECOND);
    join(&mut harness, 100, 1);
    run_to(&mut harness, 10 * SECOND + 249_999);
    assert_eq!(harness.reset, [0u32; 0]);
    run_to(&mut harness, 10 * SECOND + 250_000);
    assert_eq!((harness.reset.len(), served(&harness, 100)), (1, 1));
}

#[test]
fn nobody_is_reset_for_peers_that_do_not_read_themselves() {
    let mut harness = harness();
    let slow = fill(&mut harness);
    assert!((0..slow).all(|peer| held(&harness, peer) < 8), "all could hold more");
    run_to(&mut harness, 1000 * SECOND);
    assert_eq!((harness.reset.len(), harness.engine().poll_timeout()), (0, None));
}

#[test]
fn nobody_is_reset_while_there_is_memory_for_all() {
    let mut harness = harness();
    harness.stalled.extend(0..4);
    (0..4).for_each(|peer| join(&mut harness, peer, 2));
    for second in 0..1000 {
        run_to(&mut harness, second * SECOND);
        harness.wants(100, [want(cid(second as u32))]);
        join(&mut harness, 100, 1);
    }
    assert_eq!(harness.reset, [0u32; 0]);
}

/// It takes each message a second and a half after it was sent, and there is always another one by then.
#[test]
fn messages_without_blocks_are_not_held_against_a_peer_that_is_sent_a_block() {
    let mut harness = harness();
    let asks = 50;
    let take_first = |harness: &mut Harness| {
        let first = sends_to(harness, asks)[0];
        harness.sends.retain(|sending| sending.id != first);
        harness.sent(first, Ok(()));
    };
    harness.stalled.insert(asks);
    harness.connect(asks);
    harness.wants(asks, [ask_or(cid(5000))]);
    harness.run();
    for n in 1..8 {
        run_to(&mut harness, u64::from(n) * 3 * SECOND / 2);
        harness.wants(asks, [ask_or(cid(5000 + n))]);
        harness.run();
        take_first(&mut harness);
    }
    let start = 12 * SECOND;
    run_to(&mut harness, start);
    harness.wants(asks, [want(cid(0))]);
    harness.run();
    assert_eq!(held(&harness, asks), 1);
    take_first(&mut harness);
    fill(&mut harness);
    join(&mut harness, 100, 1);
    run_to(&mut harness, start + LATE - 1);
    assert_eq!(harness.reset, [0u32; 0], "nobody has had a block for long");
    run_to(&mut harness, start + LATE);
    assert_eq!((&harness.reset[..], served(&harness, 100)), (&[0][..], 1), "who holds most");
}

#[test]
fn a_peer_that_takes_150_kb_per_second_is_not_reset_for_any_other() {
    let mut harness = harness();
    // It holds most of all, because it is the first.
    harness.stalled.insert(0);
    join(&mut harness, 0, 500);
    for (stalled, taken) in (1..).zip(0..300) {
        // Ever more peers that take nothing: some of them wait for memory at any time.
        harness.stalled.insert(stalled);
        join(&mut harness, stalled, 10);
        run_to(&mut harness, (taken + 1) * SIZE as u64 * SECOND / 150_000);
        if let Some(first) = sends_to(&harness, 0).first().copied() {
            harness.sends.retain(|sending| sending.id != first);
            harness.sent(first, Ok(()));
        }
        harness.run();
    }
    assert!(served(&harness, 0) > 100, "{}", served(&harness, 0));
    assert!(!harness.reset.contains(&0), "{:?}", harness.reset);
    assert!(harness.reset.len() > 20, "{:?}", harness.reset);
}

#[test]
fn a_peer_rests_after_each_reset_twice_as_long_and_then_begins_with_one_block() {
    let mut harness = Harness::new(limits(|limits| limits.response_bytes = SIZE as u32));
    (0..100).for_each(|n| harness.put(cid(n), SIZE));
    harness.stalled.insert(0);
    join(&mut harness, 0, 10);
    let mut now = 0;
    for (peer, rest) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 256]) {
        assert_eq!((held(&harness, 0), sends_to(&harness, 0).len()), (1, 1));
        join(&mut harness, peer, 1);
        now += LATE;
        run_to(&mut harness, now);
        assert_eq!((harness.reset.len() as u32, served(&harness, peer)), (peer, 1));
        let end = Timestamp::from_micros(now + rest * SECOND);
        run_to(&mut harness, end.as_micros() - 1);
        assert_eq!(harness.engine().poll_timeout_reason(), Some((end, TimerReason::Rest)));
        assert_eq!(held(&harness, 0), 0);
        now = end.as_micros();
        run_to(&mut harness, now);
    }
    assert_eq!(harness.reset, [0; 10]);
}

#[test]
fn after_a_reset_a_peer_is_given_more_only_for_what_it_takes() {
    let mut harness = harness();
    fill(&mut harness);
    join(&mut harness, 100, 1);
    run_to(&mut harness, LATE);
    assert_eq!(harness.reset, [0]);
    (1..50).chain([100]).for_each(|peer| harness.disconnect(peer));
    run_to(&mut harness, LATE + SECOND);
    for blocks in [1, 2, 3, 3] {
        assert_eq!(held(&harness, 0), blocks);
        let first = sends_to(&harness, 0)[0];
        harness.sends.retain(|sending| sending.id != first);
        harness.sent(first, Ok(()));
        harness.run();
    }
}

#[test]
fn a_resting_peer_is_sent_dont_have() {
    let mut harness = harness();
    fill(&mut harness);
    join(&mut harness, 100, 1);
    run_to(&mut harness, LATE);
    assert_eq!(harness.reset, [0]);
    harness.stalled.remove(&0);
    harness.wants(0, [ask_or(cid(5000))]);
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(5000)]));
    // A block that comes after all stays out of memory.
    harness.at_once.loads = false;
    let asked =
        harness.loaded.iter().filter(|load| load.peer == 0 && load.kind == LoadKind::Data).count();
    harness.wants(0, [want(cid(900))]);
    harness.run();
    let now =
        harness.loaded.iter().filter(|load| load.peer == 0 && load.kind == LoadKind::Data).count();
    assert_eq!((now, held(&harness, 0)), (asked, 0));
}

#[test]
fn answers_to_what_was_on_its_way_on_a_reset_stream_change_nothing() {
    for result in [Ok(()), Err(SendError::Closed), Err(SendError::Timeout)] {
        let mut harness = harness();
        fill(&mut harness);
        let sends = sends_to(&harness, 0);
        assert_eq!(sends.len(), 3);
        join(&mut harness, 100, 1);
        run_to(&mut harness, LATE);
        assert_eq!(harness.reset, [0]);
        let before = harness.engine().stats();
        for id in sends {
            harness.sent(id, result);
        }
        let mut after = harness.engine().stats();
        assert_eq!(after.stale_inputs, before.stale_inputs + 3);
        after.stale_inputs = before.stale_inputs;
        assert_eq!(after, before);
        // It gets them all, once it reads.
        harness.stalled.clear();
        harness.answer_sends();
        run_to(&mut harness, 100 * SECOND);
        assert_eq!((served(&harness, 0), harness.ledger(0)), (10, 0));
    }
}

/// What the transport took shortly before may be lost with the stream.
#[test]
fn what_was_taken_last_on_a_reset_stream_is_sent_again() {
    let mut harness = harness();
    harness.connect(0);
    harness.wants(0, [want(cid(500))]);
    harness.run();
    assert_eq!(served(&harness, 0), 1);
    fill(&mut harness);
    join(&mut harness, 100, 1);
    run_to(&mut harness, LATE);
    assert_eq!(harness.reset, [0]);
    harness.stalled.clear();
    harness.answer_sends();
    run_to(&mut harness, 100 * SECOND);
    assert_eq!(served(&harness, 0), 12, "the first one twice");
}

#[test]
fn part_of_the_memory_is_for_the_first_block_of_peers_that_hold_nothing() {
    let mut harness = harness();
    harness.at_once.sends = false;
    // Peers that hold something leave two blocks, whatever they are trusted with.
    let mut last = 0;
    while harness.engine().stats().response_bytes < ((BLOCKS - 2) * SIZE) as u64 {
        join(&mut harness, last, 10);
        last += 1;
        assert!(last < 100, "they get no more, but there is some");
    }
    join(&mut harness, 100, 10);
    join(&mut harness, 101, 10);
    join(&mut harness, 102, 10);
    assert_eq!([100, 101, 102].map(|peer| held(&harness, peer)), [1, 1, 0]);
}

#[test]
fn the_reserve_is_not_for_a_peer_that_was_reset() {
    let mut harness = harness();
    fill(&mut harness);
    join(&mut harness, 100, 1);
    run_to(&mut harness, LATE);
    assert_eq!(harness.reset, [0]);
    // Its memory is taken by others before its rest is over, up to the reserve.
    harness.stalled.extend(200..202);
    join(&mut harness, 200, 1);
    run_to(&mut harness, LATE + SECOND);
    let free = (BLOCKS * SIZE) as u64 - harness.engine().stats().response_bytes;
    assert_eq!((held(&harness, 0), free), (0, 2 * SIZE as u64));
    join(&mut harness, 201, 1);
    assert_eq!(held(&harness, 201), 1);
    // Others give way to it only after it has waited for as long as it rested.
    run_to(&mut harness, LATE + 2 * SECOND - 1);
    assert_eq!((harness.reset.len(), held(&harness, 0)), (1, 0));
    run_to(&mut harness, LATE + 2 * SECOND);
    assert_eq!((harness.reset.len(), held(&harness, 0)), (2, 1));
}

/// What becomes free is for those that read, also if they hold more.
#[test]
fn a_stream_that_has_fallen_behind_is_given_no_more() {
    let mut harness = harness();
    fill(&mut harness);
    run_to(&mut harness, LATE);
    (0..4).for_each(|peer| harness.disconnect(peer));
    harness.run();
    assert_eq!([4, 5, 6, 7, 8, 9].map(|peer| held(&harness, peer)), [1; 6]);
    // Until it has caught up.
    let first = sends_to(&harness, 4)[0];
    harness.sends.retain(|sending| sending.id != first);
    harness.sent(first, Ok(()));
    harness.run();
    assert_eq!(held(&harness, 4), 2);
}

#[test]
fn a_starved_peer_that_does_not_take_what_it_holds_costs_nobody_a_stream() {
    let mut harness = harness();
    for n in 2000..2010 {
        harness.put(cid(n), KIB);
    }
    for peer in 0..BLOCKS as u32 - 1 {
        harness.stalled.insert(peer);
        join(&mut harness, peer, 1);
    }
    harness.stalled.insert(100);
    harness.connect(100);
    harness.wants(100, (2000..2010).map(|n| want(cid(n))).collect::<Vec<_>>());
    harness.run();
    // So little that it is starved, and it does not take it.
    assert_eq!(harness.engine().peer_stats(100).unwrap().response_bytes, KIB as u64);
    run_to(&mut harness, 100 * SECOND);
    assert_eq!(harness.reset, [0u32; 0]);
}

#[test]
fn a_peer_that_never_agrees_to_a_stream_keeps_no_memory_either() {
    let mut harness = harness();
    harness.at_once.opens = false;
    fill(&mut harness);
    assert_eq!(harness.sends.len(), 0);
    harness.at_once.opens = true;
    harness.opens.clear();
    join(&mut harness, 100, 10);
    run_to(&mut harness, 10 * SECOND);
    assert_eq!(harness.reset, [0u32; 0], "there is no stream to reset");
    assert_eq!(served(&harness, 100), 10);
    assert!(harness.engine().stats().served.slow_resets > 0);
}

/// Blocks that wait for our own rate limit are not the fault of the peer that they are for.
#[test]
fn a_peer_that_waits_for_our_own_limit_is_not_reset() {
    let rates = Rates { upload_per_peer: Some(1), ..Rates::default() };
    let limits = limits(|limits| limits.response_bytes = (BLOCKS * SIZE) as u32);
    let mut harness = Harness::new(limits.with_rates(rates));
    for n in 0..1000 {
        harness.put(cid(n), SIZE);
    }
    let mut peers = 0;
    while harness.engine().stats().response_bytes < (BLOCKS * SIZE) as u64 {
        join(&mut harness, peers, 10);
        peers += 1;
    }
    join(&mut harness, 1000, 1);
    run_to(&mut harness, 100 * SECOND);
    assert_eq!((harness.reset.len(), served(&harness, 1000)), (0, 0));
}

#[test]
fn memory_goes_to_the_peer_that_was_given_none_for_longest() {
    let mut harness = harness();
    harness.at_once.sends = false;
    for peer in 0..16 {
        join(&mut harness, peer, 1);
    }
    // Two that had none yet, and the latter has the smaller number.
    harness.pass(1000);
    join(&mut harness, 51, 3);
    harness.pass(1000);
    join(&mut harness, 50, 3);
    for turn in [51, 50, 51, 50] {
        let first = harness.sends.pop_front().unwrap();
        harness.pass(1000);
        harness.sent(first.id, Ok(()));
        let sent = harness.run();
        assert_eq!(sent.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [turn]);
        let back = harness.sends.pop_back().unwrap();
        harness.sends.push_front(back);
    }
}
