//! The blocks that are measured with: the same on both machines, incompressible, no two alike.

use bitswap_core::Block;
use bitswap_node::Bytes;
use bitswap_node::bitswap_core;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use cid::Cid;

/// The sizes of blocks.
pub(crate) const SIZES: [usize; 7] =
    [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 2 << 20];

/// The bytes that all blocks are cut from, whatever their size.
#[derive(Clone)]
pub(crate) struct Content(Bytes);

impl Content {
    /// So many MiB of a key stream.
    pub(crate) fn new(mib: u32) -> Self {
        let mut bytes = vec![0; (mib as usize) << 20];
        ChaCha20::new(&[0; 32].into(), &[0; 12].into()).apply_keystream(&mut bytes);
        Self(bytes.into())
    }

    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// All of it in blocks of one size. They share its memory.
    pub(crate) fn blocks(&self, size: usize) -> impl Iterator<Item = Block> + '_ {
        let starts = (0..self.0.len()).step_by(size);
        starts.map(move |start| Block::raw(self.0.slice(start..self.0.len().min(start + size))))
    }

    /// The CIDs of these blocks.
    pub(crate) fn cids(&self, size: usize) -> Vec<Cid> {
        self.blocks(size).map(|block| *block.cid()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_content_has_the_first_blocks_of_a_larger_one() {
        let (small, large) = (Content::new(2), Content::new(4));
        for size in SIZES {
            let (small, large) = (small.cids(size), large.cids(size));
            assert_eq!((small.len(), large.len()), ((2 << 20) / size, (4 << 20) / size));
            assert_eq!(small[..], large[..small.len()]);
        }
    }
}
