//! One of two engines: its host, and what it writes to streams.

use std::collections::VecDeque;
use std::time::Duration;

use bitswap_core::error::{DecodeError, OpenError, SendError};
use bitswap_core::message::{FrameDecoder, PayloadFilter, decode};
use bitswap_core::{
    Config, Message, Outgoing, Output, SendId, SessionId, SessionOptions, StreamKind, Timestamp,
    Version,
};
use bitswap_testing::{AtOnce, Checked, Host};
use bytes::Bytes;
use cid::Cid;

use crate::engine::{Mask, Peer, Users};

/// A stream that one side writes.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Messages of which the transport has not taken all: each with the bytes that are left.
    pub(super) outbox: VecDeque<(SendId, VecDeque<u8>)>,
    /// Taken and not delivered.
    pub(super) wire: VecDeque<u8>,
    /// The other side's decoder.
    pub(super) decoder: FrameDecoder,
}

/// One engine and all that is its own.
#[derive(Debug)]
pub(super) struct Side<'a> {
    pub(super) host: Host<Peer, Users<'a>>,
    session: SessionId,
    /// The other side's name.
    pub(super) other: Peer,
    /// Whether the engine was told that the other is connected.
    pub(super) connected: bool,
    /// By [`StreamKind`].
    pub(super) streams: [Option<Stream>; 2],
    filter: PayloadFilter,
}

impl<'a> Side<'a> {
    pub(super) fn new(seed: u8, other: Peer, users: Users<'a>) -> Self {
        let now = Timestamp::ZERO;
        let mut host = Host::with(Checked::new(Config::default(), [seed; 32], now), users, now);
        // Searches find nobody at once, and delivered bytes are released.
        host.at_once = AtOnce { lookups: true, releases: true, ..AtOnce::NONE };
        let session = host.open_session(SessionOptions::default());
        Self {
            host,
            session: session.expect("a new engine opens a session"),
            other,
            connected: false,
            streams: [None, None],
            filter: PayloadFilter::new(),
        }
    }

    /// Takes all outputs; what is sent is written to the streams.
    pub(super) fn drain(&mut self) {
        for output in self.host.drain() {
            match output {
                Output::Close { stream, .. } => self.close(stream as usize),
                Output::Reset { stream, .. } => self.streams[stream as usize] = None,
                Output::Send(outgoing) => self.send(&outgoing),
                _ => {}
            }
        }
    }

    fn send(&mut self, outgoing: &Outgoing<Peer>) {
        self.filter.sent(&outgoing.message);
        let frame = outgoing.message.encode(outgoing.version);
        assert_eq!(frame.left_out(), 0, "no block is sent to a version that cannot carry it");
        let bytes = frame.into_segments().concat();
        if let Some(stream) = &mut self.streams[outgoing.stream as usize] {
            stream.outbox.push_back((outgoing.id, bytes.into()));
        }
    }

    /// Closes a stream of our own; what it holds still arrives. Its end is not told apart from a
    /// pause, so it simply moves on.
    fn close(&self, kind: usize) {
        if let Some(stream) = &self.streams[kind] {
            assert!(stream.outbox.is_empty(), "a stream is closed under a message");
        }
    }

    /// Whether the opening of this stream was asked for.
    pub(super) fn is_opening(&self, kind: usize) -> bool {
        self.host.opens.contains(&(self.other, StreamKind::ALL[kind]))
    }

    /// The stream opens: what an older one of this kind held is gone with it, if it was not all
    /// delivered.
    pub(super) fn opened(&mut self, kind: usize, result: Result<Version, OpenError>) {
        if result.is_ok() {
            let mut stream = Stream::default();
            // Closed in order before: its last bytes go first.
            if let Some(before) = self.streams[kind].take() {
                (stream.wire, stream.decoder) = (before.wire, before.decoder);
            }
            self.streams[kind] = Some(stream);
        }
        self.host.opened(self.other, StreamKind::ALL[kind], result);
    }

    /// The transport takes up to this many bytes.
    pub(super) fn write(&mut self, kind: usize, mut bytes: usize) {
        let Some(stream) = &mut self.streams[kind] else { return };
        while let Some((id, rest)) = stream.outbox.front_mut() {
            let some = bytes.min(rest.len());
            stream.wire.extend(rest.drain(..some));
            bytes -= some;
            if !rest.is_empty() {
                break;
            }
            self.host.sent(*id, Ok(()));
            stream.outbox.pop_front();
        }
    }

    pub(super) fn round_trip(&mut self, took: Duration) {
        self.host.round_trip(self.other, took);
    }

    /// The stream is gone with all that is on it, and we notice.
    pub(super) fn reset(&mut self, kind: usize) {
        let Some(stream) = self.streams[kind].take() else { return };
        for (id, _) in stream.outbox {
            self.host.sent(id, Err(SendError::Closed));
        }
        self.host.reset(self.other, StreamKind::ALL[kind]);
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
        self.host.connect(self.other);
    }

    /// The connection is gone, and we notice.
    pub(super) fn lost(&mut self) {
        if self.connected {
            self.connected = false;
            self.streams = [None, None];
            self.filter = PayloadFilter::new();
            self.host.sends.clear();
            self.host.disconnect(self.other);
        }
    }

    /// A frame arrived: what was asked for is hashed.
    pub(super) fn receive(&mut self, frame: &Bytes) -> Result<(), DecodeError> {
        let decoded = decode(frame)?;
        let mut message: Message = decoded.message;
        let payloads = decoded.payloads.into_iter();
        let admitted: Vec<_> =
            payloads.filter(|payload| self.filter.admit(&payload.prefix)).collect();
        message.add_blocks(admitted.into_iter().filter_map(|payload| payload.verify().ok()));
        self.host.receive(self.other, message);
        Ok(())
    }

    /// Answers the oldest lookup. False when there is none.
    pub(super) fn load(&mut self) -> bool {
        let Some(load) = self.host.loads.pop_front() else { return false };
        let answers = self.host.store.answers(&load);
        self.host.loaded(load.id, answers);
        true
    }

    pub(super) fn want(&mut self, blocks: Mask) {
        // Nothing is too much for the default limits.
        let _ = self.host.want(self.session, blocks.cids());
    }

    pub(super) fn cancel(&mut self, blocks: Mask) {
        self.host.cancel(self.session, blocks.cids());
    }

    /// What its users wait for, and this store has.
    pub(super) fn waits_for(&self, other: &Side<'_>) -> usize {
        let has = |cid: &Cid| other.host.store.get(cid).is_some();
        self.host.interceptor().model().waiting().filter(|(_, cid)| has(cid)).count()
    }

    /// Whether nothing waits to be written, opened or loaded.
    pub(super) fn is_idle(&self) -> bool {
        let quiet = |stream: &Option<Stream>| {
            stream.as_ref().is_none_or(|stream| stream.outbox.is_empty() && stream.wire.is_empty())
        };
        let host = &self.host;
        self.streams.iter().all(quiet) && host.loads.is_empty() && host.opens.is_empty()
    }
}
