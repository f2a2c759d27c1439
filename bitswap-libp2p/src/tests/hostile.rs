//! Peers that send all they can, and what others notice of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitswap_core::{Entry, Message, Version, WantKind};
use cid::Cid;
use cid::multihash::Multihash;
use futures::{AsyncWriteExt, FutureExt};
use libp2p::identity::Keypair;

use super::host::Host;
use super::node::{holding, node_with, patient, until_got, want as wants};
use super::probe::Probe;
use super::raw_peer::{RawPeer, send};
use super::{block, bytes, room, soon};
use crate::BlockDisposition;
use crate::handler::HandlerEvent;

/// As many want-haves as one message may hold, different for each `round`.
fn flood(round: u32) -> Message {
    let mut message = Message::default();
    let want = |at: u32| {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&at.to_le_bytes());
        digest[4..8].copy_from_slice(&round.to_le_bytes());
        let cid = Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap());
        Entry::want(cid, WantKind::Have, 1, true)
    };
    message.wantlist.entries = (0..8192).map(want).collect();
    message
}

#[test]
fn a_report_holds_a_thousand_items_and_those_of_one_message_more() {
    let mut report = HandlerEvent::default();
    let mut small = flood(0);
    small.wantlist.entries.truncate(500);
    for _ in 0..2 {
        report.message(small.clone(), room());
        assert!(!report.is_full());
    }
    report.message(small, room());
    assert!(report.is_full());
    let mut report = HandlerEvent::default();
    report.message(flood(0), room());
    assert!(report.is_full());
}

#[tokio::test]
async fn a_connection_says_nothing_more_until_what_it_said_is_applied() {
    let mut probe = Probe::new();
    probe.applies = false;
    let mut host = Host::new(probe).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut stream = peer.open(Version::V1_2).await;
    let mut one = flood(0);
    one.wantlist.entries.truncate(1);
    let mut left = 1000;
    for _ in 0..left {
        send(&mut stream, &one).await;
    }
    while left > 0 {
        let said =
            |report: HandlerEvent| (!report.messages.is_empty()).then_some(report.messages.len());
        let messages = host.until_event("messages", said).await;
        assert!(messages <= 64, "{messages} at once");
        left -= messages;
        // Two round trips with the task of the connection: it has had its chance.
        for _ in 0..2 {
            peer.open(Version::V1_2).await;
        }
        assert_eq!(host.until_event("no messages", said).now_or_never(), None);
        host.behaviour(|probe| probe.mailboxes[0].applied()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_wants_leaves_the_owner_and_an_honest_peer_their_turn() {
    let blocks: Vec<_> = (0..3).map(|seed| block(bytes(seed, 1000))).collect();
    // Only the turns are to be seen, not the allowance.
    let config = patient().with_items_per_second(1 << 24).unwrap();
    let node = node_with(config, holding(&blocks)).await;
    let mut honest = super::node::node(&[]).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut attackers = Vec::new();
    for round in 0..4 {
        let peer = RawPeer::dial(&node.address).await;
        let over = over.clone();
        attackers.push(tokio::spawn(async move {
            let mut stream = peer.open(Version::V1_2).await;
            let frame: Vec<u8> = flood(round).encode(Version::V1_2).into_segments().concat();
            while !over.load(Ordering::Relaxed) {
                soon("a write", stream.write_all(&frame)).await.unwrap();
            }
        }));
    }
    soon("the flood", async {
        while node.behaviour(|node| node.stats().engine.messages_received).await < 8 {}
    })
    .await;
    let dial = libp2p_swarm::dial_opts::DialOpts::unknown_peer_id().address(node.address.clone());
    let dial = dial.allocate_new_port().build();
    honest.call(|swarm| swarm.dial(dial)).await.unwrap();
    for one in &blocks {
        wants(&honest, BlockDisposition::Return, [*one.cid()]).await;
        until_got(&mut honest, std::slice::from_ref(one)).await;
        node.behaviour(|node| node.stats()).await;
    }
    over.store(true, Ordering::Relaxed);
    for attacker in attackers {
        soon("the end of an attacker", attacker).await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_says_no_more_than_its_allowance_over_all_its_connections() {
    let config = patient().with_items_per_second(1024).unwrap();
    let node = node_with(config, holding(&[])).await;
    let key = Keypair::generate_ed25519();
    let begun = Instant::now();
    // A message counts as much as a want. Few are needed, so that a busy machine reads them in less than they are allowed.
    let mut one = flood(0);
    one.wantlist.entries.truncate(31);
    let mut peers = Vec::new();
    for _ in 0..2 {
        let peer = RawPeer::dial_as(&key, &node.address).await;
        let mut stream = peer.open(Version::V1_2).await;
        for _ in 0..48 {
            send(&mut stream, &one).await;
        }
        peers.push((peer, stream));
    }
    let traffic = soon("all of it", async {
        loop {
            let stats = node.behaviour(|node| node.stats()).await;
            if stats.engine.messages_received == 96 {
                return stats.traffic;
            }
        }
    })
    .await;
    // 3072 items: a third of them at once, and the others (but for one message) in the two seconds after.
    assert!(begun.elapsed() >= Duration::from_millis(1960), "{:?}", begun.elapsed());
    assert!(traffic.pauses > 0);
    assert_eq!(traffic.failed_streams + traffic.stalled_streams, 0);
}
