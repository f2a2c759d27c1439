//! What of a file on disk is compared with the DAG before it is asked for.

use alloc::vec::Vec;
use core::ops::Range;

use super::effects::Check;
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::manifest::Segment;
use crate::chunk::range_map::Verification;
use crate::chunk::range_set::RangeSet;

/// What is checked on disk before it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    /// Nothing.
    None,
    /// Every range that ends within so many bytes of the file on disk.
    Below(u64),
    /// The ranges that hold any of these bytes of the whole file.
    Within(RangeSet),
    /// The ranges that hold one of these positions of the whole file.
    Probes(Vec<u64>),
}

impl Checks {
    /// What is thought of a segment: only leaves that lie within the selection can be compared.
    pub(super) fn of(&self, segment: &Segment, selection: &Range<u64>) -> Verification {
        let end = segment.offset + segment.len;
        let is_concerned = match self {
            Self::None => false,
            // Positions on disk begin at the selection.
            Self::Below(len) => segment.offset.saturating_sub(selection.start) < *len,
            Self::Within(runs) => runs.covered(&(segment.offset..end)) > 0,
            Self::Probes(at) => at.iter().any(|at| (segment.offset..end).contains(at)),
        };
        let is_within = segment.offset >= selection.start && end <= selection.end;
        // A sample must not take back a node of which it looks at one leaf only.
        let may_be_leaf = match self {
            Self::Probes(_) => Check::is_leaf(segment),
            _ => segment.len <= LEAF_MAX,
        };
        let can_compare = may_be_leaf && segment.len <= LEAF_MAX && is_within;
        match (is_concerned, can_compare) {
            (false, _) => Verification::Trust,
            (true, true) => Verification::Compare,
            (true, false) => Verification::Descend,
        }
    }
}
