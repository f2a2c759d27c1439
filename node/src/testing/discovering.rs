//! Peers found by discovery, which a test plays.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::channel::mpsc;
use libp2p::Multiaddr;
use libp2p::swarm::{FromSwarm, NewListenAddr};

use super::hooked::Hooked;
use super::{loopback, server};
use crate::discovery::{Discovered, Discovery};
use crate::node::{Node, NodeEvent};
use crate::runtime::Runtime;

/// Finds what the test says, and passes on where the node listens.
#[derive(Debug)]
struct Played {
    found: mpsc::Receiver<Discovered>,
    listening: mpsc::Sender<Multiaddr>,
}

impl Discovery for Played {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Discovered> {
        match self.found.poll_next_unpin(cx) {
            Poll::Ready(Some(discovered)) => Poll::Ready(discovered),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::NewListenAddr(NewListenAddr { addr, .. }) = event {
            self.listening.try_send(addr.clone()).unwrap();
        }
    }
}

pub async fn a_peer_that_discovery_finds_is_connected(runtime: Arc<dyn Runtime>) {
    let other = server(&runtime).await;
    let (mut find, found) = mpsc::channel(1);
    let (listening, mut listens) = mpsc::channel(8);
    let hooked = Hooked::new(runtime);
    hooked.discover_by(Played { found, listening });
    let node = Node::builder(hooked)
        .with_mdns(true)
        .with_listen_address(loopback())
        .start()
        .await
        .unwrap();
    // What is to be announced was passed to the discovery.
    let own = node.addresses().await.unwrap().remove(0);
    let announced = listens.next().await.unwrap().with_p2p(node.peer_id()).unwrap();
    assert_eq!(announced, own);

    let mut events = node.events().await.unwrap();
    let address = other.addresses().await.unwrap().remove(0);
    find.try_send(Discovered::Found(vec![(other.peer_id(), address)])).unwrap();
    let connected = loop {
        if let NodeEvent::Connected(peer) = events.next().await.unwrap() {
            break peer;
        }
    };
    assert_eq!(connected, other.peer_id());
}
