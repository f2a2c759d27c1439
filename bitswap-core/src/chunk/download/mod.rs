//! One download, from a CID to a file under its name.
//!
//! [`Download`] is a state machine: it does nothing by itself, it says what to do and is told what
//! came of it. This file is its front door; `phases` holds the way in, `moving` what happens while bytes
//! come, `ending` the way out, `earlier` what becomes of what an earlier run left.
//!
//! 1. The target's name is touched by the rename alone; until then the target is only read.
//! 2. The temporary file is closed before it is renamed.
//! 3. The journal claims only what was written before a sync that succeeded. After a sync that
//!    failed, everything since the last good one is fetched and written again, through a new
//!    handle.
//! 4. Nothing is allocated by a length before the root that claims it was checked.
//! 5. Exactly one [`DownloadEvent::Ended`] comes, last, when all files are closed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::ops::Range;

use cid::Cid;

use self::assembly::Transfer;
use self::checks::Checks;
use self::commit::Finalize;
use self::earlier::{Earlier, new_id};
use self::ending::Ending;
use self::journal::PartId;
use self::meter::Meter;
use self::moving::{Checkpoint, Disk};
use self::phases::Phase;
use crate::block::Block;
use crate::chunk::manifest::Extent;
use crate::chunk::range_map::Order;
use crate::chunk::range_map::RangeMap;
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::FileNode;
use crate::time::Timestamp;

mod assembly;
mod checks;
mod commit;
mod earlier;
mod effects;
mod ending;
mod events;
mod existing;
mod journal;
mod meter;
mod moving;
mod options;
mod phases;
#[cfg(test)]
pub(super) mod tests;

pub use effects::{Check, Done, Effect, EffectId, FileRole, FsError, FsErrorKind, Obstacle, Stamp};
pub use events::{
    BlockWant, DownloadError, DownloadEvent, DownloadOutput, Finished, Missing, Operation, Outcome,
    Progress, StallReason,
};
pub use journal::{JOURNAL_MAX, Journal};
pub use options::{DownloadOptions, IfExists, RenameRetry, Resume, SyncPolicy};

/// Above so many outputs no block is asked for until they were taken.
const OUTPUTS_MAX: usize = 256;

/// What the answer to an effect is for.
#[derive(Clone, Debug)]
enum Pending {
    /// The one step that the present phase waits for.
    Step(Handles),
    Write(Extent),
    /// The comparison of this range.
    Check(Range<u64>),
    /// A checkpoint's sync: what may be claimed when it works.
    Sync(RangeSet),
    /// A checkpoint's look at the file: what may be claimed now.
    Stamp(RangeSet),
    Save,
    /// How much space a disk has that is full in this way.
    Space(FsErrorKind),
    /// Belongs to a transfer that was given up; only its end matters.
    Stale,
}

/// What a step does to the lock and the open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handles {
    Lock,
    Unlock,
    Open(FileRole),
    Close,
    Same,
}

/// What a download is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Fetch,
    Verify,
}

/// A download, or the comparison of a file with a CID. See the [module](super) for the run loop.
#[derive(Clone, Debug)]
pub struct Download {
    root: Cid,
    options: DownloadOptions,
    goal: Goal,
    now: Timestamp,
    phase: Phase,
    outputs: VecDeque<DownloadOutput>,
    pending: BTreeMap<EffectId, Pending>,
    next_id: u64,
    /// The root's node, once it is known.
    node: Option<Arc<FileNode>>,
    /// The length of the whole file, once it is known.
    size: u64,
    target_len: Option<u64>,
    temp_len: u64,
    /// The journal of an earlier run, until it is adopted or not.
    journal: Option<Journal>,
    /// Something has the journal's name, although perhaps no journal.
    has_journal: bool,
    /// The id of the temporary file, and whether it lies in the file for certain.
    id: PartId,
    is_marked: bool,
    /// What an earlier run claimed, as far as it was neither compared nor written in this one.
    earlier: Earlier,
    /// What is there at the next start of the transfer, and what of it is checked.
    plan: Option<(RangeSet, Checks)>,
    /// What the journal on disk claims, or may.
    durable: RangeSet,
    transfer: Option<Transfer>,
    finalize: Option<Finalize>,
    ending: Option<Ending>,
    disk: Disk,
    checkpoint: Checkpoint,
    meter: Meter,
    network: StallReason,
    is_paused: bool,
    is_root_asked: bool,
    is_started: bool,
    is_locked: bool,
    open: Option<FileRole>,
}

impl Download {
    /// Starts the download of the file `root`.
    #[must_use]
    pub fn new(root: Cid, options: DownloadOptions, now: Timestamp) -> Self {
        Self::begin(root, options, Goal::Fetch, now)
    }

    /// Starts the comparison of the file on disk, [`FileRole::Target`]`(0)`, with the file `root`.
    ///
    /// Only blocks that are not leaves are fetched, as far as the DAG tells them apart; nothing is
    /// written. It ends in [`Outcome::Verified`].
    #[must_use]
    pub fn verify(root: Cid, options: DownloadOptions, now: Timestamp) -> Self {
        Self::begin(root, options, Goal::Verify, now)
    }

    fn begin(root: Cid, options: DownloadOptions, goal: Goal, now: Timestamp) -> Self {
        let id = new_id(&options.seed);
        let mut download = Self {
            root,
            options,
            goal,
            now,
            phase: Phase::Lock,
            outputs: VecDeque::new(),
            pending: BTreeMap::new(),
            next_id: 0,
            node: None,
            size: 0,
            target_len: None,
            temp_len: 0,
            journal: None,
            has_journal: false,
            id,
            is_marked: false,
            earlier: Earlier::default(),
            plan: None,
            durable: RangeSet::new(),
            transfer: None,
            finalize: None,
            ending: None,
            disk: Disk::default(),
            checkpoint: Checkpoint::default(),
            meter: Meter::new(0, 0, now),
            network: StallReason::PeersSilent,
            is_paused: false,
            is_root_asked: false,
            is_started: false,
            is_locked: false,
            open: None,
        };
        match goal {
            Goal::Fetch => download.step(Effect::Lock, Handles::Lock),
            Goal::Verify => download.open_target(),
        }
        download
    }

    /// The next thing to do. Call it until it gives `None`, after every other call.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<DownloadOutput> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() && self.outputs.capacity() >= OUTPUTS_MAX {
            self.outputs = VecDeque::new();
            // What did not fit.
            self.advance(self.now);
        }
        output
    }

    /// When to call [`Self::handle_timeout`] at the latest; not after the last `now` while an
    /// output is ready. `None` while only answers are waited for, and after the end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.outputs.is_empty() { self.next_timer() } else { Some(self.now) }
    }

    /// Time passed. Too early or too often does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// An effect is done, or failed. Unknown and repeated ids are ignored.
    pub fn handle_done(&mut self, id: EffectId, result: Result<Done, FsError>, now: Timestamp) {
        self.now = self.now.max(now);
        let Some(pending) = self.pending.remove(&id) else { return };
        match pending {
            Pending::Step(handles) => {
                self.note_handles(handles, result.is_ok());
                self.step_done(result);
            }
            Pending::Write(extent) => self.write_done(extent, result),
            Pending::Check(range) => self.check_done(range, result),
            Pending::Sync(claims) => self.sync_done(claims, result),
            Pending::Stamp(claims) => self.stamp_done(claims, result),
            Pending::Save => self.journal_saved(result),
            Pending::Space(kind) => self.space_told(kind, result),
            Pending::Stale => {}
        }
        self.advance(now);
    }

    /// A verified block arrived, asked for or not. Tells whether it was of use.
    pub fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let useful = if self.ending.is_some() {
            false
        } else if self.phase == Phase::Root && *block.cid() == self.root {
            self.is_root_asked = false;
            self.root_arrived(block.data());
            true
        } else {
            self.block_arrived(block)
        };
        self.advance(now);
        useful
    }

    /// A want ended without a block.
    pub fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp) {
        self.now = self.now.max(now);
        let was_root = self.phase == Phase::Root && self.is_root_asked && *cid == self.root;
        let was_asked = self.transfer.as_mut().is_some_and(|transfer| transfer.unwant(cid));
        if was_root {
            self.is_root_asked = false;
        }
        if (was_root || was_asked) && missing == Missing::NotFound {
            self.fail(DownloadError::Unavailable { cid: *cid });
        }
        self.advance(now);
    }

    /// Why no block may be coming, as the host sees it: the reason that a stall will give.
    pub const fn handle_network(&mut self, reason: StallReason) {
        self.network = reason;
    }

    /// Asks for nothing more and takes back what was asked; what is there is made durable.
    pub fn pause(&mut self, now: Timestamp) {
        self.is_paused = true;
        self.cancel_wants();
        self.checkpoint.force();
        self.advance(now);
    }

    /// Goes on after [`Self::pause`], or tries a full disk again at once.
    pub fn resume(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.is_paused = false;
        self.disk.try_now();
        self.meter.skip(self.now);
        self.advance(now);
    }

    /// Ends the download and keeps its data: starting it again goes on from here.
    pub fn stop(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.end(Outcome::Stopped, false);
        self.advance(now);
    }

    /// Ends the download and removes its temporary data.
    pub fn cancel(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.end(Outcome::Cancelled, self.goal == Goal::Fetch);
        self.advance(now);
    }

    /// Changes the order in which blocks are asked for.
    pub fn set_order(&mut self, order: Order, now: Timestamp) {
        self.options.order = order;
        if let Some(transfer) = &mut self.transfer {
            transfer.set_order(order);
        }
        self.advance(now);
    }

    /// Moves the reader of [`Order::Deadline`] to a position in the whole file. Wants that it does
    /// not wait for are taken back, so that those that it waits for go first.
    pub fn seek(&mut self, position: u64, now: Timestamp) {
        if let Some(transfer) = &mut self.transfer {
            let gone = transfer.seek(position);
            self.outputs.extend(gone.into_iter().map(DownloadOutput::Cancel));
        }
        self.advance(now);
    }

    /// Tells how many peers have a block, for [`Order::Rarest`].
    pub fn set_holders(&mut self, cid: &Cid, holders: u32) {
        if let Some(transfer) = &mut self.transfer {
            transfer.map_mut().set_holders(cid, holders);
        }
    }

    /// The file's length, once it is known.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        if self.node.is_some() { Some(self.size) } else { None }
    }

    /// The state of every range, while bytes are moving. A reader may read what it
    /// [has](RangeMap::have) from the temporary file.
    #[must_use]
    pub fn map(&self) -> Option<&RangeMap> {
        let transfer = self.transfer.as_ref().filter(|_| self.ending.is_none());
        transfer.map(Transfer::map)
    }

    /// Whether the end was reached: no output follows those that are ready.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Emits the effect that the phase waits for.
    fn step(&mut self, effect: Effect, handles: Handles) {
        self.issue(effect, Pending::Step(handles));
    }

    fn issue(&mut self, effect: Effect, pending: Pending) {
        let id = EffectId(self.next_id);
        self.next_id += 1;
        self.pending.insert(id, pending);
        self.outputs.push_back(DownloadOutput::Effect(id, effect));
    }

    fn tell(&mut self, event: DownloadEvent) {
        self.outputs.push_back(DownloadOutput::Event(event));
    }

    /// Takes back everything that was asked for.
    fn cancel_wants(&mut self) {
        if core::mem::take(&mut self.is_root_asked) {
            self.outputs.push_back(DownloadOutput::Cancel(self.root));
        }
        if let Some(transfer) = &mut self.transfer {
            let gone = transfer.withdraw();
            self.outputs.extend(gone.into_iter().map(DownloadOutput::Cancel));
        }
    }

    /// The transfer is given up: the answers it waits for mean nothing any more.
    fn drop_transfer(&mut self) {
        self.cancel_wants();
        self.transfer = None;
        for pending in self.pending.values_mut() {
            if !matches!(pending, Pending::Step(_)) {
                *pending = Pending::Stale;
            }
        }
    }

    const fn note_handles(&mut self, handles: Handles, worked: bool) {
        match handles {
            Handles::Lock => self.is_locked = worked,
            Handles::Unlock => self.is_locked = false,
            Handles::Open(role) if worked => self.open = Some(role),
            // Whatever close says, the handle is gone.
            Handles::Close => self.open = None,
            Handles::Open(_) | Handles::Same => {}
        }
    }
}
