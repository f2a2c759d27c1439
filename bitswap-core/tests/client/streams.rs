//! Streams: opened when there is something to say, closed when idle, put right when lost.

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{Event, ProtocolSupport, StreamKind, Version, Want};

use crate::driver::{Driver, Sent, block, cid, ms};

#[test]
fn a_stream_opens_for_a_want_and_closes_when_idle() {
    let mut d = Driver::peers([1]);
    assert!(d.opened.is_empty(), "nothing to say yet");
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.opened, [1]);
    d.block(1, &block(1));
    d.pass(ms(4999));
    assert!(d.closed.is_empty());
    d.pass(ms(1));
    assert_eq!(d.closed, [1]);
    d.want(s, &[cid(2)]);
    assert_eq!(d.opened, [1, 1]);
}

#[test]
fn a_reset_stream_sends_everything_again_as_the_whole_wantlist() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2), cid(3)]);
    d.take_sent();
    d.cancel(s, cid(3));
    d.reset(1, StreamKind::Requests);
    d.drain();
    assert_eq!(d.messages.len(), 1);
    assert!(d.messages[0].1.wantlist.full, "so that the lost cancel does not matter");
    let mut sent = d.take_sent();
    sent.sort();
    let mut expected = vec![(1, cid(1), Sent::WantBlock), (1, cid(2), Sent::WantBlock)];
    expected.sort();
    assert_eq!(sent, expected);
}

#[test]
fn a_failed_send_is_sent_again() {
    let mut d = Driver::peers([1]);
    d.at_once.sends = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.take_sent().len(), 1);
    let id = d.sends.pop_front().unwrap().id;
    d.sent(id, Err(SendError::Closed));
    d.drain();
    assert_eq!(d.opened, [1, 1]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    d.sent(id, Ok(()));
    d.drain();
    assert_eq!(d.engine().stats().stale_inputs, 1, "answered once");
}

#[test]
fn a_reconnected_peer_is_sent_the_wants_at_once() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.take_sent();
    d.disconnect(1);
    assert!(matches!(d.events()[..], [Event::PeerDisconnected { peer: 1, .. }]));
    d.connect(1);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
}

#[test]
fn a_lost_peer_moves_its_wants_at_once() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let guess = Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock)[0];
    d.dont_have(1 - guess, cid(1));
    d.disconnect(guess);
    d.connect(9);
    assert!(d.take_sent().contains(&(9, cid(1), Sent::WantBlock)));
}

#[test]
fn a_peer_without_bitswap_is_left_alone_until_it_speaks() {
    let mut d = Driver::peers([1]);
    d.at_once.opens = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.opened(1, StreamKind::Requests, Err(OpenError::Unsupported));
    d.drain();
    let gone = Event::Unreachable { peer: 1, error: OpenError::Unsupported };
    assert_eq!(d.events(), [gone]);
    assert_eq!(d.engine().peer_stats(1).unwrap().support, ProtocolSupport::No);
    d.pass(ms(60_000));
    assert_eq!(d.opened, [1]);
    d.at_once.opens = true;
    d.message(1, bitswap_core::Message::default());
    assert_ne!(d.engine().peer_stats(1).unwrap().support, ProtocolSupport::No);
    assert_eq!(d.opened, [1, 1]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
}

#[test]
fn a_peer_that_lists_no_bitswap_is_not_asked() {
    let mut d = Driver::peers([1]);
    d.support(1, ProtocolSupport::No);
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert!(d.opened.is_empty());
    d.support(1, ProtocolSupport::Yes);
    d.drain();
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
}

#[test]
fn a_stream_that_does_not_open_is_tried_again_later() {
    let mut d = Driver::peers([1]);
    d.at_once.opens = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.opened(1, StreamKind::Requests, Err(OpenError::Timeout));
    d.drain();
    assert_eq!(d.opened, [1]);
    d.pass(ms(100));
    assert_eq!(d.opened, [1, 1]);
}

#[test]
fn a_stream_whose_connection_closed_is_opened_at_once_on_the_next_and_later_after_that() {
    let mut d = Driver::peers([1]);
    d.at_once.opens = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.opened(1, StreamKind::Requests, Err(OpenError::Closed));
    d.drain();
    assert_eq!((d.events(), &d.opened[..]), (vec![], &[1, 1][..]));
    d.opened(1, StreamKind::Requests, Err(OpenError::Closed));
    d.drain();
    let gone = Event::Unreachable { peer: 1, error: OpenError::Closed };
    assert_eq!((d.events(), &d.opened[..]), (vec![gone], &[1, 1][..]));
}

#[test]
fn credit_holds_back_and_coalesces_what_is_said() {
    let mut d = Driver::peers([1]);
    d.at_once.sends = false;
    let s = d.session();
    for n in 0..10 {
        d.want(s, &[cid(n)]);
    }
    assert_eq!(d.messages.len(), 4, "four messages may be on their way");
    d.cancel(s, cid(9));
    let id = d.sends.pop_front().unwrap().id;
    d.take_sent();
    d.sent(id, Ok(()));
    d.drain();
    let sent = d.take_sent();
    assert_eq!(sent.len(), 5, "the rest goes as one message, without the cancelled one: {sent:?}");
}

#[test]
fn an_old_peer_is_never_asked_whether_it_has_something() {
    for version in [Version::Unversioned, Version::V1_0, Version::V1_1] {
        let mut d = Driver::new();
        d.open_result = Ok(version);
        d.connect(0);
        d.connect(1);
        let s = d.session();
        for n in 0..10 {
            d.want(s, &[cid(n)]);
            d.pass(ms(20));
            d.block(0, &block(n));
        }
        assert!(d.take_sent().iter().all(|(.., what)| *what != Sent::WantHave));
    }
}

#[test]
fn a_block_that_answers_an_earlier_question_leaves_a_cancel_for_the_later_one() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    d.reset(1, StreamKind::Requests);
    d.drain();
    d.take_sent();
    d.block(1, &block(1));
    assert_eq!(
        d.take_sent(),
        [(1, cid(1), Sent::Cancel)],
        "it was sent before it heard the second"
    );
    d.have(1, cid(2));
    d.block(1, &block(2));
    d.pass(ms(2000));
    assert_eq!(d.take_sent(), [], "it has answered twice");
    d.want(s, &[cid(1)]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
}

#[test]
fn a_peer_whose_streams_take_nothing_is_left_alone_for_a_while() {
    let mut d = Driver::peers([1]);
    d.at_once.sends = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    for _ in 0..2 {
        let id = d.sends.pop_front().unwrap().id;
        d.sent(id, Err(SendError::Closed));
        d.drain();
    }
    assert_eq!(d.opened, [1, 1], "once more at once, and then not");
    d.take_sent();
    d.at_once.sends = true;
    d.connect(2);
    assert_eq!(d.take_sent(), [(2, cid(1), Sent::WantBlock)], "others are asked meanwhile");
    d.pass(ms(199));
    assert_eq!(d.opened, [1, 1, 2]);
    d.pass(ms(1));
    assert_eq!(d.opened, [1, 1, 2, 1], "it may remember the want, so it hears the whole wantlist");
}

#[test]
fn a_want_that_comes_back_is_not_asked_as_want_have_of_what_became_an_older_peer() {
    let mut d = Driver::peers([1, 2]);
    let first = d.session();
    d.want(first, &[cid(1)]);
    let asked = Driver::receivers(&d.take_sent(), cid(1), Sent::WantHave)[0];
    d.at_once.opens = false;
    d.reset(asked, StreamKind::Requests);
    d.drain();
    d.cancel(first, cid(1));
    d.opened(asked, StreamKind::Requests, Ok(Version::V1_1));
    d.host.want(first, [Want::from(cid(1))]).unwrap();
    d.drain();
    let sent = d.take_sent();
    assert!(
        sent.iter().all(|(peer, _, what)| *peer != asked || *what != Sent::WantHave),
        "{sent:?}"
    );
}
