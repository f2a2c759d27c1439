//! Peers in the order in which they joined, each at most once.

use alloc::collections::BTreeMap;

/// A queue of peers from which any can be taken by its ticket. Holds no memory when it is empty.
#[derive(Debug, Default)]
pub(super) struct Ring {
    next: u64,
    queue: BTreeMap<u64, u32>,
}

impl Ring {
    /// Adds a peer at the back, unless its ticket says that it is there.
    pub(super) fn push(&mut self, peer: u32, ticket: &mut Option<u64>) {
        if ticket.is_none() {
            *ticket = Some(self.next);
            self.queue.insert(self.next, peer);
            self.next += 1;
        }
    }

    /// Takes the peer at the front; the caller clears its ticket.
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.queue.pop_first().map(|(_, peer)| peer)
    }

    /// Takes a peer out.
    pub(super) fn remove(&mut self, ticket: Option<u64>) {
        if let Some(ticket) = ticket {
            self.queue.remove(&ticket);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
