//! Whose want is given up for a new one, in a full ledger.
//!
//! Evicted first is what is answered, then the oldest wants whose blocks are not here, then the least urgent of those
//! that nothing was done for yet. In a ledger that is full with the wants of others, those of the peer with the most
//! are evicted for a peer with fewer, whatever their state: a peer that takes no responses must not keep its place by
//! that.

use crate::limits::Limits;
use crate::peer::Peer;
use crate::util::rows::Ref;

use super::task_queue::{TaskQueue, TaskQueues};
use super::want::Want;
use super::want_table::WantTable;

/// A want that was given up for another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evicted {
    pub(super) peer: Ref<Peer>,
    /// Nothing was lost: it had been answered.
    pub(super) answered: bool,
}

/// The bounds of the ledger. Decides; changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eviction {
    /// Rows of all peers together.
    rows_max: usize,
    rows_per_peer_max: u32,
}

impl Eviction {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self { rows_max: limits.ledger as usize, rows_per_peer_max: limits.ledger_per_peer }
    }

    /// The ledger has room for one more want of a peer.
    pub(super) fn has_room(&self, table: &WantTable, peer: Ref<Peer>) -> bool {
        table.len() < self.rows_max && table.len_of(peer) < self.rows_per_peer_max
    }

    /// The want to be evicted for one of this peer and priority, if there is one to be had.
    pub(super) fn victim(
        &self,
        table: &mut WantTable,
        queues: &TaskQueues,
        peer: Ref<Peer>,
        priority: i32,
    ) -> Option<Ref<Want>> {
        let len = table.len_of(peer);
        if len < self.rows_per_peer_max
            && let Some((largest, most)) = table.largest()
            && largest != peer
            && most > len + 1
            && let Some(row) = queues
                .of(largest)
                .and_then(|queue| cheapest(queue, None))
                // Its response is most likely the last one due.
                .or_else(|| table.latest_of(largest))
        {
            return Some(row);
        }
        cheapest(queues.of(peer)?, Some(priority))
    }
}

/// The want of a peer that costs least to give up, before a response to it was composed. A queued one is given up only
/// for one that is no less urgent.
fn cheapest(queue: &TaskQueue, newcomer: Option<i32>) -> Option<Ref<Want>> {
    let less_urgent = || {
        let last = queue.last_queued()?;
        newcomer.is_none_or(|new| last.priority() <= new).then(|| last.row())
    };
    queue.evictable().or_else(less_urgent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::LoadKind;
    use crate::server::samples::{self, key, want_block};
    use crate::server::want::Response;
    use crate::time::Timestamp;

    /// A ledger of at most five wants, four of one peer.
    struct Case {
        eviction: Eviction,
        table: WantTable,
        queues: TaskQueues,
        next: u64,
    }

    impl Case {
        fn new() -> Self {
            let limits = Limits { ledger: 5, ledger_per_peer: 4, ..Limits::default() };
            let (mut table, mut queues) = (WantTable::new(&[1; 32]), TaskQueues::default());
            for peer in (0..3).map(samples::peer) {
                table.connected(peer);
                queues.connected(peer);
            }
            Self { eviction: Eviction::new(&limits), table, queues, next: 0 }
        }

        fn add(&mut self, peer: u32, priority: i32, how: impl Fn(&mut Want)) -> Ref<Want> {
            self.next += 1;
            let n = self.next as u32;
            let peer = samples::peer(peer);
            let entry = want_block(n, priority);
            let mut want = Want::new(peer, key(n), &entry, self.next, None);
            how(&mut want);
            let row = self.table.insert(want).unwrap();
            let want = self.table.at(row).unwrap();
            self.queues.update(peer, |queue| queue.join(want, row, None));
            row
        }

        fn victim(&mut self, peer: u32, priority: i32) -> Option<Ref<Want>> {
            let peer = samples::peer(peer);
            assert!(!self.eviction.has_room(&self.table, peer));
            self.eviction.victim(&mut self.table, &self.queues, peer, priority)
        }
    }

    const fn queued(_: &mut Want) {}

    fn loading(want: &mut Want) {
        want.lookup_started(LoadKind::Data);
    }

    #[test]
    fn a_full_peer_gives_up_the_answered_then_the_unavailable_then_the_least_urgent() {
        let mut case = Case::new();
        case.add(0, 9, loading);
        case.add(0, 5, queued);
        let least = case.add(0, 3, queued);
        assert!(case.eviction.has_room(&case.table, samples::peer(0)));
        case.add(0, 4, queued);
        assert_eq!(case.victim(0, 2), None, "none is less urgent than that");
        assert_eq!(case.victim(0, 3), Some(least));
        let mut case = Case::new();
        case.add(0, 1, queued);
        let unavailable = case.add(0, 5, Want::cannot_be_sent);
        case.add(0, 5, Want::cannot_be_sent);
        case.add(0, 9, loading);
        assert_eq!(case.victim(0, 0), Some(unavailable), "the older one");
        let mut case = Case::new();
        case.add(0, 5, Want::cannot_be_sent);
        let answered = case.add(0, 5, |want| {
            loading(want);
            want.block_found(9, true, None);
            want.sent(Response::Block(9), 1);
            want.transport_took(Response::Block(9), Timestamp::ZERO);
        });
        case.add(0, 1, queued);
        case.add(0, 1, queued);
        assert_eq!(case.victim(0, 0), Some(answered));
    }

    #[test]
    fn in_a_full_ledger_the_peer_with_the_most_gives_up_its_latest_whatever_the_state() {
        let mut case = Case::new();
        case.add(0, 9, loading);
        case.add(0, 9, loading);
        let latest = case.add(0, 9, loading);
        case.add(1, 5, queued);
        case.add(2, 5, queued);
        assert_eq!(case.victim(1, 0), Some(latest));
    }

    #[test]
    fn a_peer_with_one_want_less_than_the_largest_gives_up_its_own() {
        let mut case = Case::new();
        case.add(0, 9, loading);
        case.add(0, 9, loading);
        case.add(0, 9, loading);
        case.add(1, 5, loading);
        let own = case.add(1, 5, queued);
        assert_eq!(case.victim(1, 7), Some(own));
        assert_eq!(case.victim(1, 4), None);
    }
}
