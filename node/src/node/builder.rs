//! How a node is made.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bitswap_libp2p::{Behaviour, BlockingTask, Blockstore, Config, TaskSpawner};
use cid::Cid;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use libp2p::core::transport::Transport as _;
use libp2p::core::upgrade;
use libp2p::identity::Keypair;
use libp2p::swarm::{self, Swarm};
use libp2p::{Multiaddr, PeerId};

use super::behaviour::Parts;
use super::connections::{ConnectionLimits, ConnectionManager};
use super::dht::{self, InDht};
use super::driver::{Channels, Driver, Host};
use super::lookups::Lookups;
use super::{Node, Shared};
use crate::denylist::Denylist;
use crate::dht::Dht;
use crate::error::StartError;
use crate::identity::IdentityFile;
use crate::names::Names;
use crate::providers::Providers;
use crate::runtime::Runtime;
use crate::setup::Bounded;
use crate::socket_bytes::SocketBytes;
use crate::store::Store;
use crate::swarm_key::SwarmKey;
use crate::trace::log;
use crate::transport::Stack;
#[cfg(feature = "websocket")]
use crate::wss::{Wss, WssAuthorities, WssCertificate};

/// Commands that wait for the node's task, besides one per handle.
const COMMANDS: usize = 64;

/// Inbound streams that negotiate at once, per connection. Other implementations answer a long
/// wantlist in hundreds of streams at once, and do not send again what was refused.
const NEGOTIATING_MAX: usize = 512;

/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_secs(300);

/// Settings of a [`Node`] that is about to start.
pub struct NodeBuilder {
    runtime: Arc<dyn Runtime>,
    identity: Option<Keypair>,
    identity_file: Option<IdentityFile>,
    blocks: Option<Arc<dyn Blockstore>>,
    config: Config,
    listen: Vec<Multiaddr>,
    mdns: bool,
    limits: Option<ConnectionLimits>,
    providers: Option<Arc<dyn Providers>>,
    dht: Option<Dht>,
    swarm_key: Option<SwarmKey>,
    access: Option<Access>,
    denylists: Vec<Arc<Denylist>>,
    reconnect_grace: Duration,
    dns_server: Option<SocketAddr>,
    #[cfg(feature = "websocket")]
    wss: Wss,
}

/// Who may have what.
type Access = Box<dyn Fn(&PeerId, &Cid) -> bool + Send + Sync>;

impl fmt::Debug for NodeBuilder {
    /// Of the identity only what others may know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("runtime", &self.runtime)
            .field("peer_id", &self.keypair().map(|identity| identity.public().to_peer_id()))
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("mdns", &self.mdns)
            .field("limits", &self.limits)
            .field("dht", &self.dht)
            .field("swarm_key", &self.swarm_key)
            .field("reconnect_grace", &self.reconnect_grace)
            .field("dns_server", &self.dns_server)
            .finish_non_exhaustive()
    }
}

impl NodeBuilder {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self {
            runtime,
            identity: None,
            identity_file: None,
            blocks: None,
            config: Config::default(),
            listen: Vec::new(),
            mdns: false,
            limits: None,
            providers: None,
            dht: None,
            swarm_key: None,
            access: None,
            denylists: Vec::new(),
            reconnect_grace: Duration::from_secs(30),
            dns_server: None,
            #[cfg(feature = "websocket")]
            wss: Wss::default(),
        }
    }

    /// Who the node is. Default: somebody new.
    #[must_use]
    pub fn with_identity(mut self, identity: Keypair) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Who the node is, as a file says; it is in use until the node has stopped. It goes before
    /// [`Self::with_identity`].
    #[must_use]
    pub fn with_identity_file(mut self, file: IdentityFile) -> Self {
        self.identity_file = Some(file);
        self
    }

    /// Where whole blocks are kept, also those of files that are [read](Node::read_file). Default: in memory,
    /// and without those. Files that are shared or fetched are not copied there.
    #[must_use]
    pub fn with_blocks(mut self, blocks: Arc<dyn Blockstore>) -> Self {
        self.blocks = Some(blocks);
        self
    }

    /// Settings of the protocol.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Listens on an address once the node starts. Default: on none.
    #[must_use]
    pub fn with_listen_address(mut self, address: Multiaddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Whether peers on the local network are found, and find this node, by mDNS. Default: no.
    #[must_use]
    pub const fn with_mdns(mut self, mdns: bool) -> Self {
        self.mdns = mdns;
        self
    }

    /// Limits on connections. Default: [`ConnectionLimits::within`] the descriptors of the process.
    #[must_use]
    pub fn with_connection_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Where peers are looked for that have a block. Default: nowhere.
    #[must_use]
    pub fn with_providers(mut self, providers: Arc<dyn Providers>) -> Self {
        self.providers = Some(providers);
        self
    }

    /// Takes part in a DHT: blocks are looked for there, and those that this node has are
    /// [provided](Node::provide). Default: in none, which costs nothing.
    #[must_use]
    pub fn with_dht(mut self, dht: Dht) -> Self {
        self.dht = Some(dht);
        self
    }

    /// Makes the node part of a private network, whose peers have the same key. Others cannot connect to it,
    /// nor it to them. Such a node has no QUIC. Default: the public network.
    #[must_use]
    pub const fn with_swarm_key(mut self, key: SwarmKey) -> Self {
        self.swarm_key = Some(key);
        self
    }

    /// Lets the node listen on addresses with `/wss` or `/tls/ws`: a WebSocket within TLS, as a web server has it, with
    /// no web server in front. Default: it only dials such addresses.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn with_wss_certificate(mut self, certificate: WssCertificate) -> Self {
        self.wss.certificate = Some(certificate);
        self
    }

    /// Believes certificates of more authorities when such an address is dialled. It may be called several times.
    /// Default: those that browsers believe.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn with_wss_authorities(mut self, authorities: WssAuthorities) -> Self {
        self.wss.authorities.push(authorities);
        self
    }

    /// Decides who may have which block, from the first connection on: see [`Node::set_access`]. Default:
    /// everybody may have everything. [`AccessRules`](crate::AccessRules) decide by lists.
    #[must_use]
    pub fn with_access(
        mut self,
        may: impl Fn(&PeerId, &Cid) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.access = Some(Box::new(may));
        self
    }

    /// Asks nobody for a block that this list denies: a get of it, or of a file or folder that it is a part of, fails with
    /// [`GetError::Denied`](crate::GetError::Denied). Rules for paths count where a path is followed, with
    /// [`Denylist::denies`]. That the node serves no such block is a matter of
    /// [`AccessRules::with_denylist`](crate::AccessRules::with_denylist). Default: none.
    #[must_use]
    pub fn with_denylist(mut self, denylist: Arc<Denylist>) -> Self {
        self.denylists.push(denylist);
        self
    }

    /// How long a session that [fails](bitswap_core::WhenMissing::Fail) when a block is missing waits for
    /// a peer that was [connected](Node::connect) and whose connection was lost. The peer is dialled again
    /// all the while, and afterwards too. Default: 30 s.
    #[must_use]
    pub const fn with_reconnect_grace(mut self, grace: Duration) -> Self {
        self.reconnect_grace = grace;
        self
    }

    /// Which DNS server is asked what a [domain stands for](Node::resolve_name). Default: those of the system.
    /// Names in addresses are asked of those always.
    #[must_use]
    pub const fn with_dns_server(mut self, server: SocketAddr) -> Self {
        self.dns_server = Some(server);
        self
    }

    fn keypair(&self) -> Option<&Keypair> {
        self.identity_file.as_ref().map(IdentityFile::keypair).or(self.identity.as_ref())
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// When the transport cannot be set up or does not listen, or a bootstrap address names no peer.
    pub async fn start(self) -> Result<Node, StartError> {
        let identity = self.keypair().cloned().unwrap_or_else(Keypair::generate_ed25519);
        let Self {
            runtime,
            identity_file,
            blocks,
            config,
            listen,
            mdns,
            limits,
            providers,
            dht,
            swarm_key,
            access,
            denylists,
            dns_server,
            #[cfg(feature = "websocket")]
            wss,
            ..
        } = self;
        let limits = limits.unwrap_or_else(ConnectionLimits::of_process);
        let peer_id = identity.public().to_peer_id();
        let socket_bytes = SocketBytes::default();
        let stack = Stack {
            identity: &identity,
            swarm_key: swarm_key.as_ref(),
            bytes: &socket_bytes,
            #[cfg(feature = "websocket")]
            wss: &wss,
        };
        let transport = stack.on(&runtime).map_err(StartError::Transport)?;
        let transport = Bounded::new(transport, limits.being_set_up as usize).boxed();
        let store = match blocks {
            Some(blocks) => Store::new(runtime.clone(), blocks),
            None => Store::in_memory(runtime.clone()),
        };
        let tasks = Tasks(runtime.clone());
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StartError::Entropy(error.into()))?;
        let mut bitswap = Behaviour::builder(Arc::new(store.clone()))
            .with_config(config.with_lazy_negotiation())
            .with_spawner(tasks.clone())
            .with_seed(seed)
            .build();
        if let Some(access) = access {
            bitswap.set_access(access);
        }
        let discovery = if mdns { started_or_logged(runtime.discovery(peer_id)) } else { None };
        let kad = dht.as_ref().map(|dht| dht::behaviour(dht, peer_id)).transpose()?;
        // Bitswap is there before anybody can connect.
        let parts = Parts::new(&identity, bitswap, discovery, kad, limits.hard());
        let settings = swarm::Config::with_executor(move |task| tasks.spawn(task))
            .with_idle_connection_timeout(IDLE)
            // Of the addresses of a peer those that tend to be quicker first, and the others a moment later.
            .with_smart_dial()
            .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
            .with_notify_handler_buffer_size(NonZeroUsize::MIN.saturating_add(31))
            .with_per_connection_event_buffer_size(4)
            // A name that is offered alone costs no round trip.
            .with_substream_upgrade_protocol_override(upgrade::Version::V1Lazy);
        let swarm = Swarm::new(transport, parts, peer_id, settings);
        let (command, commands) = mpsc::channel(COMMANDS);
        #[expect(clippy::disallowed_methods, reason = "at most one entry per thing that exists")]
        let (release, releases) = mpsc::unbounded();
        let channels = Channels { commands, releases, release: release.clone() };
        let host = Host {
            runtime: runtime.clone(),
            store: store.clone(),
            reconnect_grace: self.reconnect_grace,
        };
        let driver = Driver::new(
            swarm,
            host,
            channels,
            Lookups::new(providers, limits.dialled_for_lookups()),
            ConnectionManager::new(limits),
            dht.as_ref().map(InDht::new),
        );
        runtime.spawn(Box::pin(async move {
            driver.await;
            drop(identity_file);
        }));
        let next_token = AtomicU64::new(0);
        let shared = Shared {
            runtime,
            store,
            peer_id,
            socket_bytes,
            release,
            next_token,
            names: Names::default(),
            denylists,
            dns_server,
            #[cfg(feature = "websocket")]
            has_certificate: wss.certificate.is_some(),
        };
        let node = Node { shared: Arc::new(shared), commands: command };
        for address in listen {
            node.listen(address).await?;
        }
        Ok(node)
    }
}

fn started_or_logged<T>(discovery: io::Result<Option<T>>) -> Option<T> {
    discovery.unwrap_or_else(|error| {
        log!(warn, "no discovery on the local network", error = error);
        None
    })
}

/// A runtime, as the protocol needs it.
#[derive(Clone)]
struct Tasks(Arc<dyn Runtime>);

impl TaskSpawner for Tasks {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.0.spawn(future);
    }

    fn spawn_blocking(&self, task: BlockingTask) {
        self.0.spawn_blocking(task);
    }
}
