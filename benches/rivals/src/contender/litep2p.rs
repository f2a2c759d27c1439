//! litep2p: its Bitswap has no engine. Whoever asks keeps count, whoever answers looks into a hash map.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bitswap_core::Block;
use cid::Cid;
use futures::StreamExt as _;
use litep2p::Litep2p;
use litep2p::config::ConfigBuilder;
use litep2p::protocol::libp2p::bitswap::{
    BitswapEvent, BitswapHandle, Config, ResponseType, WantType,
};
use litep2p::transport::tcp::config::Config as Tcp;

fn node() -> (Litep2p, BitswapHandle) {
    let (config, handle) = Config::new();
    let tcp = Tcp {
        listen_addresses: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")],
        nodelay: true,
        ..Tcp::default()
    };
    let config = ConfigBuilder::new().with_tcp(tcp).with_libp2p_bitswap(config).build();
    (Litep2p::new(config).expect("a node on loopback"), handle)
}

/// Gets blocks, so many at a time.
pub async fn run(blocks: &[Block], at_once: usize) -> Duration {
    let ((mut server, mut serving), (mut client, mut getting)) = (node(), node());
    let stored: HashMap<Cid, Vec<u8>> =
        blocks.iter().map(|block| (*block.cid(), block.data().to_vec())).collect();
    let peer = *server.local_peer_id();
    client.add_known_address(peer, server.listen_addresses().cloned());
    let drivers = [
        tokio::spawn(async move { while server.next_event().await.is_some() {} }),
        tokio::spawn(async move { while client.next_event().await.is_some() {} }),
    ];
    let server = tokio::spawn(async move {
        while let Some(event) = serving.next().await {
            let BitswapEvent::Request { peer, cids } = event else { continue };
            let wanted =
                cids.into_iter().filter_map(|(cid, _)| Some((cid, stored.get(&cid)?.clone())));
            let answers = wanted.map(|(cid, block)| ResponseType::Block { cid, block }).collect();
            serving.send_response(peer, answers).await;
        }
    });

    let mut kept: HashMap<Cid, Vec<u8>> = HashMap::new();
    let mut rest = blocks.iter().map(|block| (*block.cid(), WantType::Block));
    let start = Instant::now();
    getting.send_request(peer, rest.by_ref().take(at_once).collect()).await;
    while kept.len() < blocks.len() {
        let Some(BitswapEvent::Response { responses, .. }) = getting.next().await else {
            panic!("the node ended");
        };
        let before = kept.len();
        for response in responses {
            if let ResponseType::Block { cid, block } = response {
                kept.insert(cid, block);
            }
        }
        let more: Vec<_> = rest.by_ref().take(kept.len() - before).collect();
        if !more.is_empty() {
            getting.send_request(peer, more).await;
        }
    }
    let time = start.elapsed();
    server.abort();
    drivers.iter().for_each(tokio::task::JoinHandle::abort);
    time
}
