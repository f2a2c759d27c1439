//! What the peers' answers do.

use bitswap_core::{Config, Event, Message, PeerOutcome};

use crate::driver::{Driver, Sent, block, cid, ms, sized};

/// An engine with `peers` peers that wants CID 1, and who was told what.
fn wanting(peers: u8) -> (Driver, bitswap_core::SessionId, u8, Vec<u8>) {
    let mut d = Driver::peers(0..peers);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let sent = d.take_sent();
    let guess = Driver::receivers(&sent, cid(1), Sent::WantBlock)[0];
    let others = Driver::receivers(&sent, cid(1), Sent::WantHave);
    (d, s, guess, others)
}

#[test]
fn a_wanted_block_is_delivered_and_only_the_others_get_a_cancel() {
    let (mut d, s, guess, others) = wanting(3);
    d.pass(ms(20));
    d.block(guess, &block(1));
    let event = Event::Block { session: s, block: block(1), from: Some(guess) };
    assert_eq!(d.events(), [event]);
    d.pass(ms(100));
    assert!(d.take_sent().is_empty(), "they have nothing to send, so there is time");
    d.pass(ms(200));
    let mut sent = d.take_sent();
    sent.sort();
    let mut expected: Vec<_> = others.iter().map(|p| (*p, cid(1), Sent::Cancel)).collect();
    expected.sort();
    assert_eq!(sent, expected);
    assert_eq!((d.engine().stats().wants, d.engine().stats().sent_wants), (0, 0));
}

#[test]
fn dont_have_moves_the_want_to_a_peer_that_said_have_in_the_same_step() {
    let (mut d, _, guess, others) = wanting(3);
    d.pass(ms(20));
    d.have(others[1], cid(1));
    assert!(d.take_sent().is_empty(), "the guess may still come");
    d.dont_have(guess, cid(1));
    assert_eq!(d.take_sent(), [(others[1], cid(1), Sent::WantBlock)]);
}

#[test]
fn dont_have_moves_the_want_in_the_same_step_when_no_answer_is_due() {
    let (mut d, _, guess, others) = wanting(4);
    d.pass(ms(20));
    for other in &others {
        d.dont_have(*other, cid(1));
    }
    assert!(d.take_sent().is_empty());
    d.dont_have(guess, cid(1));
    let sent = d.take_sent();
    let fourth = (0..4).find(|p| *p != guess && !others.contains(p)).unwrap();
    assert_eq!(sent, [(fourth, cid(1), Sent::WantBlock)]);
}

#[test]
fn a_have_that_is_due_is_waited_for_and_used_at_once() {
    let (mut d, _, guess, others) = wanting(4);
    d.pass(ms(20));
    d.dont_have(guess, cid(1));
    assert!(d.take_sent().is_empty(), "two answers are due any moment");
    d.have(others[0], cid(1));
    assert_eq!(d.take_sent(), [(others[0], cid(1), Sent::WantBlock)]);
}

#[test]
fn a_have_that_does_not_come_is_not_waited_for_long() {
    let (mut d, _, guess, _) = wanting(4);
    d.pass(ms(20));
    d.dont_have(guess, cid(1));
    d.pass(ms(10));
    let sent = d.take_sent();
    assert!(sent.iter().any(|(_, c, w)| *c == cid(1) && *w == Sent::WantBlock), "{sent:?}");
}

#[test]
fn a_block_is_taken_from_whoever_sends_it() {
    let (mut d, s, _, others) = wanting(3);
    d.block(others[0], &block(1));
    let event = Event::Block { session: s, block: block(1), from: Some(others[0]) };
    assert_eq!(d.events(), [event]);
}

#[test]
fn a_block_that_is_still_queued_is_taken_and_never_asked_for() {
    let mut d = Driver::peers([1]);
    d.at_once.opens = false;
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.opened, [1]);
    d.block(1, &block(1));
    assert_eq!(d.events().len(), 1);
    d.opened(1, bitswap_core::StreamKind::Requests, Ok(bitswap_core::Version::V1_2));
    d.drain();
    d.pass(ms(1000));
    assert!(d.take_sent().is_empty());
}

#[test]
fn an_unwanted_block_is_not_delivered() {
    let mut d = Driver::peers([1]);
    d.block(1, &block(9));
    assert!(d.events().is_empty());
    let stats = d.engine().stats().fetched;
    assert_eq!((stats.blocks, stats.unwanted_blocks, stats.duplicate_blocks), (0, 1, 0));
}

#[test]
fn a_second_copy_is_counted_and_not_delivered() {
    let (mut d, _, guess, others) = wanting(2);
    d.block(guess, &block(1));
    d.events();
    d.block(others[0], &block(1));
    assert!(d.events().is_empty());
    let stats = d.engine().stats().fetched;
    assert_eq!((stats.blocks, stats.duplicate_blocks, stats.duplicate_bytes), (1, 1, 16));
    d.pass(ms(100));
    assert!(d.take_sent().is_empty(), "it has sent the block, so it needs no cancel");
}

#[test]
fn a_block_stored_locally_ends_the_want() {
    let (mut d, s, ..) = wanting(2);
    d.host.store_blocks([&block(1)]);
    d.drain();
    assert_eq!(d.events(), [Event::Stored { session: s, cid: cid(1) }]);
    d.pass(ms(300));
    let sent = d.take_sent();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, c, w)| *c == cid(1) && *w == Sent::Cancel));
}

#[test]
fn an_answer_about_what_is_over_earns_one_cancel() {
    let (mut d, s, guess, _) = wanting(1);
    d.cancel(s, cid(1));
    d.pass(ms(100));
    assert_eq!(d.take_sent(), [(guess, cid(1), Sent::Cancel)]);
    d.have(guess, cid(1));
    d.have(guess, cid(1));
    d.have(guess, cid(1));
    assert_eq!(d.take_sent(), [(guess, cid(1), Sent::Cancel)]);
}

#[test]
fn a_cancel_that_waits_for_its_turn_is_sent_unless_the_block_comes() {
    let (mut d, s, guess, _) = wanting(1);
    d.cancel(s, cid(1));
    d.pass(ms(100));
    d.have(guess, cid(1));
    d.take_sent();
    d.have(guess, cid(2));
    d.have(guess, cid(3));
    assert_eq!(d.take_sent(), [], "one message a second at most");
    d.block(guess, &block(2));
    d.pass(ms(1000));
    assert_eq!(d.take_sent(), [(guess, cid(3), Sent::Cancel)]);
}

#[test]
fn a_block_that_is_cancelled_before_it_is_delivered_leaves_its_room() {
    let (mut d, s, guess, _) = wanting(1);
    let message = Message { blocks: vec![block(1)], ..Message::default() };
    d.receive(guess, message);
    assert_eq!(d.engine().session_stats(s).unwrap().unreleased_bytes, 16);
    d.cancel(s, cid(1));
    assert_eq!(d.events(), []);
    assert_eq!(d.engine().session_stats(s).unwrap().unreleased_bytes, 0);
}

#[test]
fn a_late_block_of_a_peer_that_lacked_it_is_taken() {
    let (mut d, s, guess, _) = wanting(1);
    d.dont_have(guess, cid(1));
    d.pass(ms(5000));
    d.block(guess, &block(1));
    let event = Event::Block { session: s, block: block(1), from: Some(guess) };
    assert_eq!(d.events(), [event]);
}

#[test]
fn a_block_above_the_largest_that_was_chosen_is_as_good_as_none() {
    let mut d = Driver::with(Config::default().with_block_bytes_max(100).unwrap());
    (0..2).for_each(|peer| d.connect(peer));
    let s = d.session();
    let (large, right) = (sized(1, 101), sized(2, 100));
    d.want(s, &[*large.cid(), *right.cid()]);
    let sent = d.take_sent();
    let first = Driver::receivers(&sent, *large.cid(), Sent::WantBlock)[0];
    d.block(first, &right);
    d.block(first, &large);
    d.dont_have(1 - first, *large.cid());
    assert_eq!(d.events().len(), 1, "only the one that is small enough");
    assert_eq!(d.engine().stats().fetched.unwanted_blocks, 1);
    let outcome: Vec<_> =
        d.engine().diagnose(s, large.cid()).unwrap().iter().map(|report| report.outcome).collect();
    assert_eq!(outcome, [PeerOutcome::DontHave; 2]);
    d.cancel(s, *large.cid());
    d.pass(ms(300));
    assert!(d.take_sent().contains(&(first, *large.cid(), Sent::Cancel)));
}

#[test]
fn a_have_after_a_dont_have_to_a_want_block_does_not_bring_the_want_back() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    for _ in 0..100 {
        d.dont_have(1, cid(1));
        d.have(1, cid(1));
        d.pass(ms(1));
        assert!(d.take_sent().is_empty(), "it said that it lacks the block");
    }
    // Whoever connects next is asked at once.
    d.connect(2);
    assert_eq!(d.take_sent(), [(2, cid(1), Sent::WantBlock)]);
    d.block(2, &block(1));
    assert_eq!(d.events().len(), 1);
}
