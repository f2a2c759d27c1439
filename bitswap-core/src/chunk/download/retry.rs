//! What another program holds is tried again, after waits that grow.
//!
//! On Windows a virus scanner, an indexer or a viewer may hold a file so that nobody else can open or rename
//! it. Most let go of it within a second.

use core::time::Duration;

use super::effects::{Done, Effect, FsError, FsErrorKind};
use crate::time::Timestamp;

const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The waits between the tries of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    retries: u32,
    first_failure: Option<Timestamp>,
}

impl Backoff {
    /// How often it is or was tried again.
    pub(super) const fn retries(&self) -> u32 {
        self.retries
    }

    /// A try failed: when the next is due, `None` once `budget` is used up.
    pub(super) fn failed(&mut self, budget: Duration, now: Timestamp) -> Option<Timestamp> {
        let tried_for = now.since(*self.first_failure.get_or_insert(now));
        let left = budget.checked_sub(tried_for).filter(|left| !left.is_zero())?;
        let wait = FIRST_WAIT.saturating_mul(1 << self.retries.min(10)).min(LONGEST_WAIT).min(left);
        self.retries += 1;
        Some(now + wait)
    }
}

/// The step that a stage waits for, if it opens files and may be tried again.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry {
    step: Option<Effect>,
    backoff: Backoff,
    due: Option<Timestamp>,
}

impl Retry {
    /// A step is issued for the first time.
    pub(super) fn begin(&mut self, step: &Effect) {
        let opens = matches!(step, Effect::Lock | Effect::Open { .. } | Effect::Read { .. });
        *self = Self { step: opens.then(|| step.clone()), ..Self::default() };
    }

    /// The step was answered. Whether it is tried again, because another program holds the file.
    pub(super) fn answered(
        &mut self,
        result: &Result<Done, FsError>,
        budget: Duration,
        now: Timestamp,
    ) -> bool {
        let is_busy = result.as_ref().is_err_and(|error| error.kind == FsErrorKind::Busy);
        if is_busy && self.step.is_some() {
            self.due = self.backoff.failed(budget, now);
        }
        self.due.is_some()
    }

    /// When the step is issued again.
    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Takes the step once it is due.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Effect> {
        self.due.take_if(|due| *due <= now)?;
        self.step.clone()
    }

    /// It is not tried again.
    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }
}
