//! 8. Everything held is bounded by a limit, and freed, exactly, when the peer leaves.
//!
//! A process of one thread and without a test harness, so that nothing else allocates meanwhile.

#[path = "../pair/mod.rs"]
mod pair;

use std::alloc::System;

use bitswap_core::message::{Message, Wantlist};
use bitswap_core::{
    Config, Engine, Entry, Limits, LoadAnswer, Loaded, Output, Timestamp, Version, WantKind,
};
use bytes::Bytes;
use cap::Cap;
use cid::Cid;
use pair::{Pair, block, ms};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    a_peer_that_leaves_leaves_nothing_behind();
    a_flood_is_held_to_the_limits_and_forgotten();
    the_engines_own_sum_is_what_is_allocated();
    println!("3 passed, 0 failed");
}

fn allocated() -> usize {
    ALLOCATOR.allocated()
}

/// Guards the `disconnected` of both halves, and every table that shrinks when it empties: one that
/// is not freed there shows here as bytes.
fn a_peer_that_leaves_leaves_nothing_behind() {
    let blocks: Vec<_> = (0..300).map(|n| block(n, 1000)).collect();
    let mut pair = Pair::apart([Config::default(), Config::default()], [1, 2]);
    let round = |pair: &mut Pair| {
        let before = [pair.alice().stats().held_bytes, pair.bob().stats().held_bytes];
        pair.connect();
        let session = pair.session();
        pair.stock(&blocks[..200]);
        pair.want(session, &blocks);
        pair.pass(ms(2_000));
        assert_eq!(pair.alice().session(session).unwrap().blocks, 200);
        let now = pair.now;
        pair.alice().close_session(session, now);
        pair.disconnect();
        pair.pass(ms(200_000));
        let after = [pair.alice().stats().held_bytes, pair.bob().stats().held_bytes];
        assert_eq!(after, before, "by the engines' own sums");
    };
    for host in &mut pair.hosts {
        host.events.reserve(100_000);
        host.transcript.reserve(100_000);
    }
    round(&mut pair);
    clear(&mut pair);
    let before = allocated();
    for _ in 0..3 {
        round(&mut pair);
        clear(&mut pair);
        assert_eq!(allocated(), before, "by the allocator");
    }
}

fn clear(pair: &mut Pair) {
    for host in &mut pair.hosts {
        host.events.clear();
        host.transcript.clear();
    }
}

/// Guards the bound in `Server::has_room`, and that `Server::disconnected` frees lookups too.
fn a_flood_is_held_to_the_limits_and_forgotten() {
    let now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    // An emptied tree keeps one leaf for the next time, so the first flood is not counted.
    flood(&mut engine, now);
    let before = allocated();
    for _ in 0..3 {
        flood(&mut engine, now);
        assert_eq!(allocated(), before);
        assert_eq!(engine.stats().answer_bytes, 0);
        assert_eq!(engine.stats().ledger, 0);
    }
}

/// A peer connects, wants 100 000 blocks that are all here, reads nothing and leaves.
fn flood(engine: &mut Engine<u8>, now: Timestamp) {
    let before = allocated();
    engine.handle_connected(1, None, now);
    let data = Bytes::from(vec![7; 1 << 20]);
    for batch in 0..20 {
        let entries = (0..5000).map(|n| {
            Entry::want(*block(batch * 5000 + n, 4).cid(), WantKind::Block, n as i32, true)
        });
        let wantlist = Wantlist { entries: entries.collect(), full: false };
        engine.handle_message(1, Message { wantlist, ..Message::default() }, now);
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Open { peer, lane } => {
                    engine.handle_open(peer, lane, Ok(Version::V1_2), now);
                }
                Output::Load(load) => {
                    let answer =
                        |cid: &Cid| Loaded { cid: *cid, answer: LoadAnswer::Data(data.clone()) };
                    let answers: Vec<Loaded> = load.cids.iter().map(answer).collect();
                    engine.handle_load(load.id, answers, now);
                }
                _ => {}
            }
        }
        assert!(engine.stats().ledger <= Limits::default().ledger_per_peer);
        assert!(engine.stats().answer_bytes <= (4 << 20) + (1 << 20));
    }
    // It leaves while the store is being asked.
    let entries = (0..100).map(|n| Entry::want(*block(n, 4).cid(), WantKind::Have, i32::MAX, true));
    let wantlist = Wantlist { entries: entries.collect(), full: false };
    engine.handle_message(1, Message { wantlist, ..Message::default() }, now);
    let mut loading = 0;
    while let Some(output) = engine.poll_output() {
        if let Output::Load(load) = output {
            loading += load.cids.len();
        }
    }
    assert!(loading > 0, "nothing is left unanswered");
    let held = allocated() - before;
    assert!(held <= 2 << 20, "{held} bytes, of which 1 MiB is the one block that all share");
    engine.handle_disconnected(1, now);
    while engine.poll_output().is_some() {}
}

/// Guards `held_bytes` of all parts: what an engine says it holds is what it allocated.
fn the_engines_own_sum_is_what_is_allocated() {
    let now = Timestamp::ZERO;
    let before = allocated();
    let mut engine: Engine<u16> = Engine::new(Config::default(), [1; 32], now);
    for peer in 0..100 {
        engine.handle_connected(peer, None, now);
    }
    let session = engine.open_session(Default::default(), now).unwrap();
    let wants: Vec<_> = (0..20_000).map(|n| bitswap_core::Want::from(*block(n, 4).cid())).collect();
    engine.want(session, wants.iter().copied(), now).unwrap();
    for peer in 0..100 {
        let entries = (0..500)
            .map(|n| Entry::want(*block(peer * 500 + n, 4).cid(), WantKind::Block, 1, true));
        let wantlist = Wantlist { entries: entries.collect(), full: false };
        engine.handle_message(peer as u16, Message { wantlist, ..Message::default() }, now);
    }
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, lane } => engine.handle_open(peer, lane, Ok(Version::V1_2), now),
            Output::Load(load) => {
                let answer = |cid: &Cid| Loaded { cid: *cid, answer: LoadAnswer::NotFound };
                let answers: Vec<Loaded> = load.cids.iter().map(answer).collect();
                engine.handle_load(load.id, answers, now);
            }
            Output::Send(outgoing) => engine.handle_sent(outgoing.id, Ok(()), now),
            _ => {}
        }
    }
    drop(wants);
    let (told, is) = (engine.stats().held_bytes as usize, allocated() - before);
    assert!(is.abs_diff(told) * 10 <= is, "{told} and {is} are more than a tenth apart");
    drop(engine);
    assert_eq!(allocated(), before);
    println!("{told} bytes by the engine's own sum, {is} allocated");
}
