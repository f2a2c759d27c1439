//! Whom to dial, and when: a machine without sockets or clock.
//!
//! It learns addresses from discovery and from the user, and asks for at most one dial per peer at
//! a time, with all its addresses. Two nodes that discover each other would both dial; so the one
//! with the higher id waits half a second for the other first. A dial that fails, and a connection that
//! breaks soon, double the pause before the next: from one second to five minutes.
//!
//! A peer that the user named and whose connection is lost is expected back for a grace, and dialled at
//! least every five seconds meanwhile. Where the user gave an address without the peer's id, whoever
//! answers there is meant: an id may change when a node restarts.
//!
//! Bounds: [`PEERS_MAX`] peers with [`ADDRESSES_MAX`] addresses each. Discovery is open to everybody on
//! the local network: when there is no room, peers of the host with the most are evicted for those of other
//! hosts, and found peers for those that the user named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::Timestamp;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::losses::LostPeer;
use crate::dht::named_peer;

const PEERS_MAX: usize = 1024;
const ADDRESSES_MAX: usize = 16;
const YIELD: Duration = Duration::from_millis(500);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A connection that lasted this long was a good one: its end starts the pauses anew.
const STABLE: Duration = Duration::from_secs(30);
/// The longest pause while a peer is expected back.
const PAUSE_EXPECTED_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Dialer {
    me: PeerId,
    peers: BTreeMap<PeerId, Target>,
    due: BTreeSet<(Timestamp, PeerId)>,
    /// How long a lost peer is expected back.
    grace: Duration,
    /// Peers that the user named and that are not connected any more.
    losses: BTreeMap<PeerId, Loss>,
}

#[derive(Debug)]
struct Target {
    addresses: BTreeSet<Multiaddr>,
    /// Given by the user without the peer's id.
    anonymous: BTreeSet<Multiaddr>,
    /// The user named it: it is kept when discovery forgets it.
    named: bool,
    state: State,
    /// Dials that failed and connections that broke soon, since the last good connection.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting {
        until: Timestamp,
    },
    /// So many dials are on their way.
    Dialing {
        dials: usize,
    },
    Connected {
        since: Timestamp,
    },
}

#[derive(Debug)]
struct Loss {
    since: Timestamp,
    /// Why the last dial failed.
    reason: Option<Arc<str>>,
    /// The grace is over.
    is_final: bool,
}

/// Dials to be made for one peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dials {
    pub(crate) peer: PeerId,
    /// One dial of the peer with all of these; none if empty.
    pub(crate) addresses: Vec<Multiaddr>,
    /// A dial for each of these, of whoever is there.
    pub(crate) anonymous: Vec<Multiaddr>,
}

impl Dialer {
    pub(crate) fn new(me: PeerId, grace: Duration) -> Self {
        let (peers, due) = (BTreeMap::new(), BTreeSet::new());
        Self { me, peers, due, grace, losses: BTreeMap::new() }
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

    /// Whether an address of this peer is known.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// How many peers are known.
    pub(crate) fn known(&self) -> usize {
        self.peers.len()
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
            let (addresses, anonymous) = (BTreeSet::new(), BTreeSet::new());
            let target = Target { addresses, anonymous, named, state, failures: 0 };
            self.peers.insert(peer, target);
        }
        if let Some(target) = self.peers.get_mut(&peer) {
            target.named |= named;
            let anonymous = named && named_peer(&address).is_none();
            let known = if anonymous { &mut target.anonymous } else { &mut target.addresses };
            if known.len() < ADDRESSES_MAX {
                known.insert(address);
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
        self.forget(peer);
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
        self.losses.remove(&peer);
        self.change(peer, State::Connected { since: now });
    }

    /// A dial of an anonymous address of `before` has found another peer there.
    pub(crate) fn moved(&mut self, before: PeerId, address: &Multiaddr, now: Timestamp) {
        if let Some(target) = self.peers.get_mut(&before) {
            target.anonymous.remove(address);
            self.dial_ended(before, now);
        }
    }

    /// The last connection to a peer closed.
    pub(crate) fn disconnected(&mut self, peer: PeerId, now: Timestamp) {
        let Some(target) = self.peers.get_mut(&peer) else { return };
        let State::Connected { since } = target.state else { return };
        target.failures = if now.since(since) >= STABLE { 0 } else { target.failures + 1 };
        if target.named {
            self.losses.insert(peer, Loss { since: now, reason: None, is_final: false });
        }
        self.wait(peer, now);
    }

    /// A dial that was asked for failed.
    pub(crate) fn failed(&mut self, peer: PeerId, reason: &Arc<str>, now: Timestamp) {
        if let Some(loss) = self.losses.get_mut(&peer) {
            loss.reason = Some(reason.clone());
        }
        self.dial_ended(peer, now);
    }

    /// One of the dials for a peer has not led to it. After the last there is a pause.
    fn dial_ended(&mut self, peer: PeerId, now: Timestamp) {
        let Some(target) = self.peers.get_mut(&peer) else { return };
        let State::Dialing { dials } = &mut target.state else { return };
        *dials = dials.saturating_sub(1);
        if *dials == 0 {
            target.failures += 1;
            self.wait(peer, now);
        }
    }

    /// Dials again after a pause.
    fn wait(&mut self, peer: PeerId, now: Timestamp) {
        let failures = self.peers.get(&peer).map_or(0, |target| target.failures);
        let expected = self.losses.get(&peer).is_some_and(|loss| now < loss.since + self.grace);
        let pause =
            if expected { pause(failures).min(PAUSE_EXPECTED_MAX) } else { pause(failures) };
        self.change(peer, State::Waiting { until: now + pause });
        self.forget_if_unreachable(peer);
    }

    /// The next peer to dial now.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Dials> {
        let (at, peer) = *self.due.first()?;
        if at > now {
            return None;
        }
        let target = self.peers.get(&peer)?;
        let addresses: Vec<_> = target.addresses.iter().cloned().collect();
        let anonymous: Vec<_> = target.anonymous.iter().cloned().collect();
        let dials = usize::from(!addresses.is_empty()) + anonymous.len();
        self.change(peer, State::Dialing { dials });
        Some(Dials { peer, addresses, anonymous })
    }

    /// Ends the graces that are over. A dial that has begun is waited for: it may have begun late, in a
    /// process that was stopped.
    pub(crate) fn end_graces(&mut self, now: Timestamp) {
        for (peer, loss) in &mut self.losses {
            let dialing = |target: &Target| matches!(target.state, State::Dialing { .. });
            let is_dialed = self.peers.get(peer).is_some_and(dialing);
            loss.is_final |= now >= loss.since + self.grace && !is_dialed;
        }
    }

    /// A lost peer is expected back.
    pub(crate) fn expects(&self) -> bool {
        self.losses.values().any(|loss| !loss.is_final)
    }

    /// The peers that the user named and that are not connected any more.
    pub(crate) fn lost(&self, now: Timestamp) -> Vec<LostPeer> {
        let lost = |(peer, loss): (&PeerId, &Loss)| LostPeer {
            peer: *peer,
            ago: now.since(loss.since),
            reason: loss.reason.clone(),
        };
        self.losses.iter().map(lost).collect()
    }

    /// When [`Self::poll`] or [`Self::end_graces`] has something to do next.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let dial = self.due.first().map(|(at, _)| *at);
        let waits = |peer| {
            let state = self.peers.get(peer).map(|target| target.state);
            !matches!(state, Some(State::Dialing { .. }))
        };
        let losses = self.losses.iter().filter(|(peer, loss)| !loss.is_final && waits(*peer));
        losses.map(|(_, loss)| loss.since + self.grace).chain(dial).min()
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
            && target.anonymous.is_empty()
            && !matches!(target.state, State::Connected { .. })
        {
            self.forget(peer);
        }
    }

    fn forget(&mut self, peer: PeerId) {
        let Some(target) = self.peers.remove(&peer) else { return };
        if let State::Waiting { until } = target.state {
            self.due.remove(&(until, peer));
        }
        self.losses.remove(&peer);
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
mod tests;
