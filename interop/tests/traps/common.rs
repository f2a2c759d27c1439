//! What the traps share.

use std::time::Duration;

use bitswap_core::PeerStats;
use bitswap_interop::{
    Helia, HeliaOptions, Kubo, KuboOptions, content,
    us::{self, UsOptions},
};
use bitswap_libp2p::Stats;
use bitswap_node::Node;
use bitswap_runtime_tokio::Tokio;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use tokio::time::timeout;

/// What hangs is a failure.
const LIMIT: Duration = Duration::from_secs(40);

pub(crate) async fn kubo() -> Kubo {
    Kubo::start(KuboOptions { deadline: LIMIT, ..KuboOptions::default() }).await.unwrap()
}

pub(crate) async fn helia() -> Helia {
    Helia::start(HeliaOptions { deadline: LIMIT }).await.unwrap()
}

pub(crate) async fn us() -> Node {
    us_with(UsOptions::default()).await
}

pub(crate) async fn us_with(options: UsOptions) -> Node {
    us::start(Tokio::current(), options).await
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// Asks again and again until it is so; a state that never comes is a failure.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    soon(what, async { while !so().await {} }).await;
}

/// The node's counters.
pub(crate) async fn stats(us: &Node) -> Stats {
    us.stats().await.unwrap().bitswap
}

/// What our node knows of its only peer; nothing while there is none.
pub(crate) async fn peer(us: &Node) -> PeerStats {
    let peers = us.peers().await.unwrap();
    assert!(peers.len() < 2, "{peers:?}");
    peers.first().and_then(|peer| peer.bitswap?.stats).unwrap_or_default()
}

/// A raw block whose content depends on `seed`.
pub(crate) fn block(seed: u64, len: usize) -> (Cid, Vec<u8>) {
    let data = content::bytes(seed, len);
    (raw(&data), data)
}

/// The CID of a raw block.
pub(crate) fn raw(data: &[u8]) -> Cid {
    Cid::new_v1(0x55, Code::Sha2_256.digest(data))
}
