//! Blocks that no connected peer has.

use bitswap_core::error::OpenError;
use bitswap_core::{
    Event, PeerOutcome, PeerReport, ProtocolSupport, ProviderProgress, SessionOptions, StreamKind,
    Version, WantFailure, WhenMissing,
};

use crate::driver::{Driver, Sent, block, cid, ms};

fn failing() -> SessionOptions<u8> {
    SessionOptions { when_missing: WhenMissing::Fail, ..Default::default() }
}

#[test]
fn providers_are_looked_for_beside_the_first_question() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    assert_eq!(d.searches.len(), 1);
    assert_eq!(d.searches[0].1, cid(1));
    d.block(1, &block(1));
    assert_eq!(d.stopped, [d.searches[0].0], "nobody waits for it any more");
    d.want(s, &[cid(2)]);
    assert_eq!(d.searches.len(), 1, "the session is being served");
}

#[test]
fn a_provider_is_asked_for_the_block() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.take_sent();
    d.dont_have(1, cid(1));
    d.host.connect(2);
    d.found(d.searches[0].0, &[2], ProviderProgress::Partial);
    d.drain();
    assert_eq!(d.take_sent(), [(2, cid(1), Sent::WantBlock)]);
}

#[test]
fn when_all_lack_it_the_want_waits_or_fails_as_the_caller_chose() {
    for (options, fails) in [(SessionOptions::default(), false), (failing(), true)] {
        let mut d = Driver::peers(0..3);
        let s = d.session_with(options);
        d.want(s, &[cid(1)]);
        for peer in 0..3 {
            d.dont_have(peer, cid(1));
        }
        d.pass(ms(100));
        assert!(d.events().is_empty(), "the lookup is still under way");
        d.found(d.searches[0].0, &[], ProviderProgress::Final);
        d.drain();
        let events = d.events();
        assert_eq!(events.len(), usize::from(fails));
        if let [Event::Failed { reason: WantFailure::NotFound(reports), .. }] = &events[..] {
            for peer in 0..3 {
                assert!(reports.contains(&PeerReport { peer, outcome: PeerOutcome::DontHave }));
            }
        }
    }
}

#[test]
fn a_peer_that_is_silent_is_not_taken_for_one_that_lacks_the_block() {
    let mut d = Driver::peers([1]);
    let s = d.session_with(failing());
    d.want(s, &[cid(1)]);
    d.found(d.searches[0].0, &[], ProviderProgress::Final);
    d.drain();
    d.pass(ms(5_000));
    assert_eq!(d.engine().diagnose(s, &cid(1)).unwrap()[0].outcome, PeerOutcome::Silent);
    assert!(d.events().is_empty(), "it may be slow");
    d.dont_have(1, cid(1));
    let events = d.events();
    assert!(
        matches!(&events[..], [Event::Failed { reason: WantFailure::NotFound(_), .. }]),
        "{events:?}"
    );
}

#[test]
fn many_missing_wants_fail_one_lookup_at_a_time() {
    let mut d = Driver::peers([1]);
    let s = d.session_with(failing());
    let cids: Vec<_> = (0..20).map(cid).collect();
    d.want(s, &cids);
    for c in &cids {
        d.dont_have(1, *c);
    }
    let mut done = 0;
    while done < d.searches.len() {
        d.found(d.searches[done].0, &[], ProviderProgress::Final);
        d.drain();
        done += 1;
    }
    assert_eq!(d.events().len(), 20);
    assert_eq!(d.engine().stats().wants, 0);
}

#[test]
fn that_nobody_is_connected_is_no_answer() {
    let mut d = Driver::new();
    let s = d.session_with(failing());
    d.want(s, &[cid(1)]);
    finish_lookups(&mut d);
    wait(&mut d, 300);
    assert!(d.events().is_empty());
    d.connect(1);
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    d.dont_have(1, cid(1));
    finish_lookups(&mut d);
    assert_eq!(not_found(&mut d), [vec![PeerReport { peer: 1, outcome: PeerOutcome::DontHave }]]);
}

#[test]
fn a_peer_that_is_lost_has_answered_nothing() {
    let mut d = Driver::peers([1]);
    let s = d.session_with(failing());
    d.want(s, &[cid(1), cid(2)]);
    finish_lookups(&mut d);
    d.block(1, &block(1));
    d.disconnect(1);
    wait(&mut d, 300);
    let events = d.events();
    assert!(!events.iter().any(|event| matches!(event, Event::Failed { .. })), "{events:?}");
    d.take_sent();
    d.connect(1);
    assert_eq!(d.take_sent(), [(1, cid(2), Sent::WantBlock)]);
    d.dont_have(1, cid(2));
    assert_eq!(not_found(&mut d).len(), 1);
}

#[test]
fn silence_is_no_answer_of_who_could_say_that_it_lacks_the_block() {
    for (version, fails) in [(Version::V1_2, false), (Version::V1_1, true)] {
        let mut d = Driver::new();
        d.open_result = Ok(version);
        d.connect(1);
        let s = d.session_with(failing());
        d.want(s, &[cid(1)]);
        wait(&mut d, 300);
        assert_eq!(not_found(&mut d).len(), usize::from(fails), "{version:?}");
    }
}

#[test]
fn a_peer_that_cannot_be_sent_wants_for_now_has_answered_nothing() {
    let mut d = Driver::peers([1]);
    d.at_once.opens = false;
    let s = d.session_with(failing());
    d.want(s, &[cid(1)]);
    finish_lookups(&mut d);
    d.opened(1, StreamKind::Requests, Err(OpenError::Timeout));
    d.drain();
    assert_eq!(not_found(&mut d).len(), 0);
    let report = PeerReport { peer: 1, outcome: PeerOutcome::Unreachable };
    assert_eq!(d.engine().diagnose(s, &cid(1)).unwrap(), [report]);
    d.open_result = Ok(Version::V1_2);
    wait(&mut d, 60);
    d.dont_have(1, cid(1));
    assert_eq!(not_found(&mut d).len(), 1);
}

#[test]
fn a_peer_that_does_not_speak_bitswap_lacks_every_block_and_is_named() {
    for refuses in [false, true] {
        let mut d = Driver::peers([1]);
        d.at_once.opens = false;
        let s = d.session_with(failing());
        d.want(s, &[cid(1)]);
        if refuses {
            d.opened(1, StreamKind::Requests, Err(OpenError::Unsupported));
        } else {
            d.support(1, ProtocolSupport::No);
        }
        d.drain();
        finish_lookups(&mut d);
        let mute = PeerReport { peer: 1, outcome: PeerOutcome::NoBitswap };
        assert_eq!(not_found(&mut d), [vec![mute]], "{refuses}");
    }
}

/// Lets time pass, and lets lookups find nobody.
fn wait(d: &mut Driver, seconds: u64) {
    for _ in 0..seconds {
        finish_lookups(d);
        d.pass(ms(1_000));
    }
}

fn finish_lookups(d: &mut Driver) {
    let mut done = 0;
    while done < d.searches.len() {
        d.found(d.searches[done].0, &[], ProviderProgress::Final);
        d.drain();
        done += 1;
    }
}

/// What was said about each want that was found nowhere.
fn not_found(d: &mut Driver) -> Vec<Vec<PeerReport<u8>>> {
    let reports = |event| match event {
        Event::Failed { reason: WantFailure::NotFound(reports), .. } => Some(reports),
        _ => None,
    };
    d.events().into_iter().filter_map(reports).collect()
}

#[test]
fn a_stuck_session_looks_for_providers_again_with_growing_pauses() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1)]);
    d.dont_have(1, cid(1));
    assert_eq!(searches(&mut d, 5), [0, 10, 20, 40, 80]);
}

#[test]
fn a_new_peer_is_asked_for_what_is_waiting() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    d.want(s, &[cid(1), cid(2)]);
    d.dont_have(1, cid(1));
    d.dont_have(1, cid(2));
    d.take_sent();
    d.connect(2);
    let sent = d.take_sent();
    assert_eq!(Driver::receivers(&sent, cid(1), Sent::WantBlock), [2]);
    assert_eq!(Driver::receivers(&sent, cid(2), Sent::WantBlock), [2]);
}

/// The seconds at which a session looks for providers when nobody has its block.
fn searches(d: &mut Driver, count: usize) -> Vec<u64> {
    let mut times = vec![d.now.as_micros() / 1_000_000];
    while times.len() < count {
        let id = d.searches.last().unwrap().0;
        d.found(id, &[], ProviderProgress::Final);
        d.drain();
        let before = d.searches.len();
        while d.searches.len() == before {
            let next = d.engine().poll_timeout().unwrap();
            d.pass(next.since(d.now));
        }
        times.push(d.now.as_micros() / 1_000_000);
    }
    times
}

#[test]
fn pauses_between_searches_double_six_times_and_then_stay() {
    let mut d = Driver::new();
    let s = d.session();
    d.want(s, &[cid(1)]);
    let times = searches(&mut d, 11);
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [10, 10, 20, 40, 80, 160, 320, 640, 640, 640]);
}

#[test]
fn a_silent_peer_that_cannot_say_so_counts_as_lacking_the_block_after_three_searches() {
    let mut d = Driver::new();
    d.open_result = Ok(Version::V1_1);
    d.connect(1);
    let s = d.session_with(failing());
    d.want(s, &[cid(1)]);
    let mut lookups = 0;
    for step in 0.. {
        if !d.events().is_empty() {
            break;
        }
        assert!(step < 100, "the want does not end");
        if lookups < d.searches.len() {
            d.found(d.searches[lookups].0, &[], ProviderProgress::Final);
            d.drain();
            lookups += 1;
        } else {
            let next = d.engine().poll_timeout().expect("a live want has a timer");
            d.pass(next.since(d.now));
        }
    }
    // The searches at 10, 20 and 40 s; the third time it has its chance once more.
    let seconds = d.now.as_micros() / 1_000_000;
    assert!((40..50).contains(&seconds), "failed after {seconds} s");
}

#[test]
fn sixty_four_lookups_are_under_way_at_a_time() {
    let mut d = Driver::new();
    for n in 0..70 {
        let s = d.session();
        d.want(s, &[cid(n)]);
    }
    assert_eq!(d.searches.len(), 64);
}

#[test]
fn of_many_missing_wants_256_get_a_second_chance_at_a_time() {
    let mut d = Driver::peers([1]);
    let s = d.session();
    // They are small, so that nothing but the bound holds them back.
    let wants = (0..300).map(|n| bitswap_core::Want { size: Some(16), ..cid(n).into() });
    d.host.want(s, wants).unwrap();
    d.drain();
    let presences = |cids: &[cid::Cid]| {
        cids.iter().map(|cid| bitswap_core::Presence { cid: *cid, have: false }).collect::<Vec<_>>()
    };
    let mut sent = d.take_sent();
    while !sent.is_empty() {
        let asked: Vec<_> = sent.iter().map(|(_, cid, _)| *cid).collect();
        let presences = presences(&asked);
        d.message(1, bitswap_core::Message { presences, ..Default::default() });
        sent = d.take_sent();
    }
    let first_search = d.searches.len();
    d.found(d.searches[0].0, &[], ProviderProgress::Final);
    d.drain();
    assert!(d.take_sent().is_empty());
    while d.searches.len() == first_search {
        let next = d.engine().poll_timeout().unwrap();
        d.pass(next.since(d.now));
    }
    let again = d.take_sent().iter().filter(|(_, _, what)| *what == Sent::WantBlock).count();
    assert_eq!(again, 256);
}
