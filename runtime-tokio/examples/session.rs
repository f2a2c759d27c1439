//! A session: blocks that belong together, from the peers that have them, as they come.
//!
//! Run it: `cargo run -p bitswap-runtime-tokio --example session`.

use std::error::Error;
use std::time::Duration;

use bitswap_node::{Node, PeerSet, SessionOptions, WhenMissing};
use bitswap_runtime_tokio::Tokio;
use futures::{StreamExt as _, pin_mut};

async fn run() -> Result<(), Box<dyn Error>> {
    let server = Node::builder(Tokio::current())
        .with_listen_address("/ip4/127.0.0.1/tcp/0".parse()?)
        .start()
        .await?;
    let mut cids = Vec::new();
    for number in 0..200_u8 {
        cids.push(server.put(vec![number; 50_000]).await?);
    }

    let client = Node::builder(Tokio::current()).start().await?;
    for address in server.addresses().await? {
        client.connect(address).await?;
    }
    // Nobody else learns what is wanted; a block that the peer lacks is an error and not a wait.
    let options = SessionOptions {
        peers: PeerSet::Only(vec![server.peer_id()]),
        when_missing: WhenMissing::Fail,
        ..SessionOptions::default()
    };
    let session = client.session(options).await?;
    let (all, mut done, mut bytes) = (cids.len(), 0, 0);
    {
        let blocks = session.get_many(cids);
        pin_mut!(blocks);
        while let Some((_, block)) = blocks.next().await {
            bytes += block?.data().len();
            done += 1;
            if done % 50 == 0 {
                println!("{done} of {all} blocks, {bytes} bytes");
            }
        }
    }
    let stats = session.stats().await?;
    println!("{stats:?}");
    client.shutdown().await;
    server.shutdown().await;
    if (done, bytes) == (200, 10_000_000) { Ok(()) } else { Err("blocks are missing".into()) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}
