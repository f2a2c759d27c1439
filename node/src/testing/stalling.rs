//! Fetches to which nothing comes, each for another reason, and what they say.

use std::sync::Arc;
use std::time::Duration;

use bitswap_core::chunk::{DownloadEvent, Effect, Order, StallReason, TreeEvent};
use bitswap_core::{Block, PeerSet, Rates, SessionOptions};
use bitswap_libp2p::MemoryStore;
use cid::Cid;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::fetching::Fixture;
use super::gated::Mute;
use super::{Fault, client, connect, loopback, raw};
use crate::fetch::{Fetch, FetchOptions, FetchTreeOptions};
use crate::node::Node;
use crate::providers::{Provider, Providers};
use crate::runtime::Runtime;

/// Options under which a stall is told soon, and after the first look at the network.
fn impatient() -> FetchOptions {
    let mut options = FetchOptions::default();
    options.download.stall_after = Duration::from_millis(900);
    options
}

/// Waits until the fetch stalls for this reason. A busy machine may give another one before.
async fn stalls(fetch: &mut Fetch, expected: StallReason) {
    loop {
        match fetch.next_event().await {
            Some(DownloadEvent::Stalled(reason)) if reason == expected => return,
            Some(_) => {}
            None => panic!("it has ended"),
        }
    }
}

/// The fetch of something that nobody has stalls for this reason, and the report has it too.
async fn stalls_without_it(node: &Node, expected: StallReason) {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let mut fetch = node.fetch_file(raw(b"nowhere"), &target, impatient()).unwrap();
    stalls(&mut fetch, expected).await;
    let report = fetch.diagnose().await.unwrap();
    assert_eq!(report.reason, Some(expected));
    fetch.cancel().await;
}

pub async fn a_stall_says_that_no_peer_is_connected(runtime: Arc<dyn Runtime>) {
    let lonely = client(&runtime).await;
    stalls_without_it(&lonely, StallReason::NoPeers).await;
    // A folder says the same.
    let directory = tempfile::tempdir().unwrap();
    let options = FetchTreeOptions::from(impatient());
    let folder = *Block::sha2_256(bitswap_core::DAG_PB, "nowhere").cid();
    let mut fetch = lonely.fetch_tree(folder, &directory.path().join("folder"), options).unwrap();
    let is_stall = |event: &TreeEvent| matches!(event, TreeEvent::Stalled(_));
    let stalled =
        fetch.events().filter(|event| futures::future::ready(is_stall(event))).next().await;
    assert_eq!(stalled, Some(TreeEvent::Stalled(StallReason::NoPeers)));
}

/// Knows nobody who has anything.
struct Nobody;

impl Providers for Nobody {
    fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
        stream::empty().boxed()
    }
}

pub async fn a_stall_says_that_nobody_is_known_to_provide_it(runtime: Arc<dyn Runtime>) {
    let seeker = Node::builder(runtime.clone()).with_providers(Arc::new(Nobody)).start().await;
    stalls_without_it(&seeker.unwrap(), StallReason::NoProvider).await;
}

pub async fn a_stall_says_that_all_who_were_asked_lack_the_block(runtime: Arc<dyn Runtime>) {
    let (a, b) = super::pair(&runtime).await;
    stalls_without_it(&b, StallReason::AllDontHave(raw(b"nowhere"))).await;
    drop(a);
}

pub async fn a_stall_says_that_peers_do_not_answer(runtime: Arc<dyn Runtime>) {
    // Its store never answers, so it does not either.
    let a = Node::builder(runtime.clone()).with_blocks(Arc::new(Mute));
    let a = a.with_listen_address(loopback()).start().await.unwrap();
    let b = client(&runtime).await;
    connect(&b, &a).await;
    stalls_without_it(&b, StallReason::PeersSilent).await;
}

pub async fn a_stall_says_that_the_disk_is_slow_and_ends_once_it_is_not(runtime: Arc<dyn Runtime>) {
    let fixture = Fixture::new(&runtime, 3 << 20).await;
    let (release, gate) = oneshot::channel::<()>();
    let mut gate = Some(gate.map(drop).boxed());
    let (mut fetch, _) = fixture.fetch_with(impatient(), move |effect| match effect {
        // Not what marks the temporary file at its end.
        Effect::Write { bytes, .. } if bytes.len() == 1 << 20 => {
            gate.take().map_or(Fault::None, Fault::Wait)
        }
        _ => Fault::None,
    });
    stalls(&mut fetch, StallReason::DiskSlow).await;
    release.send(()).unwrap();
    fetch.finish().await.unwrap();
    fixture.assert_arrived();
}

pub async fn a_stall_says_that_the_rate_limit_holds_it(runtime: Arc<dyn Runtime>) {
    // The first leaf costs minutes of this.
    let slow = Some(2000);
    for (rates, of_session) in [
        (Rates { download: slow, ..Rates::default() }, None),
        (Rates { download_per_peer: slow, ..Rates::default() }, None),
        (Rates::default(), slow),
    ] {
        let fixture = Fixture::new(&runtime, 3 << 20).await;
        fixture.b.set_rates(rates).await.unwrap();
        let mut options = impatient();
        options.download.window = 1;
        options.session.download = of_session;
        let mut fetch = fixture.fetch(options);
        stalls(&mut fetch, StallReason::RateLimited).await;
        fixture.b.set_rates(Rates::default()).await.unwrap();
        fetch.set_rate(None).await;
        fetch.finish().await.unwrap();
        fixture.assert_arrived();
    }
}

pub async fn what_other_peers_lack_is_fetched_first_when_the_rarest_goes_first(
    runtime: Arc<dyn Runtime>,
) {
    const LEAVES: u64 = 6;
    let fixture = Fixture::new(&runtime, (LEAVES as usize) << 20).await;
    let leaf = |at: u64| {
        let bytes = &fixture.content[(at as usize) << 20..][..1 << 20];
        *Block::raw(bytes.to_vec()).cid()
    };
    // Another peer lacks two of the leaves: it wants them of the one that fetches.
    let other = client(&runtime).await;
    let fetcher = Node::builder(runtime.clone()).with_listen_address(loopback());
    let fetcher = fetcher.with_blocks(Arc::new(MemoryStore::new())).start().await.unwrap();
    connect(&other, &fetcher).await;
    connect(&fetcher, &fixture.a).await;
    let peers = PeerSet::Only(vec![fetcher.peer_id()]);
    let session =
        other.session(SessionOptions { peers, ..SessionOptions::default() }).await.unwrap();
    let wanted = futures::future::join(session.get(leaf(4)), session.get(leaf(2)));
    let mut wanted = Box::pin(wanted);
    let ledger = || async { fetcher.stats().await.unwrap().bitswap.engine.ledger };
    while ledger().await < 2 {
        assert!(futures::poll!(&mut wanted).is_pending());
    }
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    (options.download.order, options.download.window) = (Order::Rarest, 1);
    let paths = crate::fs::Paths::new(&fixture.target()).unwrap();
    let disk = crate::fs::DiskFs::new(runtime.clone(), paths.clone());
    let log = super::FaultyFs::new(Arc::new(disk), |_| Fault::None);
    fetcher.fetch_through(fixture.root, paths, log.clone(), options).finish().await.unwrap();
    let leaf_at = |effect: &Effect| match effect {
        Effect::Write { offset, bytes } if bytes.len() == 1 << 20 => Some(offset >> 20),
        _ => None,
    };
    let order: Vec<u64> = log.log().iter().filter_map(leaf_at).collect();
    assert_eq!(order, [2, 4, 0, 1, 3, 5]);
}
