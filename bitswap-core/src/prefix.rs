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

    /// The prefix of a CID.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] when no block can be built from it.
    pub fn of(cid: &Cid) -> Result<Self, PrefixError> {
        let hash = cid.hash();
        let (codec, length) = (cid.codec(), u64::from(hash.size()));
        Ok(Self { version: cid.version().into(), codec, hash: hash.code(), length })
    }

    /// Hashes `data` into a block.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] when no block can be built from it.
    pub fn block(&self, data: Bytes) -> Result<Block, PrefixError> {
        use multihash_codetable::{Code, MultihashDigest};
        let hash = Code::try_from(self.hash).map_err(|_| PrefixError::UnknownHash(self.hash))?;
        let digest = hash.digest(&data);
        let cid = if self.version == 0 {
            Cid::new_v0(digest).map_err(|_| PrefixError::Version(0))?
        } else {
            Cid::new_v1(self.codec, digest)
        };
        Ok(Block::hashed(cid, data))
    }

    /// Whether peers can be asked for a CID.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] when they cannot.
    pub fn fetchable(cid: &Cid) -> Result<(), PrefixError> {
        Self::of(cid).map(|_| ())
    }
}
