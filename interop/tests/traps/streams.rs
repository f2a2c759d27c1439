//! Streams that end before we thought.

use std::future::ready;
use std::time::{Duration, Instant};

use bitswap_core::SessionOptions;
use bitswap_interop::{
    AddOptions, content, dag,
    us::{self, UsOptions},
};
use bitswap_libp2p::Config;
use futures::StreamExt as _;

use crate::common::{block, helia, kubo, peer, soon, stats, until, us, us_with};

/// Helia resets a stream that was silent for ten seconds. Ours is closed before that.
#[tokio::test]
async fn our_idle_stream_is_closed_before_helia_resets_it() {
    let (us, helia) = (us().await, helia().await);
    let blocks = [block(1, 20_000), block(2, 20_000)];
    for (cid, data) in &blocks {
        helia.block_put(cid, data).await.unwrap();
    }
    us.connect(helia.addrs()[0].clone()).await.unwrap();
    soon("a block", us.get(blocks[0].0)).await.unwrap();
    assert!(peer(&us).await.version.is_some(), "the stream is open");
    until("it is closed", async || peer(&us).await.version.is_none()).await;
    soon("a block on a new stream", us.get(blocks[1].0)).await.unwrap();
    assert_eq!(stats(&us).await.traffic.failed_streams, 0);
}

/// And when it does reset our stream, the next want finds that out and goes on another one.
#[tokio::test]
async fn a_want_is_not_lost_on_a_stream_that_helia_has_reset() {
    let engine =
        bitswap_core::Config::default().with_stream_idle(Duration::from_secs(600)).unwrap();
    let config = Config::default().with_engine(engine);
    let us = us_with(UsOptions { config, ..UsOptions::default() }).await;
    let helia = helia().await;
    let blocks = [block(3, 20_000), block(4, 20_000)];
    for (cid, data) in &blocks {
        helia.block_put(cid, data).await.unwrap();
    }
    us.connect(helia.addrs()[0].clone()).await.unwrap();
    soon("a block", us.get(blocks[0].0)).await.unwrap();
    let ours = us.peer_id();
    until("the reset", async || helia.bitswap_streams(&ours).await.unwrap() == 0).await;
    assert!(peer(&us).await.version.is_some(), "our side is open");
    soon("a block on a new stream", us.get(blocks[1].0)).await.unwrap();
    assert_eq!(stats(&us).await.traffic.failed_streams, 1);
}

/// Hundreds of streams with answers of Kubo's, and the stream with its own wants, are reset: so few
/// are read at a time here that the one that was silent for the longest gives way. We ask again for
/// what is lost; Kubo opens another stream for what it wants next, and what it wanted before is known.
#[tokio::test]
async fn streams_that_are_reset_in_the_middle_lose_nothing() {
    let config = Config::default().with_inbound_streams_max(8).unwrap();
    let us = us_with(UsOptions { config, ..UsOptions::default() }).await;
    let kubo = kubo().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    std::fs::write(&path, content::bytes(1, 20_000_000)).unwrap();
    let options = AddOptions { max_links: Some(1000), ..AddOptions::v1(20_000) };
    let root = kubo.add(&path, &options).await.unwrap();
    let leaves = dag::links(&root, &kubo.block_get(&root).await.unwrap()).unwrap();
    let (late, now) = (block(5, 20_000), block(6, 20_000));
    us::put(&us, [now.clone()]).await.unwrap();
    us.connect(kubo.addrs()[0].clone()).await.unwrap();

    let others = async {
        until("a want of Kubo's", async || peer(&us).await.ledger == 1).await;
        let session = us.session(SessionOptions::default()).await.unwrap();
        let got = session.get_many(leaves).filter(|(_, got)| ready(got.is_ok())).count();
        assert_eq!(soon("a thousand blocks", got).await, 1000);
        let traffic = stats(&us).await.traffic;
        assert!(traffic.evicted_streams > 0, "nothing was reset: {traffic:?}");
        let start = Instant::now();
        assert_eq!(kubo.block_get(&now.0).await.unwrap(), now.1);
        us::put(&us, [late.clone()]).await.unwrap();
        start
    };
    let (got, start) = tokio::join!(kubo.block_get(&late.0), others);

    assert_eq!(got.unwrap(), late.1);
    assert!(start.elapsed() < Duration::from_secs(15), "only when Kubo asked again");
}
