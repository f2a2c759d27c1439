//! Discovery of peers on the local network.

use std::fmt;
use std::task::{Context, Poll, ready};

use libp2p::swarm::{FromSwarm, NetworkBehaviour, ToSwarm, dummy};
use libp2p::{Multiaddr, PeerId};

/// Finds peers on the local network, and lets them find this node.
///
/// [`BehaviourDiscovery`] makes one of a libp2p behaviour such as mDNS.
pub trait Discovery: fmt::Debug + Send {
    /// The next addresses that were learned or that expired.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Discovered>;

    /// Something happened to the node. What to announce of it are the addresses that it listens on
    /// ([`FromSwarm::NewListenAddr`], [`FromSwarm::ExpiredListenAddr`]).
    fn on_swarm_event(&mut self, event: FromSwarm<'_>);
}

/// Addresses of peers that discovery learned or forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovered {
    /// These were announced.
    Found(Vec<(PeerId, Multiaddr)>),
    /// These have not been announced again in time.
    Expired(Vec<(PeerId, Multiaddr)>),
}

/// Discovery by a libp2p behaviour that needs no protocol of its own on connections, as mDNS.
///
/// It hears of the swarm, and only its events are used: a behaviour that dials or listens by itself is not
/// for this.
pub struct BehaviourDiscovery<B: NetworkBehaviour> {
    behaviour: B,
    read: fn(B::ToSwarm) -> Discovered,
}

impl<B: NetworkBehaviour<ConnectionHandler = dummy::ConnectionHandler>> BehaviourDiscovery<B> {
    /// Takes the behaviour, and how its events are read.
    pub const fn new(behaviour: B, read: fn(B::ToSwarm) -> Discovered) -> Self {
        Self { behaviour, read }
    }
}

impl<B> Discovery for BehaviourDiscovery<B>
where
    B: NetworkBehaviour<ConnectionHandler = dummy::ConnectionHandler> + Send,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Discovered> {
        loop {
            // The rest is passed over: of the addresses the node itself informs its other behaviours.
            if let ToSwarm::GenerateEvent(event) = ready!(self.behaviour.poll(cx)) {
                return Poll::Ready((self.read)(event));
            }
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.behaviour.on_swarm_event(event);
    }
}

impl<B: NetworkBehaviour> fmt::Debug for BehaviourDiscovery<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BehaviourDiscovery").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::task::noop_waker;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::{ListenerId, PortUse};
    use libp2p::swarm::{
        ConnectionDenied, ConnectionId, ListenAddresses, NewListenAddr, THandlerOutEvent,
    };

    use super::*;

    /// Finds one peer where it listens itself, and says something else before.
    #[derive(Default)]
    struct Echo {
        listening: ListenAddresses,
        polls: usize,
    }

    impl NetworkBehaviour for Echo {
        type ConnectionHandler = dummy::ConnectionHandler;
        type ToSwarm = (PeerId, Multiaddr);

        fn handle_established_inbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: &Multiaddr,
        ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
            Ok(dummy::ConnectionHandler)
        }

        fn handle_established_outbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: Endpoint,
            _: PortUse,
        ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
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
            self.listening.on_swarm_event(&event);
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, Infallible>> {
            self.polls += 1;
            let address = self.listening.iter().next().unwrap().clone();
            let peer_id = PeerId::random();
            match self.polls {
                1 => Poll::Ready(ToSwarm::NewExternalAddrOfPeer { peer_id, address }),
                2 => Poll::Ready(ToSwarm::GenerateEvent((peer_id, address))),
                _ => Poll::Pending,
            }
        }
    }

    #[test]
    fn a_behaviour_hears_of_the_swarm_and_only_its_events_come_out() {
        let read = |found| Discovered::Found(vec![found]);
        let mut discovery = BehaviourDiscovery::new(Echo::default(), read);
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let listener_id = ListenerId::next();
        let listens = NewListenAddr { listener_id, addr: &address };
        discovery.on_swarm_event(FromSwarm::NewListenAddr(listens));
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let found = discovery.poll(&mut cx);
        assert!(
            matches!(&found, Poll::Ready(Discovered::Found(it)) if it.len() == 1 && it[0].1 == address),
            "{found:?}"
        );
        assert!(discovery.poll(&mut cx).is_pending());
    }
}
