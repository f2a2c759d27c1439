//! While bytes move: asking, comparing, writing, checkpoints, and a disk that fails.

use core::time::Duration;

use super::download::{Download, Pending};
use super::effects::{Done, Effect, FsError, FsErrorKind};
use super::events::{
    BlockWant, DownloadError, DownloadEvent, DownloadOutput, Operation, StallReason,
};
use super::options::SyncPolicy;
use super::transfer::{Compared, Mode, Move, Transfer};
use super::{Extent, InvalidDag, Journal, Runs};
use crate::block::Block;
use crate::time::Timestamp;

/// Writes at a time: enough for a disk that sorts them.
const WRITES_MAX: usize = 8;
/// Ranges compared at a time.
const CHECKS_MAX: usize = 4;

/// A write is tried so often before the disk is given up.
const WRITE_TRIES: u32 = 5;
const WRITE_WAIT: Duration = Duration::from_millis(100);

/// How long a full disk is left alone, at first and at most.
const FULL_WAIT: Duration = Duration::from_secs(1);
const FULL_WAIT_MAX: Duration = Duration::from_secs(60);

/// The health of the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    hold_until: Option<Timestamp>,
    failures: u32,
    full_wait: Option<Duration>,
}

impl Disk {
    pub(super) const fn is_full(&self) -> bool {
        self.full_wait.is_some()
    }

    pub(super) const fn try_now(&mut self) {
        self.hold_until = None;
    }

    fn is_held(&mut self, now: Timestamp) -> bool {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        self.hold_until.is_some()
    }

    /// A full disk is asked with one write at a time.
    const fn writes_max(&self) -> usize {
        if self.is_full() { 1 } else { WRITES_MAX }
    }

    /// Tells whether the disk was full until now.
    fn worked(&mut self) -> bool {
        self.failures = 0;
        self.full_wait.take().is_some()
    }

    /// Tells whether the disk was not full until now.
    fn filled(&mut self, now: Timestamp) -> bool {
        let before = self.full_wait;
        let wait = before.map_or(FULL_WAIT, |wait| (wait * 2).min(FULL_WAIT_MAX));
        self.full_wait = Some(wait);
        self.hold_until = Some(now + wait);
        before.is_none()
    }

    /// Tells whether another try makes sense.
    fn failed(&mut self, now: Timestamp) -> bool {
        self.hold_until = Some(now + WRITE_WAIT * (1 << self.failures.min(8)));
        self.failures += 1;
        self.failures < WRITE_TRIES
    }
}

/// When data is made durable.
#[derive(Clone, Debug, Default)]
pub(super) struct Checkpoint {
    last: Timestamp,
    is_forced: bool,
    /// Syncs that failed.
    pub(super) losses: u32,
}

impl Checkpoint {
    pub(super) const fn force(&mut self) {
        self.is_forced = true;
    }

    /// The last one ended now, or there was none yet.
    pub(super) const fn end(&mut self, now: Timestamp) {
        self.last = now;
    }
}

impl Download {
    /// Hands out everything that may run now.
    pub(super) fn pump(&mut self) {
        self.issue_writes();
        if let Err(invalid) = self.issue_moves() {
            self.fail(DownloadError::InvalidDag(invalid));
            return;
        }
        let Some(transfer) = &self.transfer else { return };
        if transfer.is_complete() {
            if self.pending.is_empty() {
                self.moved(transfer.mode());
            }
            return;
        }
        self.issue_checkpoint();
        self.measure();
    }

    pub(super) fn next_move_timer(&self) -> Option<Timestamp> {
        let transfer = self.transfer.as_ref().filter(|transfer| !transfer.is_complete())?;
        let has_meter = !self.is_paused && transfer.mode() != Mode::Precheck;
        let tick = has_meter.then(|| self.meter.due());
        let disk = self.disk.hold_until.filter(|_| transfer.has_writes());
        let checkpoint = match self.options.sync {
            SyncPolicy::Checkpoints { every, .. } if self.dirty() > 0 && !self.is_saving() => {
                Some(self.checkpoint.last + every)
            }
            _ => None,
        };
        [tick, disk, checkpoint].into_iter().flatten().min()
    }

    pub(super) fn block_arrived(&mut self, block: &Block) -> bool {
        let Some(transfer) = &mut self.transfer else { return false };
        match transfer.block(block.cid(), block.data()) {
            Ok(useful) => useful,
            Err(invalid) => {
                self.fail(DownloadError::InvalidDag(invalid));
                true
            }
        }
    }

    pub(super) fn write_done(&mut self, extent: Extent, result: Result<Done, FsError>) {
        let Some(transfer) = &mut self.transfer else { return };
        let Err(error) = result else {
            transfer.written(&extent);
            if self.disk.worked() {
                self.tell(DownloadEvent::SpaceAgain);
            }
            return;
        };
        transfer.write_failed(extent);
        if let Some(ending) = &mut self.ending {
            ending.flush = false;
            return;
        }
        match error.kind {
            kind if kind.is_full() => {
                if self.disk.filled(self.now) {
                    self.issue(Effect::FreeSpace, Pending::Space);
                }
            }
            FsErrorKind::PermissionDenied | FsErrorKind::ReadOnly | FsErrorKind::TooLarge => {
                self.fail_file(Operation::Write, error);
            }
            _ => {
                if !self.disk.failed(self.now) {
                    self.fail_file(Operation::Write, error);
                }
            }
        }
    }

    pub(super) fn check_done(&mut self, offset: u64, result: Result<Done, FsError>) {
        let Some(transfer) = &mut self.transfer else { return };
        // What cannot be read is not there.
        let compared = transfer.compared(offset, result == Ok(Done::Equal(true)));
        let differs = transfer.mode() == Mode::Precheck && !transfer.different().is_empty();
        if self.ending.is_some() {
            return;
        }
        if compared == Compared::Doubt {
            self.doubt();
        } else if differs {
            self.target_differs();
        }
    }

    pub(super) fn sync_done(&mut self, claims: Runs, result: Result<Done, FsError>) {
        match result {
            Ok(_) => {
                self.durable = claims;
                let journal = Journal {
                    root: self.root,
                    wanted: self.options.wanted.clone(),
                    size: self.size,
                    have: self.durable.clone(),
                };
                self.issue(Effect::SaveJournal { bytes: journal.encode() }, Pending::Save);
            }
            Err(_) if self.ending.is_some() => {}
            Err(error) => self.lost(error),
        }
    }

    pub(super) fn space_told(&mut self, result: Result<Done, FsError>) {
        let Some(transfer) = &self.transfer else { return };
        let available = if let Ok(Done::Space(available)) = result { available } else { 0 };
        let needed = self.file_len() - transfer.map().have().total();
        self.tell(DownloadEvent::DiskFull { needed, available });
    }

    pub(super) fn issue_write(&mut self, extent: Extent) {
        let offset = extent.offset - self.selection().start;
        let bytes = extent.bytes.clone();
        self.issue(Effect::Write { offset, bytes }, Pending::Write(extent));
    }

    /// Tells progress and stalls when it is time.
    pub(super) fn measure(&mut self) {
        let is_quiet = self.transfer.as_ref().is_some_and(|it| it.mode() == Mode::Precheck);
        if self.is_paused || is_quiet || self.now < self.meter.due() {
            return;
        }
        let have = self.transfer.as_ref().map_or(0, |transfer| transfer.map().have().total());
        let writes = self.disk.is_full() || self.running(|it| matches!(it, Pending::Write(_))) > 0;
        let reason = if writes { StallReason::DiskSlow } else { self.network };
        let news = self.meter.measure(have, self.now, self.options.stall_after, reason);
        self.outputs.extend(news.into_iter().flatten().map(DownloadOutput::Event));
    }

    fn issue_writes(&mut self) {
        if self.disk.is_held(self.now) {
            return;
        }
        while self.running(|pending| matches!(pending, Pending::Write(_))) < self.disk.writes_max()
        {
            let Some(extent) = self.transfer.as_mut().and_then(Transfer::next_write) else { break };
            self.issue_write(extent);
        }
    }

    fn issue_moves(&mut self) -> Result<(), InvalidDag> {
        loop {
            let checks = self.running(|pending| matches!(pending, Pending::Check(_)));
            let may_want = !self.is_paused && !self.disk.is_full() && checks < CHECKS_MAX;
            let Some(transfer) = &mut self.transfer else { return Ok(()) };
            match transfer.next_move(may_want)? {
                None => return Ok(()),
                Some(Move::Want(want)) => self.want(want),
                Some(Move::Check(offset, check)) => {
                    self.issue(Effect::Check(check), Pending::Check(offset));
                }
            }
        }
    }

    fn want(&mut self, want: BlockWant) {
        self.outputs.push_back(DownloadOutput::Want(want));
    }

    fn issue_checkpoint(&mut self) {
        let dirty = self.dirty();
        let due = match self.options.sync {
            SyncPolicy::Never => false,
            SyncPolicy::AtEnd => self.checkpoint.is_forced,
            SyncPolicy::Checkpoints { bytes, every } => {
                self.checkpoint.is_forced
                    || dirty >= bytes
                    || self.now >= self.checkpoint.last + every
            }
        };
        if !due || dirty == 0 || self.is_saving() {
            return;
        }
        self.checkpoint.is_forced = false;
        let claims = self.transfer.as_ref().map(|transfer| transfer.map().have().clone());
        self.issue(Effect::Sync, Pending::Sync(claims.unwrap_or_default()));
    }

    /// Bytes that are written and not claimed.
    fn dirty(&self) -> u64 {
        let fetching = self.transfer.as_ref().filter(|transfer| transfer.mode() == Mode::Fetch);
        let have = fetching.map_or(0, |transfer| transfer.map().have().total());
        have.saturating_sub(self.durable.total())
    }

    fn is_saving(&self) -> bool {
        self.running(|pending| matches!(pending, Pending::Sync(_) | Pending::Save)) > 0
    }

    fn running(&self, kind: impl Fn(&Pending) -> bool) -> usize {
        self.pending.values().filter(|pending| kind(pending)).count()
    }
}
