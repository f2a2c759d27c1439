//! What happens when: a queue ordered by time, and by insertion within one instant.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bitswap_core::Timestamp;

/// Things that will happen, earliest first; first in, first out within one instant.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Item<T>>,
    pushed: u64,
}

#[derive(Debug)]
struct Item<T> {
    at: Timestamp,
    seq: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at: Timestamp, what: T) {
        self.heap.push(Item { at, seq: self.pushed, what });
        self.pushed += 1;
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|item| item.at)
    }

    /// When the last of the things that are `wanted` happens.
    pub(crate) fn last_at(&self, wanted: impl Fn(&T) -> bool) -> Option<Timestamp> {
        self.heap.iter().filter(|item| wanted(&item.what)).map(|item| item.at).max()
    }

    /// The next thing, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<T> {
        (self.next_at()? <= now).then(|| self.heap.pop().map(|item| item.what))?
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Item<T> {}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Item<T> {
    /// Reversed, because the heap gives its greatest item first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_in_order_within_an_instant() {
        let at = Timestamp::from_micros;
        let mut queue = Queue::default();
        for (time, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            queue.push(at(time), what);
        }
        assert_eq!(queue.next_at(), Some(at(1)));
        let due: String = std::iter::from_fn(|| queue.pop_due(at(4))).collect();
        assert_eq!(due, "ab");
        let due: String = std::iter::from_fn(|| queue.pop_due(at(5))).collect();
        assert_eq!(due, "cd");
    }
}
