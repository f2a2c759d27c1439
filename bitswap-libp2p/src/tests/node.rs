//! Whole nodes: behaviours with engines, in pairs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::{Block, Prefix, SessionId, SessionOptions, Version, Want};
use cid::Cid;

use super::host::Host;
use super::{block, bytes};
use crate::{Behaviour, BlockDisposition, Blockstore, Config, EngineEvent, Event, MemoryStore};

pub(crate) type Node<S = MemoryStore> = Host<Behaviour<S>>;

/// A node whose store has these blocks.
pub(crate) async fn node(blocks: &[Block]) -> Node {
    node_with(patient(), holding(blocks)).await
}

/// Settings under which no stream ends for the time that the machine takes: a peer made by hand may be slow.
pub(crate) fn patient() -> Config {
    let (engine, long) = (bitswap_core::Config::default(), Duration::from_secs(600));
    let engine = engine.with_stream_idle(long).unwrap();
    let config = Config::default().with_engine(engine).with_stall_window(long).unwrap();
    config.with_open_timeout(long).unwrap()
}

pub(crate) async fn node_with<S: Blockstore>(config: Config, store: Arc<S>) -> Node<S> {
    Host::new(Behaviour::builder(store).with_config(config).with_seed([7; 32]).build()).await
}

/// A store with these blocks.
pub(crate) fn holding(blocks: &[Block]) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    blocks.iter().for_each(|block| store.insert(block));
    Arc::new(store)
}

/// Opens a session and wants blocks.
pub(crate) async fn want<S: Blockstore>(
    node: &Node<S>,
    keep: BlockDisposition,
    cids: impl IntoIterator<Item = Cid>,
) -> SessionId {
    let wants: Vec<Want> = cids.into_iter().map(Want::from).collect();
    node.behaviour(move |node| {
        let session = node.open_session(SessionOptions::default(), keep).unwrap();
        node.want(session, wants).unwrap();
        session
    })
    .await
}

/// Waits until these blocks have come, each once.
pub(crate) async fn until_got<S: Blockstore>(node: &mut Node<S>, blocks: &[Block]) {
    let mut missing: HashSet<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    if missing.is_empty() {
        return;
    }
    node.until_event("blocks", |event| match event {
        Event::Engine(EngineEvent::Block { block, .. }) => {
            assert!(missing.remove(block.cid()), "each once: {block:?}");
            missing.is_empty().then_some(())
        }
        Event::Engine(EngineEvent::Failed { cid, reason, .. }) => {
            panic!("{cid} failed: {reason:?}")
        }
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_block_travels_both_ways() {
    let hello: Block = block("Hello World");
    let known = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
    let (ours, theirs) = (block(bytes(1, 300_000)), block(bytes(2, 1 << 20)));
    let mut a = node(&[hello.clone(), ours.clone()]).await;
    let mut b = node(std::slice::from_ref(&theirs)).await;
    a.connect(&mut b).await;
    assert_eq!(hello.cid().to_string(), known);
    let wanted = [hello, ours];
    want(&b, BlockDisposition::Store, wanted.iter().map(|block| *block.cid())).await;
    want(&a, BlockDisposition::Return, [*theirs.cid()]).await;
    until_got(&mut b, &wanted).await;
    until_got(&mut a, std::slice::from_ref(&theirs)).await;
    let has = |block: &Block| {
        let cid = *block.cid();
        move |node: &mut Behaviour<MemoryStore>| node.store().bytes_of(&cid)
    };
    assert_eq!(b.behaviour(has(&wanted[1])).await.as_ref(), Some(wanted[1].data()));
    assert_eq!(a.behaviour(has(&theirs)).await, None, "it was to go to the user alone");
}

#[tokio::test]
async fn a_thousand_wants_are_served_and_counted() {
    let blocks: Vec<Block> = (0..1000).map(|seed| block(bytes(seed, 20_000))).collect();
    let mut a = node(&blocks).await;
    let mut b = node(&[]).await;
    a.connect(&mut b).await;
    want(&b, BlockDisposition::Store, blocks.iter().map(|block| *block.cid())).await;
    until_got(&mut b, &blocks).await;
    let (fetched, served) = (b.behaviour(|b| b.stats()).await, a.behaviour(|a| a.stats()).await);
    assert_eq!((fetched.engine.fetched.blocks, fetched.engine.fetched.bytes), (1000, 20_000_000));
    assert_eq!(fetched.engine.fetched.duplicate_blocks, 0);
    assert!(fetched.traffic.bytes_received > 20_000_000);
    assert_eq!(served.engine.served.blocks, 1000);
    assert_eq!(fetched.traffic.malformed_streams + served.traffic.malformed_streams, 0);
}

#[tokio::test]
async fn a_block_put_later_is_pushed_to_the_peer_that_wants_it() {
    let late = block("late");
    let mut a = node(&[]).await;
    let mut b = node(&[]).await;
    a.connect(&mut b).await;
    want(&b, BlockDisposition::Return, [*late.cid()]).await;
    let asked = b.id;
    super::soon("the want", async {
        while a.behaviour(move |a| a.peer_wantlist(asked)).await.is_empty() {}
    })
    .await;
    let put = late.clone();
    let put = a.behaviour(move |a| a.put(vec![put])).await;
    let stored = a.until_event("the put", |event| match event {
        Event::Put { id, result } => Some((id, result.is_ok())),
        _ => None,
    });
    assert_eq!(stored.await, (put, true));
    until_got(&mut b, &[late]).await;
}

#[tokio::test]
async fn a_found_provider_is_asked() {
    use bitswap_core::ProviderProgress;
    let found = block("found");
    let mut a = node(std::slice::from_ref(&found)).await;
    let mut b = node(&[]).await;
    want(&b, BlockDisposition::Return, [*found.cid()]).await;
    let (id, cid) = b
        .until_event("a lookup", |event| match event {
            Event::FindProviders { id, cid, .. } => Some((id, cid)),
            _ => None,
        })
        .await;
    assert_eq!(cid, *found.cid());
    a.connect(&mut b).await;
    let provider = a.id;
    b.behaviour(move |b| b.providers(id, &[provider], ProviderProgress::Final)).await;
    until_got(&mut b, &[found]).await;
}

#[tokio::test]
async fn nothing_is_told_of_a_want_after_its_cancel() {
    // All in one call of the behaviour, so its events cannot have been polled in between.
    let (first, second) = (block("first"), block("second"));
    let mut a = node(&[]).await;
    let session = want(&a, BlockDisposition::Store, [*first.cid(), *second.cid()]).await;
    let cids = (*first.cid(), *second.cid());
    a.behaviour(move |a| {
        let size = 5;
        let stored = |cid| bitswap_core::BlockInfo { cid, size };
        a.notify_new_blocks(&[stored(cids.0), stored(cids.1)]);
        a.cancel(session, [cids.0]);
    })
    .await;
    let told = a.until_event("the other block", |event| match event {
        Event::Engine(EngineEvent::Stored { cid, .. }) => Some(cid),
        _ => None,
    });
    assert_eq!(told.await, cids.1);
}

#[tokio::test]
async fn a_fetch_from_two_peers_takes_from_both_and_nothing_twice() {
    let blocks: Vec<Block> = (0..200).map(|seed| block(bytes(seed, 50_000))).collect();
    let mut a = node(&blocks).await;
    let mut b = node(&blocks).await;
    let mut c = node(&[]).await;
    a.connect(&mut c).await;
    b.connect(&mut c).await;
    want(&c, BlockDisposition::Return, blocks.iter().map(|block| *block.cid())).await;
    until_got(&mut c, &blocks).await;
    let stats = c.behaviour(|c| c.stats()).await;
    assert_eq!(stats.engine.fetched.blocks, 200);
    for peer in [a.id, b.id] {
        let info = c.behaviour(move |c| c.peer(peer)).await.unwrap();
        assert!(info.stats.unwrap().fetched.blocks > 0, "{peer} served nothing");
    }
}

#[tokio::test]
async fn what_is_told_of_peers_sessions_and_messages_is_what_was_done() {
    let blocks: Vec<Block> = (0..3).map(|seed| block(bytes(seed, 100_000))).collect();
    let mut a = node(&blocks[..2]).await;
    let mut b = node(&[]).await;
    assert_eq!(b.behaviour(|b| b.peers().count()).await, 0);
    a.connect(&mut b).await;
    let other = a.id;
    assert_eq!(b.behaviour(|b| b.peers().collect::<Vec<_>>()).await, [other]);
    assert!(b.behaviour(move |b| b.peer(other)).await.is_some());
    let session = want(&b, BlockDisposition::Return, blocks.iter().map(|block| *block.cid())).await;
    until_got(&mut b, &blocks[..2]).await;
    let told = b
        .behaviour(move |b| {
            (b.session_stats(session), b.histograms(), b.arriving_bytes(), b.stats())
        })
        .await;
    let (session_stats, histograms, arrived, stats) = told;
    assert_eq!(session_stats.unwrap().blocks, 2);
    assert!((150_000..=200_200).contains(&arrived), "{arrived}");
    assert_eq!(histograms.message_sizes_received.sum(), stats.traffic.bytes_received);
    assert!(histograms.message_sizes_received.count() > 0);
    assert!(histograms.message_sizes_sent.count() > 0 && histograms.inbox_depth.count() > 0);
    let cids = [*blocks[0].cid(), *blocks[2].cid()];
    let diagnosed = b.behaviour(move |b| cids.map(|cid| b.diagnose(session, &cid))).await;
    assert_eq!(diagnosed[0], None, "it is not wanted any more");
    let reports = diagnosed[1].clone().expect("it is waited for");
    assert_eq!(reports.iter().map(|report| report.peer).collect::<Vec<_>>(), [other]);
}

#[tokio::test]
async fn a_session_is_rate_limited_while_it_has_asked_for_more_than_a_rate_lets_it() {
    use bitswap_core::Rates;
    let blocks: Vec<Block> = (0..5).map(|seed| block(bytes(seed, 100_000))).collect();
    let mut a = node(&blocks).await;
    let mut b = node(&[]).await;
    a.connect(&mut b).await;
    let session = want(&b, BlockDisposition::Return, [*blocks[0].cid()]).await;
    until_got(&mut b, &blocks[..1]).await;
    let is_limited = move |b: &mut Behaviour<MemoryStore>| b.is_rate_limited(session);
    assert!(!b.behaviour(is_limited).await);
    // That of all, and its own.
    for of_all in [true, false] {
        let (rates, rate) = (Rates { download: Some(1), ..Rates::default() }, Some(1));
        b.behaviour(move |b| match of_all {
            true => b.set_rates(rates),
            false => b.set_session_rate(session, rate),
        })
        .await;
        let two = blocks[if of_all { 1..3 } else { 3..5 }].iter();
        let wants = two.map(|block| Want::from(*block.cid())).collect::<Vec<_>>();
        b.behaviour(move |b| b.want(session, wants)).await.unwrap();
        let got = |event| match event {
            Event::Engine(EngineEvent::Block { .. }) => Some(()),
            _ => None,
        };
        b.until_event("the first of them", got).await;
        assert!(b.behaviour(is_limited).await, "the second has to wait");
        b.behaviour(move |b| {
            b.set_rates(Rates::default());
            b.set_session_rate(session, None);
        })
        .await;
        b.until_event("the second", got).await;
        assert!(!b.behaviour(is_limited).await);
    }
}

#[tokio::test]
async fn a_node_held_to_an_old_version_speaks_no_newer_one() {
    for newest in [Version::V1_1, Version::V1_0, Version::Unversioned] {
        let old = |seed| Prefix::V0.block(bytes(seed, 50_000).into()).unwrap();
        let (ours, theirs) = (old(1), old(2));
        let config = Config::default().with_newest(newest);
        let mut a = node_with(config, holding(std::slice::from_ref(&ours))).await;
        let mut b = node(std::slice::from_ref(&theirs)).await;
        a.connect(&mut b).await;
        want(&a, BlockDisposition::Store, [*theirs.cid()]).await;
        want(&b, BlockDisposition::Store, [*ours.cid()]).await;
        until_got(&mut a, &[theirs]).await;
        until_got(&mut b, &[ours]).await;
        for (node, peer) in [(&a, b.id), (&b, a.id)] {
            let stats = node.behaviour(move |node| node.peer(peer)).await.unwrap().stats.unwrap();
            assert_eq!(stats.version, Some(newest));
        }
    }
}
