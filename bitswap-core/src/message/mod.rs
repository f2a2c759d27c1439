//! Bitswap messages: what they hold and how they travel.
//!
//! Received bytes go through [`FrameDecoder`] (lengths), [`decode`] (protobuf), [`PayloadFilter`] (is it
//! worth hashing) and [`Payload::verify`] (hash). [`Message::encode`] is the way back.

mod encode;
mod frame;
mod merge;
mod payload_filter;
mod size;
mod split;
mod version;
mod wire;

pub use encode::Frame;
pub use frame::FrameDecoder;
pub use payload_filter::{PayloadFilter, Rejected};
pub use version::Version;
pub use wire::{Decoded, Payload, decode, decode_answers};

use alloc::vec::Vec;

use cid::Cid;

use crate::block::Block;

/// A Bitswap message whose blocks are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// Changes to the sender's wantlist.
    pub wantlist: Wantlist,
    /// Blocks.
    pub blocks: Vec<Block>,
    /// What the sender has and does not have.
    pub presences: Vec<Presence>,
    /// Bytes that the sender still has queued for the receiver. A hint.
    pub pending_bytes: i32,
}

/// Changes to a wantlist, or all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Wantlist {
    /// Wants and cancels.
    pub entries: Vec<Entry>,
    /// The entries are the whole wantlist and replace what was told before.
    pub full: bool,
}

/// One entry of a wantlist.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// The wanted CID.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
    pub cid: Cid,
    /// Higher goes first; set by the sender, meaningful only among its own entries.
    pub priority: i32,
    /// The want ends.
    pub cancel: bool,
    /// What is wanted.
    pub kind: WantKind,
    /// The sender wants to be told when the receiver lacks the block.
    pub send_dont_have: bool,
}

/// What a wantlist entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WantKind {
    /// Whether the receiver has the block.
    Have,
    /// The block.
    Block,
}

/// Whether the sender of a message has a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Presence {
    /// The block's CID.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
    pub cid: Cid,
    /// HAVE or DONT_HAVE.
    pub have: bool,
}

impl Entry {
    /// A want.
    #[must_use]
    pub const fn want(cid: Cid, kind: WantKind, priority: i32, send_dont_have: bool) -> Self {
        Self { cid, priority, cancel: false, kind, send_dont_have }
    }

    /// A cancel.
    #[must_use]
    pub const fn cancel(cid: Cid) -> Self {
        Self { cid, priority: 0, cancel: true, kind: WantKind::Block, send_dont_have: false }
    }
}

impl Message {
    /// Nothing to say: no entries, blocks or presences, and not a full (empty) wantlist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wantlist.entries.is_empty()
            && !self.wantlist.full
            && self.blocks.is_empty()
            && self.presences.is_empty()
    }
}
