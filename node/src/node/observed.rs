//! What is seen of blocks as they come: how long each took, from whom, and who has what.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bitswap_core::{Block, SessionId};
use bitswap_libp2p::Histogram;
use cid::Cid;
use libp2p::PeerId;

use super::driver::Driver;
use super::events::NodeEvent;
use super::routes::Waited;
use super::seeders::{Seeder, Seeders};
use crate::trace::{Span, log, span};

/// Sessions, the newest, that are looked at when a peer says HAVE: it may say so of anything, as often as it likes.
const SESSIONS_LOOKED_AT: usize = 64;

/// Times, sizes and depths since the start of a node, as [`Node::histograms`](super::Node::histograms) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeHistograms {
    /// Bitswap's.
    pub bitswap: bitswap_libp2p::Histograms,
    /// Microseconds from wanting a block to having it from a peer.
    pub block_latency: Histogram,
    /// Microseconds from the first want of a session to its first block from a peer.
    pub time_to_first_block: Histogram,
    /// Wants that a session still had whenever a block came.
    pub session_wants: Histogram,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Observed {
    block_latency: Histogram,
    time_to_first_block: Histogram,
    session_wants: Histogram,
    seeders: Seeders,
    /// A span for each connected peer.
    peers: HashMap<PeerId, Span>,
}

impl Observed {
    pub(super) fn new() -> Self {
        Self {
            block_latency: Histogram::of_times(),
            time_to_first_block: Histogram::of_times(),
            session_wants: Histogram::of_depths(),
            seeders: Seeders::default(),
            peers: HashMap::new(),
        }
    }

    /// A peer connected: so many are now, of so many that are known.
    pub(super) fn connected(&mut self, peer: PeerId, now: usize, known: usize) {
        let span = span!(INFO, Span::default(), "peer", peer = peer);
        span.within(|| {
            log!(info, "a peer connected");
            log_peers(now, known);
        });
        self.peers.insert(peer, span);
    }

    /// A peer disconnected.
    pub(super) fn disconnected(&mut self, peer: PeerId, now: usize, known: usize) {
        self.peers.remove(&peer).unwrap_or_default().within(|| {
            log!(info, "a peer disconnected");
            log_peers(now, known);
        });
    }

    /// A block came.
    fn block(&mut self, waited: &Waited, cid: Cid, from: Option<PeerId>, bytes: u64) -> bool {
        self.block_latency.observe(micros(waited.latency));
        self.session_wants.observe(waited.others as u64);
        if let Some(first) = waited.first {
            self.time_to_first_block.observe(micros(first));
        }
        let root = waited.root.unwrap_or(cid);
        from.is_some_and(|peer| self.seeders.delivered(root, peer, bytes, waited.latency))
    }
}

/// Displays where a block is from, once somebody asks.
struct Source(Option<PeerId>);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("here"),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The line that an operator looks for.
fn log_peers(now: usize, known: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!("connected to {now} of {known} peers");
    #[cfg(not(feature = "tracing"))]
    let _ = (now, known);
}

impl Driver {
    /// A block came for a session.
    pub(super) fn block(&mut self, session: SessionId, block: Block, from: Option<PeerId>) {
        let (cid, bytes) = (*block.cid(), block.data().len());
        let Some(waited) = self.routes.take_waited(session, &cid, self.now()) else {
            return self.bitswap().release_capacity(session, bytes as u64);
        };
        let root = waited.root.unwrap_or(cid);
        waited.span.within(|| {
            log!(
                debug,
                "received chunk",
                bytes = bytes,
                from = Source(from),
                latency = format_args!("{:?}", waited.latency)
            );
        });
        let is_new = self.observed.block(&waited, cid, from, bytes as u64);
        if let Some(peer) = from.filter(|_| is_new) {
            self.listeners.send(&NodeEvent::Seeder { root, peer });
        }
        let latency = waited.latency;
        self.listeners.send(&NodeEvent::BlockReceived { cid, from, bytes, latency });
        waited.deliver(block, from);
    }

    /// A peer says that it has these blocks.
    pub(super) fn said_have(&mut self, peer: PeerId, cids: &[Cid]) {
        let roots = self.routes.roots_of(cids, SESSIONS_LOOKED_AT);
        for root in roots {
            if self.observed.seeders.said_have(root, peer) {
                self.listeners.send(&NodeEvent::Seeder { root, peer });
            }
        }
    }

    pub(super) fn seeders(&self, root: &Cid) -> Vec<Seeder> {
        self.observed.seeders.of(root, |peer| self.swarm.is_connected(peer))
    }

    pub(super) fn histograms(&mut self) -> NodeHistograms {
        let bitswap = self.bitswap().histograms();
        let Observed { block_latency, time_to_first_block, session_wants, .. } = self.observed;
        NodeHistograms { bitswap, block_latency, time_to_first_block, session_wants }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_from_a_peer_or_from_here() {
        let peer = PeerId::random();
        assert_eq!(Source(Some(peer)).to_string(), peer.to_string());
        assert_eq!(Source(None).to_string(), "here");
    }
}
