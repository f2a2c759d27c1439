//! Sessions: fixed peers, priorities, and what is left when they are gone.

use std::collections::BTreeSet;
use std::time::Duration;

use bitswap_core::error::OpenError;
use bitswap_core::{Config, Entry, Limits, Message, StreamKind, Version, Want, WantKind, Wantlist};
use cid::Cid;

use crate::driver::{Driver, Peer, Sent, block, cid, ms};

#[test]
fn a_fixed_session_tells_nobody_else() {
    let mut d = Driver::peers(0..10);
    let s = d.only(&[3, 12]);
    d.want(s, &[cid(1)]);
    assert_eq!(d.take_sent(), [(3, cid(1), Sent::WantBlock)]);
    d.dont_have(3, cid(1));
    d.have(5, cid(1));
    d.pass(ms(60_000));
    assert!(d.take_sent().iter().all(|(peer, ..)| *peer == 3));
    assert!(d.searches.is_empty(), "not even the routing system learns of it");
    d.connect(12);
    assert_eq!(d.take_sent(), [(12, cid(1), Sent::WantBlock)]);
    d.block(12, &block(1));
    assert_eq!(d.events().len(), 1);
}

#[test]
fn priorities_come_first_and_equal_ones_keep_their_order() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    let wants: Vec<Want> = [(1, 0), (2, 5), (3, 0), (4, -1), (5, 5)]
        .into_iter()
        .map(|(n, priority)| Want { cid: cid(n), priority, size: None })
        .collect();
    d.host.want(s, wants).unwrap();
    d.drain();
    let entries = &d.messages[0].1.wantlist.entries;
    let order: Vec<_> = entries.iter().map(|entry| entry.cid).collect();
    assert_eq!(order, [cid(2), cid(5), cid(1), cid(3), cid(4)]);
    assert!(entries.windows(2).all(|pair| pair[0].priority > pair[1].priority));
}

/// Urgent wants, then a hundred that nobody waits for, then one that comes last, in the order in which it is given, and in
/// that in which a session of `peers` asks the first of two for them: `after` both have wanted something themselves. The
/// second one cannot be asked.
fn orders(seed: u8, peers: &[Peer], after: Duration) -> [Vec<Cid>; 2] {
    let mut d = Driver::seeded(seed);
    d.open_results.insert(2, Err(OpenError::Unsupported));
    for peer in [1, 2] {
        d.connect(peer);
        let entries = vec![Entry::want(cid(1000), WantKind::Block, 1, true)];
        let wantlist = Wantlist { entries, full: false };
        d.message(peer, Message { wantlist, ..Message::default() });
    }
    d.pass(after);
    d.messages.clear();
    let s = d.only(peers);
    let urgent = [(200, 2), (203, 1), (202, 1), (201, 1)];
    let given = urgent.into_iter().chain((0..100).map(|n| (n, 0))).chain([(300, -1)]);
    let wants: Vec<Want> =
        given.map(|(n, priority)| Want { cid: cid(n), priority, size: Some(16) }).collect();
    let given = wants.iter().map(|want| want.cid).collect();
    d.host.want(s, wants).unwrap();
    d.drain();
    [given, d.take_sent().into_iter().map(|(_, cid, _)| cid).collect()]
}

#[test]
fn with_peers_that_fetch_themselves_each_asks_in_an_order_of_its_own() {
    let seen = [7, 8].map(|seed| orders(seed, &[1, 2], Duration::ZERO));
    for [given, order] in &seen {
        assert_eq!((&order[..4], order[104]), (&given[..4], given[104]), "as somebody waits");
        assert_ne!(order, given);
        assert_eq!(order.iter().collect::<BTreeSet<_>>(), given.iter().collect());
        // Each time one of the first 64 of the rest goes.
        let place = |cid: &Cid| order.iter().position(|other| other == cid).unwrap();
        let late = |(at, cid): (usize, &Cid)| place(cid) + 63 < at;
        assert!(!given.iter().enumerate().skip(4).any(late), "{order:?}");
    }
    assert_ne!(seen[0], seen[1]);
    let [given, order] = orders(7, &[1, 2], ms(10_001));
    assert_eq!(order, given, "they fetch no more");
    let [given, order] = orders(7, &[1], Duration::ZERO);
    assert_eq!(order, given, "there is nobody else to give it to");
}

#[test]
fn nothing_is_left_when_all_is_over() {
    let fresh = Driver::new().engine().held_bytes();
    let mut d = Driver::peers(0..20);
    let s = d.session();
    let cids: Vec<_> = (0..500).map(cid).collect();
    d.want(s, &cids);
    for n in 0..500 {
        d.block((n % 20) as u8, &block(n));
    }
    d.pass(ms(10_000));
    d.close_session(s);
    for peer in 0..20 {
        d.disconnect(peer);
    }
    d.pass(ms(120_000));
    assert_eq!(d.engine().held_bytes(), fresh);
}

#[test]
fn a_want_whose_peer_left_before_it_was_sent_is_asked_elsewhere() {
    let mut d = Driver::peers([2]);
    d.at_once.opens = false;
    d.connect(1);
    let first = d.only(&[1]);
    d.want(first, &[cid(1)]);
    let second = d.only(&[2]);
    d.want(second, &[cid(1)]);
    // The second session relies on what the first has asked, and may not ask there itself.
    d.close_session(first);
    d.opened(1, StreamKind::Requests, Ok(Version::V1_2));
    d.open_result = Ok(Version::V1_2);
    d.drain();
    d.opened(2, StreamKind::Requests, Ok(Version::V1_2));
    d.drain();
    assert_eq!(d.take_sent(), [(2, cid(1), Sent::WantBlock)]);
}

#[test]
fn sessions_that_wait_for_room_at_a_peer_get_it_in_the_order_of_their_waiting() {
    let limits = Limits { sent_wants_per_peer: 1, ..Limits::default() };
    let mut d = Driver::with(Config::default().with_limits(limits).unwrap());
    d.connect(1);
    let [first, second, third] = [d.session(), d.session(), d.session()];
    d.want(first, &[cid(1)]);
    d.want(second, &[cid(2)]);
    d.want(third, &[cid(3)]);
    // The oldest session waits behind those that wait already.
    d.want(first, &[cid(4)]);
    for n in 1..=4 {
        assert_eq!(d.take_sent(), [(1, cid(n), Sent::WantBlock)]);
        d.block(1, &block(n));
    }
    assert_eq!(d.events().len(), 4);
}

#[test]
fn a_session_that_wants_nothing_looks_for_nothing() {
    let mut d = Driver::new();
    let session = d.session();
    d.want(session, &[]);
    assert_eq!(d.engine().poll_timeout(), None);
}

#[test]
fn where_hardly_any_had_a_block_the_next_ones_wait_for_the_one_that_delivers() {
    let mut d = Driver::peers(0..200);
    let s = d.session();
    d.want(s, &[cid(0)]);
    let mut lacked = BTreeSet::new();
    // Those that are asked say that they lack it, until twenty have: then one has it.
    let holder = loop {
        d.pass(ms(10));
        let sent = d.take_sent();
        let asked = sent.iter().filter(|(.., what)| *what != Sent::Cancel).map(|(peer, ..)| *peer);
        let mut asked: BTreeSet<Peer> = asked.filter(|peer| !lacked.contains(peer)).collect();
        let holder = if lacked.len() < 20 { None } else { asked.pop_last() };
        asked.iter().for_each(|peer| d.dont_have(*peer, cid(0)));
        lacked.extend(asked);
        if let Some(holder) = holder {
            break holder;
        }
    };
    assert!(lacked.len() < 150, "some were never asked, and {} were", lacked.len());
    d.block(holder, &block(0));
    d.take_sent();
    let next: Vec<Cid> = (1..=100).map(cid).collect();
    d.want(s, &next);
    let sent = d.take_sent();
    assert!(sent.len() > 1 && sent.iter().all(|(peer, ..)| *peer == holder), "{sent:?}");
    // It turns out to lack one: then others are asked.
    d.dont_have(holder, next[0]);
    d.pass(ms(10));
    assert!(d.take_sent().iter().any(|(peer, of, _)| *peer != holder && *of == next[0]));
}
