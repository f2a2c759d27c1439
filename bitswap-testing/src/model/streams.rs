//! Which streams are open, for which version, and what is on its way on them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use super::{Verdict, ensure};
use crate::wire_len;
use bitswap_core::Config;
use bitswap_core::Timestamp;
use bitswap_core::error::OpenError;
use bitswap_core::limits::{Limits, MESSAGE_BYTES_MAX};
use bitswap_core::message::{Message, Version};
use bitswap_core::{ProtocolSupport, SendId, StreamKind};

/// Whoever is reset for being slow has had blocks to take for this long at least.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Opening,
    Open(Version),
}

#[derive(Debug)]
struct Peer {
    streams: [State; 2],
    /// The version that the stream for answers had last.
    version: Option<Version>,
    /// Errors of attempts to open a stream.
    errors: Vec<OpenError>,
    /// Streams on which it speaks no Bitswap, as far as was said.
    refused: [bool; 2],
}

#[derive(Debug)]
struct Sending<P> {
    peer: P,
    stream: StreamKind,
    bytes: usize,
    /// If it has blocks: since when there are some on their way on the stream.
    blocks_since: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Streams<P> {
    limits: Limits,
    peers: BTreeMap<P, Peer>,
    sending: BTreeMap<SendId, Sending<P>>,
}

impl<P: Copy + Ord + Debug> Streams<P> {
    pub(super) fn new(config: &Config) -> Self {
        Self { limits: config.settings().limits, peers: BTreeMap::new(), sending: BTreeMap::new() }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn is_connected(&self, peer: P) -> bool {
        self.peers.contains_key(&peer)
    }

    pub(super) fn expect_connected(&self, peer: P) -> Verdict {
        ensure!(self.is_connected(peer), "an output is about {peer:?}, which is not connected");
        Ok(())
    }

    /// Whether the peer is new and within the limit.
    pub(super) fn connected(&mut self, peer: P) -> bool {
        let new = !self.is_connected(peer) && self.peers.len() < self.limits.peers as usize;
        if new {
            let streams = [State::Closed; 2];
            self.peers.insert(
                peer,
                Peer { streams, version: None, errors: Vec::new(), refused: [false; 2] },
            );
        }
        new
    }

    pub(super) fn disconnected(&mut self, peer: P) {
        self.peers.remove(&peer);
        self.sending.retain(|_, sending| sending.peer != peer);
    }

    /// A message from the peer: it speaks Bitswap after all. Whether it reads answers is tried again
    /// when it wants some.
    pub(super) fn message_received(&mut self, peer: P, wants: bool) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.refused[StreamKind::Requests as usize] = false;
            peer.refused[StreamKind::Responses as usize] &= !wants;
        }
    }

    pub(crate) fn support(&mut self, peer: P, support: ProtocolSupport) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.refused[StreamKind::Requests as usize] = support == ProtocolSupport::No;
        }
    }

    pub(crate) fn opened(
        &mut self,
        peer: P,
        stream: StreamKind,
        result: Result<Version, OpenError>,
    ) {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        let state = &mut peer.streams[stream as usize];
        if *state != State::Opening {
            return;
        }
        *state = match result {
            Ok(version) => {
                if stream == StreamKind::Responses {
                    peer.version = Some(version);
                }
                State::Open(version)
            }
            Err(error) => {
                peer.refused[stream as usize] |= error == OpenError::Unsupported;
                if !peer.errors.contains(&error) {
                    peer.errors.push(error);
                }
                State::Closed
            }
        };
    }

    /// A message is answered. Its peer and stream, if it was on its way; an error closes the stream.
    pub(crate) fn sent(&mut self, id: SendId, ok: bool) -> Option<(P, StreamKind)> {
        let Sending { peer, stream, .. } = self.sending.remove(&id)?;
        if !ok {
            self.reset(peer, stream);
        }
        Some((peer, stream))
    }

    pub(crate) fn reset(&mut self, peer: P, stream: StreamKind) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            let state = &mut peer.streams[stream as usize];
            if matches!(state, State::Open(_)) {
                *state = State::Closed;
            }
        }
    }

    /// Peers that can be answered, with the version to answer in: the newest until one is known.
    pub(super) fn answerable(&self) -> impl Iterator<Item = (P, Version)> {
        let peers =
            self.peers.iter().filter(|(_, row)| !row.refused[StreamKind::Responses as usize]);
        peers.map(|(peer, row)| (*peer, row.version.unwrap_or(Version::V1_2)))
    }

    pub(super) fn open(&mut self, peer: P, stream: StreamKind) -> Verdict {
        self.expect_connected(peer)?;
        let Some(row) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let state = &mut row.streams[stream as usize];
        ensure!(
            *state == State::Closed,
            "{stream:?} to {peer:?} is asked for while it is {state:?}"
        );
        *state = State::Opening;
        ensure!(
            !row.refused[stream as usize],
            "{stream:?} is asked for, but {peer:?} speaks no Bitswap"
        );
        Ok(())
    }

    pub(super) fn close(&mut self, peer: P, stream: StreamKind) -> Verdict {
        self.expect_connected(peer)?;
        let on_its_way = self
            .sending
            .values()
            .filter(|sending| (sending.peer, sending.stream) == (peer, stream));
        ensure!(on_its_way.count() == 0, "{stream:?} to {peer:?} is closed under a message");
        if let Some(row) = self.peers.get_mut(&peer) {
            let state = &mut row.streams[stream as usize];
            ensure!(
                matches!(state, State::Open(_)),
                "{stream:?} to {peer:?} is closed while it is {state:?}"
            );
            *state = State::Closed;
        }
        Ok(())
    }

    /// The engine gives a stream up: nothing that is on its way on it is answered any more.
    pub(super) fn abort(&mut self, peer: P, stream: StreamKind, now: Timestamp) -> Verdict {
        self.expect_connected(peer)?;
        ensure!(
            stream == StreamKind::Responses,
            "{stream:?} to {peer:?} is reset: it holds no blocks"
        );
        let state = self.peers.get(&peer).map(|row| row.streams[stream as usize]);
        ensure!(
            matches!(state, Some(State::Open(_))),
            "{stream:?} to {peer:?} is reset while it is {state:?}"
        );
        let is_old = |sending: &Sending<P>| {
            (sending.peer, sending.stream) == (peer, stream)
                && sending.blocks_since.is_some_and(|since| now.since(since) >= PATIENCE)
        };
        ensure!(
            self.sending.values().any(is_old),
            "{stream:?} to {peer:?} is reset although it has not had {PATIENCE:?} to take a block"
        );
        self.sending.retain(|_, sending| (sending.peer, sending.stream) != (peer, stream));
        self.reset(peer, stream);
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        id: SendId,
        peer: P,
        stream: StreamKind,
        version: Version,
        message: &Message,
        now: Timestamp,
    ) -> Verdict {
        self.expect_connected(peer)?;
        let state = self.peers.get(&peer).map(|row| row.streams[stream as usize]);
        ensure!(
            state == Some(State::Open(version)),
            "a message for {version:?} went to {peer:?} while {stream:?} was {state:?}"
        );
        ensure!(!message.is_empty(), "an empty message went to {peer:?}");
        ensure!(
            version.has_presence() || message.presences.is_empty(),
            "presences went to {peer:?} of {version:?}"
        );
        let len = wire_len(message, version);
        ensure!(len <= MESSAGE_BYTES_MAX + 4, "a message of {len} bytes went to {peer:?}");
        let before = |stream| {
            self.sending
                .values()
                .filter(move |sending| (sending.peer, sending.stream) == (peer, stream))
        };
        let messages = before(stream).count();
        ensure!(
            messages < usize::from(self.limits.messages_per_stream),
            "{messages} messages were on their way on {stream:?} to {peer:?} and another went"
        );
        let on_its_way: usize = before(stream).map(|sending| sending.bytes).sum();
        let sizes = message.blocks.iter().map(|block| block.data().len());
        let block_bytes: usize = sizes.clone().sum();
        let (bytes, credit, within) = match stream {
            // The engine may count an entry by its greatest length. The last message may overshoot.
            StreamKind::Requests => {
                let credit = self.limits.want_bytes_per_peer as usize * 5 / 4;
                (len, credit, on_its_way < credit)
            }
            // A block beyond the credit goes alone, but for empty ones.
            StreamKind::Responses => {
                let credit = self.limits.response_bytes_per_peer as usize;
                let bytes = on_its_way + block_bytes;
                let alone = Some(bytes) == sizes.max();
                (block_bytes, credit, bytes <= credit || alone)
            }
        };
        ensure!(
            within || message.blocks.is_empty() && stream == StreamKind::Responses,
            "{bytes} bytes went to {peer:?} on {stream:?} with {on_its_way} on their way, the credit \
             is {credit}"
        );
        let since = before(stream).find_map(|sending| sending.blocks_since);
        let blocks_since = (block_bytes > 0).then(|| since.unwrap_or(now));
        let again = self.sending.insert(id, Sending { peer, stream, bytes, blocks_since });
        ensure!(again.is_none(), "the name {id:?} was used again");
        Ok(())
    }

    pub(super) fn unreachable(&self, peer: P, error: OpenError) -> Verdict {
        self.expect_connected(peer)?;
        let seen = self.peers.get(&peer).is_some_and(|row| row.errors.contains(&error));
        ensure!(seen, "{peer:?} was called unreachable, but no stream failed with {error:?}");
        Ok(())
    }
}
