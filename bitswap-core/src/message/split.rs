//! Cutting a message into parts that fit a limit.

use alloc::vec::Vec;

use super::{Entry, Message, Presence, Version};

impl Message {
    /// Cuts the message into messages that each encode to at most `limit` bytes (without their
    /// length prefix) and together say the same: every item is in exactly one part, in order.
    ///
    /// Of a full wantlist the first part is full and the others add to it, so the parts must arrive
    /// in order. The pending bytes are said by the last part. An item that fits no message within
    /// the limit is a part of its own, which is above the limit.
    #[must_use]
    pub fn split(self, version: Version, limit: usize) -> Vec<Self> {
        if self.encoded_len(version) <= limit {
            return alloc::vec![self];
        }
        let mut parts = Parts { done: Vec::new(), part: Self::default(), len: 0, limit };
        parts.part.wantlist.full = self.wantlist.full;
        for entry in self.wantlist.entries {
            parts.make_room(Entry::encoded_len(&entry));
            parts.part.wantlist.entries.push(entry);
        }
        for block in self.blocks {
            parts.make_room(block.encoded_len(version));
            parts.part.blocks.push(block);
        }
        for presence in self.presences {
            parts.make_room(Presence::encoded_len(&presence));
            parts.part.presences.push(presence);
        }
        parts.part.pending_bytes = self.pending_bytes;
        parts.done.push(parts.part);
        parts.done
    }
}

struct Parts {
    done: Vec<Message>,
    part: Message,
    /// The items of `part` (bytes).
    len: usize,
    limit: usize,
}

impl Parts {
    /// Begins a new part when an item of this length does not fit the present one.
    fn make_room(&mut self, item: usize) {
        if self.len > 0 && Message::OVERHEAD_MAX + self.len + item > self.limit {
            self.done.push(core::mem::take(&mut self.part));
            self.len = 0;
        }
        self.len += item;
    }
}
