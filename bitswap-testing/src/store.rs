//! A block store in memory.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitswap_core::{Block, Load, Loaded};
use bytes::Bytes;
use cid::Cid;

/// The blocks that a host has, and whom it does not serve.
#[derive(Clone, Debug)]
pub struct Store<P> {
    blocks: BTreeMap<Cid, Bytes>,
    refused: BTreeSet<(P, Cid)>,
}

impl<P> Store<P> {
    /// An empty store.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: BTreeMap::new(), refused: BTreeSet::new() }
    }
}

impl<P> Default for Store<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Copy + Ord> Store<P> {
    /// Stores a block. The engine is told by [`Host::store_blocks`](crate::Host::store_blocks).
    pub fn insert(&mut self, block: &Block) {
        self.blocks.insert(*block.cid(), block.data().clone());
    }

    /// Removes a block.
    pub fn remove(&mut self, cid: &Cid) {
        self.blocks.remove(cid);
    }

    /// The bytes of a block.
    #[must_use]
    pub fn get(&self, cid: &Cid) -> Option<&Bytes> {
        self.blocks.get(cid)
    }

    /// From now on the peer is told that the block is absent.
    pub fn refuse(&mut self, peer: P, cid: Cid) {
        self.refused.insert((peer, cid));
    }

    /// Every peer is served again.
    pub fn refuse_nobody(&mut self) {
        self.refused.clear();
    }

    /// Whether the peer is given the block: it is here and not refused to this peer.
    #[must_use]
    pub fn serves(&self, peer: P, cid: &Cid) -> bool {
        self.blocks.contains_key(cid) && !self.refused.contains(&(peer, *cid))
    }

    /// The true answers to a lookup.
    #[must_use]
    pub fn answers(&self, load: &Load<P>) -> Vec<Loaded> {
        load.answers(|cid| {
            let refused = self.refused.contains(&(load.peer, *cid));
            self.blocks.get(cid).filter(|_| !refused).cloned()
        })
    }
}
