//! What the task of a connection tells the behaviour: everything since its last report, in one.

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{Lane, Message, SendId, Support, Version};

use crate::mailbox::StreamId;
use crate::traffic::Traffic;

/// Message bytes after which a report goes out although more could be added.
const BYTES_MAX: usize = 1 << 20;

/// Messages after which a report goes out although more could be added.
const MESSAGES_MAX: usize = 64;

/// A report from the task of a connection.
#[derive(Debug, Default)]
pub struct Report {
    /// About our own streams, in order.
    pub(crate) lanes: Vec<LaneReport>,
    /// Messages received. They came after what is told of the lanes.
    pub(crate) messages: Vec<Message>,
    /// What the peer's list of protocols says, when it changed.
    pub(crate) support: Option<Support>,
    /// What happened on streams.
    pub(crate) traffic: Traffic,
    message_bytes: usize,
}

/// What became of a stream that the behaviour had asked for.
#[derive(Debug)]
pub(crate) struct LaneReport {
    pub(crate) lane: Lane,
    pub(crate) stream: StreamId,
    pub(crate) news: News,
}

/// See [`LaneReport`].
#[derive(Debug)]
pub(crate) enum News {
    /// The answer to `Open`.
    Opened(Result<Version, OpenError>),
    /// The stream took all bytes of a message.
    Sent(SendId),
    /// The stream is gone with all that waited on it.
    Failed(SendError),
}

impl Report {
    pub(crate) fn lane(&mut self, lane: Lane, stream: StreamId, news: News) {
        self.lanes.push(LaneReport { lane, stream, news });
    }

    pub(crate) fn message(&mut self, message: Message) {
        self.message_bytes += message.blocks.iter().map(|block| block.data().len()).sum::<usize>();
        self.messages.push(message);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.message_bytes >= BYTES_MAX || self.messages.len() >= MESSAGES_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_news() && self.traffic == Traffic::default()
    }

    /// Whether there is something that cannot wait. Bytes that were moved can.
    pub(crate) fn is_news(&self) -> bool {
        let Traffic { bytes_received, bytes_sent, .. } = self.traffic;
        let quiet = Traffic { bytes_received, bytes_sent, ..Traffic::default() };
        !self.lanes.is_empty()
            || !self.messages.is_empty()
            || self.support.is_some()
            || self.traffic != quiet
    }
}
