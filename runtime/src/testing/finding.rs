//! How peers come together.

use bitswap_core::SessionOptions;
use cid::Cid;
use futures::stream::{self, BoxStream, StreamExt as _};
use libp2p::multiaddr::Protocol;
use std::sync::Arc;

use super::{client, connect, loopback, pair, server};
use crate::node::Node;
use crate::providers::{Provider, Providers};
use crate::runtime::Runtime;

pub async fn two_connects_make_one_connection<R: Runtime>(runtime: R) {
    let (a, b) = pair(&runtime).await;
    a.listen(loopback()).await.unwrap();
    for address in a.addresses().await.unwrap() {
        assert_eq!(b.connect(address).await.unwrap(), a.peer_id());
    }
    let peers = b.peers().await.unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].bitswap.unwrap().connections, 1);
}

pub async fn oneself_cannot_be_connected<R: Runtime>(runtime: R) {
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

pub async fn a_provider_is_dialled_and_asked<R: Runtime>(runtime: R) {
    let a = server(&runtime).await;
    let cid = a.put("provided").await.unwrap();
    let addresses = a.addresses().await.unwrap();
    let knows = Arc::new(Knows(Provider { peer: a.peer_id(), addresses }));
    let b = Node::builder(runtime.clone()).providers(knows).start().await.unwrap();
    // Somebody else is connected, and has nothing.
    let other = server(&runtime).await;
    connect(&b, &other).await;
    let session = b.session(SessionOptions::default()).await.unwrap();
    assert_eq!(session.get(cid).await.unwrap().data(), "provided");
    drop(client(&runtime).await);
}
