//! A node and peers made by hand: versions, connections that come and go, peers that misbehave.

use std::time::Duration;

use bitswap_core::{Block, Entry, Message, SessionOptions, Version, WantKind};
use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::identity::Keypair;
use libp2p_swarm::{ConnectionError, SwarmEvent};

use super::host::Host;
use super::node::{Node, holding, node, node_with, patient, until_got, want};
use super::raw_peer::{RawPeer, RawStream, send};
use super::{block, bytes, soon};
use crate::{Behaviour, BlockDisposition, Config, EngineEvent, Event, MemoryStore};

/// What a peer made by hand answers with.
fn answer(blocks: impl IntoIterator<Item = Block>) -> Message {
    let mut message = Message::default();
    message.add_blocks(blocks);
    message
}

/// A wish for blocks.
fn wish(cids: impl IntoIterator<Item = Cid>) -> Message {
    let mut message = Message::default();
    let entry = |cid| Entry::want(cid, WantKind::Block, 1, true);
    message.wantlist.entries = cids.into_iter().map(entry).collect();
    message
}

/// The CIDs that the next message with any wants, cancels aside.
async fn wanted(stream: &mut RawStream) -> Vec<Cid> {
    loop {
        let message = stream.message().await.expect("the stream is open");
        let wants = message.wantlist.entries.iter().filter(|entry| !entry.cancel);
        let cids: Vec<Cid> = wants.map(|entry| entry.cid).collect();
        if !cids.is_empty() {
            return cids;
        }
    }
}

/// Waits until the node has seen this many connections open.
async fn connected(node: &mut Node, count: usize) {
    for _ in 0..count {
        node.until("a connection", |event| {
            matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())
        })
        .await;
    }
}

/// The same bytes under a CIDv0, as peers without CID prefixes need it.
fn v0(data: &'static str) -> Block {
    let any = Cid::new_v0(Multihash::wrap(0x12, &[0; 32]).unwrap()).unwrap();
    bitswap_core::Prefix::of(&any).unwrap().block(Bytes::from_static(data.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_peer_of_each_version_serves_and_is_served() {
    for version in Version::PREFERRED {
        let (ours, theirs) = (v0("ours"), v0("theirs"));
        let mut node = node(std::slice::from_ref(&ours)).await;
        let mut peer = RawPeer::dial(&node.address).await;
        connected(&mut node, 1).await;
        want(&node, BlockDisposition::Return, [*theirs.cid()]).await;
        let mut wants = peer.accept(&[version]).await.expect("it is offered");
        assert_eq!(wants.version, version);
        assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
        let mut answers = peer.open(version).await;
        for segment in answer([theirs.clone()]).encode(version).into_segments() {
            answers.write_all(&segment).await.unwrap();
        }
        answers.flush().await.unwrap();
        until_got(&mut node, &[theirs]).await;

        send(&mut answers, &wish([*ours.cid()])).await;
        let mut served = peer.accept(&[version]).await.expect("it is offered");
        let message = served.message().await.expect("an answer");
        assert_eq!(message.blocks, [ours], "{version:?}");
    }
}

#[tokio::test]
async fn the_version_that_worked_is_offered_first() {
    let theirs = v0("theirs");
    let mut node = node(std::slice::from_ref(&theirs)).await;
    let mut peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    want(&node, BlockDisposition::Return, [*v0("nobody has it").cid()]).await;
    peer.accept(&[Version::V1_0]).await.expect("offered third");
    // Its other stream opens next: this time the first offer is what worked.
    let mut stream = peer.open(Version::V1_0).await;
    send(&mut stream, &wish([*theirs.cid()])).await;
    let mut bare = peer.accept_bare().await;
    let mut offered = Vec::new();
    soon("an offer", async {
        while offered.iter().filter(|byte| **byte == b'\n').count() < 2 {
            let mut byte = [0];
            bare.read_exact(&mut byte).await.unwrap();
            offered.push(byte[0]);
        }
    })
    .await;
    let offered = String::from_utf8_lossy(&offered).into_owned();
    assert!(offered.ends_with("/ipfs/bitswap/1.0.0\n"), "{offered:?}");
}

#[tokio::test]
async fn answers_on_a_stream_of_their_own_each_are_all_read() {
    let blocks: Vec<Block> = (0..1000).map(|seed| block(bytes(seed, 20_000))).collect();
    let mut node = node(&[]).await;
    let mut peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let session =
        want(&node, BlockDisposition::Return, blocks.iter().map(|block| *block.cid())).await;
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    let mut left: Vec<Block> = blocks.clone();
    while !left.is_empty() {
        let asked = wanted(&mut wants).await;
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|block| asked.contains(block.cid()));
        left = later;
        for now in now.chunks(400) {
            // All are open before the first of them speaks.
            let mut streams = Vec::new();
            for _ in now {
                streams.push(peer.open(Version::V1_2).await);
            }
            let writes = streams.iter_mut().zip(now).map(|(stream, block)| async move {
                send(stream, &answer([block.clone()])).await;
                stream.close().await.unwrap();
            });
            futures::future::join_all(writes).await;
            // The peer may forget them once the node has read them to their ends.
            for stream in &mut streams {
                let end = stream.read_to_end(&mut Vec::new()).await;
                assert_eq!(end.unwrap(), 0);
            }
        }
        let taken = 20_000 * now.len() as u64;
        node.behaviour(move |node| node.release_capacity(session, taken)).await;
    }
    until_got(&mut node, &blocks).await;
    assert_eq!(node.behaviour(|node| node.stats()).await.traffic.evicted_streams, 0);
}

#[tokio::test]
async fn answers_on_the_stream_that_we_opened_are_read() {
    let theirs = block("theirs");
    let mut node = node(&[]).await;
    let mut peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    want(&node, BlockDisposition::Return, [*theirs.cid()]).await;
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    send(&mut wants.stream, &answer([theirs.clone()])).await;
    until_got(&mut node, &[theirs]).await;
}

#[tokio::test]
async fn a_reconnected_peer_is_told_again() {
    let theirs = block("theirs");
    let key = Keypair::generate_ed25519();
    let mut node = node(&[]).await;
    let mut peer = RawPeer::dial_as(&key, &node.address).await;
    connected(&mut node, 1).await;
    want(&node, BlockDisposition::Return, [*theirs.cid()]).await;
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    peer.hang_up();
    let gone = key.public().to_peer_id();
    node.until_event("the peer to be gone", |event| match event {
        Event::Engine(EngineEvent::PeerDisconnected { peer, .. }) => (peer == gone).then_some(()),
        _ => None,
    })
    .await;
    let mut peer = RawPeer::dial_as(&key, &node.address).await;
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    send(&mut peer.open(Version::V1_2).await, &answer([theirs.clone()])).await;
    until_got(&mut node, &[theirs]).await;
}

/// A node with two connections to one peer; the first is in use. No want is told again because it is late.
async fn twice_connected(blocks: &[Block]) -> (Node, RawPeer, RawPeer) {
    let key = Keypair::generate_ed25519();
    let (engine, long) = (bitswap_core::Config::default(), Duration::from_secs(3600));
    let engine = engine.with_stream_idle(Duration::from_secs(600)).unwrap();
    let engine = engine.with_deadlines(long, long, long).unwrap();
    let mut node = node_with(patient().with_engine(engine), holding(blocks)).await;
    let first = RawPeer::dial_as(&key, &node.address).await;
    connected(&mut node, 1).await;
    let second = RawPeer::dial_as(&key, &node.address).await;
    connected(&mut node, 1).await;
    let stats = node.behaviour(|node| node.stats()).await;
    assert_eq!((stats.engine.peers, stats.engine.stale_inputs), (1, 0), "it is introduced once");
    (node, first, second)
}

#[tokio::test]
async fn when_the_connection_in_use_closes_the_other_takes_over() {
    let theirs = block("theirs");
    let (mut node, mut first, mut second) = twice_connected(&[]).await;
    want(&node, BlockDisposition::Return, [*theirs.cid()]).await;
    let mut wants = first.accept(&Version::PREFERRED).await.expect("the first is in use");
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    first.hang_up();
    let mut wants = second.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    send(&mut second.open(Version::V1_2).await, &answer([theirs.clone()])).await;
    until_got(&mut node, &[theirs]).await;
    let peer = second.id;
    let info = node.behaviour(move |node| node.peer(peer)).await;
    assert_eq!(info.expect("it is still connected").connections, 1);
}

#[tokio::test]
async fn when_another_connection_closes_the_wants_are_told_again() {
    // The peer may have been answering on the one that closed.
    let theirs = block("theirs");
    let (mut node, mut first, second) = twice_connected(&[]).await;
    want(&node, BlockDisposition::Return, [*theirs.cid()]).await;
    let mut wants = first.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    second.hang_up();
    let mut wants = first.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    send(&mut first.open(Version::V1_2).await, &answer([theirs.clone()])).await;
    until_got(&mut node, &[theirs]).await;
}

#[tokio::test]
async fn a_peer_that_stops_reading_loses_its_stream_and_not_its_block() {
    let ours = block(bytes(1, 2 << 20));
    let config = Config::default().with_stall_window(Duration::from_millis(100)).unwrap();
    let store = holding(std::slice::from_ref(&ours));
    let mut node = node_with(config, store).await;
    let mut peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let mut asking = peer.open(Version::V1_2).await;
    send(&mut asking, &wish([*ours.cid()])).await;
    let unread = peer.accept(&Version::PREFERRED).await.unwrap();
    let id = peer.id;
    soon("a stalled stream", async {
        let stalled =
            move |node: &mut Behaviour<MemoryStore>| node.peer(id).unwrap().traffic.stalled_streams;
        while node.behaviour(stalled).await == 0 {}
    })
    .await;
    drop(unread);
    // It goes out again on another stream, to a peer that reads now.
    let mut answers = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(answers.message().await.expect("an answer").blocks, [ours]);
}

#[tokio::test]
async fn an_answer_that_was_cut_by_a_closing_connection_goes_out_on_the_other() {
    let ours = block(bytes(1, 1 << 20));
    let (_node, mut first, mut second) = twice_connected(std::slice::from_ref(&ours)).await;
    let mut asking = second.open(Version::V1_2).await;
    send(&mut asking, &wish([*ours.cid()])).await;
    let unread = first.accept(&Version::PREFERRED).await.expect("the first is in use");
    first.hang_up();
    drop(unread);
    let mut answers = second.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(answers.message().await.expect("an answer").blocks, [ours]);
}

#[tokio::test]
async fn a_want_stream_that_the_peer_resets_is_opened_again_with_the_wants() {
    let theirs = block("theirs");
    let mut node = node(&[]).await;
    let mut peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    want(&node, BlockDisposition::Return, [*theirs.cid()]).await;
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
    drop(wants);
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [*theirs.cid()]);
}

#[tokio::test]
async fn peers_that_stand_still_hold_up_nobody() {
    let ours: Vec<Block> = (0..8).map(|seed| block(bytes(seed, 1 << 20))).collect();
    let theirs: Vec<Block> = (50..60).map(|seed| block(bytes(seed, 100_000))).collect();
    let mut node = node(&ours).await;
    let all = || ours.iter().map(|block| *block.cid());

    // One never finishes a negotiation, though it asks for everything.
    let mut mute = RawPeer::dial(&node.address).await;
    let mut asking = mute.open(Version::V1_2).await;
    send(&mut asking, &wish(all())).await;
    let _never_answered = mute.accept_bare().await;
    // Several ask for everything and read nothing.
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut peer = RawPeer::dial(&node.address).await;
        let mut asking = peer.open(Version::V1_2).await;
        send(&mut asking, &wish(all())).await;
        let answers = peer.accept(&Version::PREFERRED).await.unwrap();
        deaf.push((peer, asking, answers));
    }
    // One has begun a hundred messages that never end.
    let slow = RawPeer::dial(&node.address).await;
    let mut dripping = Vec::new();
    for _ in 0..100 {
        let mut stream = slow.open(Version::V1_2).await;
        stream.write_all(&[0xff, 0x7f, 0x0a]).await.unwrap();
        stream.flush().await.unwrap();
        dripping.push(stream);
    }
    connected(&mut node, 6).await;

    let mut honest = super::node::node(&theirs).await;
    honest.connect(&mut node).await;
    want(&honest, BlockDisposition::Return, all()).await;
    want(&node, BlockDisposition::Return, theirs.iter().map(|block| *block.cid())).await;
    until_got(&mut honest, &ours).await;
    until_got(&mut node, &theirs).await;
}

#[tokio::test]
async fn a_connection_is_kept_while_a_want_waits_and_closes_afterwards() {
    let idle = Duration::from_millis(30);
    let behaviour = Behaviour::builder(holding(&[])).with_seed([7; 32]).build();
    let mut node: Node<MemoryStore> = Host::with_idle_timeout(behaviour, idle).await;
    let closed = |by: libp2p::PeerId| {
        move |event| match event {
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                assert!(matches!(cause, Some(ConnectionError::KeepAliveTimeout)), "{cause:?}");
                assert_eq!(peer_id, by);
                Some(())
            }
            _ => None,
        }
    };
    let mut asked = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let only = asked.id;
    let cid = *block("nobody has it").cid();
    let session = node
        .behaviour(move |node| {
            let peers = bitswap_core::PeerSet::Only(vec![only]);
            let options = SessionOptions { peers, ..SessionOptions::default() };
            let session = node.open_session(options, BlockDisposition::Return).unwrap();
            node.want(session, [cid.into()]).unwrap();
            session
        })
        .await;
    let mut wants = asked.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [cid]);
    // Two connections that nobody needs come and go: the first outlives their idle time.
    for _ in 0..2 {
        let passing = RawPeer::dial(&node.address).await;
        node.until("an idle connection to close", closed(passing.id)).await;
    }
    node.behaviour(move |node| node.close_session(session)).await;
    let message = wants.message().await.expect("a cancel, on the same stream");
    assert_eq!(message.wantlist.entries, [Entry::cancel(cid)]);
    node.until("the connection to close", closed(only)).await;
}

#[tokio::test]
async fn the_number_of_streams_read_at_a_time_is_a_setting() {
    let config = patient().with_inbound_streams_max(8).unwrap();
    let mut node = node_with(config, holding(&[])).await;
    let peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(peer.open(Version::V1_2).await);
    }
    send(streams.last_mut().unwrap(), &wish([*block("any").cid()])).await;
    let id = peer.id;
    soon("evictions", async {
        loop {
            let info = node.behaviour(move |node| node.peer(id)).await.unwrap();
            if info.traffic.evicted_streams == 12 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_tells_the_user_and_the_peers() {
    use bitswap_core::WantFailure;
    let mut node = node(&[]).await;
    let mut peer = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let cid = *block("never").cid();
    want(&node, BlockDisposition::Return, [cid]).await;
    let mut wants = peer.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(wanted(&mut wants).await, [cid]);
    node.behaviour(|node| node.shutdown()).await;
    let reason = node.until_event("the want to fail", |event| match event {
        Event::Engine(EngineEvent::Failed { reason, .. }) => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, WantFailure::ShutDown);
    let message = wants.message().await.expect("a cancel");
    assert_eq!(message.wantlist.entries, [Entry::cancel(cid)]);
    soon("an end", async { while !node.behaviour(|node| node.is_idle()).await {} }).await;
}

#[tokio::test]
async fn a_peer_that_returns_is_known() {
    let blocks: Vec<Block> = (0..10).map(|seed| block(bytes(seed, 50_000))).collect();
    let mut a = node(&blocks).await;
    let mut b = node(&[]).await;
    a.connect(&mut b).await;
    want(&b, BlockDisposition::Return, blocks.iter().map(|block| *block.cid())).await;
    until_got(&mut b, &blocks).await;
    let id = a.id;
    b.call(move |b| b.disconnect_peer_id(id)).await.unwrap();
    let history = b
        .until_event("the peer to be gone", |event| match event {
            Event::Engine(EngineEvent::PeerDisconnected { peer, history }) if peer == id => {
                Some(history)
            }
            _ => None,
        })
        .await;
    assert_eq!(history.blocks, 10);
    b.connect(&mut a).await;
    let stats = b.behaviour(move |b| b.peer(id)).await.unwrap().stats.unwrap();
    assert_eq!(stats.latency, Some(history.latency));
}

#[tokio::test]
async fn a_peer_beyond_the_limit_is_served_once_there_is_room() {
    let ours = block("ours");
    let limits = bitswap_core::Limits { peers: 1, ..bitswap_core::Limits::default() };
    let engine = bitswap_core::Config::default().with_limits(limits).unwrap();
    let store = holding(std::slice::from_ref(&ours));
    let mut node = node_with(Config::default().with_engine(engine), store).await;
    let first = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let mut second = RawPeer::dial(&node.address).await;
    connected(&mut node, 1).await;
    let id = second.id;
    let known = move |node: &mut Behaviour<MemoryStore>| node.peer(id).map(|peer| peer.stats);
    assert_eq!(node.behaviour(known).await, Some(None));
    first.hang_up();
    node.until_event("a place", |event| {
        matches!(event, Event::Engine(EngineEvent::PeerDisconnected { .. })).then_some(())
    })
    .await;
    assert!(node.behaviour(known).await.flatten().is_some());
    send(&mut second.open(Version::V1_2).await, &wish([*ours.cid()])).await;
    let mut answers = second.accept(&Version::PREFERRED).await.unwrap();
    assert_eq!(answers.message().await.expect("an answer").blocks, [ours]);
}
