//! 1. Any order of calls is legal; draining late only merges what there is to say.

use bitswap_core::{
    Config, Engine, Event, Limits, Output, SessionOptions, StreamKind, Timestamp, Version, Want,
};
use cid::Cid;

use crate::pair::{ALICE, BOB, LATENCY, Pair, block, ms};

/// Guards `Client::cancel_pair`: a want that was not told yet goes without a cancel.
#[test]
fn what_is_undone_before_the_drain_is_never_said() {
    let mut now = Timestamp::ZERO;
    let limits = Limits { messages_per_stream: 1, ..Limits::default() };
    let config = Config::default().with_limits(limits).unwrap();
    let mut engine: Engine<u8> = Engine::new(config, [1; 32], now);
    engine.handle_connected(1, None, now);
    let options = SessionOptions { find_providers: false, ..SessionOptions::default() };
    let session = engine.open_session(options, now).unwrap();
    let [first, early, late] = [0, 1, 2].map(|n| *block(n, 4).cid());
    engine.want(session, [first, early].map(Want::from), now).unwrap();
    engine.cancel(session, [early], now);
    let open = engine.poll_output();
    assert!(
        matches!(open, Some(Output::Open { peer: 1, stream: StreamKind::Requests })),
        "{open:?}"
    );
    engine.handle_open(1, StreamKind::Requests, Ok(Version::V1_2), now);
    let Some(Output::Send(sent)) = engine.poll_output() else { panic!("the want is told") };
    assert_eq!(sent.message.wantlist.entries.len(), 1, "{sent:?}");
    assert_eq!(engine.poll_output(), Some(Output::KeepAlive { peer: 1, needed: true }));

    // The engine decides whom to ask, and waits for the transport to have room for it.
    engine.want(session, [Want::from(late)], now).unwrap();
    assert_eq!(engine.poll_output(), None);
    engine.cancel(session, [late], now);
    assert_eq!(engine.poll_output(), None);
    engine.handle_sent(sent.id, Ok(()), now);
    for _ in 0..10 {
        now = now + ms(90);
        engine.handle_timeout(now);
        assert_eq!(engine.poll_output(), None);
    }
}

/// Guards `Client::compose`, which says all that is to be said then, and `Engine::input`: a call does
/// not need the one before it to be drained.
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
        for event in &pair.events[ALICE] {
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
    assert!(matches!(pair.events[ALICE][..], [Event::Block { .. }]));
}

/// Guards `MESSAGE_BYTES` of `client/tell.rs`: a call that brings much is carried out in pieces.
#[test]
fn much_at_once_comes_out_in_bounded_pieces() {
    let now = Timestamp::ZERO;
    let limits = Limits { sent_wants_per_peer: 20_000, ..Limits::default() };
    let config = Config::default().with_limits(limits).unwrap();
    let mut engine: Engine<u8> = Engine::new(config, [1; 32], now);
    engine.handle_connected(1, None, now);
    let session = engine.open_session(SessionOptions::default(), now).unwrap();
    // The first message after connecting is the whole wantlist, so something is said before.
    engine.want(session, [Want::from(*block(0, 4).cid())], now).unwrap();
    assert_eq!(sent_wants(&mut engine, now).len(), 1);
    let wants = (1..10_000).map(|n| Want { size: Some(4), ..Want::from(*block(n, 4).cid()) });
    engine.want(session, wants, now).unwrap();
    let mut lengths = Vec::new();
    while let Some(output) = engine.poll_output() {
        if let Output::Send(outgoing) = output {
            lengths.push(outgoing.message.encode(Version::V1_2).len());
            engine.handle_sent(outgoing.id, Ok(()), now);
        }
    }
    assert!(lengths.iter().all(|len| *len <= 128 << 10), "{lengths:?}");
    assert!(lengths.len() > 2, "{lengths:?}: there was no need for pieces");
}

/// Opens streams and takes messages; the CIDs told, without cancels.
fn sent_wants(engine: &mut Engine<u8>, now: Timestamp) -> Vec<Cid> {
    let mut told = Vec::new();
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, stream } => {
                engine.handle_open(peer, stream, Ok(Version::V1_2), now);
            }
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
