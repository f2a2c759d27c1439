//! 7. Each want ends exactly once.

use std::collections::BTreeMap;

use bitswap_core::{
    Block, BlockInfo, Event, SessionId, SessionOptions, Want, WantFailure, WhenMissing,
};
use cid::Cid;

use crate::pair::{ALICE, BOB, LATENCY, Pair, Peer, block, bringing, ms};

/// Events that end a want, by session and CID.
fn ends(pair: &Pair) -> BTreeMap<(SessionId, Cid), Vec<&Event<Peer>>> {
    let mut ends: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in &pair.events[ALICE] {
        let key = match event {
            Event::Block { session, block, .. } => (*session, *block.cid()),
            Event::Stored { session, cid } | Event::Failed { session, cid, .. } => (*session, *cid),
            _ => continue,
        };
        ends.entry(key).or_default().push(event);
    }
    ends
}

fn with(pair: &mut Pair, options: SessionOptions<Peer>) -> SessionId {
    let now = pair.now;
    pair.alice().open_session(options, now).unwrap()
}

/// Guards `Client::end_want`, which ends every interest in the want and none twice.
#[test]
fn a_block_ends_the_want_of_every_session_once() {
    let mut pair = Pair::new();
    let wanted = block(0, 1000);
    pair.stock(std::slice::from_ref(&wanted));
    let sessions = [pair.session(), pair.session(), pair.session()];
    for session in sessions {
        pair.want(session, std::slice::from_ref(&wanted));
    }
    let now = pair.now;
    pair.alice().cancel(sessions[1], [*wanted.cid()], now);
    pair.pass(2 * LATENCY);
    assert_eq!(ends(&pair).len(), 2);
    // It comes again, twice.
    let now = pair.now;
    pair.alice().handle_message(BOB, bringing(&[wanted.clone(), wanted.clone()]), now);
    pair.pass(ms(10_000));
    let ends = ends(&pair);
    assert_eq!(ends.len(), 2);
    for session in [sessions[0], sessions[2]] {
        let [Event::Block { block, from, .. }] = ends[&(session, *wanted.cid())][..] else {
            panic!("{ends:?}")
        };
        assert_eq!((block, *from), (&wanted, Some(BOB)));
    }
    assert_eq!(pair.alice().stats().wants, 0);
}

/// Guards `Client::cancel` and `Client::close_session`: what has arrived but was not polled is
/// taken back with its want.
#[test]
fn nothing_follows_a_cancel() {
    let wanted = [block(0, 1000), block(1, 1000)];
    for close in [false, true] {
        let mut pair = Pair::new();
        let session = pair.session();
        pair.want(session, &wanted);
        pair.pass(LATENCY);
        // The block is in the engine, and its event not yet polled.
        let now = pair.now;
        pair.alice().handle_message(BOB, bringing(&wanted[..1]), now);
        if close {
            pair.alice().close_session(session, now);
        } else {
            pair.alice().cancel(session, wanted.iter().map(|block| *block.cid()), now);
        }
        pair.pass(ms(60_000));
        let now = pair.now;
        pair.alice().handle_message(BOB, bringing(&wanted), now);
        pair.pass(ms(60_000));
        assert!(ends(&pair).is_empty(), "close: {close}, {:?}", ends(&pair));
        assert_eq!(pair.alice().stats().wants, 0);
    }
}

/// Guards `Client::announce`: a block that was stored here ends the want, and is in the store.
#[test]
fn a_block_stored_here_ends_the_want() {
    let mut pair = Pair::new();
    let session = pair.session();
    let wanted = block(0, 1000);
    pair.want(session, std::slice::from_ref(&wanted));
    pair.pass(LATENCY);
    let now = pair.now;
    let info = BlockInfo { cid: *wanted.cid(), size: 1000 };
    pair.alice().notify_new_blocks(&[info, info], now);
    pair.alice().handle_message(BOB, bringing(std::slice::from_ref(&wanted)), now);
    pair.pass(ms(10_000));
    let ends = ends(&pair);
    assert!(matches!(ends[&(session, *wanted.cid())][..], [Event::Stored { .. }]), "{ends:?}");
}

/// Guards `client/search.rs` (all who may be asked lack it) and the expiry in `run_timers`.
#[test]
fn what_nobody_has_fails_once_with_the_reason() {
    let wanted = block(0, 1000);
    let fails = |options: SessionOptions<Peer>| {
        let mut pair = Pair::new();
        let session = with(&mut pair, options);
        pair.want(session, std::slice::from_ref(&wanted));
        pair.pass(ms(120_000));
        let ends = ends(&pair);
        let [Event::Failed { reason, .. }] = ends[&(session, *wanted.cid())][..] else {
            panic!("{ends:?}")
        };
        reason.clone()
    };
    let missing = fails(SessionOptions { when_missing: WhenMissing::Fail, ..Default::default() });
    assert!(matches!(&missing, WantFailure::NotFound(said) if said[0].peer == BOB), "{missing:?}");
    let late = fails(SessionOptions { want_timeout: Some(ms(3000)), ..Default::default() });
    assert!(matches!(&late, WantFailure::TimedOut(said) if said[0].peer == BOB), "{late:?}");
}

/// Guards `Client::shutdown`: no want is left without an end.
#[test]
fn a_shutdown_ends_every_want() {
    let mut pair = Pair::new();
    let wanted: Vec<Block> = (0..5).map(|n| block(n, 100)).collect();
    let sessions = [pair.session(), pair.session()];
    for session in sessions {
        pair.want(session, &wanted);
    }
    pair.pass(LATENCY);
    let now = pair.now;
    pair.alice().shutdown(now);
    pair.pass(ms(60_000));
    let ends = ends(&pair);
    assert_eq!(ends.len(), 10);
    for events in ends.values() {
        assert!(
            matches!(events[..], [Event::Failed { reason: WantFailure::ShutDown, .. }]),
            "{events:?}"
        );
    }
    let now = pair.now;
    assert!(pair.alice().want(sessions[0], [Want::from(*wanted[0].cid())], now).is_err());
    assert_eq!(pair.alice().stats().wants, 0);
}
