//! Many wants at once: peers keep 1024 of one peer and forget the rest without a word.

use std::path::PathBuf;

use bitswap_core::SessionOptions;
use bitswap_interop::{AddOptions, Kubo, content, dag, us};
use cid::Cid;
use futures::StreamExt as _;
use tempfile::TempDir;

use crate::common::{kubo, peer, soon, stats, until, us};

/// A file of `leaves` leaves of `len` bytes below one root.
struct Wide {
    folder: TempDir,
    options: AddOptions,
}

impl Wide {
    fn new(leaves: usize, len: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes = content::bytes(leaves as u64, leaves * len);
        std::fs::write(folder.path().join("in"), bytes).unwrap();
        let max_links = Some(leaves as u32);
        Self { folder, options: AddOptions { max_links, ..AddOptions::v1(len as u32) } }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    async fn add(&self, kubo: &Kubo) -> Cid {
        kubo.add(&self.path(), &self.options).await.unwrap()
    }

    /// The root's block and the CIDs of the leaves, from a Kubo of its own.
    async fn leaves(&self) -> Vec<Cid> {
        let kubo = kubo().await;
        let root = self.add(&kubo).await;
        dag::links(&root, &kubo.block_get(&root).await.unwrap()).unwrap()
    }
}

/// Kubo answers them on hundreds of streams at once, and does not repeat what is refused.
#[tokio::test]
async fn a_thousand_blocks_of_20_000_bytes_from_kubo_all_arrive() {
    let wide = Wide::new(1000, 20_000);
    let (us, kubo, leaves) = (us().await, kubo().await, wide.leaves().await);
    wide.add(&kubo).await;
    us.connect(kubo.addrs()[0].clone()).await.unwrap();

    let session = us.session(SessionOptions::default()).await.unwrap();
    let got = session.get_many(leaves).filter(|(_, got)| std::future::ready(got.is_ok())).count();
    assert_eq!(soon("the blocks", got).await, 1000);

    let stats = stats(&us).await;
    let (fetched, traffic) = (stats.engine.fetched, stats.traffic);
    assert_eq!((fetched.blocks, fetched.duplicate_blocks), (1000, 0), "{fetched:?}");
    assert_eq!((traffic.evicted_streams, traffic.failed_streams), (0, 0), "{traffic:?}");
    assert_eq!(kubo.bitswap_stat().await.unwrap().blocks_sent, 1000);
}

/// Kubo keeps 1024 wants of a peer: the others must wait here until there is room.
#[tokio::test]
async fn of_1500_wants_never_more_than_1024_are_told_to_kubo() {
    let wide = Wide::new(1500, 2000);
    let (us, kubo, leaves) = (us().await, kubo().await, wide.leaves().await);
    us.connect(kubo.addrs()[0].clone()).await.unwrap();

    let (one, other) = leaves.split_at(750);
    let session = us.session(SessionOptions::default()).await.unwrap();
    let mut got = futures::stream::select(
        session.get_many(one.to_vec()).boxed(),
        session.get_many(other.to_vec()).boxed(),
    );
    let all = async {
        let mut blocks = 0;
        while let Some((cid, block)) = got.next().await {
            blocks += u32::from(block.unwrap().cid() == &cid);
        }
        blocks
    };
    let ours = us.peer_id();
    let watch = async {
        until("our wants", async || session.stats().await.unwrap().wants == 1500).await;
        until("as many there as may be", async || {
            let known = kubo.bitswap_wantlist(Some(&ours)).await.unwrap().len();
            let told = peer(&us).await.sent_wants as usize;
            assert!(told <= 1024 && known <= told, "{known} of {told}");
            told >= 1000 && known == told
        })
        .await;
        wide.add(&kubo).await;
    };
    let (blocks, ()) = tokio::join!(soon("the blocks", all), watch);
    assert_eq!(blocks, 1500);
    until("nothing is left", async || kubo.bitswap_wantlist(Some(&ours)).await.unwrap().is_empty())
        .await;
}

/// Kubo asks for all children of a node at once. What gets no answer it asks for again only after 30 to
/// 45 seconds.
#[tokio::test]
async fn of_1500_wants_of_kubo_all_are_answered() {
    let wide = Wide::new(1500, 2000);
    let (us, client) = (us().await, kubo().await);
    let (root, blocks) = {
        let source = kubo().await;
        let root = wide.add(&source).await;
        (root, source.dag_export(&root).await.unwrap().blocks)
    };
    us::put(&us, blocks).await.unwrap();
    client.connect(&us::address(&us).await).await.unwrap();

    let refs = client.ipfs(&["refs", "--recursive", &root.to_string()], None).await.unwrap();
    assert_eq!(String::from_utf8(refs).unwrap().lines().count(), 1500);
    client.pin_add(&root).await.unwrap();

    let stat = client.bitswap_stat().await.unwrap();
    assert_eq!((stat.blocks_received, stat.duplicate_blocks_received), (1501, 0), "{stat:?}");
}
