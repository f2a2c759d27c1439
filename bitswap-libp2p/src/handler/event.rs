//! What the task of a connection tells the behaviour: everything since its last report, in one.

use std::mem;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{Message, ProtocolSupport, SendId, StreamKind, Version};

use super::weight::Weight;
use crate::mailbox::StreamId;
use crate::memory::Held;
use crate::traffic::Traffic;

/// Memory of its messages after which a report goes out although more could be added.
const BYTES_MAX: usize = 1 << 20;

/// Items of its messages after which a report goes out although more could be added. A report is
/// applied in one go: this many, and those of one more message, are what others wait for.
const ITEMS_MAX: usize = 1024;

/// Messages after which a report goes out although more could be added.
const MESSAGES_MAX: usize = 64;

/// A report from the task of a connection.
#[derive(Debug, Default)]
pub struct HandlerEvent {
    /// About our own streams, in order.
    pub(crate) streams: Vec<StreamReport>,
    /// Messages received. They came after what is told of the streams.
    pub(crate) messages: Vec<Message>,
    /// The memory of the messages.
    pub(crate) held: Vec<Held>,
    /// What the peer's list of protocols says, when it changed.
    pub(crate) support: Option<ProtocolSupport>,
    /// What happened on streams.
    pub(crate) traffic: Traffic,
    bytes: usize,
    items: usize,
}

/// What became of a stream that the behaviour had asked for.
#[derive(Debug)]
pub(crate) struct StreamReport {
    pub(crate) kind: StreamKind,
    pub(crate) stream: StreamId,
    pub(crate) event: StreamEvent,
}

/// See [`StreamReport`].
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// The answer to `Open`.
    Opened(Result<Version, OpenError>),
    /// The stream took all bytes of a message.
    Sent(SendId),
    /// The stream is gone with all that waited on it.
    Failed(SendError),
}

impl HandlerEvent {
    pub(crate) fn kind(&mut self, kind: StreamKind, stream: StreamId, event: StreamEvent) {
        self.streams.push(StreamReport { kind, stream, event });
    }

    pub(crate) fn message(&mut self, message: Message, held: Held) {
        let Weight { bytes, items } = Weight::of(&message);
        self.bytes += bytes;
        self.items += items;
        self.messages.push(message);
        self.held.push(held);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.items >= ITEMS_MAX || self.messages.len() >= MESSAGES_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_news() && self.messages.is_empty() && self.traffic == Traffic::default()
    }

    /// Takes what is to be reported now, with or without the messages, if there is anything that
    /// cannot wait.
    pub(crate) fn take(&mut self, with_messages: bool) -> Option<Self> {
        if with_messages && !self.messages.is_empty() {
            return Some(mem::take(self));
        }
        self.is_news().then(|| Self {
            streams: mem::take(&mut self.streams),
            support: self.support.take(),
            traffic: mem::take(&mut self.traffic),
            ..Self::default()
        })
    }

    /// Whether there is something besides messages that cannot wait. Bytes that were moved can.
    fn is_news(&self) -> bool {
        let Traffic { bytes_received, bytes_sent, .. } = self.traffic;
        let quiet = Traffic { bytes_received, bytes_sent, ..Traffic::default() };
        !self.streams.is_empty() || self.support.is_some() || self.traffic != quiet
    }
}
