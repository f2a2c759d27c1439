//! What a handler writes, and what it does when that goes wrong.

use std::time::Duration;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{Message, StreamKind, Version};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::host::Host;
use super::probe::Probe;
use super::raw_peer::{RawPeer, send};
use crate::handler::StreamEvent;
use crate::mailbox::{Command, StreamId};
use crate::protocol::Offer;

const STREAM: StreamId = StreamId(7);
const OPEN: Command = open(Offer::up_to(Version::V1_2));

const fn open(offer: Offer) -> Command {
    Command::Open { kind: StreamKind::Requests, stream: STREAM, offer }
}

async fn command(host: &Host<Probe>, command: Command) {
    host.behaviour(move |probe| probe.mailboxes[0].put(command)).await;
}

/// The next event of [`STREAM`].
async fn stream_event(host: &mut Host<Probe>) -> StreamEvent {
    host.until_event("an event of the stream", |mut report| {
        assert!(report.streams.len() <= 1);
        let report = report.streams.pop()?;
        assert_eq!((report.kind, report.stream), (StreamKind::Requests, STREAM));
        Some(report.event)
    })
    .await
}

/// A host that has a connection.
async fn connected(probe: Probe) -> (Host<Probe>, RawPeer) {
    let mut host = Host::new(probe).await;
    let peer = RawPeer::dial(&host.address).await;
    host.until("a connection", |event| {
        matches!(event, libp2p_swarm::SwarmEvent::ConnectionEstablished { .. }).then_some(())
    })
    .await;
    (host, peer)
}

#[tokio::test]
async fn each_version_is_agreed_on_with_a_peer_that_speaks_no_newer() {
    for oldest in 0..4 {
        let versions = &Version::PREFERRED[oldest..];
        let (mut host, mut peer) = connected(Probe::new()).await;
        command(&host, OPEN).await;
        let accepted = peer.accept(versions).await.unwrap();
        assert_eq!(accepted.version, versions[0]);
        let StreamEvent::Opened(Ok(version)) = stream_event(&mut host).await else {
            panic!("not opened")
        };
        assert_eq!(version, versions[0]);
    }
}

#[tokio::test]
async fn a_peer_without_bitswap_is_unsupported() {
    let (mut host, mut peer) = connected(Probe::new()).await;
    command(&host, OPEN).await;
    let stream = peer.accept_bare().await;
    let refuse = multistream_select::listener_select_proto(stream, ["/other"].into_iter());
    let refused = tokio::spawn(refuse);
    assert!(matches!(
        stream_event(&mut host).await,
        StreamEvent::Opened(Err(OpenError::Unsupported))
    ));
    assert!(refused.await.unwrap().is_err());
}

#[tokio::test]
async fn a_negotiation_that_never_ends_times_out() {
    let mut probe = Probe::new();
    probe.settings.open_timeout = Duration::from_millis(50);
    let (mut host, mut peer) = connected(probe).await;
    command(&host, OPEN).await;
    let _silent = peer.accept_bare().await;
    assert!(matches!(stream_event(&mut host).await, StreamEvent::Opened(Err(OpenError::Timeout))));
}

#[tokio::test]
async fn closing_a_stream_ends_its_stream() {
    let (mut host, mut peer) = connected(Probe::new()).await;
    command(&host, OPEN).await;
    let mut stream = peer.accept(&Version::PREFERRED).await.unwrap();
    stream_event(&mut host).await;
    command(&host, Command::Close { kind: StreamKind::Requests, stream: STREAM }).await;
    assert_eq!(stream.message().await, None);
}

#[tokio::test]
async fn a_stream_that_the_peer_resets_is_reported() {
    let (mut host, mut peer) = connected(Probe::new()).await;
    command(&host, OPEN).await;
    let stream = peer.accept(&Version::PREFERRED).await.unwrap();
    stream_event(&mut host).await;
    drop(stream);
    assert!(matches!(stream_event(&mut host).await, StreamEvent::Failed(SendError::Closed)));
}

#[tokio::test]
async fn a_peer_that_ends_its_side_of_our_stream_still_gets_messages() {
    let (mut host, mut peer) = connected(Probe::new()).await;
    command(&host, OPEN).await;
    let mut stream = peer.accept(&Version::PREFERRED).await.unwrap();
    stream_event(&mut host).await;
    stream.stream.close().await.unwrap();
    command(&host, Command::Close { kind: StreamKind::Requests, stream: STREAM }).await;
    let mut rest = Vec::new();
    let read = super::soon("an end", stream.stream.read_to_end(&mut rest)).await;
    assert_eq!(read.unwrap(), 0, "ended, not reset");
}

#[tokio::test]
async fn a_stream_that_the_peer_never_closes_ends_a_while_after_our_half() {
    // Whether the peer is in the middle of a message then decides whose fault it is.
    for (begun, blamed) in [(&[][..], 0), (&[100, 0x0a][..], 1)] {
        let mut probe = Probe::new();
        probe.settings.tick = Duration::from_millis(10);
        let (mut host, mut peer) = connected(probe).await;
        command(&host, OPEN).await;
        let mut ours = peer.accept(&Version::PREFERRED).await.unwrap();
        stream_event(&mut host).await;
        ours.stream.write_all(begun).await.unwrap();
        ours.stream.flush().await.unwrap();
        command(&host, Command::Close { kind: StreamKind::Requests, stream: STREAM }).await;
        assert_eq!(ours.message().await, None, "our half ends in good order");
        // The clock of this test: it begins later, and ends when it has not moved for as long.
        let mut clock = peer.open(Version::V1_2).await;
        clock.write_all(&[100, 0x0a]).await.unwrap();
        clock.flush().await.unwrap();
        let mut stalled = 0;
        host.until_event("a stalled stream", |report| {
            stalled += report.traffic.stalled_streams;
            (stalled > blamed).then_some(())
        })
        .await;
        // Nobody reads the first stream any more.
        let lost = Message { pending_bytes: 1, ..Message::default() };
        let read = Message { pending_bytes: 2, ..Message::default() };
        send(&mut ours.stream, &lost).await;
        send(&mut peer.open(Version::V1_2).await, &read).await;
        let messages = host.until_event("a message", |report| {
            stalled += report.traffic.stalled_streams;
            (!report.messages.is_empty()).then_some(report.messages)
        });
        assert_eq!(messages.await, [read], "after {begun:?}");
        assert_eq!(stalled, blamed + 1, "after {begun:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_while_it_is_needed_and_no_longer() {
    let closed =
        |event| matches!(event, libp2p_swarm::SwarmEvent::ConnectionClosed { .. }).then_some(());
    let mut idle = Host::with_idle_timeout(Probe::new(), Duration::ZERO).await;
    let _peer = RawPeer::dial(&idle.address).await;
    idle.until("a connection that nobody needs to close", closed).await;

    let mut probe = Probe::new();
    probe.needed = true;
    let mut host = Host::with_idle_timeout(probe, Duration::ZERO).await;
    let mut peer = RawPeer::dial(&host.address).await;
    host.until("a connection", |event| {
        matches!(event, libp2p_swarm::SwarmEvent::ConnectionEstablished { .. }).then_some(())
    })
    .await;
    command(&host, OPEN).await;
    let _open = peer.accept(&Version::PREFERRED).await.unwrap();
    stream_event(&mut host).await;
    host.behaviour(|probe| probe.mailboxes[0].keep_alive(false)).await;
    host.until("the connection to close with a stream open", closed).await;
}
