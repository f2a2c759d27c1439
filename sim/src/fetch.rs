//! What a user of a node fetches: blocks in rounds, the next round when the last one is complete.

use std::collections::{BTreeSet, VecDeque};

use bitswap_core::{SessionId, SessionOptions, Timestamp, Want};
use cid::Cid;

use crate::node::Node;

/// Calls to `want` that are made in one instant.
pub type Round = Vec<Vec<Want>>;

/// In which order blocks are asked for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) rounds: VecDeque<Round>,
}

impl Plan {
    /// One block after the other.
    #[must_use]
    pub fn one_at_a_time(cids: &[Cid]) -> Self {
        Self::in_batches(cids, 1)
    }

    /// So many blocks in one call, the next ones when all have come.
    #[must_use]
    pub fn in_batches(cids: &[Cid], size: usize) -> Self {
        Self { rounds: cids.chunks(size).map(|batch| vec![wants(batch)]).collect() }
    }

    /// All blocks in one call.
    #[must_use]
    pub fn all_at_once(cids: &[Cid]) -> Self {
        Self::in_batches(cids, cids.len().max(1))
    }

    /// All blocks in one call, which says how large they are.
    #[must_use]
    pub fn of_size(cids: &[Cid], size: u32) -> Self {
        let wants = cids.iter().map(|cid| Want { size: Some(size), ..Want::from(*cid) });
        Self { rounds: VecDeque::from([vec![wants.collect()]]) }
    }

    /// All blocks in the same instant, each by its own call.
    #[must_use]
    pub fn all_concurrently(cids: &[Cid]) -> Self {
        Self { rounds: VecDeque::from([cids.chunks(1).map(wants).collect()]) }
    }

    /// A file's root, then its 10 nodes, then all leaves.
    #[must_use]
    pub fn like_a_file(cids: &[Cid]) -> Self {
        Self::in_groups(cids, &[1, 10, cids.len()])
    }

    /// As [`like_a_file`](Self::like_a_file) for 100 blocks; then rounds of five groups of ten.
    #[must_use]
    pub fn like_a_large_file(cids: &[Cid]) -> Self {
        let (first, rest) = cids.split_at(cids.len().min(100));
        let mut plan = Self::in_groups(first, &[1, 10, 89]);
        plan.rounds.extend(rest.chunks(50).map(|round| round.chunks(10).map(wants).collect()));
        plan
    }

    fn in_groups(cids: &[Cid], sizes: &[usize]) -> Self {
        let mut rest = cids;
        let mut rounds = VecDeque::new();
        for size in sizes {
            let (group, after) = rest.split_at(rest.len().min(*size));
            if !group.is_empty() {
                rounds.push_back(vec![wants(group)]);
            }
            rest = after;
        }
        Self { rounds }
    }
}

fn wants(cids: &[Cid]) -> Vec<Want> {
    cids.iter().map(|cid| Want::from(*cid)).collect()
}

/// Names a fetch of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchId {
    pub(crate) node: Node,
    pub(crate) place: usize,
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) options: SessionOptions<Node>,
    pub(crate) plan: Plan,
    pub(crate) session: Option<SessionId>,
    pub(crate) outstanding: BTreeSet<Cid>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) failed: u64,
    pub(crate) blocks: u64,
    /// The longest that any want took.
    pub(crate) slowest_micros: u64,
    /// When the present round began.
    pub(crate) round_began: Timestamp,
}

impl Fetch {
    pub(crate) fn new(plan: Plan, options: SessionOptions<Node>) -> Self {
        Self {
            options,
            plan,
            session: None,
            outstanding: BTreeSet::new(),
            started: None,
            finished: None,
            failed: 0,
            blocks: 0,
            slowest_micros: 0,
            round_began: Timestamp::ZERO,
        }
    }

    /// A want ended. True when the round is complete.
    pub(crate) fn ended(&mut self, cid: &Cid, now: Timestamp) -> bool {
        if !self.outstanding.remove(cid) {
            return false;
        }
        let took = now.since(self.round_began).as_micros() as u64;
        self.slowest_micros = self.slowest_micros.max(took);
        self.outstanding.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_set::BlockSet;

    #[test]
    fn plans_ask_for_every_block_once_and_in_order() {
        let cids = BlockSet::equal(1000, 32).cids();
        let sizes = |plan: &Plan| -> Vec<Vec<usize>> {
            plan.rounds.iter().map(|round| round.iter().map(Vec::len).collect()).collect()
        };
        for plan in [
            Plan::one_at_a_time(&cids),
            Plan::in_batches(&cids, 10),
            Plan::all_at_once(&cids),
            Plan::all_concurrently(&cids),
            Plan::like_a_file(&cids),
            Plan::like_a_large_file(&cids),
        ] {
            let asked: Vec<Cid> =
                plan.rounds.iter().flatten().flatten().map(|want| want.cid).collect();
            assert_eq!(asked, cids);
        }
        assert_eq!(sizes(&Plan::like_a_file(&cids[..100])), [[1], [10], [89]]);
        let large = sizes(&Plan::like_a_large_file(&cids));
        assert_eq!(large.len(), 3 + 18);
        assert_eq!(large[3], [10; 5]);
    }
}
