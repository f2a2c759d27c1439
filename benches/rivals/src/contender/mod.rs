//! Who is measured, each with the settings that suit it best.

mod litep2p;
mod rust_ipfs;

use std::time::{Duration, Instant};

use bitswap_benches::nodes::{Asking, Reading, bare_stream, nodes};
use bitswap_core::Block;
use multihash_codetable::{Code, MultihashDigest as _};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// One stream of the default transport; nothing is hashed.
    Raw,
    /// The same; another thread hashes what comes.
    RawHashed,
    /// SHA2-256 of the blocks, on one core, without any network.
    Sha256,
    /// Our node, all blocks in one call.
    OursTogether,
    /// Our node, one call per block, 64 at a time.
    Ours64,
    /// litep2p with a hash map as its store and no engine, 64 blocks at a time.
    Litep2p64,
    /// The same, 1,000 at a time.
    Litep2p1000,
    /// rust-ipfs, in memory, 64 blocks at a time.
    RustIpfs64,
}

impl Contender {
    pub const ALL: [Self; 8] = [
        Self::Raw,
        Self::RawHashed,
        Self::Sha256,
        Self::OursTogether,
        Self::Ours64,
        Self::Litep2p64,
        Self::Litep2p1000,
        Self::RustIpfs64,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw stream",
            Self::RawHashed => "raw stream, hashed beside",
            Self::Sha256 => "bare SHA2-256",
            Self::OursTogether => "ours, get_many",
            Self::Ours64 => "ours, 64 gets at once",
            Self::Litep2p64 => "litep2p, 64 at once",
            Self::Litep2p1000 => "litep2p, 1,000 at once",
            Self::RustIpfs64 => "rust-ipfs, 64 at once",
        }
    }

    /// The time from the first request to the last block.
    pub async fn run(self, blocks: &[Block]) -> Duration {
        match self {
            Self::Raw => bare_stream(blocks, Reading::Plain).await,
            Self::RawHashed => bare_stream(blocks, Reading::HashedBeside).await,
            Self::Sha256 => {
                let start = Instant::now();
                for block in blocks {
                    std::hint::black_box(Code::Sha2_256.digest(block.data()));
                }
                start.elapsed()
            }
            Self::OursTogether => nodes(blocks, Asking::Together).await,
            Self::Ours64 => nodes(blocks, Asking::OneByOne(64)).await,
            Self::Litep2p64 => litep2p::run(blocks, 64).await,
            Self::Litep2p1000 => litep2p::run(blocks, 1000).await,
            Self::RustIpfs64 => rust_ipfs::run(blocks, 64).await,
        }
    }
}
