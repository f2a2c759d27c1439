//! Exact values of every counter. `docs/metrics.md` has the list, and the last test here goes by it.

mod pair;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use bitswap_core::error::SendError;
use bitswap_core::message::{Message, Wantlist};
use bitswap_core::{
    Config, Engine, Entry, Fetched, Limits, LoadAnswer, Loaded, Output, PeerStats, Presence,
    ProtocolSupport, Served, SessionStats, Stats, StreamKind, Timestamp, Version, Want, WantKind,
};
use pair::{ALICE, BOB, LATENCY, Pair, block, bringing, ms};

thread_local! {
    /// The paths of the fields that were found to have an exact value that is not zero, on this
    /// thread: `Stats.fetched.blocks`.
    static EXACT: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Compares all fields, and remembers those that are not zero.
#[track_caller]
fn exact<T: Debug + PartialEq>(actual: T, expected: T) {
    assert_eq!(actual, expected);
    EXACT.with_borrow_mut(|seen| seen.extend(nonzero(&expected)));
}

/// The paths of the fields that are not zero, none or unknown, by what the struct prints of itself:
/// so a new field is looked at without being named here.
fn nonzero(value: &impl Debug) -> Vec<String> {
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    for line in format!("{value:#?}").lines().map(str::trim) {
        if line.starts_with(['}', ')']) {
            path.pop();
        } else if path.is_empty() {
            path.push(line.trim_end_matches(" {").to_owned());
        } else if let Some((field, value)) = line.split_once(": ") {
            let here = format!("{}.{field}", path.join("."));
            if !matches!(value, "0," | "None," | "Unknown,") {
                found.push(here);
            }
            if value.ends_with(['{', '(']) {
                path.push(field.to_owned());
            }
        }
    }
    found
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

/// Inputs about what is not there, or is there already: each is ignored, and counted once.
#[test]
fn every_input_that_comes_too_late_is_counted() {
    let now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    let session = engine.open_session(Default::default(), now).unwrap();
    engine.close_session(session, now);
    engine.handle_connected(1, None, now);
    assert_eq!(engine.stats().stale_inputs, 0);
    engine.handle_connected(1, None, now);
    assert_eq!(engine.stats().stale_inputs, 1);
    engine.close_session(session, now);
    assert_eq!(engine.stats().stale_inputs, 2);
    engine.set_session_rate(session, None, now);
    assert_eq!(engine.stats().stale_inputs, 3);
    engine.handle_disconnected(1, now);
    assert_eq!(engine.stats().stale_inputs, 3);
    engine.handle_disconnected(1, now);
    assert_eq!(engine.stats().stale_inputs, 4);
    engine.handle_message(1, Message::default(), now);
    assert_eq!(engine.stats().stale_inputs, 5);
    engine.handle_reset(1, StreamKind::Requests, now);
    assert_eq!(engine.stats().stale_inputs, 6);
    engine.handle_open(1, StreamKind::Requests, Ok(Version::V1_2), now);
    assert_eq!(engine.stats().stale_inputs, 7);
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
    exact(
        told,
        of!(Stats {
            fetched: of!(Fetched { messages_sent: 1, want_blocks_sent: 4 }),
            peers: 1,
            sessions: 1,
            wants: 4,
            sent_wants: 4,
        }),
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
    exact(
        alice,
        of!(Stats {
            fetched: fetched,
            messages_received: 1,
            peers: 1,
            sessions: 1,
            wants: 1,
            sent_wants: 1,
        }),
    );
    // Bob remembers the want that he could not serve.
    let bob = pair.bob().stats();
    exact(bob, of!(Stats { served: served, messages_received: 1, peers: 1, ledger: 1 }));
    // A smoothed share that starts at half: three guesses were right, then one was wrong.
    exact(
        pair.alice().session_stats(session).unwrap(),
        of!(SessionStats { wants: 1, blocks: 3, bytes: 6000, first_choice_per_mille: 591 }),
    );

    // Bob gets the block later, and sends it unasked.
    pair.put(&[late]);
    pair.pass(LATENCY);
    let of_bob = pair.alice().peer_stats(BOB).unwrap();
    let of_alice = pair.bob().peer_stats(ALICE).unwrap();
    let fetched = of!(Fetched {
        messages_sent: 1,
        want_blocks_sent: 4,
        blocks: 4,
        bytes: 10_000,
        dont_haves: 1,
    });
    let served =
        of!(Served { messages_sent: 2, wants: 4, blocks: 4, bytes: 10_000, dont_haves: 1 });
    exact(
        of_bob,
        of!(PeerStats {
            fetched: fetched,
            messages_received: 2,
            version: Some(Version::V1_2),
            // 20 ms to the first blocks, less what their bytes take at the guess of 1 MiB/s; the late one
            // pulls it up by an eighth of the difference.
            latency: Some(Duration::from_micros(12_998)),
            throughput: 999_033,
        }),
    );
    exact(of_alice, of!(PeerStats { served: served, messages_received: 1 }));
    let (alice, bob) = (pair.alice().stats(), pair.bob().stats());
    exact(alice, of!(Stats { fetched: fetched, messages_received: 2, peers: 1, sessions: 1 }));
    exact(bob, of!(Stats { served: served, messages_received: 1, peers: 1 }));

    // What is there goes, what was counted stays.
    let now = pair.now;
    pair.alice().close_session(session, now);
    pair.disconnect();
    let (alice, bob) = (pair.alice().stats(), pair.bob().stats());
    exact(alice, of!(Stats { fetched: fetched, messages_received: 2 }));
    exact(bob, of!(Stats { served: served, messages_received: 1 }));
    assert_eq!(pair.alice().peer_stats(BOB), None);
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
    let fetched =
        of!(Fetched { messages_sent: 2, want_blocks_sent: 1, cancels_sent: 1, dont_haves: 1 });
    let served = of!(Served { messages_sent: 1, wants: 1, cancels: 1, dont_haves: 1 });
    let (alice, bob) = (pair.alice().stats(), pair.bob().stats());
    exact(alice, of!(Stats { fetched: fetched, messages_received: 1, peers: 1, sessions: 1 }));
    exact(bob, of!(Stats { served: served, messages_received: 2, peers: 1 }));
    let of_bob = pair.alice().peer_stats(BOB).unwrap();
    let of_alice = pair.bob().peer_stats(ALICE).unwrap();
    exact(
        of_bob,
        of!(PeerStats { fetched: fetched, messages_received: 1, version: Some(Version::V1_2) }),
    );
    exact(of_alice, of!(PeerStats { served: served, messages_received: 2 }));
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
    let fetched = of!(Fetched {
        messages_sent: 1,
        want_blocks_sent: 1,
        duplicate_blocks: 1,
        duplicate_bytes: 100,
        unwanted_blocks: 2,
    });
    exact(
        pair.alice().stats(),
        of!(Stats { fetched: fetched, messages_received: 1, peers: 1, sessions: 1 }),
    );
    exact(
        pair.alice().peer_stats(BOB).unwrap(),
        of!(PeerStats { fetched: fetched, messages_received: 1, version: Some(Version::V1_2) }),
    );
    assert!(pair.events[ALICE].is_empty());
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
    let fetched = of!(Fetched { messages_sent: 1, want_blocks_sent: 1, haves: 1 });
    exact(engine.peer_stats(7).unwrap().fetched, fetched);
    while engine.stats().fetched.timeouts == 0 {
        now = engine.poll_timeout().expect("a want has a timer");
        engine.handle_timeout(now);
        drain(&mut engine, now);
    }
    assert!(now <= Timestamp::ZERO + Duration::from_secs(7), "{now:?}");
    let fetched = of!(Fetched { messages_sent: 1, want_blocks_sent: 1, haves: 1, timeouts: 1 });
    exact(
        engine.stats(),
        of!(Stats {
            fetched: fetched,
            messages_received: 1,
            peers: 1,
            sessions: 1,
            wants: 1,
            sent_wants: 1
        }),
    );
    exact(
        engine.peer_stats(7).unwrap(),
        of!(PeerStats {
            fetched: fetched,
            messages_received: 1,
            version: Some(Version::V1_2),
            asked_bytes: 16 << 10,
            sent_wants: 1,
        }),
    );
}

#[test]
fn what_a_server_skips_evicts_and_fails_to_send_is_counted() {
    let limits = limits(|limits| limits.ledger_per_peer = 2);
    let mut engine: Engine<u8> =
        Engine::new(Config::default().with_limits(limits).unwrap(), [1; 32], Timestamp::ZERO);
    let now = Timestamp::ZERO;
    engine.handle_connected(7, None, now);
    let want = |n, priority| Entry::want(*block(n, 4).cid(), WantKind::Block, priority, true);

    // Two fit. Of two more, the more urgent one takes the place of the least urgent.
    let entries = vec![want(0, 5), want(1, 4), want(2, 9), want(3, 1)];
    let wantlist = Wantlist { entries, full: false };
    engine.handle_message(7, Message { wantlist, ..Message::default() }, now);
    let served = of!(Served { wants: 4, evicted_wants: 1, skipped_entries: 1 });
    exact(engine.stats(), of!(Stats { served: served, messages_received: 1, peers: 1, ledger: 2 }));

    // Its stream breaks while the answer is on its way.
    let mut failed = false;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, stream } if !failed => {
                engine.handle_open(peer, stream, Ok(Version::V1_2), now);
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
    let served = of!(Served {
        messages_sent: 1,
        failed_sends: 1,
        wants: 4,
        evicted_wants: 1,
        skipped_entries: 1,
    });
    exact(engine.stats(), of!(Stats { served: served, messages_received: 1, peers: 1, ledger: 2 }));
    exact(
        engine.peer_stats(7).unwrap(),
        of!(PeerStats { served: served, messages_received: 1, ledger: 2 }),
    );
}

#[test]
fn a_stream_that_is_reset_because_its_peer_is_slow_is_counted() {
    let limits = limits(|limits| limits.response_bytes = 4096);
    let mut engine: Engine<u8> =
        Engine::new(Config::default().with_limits(limits).unwrap(), [1; 32], Timestamp::ZERO);
    // Two peers want a block, and there is memory for one. The first one does not take it in the two
    // seconds, and the time for 4 KiB at 64 KiB/s, that it has.
    let mut resets = Vec::new();
    for now in [Timestamp::ZERO, Timestamp::from_micros(2_062_500)] {
        engine.handle_timeout(now);
        for peer in [7, 8].into_iter().filter(|_| now == Timestamp::ZERO) {
            engine.handle_connected(peer, None, now);
            let want = Entry::want(*block(0, 4096).cid(), WantKind::Block, 1, false);
            let wantlist = Wantlist { entries: vec![want], full: false };
            engine.handle_message(peer, Message { wantlist, ..Message::default() }, now);
        }
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Open { peer, stream } => {
                    engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Load(load) => {
                    let answers = load.answers(|_| Some(block(0, 4096).data().clone()));
                    engine.handle_load(load.id, answers, now);
                }
                Output::Reset { peer, .. } => resets.push(peer),
                _ => {}
            }
        }
    }
    assert_eq!(resets, [7]);
    exact(
        engine.peer_stats(7).unwrap(),
        of!(PeerStats {
            served: of!(Served { messages_sent: 1, wants: 1, slow_resets: 1 }),
            messages_received: 1,
            ledger: 1,
        }),
    );
    exact(
        engine.stats(),
        of!(Stats {
            served: of!(Served { messages_sent: 2, wants: 2, slow_resets: 1 }),
            messages_received: 2,
            peers: 2,
            ledger: 2,
            response_bytes: 4096,
        }),
    );
}

#[test]
fn what_is_asked_and_not_delivered_or_delivered_and_not_taken_is_counted_in_bytes() {
    let now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    for peer in 1..=3 {
        engine.handle_connected(peer, None, now);
        engine.handle_support(peer, ProtocolSupport::Yes, now);
    }
    let session = engine.open_session(Default::default(), now).unwrap();
    let wanted = block(0, 1000);
    engine.want(session, [Want::from(*wanted.cid())], now).unwrap();
    drain(&mut engine, now);

    // One peer is asked for the block, two whether they have it. Nothing is known of its size.
    let asked = (1..=3).find(|peer| engine.peer_stats(*peer).unwrap().asked_bytes > 0).unwrap();
    let question = of!(Fetched { messages_sent: 1, want_haves_sent: 1 });
    let request = of!(Fetched { messages_sent: 1, want_blocks_sent: 1 });
    let version = Some(Version::V1_2);
    for peer in 1..=3 {
        let (fetched, asked_bytes) =
            if peer == asked { (request, 16 << 10) } else { (question, 0) };
        exact(
            engine.peer_stats(peer).unwrap(),
            of!(PeerStats {
                fetched: fetched,
                support: ProtocolSupport::Yes,
                version: version,
                asked_bytes: asked_bytes,
                sent_wants: 1,
            }),
        );
    }
    let fetched = of!(Fetched { messages_sent: 3, want_blocks_sent: 1, want_haves_sent: 2 });
    exact(
        engine.stats(),
        of!(Stats { fetched: fetched, peers: 3, sessions: 1, wants: 1, sent_wants: 3 }),
    );
    let of_session = of!(SessionStats { first_choice_per_mille: 500 });
    let mut waiting = of_session;
    (waiting.wants, waiting.asked, waiting.asked_bytes) = (1, 1, 16 << 10);
    exact(engine.session_stats(session).unwrap(), waiting);

    // It is delivered, and the user is slow.
    engine.handle_message(asked, bringing(&[wanted]), now + ms(20));
    let mut delivered = of_session;
    (delivered.blocks, delivered.bytes, delivered.first_choice_per_mille) = (1, 1000, 625);
    delivered.unreleased_bytes = 1000;
    exact(engine.session_stats(session).unwrap(), delivered);
    engine.release_capacity(session, 1000, now + ms(20));
    delivered.unreleased_bytes = 0;
    exact(engine.session_stats(session).unwrap(), delivered);
}

#[test]
fn what_is_measured_of_a_peer_is_exact() {
    let mut now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    engine.handle_connected(7, None, now);
    let session = engine.open_session(Default::default(), now).unwrap();
    let blocks = [block(0, 30_000), block(1, 30_000)];
    engine.want(session, blocks.iter().map(|block| Want::from(*block.cid())), now).unwrap();
    drain(&mut engine, now);
    for (block, at) in blocks.iter().zip([40, 60]) {
        now = Timestamp::from_micros(at * 1000);
        engine.handle_message(7, bringing(std::slice::from_ref(block)), now);
        drain(&mut engine, now);
    }
    let measured = engine.peer_stats(7).unwrap();
    // 40 ms to the first block, of which 30 000 bytes take 28.61 ms at the guess of 1 MiB/s; 60 ms to the
    // second, before which 16 KiB were asked for: an eighth of what is left of them counts. It came 20 ms
    // after the first: 30 000 bytes in 20 ms, smoothed by the guess for as long.
    assert_eq!(measured.throughput, (30_000 + (1 << 20) / 50) * 25);
    exact(
        measured,
        of!(PeerStats {
            fetched: of!(Fetched {
                messages_sent: 1,
                want_blocks_sent: 2,
                blocks: 2,
                bytes: 60_000,
            }),
            messages_received: 2,
            version: Some(Version::V1_2),
            latency: Some(Duration::from_micros(13_577)),
            throughput: 1_274_275,
        }),
    );
}

#[test]
fn what_is_served_is_counted_when_the_transport_has_it() {
    let now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    engine.handle_connected(7, None, now);
    let (small, large) = (block(0, 300), block(1, 3000));
    let entries = vec![
        Entry::want(*small.cid(), WantKind::Block, 1, true),
        Entry::want(*large.cid(), WantKind::Have, 1, true),
    ];
    let wantlist = Wantlist { entries, full: false };
    engine.handle_message(7, Message { wantlist, ..Message::default() }, now);
    let mut out = None;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, stream } => {
                engine.handle_open(peer, stream, Ok(Version::V1_2), now);
            }
            Output::Load(load) => {
                let stored = [&small, &large];
                let data = |cid: &cid::Cid| {
                    Some(stored.iter().find(|block| block.cid() == cid)?.data().clone())
                };
                let answers = load.answers(data);
                engine.handle_load(load.id, answers, now);
            }
            Output::Send(outgoing) => assert!(out.replace(outgoing.id).is_none(), "one message"),
            _ => {}
        }
    }
    let on_its_way = of!(Served { messages_sent: 1, wants: 2 });
    let stats = of!(Stats { messages_received: 1, peers: 1, ledger: 2, response_bytes: 300 });
    let peer = of!(PeerStats { messages_received: 1, ledger: 2, response_bytes: 300 });
    let (mut stats, mut peer) = (stats, peer);
    (stats.served, peer.served) = (on_its_way, on_its_way);
    exact(engine.stats(), stats);
    exact(engine.peer_stats(7).unwrap(), peer);

    let now = now + ms(10);
    engine.handle_sent(out.expect("a message"), Ok(()), now);
    let taken = of!(Served { messages_sent: 1, wants: 2, blocks: 1, bytes: 300, haves: 1 });
    (stats.served, stats.ledger, stats.response_bytes) = (taken, 0, 0);
    (peer.served, peer.ledger, peer.response_bytes) = (taken, 0, 0);
    exact(engine.stats(), stats);
    exact(engine.peer_stats(7).unwrap(), peer);
}

#[test]
fn every_counter_of_the_docs_has_an_exact_value_that_is_not_zero() {
    a_scripted_exchange_has_exact_counters_on_both_sides();
    a_cancelled_want_counts_as_a_cancel_on_both_sides();
    a_block_that_comes_again_is_a_duplicate_and_one_never_asked_for_is_unwanted();
    a_peer_that_claims_and_stays_silent_counts_a_have_and_a_timeout();
    what_a_server_skips_evicts_and_fails_to_send_is_counted();
    a_stream_that_is_reset_because_its_peer_is_slow_is_counted();
    what_is_asked_and_not_delivered_or_delivered_and_not_taken_is_counted_in_bytes();
    what_is_measured_of_a_peer_is_exact();
    what_is_served_is_counted_when_the_transport_has_it();
    an_input_about_nobody_is_stale();

    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let documented = documented(&std::fs::read_to_string(docs).unwrap());
    assert!(documented.len() > 60, "this test sees {} counters", documented.len());
    let exact = EXACT.with_borrow(BTreeSet::clone);
    let missing: Vec<&String> = documented.difference(&exact).collect();
    assert!(missing.is_empty(), "no exact value of {missing:?}");
}

/// The paths of all fields of the engine in the tables of the docs. What is part of two structs counts twice.
fn documented(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut of = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            of = match name.trim_start_matches('`').trim_end_matches('`') {
                "Fetched" => vec!["Stats.fetched", "PeerStats.fetched"],
                "Served" => vec!["Stats.served", "PeerStats.served"],
                name @ ("Stats" | "PeerStats" | "SessionStats") => vec![name],
                // The adapter's and the node's.
                _ => Vec::new(),
            };
        } else if let Some((field, _)) =
            line.strip_prefix("| `").and_then(|rest| rest.split_once('`'))
        {
            found.extend(of.iter().map(|of| format!("{of}.{field}")));
        }
    }
    found
}

#[test]
fn an_input_about_nobody_is_stale() {
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], Timestamp::ZERO);
    engine.handle_disconnected(1, Timestamp::ZERO);
    engine.handle_support(1, ProtocolSupport::Yes, Timestamp::ZERO);
    engine.handle_message(1, Message::default(), Timestamp::ZERO);
    exact(engine.stats(), of!(Stats { stale_inputs: 3 }));
}

/// The default limits, changed. (The struct may grow, so it has no literal out here.)
fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Streams open at once, sends succeed at once, and there are no providers.
fn drain(engine: &mut Engine<u8>, now: Timestamp) {
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Open { peer, stream } => {
                engine.handle_open(peer, stream, Ok(Version::V1_2), now);
            }
            Output::Send(outgoing) => engine.handle_sent(outgoing.id, Ok(()), now),
            Output::FindProviders { id, .. } => {
                engine.handle_providers(id, &[], bitswap_core::ProviderProgress::Final, now);
            }
            _ => {}
        }
    }
}
