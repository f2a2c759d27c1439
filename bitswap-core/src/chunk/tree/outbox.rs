//! The outputs that the host has not taken yet, and the effects that it has not answered yet.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::effects::TreeEffect;
use super::events::{TreeEvent, TreeOutput};
use super::walk::DirId;
use crate::chunk::download::EffectId;

/// What the answer to an effect is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The one step that the present stage waits for.
    Step,
    MakeDir(DirId),
    DirMetadata(DirId),
    /// A link, by its number among the small files.
    Link(u64),
    Look(u64),
    Put(u64),
    Name(u64),
    /// The sync of a checkpoint, after which these small files get their names.
    Checkpoint(Vec<u64>),
    /// The journal with the parts of these effects of large files.
    Save(Vec<(u64, EffectId)>),
    /// An effect of a large file, and whether that changes what is on the disk.
    Large(u64, EffectId, bool),
    LargeMetadata(u64),
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    outputs: VecDeque<TreeOutput>,
    pending: BTreeMap<EffectId, Purpose>,
    next_id: u64,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<TreeOutput> {
        self.outputs.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    pub(super) fn push(&mut self, output: TreeOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn event(&mut self, event: TreeEvent) {
        self.push(TreeOutput::Event(event));
    }

    /// Queues an effect under a new id.
    pub(super) fn issue(&mut self, effect: TreeEffect, purpose: Purpose) {
        let id = EffectId(self.next_id);
        self.next_id += 1;
        self.pending.insert(id, purpose);
        self.push(TreeOutput::Effect(id, effect));
    }

    /// An effect was answered: what it was for. `None` for an unknown id, or the second answer.
    pub(super) fn answered(&mut self, id: EffectId) -> Option<Purpose> {
        self.pending.remove(&id)
    }

    /// Whether every effect is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn is_saving(&self) -> bool {
        self.pending.values().any(|purpose| matches!(purpose, Purpose::Save(_)))
    }

    pub(super) fn puts(&self) -> usize {
        self.pending.values().filter(|purpose| matches!(purpose, Purpose::Put(_))).count()
    }

    pub(super) fn is_at_checkpoint(&self) -> bool {
        self.pending.values().any(|purpose| matches!(purpose, Purpose::Checkpoint(_)))
    }

    /// Whether something is being written, named or made durable.
    pub(super) fn changes_disk(&self) -> bool {
        self.pending.values().any(|purpose| match purpose {
            Purpose::Large(_, _, changes) => *changes,
            Purpose::Look(_) => false,
            _ => true,
        })
    }

    /// Whether what is on the disk is being compared.
    pub(super) fn compares(&self) -> bool {
        let compares =
            |purpose: &Purpose| matches!(purpose, Purpose::Look(_) | Purpose::Large(_, _, false));
        self.pending.values().any(compares)
    }
}
