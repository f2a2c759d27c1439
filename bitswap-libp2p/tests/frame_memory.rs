//! What a connection holds for messages that a peer begins and does not finish, by the allocator.
//!
//! A process without a test harness, so that nothing else allocates meanwhile.

#[path = "../src/tests/host.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod host;
#[path = "../src/tests/raw_peer.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod raw_peer;

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::{Entry, Message, Prefix, Version, WantKind};
use bitswap_libp2p::{Behaviour, MemoryStore};
use bytes::Bytes;
use cap::Cap;
use futures::AsyncWriteExt;
use host::Host;
use libp2p_swarm::SwarmEvent;
use raw_peer::RawPeer;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Streams on which a message is begun.
const STREAMS: usize = 40;
/// Bytes of each message that arrive, of 4 MiB.
const ARRIVING: usize = 3 << 20;
/// What a peer may hold of unfinished messages that was asked for nothing: see `docs/limits.md`.
const FRAMES_MAX: usize = 2240 << 10;
/// What the streams themselves hold, at both ends.
const BESIDE: usize = 1 << 20;

/// Waits for something that must happen.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long: {what}"),
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(unfinished_frames_are_bounded_in_memory());
    println!("1 passed, 0 failed");
}

async fn unfinished_frames_are_bounded_in_memory() {
    // One field that nobody knows, of nearly 4 MiB.
    let mut unfinished = vec![0x80, 0x80, 0x80, 0x02, 15 << 3 | 2, 0xfb, 0xff, 0xff, 0x01];
    unfinished.resize(ARRIVING, 7);

    let store = Arc::new(MemoryStore::new());
    let behaviour = Behaviour::builder(store).with_seed([7; 32]).build();
    let mut node = Host::new(behaviour).await;
    // A first connection, so that what is allocated once and for all is not counted.
    ask(&node, &RawPeer::dial(&node.address).await).await;
    let before = ALLOCATOR.allocated();

    let peer = RawPeer::dial(&node.address).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = peer.open(Version::V1_2).await;
        for piece in unfinished.chunks(64 << 10) {
            // The write fails when the stream is reset meanwhile.
            let write = soon("a write", stream.write_all(piece)).await;
            if write.is_err() || soon("a flush", stream.flush()).await.is_err() {
                break;
            }
        }
        streams.push(stream);
    }
    let evicted = node.behaviour(|node| node.stats().traffic.evicted_streams).await;
    let most = ALLOCATOR.max_allocated() - before;
    println!("{most} bytes held at most, {evicted} streams of {STREAMS} reset");
    assert!(most <= FRAMES_MAX + BESIDE, "{most} bytes held");
    assert_eq!(evicted, STREAMS as u64, "none of them has room to grow that far");
    // The connection goes on.
    ask(&node, &peer).await;

    drop(streams);
    let id = peer.id;
    peer.hang_up();
    node.until("the end of the connection", |event| match event {
        SwarmEvent::ConnectionClosed { peer_id, .. } if peer_id == id => Some(()),
        _ => None,
    })
    .await;
    let left = ALLOCATOR.allocated().saturating_sub(before);
    println!("{left} bytes left when it had closed");
    assert!(left <= 1 << 20, "{left} bytes left behind");
}

/// The peer wants a block, and the node takes notice.
async fn ask(node: &Host<Behaviour<MemoryStore>>, peer: &RawPeer) {
    let mut stream = peer.open(Version::V1_2).await;
    let prefix = Prefix::parse(&[1, 0x55, 0x12, 0x20]).unwrap();
    let cid = *prefix.block(Bytes::from_static(b"wanted")).unwrap().cid();
    let mut message = Message::default();
    message.wantlist.entries = vec![Entry::want(cid, WantKind::Block, 1, false)];
    raw_peer::send(&mut stream, &message).await;
    let id = peer.id;
    soon("the want", async {
        while node.behaviour(move |node| node.peer_wantlist(id).len()).await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
