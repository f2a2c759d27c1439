//! A block: bytes together with the CID that they hash to.

use core::hash::{Hash, Hasher};

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest as _};

use crate::error::BlockError;
use crate::output::BlockInfo;
use crate::prefix::{Prefix, RAW};

/// Bytes and their CID.
///
/// A `Block` exists only if its bytes hash to its CID: it is built by hashing
/// ([`Block::sha2_256`], [`Block::new`], [`Prefix::block`]) or, where the local store has already checked it, by
/// [`Block::new_unchecked`].
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

impl Block {
    /// The block of plain bytes: CIDv1 with the codec [`RAW`], under SHA2-256.
    #[must_use]
    pub fn raw(data: impl Into<Bytes>) -> Self {
        Self::sha2_256(RAW, data)
    }

    /// The block of bytes in the format `codec`: CIDv1, under SHA2-256.
    ///
    /// A CIDv0 is made by [`Prefix::V0`], one under another hash by another [`Prefix`].
    #[must_use]
    pub fn sha2_256(codec: u64, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self { cid: Cid::new_v1(codec, Code::Sha2_256.digest(&data)), data }
    }

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

impl Hash for Block {
    /// By the CID, which stands for the bytes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        Hash::hash(&self.cid, state);
    }
}

impl From<&Block> for BlockInfo {
    fn from(block: &Block) -> Self {
        let size = u32::try_from(block.data.len()).unwrap_or(u32::MAX);
        Self { cid: block.cid, size }
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
    use std::hash::DefaultHasher;
    use std::string::ToString as _;

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
    fn the_common_cases_are_those_of_their_prefix() {
        let hello = Bytes::from_static(b"hello");
        for codec in [RAW, 0x71] {
            let block = Block::sha2_256(codec, hello.clone());
            assert_eq!(Prefix::sha2_256(codec).block(hello.clone()), Ok(block.clone()));
            assert_eq!(Block::new(*block.cid(), hello.clone()), Ok(block));
        }
        let raw = Block::raw("hello");
        let known = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";
        assert_eq!(raw.cid().to_string(), known);
        assert_eq!(BlockInfo::from(&raw), BlockInfo { cid: *raw.cid(), size: 5 });
    }

    #[test]
    fn a_block_hashes_as_its_cid() {
        let hash = |value: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            value(&mut hasher);
            hasher.finish()
        };
        let [hello, other] = [block(b"hello"), block(b"other")];
        let of_block = |block: &Block| hash(&|state| block.hash(state));
        assert_eq!(of_block(&hello), hash(&|state| Hash::hash(hello.cid(), state)));
        assert_ne!(of_block(&hello), of_block(&other));
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
