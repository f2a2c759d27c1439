//! Our own node, as one more peer.

use std::path::Path;

use bitswap_core::{Block, SessionOptions, chunk::SyncPolicy};
use bitswap_libp2p::Config;
use bitswap_node::{FetchError, FetchOptions, Fetched, GetError, Node, PutError, Runtime};
use cid::Cid;
use multiaddr::Multiaddr;

use crate::{Listen, dag};

/// How our node is started.
#[derive(Clone, Debug, Default)]
pub struct UsOptions {
    /// Where it listens. It dials TCP and QUIC whatever this says.
    pub listen: Listen,
    /// Settings of the protocol.
    pub config: Config,
}

/// Starts a node with an empty store.
///
/// # Panics
/// When it does not start.
pub async fn start(runtime: impl Runtime, options: UsOptions) -> Node {
    let mut builder = Node::builder(runtime).with_config(options.config);
    for address in options.listen.addrs() {
        builder = builder.with_listen_address(address.parse().expect("a constant address"));
    }
    builder.start().await.expect("a node on loopback starts")
}

/// Where it can be dialled first.
///
/// # Panics
/// When it listens nowhere.
pub async fn address(node: &Node) -> Multiaddr {
    let addresses = node.addresses().await.expect("the node runs");
    addresses.into_iter().next().expect("the node listens")
}

/// Stores a DAG's blocks.
///
/// # Errors
/// When the store fails.
///
/// # Panics
/// When a block does not hash to its CID.
pub async fn put(
    node: &Node,
    blocks: impl IntoIterator<Item = (Cid, Vec<u8>)>,
) -> Result<(), PutError> {
    let block = |(cid, data): (Cid, Vec<u8>)| Block::new(cid, data.into());
    let blocks: Result<Vec<Block>, _> = blocks.into_iter().map(block).collect();
    node.put_blocks(blocks.expect("each block hashes to its CID")).await
}

/// Fetches a file, without waiting for the disk and without sharing it.
///
/// # Errors
/// When it does not come.
pub async fn fetch(node: &Node, root: Cid, path: &Path) -> Result<Fetched, FetchError> {
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    options.download.sync = SyncPolicy::Never;
    node.fetch_file(root, path, options)?.finish().await
}

/// Gets every block below a root, one after another, by nothing but the links in the blocks.
///
/// # Errors
/// When a block does not come.
///
/// # Panics
/// When a block that should have links is not readable.
pub async fn walk(node: &Node, root: Cid) -> Result<Vec<(Cid, Vec<u8>)>, GetError> {
    let session = node.session(SessionOptions::default()).await?;
    let (mut ahead, mut blocks) = (vec![root], Vec::<(Cid, Vec<u8>)>::new());
    while let Some(cid) = ahead.pop() {
        if blocks.iter().any(|(known, _)| *known == cid) {
            continue;
        }
        let block = session.get(cid).await?;
        ahead.extend(dag::links(&cid, block.data()).expect("a valid node"));
        blocks.push((cid, block.data().to_vec()));
    }
    Ok(blocks)
}
