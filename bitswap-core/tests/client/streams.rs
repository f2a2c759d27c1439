//! Streams: opened when there is something to say, closed when idle, put right when lost.

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{Event, ProtocolSupport, StreamKind, Version, Want};

use crate::driver::{Driver, Told, block, cid, ms};

#[test]
fn a_stream_opens_for_a_want_and_closes_when_idle() {
    let mut d = Driver::peers([1]);
    assert!(d.opens.is_empty(), "nothing to say yet");
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.opens, [1]);
    d.block(1, &block(1));
    d.pass(ms(4999));
    assert!(d.closes.is_empty());
    d.pass(ms(1));
    assert_eq!(d.closes, [1]);
    d.want(s, &[cid(2)]);
    assert_eq!(d.opens, [1, 1]);
}

#[test]
fn a_reset_stream_tells_everything_again_as_the_whole_wantlist() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2), cid(3)]);
    d.told();
    d.cancel(s, cid(3));
    d.engine.handle_reset(1, StreamKind::Requests, d.now);
    d.drain();
    assert_eq!(d.messages.len(), 1);
    assert!(d.messages[0].1.wantlist.full, "so that the lost cancel does not matter");
    let mut told = d.told();
    told.sort();
    let mut expected = vec![(1, cid(1), Told::Block), (1, cid(2), Told::Block)];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_failed_send_is_said_again() {
    let mut d = Driver::peers([1]);
    d.takes = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.told().len(), 1);
    let id = d.sends.remove(0);
    d.engine.handle_sent(id, Err(SendError::Closed), d.now);
    d.drain();
    assert_eq!(d.opens, [1, 1]);
    assert_eq!(d.told(), [(1, cid(1), Told::Block)]);
    d.engine.handle_sent(id, Ok(()), d.now);
    d.drain();
    assert_eq!(d.engine.stats().stale_inputs, 1, "answered once");
}

#[test]
fn a_reconnected_peer_is_told_at_once() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.told();
    d.disconnect(1);
    assert!(matches!(d.events()[..], [Event::PeerDisconnected { peer: 1, .. }]));
    d.connect(1);
    assert_eq!(d.told(), [(1, cid(1), Told::Block)]);
}

#[test]
fn a_lost_peer_moves_its_wants_at_once() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let guess = Driver::told_peers(&d.told(), cid(1), Told::Block)[0];
    d.dont_have(1 - guess, cid(1));
    d.disconnect(guess);
    d.connect(9);
    assert!(d.told().contains(&(9, cid(1), Told::Block)));
}

#[test]
fn a_peer_without_bitswap_is_left_alone_until_it_speaks() {
    let mut d = Driver::peers([1]);
    d.version = None;
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.engine.handle_open(1, StreamKind::Requests, Err(OpenError::Unsupported), d.now);
    d.drain();
    let gone = Event::Unreachable { peer: 1, error: OpenError::Unsupported };
    assert_eq!(d.events(), [gone]);
    assert_eq!(d.engine.peer_stats(1).unwrap().support, ProtocolSupport::No);
    d.pass(ms(60_000));
    assert_eq!(d.opens, [1]);
    d.version = Some(Version::V1_2);
    d.message(1, bitswap_core::Message::default());
    assert_ne!(d.engine.peer_stats(1).unwrap().support, ProtocolSupport::No);
    assert_eq!(d.opens, [1, 1]);
    assert_eq!(d.told(), [(1, cid(1), Told::Block)]);
}

#[test]
fn a_peer_that_lists_no_bitswap_is_not_asked() {
    let mut d = Driver::peers([1]);
    d.engine.handle_support(1, ProtocolSupport::No, d.now);
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert!(d.opens.is_empty());
    d.engine.handle_support(1, ProtocolSupport::Yes, d.now);
    d.drain();
    assert_eq!(d.told(), [(1, cid(1), Told::Block)]);
}

#[test]
fn a_stream_that_does_not_open_is_tried_again_later() {
    let mut d = Driver::peers([1]);
    d.version = None;
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.engine.handle_open(1, StreamKind::Requests, Err(OpenError::Timeout), d.now);
    d.drain();
    assert_eq!(d.opens, [1]);
    d.pass(ms(100));
    assert_eq!(d.opens, [1, 1]);
}

#[test]
fn credit_holds_back_and_coalesces_what_is_said() {
    let mut d = Driver::peers([1]);
    d.takes = false;
    let s = d.session();
    for n in 0..10 {
        d.want(s, &[cid(n)]);
    }
    assert_eq!(d.messages.len(), 4, "four messages may be on their way");
    d.cancel(s, cid(9));
    let id = d.sends.remove(0);
    d.told();
    d.engine.handle_sent(id, Ok(()), d.now);
    d.drain();
    let told = d.told();
    assert_eq!(told.len(), 5, "the rest goes as one message, without the cancelled one: {told:?}");
}

#[test]
fn an_old_peer_is_never_asked_whether_it_has_something() {
    for version in [Version::Unversioned, Version::V1_0, Version::V1_1] {
        let mut d = Driver::new();
        d.version = Some(version);
        d.connect(0);
        d.connect(1);
        let s = d.session();
        for n in 0..10 {
            d.want(s, &[cid(n)]);
            d.pass(ms(20));
            d.block(0, &block(n));
        }
        assert!(d.told().iter().all(|(.., what)| *what != Told::Have));
    }
}

#[test]
fn a_block_that_answers_an_earlier_question_leaves_a_cancel_for_the_later_one() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    d.engine.handle_reset(1, StreamKind::Requests, d.now);
    d.drain();
    d.told();
    d.block(1, &block(1));
    assert_eq!(d.told(), [(1, cid(1), Told::Cancel)], "it was sent before it heard the second");
    d.have(1, cid(2));
    d.block(1, &block(2));
    d.pass(ms(2000));
    assert_eq!(d.told(), [], "it has answered twice");
    d.want(s, &[cid(1)]);
    assert_eq!(d.told(), [(1, cid(1), Told::Block)]);
}

#[test]
fn a_peer_whose_streams_take_nothing_is_left_alone_for_a_while() {
    let mut d = Driver::peers([1]);
    d.takes = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    for _ in 0..2 {
        let id = d.sends.remove(0);
        d.engine.handle_sent(id, Err(SendError::Closed), d.now);
        d.drain();
    }
    assert_eq!(d.opens, [1, 1], "once more at once, and then not");
    d.told();
    d.takes = true;
    d.connect(2);
    assert_eq!(d.told(), [(2, cid(1), Told::Block)], "others are asked meanwhile");
    d.pass(ms(199));
    assert_eq!(d.opens, [1, 1, 2]);
    d.pass(ms(1));
    assert_eq!(d.opens, [1, 1, 2, 1], "it may remember the want, so it hears the whole wantlist");
}

#[test]
fn a_want_that_comes_back_is_not_asked_as_want_have_of_what_became_an_older_peer() {
    let mut d = Driver::peers([1, 2]);
    let first = d.session();
    d.want(first, &[cid(1)]);
    let asked = Driver::told_peers(&d.told(), cid(1), Told::Have)[0];
    d.version = None;
    d.engine.handle_reset(asked, StreamKind::Requests, d.now);
    d.drain();
    d.cancel(first, cid(1));
    d.engine.handle_open(asked, StreamKind::Requests, Ok(Version::V1_1), d.now);
    d.engine.want(first, [Want::from(cid(1))], d.now).unwrap();
    d.drain();
    let told = d.told();
    assert!(told.iter().all(|(peer, _, what)| *peer != asked || *what != Told::Have), "{told:?}");
}
