//! Streams that end before we thought.

use bitswap_core::SessionOptions;
use bitswap_interop::{
    AddOptions, content,
    us::{self, UsOptions},
};
use bitswap_libp2p::Config;
use futures::StreamExt as _;
use std::time::Duration;

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

/// And when it does reset our stream, the wants that it may have lost are told again.
#[tokio::test]
async fn a_want_survives_the_reset_of_our_idle_stream_by_helia() {
    let engine = bitswap_core::Config::default().lane_idle(Duration::from_secs(600)).unwrap();
    let us =
        us_with(UsOptions { config: Config::default().engine(engine), ..UsOptions::default() })
            .await;
    let helia = helia().await;
    us.connect(helia.addrs()[0].clone()).await.unwrap();
    let (cid, data) = block(3, 20_000);
    let late = async {
        until("the reset", async || stats(&us).await.traffic.failed_streams > 0).await;
        until("the want again", async || peer(&us).await.fetched.want_blocks_sent > 1).await;
        helia.block_put(&cid, &data).await.unwrap();
    };
    let (got, ()) = tokio::join!(soon("the block", us.get(cid)), late);
    assert_eq!(got.unwrap().data(), &data);
}

/// Kubo's want stream, and the streams with its answers, are reset again and again while both sides fetch:
/// so few are read at a time here that the oldest always gives way.
#[tokio::test]
async fn streams_that_are_reset_in_the_middle_lose_nothing() {
    let config = Config::default().inbound_streams_max(8).unwrap();
    let us = us_with(UsOptions { config, ..UsOptions::default() }).await;
    let (kubo, source) = (kubo().await, kubo().await);
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    std::fs::write(&theirs, content::bytes(1, 20_000_000)).unwrap();
    std::fs::write(&ours, content::bytes(2, 20_000_000)).unwrap();
    let options = AddOptions { max_links: Some(1000), ..AddOptions::v1(20_000) };
    let root = kubo.add(&theirs, &options).await.unwrap();
    let leaves = bitswap_interop::dag::links(&root, &kubo.block_get(&root).await.unwrap()).unwrap();
    let other = source.add(&ours, &options).await.unwrap();
    us::put(&us, source.dag_export(&other).await.unwrap().blocks).await.unwrap();

    us.connect(kubo.addrs()[0].clone()).await.unwrap();
    let session = us.session(SessionOptions::default()).await.unwrap();
    let wanted = leaves.len();
    let fetch = session.get_many(leaves).filter(|(_, got)| std::future::ready(got.is_ok())).count();
    let (got, pinned) = tokio::join!(soon("the blocks", fetch), kubo.pin_add(&other));

    pinned.unwrap();
    assert_eq!(got, wanted);
    let traffic = stats(&us).await.traffic;
    assert!(traffic.evicted_streams > 0, "nothing was reset: {traffic:?}");
}
