//! From complete data to a file under its name.
//!
//! The steps have one order: truncate the trailer, sync the data, save the complete journal, close the file,
//! rename it, sync the directory, remove the journal. No handle of ours is open at the rename,
//! because Windows refuses to rename an open file; the journal is removed last, because until then
//! it is what makes a second attempt cheap. Once the trailer is gone only its stamp binds the
//! journal to the file; if that differs, the file is compared as if there were no journal.

use bytes::Bytes;

use super::effects::{Done, Effect, FileRole, FsError, FsErrorKind, Stamp};
use super::events::{DownloadError, Finished, Operation, Outcome};
use super::handles::Step;
use super::options::{DownloadOptions, IfExists, RenameRetry, SyncPolicy};
use super::retry::Backoff;
use crate::time::Timestamp;

/// Numbers tried for a unique name.
const NUMBERS_MAX: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Truncate,
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
pub(super) enum CommitResult {
    /// The next step, perhaps after a wait.
    Continue,
    /// The data could not be synced: what was not durable before must be written again.
    Lost(FsError),
    /// The download ends.
    End(Outcome),
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Commit {
    stage: Stage,
    if_exists: IfExists,
    retry: RenameRetry,
    syncs: bool,
    size: u64,
    unchecked: u64,
    stamp: Option<Stamp>,
    number: u32,
    backoff: Backoff,
    wait_until: Option<Timestamp>,
    is_durable: bool,
}

impl Commit {
    /// From the open temporary file; `unchecked` of its bytes were not hashed in this run.
    pub(super) fn new(size: u64, unchecked: u64, options: &DownloadOptions) -> Self {
        let syncs = options.sync != SyncPolicy::Never;
        Self {
            stage: Stage::Truncate,
            if_exists: options.if_exists,
            retry: options.rename,
            syncs,
            size,
            unchecked,
            stamp: None,
            number: 0,
            backoff: Backoff::default(),
            wait_until: None,
            is_durable: syncs,
        }
    }

    /// From an open temporary file that an earlier run brought to its rename, and of which nothing is
    /// hashed again.
    pub(super) fn only_rename(size: u64, options: &DownloadOptions) -> Self {
        Self { stage: Stage::Close, ..Self::new(size, size, options) }
    }

    /// The file has its name.
    pub(super) const fn has_renamed(&self) -> bool {
        matches!(self.stage, Stage::SyncDir | Stage::RemoveJournal)
    }

    /// When the rename is tried again, if that is what it waits for.
    pub(super) const fn wait_until(&self) -> Option<Timestamp> {
        self.wait_until
    }

    /// The present step, `None` while it waits. `journal` makes the complete journal of a file with this
    /// stamp.
    pub(super) fn next(
        &mut self,
        now: Timestamp,
        journal: impl FnOnce(Option<Stamp>) -> Bytes,
    ) -> Option<Step> {
        if self.wait_until.is_some_and(|until| now < until) {
            return None;
        }
        self.wait_until = None;
        Some(Step::of(match self.stage {
            Stage::Truncate => Effect::Allocate { len: self.size, reserve: false },
            Stage::Sync => Effect::Sync,
            Stage::Stamp => Effect::Stamp,
            Stage::Save => Effect::SaveJournal { bytes: journal(self.stamp) },
            Stage::Close => Effect::Close { role: FileRole::Temp },
            Stage::Rename => {
                let replace = self.if_exists == IfExists::Replace;
                Effect::Rename { to: FileRole::Target(self.number), replace }
            }
            Stage::SyncDir => Effect::SyncDir,
            Stage::RemoveJournal => Effect::Remove { role: FileRole::Journal },
        }))
    }

    /// Takes the answer to the present step.
    pub(super) fn done(&mut self, result: Result<Done, FsError>, now: Timestamp) -> CommitResult {
        self.stage = match (self.stage, result) {
            (Stage::Truncate, Ok(_)) if self.syncs => Stage::Sync,
            (Stage::Truncate, Ok(_)) => Stage::Close,
            (Stage::Truncate, Err(error)) => {
                let operation = Operation::Allocate;
                return Self::failed(DownloadError::File { operation, error });
            }
            (Stage::Sync, Ok(_)) => Stage::Stamp,
            (Stage::Sync, Err(error)) => return CommitResult::Lost(error),
            (Stage::Stamp, result) => {
                if let Ok(Done::Stamp(stamp)) = result {
                    self.stamp = Some(stamp);
                }
                Stage::Save
            }
            // Without the journal only a second attempt would be slower.
            (Stage::Save, _) => Stage::Close,
            (Stage::Close, Ok(_)) => Stage::Rename,
            (Stage::Close, Err(error)) => {
                let operation = Operation::Close;
                return Self::failed(DownloadError::File { operation, error });
            }
            (Stage::Rename, Ok(_)) if self.syncs => Stage::SyncDir,
            (Stage::Rename, Ok(_)) => Stage::RemoveJournal,
            (Stage::Rename, Err(error)) => return self.rename_failed(error, now),
            (Stage::SyncDir, result) => {
                self.is_durable &= result.is_ok();
                Stage::RemoveJournal
            }
            (Stage::RemoveJournal, result) => {
                return CommitResult::End(Outcome::Finished(Finished {
                    size: self.size,
                    number: self.number,
                    retries: self.backoff.retries(),
                    already: false,
                    unchecked: self.unchecked,
                    leftover: result.is_err(),
                    durable: self.is_durable,
                }));
            }
        };
        CommitResult::Continue
    }

    fn rename_failed(&mut self, error: FsError, now: Timestamp) -> CommitResult {
        if error.kind == FsErrorKind::Exists {
            if self.if_exists == IfExists::Unique && self.number < NUMBERS_MAX {
                self.number += 1;
                return CommitResult::Continue;
            }
            return Self::failed(DownloadError::TargetExists);
        }
        if !error.code.is_some_and(|code| self.retry.codes.contains(&code)) {
            return Self::failed(DownloadError::RenameFailed(error));
        }
        self.wait_until = self.backoff.failed(self.retry.budget, now);
        if self.wait_until.is_none() {
            let (retries, code) = (self.backoff.retries(), error.code);
            return CommitResult::End(Outcome::NeedsCommit { retries, code });
        }
        CommitResult::Continue
    }

    fn failed(error: DownloadError) -> CommitResult {
        CommitResult::End(Outcome::Failed(error))
    }
}
