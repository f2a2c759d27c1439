//! Every want ends exactly once.

use bitswap_core::error::WantError;
use bitswap_core::{Config, Event, Limits, SessionOptions, Version, Want, WantFailure};

use crate::driver::{Driver, Sent, block, cid, ms};

#[test]
fn nothing_follows_a_cancel() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    d.take_sent();
    d.cancel(s, cid(1));
    d.block(1, &block(1));
    assert!(d.events().is_empty());
    assert_eq!(d.engine().session_stats(s).unwrap().wants, 1);
}

#[test]
fn cancelling_one_of_two_sessions_leaves_the_other_waiting() {
    let mut d = Driver::peers([1]);
    let (a, b) = (d.session(), d.session());
    d.want(a, &[cid(1)]);
    d.want(b, &[cid(1)]);
    d.take_sent();
    d.cancel(a, cid(1));
    d.pass(ms(100));
    assert!(d.take_sent().iter().all(|(.., w)| *w != Sent::Cancel), "still wanted");
    d.block(1, &block(1));
    assert_eq!(d.events(), [Event::Block { session: b, block: block(1), from: Some(1) }]);
}

#[test]
fn a_cancel_before_the_event_is_taken_erases_it() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let blocks = vec![block(1)];
    let message = bitswap_core::Message { blocks, ..Default::default() };
    d.receive(1, message);
    d.host.cancel(s, [cid(1)]);
    d.drain();
    assert!(d.events().is_empty());
}

#[test]
fn a_want_cancelled_before_it_was_sent_is_never_sent() {
    let mut d = Driver::peers([1]);
    d.at_once.opens = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.cancel(s, cid(1));
    d.opened(1, bitswap_core::StreamKind::Requests, Ok(Version::V1_2));
    d.drain();
    d.pass(ms(1000));
    assert!(d.take_sent().is_empty());
}

#[test]
fn a_want_back_before_its_cancel_was_sent_goes_on_in_silence() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.take_sent();
    d.cancel(s, cid(1));
    d.want(s, &[cid(1)]);
    d.pass(ms(100));
    assert!(d.take_sent().is_empty());
    d.block(1, &block(1));
    assert_eq!(d.events().len(), 1);
}

#[test]
fn a_want_whose_time_is_up_fails_with_what_each_peer_did() {
    let mut d = Driver::peers([1]);
    let options = SessionOptions { want_timeout: Some(ms(300)), ..Default::default() };
    let s = d.session_with(options);
    d.want(s, &[cid(1)]);
    d.pass(ms(299));
    assert!(d.events().is_empty());
    d.pass(ms(1));
    let events = d.events();
    let [Event::Failed { session, cid: c, reason: WantFailure::TimedOut(reports) }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((*session, *c), (s, cid(1)));
    assert_eq!(reports.len(), 1);
}

#[test]
fn closing_a_session_cancels_its_wants_and_silences_it() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    d.take_sent();
    d.close_session(s);
    d.drain();
    d.pass(ms(100));
    assert_eq!(d.take_sent().len(), 2);
    d.block(1, &block(1));
    assert!(d.events().is_empty());
    assert_eq!(d.host.want(s, [cid(3)]), Err(WantError::NoSession));
    let stats = d.engine().stats();
    assert_eq!((stats.sessions, stats.wants, stats.sent_wants), (0, 0, 0));
}

#[test]
fn shutdown_fails_every_want_and_tells_the_peers() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    d.take_sent();
    d.shutdown();
    d.drain();
    d.pass(ms(20));
    let events = d.events();
    assert_eq!(events.len(), 2);
    assert!(
        events
            .iter()
            .all(|event| { matches!(event, Event::Failed { reason: WantFailure::ShutDown, .. }) })
    );
    assert_eq!(d.take_sent().len(), 2);
    d.pass(ms(120_000));
    assert_eq!(d.engine().poll_timeout(), None);
    let refused = d.open_session(SessionOptions::default());
    assert_eq!(refused, Err(WantError::ShuttingDown));
}

#[test]
fn wants_that_nobody_can_serve_are_refused_whole() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    let identity = cid::Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"inline").unwrap());
    let wants = [cid(1), identity];
    assert!(matches!(d.host.want(s, wants), Err(WantError::Unfetchable(_))));
    d.drain();
    assert!(d.take_sent().is_empty());
    assert_eq!(d.engine().stats().wants, 0);
}

#[test]
fn cancels_of_many_wants_are_spread_over_messages_of_64_kib() {
    let limits = Limits { sent_wants_per_peer: 3000, ..Limits::default() };
    let mut d = Driver::unwatched(Config::default().with_limits(limits).unwrap());
    d.connect(0);
    let s = d.session_with(SessionOptions { window_bytes: 1 << 30, ..SessionOptions::default() });
    let want = |n| Want { cid: cid(n), priority: 0, size: Some(16) };
    d.host.want(s, (0..3000).map(want)).unwrap();
    d.drain();
    let asked = d.take_sent().len();
    assert!(asked > 2000, "{asked}");
    d.host.close_session(s);
    d.drain();
    d.pass(ms(100));
    let lengths: Vec<usize> =
        d.messages.iter().map(|(_, message)| message.encoded_len(Version::V1_2)).collect();
    let cancels = d.take_sent();
    assert!(cancels.iter().all(|(_, _, what)| *what == Sent::Cancel));
    assert_eq!(cancels.len(), asked);
    assert!(lengths.len() > 1 && lengths.iter().all(|len| *len < (64 << 10) + 128), "{lengths:?}");
}
