//! Connections that come when wants are there already, and go while they still are.

use std::time::{Duration, Instant};

use bitswap_core::Rates;
use bitswap_core::chunk::{DownloadEvent, SyncPolicy};
use bitswap_interop::{AddOptions, Kubo, content, us};
use bitswap_node::{FetchOptions, Node};
use bitswap_runtime_tokio::Tokio;
use libp2p_identity::Keypair;

use crate::common::{block, kubo, soon, stats, until, us};

/// Sooner than Kubo asks again.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A Kubo that already wants a block: it asks as soon as there is a connection, before identify has
/// ended, and a peer that does not speak Bitswap at that moment it does not ask again.
async fn kubo_asks_at_once(dial: impl AsyncFnOnce(&Kubo, &Node)) {
    let (us, kubo) = (us().await, kubo().await);
    let (cid, data) = block(1, 50_000);
    us::put(&us, [(cid, data.clone())]).await.unwrap();
    let connect = async {
        until("it wants it", async || kubo.bitswap_wantlist(None).await.unwrap() == [cid]).await;
        dial(&kubo, &us).await;
        Instant::now()
    };
    let (got, connected) = tokio::join!(kubo.block_get(&cid), connect);
    assert_eq!(got.unwrap(), data);
    assert!(connected.elapsed() < AT_ONCE, "only when it asked again");
}

#[tokio::test]
async fn kubo_that_wants_before_it_dials_us_is_served_at_once() {
    kubo_asks_at_once(async |kubo, us| {
        kubo.connect(&us::address(us).await).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn kubo_that_wants_before_we_dial_it_is_served_at_once() {
    kubo_asks_at_once(async |kubo, us| {
        us.connect(kubo.addrs()[0].clone()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn our_want_that_is_older_than_the_connection_is_told() {
    let (us, kubo) = (us().await, kubo().await);
    let (cid, data) = block(2, 50_000);
    kubo.block_put(&data, "raw", "sha2-256").await.unwrap();
    let connect = async {
        until("we want it", async || stats(&us).await.engine.wants == 1).await;
        kubo.connect(&us::address(&us).await).await.unwrap();
    };
    let (got, ()) = tokio::join!(soon("the block", us.get(cid)), connect);
    assert_eq!(got.unwrap().data(), &data);
}

#[tokio::test]
async fn a_download_goes_on_after_kubo_was_restarted_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let bytes = content::bytes(3, 20_000_000);
    std::fs::write(&input, &bytes).unwrap();
    let (us, kubo) = (us().await, kubo().await);
    let root = kubo.add(&input, &AddOptions::v1(256 << 10)).await.unwrap();
    us.connect(kubo.addrs()[0].clone()).await.unwrap();
    // Slow enough to be in the middle for a while.
    us.set_rates(Rates { download: Some(4_000_000), ..Rates::default() }).await.unwrap();
    let mut options = FetchOptions::default();
    options.download.sync = SyncPolicy::Never;
    let mut fetch = us.fetch_file(root, &out, options).unwrap();
    let done = soon("a part of it", async {
        loop {
            match fetch.next_event().await.expect("it goes on") {
                DownloadEvent::Progress(progress) if progress.done > 0 => break progress.done,
                _ => {}
            }
        }
    })
    .await;
    assert!(done < bytes.len() as u64 / 2, "{done}");

    let kubo = kubo.restart().await.unwrap();
    us.set_rates(Rates::default()).await.unwrap();
    soon("the rest", fetch.finish()).await.unwrap();

    assert!(std::fs::read(&out).unwrap() == bytes);
    let again = kubo.bitswap_stat().await.unwrap().blocks_sent;
    assert!(again > 0 && again < 78, "the rest and not all of it again: {again}");
}

#[tokio::test]
async fn kubo_goes_on_after_we_were_restarted_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let bytes = content::bytes(4, 20_000_000);
    std::fs::write(&input, &bytes).unwrap();
    let (source, kubo) = (kubo().await, kubo().await);
    let root = source.add(&input, &AddOptions::v1(256 << 10)).await.unwrap();
    let blocks = source.dag_export(&root).await.unwrap().blocks;
    let identity = Keypair::generate_ed25519();
    let start = async || {
        let us =
            Node::builder(Tokio::current()).with_identity(identity.clone()).start().await.unwrap();
        us::put(&us, blocks.clone()).await.unwrap();
        us
    };

    let first = start().await;
    first.set_rates(Rates { upload: Some(4_000_000), ..Rates::default() }).await.unwrap();
    first.connect(kubo.addrs()[0].clone()).await.unwrap();
    let restart = async {
        until("a part is there", async || stats(&first).await.engine.served.blocks > 5).await;
        let served = stats(&first).await.engine.served.blocks;
        first.clone().shutdown().await;
        let second = start().await;
        second.connect(kubo.addrs()[0].clone()).await.unwrap();
        (served, second)
    };
    let (got, (served, second)) = tokio::join!(kubo.get(&root, &out), restart);

    got.unwrap();
    assert!(std::fs::read(&out).unwrap() == bytes);
    assert!(served < 78, "it was not in the middle");
    assert!(stats(&second).await.engine.served.blocks > 0);
}
