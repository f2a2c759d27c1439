//! What the store said.

use bytes::Bytes;

/// Words of the store on one CID that are kept.
pub(super) const WORDS: usize = 4;

/// What the store said of a CID, to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Size,
    Data(Bytes),
    Absent,
    Failed,
}

/// The store said both that it has the block and that it has not.
pub(super) fn contradictory(words: &[Known]) -> bool {
    let absent = words.iter().filter(|word| matches!(word, Known::Absent | Known::Failed)).count();
    absent > 0 && absent < words.len()
}
