//! What a peer believes that we want.

use bitswap_core::SessionOptions;
use futures::StreamExt as _;

use crate::common::{block, kubo, until, us};

#[tokio::test]
async fn a_cancel_empties_kubos_view_of_our_wants() {
    let (us, kubo) = (us().await, kubo().await);
    us.connect(kubo.addrs()[0].clone()).await.unwrap();
    let ours = us.peer_id();
    let view = async || kubo.bitswap_wantlist(Some(&ours)).await.unwrap();
    let (cid, _) = block(1, 1000);
    {
        let mut wanted = std::pin::pin!(us.get(cid));
        let told = until("the want there", async || view().await == [cid]);
        tokio::select! {
            block = &mut wanted => panic!("nobody has it: {block:?}"),
            () = told => {}
        }
    }
    until("the cancel there", async || view().await.is_empty()).await;
}

#[tokio::test]
async fn a_closed_session_cancels_all_its_wants_at_kubo() {
    let (us, kubo) = (us().await, kubo().await);
    us.connect(kubo.addrs()[0].clone()).await.unwrap();
    let ours = us.peer_id();
    let view = async || kubo.bitswap_wantlist(Some(&ours)).await.unwrap().len();
    let session = us.session(SessionOptions::default()).await.unwrap();
    {
        let mut wanted = session.get_many((0..300).map(|seed| block(seed, 100).0));
        let told = until("the wants there", async || view().await == 300);
        tokio::select! {
            block = wanted.next() => panic!("nobody has it: {block:?}"),
            () = told => {}
        }
    }
    drop(session);
    until("the cancels there", async || view().await == 0).await;
}
