//! The store answers: in parts, late, wrongly, or not at all.

use crate::rig::{Rig, Said, ask, ask_or, cid, limits, want, want_or};
use bitswap_core::{Config, LoadAnswer, LoadKind, Loaded};
use bytes::Bytes;

fn slow_store(blocks: u32, size: usize) -> Rig {
    let mut rig = Rig::with_peer(limits(|limits| limits.response_bytes_per_peer = 1 << 20));
    rig.fast = false;
    for n in 0..blocks {
        rig.put(cid(n), size);
    }
    rig
}

#[test]
fn answers_in_parts_are_sent_as_they_come() {
    let mut rig = slow_store(2, 100);
    rig.tell(0, [want(cid(0)), want(cid(1))]);
    rig.run();
    let load = rig.unanswered.pop_front().unwrap();
    assert_eq!(load.cids, [cid(0), cid(1)]);
    for n in [1, 0] {
        let part = vec![rig.look_up(&load).remove(n as usize)];
        rig.answer_load(load.id, part);
        assert_eq!(rig.said(), Said::new(&[cid(n)], &[], &[]));
    }
    assert_eq!(rig.engine.stats().stale_inputs, 0);
    let again = rig.look_up(&load);
    rig.answer_load(load.id, again);
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.engine.stats().stale_inputs, 1, "the lookup had ended");
}

#[test]
fn only_the_first_answer_for_a_cid_counts() {
    let mut rig = slow_store(2, 100);
    rig.tell(0, [want_or(cid(0)), want(cid(1))]);
    rig.run();
    let load = rig.unanswered.pop_front().unwrap();
    let data = LoadAnswer::Data(Bytes::from_static(b"x"));
    rig.answer_load(
        load.id,
        vec![
            Loaded { cid: cid(7), answer: data.clone() },
            Loaded { cid: cid(0), answer: LoadAnswer::NotFound },
            Loaded { cid: cid(0), answer: data },
        ],
    );
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(0)]));
}

#[test]
fn a_store_that_fails_is_a_store_that_lacks() {
    let mut rig = slow_store(0, 0);
    rig.tell(0, [want_or(cid(0)), want(cid(1)), ask_or(cid(2))]);
    rig.run();
    while let Some(load) = rig.unanswered.pop_front() {
        let failed = |cid: &_| Loaded { cid: *cid, answer: LoadAnswer::Failed };
        let answers = load.cids.iter().map(failed).collect();
        rig.answer_load(load.id, answers);
    }
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(0), cid(2)]));
    // It recovers: the peer asks again.
    rig.fast = true;
    rig.put(cid(0), 10);
    rig.tell(0, [want_or(cid(0))]);
    assert_eq!(rig.said(), Said::new(&[cid(0)], &[], &[]));
}

#[test]
fn a_size_in_place_of_data_is_no_block_and_data_in_place_of_a_size_is_its_size() {
    let mut rig = slow_store(0, 0);
    rig.tell(0, [want_or(cid(0)), ask(cid(1))]);
    rig.run();
    for load in std::mem::take(&mut rig.unanswered) {
        let answer = match load.kind {
            LoadKind::Data => LoadAnswer::Size(5),
            LoadKind::Size => LoadAnswer::Data(Bytes::from(vec![0; 5000])),
        };
        rig.answer_load(load.id, vec![Loaded { cid: load.cids[0], answer }]);
    }
    assert_eq!(rig.said(), Said::new(&[], &[cid(1)], &[cid(0)]));
}

#[test]
fn a_block_that_turns_out_big_does_not_replace_have() {
    let mut rig = slow_store(0, 0);
    rig.tell(0, [ask(cid(1))]);
    rig.run();
    let load = rig.unanswered.pop_front().unwrap();
    rig.answer_load(load.id, vec![Loaded { cid: cid(1), answer: LoadAnswer::Size(1024) }]);
    rig.run();
    let load = rig.unanswered.pop_front().unwrap();
    assert_eq!(load.kind, LoadKind::Data);
    let big = LoadAnswer::Data(Bytes::from(vec![0; 1025]));
    rig.answer_load(load.id, vec![Loaded { cid: cid(1), answer: big }]);
    assert_eq!(rig.said(), Said::new(&[], &[cid(1)], &[]));
}

#[test]
fn a_block_too_big_for_any_message_is_absent() {
    let most = bitswap_core::limits::BLOCK_BYTES_MAX;
    let mut rig = Rig::with_peer(Config::default());
    rig.put(cid(1), most);
    rig.put(cid(2), most + 1);
    rig.tell(0, [want_or(cid(1)), want_or(cid(2)), ask_or(cid(2)), ask_or(cid(3))]);
    let messages = rig.run();
    for (_, message) in &messages {
        let len = message.encoded_len(bitswap_core::Version::V1_2);
        assert!(len <= bitswap_core::limits::MESSAGE_BYTES_MAX);
    }
    let said = Said::of(messages.iter().map(|(_, message)| message));
    assert_eq!(said, Said::new(&[cid(1)], &[], &[cid(2), cid(3)]));
}

#[test]
fn a_block_above_the_largest_that_was_chosen_is_absent() {
    let mut rig = Rig::with_peer(Config::default().with_block_bytes_max(2000).unwrap());
    rig.put(cid(1), 2000);
    rig.put(cid(2), 2001);
    rig.put(cid(3), 2001);
    rig.tell(0, [want_or(cid(1)), want_or(cid(2)), ask_or(cid(3))]);
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[cid(2), cid(3)]));
}

#[test]
fn a_slow_reader_holds_its_credit_at_most() {
    let size = 300_000;
    let mut rig = slow_store(110, size);
    rig.fast = true;
    rig.reads = false;
    let wants = |blocks: std::ops::Range<u32>| blocks.map(|n| want(cid(n))).collect::<Vec<_>>();
    // At first it has not read anything yet: two blocks.
    rig.tell(0, wants(100..110));
    rig.run();
    assert_eq!(rig.engine.stats().response_bytes, 600_000);
    // After it has read some, its credit is 1 MiB.
    rig.reads = true;
    rig.take_all();
    rig.run();
    assert_eq!(rig.engine.stats().served.blocks, 10);
    rig.reads = false;
    rig.loads.clear();
    rig.tell(0, wants(0..100));
    rig.run();
    assert_eq!(rig.engine.stats().response_bytes, 900_000, "a fourth block would not fit");
    assert_eq!(rig.loads.iter().map(|load| load.cids.len()).sum::<usize>(), 3);
    // Each block read makes room for another one.
    let first = rig.unsent.pop_front().unwrap();
    rig.sent(first.id, Ok(()));
    rig.run();
    assert_eq!(rig.loads.iter().map(|load| load.cids.len()).sum::<usize>(), 4);
    rig.reads = true;
    rig.take_all();
    rig.run();
    assert_eq!(rig.engine.stats().served.blocks, 110);
    assert_eq!(rig.engine.stats().response_bytes, 0);
}

#[test]
fn blocks_bigger_than_expected_stay_within_the_credit() {
    // A thousand small blocks teach a low estimate; then the peer asks for big ones.
    let mut rig = slow_store(1000, 50);
    rig.fast = true;
    rig.tell(0, (0..1000).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!(rig.said().blocks.len(), 1000);
    let big = 1 << 20;
    for n in 1000..1400 {
        rig.put(cid(n), big);
    }
    rig.reads = false;
    rig.tell(0, (1000..1400).map(|n| want(cid(n))).collect::<Vec<_>>());
    let mut sent = 0;
    while sent < 400 {
        sent += rig.run().iter().map(|(_, message)| message.blocks.len()).sum::<usize>();
        let held: usize =
            rig.unsent.iter().flat_map(|m| &m.message.blocks).map(|b| b.data().len()).sum();
        assert!(held <= big, "{held}");
        assert!(rig.engine.stats().held_bytes < 3 * big as u64);
        rig.take_all();
    }
    // Few were loaded in vain: those under way when the estimate was wrong.
    let loads: usize = rig.loads.iter().map(|load| load.cids.len()).sum();
    assert!(loads <= 1400 + 128, "{loads}");
}

#[test]
fn data_that_nobody_wants_any_more_is_dropped() {
    let mut rig = slow_store(2, 1000);
    rig.tell(0, [want(cid(0)), want(cid(1))]);
    rig.run();
    rig.cancel(0, &[cid(0)]);
    rig.tell_full(0, []);
    assert!(rig.engine.stats().response_bytes > 0, "the store is still at it");
    rig.answer_loads();
    assert_eq!(rig.said(), Said::default());
    assert_eq!(rig.engine.stats().response_bytes, 0);
}

#[test]
fn nothing_is_loaded_for_a_peer_that_cannot_be_answered() {
    let mut rig = slow_store(2, 1000);
    rig.fast = true;
    rig.opens.insert(0, Err(bitswap_core::error::OpenError::Unsupported));
    rig.tell(0, [want(cid(0))]);
    rig.run();
    let loads = rig.loads.len();
    assert_eq!(rig.engine.stats().response_bytes, 0, "what was loaded is let go");
    rig.notify_new_blocks(cid(1), 10);
    rig.pass(60_000_000);
    rig.run();
    assert_eq!(rig.loads.len(), loads);
    assert_eq!(rig.engine.poll_timeout(), None);
    // It sends a wantlist again: perhaps it listens now.
    rig.opens.clear();
    rig.tell(0, [want(cid(1))]);
    assert_eq!(rig.said(), Said::new(&[cid(0), cid(1)], &[], &[]));
}

#[test]
fn an_empty_block_goes_with_a_block_beyond_the_credit() {
    let mut rig = Rig::with_peer(limits(|limits| limits.response_bytes_per_peer = 64));
    rig.put(cid(1), 0);
    rig.put(cid(2), 1024);
    rig.put(cid(3), 1024);
    rig.reads = false;
    rig.tell(0, [want(cid(1)), want(cid(2)), want(cid(3))]);
    assert_eq!(rig.said(), Said::new(&[cid(1), cid(2)], &[], &[]));
    assert_eq!(rig.engine.stats().response_bytes, 1024, "the third waits for its turn");
}
