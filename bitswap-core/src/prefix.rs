//! CID prefixes and the table of hashes: what turns received bytes into a [`Block`].
//!
//! A block travels without its CID: only its prefix (version, codec, hash code, digest length) is
//! sent, and the receiver computes the CID from the bytes. An altered block is therefore a block
//! with another CID, which nobody asked for.

use bytes::Bytes;
use cid::Cid;

use crate::block::Block;
use crate::error::PrefixError;

/// A CID without its digest: four varints on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    version: u64,
    codec: u64,
    hash: u64,
    length: u64,
}

impl Prefix {
    /// The prefix of CIDv0: dag-pb, sha2-256, 32 bytes.
    pub const V0: Self = Self { version: 0, codec: 0x70, hash: 0x12, length: 32 };
}
