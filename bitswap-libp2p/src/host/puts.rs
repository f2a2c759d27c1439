//! Blocks on their way to the store, and what waits for them.

use std::collections::HashMap;
use std::mem;

use bitswap_core::Block;

use crate::event::{EngineEvent, PutId};

/// The puts under way.
#[derive(Debug, Default)]
pub(super) struct Puts {
    begun: u64,
    under_way: HashMap<PutId, Put>,
    /// Blocks that the engine has just delivered, to be stored together, and their events.
    arrived: (Vec<Block>, Vec<EngineEvent>),
}

/// What a put was for.
#[derive(Debug)]
pub(super) struct Put {
    is_asked: bool,
    events: Vec<EngineEvent>,
}

impl Put {
    /// The user asked for it and gets an answer.
    pub(super) const fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// What waited for the blocks to be stored.
    pub(super) fn into_events(self) -> impl Iterator<Item = EngineEvent> {
        self.events.into_iter()
    }
}

impl Puts {
    /// The user's blocks are to be stored.
    pub(super) fn begin_asked(&mut self) -> PutId {
        self.begin(Put { is_asked: true, events: Vec::new() })
    }

    /// The engine delivers a block that is to be stored before its event is told.
    pub(super) fn arrived(&mut self, block: Block, event: EngineEvent) {
        let (blocks, events) = &mut self.arrived;
        // Several sessions may have wanted it.
        if blocks.last().map(Block::cid) != Some(block.cid()) {
            blocks.push(block);
        }
        events.push(event);
    }

    /// What has arrived is to be stored now, if anything has.
    pub(super) fn begin_arrived(&mut self) -> Option<(PutId, Vec<Block>)> {
        if self.arrived.0.is_empty() {
            return None;
        }
        let (blocks, events) = mem::take(&mut self.arrived);
        Some((self.begin(Put { is_asked: false, events }), blocks))
    }

    /// The store has answered.
    pub(super) fn end(&mut self, id: PutId) -> Option<Put> {
        self.under_way.remove(&id)
    }

    /// Drops events that wait.
    pub(super) fn retain_events(&mut self, mut keep: impl FnMut(&EngineEvent) -> bool) {
        self.under_way.values_mut().for_each(|put| put.events.retain(&mut keep));
    }

    fn begin(&mut self, put: Put) -> PutId {
        let id = PutId(self.begun);
        self.begun += 1;
        self.under_way.insert(id, put);
        id
    }
}
