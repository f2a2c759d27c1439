//! `prefix_cid`: prefixes and CIDs parse exactly when they are in their one encoding, and a block
//! is made exactly when its hash is known and its digest is neither too short nor too long.
//!
//! Input: the length of the first part (1 byte), the part, then data.

use bitswap_core::error::{BlockError, DecodeError};
use bitswap_core::{Block, Prefix, cid_from_bytes};
use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::{Input, oracle};

/// Runs the target on our parsers.
pub fn run(data: &[u8]) {
    check(data, cid_from_bytes);
}

/// Runs the target with a parser of CIDs.
///
/// # Panics
///
/// When a parser differs from the rules or from the `cid` and multihash crates.
pub fn check(data: &[u8], parse_cid: impl Fn(&[u8]) -> Result<Cid, DecodeError>) {
    let mut input = Input::new(data);
    let len = usize::from(input.byte());
    let part = input.take(len);
    let data = Bytes::copy_from_slice(input.rest());

    let expected = oracle::cid(part).and_then(|cid| cid.ok_or(DecodeError::BadCid));
    let cid = parse_cid(part);
    assert_eq!(cid, expected, "CID {part:02x?}");
    if let Ok(cid) = cid {
        assert_eq!(cid.to_bytes(), part, "a CID has one encoding");
        check_block_of(&cid, &data);
    }

    let prefix = Prefix::parse(part);
    assert_eq!(prefix.is_ok(), oracle::is_prefix(part), "prefix {part:02x?}");
    if let Ok(prefix) = prefix {
        assert_eq!(prefix.to_bytes(), part, "a prefix has one encoding");
        assert_eq!(prefix.encoded_len(), part.len());
        check_block(&prefix, &data);
    }
}

fn check_block(prefix: &Prefix, data: &Bytes) {
    let made = prefix.block(data.clone());
    if prefix.hash_code() != 0 {
        assert_eq!(prefix.fetchable().err(), made.as_ref().err().copied());
    }
    let Ok(block) = made else {
        let by_the_book = prefix.version() == 1 && (20..=32).contains(&prefix.digest_len());
        assert!(!(by_the_book && prefix.hash_code() == 0x12), "a usual prefix is known");
        return;
    };
    let cid = block.cid();
    assert_eq!((cid.version() as u64, cid.codec()), (prefix.version(), prefix.codec()));
    assert_eq!(cid.hash().code(), prefix.hash_code());
    assert_eq!(block.data(), data);
    if prefix.hash_code() == 0 {
        assert_eq!(cid.hash().digest(), &data[..]);
        return;
    }
    assert_eq!(u64::from(cid.hash().size()), prefix.digest_len());
    assert_eq!(Prefix::of(cid), Ok(*prefix));
    assert_eq!(Block::new(*cid, data.clone()), Ok(block.clone()));
    if let Ok(code) = Code::try_from(prefix.hash_code()) {
        let whole = code.digest(data);
        // BLAKE3 makes as many bytes as are asked for, the table of the crate 32.
        let len = whole.digest().len().min(cid.hash().digest().len());
        assert_eq!(whole.digest()[..len], cid.hash().digest()[..len], "{prefix:?}");
    }
    let mut other = data.to_vec();
    other.push(0);
    assert_eq!(Block::new(*cid, other.into()), Err(BlockError::Mismatch), "{prefix:?}");
}

fn check_block_of(cid: &Cid, data: &Bytes) {
    match (Block::new(*cid, data.clone()), Prefix::of(cid)) {
        (Ok(block), Ok(prefix)) => {
            assert_eq!(block.cid(), cid);
            check_block(&prefix, data);
        }
        (Err(BlockError::Mismatch), Ok(prefix)) => {
            assert_ne!(prefix.block(data.clone()).expect("it was hashed").cid(), cid);
        }
        (Err(BlockError::Prefix(error)), Ok(prefix)) => {
            assert_eq!(prefix.block(data.clone()).expect_err("it proves nothing"), error);
        }
        (made, prefix) => panic!("{made:?} although the prefix is {prefix:?}"),
    }
}
