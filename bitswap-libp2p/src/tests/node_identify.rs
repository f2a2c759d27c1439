//! A node among other behaviours: what identify says of a peer is used, and not needed.

use std::time::Duration;

use bitswap_core::{Block, ProtocolSupport};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, identify};
use libp2p_swarm::dummy;

use super::block;
use super::host::Host;
use super::node::holding;
use crate::{Behaviour, BlockDisposition, EngineEvent, Event, MemoryStore};

#[derive(NetworkBehaviour)]
struct Full {
    identify: identify::Behaviour,
    bitswap: Behaviour<MemoryStore>,
}

#[derive(NetworkBehaviour)]
struct Other {
    identify: identify::Behaviour,
    nothing: dummy::Behaviour,
}

fn identify(key: &Keypair) -> identify::Behaviour {
    identify::Behaviour::new(identify::Config::new("/test/1".into(), key.public()))
}

const IDLE: Duration = Duration::from_secs(60);

async fn full(blocks: &[Block]) -> Host<Full> {
    let bitswap = Behaviour::builder(holding(blocks)).with_seed([7; 32]).build();
    let key = Keypair::generate_ed25519();
    Host::with_key(&key, Full { identify: identify(&key), bitswap }, IDLE).await
}

/// Waits until the node knows what identify says of a peer.
async fn support(node: &Host<Full>, peer: PeerId) -> ProtocolSupport {
    super::soon("identify", async {
        loop {
            let info = node.behaviour(move |node| node.bitswap.peer(peer)).await;
            let support = info.and_then(|info| info.stats).unwrap().support;
            if support != ProtocolSupport::Unknown {
                return support;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_that_lists_bitswap_is_asked_and_one_that_does_not_is_left_alone() {
    let ours = block("ours");
    let mut a = full(std::slice::from_ref(&ours)).await;
    let mut b = full(&[]).await;
    let key = Keypair::generate_ed25519();
    let other = Other { identify: identify(&key), nothing: dummy::Behaviour };
    let mut other = Host::with_key(&key, other, IDLE).await;
    b.connect(&mut other).await;
    assert_eq!(support(&b, other.id).await, ProtocolSupport::No);
    a.connect(&mut b).await;
    assert_eq!(support(&b, a.id).await, ProtocolSupport::Yes);
    let cid = *ours.cid();
    b.behaviour(move |b| {
        let session = b.bitswap.open_session(Default::default(), BlockDisposition::Return).unwrap();
        b.bitswap.want(session, [cid.into()]).unwrap();
    })
    .await;
    b.until_event("the block", |event| match event {
        FullEvent::Bitswap(Event::Engine(EngineEvent::Block { block, .. })) => {
            (block == ours).then_some(())
        }
        FullEvent::Bitswap(Event::Engine(EngineEvent::Unreachable { peer, .. })) => {
            panic!("{peer} was tried")
        }
        _ => None,
    })
    .await;
}
