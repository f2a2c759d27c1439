//! What a store counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::usage::Usage;

/// What is there, and what is about to be.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// `None` while it is not known.
    pub(super) usage: Option<Usage>,
    /// Bytes that have room and are not there yet.
    pub(super) reserved: u64,
    /// Whether nothing could make room when it was looked for last, and nothing has changed that since.
    pub(super) is_full: bool,
}

/// Room for blocks that are being put.
pub(super) struct Room<'a> {
    counts: &'a Mutex<Counts>,
    bytes: u64,
}

impl<'a> Room<'a> {
    /// Room that was reserved.
    pub(super) const fn new(counts: &'a Mutex<Counts>, bytes: u64) -> Self {
        Self { counts, bytes }
    }

    /// So many of its bytes are there.
    pub(super) fn used(&mut self, counts: &mut Counts, bytes: u64) {
        let used = bytes.min(self.bytes);
        self.bytes -= used;
        counts.reserved -= used;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            locked(self.counts).reserved -= self.bytes;
        }
    }
}

/// A lock that a panic elsewhere does not spoil.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
