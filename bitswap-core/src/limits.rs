//! Every bound on what the engine holds, each with the attack or mistake it stops.

/// Bounds on memory and work. All are finite; all memory the engine holds is bounded by them:
/// [`Engine::memory_max`](crate::Engine::memory_max) tells how much that is, `docs/limits.md` how it is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Limits {
    /// Connected peers. More are ignored until one leaves: stops a swarm of made-up identities
    /// from filling memory. Default 1024.
    pub peers: u32,
    /// Wants of one peer that are remembered for it. Stops wantlist floods. Default 4096: other
    /// implementations keep 1024, but ask for all children of a node at once, and what is dropped they ask
    /// for again only after 30 to 45 seconds.
    pub ledger_per_peer: u32,
    /// Wants of all peers together. Default 131 072.
    pub ledger: u32,
    /// Bytes of blocks per peer that are being loaded, waiting or being sent. Stops a peer that
    /// asks for much and reads nothing. A larger block is held alone. Default 4 MiB: a disk that takes
    /// 25 ms then still keeps a gigabit link full.
    pub response_bytes_per_peer: u32,
    /// The same of all peers together. An eighth of it is for the first block of peers that hold none.
    /// While a peer finds none for its blocks, streams that take less than 64 KiB/s are reset. Default
    /// 64 MiB.
    pub response_bytes: u32,
    /// Store lookups under way per peer, in blocks. Stops want-and-cancel churn: a lookup keeps its
    /// place until the store answers, wanted or not. Default 256.
    pub loads_per_peer: u32,
    /// Messages being sent on one stream. Default 4.
    pub messages_per_stream: u8,
    /// Bytes of want messages on their way to one peer. Default 128 KiB.
    pub want_bytes_per_peer: u32,
    /// Wants that one peer is sent at a time. Servers keep 1024 and silently drop the rest, so this
    /// stays below. Default 1000.
    pub sent_wants_per_peer: u32,
    /// Pairs of a want and a peer that it was sent to. Default 524 288.
    pub sent_wants: u32,
    /// Wants of all local sessions. The caller waits above it. Default 2 097 152.
    pub wants: u32,
    /// Local sessions. Default 65 536.
    pub sessions: u32,
    /// Entries of one message that are applied; further ones are counted and skipped, so that one
    /// message cannot cost more than a few milliseconds. Default 8192.
    pub entries_per_message: u32,
    /// Histories of departed peers that wait to be polled; the oldest are dropped. Default 1024.
    pub peer_histories: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers: 1024,
            ledger_per_peer: 4096,
            ledger: 131_072,
            response_bytes_per_peer: 4 << 20,
            response_bytes: 64 << 20,
            loads_per_peer: 256,
            messages_per_stream: 4,
            want_bytes_per_peer: 128 << 10,
            sent_wants_per_peer: 1000,
            sent_wants: 524_288,
            wants: 2_097_152,
            sessions: 65_536,
            entries_per_message: 8192,
            peer_histories: 1024,
        }
    }
}

/// The longest CID that is looked at in a wantlist: four varints of ten bytes and 128 of digest.
pub const CID_BYTES_MAX: usize = 168;
/// The largest message that is read or written, without its length prefix.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Entries, payloads and presences that are read of one message, of each kind. More are stepped over
/// unread and counted: stops 4 MiB of tiny items from becoming many times their size in memory.
pub const ITEMS_PER_MESSAGE_MAX: usize = 8192;
/// The largest block that is sent or accepted: what fits a message with its prefix and an empty
/// wantlist. The specification asks for 2 MiB; more is for stores that hold such blocks already.
pub const BLOCK_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64;
/// The fewest digest bytes that prove anything.
pub const DIGEST_BYTES_MIN: usize = 20;
/// Payloads accepted from a peer beyond those it was asked for: late answers to repeated wants.
pub const PAYLOAD_SLACK: u32 = 64;
