//! The way to the end: everything that runs is waited for, what is written is kept, files are closed and
//! removed, and the lock is released, in this order.

use super::effects::{Done, Effect, FileRole, FsError};
use super::events::{DownloadError, Operation, Outcome};
use super::handles::{Handles, Step};

/// What to do next, once nothing runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TeardownStep {
    /// Write everything that was received.
    Flush,
    /// Make what is written durable, and claim it.
    Save,
    Step(Step),
    /// All is closed.
    End(Outcome),
}

/// See the [module](self). The first outcome stands, unless what it promises of the disk fails.
#[derive(Clone, Debug)]
pub(super) struct Teardown {
    outcome: Outcome,
    flush: bool,
    save: bool,
    /// Temporary files that are still to be removed.
    remove: &'static [FileRole],
    is_removing: bool,
}

impl Teardown {
    /// Ends with `outcome`, and keeps the temporary files.
    pub(super) const fn keeping(outcome: Outcome) -> Self {
        Self { outcome, flush: false, save: false, remove: &[], is_removing: false }
    }

    /// Ends with `outcome`, and removes the temporary files.
    pub(super) fn removing(outcome: Outcome) -> Self {
        Self { remove: &[FileRole::Journal, FileRole::Temp], ..Self::keeping(outcome) }
    }

    /// Saves what is written first, and before that writes what was received if it is a [stop](Outcome::Stopped)
    /// and the disk has space.
    pub(super) fn saving(mut self, has_space: bool) -> Self {
        self.save = true;
        self.flush = has_space && self.outcome == Outcome::Stopped;
        self
    }

    /// The next step. Nothing may run any more.
    pub(super) fn next(&mut self, handles: &Handles) -> TeardownStep {
        if core::mem::take(&mut self.flush) {
            TeardownStep::Flush
        } else if core::mem::take(&mut self.save) {
            TeardownStep::Save
        } else if let Some(role) = handles.open() {
            TeardownStep::Step(Step::of(Effect::Close { role }))
        } else if !handles.is_locked() {
            TeardownStep::End(self.outcome.clone())
        } else if let Some((role, rest)) = self.remove.split_first() {
            // Only under the lock: without it the temporary files are another process's.
            (self.remove, self.is_removing) = (rest, true);
            TeardownStep::Step(Step::of(Effect::Remove { role: *role }))
        } else {
            TeardownStep::Step(Step::of(Effect::Unlock))
        }
    }

    /// A step was answered, perhaps one of the stage before.
    pub(super) fn done(&mut self, result: Result<Done, FsError>) {
        let was_removing = core::mem::take(&mut self.is_removing);
        let Some(error) = result.err().filter(|_| was_removing) else { return };
        match &mut self.outcome {
            Outcome::Finished(finished) => finished.leftover = true,
            outcome => {
                let operation = Operation::Remove;
                *outcome = Outcome::Failed(DownloadError::File { operation, error });
            }
        }
    }

    /// A write failed: what else was received is fetched again by the next run.
    pub(super) const fn write_failed(&mut self) {
        self.flush = false;
    }

    /// What is written cannot be claimed: whoever stopped the download has to know.
    pub(super) fn save_failed(&mut self, error: DownloadError) {
        if self.outcome == Outcome::Stopped {
            self.outcome = Outcome::Failed(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::chunk::FsErrorKind;
    use crate::chunk::download::handles::HandleChange;
    use crate::chunk::testing::fs_error;

    fn running() -> Handles {
        let mut handles = Handles::default();
        handles.apply(HandleChange::Lock, true);
        handles.apply(HandleChange::Open(FileRole::Temp), true);
        handles
    }

    /// All steps, of which those of removing fail with `error`; and the outcome.
    fn steps(mut teardown: Teardown, error: Option<FsError>) -> (Vec<TeardownStep>, Outcome) {
        let (mut handles, mut steps) = (running(), vec![]);
        loop {
            let step = teardown.next(&handles);
            match &step {
                TeardownStep::End(outcome) => return (steps, outcome.clone()),
                TeardownStep::Step(step) => {
                    let removes = matches!(step.effect, Effect::Remove { .. });
                    let result = error.filter(|_| removes).map_or(Ok(Done::Unit), Err);
                    handles.apply(step.change, result.is_ok());
                    teardown.done(result);
                }
                _ => {}
            }
            steps.push(step);
        }
    }

    fn step(effect: Effect) -> TeardownStep {
        TeardownStep::Step(Step::of(effect))
    }

    #[test]
    fn files_are_saved_closed_and_removed_before_the_lock_is_released() {
        let close = step(Effect::Close { role: FileRole::Temp });
        let (kept, outcome) = steps(Teardown::keeping(Outcome::Stopped).saving(true), None);
        let flushed =
            [TeardownStep::Flush, TeardownStep::Save, close.clone(), step(Effect::Unlock)];
        assert_eq!((&kept[..], outcome), (&flushed[..], Outcome::Stopped));
        let full = steps(Teardown::keeping(Outcome::Stopped).saving(false), None).0;
        assert_eq!(full, flushed[1..]);
        let (removed, _) = steps(Teardown::removing(Outcome::Cancelled), None);
        let remove = |role| step(Effect::Remove { role });
        let expected =
            [close, remove(FileRole::Journal), remove(FileRole::Temp), step(Effect::Unlock)];
        assert_eq!(removed, expected);
    }

    #[test]
    fn without_the_lock_nothing_is_removed() {
        let mut teardown = Teardown::removing(Outcome::Cancelled);
        assert_eq!(teardown.next(&Handles::default()), TeardownStep::End(Outcome::Cancelled));
    }

    #[test]
    fn a_failure_to_remove_or_to_save_is_part_of_the_outcome() {
        let error = fs_error(FsErrorKind::Busy);
        let file = |operation| DownloadError::File { operation, error };
        let (_, outcome) = steps(Teardown::removing(Outcome::Cancelled), Some(error));
        assert_eq!(outcome, Outcome::Failed(file(Operation::Remove)));
        let mut stopped = Teardown::keeping(Outcome::Stopped);
        stopped.save_failed(file(Operation::Save));
        assert_eq!(steps(stopped, None).1, Outcome::Failed(file(Operation::Save)));
        let mut cancelled = Teardown::keeping(Outcome::Cancelled);
        cancelled.save_failed(file(Operation::Save));
        assert_eq!(steps(cancelled, None).1, Outcome::Cancelled);
    }
}
