//! Rows in the order in which they joined, each at most once.

use alloc::collections::BTreeMap;

/// A queue of peers or sessions from which any can be taken by its ticket.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    next: u64,
    queue: BTreeMap<u64, u32>,
}

impl Ring {
    /// Adds a row at the back, unless its ticket says that it is there.
    pub(crate) fn push(&mut self, row: u32, ticket: &mut Option<u64>) {
        if ticket.is_none() {
            *ticket = Some(self.next);
            self.queue.insert(self.next, row);
            self.next += 1;
        }
    }

    /// Takes the row at the front; the caller clears its ticket.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.queue.pop_first().map(|(_, row)| row)
    }

    /// Lets go of what an empty queue keeps for the next time.
    pub(crate) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = BTreeMap::new();
        }
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, ticket: Option<u64>) {
        if let Some(ticket) = ticket {
            self.queue.remove(&ticket);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
