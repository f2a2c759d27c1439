//! Each way for two nodes to meet.

use std::net::UdpSocket;

use bitswap_node::{Multiaddr, Node};
use bitswap_runtime_tokio::Tokio;
use futures::StreamExt as _;
use libp2p::swarm::{SwarmEvent, dummy};
use libp2p::{SwarmBuilder, noise, tcp, tls, yamux};

async fn node(listen: &[&str]) -> Node {
    let builder = Node::builder(Tokio::current());
    let all = listen.iter().map(|address| address.parse().unwrap());
    all.fold(builder, bitswap_node::NodeBuilder::with_listen_address).start().await.unwrap()
}

async fn met_at(address: &str) -> (Node, Node, Multiaddr) {
    let (a, b) = (node(&[address]).await, node(&[]).await);
    let at = a.addresses().await.unwrap().remove(0);
    b.connect(at.clone()).await.unwrap();
    let cid = a.put("carried").await.unwrap();
    assert_eq!(b.get(cid).await.unwrap().data(), "carried");
    (a, b, at)
}

#[tokio::test]
async fn a_block_is_carried_by_tcp_websocket_and_quic_over_both_versions_of_ip() {
    let has_ip6 = UdpSocket::bind("[::1]:0").is_ok();
    for (ip, possible) in [("/ip4/127.0.0.1", true), ("/ip6/::1", has_ip6)] {
        for kind in ["/tcp/0", "/tcp/0/ws", "/udp/0/quic-v1"] {
            if !possible {
                println!("skipped: this machine has no IPv6");
                continue;
            }
            let (.., at) = met_at(&format!("{ip}{kind}")).await;
            let (_, end) = kind.rsplit_once("/0").unwrap();
            assert!(at.to_string().contains(&format!("{end}/p2p/")), "{at}");
        }
    }
}

/// The zone of the loopback interface, by its number: names are for link-local addresses.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_with_a_zone_is_dialled() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let (a, b) = (node(&["/ip6/::1/tcp/0"]).await, node(&[]).await);
    let at = a.addresses().await.unwrap().remove(0);
    let peer = b.connect(format!("/ip6zone/1{at}").parse().unwrap()).await.unwrap();
    assert_eq!(peer, a.peer_id());
    let cid = a.put("zoned").await.unwrap();
    assert_eq!(b.get(cid).await.unwrap().data(), "zoned");
    let nowhere = format!("/ip6zone/nothing-like-it{at}").parse().unwrap();
    assert!(node(&[]).await.connect(nowhere).await.is_err());
}

/// A peer of libp2p that has one way only to encrypt a connection.
macro_rules! swarm {
    ($security:expr) => {
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), $security, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| dummy::Behaviour)
            .unwrap()
            .build()
    };
}

#[tokio::test]
async fn a_peer_that_has_only_noise_or_only_tls_is_met_both_ways() {
    for mut swarm in [swarm!(tls::Config::new), swarm!(noise::Config::new)] {
        let ours = node(&["/ip4/127.0.0.1/tcp/0"]).await;
        swarm.dial(ours.addresses().await.unwrap().remove(0)).unwrap();
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    assert_eq!(peer_id, ours.peer_id());
                    break;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error:?}"),
                _ => {}
            }
        }
        drop(ours);
        let ours = node(&[]).await;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let at = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let peer = *swarm.local_peer_id();
        let serving = tokio::spawn(async move { while swarm.next().await.is_some() {} });
        assert_eq!(ours.connect(at).await.unwrap(), peer);
        serving.abort();
    }
}

/// Of several addresses some lead nowhere, and the one that does is found.
#[tokio::test]
async fn a_peer_is_met_at_whichever_of_its_addresses_answers() {
    let a = node(&["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]).await;
    let cid = a.put("found").await.unwrap();
    for kind in ["/tcp/", "/quic-v1"] {
        let addresses = a.addresses().await.unwrap();
        let good = addresses.iter().find(|address| address.to_string().contains(kind)).unwrap();
        let mut ticket = bitswap_node::Ticket::new(cid, a.peer_id());
        // Nobody listens at port 1.
        for address in ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1/ws"] {
            let nowhere: Multiaddr = format!("{address}/p2p/{}", a.peer_id()).parse().unwrap();
            ticket = ticket.with_address(&nowhere).unwrap();
        }
        ticket = ticket.with_address(good).unwrap();
        let b = node(&[]).await;
        let dials = ticket.addresses().map(|address| b.connect(address));
        let met = futures::future::join_all(dials).await;
        assert!(met.iter().any(Result::is_ok), "{met:?}");
        assert_eq!(b.get(cid).await.unwrap().data(), "found");
    }
}
