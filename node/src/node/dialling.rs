//! The dials that are on their way: for whom each is, and who waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::Timestamp;
use futures::channel::oneshot;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, Swarm};
use libp2p::{Multiaddr, PeerId};

use super::dial::{Dialer, Dials};
use crate::dht::named_peer;
use crate::error::ConnectError;
use crate::reason::DialReason;

/// Dials by the connections that they are to make. What the dialer asks for, it is told the end of.
pub(super) struct Dialling {
    dialer: Dialer,
    /// Those that the dialer asked for, and for whom; those of an address without an id, with it.
    of_dialer: HashMap<ConnectionId, (PeerId, Option<Multiaddr>)>,
    /// Those that a handle waits for.
    of_handles: HashMap<ConnectionId, Connecting>,
}

struct Connecting {
    address: Multiaddr,
    reply: oneshot::Sender<Result<PeerId, ConnectError>>,
}

impl Dialling {
    /// Of the node `me`, which expects lost peers back for a grace.
    pub(super) fn new(me: PeerId, grace: Duration) -> Self {
        let dialer = Dialer::new(me, grace);
        Self { dialer, of_dialer: HashMap::new(), of_handles: HashMap::new() }
    }

    /// Whom to dial, and when.
    pub(super) const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) const fn dialer_mut(&mut self) -> &mut Dialer {
        &mut self.dialer
    }

    /// Dials an address for a handle; the answer comes when there is a connection, or none.
    pub(super) fn connect<B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        address: Multiaddr,
        reply: oneshot::Sender<Result<PeerId, ConnectError>>,
        now: Timestamp,
    ) {
        let peer = named_peer(&address);
        if let Some(peer) = peer
            && swarm.is_connected(&peer)
        {
            self.dialer.named(peer, address, true, now);
            // Whoever asked may have gone, here and below.
            let _ = reply.send(Ok(peer));
            return;
        }
        let dial = match peer {
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(vec![address.clone()])
                .build(),
            None => DialOpts::unknown_peer_id().address(address.clone()).build(),
        };
        let connection = dial.connection_id();
        match swarm.dial(dial) {
            Ok(()) => {
                self.of_handles.insert(connection, Connecting { address, reply });
            }
            Err(reason) => {
                let _ = reply.send(Err(ConnectError::Dial { address, reason }));
            }
        }
    }

    /// Dials whom the dialer says.
    pub(super) fn dial_due<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>, now: Timestamp) {
        while let Some(Dials { peer, addresses, anonymous }) = self.dialer.poll(now) {
            if !addresses.is_empty() {
                let dial = DialOpts::peer_id(peer).addresses(addresses).build();
                self.dial(swarm, peer, dial, None, now);
            }
            for address in anonymous {
                let dial = DialOpts::unknown_peer_id().address(address.clone()).build();
                self.dial(swarm, peer, dial, Some(address), now);
            }
        }
    }

    fn dial<B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        peer: PeerId,
        dial: DialOpts,
        address: Option<Multiaddr>,
        now: Timestamp,
    ) {
        let connection = dial.connection_id();
        match swarm.dial(dial) {
            Ok(()) => {
                self.of_dialer.insert(connection, (peer, address));
            }
            Err(error) => {
                let reason = DialReason::of_any(&error).to_string().into();
                self.dialer.failed(peer, &reason, now);
            }
        }
    }

    /// A dial has led to this peer; or somebody else's has, which changes nothing.
    pub(super) fn established(&mut self, connection: ConnectionId, peer: PeerId, now: Timestamp) {
        if let Some(Connecting { address, reply }) = self.of_handles.remove(&connection) {
            self.dialer.named(peer, address, true, now);
            let _ = reply.send(Ok(peer));
        }
        if let Some((before, Some(address))) = self.of_dialer.remove(&connection)
            && before != peer
        {
            self.dialer.moved(before, &address, now);
            self.dialer.named(peer, address, true, now);
        }
    }

    /// A dial has failed.
    pub(super) fn failed(
        &mut self,
        connection: ConnectionId,
        error: DialError,
        reason: &Arc<str>,
        now: Timestamp,
    ) {
        if let Some((target, _)) = self.of_dialer.remove(&connection) {
            self.dialer.failed(target, reason, now);
        }
        if let Some(Connecting { address, reply }) = self.of_handles.remove(&connection) {
            let _ = reply.send(Err(ConnectError::Dial { address, reason: error }));
        }
    }

    /// A peer that the user named may connect soon.
    pub(super) fn expects(&self) -> bool {
        !self.of_handles.is_empty() || self.dialer.expects()
    }
}
