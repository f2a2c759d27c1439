//! Who is asked whether, and who is asked for.

use bitswap_core::SessionOptions;
use bitswap_interop::AddOptions;
use futures::StreamExt as _;

use crate::common::{block, helia, stats, us};

/// Helia never sends a want-have itself, but it must be possible to ask it for a HAVE first and for the
/// block afterwards.
#[tokio::test]
async fn helia_answers_a_want_have_and_then_the_want_block() {
    let (us, one, other) = (us().await, helia().await, helia().await);
    let blocks: Vec<_> = (0..20).map(|seed| block(seed, 20_000)).collect();
    for helia in [&one, &other] {
        for (cid, data) in &blocks {
            helia.block_put(cid, data).await.unwrap();
        }
        us.connect(helia.addrs()[0].clone()).await.unwrap();
    }
    let session = us.session(SessionOptions::default()).await.unwrap();
    let got: Vec<_> = session.get_many(blocks.iter().map(|(cid, _)| *cid)).collect().await;
    assert_eq!(got.len(), 20);
    assert!(got.iter().all(|(_, block)| block.is_ok()));
    let fetched = stats(&us).await.engine.fetched;
    assert!(fetched.want_haves_sent > 0 && fetched.haves > 0, "{fetched:?}");
    assert_eq!((fetched.blocks, fetched.dont_haves), (20, 0), "{fetched:?}");
}

/// Kubo answers a want-have of a block of up to 1024 bytes with the block.
#[tokio::test]
async fn a_small_block_in_place_of_a_have_is_taken() {
    let (us, one, other) = (us().await, crate::common::kubo().await, crate::common::kubo().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    std::fs::write(&path, bitswap_interop::content::bytes(1, 100_000)).unwrap();
    let mut root = None;
    for kubo in [&one, &other] {
        root = Some(kubo.add(&path, &AddOptions::v1(1000)).await.unwrap());
        us.connect(kubo.addrs()[0].clone()).await.unwrap();
    }
    let blocks = bitswap_interop::us::walk(&us, root.unwrap()).await.unwrap();
    assert_eq!(blocks.len() as u64, stats(&us).await.engine.fetched.blocks);
}
