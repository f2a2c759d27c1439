//! Operating a node: limits of bandwidth and connections, who may have what, counters.
//!
//! Run it: `cargo run -p bitswap-runtime-tokio --example limits`.

use std::error::Error;
use std::time::Duration;

use bitswap_node::{Block, ConnectionLimits, GetError, Node, Rates, SessionOptions, WhenMissing};
use bitswap_runtime_tokio::Tokio;

async fn run() -> Result<(), Box<dyn Error>> {
    let secret = Block::raw("not for everybody");
    let hidden = *secret.cid();
    let server = Node::builder(Tokio::current())
        .with_listen_address("/ip4/127.0.0.1/tcp/0".parse()?)
        // For a process that may open 256 files and sockets.
        .with_connection_limits(ConnectionLimits::within(256))
        // Before the first peer connects. To a peer a refusal looks like absence.
        .with_access(move |_peer, cid| *cid != hidden)
        .start()
        .await?;
    server.put_blocks(vec![secret]).await?;
    let open = server.put("for everybody").await?;
    // Bytes of blocks per second, and they may be changed at any time.
    server.set_rates(Rates { upload: Some(1_000_000), ..Rates::default() }).await?;

    let client = Node::builder(Tokio::current()).start().await?;
    for address in server.addresses().await? {
        client.connect(address).await?;
    }
    let options = SessionOptions { when_missing: WhenMissing::Fail, ..SessionOptions::default() };
    let session = client.session(options).await?;
    println!("{:?}", session.get(open).await?.data());
    match session.get(hidden).await {
        Err(GetError::NotFound(reports)) => println!("not found: {reports:?}"),
        other => return Err(format!("the hidden block: {other:?}").into()),
    }

    let stats = server.stats().await?;
    let served = stats.bitswap.engine.served;
    println!(
        "{} blocks, {} DONT_HAVEs, {} bytes over TCP",
        served.blocks, served.dont_haves, stats.socket_sent
    );
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}
