//! A behaviour in a swarm of one's own, beside another behaviour, with a store of one's own.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitswap_libp2p::bitswap_core::Block;
use bitswap_libp2p::{Behaviour, Blockstore, Event, StoreError};
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _, ready};
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, noise, ping, tcp, yamux};

/// A store of one's own: keyed by multihash, so that a block is found under every codec.
#[derive(Default)]
struct Blocks(Mutex<BTreeMap<Vec<u8>, Bytes>>);

impl Blocks {
    fn insert(&self, block: &Block) {
        // A copy: received bytes are a slice of the message that they came in.
        let bytes = Bytes::copy_from_slice(block.data());
        self.0.lock().unwrap().insert(block.cid().hash().to_bytes(), bytes);
    }

    fn bytes_of(&self, cid: &Cid) -> Option<Bytes> {
        self.0.lock().unwrap().get(&cid.hash().to_bytes()).cloned()
    }
}

impl Blockstore for Blocks {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        let size = |cid| Ok(self.bytes_of(cid).map(|bytes| bytes.len() as u32));
        ready(cids.iter().map(size).collect()).boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        ready(cids.iter().map(|cid| Ok(self.bytes_of(cid))).collect()).boxed()
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        blocks.iter().for_each(|block| self.insert(block));
        ready(Ok(())).boxed()
    }
}

#[derive(NetworkBehaviour)]
struct Own {
    bitswap: Behaviour<Blocks>,
    ping: ping::Behaviour,
}

fn swarm(store: Arc<Blocks>) -> Result<Swarm<Own>, Box<dyn Error>> {
    let muxer = || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(1024);
        muxer
    };
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, muxer)?
        .with_behaviour(|_| Own {
            bitswap: Behaviour::new(store),
            ping: ping::Behaviour::default(),
        })?
        .with_swarm_config(|config| config.with_max_negotiating_inbound_streams(1024))
        .build())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}

async fn run() -> Result<(), Box<dyn Error>> {
    let block = Block::raw("a block of the store");
    let stored = Arc::new(Blocks::default());
    stored.insert(&block);
    let mut server = swarm(stored)?;
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    let fetched = Arc::new(Blocks::default());
    let mut client = swarm(fetched.clone())?;
    let wanted = client.behaviour_mut().bitswap.get(*block.cid());
    client.dial(address)?;
    let received = loop {
        tokio::select! {
            _ = server.select_next_some() => {}
            event = client.select_next_some() => match event {
                SwarmEvent::Behaviour(OwnEvent::Bitswap(Event::GetFinished { request, result }))
                    if request == wanted => break result?,
                _ => {}
            }
        }
    };
    if received != block || fetched.bytes_of(block.cid()).as_ref() != Some(block.data()) {
        return Err("this is not the block that was asked for".into());
    }
    println!("{} bytes of {}", received.data().len(), received.cid());
    Ok(())
}
