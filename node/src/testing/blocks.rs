//! Blocks, one by one and many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::{Block, PeerOutcome, PeerSet, SessionOptions, WhenMissing};
use bytes::Bytes;
use cid::Cid;
use futures::future::{join, join_all};
use futures::{StreamExt as _, poll};

use super::gated::Gated;
use super::{bytes, client, connect, loopback, pair, raw, server};
use crate::error::{GetError, PutError};
use crate::fetch::FetchOptions;
use crate::node::{Node, NodeEvent};
use crate::runtime::Runtime;

const HELLO: &str = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";

pub async fn a_block_is_got_once_and_then_it_is_here(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let cid = a.put("Hello World").await.unwrap();
    assert_eq!(cid.to_string(), HELLO);
    assert_eq!(b.get(cid).await.unwrap().data(), "Hello World");
    let first = b.stats().await.unwrap().bitswap.engine.fetched;
    assert_eq!((first.blocks, first.duplicate_blocks), (1, 0));
    assert_eq!(b.get(cid).await.unwrap().data(), "Hello World");
    assert_eq!(b.store().block(cid).await.unwrap().unwrap(), "Hello World");
    let second = b.stats().await.unwrap().bitswap.engine.fetched;
    assert_eq!(
        second.want_blocks_sent + second.want_haves_sent,
        first.want_blocks_sent + first.want_haves_sent
    );
}

pub async fn a_get_waits_for_a_peer_to_come(runtime: Arc<dyn Runtime>) {
    let (a, b) = (server(&runtime).await, client(&runtime).await);
    let cid = a.put("late").await.unwrap();
    let mut get = Box::pin(b.get(cid));
    assert!(poll!(&mut get).is_pending());
    // Wanted before anybody is known.
    while b.stats().await.unwrap().bitswap.engine.wants == 0 {
        assert!(poll!(&mut get).is_pending());
    }
    connect(&b, &a).await;
    assert_eq!(get.await.unwrap().data(), "late");
}

pub async fn a_preferred_peer_is_asked_alone_for_what_it_has_and_others_for_what_it_lacks(
    runtime: Arc<dyn Runtime>,
) {
    let (preferred, other) = (server(&runtime).await, server(&runtime).await);
    let [both, one] = ["what both have", "what the other has"];
    let cids = [both, one].map(|data| raw(data.as_bytes()));
    preferred.put(both).await.unwrap();
    for data in [both, one] {
        other.put(data).await.unwrap();
    }
    let client = client(&runtime).await;
    connect(&client, &other).await;
    connect(&client, &preferred).await;
    let peers = PeerSet::Prefer(vec![preferred.peer_id()]);
    let session =
        client.session(SessionOptions { peers, ..SessionOptions::default() }).await.unwrap();
    let served = async |node: &Node| node.stats().await.unwrap().bitswap.engine.served.blocks;
    for (cid, data) in cids.into_iter().zip([both, one]) {
        assert_eq!(session.get(cid).await.unwrap().data(), data);
    }
    assert_eq!((served(&preferred).await, served(&other).await), (1, 1));
    let heard = other.stats().await.unwrap().bitswap.engine.served.wants;
    assert_eq!(heard, 1, "of what the preferred peer has the other one never hears");
}

pub async fn a_get_waits_for_a_block_to_be_put(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let mut get = Box::pin(b.get(raw(b"later")));
    // The peer knows of the want before it has the block.
    while a.stats().await.unwrap().bitswap.engine.ledger == 0 {
        assert!(poll!(&mut get).is_pending());
    }
    a.put("later").await.unwrap();
    assert_eq!(get.await.unwrap().data(), "later");
}

pub async fn a_get_is_sent_again_after_a_reconnect(runtime: Arc<dyn Runtime>) {
    let identity = libp2p::identity::Keypair::generate_ed25519();
    let a = Node::builder(runtime.clone())
        .with_identity(identity.clone())
        .with_listen_address(loopback());
    let a = a.start().await.unwrap();
    let address = a.addresses().await.unwrap().remove(0);
    let b = client(&runtime).await;
    let mut events = b.events().await.unwrap();
    b.connect(address.clone()).await.unwrap();
    let mut get = Box::pin(b.get(raw(b"again")));
    while a.stats().await.unwrap().bitswap.engine.ledger == 0 {
        assert!(poll!(&mut get).is_pending());
    }
    a.shutdown().await;
    while !matches!(events.next().await.unwrap(), NodeEvent::Disconnected(_)) {}
    // The same peer, elsewhere and without a memory.
    let a = Node::builder(runtime.clone()).with_identity(identity).with_listen_address(loopback());
    let a = a.start().await.unwrap();
    a.put("again").await.unwrap();
    connect(&b, &a).await;
    assert_eq!(get.await.unwrap().data(), "again");
}

pub async fn a_want_is_known_to_whoever_asks_about_it_next(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let session = node.session(SessionOptions::default()).await.unwrap();
    let cid = *Block::raw("wanted").cid();
    let mut get = Box::pin(session.get(cid));
    assert!(poll!(&mut get).is_pending());
    assert!(session.diagnose(cid).await.unwrap().is_some());
}

pub async fn a_get_that_is_dropped_leaves_no_want_behind(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let session = b.session(SessionOptions::default()).await.unwrap();
    let mut gets: Vec<_> = (0..10_u8).map(|n| Box::pin(session.get(raw(&[n])))).collect();
    while a.stats().await.unwrap().bitswap.engine.ledger < 10 {
        for get in &mut gets {
            assert!(poll!(get).is_pending());
        }
    }
    drop(gets);
    while b.stats().await.unwrap().bitswap.engine.wants > 0 {}
    while a.stats().await.unwrap().bitswap.engine.ledger > 0 {}
    drop(session);
    while b.stats().await.unwrap().bitswap.engine.sessions > 0 {}
}

pub async fn a_get_fails_with_what_each_peer_said_when_all_lack_the_block(
    runtime: Arc<dyn Runtime>,
) {
    let (a, b) = pair(&runtime).await;
    let options = SessionOptions { when_missing: WhenMissing::Fail, ..SessionOptions::default() };
    let session = b.session(options).await.unwrap();
    let Err(GetError::NotFound(reports)) = session.get(raw(b"nowhere")).await else {
        panic!("found, or failed otherwise");
    };
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].peer, reports[0].outcome), (a.peer_id(), PeerOutcome::DontHave));

    // Nobody is asked at all: the time for it runs out.
    let want_timeout = Some(Duration::from_millis(50));
    let options = SessionOptions { want_timeout, ..SessionOptions::default() };
    let lonely = client(&runtime).await;
    let session = lonely.session(options).await.unwrap();
    let result = session.get(raw(b"nowhere")).await;
    assert!(matches!(result, Err(GetError::TimedOut(reports)) if reports.is_empty()));
}

pub async fn a_peer_that_may_not_have_a_block_hears_that_it_is_not_there(
    runtime: Arc<dyn Runtime>,
) {
    let (friend, other) = (client(&runtime).await, client(&runtime).await);
    let is_friend = friend.peer_id();
    let builder = Node::builder(runtime.clone()).with_listen_address(loopback());
    let a = builder.with_access(move |peer, _| *peer == is_friend).start().await.unwrap();
    let cid = a.put("for friends").await.unwrap();
    let get = async |node: &Node| {
        let when_missing = WhenMissing::Fail;
        let options = SessionOptions { when_missing, ..SessionOptions::default() };
        node.session(options).await.unwrap().get(cid).await
    };
    for node in [&friend, &other] {
        connect(node, &a).await;
    }
    assert_eq!(get(&friend).await.unwrap().data(), "for friends");
    let refused = get(&other).await;
    let Err(GetError::NotFound(reports)) = refused else { panic!("{refused:?}") };
    let said: Vec<_> = reports.iter().map(|report| (report.peer, report.outcome)).collect();
    assert_eq!(said, [(a.peer_id(), PeerOutcome::DontHave)]);
    // The policy of a running node changes.
    a.set_access(|_, _| true).await.unwrap();
    let late = client(&runtime).await;
    connect(&late, &a).await;
    assert_eq!(get(&late).await.unwrap().data(), "for friends");
}

/// Whether the engine knows of the get's want when its lookup stands at a point: it looks before it
/// wants, and again afterwards, each time with a point before and one after.
const WANTED_AT: [bool; 4] = [false, false, true, true];

/// How a block is got.
#[derive(Clone, Copy, Debug)]
enum Way {
    Get,
    Many,
    Fetch,
}

pub async fn a_put_at_any_point_of_a_get_wakes_it(runtime: Arc<dyn Runtime>) {
    let cid = raw(b"meanwhile");
    for (point, wanted) in WANTED_AT.into_iter().enumerate() {
        for way in [Way::Get, Way::Many, Way::Fetch] {
            let (store, gate) = Gated::stopping_at(point);
            let node =
                Node::builder(runtime.clone()).with_blocks(Arc::new(store)).start().await.unwrap();
            let put = async {
                let wants = node.stats().await.unwrap().bitswap.engine.wants;
                assert_eq!(wants > 0, wanted, "{way:?} at point {point}");
                node.put("meanwhile").await.unwrap();
            };
            let get = async {
                match way {
                    Way::Get => node.get(cid).await.unwrap().data().to_vec(),
                    Way::Many => {
                        let session = node.session(SessionOptions::default()).await.unwrap();
                        let got = session.get_many([cid]).next().await.unwrap();
                        got.1.unwrap().data().to_vec()
                    }
                    Way::Fetch => {
                        let directory = tempfile::tempdir().unwrap();
                        let target = directory.path().join("target");
                        let options = FetchOptions::default();
                        node.fetch_file(cid, &target, options).unwrap().finish().await.unwrap();
                        std::fs::read(target).unwrap()
                    }
                }
            };
            let (got, ()) = join(get, gate.meanwhile(put)).await;
            assert_eq!(got, b"meanwhile", "{way:?}, put at point {point}");
        }
    }
    // And when all that is left is to wait.
    let node = client(&runtime).await;
    let mut get = Box::pin(node.get(raw(b"later")));
    while node.stats().await.unwrap().bitswap.engine.wants == 0 {
        assert!(poll!(&mut get).is_pending());
    }
    for _ in 0..100 {
        // Each round trip to the node's task leaves the get time to come to rest.
        node.stats().await.unwrap();
        assert!(poll!(&mut get).is_pending());
    }
    node.put("later").await.unwrap();
    assert_eq!(get.await.unwrap().data(), "later");
}

pub async fn an_identity_block_needs_nobody(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let hash = cid::multihash::Multihash::wrap(0, b"inline").unwrap();
    let block = node.get(Cid::new_v1(0x55, hash)).await.unwrap();
    assert_eq!(block.data(), "inline");
}

pub async fn a_block_above_the_limit_is_refused(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let refused = node.put(vec![0; (2 << 20) + 1]).await;
    assert!(matches!(refused, Err(PutError::TooLarge { bytes: 2_097_153, max: 2_097_152 })));
    node.put(vec![0; 2 << 20]).await.unwrap();
}

pub async fn a_thousand_blocks_come_through_one_session(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let block = |n: u32| Bytes::from(bytes(20_000 + n as usize));
    let mut cids = Vec::new();
    for n in 0..1_000 {
        cids.push(a.put(block(n)).await.unwrap());
    }
    let session = b.session(SessionOptions::default()).await.unwrap();
    let got: Vec<_> = session.get_many(cids.clone()).collect().await;
    assert_eq!(got.len(), 1_000);
    for (cid, result) in got {
        let at = cids.iter().position(|other| *other == cid).unwrap();
        assert_eq!(*result.unwrap().data(), block(at as u32));
    }
    let fetched = b.stats().await.unwrap().bitswap.engine.fetched;
    assert_eq!(fetched.blocks, 1_000);
}

pub async fn many_blocks_come_as_often_as_they_are_asked_for(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let there = a.put(bytes(50_000)).await.unwrap();
    let here = b.put(bytes(60_000)).await.unwrap();
    let inline = Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"inline").unwrap());
    let wanted = [there, here, inline, here, there, there];
    let session = b.session(SessionOptions::default()).await.unwrap();
    let mut got = BTreeMap::new();
    let mut blocks = std::pin::pin!(session.get_many(wanted));
    while let Some((cid, block)) = blocks.next().await {
        assert_eq!(*block.unwrap().cid(), cid);
        *got.entry(cid).or_insert(0) += 1;
    }
    assert_eq!(got, BTreeMap::from([(there, 3), (here, 2), (inline, 1)]));
    let stats = b.stats().await.unwrap().bitswap.engine;
    assert_eq!((stats.fetched.blocks, stats.wants), (1, 0));
}

pub async fn a_block_that_cannot_be_asked_for_fails_alone(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let there = a.put(bytes(50_000)).await.unwrap();
    // No such hash is known.
    let unknown = Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0x7777, &[1; 32]).unwrap());
    let session = b.session(SessionOptions::default()).await.unwrap();
    let mut got: Vec<_> = session.get_many([unknown, there]).collect().await;
    got.sort_by_key(|(cid, _)| *cid != there);
    assert_eq!(got[0].1.as_ref().unwrap().data().len(), 50_000);
    assert!(matches!(got[1], (cid, Err(GetError::Want(_))) if cid == unknown), "{:?}", got[1]);
    assert_eq!(got.len(), 2);
}

pub async fn what_is_asked_for_together_is_cancelled_together(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let session = node.session(SessionOptions::default()).await.unwrap();
    let absent: Vec<Cid> = (0..3_000u32).map(|n| raw(&n.to_le_bytes())).collect();
    let mut blocks = Box::pin(session.get_many(absent));
    while node.stats().await.unwrap().bitswap.engine.wants < 1_024 {
        assert!(poll!(blocks.next()).is_pending());
    }
    assert_eq!(node.stats().await.unwrap().bitswap.engine.wants, 1_024, "no more at once");
    drop(blocks);
    while node.stats().await.unwrap().bitswap.engine.wants > 0 {}
}

pub async fn one_block_wanted_by_many_is_fetched_once(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let cid = a.put(bytes(100_000)).await.unwrap();
    let gets = join_all((0..50).map(|_| b.get(cid))).await;
    assert!(gets.iter().all(|got| got.as_ref().unwrap().data().len() == 100_000));
    let stats = b.stats().await.unwrap().bitswap.engine;
    assert_eq!((stats.fetched.blocks, stats.fetched.duplicate_blocks, stats.wants), (1, 0, 0));
}

pub async fn a_node_that_stops_ends_what_waits_for_it(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let other = node.clone();
    let mut get = Box::pin(other.get(raw(b"never")));
    while node.stats().await.unwrap().bitswap.engine.wants == 0 {
        assert!(poll!(&mut get).is_pending());
    }
    node.shutdown().await;
    assert!(matches!(get.await, Err(GetError::NodeClosed(_))));
    assert!(other.addresses().await.is_err());
}

pub async fn a_node_without_handles_closes_its_connections(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let mut events = b.events().await.unwrap();
    drop(a);
    // What is counted of the peer may come before.
    while !matches!(events.next().await.unwrap(), NodeEvent::Disconnected(_)) {}
}
