//! A running node: its handle.

mod behaviour;
mod builder;
mod connections;
mod dht;
mod dial;
mod dialling;
pub(crate) mod driver;
mod events;
mod listening;
mod local_discovery;
mod looks;
mod lookups;
mod losses;
mod name_queries;
mod observed;
mod provider_search;
mod recent_errors;
mod report;
pub(crate) mod routes;
mod searches;
mod seeders;
mod stopping;
mod waiters;

pub use builder::NodeBuilder;
pub use connections::ConnectionLimits;
pub use events::NodeEvent;
pub use losses::LostPeer;
pub(crate) use losses::LostPeers;
pub use observed::NodeHistograms;
pub use recent_errors::RecentError;
pub use report::{ConnectedPeer, Identified, NodeReport};
pub use seeders::Seeder;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitswap_core::{Block, BlockInfo, Rates, SessionOptions};
use bitswap_libp2p::{BlockDisposition, Blockstore as _};
use bytes::Bytes;
use cid::Cid;
use futures::channel::{mpsc, oneshot};
use futures::{SinkExt as _, Stream};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::denylist::Denylist;
use crate::error::{ConnectError, GetError, ListenError, NodeClosed, ProvideError, PutError};
use crate::fetch::StallReport;
use crate::names::Names;
use crate::runtime::Runtime;
use crate::session::{Session, WantCall};
use crate::socket_bytes::SocketBytes;
use crate::store::Store;
use crate::ticket::Ticket;
use crate::trace::Span;
#[cfg(feature = "websocket")]
use crate::wss::WssCertificate;
use driver::{Command, Driver};
use routes::{Release, Token};

/// The largest block that all implementations take, in bytes.
pub(crate) const BLOCK_MAX: usize = 2 << 20;

/// Whether it leads nowhere from most other machines: to themselves, or on a link whose interface has another name
/// there.
fn is_only_here(address: &Multiaddr) -> bool {
    is_loopback(address) || is_link_local(address)
}

fn is_link_local(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Ip6(ip)) if ip.is_unicast_link_local())
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// A running node. Clones are handles to the same node, which runs until the last one is
/// dropped, sessions and downloads included, or until [`Self::shutdown`].
pub struct Node {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

struct Shared {
    runtime: Arc<dyn Runtime>,
    store: Store,
    peer_id: PeerId,
    socket_bytes: SocketBytes,
    release: mpsc::UnboundedSender<Release>,
    next_token: AtomicU64,
    names: Names,
    denylists: Vec<Arc<Denylist>>,
    /// Whom to ask what a domain stands for, instead of those of the system.
    dns_server: Option<SocketAddr>,
    /// Whether it has something to show to whoever dials an address with `/wss`.
    #[cfg(feature = "websocket")]
    has_certificate: bool,
}

impl Clone for Node {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), commands: self.commands.clone() }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} on {})", self.shared.peer_id, self.shared.runtime.name())
    }
}

/// Counters of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeStats {
    /// Bitswap's.
    pub bitswap: bitswap_libp2p::Stats,
    /// Lookups of providers on their way.
    pub lookups: usize,
    /// Blocks that are provided in the DHT.
    pub provided: usize,
    /// Bytes received over TCP, the framing of encryption and streams included.
    pub socket_received: u64,
    /// Bytes sent over TCP, likewise.
    pub socket_sent: u64,
}

/// A connected peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PeerInfo {
    /// The peer.
    pub peer: PeerId,
    /// What Bitswap knows of it; `None` when it is only connected through a relay.
    pub bitswap: Option<bitswap_libp2p::PeerInfo>,
}

impl Node {
    /// Starts to build a node.
    pub fn builder(runtime: impl Runtime) -> NodeBuilder {
        NodeBuilder::new(Arc::new(runtime))
    }

    /// The node's identity.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// The blocks that the node has.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The runtime that the node runs on.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared.runtime
    }

    /// Stores bytes as one raw block, and serves it from now on. A peer that asked for it before is
    /// answered now.
    ///
    /// # Errors
    ///
    /// [`PutError::TooLarge`] above 2 MiB; or when the store fails, or the node has stopped.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<Cid, PutError> {
        let bytes = bytes.into();
        if bytes.len() > BLOCK_MAX {
            return Err(PutError::TooLarge { bytes: bytes.len(), max: BLOCK_MAX });
        }
        let block = Block::raw(bytes);
        let cid = *block.cid();
        self.put_blocks(vec![block]).await?;
        Ok(cid)
    }

    /// Stores blocks, and serves them from now on. Peers that asked for them before are answered
    /// now.
    ///
    /// # Errors
    ///
    /// When the store fails or the node has stopped.
    pub async fn put_blocks(&self, blocks: Vec<Block>) -> Result<(), PutError> {
        let infos = blocks.iter().map(BlockInfo::from).collect();
        self.shared.store.put(blocks).await?;
        Ok(self.notify_new_blocks(infos).await?)
    }

    /// Gets one block: from the local store, or from whoever has it. It waits until somebody does.
    /// Dropping the future cancels the want.
    ///
    /// Blocks that belong together come faster through one [`Session`].
    ///
    /// # Errors
    ///
    /// [`GetError`] says why there will be none.
    pub async fn get(&self, cid: Cid) -> Result<Block, GetError> {
        self.session(SessionOptions::default()).await?.get(cid).await
    }

    /// Why a block may not be asked for.
    pub(crate) fn denied(&self, cid: &Cid) -> Option<GetError> {
        let line = self.shared.denylists.iter().find_map(|list| list.denies(cid, &[]))?;
        Some(GetError::Denied { cid: *cid, line })
    }

    /// Opens a session for blocks that belong together.
    ///
    /// # Errors
    ///
    /// [`GetError::Want`] when there are too many, [`GetError::NodeClosed`].
    pub async fn session(&self, options: SessionOptions<PeerId>) -> Result<Session, GetError> {
        self.session_keeping(options, BlockDisposition::Store, None).await
    }

    /// Opens a session whose blocks go where `keep` says, and are of the file or folder `root`, if of any.
    pub(crate) async fn session_keeping(
        &self,
        options: SessionOptions<PeerId>,
        keep: BlockDisposition,
        root: Option<Cid>,
    ) -> Result<Session, GetError> {
        let above = Span::current();
        let open = move |driver: &mut Driver| driver.open_session(options, keep, root, &above);
        let id = self.call(open).await??;
        Ok(Session::new(self.clone(), id))
    }

    /// Connects to a peer, and again whenever the connection is lost, until the node stops.
    ///
    /// # Errors
    ///
    /// When the first dial fails.
    pub async fn connect(&self, address: Multiaddr) -> Result<PeerId, ConnectError> {
        let (reply, result) = oneshot::channel();
        self.call(|driver| driver.connect(address, reply)).await?;
        result.await.map_err(|_| NodeClosed)?
    }

    /// Listens on one more address.
    ///
    /// # Errors
    ///
    /// When the transport refuses it.
    pub async fn listen(&self, address: Multiaddr) -> Result<Multiaddr, ListenError> {
        #[cfg(feature = "websocket")]
        if !self.shared.has_certificate && WssCertificate::is_needed_for(&address) {
            let error = ListenError::NoCertificate { address };
            self.note_error(error.to_string()).await;
            return Err(error);
        }
        let (reply, result) = oneshot::channel();
        self.call(|driver| driver.listen(address, reply)).await?;
        result.await.map_err(|_| NodeClosed)?
    }

    /// Provides a block in the [`Dht`](crate::Dht), which tells that this node has it, from now on and until
    /// [`Self::unprovide`]; [`NodeEvent::Provided`] follows once the DHT has the record. Peers find a file by its
    /// root, so that is the block to provide.
    ///
    /// # Errors
    ///
    /// When the node takes part in no DHT, provides too many blocks already, or has stopped.
    pub async fn provide(&self, cid: Cid) -> Result<(), ProvideError> {
        self.call(move |driver| driver.provide(cid)).await?
    }

    /// Provides a block no longer. The records in the DHT expire within two days.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn unprovide(&self, cid: Cid) -> Result<(), NodeClosed> {
        self.call(move |driver| driver.unprovide(&cid)).await
    }

    /// The addresses that others can dial, each with the node's identity.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn addresses(&self) -> Result<Vec<Multiaddr>, NodeClosed> {
        let addresses = self.call(|driver| driver.swarm.listeners().cloned().collect::<Vec<_>>());
        let identity = Protocol::P2p(self.shared.peer_id);
        Ok(addresses.await?.into_iter().map(|address| address.with(identity.clone())).collect())
    }

    /// A [`Ticket`] for something that this node has: its addresses, first those that other machines can
    /// reach, and those of the loopback interface and of links only if there are no others. A name that is
    /// none of a file is left out, and so are addresses above the number that a ticket may have.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn ticket(&self, cid: Cid, name: Option<&str>) -> Result<Ticket, NodeClosed> {
        let (only_here, mut addresses): (Vec<_>, Vec<_>) =
            self.addresses().await?.into_iter().partition(is_only_here);
        if addresses.is_empty() {
            addresses = only_here;
        }
        let mut ticket = Ticket::new(cid, self.peer_id());
        if let Some(Ok(named)) = name.map(|name| ticket.clone().with_name(name)) {
            ticket = named;
        }
        for address in addresses {
            let Ok(more) = ticket.clone().with_address(&address) else { break };
            ticket = more;
        }
        Ok(ticket)
    }

    /// The connected peers.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NodeClosed> {
        self.call(|driver| {
            let peers: Vec<PeerId> = driver.swarm.connected_peers().copied().collect();
            let bitswap = driver.bitswap();
            let info = |peer| PeerInfo { peer, bitswap: bitswap.peer(peer) };
            peers.into_iter().map(info).collect()
        })
        .await
    }

    /// The node's counters. They are kept up to date, so asking for them walks nothing.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn stats(&self) -> Result<NodeStats, NodeClosed> {
        let (bitswap, lookups, provided) = self
            .call(|driver| (driver.bitswap().stats(), driver.lookups.len(), driver.provided()))
            .await?;
        Ok(NodeStats {
            bitswap,
            lookups,
            provided,
            socket_received: self.shared.socket_bytes.received(),
            socket_sent: self.shared.socket_bytes.sent(),
        })
    }

    /// Bytes of memory that the engine holds, by its own sums. Unlike [`Self::stats`] it walks all sessions and peers.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn held_bytes(&self) -> Result<u64, NodeClosed> {
        self.call(|driver| driver.bitswap().held_bytes()).await
    }

    /// Times, sizes and depths since the start.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn histograms(&self) -> Result<NodeHistograms, NodeClosed> {
        self.call(Driver::histograms).await
    }

    /// The peers that have a file or folder that is fetched or read, or some of it: that said so, or that delivered some. Of a
    /// block that is got by itself it is told by the block. Those that delivered most come first. It is remembered for some time
    /// after the end, and it takes the peers' word: who said that it has a block need not deliver it.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    #[doc(alias = "getSeedersForFile")]
    pub async fn seeders(&self, root: Cid) -> Result<Vec<Seeder>, NodeClosed> {
        self.call(move |driver| driver.seeders(&root)).await
    }

    /// What happens from now on. A listener that falls far behind misses events.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn events(&self) -> Result<impl Stream<Item = NodeEvent> + use<>, NodeClosed> {
        self.call(|driver| driver.listeners.add()).await
    }

    /// What the node's sessions wait for, all together.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn diagnose(&self) -> Result<StallReport, NodeClosed> {
        self.call(Driver::diagnose).await
    }

    /// Changes the limits on bandwidth.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn set_rates(&self, rates: Rates) -> Result<(), NodeClosed> {
        self.call(move |driver| driver.bitswap().set_rates(rates)).await
    }

    /// Decides who may have what from now on: `may` is called with peer and CID, beside the node's task, for
    /// each block that a peer asks for. A peer cannot tell a refusal from absence, and one that was refused has
    /// to ask again. To decide before the first peer connects, see [`NodeBuilder::with_access`];
    /// [`AccessRules`](crate::AccessRules) decide by lists.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn set_access(
        &self,
        may: impl Fn(&PeerId, &Cid) -> bool + Send + Sync + 'static,
    ) -> Result<(), NodeClosed> {
        self.call(move |driver| driver.bitswap().set_access(may)).await
    }

    /// Stops the node in good order: wants end, peers are told, and what was promised is sent, for a second
    /// at most; then all connections close. Other handles find the node [`NodeClosed`].
    pub async fn shutdown(self) {
        let (reply, stopped) = oneshot::channel();
        if self.call(|driver| driver.shutdown(reply)).await.is_ok() {
            // Either it says so, or it is gone already.
            let _ = stopped.await;
        }
    }

    /// These blocks are in the store now: peers and sessions that want them get them.
    pub(crate) async fn notify_new_blocks(&self, blocks: Vec<BlockInfo>) -> Result<(), NodeClosed> {
        self.call(move |driver| driver.notify_new_blocks(&blocks)).await
    }

    /// Tells those who listen.
    pub(crate) async fn tell(&self, event: NodeEvent) {
        // A node that has stopped tells nobody.
        let _ = self.call(move |driver| driver.listeners.send(&event)).await;
    }

    /// A new name for a waiter.
    pub(crate) fn token(&self) -> Token {
        Token(self.shared.next_token.fetch_add(1, Ordering::Relaxed))
    }

    /// Remembers an error, for [`Self::report`].
    pub(crate) async fn note_error(&self, message: String) {
        // A node that has stopped reports nothing.
        let _ = self.call(move |driver| driver.note_error(&message)).await;
    }

    /// Lets go of something, now or as soon as the node gets to it.
    pub(crate) fn release(&self, release: Release) {
        // A node that has stopped holds nothing.
        let _ = self.shared.release.unbounded_send(release);
    }

    /// Runs something on the node's task.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Driver) -> T + Send + 'static,
    ) -> Result<T, NodeClosed> {
        let (reply, answer) = oneshot::channel();
        self.send(move |driver| {
            // Whoever asked may have gone.
            let _ = reply.send(run(driver));
        })
        .await?;
        answer.await.map_err(|_| NodeClosed)
    }

    /// Has something run on the node's task, and waits only until there is room for it in the queue.
    pub(crate) async fn send(
        &self,
        run: impl FnOnce(&mut Driver) + Send + 'static,
    ) -> Result<(), NodeClosed> {
        self.commands.clone().send(Command::Run(Box::new(run))).await.map_err(|_| NodeClosed)
    }

    /// Has what a waiter called for wanted, and waits only until there is room for it in the queue.
    pub(crate) async fn send_wants(&self, call: WantCall) -> Result<(), NodeClosed> {
        self.commands.clone().send(Command::Want(call)).await.map_err(|_| NodeClosed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_something_only_here_are_known() {
        for (address, here) in [
            ("/ip4/127.0.0.1/tcp/1", true),
            ("/ip6/::1/tcp/1", true),
            ("/ip6/fe80::1/tcp/1", true),
            ("/ip6/fd00::1/tcp/1", false),
            ("/ip4/192.0.2.1/tcp/1", false),
        ] {
            assert_eq!(is_only_here(&address.parse().unwrap()), here, "{address}");
        }
    }
}
