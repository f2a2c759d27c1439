//! What a peer learns by answers to questions that it was not asked.

use bitswap_core::SessionOptions;

use crate::driver::{Driver, Told, cid, ms};

/// An engine that wants CID 1 of peer 0 alone and CID 9 of anybody, so that peer 1 was told something.
fn wanting_of_one() -> Driver {
    let mut d = Driver::peers(0..2);
    let open = d.session();
    d.want(open, &[cid(9)]);
    let only = d.only(&[0]);
    d.want(only, &[cid(1)]);
    let told = d.told();
    assert!(told.iter().any(|(peer, told, _)| (*peer, *told) == (1, cid(9))));
    assert!(!told.iter().any(|(peer, told, _)| (*peer, *told) == (1, cid(1))));
    d.pass(ms(10));
    d.told();
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
        let mut told: Vec<_> = d.told().into_iter().filter(|(peer, ..)| *peer == 1).collect();
        told.sort();
        let mut expected = [(1, cid(1), Told::Cancel), (1, cid(2), Told::Cancel)];
        expected.sort();
        assert_eq!(told, expected, "HAVE: {have}");
    }
}

#[test]
fn haves_that_nobody_asked_for_give_away_a_few_wants_a_second() {
    const WANTS: u32 = 200;
    let mut d = Driver::peers(0..1);
    let s = d.session_with(SessionOptions::default());
    let cids: Vec<_> = (0..WANTS).map(cid).collect();
    d.want(s, &cids);
    assert_eq!(d.told().len(), WANTS as usize, "all of the one peer that there is");
    d.connect(1);
    d.told();
    for _ in 0..3 {
        for cid in &cids {
            d.have(1, *cid);
        }
        // Long before the only peer asked is late.
        let learnt = |d: &Driver| d.engine.wants_of(1).len();
        assert_eq!(learnt(&d), 0, "a request is under way, so the claims are only noted");
        d.pass(ms(5));
    }
    // The peer that was asked leaves: now the other is asked for what it may be known to have.
    let known = d.engine.peer(1).unwrap().fetched.haves;
    assert_eq!(known, 16, "of {WANTS} three times over");
    d.pass(ms(1000));
    d.told();
    d.have(1, cid(199));
    assert_eq!(d.engine.peer(1).unwrap().fetched.haves, 17, "in the next second some more");
}
