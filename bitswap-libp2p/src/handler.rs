//! The task of one connection: reads and writes streams, decodes and encodes.
//!
//! The behaviour says what it wants through a [`Mailbox`]; the handler answers in [`HandlerEvent`]s, each
//! of which takes everything since the last. Messages are reported once those of the report before
//! are applied; meanwhile the next ones are collected until the report is full, and then the task
//! stops reading, and with it the peer stops sending.

mod event;
mod incoming;
mod outbound_stream;
mod reader;
mod readers;
#[cfg(test)]
mod tests;
mod weight;
mod writer;

pub(crate) use event::{HandlerEvent, StreamEvent, StreamReport};
pub(crate) use reader::Arrivals;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, mem};

use bitswap_core::error::{DecodeError, OpenError, SendError};
use bitswap_core::message::PayloadFilter;
use bitswap_core::{ProtocolSupport, StreamKind, Version};
use futures::AsyncReadExt;
use futures::io::WriteHalf;
use futures_timer::Delay;
use libp2p_swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
    ProtocolsChange,
};
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamUpgradeError, SubstreamProtocol,
};

use crate::allowance::Allowance;
use crate::histogram::MessageSizes;
use crate::locked::Locked;
use crate::mailbox::{Command, Mailbox, StreamId, Taken};
use crate::memory::{Held, Memory};
use crate::per_stream::PerStream;
use crate::protocol::Offer;
use crate::spawner::TaskSpawner;
use crate::trace::log;
use incoming::Incoming;
use outbound_stream::OutboundStream;
use reader::{Ended, Item, Source, Whole};
use readers::Readers;
use writer::{Closing, Writer};

/// Settings of a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Streams read at a time.
    pub(crate) streams_max: usize,
    /// The time between two ticks; see [`crate::progress`].
    pub(crate) tick: Duration,
    /// How long a stream may be negotiated.
    pub(crate) open_timeout: Duration,
    /// The versions that are spoken.
    pub(crate) offer: Offer,
}

/// What a handler shares: with the other connections of its peer, and with all.
pub(crate) struct Shares {
    pub(crate) filter: Locked<PayloadFilter>,
    pub(crate) allowance: Locked<Allowance>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) spawner: Arc<dyn TaskSpawner>,
    pub(crate) arrivals: Arrivals,
    pub(crate) sizes: Arc<MessageSizes>,
}

/// The part of a [`Behaviour`](crate::Behaviour) that runs in the task of a connection.
pub struct Handler {
    settings: Settings,
    mailbox: Mailbox,
    keep_alive: bool,
    requests: VecDeque<(StreamKind, StreamId, Offer)>,
    streams: PerStream<OutboundStream>,
    closing: Vec<(StreamId, Closing<WriteHalf<Stream>>)>,
    readers: Readers,
    incoming: Incoming,
    /// Which of our names the peer lists, by [`Version::PREFERRED`].
    listed: [bool; 4],
    /// Armed while a stream owes progress.
    ticker: Option<Delay>,
    report: HandlerEvent,
    sizes: Arc<MessageSizes>,
    /// Messages were reported and are not applied yet.
    unapplied: bool,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("keep_alive", &self.keep_alive).finish_non_exhaustive()
    }
}

impl Handler {
    pub(crate) fn new(settings: Settings, mailbox: Mailbox, shares: Shares) -> Self {
        let Shares { filter, allowance, memory, spawner, arrivals, sizes } = shares;
        Self {
            settings,
            mailbox,
            keep_alive: false,
            requests: VecDeque::new(),
            streams: PerStream::default(),
            closing: Vec::new(),
            readers: Readers::new(settings.streams_max, memory.clone(), arrivals),
            incoming: Incoming::new(filter, allowance, memory, spawner),
            listed: [false; 4],
            ticker: None,
            report: HandlerEvent::default(),
            sizes,
            unapplied: false,
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Open { kind, stream, offer } => {
                *self.streams.get_mut(kind) = OutboundStream::opening(stream);
                self.requests.push_back((kind, stream, offer));
            }
            Command::Send { kind, stream, id, version, message } => {
                self.streams.get_mut(kind).send(stream, id, version, message);
            }
            Command::Close { kind, stream } => {
                if let Some(closing) = self.streams.get_mut(kind).close(stream) {
                    self.closing.push((stream, closing));
                    self.readers.drain(stream);
                }
            }
            Command::Reset { kind, stream } => {
                self.streams.get_mut(kind).reset(stream);
                self.readers.drop_half_of(stream);
            }
        }
    }

    /// A stream of ours is gone: drops it and reports it, if nobody did so before.
    fn stream_failed(&mut self, kind: StreamKind, stream: StreamId, error: SendError) {
        if self.streams.get(kind).is_open(stream) {
            self.streams.get_mut(kind).reset(stream);
            self.readers.drop_half_of(stream);
            self.report.kind(kind, stream, StreamEvent::Failed(error));
        }
    }

    fn opened(&mut self, mut stream: Stream, version: Version, kind: StreamKind, id: StreamId) {
        // Whether the connection is needed is known better than by its open streams.
        stream.ignore_for_keep_alive();
        if self.streams.get(kind).is_opening(id) {
            let (read, write) = stream.split();
            self.streams.get_mut(kind).opened(id, Writer::new(write));
            self.readers.add(Source::Ours(read, kind, id));
            log!(trace, "a stream was opened", stream = kind, version = version);
            self.report.kind(kind, id, StreamEvent::Opened(Ok(version)));
        }
    }

    fn open_failed(
        &mut self,
        error: &StreamUpgradeError<OpenError>,
        kind: StreamKind,
        id: StreamId,
    ) {
        if self.streams.get(kind).is_opening(id) {
            log!(debug, "no stream was opened", stream = kind, error = error);
            self.streams.get_mut(kind).reset(id);
            let error = match error {
                StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                StreamUpgradeError::Apply(error) => *error,
                StreamUpgradeError::Timeout => OpenError::Timeout,
                _ => OpenError::Closed,
            };
            self.report.kind(kind, id, StreamEvent::Opened(Err(error)));
        }
    }

    fn protocols_changed(&mut self, change: &ProtocolsChange<'_>) {
        let (names, listed) = match change {
            ProtocolsChange::Added(names) => (names.clone().collect::<Vec<_>>(), true),
            ProtocolsChange::Removed(names) => (names.clone().collect(), false),
        };
        for (version, known) in Version::PREFERRED.iter().zip(&mut self.listed) {
            if names.iter().any(|name| name.as_ref() == version.protocol()) {
                *known = listed;
            }
        }
        let any = self.listed.contains(&true);
        self.report.support = Some(if any { ProtocolSupport::Yes } else { ProtocolSupport::No });
    }

    /// Whether a stream owes progress.
    fn is_busy(&self) -> bool {
        self.readers.is_busy()
            || !self.closing.is_empty()
            || StreamKind::ALL.iter().any(|kind| self.streams.get(*kind).is_busy())
    }

    /// Ends streams that stopped moving.
    fn poll_ticker(&mut self, cx: &mut Context<'_>) {
        loop {
            let busy = self.is_busy();
            let Some(ticker) = &mut self.ticker else {
                if !busy {
                    return;
                }
                self.ticker = Some(Delay::new(self.settings.tick));
                continue;
            };
            if Pin::new(&mut *ticker).poll(cx).is_pending() {
                return;
            }
            self.ticker = None;
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.readers.tick();
        self.closing.retain_mut(|(_, closing)| !closing.tick());
        for kind in StreamKind::ALL {
            if let OutboundStream::Open(id, writer) = self.streams.get_mut(kind)
                && writer.tick()
            {
                let id = *id;
                self.report.traffic.stalled_streams += 1;
                self.stream_failed(kind, id, SendError::Timeout);
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        for kind in StreamKind::ALL {
            let OutboundStream::Open(id, writer) = self.streams.get_mut(kind) else { continue };
            let id = *id;
            let (report, sizes) = (&mut self.report, &self.sizes.sent);
            let written = writer.poll(cx, |sent, bytes| {
                sizes.observe(bytes);
                report.kind(kind, id, StreamEvent::Sent(sent));
            });
            match written {
                Ok(bytes) => report.traffic.bytes_sent += bytes,
                Err(error) => {
                    log!(debug, "an outbound stream failed", stream = kind, error = error);
                    report.traffic.failed_streams += 1;
                    self.stream_failed(kind, id, SendError::Closed);
                }
            }
        }
        self.closing.retain_mut(|(_, closing)| !closing.is_done(cx));
    }

    /// Reads and decodes until nothing more is there or the report is full.
    fn read(&mut self, cx: &mut Context<'_>) {
        loop {
            while !self.report.is_full()
                && let Poll::Ready(Some((message, held))) =
                    self.incoming.poll_next(cx, &mut self.report.traffic)
            {
                self.report.message(message, held);
            }
            if self.report.is_full() {
                return;
            }
            let room = self.incoming.poll_room(cx, &mut self.report.traffic);
            let Poll::Ready(room) = room else { return };
            match self.readers.poll_next(cx) {
                Poll::Ready(Some(Item::Frame(whole))) => self.received(whole, room),
                Poll::Ready(Some(Item::Ended(why, ours))) => self.ended(why, ours, cx),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn received(&mut self, whole: Whole, room: Held) {
        let Whole { frame, from, held } = whole;
        self.report.traffic.bytes_received += frame.len() as u64;
        self.sizes.received.observe(frame.len() as u64);
        if let Err(error) = self.incoming.push(&frame, room, &mut self.report.traffic) {
            self.readers.malformed(from, error);
        }
        // What the message still needs of the frame is counted as the message's.
        drop(held);
    }

    /// A stream that was read is gone. If it was ours, so is the stream, unless the peer had merely
    /// nothing to say on it.
    fn ended(&mut self, why: Ended, ours: Option<(StreamKind, StreamId)>, cx: &mut Context<'_>) {
        let traffic = &mut self.report.traffic;
        let error = match why {
            // Yamux shows a stream that was reset as one that has ended. If it was ours, its other
            // half knows better; if not, it is told from an end by the frame it cuts.
            Ended::Finished => {
                if let Some((kind, stream)) = ours
                    && let OutboundStream::Open(open, writer) = self.streams.get_mut(kind)
                    && *open == stream
                    && writer.is_gone(cx)
                {
                    traffic.failed_streams += 1;
                    self.stream_failed(kind, stream, SendError::Closed);
                }
                return;
            }
            Ended::Failed(kind) => {
                log!(debug, "an inbound stream failed", error = kind);
                traffic.failed_streams += 1;
                SendError::Closed
            }
            Ended::Malformed(DecodeError::Truncated) => {
                traffic.failed_streams += 1;
                SendError::Closed
            }
            Ended::Malformed(error) => {
                log!(debug, "a stream was reset", error = error);
                traffic.malformed_streams += 1;
                SendError::Closed
            }
            Ended::Stalled => {
                traffic.stalled_streams += 1;
                SendError::Timeout
            }
            Ended::Evicted => {
                traffic.evicted_streams += 1;
                SendError::Closed
            }
        };
        if let Some((kind, stream)) = ours {
            self.stream_failed(kind, stream, error);
            // Neither half of a stream may be touched whose negotiation has failed, and this may be why.
            self.closing.retain(|(closing, _)| *closing != stream);
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = HandlerEvent;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = (StreamKind, StreamId);

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(self.settings.offer, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep_alive
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, (StreamKind, StreamId), HandlerEvent>> {
        let Taken { commands, keep_alive, applied } = self.mailbox.take(cx.waker());
        self.keep_alive = keep_alive;
        self.unapplied &= !applied;
        for command in commands {
            self.on_command(command);
        }
        if let Some((kind, stream, offer)) = self.requests.pop_front() {
            let offer = SubstreamProtocol::new(offer, (kind, stream))
                .with_timeout(self.settings.open_timeout);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: offer,
            });
        }
        self.write(cx);
        self.read(cx);
        self.poll_ticker(cx);
        if let Some(report) = self.report.take(!self.unapplied) {
            self.unapplied |= !report.messages.is_empty();
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        Poll::Pending
    }

    /// Hands over what was received before the connection closed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<HandlerEvent>> {
        self.read(cx);
        if !self.report.is_empty() {
            return Poll::Ready(Some(mem::take(&mut self.report)));
        }
        if self.incoming.is_waiting() { Poll::Pending } else { Poll::Ready(None) }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Offer, Offer, (), (StreamKind, StreamId)>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (mut stream, _),
                ..
            }) => {
                stream.ignore_for_keep_alive();
                self.readers.add(Source::Theirs(stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, version),
                info: (kind, id),
            }) => self.opened(stream, version, kind, id),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: (kind, id), error }) => {
                self.open_failed(&error, kind, id);
            }
            ConnectionEvent::RemoteProtocolsChange(change) => self.protocols_changed(&change),
            _ => {}
        }
    }
}
