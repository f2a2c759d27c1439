//! Blocks that came from a peer which fetches itself, and are sent on a little later.
//!
//! Peers that fetch the same file ask each other for it, and their wants are remembered until the block is here. Whoever
//! gets it first sends it to all that asked; were each of these to send it on at once, everybody would get it from
//! everybody. So a want that was remembered waits until its peer had the time to take it back, and as the times are drawn,
//! one sends the block on to those whom the first did not know of before the others would.
//!
//! Only what is remembered waits: a want that comes meanwhile is answered at once.
//!
//! Invariant: the held ones are in the order of their times, and each is there once.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::key::Key;
use crate::limits::Limits;
use crate::memory::list;
use crate::rng::Rng;
use crate::time::Timestamp;

/// Blocks held at most, and for each this many wants that may be remembered: others are sent on at once.
const HELD_MAX: u32 = 128;
const WANTS_PER_HELD: u32 = 16;
/// The least time. A peer that got the block takes its want back 2 ms later.
const WAIT_MIN: Duration = Duration::from_millis(10);
/// What is drawn beside it at most: several times what a cancel takes, so that the cancel reaches most others before
/// their time comes; and little beside the time of a block over a line that a crowd finds slow.
const WAIT_SPREAD: Duration = Duration::from_millis(40);

/// A block that is held.
#[derive(Debug)]
struct Held {
    due: Timestamp,
    key: Key,
    /// Its bytes, once the store has it.
    stored: Option<u32>,
}

/// Blocks that are held.
#[derive(Debug)]
pub(super) struct Relays {
    rng: Rng,
    held: VecDeque<Held>,
    most: usize,
}

impl Relays {
    pub(super) fn new(limits: &Limits, seed: &[u8; 32]) -> Self {
        let most = held_max(limits) as usize;
        Self { rng: Rng::new(seed, "relays"), held: VecDeque::new(), most }
    }

    /// A wanted block came from a peer that fetches. Nothing changes for one that is held already.
    pub(super) fn hold(&mut self, key: Key, now: Timestamp) {
        // A key that is not of the common length is not worth its memory.
        let is_known = self.held.iter().any(|held| held.key == key);
        if is_known || self.held.len() >= self.most || key.heap_bytes() > 0 {
            return;
        }
        let spread = self.rng.below(WAIT_SPREAD.as_micros() as u64);
        let due = now + WAIT_MIN + Duration::from_micros(spread);
        let place = self.held.partition_point(|held| held.due <= due);
        self.held.insert(place, Held { due, key, stored: None });
    }

    /// The store has a block of this size now. Whether those who want it wait.
    pub(super) fn stored(&mut self, key: &Key, size: u32) -> bool {
        let held = self.held.iter_mut().find(|held| held.key == *key);
        held.is_some_and(|held| {
            held.stored = Some(size);
            true
        })
    }

    /// The next block that is due and that the store has, with its size. One that the store does not have yet is not
    /// held any longer.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<(Key, u32)> {
        while self.first_due()?.is_due(now) {
            let Held { key, stored, .. } = self.held.pop_front()?;
            if self.held.is_empty() {
                self.clear();
            }
            if let Some(size) = stored {
                return Some((key, size));
            }
        }
        None
    }

    /// When the first block is due.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.held.front().map(|held| held.due)
    }

    /// Nobody waits for anything any more.
    pub(super) fn clear(&mut self) {
        self.held = VecDeque::new();
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.held.capacity() * size_of::<Held>()
    }

    pub(super) fn bytes_max(limits: &Limits) -> u64 {
        list::<Held>(held_max(limits).into())
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        if !self.held.iter().is_sorted_by_key(|held| held.due) {
            return Err("blocks are held, and not in the order of their times");
        }
        let mut rest = self.held.iter();
        while let Some(held) = rest.next() {
            if rest.clone().any(|other| other.key == held.key) {
                return Err("a block is held twice");
            }
        }
        Ok(())
    }
}

fn held_max(limits: &Limits) -> u32 {
    (limits.ledger / WANTS_PER_HELD).min(HELD_MAX)
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use cid::multihash::Multihash;

    use super::super::samples::key;
    use super::*;

    const START: Timestamp = Timestamp::ZERO;
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn relays() -> Relays {
        Relays::new(&Limits::default(), &[7; 32])
    }

    #[test]
    fn a_block_waits_from_its_coming_and_is_told_of_once_it_is_stored() {
        let mut relays = relays();
        assert!(!relays.stored(&key(1), 5), "it is not held");
        relays.hold(key(1), START);
        relays.hold(key(2), START);
        assert!(relays.stored(&key(1), 5));
        relays.validate().unwrap();
        assert_eq!(relays.next(START + MS(9)), None);
        let due = relays.first_due().unwrap();
        assert!((START + MS(10)..START + MS(50)).contains(&due), "{due:?}");
        assert_eq!(relays.next(START + MS(50)), Some((key(1), 5)));
        assert_eq!(relays.next(START + MS(50)), None, "the other is not stored");
        assert!(!relays.stored(&key(2), 5), "and waits no longer");
        assert_eq!((relays.first_due(), relays.bytes()), (None, 0));
    }

    #[test]
    fn one_that_comes_again_keeps_its_time() {
        let mut relays = relays();
        relays.hold(key(1), START);
        let due = relays.first_due();
        assert!(relays.stored(&key(1), 5));
        relays.hold(key(1), START + MS(9));
        assert_eq!((relays.first_due(), relays.next(START + MS(50))), (due, Some((key(1), 5))));
        relays.hold(key(3), START);
        relays.clear();
        relays.validate().unwrap();
        assert_eq!((relays.first_due(), relays.next(START + MS(50))), (None, None));
    }

    #[test]
    fn times_are_spread_over_several_times_what_a_cancel_takes() {
        let mut relays = relays();
        (0..100).for_each(|n| relays.hold(key(n), START));
        relays.validate().unwrap();
        let mut dues: alloc::vec::Vec<_> = relays.held.iter().map(|held| held.due).collect();
        dues.dedup();
        assert_eq!(dues.len(), 100);
        assert!(dues[10] < START + MS(16) && dues[90] > START + MS(44), "{dues:?}");
        // Each comes at its own time, and none before.
        let in_order: alloc::vec::Vec<_> =
            relays.held.iter().map(|held| held.key.clone()).collect();
        assert!((0..100).all(|n| relays.stored(&key(n), n)));
        for (due, key) in dues.into_iter().zip(in_order) {
            let told = relays.next(due).map(|(key, _)| key);
            assert_eq!((told, relays.next(due)), (Some(key), None));
        }
    }

    #[test]
    fn so_many_are_held_and_what_they_take_is_within_its_bound() {
        let limits = Limits { ledger: 100 * WANTS_PER_HELD + 15, ..Limits::default() };
        let mut relays = Relays::new(&limits, &[7; 32]);
        let most = 100;
        (0..=most).for_each(|n| relays.hold(key(n), START));
        assert!(relays.stored(&key(most - 1), 5) && !relays.stored(&key(most), 5));
        assert!(relays.bytes() as u64 <= Relays::bytes_max(&limits));
        relays.validate().unwrap();
        relays.held.swap(0, 99);
        assert!(relays.validate().is_err());
        let mut relays = self::relays();
        relays.hold(Key::new(&Cid::new_v1(0x55, Multihash::wrap(0x13, &[1; 64]).unwrap())), START);
        assert_eq!(relays.first_due(), None, "its key is long");
    }
}
