//! The transport takes answers, fails them, loses them; streams open and close.

use bitswap_testing::Call;

use crate::harness::{Harness, Responses, ask, ask_or, cid, limits, want, want_or};
use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{BlockInfo, Config, StreamKind, TimerReason, Timestamp};

fn harness() -> Harness {
    let mut harness = Harness::with_peer(Config::default());
    for (n, size) in [(1, 10), (2, 2000), (3, 5000), (4, 50_000)] {
        harness.put(cid(n), size);
    }
    harness
}

#[test]
fn a_failed_send_is_said_again_on_a_new_stream() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [want(cid(1)), ask(cid(3)), want_or(cid(99)), want(cid(4))]);
    let first = harness.responses();
    assert_eq!(first, Responses::new(&[cid(1), cid(4)], &[cid(3)], &[cid(99)]));
    assert_eq!(
        harness.engine().stats().served.blocks,
        0,
        "not served before the transport took it"
    );
    for outgoing in std::mem::take(&mut harness.sends) {
        harness.sent(outgoing.id, Err(SendError::Closed));
    }
    assert_eq!(harness.responses(), first);
    assert_eq!(harness.opened, [0, 0]);
    harness.answer_sends();
    harness.run();
    let served = harness.engine().stats().served;
    assert_eq!((served.blocks, served.bytes, served.haves, served.dont_haves), (2, 50_010, 1, 1));
    assert!(served.failed_sends > 0);
    assert_eq!((harness.ledger(0), harness.engine().stats().response_bytes), (1, 0));
}

#[test]
fn a_lost_dont_have_is_said_again_after_an_announcement_that_was_not_true() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [want_or(cid(99))]);
    let absent = Responses::new(&[], &[], &[cid(99)]);
    assert_eq!(harness.responses(), absent);
    // The host says that the block is here, and then does not find it.
    let blocks = vec![BlockInfo { cid: cid(99), size: 10 }];
    harness.call(Call::NotifyNewBlocks { blocks });
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[]));
    let lost = harness.sends.pop_front().unwrap();
    harness.sent(lost.id, Err(SendError::Closed));
    assert_eq!(harness.responses(), absent);
}

#[test]
fn a_peer_whose_streams_take_nothing_is_left_alone_for_a_while() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [want(cid(4))]);
    for opened in [1, 2] {
        assert_eq!(harness.responses(), Responses::new(&[cid(4)], &[], &[]));
        assert_eq!(harness.opened.len(), opened);
        let lost = harness.sends.pop_front().unwrap();
        harness.sent(lost.id, Err(SendError::Closed));
    }
    assert_eq!(harness.responses(), Responses::default());
    harness.pass(199_999);
    assert_eq!((harness.responses(), harness.opened.len()), (Responses::default(), 2));
    harness.pass(1);
    assert_eq!(
        (harness.responses(), harness.opened.len()),
        (Responses::new(&[cid(4)], &[], &[]), 3)
    );
}

#[test]
fn no_blocks_are_held_for_a_stream_that_rests() {
    let mut harness = harness();
    harness.at_once.sends = false;
    (10..30).for_each(|n| harness.put(cid(n), 50_000));
    harness.wants(0, (10..30).map(|n| want(cid(n))).collect::<Vec<_>>());
    for _ in 0..2 {
        harness.run();
        let lost = std::mem::take(&mut harness.sends);
        let on_their_way = lost.len() as u64 * 50_000;
        assert!(
            harness.engine().stats().response_bytes > on_their_way,
            "others wait for their turn"
        );
        lost.into_iter().for_each(|outgoing| harness.sent(outgoing.id, Err(SendError::Closed)));
    }
    harness.run();
    assert_eq!(harness.engine().stats().response_bytes, 0);
}

#[test]
fn a_failed_send_does_not_bring_back_what_was_cancelled() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [want(cid(1)), want(cid(2)), ask(cid(3)), want_or(cid(99))]);
    harness.run();
    harness.cancels(0, &[cid(1), cid(3), cid(99)]);
    for outgoing in std::mem::take(&mut harness.sends) {
        harness.sent(outgoing.id, Err(SendError::Timeout));
    }
    assert_eq!(harness.responses(), Responses::new(&[cid(2)], &[], &[]));
}

#[test]
fn a_dont_have_that_failed_is_still_owed_when_the_block_goes_away_again() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [want_or(cid(99))]);
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(99)]));
    // Announced, but gone again before it is looked up.
    harness.notify_new_blocks(cid(99), 10);
    harness.store.remove(&cid(99));
    let lost = harness.sends.pop_front().unwrap();
    harness.sent(lost.id, Err(SendError::Closed));
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(99)]));
}

#[test]
fn a_reset_brings_back_what_was_sent_last_and_not_cancelled() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1)), want(cid(2)), ask(cid(3)), want(cid(4))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1), cid(2), cid(4)], &[cid(3)], &[]));
    assert_eq!(harness.ledger(0), 0);
    harness.cancels(0, &[cid(2)]);
    harness.host.reset(0, StreamKind::Responses);
    assert_eq!(harness.ledger(0), 3);
    assert_eq!(harness.responses(), Responses::new(&[cid(1), cid(4)], &[cid(3)], &[]));
    assert_eq!((harness.opened.len(), harness.ledger(0)), (2, 0));
    // Long after, it has arrived.
    harness.pass(10_000_001);
    harness.run();
    harness.host.reset(0, StreamKind::Responses);
    assert_eq!(harness.responses(), Responses::default());
}

#[test]
fn a_reset_brings_back_a_bounded_few() {
    let mut harness = harness();
    for n in 100..300 {
        harness.put(cid(n), 10);
        harness.wants(0, [want(cid(n))]);
        harness.run();
        harness.pass(1);
    }
    harness.host.reset(0, StreamKind::Responses);
    let said = harness.responses();
    assert_eq!(said, Responses::new(&(236..300).map(cid).collect::<Vec<_>>(), &[], &[]));
}

#[test]
fn a_full_wantlist_confirms_what_it_does_not_repeat() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1)), want(cid(2))]);
    harness.run();
    harness.wants_only(0, [want(cid(2))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(2)], &[], &[]));
    harness.host.reset(0, StreamKind::Responses);
    assert_eq!(harness.responses(), Responses::new(&[cid(2)], &[], &[]));
}

#[test]
fn unknown_and_repeated_reports_are_counted_and_change_nothing() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [want(cid(1))]);
    harness.run();
    let outgoing = harness.sends.pop_front().unwrap();
    harness.sent(outgoing.id, Ok(()));
    harness.sent(outgoing.id, Err(SendError::Closed));
    harness.sent(outgoing.id, Ok(()));
    assert_eq!(harness.responses(), Responses::default());
    let stats = harness.engine().stats();
    assert_eq!((stats.stale_inputs, stats.served.blocks, stats.served.failed_sends), (2, 1, 0));
}

#[test]
fn at_most_four_messages_are_on_their_way() {
    let mut harness = Harness::with_peer(Config::default().with_response_target_bytes(1).unwrap());
    harness.at_once.sends = false;
    for n in 0..10 {
        harness.put(cid(n), 10);
    }
    harness.wants(0, (0..10).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!(harness.run().len(), 4);
    // Presences wait with them, and a cancel still takes back what waits.
    harness.wants(0, [ask_or(cid(99))]);
    harness.cancels(0, &[cid(9)]);
    assert_eq!(harness.responses(), Responses::default());
    let first = harness.sends.pop_front().unwrap();
    harness.sent(first.id, Ok(()));
    assert_eq!(harness.responses(), Responses::new(&[cid(4)], &[], &[cid(99)]));
    harness.at_once.sends = true;
    harness.answer_sends();
    let rest = harness.responses();
    assert_eq!(rest, Responses::new(&(5..9).map(cid).collect::<Vec<_>>(), &[], &[]));
}

#[test]
fn an_idle_stream_is_closed_after_five_seconds() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1))]);
    harness.run();
    let idle = Timestamp::from_micros(5_000_000);
    assert_eq!(harness.engine().poll_timeout_reason(), Some((idle, TimerReason::StreamIdle)));
    harness.pass(4_999_999);
    harness.run();
    assert_eq!(harness.closed, [0u32; 0]);
    harness.pass(1);
    harness.run();
    assert_eq!((&harness.closed[..], harness.engine().poll_timeout()), (&[0][..], None));
    harness.wants(0, [want(cid(2))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(2)], &[], &[]));
    assert_eq!(harness.opened, [0, 0]);
}

#[test]
fn opening_is_tried_again_after_a_pause() {
    let mut harness = harness();
    harness.open_results.insert(0, Err(OpenError::Timeout));
    harness.wants(0, [want(cid(1)), want_or(cid(99))]);
    harness.run();
    assert_eq!(harness.opened.len(), 1);
    let retry = Timestamp::from_micros(100_000);
    assert_eq!(harness.engine().poll_timeout_reason(), Some((retry, TimerReason::StreamRetry)));
    assert_eq!(
        harness.engine().stats().response_bytes,
        0,
        "nothing is held for a stream that is not there"
    );
    harness.wait_until_due();
    harness.run();
    assert_eq!(harness.opened.len(), 2);
    assert_eq!(harness.engine().poll_timeout(), Some(Timestamp::from_micros(300_000)));
    harness.open_results.clear();
    harness.wait_until_due();
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[cid(99)]));
}

#[test]
fn what_was_loaded_for_a_stream_that_does_not_open_is_let_go() {
    let mut harness = harness();
    harness.at_once.opens = false;
    harness.wants(0, [want(cid(1)), want(cid(4))]);
    harness.run();
    assert_eq!(harness.engine().stats().response_bytes, 50_010);
    harness.open_results.insert(0, Err(OpenError::Timeout));
    harness.answer_opens();
    harness.run();
    assert_eq!(harness.engine().stats().response_bytes, 0);
    harness.open_results.clear();
    harness.at_once.opens = true;
    harness.wait_until_due();
    assert_eq!(harness.responses(), Responses::new(&[cid(1), cid(4)], &[], &[]));
}

#[test]
fn a_new_stream_may_speak_an_older_version() {
    let mut harness = harness();
    harness.wants(0, [ask_or(cid(98)), want(cid(1))]);
    harness.run();
    harness.host.reset(0, StreamKind::Responses);
    harness.open_results.insert(0, Ok(bitswap_core::Version::V1_0));
    // The harness checks that no presence goes out; a CIDv1 block cannot either.
    harness.wants(0, [want_or(cid(99)), want(cid(1))]);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.engine().stats().response_bytes, 0);
    // When it speaks the newest again, it asks again.
    harness.host.reset(0, StreamKind::Responses);
    harness.open_results.clear();
    harness.wants(0, [want_or(cid(99)), want(cid(1))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[cid(99)]));
}

#[test]
fn shutting_down_waits_for_no_lookup() {
    let mut harness = harness();
    harness.at_once.loads = false;
    harness.wants(0, [want(cid(1)), ask(cid(3))]);
    harness.run();
    harness.shutdown();
    assert_eq!(
        (harness.engine().stats().response_bytes, harness.responses()),
        (0, Responses::default())
    );
    assert_eq!((&harness.closed[..], harness.engine().poll_timeout()), (&[0][..], None));
    harness.answer_loads();
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.engine().stats().stale_inputs, 2, "the lookups are forgotten");
}

#[test]
fn shutting_down_drops_everything_and_closes_the_streams() {
    let mut harness = Harness::new(limits(|limits| limits.loads_per_peer = 4));
    for peer in 0..3 {
        harness.connect(peer);
        for n in 0..20 {
            harness.put(cid(n), 1000);
        }
        harness.wants(peer, (0..30).map(|n| want_or(cid(n))).collect::<Vec<_>>());
    }
    harness.stalled.insert(1);
    harness.open_results.insert(2, Err(OpenError::Timeout));
    harness.run();
    harness.at_once.loads = false;
    harness.wants(0, (0..20).map(|n| want(cid(n))).collect::<Vec<_>>());
    harness.run();
    harness.shutdown();
    assert_eq!((harness.engine().stats().ledger, harness.responses()), (0, Responses::default()));
    assert_eq!(harness.closed, [0], "peer 1 has messages on their way");
    harness.stalled.clear();
    harness.answer_sends();
    harness.answer_loads();
    harness.wants(0, [want_or(cid(1))]);
    harness.notify_new_blocks(cid(25), 10);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!((&harness.closed[..], harness.engine().poll_timeout()), (&[0, 1][..], None));
    assert_eq!(harness.engine().stats().response_bytes, 0);
}
