//! What a handler reads, and when it stops.

use std::time::Duration;

use bitswap_core::{Entry, Message, Presence, Version, WantKind};
use bytes::Bytes;
use futures::AsyncWriteExt;

use super::host::Host;
use super::probe::{Held, Probe};
use super::raw_peer::{RawPeer, is_reset, send};
use super::{block, bytes};
use crate::Traffic;

/// A message that wants one block, known by its priority.
fn want(priority: i32) -> Message {
    let mut message = Message::default();
    let cid = *block("wanted").cid();
    message.wantlist.entries = vec![Entry::want(cid, WantKind::Block, priority, true)];
    message
}

fn with_blocks(blocks: impl IntoIterator<Item = bitswap_core::Block>) -> Message {
    let mut message = Message::default();
    message.add_blocks(blocks);
    message
}

/// A whole frame of `len` bytes after its length: a field that nobody knows.
fn padding(len: usize) -> Vec<u8> {
    let varint = |mut value: usize, out: &mut Vec<u8>| {
        while value > 0x7f {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    };
    // Field 15, length-delimited, its length in four bytes.
    let data = len - 1 - 4;
    let mut frame = Vec::new();
    varint(len, &mut frame);
    frame.push(15 << 3 | 2);
    varint(data, &mut frame);
    frame.resize(frame.len() + data, 7);
    frame
}

/// Takes reports until so many messages have come.
async fn messages(host: &mut Host<Probe>, count: usize) -> (Vec<Message>, Traffic) {
    let (mut messages, mut traffic) = (Vec::new(), Traffic::default());
    while messages.len() < count {
        let report = host.until_event("messages", Some).await;
        messages.extend(report.messages);
        traffic += report.traffic;
    }
    assert_eq!(messages.len(), count);
    (messages, traffic)
}

/// Takes reports until their traffic is what is looked for.
async fn traffic(host: &mut Host<Probe>, what: &str, found: impl Fn(&Traffic) -> bool) -> Traffic {
    let mut sum = Traffic::default();
    host.until_event(what, |report| {
        sum += report.traffic;
        found(&sum).then_some(sum)
    })
    .await
}

#[tokio::test]
async fn messages_arrive_on_every_version() {
    let mut host = Host::new(Probe::new()).await;
    let peer = RawPeer::dial(&host.address).await;
    for (priority, version) in (1..).zip(Version::PREFERRED) {
        let mut stream = peer.open(version).await;
        send(&mut stream, &want(priority)).await;
        let (got, _) = messages(&mut host, 1).await;
        assert_eq!(got, [want(priority)], "{version:?}");
    }
}

#[tokio::test]
async fn of_a_peer_that_was_asked_for_nothing_a_thousand_answers_are_read_and_all_wants() {
    let mut flood = Message::default();
    let cid = |seed| *block(bytes(seed, 8)).cid();
    flood.presences = (0..2000).map(|seed| Presence { cid: cid(seed), have: true }).collect();
    let want = |seed| Entry::want(cid(seed), WantKind::Have, 1, false);
    flood.wantlist.entries = (0..2000).map(want).collect();
    for (asked, answers, skipped) in [(0, 1024, 976), (1, 2000, 0)] {
        let mut host = Host::new(Probe::new().expecting(asked)).await;
        let peer = RawPeer::dial(&host.address).await;
        send(&mut peer.open(Version::V1_2).await, &flood).await;
        let (got, traffic) = messages(&mut host, 1).await;
        assert_eq!(got[0].wantlist, flood.wantlist);
        assert_eq!(got[0].presences, flood.presences[..answers]);
        assert_eq!(traffic.ignored_items, skipped);
    }
}

#[tokio::test]
async fn a_stream_carries_many_messages_in_order() {
    let mut host = Host::new(Probe::new()).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut stream = peer.open(Version::V1_2).await;
    let all: Vec<Message> = (0..500).map(want).collect();
    for message in &all {
        send(&mut stream, message).await;
    }
    assert_eq!(messages(&mut host, 500).await.0, all);
}

#[tokio::test]
async fn a_frame_of_4_mib_is_read_and_one_byte_more_resets_only_its_stream() {
    let mut host = Host::new(Probe::new().expecting(1)).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut largest = peer.open(Version::V1_2).await;
    let mut too_large = peer.open(Version::V1_2).await;
    largest.write_all(&padding(4 << 20)).await.unwrap();
    largest.flush().await.unwrap();
    let (got, traffic_of_first) = messages(&mut host, 1).await;
    assert_eq!(got, [Message::default()]);
    assert_eq!(traffic_of_first.malformed_streams, 0);
    too_large.write_all(&padding((4 << 20) + 1)[..100]).await.unwrap();
    too_large.flush().await.unwrap();
    traffic(&mut host, "a reset", |traffic| traffic.malformed_streams == 1).await;
    assert!(is_reset(&mut too_large).await);
    send(&mut largest, &want(3)).await;
    assert_eq!(messages(&mut host, 1).await.0, [want(3)]);
}

#[tokio::test]
async fn bytes_that_are_no_message_reset_only_their_stream() {
    let mut host = Host::new(Probe::new()).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut good = peer.open(Version::V1_2).await;
    for bad in [&[3, 0x0a, 0x7f, 0][..], &[2, 0xff, 0xff], &[4, 0x1a, 2, 0x0a, 0]] {
        let mut stream = peer.open(Version::V1_2).await;
        stream.write_all(bad).await.unwrap();
        stream.flush().await.unwrap();
        traffic(&mut host, "a reset", |traffic| traffic.malformed_streams == 1).await;
        assert!(is_reset(&mut stream).await);
    }
    // A stream that ends within a frame.
    let mut cut = peer.open(Version::V1_2).await;
    cut.write_all(&[9, 0x0a]).await.unwrap();
    cut.close().await.unwrap();
    traffic(&mut host, "a cut", |traffic| traffic.failed_streams == 1).await;
    send(&mut good, &want(1)).await;
    assert_eq!(messages(&mut host, 1).await.0, [want(1)]);
}

#[tokio::test]
async fn hundreds_of_streams_at_once_lose_nothing() {
    const STREAMS: u64 = 400;
    let mut host = Host::new(Probe::new().expecting(STREAMS)).await;
    let peer = RawPeer::dial(&host.address).await;
    let blocks: Vec<_> = (0..STREAMS).map(|seed| block(bytes(seed, 20_000))).collect();
    let mut streams = Vec::new();
    for _ in &blocks {
        streams.push(peer.open(Version::V1_2).await);
    }
    let writes = streams.iter_mut().zip(&blocks).map(|(stream, block)| async move {
        send(stream, &with_blocks([block.clone()])).await;
        stream.close().await.unwrap();
    });
    futures::future::join_all(writes).await;
    let (got, traffic) = messages(&mut host, blocks.len()).await;
    let mut got: Vec<_> = got.iter().flat_map(|message| &message.blocks).collect();
    let mut sent: Vec<_> = blocks.iter().collect();
    got.sort_by_key(|block| block.cid().to_bytes());
    sent.sort_by_key(|block| block.cid().to_bytes());
    assert_eq!(got, sent);
    assert_eq!((traffic.evicted_streams, traffic.refused_payloads), (0, 0));
    // The peer sees its streams end: it may forget them.
    for stream in &mut streams {
        let mut end = Vec::new();
        let read = futures::AsyncReadExt::read_to_end(stream, &mut end);
        assert_eq!(super::soon("an end", read).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_stream_that_was_silent_longest_gives_way() {
    let mut probe = Probe::new();
    probe.settings.streams_max = 8;
    let mut host = Host::new(probe).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut streams = Vec::new();
    for priority in 0..8 {
        let mut stream = peer.open(Version::V1_2).await;
        send(&mut stream, &want(priority)).await;
        messages(&mut host, 1).await;
        streams.push(stream);
    }
    // The first speaks again, so the second is the one that has been silent for longest.
    send(&mut streams[0], &want(8)).await;
    messages(&mut host, 1).await;
    let mut ninth = peer.open(Version::V1_2).await;
    send(&mut ninth, &want(9)).await;
    let mut evicted = 0;
    host.until_event("an eviction and a message", |report| {
        evicted += report.traffic.evicted_streams;
        report.messages.contains(&want(9)).then_some(())
    })
    .await;
    assert_eq!(evicted, 1);
    assert!(is_reset(&mut streams[1]).await);
    send(&mut streams[0], &want(10)).await;
    assert_eq!(messages(&mut host, 1).await.0, [want(10)]);
}

#[tokio::test]
async fn a_payload_that_was_not_asked_for_is_counted_and_its_stream_lives() {
    let mut host = Host::new(Probe::new().expecting(1)).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut stream = peer.open(Version::V1_2).await;
    // The prefix of a dag-pb block, of an unknown hash, and the one that was asked for.
    let payload = |prefix: &[u8], data: &[u8]| {
        let mut body = vec![0x0a, prefix.len() as u8];
        body.extend_from_slice(prefix);
        body.extend_from_slice(&[0x12, data.len() as u8]);
        body.extend_from_slice(data);
        let mut frame = vec![body.len() as u8 + 2, 0x1a, body.len() as u8];
        frame.extend_from_slice(&body);
        frame
    };
    let frames = [
        payload(&[1, 0x70, 0x12, 0x20], b"not asked"),
        payload(&[1, 0x55, 0xff, 0x7f, 0x20], b"unknown hash"),
        payload(&[1, 0x55, 0x12, 0x20], b"asked"),
    ];
    stream.write_all(&frames.concat()).await.unwrap();
    stream.flush().await.unwrap();
    let (got, traffic) = messages(&mut host, 3).await;
    assert_eq!(got, [Message::default(), Message::default(), with_blocks([block("asked")])]);
    assert_eq!((traffic.refused_payloads, traffic.malformed_streams), (2, 0));
    send(&mut stream, &want(1)).await;
    assert_eq!(messages(&mut host, 1).await.0, [want(1)]);
}

#[tokio::test]
async fn a_small_block_does_not_keep_a_large_frame_in_memory() {
    let mut host = Host::new(Probe::new().expecting(1)).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut stream = peer.open(Version::V1_2).await;
    let small = with_blocks([block("small")]).encode(Version::V1_2).into_segments().concat();
    let junk = padding(1 << 20);
    // One frame: the block and a megabyte that nobody knows.
    let body = [&small[1..], &junk[3..]].concat();
    let mut frame = vec![body.len() as u8 | 0x80, (body.len() >> 7) as u8 | 0x80];
    frame.push((body.len() >> 14) as u8);
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await.unwrap();
    stream.flush().await.unwrap();
    let (mut got, _) = messages(&mut host, 1).await;
    let (_, data) = got.remove(0).blocks.remove(0).into_parts();
    let alone = data.try_into_mut().expect("nobody else has it");
    assert!(alone.capacity() < 100);
}

#[tokio::test]
async fn blocks_are_hashed_beside_the_task_and_arrive_in_order() {
    let held = Held::default();
    let mut host = Host::new(Probe::with(held.clone()).expecting(100)).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut stream = peer.open(Version::V1_2).await;
    let large = |seed| block(bytes(seed, 1 << 20));
    // Ten large ones and a small message; the first four fill what may be pending.
    let writer = tokio::spawn(async move {
        for seed in 0..10 {
            send(&mut stream, &with_blocks([large(seed)])).await;
        }
        send(&mut stream, &want(1)).await;
        stream
    });
    super::soon("four jobs", async {
        while held.len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Whoever would still be reading has every chance to.
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(held.len(), 4, "reading stops while 4 MiB are pending");
    for seed in 0..10 {
        let task = super::soon("a task", async {
            loop {
                assert!(held.len() <= 4);
                match held.take() {
                    Some(task) => return task,
                    None => tokio::task::yield_now().await,
                }
            }
        })
        .await;
        task();
        assert_eq!(messages(&mut host, 1).await.0, [with_blocks([large(seed)])]);
    }
    assert_eq!(messages(&mut host, 1).await.0, [want(1)]);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_dropped_job_costs_its_blocks_and_nothing_else() {
    let held = Held::default();
    let mut host = Host::new(Probe::with(held.clone()).expecting(100)).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut stream = peer.open(Version::V1_2).await;
    let mut both = with_blocks([block(bytes(1, 100_000))]);
    both.wantlist = want(5).wantlist;
    send(&mut stream, &both).await;
    super::soon("a task", async {
        while held.take().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (got, traffic) = messages(&mut host, 1).await;
    assert_eq!((got, traffic.dropped_tasks), (vec![want(5)], 1));
}

#[tokio::test]
async fn a_frame_that_stops_moving_resets_its_stream() {
    let mut probe = Probe::new();
    probe.settings.tick = Duration::from_millis(10);
    let mut host = Host::new(probe).await;
    let peer = RawPeer::dial(&host.address).await;
    let mut resting = peer.open(Version::V1_2).await;
    send(&mut resting, &want(1)).await;
    let mut stalled = peer.open(Version::V1_2).await;
    stalled.write_all(&[100, 0x0a]).await.unwrap();
    stalled.flush().await.unwrap();
    traffic(&mut host, "a stalled stream", |traffic| traffic.stalled_streams == 1).await;
    assert!(is_reset(&mut stalled).await);
    // The one between two messages may rest.
    send(&mut resting, &want(2)).await;
    assert_eq!(messages(&mut host, 1).await.0, [want(2)]);
}

#[tokio::test]
async fn what_came_before_the_connection_closed_is_handed_over() {
    let mut host = Host::new(Probe::new().expecting(100)).await;
    for seed in 0..20 {
        let peer = RawPeer::dial(&host.address).await;
        let mut stream = peer.open(Version::V1_2).await;
        let message = with_blocks([block(bytes(seed, 100_000))]);
        send(&mut stream, &message).await;
        // The node has it, in whatever buffer, once it has acknowledged the end of the stream.
        stream.close().await.unwrap();
        let mut end = Vec::new();
        futures::AsyncReadExt::read_to_end(&mut stream, &mut end).await.unwrap();
        peer.hang_up();
        assert_eq!(messages(&mut host, 1).await.0, [message]);
    }
}

#[tokio::test]
async fn a_stream_that_asks_for_memory_beyond_the_bound_of_its_peer_is_reset() {
    let mut host = Host::new(Probe::new()).await;
    let peer = RawPeer::dial(&host.address).await;
    let unfinished = Bytes::from(padding(4 << 20)).slice(..2 << 20);
    let mut streams = Vec::new();
    // Two are too many, of a peer that was asked for nothing.
    for _ in 0..2 {
        let mut stream = peer.open(Version::V1_2).await;
        // The write fails when the stream is reset meanwhile.
        let write = stream.write_all(&unfinished);
        super::soon("a write", write).await.ok();
        super::soon("a flush", stream.flush()).await.ok();
        streams.push(stream);
    }
    traffic(&mut host, "an eviction", |traffic| traffic.evicted_streams > 0).await;
    let mut whole = peer.open(Version::V1_2).await;
    send(&mut whole, &want(1)).await;
    messages(&mut host, 1).await;
}
