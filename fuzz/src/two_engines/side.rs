//! One of two engines: its host, its store and what it writes to streams.

use std::collections::VecDeque;

use bitswap_core::error::{DecodeError, OpenError, SendError};
use bitswap_core::message::{FrameDecoder, PayloadFilter, decode};
use bitswap_testing::Checked;
use bitswap_core::{
    BlockInfo, Config, Load, LoadAnswer, LoadKind, Loaded, Message, Outgoing, Output,
    ProviderProgress, SendId, SessionId, SessionOptions, StreamKind, Timestamp, Version, Want,
};
use bytes::Bytes;
use cid::Cid;

use crate::engine::{Between, Call, Mask, Model, Peer, Reply, apply, block, blocks, cid};

/// The two streams by their place.
/// Outputs of one drain at most.
const OUTPUTS_MAX: usize = 20_000;

/// A stream that one side writes.
#[derive(Debug)]
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
pub(super) struct Side {
    engine: Checked<Peer>,
    pub(super) model: Model,
    session: Option<SessionId>,
    /// The other side's name.
    pub(super) other: Peer,
    /// Blocks in the local store.
    pub(super) store: Mask,
    /// Whether the engine was told that the other is connected.
    pub(super) connected: bool,
    pub(super) streams: [Option<Stream>; 2],
    /// Streams whose opening was asked for.
    pub(super) opening: [bool; 2],
    loads: VecDeque<Load<Peer>>,
    filter: PayloadFilter,
}

impl Side {
    pub(super) fn new(seed: u8, other: Peer, between: &mut dyn Between) -> Self {
        let mut side = Self {
            engine: Checked::new(Config::default(), [seed; 32], Timestamp::ZERO),
            model: Model::default(),
            session: None,
            other,
            store: Mask(0),
            connected: false,
            streams: [None, None],
            opening: [false; 2],
            loads: VecDeque::new(),
            filter: PayloadFilter::new(),
        };
        let options = SessionOptions::default();
        let reply = side.call(Call::OpenSession { options }, Timestamp::ZERO, between);
        if let Reply::Session(Ok(session)) = reply {
            side.session = Some(session);
        }
        side
    }

    pub(super) const fn engine(&self) -> &Checked<Peer> {
        &self.engine
    }

    pub(super) fn call(&mut self, call: Call, now: Timestamp, between: &mut dyn Between) -> Reply {
        let reply = match between.call(call.clone()) {
            Some(call) => apply(&mut self.engine, call, now),
            None => Reply::None,
        };
        self.model.call(&call, reply);
        reply
    }

    /// Takes all outputs; searches find nobody.
    pub(super) fn drain(&mut self, now: Timestamp, between: &mut dyn Between) {
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.engine.poll_output() else {
                let engine = self.engine.engine();
                self.model.rest(|session, cid| engine.diagnose(session, cid).is_some());
                return;
            };
            for output in between.output(output) {
                self.model.output(&output);
                self.note(output, now, between);
            }
        }
        panic!("the outputs of one drain have no end");
    }

    fn note(&mut self, output: Output<Peer>, now: Timestamp, between: &mut dyn Between) {
        match output {
            Output::Open { stream: kind, .. } => self.opening[kind as usize] = true,
            Output::Close { stream: kind, .. } => self.close(kind as usize),
            Output::Reset { stream: kind, .. } => self.streams[kind as usize] = None,
            Output::Send(sending) => self.send(sending),
            Output::Load(load) => self.loads.push_back(load),
            Output::FindProviders { id, .. } => {
                let progress = ProviderProgress::Final;
                self.call(Call::Providers { id, peers: Vec::new(), progress }, now, between);
            }
            Output::Event(bitswap_core::Event::Block { session, block, .. }) => {
                let bytes = block.data().len() as u64;
                self.call(Call::Taken { session, bytes }, now, between);
            }
            Output::StopLookup { .. } | Output::Event(_) => {}
        }
    }

    fn send(&mut self, sending: Outgoing<Peer>) {
        self.filter.sent(&sending.message);
        let frame = sending.message.encode(sending.version);
        assert_eq!(frame.left_out(), 0, "no block is sent to a version that cannot carry it");
        let bytes = frame.into_segments().concat();
        if let Some(stream) = &mut self.streams[sending.stream as usize] {
            stream.outbox.push_back((sending.id, bytes.into()));
        }
    }

    /// Closes a stream of our own; what it holds still arrives. Its end is not told apart from a
    /// pause, so it simply moves on.
    fn close(&self, kind: usize) {
        if let Some(stream) = &self.streams[kind] {
            assert!(stream.outbox.is_empty(), "a stream is closed under a message");
        }
    }

    /// The stream opens: what an older one of this stream held is gone with it, if it was not all
    /// delivered.
    pub(super) fn opened(
        &mut self,
        kind: usize,
        result: Result<Version, OpenError>,
        now: Timestamp,
        between: &mut dyn Between,
    ) {
        self.opening[kind] = false;
        if result.is_ok() {
            let mut stream = Stream {
                outbox: VecDeque::new(),
                wire: VecDeque::new(),
                decoder: FrameDecoder::default(),
            };
            // Closed in order before: its last bytes go first.
            if let Some(before) = self.streams[kind].take() {
                (stream.wire, stream.decoder) = (before.wire, before.decoder);
            }
            self.streams[kind] = Some(stream);
        }
        let peer = self.other;
        self.call(Call::Open { peer, kind: StreamKind::ALL[kind], result }, now, between);
    }

    /// The transport takes up to this many bytes.
    pub(super) fn write(
        &mut self,
        kind: usize,
        mut bytes: usize,
        now: Timestamp,
        between: &mut dyn Between,
    ) {
        let mut taken = Vec::new();
        let Some(stream) = &mut self.streams[kind] else { return };
        while let Some((id, rest)) = stream.outbox.front_mut() {
            let some = bytes.min(rest.len());
            stream.wire.extend(rest.drain(..some));
            bytes -= some;
            if !rest.is_empty() {
                break;
            }
            taken.push(*id);
            stream.outbox.pop_front();
        }
        for id in taken {
            self.call(Call::Sent { id, result: Ok(()) }, now, between);
        }
    }

    /// The stream is gone with all that is on it, and we notice.
    pub(super) fn reset(&mut self, kind: usize, now: Timestamp, between: &mut dyn Between) {
        let Some(stream) = self.streams[kind].take() else { return };
        for (id, _) in stream.outbox {
            self.call(Call::Sent { id, result: Err(SendError::Closed) }, now, between);
        }
        self.call(Call::Reset { peer: self.other, kind: StreamKind::ALL[kind] }, now, between);
    }

    /// The connection is gone, and we notice.
    pub(super) fn lost(&mut self, now: Timestamp, between: &mut dyn Between) {
        if self.connected {
            self.connected = false;
            self.streams = [None, None];
            self.opening = [false; 2];
            self.filter = PayloadFilter::new();
            self.call(Call::Disconnected { peer: self.other }, now, between);
        }
    }

    /// A frame arrived: what was asked for is hashed.
    pub(super) fn receive(
        &mut self,
        frame: &Bytes,
        now: Timestamp,
        between: &mut dyn Between,
    ) -> Result<(), DecodeError> {
        let decoded = decode(frame)?;
        let mut message: Message = decoded.message;
        let payloads = decoded.payloads.into_iter();
        let admitted: Vec<_> =
            payloads.filter(|payload| self.filter.admit(&payload.prefix)).collect();
        message.add_blocks(admitted.into_iter().filter_map(|payload| payload.verify().ok()));
        self.call(Call::Message { peer: self.other, message }, now, between);
        Ok(())
    }

    /// Answers the oldest progress. False when there is none.
    pub(super) fn load(&mut self, now: Timestamp, between: &mut dyn Between) -> bool {
        let Some(load) = self.loads.pop_front() else { return false };
        let answer = |cid: &Cid| {
            let at = blocks().iter().position(|block| block.cid() == cid);
            let answer = match (at.filter(|at| self.store.has(*at)), load.kind) {
                (None, _) => LoadAnswer::NotFound,
                (Some(at), LoadKind::Size) => LoadAnswer::Size(block(at).data().len() as u32),
                (Some(at), LoadKind::Data) => LoadAnswer::Data(block(at).data().clone()),
            };
            Loaded { cid: *cid, answer }
        };
        let answers = load.cids.iter().map(answer).collect();
        self.call(Call::Load { id: load.id, answers }, now, between);
        true
    }

    pub(super) fn want(&mut self, cids: Mask, now: Timestamp, between: &mut dyn Between) {
        if let Some(session) = self.session {
            let wants = cids.places().map(|at| Want::from(cid(at))).collect();
            self.call(Call::Want { session, wants }, now, between);
        }
    }

    pub(super) fn cancel(&mut self, cids: Mask, now: Timestamp, between: &mut dyn Between) {
        if let Some(session) = self.session {
            let cids = cids.places().map(cid).collect();
            self.call(Call::Cancel { session, cids }, now, between);
        }
    }

    pub(super) fn store(&mut self, cids: Mask, now: Timestamp, between: &mut dyn Between) {
        self.store.0 |= cids.0;
        let info = |at| BlockInfo { cid: cid(at), size: block(at).data().len() as u32 };
        let blocks = cids.places().map(info).collect();
        self.call(Call::Announce { blocks }, now, between);
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_idle(&self) -> bool {
        let quiet = |stream: &Option<Stream>| {
            stream.as_ref().is_none_or(|stream| stream.outbox.is_empty() && stream.wire.is_empty())
        };
        self.streams.iter().all(quiet) && self.loads.is_empty() && self.opening == [false; 2]
    }
}
