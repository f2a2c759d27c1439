//! From the known root to a temporary file that can be written: what becomes of the target, whether the
//! journal is adopted, and space for the file.
//!
//! 1. A journal is adopted only if it is of this transfer and belongs to the temporary file: either
//!    the file's stamp is that of the journal, or the file's trailer carries the journal's id.
//! 2. One that is not adopted is removed, durably, before anything is allocated or written.
//! 3. The temporary file's name is durable before anything is claimed of it.

use super::claims::Plan;
use super::effects::{Check, Done, Effect, FileRole, FsError, FsErrorKind};
use super::events::{DownloadError, DownloadEvent, Operation};
use super::handles::Step;
use super::journal::{Journal, TRAILER_LEN, trailer, trailer_cid};
use super::options::{DownloadOptions, IfExists, SyncPolicy};
use super::setup::EarlierRun;
use super::source::SourceFile;
use super::transfer::Transfer;
use crate::time::Timestamp;

/// Opens the temporary file, new or of an earlier run.
const OPEN: Effect = Effect::Open { role: FileRole::Temp, create: true };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no file to close.
    Create,
    /// The file of before is closed once nothing runs on it.
    Settle,
    Close,
    /// The target will be replaced, if that is possible.
    CheckReplace,
    Open,
    /// Whether the journal belongs to the temporary file.
    Stamp,
    CompareTrailer,
    /// It does not.
    RemoveJournal,
    SyncRemoval,
    Space,
    Allocate,
    WriteTrailer,
    TrailerWritten,
    /// The disk is full: how much space it has, and until it is tried again.
    AskSpace(FsErrorKind),
    AwaitSpace,
    SyncName,
}

/// Why a temporary file is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// There is no target, or another file is the target.
    Fetch,
    /// The temporary file lost writes.
    Rewrite,
}

/// What follows an answered step, or the passing of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PreparationResult {
    /// An answer or a time is waited for.
    Wait,
    Step(Step),
    Report(DownloadEvent),
    Ready(Plan),
    Failed(DownloadError),
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Preparation {
    stage: Stage,
    reason: Reason,
    earlier: EarlierRun,
    temp_len: u64,
    /// The temporary file has its length and its id for certain.
    has_trailer: bool,
    plan: Option<Plan>,
}

impl Preparation {
    /// For a new target, or for one that is another file, which is open and is closed first.
    pub(super) const fn new(earlier: EarlierRun, has_target: bool) -> Self {
        let stage = if has_target { Stage::Settle } else { Stage::Create };
        Self::start(stage, Reason::Fetch, earlier, None)
    }

    /// The temporary file lost writes: it is closed and opened again, and written by this plan.
    pub(super) fn of_rewrite(plan: Plan) -> Self {
        Self::start(Stage::Settle, Reason::Rewrite, EarlierRun::default(), Some(plan))
    }

    const fn start(stage: Stage, reason: Reason, earlier: EarlierRun, plan: Option<Plan>) -> Self {
        Self { stage, reason, earlier, temp_len: 0, has_trailer: false, plan }
    }

    /// What is next without an answer. Nothing runs any more if `is_settled`, and `open` is the open file.
    pub(super) fn next(
        &mut self,
        (is_settled, open): (bool, Option<FileRole>),
        transfer: &mut Transfer,
        source: &SourceFile,
        options: &DownloadOptions,
        now: Timestamp,
    ) -> PreparationResult {
        match self.stage {
            Stage::Create => self.step(Stage::Open, OPEN),
            Stage::Settle if is_settled => {
                let role = open.unwrap_or(FileRole::Temp);
                self.step(Stage::Close, Effect::Close { role })
            }
            Stage::AwaitSpace if transfer.disk_mut().may_write(now) => {
                self.allocate(source.target_len(), options)
            }
            Stage::TrailerWritten => self.sync_name(options),
            _ => PreparationResult::Wait,
        }
    }

    /// Whether it waits for space on the disk.
    pub(super) fn awaits_space(&self) -> bool {
        self.stage == Stage::AwaitSpace
    }

    /// Takes the answer to the present step.
    pub(super) fn done(
        &mut self,
        result: Result<Done, FsError>,
        transfer: &mut Transfer,
        source: &SourceFile,
        options: &DownloadOptions,
        now: Timestamp,
    ) -> PreparationResult {
        let target_len = source.target_len();
        match (self.stage, result) {
            (Stage::Close, _) => self.closed(options),
            (Stage::CheckReplace, Ok(_)) => self.step(Stage::Open, OPEN),
            (Stage::CheckReplace, Err(error)) => failed(Operation::Replace, error),
            (Stage::Open, Ok(Done::Opened { len })) => self.opened(len, source, options),
            (Stage::Open, Ok(_)) => failed(Operation::Open, FsError::WRONG_ANSWER),
            (Stage::Open, Err(error)) => failed(Operation::Open, error),
            (Stage::Stamp, result) => match self.earlier.journal.take() {
                Some(journal) if journal.has_stamp(&result) => {
                    self.adopt(transfer, journal, true, source, options)
                }
                Some(journal) => {
                    let (cid, len) = (trailer_cid(&journal.id), TRAILER_LEN as usize);
                    self.earlier.journal = Some(journal);
                    let check = Check::new(FileRole::Temp, target_len, len, cid);
                    self.step(Stage::CompareTrailer, Effect::Check(check))
                }
                None => self.discard_journal(target_len, options),
            },
            (Stage::CompareTrailer, result) => match self.earlier.journal.take() {
                Some(journal) if result == Ok(Done::Equal(true)) => {
                    self.adopt(transfer, journal, false, source, options)
                }
                _ => self.discard_journal(target_len, options),
            },
            (Stage::RemoveJournal, Ok(_)) => self.step(Stage::SyncRemoval, Effect::SyncDir),
            (Stage::SyncRemoval, Ok(_)) => self.look_for_space(target_len, options),
            // No better can be done; and a journal that comes back does not fit the file.
            (Stage::SyncRemoval, Err(error)) if error.kind == FsErrorKind::Unsupported => {
                self.look_for_space(target_len, options)
            }
            (Stage::RemoveJournal | Stage::SyncRemoval, Err(error)) => {
                failed(Operation::Remove, error)
            }
            (Stage::Space, Ok(Done::Space(available))) => {
                let needed = self.needed(target_len);
                if available < needed && options.wait_for_space.is_zero() {
                    let error = DownloadError::NotEnoughSpace { needed, available };
                    PreparationResult::Failed(error)
                } else {
                    self.allocate(target_len, options)
                }
            }
            // A disk that does not report its space is tried.
            (Stage::Space, _) => self.allocate(target_len, options),
            (Stage::Allocate, Ok(_)) => {
                let write =
                    Effect::Write { offset: target_len, bytes: trailer(transfer.claims().id()) };
                self.step(Stage::WriteTrailer, write)
            }
            (Stage::WriteTrailer, Ok(_)) => {
                self.stage = Stage::TrailerWritten;
                let was_full = transfer.disk_mut().succeeded();
                let event = PreparationResult::Report(DownloadEvent::SpaceAvailable);
                if was_full { event } else { PreparationResult::Wait }
            }
            (Stage::Allocate | Stage::WriteTrailer, Err(error)) if error.kind.is_full() => {
                self.stage = Stage::AwaitSpace;
                if !transfer.disk_mut().filled(now, options.wait_for_space) {
                    return PreparationResult::Wait;
                }
                self.step(Stage::AskSpace(error.kind), Effect::FreeSpace)
            }
            (Stage::Allocate, Err(error)) => failed(Operation::Allocate, error),
            (Stage::WriteTrailer, Err(error)) => failed(Operation::Write, error),
            (Stage::AskSpace(kind), result) => {
                self.stage = Stage::AwaitSpace;
                let needed = self.needed(target_len);
                match transfer.disk().report_full(kind, &result, needed, now) {
                    Ok(event) => PreparationResult::Report(event),
                    Err(error) => PreparationResult::Failed(error),
                }
            }
            (Stage::SyncName, _) => self.ready(),
            (Stage::Create | Stage::Settle | Stage::AwaitSpace | Stage::TrailerWritten, _) => {
                debug_assert!(false, "no step runs in this stage");
                PreparationResult::Wait
            }
        }
    }

    /// Bytes of a target of `target_len` bytes that are not on disk yet.
    fn needed(&self, target_len: u64) -> u64 {
        target_len.saturating_sub(self.plan.as_ref().map_or(0, Plan::present))
    }

    /// The journal is that of the temporary file, to which nobody wrote since if `is_unchanged`.
    fn adopt(
        &mut self,
        transfer: &mut Transfer,
        journal: Journal,
        is_unchanged: bool,
        source: &SourceFile,
        options: &DownloadOptions,
    ) -> PreparationResult {
        let target_len = source.target_len();
        self.has_trailer = self.temp_len == target_len + TRAILER_LEN;
        self.plan = Some(transfer.claims_mut().adopt(journal, is_unchanged, options));
        self.look_for_space(target_len, options)
    }

    /// Sets the temporary file's length, unless it is known to have that and its id.
    fn allocate(&mut self, target_len: u64, options: &DownloadOptions) -> PreparationResult {
        if self.has_trailer && !options.reserve {
            return self.sync_name(options);
        }
        let (len, reserve) = (target_len + TRAILER_LEN, options.reserve);
        self.step(Stage::Allocate, Effect::Allocate { len, reserve })
    }

    /// Makes the temporary file's name durable: the journal must not outlive the file that it describes.
    fn sync_name(&mut self, options: &DownloadOptions) -> PreparationResult {
        match options.sync {
            SyncPolicy::Never => self.ready(),
            _ => self.step(Stage::SyncName, Effect::SyncDir),
        }
    }

    fn step(&mut self, stage: Stage, effect: Effect) -> PreparationResult {
        self.stage = stage;
        PreparationResult::Step(Step::of(effect))
    }

    fn closed(&mut self, options: &DownloadOptions) -> PreparationResult {
        match (self.reason, options.if_exists) {
            // One that is gone now is not created anew: what was durable in it is gone too.
            (Reason::Rewrite, _) => {
                self.step(Stage::Open, Effect::Open { role: FileRole::Temp, create: false })
            }
            (Reason::Fetch, IfExists::Refuse) => {
                PreparationResult::Failed(DownloadError::TargetExists)
            }
            // Before anything is fetched that could then not have its name.
            (Reason::Fetch, IfExists::Replace) => {
                self.step(Stage::CheckReplace, Effect::CheckReplace { role: FileRole::Target(0) })
            }
            (Reason::Fetch, IfExists::Unique) => self.step(Stage::Open, OPEN),
        }
    }

    /// The temporary file is open. If it was before in this run, the plan is made.
    fn opened(
        &mut self,
        len: u64,
        source: &SourceFile,
        options: &DownloadOptions,
    ) -> PreparationResult {
        self.temp_len = len;
        if self.plan.is_some() {
            self.look_for_space(source.target_len(), options)
        } else if self.earlier.journal.as_ref().is_some_and(|it| it.size == source.size()) {
            self.step(Stage::Stamp, Effect::Stamp)
        } else {
            self.discard_journal(source.target_len(), options)
        }
    }

    /// The journal is ignored, and all bytes of the temporary file are compared with the DAG.
    fn discard_journal(&mut self, target_len: u64, options: &DownloadOptions) -> PreparationResult {
        self.earlier.journal = None;
        self.plan = Some(Plan::without_claims(self.temp_len, target_len));
        if self.earlier.has_file {
            self.step(Stage::RemoveJournal, Effect::Remove { role: FileRole::Journal })
        } else {
            self.look_for_space(target_len, options)
        }
    }

    fn look_for_space(&mut self, target_len: u64, options: &DownloadOptions) -> PreparationResult {
        if options.check_space {
            self.step(Stage::Space, Effect::FreeSpace)
        } else {
            self.allocate(target_len, options)
        }
    }

    fn ready(&mut self) -> PreparationResult {
        debug_assert!(self.plan.is_some(), "the plan is made before space is looked for");
        PreparationResult::Ready(self.plan.take().unwrap_or_default())
    }
}

const fn failed(operation: Operation, error: FsError) -> PreparationResult {
    PreparationResult::Failed(DownloadError::File { operation, error })
}
