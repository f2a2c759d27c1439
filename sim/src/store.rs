//! A node's block store: what it has, how slow it is, how often it fails.

use std::time::Duration;

use bitswap_core::{LoadAnswer, LoadKind};
use bytes::Bytes;
use cid::Cid;

use crate::block_set::BlockSet;
use crate::draw;
use crate::rng::Rng;

/// How a store behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreBehavior {
    /// The least time a lookup takes.
    pub latency: Duration,
    /// Added to it: up to this much.
    pub jitter: Duration,
    /// Lookups of a CID, out of 1000, that fail.
    pub fails_per_mille: u32,
    /// Lookups of a CID, out of 1000, that return altered bytes.
    pub rot_per_mille: u32,
}

/// The blocks a node has.
#[derive(Debug, Default)]
pub(crate) struct Store {
    has: Vec<bool>,
    pub(crate) behavior: StoreBehavior,
}

impl Store {
    pub(crate) fn insert(&mut self, number: usize) {
        if self.has.len() <= number {
            self.has.resize(number + 1, false);
        }
        self.has[number] = true;
    }

    pub(crate) fn remove(&mut self, number: usize) {
        if let Some(has) = self.has.get_mut(number) {
            *has = false;
        }
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.has.get(number).copied().unwrap_or(false)
    }

    pub(crate) fn takes(&self, rng: &mut Rng) -> Duration {
        self.behavior.latency + draw::up_to(rng, self.behavior.jitter)
    }

    pub(crate) fn load(
        &self,
        block_set: &BlockSet,
        cid: &Cid,
        what: LoadKind,
        rng: &mut Rng,
    ) -> LoadAnswer {
        let Some(number) = block_set.number(cid).filter(|number| self.has(*number)) else {
            return LoadAnswer::NotFound;
        };
        if self.behavior.fails_per_mille > 0 && draw::chance(rng, self.behavior.fails_per_mille) {
            return LoadAnswer::Failed;
        }
        let data = block_set.block(number).data();
        match what {
            LoadKind::Size => LoadAnswer::Size(data.len() as u32),
            LoadKind::Data
                if self.behavior.rot_per_mille > 0
                    && draw::chance(rng, self.behavior.rot_per_mille) =>
            {
                LoadAnswer::Data(rotten(data))
            }
            LoadKind::Data => LoadAnswer::Data(data.clone()),
        }
    }
}

/// The same bytes with one altered.
pub(crate) fn rotten(data: &Bytes) -> Bytes {
    let mut data = data.to_vec();
    match data.first_mut() {
        Some(byte) => *byte ^= 1,
        None => data.push(0),
    }
    data.into()
}
