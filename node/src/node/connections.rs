//! The established connections, and which of them is closed when there are too many.
//!
//! Nobody is refused: identities and connections cost an attacker little, so whoever fills the node
//! would keep everybody else out. Instead the connection of least use closes, and of several the
//! oldest: it had the longest time to be of use.

use std::collections::BTreeMap;

use libp2p::connection_limits;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::address_block::AddressBlock;
use crate::trace::log;

/// The descriptors that the defaults are made for, of which they leave a third to files.
const USUAL_DESCRIPTORS: u64 = 1024;

/// How many connections a node has. [`ConnectionLimits::default`] suits a process that may have 1024
/// descriptors: it uses 640 at most. A node to which no limits are given has as many fewer as its process
/// may have fewer descriptors (`ulimit -n`), see [`ConnectionLimits::within`].
///
/// When there are too many, a connection closes that is of least use; one that is new is never
/// refused for want of room. Of most use is a peer that the user connected to, then one that sent us
/// blocks, then one that is asked for some or was sent some.
///
/// What a connection holds in memory is in `docs/limits.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub(crate) established: u32,
    pub(crate) per_peer: u32,
    pub(crate) per_block: u32,
    pub(crate) being_set_up: u32,
    /// Connections beyond the limit while evicted ones are being closed.
    closing: u32,
    /// Outbound connections that are being set up, half of them to providers that lookups found.
    dialled: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            established: 384,
            per_peer: 4,
            per_block: 192,
            being_set_up: 128,
            closing: 64,
            dialled: 64,
        }
    }
}

impl ConnectionLimits {
    /// Established connections, at least 1. Default 384.
    #[must_use]
    pub const fn with_established(mut self, connections: u32) -> Self {
        self.established = if connections == 0 { 1 } else { connections };
        self
    }

    /// Connections of one peer, at least 1; further ones are refused. Default 4.
    #[must_use]
    pub const fn with_per_peer(mut self, connections: u32) -> Self {
        self.per_peer = if connections == 0 { 1 } else { connections };
        self
    }

    /// Connections of one block of addresses (an IPv4 /24 or an IPv6 /56), at least 1. Stops one owner
    /// of many identities from taking all places. Default 192.
    #[must_use]
    pub const fn with_per_block(mut self, connections: u32) -> Self {
        self.per_block = if connections == 0 { 1 } else { connections };
        self
    }

    /// Inbound connections that are being set up, at least 1. Beyond it the one that has taken longest
    /// is closed, of the block of addresses that has the most. Default 128.
    #[must_use]
    pub const fn with_being_set_up(mut self, connections: u32) -> Self {
        self.being_set_up = if connections == 0 { 1 } else { connections };
        self
    }

    /// The defaults for a process that may have so many descriptors: in proportion, at least one of each
    /// and never more than the defaults.
    #[must_use]
    pub fn within(descriptors: u64) -> Self {
        let share = descriptors.min(USUAL_DESCRIPTORS);
        let part =
            |of: u32| u32::try_from(u64::from(of) * share / USUAL_DESCRIPTORS).unwrap_or(of).max(1);
        let Self { established, per_peer, per_block, being_set_up, closing, dialled } =
            Self::default();
        Self {
            established: part(established),
            per_peer,
            per_block: part(per_block),
            being_set_up: part(being_set_up),
            closing: part(closing),
            dialled: part(dialled),
        }
    }

    /// The defaults for this process: [`Self::within`] the descriptors that it may have.
    #[must_use]
    pub fn of_process() -> Self {
        let Some(descriptors) = descriptors() else { return Self::default() };
        let limits = Self::within(descriptors);
        if descriptors < USUAL_DESCRIPTORS {
            let Self { established, being_set_up, .. } = limits;
            log!(
                debug,
                "fewer connections than usual, because the process may open few files: see ulimit -n",
                descriptors = descriptors,
                established = established,
                being_set_up = being_set_up,
            );
        }
        limits
    }

    /// Dials for lookups: the rest is for whom the user names, and for the DHT.
    pub(super) fn dialled_for_lookups(&self) -> usize {
        (self.dialled / 2).max(1) as usize
    }

    /// What holds even while evicted connections are being closed.
    pub(super) fn hard(&self) -> connection_limits::ConnectionLimits {
        connection_limits::ConnectionLimits::default()
            .with_max_established(Some(self.established.saturating_add(self.closing)))
            .with_max_established_per_peer(Some(self.per_peer))
            .with_max_pending_outgoing(Some(self.dialled))
    }
}

/// How many descriptors the process may have; `None` where there is no such limit.
fn descriptors() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}

/// The established connections.
#[derive(Debug)]
pub(super) struct ConnectionManager {
    limits: ConnectionLimits,
    /// In the order in which they were established.
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    id: ConnectionId,
    peer: PeerId,
    block: AddressBlock,
}

/// Of how much use a peer is; more counts for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// None that is known.
    None,
    /// It is asked for blocks, or was sent some.
    Some,
    /// It sent us blocks.
    Served,
    /// The user connected to it.
    Named,
}

impl ConnectionManager {
    pub(super) const fn new(limits: ConnectionLimits) -> Self {
        Self { limits, connections: BTreeMap::new(), next: 0 }
    }

    /// A connection was established. Gives the one that must be closed for it, if there is one.
    pub(super) fn established(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        of_use: impl FnMut(&PeerId) -> Use,
    ) -> Option<ConnectionId> {
        let block = AddressBlock::of(address);
        self.connections.insert(self.next, Connection { id, peer, block });
        self.next += 1;
        let here = self.connections.values().filter(|known| known.block == block).count();
        let out = if here > self.limits.per_block as usize {
            self.of_least_use(of_use, |known| known.block == block)
        } else if self.connections.len() > self.limits.established as usize {
            self.of_least_use(of_use, |_| true)
        } else {
            None
        };
        self.connections.remove(&out?).map(|known| known.id)
    }

    /// A connection closed.
    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.connections.retain(|_, known| known.id != id);
    }

    /// The newest is not among them: it had no time yet to be of use.
    fn of_least_use(
        &self,
        mut of_use: impl FnMut(&PeerId) -> Use,
        among: impl Fn(&Connection) -> bool,
    ) -> Option<u64> {
        let all =
            self.connections.iter().filter(|(at, known)| **at + 1 < self.next && among(known));
        all.min_by_key(|(at, known)| (of_use(&known.peer), **at)).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(at: usize) -> ConnectionId {
        ConnectionId::new_unchecked(at)
    }

    fn address(third: u8) -> Multiaddr {
        format!("/ip4/192.0.{third}.1/tcp/1").parse().unwrap()
    }

    #[test]
    fn the_oldest_of_the_least_use_gives_way_and_the_newest_stays() {
        let peers: Vec<PeerId> = (0..6).map(|_| PeerId::random()).collect();
        let uses = [Use::Named, Use::None, Use::Served, Use::None, Use::Some, Use::None];
        let of_use = |peer: &PeerId| uses[peers.iter().position(|known| known == peer).unwrap()];
        let mut connection_manager =
            ConnectionManager::new(ConnectionLimits::default().with_established(3));
        let out: Vec<_> = (0..6)
            .map(|at| connection_manager.established(id(at), peers[at], &address(at as u8), of_use))
            .collect();
        assert_eq!(out, [None, None, None, Some(id(1)), Some(id(3)), Some(id(4))]);
        connection_manager.closed(id(0));
        assert_eq!(connection_manager.established(id(6), peers[1], &address(9), of_use), None);
    }

    #[test]
    fn fewer_descriptors_mean_fewer_connections_and_never_none() {
        assert_eq!(ConnectionLimits::within(1024), ConnectionLimits::default());
        assert_eq!(ConnectionLimits::within(u64::MAX), ConnectionLimits::default());
        for descriptors in [0, 1, 64, 256, 1000] {
            let limits = ConnectionLimits::within(descriptors);
            let ConnectionLimits { established, being_set_up, closing, dialled, .. } = limits;
            let all = [established, being_set_up, closing, dialled];
            assert!(all.iter().all(|limit| *limit > 0), "{descriptors}: {limits:?}");
            assert!(
                u64::from(all.iter().sum::<u32>()) <= (descriptors * 2 / 3).max(4),
                "{descriptors}: {limits:?}"
            );
        }
        let limits = ConnectionLimits::within(64);
        assert_eq!((limits.established, limits.being_set_up, limits.per_block), (24, 8, 12));
    }

    #[test]
    fn a_block_of_addresses_gives_way_within_itself() {
        let limits = ConnectionLimits::default().with_established(10).with_per_block(2);
        let mut connection_manager = ConnectionManager::new(limits);
        let mut come = |at: usize, third: u8| {
            connection_manager.established(id(at), PeerId::random(), &address(third), |_| Use::None)
        };
        assert_eq!([come(0, 1), come(1, 2), come(2, 2)], [None; 3]);
        assert_eq!(come(3, 2), Some(id(1)));
        assert_eq!(come(4, 2), Some(id(2)));
        assert_eq!(come(5, 3), None);
    }

    #[test]
    fn what_the_swarm_refuses_leaves_room_for_those_that_are_being_closed() {
        let limits = ConnectionLimits {
            established: 10,
            per_peer: 3,
            closing: 4,
            dialled: 5,
            ..ConnectionLimits::default()
        };
        let expected = connection_limits::ConnectionLimits::default()
            .with_max_established(Some(14))
            .with_max_established_per_peer(Some(3))
            .with_max_pending_outgoing(Some(5));
        assert_eq!(format!("{:?}", limits.hard()), format!("{expected:?}"));
        assert_eq!(limits.dialled_for_lookups(), 2);
    }
}
