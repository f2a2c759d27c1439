//! Peers that do not answer.

use std::collections::BTreeSet;

use bitswap_core::{PeerOutcome, PeerReport};

use crate::driver::{Driver, Sent, block, cid, ms};

#[test]
fn silence_moves_the_want_and_doubles_the_number_asked_each_time() {
    let mut d = Driver::peers(0..32);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let mut asked = BTreeSet::new();
    let mut rounds = Vec::new();
    for (peer, _, what) in d.take_sent() {
        if what == Sent::WantBlock {
            asked.insert(peer);
        }
    }
    while asked.len() < 31 {
        let before = asked.len();
        let Some(next) = d.engine().poll_timeout() else { panic!("no timer is armed") };
        d.pass(next.since(d.now));
        for (peer, _, what) in d.take_sent() {
            if what == Sent::WantBlock {
                assert!(asked.insert(peer), "peer {peer} was asked twice");
            }
        }
        if asked.len() > before {
            rounds.push(asked.len() - before);
        }
    }
    assert_eq!(rounds[..4], [1, 2, 4, 8]);
    assert!(d.now.as_micros() < 10_000_000, "31 silent peers took {:?}", d.now);
}

#[test]
fn a_peer_that_says_have_and_stays_silent_is_left() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let liar = Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock)[0];
    let other = 1 - liar;
    d.have(liar, cid(1));
    d.dont_have(other, cid(1));
    d.pass(ms(3000));
    let outcome = d.engine().diagnose(s, &cid(1)).unwrap();
    assert!(
        outcome.contains(&PeerReport { peer: liar, outcome: PeerOutcome::HaveThenSilent }),
        "{outcome:?}"
    );
    assert!(outcome.contains(&PeerReport { peer: other, outcome: PeerOutcome::DontHave }));
    d.connect(7);
    assert_eq!(d.take_sent().last(), Some(&(7, cid(1), Sent::WantBlock)));
    d.block(7, &block(1));
    assert_eq!(d.events().len(), 1);
}

#[test]
fn a_measured_peer_is_given_little_more_than_it_needs() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    d.want(s, &[cid(0)]);
    let fast = Driver::receivers(&d.take_sent(), cid(0), Sent::WantBlock)[0];
    for n in 0..10 {
        d.pass(ms(20));
        d.block(fast, &block(n));
        d.want(s, &[cid(n + 1)]);
    }
    d.take_sent();
    let asked = d.now;
    while Driver::receivers(&d.take_sent(), cid(10), Sent::WantBlock).is_empty() {
        let next = d.engine().poll_timeout().unwrap();
        d.pass(next.since(d.now));
    }
    let took = d.now.since(asked);
    assert!(took >= ms(50) && took <= ms(100), "another peer was asked after {took:?}");
}

#[test]
fn every_unresolved_want_keeps_a_timer_armed() {
    let mut d = Driver::new();
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert!(d.engine().poll_timeout().is_some(), "without peers");
    d.connect(1);
    d.dont_have(1, cid(1));
    for _ in 0..20 {
        let next = d.engine().poll_timeout().expect("a want is open");
        d.pass(next.since(d.now));
    }
    d.disconnect(1);
    assert!(d.engine().poll_timeout().is_some(), "after all peers have left");
    d.cancel(s, cid(1));
    d.pass(ms(120_000));
    assert_eq!(d.engine().poll_timeout(), None, "at rest");
}

#[test]
fn a_peer_busy_with_earlier_blocks_is_not_late() {
    let mut d = Driver::peers(0..2);
    let s = d.only(&[0]);
    let cids: Vec<_> = (0..20).map(cid).collect();
    d.want(s, &cids);
    for n in 0..20 {
        // Each block takes 200 ms, so the last comes after 4 s.
        d.pass(ms(200));
        d.block(0, &block(n));
    }
    assert_eq!(d.engine().stats().fetched.timeouts, 0);
    assert_eq!(d.events().len(), 20);
}

#[test]
fn other_blocks_excuse_a_withheld_one_for_four_deadlines_and_no_longer() {
    let mut d = Driver::peers([0]);
    let s = d.session();
    let cids: Vec<_> = (0..60).map(cid).collect();
    d.want(s, &cids);
    // Nothing was measured of the peer: a second, and the transfer of 16 KiB each at 1 MiB/s.
    let first_deadline = ms(1000 + 16);
    d.connect(1);
    d.take_sent();
    // It delivers a block every 800 ms, and never the first.
    let mut asked = None;
    for n in 1..60 {
        d.pass(ms(800));
        d.block(0, &block(n));
        let other = Driver::receivers(&d.take_sent(), cid(0), Sent::WantBlock).contains(&1);
        if other && asked.is_none() {
            asked = Some(d.now);
        }
    }
    let after = asked.expect("another peer is asked").since(bitswap_core::Timestamp::ZERO);
    assert!(after > first_deadline * 2, "it is excused for a while: {after:?}");
    assert!(after <= first_deadline * 4 + ms(800), "for no longer: {after:?}");
}
