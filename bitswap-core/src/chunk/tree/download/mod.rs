//! The download of a tree. This is where its parts are wired: `stages` leads from one to the next, `entries`
//! begins what the walk finds, `files` moves each file on.

mod entries;
mod files;
mod stages;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::checkpoint::Unnamed;
use super::dirs::Dirs;
use super::effects::TreeEffect;
use super::events::{
    TreeError, TreeEvent, TreeFinished, TreeOperation, TreeOutcome, TreeOutput, TreeProgress,
};
use super::journal::{TREE_JOURNAL_MAX, TreeJournal};
use super::large::{Large, LargeOutput};
use super::outbox::{Outbox, Purpose};
use super::path::TreePath;
use super::rules::{InvalidTree, NameRule, TreeBounds, TreeFault};
use super::small::{Small, Stage as SmallStage, Taken};
use super::stalls::Stalls;
use super::walk::{DirId, EntryKind, TreeEntry, TreeWalk, WalkOutput, estimate};
use crate::block::Block;
use crate::chunk::download::{
    BlockWant, DiskHealth, Done, DownloadError, DownloadOptions, EffectId, FsError, FsErrorKind,
    Missing, Outcome, StallReason, SyncPolicy,
};
use crate::chunk::range_map::Holders;
use crate::chunk::unixfs::{DagFault, FileNode, InvalidDag, Link, Metadata};
use crate::time::Timestamp;

/// Small files that are compared, fetched and written at a time.
const SMALL_MAX: usize = 256;
/// Small files that are written and have no names yet, at most.
const UNNAMED_MAX: usize = 2048;
/// Large files at a time.
const LARGE_MAX: usize = 16;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(500);
/// How long a name that cannot be given is left alone.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// The settings of the download of a tree.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// What holds for each file, and of the window, the checkpoints and the seed for all together. Files are
    /// fetched whole, in the order of the tree, and no digest is expected of them.
    pub download: DownloadOptions,
    /// What a tree may cost.
    pub bounds: TreeBounds,
    /// Which names are taken.
    pub rule: NameRule,
    /// Whether symbolic links are made; otherwise they are left out.
    pub links: bool,
    /// Whether files and directories get the permissions and times that the tree has of them.
    pub metadata: bool,
}

impl Default for TreeOptions {
    /// Every name that is one component, links, and metadata.
    fn default() -> Self {
        let (download, bounds) = (DownloadOptions::default(), TreeBounds::default());
        Self { download, bounds, rule: |_| Ok(None), links: true, metadata: true }
    }
}

#[derive(Clone, Debug)]
enum Stage {
    Lock,
    ReadJournal,
    /// The root's block is fetched.
    Root,
    /// The target and the work directory are made.
    Begin(DirId),
    Entries,
    /// Everything has its name.
    Sync,
    RemoveWork,
    /// What runs is waited for.
    Settle(Ending),
    /// The work directory of a cancelled download is removed.
    Clean(TreeOutcome),
    Unlock(TreeOutcome),
    Over,
}

#[derive(Clone, Debug)]
struct Ending {
    outcome: TreeOutcome,
    /// What is temporary is removed.
    removes: bool,
    /// What is written gets its name first.
    flushes: bool,
}

/// Who waits for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    Walk,
    Small(u64),
    Large(u64),
}

/// The download of a tree. It is driven as a [`Download`](crate::chunk::Download) is: take its outputs after every
/// call, and answer wants and effects.
#[derive(Clone, Debug)]
pub struct TreeDownload {
    root: Cid,
    options: TreeOptions,
    now: Timestamp,
    stage: Stage,
    is_locked: bool,
    is_paused: bool,
    outbox: Outbox,
    walk: Option<TreeWalk>,
    /// What the walk gave and cannot be begun yet.
    held: Option<WalkOutput>,
    dirs: Dirs,
    journal: TreeJournal,
    /// Effects of large files that wait until the journal is saved.
    unsaved: Vec<(u64, EffectId)>,
    waiters: BTreeMap<Cid, Vec<Waiter>>,
    /// What is to be requested once it is not paused any more.
    deferred: Vec<(BlockWant, Waiter)>,
    next_file: u64,
    small: BTreeMap<u64, Small>,
    /// What each small file that is compared, fetched or written takes of the window.
    busy: BTreeMap<u64, u64>,
    busy_bytes: u64,
    writes: VecDeque<u64>,
    unnamed: Unnamed,
    /// Names that are tried again, and when.
    retries: VecDeque<(Timestamp, u64)>,
    large: BTreeMap<u64, Large>,
    disk: DiskHealth,
    finished: TreeFinished,
    found: u64,
    reported: TreeProgress,
    tick: Timestamp,
    stalls: Stalls,
    holders: Holders,
}

impl TreeDownload {
    /// Starts the download of the directory `root`.
    #[must_use]
    pub fn new(root: Cid, options: TreeOptions, now: Timestamp) -> Self {
        let durable = options.download.sync != SyncPolicy::Never;
        let mut download = Self {
            root,
            options,
            now,
            stage: Stage::Lock,
            is_locked: false,
            is_paused: false,
            outbox: Outbox::default(),
            walk: None,
            held: None,
            dirs: Dirs::default(),
            journal: TreeJournal::new(root),
            unsaved: Vec::new(),
            waiters: BTreeMap::new(),
            deferred: Vec::new(),
            next_file: 0,
            small: BTreeMap::new(),
            busy: BTreeMap::new(),
            busy_bytes: 0,
            writes: VecDeque::new(),
            unnamed: Unnamed::default(),
            retries: VecDeque::new(),
            large: BTreeMap::new(),
            disk: DiskHealth::default(),
            finished: TreeFinished { durable, ..TreeFinished::default() },
            found: 0,
            reported: TreeProgress::default(),
            tick: now + TICK,
            stalls: Stalls::new(now),
            holders: Holders::default(),
        };
        download.outbox.issue(TreeEffect::Lock, Purpose::Step);
        download
    }

    /// The next output. Call it until it returns `None`, after every other call.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<TreeOutput> {
        self.outbox.pop()
    }

    /// When to call [`Self::handle_timeout`] at the latest. `None` while only answers are waited for, and after
    /// the end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if !self.outbox.is_empty() {
            return Some(self.now);
        }
        if !matches!(self.stage, Stage::Root | Stage::Entries | Stage::Settle(_)) {
            return None;
        }
        let names = self.retries.front().map(|(at, _)| *at);
        let is_running = matches!(self.stage, Stage::Root | Stage::Entries);
        let disk = self.disk.held_until().filter(|_| is_running && !self.writes.is_empty());
        let is_at_checkpoint = self.outbox.is_at_checkpoint();
        let checkpoint = self.unnamed.due_at(self.options.download.sync);
        let checkpoint = checkpoint.filter(|_| is_running && !is_at_checkpoint);
        let tick = (is_running && !self.is_paused).then_some(self.tick);
        let large = self.large.values().filter_map(Large::poll_timeout);
        large.chain(names).chain(disk).chain(checkpoint).chain(tick).min()
    }

    /// Time passed. Too early or too often does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        for large in self.large.values_mut() {
            if large.poll_timeout().is_some_and(|at| at <= now) {
                large.handle_timeout(now);
            }
        }
        self.advance();
    }

    /// A verified block arrived, requested or not. Returns whether it was of use.
    pub fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let Some(waiters) = self.waiters.remove(block.cid()) else { return false };
        self.stalls.arrived();
        for waiter in waiters {
            match waiter {
                Waiter::Walk => {
                    if let Some(Err(invalid)) =
                        self.walk.as_mut().map(|walk| walk.handle_block(block))
                    {
                        self.fail(invalid.into());
                    }
                }
                Waiter::Small(file) => {
                    if let Some(small) = self.small.get_mut(&file) {
                        small.arrived(block.data().clone());
                        self.issue(file);
                    }
                }
                Waiter::Large(file) => {
                    if let Some(large) = self.large.get_mut(&file) {
                        large.handle_block(block, now);
                    }
                }
            }
        }
        self.advance();
        true
    }

    /// A want ended without a block.
    pub fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp) {
        self.now = self.now.max(now);
        let Some(waiters) = self.waiters.get(cid) else { return };
        match missing {
            Missing::NotFound => {
                self.waiters.remove(cid);
                self.fail(TreeError::Unavailable { cid: *cid });
            }
            // Those of large files decide themselves whether they ask again.
            Missing::Withdrawn => {
                let (large, others): (Vec<_>, Vec<_>) =
                    waiters.iter().partition(|waiter| matches!(waiter, Waiter::Large(_)));
                self.waiters.remove(cid);
                for waiter in others {
                    let (cid, estimate) = (*cid, estimate(0));
                    self.request(BlockWant { cid, estimate, urgent: true }, waiter);
                }
                for waiter in large {
                    if let Waiter::Large(file) = waiter
                        && let Some(large) = self.large.get_mut(&file)
                    {
                        large.handle_want_failed(cid, missing, now);
                    }
                }
            }
        }
        self.advance();
    }

    /// Why no block may arrive, as the host sees it: the reason that a stall will give.
    pub const fn handle_network(&mut self, reason: StallReason) {
        self.stalls.set_network(reason);
    }

    /// Sets how many peers have each block, for the large files with [`Order::Rarest`](crate::chunk::Order::Rarest).
    pub fn set_holders(&mut self, holders: Holders) {
        for large in self.large.values_mut() {
            large.set_holders(holders.clone());
        }
        self.holders = holders;
    }

    /// Requests nothing more, until [`Self::resume`]. What is requested is taken when it comes.
    pub fn pause(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.is_paused = true;
        self.large.values_mut().for_each(|large| large.pause(now));
        self.advance();
    }

    /// Continues after [`Self::pause`], or tries a full disk again at once.
    pub fn resume(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.is_paused = false;
        self.stalls.skip(self.now);
        self.disk.try_now();
        for (want, waiter) in take(&mut self.deferred) {
            self.request(want, waiter);
        }
        self.large.values_mut().for_each(|large| large.resume(now));
        self.advance();
    }

    /// Ends the download and keeps its data: starting it again resumes it. One that has named everything ends as
    /// finished.
    pub fn stop(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if !matches!(self.stage, Stage::Sync | Stage::RemoveWork) {
            self.end(TreeOutcome::Stopped, false, true);
        }
        self.advance();
    }

    /// Ends the download and removes its temporary data. Files that have their names stay.
    pub fn cancel(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.end(TreeOutcome::Cancelled, true, false);
        self.advance();
    }

    /// Whether the end was reached: no output follows those that are ready.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> TreeProgress {
        let large: u64 = self.large.values().map(Large::done).sum();
        TreeProgress {
            done: self.finished.size + large,
            found: self.found,
            files: self.finished.files,
            entries: self.walk.as_ref().map_or(0, TreeWalk::entries),
            is_all: self.held.is_none() && self.walk.as_ref().is_some_and(TreeWalk::is_over),
            rate: self.reported.rate,
        }
    }

    /// An effect is done, or failed. Unknown and repeated ids are ignored.
    pub fn handle_done(&mut self, id: EffectId, result: Result<Done, FsError>, now: Timestamp) {
        self.now = self.now.max(now);
        let Some(purpose) = self.outbox.answered(id) else { return };
        match purpose {
            Purpose::Step => self.step_done(result),
            Purpose::MakeDir(dir) => match result {
                Ok(Done::Made { is_new }) => self.dirs.made(dir, is_new),
                result => self.dir_failed(dir, TreeOperation::Make, result),
            },
            Purpose::DirMetadata(dir) => match result {
                Ok(_) => self.dir_complete(dir),
                result => self.dir_failed(dir, TreeOperation::Metadata, result),
            },
            Purpose::Link(file) => self.named(file, result),
            Purpose::Look(file) => self.looked(file, result),
            Purpose::Put(file) => self.put(file, result),
            Purpose::Name(file) => self.named(file, result.map(|_| Done::Equal(false))),
            Purpose::Checkpoint(files) => self.synced(files, result),
            Purpose::Save(effects) => {
                for (file, effect) in effects {
                    if let Some(large) = self.large.get_mut(&file) {
                        large.handle_done(effect, result.clone().map(|_| Done::Unit), now);
                    }
                }
            }
            Purpose::Large(file, effect, _) => {
                if let Some(large) = self.large.get_mut(&file) {
                    large.handle_done(effect, result, now);
                }
            }
            Purpose::LargeMetadata(file) => {
                if let Some(large) = self.large.remove(&file) {
                    if let Err(error) = result {
                        let path = large.path().clone();
                        self.failed(path, TreeOperation::Metadata, error);
                    }
                    self.entry_complete(large.parent());
                }
            }
        }
        self.advance();
    }
}
