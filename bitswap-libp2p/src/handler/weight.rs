//! What a message costs: memory while it waits, and time when it is applied.

use bitswap_core::message::Presence;
use bitswap_core::{Block, Entry, Message};

/// The cost of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Its memory, in bytes.
    pub(crate) bytes: usize,
    /// Its entries, presences and blocks. Each takes the engine about a microsecond.
    pub(crate) items: usize,
}

impl Weight {
    pub(crate) fn of(message: &Message) -> Self {
        let Message { wantlist, blocks, presences, .. } = message;
        let data: usize = blocks.iter().map(|block| block.data().len()).sum();
        let bytes = size_of::<Message>()
            + size_of::<Entry>() * wantlist.entries.capacity()
            + size_of::<Presence>() * presences.capacity()
            + size_of::<Block>() * blocks.capacity()
            + data;
        Self { bytes, items: wantlist.entries.len() + presences.len() + blocks.len() }
    }
}
