//! Blocks and messages of given sizes, the same in each run.

use bitswap_core::message::{Entry, Message, Wantlist};
use bitswap_core::{Block, Prefix, WantKind};
use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// The codec of raw leaves.
const RAW: u64 = 0x55;

/// Blocks of `len` bytes under SHA2-256, no two the same.
#[must_use]
pub fn blocks(count: usize, len: usize) -> Vec<Block> {
    let mut rng = Xoshiro256PlusPlus::from_seed([1; 32]);
    let block = |_| {
        let words = (0..len.div_ceil(8)).flat_map(|_| rng.next_u64().to_le_bytes());
        let data: Bytes = words.take(len).collect();
        let cid = Cid::new_v1(RAW, Code::Sha2_256.digest(&data));
        Block::new_unchecked(cid, data)
    };
    (0..count).map(block).collect()
}

/// A message that wants so many blocks.
#[must_use]
pub fn wants(count: usize) -> Message {
    let entry = |(block, at): (Block, i32)| Entry::want(*block.cid(), WantKind::Block, at, true);
    let entries = blocks(count, 8).into_iter().zip(0..).map(entry).collect();
    Message { wantlist: Wantlist { entries, full: false }, ..Message::default() }
}

/// A message of so many blocks of `len` bytes.
#[must_use]
pub fn answers(count: usize, len: usize) -> Message {
    Message { blocks: blocks(count, len), ..Message::default() }
}

/// A message's bytes on the wire, length and all.
#[must_use]
pub fn wire(message: &Message) -> Bytes {
    message.encode(bitswap_core::Version::V1_2).into_segments().concat().into()
}

/// The prefix of raw blocks under a hash with a digest of `len` bytes.
///
/// # Panics
///
/// Never: a prefix of small numbers is well formed.
#[must_use]
pub fn prefix(code: Code, len: u64) -> Prefix {
    let mut bytes = vec![1, RAW as u8];
    for mut number in [u64::from(code), len] {
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    Prefix::parse(&bytes).expect("four minimal varints")
}
