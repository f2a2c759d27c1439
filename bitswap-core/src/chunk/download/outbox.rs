//! The outputs that the host has not taken yet, and the effects that it has not answered yet.
//!
//! Every effect has an id of its own and one entry until it is answered, so that a second answer, or one to
//! nothing, is recognised.

use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Range;
use core::time::Duration;

use super::effects::{Done, Effect, EffectId, FsError, FsErrorKind};
use super::events::DownloadOutput;
use super::handles::{HandleChange, Step};
use super::retry::Retry;
use crate::chunk::manifest::Extent;
use crate::chunk::range_set::RangeSet;
use crate::time::Timestamp;

/// No block is requested while this many outputs are queued.
const OUTPUTS_MAX: usize = 256;

/// What the answer to an effect is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The one step that the present stage waits for.
    Step(HandleChange),
    Write(Extent),
    /// The comparison of this range of the file.
    Compare(Range<u64>),
    /// The sync of a checkpoint: what may be claimed when it succeeds.
    Sync(RangeSet),
    /// The stamp of a checkpoint: what is claimed with it.
    Stamp(RangeSet),
    SaveJournal,
    /// The free space of a disk that is full in this way.
    Space(FsErrorKind),
    /// For a transfer that was given up: the answer is ignored.
    Abandoned,
}

impl Purpose {
    /// A step of a checkpoint.
    const fn is_checkpoint(&self) -> bool {
        matches!(self, Self::Sync(_) | Self::Stamp(_) | Self::SaveJournal)
    }
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    outputs: VecDeque<DownloadOutput>,
    pending: BTreeMap<EffectId, Purpose>,
    next_id: u64,
    /// The step that is out, or waits to be tried again.
    retry: Retry,
}

impl Outbox {
    /// Takes the oldest output.
    pub(super) fn pop(&mut self) -> Option<DownloadOutput> {
        self.outputs.pop_front()
    }

    /// When there is an output: now, or when a step is tried again. `None` if that depends on others.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.outputs.is_empty() { self.retry.due() } else { Some(now) }
    }

    /// Whether there is room for more wants.
    pub(super) fn has_room(&self) -> bool {
        self.outputs.len() < OUTPUTS_MAX
    }

    /// Whether the queue is empty and was full: gives its memory back, and there may be more to request.
    pub(super) fn was_full(&mut self) -> bool {
        let was_full = self.outputs.is_empty() && self.outputs.capacity() >= OUTPUTS_MAX;
        if was_full {
            self.outputs = VecDeque::new();
        }
        was_full
    }

    /// Queues an output that nothing here waits for.
    pub(super) fn push(&mut self, output: DownloadOutput) {
        debug_assert!(!matches!(output, DownloadOutput::Effect(..)), "effects are issued");
        self.outputs.push_back(output);
    }

    /// Queues an effect under a new id.
    pub(super) fn issue(&mut self, effect: Effect, purpose: Purpose) {
        if matches!(purpose, Purpose::Step(_)) {
            self.retry.begin(&effect);
        }
        self.push_effect(effect, purpose);
    }

    fn push_effect(&mut self, effect: Effect, purpose: Purpose) {
        let id = EffectId(self.next_id);
        self.next_id += 1;
        self.pending.insert(id, purpose);
        self.outputs.push_back(DownloadOutput::Effect(id, effect));
    }

    /// An effect was answered: what it was for. `None` for an unknown id, for the second answer, and for a
    /// step on a file that another program holds, which is tried again until `budget` is used up.
    pub(super) fn answered(
        &mut self,
        id: EffectId,
        result: &Result<Done, FsError>,
        budget: Duration,
        now: Timestamp,
    ) -> Option<Purpose> {
        let purpose = self.pending.remove(&id)?;
        let is_step = matches!(purpose, Purpose::Step(_));
        let is_retried = is_step && self.retry.answered(result, budget, now);
        (!is_retried).then_some(purpose)
    }

    /// Issues the step again that is due for it. One that nobody waits for any more is given up.
    pub(super) fn run_retry(&mut self, now: Timestamp, is_ending: bool) {
        if is_ending {
            self.retry.give_up();
        }
        if let Some(effect) = self.retry.next(now) {
            let change = Step::of(effect.clone()).change;
            self.push_effect(effect, Purpose::Step(change));
        }
    }

    /// Whether every effect is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn writes(&self) -> usize {
        self.count(|purpose| matches!(purpose, Purpose::Write(_)))
    }

    pub(super) fn comparisons(&self) -> usize {
        self.count(|purpose| matches!(purpose, Purpose::Compare(_)))
    }

    pub(super) fn is_saving(&self) -> bool {
        self.pending.values().any(Purpose::is_checkpoint)
    }

    pub(super) fn is_asking_space(&self) -> bool {
        self.pending.values().any(|purpose| matches!(purpose, Purpose::Space(_)))
    }

    /// The transfer is given up: of its effects only the end matters.
    pub(super) fn abandon_transfer(&mut self) {
        for purpose in self.pending.values_mut() {
            if !matches!(purpose, Purpose::Step(_)) {
                *purpose = Purpose::Abandoned;
            }
        }
    }

    fn count(&self, is_counted: impl Fn(&Purpose) -> bool) -> usize {
        self.pending.values().filter(|purpose| is_counted(purpose)).count()
    }

    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When an id was given twice, an effect in the queue is unknown, or two steps run at once.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) {
        assert!(self.pending.keys().all(|id| id.0 < self.next_id));
        assert!(
            self.count(|purpose| matches!(purpose, Purpose::Step(_))) <= 1,
            "one step at a time"
        );
        assert!(self.count(Purpose::is_checkpoint) <= 1, "one checkpoint at a time");
        for output in &self.outputs {
            if let DownloadOutput::Effect(id, _) = output {
                assert!(self.pending.contains_key(id), "{output:?} waits for no answer");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(outbox: &mut Outbox, id: EffectId) -> Option<Purpose> {
        outbox.answered(id, &Ok(Done::Unit), Duration::MAX, Timestamp::ZERO)
    }

    #[test]
    fn an_effect_is_answered_once() {
        let mut outbox = Outbox::default();
        outbox.issue(Effect::Sync, Purpose::Sync(RangeSet::new()));
        outbox.issue(Effect::FreeSpace, Purpose::Space(FsErrorKind::DiskFull));
        outbox.validate();
        assert!(outbox.is_saving() && outbox.is_asking_space() && !outbox.is_settled());
        let Some(DownloadOutput::Effect(id, Effect::Sync)) = outbox.pop() else { panic!() };
        assert_eq!(answered(&mut outbox, id), Some(Purpose::Sync(RangeSet::new())));
        assert_eq!(answered(&mut outbox, id), None);
        assert_eq!(answered(&mut outbox, EffectId(7)), None);
        assert!(!outbox.is_saving());
    }

    #[test]
    fn what_belongs_to_an_abandoned_transfer_is_still_waited_for() {
        let mut outbox = Outbox::default();
        outbox.issue(Effect::Sync, Purpose::Sync(RangeSet::new()));
        outbox.issue(Effect::Lock, Purpose::Step(HandleChange::Lock));
        outbox.abandon_transfer();
        assert!(!outbox.is_saving() && !outbox.is_settled());
        assert_eq!(answered(&mut outbox, EffectId(0)), Some(Purpose::Abandoned));
        let lock = Purpose::Step(HandleChange::Lock);
        assert_eq!(answered(&mut outbox, EffectId(1)), Some(lock));
        assert!(outbox.is_settled());
    }
}
