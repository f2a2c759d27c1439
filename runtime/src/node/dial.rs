//! Whom to dial, and when: a machine without sockets or clock.
//!
//! It learns addresses from discovery and from the user, and asks for at most one dial per peer at
//! a time, with all its addresses. Two nodes that discover each other would both dial; so the one
//! with the higher id waits half a second for the other first. A dial that fails, and a connection that
//! breaks soon, double the pause before the next: from one second to five minutes.
//!
//! Bounds: [`PEERS_MAX`] peers with [`ADDRESSES_MAX`] addresses each. Discovery is open to everybody on
//! the local network: when there is no room, the host with the most peers gives way to the others, and
//! whoever was found to those that the user named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bitswap_core::Timestamp;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

const PEERS_MAX: usize = 1024;
const ADDRESSES_MAX: usize = 16;
const YIELD: Duration = Duration::from_millis(500);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A connection that lasted this long was a good one: its end starts the pauses anew.
const STABLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Dialer {
    me: PeerId,
    peers: BTreeMap<PeerId, Target>,
    due: BTreeSet<(Timestamp, PeerId)>,
}

#[derive(Debug)]
struct Target {
    addresses: BTreeSet<Multiaddr>,
    /// The user named it: it is kept when discovery forgets it.
    named: bool,
    state: State,
    /// Dials that failed and connections that broke soon, since the last good connection.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting { until: Timestamp },
    Dialing,
    Connected { since: Timestamp },
}

impl Dialer {
    pub(crate) const fn new(me: PeerId) -> Self {
        Self { me, peers: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Discovery announced an address. `connected`: there is a connection already.
    pub(crate) fn found(
        &mut self,
        peer: PeerId,
        address: Multiaddr,
        connected: bool,
        now: Timestamp,
    ) {
        let pause = if self.me < peer { Duration::ZERO } else { YIELD };
        self.learn(peer, address, false, connected, pause, now);
    }

    /// The user connected to this address, or wants to.
    pub(crate) fn named(
        &mut self,
        peer: PeerId,
        address: Multiaddr,
        connected: bool,
        now: Timestamp,
    ) {
        self.learn(peer, address, true, connected, Duration::ZERO, now);
    }

    /// Whether the user connected to this peer, or wants to.
    pub(crate) fn is_named(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|target| target.named)
    }

    fn learn(
        &mut self,
        peer: PeerId,
        address: Multiaddr,
        named: bool,
        connected: bool,
        pause: Duration,
        now: Timestamp,
    ) {
        if peer == self.me {
            return;
        }
        if !self.peers.contains_key(&peer) {
            if self.peers.len() >= PEERS_MAX && !self.make_room(host(&address), named) {
                return;
            }
            let state = if connected {
                State::Connected { since: now }
            } else {
                self.due.insert((now + pause, peer));
                State::Waiting { until: now + pause }
            };
            let target = Target { addresses: BTreeSet::new(), named, state, failures: 0 };
            self.peers.insert(peer, target);
        }
        if let Some(target) = self.peers.get_mut(&peer) {
            target.named |= named;
            if target.addresses.len() < ADDRESSES_MAX {
                target.addresses.insert(address);
            }
        }
    }

    /// Forgets a peer that was found and is not connected, of the host that has the most of them, for
    /// one at `newcomer`; `false` if that has as many itself.
    fn make_room(&mut self, newcomer: Option<IpAddr>, named: bool) -> bool {
        let mut crowds: BTreeMap<Option<IpAddr>, Vec<PeerId>> = BTreeMap::new();
        for (peer, target) in &self.peers {
            if !target.named && !matches!(target.state, State::Connected { .. }) {
                let host = target.addresses.first().and_then(host);
                crowds.entry(host).or_default().push(*peer);
            }
        }
        let own = crowds.get(&newcomer).map_or(0, Vec::len);
        let crowd = crowds.into_values().max_by_key(Vec::len);
        let Some(peer) =
            crowd.filter(|crowd| named || crowd.len() > own + 1).and_then(|mut crowd| crowd.pop())
        else {
            return false;
        };
        self.change(peer, State::Dialing);
        self.peers.remove(&peer);
        true
    }

    /// Discovery forgot an address.
    pub(crate) fn expired(&mut self, peer: PeerId, address: &Multiaddr) {
        if let Some(target) = self.peers.get_mut(&peer)
            && !target.named
        {
            target.addresses.remove(address);
            self.forget_if_unreachable(peer);
        }
    }

    /// The first connection to a peer opened, whoever dialled.
    pub(crate) fn connected(&mut self, peer: PeerId, now: Timestamp) {
        self.change(peer, State::Connected { since: now });
    }

    /// The last connection to a peer closed.
    pub(crate) fn disconnected(&mut self, peer: PeerId, now: Timestamp) {
        let Some(target) = self.peers.get_mut(&peer) else { return };
        let State::Connected { since } = target.state else { return };
        target.failures = if now.since(since) >= STABLE { 0 } else { target.failures + 1 };
        let until = now + pause(target.failures);
        self.change(peer, State::Waiting { until });
        self.forget_if_unreachable(peer);
    }

    /// A dial that was asked for failed.
    pub(crate) fn failed(&mut self, peer: PeerId, now: Timestamp) {
        let Some(target) = self.peers.get_mut(&peer) else { return };
        if !matches!(target.state, State::Dialing) {
            return;
        }
        target.failures += 1;
        let until = now + pause(target.failures);
        self.change(peer, State::Waiting { until });
        self.forget_if_unreachable(peer);
    }

    /// The next peer to dial now, with its addresses.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<(PeerId, Vec<Multiaddr>)> {
        let (at, peer) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.change(peer, State::Dialing);
        let addresses = self.peers.get(&peer)?.addresses.iter().cloned().collect();
        Some((peer, addresses))
    }

    /// When [`Self::poll`] has something next.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    fn change(&mut self, peer: PeerId, state: State) {
        let Some(target) = self.peers.get_mut(&peer) else { return };
        if let State::Waiting { until } = target.state {
            self.due.remove(&(until, peer));
        }
        if let State::Waiting { until } = state {
            self.due.insert((until, peer));
        }
        target.state = state;
    }

    fn forget_if_unreachable(&mut self, peer: PeerId) {
        if let Some(target) = self.peers.get(&peer)
            && target.addresses.is_empty()
            && let State::Waiting { until } = target.state
        {
            self.due.remove(&(until, peer));
            self.peers.remove(&peer);
        }
    }
}

/// The IP address that an address starts with.
fn host(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (PAUSE_MIN * (1 << doublings)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_peer_found_twice_on_several_addresses_is_dialled_once_with_all_of_them() {
        let (me, peer) = ids();
        let mut dialer = Dialer::new(me);
        for port in [1, 2, 1] {
            dialer.found(peer, address(port), false, at(0));
        }
        assert_eq!(dialer.poll(at(0)), Some((peer, vec![address(1), address(2)])));
        dialer.found(peer, address(3), false, at(1));
        assert_eq!(dialer.poll(at(u64::MAX / 1000)), None);
    }

    #[test]
    fn oneself_is_never_dialled() {
        let (me, _) = ids();
        let mut dialer = Dialer::new(me);
        dialer.found(me, address(1), false, at(0));
        dialer.named(me, address(1), false, at(0));
        assert_eq!(dialer.poll_timeout(), None);
    }

    #[test]
    fn of_two_that_find_each_other_the_higher_waits_and_does_not_dial_when_the_lower_did() {
        let (low, high) = ids();
        let mut dialer = Dialer::new(high);
        dialer.found(low, address(1), false, at(0));
        assert_eq!(dialer.poll(at(499)), None);
        assert_eq!(dialer.poll_timeout(), Some(at(500)));
        dialer.connected(low, at(499));
        assert_eq!(dialer.poll_timeout(), None);
        // The lower one never came: the higher dials.
        let mut dialer = Dialer::new(high);
        dialer.found(low, address(1), false, at(0));
        assert_eq!(dialer.poll(at(500)), Some((low, vec![address(1)])));
    }

    #[test]
    fn failures_double_the_pause_up_to_five_minutes() {
        let (me, peer) = ids();
        let mut dialer = Dialer::new(me);
        dialer.found(peer, address(1), false, at(0));
        let mut now = at(0);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert!(dialer.poll(now).is_some());
            dialer.failed(peer, now);
            let next = now + Duration::from_secs(seconds);
            assert_eq!(dialer.poll_timeout(), Some(next));
            now = next;
        }
    }

    #[test]
    fn a_connection_that_lasted_starts_the_pauses_anew_and_one_that_broke_soon_does_not() {
        let (me, peer) = ids();
        let mut dialer = Dialer::new(me);
        dialer.found(peer, address(1), false, at(0));
        for (opened, closed, next) in
            [(0, 10, 1_010), (2_000, 3_000, 5_000), (6_000, 36_000, 37_000)]
        {
            dialer.poll(at(opened));
            dialer.connected(peer, at(opened));
            dialer.disconnected(peer, at(closed));
            assert_eq!(dialer.poll_timeout(), Some(at(next)));
        }
    }

    #[test]
    fn a_peer_that_discovery_forgot_is_not_dialled_again_unless_the_user_named_it() {
        let (me, peer) = ids();
        let mut dialer = Dialer::new(me);
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
    fn more_peers_and_addresses_than_the_bounds_are_dropped() {
        let (me, peer) = ids();
        let mut dialer = Dialer::new(me);
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
        let mut dialer = Dialer::new(me);
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
}
