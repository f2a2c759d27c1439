//! A peer tells what it wants, and gets its answers: exactly these and no others.

use bitswap_testing::AtOnce;

use crate::harness::{Harness, Responses, ask, ask_or, cid, cid_v0, want, want_or};
use bitswap_core::{Config, Entry, LoadKind, Message, Output, Version, WantKind};

/// Blocks in the store: 1 and 2 small, 3 and 4 big, 5 empty. The rest is missing.
fn harness() -> Harness {
    let mut harness = Harness::with_peer(Config::default());
    for (n, size) in [(1, 10), (2, 1024), (3, 1025), (4, 50_000), (5, 0)] {
        harness.put(cid(n), size);
    }
    harness
}

/// Tells each batch in turn, running to rest in between, and returns what was said in all.
fn responses_to(batches: &[Vec<Entry>]) -> Responses {
    let mut harness = harness();
    let mut messages = Vec::new();
    for batch in batches {
        harness.wants(0, batch.clone());
        messages.extend(harness.run());
    }
    Responses::of(messages.iter().map(|(_, message)| message))
}

/// Tells all batches before anything is polled.
fn responses_at_once(batches: &[Vec<Entry>]) -> Responses {
    let mut harness = harness();
    for batch in batches {
        harness.wants(0, batch.clone());
    }
    harness.responses()
}

#[test]
fn a_want_block_gets_the_block() {
    let said = responses_to(&[vec![want(cid(1)), want_or(cid(4))]]);
    assert_eq!(said, Responses::new(&[cid(1), cid(4)], &[], &[]));
}

#[test]
fn an_empty_block_is_a_block() {
    assert_eq!(responses_to(&[vec![want_or(cid(5))]]), Responses::new(&[cid(5)], &[], &[]));
    assert_eq!(responses_to(&[vec![ask_or(cid(5))]]), Responses::new(&[cid(5)], &[], &[]));
}

#[test]
fn a_want_have_gets_a_small_block_itself_and_have_for_a_big_one() {
    let said = responses_to(&[vec![ask(cid(1)), ask_or(cid(2)), ask(cid(3)), ask_or(cid(4))]]);
    assert_eq!(said, Responses::new(&[cid(1), cid(2)], &[cid(3), cid(4)], &[]));
}

#[test]
fn a_missing_block_gets_dont_have_only_where_it_was_asked_for() {
    let said =
        responses_to(&[vec![want(cid(91)), want_or(cid(92)), ask(cid(93)), ask_or(cid(94))]]);
    assert_eq!(said, Responses::new(&[], &[], &[cid(92), cid(94)]));
}

#[test]
fn small_blocks_never_replace_have_when_that_is_off() {
    let mut harness = Harness::with_peer(Config::default().with_replace_have_bytes(None).unwrap());
    harness.put(cid(5), 0);
    harness.put(cid(1), 10);
    harness.wants(0, [ask(cid(1)), ask(cid(5))]);
    assert_eq!(harness.responses(), Responses::new(&[], &[cid(1), cid(5)], &[]));
    assert!(harness.loaded.iter().all(|load| load.kind == LoadKind::Size));
}

#[test]
fn the_same_cid_twice_gets_one_answer_and_the_block_wins() {
    for batch in [vec![ask(cid(4)), want(cid(4))], vec![want(cid(4)), ask(cid(4))]] {
        assert_eq!(responses_to(std::slice::from_ref(&batch)), Responses::new(&[cid(4)], &[], &[]));
        let parts: Vec<_> = batch.into_iter().map(|entry| vec![entry]).collect();
        assert_eq!(responses_at_once(&parts), Responses::new(&[cid(4)], &[], &[]));
    }
}

#[test]
fn a_want_block_after_have_gets_the_block() {
    let said = responses_to(&[vec![ask(cid(4))], vec![want_or(cid(4))]]);
    assert_eq!(said, Responses::new(&[cid(4)], &[cid(4)], &[]));
}

#[test]
fn what_was_answered_is_answered_again_when_it_is_asked_again() {
    let wants = vec![want(cid(1)), ask(cid(3)), ask_or(cid(99))];
    let said = responses_to(&[wants.clone(), wants]);
    assert_eq!(said, Responses::new(&[cid(1), cid(1)], &[cid(3), cid(3)], &[cid(99), cid(99)]));
}

#[test]
fn a_block_under_way_is_not_sent_twice() {
    let mut harness = harness();
    harness.at_once.loads = false;
    harness.at_once.sends = false;
    harness.wants(0, [want(cid(4))]);
    assert_eq!(harness.responses(), Responses::default());
    harness.wants(0, [want(cid(4))]);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.loaded.len(), 1, "one lookup while one is under way");
    harness.answer_loads();
    harness.wants(0, [want(cid(4))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(4)], &[], &[]));
    harness.wants(0, [want(cid(4))]);
    assert_eq!(harness.responses(), Responses::default());
    harness.answer_sends();
    harness.answer_loads();
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!((harness.loaded.len(), harness.ledger(0)), (1, 0));
}

#[test]
fn an_upgrade_before_the_have_left_gets_the_block_alone() {
    let mut harness = harness();
    harness.open_results.insert(0, Err(bitswap_core::error::OpenError::Timeout));
    harness.wants(0, [ask(cid(4))]);
    assert_eq!(harness.responses(), Responses::default());
    harness.open_results.clear();
    harness.wants(0, [want(cid(4))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(4)], &[], &[]));
}

#[test]
fn an_upgrade_while_the_have_is_on_its_way_gets_the_block() {
    let mut harness = harness();
    harness.at_once.sends = false;
    harness.wants(0, [ask(cid(4))]);
    assert_eq!(harness.responses(), Responses::new(&[], &[cid(4)], &[]));
    harness.wants(0, [want(cid(4))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(4)], &[], &[]));
    harness.answer_sends();
    assert_eq!((harness.responses(), harness.ledger(0)), (Responses::default(), 0));
}

#[test]
fn have_and_block_end_their_wants_and_dont_have_ends_none() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1)), ask(cid(3)), ask_or(cid(98)), want_or(cid(99)), want(cid(97))]);
    harness.run();
    let left: Vec<_> =
        harness.engine().peer_wantlist(0).into_iter().map(|entry| entry.cid).collect();
    assert_eq!(left, [cid(98), cid(99), cid(97)]);
    assert_eq!((harness.ledger(0), harness.engine().stats().ledger), (3, 3));
}

#[test]
fn a_cancelled_want_gets_nothing() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1)), want_or(cid(99))]);
    harness.cancels(0, &[cid(1), cid(99)]);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.loads, [], "it is not even looked up");
    // Both in one message.
    harness.wants(0, [want(cid(1)), Entry::cancel(cid(1))]);
    assert_eq!(harness.responses(), Responses::default());
    // Of something never wanted.
    harness.cancels(0, &[cid(7)]);
    assert_eq!(harness.responses(), Responses::default());
    // And later wants are served.
    harness.wants(0, [want(cid(1))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[]));
}

#[test]
fn a_block_is_not_sent_once_its_cancel_came() {
    // While its lookup is under way.
    let mut harness = harness();
    harness.at_once.loads = false;
    harness.wants(0, [want(cid(4)), want(cid(1))]);
    harness.run();
    harness.cancels(0, &[cid(4)]);
    harness.answer_loads();
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[]));
    assert_eq!(harness.engine().stats().response_bytes, 0);
    // While it waits for room on the stream, loaded.
    let mut harness = self::harness();
    harness.at_once.sends = false;
    harness.at_once.loads = false;
    harness.wants(0, [want(cid(4))]);
    harness.run();
    harness.answer_loads();
    harness.cancels(0, &[cid(4)]);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.engine().stats().response_bytes, 0);
    // Presences too.
    harness.wants(0, [ask(cid(3)), ask_or(cid(99))]);
    harness.run();
    harness.answer_loads();
    harness.cancels(0, &[cid(3), cid(99)]);
    assert_eq!(harness.responses(), Responses::default());
}

#[test]
fn a_cancelled_lookup_keeps_its_place_until_the_store_answers() {
    let mut harness =
        Harness::with_peer(crate::harness::limits(|limits| limits.loads_per_peer = 2));
    harness.at_once.loads = false;
    harness.put(cid(3), 100);
    harness.wants(0, [want(cid(1)), want(cid(2)), want(cid(3))]);
    harness.run();
    assert_eq!(harness.loaded.iter().map(|load| load.cids.len()).sum::<usize>(), 2);
    harness.cancels(0, &[cid(1), cid(2)]);
    harness.run();
    assert_eq!(harness.loaded.len(), 1, "cancelling does not buy another lookup");
    harness.answer_loads();
    harness.run();
    assert_eq!(harness.loaded.len(), 2);
    harness.answer_loads();
    assert_eq!(harness.responses(), Responses::new(&[cid(3)], &[], &[]));
}

#[test]
fn full_replaces_what_was_sent_before() {
    let mut harness = harness();
    harness.wants(0, [want(cid(97)), want(cid(98)), want_or(cid(99))]);
    harness.run();
    harness.wants_only(0, [want(cid(98)), want(cid(96))]);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.ledger(0), 2);
    for n in [96, 97, 98, 99] {
        harness.notify_new_blocks(cid(n), 10);
    }
    assert_eq!(harness.responses(), Responses::new(&[cid(96), cid(98)], &[], &[]));
    // An empty full wantlist ends all.
    harness.wants(0, [want(cid(90)), want(cid(91))]);
    harness.run();
    harness.wants_only(0, []);
    harness.run();
    assert_eq!((harness.ledger(0), harness.engine().peer_wantlist(0)), (0, vec![]));
}

#[test]
fn a_full_wantlist_that_repeats_a_want_under_way_does_not_double_it() {
    let mut harness = harness();
    harness.at_once.loads = false;
    harness.wants(0, [want(cid(1)), want(cid(4))]);
    harness.run();
    harness.wants_only(0, [want(cid(4))]);
    harness.answer_loads();
    assert_eq!(harness.responses(), Responses::new(&[cid(4)], &[], &[]));
    assert_eq!(harness.loaded.len(), 1);
}

#[test]
fn higher_priorities_go_first_and_equal_ones_by_age() {
    let mut harness = Harness::with_peer(Config::default().with_response_target_bytes(1).unwrap());
    harness.at_once.opens = false;
    for (n, priority) in [(11, 5), (12, i32::MIN), (13, 5), (14, i32::MAX), (15, 0)] {
        harness.put(cid(n), 100);
        harness.wants(0, [Entry::want(cid(n), WantKind::Block, priority, false)]);
    }
    // A repeated want takes the new priority.
    harness.wants(0, [Entry::want(cid(15), WantKind::Block, 6, false)]);
    let order: Vec<_> = harness.engine().peer_wantlist(0).iter().map(|entry| entry.cid).collect();
    assert_eq!(order, [cid(14), cid(15), cid(11), cid(13), cid(12)]);
    harness.run();
    harness.answer_opens();
    let sent: Vec<_> = harness.run().iter().map(|(_, message)| *message.blocks[0].cid()).collect();
    assert_eq!(sent, order);
}

#[test]
fn entries_that_nobody_can_serve_are_counted_and_refused_if_they_ask() {
    use cid::Cid;
    use cid::multihash::Multihash;
    let identity = |n: u8| Cid::new_v1(0x55, Multihash::wrap(0, &[n; 8]).unwrap());
    let unknown = Cid::new_v1(0x55, Multihash::wrap(0x9999, &[1; 32]).unwrap());
    let short = Cid::new_v1(0x55, Multihash::wrap(0x12, &[1; 19]).unwrap());
    let mut harness = harness();
    harness.wants(0, [want(identity(1)), want_or(identity(2)), ask_or(identity(3)), want(cid(1))]);
    harness.wants(0, [want_or(unknown), ask_or(short), want(short)]);
    let said = harness.responses();
    let refused = [identity(2), identity(3), unknown, short];
    assert_eq!(said, Responses::new(&[cid(1)], &[], &refused));
    assert_eq!(harness.engine().stats().served.skipped_entries, 6);
    assert!(harness.loaded.iter().all(|load| load.cids == [cid(1)]), "no store is asked for them");
    assert_eq!(harness.ledger(0), 0);
    // A cancel in time holds even for these.
    harness.wants(0, [want_or(identity(2))]);
    harness.cancels(0, &[identity(2)]);
    assert_eq!(harness.responses(), Responses::default());
}

#[test]
fn a_1_1_peer_gets_blocks_and_no_presences() {
    let mut harness = harness();
    harness.open_results.insert(0, Ok(Version::V1_1));
    harness.wants(0, [want(cid(4)), want_or(cid(99)), ask(cid(3)), ask(cid(1))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1), cid(4)], &[], &[]));
}

#[test]
fn peers_before_1_1_get_v0_blocks_only() {
    for version in [Version::V1_0, Version::Unversioned] {
        let mut harness = harness();
        harness.open_results.insert(0, Ok(version));
        harness.put(cid_v0(1), 10);
        harness.wants(0, [want(cid(4)), want_or(cid(99)), want(cid_v0(1)), want_or(cid_v0(99))]);
        assert_eq!(harness.responses(), Responses::new(&[cid_v0(1)], &[], &[]));
        assert_eq!(harness.engine().stats().response_bytes, 0);
    }
}

#[test]
fn what_a_version_cannot_carry_is_not_looked_up_or_let_go() {
    // The version is known before the lookup.
    let mut harness = harness();
    harness.open_results.insert(0, Ok(Version::V1_0));
    harness.put(cid_v0(1), 10);
    harness.wants(0, [want(cid_v0(1))]);
    harness.run();
    harness.wants(0, [want(cid(4))]);
    assert_eq!((harness.responses(), harness.loaded.len()), (Responses::default(), 1));
    // It becomes known when the block is loaded.
    let mut harness = self::harness();
    harness.open_results.insert(0, Ok(Version::V1_0));
    harness.at_once.opens = false;
    harness.wants(0, [want(cid(4))]);
    harness.run();
    assert_eq!(harness.engine().stats().response_bytes, 50_000);
    harness.answer_opens();
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.engine().stats().response_bytes, 0);
}

#[test]
fn a_node_that_does_not_serve_says_nothing_and_remembers_nothing() {
    let mut harness = Harness::with_peer(Config::default().with_serve(false));
    harness.put(cid(1), 10);
    harness.wants(0, [want_or(cid(1)), ask_or(cid(99))]);
    assert_eq!(harness.responses(), Responses::default());
    harness.notify_new_blocks(cid(99), 10);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!((harness.ledger(0), harness.loaded.len(), harness.opened.len()), (0, 0, 0));
}

#[test]
fn the_first_want_asks_to_open_a_stream_and_to_load_at_once() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1)), ask(cid(4))]);
    harness.at_once = AtOnce::NONE;
    let outputs = harness.drain();
    let [
        Output::Open { peer: 0, .. },
        Output::Load(sizes),
        Output::Load(datas),
        Output::KeepAlive { peer: 0, needed: true },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}");
    };
    assert_eq!((sizes.kind, &sizes.cids), (LoadKind::Size, &vec![cid(4)]));
    assert_eq!((datas.kind, &datas.cids), (LoadKind::Data, &vec![cid(1)]));
}

#[test]
fn a_peer_that_is_only_looking_costs_no_stream_when_nothing_is_here() {
    let mut harness = harness();
    harness.wants(0, [ask(cid(98)), ask(cid(99))]);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.opened, [0u32; 0]);
}

#[test]
fn small_blocks_share_messages_and_big_ones_go_alone() {
    let config = Config::default().with_response_target_bytes(16 << 10).unwrap();
    let mut harness = Harness::with_peer(config);
    harness.at_once.opens = false;
    for n in 0..12 {
        harness.put(cid(n), 2000);
    }
    harness.put(cid(12), 20_000);
    harness.wants(0, (0..13).map(|n| want(cid(n))).chain([ask_or(cid(99))]).collect::<Vec<_>>());
    assert_eq!(harness.responses(), Responses::default());
    harness.answer_opens();
    let messages = harness.run();
    let shape: Vec<_> = messages
        .iter()
        .map(|(_, m)| (m.blocks.len(), m.presences.len(), m.pending_bytes))
        .collect();
    assert_eq!(shape, [(8, 1, 28_000), (4, 0, 20_000), (1, 0, 0)]);
}

#[test]
fn counters_tell_what_was_asked_and_sent() {
    let mut harness = harness();
    harness.wants(0, [want(cid(1)), ask(cid(3)), want_or(cid(99))]);
    harness.cancels(0, &[cid(99), cid(98)]);
    harness.wants(0, [want_or(cid(99))]);
    harness.run();
    let served = harness.engine().stats().served;
    assert_eq!(served, harness.engine().peer_stats(0).unwrap().served);
    assert_eq!((served.wants, served.cancels), (4, 2));
    assert_eq!((served.blocks, served.bytes, served.haves, served.dont_haves), (1, 10, 1, 1));
    assert_eq!((served.skipped_entries, served.evicted_wants, served.failed_sends), (0, 0, 0));
}

#[test]
fn extreme_numbers_are_numbers() {
    let mut harness = harness();
    let message = Message { pending_bytes: i32::MIN, ..Message::default() };
    harness.host.receive(0, message);
    harness.wants(0, [Entry::want(cid(1), WantKind::Block, i32::MIN, true)]);
    harness.wants(0, [Entry::want(cid(4), WantKind::Have, i32::MAX, true)]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[cid(4)], &[]));
}
