//! Calls that a swarm makes of the behaviour, made by hand.

use std::sync::Arc;
use std::task::Context;

use either::Either;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::{Multiaddr, PeerId};
use libp2p_swarm::{ConnectionId, NetworkBehaviour as _};

use super::{Wakes, block, bytes};
use crate::{Behaviour, MemoryStore};

fn behaviour() -> Behaviour<MemoryStore> {
    Behaviour::new(Arc::new(MemoryStore::new()))
}

#[tokio::test]
async fn a_connection_over_a_relay_carries_no_bitswap() {
    let mut behaviour = behaviour();
    let (id, peer) = (ConnectionId::new_unchecked(1), PeerId::random());
    let direct: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let relayed: Multiaddr = format!("{direct}/p2p/{peer}/p2p-circuit").parse().unwrap();
    for (local, remote) in [(&direct, &direct), (&direct, &relayed), (&relayed, &direct)] {
        let is_relayed = [local, remote].contains(&&relayed);
        let handler = behaviour.handle_established_inbound_connection(id, peer, local, remote);
        assert_eq!(matches!(handler, Ok(Either::Right(_))), is_relayed, "{local} {remote}");
    }
    for address in [&direct, &relayed] {
        let (role, port) = (Endpoint::Dialer, PortUse::Reuse);
        let handler =
            behaviour.handle_established_outbound_connection(id, peer, address, role, port);
        assert_eq!(matches!(handler, Ok(Either::Right(_))), address == &relayed, "{address}");
    }
}

/// Others have their turn between.
#[tokio::test]
async fn a_poll_takes_a_bounded_number_of_answers_of_the_store_and_comes_again_for_more() {
    for (answers, again) in [(63, 0), (65, 1)] {
        let mut behaviour = behaviour();
        for seed in 0..answers {
            behaviour.put(vec![block(bytes(seed, 10))]);
        }
        let (wakes, waker) = Wakes::new();
        assert!(behaviour.poll(&mut Context::from_waker(&waker)).is_ready());
        assert_eq!(wakes.count(), again, "{answers} answers");
    }
}

#[tokio::test]
async fn a_behaviour_is_idle_once_nothing_is_on_its_way_to_the_store_or_to_the_user() {
    let mut behaviour = behaviour();
    assert!(behaviour.is_idle());
    behaviour.put(vec![block("put")]);
    assert!(!behaviour.is_idle(), "it is being stored");
    let waker = std::task::Waker::noop();
    assert!(behaviour.poll(&mut Context::from_waker(waker)).is_ready());
    assert!(behaviour.is_idle());
    let missing = behaviour.get(*block("missing").cid());
    let cx = &mut Context::from_waker(waker);
    while behaviour.poll(cx).is_ready() {}
    assert!(!behaviour.is_idle(), "it is waited for");
    behaviour.cancel_get(missing);
    while behaviour.poll(cx).is_ready() {}
    assert!(behaviour.is_idle());
}
