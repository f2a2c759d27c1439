//! What an earlier run left behind, and what is made of it.
//!
//! 1. A journal is adopted only if it is of this transfer and belongs to the temporary file: either
//!    the file's stamp is that of the journal, or the file carries the journal's id.
//! 2. One that is not adopted is removed, durably, before anything is allocated or written.
//! 3. Where the stamp does not fit, somebody wrote to the file after the journal was saved, if only the
//!    run that was killed: everything that is claimed is compared.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::checks::Checks;
use super::effects::{Check, Done, Effect, FileRole, FsError, FsErrorKind, Stamp};
use super::events::{DownloadError, Operation};
use super::journal::Journal;
use super::journal::{JOURNAL_MAX, MARK_LEN, PartId, mark, mark_cid};
use super::options::{Resume, SyncPolicy};
use super::phases::Phase;
use super::{Download, Handles};
use crate::chunk::range_set::RangeSet;
use crate::rng::Rng;

/// Ranges that a sampled resume checks.
const SAMPLES: u64 = 16;

/// The bytes that an earlier run claimed and that this one has neither hashed nor written.
#[derive(Clone, Debug, Default)]
pub(super) struct Earlier {
    bytes: RangeSet,
    /// They are compared before the end, and until then they are not there.
    is_doubted: bool,
}

impl Earlier {
    const fn trusted(bytes: RangeSet) -> Self {
        Self { bytes, is_doubted: false }
    }

    const fn doubted(bytes: RangeSet) -> Self {
        Self { bytes, is_doubted: true }
    }

    /// A range was hashed, or written.
    pub(super) fn hashed(&mut self, range: Range<u64>) {
        self.bytes.remove(range);
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> u64 {
        self.bytes.total()
    }

    /// How many are left that do not count as being there.
    pub(super) const fn doubted_left(&self) -> u64 {
        if self.is_doubted { self.bytes.total() } else { 0 }
    }

    /// The plan for a transfer that has `have` and these.
    fn plan(&self, mut have: RangeSet) -> (RangeSet, Checks) {
        if !self.is_doubted {
            return (have, Checks::None);
        }
        for run in self.bytes.iter() {
            have.remove(run);
        }
        (have, Checks::Within(self.bytes.clone()))
    }

    /// What a journal may claim when `have` is there.
    fn claims(&self, mut have: RangeSet) -> RangeSet {
        for run in self.bytes.iter() {
            have.insert(run);
        }
        have
    }
}

/// The id of a new temporary file.
pub(super) fn new_id(seed: &[u8; 32]) -> PartId {
    let mut rng = Rng::new(seed, "part id");
    let mut id = PartId::default();
    for word in id.chunks_mut(8) {
        word.copy_from_slice(&rng.next_u64().to_le_bytes());
    }
    id
}

impl Download {
    pub(super) fn read_journal(&mut self) {
        self.phase = Phase::ReadJournal;
        let read = Effect::Read { role: FileRole::Journal, max: JOURNAL_MAX };
        self.step(read, Handles::Same);
    }

    pub(super) fn journal_read(&mut self, result: Result<Done, FsError>) {
        let absent = |error: &FsError| error.kind == FsErrorKind::NotFound;
        self.has_journal = !result.as_ref().is_err_and(absent);
        if let Ok(Done::Bytes(bytes)) = result {
            self.journal = Journal::decode(&bytes, &self.root, &self.options.wanted);
        }
        // If nothing is to be hashed again, only the rename may be missing, and the network is not needed.
        let complete = self.journal.as_ref().filter(|journal| journal.is_complete());
        match complete.filter(|_| self.options.resume == Resume::Changed) {
            Some(journal) => {
                self.size = journal.size;
                self.phase = Phase::OpenComplete;
                let role = FileRole::Temp;
                self.step(Effect::Open { role, create: false }, Handles::Open(role));
            }
            None => self.open_target(),
        }
    }

    pub(super) fn look_at_complete(&mut self) {
        self.phase = Phase::StampComplete;
        self.step(Effect::Stamp, Handles::Same);
    }

    pub(super) fn complete_stamped(&mut self, result: Result<Done, FsError>) {
        if self.is_stamped(result) {
            self.start_rename();
        } else {
            self.phase = Phase::CloseIncomplete;
            self.step(Effect::Close { role: FileRole::Temp }, Handles::Close);
        }
    }

    /// The temporary file is open. When it is the second time in this run, the plan is made.
    pub(super) fn temp_opened(&mut self, len: u64) {
        self.temp_len = len;
        if self.plan.is_some() {
            self.look_for_space();
        } else if self.journal.as_ref().is_some_and(|journal| journal.size == self.size) {
            self.phase = Phase::StampTemp;
            self.step(Effect::Stamp, Handles::Same);
        } else {
            self.discard_journal();
        }
    }

    pub(super) fn temp_stamped(&mut self, result: Result<Done, FsError>) {
        if self.is_stamped(result) {
            self.adopt(true);
            return;
        }
        let Some(journal) = &self.journal else { return };
        self.phase = Phase::CheckMark;
        let cid = mark_cid(&journal.id);
        let check = Check::new(FileRole::Temp, self.file_len(), MARK_LEN as usize, cid);
        self.step(Effect::Check(check), Handles::Same);
    }

    pub(super) fn mark_checked(&mut self, result: &Result<Done, FsError>) {
        if *result == Ok(Done::Equal(true)) {
            self.adopt(false);
        } else {
            self.discard_journal();
        }
    }

    fn is_stamped(&self, result: Result<Done, FsError>) -> bool {
        let stamp = self.journal.as_ref().and_then(|journal| journal.stamp);
        stamp.is_some_and(|stamp| result == Ok(Done::Stamp(stamp)))
    }

    /// The journal is that of the temporary file, which is `unchanged` since.
    fn adopt(&mut self, unchanged: bool) {
        let Some(journal) = self.journal.take() else { return };
        self.id = journal.id;
        self.is_marked = self.temp_len == self.file_len() + MARK_LEN;
        self.durable.clone_from(&journal.have);
        let probes = match self.options.resume {
            Resume::Sample if unchanged => Checks::Probes(self.probes(&journal.have)),
            _ => Checks::None,
        };
        self.earlier = match self.options.resume {
            Resume::Sample | Resume::Changed if unchanged => Earlier::trusted(journal.have),
            _ => Earlier::doubted(journal.have),
        };
        let (have, checks) = self.earlier.plan(self.durable.clone());
        self.plan = Some((have, if probes == Checks::None { checks } else { probes }));
        self.look_for_space();
    }

    fn discard_journal(&mut self) {
        self.journal = None;
        self.plan = Some((RangeSet::new(), Checks::Below(self.temp_len)));
        if self.has_journal {
            self.phase = Phase::RemoveJournal;
            self.step(Effect::Remove { role: FileRole::Journal }, Handles::Same);
        } else {
            self.look_for_space();
        }
    }

    pub(super) fn journal_removed(&mut self, result: Result<Done, FsError>) {
        match result {
            Ok(_) => {
                self.phase = Phase::SyncRemoval;
                self.step(Effect::SyncDir, Handles::Same);
            }
            Err(error) => self.fail_file(Operation::Remove, error),
        }
    }

    /// Positions drawn from what is claimed, and always the last one.
    fn probes(&self, have: &RangeSet) -> Vec<u64> {
        let mut rng = Rng::new(&self.options.seed, "resume samples");
        let mut skips: Vec<u64> = (0..SAMPLES).map(|_| rng.below(have.total())).collect();
        skips.push(have.total().saturating_sub(1));
        let position = |skip: u64| {
            let mut left = skip;
            have.iter().find_map(|run| {
                let len = run.end - run.start;
                if left < len {
                    return Some(run.start + left);
                }
                left -= len;
                None
            })
        };
        skips.into_iter().filter_map(position).collect()
    }

    pub(super) fn look_for_space(&mut self) {
        if self.options.check_space {
            self.phase = Phase::Space;
            self.step(Effect::FreeSpace, Handles::Same);
        } else {
            self.allocate();
        }
    }

    pub(super) fn space_known(&mut self, available: u64) {
        let needed = self.needed();
        if available < needed && self.options.wait_for_space.is_zero() {
            self.fail(DownloadError::NotEnoughSpace { needed, available });
        } else {
            self.allocate();
        }
    }

    /// Gives the temporary file its length, unless a look at it has shown that it has that and its id.
    pub(super) fn allocate(&mut self) {
        if self.is_marked && !self.options.reserve {
            self.sync_name();
            return;
        }
        self.phase = Phase::Allocate;
        let (len, reserve) = (self.file_len() + MARK_LEN, self.options.reserve);
        self.step(Effect::Allocate { len, reserve }, Handles::Same);
    }

    pub(super) fn write_mark(&mut self) {
        self.phase = Phase::WriteMark;
        let write = Effect::Write { offset: self.file_len(), bytes: mark(&self.id) };
        self.step(write, Handles::Same);
    }

    pub(super) fn mark_written(&mut self) {
        self.disk_worked();
        self.sync_name();
    }

    /// A full disk is waited for here as in the middle of a transfer.
    pub(super) fn no_room(&mut self, kind: FsErrorKind) {
        self.phase = Phase::AwaitRoom;
        if self.disk.filled(self.now, self.options.wait_for_space) {
            self.phase = Phase::AskRoom(kind);
            self.step(Effect::FreeSpace, Handles::Same);
        }
    }

    pub(super) fn room_told(&mut self, kind: FsErrorKind, result: Result<Done, FsError>) {
        self.phase = Phase::AwaitRoom;
        self.space_told(kind, result);
    }

    /// Bytes that are not on disk yet.
    pub(super) fn needed(&self) -> u64 {
        let there = match (&self.transfer, &self.plan) {
            (Some(transfer), _) => transfer.map().have().total() + self.earlier.doubted_left(),
            (None, Some((_, Checks::Below(len)))) => (*len).min(self.file_len()),
            (None, _) => self.durable.total(),
        };
        self.file_len() - there
    }

    fn sync_name(&mut self) {
        if self.options.sync == SyncPolicy::Never {
            self.start_moving();
        } else {
            // The journal must not outlive the file that it speaks of.
            self.phase = Phase::SyncName;
            self.step(Effect::SyncDir, Handles::Same);
        }
    }

    /// Compares everything that was trusted, because some of it is wrong.
    pub(super) fn doubt(&mut self) {
        let have = self.transfer.as_ref().map(|transfer| transfer.map().have().clone());
        self.drop_transfer();
        self.earlier.is_doubted = true;
        self.plan = Some(self.earlier.plan(have.unwrap_or_default()));
        self.start_moving();
    }

    /// What is there when the file is opened again: what is durable.
    pub(super) fn plan_again(&mut self) {
        self.is_marked = false;
        self.plan = Some(self.earlier.plan(self.durable.clone()));
    }

    /// What the journal may claim now; nothing new while nothing is fetched. What an earlier run claimed
    /// is claimed until it is found to be wrong.
    pub(super) fn claims(&self) -> RangeSet {
        match &self.transfer {
            Some(transfer) => self.earlier.claims(transfer.map().have().clone()),
            None => self.durable.clone(),
        }
    }

    /// The stamp may vouch for everything that is claimed.
    pub(super) const fn may_stamp(&self) -> bool {
        self.earlier.doubted_left() == 0
    }

    /// The journal that claims these bytes of the temporary file.
    pub(super) fn journal_of(&self, have: RangeSet, stamp: Option<Stamp>) -> Bytes {
        let (root, wanted) = (self.root, self.options.wanted.clone());
        Journal { id: self.id, stamp, root, wanted, size: self.size, have }.encode()
    }
}
