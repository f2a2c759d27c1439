//! Which connection is used, and what the engine is answered.

use futures::task::noop_waker;
use web_time::Instant;

use super::*;

/// A peer with this many established connections, and their mailboxes.
fn peer(connections: usize) -> (Peer, Vec<Mailbox>) {
    peer_with(Versions::new(Version::V1_2, false), connections)
}

/// The same in a swarm that negotiates lazily.
fn lazy_peer(connections: usize) -> (Peer, Vec<Mailbox>) {
    peer_with(Versions::new(Version::V1_2, true), connections)
}

fn peer_with(versions: Versions, connections: usize) -> (Peer, Vec<Mailbox>) {
    let mut peer = Peer::new(Allowance::new(1024, Instant::now()), versions);
    let mailboxes = (0..connections).map(|at| {
        let mailbox = peer.connecting(id(at));
        peer.connected(id(at));
        mailbox
    });
    let mailboxes = mailboxes.collect();
    (peer, mailboxes)
}

fn id(at: usize) -> ConnectionId {
    ConnectionId::new_unchecked(at)
}

/// The stream that a task was asked to open, if that is all it was asked.
fn asked_to_open(mailbox: &Mailbox) -> Option<StreamId> {
    match Vec::from(mailbox.take(&noop_waker()).commands)[..] {
        [Command::Open { kind: StreamKind::Requests, stream, .. }] => Some(stream),
        _ => None,
    }
}

fn opened(stream: StreamId, result: Result<Version, OpenError>) -> StreamReport {
    StreamReport { kind: StreamKind::Requests, stream, event: StreamEvent::Opened(result) }
}

const YES: Result<Version, OpenError> = Ok(Version::V1_2);

#[test]
fn a_stream_being_opened_moves_to_the_next_connection() {
    let (mut peer, tasks) = peer(2);
    let streams = &mut StreamIds::default();
    assert_eq!(peer.open(StreamKind::Requests, streams), None);
    let first = asked_to_open(&tasks[0]).unwrap();
    let inputs = peer.disconnected(id(0), streams);
    assert_eq!(inputs, [Input::Reset(StreamKind::Requests)], "the engine's request stands");
    let second = asked_to_open(&tasks[1]).unwrap();
    assert_eq!(peer.on_stream_event(opened(first, YES), streams), [], "of a stream given up");
    let inputs = peer.on_stream_event(opened(second, YES), streams);
    assert_eq!(inputs, [Input::Opened(StreamKind::Requests, YES)]);
    assert_eq!(peer.on_stream_event(opened(second, YES), streams), [], "answered once");
}

#[test]
fn the_last_connection_answers_what_is_open() {
    let (mut peer, _) = peer(1);
    let streams = &mut StreamIds::default();
    peer.open(StreamKind::Requests, streams);
    let closed = Input::Opened(StreamKind::Requests, Err(OpenError::Closed));
    assert_eq!(peer.disconnected(id(0), streams), [closed]);
    assert!(peer.is_empty() && !peer.is_busy());
}

#[test]
fn any_connection_that_closes_may_have_lost_answers_to_our_wants() {
    let (mut peer, tasks) = peer(2);
    let streams = &mut StreamIds::default();
    assert_eq!(peer.disconnected(id(1), streams), [Input::Reset(StreamKind::Requests)]);
    peer.open(StreamKind::Requests, streams);
    let stream = asked_to_open(&tasks[0]).unwrap();
    peer.on_stream_event(opened(stream, YES), streams);
    peer.connecting(id(2));
    peer.connected(id(2));
    assert_eq!(peer.disconnected(id(2), streams), [Input::Reset(StreamKind::Requests)]);
    let commands = Vec::from(tasks[0].take(&noop_waker()).commands);
    assert!(matches!(commands[..], [Command::Reset { .. }]), "{commands:?}");
}

#[test]
fn what_was_said_before_a_stream_was_closed_may_be_lost_with_its_connection() {
    let (mut peer, tasks) = peer(2);
    let streams = &mut StreamIds::default();
    peer.open(StreamKind::Requests, streams);
    let stream = asked_to_open(&tasks[0]).unwrap();
    peer.on_stream_event(opened(stream, YES), streams);
    peer.close(StreamKind::Requests);
    assert_eq!(peer.disconnected(id(0), streams), [Input::Reset(StreamKind::Requests)]);
    assert_eq!(peer.disconnected(id(1), streams), [], "the peer is gone with its last one");
}

#[test]
fn a_connection_that_was_never_established_leaves_no_trace() {
    let (mut peer, tasks) = peer(1);
    let streams = &mut StreamIds::default();
    peer.connecting(id(1));
    assert_eq!(peer.connections(), 1);
    assert_eq!(peer.disconnected(id(1), streams), []);
    // Nor does one that is established late come to be used instead of one that is in use.
    let (mut peer, _) = peer_with(Versions::new(Version::V1_2, false), 0);
    let late = peer.connecting(id(2));
    let used = peer.connecting(id(3));
    peer.connected(id(3));
    peer.connected(id(2));
    peer.open(StreamKind::Requests, streams);
    assert!(asked_to_open(&used).is_some() && asked_to_open(&late).is_none());
    assert!(asked_to_open(&tasks[0]).is_none());
}

#[test]
fn a_connection_on_which_nothing_can_be_opened_is_left_for_another() {
    let (mut peer, tasks) = peer(2);
    let streams = &mut StreamIds::default();
    peer.open(StreamKind::Requests, streams);
    let stream = asked_to_open(&tasks[0]).unwrap();
    let timeout = Err(OpenError::Timeout);
    let inputs = peer.on_stream_event(opened(stream, timeout), streams);
    assert_eq!(inputs, [Input::Opened(StreamKind::Requests, timeout)]);
    peer.open(StreamKind::Requests, streams);
    assert!(asked_to_open(&tasks[0]).is_none() && asked_to_open(&tasks[1]).is_some());
}

#[test]
fn a_connection_on_which_nothing_can_be_sent_in_time_is_left_for_another() {
    for (error, leaves) in [(SendError::Timeout, true), (SendError::Closed, false)] {
        let (mut peer, tasks) = peer(2);
        let streams = &mut StreamIds::default();
        peer.open(StreamKind::Requests, streams);
        let stream = asked_to_open(&tasks[0]).unwrap();
        peer.on_stream_event(opened(stream, YES), streams);
        let failed =
            StreamReport { kind: StreamKind::Requests, stream, event: StreamEvent::Failed(error) };
        assert_eq!(peer.on_stream_event(failed, streams), [Input::Reset(StreamKind::Requests)]);
        peer.open(StreamKind::Requests, streams);
        assert_eq!(asked_to_open(&tasks[1]).is_some(), leaves, "{error:?}");
        assert_eq!(asked_to_open(&tasks[0]).is_some(), !leaves, "{error:?}");
    }
}

#[test]
fn a_stream_that_is_reset_is_closed_at_once_and_heard_of_no_more() {
    let (mut peer, tasks) = peer(1);
    let streams = &mut StreamIds::default();
    peer.reset(StreamKind::Requests);
    peer.open(StreamKind::Requests, streams);
    let stream = asked_to_open(&tasks[0]).unwrap();
    peer.on_stream_event(opened(stream, YES), streams);
    peer.reset(StreamKind::Requests);
    assert!(!peer.is_busy());
    let commands = Vec::from(tasks[0].take(&noop_waker()).commands);
    assert!(
        matches!(commands[..], [Command::Reset { kind: StreamKind::Requests, stream: at }] if at == stream)
    );
    let failed = |stream| {
        let event = StreamEvent::Failed(SendError::Closed);
        StreamReport { kind: StreamKind::Requests, stream, event }
    };
    assert_eq!(peer.on_stream_event(failed(stream), streams), []);
    // Nor is what is told of it late told of the next one.
    peer.open(StreamKind::Requests, streams);
    let next = asked_to_open(&tasks[0]).unwrap();
    peer.on_stream_event(opened(next, YES), streams);
    assert_eq!(peer.on_stream_event(failed(stream), streams), []);
    let lost = [Input::Reset(StreamKind::Requests)];
    assert_eq!(peer.on_stream_event(failed(next), streams), lost);
}

#[test]
fn one_connection_that_lists_bitswap_is_enough() {
    let (mut peer, _) = peer(2);
    assert_eq!(peer.support(id(0), ProtocolSupport::No), ProtocolSupport::No);
    assert_eq!(peer.support(id(1), ProtocolSupport::Yes), ProtocolSupport::Yes);
    assert_eq!(peer.support(id(0), ProtocolSupport::No), ProtocolSupport::Yes);
}

/// What the task of a connection was asked to do, and which stream it is about.
fn opening(mailbox: &Mailbox) -> (StreamId, Offer) {
    match Vec::from(mailbox.take(&noop_waker()).commands)[..] {
        [Command::Open { kind: StreamKind::Requests, stream, offer }] => (stream, offer),
        ref other => panic!("{other:?}"),
    }
}

const NEWEST: Offer = Offer::up_to(Version::V1_2);

#[test]
fn where_streams_are_negotiated_lazily_a_version_is_taken_for_granted() {
    let (mut peer, tasks) = lazy_peer(1);
    let streams = &mut StreamIds::default();
    let granted = Input::Opened(StreamKind::Requests, YES);
    assert_eq!(peer.open(StreamKind::Requests, streams), Some(granted));
    let (stream, offer) = opening(&tasks[0]);
    assert_eq!(offer, NEWEST.alone());
    assert_eq!(peer.on_stream_event(opened(stream, YES), streams), [], "the engine was answered");
    peer.close(StreamKind::Requests);
    let closes = Vec::from(tasks[0].take(&noop_waker()).commands);
    assert!(matches!(closes[..], [Command::Close { stream: closed, .. }] if closed == stream));
}

#[test]
fn a_version_that_was_taken_for_granted_is_asked_for_once_the_stream_has_failed() {
    let (mut peer, tasks) = lazy_peer(1);
    let streams = &mut StreamIds::default();
    let (kind, lost) = (StreamKind::Requests, [Input::Reset(StreamKind::Requests)]);
    let closed = StreamEvent::Failed(SendError::Closed);
    let refused = StreamEvent::Opened(Err(OpenError::Unsupported));
    for event in [closed, refused] {
        assert!(peer.open(kind, streams).is_some());
        let (stream, _) = opening(&tasks[0]);
        assert_eq!(peer.on_stream_event(StreamReport { kind, stream, event }, streams), lost);
        // Now the peer is waited for, and then taken at its word.
        assert_eq!(peer.open(kind, streams), None);
        let (stream, offer) = opening(&tasks[0]);
        assert_eq!(offer.alone(), NEWEST.starting_with(peer.versions.works).alone());
        assert_eq!(offer, offer.agreed());
        let old = Ok(Version::V1_0);
        let inputs = peer.on_stream_event(opened(stream, old), streams);
        assert_eq!(inputs, [Input::Opened(kind, old)]);
        peer.close(kind);
        tasks[0].take(&noop_waker());
        assert_eq!(peer.open(kind, streams), Some(Input::Opened(kind, old)));
        let (stream, offer) = opening(&tasks[0]);
        assert_eq!(offer, NEWEST.starting_with(Version::V1_0).alone());
        assert_eq!(peer.on_stream_event(opened(stream, old), streams), []);
        peer.close(kind);
        tasks[0].take(&noop_waker());
    }
}

#[test]
fn a_stream_taken_for_granted_that_cannot_be_opened_in_time_is_left_for_another_connection() {
    for (error, leaves) in [(OpenError::Timeout, true), (OpenError::Unsupported, false)] {
        let (mut peer, tasks) = lazy_peer(2);
        let streams = &mut StreamIds::default();
        peer.open(StreamKind::Requests, streams);
        let (stream, _) = opening(&tasks[0]);
        let inputs = peer.on_stream_event(opened(stream, Err(error)), streams);
        assert_eq!(inputs, [Input::Reset(StreamKind::Requests)]);
        peer.open(StreamKind::Requests, streams);
        assert_eq!(asked_to_open(&tasks[1]).is_some(), leaves, "{error:?}");
        assert_eq!(asked_to_open(&tasks[0]).is_some(), !leaves, "{error:?}");
    }
}
