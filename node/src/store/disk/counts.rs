//! What a store counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::unsynced::Unsynced;
use super::usage::Usage;

/// What is there, and what is about to be.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// `None` while it is not known.
    pub(super) usage: Option<Usage>,
    /// Bytes that have room and are not there yet.
    pub(super) reserved: u64,
    pub(super) unsynced: Unsynced,
    /// How often something changed after which there may be more to remove.
    changes: u64,
    /// After how many of them it was looked for what can make room, and how many bytes stay whatever goes.
    full: Option<(u64, u64)>,
}

impl Counts {
    /// What a store has that is opened.
    pub(super) fn of(usage: Option<Usage>) -> Self {
        Self { usage, ..Self::default() }
    }

    /// There may be more to remove than before.
    pub(super) const fn changed(&mut self) {
        self.changes += 1;
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// So many bytes stay whatever goes, as far as what was there after so many changes tells.
    pub(super) const fn found_full(&mut self, after: u64, stays: u64) {
        self.full = Some((after, stays));
    }

    /// Whether more than `most` bytes stayed whatever went when it was looked for last, and nothing has changed since it
    /// began.
    pub(super) fn is_full(&self, most: u64) -> bool {
        self.full.is_some_and(|(after, stays)| after == self.changes && stays > most)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_full_while_nothing_changed_and_too_much_stays() {
        let mut counts = Counts::of(None);
        assert!(!counts.is_full(0), "it was not looked for");
        counts.changed();
        counts.changed();
        assert_eq!(counts.changes(), 2);
        counts.found_full(2, 100);
        assert_eq!([99, 100, 101].map(|most| counts.is_full(most)), [true, false, false]);
        counts.changed();
        assert!(!counts.is_full(99), "there may be more to remove now");
        counts.found_full(2, 100);
        assert!(!counts.is_full(99), "it changed while it was looked for");
    }

    #[test]
    fn room_that_is_not_used_is_given_back() {
        let counts = Mutex::new(Counts { reserved: 50, ..Counts::default() });
        let mut room = Room::new(&counts, 30);
        room.used(&mut locked(&counts), 10);
        assert_eq!(locked(&counts).reserved, 40);
        drop(room);
        assert_eq!(locked(&counts).reserved, 20);
        // More comes than there was room for.
        let mut room = Room::new(&counts, 15);
        room.used(&mut locked(&counts), 99);
        assert_eq!(locked(&counts).reserved, 5);
        drop(room);
        assert_eq!(locked(&counts).reserved, 5);
    }
}
