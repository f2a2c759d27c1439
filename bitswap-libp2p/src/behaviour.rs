//! The engine in a swarm: what libp2p's connections report goes to the [`Host`], and what the host wants of peers
//! to their connections.
//!
//! Nothing here blocks or hashes: streams are the matter of the connections' tasks, the store's futures run on the
//! spawner.

mod api;
mod connections;
mod haves;
mod inbox;
mod peer;
mod peers;

pub use api::{PeerInfo, Stats};

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bitswap_core::{Engine, Timestamp};
use either::Either;
use libp2p_core::Endpoint;
use libp2p_core::multiaddr::{Multiaddr, Protocol};
use libp2p_core::transport::PortUse;
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{
    ConnectionClosed, ConnectionEstablished, DialFailure, ListenFailure,
};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use web_time::Instant;

use crate::blockstore::Blockstore;
use crate::builder::BehaviourBuilder;
use crate::config::Config;
use crate::event::Event;
use crate::handler::{Arrivals, Handler, Settings};
use crate::histogram::{Histogram, MessageSizes};
use crate::host::Host;
use crate::protocol::Offer;
use crate::spawner::TaskSpawner;
use crate::traffic::Traffic;
use haves::Haves;
use inbox::Inbox;
use peer::Versions;
use peers::Peers;

/// Bitswap as a part of a libp2p swarm. The crate's front page shows how it is used.
pub struct Behaviour<S> {
    host: Host<Peers, S>,
    settings: Settings,
    versions: Versions,
    items_per_second: u32,
    spawner: Arc<dyn TaskSpawner>,
    traffic: Traffic,
    inbox: Inbox,
    inbox_depth: Histogram,
    haves: Haves,
    arrivals: Arrivals,
    sizes: Arc<MessageSizes>,
    task: Option<Waker>,
}

impl<S: Blockstore> Behaviour<S> {
    /// A behaviour with default settings, whose tasks run on tokio.
    ///
    /// # Panics
    ///
    /// When the system's random source fails.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn new(store: Arc<S>) -> Self {
        Self::builder(store).build()
    }

    /// Starts to make a behaviour with other settings, or on another runtime.
    #[must_use]
    pub fn builder(store: Arc<S>) -> BehaviourBuilder<S> {
        BehaviourBuilder::new(store)
    }

    pub(crate) fn with_parts(
        config: Config,
        store: Arc<S>,
        spawner: Arc<dyn TaskSpawner>,
        seed: [u8; 32],
    ) -> Self {
        let settings = Settings {
            streams_max: config.inbound_streams_max,
            tick: config.tick(),
            open_timeout: config.open_timeout,
            offer: Offer::up_to(config.newest),
        };
        let versions = Versions::new(config.newest, config.lazy_negotiation);
        let items_per_second = config.items_per_second;
        Self {
            host: Host::new(config, store, spawner.clone(), Peers::default(), seed),
            settings,
            versions,
            items_per_second,
            spawner,
            traffic: Traffic::default(),
            inbox: Inbox::default(),
            inbox_depth: Histogram::of_depths(),
            haves: Haves::default(),
            arrivals: Arrivals::default(),
            sizes: Arc::default(),
            task: None,
        }
    }

    /// The next event that is ready to be told.
    fn next_event(&mut self) -> Option<Event> {
        self.host.next_event().or_else(|| self.haves.poll())
    }

    /// Has the host do something, and the swarm poll again.
    fn with_host<T>(&mut self, call: impl FnOnce(&mut Host<Peers, S>) -> T) -> T {
        let began = Instant::now();
        let result = call(&mut self.host);
        self.wake();
        self.inbox.worked(began.elapsed());
        result
    }

    /// Calls the engine.
    fn with_engine<T>(&mut self, call: impl FnOnce(&mut Engine<PeerId>, Timestamp) -> T) -> T {
        self.with_host(|host| host.call(call))
    }

    /// Has the swarm poll again.
    fn wake(&mut self) {
        self.task.take().into_iter().for_each(Waker::wake);
    }
}

impl<S> fmt::Debug for Behaviour<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("engine", &self.host.engine().stats())
            .field("traffic", &self.traffic)
            .field("events", &self.host.events_len())
            .finish_non_exhaustive()
    }
}

/// Blocks do not go through other peers' relays.
fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

impl<S: Blockstore> NetworkBehaviour for Behaviour<S> {
    type ConnectionHandler = Either<Handler, dummy::ConnectionHandler>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if is_relayed(local) || is_relayed(remote) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        Ok(Either::Left(self.connecting(peer, id)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if is_relayed(address) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        Ok(Either::Left(self.connecting(peer, id)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => self.connected(peer_id, connection_id),
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. })
            | FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer_id), connection_id, ..
            })
            | FromSwarm::ListenFailure(ListenFailure {
                peer_id: Some(peer_id),
                connection_id,
                ..
            }) => self.disconnected(peer_id, connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(report) => self.reported(peer, connection, report),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        // What is to be told already goes first: it comes in batches, and looking for more takes longer than telling it.
        if let Some(event) = self.next_event() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        let began = Instant::now();
        self.host.poll_store(cx);
        self.inbox.worked(began.elapsed());
        while let Poll::Ready(received) = self.inbox.poll_next(cx) {
            self.apply(received);
        }
        let began = Instant::now();
        self.host.poll_time(cx);
        self.inbox.worked(began.elapsed());
        if let Some(event) = self.next_event() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
