//! What an engine asked of its host.

use std::collections::VecDeque;

/// Answered requests that are remembered, to be answered once more.
const STALE_MAX: usize = 8;

/// Requests of one kind: open ones, and some that were answered.
#[derive(Debug)]
pub(super) struct Requests<T> {
    pub(super) open: Vec<T>,
    answered: VecDeque<T>,
}

impl<T: Clone> Requests<T> {
    pub(super) const fn new() -> Self {
        Self { open: Vec::new(), answered: VecDeque::new() }
    }

    /// The one at this place among all.
    pub(super) fn nth(&self, nth: u8) -> Option<&T> {
        let at = usize::from(nth).checked_rem(self.open.len() + self.answered.len())?;
        self.open.get(at).or_else(|| self.answered.get(at - self.open.len()))
    }

    /// Those that match are open no more.
    pub(super) fn answer(&mut self, matches: impl Fn(&T) -> bool) {
        for request in self.open.extract_if(.., |request| matches(request)) {
            self.answered.push_back(request);
        }
        while self.answered.len() > STALE_MAX {
            self.answered.pop_front();
        }
    }
}
