//! What a checker of an engine needs, and a host does not: the settings that it holds the engine to, and
//! the ids of an engine as numbers, both ways.

use core::time::Duration;

use crate::config::Config;
use crate::limits::Limits;
use crate::output::{LoadId, LookupId, SendId, SessionId, StreamKind};
use crate::util::rows::Id;

/// The settings of an engine by which its outputs are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bounds on memory and work.
    pub limits: Limits,
    /// Whether peers are served.
    pub serve: bool,
    /// The least that a peer is given for a block.
    pub deadline_min: Duration,
    /// The largest block, in bytes, that is sent or taken.
    pub block_bytes_max: u32,
    /// The largest block, in bytes, that answers a want-have; `None`: only HAVE does.
    pub replace_have_bytes: Option<u32>,
}

impl Config {
    /// The settings by which a checker judges outputs.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        let Self { limits, serve, deadline_min, block_bytes_max, replace_have_bytes, .. } = *self;
        Settings { limits, serve, deadline_min, block_bytes_max, replace_have_bytes }
    }
}

impl SessionId {
    /// The name with this number, whether or not there is such a session.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(Id::from_bits(bits))
    }

    /// The name as a number. Its lower half is the session's row.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0.to_bits()
    }
}

impl LoadId {
    /// The name with this number, whether or not there is such a lookup.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The name as a number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl LookupId {
    /// The name with this number, whether or not there is such a lookup.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The name as a number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl SendId {
    /// The name with these parts, whether or not there is such a message.
    #[must_use]
    pub const fn from_parts(peer: u64, stream: StreamKind, number: u32) -> Self {
        Self { peer: Id::from_bits(peer), stream, seq: number }
    }

    /// The peer as a number, whose lower half is its row; the stream; and the message's number there.
    #[must_use]
    pub const fn to_parts(self) -> (u64, StreamKind, u32) {
        (self.peer.to_bits(), self.stream, self.seq)
    }
}
