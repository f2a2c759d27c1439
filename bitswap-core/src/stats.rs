//! Counters: per peer, per session, and of the whole engine.

use core::time::Duration;

use crate::message::Version;
use crate::output::ProtocolSupport;

/// What was asked for and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Fetched {
    /// Messages handed to the transport on the wants stream.
    pub messages_sent: u64,
    /// Want-blocks sent.
    pub want_blocks_sent: u64,
    /// Want-haves sent.
    pub want_haves_sent: u64,
    /// Cancels sent.
    pub cancels_sent: u64,
    /// Blocks that ended a want.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that had been wanted, and arrived again after their want had ended.
    pub duplicate_blocks: u64,
    /// Their bytes.
    pub duplicate_bytes: u64,
    /// Blocks that were never asked of the peer that sent them and that nobody wants, or above
    /// [`Config::with_block_bytes_max`](crate::Config::with_block_bytes_max).
    pub unwanted_blocks: u64,
    /// HAVEs received.
    pub haves: u64,
    /// DONT_HAVEs received.
    pub dont_haves: u64,
    /// Requests for a block that passed their deadline.
    pub timeouts: u64,
}

/// What was asked of us and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Served {
    /// Messages handed to the transport on the answers stream.
    pub messages_sent: u64,
    /// Wants received.
    pub wants: u64,
    /// Cancels received.
    pub cancels: u64,
    /// Blocks that the transport took.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// HAVEs that the transport took.
    pub haves: u64,
    /// DONT_HAVEs that the transport took.
    pub dont_haves: u64,
    /// Messages that the transport failed to send.
    pub failed_sends: u64,
    /// Entries that were not applied: beyond a limit, or for a CID that cannot be served.
    pub skipped_entries: u64,
    /// Wants that gave way to others in a full ledger.
    pub evicted_wants: u64,
    /// How often blocks were taken out of memory, and the stream reset, because a peer took them too
    /// slowly while others were starved.
    pub slow_resets: u64,
}

/// The engine as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Stats {
    /// Everything fetched since the start.
    pub fetched: Fetched,
    /// Everything served since the start.
    pub served: Served,
    /// Messages received.
    pub messages_received: u64,
    /// Inputs that named a peer, message or lookup that is not there (any more).
    pub stale_inputs: u64,
    /// Peers connected now.
    pub peers: u32,
    /// Sessions open now.
    pub sessions: u32,
    /// Wants that have not ended, of all sessions together, each CID once.
    pub wants: u32,
    /// Pairs of a want and a peer that it was sent to.
    pub sent_wants: u32,
    /// Wants of peers that are remembered now.
    pub ledger: u32,
    /// Bytes of blocks being loaded, waiting to be sent or being sent.
    pub response_bytes: u64,
}

/// One connected peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct PeerStats {
    /// What was fetched from it since it connected.
    pub fetched: Fetched,
    /// What was served to it since it connected.
    pub served: Served,
    /// Messages received from it.
    pub messages_received: u64,
    /// Whether it speaks Bitswap: as it says, and as it answered when a stream was opened.
    pub support: ProtocolSupport,
    /// The version of the wants stream, while it is open.
    pub version: Option<Version>,
    /// Measured time from asking to answer.
    pub latency: Option<Duration>,
    /// Measured bytes per second while it was delivering; 0 when nothing was measured.
    pub throughput: u64,
    /// Bytes asked of it and not yet delivered, partly estimated.
    pub asked_bytes: u64,
    /// Wants that it was sent and that have not ended.
    pub sent_wants: u32,
    /// Its wants that are remembered.
    pub ledger: u32,
    /// Bytes of blocks being loaded, waiting to be sent or being sent to it.
    pub response_bytes: u64,
}

/// One session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct SessionStats {
    /// Wants that have not ended.
    pub wants: u32,
    /// Of these, the ones asked of some peer now.
    pub asked: u32,
    /// Blocks delivered.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Delivered and not yet taken, in bytes.
    pub unreleased_bytes: u64,
    /// Asked for and not yet delivered, in bytes, partly estimated.
    pub asked_bytes: u64,
    /// Requests answered by the peer that was guessed, in per mille of all, smoothed.
    pub first_choice_per_mille: u32,
}

/// Why the engine wants to be called at [`Engine::poll_timeout`](crate::Engine::poll_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TimerReason {
    /// An output may be ready.
    Output,
    /// A request for a block is due at its peer.
    Request,
    /// A session looks around for more peers or providers.
    Search,
    /// A want's own time is up.
    WantTimeout,
    /// A stream that failed to open is tried again.
    StreamRetry,
    /// An idle stream is closed.
    StreamIdle,
    /// A rate limit lets more through.
    Throttle,
    /// Cancels have waited long enough for other entries to go with.
    Cancel,
    /// Sessions that found no peer to ask, or only busy ones, are looked at again.
    Room,
    /// A peer finds no memory for its blocks while others read theirs too slowly.
    Starvation,
    /// A peer that read too slowly is served again.
    Rest,
    /// A block that came from a peer which fetches itself is sent on to others.
    Relay,
}
