//! The transfer of the file's bytes: what is requested, compared and written next, and what is claimed.
//!
//! It joins the [`Assembly`], which exists while bytes are transferred or compared, with what outlives it:
//! the [`Claims`] on the temporary file, the [health](DiskHealth) of its disk, and the
//! [schedule](Checkpoints) of checkpoints. What is written is never claimed before it was synced.

use alloc::vec::Vec;
use core::mem::take;
use core::ops::Range;
use core::time::Duration;

use super::assembly::{Assembly, Compared, Mode, Next};
use super::checkpoints::Checkpoints;
use super::claims::{Claims, Plan};
use super::disk::DiskHealth;
use super::effects::{Done, Effect, FsError, FsErrorKind, Stamp};
use super::events::{BlockWant, DownloadError, DownloadEvent, Operation};
use super::options::DownloadOptions;
use super::outbox::{Outbox, Purpose};
use super::source::SourceFile;
use crate::chunk::digest::Leaves;
use crate::chunk::manifest::Extent;
use crate::chunk::range_map::RangeMap;
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::InvalidDag;
use crate::time::Timestamp;

/// Ranges compared at a time.
const COMPARISONS_MAX: usize = 4;

/// What follows an answered effect, or an output to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TransferResult {
    Continue,
    Want(BlockWant),
    Issue(Effect, Purpose),
    Report(DownloadEvent),
    Fail(DownloadError),
    /// The journal cannot be saved, now or ever.
    SaveFailed(DownloadError),
    /// Writes are lost: what is not durable is to be written again.
    Lost(FsError),
    /// Trusted bytes are wrong: all of them are to be compared.
    SampleDiffers,
    /// The target is another file.
    TargetDiffers,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    assembly: Option<Assembly>,
    /// Leaves that earlier assemblies found.
    leaves: Leaves,
    claims: Claims,
    disk: DiskHealth,
    checkpoints: Checkpoints,
}

impl Transfer {
    /// Without an assembly yet.
    pub(super) fn new(options: &DownloadOptions) -> Self {
        let (claims, checkpoints) = (Claims::new(&options.seed), Checkpoints::new(options.sync));
        Self {
            assembly: None,
            leaves: Leaves::default(),
            claims,
            disk: DiskHealth::default(),
            checkpoints,
        }
    }

    /// Begins to assemble the file, whose root must be known.
    ///
    /// # Errors
    ///
    /// [`InvalidDag`] when the root breaks a bound.
    pub(super) fn start(
        &mut self,
        mode: Mode,
        plan: Plan,
        source: &SourceFile,
        options: &DownloadOptions,
    ) -> Result<(), InvalidDag> {
        let Some(root) = source.node() else {
            debug_assert!(false, "the root is known before its bytes are requested");
            return Ok(());
        };
        let plan = (plan, take(&mut self.leaves));
        self.assembly = Some(Assembly::new(source.root(), root, mode, plan, options)?);
        Ok(())
    }

    /// The assembly, while there is one.
    pub(super) const fn assembly_mut(&mut self) -> Option<&mut Assembly> {
        self.assembly.as_mut()
    }

    /// Gives the assembly up; claims stay, and so does what is known of the leaves.
    pub(super) fn abandon(&mut self) {
        if let Some(mut assembly) = self.assembly.take() {
            self.leaves = assembly.take_leaves();
        }
    }

    /// The leaves that are known.
    pub(super) fn leaves(&self) -> Leaves {
        let present = self.assembly.as_ref().and_then(Assembly::leaves);
        present.unwrap_or(&self.leaves).clone()
    }

    /// What the assembly is for, while there is one.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.assembly.as_ref().map(Assembly::mode)
    }

    pub(super) fn map(&self) -> Option<&RangeMap> {
        self.assembly.as_ref().map(Assembly::map)
    }

    /// The ranges in which the file on disk differs from the DAG.
    pub(super) fn different(&self) -> Vec<Range<u64>> {
        self.assembly.as_ref().map(Assembly::different).unwrap_or_default()
    }

    /// Whether all bytes are written, or compared.
    pub(super) fn is_complete(&self) -> bool {
        self.assembly.as_ref().is_some_and(Assembly::is_complete)
    }

    pub(super) const fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(super) const fn claims_mut(&mut self) -> &mut Claims {
        &mut self.claims
    }

    pub(super) const fn disk(&self) -> &DiskHealth {
        &self.disk
    }

    pub(super) const fn disk_mut(&mut self) -> &mut DiskHealth {
        &mut self.disk
    }

    pub(super) const fn checkpoints_mut(&mut self) -> &mut Checkpoints {
        &mut self.checkpoints
    }

    /// The next write.
    pub(super) fn next_write(
        &mut self,
        outbox: &Outbox,
        source: &SourceFile,
        now: Timestamp,
    ) -> Option<TransferResult> {
        let may_write = self.disk.may_write(now) && outbox.writes() < self.disk.writes_max();
        if may_write { self.flush(source) } else { None }
    }

    /// The next write, however many are running.
    pub(super) fn flush(&mut self, source: &SourceFile) -> Option<TransferResult> {
        let extent = self.assembly.as_mut()?.next_write()?;
        let offset = extent.offset - source.selection().start;
        let write = Effect::Write { offset, bytes: extent.bytes.clone() };
        Some(TransferResult::Issue(write, Purpose::Write(extent)))
    }

    /// The next block to request or range to compare.
    pub(super) fn next_request(
        &mut self,
        outbox: &Outbox,
        is_paused: bool,
    ) -> Option<TransferResult> {
        let has_comparisons = outbox.comparisons() >= COMPARISONS_MAX;
        let may_want = !is_paused && !self.disk.is_full() && !has_comparisons;
        let assembly = self.assembly.as_mut().filter(|_| outbox.has_room())?;
        Some(match assembly.next(may_want) {
            Err(invalid) => TransferResult::Fail(invalid.into()),
            Ok(None) => return None,
            Ok(Some(Next::Want(want))) => TransferResult::Want(want),
            Ok(Some(Next::Compare(offset, check))) => {
                let range = offset..offset + check.len as u64;
                TransferResult::Issue(Effect::Check(check), Purpose::Compare(range))
            }
        })
    }

    /// The sync of a checkpoint, if one is due and none runs.
    pub(super) fn next_checkpoint(
        &mut self,
        outbox: &Outbox,
        now: Timestamp,
    ) -> Option<TransferResult> {
        if outbox.is_saving() || !self.checkpoints.is_due(self.dirty(), now) {
            return None;
        }
        self.checkpoints.begin();
        Some(self.sync())
    }

    /// The sync of what is written, if any of it is not claimed yet.
    pub(super) fn save(&mut self) -> Option<TransferResult> {
        let is_claimed = self.claims.are(&self.next_claims());
        (!is_claimed).then(|| self.sync())
    }

    fn sync(&mut self) -> TransferResult {
        let have = self.assembly.as_ref().map(|assembly| assembly.map().have());
        let claims = self.claims.begin_checkpoint(have);
        TransferResult::Issue(Effect::Sync, Purpose::Sync(claims))
    }

    /// When a write may be tried again or a checkpoint is due, while bytes are missing.
    pub(super) fn deadline(&self, is_saving: bool) -> Option<Timestamp> {
        let assembly = self.assembly.as_ref().filter(|assembly| !assembly.is_complete())?;
        let disk = self.disk.held_until().filter(|_| assembly.has_writes());
        let has_claims = !is_saving && self.dirty() > 0;
        let checkpoint = if has_claims { self.checkpoints.deadline() } else { None };
        disk.into_iter().chain(checkpoint).min()
    }

    /// What the journal may claim once everything written is durable.
    pub(super) fn next_claims(&self) -> RangeSet {
        self.claims.next(self.map().map(RangeMap::have))
    }

    /// Bytes of the target that are not on disk yet.
    fn needed(&self, target_len: u64) -> u64 {
        let have = self.map().map_or(0, |map| map.have().total());
        target_len.saturating_sub(have + self.claims.to_verify())
    }

    /// One of the transfer's effects was answered. A full disk is waited for up to `patience`.
    pub(super) fn answered(
        &mut self,
        purpose: Purpose,
        result: Result<Done, FsError>,
        (outbox, source): (&Outbox, &SourceFile),
        (now, patience): (Timestamp, Duration),
    ) -> TransferResult {
        match purpose {
            Purpose::Write(extent) => {
                match self.written(extent, result, now, patience) {
                    // It is known soon.
                    TransferResult::Issue(_, Purpose::Space(_)) if outbox.is_asking_space() => {
                        TransferResult::Continue
                    }
                    next => next,
                }
            }
            Purpose::Compare(range) => self.compared(range, &result),
            Purpose::Sync(claims) => self.synced(claims, result, source),
            Purpose::Stamp(claims) => {
                let stamp = if let Ok(Done::Stamp(stamp)) = result { Some(stamp) } else { None };
                self.journal(claims, stamp, source)
            }
            Purpose::SaveJournal => self.saved(result, now),
            Purpose::Space(kind) => {
                let needed = self.needed(source.target_len());
                match self.disk.report_full(kind, &result, needed, now) {
                    Ok(event) => TransferResult::Report(event),
                    Err(error) => TransferResult::Fail(error),
                }
            }
            Purpose::Step(_) | Purpose::Abandoned => TransferResult::Continue,
        }
    }

    /// A write ended. A full disk is waited for up to `patience`.
    fn written(
        &mut self,
        extent: Extent,
        result: Result<Done, FsError>,
        now: Timestamp,
        patience: Duration,
    ) -> TransferResult {
        let Some(assembly) = &mut self.assembly else { return TransferResult::Continue };
        let Err(error) = result else {
            assembly.written(&extent);
            let end = extent.offset + extent.bytes.len() as u64;
            self.claims.verified(extent.offset..end);
            let was_full = self.disk.succeeded();
            return if was_full {
                TransferResult::Report(DownloadEvent::SpaceAvailable)
            } else {
                TransferResult::Continue
            };
        };
        assembly.write_failed(extent);
        let is_tried_again = match error.kind {
            kind if kind.is_full() => {
                if !self.disk.filled(now, patience) {
                    return TransferResult::Continue;
                }
                return TransferResult::Issue(Effect::FreeSpace, Purpose::Space(kind));
            }
            FsErrorKind::PermissionDenied
            | FsErrorKind::ReadOnly
            | FsErrorKind::TooLarge
            | FsErrorKind::Changed => false,
            _ => self.disk.failed(now),
        };
        if is_tried_again {
            TransferResult::Continue
        } else {
            TransferResult::Fail(DownloadError::File { operation: Operation::Write, error })
        }
    }

    /// A range was compared with the disk; what cannot be read differs.
    fn compared(&mut self, range: Range<u64>, result: &Result<Done, FsError>) -> TransferResult {
        let Some(assembly) = &mut self.assembly else { return TransferResult::Continue };
        match assembly.compared(range.start, *result == Ok(Done::Equal(true))) {
            Compared::Equal => self.claims.verified(range),
            Compared::Unclear => {}
            Compared::Different => {
                self.claims.disproved(range);
                if assembly.is_sampling() {
                    return TransferResult::SampleDiffers;
                }
            }
        }
        if assembly.mode() == Mode::Precheck && assembly.has_differences() {
            TransferResult::TargetDiffers
        } else {
            TransferResult::Continue
        }
    }

    /// The sync of a checkpoint ended: what it made durable is claimed.
    fn synced(
        &mut self,
        claims: RangeSet,
        result: Result<Done, FsError>,
        source: &SourceFile,
    ) -> TransferResult {
        let claims = match result {
            Err(error) => return TransferResult::Lost(error),
            Ok(_) => self.claims.synced(claims),
        };
        if self.claims.may_stamp() {
            TransferResult::Issue(Effect::Stamp, Purpose::Stamp(claims))
        } else {
            self.journal(claims, None, source)
        }
    }

    /// The journal is saved, or not. Without a new one only a second attempt would be slower, and the next
    /// checkpoint may work. But an obstacle at its name stays there, and no later run would begin before
    /// it is gone.
    fn saved(&mut self, result: Result<Done, FsError>, now: Timestamp) -> TransferResult {
        self.checkpoints.end(now);
        match result {
            Err(error) if matches!(error.kind, FsErrorKind::InTheWay { .. }) => {
                let operation = Operation::Save;
                TransferResult::SaveFailed(DownloadError::File { operation, error })
            }
            _ => TransferResult::Continue,
        }
    }

    fn journal(
        &self,
        claims: RangeSet,
        stamp: Option<Stamp>,
        source: &SourceFile,
    ) -> TransferResult {
        let bytes = self.claims.journal(source, claims, stamp);
        TransferResult::Issue(Effect::SaveJournal { bytes }, Purpose::SaveJournal)
    }

    /// Trusted bytes are wrong: plans to compare all of them.
    pub(super) fn reverify(&mut self) -> Plan {
        let have = self.map().map(|map| map.have().clone()).unwrap_or_default();
        self.claims.reverify(have)
    }

    fn dirty(&self) -> u64 {
        let is_fetching = self.mode() == Some(Mode::Fetch);
        let map = self.map().filter(|_| is_fetching);
        self.claims.dirty(map.map_or(0, |map| map.have().total()))
    }

    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When one of the parts is inconsistent.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) {
        self.claims.validate();
        if let Some(assembly) = &self.assembly {
            assembly.validate();
        }
    }
}
