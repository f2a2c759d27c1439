//! Who is asked whether, and who is asked for.

use bitswap_core::SessionOptions;
use bitswap_interop::{AddOptions, content, us};
use futures::StreamExt as _;

use crate::common::{block, helia, kubo, soon, stats, us};

/// Helia never sends a want-have itself, but it must be possible to ask it for a HAVE first and for the
/// block afterwards.
#[tokio::test]
async fn helia_answers_a_want_have_and_then_the_want_block() {
    let (known, newcomer) = (helia().await, helia().await);
    let first = block(100, 20_000);
    known.block_put(&first.0, &first.1).await.unwrap();
    let blocks: Vec<_> = (0..20).map(|n| block(1000 + n, 20_000)).collect();
    for (cid, data) in &blocks {
        newcomer.block_put(cid, data).await.unwrap();
    }

    // Of two peers one is asked for a block and the other whether it has it; which, is chance. On a busy
    // machine a block may be asked for once more, and Helia may drop a connection whose ping takes it long.
    // So there are rounds, each with a node of its own, until the one that has them was asked for the same
    // block both ways.
    let rounds = async {
        loop {
            let us = us().await;
            us.connect(known.addrs()[0].clone()).await.unwrap();
            let session = us.session(SessionOptions::default()).await.unwrap();
            session.get(first.0).await.unwrap();
            let other = us.connect(newcomer.addrs()[0].clone()).await.unwrap();
            let cids = blocks.iter().map(|(cid, _)| *cid);
            let got: Vec<_> = session.get_many(cids).collect().await;
            assert!(got.len() == 20 && got.iter().all(|(_, block)| block.is_ok()));

            let peers = us.peers().await.unwrap();
            let Some(info) = peers.iter().find(|peer| peer.peer == other) else { continue };
            let fetched = info.bitswap.unwrap().stats.unwrap().fetched;
            assert!(fetched.haves <= fetched.want_haves_sent, "{fetched:?}");
            if fetched.haves > 0 && fetched.want_blocks_sent == 20 && fetched.blocks == 20 {
                break;
            }
        }
    };
    soon("a want-have and then a want-block", rounds).await;
}

/// Kubo answers a want-have of a block of up to 1024 bytes with the block.
#[tokio::test]
async fn a_small_block_in_place_of_a_have_is_taken() {
    let (us, one, other) = (us().await, kubo().await, kubo().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    std::fs::write(&path, content::bytes(1, 100_000)).unwrap();
    let mut root = None;
    for kubo in [&one, &other] {
        root = Some(kubo.add(&path, &AddOptions::v1(1000)).await.unwrap());
        us.connect(kubo.addrs()[0].clone()).await.unwrap();
    }
    let blocks = us::walk(&us, root.unwrap()).await.unwrap();
    assert_eq!(blocks.len() as u64, stats(&us).await.engine.fetched.blocks);
}
