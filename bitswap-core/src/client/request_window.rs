//! How many bytes a peer is asked for at once, and how many it still owes.
//!
//! Invariant: of the bytes that it owes those that are guesses are a part. A window that was full has room again only once
//! a quarter of it has come: less is not worth another message.

use super::delivery_estimator::DeliveryEstimator;

/// Bytes asked of a peer of which nothing is measured.
const FIRST: u64 = 1 << 20;
/// How many times what it has delivered is asked of a peer of unknown speed.
const TRUST: u64 = 4;
/// The most bytes asked of a peer at once.
const MAX: u64 = 32 << 20;

/// What a peer owes, beside what it may.
#[derive(Debug, Default)]
pub(super) struct RequestWindow {
    /// Bytes asked for and not delivered.
    asked: u64,
    /// Those of them that are estimates, and of how many blocks.
    guessed: u64,
    guesses: u32,
    /// It was asked for all that its window allows, and not enough of it has come yet.
    is_full: bool,
}

impl RequestWindow {
    /// Bytes to be asked of a peer at once that has delivered so many. Blocks are of about `block` bytes; `choice`: there
    /// are peers enough to be wary of each.
    pub(super) fn size(
        estimator: &DeliveryEstimator,
        delivered: u64,
        block: u32,
        choice: bool,
    ) -> u64 {
        let least = u64::from(block).saturating_mul(2);
        // Trust grows with what was delivered, because the first measurements say little; where there is a
        // choice of peers, from nothing.
        let trust = delivered.saturating_mul(TRUST);
        let start = if choice && trust > 0 { 0 } else { FIRST };
        let most = trust.clamp(start, MAX);
        match estimator.window() {
            Some(window) => {
                // What it delivers in a second is little to take back, and spares round trips.
                let second = estimator.throughput().unwrap_or(0).min(FIRST);
                window.max(second).min(most).max(least)
            }
            None => most.min(FIRST).max(least),
        }
    }

    /// Bytes that it owes.
    pub(super) const fn asked(&self) -> u64 {
        self.asked
    }

    /// Bytes that it owes, if what was not known of the sizes is `block` each at least.
    pub(super) fn owed(&self, block: u32) -> u64 {
        let guessed = u64::from(self.guesses).saturating_mul(u64::from(block));
        self.asked - self.guessed + guessed.max(self.guessed)
    }

    /// It owes so much less than a window of this size that it is asked for more.
    pub(super) const fn has_room(&self, size: u64) -> bool {
        let least = if self.is_full { size / 4 * 3 } else { size };
        self.asked < least
    }

    /// It is asked for so many bytes more, when its window has this size.
    pub(super) fn charge(&mut self, bytes: u32, size: u64) {
        self.is_full &= !self.has_room(size);
        self.asked += u64::from(bytes);
        self.is_full |= self.asked >= size;
    }

    /// What it was just asked for is of a size that was not known.
    pub(super) fn guess(&mut self, bytes: u32) {
        self.guessed += u64::from(bytes);
        self.guesses += 1;
    }

    /// It does not owe these bytes any more; `is_guess`: their number was not known.
    pub(super) fn refund(&mut self, bytes: u32, is_guess: bool) {
        if is_guess {
            self.guessed = self.guessed.saturating_sub(u64::from(bytes));
            self.guesses = self.guesses.saturating_sub(1);
        }
        debug_assert!(self.asked >= u64::from(bytes), "more is given back than was asked for");
        self.asked = self.asked.saturating_sub(u64::from(bytes));
    }
}
