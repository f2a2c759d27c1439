//! Exact values of every counter. `docs/metrics.md` has the list.

mod pair;

use std::time::Duration;

use bitswap_core::error::SendError;
use bitswap_core::message::{Message, Wantlist};
use bitswap_core::{
    Config, Engine, Entry, Fetched, Limits, LoadAnswer, Loaded, Output, PeerStats, Presence,
    Served, SessionStats, Stats, Support, Timestamp, Version, Want, WantKind,
};
use pair::{ALICE, BOB, LATENCY, Pair, block, bringing, ms};

/// Everything of `stats` that does not depend on how the engine lays out its memory.
fn without_memory(stats: Stats) -> Stats {
    let mut stats = stats;
    assert!(stats.held_bytes > 0);
    stats.held_bytes = 0;
    stats
}

/// A value of a struct that may grow: the named fields, all others as they start.
macro_rules! of {
    ($type:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        #[allow(unused_mut, reason = "no field may be named")]
        let mut value = $type::default();
        $(value.$field = $value;)*
        value
    }};
}

#[test]
fn a_scripted_exchange_has_exact_counters_on_both_sides() {
    let blocks = [block(0, 1000), block(1, 2000), block(2, 3000)];
    let late = block(3, 4000);
    let mut pair = Pair::new();
    pair.stock(&blocks);
    let session = pair.session();
    let [a, b, c] = blocks;
    let wanted = [a, b, c, late.clone()];

    // One message asks for four blocks; the answer has three, and DONT_HAVE.
    pair.want(session, &wanted);
    let told = pair.alice().stats();
    assert_eq!(
        without_memory(told),
        of!(Stats {
            fetched: of!(Fetched { messages_sent: 1, want_blocks_sent: 4 }),
            peers: 1,
            sessions: 1,
            wants: 4,
            told: 4,
        })
    );
    pair.pass(2 * LATENCY);
    let fetched = of!(Fetched {
        messages_sent: 1,
        want_blocks_sent: 4,
        blocks: 3,
        bytes: 6000,
        dont_haves: 1,
    });
    let served = of!(Served { messages_sent: 1, wants: 4, blocks: 3, bytes: 6000, dont_haves: 1 });
    let alice = pair.alice().stats();
    assert_eq!(
        without_memory(alice),
        of!(Stats {
            fetched: fetched,
            messages_received: 1,
            peers: 1,
            sessions: 1,
            wants: 1,
            told: 1,
        })
    );
    // Bob remembers the want that he could not serve.
    let bob = pair.bob().stats();
    assert_eq!(
        without_memory(bob),
        of!(Stats { served: served, messages_received: 1, peers: 1, ledger: 1 })
    );
    let of_session = pair.alice().session(session).unwrap();
    assert_eq!(
        of_session,
        of!(SessionStats {
            wants: 1,
            blocks: 3,
            bytes: 6000,
            guess_per_mille: of_session.guess_per_mille,
        })
    );
    assert!((1..=1000).contains(&of_session.guess_per_mille), "{of_session:?}");

    // Bob gets the block later, and sends it unasked.
    pair.put(&[late]);
    pair.pass(LATENCY);
    let of_bob = pair.alice().peer(BOB).unwrap();
    let of_alice = pair.bob().peer(ALICE).unwrap();
    let fetched = of!(Fetched {
        messages_sent: 1,
        want_blocks_sent: 4,
        blocks: 4,
        bytes: 10_000,
        dont_haves: 1,
    });
    let served =
        of!(Served { messages_sent: 2, wants: 4, blocks: 4, bytes: 10_000, dont_haves: 1 });
    assert_eq!(
        of_bob,
        of!(PeerStats {
            fetched: fetched,
            messages_received: 2,
            version: Some(Version::V1_2),
            latency: of_bob.latency,
            throughput: of_bob.throughput,
        })
    );
    assert!(of_bob.latency.is_some_and(|latency| latency >= 2 * LATENCY), "{:?}", of_bob.latency);
    assert_eq!(of_alice, of!(PeerStats { served: served, messages_received: 1 }));
    let (alice, bob) = (pair.alice().stats(), pair.bob().stats());
    assert_eq!(
        without_memory(alice),
        of!(Stats { fetched: fetched, messages_received: 2, peers: 1, sessions: 1 })
    );
    assert_eq!(without_memory(bob), of!(Stats { served: served, messages_received: 1, peers: 1 }));

    // What is there goes, what was counted stays.
    let now = pair.now;
    pair.alice().close_session(session, now);
    pair.disconnect();
    let (alice, bob) = (pair.alice().stats(), pair.bob().stats());
    assert_eq!((alice.peers, alice.sessions, alice.fetched), (0, 0, fetched));
    assert_eq!((bob.peers, bob.served), (0, served));
    assert_eq!(pair.alice().peer(BOB), None);
}

#[test]
fn a_cancelled_want_counts_as_a_cancel_on_both_sides() {
    let mut pair = Pair::new();
    let session = pair.session();
    let missing = block(0, 100);
    pair.want(session, std::slice::from_ref(&missing));
    pair.pass(2 * LATENCY);
    let now = pair.now;
    pair.alice().cancel(session, [*missing.cid()], now);
    pair.pass(ms(1000));
    let (alice, bob) = (pair.alice().stats(), pair.bob().stats());
    assert_eq!((alice.fetched.cancels_sent, alice.wants, alice.told), (1, 0, 0));
    assert_eq!((bob.served.cancels, bob.served.wants, bob.ledger), (1, 1, 0));
}

#[test]
fn a_block_that_comes_again_is_a_duplicate_and_one_never_asked_for_is_unwanted() {
    let mut pair = Pair::new();
    let session = pair.session();
    let (wanted, other) = (block(0, 100), block(1, 200));
    pair.want(session, std::slice::from_ref(&wanted));
    let now = pair.now;
    pair.alice().cancel(session, [*wanted.cid()], now);
    // Both arrive at once: nobody wants either, but one was asked for.
    pair.alice().handle_message(BOB, bringing(&[wanted.clone(), wanted, other]), now);
    pair.drain();
    let fetched = pair.alice().stats().fetched;
    assert_eq!((fetched.blocks, fetched.bytes), (0, 0));
    assert_eq!((fetched.duplicate_blocks, fetched.duplicate_bytes), (1, 100));
    assert_eq!(fetched.unwanted_blocks, 2);
    assert_eq!(pair.alice().peer(BOB).unwrap().fetched, fetched);
    assert!(pair.hosts[ALICE].events.is_empty());
}

#[test]
fn a_peer_that_claims_and_stays_silent_counts_a_have_and_a_timeout() {
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], Timestamp::ZERO);
    engine.handle_connected(7, None, Timestamp::ZERO);
    let session = engine.open_session(Default::default(), Timestamp::ZERO).unwrap();
    let cid = *block(0, 100).cid();
    engine.want(session, [Want::from(cid)], Timestamp::ZERO).unwrap();
    let mut now = Timestamp::ZERO;
    drain(&mut engine, now);
    let presences = vec![Presence { cid, have: true }];
    now = Timestamp::from_micros(20_000);
    engine.handle_message(7, Message { presences, ..Message::default() }, now);
    drain(&mut engine, now);
    assert_eq!((engine.stats().fetched.haves, engine.stats().fetched.timeouts), (1, 0));
    while engine.stats().fetched.timeouts == 0 {
        now = engine.poll_timeout().expect("a want has a timer");
        engine.handle_timeout(now);
        drain(&mut engine, now);
    }
    assert!(now <= Timestamp::ZERO + Duration::from_secs(7), "{now:?}");
    assert_eq!(engine.peer(7).unwrap().fetched.timeouts, 1);
}

#[test]
fn what_a_server_skips_evicts_and_fails_to_send_is_counted() {
    let limits = limits(|limits| limits.ledger_per_peer = 2);
    let mut engine: Engine<u8> =
        Engine::new(Config::default().limits(limits).unwrap(), [1; 32], Timestamp::ZERO);
    let now = Timestamp::ZERO;
    engine.handle_connected(7, None, now);
    let want = |n, priority| Entry::want(*block(n, 4).cid(), WantKind::Block, priority, true);

    // Two fit. Of two more, the more urgent one takes the place of the least urgent.
    let entries = vec![want(0, 5), want(1, 4), want(2, 9), want(3, 1)];
    let wantlist = Wantlist { entries, full: false };
    engine.handle_message(7, Message { wantlist, ..Message::default() }, now);
    let served = engine.stats().served;
    assert_eq!((served.wants, served.evicted_wants, served.skipped_entries), (4, 1, 1));
    assert_eq!(engine.stats().ledger, 2);

    // Its stream breaks while the answer is on its way.
    let mut failed = false;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, lane } if !failed => {
                engine.handle_open(peer, lane, Ok(Version::V1_2), now);
            }
            Output::Load(load) => {
                let answer = |cid: &cid::Cid| Loaded { cid: *cid, answer: LoadAnswer::NotFound };
                let answers: Vec<Loaded> = load.cids.iter().map(answer).collect();
                engine.handle_load(load.id, answers, now);
            }
            Output::Send(outgoing) => {
                engine.handle_sent(outgoing.id, Err(SendError::Closed), now);
                failed = true;
            }
            _ => {}
        }
    }
    let served = engine.stats().served;
    assert_eq!((served.messages_sent, served.failed_sends, served.dont_haves), (1, 1, 0));
    assert_eq!(engine.peer(7).unwrap().served, served);
}

#[test]
fn an_input_about_nobody_is_stale() {
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], Timestamp::ZERO);
    engine.handle_disconnected(1, Timestamp::ZERO);
    engine.handle_support(1, Support::Yes, Timestamp::ZERO);
    engine.handle_message(1, Message::default(), Timestamp::ZERO);
    assert_eq!(engine.stats().stale_inputs, 3);
    assert_eq!(engine.stats().messages_received, 0);
}

/// The default limits, changed. (The struct may grow, so it has no literal out here.)
fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Lanes open at once, sends succeed at once, and there are no providers.
fn drain(engine: &mut Engine<u8>, now: Timestamp) {
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, lane } => engine.handle_open(peer, lane, Ok(Version::V1_2), now),
            Output::Send(outgoing) => engine.handle_sent(outgoing.id, Ok(()), now),
            Output::FindProviders { id, .. } => {
                engine.handle_providers(id, &[], bitswap_core::Lookup::Done, now);
            }
            _ => {}
        }
    }
}
