use super::*;

/// Two ids, the lower first.
fn ids() -> (PeerId, PeerId) {
    let (a, b) = (PeerId::random(), PeerId::random());
    if a < b { (a, b) } else { (b, a) }
}

fn address(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

const GRACE: Duration = Duration::from_secs(30);

fn dialer_of(me: PeerId) -> Dialer {
    Dialer::new(me, GRACE)
}

fn dial(peer: PeerId, ports: &[u16]) -> Option<Dials> {
    let addresses = ports.iter().map(|port| address(*port)).collect();
    Some(Dials { peer, addresses, anonymous: Vec::new() })
}

fn named(peer: PeerId, port: u16) -> Multiaddr {
    address(port).with(Protocol::P2p(peer))
}

#[test]
fn a_peer_found_twice_on_several_addresses_is_dialled_once_with_all_of_them() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    for port in [1, 2, 1] {
        dialer.found(peer, address(port), false, at(0));
    }
    assert_eq!(dialer.poll(at(0)), dial(peer, &[1, 2]));
    dialer.found(peer, address(3), false, at(1));
    assert_eq!(dialer.poll(at(u64::MAX / 1000)), None);
}

#[test]
fn oneself_is_never_dialled() {
    let (me, _) = ids();
    let mut dialer = dialer_of(me);
    dialer.found(me, address(1), false, at(0));
    dialer.named(me, address(1), false, at(0));
    assert_eq!(dialer.poll_timeout(), None);
}

#[test]
fn of_two_that_find_each_other_the_higher_waits_and_does_not_dial_when_the_lower_did() {
    let (low, high) = ids();
    let mut dialer = dialer_of(high);
    dialer.found(low, address(1), false, at(0));
    assert_eq!(dialer.poll(at(499)), None);
    assert_eq!(dialer.poll_timeout(), Some(at(500)));
    dialer.connected(low, at(499));
    assert_eq!(dialer.poll_timeout(), None);
    // The lower one never came: the higher dials.
    let mut dialer = dialer_of(high);
    dialer.found(low, address(1), false, at(0));
    assert_eq!(dialer.poll(at(500)), dial(low, &[1]));
}

#[test]
fn failures_double_the_pause_up_to_five_minutes() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.found(peer, address(1), false, at(0));
    let mut now = at(0);
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert!(dialer.poll(now).is_some());
        dialer.failed(peer, &"refused".into(), now);
        let next = now + Duration::from_secs(seconds);
        assert_eq!(dialer.poll_timeout(), Some(next));
        now = next;
    }
}

#[test]
fn a_connection_that_lasted_starts_the_pauses_anew_and_one_that_broke_soon_does_not() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.found(peer, address(1), false, at(0));
    for (opened, closed, next) in [(0, 10, 1_010), (2_000, 3_000, 5_000), (6_000, 36_000, 37_000)] {
        dialer.poll(at(opened));
        dialer.connected(peer, at(opened));
        dialer.disconnected(peer, at(closed));
        assert_eq!(dialer.poll_timeout(), Some(at(next)));
    }
}

#[test]
fn a_peer_that_discovery_forgot_is_not_dialled_again_unless_the_user_named_it() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.found(peer, address(1), true, at(0));
    dialer.expired(peer, &address(1));
    dialer.disconnected(peer, at(60_000));
    assert_eq!(dialer.poll_timeout(), None);

    dialer.named(peer, address(2), true, at(60_000));
    dialer.expired(peer, &address(2));
    dialer.disconnected(peer, at(120_000));
    assert_eq!(dialer.poll_timeout(), Some(at(121_000)));
}

#[test]
fn a_named_peer_that_is_lost_is_expected_for_the_grace_and_dialled_every_five_seconds() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.named(peer, named(peer, 1), true, at(0));
    dialer.disconnected(peer, at(60_000));
    assert!(dialer.expects());
    let mut dials = Vec::new();
    while dialer.expects() {
        let now = dialer.poll_timeout().unwrap();
        while dialer.poll(now).is_some() {
            dials.push(now.since(at(60_000)).as_secs());
            dialer.failed(peer, &"refused".into(), now);
        }
        dialer.end_graces(now);
        if !dialer.expects() {
            assert_eq!(now, at(90_000));
        }
    }
    assert_eq!(dials, [1, 2, 4, 8, 13, 18, 23, 28]);
    let reason = Some("refused".into());
    assert_eq!(dialer.lost(at(90_000)), [LostPeer { peer, ago: GRACE, reason }]);
    // It is dialled on, and no loss any more once it is back.
    assert!(dialer.poll_timeout().is_some());
    dialer.connected(peer, at(100_000));
    assert!(dialer.lost(at(100_000)).is_empty());
}

#[test]
fn a_grace_that_passed_while_the_process_was_stopped_ends_after_one_more_dial() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.named(peer, named(peer, 1), true, at(0));
    dialer.disconnected(peer, at(60_000));
    let late = at(600_000);
    assert!(dialer.poll(late).is_some());
    dialer.end_graces(late);
    assert!(dialer.expects());
    assert_eq!(dialer.poll_timeout(), None, "the dial's end is waited for");
    dialer.failed(peer, &"refused".into(), late);
    dialer.end_graces(late);
    assert!(!dialer.expects());
}

#[test]
fn nobody_is_expected_back_whom_the_user_did_not_name() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.found(peer, address(1), true, at(0));
    dialer.disconnected(peer, at(60_000));
    assert!(!dialer.expects() && dialer.lost(at(60_000)).is_empty());
}

#[test]
fn whoever_is_at_an_address_without_an_id_is_meant() {
    let (me, peer) = ids();
    let other = PeerId::random();
    let mut dialer = dialer_of(me);
    dialer.named(peer, address(1), true, at(0));
    dialer.named(peer, named(peer, 2), true, at(0));
    dialer.disconnected(peer, at(60_000));
    let (addresses, anonymous) = (vec![named(peer, 2)], vec![address(1)]);
    assert_eq!(dialer.poll(at(61_000)), Some(Dials { peer, addresses, anonymous }));
    // One of two dials failed.
    dialer.failed(peer, &"refused".into(), at(61_000));
    assert!(dialer.poll(at(120_000)).is_none());
    dialer.moved(peer, &address(1), at(61_000));
    assert_eq!(dialer.poll_timeout(), Some(at(62_000)), "at the address with its id");
    dialer.named(other, address(1), true, at(61_000));
    dialer.connected(other, at(61_000));
    dialer.disconnected(other, at(121_000));
    let addresses = vec![named(peer, 2)];
    assert_eq!(dialer.poll(at(122_000)), Some(Dials { peer, addresses, anonymous: vec![] }));
    let again = Dials { peer: other, addresses: vec![], anonymous: vec![address(1)] };
    assert_eq!(dialer.poll(at(122_000)), Some(again));
}

#[test]
fn a_peer_that_another_one_replaced_is_expected_no_more() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    dialer.named(peer, address(1), true, at(0));
    dialer.disconnected(peer, at(60_000));
    dialer.poll(at(61_000)).unwrap();
    dialer.moved(peer, &address(1), at(61_000));
    assert!(!dialer.expects() && dialer.poll_timeout().is_none());
}

#[test]
fn more_peers_and_addresses_than_the_bounds_are_dropped() {
    let (me, peer) = ids();
    let mut dialer = dialer_of(me);
    for port in 0..100 {
        dialer.found(peer, address(port), false, at(0));
    }
    for _ in 0..2 * PEERS_MAX {
        dialer.found(PeerId::random(), address(1), false, at(0));
    }
    assert_eq!(dialer.peers.len(), PEERS_MAX);
    assert_eq!(dialer.peers[&peer].addresses.len(), ADDRESSES_MAX);
}

#[test]
fn a_host_that_announces_peers_without_end_gives_way_to_others_and_to_the_user() {
    let (me, _) = ids();
    let mut dialer = dialer_of(me);
    for port in 0..2000 {
        dialer.found(PeerId::random(), address(port), false, at(0));
    }
    let (other, named) = (PeerId::random(), PeerId::random());
    dialer.found(other, "/ip4/192.0.2.1/tcp/1".parse().unwrap(), false, at(0));
    dialer.named(named, address(1), false, at(0));
    for port in 0..2000 {
        dialer.found(PeerId::random(), address(port), false, at(0));
    }
    assert_eq!((dialer.peers.len(), dialer.due.len()), (PEERS_MAX, PEERS_MAX));
    assert!(dialer.peers.contains_key(&other) && dialer.peers.contains_key(&named));
}
