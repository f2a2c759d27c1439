//! The established connections, and which of them gives way when there are too many.
//!
//! Nobody is refused: identities and connections cost an attacker little, so whoever fills the node
//! would keep everybody else out. Instead the connection of least use closes, and of several the
//! oldest: it had the longest time to be of use.

use std::collections::BTreeMap;

use libp2p::connection_limits;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::address_block::AddressBlock;

/// Connections beyond the limit while those that gave way are being closed.
const CLOSING: u32 = 64;

/// How many connections a node has. [`ConnectionLimits::default`] leaves half of the usual 1024
/// descriptors of a process for files.
///
/// When there are too many, a connection closes that is of least use; one that is new is never
/// refused for want of room. Of most use is a peer that the user connected to, then one that sent us
/// blocks, then one that is asked for some or was sent some.
///
/// Memory of one connection, besides its peer's in the engine: two reports of messages, which are full
/// at 1 MiB each; 4 MiB of messages whose blocks are being hashed or that wait behind them; 32 MiB of
/// unfinished frames. Each of these is overshot by one message at most. What its streams hold unread is
/// bounded by their number, 4096, times yamux's window of 256 KiB: a peer can fill that only while the
/// node does not read, which is while it hashes and while the peer has said too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub(crate) established: u32,
    pub(crate) per_peer: u32,
    pub(crate) per_block: u32,
    pub(crate) being_set_up: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { established: 384, per_peer: 8, per_block: 192, being_set_up: 128 }
    }
}

impl ConnectionLimits {
    /// Established connections, at least 1. Default 384.
    #[must_use]
    pub const fn established(mut self, connections: u32) -> Self {
        self.established = if connections == 0 { 1 } else { connections };
        self
    }

    /// Connections of one peer, at least 1; further ones are refused. Default 8.
    #[must_use]
    pub const fn per_peer(mut self, connections: u32) -> Self {
        self.per_peer = if connections == 0 { 1 } else { connections };
        self
    }

    /// Connections of one block of addresses (an IPv4 /24 or an IPv6 /56), at least 1. Stops one owner
    /// of many identities from taking all places. Default 192.
    #[must_use]
    pub const fn per_block(mut self, connections: u32) -> Self {
        self.per_block = if connections == 0 { 1 } else { connections };
        self
    }

    /// Inbound connections that are being set up, at least 1. Beyond it the one that has taken longest
    /// is closed, of the block of addresses that has the most. Default 128.
    #[must_use]
    pub const fn being_set_up(mut self, connections: u32) -> Self {
        self.being_set_up = if connections == 0 { 1 } else { connections };
        self
    }

    /// What holds even while connections that gave way are being closed.
    pub(super) fn hard(&self) -> connection_limits::ConnectionLimits {
        connection_limits::ConnectionLimits::default()
            .with_max_established(Some(self.established.saturating_add(CLOSING)))
            .with_max_established_per_peer(Some(self.per_peer))
            .with_max_pending_outgoing(Some(self.established))
    }
}

/// The established connections.
#[derive(Debug)]
pub(super) struct Crowd {
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

impl Crowd {
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
        let mut crowd = Crowd::new(ConnectionLimits::default().established(3));
        let out: Vec<_> = (0..6)
            .map(|at| crowd.established(id(at), peers[at], &address(at as u8), of_use))
            .collect();
        assert_eq!(out, [None, None, None, Some(id(1)), Some(id(3)), Some(id(4))]);
        crowd.closed(id(0));
        assert_eq!(crowd.established(id(6), peers[1], &address(9), of_use), None);
    }

    #[test]
    fn a_block_of_addresses_gives_way_within_itself() {
        let limits = ConnectionLimits::default().established(10).per_block(2);
        let mut crowd = Crowd::new(limits);
        let mut come = |at: usize, third: u8| {
            crowd.established(id(at), PeerId::random(), &address(third), |_| Use::None)
        };
        assert_eq!([come(0, 1), come(1, 2), come(2, 2)], [None; 3]);
        assert_eq!(come(3, 2), Some(id(1)));
        assert_eq!(come(4, 2), Some(id(2)));
        assert_eq!(come(5, 3), None);
    }
}
