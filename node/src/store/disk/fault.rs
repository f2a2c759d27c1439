//! What can be wrong with a store.

use std::io;

use cid::Cid;
use thiserror::Error;

/// Why a block could not be pinned, removed or collected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// A block is pinned, or a part of what is.
    #[error("{cid} is pinned, or a part of what is; unpin that first")]
    Pinned {
        /// The block.
        cid: Cid,
    },
    /// Not all of what is to be pinned is there.
    #[error(
        "{cid} is not in the store, and so what leads to it cannot be kept whole; get it first"
    )]
    Missing {
        /// The first block that is missing.
        cid: Cid,
    },
    /// Which blocks a block leads to cannot be told.
    #[error(
        "what blocks {cid} leads to is not known: links are followed in dag-pb and dag-cbor, and not in \
             the codec {codec:#x}"
    )]
    UnknownLinks {
        /// The block.
        cid: Cid,
        /// Its codec, or that of a block within its links.
        codec: u64,
    },
    /// The bytes of a block have changed on the disk.
    #[error("{cid} has changed on the disk; `verify` finds what has, and then get it again")]
    Corrupt {
        /// The block.
        cid: Cid,
    },
    /// A block has its hash and is no node of its codec.
    #[error(
        "{cid} is not what its codec says, so what it leads to cannot be told; unpin what leads to it"
    )]
    Invalid {
        /// The block.
        cid: Cid,
    },
    /// The file system failed.
    #[error("the store's files")]
    File(#[source] io::Error),
}

impl From<io::Error> for StoreFault {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
