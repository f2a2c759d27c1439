//! Finding peers, and being found, through a Kademlia DHT.
//!
//! The engine only says that it looks for a block; here is one of the places where a node may look.
//! What is stored and asked for is the block's hash, without the codec, as all of IPFS does.

mod records;
mod reprovider;

pub(crate) use records::{Records, bound_addresses};
pub(crate) use reprovider::Reprovider;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, StreamProtocol, kad};

/// Blocks that a node provides at most, unless set.
const PROVIDED_MAX: usize = 1024;

/// How a node takes part in a DHT.
///
/// ```
/// use bitswap_node::Dht;
///
/// let bootstrap = "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN";
/// let dht = Dht::client().with_bootstrap(bootstrap.parse()?);
/// # Ok::<_, libp2p::multiaddr::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dht {
    pub(crate) protocol: StreamProtocol,
    pub(crate) mode: kad::Mode,
    pub(crate) bootstrap: Vec<Multiaddr>,
    pub(crate) provided_max: usize,
}

impl Dht {
    /// Asks the DHT, and does not answer for it: for nodes that others cannot reach, or not for long.
    #[must_use]
    pub const fn client() -> Self {
        Self::new(kad::Mode::Client)
    }

    /// Answers for the DHT too, and keeps a bounded number of records for others. A network needs
    /// some nodes that do, each of which all others can reach.
    #[must_use]
    pub const fn server() -> Self {
        Self::new(kad::Mode::Server)
    }

    const fn new(mode: kad::Mode) -> Self {
        Self {
            protocol: kad::PROTOCOL_NAME,
            mode,
            bootstrap: Vec::new(),
            provided_max: PROVIDED_MAX,
        }
    }

    /// A peer to begin with; its address ends with `/p2p/` and its identity. May be called several
    /// times. Peers of the DHT that the node is connected to anyway are used as well.
    #[must_use]
    pub fn with_bootstrap(mut self, address: Multiaddr) -> Self {
        self.bootstrap.push(address);
        self
    }

    /// The DHT's protocol. Default: `/ipfs/kad/1.0.0`, which is that of the public IPFS network.
    #[must_use]
    pub fn with_protocol(mut self, protocol: StreamProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How many blocks the node provides at most. Default: 1024. Each costs some twenty messages at
    /// first, and again every 22 hours.
    #[must_use]
    pub const fn with_provided_max(mut self, provided_max: usize) -> Self {
        self.provided_max = provided_max;
        self
    }
}

/// The peer that an address names at its end.
pub(crate) fn named_peer(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}
