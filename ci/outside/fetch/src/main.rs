//! A file fetched by a node from another one.

use std::error::Error;
use std::time::Duration;

use bitswap_node::chunk::Profile;
use bitswap_node::{FetchOptions, Node};
use bitswap_runtime_tokio::Tokio;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}

async fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    std::fs::write(&source, (0..5_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>())?;
    let sharer = Node::builder(Tokio::current())
        .with_listen_address("/ip4/127.0.0.1/tcp/0".parse()?)
        .start()
        .await?;
    let shared = sharer.share_file(&source, Profile::default()).await?;
    let fetcher = Node::builder(Tokio::current()).start().await?;
    for address in sharer.addresses().await? {
        fetcher.connect(address).await?;
    }
    let fetch = fetcher.fetch_file(shared.root.cid, &target, FetchOptions::default())?;
    let fetched = fetch.finish().await?;
    if std::fs::read(&source)? != std::fs::read(&target)? {
        return Err("the files differ".into());
    }
    println!("{} bytes, verified", fetched.finished.size);
    fetcher.shutdown().await;
    sharer.shutdown().await;
    Ok(())
}
