//! 3. Time does not run backwards, and a timeout that is early or extra changes nothing.

use bitswap_core::{Config, Timestamp};

use crate::pair::{ALICE, BOB, Pair, block, bringing, ms};

/// Guards `Engine::input`: `self.now = self.now.max(now)`.
#[test]
fn an_input_from_the_past_happens_at_the_latest_time_seen() {
    let run = |backwards: bool| {
        let mut pair = Pair::new();
        let session = pair.session();
        let wanted = block(0, 1000);
        pair.want(session, std::slice::from_ref(&wanted));
        pair.pass(ms(30));
        let now = pair.now;
        pair.alice().handle_timeout(now);
        let then = if backwards { Timestamp::ZERO } else { now };
        pair.alice().handle_message(BOB, bringing(&[wanted]), then);
        let now_known = pair.alice().poll_timeout();
        assert_eq!(now_known, Some(now), "an output is due at the latest time seen");
        pair.pass(ms(20_000));
        let latency = pair.alice().peer_stats(BOB).and_then(|peer| peer.latency);
        (std::mem::take(&mut pair.transcripts[ALICE]), latency)
    };
    let (straight, latency) = run(false);
    assert!(latency.is_some());
    assert_eq!(run(true), (straight, latency));
}

/// Guards `due` of `client/deadline.rs`: a timer that runs before its time.
#[test]
fn early_and_extra_timeouts_change_nothing() {
    let blocks: Vec<_> = (0..5).map(|n| block(n, 100_000)).collect();
    let run = |extra: bool| {
        let mut pair = Pair::apart([Config::default(), Config::default()], [3, 4]);
        pair.connect();
        pair.stock(&blocks[..3]);
        let session = pair.session();
        pair.want(session, &blocks);
        // Many short steps end in timeouts before their time.
        for _ in 0..2000 {
            pair.pass(ms(7));
            let now = pair.now;
            if extra {
                for _ in 0..2 {
                    pair.alice().handle_timeout(now);
                    pair.bob().handle_timeout(now);
                    pair.drain();
                }
            }
        }
        pair.transcripts
    };
    assert_eq!(run(false), run(true));
}
