//! Shares a folder from where it lies, lists it from another node, and fetches one file out of it and then all.
//!
//! Run it: `cargo run -p bitswap-runtime-tokio --example share_folder`.

use std::error::Error;
use std::fs;
use std::time::Duration;

use bitswap_node::{FetchOptions, FetchTreeOptions, Node, SessionOptions, ShareTreeOptions};
use bitswap_runtime_tokio::Tokio;

async fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let photos = folder.path().join("photos");
    fs::create_dir_all(photos.join("2026"))?;
    fs::write(photos.join("2026/summer.jpg"), vec![1; 300_000])?;
    fs::write(photos.join("read me.txt"), "what is in here")?;

    let sharer = Node::builder(Tokio::current())
        .with_listen_address("/ip4/127.0.0.1/tcp/0".parse()?)
        .start()
        .await?;
    let shared = sharer.share_tree(&[photos], ShareTreeOptions::default(), |_| {}).await?;
    println!("{}: {} files, {} bytes", shared.root.cid, shared.files.len(), shared.size);

    let fetcher = Node::builder(Tokio::current()).start().await?;
    for address in sharer.addresses().await? {
        fetcher.connect(address).await?;
    }
    // A file out of it: only the blocks on the way there and its own are fetched.
    let path = ["2026".to_owned(), "summer.jpg".to_owned()];
    let found = fetcher.resolve(shared.root.cid, path, SessionOptions::default()).await?;
    let one = folder.path().join("one.jpg");
    let fetched = fetcher.fetch_file(found.cid, &one, FetchOptions::default())?.finish().await?;
    println!("{}: {} bytes", one.display(), fetched.finished.size);

    // All of it.
    let copy = folder.path().join("copy");
    let options = FetchTreeOptions::default();
    fetcher.fetch_tree(shared.root.cid, &copy, options)?.finish().await?;
    fetcher.shutdown().await;
    sharer.shutdown().await;
    let summer = fs::read(copy.join("2026/summer.jpg"))?;
    if summer == fs::read(one)? && fs::read(copy.join("read me.txt"))? == b"what is in here" {
        Ok(())
    } else {
        Err("the copy differs".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}
