//! Stores that are slow, that fail, and that hold what not everybody may have.

use std::cell::Cell;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bitswap_core::{Block, Message};
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::{Multiaddr, PeerId};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use tokio::sync::Semaphore;

use super::host::Host;
use super::node::{holding, node, node_with, until_got, want};
use super::raw_peer::{RawPeer, send};
use super::{block, bytes};
use crate::{
    Behaviour, BlockDisposition, Blockstore, Config, EngineEvent, Event, MemoryStore, StoreError,
};

thread_local! {
    /// Whether this thread is inside of the behaviour.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A behaviour of which each thread knows whether it is inside.
struct Marked<S: Blockstore>(Behaviour<S>);

impl<S: Blockstore> Marked<S> {
    fn inside<T>(&mut self, call: impl FnOnce(&mut Behaviour<S>) -> T) -> T {
        INSIDE.set(true);
        let result = call(&mut self.0);
        INSIDE.set(false);
        result
    }
}

impl<S: Blockstore> NetworkBehaviour for Marked<S> {
    type ConnectionHandler = THandler<Behaviour<S>>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inside(|inner| inner.handle_established_inbound_connection(id, peer, local, remote))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inside(|inner| {
            inner.handle_established_outbound_connection(id, peer, address, role, port)
        })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inside(|inner| inner.on_swarm_event(event));
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inside(|inner| inner.on_connection_handler_event(peer, connection, event));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.inside(|inner| inner.poll(cx))
    }
}

/// A store that may block any thread but the swarm's at every call, and answers when it is let.
struct Slow {
    blocks: Arc<MemoryStore>,
    gate: Arc<Semaphore>,
    calls: AtomicUsize,
}

impl Slow {
    fn work(&self) {
        assert!(!INSIDE.get(), "the store is not called from the swarm's task");
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Blockstore for Slow {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.work();
        let gate = self.gate.clone();
        async move {
            let _open = gate.acquire().await;
            self.blocks.sizes(cids).await
        }
        .boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.work();
        let gate = self.gate.clone();
        async move {
            let _open = gate.acquire().await;
            self.blocks.get(cids).await
        }
        .boxed()
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.work();
        self.blocks.put(blocks)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_store_holds_up_its_own_answers_and_nothing_else() {
    let ours: Vec<Block> = (0..4).map(|seed| block(bytes(seed, 300_000))).collect();
    let theirs: Vec<Block> = (10..20).map(|seed| block(bytes(seed, 300_000))).collect();
    let gate = Arc::new(Semaphore::new(0));
    let calls = AtomicUsize::new(0);
    let slow = Arc::new(Slow { blocks: holding(&ours), gate: gate.clone(), calls });
    let inner = Behaviour::builder(slow.clone()).with_seed([7; 32]).build();
    let mut a = Host::new(Marked(inner)).await;
    let mut b = node(&theirs).await;
    a.connect(&mut b).await;
    // They ask for what the store will not give yet; meanwhile we fetch from them.
    want(&b, BlockDisposition::Return, ours.iter().map(|block| *block.cid())).await;
    let wants: Vec<bitswap_core::Want> = theirs.iter().map(|block| (*block.cid()).into()).collect();
    a.behaviour(move |a| {
        let session =
            a.0.open_session(bitswap_core::SessionOptions::default(), BlockDisposition::Return);
        a.0.want(session.unwrap(), wants).unwrap();
    })
    .await;
    let mut missing = theirs.len();
    a.until_event("blocks", |event| {
        missing -= usize::from(matches!(event, Event::Engine(EngineEvent::Block { .. })));
        (missing == 0).then_some(())
    })
    .await;
    gate.add_permits(1000);
    until_got(&mut b, &ours).await;
    assert!(slow.calls.load(Ordering::Relaxed) > 0);
}

/// A store that fails in its own ways.
enum Broken {
    Error,
    Panic,
    Short,
}

impl Broken {
    fn fail<T>(&self, asked: usize) -> Vec<Result<Option<T>, StoreError>> {
        match self {
            Self::Error => {
                (0..asked).map(|_| Err(StoreError::new("the disk is on fire"))).collect()
            }
            Self::Panic => panic!("the store's own bug"),
            Self::Short => Vec::new(),
        }
    }
}

impl Blockstore for Broken {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        async move { self.fail(cids.len()) }.boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        async move { self.fail(cids.len()) }.boxed()
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Err(StoreError::new("the disk is on fire")) }.boxed()
    }
}

#[tokio::test]
async fn a_failing_store_is_seen_and_the_node_goes_on() {
    for (broken, said) in [
        (Broken::Error, "the disk is on fire"),
        (Broken::Panic, "it panicked"),
        (Broken::Short, "fewer answers"),
    ] {
        let theirs = block("theirs");
        let mut a = node_with(Config::default(), Arc::new(broken)).await;
        let mut b = node(std::slice::from_ref(&theirs)).await;
        a.connect(&mut b).await;
        want(&b, BlockDisposition::Return, [*block("anything").cid()]).await;
        let failed = |event| match event {
            Event::StoreFailed { error } => error.source().map(ToString::to_string),
            _ => None,
        };
        let error = a.until_event("the failure", failed).await;
        assert!(error.contains(said), "{error}");
        // What arrives cannot be stored: that is told, and the block is delivered all the same.
        want(&a, BlockDisposition::Store, [*theirs.cid()]).await;
        let mut told = false;
        a.until_event("the block", |event| match event {
            Event::StoreFailed { error } => {
                let cause = error.source().map(ToString::to_string);
                told |= cause.is_some_and(|cause| cause.contains("the disk is on fire"));
                None
            }
            Event::Engine(EngineEvent::Block { .. }) => Some(()),
            _ => None,
        })
        .await;
        assert!(told, "before the block");
    }
}

#[tokio::test]
async fn a_refusal_cannot_be_told_from_absence() {
    let (secret, absent) = (block("secret"), block("absent"));
    let node = node(std::slice::from_ref(&secret)).await;
    let hidden = *secret.cid();
    node.behaviour(move |node| node.set_access(move |_, cid| *cid != hidden)).await;
    let mut peer = RawPeer::dial(&node.address).await;
    let mut asking = peer.open(bitswap_core::Version::V1_2).await;
    for kind in [bitswap_core::WantKind::Block, bitswap_core::WantKind::Have] {
        let mut message = Message::default();
        let entry = |cid| bitswap_core::Entry::want(cid, kind, 1, true);
        message.wantlist.entries = vec![entry(*secret.cid()), entry(*absent.cid())];
        send(&mut asking, &message).await;
    }
    let mut answers = peer.accept(&bitswap_core::Version::PREFERRED).await.unwrap();
    let mut said = Vec::new();
    while said.len() < 2 {
        let message = answers.message().await.expect("an answer");
        assert!(message.blocks.is_empty());
        said.extend(message.presences.iter().map(|presence| (presence.cid, presence.have)));
    }
    said.sort();
    said.dedup();
    let mut expected = vec![(*secret.cid(), false), (*absent.cid(), false)];
    expected.sort();
    assert_eq!(said, expected);
}

/// A store that keeps everything it is given waiting until it is let.
struct Waiting {
    blocks: Arc<MemoryStore>,
    gate: Arc<Semaphore>,
}

impl Blockstore for Waiting {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        self.blocks.sizes(cids)
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        self.blocks.get(cids)
    }

    fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let _open = self.gate.acquire().await;
            self.blocks.put(blocks).await
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_delivery_that_a_cancel_silences_gives_its_room_in_the_window_back() {
    let (cancelled, kept) = (block(bytes(1, 60_000)), block(bytes(2, 50_000)));
    let gate = Arc::new(Semaphore::new(0));
    let store = Arc::new(Waiting { blocks: holding(&[]), gate: gate.clone() });
    let mut a = node_with(Config::default(), store).await;
    let mut b = node(&[cancelled.clone(), kept.clone()]).await;
    a.connect(&mut b).await;
    let wanted = [*cancelled.cid(), *kept.cid()];
    let session = want(&a, BlockDisposition::Store, wanted).await;
    // Both are here, and wait for the store before the user hears of them.
    let unreleased =
        move |a: &mut Behaviour<Waiting>| a.session_stats(session).unwrap().unreleased_bytes;
    super::soon("both blocks", async { while a.behaviour(unreleased).await < 110_000 {} }).await;
    let [first, second] = wanted;
    a.behaviour(move |a| a.cancel(session, [first])).await;
    assert_eq!(a.behaviour(unreleased).await, 50_000, "the user will never say that it took it");
    gate.add_permits(10);
    let got = a.until_event("the other block", |event| match event {
        Event::Engine(EngineEvent::Block { block, .. }) => Some(*block.cid()),
        _ => None,
    });
    assert_eq!(got.await, second);
}
