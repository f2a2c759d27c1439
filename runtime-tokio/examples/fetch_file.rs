//! Fetches a file by its CID from another node: verified, resumable, with its progress.
//!
//! Both nodes are in this program. With a CID and an address, as `bitswap share --json` prints them, the file is
//! fetched from there into the working directory.
//!
//! Run it: `cargo run -p bitswap-runtime-tokio --example fetch_file`, or with `CID ADDRESS`.

use std::error::Error;
use std::time::Duration;

use bitswap_node::chunk::{DownloadEvent, Profile};
use bitswap_node::{Cid, FetchOptions, Multiaddr, Node};
use bitswap_runtime_tokio::Tokio;

async fn fetch(
    cid: Cid,
    addresses: Vec<Multiaddr>,
    target: &std::path::Path,
) -> Result<(), Box<dyn Error>> {
    let node = Node::builder(Tokio::current()).start().await?;
    for address in addresses {
        node.connect(address).await?;
    }
    let mut fetch = node.fetch_file(cid, target, FetchOptions::default())?;
    while let Some(event) = fetch.next_event().await {
        match event {
            DownloadEvent::Started { total, have } => println!("{total} bytes, {have} are here"),
            DownloadEvent::Progress(progress) => {
                println!("{} of {}, {} bytes/s", progress.done, progress.total, progress.rate);
            }
            // Nothing ends by itself because of this: it says why no byte comes.
            DownloadEvent::Stalled(reason) => println!("stalled: {reason:?}"),
            _ => {}
        }
    }
    let fetched = fetch.finish().await?;
    println!("{}: {} bytes, verified", fetched.path.display(), fetched.finished.size);
    node.shutdown().await;
    Ok(())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(cid), Some(address)) = (arguments.next(), arguments.next()) {
        let name = cid.clone();
        return fetch(cid.parse()?, vec![address.parse()?], name.as_ref()).await;
    }
    let folder = tempfile::tempdir()?;
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    std::fs::write(&source, vec![7; 5_000_000])?;
    let sharer = Node::builder(Tokio::current())
        .with_listen_address("/ip4/127.0.0.1/tcp/0".parse()?)
        .start()
        .await?;
    let shared = sharer.share_file(&source, Profile::default()).await?;
    fetch(shared.root.cid, sharer.addresses().await?, &target).await?;
    sharer.shutdown().await;
    if std::fs::read(&source)? == std::fs::read(&target)? {
        Ok(())
    } else {
        Err("the files differ".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}
