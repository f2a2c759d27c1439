//! Gets of single blocks.

use bitswap_core::Block;
use bitswap_core::error::{PrefixError, WantError};
use cid::Cid;
use cid::multihash::Multihash;

use super::node::{Node, node};
use super::{block, bytes};
use crate::{Event, GetError, RequestId};

/// Waits for the end of one get, which must be the only event about it.
async fn finished(node: &mut Node, wanted: RequestId) -> Result<Block, GetError> {
    node.until_event("the end of a get", |event| match event {
        Event::GetFinished { request, result } => (request == wanted).then_some(result),
        Event::Engine(event) => panic!("the user opened no session: {event:?}"),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_block_is_got_from_a_peer_and_kept() {
    let blocks: Vec<Block> = (0..21).map(|seed| block(bytes(seed, 2 << 20))).collect();
    let mut a = node(&blocks).await;
    let mut b = node(&[]).await;
    let mut cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    let (first, last) = (cids[0], cids.pop().unwrap());
    let gets = b.behaviour(move |b| cids.into_iter().map(|cid| b.get(cid)).collect::<Vec<_>>());
    let gets: Vec<RequestId> = gets.await;
    a.connect(&mut b).await;
    let mut missing = gets.len();
    b.until_event("all blocks", |event| {
        if let Event::GetFinished { request, result } = event {
            let at = gets.iter().position(|id| *id == request).unwrap();
            assert_eq!(result.unwrap(), blocks[at]);
            missing -= 1;
        }
        (missing == 0).then_some(())
    })
    .await;
    let stored = b.behaviour(move |b| b.store().bytes_of(&first)).await;
    assert_eq!(stored.as_ref(), Some(blocks[0].data()));
    // More than the session's window has come, and was released by itself.
    let one_more = b.behaviour(move |b| b.get(last)).await;
    assert_eq!(finished(&mut b, one_more).await.unwrap(), blocks[20]);
    // Now it is here, and nobody is asked.
    let sent = b.behaviour(|b| b.stats().engine.fetched.messages_sent).await;
    let again = b.behaviour(move |b| b.get(first)).await;
    assert_eq!(finished(&mut b, again).await.unwrap(), blocks[0]);
    assert_eq!(b.behaviour(|b| b.stats().engine.fetched.messages_sent).await, sent);
}

#[tokio::test]
async fn two_gets_of_one_block_end_each_and_also_when_it_is_put_here() {
    let mut node = node(&[]).await;
    let late = block("late");
    let cid = *late.cid();
    let gets = node.behaviour(move |node| [node.get(cid), node.get(cid)]).await;
    let wanted = || async { node.behaviour(|node| node.stats().engine.wants).await };
    super::soon("the want", async { while wanted().await == 0 {} }).await;
    let put = late.clone();
    node.behaviour(move |node| node.put(vec![put])).await;
    for get in gets {
        assert_eq!(finished(&mut node, get).await.unwrap(), late);
    }
    assert_eq!(node.behaviour(|node| node.stats().engine.wants).await, 0);
}

#[tokio::test]
async fn a_get_that_cannot_be_asked_for_says_so() {
    let mut node = node(&[]).await;
    let identity = Cid::new_v1(0x55, Multihash::wrap(0, b"inside").unwrap());
    let get = node.behaviour(move |node| node.get(identity)).await;
    let refused = finished(&mut node, get).await;
    let expected = WantError::Unfetchable(PrefixError::Identity);
    assert!(matches!(refused, Err(GetError::Want(error)) if error == expected), "{refused:?}");
}

#[tokio::test]
async fn a_get_that_is_cancelled_is_not_heard_of_and_not_wanted_any_more() {
    let mut node = node(&[]).await;
    let (given_up, kept) = (block("given up"), block("kept"));
    let cids = [*given_up.cid(), *kept.cid()];
    let [cancelled, other] = node.behaviour(move |node| cids.map(|cid| node.get(cid))).await;
    let wanted = || async { node.behaviour(|node| node.stats().engine.wants).await };
    super::soon("the wants", async { while wanted().await < 2 {} }).await;
    node.behaviour(move |node| node.cancel_get(cancelled)).await;
    assert_eq!(wanted().await, 1);
    node.behaviour(move |node| node.put(vec![given_up, kept])).await;
    node.until_event("the other", |event| match event {
        Event::GetFinished { request, .. } => {
            assert_ne!(request, cancelled);
            (request == other).then_some(())
        }
        _ => None,
    })
    .await;
    assert!(node.behaviour(|node| node.is_idle()).await);
}

#[tokio::test]
async fn a_shutdown_ends_gets() {
    let mut node = node(&[]).await;
    let cid = *block("nobody has it").cid();
    let get = node.behaviour(move |node| node.get(cid)).await;
    let wanted = || async { node.behaviour(|node| node.stats().engine.wants).await };
    super::soon("the want", async { while wanted().await == 0 {} }).await;
    node.behaviour(|node| node.shutdown()).await;
    let ended = finished(&mut node, get).await;
    assert!(matches!(ended, Err(GetError::Failed(_))), "{ended:?}");
}

#[test]
fn events_are_serialized_with_cids_and_errors_as_text() {
    let block = block("hello");
    let cid = *block.cid();
    let found = Event::GetFinished { request: RequestId(3), result: Ok(block) };
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["GetFinished"]["result"]["Ok"]["cid"], cid.to_string());
    let failed = Event::StoreFailed { error: crate::StoreError::new("the disk is on fire") };
    let json = serde_json::to_value(&failed).unwrap();
    let text = "the block store failed: the disk is on fire";
    assert_eq!(json, serde_json::json!({ "StoreFailed": { "error": text } }));
}
