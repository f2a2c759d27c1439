//! Which ranges of a file on disk are compared with the DAG before their blocks are requested.

use alloc::vec::Vec;
use core::ops::Range;

use super::effects::Check;
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::manifest::Segment;
use crate::chunk::range_map::Verification;
use crate::chunk::range_set::RangeSet;

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum VerificationPlan {
    #[default]
    Nothing,
    /// Every range that begins within this many bytes of the file on disk.
    Below(u64),
    /// The ranges that contain any of these bytes of the whole file.
    Within(RangeSet),
    /// The ranges that contain one of these positions of the whole file.
    Samples(Vec<u64>),
}

impl VerificationPlan {
    /// How a segment is verified: only leaves within the selection can be compared.
    pub(super) fn of(&self, segment: &Segment, selection: &Range<u64>) -> Verification {
        let end = segment.offset + segment.len;
        let is_concerned = match self {
            Self::Nothing => false,
            // Positions on disk begin at the selection.
            Self::Below(len) => segment.offset.saturating_sub(selection.start) < *len,
            Self::Within(bytes) => bytes.covered(&(segment.offset..end)) > 0,
            Self::Samples(at) => at.iter().any(|at| (segment.offset..end).contains(at)),
        };
        let is_within = segment.offset >= selection.start && end <= selection.end;
        // A sample must not discard a node of which it compares one leaf only.
        let may_be_leaf = match self {
            Self::Samples(_) => Check::is_leaf(segment),
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
