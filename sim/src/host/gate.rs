//! Between the bytes of a peer's streams and the engine: what the adapter does with them.

use std::collections::{BTreeMap, BTreeSet};

use bitswap_core::Message;
use bitswap_core::error::DecodeError;
use bitswap_core::limits::PAYLOAD_SLACK;
use bitswap_core::message::{FrameDecoder, PayloadFilter, decode};

use crate::network::Connection;

/// Memory for unfinished frames of one peer. The stream that asks for more ends.
const FRAME_MEMORY_MAX: usize = 32 << 20;
/// What a decoder may hold beyond twice what arrived of a frame.
const DECODER_BYTES: usize = 72 << 10;

type Stream = (Connection, u32);

/// The streams of one peer, and what of its blocks is worth hashing.
#[derive(Debug, Default)]
pub(super) struct Gate {
    filter: PayloadFilter,
    /// Wants sent, counted apart from `filter`, which is held to them.
    sent: u64,
    hashed: u64,
    streams: BTreeMap<Stream, Reader>,
    /// Streams that broke the format or took too much.
    reset: BTreeSet<Stream>,
}

#[derive(Debug, Default)]
struct Reader {
    decoder: FrameDecoder,
    /// Bytes that arrived since the last whole frame, and perhaps some before its end.
    arrived: usize,
}

impl Gate {
    /// A message is sent to the peer.
    pub(super) fn sent(&mut self, message: &Message) {
        self.filter.sent(message);
        let wants = message.wantlist.entries.iter().filter(|entry| !entry.cancel);
        self.sent += wants.count() as u64;
    }

    /// A connection is gone, and its streams with it.
    pub(super) fn closed(&mut self, connection: Connection) {
        self.streams.retain(|(on, _), _| *on != connection);
        self.reset.retain(|(on, _)| *on != connection);
    }

    /// Memory of unfinished frames, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.streams.values().map(|reader| reader.decoder.allocated()).sum()
    }

    /// The messages that these bytes of a stream complete. What breaks the format ends the stream.
    ///
    /// # Panics
    ///
    /// When the decoder or the filter in front of the hash does not keep its bound.
    pub(super) fn pass(&mut self, on: Connection, stream: u32, mut bytes: &[u8]) -> Vec<Message> {
        let stream = (on, stream);
        let mut messages = Vec::new();
        while !bytes.is_empty() && !self.reset.contains(&stream) {
            let reader = self.streams.entry(stream).or_default();
            let room = reader.decoder.buffer_mut();
            let (now, rest) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            reader.decoder.advance(now.len());
            reader.arrived += now.len();
            bytes = rest;
            let whole = self.frames(stream, now.len(), &mut messages);
            if whole.is_err() || self.memory() > FRAME_MEMORY_MAX {
                self.streams.remove(&stream);
                self.reset.insert(stream);
            }
        }
        messages
    }

    fn frames(
        &mut self,
        stream: Stream,
        received: usize,
        messages: &mut Vec<Message>,
    ) -> Result<(), DecodeError> {
        let Some(reader) = self.streams.get_mut(&stream) else {
            return Ok(());
        };
        while let Some(frame) = reader.decoder.next_frame()? {
            reader.arrived = received;
            let decoded = decode(&frame)?;
            let mut message = decoded.message;
            let mut payloads = decoded.payloads;
            payloads.retain(|payload| self.filter.admit(&payload.prefix));
            self.hashed += payloads.len() as u64;
            // Bytes that are no block under their prefix are dropped, and their stream lives on.
            message.add_blocks(payloads.into_iter().filter_map(|payload| payload.verify().ok()));
            messages.push(message);
        }
        let (holds, arrived) = (reader.decoder.allocated(), reader.arrived);
        assert!(
            holds <= 2 * arrived + DECODER_BYTES,
            "a frame of which {arrived} B arrived takes {holds} B"
        );
        let most = self.sent + u64::from(PAYLOAD_SLACK);
        assert!(
            self.hashed <= most,
            "{} payloads were hashed, {} wants sent",
            self.hashed,
            self.sent
        );
        Ok(())
    }
}
