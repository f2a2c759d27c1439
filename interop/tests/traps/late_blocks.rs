//! A block that is wanted before it is there is pushed when it comes. Nobody asks again soon: Kubo after
//! 30 to 45 seconds, Helia never.

use std::time::{Duration, Instant};

use bitswap_interop::us::{self, UsOptions};
use bitswap_libp2p::Config;

use crate::common::{block, helia, kubo, peer, soon, until, us, us_with};

/// Before anybody would ask again.
const PUSHED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_late_block_is_pushed_to_kubo() {
    let (us, kubo) = (us().await, kubo().await);
    let (cid, data) = block(1, 50_000);
    kubo.connect(&us::address(&us).await).await.unwrap();
    let start = Instant::now();
    let late = async {
        until("its want to be known here", async || peer(&us).await.ledger == 1).await;
        us::put(&us, [(cid, data.clone())]).await.unwrap();
    };
    let (got, ()) = tokio::join!(kubo.block_get(&cid), late);
    assert_eq!(got.unwrap(), data);
    assert!(start.elapsed() < PUSHED, "asked for again, not pushed");
}

#[tokio::test]
async fn a_late_block_is_pushed_to_us_by_kubo() {
    let (us, kubo) = (us().await, kubo().await);
    let (cid, data) = block(2, 50_000);
    us.connect(kubo.addrs()[0].clone()).await.unwrap();
    let late = async {
        until("our want to be known there", async || {
            kubo.bitswap_wantlist(Some(&us.peer_id())).await.unwrap() == [cid]
        })
        .await;
        kubo.block_put(&data, "raw", "sha2-256").await.unwrap();
    };
    let (got, ()) = tokio::join!(soon("the block", us.get(cid)), late);
    assert_eq!(got.unwrap().data(), &data);
}

#[tokio::test]
async fn a_late_block_is_pushed_to_helia() {
    let (us, helia) = (us().await, helia().await);
    let (cid, data) = block(3, 50_000);
    helia.connect(&us::address(&us).await).await.unwrap();
    let late = async {
        until("its want to be known here", async || peer(&us).await.ledger == 1).await;
        us::put(&us, [(cid, data.clone())]).await.unwrap();
    };
    let (got, ()) = tokio::join!(helia.block_get(&cid), late);
    assert_eq!(got.unwrap(), data);
}

/// Helia looks for who wants a block just before it has stored it, and so may fail to push it; it never
/// tries again. We do.
#[tokio::test]
async fn a_late_block_that_helia_fails_to_push_is_asked_for_again() {
    let engine =
        bitswap_core::Config::default().with_search_interval(Duration::from_secs(1)).unwrap();
    let config = Config::default().with_engine(engine);
    let us = us_with(UsOptions { config, ..UsOptions::default() }).await;
    let helia = helia().await;
    let (cid, data) = block(4, 50_000);
    us.connect(helia.addrs()[0].clone()).await.unwrap();
    let late = async {
        // It has looked, and said so.
        until("its answer", async || peer(&us).await.fetched.dont_haves == 1).await;
        helia.block_put(&cid, &data).await.unwrap();
    };
    let (got, ()) = tokio::join!(soon("the block", us.get(cid)), late);
    assert_eq!(got.unwrap().data(), &data);
}
