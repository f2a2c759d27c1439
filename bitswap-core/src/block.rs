//! A block: bytes together with the CID that they hash to.

use bytes::Bytes;
use cid::Cid;

use crate::error::BlockError;
use crate::prefix::Prefix;

/// Bytes and their CID.
///
/// A `Block` exists only if its bytes hash to its CID: it is built by hashing
/// ([`Block::new`], [`Prefix::block`]) or, where the local store has already checked it, by
/// [`Block::new_unchecked`].
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

impl Block {
    /// Checks that `data` hashes to `cid`.
    ///
    /// # Errors
    ///
    /// [`BlockError::Mismatch`] when it does not, [`BlockError::Prefix`] when the CID's hash is
    /// unknown, forbidden or too short to prove anything.
    pub fn new(cid: Cid, data: Bytes) -> Result<Self, BlockError> {
        let block = Prefix::of(&cid)?.block(data)?;
        if block.cid == cid { Ok(block) } else { Err(BlockError::Mismatch) }
    }

    /// A block whose bytes the local store vouches for. Nothing is hashed.
    ///
    /// The bytes go to peers under `cid` as they are; they check for themselves, so a store that
    /// returns wrong bytes wastes bandwidth and harms nobody else.
    #[must_use]
    pub const fn new_unchecked(cid: Cid, data: Bytes) -> Self {
        Self { cid, data }
    }

    /// A block just hashed by [`Prefix::block`].
    pub(crate) const fn hashed(cid: Cid, data: Bytes) -> Self {
        Self { cid, data }
    }

    /// The CID.
    #[must_use]
    pub const fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The bytes.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Splits the block into its CID and bytes.
    #[must_use]
    pub fn into_parts(self) -> (Cid, Bytes) {
        (self.cid, self.data)
    }
}

impl core::fmt::Debug for Block {
    /// The CID and the length; never the bytes, which are the user's.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Block({}, {} B)", self.cid, self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn block(data: &'static [u8]) -> Block {
        Prefix::V0.block(Bytes::from_static(data)).unwrap()
    }

    #[test]
    fn only_the_bytes_of_its_cid_make_a_block() {
        let hello = block(b"hello");
        let (cid, data) = hello.clone().into_parts();
        assert_eq!(Block::new(cid, data), Ok(hello));
        for wrong in [&b""[..], b"hellp", b"hello "] {
            let wrong = Bytes::from_static(wrong);
            assert_eq!(Block::new(cid, wrong), Err(BlockError::Mismatch));
        }
    }

    #[test]
    fn a_cid_that_proves_nothing_makes_no_block() {
        let multihash = cid::multihash::Multihash::wrap(0xd5, &[0; 16]).unwrap();
        let md5 = Cid::new_v1(0x55, multihash);
        let error = Block::new(md5, Bytes::new());
        assert_eq!(error, Err(BlockError::Prefix(crate::error::PrefixError::UnknownHash(0xd5))));
    }

    #[test]
    fn the_bytes_are_not_printed() {
        assert!(!format!("{:?}", block(b"secret")).contains("secret"));
        assert!(format!("{:?}", block(b"secret")).ends_with("6 B)"));
    }
}
