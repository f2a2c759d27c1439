//! The operations that a fuzz input spells: four bytes each.

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{ProtocolSupport, ProviderProgress, StreamKind, Version, WantKind};

use super::{BLOCKS, Peer};

/// Peers that operations name.
const PEERS: u8 = 4;

/// A set of blocks or of peers, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mask(pub u8);

impl Mask {
    /// The places in the set.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..BLOCKS).filter(move |at| self.has(*at))
    }

    /// Whether a place is in the set.
    #[must_use]
    pub const fn has(self, at: usize) -> bool {
        self.0 >> (at % BLOCKS) & 1 == 1
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.places()).finish()
    }
}

/// What the world does to the engine. Things that have no name before they exist (sessions, sends,
/// lookups) are named by their place among those that there are; places wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A peer connects, with a history or without.
    Connect {
        /// The peer.
        peer: Peer,
        /// It was here before.
        history: bool,
    },
    /// A peer's last connection closes.
    Disconnect {
        /// The peer.
        peer: Peer,
    },
    /// Identify says something.
    Support {
        /// The peer.
        peer: Peer,
        /// What it says.
        support: ProtocolSupport,
    },
    /// A stream opens or fails to, asked for or not.
    Open {
        /// The peer.
        peer: Peer,
        /// The stream.
        kind: StreamKind,
        /// The negotiated version.
        result: Result<Version, OpenError>,
    },
    /// The transport took a message or could not; also one answered before.
    Sent {
        /// Which message.
        nth: u8,
        /// What the transport said.
        result: Result<(), SendError>,
    },
    /// A stream is reset.
    Reset {
        /// The peer.
        peer: Peer,
        /// The stream.
        kind: StreamKind,
    },
    /// A peer's message has these entries.
    Wants {
        /// The peer.
        peer: Peer,
        /// The wanted or cancelled blocks.
        cids: Mask,
        /// What is wanted.
        kind: WantKind,
        /// They are cancels.
        cancel: bool,
        /// DONT_HAVE is asked for.
        dont_have: bool,
        /// They are the whole list.
        full: bool,
        /// The message goes on with the next operation of the same peer.
        more: bool,
        /// The priority.
        priority: i32,
    },
    /// A peer's message has these blocks.
    Blocks {
        /// The peer.
        peer: Peer,
        /// The blocks.
        cids: Mask,
        /// The message goes on.
        more: bool,
    },
    /// A peer's message has these presences.
    Presences {
        /// The peer.
        peer: Peer,
        /// The blocks.
        cids: Mask,
        /// HAVE or DONT_HAVE.
        have: bool,
        /// The message goes on.
        more: bool,
    },
    /// The store answers a lookup, or one answered before.
    Load {
        /// Which lookup.
        nth: u8,
        /// The blocks that it answers for.
        cids: Mask,
        /// The blocks that it has.
        have: Mask,
        /// What it lacks failed to load.
        failed: bool,
    },
    /// A provider search finds peers.
    Providers {
        /// Which search.
        nth: u8,
        /// The peers.
        peers: Mask,
        /// Whether more follow.
        progress: ProviderProgress,
    },
    /// A session opens.
    Session {
        /// Fixed peers, if any bit is set.
        only: Mask,
        /// Its window, wishes on missing blocks and timeout.
        style: u8,
    },
    /// A session closes.
    Close {
        /// Which session.
        nth: u8,
    },
    /// Blocks are wanted.
    Want {
        /// Which session.
        nth: u8,
        /// The blocks.
        cids: Mask,
        /// The priority.
        priority: i32,
        /// Their lengths are known.
        sized: bool,
    },
    /// Wants end.
    Cancel {
        /// Which session.
        nth: u8,
        /// The blocks.
        cids: Mask,
    },
    /// The user took delivered bytes.
    Taken {
        /// Which session.
        nth: u8,
        /// How many.
        bytes: u64,
    },
    /// Blocks are stored locally.
    Announce {
        /// The blocks.
        cids: Mask,
    },
    /// Bandwidth is limited.
    Rates {
        /// Bytes per second to all; 0 for no limit.
        upload: u64,
        /// Bytes per second from all; 0 for no limit.
        download: u64,
    },
    /// Time passes (µs).
    Wait {
        /// Microseconds.
        micros: u64,
    },
    /// Time passes until the engine wants to be called.
    Due,
    /// The host answers everything that waits, until nothing does.
    Settle {
        /// The blocks that the store has.
        have: Mask,
    },
    /// The engine is shut down.
    Shutdown,
}

impl Op {
    /// Bytes of an operation.
    pub const LEN: usize = 4;

    /// The operation that four bytes spell, and whether the engine's outputs are left waiting after
    /// it. All bytes spell one.
    #[must_use]
    pub fn read([code, a, b, c]: [u8; Self::LEN]) -> (Self, bool) {
        let peer = a % PEERS;
        let kind = if a & 4 == 0 { StreamKind::Requests } else { StreamKind::Responses };
        let bit = |at: u8| c >> at & 1 == 1;
        let op = match code & 0x7f {
            0..=7 => Self::Connect { peer, history: bit(0) },
            8..=11 => Self::Disconnect { peer },
            12..=13 => {
                let support = [ProtocolSupport::Yes, ProtocolSupport::No, ProtocolSupport::Unknown]
                    [usize::from(b % 3)];
                Self::Support { peer, support }
            }
            14..=25 => Self::Open { peer, kind, result: open(b) },
            26..=37 => {
                let result = match b % 8 {
                    0 => Err(SendError::Closed),
                    1 => Err(SendError::Timeout),
                    _ => Ok(()),
                };
                Self::Sent { nth: a, result }
            }
            38..=41 => Self::Reset { peer, kind },
            42..=55 => Self::Wants {
                peer,
                cids: Mask(b),
                kind: if bit(0) { WantKind::Have } else { WantKind::Block },
                cancel: bit(1),
                dont_have: bit(2),
                full: bit(3) && bit(4),
                more: bit(5),
                priority: [0, 1, i32::MAX, i32::MIN][usize::from(c >> 6)],
            },
            56..=65 => Self::Blocks { peer, cids: Mask(b), more: bit(5) },
            66..=75 => Self::Presences { peer, cids: Mask(b), have: bit(0), more: bit(5) },
            76..=83 => Self::Load { nth: a & 0x7f, cids: Mask(b), have: Mask(c), failed: a > 0x7f },
            84..=87 => {
                let progress =
                    if bit(0) { ProviderProgress::Partial } else { ProviderProgress::Final };
                Self::Providers { nth: a, peers: Mask(b), progress }
            }
            88..=91 => Self::Session { only: Mask(b & 0x1e), style: c },
            92..=93 => Self::Close { nth: a },
            94..=105 => {
                Self::Want { nth: a, cids: Mask(b), priority: (c >> 1).into(), sized: bit(0) }
            }
            106..=109 => Self::Cancel { nth: a, cids: Mask(b) },
            110..=111 => Self::Taken { nth: a, bytes: u64::from(b) << (c % 64) },
            112..=113 => Self::Announce { cids: Mask(b) },
            114 => Self::Rates { upload: rate(b), download: rate(c) },
            115..=118 => Self::Wait { micros: u64::from(a) << (b % 40) },
            119..=122 => Self::Due,
            // Few, because nothing is wanted after it.
            123 if (a, b, c) == (0xff, 0xff, 0xff) => Self::Shutdown,
            _ => Self::Settle { have: Mask(b) },
        };
        (op, code > 0x7f)
    }
}

fn open(choice: u8) -> Result<Version, OpenError> {
    match choice % 16 {
        0 => Err(OpenError::Unsupported),
        1 => Err(OpenError::Timeout),
        2 => Err(OpenError::Closed),
        3 => Ok(Version::Unversioned),
        4 => Ok(Version::V1_0),
        5 | 6 => Ok(Version::V1_1),
        _ => Ok(Version::V1_2),
    }
}

const fn rate(choice: u8) -> u64 {
    (choice as u64) << (choice % 16)
}
