//! What the behaviour tells the program it is embedded in.

use bitswap_core::error::WantError;
use bitswap_core::{Block, LookupId, PeerStats, SessionId, WantFailure};
use cid::Cid;
use libp2p_identity::PeerId;
use thiserror::Error;

use crate::blockstore::StoreError;

/// An event of the engine.
pub type EngineEvent = bitswap_core::Event<PeerId>;

/// Something that happened.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Event {
    /// The engine's: above all, how the wants of sessions end.
    ///
    /// A block that arrives in a session whose blocks go to the store is there now, or an
    /// [`Event::StoreFailed`] has come before. The histories of peers that disconnect are remembered by the
    /// behaviour too, and need not be kept.
    Engine(EngineEvent),
    /// A [`Behaviour::get`](crate::Behaviour::get) has ended.
    GetFinished {
        /// Which.
        request: RequestId,
        /// The block, or why there is none.
        result: Result<Block, GetError>,
    },
    /// Look for peers that have this block, and answer with
    /// [`Behaviour::providers`](crate::Behaviour::providers), with no peer at all if need be: a session that
    /// fails when a block is missing waits for the answer.
    FindProviders {
        /// Names the lookup in the answers.
        id: LookupId,
        /// The session that looks.
        session: SessionId,
        /// The block that is looked for.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        cid: Cid,
    },
    /// Nobody waits for this lookup any more; answers to it are ignored.
    StopLookup {
        /// The lookup.
        id: LookupId,
    },
    /// The answer to [`Behaviour::put`](crate::Behaviour::put).
    Put {
        /// Which.
        id: PutId,
        /// Whether the blocks are in the store now.
        result: Result<(), StoreError>,
    },
    /// The last connection of a peer closed: what there was of it, for the last time.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// Its counters.
        stats: Box<PeerStats>,
    },
    /// A peer said that it has these blocks. It does so on its own word, and about blocks that nobody here wants too. For
    /// those who show it: of a peer that says much, and when events are not polled, some are left out.
    Haves {
        /// The peer.
        peer: PeerId,
        /// The blocks, a few at a time.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize_all"))]
        cids: Vec<Cid>,
    },
    /// The store failed at something that a peer asked for or sent.
    StoreFailed {
        /// The store's error.
        error: StoreError,
    },
}

/// Names a call of [`Behaviour::get`](crate::Behaviour::get).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RequestId(pub(crate) u64);

/// Names a call of [`Behaviour::put`](crate::Behaviour::put).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PutId(pub(crate) u64);

/// Why a [`Behaviour::get`](crate::Behaviour::get) ended without a block.
#[derive(Clone, Debug, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum GetError {
    /// It cannot be asked for, or no more can be asked for now.
    #[error(transparent)]
    Want(#[from] WantError),
    /// The want ended without a block.
    #[error(transparent)]
    Failed(#[from] WantFailure<PeerId>),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
