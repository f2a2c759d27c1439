//! How peers come together.

use bitswap_core::SessionOptions;
use cid::Cid;
use futures::stream::{self, BoxStream, StreamExt as _};
use libp2p::multiaddr::Protocol;
use std::sync::Arc;

use super::{client, connect, loopback, pair, raw, server};
use crate::Dht;
use crate::error::{GetError, ProvideError};
use crate::node::{Node, NodeEvent};
use crate::providers::{Provider, Providers};
use crate::runtime::Runtime;

pub async fn two_connects_make_one_connection(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    a.listen(loopback()).await.unwrap();
    for address in a.addresses().await.unwrap() {
        assert_eq!(b.connect(address).await.unwrap(), a.peer_id());
    }
    let peers = b.peers().await.unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].bitswap.unwrap().connections, 1);
}

pub async fn oneself_cannot_be_connected(runtime: Arc<dyn Runtime>) {
    let node = server(&runtime).await;
    let address = node.addresses().await.unwrap().remove(0);
    assert!(node.connect(address.clone()).await.is_err());
    let without_name = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
    assert!(node.connect(without_name).await.is_err());
    assert!(node.peers().await.unwrap().is_empty());
}

/// Says of every block that one peer has it.
struct Knows(Provider);

impl Providers for Knows {
    fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
        // Once with a peer that is not there: it is passed over.
        let gone = Provider { peer: libp2p::PeerId::random(), addresses: vec![loopback()] };
        stream::iter([gone, self.0.clone()]).boxed()
    }
}

pub async fn a_provider_is_dialled_and_asked(runtime: Arc<dyn Runtime>) {
    let a = server(&runtime).await;
    let cid = a.put("provided").await.unwrap();
    let addresses = a.addresses().await.unwrap();
    let knows = Arc::new(Knows(Provider { peer: a.peer_id(), addresses }));
    let b = Node::builder(runtime.clone()).with_providers(knows).start().await.unwrap();
    // Somebody else is connected, and has nothing.
    let other = server(&runtime).await;
    connect(&b, &other).await;
    let session = b.session(SessionOptions::default()).await.unwrap();
    assert_eq!(session.get(cid).await.unwrap().data(), "provided");
    drop(client(&runtime).await);
}

/// Waits until the DHT has heard that the node has a block.
async fn announced(node: &Node, cid: Cid) {
    let mut events = node.events().await.unwrap();
    node.provide(cid).await.unwrap();
    while !matches!(events.next().await.unwrap(), NodeEvent::Provided(what) if what == cid) {}
}

pub async fn a_provider_is_found_through_the_dht_by_who_knows_another_peer_only(
    runtime: Arc<dyn Runtime>,
) {
    let builder = || Node::builder(runtime.clone()).with_listen_address(loopback());
    let b = builder().with_dht(Dht::server()).start().await.unwrap();
    let begin = Dht::client().with_bootstrap(b.addresses().await.unwrap().remove(0));
    let a = builder().with_dht(begin.clone()).start().await.unwrap();
    let cid = a.put("provided in the dht").await.unwrap();
    announced(&a, cid).await;

    let c = builder().with_dht(begin).start().await.unwrap();
    assert_eq!(c.get(cid).await.unwrap().data(), "provided in the dht");
    let fetched = c.stats().await.unwrap().bitswap.engine.fetched;
    assert_eq!((fetched.blocks, fetched.duplicate_blocks), (1, 0));
    // The peer that both know keeps the record, and finds the block in it without asking anybody.
    assert_eq!(b.get(cid).await.unwrap().data(), "provided in the dht");
}

pub async fn blocks_are_provided_up_to_the_bound(runtime: Arc<dyn Runtime>) {
    let b = Node::builder(runtime.clone()).with_listen_address(loopback()).with_dht(Dht::server());
    let b = b.start().await.unwrap();
    let dht =
        Dht::client().with_bootstrap(b.addresses().await.unwrap().remove(0)).with_provided_max(2);
    let a = Node::builder(runtime.clone())
        .with_listen_address(loopback())
        .with_dht(dht)
        .start()
        .await
        .unwrap();
    let cids = [raw(b"1"), raw(b"2"), raw(b"3")];
    announced(&a, cids[0]).await;
    announced(&a, cids[1]).await;
    assert!(matches!(a.provide(cids[2]).await, Err(ProvideError::TooMany { max: 2 })));
    a.unprovide(cids[0]).await.unwrap();
    announced(&a, cids[2]).await;
    assert_eq!(a.stats().await.unwrap().provided, 2);
    let without = client(&runtime).await;
    assert!(matches!(without.provide(cids[0]).await, Err(ProvideError::NoDht)));
}

pub async fn a_want_that_fails_when_missing_waits_for_the_provider_being_dialled(
    runtime: Arc<dyn Runtime>,
) {
    let a = server(&runtime).await;
    let cid = a.put("one connection away").await.unwrap();
    let addresses = a.addresses().await.unwrap();
    let knows = Arc::new(Knows(Provider { peer: a.peer_id(), addresses }));
    let b = Node::builder(runtime.clone()).with_providers(knows).start().await.unwrap();
    let when_missing = bitswap_core::WhenMissing::Fail;
    let options = SessionOptions { when_missing, ..SessionOptions::default() };
    let session = b.session(options).await.unwrap();
    assert_eq!(session.get(cid).await.unwrap().data(), "one connection away");
}

/// Says of every block that this peer has it.
struct Names(Provider);

impl Providers for Names {
    fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
        stream::iter([self.0.clone()]).boxed()
    }
}

pub async fn a_lookup_ends_when_its_provider_cannot_be_dialled(runtime: Arc<dyn Runtime>) {
    // One has no address, which is known at once; nobody listens at that of the other.
    for addresses in [vec![], vec![loopback()]] {
        let provider = Provider { peer: libp2p::PeerId::random(), addresses };
        let b = Node::builder(runtime.clone()).with_providers(Arc::new(Names(provider)));
        let b = b.start().await.unwrap();
        let other = server(&runtime).await;
        connect(&b, &other).await;
        let when_missing = bitswap_core::WhenMissing::Fail;
        let options = SessionOptions { when_missing, ..SessionOptions::default() };
        let session = b.session(options).await.unwrap();
        let Err(GetError::NotFound(reports)) = session.get(raw(b"nowhere")).await else {
            panic!("found, or failed otherwise");
        };
        assert_eq!(reports.iter().map(|report| report.peer).collect::<Vec<_>>(), [other.peer_id()]);
    }
}
