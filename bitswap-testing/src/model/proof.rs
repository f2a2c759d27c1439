//! Delivered bytes hash to their CID: checked without the table of hashes that made the block.

use alloc::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;
use sha2::{Digest, Sha256};

use super::{Verdict, ensure};
use bitswap_core::Block;

/// SHA2-256 in the table of multihash codes.
const SHA2_256: u64 = 0x12;
/// Blocks whose bytes are remembered, so that one block given to many nodes is hashed once.
const PROVEN_MAX: usize = 4096;

/// The bytes of blocks that were hashed, or are known to be right.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    proven: BTreeMap<Cid, Bytes>,
}

impl Proofs {
    /// The block is what its CID says.
    pub(super) fn trust(&mut self, block: &Block) {
        if self.proven.len() < PROVEN_MAX {
            self.proven.insert(*block.cid(), block.data().clone());
        }
    }

    pub(super) fn check(&mut self, block: &Block) -> Verdict {
        let (cid, data) = (block.cid(), block.data());
        if let Some(right) = self.proven.get(cid) {
            ensure!(right == data, "safety: the delivered bytes are not those of {cid}");
            return Ok(());
        }
        if cid.hash().code() == SHA2_256 {
            ensure!(
                Sha256::digest(data).starts_with(cid.hash().digest()),
                "safety: the delivered bytes do not hash to {cid}"
            );
            self.trust(block);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitswap_core::Prefix;

    #[test]
    fn wrong_bytes_are_found_by_their_hash_and_beside_the_right_ones() {
        let right = Prefix::V0.block(Bytes::from_static(b"right")).unwrap();
        let wrong = Block::new_unchecked(*right.cid(), Bytes::from_static(b"wrong"));
        let mut proofs = Proofs::default();
        let hashed = proofs.check(&wrong).unwrap_err();
        assert!(hashed.contains("do not hash to"), "{hashed}");
        assert_eq!(proofs.check(&right), Ok(()));
        let compared = proofs.check(&wrong).unwrap_err();
        assert!(compared.contains("are not those of"), "{compared}");

        let mut trusting = Proofs::default();
        trusting.trust(&right);
        assert_eq!(trusting.check(&right), Ok(()));
        assert!(trusting.check(&wrong).is_err());
    }
}
