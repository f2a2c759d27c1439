//! Whether there is memory for one more block of a peer. Computes; keeps nothing.

use crate::limits::Limits;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::Ref;

/// A peer may use this part of the memory that no peer uses yet. So the more peers are slow, the less each of them
/// holds, and there is always some left for the next.
const SHARE: u64 = 4;
/// The part of all memory by which a block may overshoot that, and below which a peer is starved: with the default
/// limits a block of the usual size.
const BLOCK: u64 = 256;
/// The part of all memory that is kept for the first block of peers that hold nothing.
const RESERVE: u64 = 8;
/// The place of a peer among those that wait for memory. In this order they may have some: if there is none for the
/// first, there is none for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    used: u64,
    /// Its stream was reset: the reserve is not for it.
    late: bool,
    /// When it was given memory last.
    granted: Timestamp,
    peer: Ref<Peer>,
}

impl Turn {
    pub(super) const fn new(used: u64, late: bool, granted: Timestamp, peer: Ref<Peer>) -> Self {
        Self { used, late, granted, peer }
    }

    pub(super) const fn peer(self) -> Ref<Peer> {
        self.peer
    }
}

/// All memory for blocks, by the limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    bytes_max: u64,
    /// The most of one peer.
    peer_bytes_max: u64,
}

impl Pool {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.response_bytes.into(),
            peer_bytes_max: limits.response_bytes_per_peer.into(),
        }
    }

    pub(super) const fn peer_bytes_max(self) -> u64 {
        self.peer_bytes_max
    }

    /// Whether there is memory for one more block of such a peer, while all together use `total`.
    pub(super) const fn has_memory(self, turn: Turn, total: u64) -> bool {
        let Turn { used, late, .. } = turn;
        let all = self.bytes_max;
        if used == 0 && !late {
            return total < all;
        }
        let free = (all - all / RESERVE).saturating_sub(total);
        free > 0 && (used == 0 || used + all / BLOCK < free / SHARE)
    }

    /// Whether a peer that uses so many bytes, and finds no memory for more, is starved.
    fn is_little(self, used: u64) -> bool {
        used < (self.bytes_max / BLOCK).max(1)
    }

    /// A block of this size stays within what a peer may hold at this place. A block beyond the limit is held alone.
    pub(super) const fn fits(self, turn: Turn, size: u32) -> bool {
        turn.used == 0 || turn.used + size as u64 <= self.peer_bytes_max
    }
}

/// What one peer may load at this moment. Made by [`Memory::grant`](super::memory::Memory::grant), and given back to
/// [`Memory::conclude`](super::memory::Memory::conclude).
#[derive(Debug)]
pub(super) struct Grant {
    pool: Pool,
    turn: Turn,
    window: u64,
    /// The first of those that wait.
    first: Option<Turn>,
    /// Bytes used by all peers, with `reserved`.
    total: u64,
    reserved: u64,
    refused: bool,
}

impl Grant {
    pub(super) const fn new(
        pool: Pool,
        turn: Turn,
        window: u64,
        first: Option<Turn>,
        total: u64,
    ) -> Self {
        Self { pool, turn, window, first, total, reserved: 0, refused: false }
    }

    /// Whether there is memory for one more block: its window is open, there is some, and it is nobody else's turn.
    pub(super) fn has_memory(&mut self) -> bool {
        if self.turn.used >= self.window {
            return false;
        }
        let is_first = self.first.is_none_or(|first| self.turn <= first);
        self.refused = !(is_first && self.pool.has_memory(self.turn, self.total));
        !self.refused
    }

    /// Reserves memory for a block of this size; false when that is beyond what the peer may hold.
    pub(super) fn reserve(&mut self, size: u32) -> bool {
        let fits = self.pool.fits(self.turn, size);
        if fits {
            self.turn.used += u64::from(size);
            self.total += u64::from(size);
            self.reserved += u64::from(size);
        }
        fits
    }

    /// Bytes reserved so far.
    pub(super) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// There was no memory for the last block.
    pub(super) const fn is_refused(&self) -> bool {
        self.refused
    }

    /// The peer was refused, and uses less than a block of the usual size.
    pub(super) fn is_starved(&self) -> bool {
        self.refused && self.pool.is_little(self.turn.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of the usual size is ten bytes, and the reserve 320.
    const POOL: Pool = Pool { bytes_max: 2560, peer_bytes_max: 100 };

    const fn turn(used: u64, late: bool) -> Turn {
        Turn::new(used, late, Timestamp::ZERO, Ref::from_place(1))
    }

    const fn grant(used: u64, first: Option<Turn>, total: u64) -> Grant {
        Grant::new(POOL, turn(used, false), 50, first, total)
    }

    #[test]
    fn the_reserve_is_for_the_first_block_of_a_peer_that_kept_pace() {
        assert!(POOL.has_memory(turn(0, false), 2559));
        assert!(!POOL.has_memory(turn(0, false), 2560));
        assert!(!POOL.has_memory(turn(0, true), 2240));
        assert!(POOL.has_memory(turn(0, true), 2239));
        assert!(!POOL.has_memory(turn(1, false), 2240));
    }

    #[test]
    fn a_peer_uses_at_most_a_share_of_what_is_free() {
        // 100 of 2240 are free: a quarter is 25, and the next block is taken to have ten.
        assert!(POOL.has_memory(turn(14, false), 2140));
        assert!(!POOL.has_memory(turn(15, false), 2140));
    }

    #[test]
    fn a_grant_ends_with_the_window_the_limit_or_the_memory() {
        let mut open = grant(0, None, 0);
        assert!(open.has_memory() && open.reserve(49));
        assert!(open.has_memory() && !open.reserve(52), "beyond the limit of a peer");
        assert!(open.has_memory() && open.reserve(1));
        assert!(!open.has_memory() && !open.is_refused(), "its window is used up");
        assert_eq!(open.reserved(), 50);
        let mut full = grant(0, None, 2560);
        assert!(!full.has_memory() && full.is_refused() && full.is_starved());
        let mut half = grant(40, None, 2100);
        assert!(!half.has_memory() && half.is_refused() && !half.is_starved());
    }

    #[test]
    fn a_block_beyond_the_limit_of_a_peer_is_held_alone() {
        let mut empty = grant(0, None, 0);
        assert!(empty.reserve(1000));
        assert!(!empty.reserve(1));
    }

    #[test]
    fn it_is_the_turn_of_whoever_uses_least() {
        let first = turn(3, false);
        assert!(grant(3, Some(first), 10).has_memory());
        let mut later = grant(4, Some(first), 10);
        assert!(!later.has_memory() && later.is_refused());
    }
}
