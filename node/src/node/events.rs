//! The events of a node.

use std::sync::Arc;
use std::time::Duration;

use bitswap_core::PeerStats;
use cid::Cid;
use futures::channel::mpsc;
use libp2p::{Multiaddr, PeerId};

/// Events that a listener may be behind; later ones it misses.
const BEHIND_MAX: usize = 256;

/// Something that happened to a node.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum NodeEvent {
    /// The first connection to a peer opened.
    Connected(PeerId),
    /// The last connection to a peer closed.
    Disconnected(PeerId),
    /// The node can be dialled here.
    Listening(Multiaddr),
    /// The node can be dialled here no longer.
    NotListening(Multiaddr),
    /// A dial failed. It is repeated later if the peer was found by discovery or named by the user.
    DialFailed {
        /// The peer, where it was known.
        peer: Option<PeerId>,
        /// Why, for people.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        reason: Arc<str>,
    },
    /// The DHT has heard that this node has the block.
    Provided(
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))] Cid,
    ),
    /// A connected peer has said what it is and speaks: [`Node::report`](crate::Node::report) has it.
    Identified(PeerId),
    /// A connected peer does not speak Bitswap.
    NoBitswap(PeerId),
    /// A peer that Bitswap was spoken with left: what was moved, for the last time.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// Its counters, since it connected.
        stats: Box<PeerStats>,
    },
    /// A peer has this, or some of it: it said so of a block, or delivered one. Once for each peer and root, as
    /// [`Node::seeders`](super::Node::seeders) knows them.
    Seeder {
        /// The root of the file or folder, or a block that is got by itself.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        root: Cid,
        /// The peer.
        peer: PeerId,
    },
    /// A block that was wanted came.
    BlockReceived {
        /// The block.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        cid: Cid,
        /// Who sent it, where that is known.
        from: Option<PeerId>,
        /// Its bytes.
        bytes: usize,
        /// How long ago it was wanted.
        latency: Duration,
    },
    /// The fetch of a file or folder began.
    TransferStarted {
        /// Its root.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        root: Cid,
    },
    /// The file or folder is complete, verified and under its name.
    TransferFinished {
        /// Its root.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        root: Cid,
    },
    /// The fetch of a file or folder ended without it.
    TransferFailed {
        /// Its root.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        root: Cid,
        /// Why, for people.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        reason: Arc<str>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<mpsc::Sender<NodeEvent>>);

impl Listeners {
    pub(super) fn add(&mut self) -> mpsc::Receiver<NodeEvent> {
        let (sender, receiver) = mpsc::channel(BEHIND_MAX);
        self.0.push(sender);
        receiver
    }

    pub(super) fn send(&mut self, event: &NodeEvent) {
        self.0.retain_mut(|listener| {
            !matches!(listener.try_send(event.clone()), Err(error) if error.is_disconnected())
        });
    }
}
