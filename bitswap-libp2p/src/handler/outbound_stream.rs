//! A stream of ours, from the request to its end.

use bitswap_core::{Message, SendId, Version};
use futures::io::WriteHalf;
use libp2p_swarm::Stream;

use super::writer::{Closing, Writer};
use crate::mailbox::StreamId;

/// Our stream for a stream, of which there is at most one.
#[derive(Debug, Default)]
pub(crate) enum OutboundStream {
    /// None.
    #[default]
    Closed,
    /// Asked for, being negotiated; what is to be written on it then.
    Opening(StreamId, Vec<(SendId, Version, Message)>),
    /// Open.
    Open(StreamId, Writer<WriteHalf<Stream>>),
}

impl OutboundStream {
    /// It was asked for.
    pub(crate) const fn opening(stream: StreamId) -> Self {
        Self::Opening(stream, Vec::new())
    }

    /// It is there.
    pub(crate) fn opened(&mut self, stream: StreamId, mut writer: Writer<WriteHalf<Stream>>) {
        if let Self::Opening(_, waiting) = self {
            for (id, version, message) in waiting.drain(..) {
                writer.push(id, version, message);
            }
        }
        *self = Self::Open(stream, writer);
    }

    /// Whether this stream is being negotiated.
    pub(crate) fn is_opening(&self, stream: StreamId) -> bool {
        matches!(self, Self::Opening(opening, _) if *opening == stream)
    }

    /// Whether this stream is open.
    pub(crate) fn is_open(&self, stream: StreamId) -> bool {
        matches!(self, Self::Open(open, _) if *open == stream)
    }

    /// Whether messages wait to be written.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Open(_, writer) if writer.is_busy())
    }

    /// Queues a message, unless the stream is gone meanwhile. The behaviour learns that it is gone
    /// from a report of its own.
    pub(crate) fn send(&mut self, stream: StreamId, id: SendId, version: Version, what: Message) {
        match self {
            Self::Open(open, writer) if *open == stream => writer.push(id, version, what),
            Self::Opening(opening, waiting) if *opening == stream => {
                waiting.push((id, version, what));
            }
            _ => {}
        }
    }

    /// Takes this stream's writer out to be closed in good order; a stream that is not there yet is given up.
    pub(crate) fn close(&mut self, stream: StreamId) -> Option<Closing<WriteHalf<Stream>>> {
        if !self.is_open(stream) {
            self.reset(stream);
            return None;
        }
        match std::mem::take(self) {
            Self::Open(_, writer) => Some(writer.close()),
            _ => None,
        }
    }

    /// Drops this stream.
    pub(crate) fn reset(&mut self, stream: StreamId) {
        if self.is_open(stream) || self.is_opening(stream) {
            *self = Self::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_is_named_is_reset() {
        let [this, other] = [StreamId(1), StreamId(2)];
        let mut stream = OutboundStream::opening(this);
        stream.reset(other);
        assert!(stream.is_opening(this) && !stream.is_opening(other) && !stream.is_open(this));
        stream.reset(this);
        assert!(matches!(stream, OutboundStream::Closed));
    }
}
