//! A peer tells what it wants, and gets its answers: exactly these and no others.

use crate::rig::{Rig, Said, ask, ask_or, cid, cid_v0, want, want_or};
use bitswap_core::{Config, Entry, LoadKind, Message, Output, Version, WantKind};

/// Blocks in the store: 1 and 2 small, 3 and 4 big, 5 empty. The rest is missing.
fn rig() -> Rig {
    let mut rig = Rig::with_peer(Config::default());
    for (n, size) in [(1, 10), (2, 1024), (3, 1025), (4, 50_000), (5, 0)] {
        rig.put(cid(n), size);
    }
    rig
}

/// Tells each batch in turn, running to rest in between, and returns what was said in all.
fn told(batches: &[Vec<Entry>]) -> Said {
    let mut rig = rig();
    let mut messages = Vec::new();
    for batch in batches {
        rig.tell(0, batch.clone());
        messages.extend(rig.run());
    }
    Said::of(messages.iter().map(|(_, message)| message))
}

/// Tells all batches before anything is polled.
fn told_at_once(batches: &[Vec<Entry>]) -> Said {
    let mut rig = rig();
    for batch in batches {
        rig.tell(0, batch.clone());
    }
    rig.said()
}

#[test]
fn a_want_block_gets_the_block() {
    let said = told(&[vec![want(cid(1)), want_or(cid(4))]]);
    assert_eq!(said, Said::new(&[cid(1), cid(4)], &[], &[]));
}

#[test]
fn an_empty_block_is_a_block() {
    assert_eq!(told(&[vec![want_or(cid(5))]]), Said::new(&[cid(5)], &[], &[]));
    assert_eq!(told(&[vec![ask_or(cid(5))]]), Said::new(&[cid(5)], &[], &[]));
}

#[test]
fn a_want_have_gets_a_small_block_itself_and_have_for_a_big_one() {
    let said = told(&[vec![ask(cid(1)), ask_or(cid(2)), ask(cid(3)), ask_or(cid(4))]]);
    assert_eq!(said, Said::new(&[cid(1), cid(2)], &[cid(3), cid(4)], &[]));
}

#[test]
fn a_missing_block_gets_dont_have_only_where_it_was_asked_for() {
    let said = told(&[vec![want(cid(91)), want_or(cid(92)), ask(cid(93)), ask_or(cid(94))]]);
    assert_eq!(said, Said::new(&[], &[], &[cid(92), cid(94)]));
}

#[test]
fn small_blocks_never_replace_have_when_that_is_off() {
    let mut rig = Rig::with_peer(Config::default().with_replace_have_bytes(None).unwrap());
    rig.put(cid(5), 0);
    rig.put(cid(1), 10);
    rig.tell(0, [ask(cid(1)), ask(cid(5))]);
    assert_eq!(rig.said(), Said::new(&[], &[cid(1), cid(5)], &[]));
    assert!(rig.loads.iter().all(|load| load.kind == LoadKind::Size));
}

#[test]
fn the_same_cid_twice_gets_one_answer_and_the_block_wins() {
    for batch in [vec![ask(cid(4)), want(cid(4))], vec![want(cid(4)), ask(cid(4))]] {
        assert_eq!(told(std::slice::from_ref(&batch)), Said::new(&[cid(4)], &[], &[]));
        let parts: Vec<_> = batch.into_iter().map(|entry| vec![entry]).collect();
        assert_eq!(told_at_once(&parts), Said::new(&[cid(4)], &[], &[]));
    }
}

#[test]
fn a_want_block_after_have_gets_the_block() {
    let said = told(&[vec![ask(cid(4))], vec![want_or(cid(4))]]);
    assert_eq!(said, Said::new(&[cid(4)], &[cid(4)], &[]));
}

#[test]
fn what_was_answered_is_answered_again_when_it_is_asked_again() {
    let wants = vec![want(cid(1)), ask(cid(3)), ask_or(cid(99))];
    let said = told(&[wants.clone(), wants]);
    assert_eq!(said, Said::new(&[cid(1), cid(1)], &[cid(3), cid(3)], &[cid(99), cid(99)]));
}

#[test]
fn a_block_under_way_is_not_sent_twice() {
    let mut rig = rig();
    rig.fast = false;
    rig.reads = false;
    rig.tell(0, [want(cid(4))]);
    assert_eq!(rig.said(), Said::default());
    rig.tell(0, [want(cid(4))]);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.loads.len(), 1, "one lookup while one is under way");
    rig.answer_loads();
    rig.tell(0, [want(cid(4))]);
    assert_eq!(rig.said(), Said::new(&[cid(4)], &[], &[]));
    rig.tell(0, [want(cid(4))]);
    assert_eq!(rig.said(), Said::default());
    rig.take_all();
    rig.answer_loads();
    assert_eq!(rig.said(), Said::default());
    assert_eq!((rig.loads.len(), rig.ledger(0)), (1, 0));
}

#[test]
fn an_upgrade_before_the_have_left_gets_the_block_alone() {
    let mut rig = rig();
    rig.opens.insert(0, Err(bitswap_core::error::OpenError::Timeout));
    rig.tell(0, [ask(cid(4))]);
    assert_eq!(rig.said(), Said::default());
    rig.opens.clear();
    rig.tell(0, [want(cid(4))]);
    assert_eq!(rig.said(), Said::new(&[cid(4)], &[], &[]));
}

#[test]
fn an_upgrade_while_the_have_is_on_its_way_gets_the_block() {
    let mut rig = rig();
    rig.reads = false;
    rig.tell(0, [ask(cid(4))]);
    assert_eq!(rig.said(), Said::new(&[], &[cid(4)], &[]));
    rig.tell(0, [want(cid(4))]);
    assert_eq!(rig.said(), Said::new(&[cid(4)], &[], &[]));
    rig.take_all();
    assert_eq!((rig.said(), rig.ledger(0)), (Said::default(), 0));
}

#[test]
fn have_and_block_end_their_wants_and_dont_have_ends_none() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1)), ask(cid(3)), ask_or(cid(98)), want_or(cid(99)), want(cid(97))]);
    rig.run();
    let left: Vec<_> = rig.engine.peer_wantlist(0).into_iter().map(|entry| entry.cid).collect();
    assert_eq!(left, [cid(98), cid(99), cid(97)]);
    assert_eq!((rig.ledger(0), rig.engine.stats().ledger), (3, 3));
}

#[test]
fn a_cancelled_want_gets_nothing() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1)), want_or(cid(99))]);
    rig.cancel(0, &[cid(1), cid(99)]);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.loads, [], "it is not even looked up");
    // Both in one message.
    rig.tell(0, [want(cid(1)), Entry::cancel(cid(1))]);
    assert_eq!(rig.said(), Said::default());
    // Of something never wanted.
    rig.cancel(0, &[cid(7)]);
    assert_eq!(rig.said(), Said::default());
    // And later wants are served.
    rig.tell(0, [want(cid(1))]);
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[]));
}

#[test]
fn a_block_is_not_sent_once_its_cancel_came() {
    // While its lookup is under way.
    let mut rig = rig();
    rig.fast = false;
    rig.tell(0, [want(cid(4)), want(cid(1))]);
    rig.run();
    rig.cancel(0, &[cid(4)]);
    rig.answer_loads();
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[]));
    assert_eq!(rig.engine.stats().response_bytes, 0);
    // While it waits for room on the stream, loaded.
    let mut rig = self::rig();
    rig.reads = false;
    rig.fast = false;
    rig.tell(0, [want(cid(4))]);
    rig.run();
    rig.answer_loads();
    rig.cancel(0, &[cid(4)]);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.engine.stats().response_bytes, 0);
    // Presences too.
    rig.tell(0, [ask(cid(3)), ask_or(cid(99))]);
    rig.run();
    rig.answer_loads();
    rig.cancel(0, &[cid(3), cid(99)]);
    assert_eq!(rig.said(), Said::default());
}

#[test]
fn a_cancelled_lookup_keeps_its_place_until_the_store_answers() {
    let mut rig = Rig::with_peer(crate::rig::limits(|limits| limits.loads_per_peer = 2));
    rig.fast = false;
    rig.put(cid(3), 100);
    rig.tell(0, [want(cid(1)), want(cid(2)), want(cid(3))]);
    rig.run();
    assert_eq!(rig.loads.iter().map(|load| load.cids.len()).sum::<usize>(), 2);
    rig.cancel(0, &[cid(1), cid(2)]);
    rig.run();
    assert_eq!(rig.loads.len(), 1, "cancelling does not buy another lookup");
    rig.answer_loads();
    rig.run();
    assert_eq!(rig.loads.len(), 2);
    rig.answer_loads();
    assert_eq!(rig.said(), Said::new(&[cid(3)], &[], &[]));
}

#[test]
fn full_replaces_what_was_told_before() {
    let mut rig = rig();
    rig.tell(0, [want(cid(97)), want(cid(98)), want_or(cid(99))]);
    rig.run();
    rig.tell_full(0, [want(cid(98)), want(cid(96))]);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.ledger(0), 2);
    for n in [96, 97, 98, 99] {
        rig.notify_new_blocks(cid(n), 10);
    }
    assert_eq!(rig.said(), Said::new(&[cid(96), cid(98)], &[], &[]));
    // An empty full wantlist ends all.
    rig.tell(0, [want(cid(90)), want(cid(91))]);
    rig.run();
    rig.tell_full(0, []);
    rig.run();
    assert_eq!((rig.ledger(0), rig.engine.peer_wantlist(0)), (0, vec![]));
}

#[test]
fn a_full_wantlist_that_repeats_a_want_under_way_does_not_double_it() {
    let mut rig = rig();
    rig.fast = false;
    rig.tell(0, [want(cid(1)), want(cid(4))]);
    rig.run();
    rig.tell_full(0, [want(cid(4))]);
    rig.answer_loads();
    assert_eq!(rig.said(), Said::new(&[cid(4)], &[], &[]));
    assert_eq!(rig.loads.len(), 1);
}

#[test]
fn higher_priorities_go_first_and_equal_ones_by_age() {
    let mut rig = Rig::with_peer(Config::default().with_response_target_bytes(1).unwrap());
    rig.opens_at_once = false;
    for (n, priority) in [(11, 5), (12, i32::MIN), (13, 5), (14, i32::MAX), (15, 0)] {
        rig.put(cid(n), 100);
        rig.tell(0, [Entry::want(cid(n), WantKind::Block, priority, false)]);
    }
    // A repeated want takes the new priority.
    rig.tell(0, [Entry::want(cid(15), WantKind::Block, 6, false)]);
    let order: Vec<_> = rig.engine.peer_wantlist(0).iter().map(|entry| entry.cid).collect();
    assert_eq!(order, [cid(14), cid(15), cid(11), cid(13), cid(12)]);
    rig.run();
    rig.answer_opens();
    let sent: Vec<_> = rig.run().iter().map(|(_, message)| *message.blocks[0].cid()).collect();
    assert_eq!(sent, order);
}

#[test]
fn entries_that_nobody_can_serve_are_counted_and_refused_if_they_ask() {
    use cid::Cid;
    use cid::multihash::Multihash;
    let identity = |n: u8| Cid::new_v1(0x55, Multihash::wrap(0, &[n; 8]).unwrap());
    let unknown = Cid::new_v1(0x55, Multihash::wrap(0x9999, &[1; 32]).unwrap());
    let short = Cid::new_v1(0x55, Multihash::wrap(0x12, &[1; 19]).unwrap());
    let mut rig = rig();
    rig.tell(0, [want(identity(1)), want_or(identity(2)), ask_or(identity(3)), want(cid(1))]);
    rig.tell(0, [want_or(unknown), ask_or(short), want(short)]);
    let said = rig.said();
    let refused = [identity(2), identity(3), unknown, short];
    assert_eq!(said, Said::new(&[cid(1)], &[], &refused));
    assert_eq!(rig.engine.stats().served.skipped_entries, 6);
    assert!(rig.loads.iter().all(|load| load.cids == [cid(1)]), "no store is asked for them");
    assert_eq!(rig.ledger(0), 0);
    // A cancel in time holds even for these.
    rig.tell(0, [want_or(identity(2))]);
    rig.cancel(0, &[identity(2)]);
    assert_eq!(rig.said(), Said::default());
}

#[test]
fn a_1_1_peer_gets_blocks_and_no_presences() {
    let mut rig = rig();
    rig.opens.insert(0, Ok(Version::V1_1));
    rig.tell(0, [want(cid(4)), want_or(cid(99)), ask(cid(3)), ask(cid(1))]);
    assert_eq!(rig.said(), Said::new(&[cid(1), cid(4)], &[], &[]));
}

#[test]
fn peers_before_1_1_get_v0_blocks_only() {
    for version in [Version::V1_0, Version::Unversioned] {
        let mut rig = rig();
        rig.opens.insert(0, Ok(version));
        rig.put(cid_v0(1), 10);
        rig.tell(0, [want(cid(4)), want_or(cid(99)), want(cid_v0(1)), want_or(cid_v0(99))]);
        assert_eq!(rig.said(), Said::new(&[cid_v0(1)], &[], &[]));
        assert_eq!(rig.engine.stats().response_bytes, 0);
    }
}

#[test]
fn what_a_version_cannot_carry_is_not_looked_up_or_let_go() {
    // The version is known before the lookup.
    let mut rig = rig();
    rig.opens.insert(0, Ok(Version::V1_0));
    rig.put(cid_v0(1), 10);
    rig.tell(0, [want(cid_v0(1))]);
    rig.run();
    rig.tell(0, [want(cid(4))]);
    assert_eq!((rig.said(), rig.loads.len()), (Said::default(), 1));
    // It becomes known when the block is loaded.
    let mut rig = self::rig();
    rig.opens.insert(0, Ok(Version::V1_0));
    rig.opens_at_once = false;
    rig.tell(0, [want(cid(4))]);
    rig.run();
    assert_eq!(rig.engine.stats().response_bytes, 50_000);
    rig.answer_opens();
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.engine.stats().response_bytes, 0);
}

#[test]
fn a_node_that_does_not_serve_says_nothing_and_remembers_nothing() {
    let mut rig = Rig::with_peer(Config::default().with_serve(false));
    rig.put(cid(1), 10);
    rig.tell(0, [want_or(cid(1)), ask_or(cid(99))]);
    assert_eq!(rig.said(), Said::default());
    rig.notify_new_blocks(cid(99), 10);
    assert_eq!(rig.said(), Said::default());
    assert_eq!((rig.ledger(0), rig.loads.len(), rig.opened.len()), (0, 0, 0));
}

#[test]
fn the_first_want_asks_to_open_a_stream_and_to_load_at_once() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1)), ask(cid(4))]);
    let mut outputs = Vec::new();
    while let Some(output) = rig.engine.poll_output() {
        outputs.push(output);
    }
    let [Output::Open { peer: 0, .. }, Output::Load(sizes), Output::Load(datas)] = &outputs[..]
    else {
        panic!("{outputs:?}");
    };
    assert_eq!((sizes.kind, &sizes.cids), (LoadKind::Size, &vec![cid(4)]));
    assert_eq!((datas.kind, &datas.cids), (LoadKind::Data, &vec![cid(1)]));
}

#[test]
fn a_peer_that_is_only_looking_costs_no_stream_when_nothing_is_here() {
    let mut rig = rig();
    rig.tell(0, [ask(cid(98)), ask(cid(99))]);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.opened, [0u32; 0]);
}

#[test]
fn small_blocks_share_messages_and_big_ones_go_alone() {
    let config = Config::default().with_response_target_bytes(16 << 10).unwrap();
    let mut rig = Rig::with_peer(config);
    rig.opens_at_once = false;
    for n in 0..12 {
        rig.put(cid(n), 2000);
    }
    rig.put(cid(12), 20_000);
    rig.tell(0, (0..13).map(|n| want(cid(n))).chain([ask_or(cid(99))]).collect::<Vec<_>>());
    assert_eq!(rig.said(), Said::default());
    rig.answer_opens();
    let messages = rig.run();
    let shape: Vec<_> = messages
        .iter()
        .map(|(_, m)| (m.blocks.len(), m.presences.len(), m.pending_bytes))
        .collect();
    assert_eq!(shape, [(8, 1, 28_000), (4, 0, 20_000), (1, 0, 0)]);
}

#[test]
fn counters_tell_what_was_asked_and_sent() {
    let mut rig = rig();
    rig.tell(0, [want(cid(1)), ask(cid(3)), want_or(cid(99))]);
    rig.cancel(0, &[cid(99), cid(98)]);
    rig.tell(0, [want_or(cid(99))]);
    rig.run();
    let served = rig.engine.stats().served;
    assert_eq!(served, rig.engine.peer_stats(0).unwrap().served);
    assert_eq!((served.wants, served.cancels), (4, 2));
    assert_eq!((served.blocks, served.bytes, served.haves, served.dont_haves), (1, 10, 1, 1));
    assert_eq!((served.skipped_entries, served.evicted_wants, served.failed_sends), (0, 0, 0));
}

#[test]
fn extreme_numbers_are_numbers() {
    let mut rig = rig();
    let message = Message { pending_bytes: i32::MIN, ..Message::default() };
    rig.engine.handle_message(0, message, rig.at());
    rig.tell(0, [Entry::want(cid(1), WantKind::Block, i32::MIN, true)]);
    rig.tell(0, [Entry::want(cid(4), WantKind::Have, i32::MAX, true)]);
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[cid(4)], &[]));
}
