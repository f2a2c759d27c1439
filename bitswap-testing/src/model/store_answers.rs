//! What the store answered.

use bytes::Bytes;

/// Answers of the store for one CID that are kept.
pub(super) const ANSWERS: usize = 4;

/// An answer of the store for a CID, on behalf of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreAnswer {
    Size,
    Data(Bytes),
    Absent,
    Failed,
}

/// The store answered both that it has the block and that it has not.
pub(super) fn contradictory(words: &[StoreAnswer]) -> bool {
    let absent = words
        .iter()
        .filter(|word| matches!(word, StoreAnswer::Absent | StoreAnswer::Failed))
        .count();
    absent > 0 && absent < words.len()
}
