//! Where a node may look for peers that have a block.

use cid::Cid;
use futures::stream::BoxStream;
use libp2p::{Multiaddr, PeerId};

/// A source of providers: a routing table, an indexer, a list.
pub trait Providers: Send + Sync + 'static {
    /// Looks for peers that have the block. The stream ends with the search and is dropped when
    /// nobody waits for more; a search that fails ends early.
    fn find(&self, cid: Cid) -> BoxStream<'static, Provider>;
}

/// A peer that is said to have a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The peer.
    pub peer: PeerId,
    /// Where it can be dialled; may be empty when it is known otherwise.
    pub addresses: Vec<Multiaddr>,
}
