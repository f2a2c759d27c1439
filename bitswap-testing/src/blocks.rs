//! Blocks for tests.

use alloc::vec;

use bitswap_core::{Block, Prefix};
use bytes::Bytes;

/// The raw block number `n` of `len` bytes, at least 4, under CIDv1 and SHA2-256.
///
/// # Panics
///
/// Never: the prefix is well formed and its hash known.
#[must_use]
pub fn block(n: u32, len: usize) -> Block {
    let mut data = vec![0; len.max(4)];
    let (number, _) = data.split_at_mut(4);
    number.copy_from_slice(&n.to_le_bytes());
    let prefix = Prefix::parse(&[1, 0x55, 0x12, 0x20]).expect("a well-formed prefix");
    prefix.block(Bytes::from(data)).expect("a known hash")
}
