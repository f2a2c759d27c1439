//! Whom a session asks first.

use crate::driver::{Driver, Sent, block, cid, ms, sized};

#[test]
fn one_peer_is_asked_for_the_block_and_two_whether_they_have_it() {
    let mut d = Driver::peers(0..9);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let sent = d.take_sent();
    assert_eq!(Driver::receivers(&sent, cid(1), Sent::WantBlock).len(), 1);
    assert_eq!(Driver::receivers(&sent, cid(1), Sent::WantHave).len(), 2);
    assert_eq!(sent.len(), 3);
}

#[test]
fn the_first_message_to_a_peer_is_its_whole_wantlist() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.want(s, &[cid(2)]);
    let full: Vec<bool> = d.messages.iter().map(|(_, m)| m.wantlist.full).collect();
    assert_eq!(full, [true, false]);
}

#[test]
fn wants_of_a_batch_are_spread_and_those_to_one_peer_share_a_message() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    let cids: Vec<_> = (0..100).map(cid).collect();
    d.want(s, &cids);
    assert_eq!(d.messages.len(), 2);
    let sent = d.take_sent();
    for peer in 0..2 {
        let asked = sent.iter().filter(|(p, _, w)| *p == peer && *w == Sent::WantBlock).count();
        assert!((45..=55).contains(&asked), "peer {peer} was asked for {asked}");
    }
    let haves = sent.iter().filter(|(.., w)| *w == Sent::WantHave).count();
    assert_eq!(haves, 100, "the other one is asked whether it has it");
}

#[test]
fn good_guesses_need_no_second_opinion() {
    let mut d = Driver::peers(0..4);
    let s = d.session();
    d.want(s, &[cid(0)]);
    let first = Driver::receivers(&d.take_sent(), cid(0), Sent::WantBlock)[0];
    d.pass(ms(20));
    d.block(first, &block(0));
    let mut haves = 0;
    for n in 1..40 {
        d.want(s, &[cid(n)]);
        let sent = d.take_sent();
        assert_eq!(Driver::receivers(&sent, cid(n), Sent::WantBlock), [first]);
        haves = Driver::receivers(&sent, cid(n), Sent::WantHave).len();
        d.pass(ms(20));
        d.block(first, &block(n));
    }
    assert_eq!(haves, 0);
}

#[test]
fn bad_guesses_widen_the_question_up_to_the_fan_out() {
    let mut d = Driver::peers(0..40);
    let s = d.session();
    let mut widest = 0;
    for n in 0..20 {
        d.want(s, &[cid(n)]);
        let sent = d.take_sent();
        widest = sent.iter().filter(|(_, c, w)| *c == cid(n) && *w != Sent::Cancel).count();
        for (peer, c, what) in sent {
            if what != Sent::Cancel {
                d.dont_have(peer, c);
            }
        }
        d.cancel(s, cid(n));
        d.pass(ms(100));
    }
    assert_eq!(widest, 16);
}

#[test]
fn a_want_before_any_peer_goes_out_with_the_first_connection() {
    let mut d = Driver::new();
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert!(d.take_sent().is_empty());
    d.connect(3);
    assert_eq!(d.take_sent(), [(3, cid(1), Sent::WantBlock)]);
}

#[test]
fn the_same_want_of_two_sessions_is_sent_once() {
    let mut d = Driver::peers([1]);
    let (a, b) = (d.session(), d.session());
    d.want(a, &[cid(1)]);
    d.want(b, &[cid(1)]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    d.block(1, &block(1));
    assert_eq!(d.events().len(), 2, "each session gets its own event");
}

#[test]
fn no_more_is_sent_to_one_peer_than_servers_keep() {
    let mut d = Driver::unwatched(bitswap_core::Config::default());
    d.connect(1);
    let s = d.session();
    let cids: Vec<_> = (0..3000).map(cid).collect();
    d.want(s, &cids);
    for n in 0..3000 {
        let peer = d.engine().peer_stats(1).unwrap();
        assert!(peer.sent_wants <= 1000);
        d.pass(ms(1));
        d.block(1, &block(n));
    }
    assert_eq!(d.engine().stats().wants, 0);
    assert_eq!(d.engine().stats().fetched.blocks, 3000);
    assert_eq!(d.engine().stats().fetched.duplicate_blocks, 0);
}

#[test]
fn a_session_asks_for_no_more_than_its_window() {
    let mut d = Driver::peers(0..8);
    let s = d.session_with(bitswap_core::SessionOptions {
        window_bytes: 64 << 10,
        ..Default::default()
    });
    let cids: Vec<_> = (0..100).map(cid).collect();
    d.want(s, &cids);
    // 16 KiB are assumed of an unknown block.
    assert_eq!(d.engine().session_stats(s).unwrap().asked, 4);
    let asked = d.take_sent();
    let (peer, c, _) = *asked.iter().find(|(.., w)| *w == Sent::WantBlock).unwrap();
    let n = (0..100).find(|n| cid(*n) == c).unwrap();
    d.block(peer, &block(n));
    let stats = d.engine().session_stats(s).unwrap();
    assert_eq!(stats.unreleased_bytes, 16);
    assert!(stats.asked_bytes + stats.unreleased_bytes <= (64 << 10) + (16 << 10));
}

#[test]
fn what_the_first_peers_lack_is_asked_of_twice_as_many_more() {
    let mut d = Driver::peers(0..40);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let mut questions = Vec::new();
    for _ in 0..3 {
        let sent = d.take_sent();
        questions.push(sent.len());
        for (peer, c, _) in sent {
            d.dont_have(peer, c);
        }
    }
    // One guess each time, and two, six, twenty beside it.
    assert_eq!(questions, [3, 7, 21]);
}

#[test]
fn peers_that_had_nothing_are_not_asked_again_while_one_has_everything() {
    let mut d = Driver::peers(0..3);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let sent = d.take_sent();
    let server = Driver::receivers(&sent, cid(1), Sent::WantBlock)[0];
    let others = Driver::receivers(&sent, cid(1), Sent::WantHave);
    others.iter().for_each(|peer| d.dont_have(*peer, cid(1)));
    d.block(server, &block(1));
    d.pass(ms(300));
    d.take_sent();

    d.want(s, &[cid(2)]);
    assert_eq!(d.take_sent(), [(server, cid(2), Sent::WantBlock)]);
    d.dont_have(server, cid(2));
    assert_eq!(d.take_sent().len(), 2, "it does not have everything: both others are asked");
    d.want(s, &[cid(3)]);
    assert_eq!(d.take_sent().len(), 3, "and stay among those that are asked");
}

#[test]
fn a_large_batch_goes_to_those_that_answer_when_there_are_many_peers() {
    let mut d = Driver::peers(0..40);
    let s = d.session();
    let cids: Vec<_> = (0..200).map(cid).collect();
    d.want(s, &cids);
    let asked: Vec<_> =
        d.take_sent().into_iter().filter(|(.., what)| *what == Sent::WantBlock).collect();
    let mut sample: Vec<_> = asked.iter().map(|(peer, ..)| *peer).collect();
    sample.sort_unstable();
    sample.dedup();
    assert_eq!((asked.len(), sample.len()), (16, 16), "one block of each peer of a sample");

    d.pass(ms(50));
    let (first, delivered, _) = asked[0];
    let number = cids.iter().position(|cid| *cid == delivered).unwrap();
    d.block(first, &block(number as u32));
    let sent = d.take_sent();
    let more: Vec<_> = sent.iter().filter(|(.., what)| *what == Sent::WantBlock).collect();
    assert!(!more.is_empty());
    assert!(more.iter().all(|(peer, ..)| *peer == first), "the others owe their first block");
}

#[test]
fn where_there_are_many_peers_trust_in_each_grows_with_what_it_delivered() {
    let mut d = Driver::peers(0..40);
    let s = d.session();
    let blocks: Vec<_> = (0..200).map(|n| sized(n, 8000)).collect();
    let cids: Vec<_> = blocks.iter().map(|block| *block.cid()).collect();
    d.want(s, &cids);
    let (fast, first, _) =
        *d.take_sent().iter().find(|(.., what)| *what == Sent::WantBlock).unwrap();
    let mut wanted = vec![first];
    let mut delivered = 0;
    d.pass(ms(50));
    for _ in 0..3 {
        // What it was asked for comes within moments, so it seems to be very fast.
        for cid in std::mem::take(&mut wanted) {
            d.block(fast, &blocks[cids.iter().position(|other| *other == cid).unwrap()]);
            delivered += 8000;
            d.pass(ms(1));
            assert!(d.engine().peer_stats(fast).unwrap().asked_bytes <= 4 * delivered);
        }
        wanted.extend(d.take_sent().iter().filter(|sent| sent.0 == fast).map(|sent| sent.1));
    }
    assert!(delivered > 10 * 8000, "but it grows fast: {delivered}");
}

#[test]
fn the_next_of_single_wants_goes_to_the_last_deliverer() {
    let mut d = Driver::peers(0..2);
    let s = d.session();
    let mut wrong = 0;
    // Every third block is with both, the others are by turns with one of them.
    for n in 0..90 {
        d.want(s, &[cid(n)]);
        let first = Driver::receivers(&d.take_sent(), cid(n), Sent::WantBlock)[0];
        d.pass(ms(20));
        if n % 3 != 0 && n % 2 != u32::from(first) {
            d.dont_have(first, cid(n));
            d.have(1 - first, cid(n));
            d.block(1 - first, &block(n));
            wrong += 1;
        } else {
            d.block(first, &block(n));
        }
    }
    assert!(wrong <= 30, "one of three is wrong for whoever stays with the last: {wrong}");
}
