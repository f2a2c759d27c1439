//! Who may have which block: a friend is served, and a stranger cannot tell a refusal from absence.
//!
//! Run it: `cargo run -p bitswap-libp2p --features tokio --example access_policy`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bitswap_libp2p::bitswap_core::{self, Block, SessionOptions, Want, WantFailure, WhenMissing};
use bitswap_libp2p::{Behaviour, BlockDisposition, Event, MemoryStore};
use cid::Cid;
use futures::StreamExt as _;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, noise, tcp, yamux};

type Node = Swarm<Behaviour<MemoryStore>>;

fn swarm(store: MemoryStore) -> Result<Node, Box<dyn Error>> {
    let muxer = || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(1024);
        muxer
    };
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, muxer)?
        .with_behaviour(|_| Behaviour::new(Arc::new(store)))?
        .with_swarm_config(|config| config.with_max_negotiating_inbound_streams(1024))
        .build())
}

/// Asks the server for a block: whether it was given.
async fn is_given(
    client: &mut Node,
    server: &mut Node,
    address: &Multiaddr,
    cid: Cid,
) -> Result<bool, Box<dyn Error>> {
    // Ends as soon as the one peer that there is lacks the block.
    let options = SessionOptions {
        when_missing: WhenMissing::Fail,
        find_providers: false,
        ..SessionOptions::default()
    };
    let behaviour = client.behaviour_mut();
    let session = behaviour.open_session(options, BlockDisposition::Return)?;
    behaviour.want(session, [Want::from(cid)])?;
    client.dial(address.clone())?;
    loop {
        tokio::select! {
            _ = server.select_next_some() => {}
            event = client.select_next_some() => match event {
                SwarmEvent::Behaviour(Event::Engine(bitswap_core::Event::Block { .. })) => {
                    return Ok(true);
                }
                SwarmEvent::Behaviour(Event::Engine(bitswap_core::Event::Failed {
                    reason: WantFailure::NotFound(_),
                    ..
                })) => return Ok(false),
                _ => {}
            }
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new();
    let (public, private) = (Block::raw("for everybody"), Block::raw("for a friend"));
    store.insert(&public);
    store.insert(&private);
    let mut server = swarm(store)?;
    let (mut friend, mut stranger) = (swarm(MemoryStore::new())?, swarm(MemoryStore::new())?);

    // The policy: any function of peer and CID. It is asked for each block that a peer wants.
    let (trusted, restricted) = (*friend.local_peer_id(), *private.cid());
    server.behaviour_mut().set_access(move |peer, cid| *cid != restricted || *peer == trusted);

    server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    for (client, name, may) in [(&mut friend, "friend", true), (&mut stranger, "stranger", false)] {
        let shared = is_given(client, &mut server, &address, *public.cid()).await?;
        let secret = is_given(client, &mut server, &address, *private.cid()).await?;
        println!("{name}: for everybody {shared}, for a friend {secret}");
        if (shared, secret) != (true, may) {
            return Err(format!("the policy does not hold for the {name}").into());
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::time::timeout(Duration::from_secs(60), run()).await?
}
