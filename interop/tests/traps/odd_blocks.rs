//! Blocks without bytes, and links that are their own block.

use std::fs;

use bitswap_core::{PeerOutcome, WantFailure};
use bitswap_interop::{KuboOld, KuboOldOptions, content, us};
use cid::Cid;

use crate::common::{helia, kubo, peer, raw, soon, stats, us};
use crate::embedder::want_block;

#[tokio::test]
async fn an_empty_block_goes_to_kubo() {
    let (us, kubo) = (us().await, kubo().await);
    us::put(&us, [(raw(b""), Vec::new())]).await.unwrap();
    kubo.connect(&us::address(&us).await).await.unwrap();
    assert_eq!(kubo.block_get(&raw(b"")).await.unwrap(), b"");
}

#[tokio::test]
async fn an_empty_block_goes_to_helia_and_comes_from_it() {
    let (us, helia) = (us().await, helia().await);
    us::put(&us, [(raw(b""), Vec::new())]).await.unwrap();
    helia.connect(&us::address(&us).await).await.unwrap();
    assert_eq!(helia.block_get(&raw(b"")).await.unwrap(), b"");
    let wanted = want_block(helia.addrs()[0].clone(), raw(b""));
    assert_eq!(soon("the block", wanted).await.unwrap().data(), &b""[..]);
}

#[tokio::test]
async fn an_empty_block_comes_from_old_kubo() {
    let blocks = vec![(raw(b""), Vec::new())];
    let old = KuboOldOptions { blocks, ..KuboOldOptions::default() };
    let old = KuboOld::start(old).await.unwrap();
    let wanted = want_block(old.addrs()[0].clone(), raw(b""));
    assert_eq!(soon("the block", wanted).await.unwrap().data(), &b""[..]);
}

/// Kubo 0.43 denies an empty block that it has. Then an embedder hears who said so, and does not wait.
#[tokio::test]
async fn an_empty_block_that_kubo_denies_is_reported_as_missing() {
    let kubo = kubo().await;
    assert_eq!(kubo.block_put(b"", "raw", "sha2-256").await.unwrap(), raw(b""));
    let wanted = want_block(kubo.addrs()[0].clone(), raw(b""));
    let missing = soon("an answer", wanted).await.unwrap_err();
    let WantFailure::NotFound(reports) = missing else { panic!("{missing:?}") };
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].outcome, PeerOutcome::DontHave);
}

/// Its CID proves an empty block: our node has it although the peer that it could ask denies it.
#[tokio::test]
async fn an_empty_block_is_known_without_asking_kubo_for_it() {
    let (us, kubo) = (us().await, kubo().await);
    us.connect(kubo.addrs()[0].clone()).await.unwrap();
    assert_eq!(us.get(raw(b"")).await.unwrap().data(), &b""[..]);
    assert_eq!(stats(&us).await.engine.fetched.want_blocks_sent, 0);
}

/// A file whose last leaf is an identity link: 256 KiB and a few bytes more, small leaves inlined.
async fn inlined(kubo: &bitswap_interop::Kubo, path: &str) -> Cid {
    let args = ["add", "--quieter", "--inline", "--cid-version=1", "--chunker=size-262144", path];
    let out = kubo.ipfs(&args, None).await.unwrap();
    String::from_utf8(out).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn an_identity_link_is_read_from_the_link_and_never_asked_of_old_kubo() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let bytes = content::bytes(1, 262_144 + 10);
    fs::write(&input, &bytes).unwrap();
    let (source, us) = (kubo().await, us().await);
    let root = inlined(&source, input.to_str().unwrap()).await;
    // An identity CID in a wantlist makes this version close the connection.
    let blocks = source.dag_export(&root).await.unwrap().blocks;
    let stored: Vec<_> = blocks.into_iter().filter(|(cid, _)| cid.hash().code() != 0).collect();
    assert_eq!(stored.len(), 2, "the root and one leaf");
    let old = KuboOldOptions { blocks: stored.clone(), ..KuboOldOptions::default() };
    let old = KuboOld::start(old).await.unwrap();

    us.connect(old.addrs()[0].clone()).await.unwrap();
    soon("the file", us::fetch(&us, root, &out)).await.unwrap();

    assert!(fs::read(&out).unwrap() == bytes);
    assert_eq!(stats(&us).await.engine.fetched.blocks, 2);
    assert_eq!(peer(&us).await.fetched.want_blocks_sent, 2);
    assert_eq!(old.peers().await.unwrap(), [us.peer_id()], "the connection stays");
}

#[tokio::test]
async fn kubo_gets_a_file_with_an_identity_link_from_us() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let bytes = content::bytes(2, 262_144 + 10);
    fs::write(&input, &bytes).unwrap();
    let (source, client, us) = (kubo().await, kubo().await, us().await);
    let root = inlined(&source, input.to_str().unwrap()).await;
    let blocks = source.dag_export(&root).await.unwrap().blocks;
    us::put(&us, blocks.into_iter().filter(|(cid, _)| cid.hash().code() != 0)).await.unwrap();

    client.connect(&us::address(&us).await).await.unwrap();
    client.get(&root, &out).await.unwrap();

    assert!(fs::read(&out).unwrap() == bytes);
    assert_eq!(stats(&us).await.engine.served.blocks, 2);
}
