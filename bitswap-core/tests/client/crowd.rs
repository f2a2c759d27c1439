//! Peers that fetch the same at the same time.

use std::collections::BTreeSet;

use bitswap_core::message::{Entry, Message, Wantlist};
use bitswap_core::{Config, PeerOutcome, WantKind};
use cid::Cid;

use crate::driver::{Driver, Peer, Sent, block, cid, ms};

/// An engine with these peers, which serves nobody: what the server says is not looked at here.
fn fetching(peers: &[Peer]) -> Driver {
    let mut d = Driver::with(Config::default().with_serve(false));
    peers.iter().for_each(|peer| d.connect(*peer));
    d
}

/// A peer wants these blocks of us.
fn wants(d: &mut Driver, peer: Peer, cids: &[Cid]) {
    let entries = cids.iter().map(|cid| Entry::want(*cid, WantKind::Have, 1, false)).collect();
    let wantlist = Wantlist { entries, full: false };
    d.message(peer, Message { wantlist, ..Message::default() });
}

/// A peer wants these blocks of us no more.
fn cancels(d: &mut Driver, peer: Peer, cids: &[Cid]) {
    let entries = cids.iter().map(|cid| Entry::cancel(*cid)).collect();
    let wantlist = Wantlist { entries, full: false };
    d.message(peer, Message { wantlist, ..Message::default() });
}

/// The CIDs that a peer was sent something about.
fn about(sent: &[(Peer, Cid, Sent)], peer: Peer, what: Sent) -> BTreeSet<Cid> {
    sent.iter().filter(|(to, _, how)| *to == peer && *how == what).map(|(_, cid, _)| *cid).collect()
}

/// One source that is asked for all that it is asked for at once, of 200 blocks.
fn asked_of_one() -> (Driver, Vec<Cid>, BTreeSet<Cid>) {
    let mut d = fetching(&[0]);
    let s = d.session();
    let cids: Vec<Cid> = (0..200).map(cid).collect();
    d.want(s, &cids);
    let asked = about(&d.take_sent(), 0, Sent::WantBlock);
    assert_eq!(asked.len(), 64, "a MiB, as far as is known");
    (d, cids, asked)
}

#[test]
fn a_peer_that_wants_the_same_is_asked_for_it_once_it_says_have() {
    let mut d = fetching(&[0]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.connect(1);
    wants(&mut d, 1, &[cid(1), cid(2)]);
    d.take_sent();
    d.dont_have(0, cid(1));
    d.pass(ms(300));
    assert_eq!(about(&d.take_sent(), 1, Sent::WantBlock), BTreeSet::new(), "it lacks the block");
    let reports = d.engine().diagnose(s, &cid(1)).unwrap();
    assert!(reports.iter().all(|report| report.outcome == PeerOutcome::DontHave), "{reports:?}");
    d.have(1, cid(1));
    assert_eq!(about(&d.take_sent(), 1, Sent::WantBlock), BTreeSet::from([cid(1)]));
}

#[test]
fn what_a_peer_wants_no_more_it_may_have() {
    // It comes when the want is asked of another, and says first that it wants the same: it is told nothing.
    let mut d = fetching(&[0]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.connect(1);
    wants(&mut d, 1, &[cid(1)]);
    assert_eq!(Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock), [0]);
    d.dont_have(0, cid(1));
    d.pass(ms(300));
    assert_eq!(Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock), [], "both lack it");
    cancels(&mut d, 1, &[cid(2), cid(1)]);
    assert_eq!(Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock), [1]);
    cancels(&mut d, 1, &[cid(1)]);
    assert_eq!(d.take_sent(), [], "it was asked, and answers");
}

#[test]
fn a_crowd_is_two_others_and_its_source_is_asked_for_less() {
    let (mut d, cids, asked) = asked_of_one();
    for peer in [1, 2] {
        d.connect(peer);
    }
    wants(&mut d, 1, &cids);
    d.pass(ms(60));
    let sent = d.take_sent();
    assert!(sent.iter().all(|(_, _, what)| *what != Sent::Cancel), "one alone may only say so");
    wants(&mut d, 2, &cids);
    d.pass(ms(60));
    let sent = d.take_sent();
    let taken_back = about(&sent, 0, Sent::Cancel);
    assert!(taken_back.is_subset(&asked) && (40..64).contains(&taken_back.len()), "{taken_back:?}");
    assert_eq!(about(&sent, 1, Sent::WantBlock), BTreeSet::new());
}

#[test]
fn in_a_crowd_others_are_told_of_the_next_wants_and_asked_for_those_that_they_have() {
    let (mut d, cids, _) = asked_of_one();
    for peer in [1, 2] {
        d.connect(peer);
        let asked = about(&d.take_sent(), peer, Sent::WantBlock);
        wants(&mut d, peer, &cids);
        asked.iter().for_each(|cid| d.dont_have(peer, *cid));
    }
    d.pass(ms(300));
    let sent = d.take_sent();
    let (one, other) = (about(&sent, 1, Sent::WantHave), about(&sent, 2, Sent::WantHave));
    // Of 16 wants, what is charged for a block of unknown size being 16 KiB, both are told.
    assert_eq!((other.len(), other.is_subset(&one)), (16, true));
    let theirs = (0..200).find(|n| other.contains(&cid(*n))).unwrap();
    d.have(2, cid(theirs));
    assert_eq!(about(&d.take_sent(), 2, Sent::WantBlock), BTreeSet::from([cid(theirs)]));
    d.block(2, &block(theirs));
    assert_eq!(d.engine().stats().fetched.blocks, 1);
}

#[test]
fn in_a_crowd_who_lacks_a_block_that_it_was_asked_for_is_to_forget_it() {
    for (leeches, forgets) in [(&[1][..], false), (&[1, 2], true)] {
        let mut d = fetching(&[0, 1, 2]);
        let s = d.session();
        let cids: Vec<Cid> = (0..9).map(cid).collect();
        d.want(s, &cids);
        let of_one = about(&d.take_sent(), 1, Sent::WantBlock);
        for peer in leeches {
            wants(&mut d, *peer, &cids);
        }
        of_one.iter().for_each(|cid| d.dont_have(1, *cid));
        // What has nothing to send may wait for others to be told with.
        d.pass(ms(300));
        let sent = d.take_sent();
        let cancelled = about(&sent, 1, Sent::Cancel);
        assert!(!of_one.is_empty());
        assert_eq!(cancelled, if forgets { of_one } else { BTreeSet::new() });
        // The others lack it as well: nobody is asked twice.
        for peer in [0, 2] {
            cids.iter().for_each(|cid| d.dont_have(peer, *cid));
        }
        d.pass(ms(300));
        assert_eq!(&about(&d.take_sent(), 1, Sent::WantBlock) & &cancelled, BTreeSet::new());
    }
}
