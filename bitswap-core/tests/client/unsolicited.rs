//! What a peer learns by answers to questions that it was not asked.

use bitswap_core::{Config, Limits};

use crate::driver::{Driver, Sent, cid, ms};

/// An engine that wants CID 1 of peer 0 alone and CID 9 of anybody, so that peer 1 was told something.
fn wanting_of_one() -> Driver {
    let mut d = Driver::peers(0..2);
    let open = d.session();
    d.want(open, &[cid(9)]);
    let only = d.only(&[0]);
    d.want(only, &[cid(1)]);
    let sent = d.take_sent();
    assert!(sent.iter().any(|(peer, sent, _)| (*peer, *sent) == (1, cid(9))));
    assert!(!sent.iter().any(|(peer, sent, _)| (*peer, *sent) == (1, cid(1))));
    d.pass(ms(10));
    d.take_sent();
    d
}

#[test]
fn who_is_not_to_learn_of_a_want_is_answered_as_if_nothing_were_wanted() {
    for have in [true, false] {
        let mut d = wanting_of_one();
        // One that is wanted and one that is not.
        for any in [cid(1), cid(2)] {
            if have { d.have(1, any) } else { d.dont_have(1, any) }
        }
        let mut sent = d.take_sent();
        // Cancels that nobody asked for go a message a second.
        d.pass(ms(1000));
        sent.extend(d.take_sent());
        sent.retain(|(peer, of, _)| *peer == 1 && *of != cid(9));
        sent.sort();
        let mut expected = [(1, cid(1), Sent::Cancel), (1, cid(2), Sent::Cancel)];
        expected.sort();
        assert_eq!(sent, expected, "HAVE: {have}");
    }
}

#[test]
fn haves_that_nobody_asked_for_give_away_a_few_wants_a_second() {
    const WANTS: u32 = 60;
    let mut d = Driver::peers(0..1);
    let s = d.session();
    let cids: Vec<_> = (0..WANTS).map(cid).collect();
    d.want(s, &cids);
    assert_eq!(d.take_sent().len(), WANTS as usize, "all of the one peer that there is");
    d.connect(1);
    d.take_sent();
    let counted = |d: &Driver| d.engine().peer_stats(1).unwrap().fetched.haves;
    cids.iter().for_each(|cid| d.have(1, *cid));
    assert_eq!(counted(&d), 16, "of {WANTS}");
    d.pass(ms(5));
    cids[16..].iter().for_each(|cid| d.have(1, *cid));
    assert_eq!(counted(&d), 16, "said again");
    d.pass(ms(1000));
    cids[16..].iter().for_each(|cid| d.have(1, *cid));
    assert!(counted(&d) > 16, "some more in the next second");
}

#[test]
fn a_have_of_a_peer_that_was_not_asked_takes_no_place_beyond_the_limits() {
    let of = |sent_wants, sent_wants_per_peer| {
        let limits = Limits { sent_wants, sent_wants_per_peer, ..Limits::default() };
        Driver::with(Config::default().with_limits(limits).unwrap())
    };
    // The places of all peers together are taken.
    let mut d = of(1, 1);
    d.connect(0);
    d.connect(1);
    let s = d.session();
    d.want(s, &[cid(1)]);
    let asked = d.take_sent();
    assert_eq!((asked.len(), d.engine().stats().sent_wants), (1, 1), "{asked:?}");
    d.have(1 - asked[0].0, cid(1));
    assert_eq!(d.engine().stats().sent_wants, 1);
    // Those of the peer are.
    let mut d = of(8, 1);
    d.connect(0);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    let asked = d.take_sent();
    assert_eq!((asked.len(), d.engine().stats().sent_wants), (1, 1), "{asked:?}");
    let other = if asked[0].1 == cid(1) { cid(2) } else { cid(1) };
    d.have(0, other);
    assert_eq!(d.engine().stats().sent_wants, 1);
}
