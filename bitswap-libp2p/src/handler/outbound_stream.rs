//! The stream of a stream, from the request to its end.

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
    /// Asked for, being negotiated.
    Opening(StreamId),
    /// Open.
    Open(StreamId, Writer<WriteHalf<Stream>>),
}

impl OutboundStream {
    /// Whether this stream is being negotiated.
    pub(crate) fn is_opening(&self, stream: StreamId) -> bool {
        matches!(self, Self::Opening(opening) if *opening == stream)
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
        if let Self::Open(open, writer) = self
            && *open == stream
        {
            writer.push(id, version, what);
        }
    }

    /// Takes this stream's writer out to be closed in good order.
    pub(crate) fn close(&mut self, stream: StreamId) -> Option<Closing<WriteHalf<Stream>>> {
        if !self.is_open(stream) {
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
        let mut stream = OutboundStream::Opening(this);
        stream.reset(other);
        assert!(stream.is_opening(this) && !stream.is_opening(other) && !stream.is_open(this));
        stream.reset(this);
        assert!(matches!(stream, OutboundStream::Closed));
    }
}
