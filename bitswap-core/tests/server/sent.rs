//! The transport takes answers, fails them, loses them; streams open and close.

use crate::rig::{Rig, Said, ask, ask_or, cid, limits, want, want_or};
use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{BlockInfo, Config, StreamKind, TimerReason, Timestamp};

fn rig() -> Rig {
    let mut rig = Rig::with_peer(Config::default());
    for (n, size) in [(1, 10), (2, 2000), (3, 5000), (4, 50_000)] {
        rig.put(cid(n), size);
    }
    rig
}

#[test]
fn a_failed_send_is_said_again_on_a_new_stream() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [want(cid(1)), ask(cid(3)), want_or(cid(99)), want(cid(4))]);
    let first = rig.said();
    assert_eq!(first, Said::new(&[cid(1), cid(4)], &[cid(3)], &[cid(99)]));
    assert_eq!(rig.engine.stats().served.blocks, 0, "not served before the transport took it");
    for outgoing in std::mem::take(&mut rig.unsent) {
        rig.sent(outgoing.id, Err(SendError::Closed));
    }
    assert_eq!(rig.said(), first);
    assert_eq!(rig.opened, [0, 0]);
    rig.take_all();
    rig.run();
    let served = rig.engine.stats().served;
    assert_eq!((served.blocks, served.bytes, served.haves, served.dont_haves), (2, 50_010, 1, 1));
    assert!(served.failed_sends > 0);
    assert_eq!((rig.ledger(0), rig.engine.stats().response_bytes), (1, 0));
}

#[test]
fn a_lost_dont_have_is_said_again_after_an_announcement_that_was_not_true() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [want_or(cid(99))]);
    let absent = Said::new(&[], &[], &[cid(99)]);
    assert_eq!(rig.said(), absent);
    // The host says that the block is here, and then does not find it.
    rig.engine.notify_new_blocks(&[BlockInfo { cid: cid(99), size: 10 }], rig.at());
    assert_eq!(rig.said(), Said::new(&[], &[], &[]));
    let lost = rig.unsent.pop_front().unwrap();
    rig.sent(lost.id, Err(SendError::Closed));
    assert_eq!(rig.said(), absent);
}

#[test]
fn a_peer_whose_streams_take_nothing_is_left_alone_for_a_while() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [want(cid(4))]);
    for opened in [1, 2] {
        assert_eq!(rig.said(), Said::new(&[cid(4)], &[], &[]));
        assert_eq!(rig.opened.len(), opened);
        let lost = rig.unsent.pop_front().unwrap();
        rig.sent(lost.id, Err(SendError::Closed));
    }
    assert_eq!(rig.said(), Said::default());
    rig.pass(199_999);
    assert_eq!((rig.said(), rig.opened.len()), (Said::default(), 2));
    rig.pass(1);
    assert_eq!((rig.said(), rig.opened.len()), (Said::new(&[cid(4)], &[], &[]), 3));
}

#[test]
fn no_blocks_are_held_for_a_stream_that_rests() {
    let mut rig = rig();
    rig.reads = false;
    (10..30).for_each(|n| rig.put(cid(n), 50_000));
    rig.tell(0, (10..30).map(|n| want(cid(n))).collect::<Vec<_>>());
    for _ in 0..2 {
        rig.run();
        let lost = std::mem::take(&mut rig.unsent);
        let on_their_way = lost.len() as u64 * 50_000;
        assert!(rig.engine.stats().response_bytes > on_their_way, "others wait for their turn");
        lost.into_iter().for_each(|outgoing| rig.sent(outgoing.id, Err(SendError::Closed)));
    }
    rig.run();
    assert_eq!(rig.engine.stats().response_bytes, 0);
}

#[test]
fn a_failed_send_does_not_bring_back_what_was_cancelled() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [want(cid(1)), want(cid(2)), ask(cid(3)), want_or(cid(99))]);
    rig.run();
    rig.cancel(0, &[cid(1), cid(3), cid(99)]);
    for outgoing in std::mem::take(&mut rig.unsent) {
        rig.sent(outgoing.id, Err(SendError::Timeout));
    }
    assert_eq!(rig.said(), Said::new(&[cid(2)], &[], &[]));
}

#[test]
fn a_dont_have_that_failed_is_still_owed_when_the_block_goes_away_again() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [want_or(cid(99))]);
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(99)]));
    // Announced, but gone again before it is looked up.
    rig.notify_new_blocks(cid(99), 10);
    rig.store.remove(&cid(99));
    let lost = rig.unsent.pop_front().unwrap();
    rig.sent(lost.id, Err(SendError::Closed));
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(99)]));
}

#[test]
fn a_reset_brings_back_what_was_sent_last_and_not_cancelled() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1)), want(cid(2)), ask(cid(3)), want(cid(4))]);
    assert_eq!(rig.said(), Said::new(&[cid(1), cid(2), cid(4)], &[cid(3)], &[]));
    assert_eq!(rig.ledger(0), 0);
    rig.cancel(0, &[cid(2)]);
    rig.engine.handle_reset(0, StreamKind::Responses, rig.at());
    assert_eq!(rig.ledger(0), 3);
    assert_eq!(rig.said(), Said::new(&[cid(1), cid(4)], &[cid(3)], &[]));
    assert_eq!((rig.opened.len(), rig.ledger(0)), (2, 0));
    // Long after, it has arrived.
    rig.pass(10_000_001);
    rig.run();
    rig.engine.handle_reset(0, StreamKind::Responses, rig.at());
    assert_eq!(rig.said(), Said::default());
}

#[test]
fn a_reset_brings_back_a_bounded_few() {
    let mut rig = rig();
    for n in 100..300 {
        rig.put(cid(n), 10);
        rig.tell(0, [want(cid(n))]);
        rig.run();
        rig.pass(1);
    }
    rig.engine.handle_reset(0, StreamKind::Responses, rig.at());
    let said = rig.said();
    assert_eq!(said, Said::new(&(236..300).map(cid).collect::<Vec<_>>(), &[], &[]));
}

#[test]
fn a_full_wantlist_confirms_what_it_does_not_repeat() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1)), want(cid(2))]);
    rig.run();
    rig.tell_full(0, [want(cid(2))]);
    assert_eq!(rig.said(), Said::new(&[cid(2)], &[], &[]));
    rig.engine.handle_reset(0, StreamKind::Responses, rig.at());
    assert_eq!(rig.said(), Said::new(&[cid(2)], &[], &[]));
}

#[test]
fn unknown_and_repeated_reports_are_counted_and_change_nothing() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [want(cid(1))]);
    rig.run();
    let outgoing = rig.unsent.pop_front().unwrap();
    rig.sent(outgoing.id, Ok(()));
    rig.sent(outgoing.id, Err(SendError::Closed));
    rig.sent(outgoing.id, Ok(()));
    assert_eq!(rig.said(), Said::default());
    let stats = rig.engine.stats();
    assert_eq!((stats.stale_inputs, stats.served.blocks, stats.served.failed_sends), (2, 1, 0));
}

#[test]
fn at_most_four_messages_are_on_their_way() {
    let mut rig = Rig::with_peer(Config::default().with_response_target_bytes(1).unwrap());
    rig.reads = false;
    for n in 0..10 {
        rig.put(cid(n), 10);
    }
    rig.tell(0, (0..10).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!(rig.run().len(), 4);
    // Presences wait with them, and a cancel still takes back what waits.
    rig.tell(0, [ask_or(cid(99))]);
    rig.cancel(0, &[cid(9)]);
    assert_eq!(rig.said(), Said::default());
    let first = rig.unsent.pop_front().unwrap();
    rig.sent(first.id, Ok(()));
    assert_eq!(rig.said(), Said::new(&[cid(4)], &[], &[cid(99)]));
    rig.reads = true;
    rig.take_all();
    let rest = rig.said();
    assert_eq!(rest, Said::new(&(5..9).map(cid).collect::<Vec<_>>(), &[], &[]));
}

#[test]
fn an_idle_stream_is_closed_after_five_seconds() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1))]);
    rig.run();
    let idle = Timestamp::from_micros(5_000_000);
    assert_eq!(rig.engine.poll_timeout_reason(), Some((idle, TimerReason::StreamIdle)));
    rig.pass(4_999_999);
    rig.run();
    assert_eq!(rig.closed, [0u32; 0]);
    rig.pass(1);
    rig.run();
    assert_eq!((&rig.closed[..], rig.engine.poll_timeout()), (&[0][..], None));
    rig.tell(0, [want(cid(2))]);
    assert_eq!(rig.said(), Said::new(&[cid(2)], &[], &[]));
    assert_eq!(rig.opened, [0, 0]);
}

#[test]
fn opening_is_tried_again_after_a_pause() {
    let mut rig = rig();
    rig.opens.insert(0, Err(OpenError::Timeout));
    rig.tell(0, [want(cid(1)), want_or(cid(99))]);
    rig.run();
    assert_eq!(rig.opened.len(), 1);
    let retry = Timestamp::from_micros(100_000);
    assert_eq!(rig.engine.poll_timeout_reason(), Some((retry, TimerReason::StreamRetry)));
    assert_eq!(
        rig.engine.stats().response_bytes,
        0,
        "nothing is held for a stream that is not there"
    );
    rig.jump();
    rig.run();
    assert_eq!(rig.opened.len(), 2);
    assert_eq!(rig.engine.poll_timeout(), Some(Timestamp::from_micros(300_000)));
    rig.opens.clear();
    rig.jump();
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[cid(99)]));
}

#[test]
fn what_was_loaded_for_a_stream_that_does_not_open_is_let_go() {
    let mut rig = rig();
    rig.opens_at_once = false;
    rig.tell(0, [want(cid(1)), want(cid(4))]);
    rig.run();
    assert_eq!(rig.engine.stats().response_bytes, 50_010);
    rig.opens.insert(0, Err(OpenError::Timeout));
    rig.answer_opens();
    rig.run();
    assert_eq!(rig.engine.stats().response_bytes, 0);
    rig.opens.clear();
    rig.opens_at_once = true;
    rig.jump();
    assert_eq!(rig.said(), Said::new(&[cid(1), cid(4)], &[], &[]));
}

#[test]
fn a_new_stream_may_speak_an_older_version() {
    let mut rig = rig();
    rig.tell(0, [ask_or(cid(98)), want(cid(1))]);
    rig.run();
    rig.engine.handle_reset(0, StreamKind::Responses, rig.at());
    rig.opens.insert(0, Ok(bitswap_core::Version::V1_0));
    // The rig checks that no presence goes out; a CIDv1 block cannot either.
    rig.tell(0, [want_or(cid(99)), want(cid(1))]);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.engine.stats().response_bytes, 0);
    // When it speaks the newest again, it asks again.
    rig.engine.handle_reset(0, StreamKind::Responses, rig.at());
    rig.opens.clear();
    rig.tell(0, [want_or(cid(99)), want(cid(1))]);
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[cid(99)]));
}

#[test]
fn shutting_down_waits_for_no_lookup() {
    let mut rig = rig();
    rig.fast = false;
    rig.tell(0, [want(cid(1)), ask(cid(3))]);
    rig.run();
    rig.engine.shutdown(rig.at());
    assert_eq!((rig.engine.stats().response_bytes, rig.said()), (0, Said::default()));
    assert_eq!((&rig.closed[..], rig.engine.poll_timeout()), (&[0][..], None));
    rig.answer_loads();
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.engine.stats().stale_inputs, 2, "the lookups are forgotten");
}

#[test]
fn shutting_down_drops_everything_and_closes_the_streams() {
    let mut rig = Rig::new(limits(|limits| limits.loads_per_peer = 4));
    for peer in 0..3 {
        rig.connect(peer);
        for n in 0..20 {
            rig.put(cid(n), 1000);
        }
        rig.tell(peer, (0..30).map(|n| want_or(cid(n))).collect::<Vec<_>>());
    }
    rig.slow.insert(1);
    rig.opens.insert(2, Err(OpenError::Timeout));
    rig.run();
    rig.fast = false;
    rig.tell(0, (0..20).map(|n| want(cid(n))).collect::<Vec<_>>());
    rig.run();
    rig.engine.shutdown(rig.at());
    assert_eq!((rig.engine.stats().ledger, rig.said()), (0, Said::default()));
    assert_eq!(rig.closed, [0], "peer 1 has messages on their way");
    rig.slow.clear();
    rig.take_all();
    rig.answer_loads();
    rig.tell(0, [want_or(cid(1))]);
    rig.notify_new_blocks(cid(25), 10);
    assert_eq!(rig.said(), Said::default());
    assert_eq!((&rig.closed[..], rig.engine.poll_timeout()), (&[0, 1][..], None));
    assert_eq!(rig.engine.stats().response_bytes, 0);
}
