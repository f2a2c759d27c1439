//! Slow and silent peers beside those that have nothing else to do.

use std::collections::BTreeSet;

use bitswap_core::message::{Message, Presence};
use bitswap_core::{StreamKind, Timestamp};
use cid::Cid;

use crate::driver::{Driver, Peer, Sent, block, cid, ms, sized};

const SIZE: usize = 64 << 10;

fn number(of: Cid, count: u32) -> u32 {
    (0..count).find(|n| *sized(*n, SIZE).cid() == of).expect("it is one of the blocks")
}

/// Two peers that are asked for half of the blocks each: what each is asked for.
fn halves(d: &mut Driver, count: u32) -> [Vec<u32>; 2] {
    let s = d.session();
    let cids: Vec<_> = (0..count).map(|n| *sized(n, SIZE).cid()).collect();
    d.want(s, &cids);
    let sent = d.take_sent();
    let of = |peer: Peer| {
        let asked = sent.iter().filter(|(to, _, what)| *to == peer && *what == Sent::WantBlock);
        asked.map(|(_, cid, _)| number(*cid, count)).collect::<Vec<_>>()
    };
    let halves = [of(0), of(1)];
    assert!(halves.iter().all(|half| half.len() as u32 >= count / 2 - 2), "{halves:?}");
    halves
}

/// The CIDs that a peer was sent something about.
fn about(sent: &[(Peer, Cid, Sent)], peer: Peer, what: Sent) -> BTreeSet<Cid> {
    sent.iter().filter(|(to, _, how)| *to == peer && *how == what).map(|(_, cid, _)| *cid).collect()
}

#[test]
fn what_a_slow_peer_would_bring_late_is_moved_to_one_that_is_done_and_cancelled() {
    let mut d = Driver::peers(0..2);
    let [quick, slow] = halves(&mut d, 40);
    for n in &quick {
        d.pass(ms(10));
        d.block(0, &sized(*n, SIZE));
    }
    assert!(about(&d.take_sent(), 0, Sent::WantBlock).is_empty(), "nothing is known of the other");
    d.pass(ms(500));
    d.block(1, &sized(slow[0], SIZE));
    d.pass(ms(10));
    let sent = d.take_sent();
    let owed: BTreeSet<Cid> = slow.iter().map(|n| *sized(*n, SIZE).cid()).collect();
    let moved = about(&sent, 0, Sent::WantBlock);
    // The slow peer is also sent that what it was asked whether it has is over.
    let cancelled = &about(&sent, 1, Sent::Cancel) & &owed;
    // The last ones: those before them the slow peer brings as soon.
    let latest: BTreeSet<Cid> =
        slow.iter().rev().take(moved.len()).map(|n| *sized(*n, SIZE).cid()).collect();
    assert!(moved.len() >= slow.len() / 2, "{} of {} are moved", moved.len(), slow.len());
    assert_eq!(moved, latest);
    // Of three blocks that may come twice, some were asked beside the slow peer.
    assert!(cancelled.is_subset(&moved) && moved.len() - cancelled.len() <= 3, "{cancelled:?}");
    for cid in &moved {
        d.block(0, &sized(number(*cid, 40), SIZE));
    }
    assert_eq!(d.engine().stats().fetched.duplicate_blocks, 0);
}

#[test]
fn what_was_moved_and_is_answered_before_its_cancel_is_sent_is_cancelled_once() {
    let mut d = Driver::peers(0..2);
    let [quick, slow] = halves(&mut d, 40);
    for n in &quick {
        d.pass(ms(10));
        d.block(0, &sized(*n, SIZE));
    }
    d.pass(ms(500));
    d.take_sent();
    d.block(1, &sized(slow[0], SIZE));
    // The cancels of what is moved wait for others to go with.
    let sent = d.take_sent();
    let moved = about(&sent, 0, Sent::WantBlock);
    assert!(!moved.is_empty() && about(&sent, 1, Sent::Cancel).is_disjoint(&moved), "{sent:?}");
    // The host comes to send messages only after both answers.
    let presences = moved.iter().map(|cid| Presence { cid: *cid, have: true }).collect();
    d.host.receive(1, Message { presences, ..Message::default() });
    let blocks = moved.iter().map(|cid| sized(number(*cid, 40), SIZE)).collect();
    d.host.receive(0, Message { blocks, ..Message::default() });
    d.drain();
    d.pass(ms(10));
    let mut sent = d.take_sent();
    sent.retain(|(to, _, _)| *to == 1);
    let cancelled = about(&sent, 1, Sent::Cancel);
    assert!(moved.is_subset(&cancelled));
    assert_eq!(sent.len(), cancelled.len(), "{sent:?}");
}

#[test]
fn a_peer_whose_first_block_came_at_once_is_relieved_once_its_second_is_late() {
    let mut d = Driver::peers(0..2);
    let [quick, slow] = halves(&mut d, 40);
    // As from a peer that may send little, and has saved that up.
    d.block(1, &sized(slow[0], SIZE));
    for n in &slow[1..] {
        d.have(0, *sized(*n, SIZE).cid());
    }
    for n in &quick {
        d.block(0, &sized(*n, SIZE));
    }
    d.take_sent();
    // The least deadline of a peer of which something is known.
    d.pass(ms(49));
    assert!(about(&d.take_sent(), 0, Sent::WantBlock).is_empty(), "the second is not late yet");
    d.pass(ms(1));
    let moved = about(&d.take_sent(), 0, Sent::WantBlock);
    let rest: BTreeSet<Cid> = slow[1..].iter().map(|n| *sized(*n, SIZE).cid()).collect();
    assert_eq!(moved, rest, "all that it was asked for");
}

#[test]
fn a_block_that_a_peer_was_not_asked_for_makes_nothing_late_that_it_was_asked_for() {
    let mut d = Driver::peers([0]);
    let all = d.only(&[0]);
    let cids: Vec<_> = (0..10).map(|n| *sized(n, SIZE).cid()).collect();
    d.want(all, &cids);
    d.connect(1);
    let other = d.only(&[1]);
    let asked = *sized(10, SIZE).cid();
    d.want(other, &[asked]);
    // What only the first peer was asked for.
    d.block(1, &sized(0, SIZE));
    d.pass(ms(900));
    assert_eq!(d.engine().peer_stats(1).unwrap().fetched.timeouts, 0);
}

#[test]
fn nothing_is_left_with_a_silent_peer_while_one_that_serves_is_idle() {
    let mut d = Driver::peers(0..2);
    let [quick, silent] = halves(&mut d, 40);
    for n in &quick {
        d.pass(ms(10));
        d.block(0, &sized(*n, SIZE));
    }
    // Its first deadline: a second, and a leaf at the speed that is assumed of it.
    let deadline = Timestamp::ZERO + ms(1000 + 125);
    d.pass(deadline.since(d.now) - ms(1));
    assert!(about(&d.take_sent(), 0, Sent::WantBlock).is_empty(), "it has its time");
    // One waits for the answer to a want-have; cancels wait for others to go with.
    d.pass(ms(1 + 50 + 10));
    let sent = d.take_sent();
    let all: BTreeSet<Cid> = silent.iter().map(|n| *sized(*n, SIZE).cid()).collect();
    assert_eq!(about(&sent, 0, Sent::WantBlock), all);
    // The one that is late may come yet.
    let cancelled = about(&sent, 1, Sent::Cancel);
    assert_eq!(all.difference(&cancelled).count(), 1, "{cancelled:?}");
}

#[test]
fn a_first_want_that_is_late_for_the_round_trip_is_asked_beside() {
    let mut d = Driver::new();
    d.host.at_once.opens = false;
    d.connect(0);
    d.connect(1);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.pass(ms(20));
    for peer in 0..2 {
        d.host.opened(peer, StreamKind::Requests, Ok(bitswap_core::message::Version::V1_2));
    }
    d.drain();
    let first = Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock);
    assert_eq!(first.len(), 1);
    // Four round trips, a tenth of a second, and 16 KiB at 1 MiB/s.
    d.pass(ms(4 * 20 + 100 + 15));
    assert_eq!(d.take_sent(), []);
    d.pass(ms(1));
    assert_eq!(d.take_sent(), [(1 - first[0], cid(1), Sent::WantBlock)]);
    assert_eq!(d.engine().stats().fetched.timeouts, 0, "it has its time all the same");
}

#[test]
fn a_round_trip_that_becomes_known_later_says_when_a_first_want_is_late() {
    for measured in [&[20][..], &[90, 20], &[20, 90], &[0, 20, 0]] {
        let mut d = Driver::peers(0..2);
        let s = d.session();
        d.want(s, &[cid(1)]);
        let first = Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock);
        assert_eq!(first.len(), 1);
        d.pass(ms(20));
        for took in measured {
            d.host.round_trip(first[0], ms(*took));
        }
        d.drain();
        assert_eq!(d.take_sent(), []);
        // Since it was asked: four round trips, a tenth of a second, and 16 KiB at 1 MiB/s.
        d.pass(ms(4 * 20 + 100 + 15 - 20));
        assert_eq!(d.take_sent(), [], "{measured:?}");
        d.pass(ms(1));
        assert_eq!(d.take_sent(), [(1 - first[0], cid(1), Sent::WantBlock)], "{measured:?}");
    }
}

/// Peer 0 serves what it is asked for, and eight others never answer anything: more than may be asked beside them.
#[test]
fn what_silent_peers_were_asked_for_first_is_moved_after_twice_the_time_of_a_first_block() {
    let mut d = Driver::new();
    d.host.at_once.opens = false;
    (0..9).for_each(|peer| d.connect(peer));
    let s = d.session();
    let all: BTreeSet<Cid> = (0..36).map(cid).collect();
    d.want(s, &all.iter().copied().collect::<Vec<_>>());
    d.pass(ms(20));
    for peer in 0..9 {
        d.host.opened(peer, StreamKind::Requests, Ok(bitswap_core::message::Version::V1_2));
    }
    d.drain();
    let mut asked = about(&d.take_sent(), 0, Sent::WantBlock);
    let serve = |d: &mut Driver, asked: &BTreeSet<Cid>| {
        let of = |wanted: &&Cid| (0..36).find(|n| cid(*n) == **wanted);
        asked.iter().filter_map(|wanted| of(&wanted)).for_each(|n| d.block(0, &block(n)));
    };
    serve(&mut d, &asked);
    // Their first time: four round trips, a tenth of a second, and 16 KiB at 1 MiB/s.
    d.pass(ms(4 * 20 + 100 + 16));
    let more = about(&d.take_sent(), 0, Sent::WantBlock);
    serve(&mut d, &more);
    asked.extend(more);
    let left: BTreeSet<Cid> = all.difference(&asked).copied().collect();
    assert!(left.len() > 3, "all but {} went to one that serves", left.len());
    d.pass(ms(4 * 20 + 100 + 15 - 1));
    assert!(about(&d.take_sent(), 0, Sent::WantBlock).is_empty(), "they have as long again");
    // Cancels wait for others to go with.
    d.pass(ms(2 + 10));
    let sent = d.take_sent();
    assert_eq!(about(&sent, 0, Sent::WantBlock), left);
    let cancelled: BTreeSet<Cid> =
        (1..9).flat_map(|peer| about(&sent, peer, Sent::Cancel)).collect();
    assert!(left.is_subset(&cancelled), "{cancelled:?}");
    serve(&mut d, &left);
    assert_eq!(d.engine().stats().fetched.blocks, 36);
    assert_eq!(d.engine().stats().fetched.timeouts, 0, "their deadline is far away");
}

#[test]
fn where_streams_open_at_once_a_first_want_has_its_second() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let first = Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock);
    d.pass(ms(1000 + 125));
    assert_eq!(d.take_sent(), [], "no round trip is known");
    // And what the other was asked is given a moment to be answered.
    d.pass(ms(51));
    assert_eq!(d.take_sent(), [(1 - first[0], cid(1), Sent::WantBlock)]);
}

#[test]
fn everybody_is_asked_once_when_all_say_that_they_lack_it() {
    let mut d = Driver::peers(0..200);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let mut asked = BTreeSet::new();
    let mut steps = 0;
    loop {
        let sent = d.take_sent();
        if sent.is_empty() {
            break;
        }
        assert!(sent.len() <= 64, "{} are asked in one step", sent.len());
        steps += 1;
        for (peer, c, _) in sent {
            assert!(asked.insert(peer), "peer {peer} was asked twice");
            d.dont_have(peer, c);
        }
    }
    assert_eq!((asked.len(), steps), (200, 6));
}
