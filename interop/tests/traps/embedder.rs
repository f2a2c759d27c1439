//! A swarm of somebody else with our behaviour in it, and nothing of our node.

use std::sync::Arc;

use bitswap_core::{Block, SessionOptions, Want, WantFailure, WhenMissing};
use bitswap_libp2p::{Behaviour, BlockDisposition, EngineEvent, Event, MemoryStore};
use cid::Cid;
use futures::StreamExt as _;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, SwarmBuilder, noise, tcp, yamux};

/// Connects to a peer and wants a block of it until it comes or the peer denies it. Unlike our node's
/// `get`, the behaviour asks for whatever it is told to, also for a block that its CID proves.
pub(crate) async fn want_block(from: Multiaddr, cid: Cid) -> Result<Block, WantFailure<PeerId>> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| Behaviour::new(Arc::new(MemoryStore::new())))
        .unwrap()
        .build();
    let options = SessionOptions {
        find_providers: false,
        when_missing: WhenMissing::Fail,
        ..SessionOptions::default()
    };
    let bitswap = swarm.behaviour_mut();
    let session = bitswap.open_session(options, BlockDisposition::Return).unwrap();
    bitswap.want(session, [Want::from(cid)]).unwrap();
    swarm.dial(from).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(Event::Engine(event)) => match event {
                EngineEvent::Block { block, .. } => return Ok(block),
                EngineEvent::Failed { reason, .. } => return Err(reason),
                _ => {}
            },
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}
