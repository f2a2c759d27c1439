//! A node in a swarm that negotiates lazily, and peers made by hand.

use std::sync::Arc;
use std::time::Duration;

use bitswap_core::error::OpenError;
use bitswap_core::{Message, Version, WantKind};
use cid::Cid;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use libp2p_swarm::SwarmEvent;

use super::host::Host;
use super::node::{Node, holding, patient, until_got, want};
use super::raw_peer::{RawPeer, RawStream, send};
use super::{block, soon};
use crate::{Behaviour, BlockDisposition, EngineEvent, Event, MemoryStore};

/// A node that wants a block of a peer made by hand.
async fn wanting(cid: Cid) -> (Node, RawPeer) {
    let store: Arc<MemoryStore> = holding(&[]);
    let config = patient().with_lazy_negotiation();
    let behaviour = Behaviour::builder(store).with_config(config).with_seed([7; 32]).build();
    let mut node = Host::lazy(behaviour).await;
    let peer = RawPeer::dial(&node.address).await;
    node.until("a connection", |event| {
        matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())
    })
    .await;
    want(&node, BlockDisposition::Return, [cid]).await;
    (node, peer)
}

/// Whether the next message of a stream wants this block.
async fn wants(stream: &mut RawStream, cid: &Cid) -> bool {
    let message = stream.message().await.expect("the stream is open");
    let of =
        |kind| message.wantlist.entries.iter().any(|want| want.cid == *cid && want.kind == kind);
    of(WantKind::Block)
}

#[tokio::test]
async fn a_want_travels_with_the_name_of_the_protocol() {
    let wanted = block("wanted");
    let (mut node, mut peer) = wanting(*wanted.cid()).await;
    // All that comes without an answer.
    let mut stream = peer.accept_bare().await;
    let mut said = Vec::new();
    let digest = wanted.cid().hash().digest();
    soon("a want", async {
        while !said.windows(digest.len()).any(|some| some == digest) {
            let mut some = [0; 1024];
            let read = stream.read(&mut some).await.unwrap();
            assert_ne!(read, 0, "it ended after {said:?}");
            said.extend_from_slice(&some[..read]);
        }
    })
    .await;
    let names = b"\x13/multistream/1.0.0\n\x14/ipfs/bitswap/1.2.0\n";
    assert_eq!(said[..names.len()], names[..]);
    // The peer agrees, and the block comes on the same stream's other half.
    soon("an answer", stream.write_all(names)).await.unwrap();
    let mut answer = Message::default();
    answer.add_blocks([wanted.clone()]);
    for segment in answer.encode(Version::V1_2).into_segments() {
        soon("a write", stream.write_all(&segment)).await.unwrap();
    }
    soon("a flush", stream.flush()).await.unwrap();
    until_got(&mut node, &[wanted]).await;
}

#[tokio::test]
async fn a_peer_that_refuses_the_newest_version_is_asked_which_it_speaks() {
    let wanted = block("wanted");
    let (mut node, mut peer) = wanting(*wanted.cid()).await;
    let old = [Version::V1_1, Version::V1_0];
    assert!(peer.accept(&old).await.is_none(), "the newest is taken for granted");
    let mut stream = peer.accept(&old).await.expect("now it is asked");
    assert_eq!(stream.version, Version::V1_1);
    assert!(wants(&mut stream, wanted.cid()).await);
    let mut answer = Message::default();
    answer.add_blocks([wanted.clone()]);
    send(&mut peer.open(Version::V1_1).await, &answer).await;
    until_got(&mut node, &[wanted]).await;
}

#[tokio::test]
async fn a_round_trip_of_a_peer_that_the_engine_does_not_know_is_no_input() {
    let (node, peer) = wanting(*block("wanted").cid()).await;
    let stale = node
        .behaviour(move |node| {
            for of in [peer.id, PeerId::random()] {
                node.set_round_trip(of, Duration::from_millis(20));
            }
            node.stats().engine.stale_inputs
        })
        .await;
    assert_eq!(stale, 0);
}

#[tokio::test]
async fn a_peer_that_refuses_every_version_does_not_speak_bitswap() {
    let (mut node, mut peer) = wanting(*block("wanted").cid()).await;
    // Both times it is told so by multistream-select alone: it says no to each name.
    let refusals = tokio::spawn(async move {
        for _ in 0..2 {
            let stream = peer.accept_bare().await;
            let names = ["/other"].into_iter();
            assert!(multistream_select::listener_select_proto(stream, names).await.is_err());
        }
        peer
    });
    let error = node
        .until_event("the end of its attempts", |event| match event {
            Event::Engine(EngineEvent::Unreachable { error, .. }) => Some(error),
            _ => None,
        })
        .await;
    assert_eq!(error, OpenError::Unsupported);
    let _peer = soon("refusals", refusals).await.unwrap();
}
