//! What the behaviour tells the program it is embedded in.

use bitswap_core::error::OpenError;
use bitswap_core::{Block, LookupId, PeerHistory, SessionId, WantFailure};
use cid::Cid;
use libp2p_identity::PeerId;

use crate::blockstore::StoreError;

/// Something that happened. Every want ends in one of the first three, exactly once, unless it was
/// cancelled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A wanted block arrived: the want has ended. In a session whose blocks go to the store, it is
    /// there now, or a [`Event::StoreFailed`] has told why not.
    Block {
        /// The session that wanted it; each session gets its own event.
        session: SessionId,
        /// The block.
        block: Block,
        /// Who sent it; `None` when that peer has left since.
        from: Option<PeerId>,
    },
    /// A wanted block was put into the local store by somebody else: the want has ended.
    Stored {
        /// The session that wanted it.
        session: SessionId,
        /// The block's CID.
        cid: Cid,
    },
    /// The want has ended without a block.
    Failed {
        /// The session that wanted it.
        session: SessionId,
        /// The block's CID.
        cid: Cid,
        /// Why.
        reason: WantFailure<PeerId>,
    },
    /// Look for peers that have this block, and answer with
    /// [`Behaviour::providers`](crate::Behaviour::providers).
    FindProviders {
        /// Names the lookup in the answers.
        id: LookupId,
        /// The session that looks.
        session: SessionId,
        /// The block that is looked for.
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
    /// The store failed at something that a peer asked for or sent.
    StoreFailed {
        /// What it said.
        error: StoreError,
    },
    /// The last connection to a peer that is not relayed closed; what was kept of it is freed.
    PeerDisconnected {
        /// The peer.
        peer: PeerId,
        /// What it was like. The behaviour remembers it, within its bounds, until the peer returns.
        history: PeerHistory,
    },
    /// No stream to this peer can be opened: it does not speak Bitswap, or does not answer.
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// What the transport said.
        error: OpenError,
    },
}

/// Names a call of [`Behaviour::put`](crate::Behaviour::put).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PutId(pub(crate) u64);
