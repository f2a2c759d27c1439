//! Peers that take all they can get, and what others notice of it.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;

use super::{client, connect, loopback};
use crate::node::{ConnectionLimits, Node};
use crate::runtime::{Runtime, RuntimeExt as _};

async fn limited(runtime: &Arc<dyn Runtime>, limits: ConnectionLimits) -> Node {
    let builder = Node::builder(runtime.clone())
        .with_listen_address(loopback())
        .with_connection_limits(limits);
    builder.start().await.unwrap()
}

/// Where the node's socket listens.
async fn socket(node: &Node) -> SocketAddr {
    let address = node.addresses().await.unwrap().remove(0);
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    (std::net::Ipv4Addr::LOCALHOST, port.unwrap()).into()
}

pub async fn connections_that_say_nothing_give_way_to_one_that_does(runtime: Arc<dyn Runtime>) {
    const SILENT: usize = 100;
    const BEING_SET_UP: u32 = 8;
    let begun = Instant::now();
    let limits = ConnectionLimits::default().with_being_set_up(BEING_SET_UP);
    let node = limited(&runtime, limits).await;
    let cid = node.put("for who asks").await.unwrap();
    let to = socket(&node).await;
    let silent = runtime.run_blocking(move || {
        (0..SILENT).map(|_| TcpStream::connect(to).unwrap()).collect::<Vec<_>>()
    });
    let mut silent = silent.await.unwrap();
    let honest = client(&runtime).await;
    connect(&honest, &node).await;
    assert_eq!(honest.get(cid).await.unwrap().data(), "for who asks");
    // The first of them were closed, long before the time for setting up was over.
    let closed = runtime.run_blocking(move || {
        for stream in &mut silent[..SILENT - BEING_SET_UP as usize] {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut end = Vec::new();
            // What the node says first, and its end; or that the connection was reset.
            let _ = stream.read_to_end(&mut end);
        }
    });
    closed.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

pub async fn new_connections_find_room_and_peers_of_use_keep_theirs(runtime: Arc<dyn Runtime>) {
    const PLACES: usize = 4;
    let limits = ConnectionLimits::default().with_established(PLACES as u32);
    let node = limited(&runtime, limits).await;
    let useful = client(&runtime).await;
    connect(&useful, &node).await;
    let cid = useful.put("of use").await.unwrap();
    assert_eq!(node.get(cid).await.unwrap().data(), "of use");
    let own = node.put("for the last one").await.unwrap();
    let mut others = Vec::new();
    for _ in 0..3 * PLACES {
        let other = client(&runtime).await;
        connect(&other, &node).await;
        // It is known on the other side too, or would not be answered.
        assert_eq!(other.get(own).await.unwrap().data(), "for the last one");
        others.push(other);
        // The evicted connection is being closed.
        let peers = loop {
            let peers = node.peers().await.unwrap();
            if peers.len() <= PLACES {
                break peers;
            }
        };
        assert!(peers.iter().any(|known| known.peer == useful.peer_id()));
    }
}
