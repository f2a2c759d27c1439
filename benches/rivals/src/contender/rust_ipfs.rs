//! rust-ipfs, whose repository is in memory.

use std::time::{Duration, Instant};

use bitswap_core::Block;
use futures::StreamExt as _;
use rust_ipfs::builder::DefaultIpfsBuilder;
use rust_ipfs::{Block as TheirBlock, Ipfs};

async fn node() -> Ipfs {
    let address = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    let node = DefaultIpfsBuilder::new()
        .with_identify(Default::default())
        .with_bitswap()
        .enable_tcp()
        .add_listening_addr(address)
        .set_idle_connection_timeout(60);
    node.start().await.expect("a node on loopback")
}

/// Gets blocks, so many at a time.
pub async fn run(blocks: &[Block], at_once: usize) -> Duration {
    let (server, client) = (node().await, node().await);
    for block in blocks {
        let block = TheirBlock::new_unchecked(*block.cid(), block.data().clone());
        server.put_block(&block).await.expect("memory");
    }
    let peer = server.keypair().public().to_peer_id();
    let addresses = server.listening_addresses().await.expect("it runs");
    client.add_peer((peer, addresses.clone())).await.expect("it runs");
    client.connect(peer).await.expect("a connection on loopback");

    let start = Instant::now();
    let get = futures::stream::iter(blocks).map(|block| {
        let get = client.get_block(*block.cid()).provider(peer);
        async move { get.await }
    });
    let mut got = get.buffer_unordered(at_once);
    while let Some(block) = got.next().await {
        block.expect("the server has it");
    }
    let time = start.elapsed();
    drop(got);
    client.exit_daemon().await;
    server.exit_daemon().await;
    time
}
