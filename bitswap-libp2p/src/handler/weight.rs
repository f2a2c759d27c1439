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

#[cfg(test)]
mod tests {
    use bitswap_core::WantKind;
    use bitswap_core::message::Wantlist;

    use super::*;
    use crate::tests::block;

    #[test]
    fn a_message_costs_its_lists_and_the_bytes_of_its_blocks() {
        let cid = *block("any").cid();
        let message = Message {
            wantlist: Wantlist {
                entries: vec![Entry::want(cid, WantKind::Block, 1, true); 3],
                full: false,
            },
            presences: vec![Presence { cid, have: true }; 5],
            blocks: vec![block("seven b"), block("four")],
            ..Message::default()
        };
        let lists = 3 * size_of::<Entry>() + 5 * size_of::<Presence>() + 2 * size_of::<Block>();
        let bytes = size_of::<Message>() + lists + 7 + 4;
        assert_eq!(Weight::of(&message), Weight { bytes, items: 3 + 5 + 2 });
        let bytes = size_of::<Message>();
        assert_eq!(Weight::of(&Message::default()), Weight { bytes, items: 0 });
    }
}
