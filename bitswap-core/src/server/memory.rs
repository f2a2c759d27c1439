//! Who gets the memory for blocks, and who has to give it back.
//!
//! A peer is starved while it may load a block, holds less than a block of the usual size, and finds no memory. After
//! [`STARVED_FOR`] that is ended at the cost of peers whose streams do not keep pace (see [`super::pace`]): of these
//! the one that moves slowest per byte held is reset, and what it held goes to those that wait, until nobody is starved
//! or no such stream is left. So nobody is reset while there is enough for all, however slow; and nobody for a peer
//! that holds blocks and does not take them.
//!
//! Invariant: the total is the sum of what the peers use, and a peer is among those that wait, are starved, or hold
//! memory and may fall behind exactly as its account says.

use alloc::collections::BTreeSet;
use core::cmp::Reverse;
use core::time::Duration;

use crate::limits::Limits;
use crate::memory::tree;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::Ref;
use crate::util::side_table::SideTable;

use super::consistent;
use super::grant::{Grant, Pool, Turn};
use super::pace::Pace;

/// How long a peer is starved before it costs others their streams: longer than it takes to load and send the blocks
/// of a peer that reads. One whose own stream was reset waits as long as it rested.
const STARVED_FOR: Duration = Duration::from_millis(250);
/// The first window of a peer, in bytes: two blocks of the usual size.
const FIRST_WINDOW: u64 = 512 << 10;

/// Bytes of blocks that one peer uses, as the parts that have them say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Expected from lookups under way.
    pub(super) reserved: u64,
    /// Loaded, and not sent.
    pub(super) loaded: u64,
    /// In messages that the transport has.
    pub(super) in_flight: u32,
    /// Of these, in the oldest message, if there is any.
    pub(super) head: Option<u32>,
}

impl Usage {
    /// Bytes in memory.
    const fn held(&self) -> u64 {
        self.loaded + self.in_flight as u64
    }

    const fn used(&self) -> u64 {
        self.reserved + self.held()
    }

    /// Bytes that the peer has to take next: a message, or what waits for its stream to open.
    fn next(&self) -> u64 {
        self.head.map_or_else(|| self.held(), u64::from)
    }
}

/// One peer.
#[derive(Debug)]
struct Account {
    usage: Usage,
    pace: Pace,
    /// Bytes that may be in use before another block is loaded. Grows by what the peer reads, up to the limit: one that
    /// asks for much and reads nothing never gets far.
    window: u64,
    /// When it was given memory last.
    granted: Timestamp,
    /// Its places among those that wait, are starved from then on, or will have fallen behind then.
    waiting: Option<Turn>,
    starved: Option<Timestamp>,
    late: Option<Timestamp>,
}

impl Account {
    /// It has fallen behind: it gets no more before it has caught up.
    fn is_late(&self, now: Timestamp) -> bool {
        self.late.is_some_and(|at| at <= now)
    }

    fn turn(&self, peer: Ref<Peer>) -> Turn {
        Turn::new(self.usage.used(), !self.pace.is_trusted(), self.granted, peer)
    }

    /// The window to begin with, and to begin with anew. After its stream was reset for being slow it is one block.
    const fn first_window(&self) -> u64 {
        if self.pace.is_trusted() { FIRST_WINDOW } else { 1 }
    }
}

/// The memory for blocks, of all peers.
#[derive(Debug)]
pub(super) struct Memory {
    pool: Pool,
    total: u64,
    peers: SideTable<Account, Peer>,
    waiting: BTreeSet<Turn>,
    /// Starved peers, by the time from which on that costs others their streams.
    starved: BTreeSet<(Timestamp, Ref<Peer>)>,
    /// Peers that hold memory, by the time at which they will have fallen behind.
    late: BTreeSet<(Timestamp, Ref<Peer>)>,
}

impl Memory {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            pool: Pool::new(limits),
            total: 0,
            peers: SideTable::default(),
            waiting: BTreeSet::new(),
            starved: BTreeSet::new(),
            late: BTreeSet::new(),
        }
    }

    pub(super) fn connected(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let account = Account {
            usage: Usage::default(),
            pace: Pace::default(),
            window: FIRST_WINDOW.min(self.pool.peer_bytes_max()),
            granted: now,
            waiting: None,
            starved: None,
            late: None,
        };
        self.peers.insert(peer, account);
    }

    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        let Some(gone) = consistent(self.peers.remove(peer), "a peer leaves twice") else { return };
        gone.waiting.map(|turn| self.waiting.remove(&turn));
        gone.starved.map(|until| self.starved.remove(&(until, peer)));
        gone.late.map(|at| self.late.remove(&(at, peer)));
        self.total -= gone.usage.used();
        if self.peers.len() == 0 {
            self.waiting = BTreeSet::new();
            self.starved = BTreeSet::new();
            self.late = BTreeSet::new();
        }
    }

    /// Bytes used by all peers.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes used by one peer.
    pub(super) fn used_by(&self, peer: Ref<Peer>) -> u64 {
        self.peers.get(peer).map_or(0, |account| account.usage.used())
    }

    /// Something changed about a peer, and this is what it uses now. It is to be looked at again before it waits on.
    pub(super) fn update(&mut self, peer: Ref<Peer>, usage: Usage) {
        let Some(account) = account(&mut self.peers, peer) else { return };
        self.total = self.total - account.usage.used() + usage.used();
        account.usage = usage;
        account.waiting.take().map(|turn| self.waiting.remove(&turn));
        let late = if usage.held() == 0 { None } else { account.pace.late_at(usage.next()) };
        if account.late != late {
            account.late.map(|at| self.late.remove(&(at, peer)));
            late.map(|at| self.late.insert((at, peer)));
            account.late = late;
        }
    }

    // How the peer's stream moves.

    /// There are blocks for the peer to take, or a stream for it to agree to.
    pub(super) fn expects(&mut self, peer: Ref<Peer>, now: Timestamp) {
        if let Some(account) = account(&mut self.peers, peer) {
            account.pace.begin(now);
        }
    }

    /// There are none for it to take. Messages without blocks hold no memory from others, however many there are.
    pub(super) fn expects_nothing(&mut self, peer: Ref<Peer>) {
        if let Some(account) = account(&mut self.peers, peer) {
            account.pace.end();
        }
    }

    /// The transport took a message with so many bytes of blocks.
    pub(super) fn took(&mut self, peer: Ref<Peer>, bytes: u32, now: Timestamp) {
        if let Some(account) = account(&mut self.peers, peer) {
            let window = account.window + u64::from(bytes);
            account.window = window.min(self.pool.peer_bytes_max());
            account.pace.took(bytes, now);
        }
    }

    /// The transport failed to take a message.
    pub(super) fn took_nothing(&mut self, peer: Ref<Peer>) {
        if let Some(account) = account(&mut self.peers, peer) {
            account.window = account.first_window().min(self.pool.peer_bytes_max());
        }
    }

    /// Ends the peer's rest, if it is over.
    pub(super) fn wake(&mut self, peer: Ref<Peer>, now: Timestamp) {
        if let Some(account) = account(&mut self.peers, peer) {
            account.pace.wake(now);
        }
    }

    /// Until when the peer gets no blocks, because its stream was reset for being slow.
    pub(super) fn rests_until(&self, peer: Ref<Peer>) -> Option<Timestamp> {
        self.peers.get(peer)?.pace.rests_until()
    }

    // Who gets memory.

    /// What a peer may load now. None while it rests or has fallen behind.
    pub(super) fn grant(&self, peer: Ref<Peer>, now: Timestamp) -> Option<Grant> {
        let account = consistent(self.peers.get(peer), "a peer has no account of memory")?;
        if account.pace.rests_until().is_some() || account.is_late(now) {
            return None;
        }
        let (turn, first) = (account.turn(peer), self.waiting.first().copied());
        Some(Grant::new(self.pool, turn, account.window, first, self.total))
    }

    /// What came of a grant: a peer that found no memory waits for it, and is starved if it has next to none.
    pub(super) fn conclude(&mut self, peer: Ref<Peer>, grant: Option<Grant>, now: Timestamp) {
        self.set_starved(peer, grant.as_ref().is_some_and(Grant::is_starved), now);
        let (reserved, refused) =
            grant.map_or((0, false), |grant| (grant.reserved(), grant.is_refused()));
        let Some(account) = account(&mut self.peers, peer) else { return };
        if reserved > 0 {
            account.granted = now;
        } else if refused {
            let turn = account.turn(peer);
            account.waiting.replace(turn).map(|turn| self.waiting.remove(&turn));
            self.waiting.insert(turn);
        }
    }

    /// Whether a block stays in memory that was loaded for a peer on an estimate of `reserved` bytes. What was started
    /// on too low an estimate is kept only within the bounds. Otherwise it is loaded again when there is room, now that
    /// its size is known.
    pub(super) fn may_keep(&self, peer: Ref<Peer>, size: u32, reserved: u32) -> bool {
        let account = consistent(self.peers.get(peer), "a peer has no account of memory");
        account.is_some_and(|account| {
            let turn = account.turn(peer);
            let within = self.pool.fits(turn, size) && self.pool.has_memory(turn, self.total);
            account.pace.rests_until().is_none() && (size <= reserved || within)
        })
    }

    /// The peer whose turn it is of those that wait, if there is memory for it now. If not, there is none for the
    /// others.
    pub(super) fn served_next(&self) -> Option<Ref<Peer>> {
        let turn = *self.waiting.first()?;
        self.pool.has_memory(turn, self.total).then_some(turn.peer())
    }

    fn set_starved(&mut self, peer: Ref<Peer>, starved: bool, now: Timestamp) {
        let Some(account) = account(&mut self.peers, peer) else { return };
        if starved != account.starved.is_some() {
            account.starved.map(|until| self.starved.remove(&(until, peer)));
            let patience = STARVED_FOR.max(account.pace.last_rest());
            account.starved = starved.then_some(now + patience);
            account.starved.map(|until| self.starved.insert((until, peer)));
        }
    }

    // Who gives it back.

    /// When starvation is to be ended next, if it goes on.
    pub(super) fn relief_at(&self) -> Option<Timestamp> {
        let (until, _) = self.starved.first()?;
        let (late, _) = self.late.first()?;
        Some(*until.max(late))
    }

    /// The peer whose memory ends starvation that has lasted too long: of those that do not keep pace the slowest. Its
    /// stream is to be reset, and [`reset`](Self::reset) called.
    pub(super) fn relieve(&mut self, now: Timestamp) -> Option<Ref<Peer>> {
        while self.relief_at()?.is_due(now) {
            let &(_, starved) = self.starved.first()?;
            let has_fallen_behind =
                consistent(self.peers.get(starved), "a starved peer left")?.is_late(now);
            if !has_fallen_behind {
                // Looks at those that have fallen behind, once for a reset.
                let late = self.late.iter().take_while(|(at, _)| *at <= now).map(|(_, peer)| *peer);
                return late.max_by_key(|peer| {
                    let takes = self.peers.get(*peer).map(|account| {
                        let usage = account.usage;
                        account.pace.takes(usage.held(), usage.next(), now)
                    });
                    (takes, Reverse(*peer))
                });
            }
            // Nobody is reset for a peer that does not take what it was given.
            self.set_starved(starved, false, now);
        }
        None
    }

    /// The peer's stream was reset because it takes too little: it rests.
    pub(super) fn reset(&mut self, peer: Ref<Peer>, now: Timestamp) {
        if let Some(account) = account(&mut self.peers, peer) {
            account.pace.rest(now);
            account.window = account.first_window();
        }
    }

    // Bounds.

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.peers.bytes()
            + (self.waiting.len() * size_of::<Turn>()
                + (self.starved.len() + self.late.len()) * size_of::<(Timestamp, Ref<Peer>)>())
                * 3
                / 2
    }

    /// The most bytes of a peer, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        SideTable::<Account, Peer>::bytes_max_each(peers)
    }

    /// The most bytes of the orders of so many peers.
    pub(super) const fn lists_bytes_max(peers: u64) -> u64 {
        tree::<Turn>(peers) + 2 * tree::<(Timestamp, Ref<Peer>)>(peers)
    }

    /// What a peer uses, as it was told last: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn usage(&self, peer: Ref<Peer>) -> Option<Usage> {
        Some(self.peers.get(peer)?.usage)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let (mut total, mut waiting, mut starved, mut late) = (0, 0, 0, 0);
        for (peer, account) in self.peers.iter() {
            total += account.usage.used();
            waiting += usize::from(account.waiting.is_some());
            starved += usize::from(account.starved.is_some());
            late += usize::from(account.late.is_some());
            if account.waiting.is_some_and(|turn| !self.waiting.contains(&turn))
                || account.starved.is_some_and(|until| !self.starved.contains(&(until, peer)))
                || account.late.is_some_and(|at| !self.late.contains(&(at, peer)))
            {
                return Err("a peer is not among those that it should be");
            }
            if account.waiting.is_some_and(|turn| turn != account.turn(peer)) {
                return Err("a peer waits in the wrong place");
            }
        }
        if total != self.total {
            return Err("the total of memory is not the sum of what the peers use");
        }
        if (waiting, starved, late) != (self.waiting.len(), self.starved.len(), self.late.len()) {
            return Err("a peer is among those that it should not be");
        }
        Ok(())
    }
}

fn account(peers: &mut SideTable<Account, Peer>, peer: Ref<Peer>) -> Option<&mut Account> {
    consistent(peers.get_mut(peer), "a peer has no account of memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::samples::peer;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    /// Memory of so many bytes for three peers.
    fn memory(bytes: u32) -> Memory {
        let mut memory = Memory::new(&Limits {
            response_bytes: bytes,
            response_bytes_per_peer: bytes,
            ..Limits::default()
        });
        (0..3).for_each(|place| memory.connected(peer(place), at(0)));
        memory
    }

    fn loaded(bytes: u64) -> Usage {
        Usage { loaded: bytes, ..Usage::default() }
    }

    /// A peer looks for memory for a block of so many bytes.
    fn look(memory: &mut Memory, place: u32, bytes: u32, now: Timestamp) -> bool {
        let mut grant = memory.grant(peer(place), now);
        let granted =
            grant.as_mut().is_some_and(|grant| grant.has_memory() && grant.reserve(bytes));
        memory.conclude(peer(place), grant, now);
        if granted {
            let mut usage = memory.usage(peer(place)).unwrap();
            usage.reserved += u64::from(bytes);
            memory.update(peer(place), usage);
        }
        memory.validate().unwrap();
        granted
    }

    #[test]
    fn the_total_is_what_all_peers_use() {
        let mut memory = memory(1 << 20);
        let usage = Usage { reserved: 10, loaded: 20, in_flight: 30, head: Some(5) };
        memory.update(peer(0), usage);
        memory.update(peer(1), loaded(7));
        memory.update(peer(1), loaded(4));
        assert_eq!((memory.total(), memory.used_by(peer(0)), memory.used_by(peer(1))), (64, 60, 4));
        memory.validate().unwrap();
        (0..3).for_each(|place| memory.disconnected(peer(place)));
        assert_eq!((memory.total(), memory.bytes()), (0, 0));
    }

    #[test]
    fn a_peer_that_finds_none_waits_until_there_is_some() {
        let mut memory = memory(1 << 20);
        memory.update(peer(0), loaded(1 << 20));
        assert!(!look(&mut memory, 1, 9, at(0)) && !look(&mut memory, 2, 9, at(0)));
        assert_eq!(memory.served_next(), None);
        memory.update(peer(0), loaded(0));
        assert_eq!(memory.served_next(), Some(peer(1)));
        assert!(!look(&mut memory, 2, 9, at(0)), "it is the other one's turn");
        memory.update(peer(1), loaded(0));
        assert_eq!(memory.served_next(), Some(peer(2)));
    }

    /// Two peers take nothing of what they hold, and a third is starved.
    #[test]
    fn starvation_ends_at_the_cost_of_the_slowest_that_fell_behind() {
        let mut memory = memory(1 << 20);
        for (place, held) in [(0, 256 << 10), (1, 768 << 10)] {
            memory.expects(peer(place), at(0));
            let in_flight = Usage { in_flight: held, head: Some(64 << 10), ..Usage::default() };
            memory.update(peer(place), in_flight);
        }
        assert!(!look(&mut memory, 2, 9, at(100)));
        // Both have fallen behind after two seconds of grace and one for the message.
        assert_eq!(memory.relief_at(), Some(at(3000)));
        assert_eq!(memory.relieve(at(2999)), None);
        assert_eq!(memory.relieve(at(3000)), Some(peer(1)), "it holds more");
        memory.reset(peer(1), at(3000));
        memory.update(peer(1), loaded(0));
        assert_eq!(memory.rests_until(peer(1)), Some(at(4000)));
        assert!(!look(&mut memory, 1, 9, at(3000)), "it rests");
        assert_eq!(memory.served_next(), Some(peer(2)));
        assert!(look(&mut memory, 2, 9, at(3000)));
        assert_eq!(memory.relief_at(), None);
    }

    #[test]
    fn nobody_is_reset_while_nobody_is_starved() {
        let mut memory = memory(1 << 20);
        memory.expects(peer(0), at(0));
        memory.update(peer(0), Usage { in_flight: 9, head: Some(9), ..Usage::default() });
        assert_eq!((memory.relief_at(), memory.relieve(at(100_000))), (None, None));
    }

    #[test]
    fn a_window_grows_by_what_is_read_and_begins_anew_after_a_failure() {
        let mut memory = memory(16 << 20);
        memory.update(peer(0), loaded(512 << 10));
        assert!(!look(&mut memory, 0, 9, at(0)));
        memory.took(peer(0), 1, at(0));
        assert!(look(&mut memory, 0, 9, at(0)));
        memory.took_nothing(peer(0));
        assert!(!look(&mut memory, 0, 9, at(0)));
    }

    #[test]
    fn a_block_taken_for_smaller_than_it_is_stays_only_within_the_bounds() {
        let mut memory = memory(1 << 20);
        memory.update(peer(0), loaded(100 << 10));
        assert!(memory.may_keep(peer(0), 9, 1));
        memory.update(peer(1), loaded(900 << 10));
        assert!(!memory.may_keep(peer(0), 9, 8));
        assert!(memory.may_keep(peer(0), 9, 9), "as much was reserved");
        memory.reset(peer(0), at(0));
        assert!(!memory.may_keep(peer(0), 9, 9), "it rests");
    }

    #[test]
    fn a_sum_that_went_wrong_is_noticed() {
        let mut memory = memory(1 << 20);
        memory.update(peer(0), loaded(5));
        memory.total = 4;
        assert!(memory.validate().is_err());
        memory.total = 5;
        memory.starved.insert((at(1), peer(0)));
        assert!(memory.validate().is_err());
    }

    #[test]
    fn who_waits_is_starved_or_may_fall_behind_takes_an_entry_and_half_of_that() {
        let mut memory = memory(1 << 20);
        let known = memory.peers.bytes();
        assert!(known > 0);
        assert_eq!(memory.bytes(), known);
        memory.expects(peer(0), at(0));
        memory.update(peer(0), Usage { in_flight: 1 << 20, head: Some(9), ..Usage::default() });
        let (turn, moment) = (size_of::<Turn>(), size_of::<(Timestamp, Ref<Peer>)>());
        assert_eq!((memory.waiting.len(), memory.starved.len(), memory.late.len()), (0, 0, 1));
        assert_eq!(memory.bytes(), known + moment * 3 / 2);
        assert!(!look(&mut memory, 1, 9, at(0)) && !look(&mut memory, 2, 9, at(0)));
        assert_eq!((memory.waiting.len(), memory.starved.len(), memory.late.len()), (2, 2, 1));
        assert_eq!(memory.bytes(), known + (2 * turn + 3 * moment) * 3 / 2);
    }
}
