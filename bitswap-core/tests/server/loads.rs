//! The store answers: in parts, late, wrongly, or not at all.

use crate::harness::{Harness, Responses, ask, ask_or, cid, limits, want, want_or};
use bitswap_core::{Config, LoadAnswer, LoadKind, Loaded};
use bytes::Bytes;

fn slow_store(blocks: u32, size: usize) -> Harness {
    let mut harness = Harness::with_peer(limits(|limits| limits.response_bytes_per_peer = 1 << 20));
    harness.at_once.loads = false;
    for n in 0..blocks {
        harness.put(cid(n), size);
    }
    harness
}

#[test]
fn answers_in_parts_are_sent_as_they_come() {
    let mut harness = slow_store(2, 100);
    harness.wants(0, [want(cid(0)), want(cid(1))]);
    harness.run();
    let load = harness.loads.pop_front().unwrap();
    assert_eq!(load.cids, [cid(0), cid(1)]);
    for n in [1, 0] {
        let part = vec![harness.store.answers(&load).remove(n as usize)];
        harness.loaded(load.id, part);
        assert_eq!(harness.responses(), Responses::new(&[cid(n)], &[], &[]));
    }
    assert_eq!(harness.engine().stats().stale_inputs, 0);
    let again = harness.store.answers(&load);
    harness.loaded(load.id, again);
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.engine().stats().stale_inputs, 1, "the lookup had ended");
}

#[test]
fn only_the_first_answer_for_a_cid_counts() {
    let mut harness = slow_store(2, 100);
    harness.wants(0, [want_or(cid(0)), want(cid(1))]);
    harness.run();
    let load = harness.loads.pop_front().unwrap();
    let data = LoadAnswer::Data(Bytes::from_static(b"x"));
    harness.loaded(
        load.id,
        vec![
            Loaded { cid: cid(7), answer: data.clone() },
            Loaded { cid: cid(0), answer: LoadAnswer::NotFound },
            Loaded { cid: cid(0), answer: data },
        ],
    );
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(0)]));
}

#[test]
fn a_store_that_fails_is_a_store_that_lacks() {
    let mut harness = slow_store(0, 0);
    harness.wants(0, [want_or(cid(0)), want(cid(1)), ask_or(cid(2))]);
    harness.run();
    while let Some(load) = harness.loads.pop_front() {
        let failed = |cid: &_| Loaded { cid: *cid, answer: LoadAnswer::Failed };
        let answers = load.cids.iter().map(failed).collect();
        harness.loaded(load.id, answers);
    }
    assert_eq!(harness.responses(), Responses::new(&[], &[], &[cid(0), cid(2)]));
    // It recovers: the peer asks again.
    harness.at_once.loads = true;
    harness.put(cid(0), 10);
    harness.wants(0, [want_or(cid(0))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(0)], &[], &[]));
}

#[test]
fn a_size_in_place_of_data_is_no_block_and_data_in_place_of_a_size_is_its_size() {
    let mut harness = slow_store(0, 0);
    harness.wants(0, [want_or(cid(0)), ask(cid(1))]);
    harness.run();
    for load in std::mem::take(&mut harness.loads) {
        let answer = match load.kind {
            LoadKind::Data => LoadAnswer::Size(5),
            LoadKind::Size => LoadAnswer::Data(Bytes::from(vec![0; 5000])),
        };
        harness.loaded(load.id, vec![Loaded { cid: load.cids[0], answer }]);
    }
    assert_eq!(harness.responses(), Responses::new(&[], &[cid(1)], &[cid(0)]));
}

#[test]
fn a_block_that_turns_out_big_does_not_replace_have() {
    let mut harness = slow_store(0, 0);
    harness.wants(0, [ask(cid(1))]);
    harness.run();
    let load = harness.loads.pop_front().unwrap();
    harness.loaded(load.id, vec![Loaded { cid: cid(1), answer: LoadAnswer::Size(1024) }]);
    harness.run();
    let load = harness.loads.pop_front().unwrap();
    assert_eq!(load.kind, LoadKind::Data);
    let big = LoadAnswer::Data(Bytes::from(vec![0; 1025]));
    harness.loaded(load.id, vec![Loaded { cid: cid(1), answer: big }]);
    assert_eq!(harness.responses(), Responses::new(&[], &[cid(1)], &[]));
}

#[test]
fn a_block_too_big_for_any_message_is_absent() {
    let most = bitswap_core::limits::BLOCK_BYTES_MAX;
    let mut harness = Harness::with_peer(Config::default());
    harness.put(cid(1), most);
    harness.put(cid(2), most + 1);
    harness.wants(0, [want_or(cid(1)), want_or(cid(2)), ask_or(cid(2)), ask_or(cid(3))]);
    let messages = harness.run();
    for (_, message) in &messages {
        let len = message.encoded_len(bitswap_core::Version::V1_2);
        assert!(len <= bitswap_core::limits::MESSAGE_BYTES_MAX);
    }
    let said = Responses::of(messages.iter().map(|(_, message)| message));
    assert_eq!(said, Responses::new(&[cid(1)], &[], &[cid(2), cid(3)]));
}

#[test]
fn a_block_above_the_largest_that_was_chosen_is_absent() {
    let mut harness = Harness::with_peer(Config::default().with_block_bytes_max(2000).unwrap());
    harness.put(cid(1), 2000);
    harness.put(cid(2), 2001);
    harness.put(cid(3), 2001);
    harness.wants(0, [want_or(cid(1)), want_or(cid(2)), ask_or(cid(3))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[cid(2), cid(3)]));
}

#[test]
fn a_slow_reader_holds_its_credit_at_most() {
    let size = 300_000;
    let mut harness = slow_store(110, size);
    harness.at_once.loads = true;
    harness.at_once.sends = false;
    let wants = |blocks: std::ops::Range<u32>| blocks.map(|n| want(cid(n))).collect::<Vec<_>>();
    // At first it has not read anything yet: two blocks.
    harness.wants(0, wants(100..110));
    harness.run();
    assert_eq!(harness.engine().stats().response_bytes, 600_000);
    // After it has read some, its credit is 1 MiB.
    harness.at_once.sends = true;
    harness.answer_sends();
    harness.run();
    assert_eq!(harness.engine().stats().served.blocks, 10);
    harness.at_once.sends = false;
    harness.loaded.clear();
    harness.wants(0, wants(0..100));
    harness.run();
    assert_eq!(harness.engine().stats().response_bytes, 900_000, "a fourth block would not fit");
    assert_eq!(harness.loaded.iter().map(|load| load.cids.len()).sum::<usize>(), 3);
    // Each block read makes room for another one.
    let first = harness.sends.pop_front().unwrap();
    harness.sent(first.id, Ok(()));
    harness.run();
    assert_eq!(harness.loaded.iter().map(|load| load.cids.len()).sum::<usize>(), 4);
    harness.at_once.sends = true;
    harness.answer_sends();
    harness.run();
    assert_eq!(harness.engine().stats().served.blocks, 110);
    assert_eq!(harness.engine().stats().response_bytes, 0);
}

#[test]
fn blocks_bigger_than_expected_stay_within_the_credit() {
    // A thousand small blocks teach a low estimate; then the peer asks for big ones.
    let mut harness = slow_store(1000, 50);
    harness.at_once.loads = true;
    harness.wants(0, (0..1000).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!(harness.responses().blocks.len(), 1000);
    let big = 1 << 20;
    for n in 1000..1400 {
        harness.put(cid(n), big);
    }
    harness.at_once.sends = false;
    harness.wants(0, (1000..1400).map(|n| want(cid(n))).collect::<Vec<_>>());
    let mut sent = 0;
    while sent < 400 {
        sent += harness.run().iter().map(|(_, message)| message.blocks.len()).sum::<usize>();
        let held: usize =
            harness.sends.iter().flat_map(|m| &m.message.blocks).map(|b| b.data().len()).sum();
        assert!(held <= big, "{held}");
        assert!(harness.engine().held_bytes() < 3 * big as u64);
        harness.answer_sends();
    }
    // Few were loaded in vain: those under way when the estimate was wrong.
    let loads: usize = harness.loaded.iter().map(|load| load.cids.len()).sum();
    assert!(loads <= 1400 + 128, "{loads}");
}

#[test]
fn data_that_nobody_wants_any_more_is_dropped() {
    let mut harness = slow_store(2, 1000);
    harness.wants(0, [want(cid(0)), want(cid(1))]);
    harness.run();
    harness.cancels(0, &[cid(0)]);
    harness.wants_only(0, []);
    assert!(harness.engine().stats().response_bytes > 0, "the store is still at it");
    harness.answer_loads();
    assert_eq!(harness.responses(), Responses::default());
    assert_eq!(harness.engine().stats().response_bytes, 0);
}

#[test]
fn nothing_is_loaded_for_a_peer_that_cannot_be_answered() {
    let mut harness = slow_store(2, 1000);
    harness.at_once.loads = true;
    harness.open_results.insert(0, Err(bitswap_core::error::OpenError::Unsupported));
    harness.wants(0, [want(cid(0))]);
    harness.run();
    let loads = harness.loaded.len();
    assert_eq!(harness.engine().stats().response_bytes, 0, "what was loaded is let go");
    harness.notify_new_blocks(cid(1), 10);
    harness.pass(60_000_000);
    harness.run();
    assert_eq!(harness.loaded.len(), loads);
    assert_eq!(harness.engine().poll_timeout(), None);
    // It sends a wantlist again: perhaps it listens now.
    harness.open_results.clear();
    harness.wants(0, [want(cid(1))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(0), cid(1)], &[], &[]));
}

#[test]
fn an_empty_block_goes_with_a_block_beyond_the_credit() {
    let mut harness = Harness::with_peer(limits(|limits| limits.response_bytes_per_peer = 64));
    harness.put(cid(1), 0);
    harness.put(cid(2), 1024);
    harness.put(cid(3), 1024);
    harness.at_once.sends = false;
    harness.wants(0, [want(cid(1)), want(cid(2)), want(cid(3))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(1), cid(2)], &[], &[]));
    assert_eq!(harness.engine().stats().response_bytes, 1024, "the third waits for its turn");
}
