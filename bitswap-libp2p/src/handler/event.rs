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

#[cfg(test)]
mod tests {
    use bitswap_core::message::Presence;

    use super::*;
    use crate::tests::{block, bytes, room};

    fn opened() -> StreamEvent {
        StreamEvent::Opened(Ok(Version::V1_2))
    }

    fn with(message: Message) -> HandlerEvent {
        let mut event = HandlerEvent::default();
        event.message(message, room());
        event
    }

    #[test]
    fn a_report_is_full_of_bytes_items_or_messages_and_not_one_sooner() {
        let presences = |count| {
            let presence = Presence { cid: *block("any").cid(), have: true };
            Message { presences: vec![presence; count], ..Message::default() }
        };
        assert!(!with(presences(1023)).is_full() && with(presences(1024)).is_full());
        let of = |len| Message { blocks: vec![block(bytes(1, len))], ..Message::default() };
        let data = (1 << 20) - Weight::of(&of(0)).bytes;
        assert!(!with(of(data - 1)).is_full() && with(of(data)).is_full());
        let mut event = HandlerEvent::default();
        for _ in 0..63 {
            event.message(Message::default(), room());
            assert!(!event.is_full());
        }
        event.message(Message::default(), room());
        assert!(event.is_full());
    }

    #[test]
    fn messages_wait_while_others_are_applied_and_nothing_else_does() {
        let mut event = with(Message::default());
        assert!(event.take(false).is_none() && !event.is_empty());
        event.kind(StreamKind::Requests, StreamId(1), opened());
        let taken = event.take(false).unwrap();
        assert_eq!((taken.streams.len(), taken.messages.len()), (1, 0));
        assert!(event.take(false).is_none());
        let taken = event.take(true).unwrap();
        assert_eq!((taken.streams.len(), taken.messages.len()), (0, 1));
        assert!(event.is_empty() && event.take(true).is_none());
    }

    #[test]
    fn bytes_that_were_moved_are_told_with_the_next_news() {
        let mut event = HandlerEvent::default();
        (event.traffic.bytes_received, event.traffic.bytes_sent) = (1, 2);
        assert!(event.take(true).is_none() && event.take(false).is_none() && !event.is_empty());
        event.support = Some(ProtocolSupport::Yes);
        let taken = event.take(true).unwrap();
        assert_eq!(taken.support, Some(ProtocolSupport::Yes));
        assert_eq!((taken.traffic.bytes_received, taken.traffic.bytes_sent), (1, 2));
        assert!(event.is_empty());
        event.traffic.pauses = 1;
        assert_eq!(event.take(false).unwrap().traffic.pauses, 1);
        assert!(event.is_empty());
    }
}
