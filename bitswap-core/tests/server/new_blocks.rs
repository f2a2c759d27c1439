//! A block becomes available that peers wanted before.

use crate::harness::{Harness, Responses, ask, ask_or, cid, want, want_or};
use bitswap_core::{Config, Message, TimerReason, Timestamp};

#[test]
fn a_late_block_is_pushed_unasked() {
    let mut harness = Harness::with_peer(Config::default());
    harness.wants(0, [want(cid(1)), want_or(cid(2)), ask(cid(3)), ask_or(cid(4)), want(cid(5))]);
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(2), cid(4)]));
    for (n, size) in [(1, 10), (2, 5000), (3, 10), (4, 5000), (5, 0)] {
        harness.notify_new_blocks(cid(n), size);
    }
    let said = harness.responses();
    assert_eq!(said, Responses::new(&[cid(1), cid(2), cid(3), cid(5)], &[cid(4)], &[]));
    assert_eq!(harness.ledger(0), 0);
    harness.notify_new_blocks(cid(1), 10);
    assert_eq!(harness.responses(), Responses::default(), "once");
}

#[test]
fn nothing_is_pushed_after_a_cancel_or_a_full_wantlist_without_it() {
    let mut harness = Harness::with_peer(Config::default());
    harness.wants(0, [want(cid(1)), want_or(cid(2)), want(cid(3))]);
    harness.run();
    harness.cancels(0, &[cid(1)]);
    harness.wants_only(0, [want(cid(3))]);
    harness.run();
    for n in 1..=3 {
        harness.notify_new_blocks(cid(n), 10);
    }
    assert_eq!(harness.responses(), Responses::new(&[cid(3)], &[], &[]));
}

#[test]
fn every_peer_that_wants_it_gets_it() {
    let mut harness = Harness::new(Config::default());
    for peer in 0..20 {
        harness.connect(peer);
        harness.wants(peer, [if peer % 2 == 0 { want(cid(1)) } else { ask(cid(1)) }]);
    }
    harness.run();
    harness.notify_new_blocks(cid(1), 4000);
    let messages = harness.run();
    let (mut blocks, mut haves) = (Vec::new(), Vec::new());
    for (peer, message) in &messages {
        let said = Responses::of([message]);
        if said.blocks.is_empty() { haves.push(*peer) } else { blocks.push(*peer) }
    }
    assert_eq!((blocks.len(), haves.len()), (10, 10));
    assert!(blocks.iter().all(|peer| peer % 2 == 0) && haves.iter().all(|peer| peer % 2 == 1));
}

#[test]
fn absence_found_before_the_block_came_does_not_win_over_it() {
    // The lookup misses the block, which is stored before the answer is handled.
    let mut harness = Harness::with_peer(Config::default());
    harness.at_once.loads = false;
    harness.wants(0, [want_or(cid(1)), ask_or(cid(2))]);
    harness.run();
    let loads = std::mem::take(&mut harness.loads);
    let stale: Vec<_> = loads.iter().map(|load| (load.id, harness.store.answers(load))).collect();
    harness.notify_new_blocks(cid(1), 10);
    harness.notify_new_blocks(cid(2), 5000);
    for (id, answers) in stale {
        harness.host.loaded(id, answers);
    }
    harness.at_once.loads = true;
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[cid(2)], &[]));
}

#[test]
fn a_dont_have_that_was_not_said_yet_gives_way_to_the_block() {
    let mut harness = Harness::with_peer(Config::default());
    harness.at_once.opens = false;
    harness.wants(0, [want_or(cid(1))]);
    harness.run();
    harness.notify_new_blocks(cid(1), 10);
    harness.run();
    harness.answer_opens();
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[]));
}

#[test]
fn a_block_follows_a_dont_have_that_is_on_its_way() {
    let mut harness = Harness::with_peer(Config::default());
    harness.at_once.sends = false;
    harness.wants(0, [want_or(cid(1))]);
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(1)]));
    harness.notify_new_blocks(cid(1), 10);
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[]));
    harness.answer_sends();
    harness.run();
    assert_eq!(harness.ledger(0), 0);
}

#[test]
fn a_refused_peer_cannot_tell_refusal_from_absence() {
    // Peer 0 is refused block 1, and asks for block 2 that is not there at all.
    let mut harness = Harness::with_peer(Config::default());
    harness.store.refuse(0, cid(1));
    harness.put(cid(1), 10);
    for entry in [want_or, ask_or, want, ask] {
        harness.wants(0, [entry(cid(1)), entry(cid(2))]);
        let said = harness.responses();
        let asked = entry(cid(1)).send_dont_have;
        let both = if asked { vec![cid(1), cid(2)] } else { vec![] };
        assert_eq!(said, Responses::new(&[], &[], &both));
        // Not even when the refused block is stored anew.
        harness.notify_new_blocks(cid(1), 10);
        assert_eq!(harness.responses(), Responses::default());
    }
    harness.store.refuse_nobody();
    harness.notify_new_blocks(cid(1), 10);
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[]));
}

/// Peer 0 fetches, and so is asked by others as we are: it wants a block that is not here. Peers 1 to 3 want block 1.
fn crowd() -> Harness {
    let mut harness = Harness::with_peer(Config::default());
    harness.wants(0, [want_or(cid(9))]);
    for peer in 1..=3 {
        harness.connect(peer);
        harness.wants(peer, [want_or(cid(1))]);
    }
    harness.run();
    harness
}

#[test]
fn what_a_peer_that_fetches_sent_is_sent_on_when_others_had_time_to_take_their_wants_back() {
    let mut harness = crowd();
    harness.comes_from(0, cid(1), 4000);
    assert_eq!(harness.responses(), Responses::default(), "peer 0 sends it to all that asked it");
    let (due, reason) = harness.engine().poll_timeout_reason().unwrap();
    assert_eq!(reason, TimerReason::Relay);
    assert!((Timestamp::from_micros(10_000)..Timestamp::from_micros(50_000)).contains(&due));
    // Peer 1 got it, peer 2 asks again, peer 3 was not known to peer 0.
    harness.cancels(1, &[cid(1)]);
    harness.wants(2, [want(cid(1))]);
    let sent = |messages: &[(u32, Message)]| -> Vec<u32> {
        messages.iter().filter(|(_, message)| !message.blocks.is_empty()).map(|of| of.0).collect()
    };
    assert_eq!(sent(&harness.run()), [2], "who asks now is answered now");
    assert!(harness.wait_until_due());
    assert_eq!((harness.now, sent(&harness.run())), (due, vec![3]));
    assert_eq!([1, 2, 3].map(|peer| harness.ledger(peer)), [0; 3]);
}

#[test]
fn what_a_peer_that_fetches_nothing_sent_is_sent_on_at_once() {
    let mut harness = crowd();
    harness.connect(7);
    harness.comes_from(7, cid(1), 4000);
    assert_eq!(harness.responses(), Responses::new(&[cid(1); 3], &[], &[]));
    // Who wanted something long ago is done.
    harness.wants(1, [want_or(cid(2))]);
    harness.run();
    harness.pass(10_000_000);
    harness.comes_from(0, cid(2), 4000);
    assert_eq!(harness.responses(), Responses::new(&[cid(2)], &[], &[]));
}

#[test]
fn nobody_is_told_that_a_block_is_not_here_while_it_waits_to_be_sent_on() {
    let mut harness = crowd();
    harness.connect(4);
    harness.at_once.opens = false;
    harness.at_once.loads = false;
    // Peer 4 is about to be told that it is not here, peer 5 as soon as the store has said so.
    harness.wants(4, [want_or(cid(1))]);
    harness.run();
    harness.answer_loads();
    harness.connect(5);
    harness.wants(5, [want_or(cid(1))]);
    harness.run();
    let loads = std::mem::take(&mut harness.loads);
    let stale: Vec<_> = loads.iter().map(|load| (load.id, harness.store.answers(load))).collect();
    harness.comes_from(0, cid(1), 4000);
    for (id, answers) in stale {
        harness.host.loaded(id, answers);
    }
    (harness.at_once.opens, harness.at_once.loads) = (true, true);
    harness.answer_opens();
    harness.answer_loads();
    let messages = harness.run();
    let mut to: Vec<u32> = messages.iter().map(|(peer, _)| *peer).collect();
    to.sort_unstable();
    assert_eq!(to, [4, 5]);
    let said = Responses::of(messages.iter().map(|(_, message)| message));
    assert_eq!(said, Responses::new(&[cid(1); 2], &[], &[]));
}

#[test]
fn a_block_that_is_stored_later_than_it_could_have_been_sent_on_does_not_wait_again() {
    let mut harness = crowd();
    harness.receives(0, cid(1), 4000);
    harness.pass(50_000);
    assert_eq!(harness.responses(), Responses::default(), "it is not stored");
    harness.notify_new_blocks(cid(1), 4000);
    assert_eq!(harness.responses(), Responses::new(&[cid(1); 3], &[], &[]));
}

#[test]
fn an_engine_that_ends_sends_nothing_on() {
    let mut harness = crowd();
    harness.comes_from(0, cid(1), 4000);
    harness.run();
    harness.shutdown();
    harness.run();
    assert_eq!(harness.engine().poll_timeout_reason(), None);
}
