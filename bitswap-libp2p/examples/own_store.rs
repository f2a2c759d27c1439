//! A store of one's own: each block is a file, named by its multihash.
//!
//! What blocks a thread runs on tokio's blocking pool. A store is keyed by multihash, so that a block stored
//! as dag-pb is found as raw too.
//!
//! Run it: `cargo run -p bitswap-libp2p --features tokio --example own_store`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use bitswap_libp2p::bitswap_core::Block;
use bitswap_libp2p::{Behaviour, Blockstore, Event, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, noise, tcp, yamux};

/// Blocks as files in one folder.
#[derive(Clone)]
struct Folder(PathBuf);

impl Folder {
    fn path(&self, cid: &Cid) -> PathBuf {
        let name: String = cid.hash().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(name)
    }

    fn write(&self, block: &Block) -> io::Result<()> {
        // Under its name it is complete, also after a crash.
        let file = tempfile::NamedTempFile::new_in(&self.0)?;
        fs::write(file.path(), block.data())?;
        file.as_file().sync_all()?;
        file.persist(self.path(block.cid()))?;
        Ok(())
    }

    /// Looks each block up, on a thread that may block.
    fn look_up<T: Send + 'static>(
        &self,
        cids: Vec<Cid>,
        read: fn(&Path) -> io::Result<T>,
    ) -> BoxFuture<'_, Vec<Result<Option<T>, StoreError>>> {
        let this = self.clone();
        let all = cids.len();
        let look_up = move |cid: &Cid| match read(&this.path(cid)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::new(error)),
        };
        async move {
            let work = tokio::task::spawn_blocking(move || cids.iter().map(look_up).collect());
            work.await.unwrap_or_else(|error| {
                let error = StoreError::new(error);
                (0..all).map(|_| Err(error.clone())).collect()
            })
        }
        .boxed()
    }
}

impl Blockstore for Folder {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.look_up(cids, |path| Ok(fs::metadata(path)?.len() as u32))
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.look_up(cids, |path| Ok(fs::read(path)?.into()))
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        let this = self.clone();
        async move {
            let write = move || blocks.iter().try_for_each(|block| this.write(block));
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(StoreError::new)?.map_err(StoreError::new)
        }
        .boxed()
    }
}

fn swarm(store: Arc<Folder>) -> Result<Swarm<Behaviour<Folder>>, Box<dyn Error>> {
    let muxer = || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(1024);
        muxer
    };
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, muxer)?
        .with_behaviour(|_| Behaviour::new(store))?
        .with_swarm_config(|config| config.with_max_negotiating_inbound_streams(1024))
        .build())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (theirs, ours) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let block = Block::raw("a block in a file");
    let stored = Folder(theirs.path().to_owned());
    stored.write(&block)?;
    let mut server = swarm(Arc::new(stored))?;
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };

    let fetched = Arc::new(Folder(ours.path().to_owned()));
    let mut client = swarm(fetched.clone())?;
    let wanted = client.behaviour_mut().get(*block.cid());
    client.dial(address)?;
    loop {
        tokio::select! {
            _ = server.select_next_some() => {}
            event = client.select_next_some() => match event {
                SwarmEvent::Behaviour(Event::GetFinished { request, result })
                    if request == wanted =>
                {
                    result?;
                    break;
                }
                _ => {}
            }
        }
    }
    let file = fetched.path(block.cid());
    println!("{} is in {}", block.cid(), file.display());
    if fs::read(file)? == **block.data() { Ok(()) } else { Err("these are other bytes".into()) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}
