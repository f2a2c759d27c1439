//! When connections learn whether they are needed: a behaviour without a swarm.

use std::sync::Arc;
use std::task::{Context, Poll};

use bitswap_core::{Entry, Message, PeerSet, SessionOptions, StreamKind, Version, WantKind};
use either::Either;
use futures::task::noop_waker_ref;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, multihash::Multihash};
use libp2p::{Multiaddr, PeerId};
use libp2p_swarm::behaviour::ConnectionEstablished;
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
};

use super::{Wakes, block, room};
use crate::handler::{Handler, HandlerEvent, StreamEvent};
use crate::mailbox::StreamId;
use crate::{Behaviour, BlockDisposition, MemoryStore};

type Node = Behaviour<MemoryStore>;

/// Peers enough that looking at one of them in turn takes long.
const PEERS: usize = 200;

/// A peer of this number, in the order of all peers.
fn peer(number: usize) -> PeerId {
    let digest = (number as u64).to_be_bytes();
    PeerId::from_multihash(Multihash::wrap(0, &digest).unwrap()).unwrap()
}

/// The peer connects, once more perhaps; the node's side of the connection.
fn connect(node: &mut Node, number: usize, connection: usize) -> Handler {
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let endpoint = ConnectedPoint::Dialer {
        address: address.clone(),
        role_override: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let (peer_id, connection_id) = (peer(number), ConnectionId::new_unchecked(connection));
    let handler =
        node.handle_established_inbound_connection(connection_id, peer_id, &address, &address);
    node.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
        peer_id,
        connection_id,
        endpoint: &endpoint,
        failed_addresses: &[],
        other_established: usize::from(number != connection),
    }));
    handler.unwrap().left().expect("it is not relayed")
}

/// A node that is connected to all the peers, and its sides of the connections.
fn connected() -> (Node, Vec<Handler>) {
    let store = Arc::new(MemoryStore::new());
    let mut node = Behaviour::builder(store).with_seed([7; 32]).build();
    let connections = (0..PEERS).map(|number| connect(&mut node, number, number)).collect();
    (node, connections)
}

/// The numbers of the connections that are kept alive, and the streams that any of them is to open.
fn look(connections: &mut [Handler]) -> (Vec<usize>, Vec<(StreamKind, StreamId)>) {
    let cx = &mut Context::from_waker(noop_waker_ref());
    let (mut kept, mut opening) = (Vec::new(), Vec::new());
    for (number, connection) in connections.iter_mut().enumerate() {
        while let Poll::Ready(event) = connection.poll(cx) {
            if let ConnectionHandlerEvent::OutboundSubstreamRequest { protocol } = event {
                opening.push(*protocol.info());
            }
        }
        if connection.connection_keep_alive() {
            kept.push(number);
        }
    }
    (kept, opening)
}

/// The peer's connection reports this, and the node has its turn.
fn reports(node: &mut Node, number: usize, report: HandlerEvent) {
    let connection = ConnectionId::new_unchecked(number);
    node.on_connection_handler_event(peer(number), connection, Either::Left(report));
    let _ = node.poll(&mut Context::from_waker(noop_waker_ref()));
}

/// The peer sends this, and the node applies it: at once, or after a rest when it has worked for long.
async fn says(node: &mut Node, number: usize, entry: Entry) {
    let wants = !entry.cancel;
    let mut message = Message::default();
    message.wantlist.entries = vec![entry];
    let mut report = HandlerEvent::default();
    report.message(message, room());
    reports(node, number, report);
    super::soon("the message to be applied", async {
        while node.peer_wantlist(peer(number)).is_empty() == wants {
            tokio::task::yield_now().await;
            let _ = node.poll(&mut Context::from_waker(noop_waker_ref()));
        }
    })
    .await;
}

const SOME: [u32; 4] = [3, 50, 120, 199];

#[tokio::test]
async fn a_connection_is_needed_as_soon_as_its_peer_is_asked() {
    let (mut node, mut connections) = connected();
    assert!(look(&mut connections).0.is_empty());
    for number in SOME {
        let peers = PeerSet::Only(vec![peer(number as usize)]);
        let options = SessionOptions { peers, ..SessionOptions::default() };
        let session = node.open_session(options, BlockDisposition::Return).unwrap();
        let cid = *block(number.to_string()).cid();
        node.want(session, [cid.into()]).unwrap();
        let kept = look(&mut connections).0;
        assert!(kept.contains(&(number as usize)), "peer {number} was just asked");
    }
}

#[tokio::test]
async fn another_connection_to_a_peer_that_is_needed_is_needed_too() {
    let (mut node, _connections) = connected();
    let peers = PeerSet::Only(vec![peer(3)]);
    let options = SessionOptions { peers, ..SessionOptions::default() };
    let session = node.open_session(options, BlockDisposition::Return).unwrap();
    let cid = *block("wanted").cid();
    node.want(session, [cid.into()]).unwrap();
    let mut others = [3, 4].map(|number| connect(&mut node, number, PEERS + number));
    assert_eq!(look(&mut others).0, [0]);
}

#[tokio::test]
async fn a_connection_is_needed_as_soon_as_its_peer_asks_and_until_it_does_not() {
    let (mut node, mut connections) = connected();
    let cid = *block("nobody has it").cid();
    for number in SOME.map(|number| number as usize) {
        says(&mut node, number, Entry::want(cid, WantKind::Block, 1, false)).await;
        let (kept, opening) = look(&mut connections);
        assert_eq!(kept, [number], "something may have to be said to it");
        let [(kind, stream)] = opening[..] else { panic!("one stream: {opening:?}") };
        let mut report = HandlerEvent::default();
        report.kind(kind, stream, StreamEvent::Opened(Ok(Version::V1_2)));
        reports(&mut node, number, report);
        super::soon("the store", async {
            while node.stats().store_calls > 0 {
                tokio::task::yield_now().await;
                let _ = node.poll(&mut Context::from_waker(noop_waker_ref()));
            }
        })
        .await;
        assert_eq!(look(&mut connections).0, [number], "it still wants what is not here");
        says(&mut node, number, Entry::cancel(cid)).await;
        assert!(look(&mut connections).0.is_empty(), "peer {number} wants nothing any more");
    }
}

#[tokio::test]
async fn what_the_store_answers_at_once_while_the_node_is_polled_is_taken_at_once() {
    let (mut node, _connections) = connected();
    let mut message = Message::default();
    let cid = *block("nobody has it").cid();
    message.wantlist.entries = vec![Entry::want(cid, WantKind::Block, 1, false)];
    let mut report = HandlerEvent::default();
    report.message(message, room());
    node.on_connection_handler_event(peer(3), ConnectionId::new_unchecked(3), Either::Left(report));
    super::soon("the message to be applied", async {
        loop {
            // Whoever calls the node wakes the task that polled it last, so none is known to it now.
            node.notify_new_blocks(&[]);
            let (wakes, waker) = Wakes::new();
            let _ = node.poll(&mut Context::from_waker(&waker));
            if node.stats().store_calls > 0 {
                break assert!(wakes.count() > 0, "the answer waits");
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}
