//! The way into a transfer and out of it: one file operation after another.

use alloc::sync::Arc;
use core::ops::Range;

use bytes::Bytes;

use super::assembly::{Mode, Transfer};
use super::checks::Checks;
use super::commit::Finalize;
use super::effects::{Done, Effect, FileRole, FsError, FsErrorKind};
use super::events::{BlockWant, DownloadError, DownloadEvent, DownloadOutput, Operation};
use super::meter::Meter;
use super::options::IfExists;
use super::{Download, Goal, Handles};
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::manifest::Manifest;
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::{FileNode, InvalidDag, Link};
use crate::time::Timestamp;

/// How often lost writes are written again before the disk is given up.
const LOSSES_MAX: u32 = 3;

/// What a download waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Lock,
    ReadJournal,
    /// The journal claims everything: the temporary file is looked at.
    OpenComplete,
    StampComplete,
    CloseIncomplete,
    OpenTarget,
    /// A target of one block at most is compared with the root.
    CheckTarget,
    Root,
    /// Bytes are moving or being compared.
    Move,
    /// Nothing of the old transfer may be running when its file is closed.
    Leave(Next),
    Leaving(Next),
    /// The target will be replaced, if that is possible.
    CheckReplace,
    OpenTemp,
    /// Whether the journal belongs to the temporary file.
    StampTemp,
    CheckMark,
    /// It does not.
    RemoveJournal,
    SyncRemoval,
    Space,
    Allocate,
    WriteMark,
    /// There is no room for that: how much there is, and until it is tried again.
    AskRoom(FsErrorKind),
    AwaitRoom,
    /// The temporary file's name becomes durable.
    SyncName,
    Finalize,
    /// Everything that runs is waited for.
    Drain,
    Closing,
    Removing,
    Over,
}

/// Why a file is closed although the download goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The target is another file.
    Policy,
    /// The temporary file lost writes.
    Rewrite,
}

impl Download {
    /// RangeSet everything that can run now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        loop {
            let before = self.phase;
            match self.phase {
                Phase::Root => self.ask_root(),
                Phase::Move => self.pump(),
                Phase::AwaitRoom if !self.disk.is_held(self.now) => self.allocate(),
                Phase::Leave(next) if self.pending.is_empty() => {
                    self.phase = Phase::Leaving(next);
                    let role = self.open.unwrap_or(FileRole::Temp);
                    self.step(Effect::Close { role }, Handles::Close);
                }
                Phase::Finalize if self.pending.is_empty() => self.finalize_next(),
                Phase::Drain if self.pending.is_empty() => self.drain(),
                Phase::Closing if self.pending.is_empty() => self.close_next(),
                _ => {}
            }
            if self.phase == before {
                break;
            }
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Root if self.is_paused => None,
            Phase::Root => Some(self.meter.due()),
            Phase::Move => self.next_move_timer(),
            Phase::AwaitRoom => self.disk.held_until(),
            Phase::Finalize => self.finalize.as_ref().and_then(Finalize::wait_until),
            _ => None,
        }
    }

    /// The step that the phase waited for is done.
    pub(super) fn step_done(&mut self, result: Result<Done, FsError>) {
        match (self.phase, result) {
            (Phase::Lock, Ok(done)) => {
                if done == Done::LockFile {
                    self.tell(DownloadEvent::LockFile);
                }
                self.read_journal();
            }
            (Phase::Lock, Err(error)) if error.kind == FsErrorKind::Locked => {
                self.fail(DownloadError::AlreadyInProgress);
            }
            (Phase::Lock, Err(error)) => self.fail_file(Operation::Lock, error),
            (Phase::ReadJournal, result) => self.journal_read(result),
            (Phase::OpenComplete, Ok(_)) => self.look_at_complete(),
            (Phase::StampComplete, result) => self.complete_stamped(result),
            (Phase::OpenComplete, Err(_)) | (Phase::CloseIncomplete, _) => self.open_target(),
            (Phase::OpenTarget, Ok(Done::Opened { len })) => self.target_opened(len),
            (Phase::OpenTarget, Err(error)) => self.target_not_opened(error),
            (Phase::CheckTarget, Ok(Done::Equal(true))) => {
                self.size = self.target_len.unwrap_or(0);
                self.target_is_equal();
            }
            (Phase::CheckTarget, _) => self.phase = Phase::Root,
            (Phase::Leaving(next), _) => self.left(next),
            (Phase::CheckReplace, Ok(_)) => self.open_temp(true),
            (Phase::CheckReplace, Err(error)) => self.fail_file(Operation::Replace, error),
            (Phase::OpenTemp, Ok(Done::Opened { len })) => self.temp_opened(len),
            (Phase::OpenTemp, Err(error)) => self.fail_file(Operation::Open, error),
            (Phase::Space, Ok(Done::Space(available))) => self.space_known(available),
            // A disk that does not tell its space is tried.
            (Phase::Space, _) => self.allocate(),
            (Phase::StampTemp, result) => self.temp_stamped(result),
            (Phase::CheckMark, result) => self.mark_checked(&result),
            (Phase::RemoveJournal, result) => self.journal_removed(result),
            (Phase::SyncRemoval, Ok(_)) => self.look_for_space(),
            (Phase::SyncRemoval, Err(error)) => self.fail_file(Operation::Remove, error),
            (Phase::Allocate, Ok(_)) => self.write_mark(),
            (Phase::WriteMark, Ok(_)) => self.mark_written(),
            (Phase::Allocate | Phase::WriteMark, Err(error)) if error.kind.is_full() => {
                self.no_room(error.kind);
            }
            (Phase::AskRoom(kind), result) => self.room_told(kind, result),
            (Phase::WriteMark, Err(error)) => self.fail_file(Operation::Write, error),
            (Phase::SyncName, _) => self.start_moving(),
            (Phase::Removing, result) => self.removed(result),
            (Phase::Allocate, Err(error)) => self.fail_file(Operation::Allocate, error),
            (Phase::Finalize, result) => self.finalize_done(result),
            // An answer of a kind that was not asked for is the driver's mistake.
            (Phase::OpenTarget | Phase::OpenTemp, Ok(_)) => {
                let error = FsError { kind: FsErrorKind::Io, code: None };
                self.fail_file(Operation::Open, error);
            }
            (
                Phase::Root
                | Phase::Move
                | Phase::Leave(_)
                | Phase::AwaitRoom
                | Phase::Drain
                | Phase::Closing
                | Phase::Over,
                _,
            ) => {}
        }
    }

    /// The bytes that the target will have, of a file of known length.
    pub(super) fn file_len(&self) -> u64 {
        let range = self.selection();
        range.end - range.start
    }

    /// The part of the wanted range that the file has.
    pub(super) fn selection(&self) -> Range<u64> {
        let end = self.options.wanted.end.min(self.size);
        self.options.wanted.start.min(end)..end
    }

    fn ask_root(&mut self) {
        match Link::of(&self.root) {
            Err(fault) => self.fail(DownloadError::BadRoot(fault)),
            Ok(Link::Inline { data, .. }) => self.root_arrived(&data),
            Ok(Link::Block(cid)) if !self.is_root_asked && !self.is_paused => {
                self.is_root_asked = true;
                let want = BlockWant { cid, estimate: LEAF_MAX, urgent: true };
                self.outputs.push_back(DownloadOutput::Want(want));
            }
            Ok(Link::Block(_)) => self.measure(),
        }
    }

    pub(super) fn root_arrived(&mut self, data: &Bytes) {
        match self.read_root(data) {
            Err(invalid) => self.fail(DownloadError::InvalidDag(invalid)),
            Ok(node) => {
                self.size = node.size;
                self.node = Some(Arc::new(node.into_compact(data)));
                self.root_known();
            }
        }
    }

    /// Checks the root and its first level before any file is touched because of it.
    fn read_root(&self, data: &Bytes) -> Result<FileNode, InvalidDag> {
        let mut manifest = Manifest::new(self.options.wanted.clone(), self.options.bounds);
        let node = manifest.read(&self.root, data)?;
        manifest.open(&self.root, &node)?;
        Ok(node)
    }

    fn root_known(&mut self) {
        let is_whole = self.selection() == (0..self.size);
        match self.target_len {
            Some(_) if self.goal == Goal::Verify => self.start(Mode::Verify),
            Some(len) if is_whole && len == self.size => self.start(Mode::Precheck),
            Some(_) => self.phase = Phase::Leave(Next::Policy),
            None => self.open_temp(true),
        }
    }

    fn left(&mut self, next: Next) {
        match next {
            Next::Policy if self.options.if_exists == IfExists::Refuse => {
                self.fail(DownloadError::TargetExists);
            }
            Next::Policy if self.options.if_exists == IfExists::Replace => self.check_replace(),
            Next::Policy => self.open_temp(true),
            // One that is gone now is not made anew: what was durable in it is gone too.
            Next::Rewrite => self.open_temp(false),
        }
        self.target_len = None;
    }

    fn open_temp(&mut self, create: bool) {
        self.phase = Phase::OpenTemp;
        let role = FileRole::Temp;
        self.step(Effect::Open { role, create }, Handles::Open(role));
    }

    pub(super) fn start_moving(&mut self) {
        self.checkpoint.end(self.now);
        self.start(Mode::Fetch);
    }

    fn start(&mut self, mode: Mode) {
        let plan = match mode {
            Mode::Fetch => self.plan.take().unwrap_or((RangeSet::new(), Checks::None)),
            // What lies beyond the file's end is compared too, and differs.
            Mode::Precheck | Mode::Verify => (RangeSet::new(), Checks::Below(u64::MAX)),
        };
        let Some(node) = &self.node else { return };
        match Transfer::new(&self.root, node, mode, plan, &self.options) {
            Err(invalid) => self.fail(DownloadError::InvalidDag(invalid)),
            Ok(transfer) => {
                self.transfer = Some(transfer);
                let (have, total) = (self.claims().total(), self.file_len());
                self.phase = Phase::Move;
                if mode != Mode::Precheck {
                    // After a failed sync less is there than was told; what was told stays told.
                    self.meter = Meter::new(have, total, self.now).after(&self.meter);
                    if !core::mem::replace(&mut self.is_started, true) {
                        self.tell(DownloadEvent::Started { total, have });
                    }
                }
            }
        }
    }

    /// Writes again what was not durable before a sync that failed.
    pub(super) fn lost(&mut self, error: FsError) {
        self.checkpoint.losses += 1;
        if self.checkpoint.losses >= LOSSES_MAX {
            self.fail_file(Operation::Sync, error);
            return;
        }
        self.drop_transfer();
        self.finalize = None;
        self.plan_again();
        self.phase = Phase::Leave(Next::Rewrite);
    }
}
