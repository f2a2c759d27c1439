//! A double-ended queue that holds no memory while it is empty.

use alloc::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Deque<T>(VecDeque<T>);

impl<T> Default for Deque<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Deque<T> {
    pub(crate) fn push_back(&mut self, item: T) {
        self.0.push_back(item);
    }

    pub(crate) fn push_front(&mut self, item: T) {
        self.0.push_front(item);
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.0.front()
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let item = self.0.pop_front();
        self.release();
        item
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
        self.release();
    }

    /// Takes out the first item that `is` holds for.
    pub(crate) fn remove_first(&mut self, is: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.0.iter().position(is)?;
        let item = self.0.remove(at);
        self.release();
        item
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes allocated, without what the items hold themselves.
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }

    fn release(&mut self) {
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut queue = Deque::default();
        for n in [2, 3, 4] {
            queue.push_back(n);
        }
        queue.push_front(1);
        assert!(queue.bytes() > 0);
        assert_eq!(queue.front(), Some(&1));
        assert_eq!(queue.pop_front(), Some(1));
        assert_eq!(queue.remove_first(|n| *n > 2), Some(3));
        assert_eq!(queue.remove_first(|n| *n > 9), None);
        assert!(queue.iter().eq(&[2, 4]));
        queue.retain(|n| *n == 4);
        assert_eq!(queue.pop_front(), Some(4));
        assert_eq!((queue.is_empty(), queue.bytes(), queue.pop_front()), (true, 0, None));
    }
}
