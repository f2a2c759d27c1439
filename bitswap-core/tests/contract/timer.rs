//! 2. While an output is ready the timer is due; after a drain it lies ahead.

use bitswap_core::{Config, Engine, SessionOptions, TimerReason, Timestamp, Want};

use crate::pair::{ALICE, BOB, Pair, block, ms};

/// Guards `Engine::input`: `self.dirty = true`. `Pair::drain` checks the clause at every output of
/// every test here; this one goes through a life with timeouts, idle streams and a reconnect.
#[test]
fn the_timer_is_due_while_an_output_is_ready_and_ahead_after_a_drain() {
    let blocks: Vec<_> = (0..20).map(|n| block(n, 30_000)).collect();
    let mut pair = Pair::new();
    pair.stock(&blocks[..10]);
    let session = pair.session();
    pair.want(session, &blocks);
    pair.pass(ms(60_000));
    pair.disconnect();
    pair.pass(ms(60_000));
    pair.connect();
    pair.put(&blocks[10..]);
    pair.pass(ms(60_000));
    assert_eq!(pair.alice().stats().fetched.blocks, 20);
    assert_eq!(pair.events[ALICE].len(), 21, "20 blocks, and one peer that left");
    assert_eq!(pair.alice().stats().peers, 1);
    assert!(pair.alice().peer_stats(BOB).is_some());
}

/// Guards `Engine::poll_timeout_reason`, which the host's sleep follows.
#[test]
fn an_input_makes_the_timer_due_and_a_drain_disarms_it() {
    let now = Timestamp::from_micros(5);
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    assert_eq!(engine.poll_timeout(), None, "nothing ever happened");
    engine.handle_connected(1, None, now);
    assert_eq!(engine.poll_timeout_reason(), Some((now, TimerReason::Output)));
    assert!(engine.poll_output().is_none());
    assert_eq!(engine.poll_timeout(), None, "an idle engine sleeps for ever");
}

/// Guards the invariant of `client/mod.rs`: a want that nobody can serve has a timer.
#[test]
fn a_live_want_always_has_a_timer() {
    let mut now = Timestamp::ZERO;
    let mut engine: Engine<u8> = Engine::new(Config::default(), [1; 32], now);
    let session = engine.open_session(SessionOptions::default(), now).unwrap();
    engine.want(session, [Want::from(*block(0, 4).cid())], now).unwrap();
    for _ in 0..50 {
        while engine.poll_output().is_some() {}
        let next = engine.poll_timeout().expect("a want without a timer is lost");
        assert!(next > now);
        now = next;
        engine.handle_timeout(now);
    }
}
