//! Operations on one engine: drawn by property tests, decoded from the bytes of a fuzzer.

mod decode;

use alloc::vec::Vec;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{PeerSet, ProtocolSupport, ProviderProgress, Rates, StreamKind, Version};

/// One operation on a [`Harness`](crate::Harness).
///
/// Numbers name peers and blocks and wrap around, so every value means something. What has no name before
/// it exists is named by its place: a session among all that were opened, a request among those that are
/// outstanding, and after these the last few, which may have been answered already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Nothing happens for so many microseconds. The engine is called only if it asked to be.
    Wait(u64),
    /// Time goes on to the engine's next deadline, which is handled.
    Deadline,
    /// An early or late call without a reason, so many microseconds before or after now.
    Clock(i32),
    /// Outputs are taken until there are none.
    Drain,
    /// One output is taken.
    Poll,
    /// The host remembers a peer, whether or not it was here before.
    Remember(u8),
    /// A peer connects, with the history that is remembered of it; its streams negotiate this version.
    Connect(u8, Version),
    /// A peer is gone.
    Disconnect(u8),
    /// What a peer supports becomes known.
    Support(u8, ProtocolSupport),
    /// A round trip of a peer's connection takes this many microseconds.
    RoundTrip(u8, u32),
    /// An outstanding request for a stream is answered.
    Opened(u8, Opened),
    /// A stream opens or fails to, asked for or not.
    Open(u8, StreamKind, Result<Version, OpenError>),
    /// A message is answered: taken or failed.
    Sent(u8, Result<(), SendError>),
    /// A stream was reset.
    Reset(u8, StreamKind),
    /// A peer sends a message.
    Message(u8, MessageOp),
    /// A store lookup is answered, wholly or in part.
    Loaded(u8, LoadOp, LoadPart),
    /// A provider search is answered by these peers.
    Found(u8, Vec<u8>, ProviderProgress),
    /// A session opens.
    Session(SessionOp),
    /// A session closes.
    Close(u8),
    /// A session wants blocks.
    Want(u8, Vec<u8>, WantedAs),
    /// A session cancels wants.
    Cancel(u8, Vec<u8>),
    /// A session's user releases so many of the delivered bytes; `None`: all.
    Release(u8, Option<u64>),
    /// Blocks come into the local store.
    Store(Vec<u8>),
    /// Bandwidth limits change.
    Rates(Rates),
    /// The download limit of a session changes.
    SessionRate(u8, Option<u64>),
    /// Everything outstanding is answered, as if the store had these blocks and no others, until nothing
    /// is outstanding.
    Settle(Vec<u8>),
    /// The engine is shut down.
    Shutdown,
}

/// How a request for a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The stream is open for the peer's version.
    Yes,
    /// The peer does not speak Bitswap.
    Unsupported,
    /// It failed for now.
    Failed,
}

/// A message of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageOp {
    /// Wants and cancels.
    pub entries: Vec<WantOp>,
    /// They are the whole wantlist.
    pub full: bool,
    /// Blocks and presences.
    pub responses: Vec<ResponseOp>,
}

/// An entry of a peer's wantlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantOp {
    /// The block.
    pub block: u8,
    /// Its priority.
    pub priority: i32,
    /// A cancel.
    pub cancel: bool,
    /// A want-block, else a want-have.
    pub whole: bool,
    /// DONT_HAVE is asked for.
    pub dont_have: bool,
}

/// One item of a peer's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseOp {
    /// The block.
    Block(u8),
    /// Altered bytes.
    Altered(u8),
    /// HAVE.
    Have(u8),
    /// DONT_HAVE.
    DontHave(u8),
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadOp {
    /// The truth.
    True,
    /// It does not have the blocks, or refuses the peer.
    Absent,
    /// It fails.
    Failed,
    /// What was not asked for.
    Nonsense,
    /// It has these blocks and no others, whatever it answered before. What it lacks fails, or is absent.
    Has {
        /// The blocks.
        blocks: Vec<u8>,
        /// What it lacks fails.
        fails: bool,
    },
}

/// Which part of a store lookup is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadPart {
    /// All of it.
    All,
    /// Its first CID.
    First,
    /// Those of its CIDs that are these blocks.
    Blocks(Vec<u8>),
}

/// Options of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOp {
    /// The peers it may ask.
    pub peers: PeerSet<u8>,
    /// Missing blocks fail.
    pub fail: bool,
    /// Milliseconds that a want may take.
    pub timeout_ms: Option<u16>,
    /// Its window, less one byte.
    pub window_bytes: u32,
    /// Providers are looked for.
    pub search: bool,
}

/// How a session wants blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedAs {
    /// The priority.
    pub priority: i32,
    /// Their lengths are given.
    pub sized: bool,
}

impl Op {
    /// A peer changes or replaces its wantlist.
    #[must_use]
    pub const fn wantlist(peer: u8, entries: Vec<WantOp>, full: bool) -> Self {
        Self::Message(peer, MessageOp { entries, full, responses: Vec::new() })
    }

    /// A peer sends blocks, HAVEs and DONT_HAVEs.
    #[must_use]
    pub const fn responses(peer: u8, responses: Vec<ResponseOp>) -> Self {
        Self::Message(peer, MessageOp { entries: Vec::new(), full: false, responses })
    }

    /// A session wants blocks of no special priority and unknown length.
    #[must_use]
    pub const fn want(session: u8, blocks: Vec<u8>) -> Self {
        Self::Want(session, blocks, WantedAs { priority: 0, sized: false })
    }
}
