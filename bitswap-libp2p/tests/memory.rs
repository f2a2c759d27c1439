//! What a hostile peer can make a node hold, counted by the allocator: the streams, frames and
//! hashes of its connection. What the engine holds is measured in `bitswap-core`.
//!
//! A process of its own without a test harness, so that nothing else allocates meanwhile.

#[path = "../src/tests/host.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod host;
#[path = "../src/tests/raw_peer.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod raw_peer;

use std::alloc::System;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bitswap_core::message::Message;
use bitswap_core::{Block, Entry, Prefix, Presence, SessionOptions, Version, Want, WantKind};
use bitswap_libp2p::{
    Behaviour, BlockDisposition, BlockingTask, EngineEvent, Event, MemoryStore, TaskSpawner,
};
use cap::Cap;
use cid::Cid;
use cid::multihash::Multihash;
use futures::future::BoxFuture;
use futures::{AsyncWrite, AsyncWriteExt, poll};
use host::Host;
use libp2p::identity::Keypair;
use raw_peer::{RawPeer, send};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const MIB: usize = 1 << 20;

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    tokio.unwrap().block_on(async {
        // First: it is about the most that was ever allocated.
        a_peer_with_all_its_connections_and_streams_holds_no_more_than_is_documented().await;
        messages_behind_a_pending_hash_are_held_to_a_bound().await;
        a_small_block_does_not_hold_the_frame_it_came_in().await;
    });
    println!("3 passed, 0 failed");
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long: {what}"),
    }
}

/// A raw sha2-256 block of bytes that begin with `seed`.
fn block(seed: u32, len: usize) -> Block {
    let mut data = vec![0; len];
    data[..4].copy_from_slice(&seed.to_le_bytes());
    let any = Cid::new_v1(0x55, Multihash::wrap(0x12, &[0; 32]).unwrap());
    Prefix::of(&any).unwrap().block(data.into()).unwrap()
}

fn message(blocks: &[&Block]) -> Message {
    let mut message = Message::default();
    message.add_blocks(blocks.iter().map(|block| (*block).clone()));
    message
}

/// Computations run at once, or wait until a test lets them go.
#[derive(Clone, Default)]
struct Computing {
    held: Option<Arc<Mutex<VecDeque<BlockingTask>>>>,
}

impl TaskSpawner for Computing {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    fn spawn_blocking(&self, task: BlockingTask) {
        match &self.held {
            Some(held) => held.lock().unwrap().push_back(task),
            None => drop(tokio::task::spawn_blocking(task)),
        }
    }
}

type Node = Host<Behaviour<MemoryStore>>;

/// A node that wants blocks, and a peer that was told so.
async fn wanting(computing: Computing, wants: &[Block]) -> (Node, RawPeer) {
    let store = Arc::new(MemoryStore::new());
    let node =
        Host::new(Behaviour::builder(store).with_spawner(computing).with_seed([7; 32]).build())
            .await;
    let mut peer = RawPeer::dial(&node.address).await;
    let cids: Vec<Cid> = wants.iter().map(|block| *block.cid()).collect();
    let count = cids.len();
    node.behaviour(move |node| {
        let session =
            node.open_session(SessionOptions::default(), BlockDisposition::Return).unwrap();
        node.want(session, cids.into_iter().map(Want::from)).unwrap();
    })
    .await;
    let mut stream = peer.accept(&[Version::V1_2]).await.unwrap();
    let mut told = 0;
    while told < count {
        told += stream.message().await.unwrap().wantlist.entries.len();
    }
    // It may be closed and dropped: this end says nothing on it.
    tokio::spawn(async move { while stream.message().await.is_some() {} });
    (node, peer)
}

/// Writes until all is written or the node has stopped reading. A stream that takes nothing, a round
/// trip over the same connection, and again nothing: by then the node's task has read what it wants.
async fn write_until_stuck(
    peer: &RawPeer,
    mut stream: impl AsyncWrite + Unpin,
    mut bytes: &[u8],
) -> usize {
    let mut written = 0;
    let mut stuck = 0;
    while !bytes.is_empty() && stuck < 16 {
        let all = bytes.len();
        let write = poll!(std::future::poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, bytes)));
        match write {
            Poll::Ready(taken) => {
                bytes = &bytes[taken.unwrap()..];
                let flush = poll!(stream.flush());
                assert!(!matches!(flush, Poll::Ready(Err(_))));
            }
            Poll::Pending => drop(peer.open(Version::V1_2).await),
        }
        let taken = all - bytes.len();
        written += taken;
        stuck = if taken == 0 { stuck + 1 } else { 0 };
    }
    written
}

async fn messages_behind_a_pending_hash_are_held_to_a_bound() {
    let held = Arc::new(Mutex::new(VecDeque::new()));
    let wanted = block(1, 64 << 10);
    let computing = Computing { held: Some(held.clone()) };
    let (mut node, peer) = wanting(computing, std::slice::from_ref(&wanted)).await;
    let mut stream = peer.open(Version::V1_2).await;
    send(&mut stream, &message(&[&wanted])).await;
    soon("the hash", async {
        while held.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Each byte is a message with nothing in it.
    let empty = vec![0; 2 * MIB];
    let before = ALLOCATOR.allocated();
    let written = soon("a stop", write_until_stuck(&peer, &mut stream, &empty)).await;
    let more = ALLOCATOR.allocated().saturating_sub(before);
    assert!(more < 8 * MIB, "{written} empty messages hold {} KiB", more >> 10);
    // Nothing is lost of what was held back.
    let task = held.lock().unwrap().pop_front().unwrap();
    task();
    node.until_event("the block", |event| {
        matches!(event, Event::Engine(EngineEvent::Block { .. })).then_some(())
    })
    .await;
    println!("ok: {written} empty messages behind a pending hash hold {} KiB", more >> 10);
}

async fn a_small_block_does_not_hold_the_frame_it_came_in() {
    const BLOCKS: u32 = 24;
    let wanted: Vec<Block> = (1..=BLOCKS).map(|seed| block(seed, 5)).collect();
    let (mut node, peer) = wanting(Computing::default(), &wanted).await;
    let mut stream = peer.open(Version::V1_2).await;
    let before = ALLOCATOR.allocated();
    let mut kept = Vec::new();
    for (at, wanted) in (1..).zip(&wanted) {
        // Under the prefix that was asked for, so it is hashed, and wanted by nobody.
        let unwanted = block(1000 + at, 2 * MIB);
        send(&mut stream, &message(&[wanted, &unwanted])).await;
        let block = node.until_event("a block", |event| match event {
            Event::Engine(EngineEvent::Block { block, .. }) => Some(block),
            _ => None,
        });
        kept.push(block.await);
    }
    let more = ALLOCATOR.allocated().saturating_sub(before);
    assert!(more < 8 * MIB, "{BLOCKS} blocks of 5 bytes hold {} KiB", more >> 10);
    assert_eq!(kept, wanted);
    println!("ok: {BLOCKS} blocks of 5 bytes hold {} KiB", more >> 10);
}

/// As many want-haves and presences as a message may hold, different for each `round`.
fn flood(round: u32) -> Vec<u8> {
    let cid = |at: u32| {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&at.to_le_bytes());
        digest[4..8].copy_from_slice(&round.to_le_bytes());
        Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
    };
    let mut message = Message::default();
    let want = |at| Entry::want(cid(at), WantKind::Have, 1, true);
    message.wantlist.entries = (0..8192).map(want).collect();
    message.presences = (0..8192).map(|at| Presence { cid: cid(at), have: true }).collect();
    message.encode(Version::V1_2).into_segments().concat()
}

async fn a_peer_with_all_its_connections_and_streams_holds_no_more_than_is_documented() {
    const CONNECTIONS: u32 = 4;
    const STREAMS: usize = 128;
    // See `docs/limits.md`: unfinished messages, and one that is decoded, of a peer that was asked for
    // nothing.
    const FRAMES: usize = 2240 << 10;
    const ADAPTER: usize = FRAMES + (1152 << 10);
    // Wants in the ledger, and what else is kept of a peer; it asks for no block that is here.
    const ENGINE: usize = 2 * MIB + (300 << 10);
    // What the streams themselves take, at both ends, and the windows of those that are not read.
    const STREAMS_OF_BOTH: usize = 2 * MIB;
    let store = Arc::new(MemoryStore::new());
    let node = Host::new(
        Behaviour::builder(store).with_spawner(Computing::default()).with_seed([7; 32]).build(),
    )
    .await;
    let floods: Vec<Vec<u8>> = (0..CONNECTIONS).map(flood).collect();
    // A message of 4 MiB, begun.
    let mut begun = vec![0x80, 0x80, 0x80, 0x02];
    begun.resize(48 << 10, 7);
    let key = Keypair::generate_ed25519();
    // What is allocated once and for all is not the peer's.
    let first = RawPeer::dial(&node.address).await;
    send(&mut first.open(Version::V1_2).await, &Message::default()).await;
    let heard = |messages: u64| {
        let node = &node;
        soon("messages", async move {
            while node.behaviour(|node| node.stats().engine.messages_received).await < messages {
                tokio::task::yield_now().await;
            }
        })
    };
    heard(1).await;
    let before = ALLOCATOR.allocated();
    let held = || ALLOCATOR.allocated().saturating_sub(before);
    let (mut peers, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let peer = RawPeer::dial_as(&key, &node.address).await;
        streams.push(peer.open(Version::V1_2).await);
        peers.push(peer);
    }
    // As many at once, on as many connections, as there is room for while they arrive; then the last.
    let mut heard_of = 1;
    for floods in [&floods[..3], &floods[3..]] {
        let writes = streams.iter_mut().zip(floods).map(|(stream, flood)| async move {
            // Whoever sends has little of it in memory at any time: that is not what is measured.
            for piece in flood.chunks(16 << 10) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        soon("the floods", futures::future::join_all(writes)).await;
        heard_of += floods.len() as u64;
        heard(heard_of).await;
    }
    // A message that has no room is heard of before the next one is begun: what a busy machine has not read yet lies in
    // the multiplexer, and is not what is measured.
    let fitting = (FRAMES / begun.len()) as u64;
    let mut begun_streams = 0;
    for peer in &peers {
        for _ in 0..STREAMS {
            let mut stream = peer.open(Version::V1_2).await;
            // The stream may have been reset already.
            let _ = soon("a write", stream.write_all(&begun)).await;
            let _ = soon("a flush", stream.flush()).await;
            streams.push(stream);
            begun_streams += 1;
            soon("a stream without room to be reset", async {
                let evicted = || node.behaviour(|node| node.stats().traffic.evicted_streams);
                while evicted().await + fitting < begun_streams {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
    let most = ALLOCATOR.max_allocated() - before;
    assert!(most <= ADAPTER + ENGINE + STREAMS_OF_BOTH, "{} KiB held", most >> 10);
    let skipped = node.behaviour(|node| node.stats().traffic.ignored_items).await;
    assert_eq!(skipped, u64::from(CONNECTIONS) * (8192 - 1024), "presences");
    drop((streams, peers));
    soon("the end of the connections", async {
        while node.behaviour(|node| node.stats().engine.peers).await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(held() < MIB, "{} KiB are left behind", held() >> 10);
    println!("ok: a peer holds {} KiB at most, and {} when it has left", most >> 10, held() >> 10);
}
