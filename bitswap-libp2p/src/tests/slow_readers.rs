//! Peers that ask for much and read nothing, and what others notice of it.

use bitswap_core::{Entry, Limits, Message, Version, WantKind};

use super::node::{holding, node, node_with, until_got, want};
use super::raw_peer::{RawPeer, is_reset, send};
use super::{block, bytes, soon};
use crate::{BlockDisposition, Config};

/// Memory for eight blocks.
const MEMORY: u32 = 1 << 20;

#[tokio::test]
async fn streams_of_peers_that_read_nothing_are_reset_for_one_that_waits() {
    let blocks: Vec<_> = (0..20).map(|seed| block(bytes(seed, 128 << 10))).collect();
    let limits = Limits { response_bytes: MEMORY, ..Limits::default() };
    let engine = bitswap_core::Config::default().with_limits(limits).unwrap();
    let mut node_full = node_with(Config::default().with_engine(engine), holding(&blocks)).await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut peer = RawPeer::dial(&node_full.address).await;
        let mut asks = peer.open(Version::V1_2).await;
        let mut message = Message::default();
        let wants = blocks.iter().map(|block| Entry::want(*block.cid(), WantKind::Block, 1, true));
        message.wantlist.entries = wants.collect();
        send(&mut asks, &message).await;
        let answers = peer.accept(&[Version::V1_2]).await.unwrap();
        slow.push((peer, asks, answers));
    }
    soon("all memory to be used", async {
        while node_full.behaviour(|node| node.stats()).await.engine.response_bytes < MEMORY.into() {
        }
    })
    .await;
    let mut honest = node(&[]).await;
    honest.connect(&mut node_full).await;
    want(&honest, BlockDisposition::Return, blocks.iter().map(|block| *block.cid())).await;
    until_got(&mut honest, &blocks).await;
    let mut resets = 0;
    for (peer, _asks, mut answers) in slow {
        let id = peer.id;
        let known = node_full.behaviour(move |node| node.peer(id)).await.unwrap();
        if known.stats.unwrap().served.slow_resets > 0 {
            // What had left before arrives.
            while answers.message().await.is_some() {}
            assert!(is_reset(&mut answers.stream).await);
            resets += 1;
        }
    }
    assert!(resets > 0);
}
