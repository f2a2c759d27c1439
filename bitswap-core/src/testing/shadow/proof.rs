//! Delivered bytes hash to their CID: checked with a second implementation of the hash.

use alloc::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::{Verdict, ensure};
use crate::block::Block;
use crate::testing::sha256::sha256;

/// SHA2-256 in the table of multihash codes.
const SHA2_256: u64 = 0x12;
/// Blocks whose hash is remembered, so that one block given to many nodes is hashed once.
const PROVEN_MAX: usize = 4096;

/// Blocks that were hashed, by their place in memory: they are kept, so that nothing else gets it.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    proven: BTreeMap<(usize, usize), (Cid, Bytes)>,
}

impl Proofs {
    pub(super) fn check(&mut self, block: &Block) -> Verdict {
        let place = (block.data().as_ptr() as usize, block.data().len());
        let known = self.proven.get(&place).is_some_and(|(cid, _)| cid == block.cid());
        if known || block.cid().hash().code() != SHA2_256 {
            return Ok(());
        }
        ensure!(
            sha256(block.data()).starts_with(block.cid().hash().digest()),
            "safety: the delivered bytes do not hash to {}",
            block.cid()
        );
        if self.proven.len() < PROVEN_MAX {
            self.proven.insert(place, (*block.cid(), block.data().clone()));
        }
        Ok(())
    }
}
