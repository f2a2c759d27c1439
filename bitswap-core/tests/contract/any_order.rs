//! 1. Any order of calls is legal; draining late only merges what there is to say.

use bitswap_core::{Config, Engine, Event, Output, SessionOptions, Timestamp, Version, Want};
use cid::Cid;

use crate::pair::{ALICE, BOB, LATENCY, Pair, block, ms};

/// Guards `client/tell.rs`: a pair that is cancelled before it was told leaves the list of what is
/// to be said (`say(at, None, ..)`); and the composing of messages at the moment of polling.
#[test]
fn what_is_undone_before_the_drain_is_never_said() {
    let now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    engine.handle_connected(1, None, now);
    let session = engine.open_session(SessionOptions::default(), now).unwrap();
    let (kept, dropped) = (*block(0, 4).cid(), *block(1, 4).cid());
    engine.want(session, [kept, dropped].map(Want::from), now).unwrap();
    engine.cancel(session, [dropped], now);
    engine.want(session, [Want::from(kept)], now).unwrap();

    assert_eq!(told(&mut engine, now), [kept]);
}

/// As above, and `Engine::input`: a call does not need the one before it to be drained.
#[test]
fn draining_late_merges_and_loses_nothing() {
    let blocks: Vec<_> = (0..50).map(|n| block(n, 1000)).collect();
    let run = |late: bool| {
        let mut pair = Pair::new();
        pair.stock(&blocks);
        let session = pair.session();
        for block in &blocks {
            if late {
                let now = pair.now;
                pair.alice().want(session, [Want::from(*block.cid())], now).unwrap();
            } else {
                pair.want(session, std::slice::from_ref(block));
            }
        }
        pair.pass(10 * LATENCY);
        let mut got: Vec<Cid> = Vec::new();
        for event in &pair.hosts[ALICE].events {
            let Event::Block { block, from: Some(BOB), .. } = event else { panic!("{event:?}") };
            got.push(*block.cid());
        }
        let messages = pair.alice().stats().fetched.messages_sent;
        got.sort_unstable();
        (got, messages)
    };
    let (early, many) = run(false);
    let (late, one) = run(true);
    assert_eq!(early.len(), blocks.len());
    assert_eq!(early, late, "the same blocks, each once");
    assert_eq!(one, 1, "one message tells all that there is to tell");
    assert!(many > 1, "told one by one, {many} messages");
}

/// Guards the ends of `Engine`'s inputs: what arrives before its peer is known, or after it left,
/// does no harm.
#[test]
fn calls_out_of_their_natural_order_do_no_harm() {
    let mut pair = Pair::apart([Config::default(), Config::default()], [1, 2]);
    let wanted = block(0, 1000);
    pair.stock(std::slice::from_ref(&wanted));
    // Wanted before anybody is there; timeouts and disconnects of nobody in between.
    let session = pair.session();
    pair.want(session, std::slice::from_ref(&wanted));
    let now = pair.now;
    pair.alice().handle_disconnected(BOB, now);
    pair.alice().handle_timeout(now);
    pair.pass(ms(300));
    pair.connect();
    pair.pass(2 * LATENCY);
    assert!(matches!(pair.hosts[ALICE].events[..], [Event::Block { .. }]));
}

/// Guards `client/tell.rs`, the bound on one message: a call that brings much is carried out in
/// pieces.
#[test]
fn much_at_once_comes_out_in_bounded_pieces() {
    let now = Timestamp::ZERO;
    let mut engine: Engine<u16> = Engine::new(Config::default(), [1; 32], now);
    for peer in 0..20 {
        engine.handle_connected(peer, None, now);
    }
    let session = engine.open_session(SessionOptions::default(), now).unwrap();
    engine.want(session, (0..10_000).map(|n| Want::from(*block(n, 4).cid())), now).unwrap();
    let mut largest = 0;
    let mut told = 0;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, lane } => engine.handle_open(peer, lane, Ok(Version::V1_2), now),
            Output::Send(outgoing) => {
                largest = largest.max(outgoing.message.encode(Version::V1_2).len());
                told += outgoing.message.wantlist.entries.len();
                engine.handle_sent(outgoing.id, Ok(()), now);
            }
            _ => {}
        }
    }
    assert!(told >= 1000, "{told} wants were told");
    assert!(largest <= 128 << 10, "a message of {largest} bytes");
}

/// Opens lanes and takes messages; the CIDs told, without cancels.
fn told(engine: &mut Engine<u8>, now: Timestamp) -> Vec<Cid> {
    let mut told = Vec::new();
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, lane } => engine.handle_open(peer, lane, Ok(Version::V1_2), now),
            Output::Send(outgoing) => {
                for entry in outgoing.message.wantlist.entries {
                    assert!(!entry.cancel, "a cancel of what was never told");
                    told.push(entry.cid);
                }
                engine.handle_sent(outgoing.id, Ok(()), now);
            }
            _ => {}
        }
    }
    told
}
