//! Discovery on the local network, as a behaviour of the node's swarm.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll, ready};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::discovery::{Discovered, Discovery};

/// Addresses that are remembered for dials, at most; those beyond are only reported.
const KNOWN_MAX: usize = 1024;

/// Whatever [`Discovery`] the runtime has. It has no protocol of its own on connections.
#[derive(Debug)]
pub(super) struct LocalDiscovery {
    inner: Box<dyn Discovery>,
    /// What was found and has not expired, for whoever dials a peer without knowing where it is.
    known: BTreeSet<(PeerId, Multiaddr)>,
    /// Addresses that were found and are not yet reported to the other behaviours.
    pending: VecDeque<(PeerId, Multiaddr)>,
}

impl LocalDiscovery {
    pub(super) const fn new(inner: Box<dyn Discovery>) -> Self {
        Self { inner, known: BTreeSet::new(), pending: VecDeque::new() }
    }

    fn remember(&mut self, discovered: &Discovered) {
        match discovered {
            Discovered::Found(found) => {
                let room = KNOWN_MAX.saturating_sub(self.known.len());
                self.known.extend(found.iter().take(room).cloned());
                self.pending.extend(found.iter().cloned());
            }
            Discovered::Expired(expired) => {
                for address in expired {
                    self.known.remove(address);
                }
            }
        }
    }
}

impl NetworkBehaviour for LocalDiscovery {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Discovered;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let Some(peer) = peer else { return Ok(Vec::new()) };
        let of_peer = self.known.range((peer, Multiaddr::empty())..);
        let of_peer = of_peer.take_while(|(other, _)| *other == peer);
        Ok(of_peer.map(|(_, address)| address.clone()).collect())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Discovered, Infallible>> {
        if let Some((peer_id, address)) = self.pending.pop_front() {
            return Poll::Ready(ToSwarm::NewExternalAddrOfPeer { peer_id, address });
        }
        let discovered = ready!(self.inner.poll(cx));
        self.remember(&discovered);
        Poll::Ready(ToSwarm::GenerateEvent(discovered))
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;

    use super::*;

    /// Finds what it was given, from the end.
    #[derive(Debug)]
    struct Script(Vec<Discovered>);

    impl Discovery for Script {
        fn poll(&mut self, _: &mut Context<'_>) -> Poll<Discovered> {
            self.0.pop().map_or(Poll::Pending, Poll::Ready)
        }

        fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}
    }

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn poll(discovery: &mut LocalDiscovery) -> Option<ToSwarm<Discovered, Infallible>> {
        match discovery.poll(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    fn for_a_dial(discovery: &mut LocalDiscovery, peer: PeerId) -> Vec<Multiaddr> {
        let id = ConnectionId::new_unchecked(0);
        let role = Endpoint::Dialer;
        discovery.handle_pending_outbound_connection(id, Some(peer), &[], role).unwrap()
    }

    #[test]
    fn addresses_that_were_found_are_reported_and_used_for_dials_until_they_expire() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let found = vec![(peer, address(1)), (other, address(2)), (peer, address(3))];
        let expired = vec![(peer, address(1))];
        let script = vec![Discovered::Expired(expired.clone()), Discovered::Found(found.clone())];
        let mut discovery = LocalDiscovery::new(Box::new(Script(script)));
        let event = poll(&mut discovery);
        assert!(
            matches!(event, Some(ToSwarm::GenerateEvent(Discovered::Found(it))) if it == found)
        );
        for (peer, at) in &found {
            let event = poll(&mut discovery);
            assert!(
                matches!(&event, Some(ToSwarm::NewExternalAddrOfPeer { peer_id, address }) if peer_id == peer && address == at),
                "{event:?}"
            );
        }
        assert_eq!(for_a_dial(&mut discovery, peer), [address(1), address(3)]);
        assert_eq!(for_a_dial(&mut discovery, other), [address(2)]);
        let event = poll(&mut discovery);
        assert!(
            matches!(event, Some(ToSwarm::GenerateEvent(Discovered::Expired(it))) if it == expired)
        );
        assert_eq!(for_a_dial(&mut discovery, peer), [address(3)]);
        assert!(poll(&mut discovery).is_none());
    }

    #[test]
    fn no_more_addresses_are_remembered_than_the_bound() {
        let found = (0..2 * KNOWN_MAX).map(|port| (PeerId::random(), address(port))).collect();
        let script = vec![Discovered::Found(found)];
        let mut discovery = LocalDiscovery::new(Box::new(Script(script)));
        assert!(poll(&mut discovery).is_some());
        assert_eq!(discovery.known.len(), KNOWN_MAX);
    }
}
