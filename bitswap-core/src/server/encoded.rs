//! Encoded sizes of the parts of an answer.

use crate::key::Key;

/// An empty wantlist, which every message carries, and the longest `pendingBytes`.
pub(super) const ENVELOPE: usize = 2 + 6;

/// A block with its prefix: the CID without its digest.
pub(super) fn block(key: &Key, data: usize) -> usize {
    let cid = key.cid();
    let digest = usize::from(cid.hash().size());
    let prefix = (key.bytes().len() - digest).max(4);
    field(field(prefix) + field(data))
}

/// A HAVE or DONT_HAVE.
pub(super) fn presence(key: &Key, have: bool) -> usize {
    field(field(key.bytes().len()) + if have { 0 } else { 2 })
}

/// A length-delimited field: a byte of tag, the length, the content.
const fn field(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + length
}
