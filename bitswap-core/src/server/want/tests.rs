use super::*;
use crate::server::samples::{cid, key, peer, want_block, want_have_or};

const NOW: Timestamp = Timestamp::from_micros(9);
const SMALL: Option<u32> = Some(100);

fn want(entry: &Entry) -> Want {
    Want::new(peer(0), key(1), entry, 1, SMALL)
}

/// A want for the same CID in each state, by the shortest way there.
fn in_all_states(entry: &Entry) -> [Want; 9] {
    let loading = || {
        let mut want = want(entry);
        want.lookup_started(LoadKind::Data);
        want
    };
    let loaded = || {
        let mut want = loading();
        (want.kind, want.state) = (entry.kind, State::Loaded);
        want
    };
    let presence = |have| Want { state: State::Presence { have }, ..want(entry) };
    let sent = |mut want: Want, response| {
        want.sent(response, 7);
        want
    };
    let mut unavailable = want(entry);
    unavailable.cannot_be_sent();
    let mut unconfirmed = sent(presence(true), Response::Have);
    unconfirmed.transport_took(Response::Have, NOW);
    [
        unavailable,
        want(entry),
        loading(),
        presence(true),
        presence(false),
        loaded(),
        sent(loaded(), Response::Block(5)),
        sent(presence(true), Response::Have),
        unconfirmed,
    ]
}

const QUEUED: State = State::Queued(LoadKind::Data);

#[test]
fn a_want_that_is_sent_again_is_answered_again_unless_its_block_is_on_its_way() {
    let after = in_all_states(&want_block(1, 0)).map(|mut want| {
        want.repeated(&want_block(1, 3), SMALL);
        assert_eq!(want.priority, 3);
        want.state
    });
    let expected = [
        QUEUED,
        QUEUED,
        State::Loading(LoadKind::Data),
        QUEUED,
        State::Presence { have: false },
        State::Loaded,
        State::InFlight(Response::Block(5), 7),
        QUEUED,
        State::Unconfirmed(NOW),
    ];
    assert_eq!(after, expected);
}

#[test]
fn the_stronger_kind_of_two_wants_counts() {
    let mut want = want(&want_have_or(1, 0));
    want.repeated(&want_block(1, 0), SMALL);
    assert_eq!((want.kind, want.send_dont_have), (WantKind::Block, true));
    assert!(want.exceeds(&want_have_or(1, 0)) && want.exceeds(&want_block(1, 0)));
    want.repeated(&want_have_or(1, 0), SMALL);
    assert_eq!(want.kind, WantKind::Block);
}

#[test]
fn a_stored_block_makes_only_absence_out_of_date() {
    let after = in_all_states(&want_block(1, 0)).map(|mut want| {
        let changed = want.block_stored(50, SMALL);
        assert_eq!(changed, want.size.is_some() || want.stored_meanwhile);
        changed.then_some(want.state)
    });
    let (queued, loading) = (Some(QUEUED), Some(State::Loading(LoadKind::Data)));
    let expected = [queued, queued, loading, None, queued, None, None, None, None];
    assert_eq!(after, expected);
    let mut unservable = Want::unservable(peer(0), key(1), &want_have_or(1, 0), 1);
    assert!(!unservable.block_stored(50, SMALL));
}

#[test]
fn absence_is_looked_up_again_when_the_block_was_stored_meanwhile() {
    let mut want = want(&want_have_or(1, 0));
    want.lookup_started(LoadKind::Size);
    want.block_stored(500, SMALL);
    want.not_found(SMALL);
    assert_eq!(want.state, State::Queued(LoadKind::Size));
    want.lookup_started(LoadKind::Size);
    want.not_found(SMALL);
    assert_eq!(want.state, State::Presence { have: false }, "once");
}

#[test]
fn a_want_have_gets_the_block_when_it_is_small() {
    for (size, state) in [(100, QUEUED), (101, State::Presence { have: true })] {
        let mut want = want(&want_have_or(1, 0));
        assert_eq!(want.state, State::Queued(LoadKind::Size));
        want.lookup_started(LoadKind::Size);
        want.size_found(size, SMALL);
        assert_eq!(want.state, state);
    }
    for (size, keep, state) in [
        (100, true, State::Loaded),
        (100, false, QUEUED),
        (101, true, State::Presence { have: true }),
    ] {
        let mut want = want(&want_have_or(1, 0));
        want.lookup_started(LoadKind::Data);
        want.block_found(size, keep, SMALL);
        assert_eq!(want.state, state);
    }
}

#[test]
fn a_dont_have_is_owed_once_and_again_when_it_was_lost() {
    let mut want = want(&want_have_or(1, 0));
    let deny = |want: &mut Want, seq| {
        want.lookup_started(LoadKind::Size);
        want.not_found(SMALL);
        assert_eq!(want.state, State::Presence { have: false });
        want.sent(Response::DontHave, seq);
    };
    deny(&mut want, 1);
    want.send_failed(Response::DontHave, 1, SMALL);
    deny(&mut want, 2);
    want.transport_took(Response::DontHave, NOW);
    assert_eq!((want.state, want.dont_have_owed), (State::Unavailable, false));
    want.block_stored(500, SMALL);
    want.lookup_started(LoadKind::Size);
    want.not_found(SMALL);
    assert_eq!(want.state, State::Unavailable, "it was told already");
    // The message before that one fails late: it is to be told again.
    want.send_failed(Response::DontHave, 1, SMALL);
    assert_eq!((want.state, want.dont_have_owed), (State::Queued(LoadKind::Size), true));
}

#[test]
fn an_unservable_want_is_never_looked_up() {
    let mut want = Want::unservable(peer(0), key(1), &want_have_or(1, 0), 1);
    want.sent(Response::DontHave, 1);
    want.send_failed(Response::DontHave, 1, SMALL);
    assert_eq!(want.state, State::Presence { have: false });
    want.validate().unwrap();
    want.state = QUEUED;
    assert!(want.validate().is_err());
}

#[test]
fn what_no_store_can_have_cannot_be_served() {
    assert!(can_be_served(&cid(1)));
    let identity = cid::multihash::Multihash::wrap(0, &[1; 8]).unwrap();
    assert!(!can_be_served(&Cid::new_v1(0x55, identity)));
}
