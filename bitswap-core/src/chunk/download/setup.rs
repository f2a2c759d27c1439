//! From the start to the request for the root: the lock, the journal of an earlier run, and what has the
//! target's name.
//!
//! Two things end a download here, without the network: a target of one block that is equal already, and
//! a complete temporary file that only lacks its rename.

use cid::Cid;

use super::effects::{Check, Done, Effect, FileRole, FsError, FsErrorKind};
use super::events::{DownloadError, Operation};
use super::handles::Step;
use super::journal::{JOURNAL_MAX, Journal};
use super::options::{DownloadOptions, Goal, IfExists, Resume};
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::unixfs::{Link, RAW};
use crate::limits::BLOCK_BYTES_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Lock,
    ReadJournal,
    /// The journal claims everything: the temporary file may only lack its rename.
    OpenComplete,
    StampComplete,
    CloseIncomplete,
    OpenTarget,
    /// A target of one block at most is compared with the root.
    CompareTarget,
}

/// What an earlier run left: the journal, and whether anything has its name.
#[derive(Clone, Debug, Default)]
pub(super) struct EarlierRun {
    /// The journal, if it is one of this transfer.
    pub(super) journal: Option<Journal>,
    /// Something has the journal's name, although perhaps no journal.
    pub(super) has_file: bool,
}

/// What follows an answered step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetupResult {
    Step(Step),
    /// The lock is taken by means of a file that may stay behind.
    LockedByFile(Step),
    /// The root's block is needed next.
    RootNeeded,
    /// The target is the file, of this size.
    TargetEqual(u64),
    /// A comparison is over: the file is one raw block, and the target, of this size, is not that.
    TargetDiffers(u64),
    /// The temporary file is open and complete: only the rename of a file of this size is missing.
    CommitOnly(u64),
    Failed(DownloadError),
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Setup {
    goal: Goal,
    stage: Stage,
    earlier: EarlierRun,
    target_len: Option<u64>,
}

impl Setup {
    /// The setup, and its first step. A comparison takes no lock and reads no journal.
    pub(super) fn start(goal: Goal) -> (Self, Step) {
        let (stage, earlier) = (Stage::Lock, EarlierRun::default());
        let mut setup = Self { goal, stage, earlier, target_len: None };
        let step = match goal {
            Goal::Fetch => Step::of(Effect::Lock),
            Goal::Verify => setup.open_target(),
        };
        (setup, step)
    }

    /// What was found: of an earlier run, and the length of a target, which is open then.
    pub(super) fn into_found(self) -> (EarlierRun, Option<u64>) {
        (self.earlier, self.target_len)
    }

    /// Takes the answer to the present step.
    pub(super) fn done(
        &mut self,
        result: Result<Done, FsError>,
        root: &Cid,
        options: &DownloadOptions,
    ) -> SetupResult {
        match (self.stage, result) {
            (Stage::Lock, Ok(done)) => {
                self.stage = Stage::ReadJournal;
                let read = Effect::Read { role: FileRole::Journal, max: JOURNAL_MAX };
                match done {
                    Done::LockFile => SetupResult::LockedByFile(Step::of(read)),
                    _ => SetupResult::Step(Step::of(read)),
                }
            }
            (Stage::Lock, Err(error)) if error.kind == FsErrorKind::Locked => {
                SetupResult::Failed(DownloadError::AlreadyInProgress)
            }
            (Stage::Lock, Err(error)) => failed(Operation::Lock, error),
            (Stage::ReadJournal, result) => self.journal_read(result, root, options),
            (Stage::OpenComplete, Ok(_)) => self.step(Stage::StampComplete, Effect::Stamp),
            (Stage::StampComplete, result) => match &self.earlier.journal {
                Some(journal) if journal.has_stamp(&result) => {
                    SetupResult::CommitOnly(journal.size)
                }
                _ => self.step(Stage::CloseIncomplete, Effect::Close { role: FileRole::Temp }),
            },
            (Stage::OpenComplete, Err(_)) | (Stage::CloseIncomplete, _) => {
                SetupResult::Step(self.open_target())
            }
            (Stage::OpenTarget, Ok(Done::Opened { len })) => self.target_opened(len, root, options),
            (Stage::OpenTarget, Ok(_)) => failed(Operation::Open, FsError::WRONG_ANSWER),
            (Stage::OpenTarget, Err(error)) => self.target_not_opened(error, options),
            (Stage::CompareTarget, Ok(Done::Equal(true))) => {
                SetupResult::TargetEqual(self.target_len.unwrap_or(0))
            }
            // Its block would say no more than that, and it is a leaf.
            (Stage::CompareTarget, _) if self.goal == Goal::Verify && root.codec() == RAW => {
                SetupResult::TargetDiffers(self.target_len.unwrap_or(0))
            }
            (Stage::CompareTarget, _) => SetupResult::RootNeeded,
        }
    }

    fn step(&mut self, stage: Stage, effect: Effect) -> SetupResult {
        self.stage = stage;
        SetupResult::Step(Step::of(effect))
    }

    fn journal_read(
        &mut self,
        result: Result<Done, FsError>,
        root: &Cid,
        options: &DownloadOptions,
    ) -> SetupResult {
        let is_absent = |error: &FsError| error.kind == FsErrorKind::NotFound;
        self.earlier.has_file = !result.as_ref().is_err_and(is_absent);
        if let Ok(Done::Bytes(bytes)) = result {
            self.earlier.journal = Journal::decode(&bytes, root, &options.wanted);
        }
        // If nothing is to be hashed again, only the rename may be missing, and the network is not needed.
        let is_complete = self.earlier.journal.as_ref().is_some_and(Journal::is_complete);
        if is_complete && options.resume() == Resume::Changed {
            self.step(Stage::OpenComplete, Effect::Open { role: FileRole::Temp, create: false })
        } else {
            SetupResult::Step(self.open_target())
        }
    }

    fn open_target(&mut self) -> Step {
        self.stage = Stage::OpenTarget;
        Step::of(Effect::Open { role: FileRole::Target(0), create: false })
    }

    fn target_opened(&mut self, len: u64, root: &Cid, options: &DownloadOptions) -> SetupResult {
        self.target_len = Some(len);
        let is_fetchable = matches!(Link::of(root), Ok(Link::Block(_)));
        if options.wanted == (0..u64::MAX) && len <= LEAF_MAX && is_fetchable {
            let check = Check::new(FileRole::Target(0), 0, len as usize, *root);
            self.step(Stage::CompareTarget, Effect::Check(check))
        } else if self.goal == Goal::Verify && root.codec() == RAW && len > BLOCK_BYTES_MAX as u64 {
            SetupResult::TargetDiffers(len)
        } else {
            SetupResult::RootNeeded
        }
    }

    fn target_not_opened(&self, error: FsError, options: &DownloadOptions) -> SetupResult {
        match (self.goal, error.kind) {
            (Goal::Fetch, FsErrorKind::NotFound) => SetupResult::RootNeeded,
            // A link to no file: there is nothing to compare with, and the name is taken.
            (Goal::Fetch, FsErrorKind::Exists) if options.if_exists == IfExists::Refuse => {
                SetupResult::Failed(DownloadError::TargetExists)
            }
            (Goal::Fetch, FsErrorKind::Exists) => SetupResult::RootNeeded,
            _ => failed(Operation::Open, error),
        }
    }
}

const fn failed(operation: Operation, error: FsError) -> SetupResult {
    SetupResult::Failed(DownloadError::File { operation, error })
}
