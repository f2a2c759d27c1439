//! Sessions that ask some peers first, and others for what these fail to deliver.

use bitswap_core::error::OpenError;
use bitswap_core::{
    Config, Event, PeerSet, ProviderProgress, SessionOptions, StreamKind, Version, WantFailure,
    WhenMissing,
};
use cid::Cid;

use crate::driver::{Driver, Peer, Sent, block, cid, ms, sized};

/// The first deadline of a peer that never delivered: a second, and a leaf at the speed that is assumed of it.
const DEADLINE: u64 = 1000 + 125;

/// What the peers but those of `preferred` were sent.
fn others(sent: &[(Peer, Cid, Sent)], preferred: &[Peer]) -> Vec<(Peer, Cid, Sent)> {
    sent.iter().filter(|(peer, ..)| !preferred.contains(peer)).copied().collect()
}

#[test]
fn the_preferred_are_asked_first_and_alone() {
    let mut d = Driver::peers(0..10);
    let s = d.prefer(&[3, 7]);
    d.want(s, &[cid(1)]);
    let mut sent = d.take_sent();
    sent.sort_unstable_by_key(|(.., what)| *what);
    let first = sent[0].0;
    let second = 10 - first;
    assert_eq!(sent, [(first, cid(1), Sent::WantBlock), (second, cid(1), Sent::WantHave)]);
    // That another has it, and would be sooner, is no reason to ask it.
    d.have(5, cid(1));
    d.pass(ms(DEADLINE - 1));
    assert_eq!((d.take_sent(), d.searches.len()), (vec![], 0));
    d.block(first, &block(1));
    assert_eq!(d.take_sent(), [], "the cancel waits for others to go with");
    assert_eq!(d.events().len(), 1);
    // The quickest peer of another session is no first choice here.
    let other = d.only(&[5]);
    d.want(other, &[cid(2)]);
    d.block(5, &block(2));
    d.take_sent();
    d.want(s, &(3..40).map(cid).collect::<Vec<_>>());
    assert_eq!(others(&d.take_sent(), &[3, 7]), []);
}

#[test]
fn others_are_asked_at_once_when_all_preferred_lack_the_block_and_for_that_want_alone() {
    let mut d = Driver::peers(0..5);
    let s = d.prefer(&[1, 2]);
    d.want(s, &[cid(1), cid(2)]);
    d.take_sent();
    d.dont_have(1, cid(1));
    assert_eq!(others(&d.take_sent(), &[1, 2]), [], "the other one may have it");
    d.dont_have(2, cid(1));
    let sent = d.take_sent();
    assert_eq!(Driver::receivers(&sent, cid(1), Sent::WantBlock).len(), 1);
    assert_eq!(Driver::receivers(&sent, cid(1), Sent::WantHave).len(), 2);
    assert!(sent.iter().all(|(peer, of, _)| ![1, 2].contains(peer) && *of == cid(1)), "{sent:?}");
    assert_eq!(d.searches.iter().map(|(_, of)| *of).collect::<Vec<_>>(), [cid(1)]);
    let other = Driver::receivers(&sent, cid(1), Sent::WantBlock)[0];
    d.block(other, &block(1));
    // Now that another has delivered, what comes next is asked of the preferred again.
    d.want(s, &[cid(3)]);
    d.pass(ms(20));
    let sent = d.take_sent();
    assert_eq!(others(&sent, &[1, 2]).iter().filter(|(.., what)| *what != Sent::Cancel).count(), 0);
    assert_eq!(Driver::receivers(&sent, cid(3), Sent::WantBlock).len(), 1);
    d.dont_have(1, cid(3));
    d.dont_have(2, cid(3));
    assert_eq!(
        Driver::receivers(&others(&d.take_sent(), &[1, 2]), cid(3), Sent::WantBlock).len(),
        1
    );
    assert_eq!(d.searches.len(), 1, "the session is being served");
}

#[test]
fn others_are_asked_after_one_deadline_when_the_preferred_are_silent() {
    let mut d = Driver::peers(0..2);
    let s = d.prefer(&[1]);
    d.want(s, &[cid(1), cid(2)]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock), (1, cid(2), Sent::WantBlock)]);
    d.pass(ms(DEADLINE - 1));
    assert_eq!((d.take_sent(), d.searches.len()), (vec![], 0));
    d.pass(ms(2));
    assert_eq!(d.take_sent(), [(0, cid(1), Sent::WantBlock)]);
    assert_eq!(d.searches.len(), 1);
    // Nothing else waits for it.
    d.want(s, &[cid(3)]);
    assert_eq!(d.take_sent(), [(0, cid(3), Sent::WantBlock), (1, cid(3), Sent::WantHave)]);
    d.pass(ms(125));
    assert_eq!(d.take_sent(), [(0, cid(2), Sent::WantBlock)]);
    // What it brings late counts, and it comes first again.
    d.block(1, &block(1));
    let from = |event: &Event<Peer>| matches!(event, Event::Block { from: Some(1), .. });
    assert!(d.events().iter().all(from));
    d.want(s, &[cid(4)]);
    d.pass(ms(20));
    let sent = d.take_sent();
    assert_eq!(Driver::receivers(&sent, cid(4), Sent::WantBlock), [1]);
}

#[test]
fn others_are_asked_at_once_when_a_preferred_peer_leaves_or_cannot_be_reached() {
    let mut d = Driver::peers(0..2);
    let s = d.prefer(&[1]);
    d.want(s, &[cid(1)]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    d.pass(ms(1000));
    d.disconnect(1);
    assert_eq!(d.take_sent(), [(0, cid(1), Sent::WantBlock)]);

    let mut d = Driver::peers([0]);
    d.host.at_once.opens = false;
    d.connect(1);
    let s = d.prefer(&[1]);
    d.want(s, &[cid(1)]);
    assert_eq!(d.take_sent(), []);
    d.host.at_once.opens = true;
    d.opened(1, StreamKind::Requests, Err(OpenError::Unsupported));
    d.drain();
    assert_eq!(d.take_sent(), [(0, cid(1), Sent::WantBlock)]);
}

#[test]
fn preferred_peers_have_until_a_deadline_after_the_opening_of_the_session_to_connect() {
    let mut d = Driver::peers([0]);
    let s = d.prefer(&[1, 2]);
    d.pass(ms(400));
    d.want(s, &[cid(1), cid(2)]);
    d.pass(ms(599));
    assert_eq!((d.take_sent(), d.searches.len()), (vec![], 0));
    d.pass(ms(1));
    assert_eq!(d.take_sent(), [(0, cid(1), Sent::WantBlock), (0, cid(2), Sent::WantBlock)]);
    assert_eq!(d.searches.len(), 1);
    // A preferred peer that comes later is first for what comes later.
    d.connect(2);
    d.want(s, &[cid(3)]);
    assert_eq!(d.take_sent(), [(2, cid(3), Sent::WantBlock)]);

    // That one lacks the block is not the end while another may come.
    let mut d = Driver::peers([0, 1]);
    let s = d.prefer(&[1, 2]);
    d.want(s, &[cid(1)]);
    d.take_sent();
    d.dont_have(1, cid(1));
    d.pass(ms(500));
    assert_eq!(d.take_sent(), []);
    d.connect(2);
    assert_eq!(d.take_sent(), [(2, cid(1), Sent::WantBlock)]);
    d.dont_have(2, cid(1));
    assert_eq!(d.take_sent(), [(0, cid(1), Sent::WantBlock)]);

    // Nor is a search that is due meanwhile a reason to look for others.
    let mut d = Driver::with(Config::default().with_search_interval(ms(100)).unwrap());
    d.connect(0);
    let s = d.prefer(&[1]);
    d.want(s, &[cid(1)]);
    d.pass(ms(999));
    assert_eq!((d.take_sent(), d.searches.len()), (vec![], 0));
}

#[test]
fn nobody_is_waited_for_by_a_session_that_prefers_nobody_or_was_opened_long_ago() {
    let mut d = Driver::peers([0]);
    let nobody = d.prefer(&[]);
    d.want(nobody, &[cid(1)]);
    assert_eq!(d.take_sent(), [(0, cid(1), Sent::WantBlock)]);
    d.connect(5);
    let twice = d.prefer(&[5, 5]);
    d.want(twice, &[cid(3)]);
    d.take_sent();
    d.dont_have(5, cid(3));
    assert_eq!(d.take_sent(), [(0, cid(3), Sent::WantBlock)]);
    let gone = d.prefer(&[1]);
    d.pass(ms(1000));
    d.want(gone, &[cid(2)]);
    assert_eq!(Driver::receivers(&d.take_sent(), cid(2), Sent::WantBlock).len(), 1);
}

#[test]
fn a_preferred_peer_that_delivers_slowly_keeps_its_wants_at_the_end() {
    // The other one delivers what the preferred one lacks, a hundred times as quick.
    let mut d = Driver::peers(0..2);
    let s = d.prefer(&[1]);
    let size = 64 << 10;
    let numbered = |n: u32| *sized(n, size).cid();
    d.want(s, &(0..20).map(numbered).collect::<Vec<_>>());
    for n in 0..5 {
        d.dont_have(1, numbered(n));
    }
    for n in 0..5 {
        d.pass(ms(1));
        d.block(0, &sized(n, size));
    }
    d.take_sent();
    for n in 5..20 {
        d.pass(ms(300));
        d.block(1, &sized(n, size));
        let others = others(&d.take_sent(), &[1]);
        assert!(others.iter().all(|(.., what)| *what == Sent::Cancel), "{others:?}");
    }
    assert_eq!(d.engine().stats().wants, 0);
}

#[test]
fn a_silent_preferred_peer_is_relieved_by_others_at_the_end() {
    let mut d = Driver::peers(0..2);
    let s = d.prefer(&[1]);
    let size = 64 << 10;
    let numbered = |n: u32| *sized(n, size).cid();
    d.want(s, &(0..10).map(numbered).collect::<Vec<_>>());
    d.take_sent();
    // The other one delivers something, so that it is known to.
    d.dont_have(1, numbered(0));
    d.pass(ms(10));
    d.block(0, &sized(0, size));
    d.take_sent();
    d.pass(ms(DEADLINE - 11));
    assert_eq!(others(&d.take_sent(), &[1]), []);
    // The deadline of the first: all that the peer was asked for goes to the other one, not that alone.
    d.pass(ms(125));
    let sent = d.take_sent();
    let asked: Vec<Cid> = others(&sent, &[1]).iter().map(|(_, of, _)| *of).collect();
    assert_eq!(asked.len(), 9, "{sent:?}");
}

#[test]
fn what_the_preferred_lack_is_not_missing_before_others_were_asked() {
    let mut d = Driver::peers(0..2);
    let options = SessionOptions {
        peers: PeerSet::Prefer(vec![1, 2]),
        when_missing: WhenMissing::Fail,
        find_providers: false,
        ..Default::default()
    };
    let s = d.session_with(options);
    d.want(s, &[cid(1)]);
    d.dont_have(1, cid(1));
    d.pass(ms(999));
    assert!(d.events().is_empty(), "a preferred peer may still come");
    d.pass(ms(1));
    assert_eq!(Driver::receivers(&d.take_sent(), cid(1), Sent::WantBlock), [1, 0]);
    assert!(d.events().is_empty());
    d.dont_have(0, cid(1));
    let events = d.events();
    let missing = |event: &Event<Peer>| {
        matches!(event, Event::Failed { reason: WantFailure::NotFound(_), .. })
    };
    assert!(events.len() == 1 && missing(&events[0]), "{events:?}");
}

#[test]
fn providers_of_what_the_preferred_lack_are_asked_and_looked_for_again() {
    let mut d = Driver::peers([1]);
    let s = d.prefer(&[1]);
    d.want(s, &[cid(1), cid(2)]);
    d.dont_have(1, cid(1));
    assert_eq!(d.searches.len(), 1);
    let (lookup, of) = d.searches[0];
    assert_eq!(of, cid(1));
    d.host.connect(5);
    d.found(lookup, &[5], ProviderProgress::Final);
    d.take_sent();
    d.drain();
    assert_eq!(d.take_sent(), [(5, cid(1), Sent::WantBlock)]);
    d.dont_have(5, cid(1));
    // The block of the other want is no end of this one.
    d.pass(ms(500));
    d.block(1, &block(2));
    // A search interval after the time that preferred peers have to connect.
    d.searches.clear();
    d.pass(ms(500 + 9_999));
    assert_eq!(d.searches, []);
    d.pass(ms(1));
    assert_eq!(d.searches.iter().map(|(_, of)| *of).collect::<Vec<_>>(), [cid(1)]);
}

#[test]
fn a_preferred_peer_of_an_old_version_is_asked_before_others_that_served() {
    let mut d = Driver::peers([0]);
    d.open_result = Ok(Version::V1_0);
    d.connect(1);
    let s = d.prefer(&[1]);
    d.want(s, &[cid(1)]);
    d.pass(ms(DEADLINE + 1));
    d.block(0, &block(1));
    // The old one was silent, so it is not waited for; once it delivers it comes first again.
    d.want(s, &[cid(2)]);
    d.take_sent();
    d.block(1, &block(2));
    d.want(s, &[cid(3)]);
    d.pass(ms(20));
    assert_eq!(Driver::receivers(&d.take_sent(), cid(3), Sent::WantBlock), [1]);
}

#[test]
fn what_a_slow_preferred_peer_is_asked_for_is_not_moved_by_another_session() {
    let mut d = Driver::peers(0..2);
    let (preferring, any) = (d.prefer(&[1]), d.session());
    let size = 64 << 10;
    let numbered = |n: u32| *sized(n, size).cid();
    let kept: Vec<Cid> = (0..10).map(numbered).collect();
    d.want(preferring, &kept);
    d.want(any, &kept);
    d.want(any, &(20..30).map(numbered).collect::<Vec<_>>());
    for (peer, of, what) in d.take_sent() {
        let quick = (20..30).find(|n| numbered(*n) == of).filter(|_| what == Sent::WantBlock);
        if let Some(quick) = quick {
            d.pass(ms(1));
            d.block(peer, &sized(quick, size));
        }
    }
    d.pass(ms(500));
    d.block(1, &sized(0, size));
    d.pass(ms(10));
    let sent = d.take_sent();
    let moved = others(&sent, &[1]).iter().filter(|(_, of, _)| kept.contains(of)).count();
    assert_eq!(moved, 0, "{sent:?}");
}

#[test]
fn another_session_keeps_asking_whom_it_likes() {
    let mut d = Driver::peers(0..2);
    let first = d.prefer(&[1]);
    d.want(first, &[cid(1)]);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    let any = d.session();
    d.want(any, &[cid(1), cid(2)]);
    d.pass(ms(DEADLINE));
    d.take_sent();
    d.block(1, &block(1));
    assert_eq!(d.events().len(), 2);
}
