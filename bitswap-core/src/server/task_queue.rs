//! What waits at one peer, in the order in which it is due.
//!
//! Invariant: a want is in the queue that its state names, once, or in none while its lookup or its response is under
//! way; the sums are those of the queues. Whoever changes a want takes it out before and puts it back after:
//! [`Ledger`](super::ledger::Ledger) does.

use alloc::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::memory::tree;
use crate::need::{Need, Needs};
use crate::output::LoadKind;
use crate::peer::Peer;
use crate::util::rows::Ref;
use crate::util::side_table::SideTable;

use super::consistent;
use super::want::{Position, State, Want};
#[cfg(any(test, feature = "testing"))]
use super::want_table::WantTable;

/// Wants that could be evicted for new ones, in the order in which they would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evictable {
    /// Answered at that time.
    Unconfirmed(u64, Ref<Want>),
    /// The block is not there; of that age.
    Unavailable(u64, Ref<Want>),
}

/// The queues of one peer.
#[derive(Debug, Default)]
pub(super) struct TaskQueue {
    /// To be looked up by size.
    sizes: BTreeSet<Position>,
    /// To be loaded.
    data: BTreeSet<Position>,
    /// Of these, the ones of unknown size whose absence the peer is to be told.
    unsure: BTreeSet<Position>,
    /// HAVE or DONT_HAVE is to be sent.
    presences: BTreeSet<Position>,
    /// To be sent.
    blocks: BTreeMap<Position, Bytes>,
    evictable: BTreeSet<Evictable>,
    /// Bytes of `blocks`.
    loaded: u64,
    /// Bytes to be loaded, where the size is known.
    known: u64,
    /// Blocks to be loaded whose size is not known.
    unknown: u64,
    /// Wants in the state [`State::Unconfirmed`].
    unconfirmed: u32,
    /// Whether the connection is needed for a want of the peer.
    need: Need,
}

impl TaskQueue {
    /// Takes a want out of the queue of its state, before it changes. Gives the block that was loaded for it.
    pub(super) fn leave(&mut self, want: &Want, row: Ref<Want>) -> Option<Bytes> {
        let position = want.position(row);
        let was_there = match want.state() {
            State::Loading(_) | State::InFlight(..) => true,
            State::Unavailable => self.evictable.remove(&Evictable::Unavailable(want.age(), row)),
            State::Queued(LoadKind::Size) => self.sizes.remove(&position),
            State::Queued(LoadKind::Data) => {
                if want.absence_matters() {
                    self.unsure.remove(&position);
                }
                match want.size() {
                    Some(size) => self.known -= u64::from(size),
                    None => self.unknown -= 1,
                }
                self.data.remove(&position)
            }
            State::Presence { .. } => self.presences.remove(&position),
            State::Loaded => {
                let data = self.blocks.remove(&position);
                debug_assert!(data.is_some(), "a loaded block is not in its queue");
                self.loaded -= data.as_ref().map_or(0, |data| data.len() as u64);
                return data;
            }
            State::Unconfirmed(at) => {
                self.unconfirmed -= 1;
                self.evictable.remove(&Evictable::Unconfirmed(at.as_micros(), row))
            }
        };
        debug_assert!(was_there, "a want is not in the queue of its state");
        None
    }

    /// Puts a want into the queue of its state. `data` goes with [`State::Loaded`].
    pub(super) fn join(&mut self, want: &Want, row: Ref<Want>, data: Option<Bytes>) {
        let position = want.position(row);
        let is_new = match want.state() {
            State::Loading(_) | State::InFlight(..) => true,
            State::Unavailable => self.evictable.insert(Evictable::Unavailable(want.age(), row)),
            State::Queued(LoadKind::Size) => self.sizes.insert(position),
            State::Queued(LoadKind::Data) => {
                if want.absence_matters() {
                    self.unsure.insert(position);
                }
                match want.size() {
                    Some(size) => self.known += u64::from(size),
                    None => self.unknown += 1,
                }
                self.data.insert(position)
            }
            State::Presence { .. } => self.presences.insert(position),
            State::Loaded => {
                debug_assert!(data.is_some(), "a loaded want comes without its block");
                let data = data.unwrap_or_default();
                self.loaded += data.len() as u64;
                self.blocks.insert(position, data).is_none()
            }
            State::Unconfirmed(at) => {
                self.unconfirmed += 1;
                self.evictable.insert(Evictable::Unconfirmed(at.as_micros(), row))
            }
        };
        debug_assert!(is_new, "a want is in a queue twice");
    }

    /// The want whose size is to be looked up next.
    pub(super) fn next_size(&self) -> Option<Ref<Want>> {
        self.sizes.first().map(|position| position.row())
    }

    /// The want whose block is to be loaded next.
    pub(super) fn next_data(&self) -> Option<Ref<Want>> {
        self.data.first().map(|position| position.row())
    }

    /// The same among those of unknown size whose absence the peer is to be told.
    pub(super) fn next_unsure(&self) -> Option<Ref<Want>> {
        self.unsure.first().map(|position| position.row())
    }

    /// The want whose presence is to be sent next.
    pub(super) fn next_presence(&self) -> Option<Ref<Want>> {
        self.presences.first().map(|position| position.row())
    }

    /// The want whose block is to be sent next, and the block.
    pub(super) fn next_block(&self) -> Option<(Ref<Want>, &Bytes)> {
        self.blocks.first_key_value().map(|(position, data)| (position.row(), data))
    }

    pub(super) fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    pub(super) fn has_presences(&self) -> bool {
        !self.presences.is_empty()
    }

    pub(super) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// The want that costs least to evict: one answered already, else the oldest whose block is not there.
    pub(super) fn evictable(&self) -> Option<Ref<Want>> {
        self.evictable
            .first()
            .map(|(Evictable::Unconfirmed(_, row) | Evictable::Unavailable(_, row))| *row)
    }

    /// The least urgent of the wants that nothing was done for yet.
    pub(super) fn last_queued(&self) -> Option<Position> {
        self.sizes.last().max(self.data.last()).copied()
    }

    /// The wants answered lately, the oldest first.
    pub(super) fn unconfirmed(&self) -> impl Iterator<Item = Ref<Want>> {
        self.evictable.iter().map_while(|evictable| match evictable {
            Evictable::Unconfirmed(_, row) => Some(*row),
            Evictable::Unavailable(..) => None,
        })
    }

    /// How many wants were answered lately.
    pub(super) const fn unconfirmed_len(&self) -> u32 {
        self.unconfirmed
    }

    /// Bytes of blocks in memory.
    pub(super) const fn loaded_bytes(&self) -> u64 {
        self.loaded
    }

    /// Bytes of blocks to be loaded, those of unknown size as `estimate`.
    pub(super) fn to_load_bytes(&self, estimate: u32) -> u64 {
        self.known + self.unknown * u64::from(estimate)
    }

    /// Bytes allocated, by the rule that B-tree nodes are two thirds full.
    pub(super) fn bytes(&self) -> usize {
        let positions =
            self.sizes.len() + self.data.len() + self.unsure.len() + self.presences.len();
        (positions * size_of::<Position>()
            + self.blocks.len() * size_of::<(Position, Bytes)>()
            + self.evictable.len() * size_of::<Evictable>())
            * 3
            / 2
            + self.loaded as usize
    }

    /// The most bytes of the queues of so many wants, without the loaded blocks.
    pub(super) fn bytes_max(wants: u64) -> u64 {
        // At worst all are to be loaded and of unknown size, or loaded.
        (2 * tree::<Position>(wants)).max(tree::<(Position, Bytes)>(wants))
            + 4 * tree::<Position>(0)
    }

    /// What breaks the invariant, if anything does, when these are the peer's wants: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate<'a>(
        &self,
        wants: impl Iterator<Item = (Ref<Want>, &'a Want)>,
    ) -> Result<(), &'static str> {
        let mut seen = Self::default();
        for (row, want) in wants {
            let data = self.blocks.get(&want.position(row)).cloned();
            if (want.state() == State::Loaded) != data.is_some() {
                return Err("a block is in memory for a want that is not loaded, or the reverse");
            }
            seen.join(want, row, data);
        }
        let sets = [
            (&self.sizes, &seen.sizes),
            (&self.data, &seen.data),
            (&self.unsure, &seen.unsure),
            (&self.presences, &seen.presences),
        ];
        if sets.into_iter().any(|(is, should)| is != should)
            || self.blocks.len() != seen.blocks.len()
            || self.evictable != seen.evictable
        {
            return Err("a want is not in the queue of its state");
        }
        let sums = |queue: &Self| (queue.loaded, queue.known, queue.unknown, queue.unconfirmed);
        if sums(self) != sums(&seen) {
            return Err("a sum of a peer's queues is wrong");
        }
        Ok(())
    }
}

/// The queues of all peers, and the sums over them.
#[derive(Debug, Default)]
pub(super) struct TaskQueues {
    queues: SideTable<TaskQueue, Peer>,
    /// Bytes that the queues hold.
    heap_bytes: usize,
    /// Wants answered lately.
    unconfirmed: u32,
    needs: Needs,
}

impl TaskQueues {
    pub(super) fn connected(&mut self, peer: Ref<Peer>) {
        self.queues.insert(peer, TaskQueue::default());
    }

    /// The peer's wants have been removed.
    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        let gone = consistent(self.queues.remove(peer), "a peer leaves twice");
        let Some(gone) = gone else { return };
        debug_assert!(gone.bytes() == 0, "a peer leaves tasks behind");
        self.needs.remove(peer, &gone.need);
    }

    pub(super) fn of(&self, peer: Ref<Peer>) -> Option<&TaskQueue> {
        consistent(self.queues.get(peer), "a peer has no queue")
    }

    /// Changes the queue of a peer.
    pub(super) fn update(&mut self, peer: Ref<Peer>, how: impl FnOnce(&mut TaskQueue)) {
        let Some(queue) = consistent(self.queues.get_mut(peer), "a peer has no queue") else {
            return;
        };
        let before = (queue.bytes(), queue.unconfirmed);
        how(queue);
        self.heap_bytes = self.heap_bytes - before.0 + queue.bytes();
        self.unconfirmed = self.unconfirmed - before.1 + queue.unconfirmed;
    }

    /// Sets whether the connection to a peer is needed.
    pub(super) fn set_needed(&mut self, peer: Ref<Peer>, is_needed: bool) {
        if let Some(queue) = self.queues.get_mut(peer) {
            self.needs.set(peer, &mut queue.need, is_needed);
        }
    }

    /// The next peer whose connection is needed now and was not before, or the reverse.
    pub(super) fn next_changed_need(&mut self) -> Option<Ref<Peer>> {
        let peer = self.needs.next()?;
        if let Some(queue) = self.queues.get_mut(peer) {
            Needs::looked_at(&mut queue.need);
        }
        Some(peer)
    }

    pub(super) fn is_needed(&self, peer: Ref<Peer>) -> bool {
        self.queues.get(peer).is_some_and(|queue| queue.need.is_needed())
    }

    /// How many wants of all peers were answered lately.
    pub(super) const fn unconfirmed_len(&self) -> u32 {
        self.unconfirmed
    }

    /// Bytes allocated, and of the blocks in memory.
    pub(super) fn bytes(&self) -> usize {
        self.queues.bytes() + self.heap_bytes + self.needs.bytes()
    }

    /// The most bytes of a peer without wants, beside `peers` others at most.
    pub(super) const fn bytes_max_each(peers: u64) -> u64 {
        SideTable::<TaskQueue, Peer>::bytes_max_each(peers) + Needs::bytes_max_each()
    }

    /// What breaks an invariant, if anything does, when these are all wants: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, table: &WantTable) -> Result<(), &'static str> {
        let (mut bytes, mut unconfirmed) = (0, 0);
        for (peer, queue) in self.queues.iter() {
            queue.validate(table.of_peer(peer))?;
            self.needs.validate(peer, &queue.need)?;
            if queue.need.is_needed() != (table.len_of(peer) > queue.unconfirmed) {
                return Err("the connection to a peer is needed for no want of it, or not for one");
            }
            bytes += queue.bytes();
            unconfirmed += queue.unconfirmed;
        }
        if (bytes, unconfirmed) != (self.heap_bytes, self.unconfirmed) {
            return Err("a sum over all queues is wrong");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::server::samples::{key, peer, want_block, want_have_or};
    use crate::server::want::Response;
    use crate::time::Timestamp;
    use crate::util::rows::Rows;

    /// Wants in their rows, with the queue of their peer.
    #[derive(Default)]
    struct Case {
        rows: Rows<Want>,
        queue: TaskQueue,
    }

    impl Case {
        fn add(&mut self, want: Want) -> Ref<Want> {
            let row = self.rows.insert(want).at();
            self.queue.join(self.rows.at(row).unwrap(), row, None);
            row
        }

        fn change(&mut self, row: Ref<Want>, data: Option<Bytes>, how: impl FnOnce(&mut Want)) {
            let want = self.rows.at_mut(row).unwrap();
            let held = self.queue.leave(want, row);
            how(want);
            self.queue.join(want, row, data.or(held).filter(|_| want.state() == State::Loaded));
        }

        fn validate(&self) -> Result<(), &'static str> {
            self.queue.validate(self.rows.iter().map(|(id, want)| (id.at(), want)))
        }
    }

    fn block(n: u32, priority: i32) -> Want {
        Want::new(peer(0), key(n), &want_block(n, priority), u64::from(n), None)
    }

    #[test]
    fn the_most_urgent_goes_first_and_then_the_oldest() {
        let mut case = Case::default();
        let [b, a, c] = [(2, 5), (1, 5), (3, 9)].map(|(n, urgency)| case.add(block(n, urgency)));
        case.validate().unwrap();
        assert_eq!(case.queue.last_queued().map(Position::row), Some(b));
        let order: Vec<_> = (0..3)
            .map(|_| {
                let next = case.queue.next_data().unwrap();
                case.change(next, None, |want| want.lookup_started(LoadKind::Data));
                next
            })
            .collect();
        assert_eq!(order, [c, a, b]);
        assert!(!case.queue.has_data());
        case.validate().unwrap();
    }

    #[test]
    fn bytes_are_those_of_the_blocks_in_memory_and_to_be_loaded() {
        let mut case = Case::default();
        let [a, b] = [1, 2].map(|n| case.add(block(n, 0)));
        assert_eq!(case.queue.to_load_bytes(1000), 2000);
        case.change(a, None, |want| want.lookup_started(LoadKind::Data));
        let data = Bytes::from_static(&[0; 30]);
        case.change(a, Some(data.clone()), |want| want.block_found(30, true, None));
        assert_eq!((case.queue.loaded_bytes(), case.queue.to_load_bytes(1000)), (30, 1000));
        assert_eq!(case.queue.next_block(), Some((a, &data)));
        case.change(b, None, |want| _ = want.block_stored(7, None));
        assert_eq!(case.queue.to_load_bytes(1000), 7);
        case.change(a, None, Want::unloaded);
        assert_eq!((case.queue.loaded_bytes(), case.queue.to_load_bytes(1000)), (0, 37));
        case.validate().unwrap();
    }

    #[test]
    fn only_blocks_of_unknown_size_whose_absence_is_asked_for_are_unsure() {
        let mut case = Case::default();
        case.add(block(1, 0));
        assert_eq!(case.queue.next_unsure(), None);
        let mut entry = want_have_or(2, 0);
        entry.kind = crate::message::WantKind::Block;
        let unsure = case.add(Want::new(peer(0), key(2), &entry, 2, None));
        assert_eq!(case.queue.next_unsure(), Some(unsure));
        case.change(unsure, None, |want| _ = want.block_stored(7, None));
        assert_eq!(case.queue.next_unsure(), None);
        case.validate().unwrap();
    }

    #[test]
    fn the_answered_are_given_up_before_the_unavailable_and_the_oldest_first() {
        let mut case = Case::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(|n| case.add(block(n, 0)));
        let answer = |case: &mut Case, row, at| {
            case.change(row, None, |want| {
                want.lookup_started(LoadKind::Data);
                want.block_found(9, true, None);
                want.sent(Response::Block(9), 1);
            });
            let at = Timestamp::from_micros(at);
            case.change(row, None, |want| want.transport_took(Response::Block(9), at));
        };
        case.change(b, None, Want::cannot_be_sent);
        case.change(a, None, Want::cannot_be_sent);
        assert_eq!(case.queue.evictable(), Some(a));
        answer(&mut case, c, 8);
        answer(&mut case, d, 7);
        assert_eq!(case.queue.evictable(), Some(d));
        assert!(case.queue.unconfirmed().eq([d, c]));
        assert_eq!(case.queue.unconfirmed_len(), 2);
        case.validate().unwrap();
    }

    #[test]
    fn a_want_that_changed_in_its_queue_is_noticed() {
        let mut case = Case::default();
        let row = case.add(block(1, 0));
        case.rows.at_mut(row).unwrap().lookup_started(LoadKind::Data);
        assert!(case.validate().is_err());
    }

    #[test]
    fn a_queue_takes_its_entries_half_of_that_and_the_blocks() {
        let mut case = Case::default();
        let three_halves = |bytes: usize| bytes * 3 / 2;
        let (place, other) = (size_of::<Position>(), size_of::<Evictable>());
        // Two sizes, three blocks to load of which one is unsure, and one presence.
        let have = |n, priority| {
            Want::new(peer(0), key(n), &want_have_or(n, priority), u64::from(n), None)
        };
        let [.., found] = [1, 2, 3].map(|n| case.add(have(n, 0)));
        assert_eq!(case.queue.bytes(), three_halves(3 * place));
        let rows = [4, 5, 6, 7, 8].map(|n| case.add(block(n, 0)));
        let mut entry = want_have_or(9, 0);
        entry.kind = crate::message::WantKind::Block;
        case.add(Want::new(peer(0), key(9), &entry, 9, None));
        assert_eq!(case.queue.bytes(), three_halves((3 + 5 + 2) * place));
        case.change(found, None, |want| want.lookup_started(LoadKind::Size));
        case.change(found, None, |want| want.block_found(7, false, None));
        assert!(case.queue.has_presences());
        assert_eq!(case.queue.bytes(), three_halves(10 * place));
        case.change(rows[0], None, Want::cannot_be_sent);
        assert_eq!(case.queue.bytes(), three_halves(9 * place + other));
        let data = Bytes::from_static(&[0; 30]);
        case.change(rows[1], None, |want| want.lookup_started(LoadKind::Data));
        case.change(rows[1], Some(data), |want| want.block_found(30, true, None));
        let loaded = size_of::<(Position, Bytes)>();
        assert_eq!(case.queue.bytes(), three_halves(8 * place + other + loaded) + 30);
        case.validate().unwrap();
    }
}
