//! What the node's swarm is made of.

use std::time::Duration;

use bitswap_libp2p::Behaviour as Bitswap;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{identify, ping};

use super::dht::Kad;
use super::local_discovery::LocalDiscovery;
use crate::discovery::Discovery;
use crate::store::Store;

/// The behaviours of a node.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Parts {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) bitswap: Bitswap<Store>,
    identify: identify::Behaviour,
    pub(super) dht: Toggle<Kad>,
    ping: ping::Behaviour,
    discovery: Toggle<LocalDiscovery>,
}

impl Parts {
    pub(super) fn new(
        identity: &Keypair,
        bitswap: Bitswap<Store>,
        discovery: Option<Box<dyn Discovery>>,
        dht: Option<Kad>,
        limits: ConnectionLimits,
    ) -> Self {
        let about = identify::Config::new("ipfs/0.1.0".into(), identity.public())
            .with_agent_version(concat!("bitswap/", env!("CARGO_PKG_VERSION")).into())
            .with_push_listen_addr_updates(true);
        Self {
            limits: connection_limits::Behaviour::new(limits),
            bitswap,
            identify: identify::Behaviour::new(about),
            dht: Toggle::from(dht),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_secs(30))),
            discovery: Toggle::from(discovery.map(LocalDiscovery::new)),
        }
    }
}
