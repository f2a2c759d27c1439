//! From complete data to a file under its name.
//!
//! The steps have one order: cut off the id, sync the data, save the complete journal, close the file,
//! rename it, sync the directory, remove the journal. No handle of ours is open at the rename,
//! because Windows refuses to rename an open file; the journal is removed last, because until then
//! it is what makes a second attempt cheap. From the cut to the end only its stamp binds the journal
//! to the file; where that does not fit, the file is compared as if there were no journal.

use core::time::Duration;

use bytes::Bytes;

use super::effects::{Done, Effect, FileRole, FsError, FsErrorKind, Stamp};
use super::events::{DownloadError, Finished, Operation, Outcome};
use super::options::{DownloadOptions, IfExists, RenameRetry, SyncPolicy};
use crate::time::Timestamp;

const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Numbers tried for a unique name.
const NUMBERS_MAX: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Cut,
    Sync,
    Stamp,
    Save,
    Close,
    Rename,
    SyncDir,
    RemoveJournal,
}

/// What follows an answered step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next step, perhaps after a wait.
    Go,
    /// The data could not be synced: what was not durable before must be written again.
    Lost,
    /// It is over.
    End(Outcome),
}

/// The steps that finish one download.
#[derive(Clone, Debug)]
pub(super) struct Finalize {
    step: Step,
    if_exists: IfExists,
    retry: RenameRetry,
    syncs: bool,
    size: u64,
    unchecked: u64,
    stamp: Option<Stamp>,
    number: u32,
    retries: u32,
    first_try: Option<Timestamp>,
    wait_until: Option<Timestamp>,
    is_durable: bool,
}

impl Finalize {
    /// From the open temporary file; `unchecked` of its bytes were not hashed in this run.
    pub(super) fn new(size: u64, unchecked: u64, options: &DownloadOptions) -> Self {
        let syncs = options.sync != SyncPolicy::Never;
        Self {
            step: Step::Cut,
            if_exists: options.if_exists,
            retry: options.rename,
            syncs,
            size,
            unchecked,
            stamp: None,
            number: 0,
            retries: 0,
            first_try: None,
            wait_until: None,
            is_durable: syncs,
        }
    }

    /// From an open temporary file that an earlier run brought to its rename, and of which nothing is
    /// hashed again.
    pub(super) fn only_rename(size: u64, options: &DownloadOptions) -> Self {
        Self { step: Step::Close, ..Self::new(size, size, options) }
    }

    /// When the rename is tried again, if that is what it waits for.
    pub(super) const fn wait_until(&self) -> Option<Timestamp> {
        self.wait_until
    }

    /// The effect of the present step, `None` while it waits. `journal` makes the complete journal of
    /// a file with this stamp.
    pub(super) fn effect(
        &mut self,
        now: Timestamp,
        journal: impl FnOnce(Option<Stamp>) -> Bytes,
    ) -> Option<Effect> {
        if self.wait_until.is_some_and(|until| now < until) {
            return None;
        }
        self.wait_until = None;
        Some(match self.step {
            Step::Cut => Effect::Allocate { len: self.size, reserve: false },
            Step::Sync => Effect::Sync,
            Step::Stamp => Effect::Stamp,
            Step::Save => Effect::SaveJournal { bytes: journal(self.stamp) },
            Step::Close => Effect::Close { role: FileRole::Temp },
            Step::Rename => {
                self.first_try.get_or_insert(now);
                let replace = self.if_exists == IfExists::Replace;
                Effect::Rename { to: FileRole::Target(self.number), replace }
            }
            Step::SyncDir => Effect::SyncDir,
            Step::RemoveJournal => Effect::Remove { role: FileRole::Journal },
        })
    }

    /// Takes the answer to the present step.
    pub(super) fn done(&mut self, result: Result<Done, FsError>, now: Timestamp) -> Verdict {
        self.step = match (self.step, result) {
            (Step::Cut, Ok(_)) if self.syncs => Step::Sync,
            (Step::Cut, Ok(_)) => Step::Close,
            (Step::Cut, Err(error)) => {
                let operation = Operation::Allocate;
                return Self::failed(DownloadError::File { operation, error });
            }
            (Step::Sync, Ok(_)) => Step::Stamp,
            (Step::Sync, Err(_)) => return Verdict::Lost,
            (Step::Stamp, result) => {
                if let Ok(Done::Stamp(stamp)) = result {
                    self.stamp = Some(stamp);
                }
                Step::Save
            }
            // Without the journal only a second attempt would be slower.
            (Step::Save, _) => Step::Close,
            (Step::Close, Ok(_)) => Step::Rename,
            (Step::Close, Err(error)) => {
                let operation = Operation::Close;
                return Self::failed(DownloadError::File { operation, error });
            }
            (Step::Rename, Ok(_)) if self.syncs => Step::SyncDir,
            (Step::Rename, Ok(_)) => Step::RemoveJournal,
            (Step::Rename, Err(error)) => return self.rename_failed(error, now),
            (Step::SyncDir, result) => {
                self.is_durable &= result.is_ok();
                Step::RemoveJournal
            }
            (Step::RemoveJournal, result) => {
                return Verdict::End(Outcome::Finished(Finished {
                    size: self.size,
                    number: self.number,
                    retries: self.retries,
                    already: false,
                    unchecked: self.unchecked,
                    leftover: result.is_err(),
                    durable: self.is_durable,
                }));
            }
        };
        Verdict::Go
    }

    fn rename_failed(&mut self, error: FsError, now: Timestamp) -> Verdict {
        if error.kind == FsErrorKind::Exists {
            if self.if_exists == IfExists::Unique && self.number < NUMBERS_MAX {
                self.number += 1;
                return Verdict::Go;
            }
            return Self::failed(DownloadError::TargetExists);
        }
        if !error.code.is_some_and(|code| self.retry.codes.contains(&code)) {
            return Self::failed(DownloadError::RenameFailed(error));
        }
        let tried_for = now.since(self.first_try.unwrap_or(now));
        let Some(left) = self.retry.budget.checked_sub(tried_for).filter(|left| !left.is_zero())
        else {
            let (retries, code) = (self.retries, error.code);
            return Verdict::End(Outcome::NeedsCommit { retries, code });
        };
        let wait = FIRST_WAIT.saturating_mul(1 << self.retries.min(10)).min(LONGEST_WAIT).min(left);
        self.retries += 1;
        self.wait_until = Some(now + wait);
        Verdict::Go
    }

    fn failed(error: DownloadError) -> Verdict {
        Verdict::End(Outcome::Failed(error))
    }
}
