//! While bytes move: asking, comparing, writing, checkpoints, and a disk that fails.

use core::ops::Range;
use core::time::Duration;

use super::assembly::{Compared, Mode, Move, Transfer};
use super::effects::{Done, Effect, FsError, FsErrorKind, Stamp};
use super::events::{
    BlockWant, DownloadError, DownloadEvent, DownloadOutput, Operation, StallReason,
};
use super::options::SyncPolicy;
use super::{Download, OUTPUTS_MAX, Pending};
use crate::block::Block;
use crate::chunk::manifest::Extent;
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::InvalidDag;
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
    full: Option<Full>,
}

/// A disk without space.
#[derive(Clone, Copy, Debug)]
struct Full {
    /// How long it is left alone.
    wait: Duration,
    /// When it is tried for the last time.
    until: Timestamp,
}

impl Disk {
    pub(super) const fn is_full(&self) -> bool {
        self.full.is_some()
    }

    pub(super) const fn try_now(&mut self) {
        self.hold_until = None;
    }

    /// Until when nothing is written.
    pub(super) const fn held_until(&self) -> Option<Timestamp> {
        self.hold_until
    }

    pub(super) fn is_held(&mut self, now: Timestamp) -> bool {
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
        self.full.take().is_some()
    }

    /// Tells whether somebody is to know: the disk was not full until now, or was tried for the last time.
    pub(super) fn filled(&mut self, now: Timestamp, patience: Duration) -> bool {
        let (wait, until) = match self.full {
            Some(full) => ((full.wait * 2).min(FULL_WAIT_MAX), full.until),
            None => (FULL_WAIT, now + patience),
        };
        let is_news = self.full.replace(Full { wait, until }).is_none();
        let again = now + wait;
        self.hold_until = Some(if now < until { again.min(until) } else { again });
        is_news || self.is_given_up(now)
    }

    /// Whether it is full and was tried for the last time.
    fn is_given_up(&self, now: Timestamp) -> bool {
        self.full.is_some_and(|full| full.until <= now)
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
        // A node may hold bytes of its own.
        self.issue_writes();
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
        let disk = self.disk.held_until().filter(|_| transfer.has_writes());
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
            self.earlier.hashed(extent.offset..extent.offset + extent.bytes.len() as u64);
            self.disk_worked();
            return;
        };
        transfer.write_failed(extent);
        if let Some(ending) = &mut self.ending {
            ending.flush = false;
            return;
        }
        match error.kind {
            kind if kind.is_full() => {
                let is_news = self.disk.filled(self.now, self.options.wait_for_space);
                let is_asked = self.running(|it| matches!(it, Pending::Space(_))) > 0;
                if !is_asked && is_news {
                    self.issue(Effect::FreeSpace, Pending::Space(kind));
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

    /// Something was written.
    pub(super) fn disk_worked(&mut self) {
        if self.disk.worked() {
            self.tell(DownloadEvent::SpaceAvailable);
        }
    }

    pub(super) fn check_done(&mut self, range: Range<u64>, result: Result<Done, FsError>) {
        let Some(transfer) = &mut self.transfer else { return };
        // What cannot be read is not there.
        let compared = transfer.compared(range.start, result == Ok(Done::Equal(true)));
        let is_doubtful = compared == Compared::Different && transfer.is_sampling();
        let differs = transfer.mode() == Mode::Precheck && !transfer.different().is_empty();
        if compared == Compared::Different {
            self.durable.remove(range.clone());
        }
        if compared != Compared::Unclear {
            self.earlier.hashed(range);
        }
        if self.ending.is_some() {
            return;
        }
        if is_doubtful {
            self.doubt();
        } else if differs {
            self.target_differs();
        }
    }

    pub(super) fn sync_done(&mut self, claims: RangeSet, result: Result<Done, FsError>) {
        match result {
            Ok(_) => {
                self.durable.clone_from(&claims);
                if self.may_stamp() {
                    self.issue(Effect::Stamp, Pending::Stamp(claims));
                } else {
                    self.save_journal(claims, None);
                }
            }
            Err(_) if self.ending.is_some() => {}
            Err(error) => self.lost(error),
        }
    }

    pub(super) fn stamp_done(&mut self, claims: RangeSet, result: Result<Done, FsError>) {
        let stamp = if let Ok(Done::Stamp(stamp)) = result { Some(stamp) } else { None };
        self.save_journal(claims, stamp);
    }

    fn save_journal(&mut self, claims: RangeSet, stamp: Option<Stamp>) {
        let bytes = self.journal_of(claims, stamp);
        self.issue(Effect::SaveJournal { bytes }, Pending::Save);
    }

    /// Without a new journal only a second attempt would be slower, and the next checkpoint may work. But
    /// what somebody put in its place stays there, and no later run would begin before it is gone.
    pub(super) fn journal_saved(&mut self, result: Result<Done, FsError>) {
        self.checkpoint.end(self.now);
        if let Err(error) = result
            && matches!(error.kind, FsErrorKind::InTheWay { .. })
        {
            self.fail_to_keep(Operation::Save, error);
        }
    }

    pub(super) fn space_told(&mut self, kind: FsErrorKind, result: Result<Done, FsError>) {
        let available = if let Ok(Done::Space(available)) = result { available } else { 0 };
        let needed = self.needed();
        let is_quota = kind == FsErrorKind::QuotaExceeded;
        if !self.disk.is_given_up(self.now) {
            self.tell(DownloadEvent::DiskFull { needed, available, is_quota });
        } else if is_quota {
            self.fail(DownloadError::QuotaExceeded { needed });
        } else {
            self.fail(DownloadError::NotEnoughSpace { needed, available });
        }
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
        if self.running(|pending| matches!(pending, Pending::Check(_))) > 0 {
            // What is compared is not fetched, and is no stall.
            self.meter.not_stalled(self.now);
        }
        let writes = self.disk.is_full() || self.running(|it| matches!(it, Pending::Write(_))) > 0;
        let reason = if writes { StallReason::DiskSlow } else { self.network };
        let have = self.claims().total();
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
        while self.outputs.len() < OUTPUTS_MAX {
            let checks = self.running(|pending| matches!(pending, Pending::Check(_)));
            let may_want = !self.is_paused && !self.disk.is_full() && checks < CHECKS_MAX;
            let Some(transfer) = &mut self.transfer else { return Ok(()) };
            match transfer.next_move(may_want)? {
                None => return Ok(()),
                Some(Move::Want(want)) => self.want(want),
                Some(Move::Check(offset, check)) => {
                    let range = offset..offset + check.len as u64;
                    self.issue(Effect::Check(check), Pending::Check(range));
                }
            }
        }
        Ok(())
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
        let claims = self.claims();
        self.issue(Effect::Sync, Pending::Sync(claims));
    }

    /// Bytes that are written and not claimed.
    fn dirty(&self) -> u64 {
        let fetching = self.transfer.as_ref().filter(|transfer| transfer.mode() == Mode::Fetch);
        let have = fetching.map_or(0, |transfer| transfer.map().have().total());
        (have + self.earlier.doubted_left()).saturating_sub(self.durable.total())
    }

    fn is_saving(&self) -> bool {
        self.running(|pending| {
            matches!(pending, Pending::Sync(_) | Pending::Stamp(_) | Pending::Save)
        }) > 0
    }

    fn running(&self, kind: impl Fn(&Pending) -> bool) -> usize {
        self.pending.values().filter(|pending| kind(pending)).count()
    }
}
