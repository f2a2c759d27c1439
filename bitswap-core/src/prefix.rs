//! CID prefixes and strict CIDs: what turns received bytes into a [`Block`].
//!
//! A block travels without its CID: only its prefix (version, codec, hash code, digest length) is
//! sent, and the receiver computes the CID from the bytes. An altered block is therefore a block
//! with another CID, which nobody asked for.

use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use quick_protobuf::sizeofs::sizeof_varint;

use crate::block::Block;
use crate::error::{DecodeError, PrefixError};
use crate::hash::{self, IDENTITY, MAX_DIGEST, SHA2_256};
use crate::limits::DIGEST_BYTES_MIN;
use crate::varint;

/// The codec of raw bytes.
pub const RAW: u64 = 0x55;
/// The codec of UnixFS nodes, and of every CIDv0.
pub const DAG_PB: u64 = 0x70;

/// A CID without its digest: four varints on the wire.
///
/// Parsing checks the form alone. Whether a block can be made from it is asked of
/// [`Prefix::block`], which hashes, and whether it may be asked of a peer of
/// [`Prefix::fetchable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    version: u64,
    codec: u64,
    hash: u64,
    length: u64,
}

impl Prefix {
    /// The prefix of CIDv0: dag-pb, sha2-256, 32 bytes.
    pub const V0: Self = Self { version: 0, codec: DAG_PB, hash: SHA2_256, length: 32 };

    /// The prefix of CIDv1 under SHA2-256 in the format `codec`, as [`RAW`].
    #[must_use]
    pub const fn sha2_256(codec: u64) -> Self {
        Self::new(codec, SHA2_256, 32)
    }

    /// The prefix of CIDv1 in the format `codec`, under the hash of this multihash code with a digest of
    /// `digest_len` bytes. Whether there are such blocks says [`Prefix::fetchable`].
    #[must_use]
    pub const fn new(codec: u64, hash_code: u64, digest_len: u64) -> Self {
        Self { version: 1, codec, hash: hash_code, length: digest_len }
    }

    /// The prefix of a CID.
    ///
    /// # Errors
    ///
    /// [`PrefixError::Malformed`] when the codec or the hash code is 2⁶³ or more: such a number has
    /// no varint on the wire.
    pub const fn of(cid: &Cid) -> Result<Self, PrefixError> {
        let prefix = Self::written(cid);
        if prefix.codec > varint::MAX || prefix.hash > varint::MAX {
            return Err(PrefixError::Malformed);
        }
        Ok(prefix)
    }

    /// The prefix that is written before a block's data. A CID without a prefix of its own (see
    /// [`Prefix::of`]) is one that no peer could have asked for.
    pub(crate) const fn written(cid: &Cid) -> Self {
        let version = match cid.version() {
            cid::Version::V0 => 0,
            cid::Version::V1 => 1,
        };
        let hash = cid.hash();
        // Lossless: a digest is at most 64 bytes.
        Self { version, codec: cid.codec(), hash: hash.code(), length: hash.size() as u64 }
    }

    /// Parses the prefix of a received block: four varints in their shortest form, nothing after.
    ///
    /// # Errors
    ///
    /// [`PrefixError::Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, PrefixError> {
        let (version, bytes) = number(bytes)?;
        let (codec, bytes) = number(bytes)?;
        let (hash, bytes) = number(bytes)?;
        let (length, bytes) = number(bytes)?;
        if !bytes.is_empty() {
            return Err(PrefixError::Malformed);
        }
        Ok(Self { version, codec, hash, length })
    }

    /// The four varints.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        for number in self.numbers() {
            varint::put(&mut bytes, number);
        }
        bytes
    }

    /// The length of [`Prefix::to_bytes`].
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.numbers().into_iter().map(sizeof_varint).sum()
    }

    const fn numbers(&self) -> [u64; 4] {
        [self.version, self.codec, self.hash, self.length]
    }

    /// The CID version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The code of the block's format.
    #[must_use]
    pub const fn codec(&self) -> u64 {
        self.codec
    }

    /// The multihash code.
    #[must_use]
    pub const fn hash_code(&self) -> u64 {
        self.hash
    }

    /// The length of the digest in bytes.
    #[must_use]
    pub const fn digest_len(&self) -> u64 {
        self.length
    }

    /// Whether a block of this prefix can be asked of a peer and be proved by its bytes.
    ///
    /// A CID above 168 bytes, which peers ignore, cannot be: a [`Cid`] ends at a digest of 64
    /// bytes, far below.
    ///
    /// # Errors
    ///
    /// [`PrefixError::Identity`] when the CID holds the data itself: there is nothing to fetch, and
    /// older peers close the connection on such a want. Otherwise what makes it impossible to
    /// check a block.
    pub fn fetchable(&self) -> Result<(), PrefixError> {
        if self.hash == IDENTITY {
            return Err(PrefixError::Identity);
        }
        self.check()
    }

    /// Hashes `data` into the block of this prefix.
    ///
    /// A digest shorter than its hash makes is cut, down to 20 bytes. An identity digest is the
    /// data, whatever length the prefix names.
    ///
    /// # Errors
    ///
    /// When the version is unknown or does not fit the rest, the hash is not in the table, or the
    /// digest is too short or too long.
    pub fn block(&self, data: Bytes) -> Result<Block, PrefixError> {
        self.check()?;
        let length = if self.hash == IDENTITY { data.len() as u64 } else { self.length };
        let long = PrefixError::LongDigest(length);
        let digest_len = usize::try_from(length).map_err(|_| long)?;
        let multihash = hash::hash(self.hash, &data, digest_len).ok_or(long)?;
        let cid = match self.version {
            0 => Cid::new_v0(multihash).map_err(|_| PrefixError::Version(0))?,
            _ => Cid::new_v1(self.codec, multihash),
        };
        Ok(Block::hashed(cid, data))
    }

    /// Everything that can be known to be wrong without the data.
    fn check(&self) -> Result<(), PrefixError> {
        match self.version {
            0 if *self == Self::V0 => return Ok(()),
            1 => {}
            version => return Err(PrefixError::Version(version)),
        }
        let longest = hash::digest_len(self.hash).ok_or(PrefixError::UnknownHash(self.hash))?;
        if self.hash == IDENTITY {
            return Ok(());
        }
        match self.length {
            length if length < DIGEST_BYTES_MIN as u64 => Err(PrefixError::ShortDigest(length)),
            length if length > longest => Err(PrefixError::LongDigest(length)),
            _ => Ok(()),
        }
    }
}

/// Parses a binary CID strictly.
///
/// CIDv0 is a bare multihash of 34 bytes. CIDv1 is version, codec and multihash in shortest
/// varints, and nothing after. Unlike the conversion that [`Cid`] has, bytes after the end are an
/// error: on the wire a CID has one encoding.
///
/// # Errors
///
/// [`DecodeError::BadCid`] for anything else, and for a digest of more than 64 bytes, which is well
/// formed but which a [`Cid`] cannot hold.
pub fn cid_from_bytes(bytes: &[u8]) -> Result<Cid, DecodeError> {
    parse_cid(bytes)?.ok_or(DecodeError::BadCid)
}

/// As [`cid_from_bytes`], but `None` for a well-formed CID that a [`Cid`] cannot hold.
pub(crate) fn parse_cid(bytes: &[u8]) -> Result<Option<Cid>, DecodeError> {
    let bad = DecodeError::BadCid;
    if let [0x12, 0x20, digest @ ..] = bytes {
        if digest.len() != 32 {
            return Err(bad);
        }
        let multihash = Multihash::wrap(SHA2_256, digest).map_err(|_| bad)?;
        return Cid::new_v0(multihash).map(Some).map_err(|_| bad);
    }
    let number = |bytes| number(bytes).map_err(|_| bad);
    let (version, bytes) = number(bytes)?;
    let (codec, bytes) = number(bytes)?;
    let (code, bytes) = number(bytes)?;
    let (length, digest) = number(bytes)?;
    if version != 1 || usize::try_from(length) != Ok(digest.len()) {
        return Err(bad);
    }
    if digest.len() > MAX_DIGEST {
        return Ok(None);
    }
    let multihash = Multihash::wrap(code, digest).map_err(|_| bad)?;
    Ok(Some(Cid::new_v1(codec, multihash)))
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), PrefixError> {
    varint::read(bytes).ok().flatten().ok_or(PrefixError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use std::string::ToString;

    fn cid(text: &str) -> Cid {
        text.parse().unwrap()
    }

    const HELLO_V1: &str = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";
    const SHA2_256_RAW: [u8; 4] = [0x01, 0x55, 0x12, 0x20];

    #[test]
    fn a_block_is_its_bytes_under_a_prefix() {
        let raw = Prefix::parse(&SHA2_256_RAW).unwrap();
        let block = raw.block(Bytes::from_static(b"hello")).unwrap();
        assert_eq!(block.cid().to_string(), HELLO_V1);
        assert_eq!(Prefix::of(block.cid()), Ok(raw));
        let v0 = Prefix::V0.block(Bytes::from_static(b"hello")).unwrap();
        assert_eq!(v0.cid().version(), cid::Version::V0);
        assert_eq!(v0.cid().hash(), block.cid().hash());
        assert_eq!(Prefix::of(v0.cid()), Ok(Prefix::V0));
        assert_ne!(raw.block(Bytes::from_static(b"hellp")).unwrap().cid(), block.cid());
    }

    #[test]
    fn prefixes_are_four_minimal_varints() {
        for good in [
            &SHA2_256_RAW[..],
            &[0x00, 0x70, 0x12, 0x20],
            &[0x01, 0x71, 0xa0, 0xe4, 0x02, 0x20],
            &[0x01, 0xa9, 0x02, 0x12, 0x20],
            &[0x7f, 0x00, 0x00, 0x00],
        ] {
            assert_eq!(Prefix::parse(good).unwrap().to_bytes(), good);
            assert_eq!(Prefix::parse(good).unwrap().encoded_len(), good.len());
        }
        assert_eq!(Prefix::parse(&[0, 0x70, 0x12, 0x20]), Ok(Prefix::V0));
        for bad in [
            &[][..],
            &[0x01, 0x55, 0x12],
            &[0x01, 0x55, 0x12, 0x20, 0x00],
            &[0x81, 0x00, 0x55, 0x12, 0x20],
            &[0x01, 0x55, 0x12, 0xa0],
            &[0x01, 0x55, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x20],
        ] {
            assert_eq!(Prefix::parse(bad), Err(PrefixError::Malformed), "{bad:?}");
        }
    }

    fn block_error(version: u64, codec: u64, hash: u64, length: u64) -> Option<PrefixError> {
        let prefix = Prefix { version, codec, hash, length };
        let result = prefix.block(Bytes::from_static(&[3; 70])).map(|_| ());
        if hash != IDENTITY {
            assert_eq!(prefix.fetchable(), result);
        }
        result.err()
    }

    #[test]
    fn what_proves_nothing_is_refused() {
        use PrefixError::{LongDigest, ShortDigest, UnknownHash, Version};
        assert_eq!(block_error(0, 0x70, 0x12, 32), None);
        assert_eq!(block_error(0, 0x55, 0x12, 32), Some(Version(0)));
        assert_eq!(block_error(0, 0x70, 0x12, 31), Some(Version(0)));
        assert_eq!(block_error(0, 0x70, 0x13, 32), Some(Version(0)));
        assert_eq!(block_error(2, 0x55, 0x12, 32), Some(Version(2)));
        assert_eq!(block_error(1, 0x55, 0x9999, 32), Some(UnknownHash(0x9999)));
        assert_eq!(block_error(1, 0x55, 0x12, 20), None);
        assert_eq!(block_error(1, 0x55, 0x12, 19), Some(ShortDigest(19)));
        assert_eq!(block_error(1, 0x55, 0x12, 0), Some(ShortDigest(0)));
        assert_eq!(block_error(1, 0x55, 0x12, 33), Some(LongDigest(33)));
        assert_eq!(block_error(1, 0x55, 0x1e, 64), None);
        assert_eq!(block_error(1, 0x55, 0x1e, 65), Some(LongDigest(65)));
        assert_eq!(block_error(1, 0x55, 0x12, u64::MAX), Some(LongDigest(u64::MAX)));
        assert_eq!(block_error(1, 0x55, IDENTITY, 70), Some(LongDigest(70)));
    }

    #[test]
    fn a_cut_digest_is_the_start_of_the_whole() {
        let prefix = Prefix::parse(&[0x01, 0x55, 0x12, 20]).unwrap();
        let block = prefix.block(Bytes::from_static(b"hello")).unwrap();
        let whole = cid(HELLO_V1);
        assert_eq!(Some(block.cid().hash().digest()), whole.hash().digest().get(..20));
        assert_eq!(Block::new(*block.cid(), Bytes::from_static(b"hello")).unwrap(), block);
    }

    #[test]
    fn identity_is_its_data_and_never_fetched() {
        let prefix = Prefix::parse(&[0x01, 0x55, 0x00, 0x63]).unwrap();
        let block = prefix.block(Bytes::from_static(b"abc")).unwrap();
        assert_eq!(block.cid().hash().digest(), b"abc");
        assert_eq!(prefix.fetchable(), Err(PrefixError::Identity));
        assert_eq!(prefix.block(Bytes::new()).unwrap().cid().hash().size(), 0);
    }

    #[test]
    fn codes_beyond_the_wire_have_no_prefix() {
        let multihash = *cid(HELLO_V1).hash();
        assert!(Prefix::of(&Cid::new_v1(varint::MAX, multihash)).is_ok());
        let codec = Prefix::of(&Cid::new_v1(varint::MAX + 1, multihash));
        assert_eq!(codec, Err(PrefixError::Malformed));
    }

    #[test]
    fn a_cid_has_one_encoding() {
        let v1 = cid(HELLO_V1);
        let v0 = Cid::new_v0(*v1.hash()).unwrap();
        for cid in [v0, v1] {
            let mut bytes = cid.to_bytes();
            assert_eq!(cid_from_bytes(&bytes), Ok(cid));
            for end in 0..bytes.len() {
                assert_eq!(cid_from_bytes(&bytes[..end]), Err(DecodeError::BadCid));
            }
            bytes.push(0);
            assert_eq!(cid_from_bytes(&bytes), Err(DecodeError::BadCid));
        }
        for bad in [
            &[0x00, 0x70, 0x12, 0x00][..],
            &[0x02, 0x70, 0x00, 0x00],
            &[0x81, 0x00, 0x55, 0x00, 0x00],
            &[0x01, 0x55, 0x00, 0x80, 0x00],
        ] {
            assert_eq!(cid_from_bytes(bad), Err(DecodeError::BadCid), "{bad:?}");
        }
        assert_eq!(cid_from_bytes(&[1, 0x55, 0, 0]).unwrap().hash().size(), 0);
    }

    #[test]
    fn a_digest_over_64_bytes_is_well_formed_but_not_held() {
        let mut bytes = vec![0x01, 0x55, 0x13, 65];
        bytes.extend([9; 65]);
        assert_eq!(parse_cid(&bytes), Ok(None));
        assert_eq!(cid_from_bytes(&bytes), Err(DecodeError::BadCid));
        bytes.pop();
        assert_eq!(parse_cid(&bytes), Err(DecodeError::BadCid));
    }

    #[test]
    fn the_largest_varint_is_a_codec_and_a_hash_code() {
        let hash = |code| Multihash::wrap(code, &[7; 4]).unwrap();
        let of = |codec, code| Prefix::of(&Cid::new_v1(codec, hash(code)));
        assert_eq!(of(varint::MAX, varint::MAX).unwrap(), Prefix::new(varint::MAX, varint::MAX, 4));
        assert_eq!(of(varint::MAX + 1, 0x12), Err(PrefixError::Malformed));
        assert_eq!(of(0x55, varint::MAX + 1), Err(PrefixError::Malformed));
    }
}
