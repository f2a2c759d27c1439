//! One download, from a CID to a file under its name.
//!
//! [`Download`] is a state machine: it does nothing by itself, it requests operations and is given their
//! results. `stages` wires its parts, each of which owns one invariant and returns what is to follow:
//! `setup` and `preparation` lead to the transfer, `transfer` moves the bytes, `proof` compares the digests that are expected, `commit` gives the file its
//! name, `teardown` ends it all.
//!
//! ```text
//! Setup ─ Root ─┬─────────────────────────────────┬─ Preparation ─ Transfer ─ Proof ─ Commit ─ Teardown ─ Over
//!               └─ Transfer: compares the target ─┘
//! ```
//!
//! Every stage may lead to the teardown, and a failed sync from the transfer or the commit back to the
//! preparation.
//!
//! 1. The target's name is touched by the rename alone; until then the target is only read.
//! 2. The temporary file is closed before it is renamed.
//! 3. The journal claims only what was written before a sync that succeeded. After a sync that
//!    failed, everything since the last good one is fetched and written again, through a new
//!    handle.
//! 4. Nothing is allocated by a length before the root that claims it was checked.
//! 5. Exactly one [`DownloadEvent::Ended`] comes, last, when all files are closed.

mod assembly;
mod checkpoints;
mod claims;
mod commit;
mod disk;
mod effects;
mod events;
mod handles;
mod journal;
mod options;
mod outbox;
mod preparation;
mod progress;
mod proof;
mod requests;
mod retry;
mod setup;
mod source;
mod stages;
mod teardown;
#[cfg(test)]
pub(super) mod tests;
mod transfer;
mod verification;

use cid::Cid;

pub(super) use disk::DiskHealth;
pub use effects::{Check, Done, Effect, EffectId, FileRole, FsError, FsErrorKind, Obstacle, Stamp};
pub use events::{
    BlockWant, DigestKind, DownloadError, DownloadEvent, DownloadOutput, Finished, Missing,
    Operation, Outcome, Progress, StallReason,
};
pub use journal::{JOURNAL_MAX, Journal};
use options::Goal;
pub use options::{DownloadOptions, IfExists, RenameRetry, Resume, SyncPolicy};
use stages::Stages;

use super::range_map::{Holders, Order, RangeMap};
use crate::block::Block;
use crate::time::Timestamp;

/// A download, or the comparison of a file with a CID. See the [module](super) for the run loop.
#[derive(Clone, Debug)]
pub struct Download {
    stages: Stages,
}

impl Download {
    /// Starts the download of the file `root`.
    #[must_use]
    pub fn new(root: Cid, options: DownloadOptions, now: Timestamp) -> Self {
        Self { stages: Stages::start(root, options, Goal::Fetch, now) }
    }

    /// Starts the comparison of the file on disk, [`FileRole::Target`]`(0)`, with the file `root`.
    ///
    /// Only blocks that are not leaves are fetched, as far as the DAG tells them apart; nothing is
    /// written. It ends in [`Outcome::Verified`].
    #[must_use]
    pub fn verify(root: Cid, options: DownloadOptions, now: Timestamp) -> Self {
        Self { stages: Stages::start(root, options, Goal::Verify, now) }
    }

    /// The next output. Call it until it returns `None`, after every other call.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<DownloadOutput> {
        self.stages.poll_output()
    }

    /// When to call [`Self::handle_timeout`] at the latest; not after the last `now` while an
    /// output is ready. `None` while only answers are waited for, and after the end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.stages.poll_timeout()
    }

    /// Time passed. Too early or too often does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.stages.advance(now);
    }

    /// An effect is done, or failed. Unknown and repeated ids are ignored.
    pub fn handle_done(&mut self, id: EffectId, result: Result<Done, FsError>, now: Timestamp) {
        self.stages.handle_done(id, result, now);
    }

    /// A verified block arrived, requested or not. Returns whether it was of use.
    pub fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool {
        self.stages.handle_block(block, now)
    }

    /// A want ended without a block.
    pub fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp) {
        self.stages.handle_want_failed(cid, missing, now);
    }

    /// Why no block may arrive, as the host sees it: the reason that a stall will give.
    pub const fn handle_network(&mut self, reason: StallReason) {
        self.stages.handle_network(reason);
    }

    /// Requests nothing more and cancels what was requested; what is written is made durable.
    pub fn pause(&mut self, now: Timestamp) {
        self.stages.pause(now);
    }

    /// Continues after [`Self::pause`], or tries a full disk again at once.
    pub fn resume(&mut self, now: Timestamp) {
        self.stages.resume(now);
    }

    /// Ends the download and keeps its data: starting it again resumes it. One whose file has its name ends as
    /// finished.
    pub fn stop(&mut self, now: Timestamp) {
        self.stages.stop(now);
    }

    /// Ends the download and removes its temporary data.
    pub fn cancel(&mut self, now: Timestamp) {
        self.stages.end_with(Outcome::Cancelled, true, now);
    }

    /// Changes the order in which blocks are requested.
    pub fn set_order(&mut self, order: Order, now: Timestamp) {
        self.stages.set_order(order, now);
    }

    /// Moves the reader of [`Order::Deadline`] to a position in the whole file. Wants that it does
    /// not wait for are cancelled, so that those that it waits for go first.
    pub fn seek(&mut self, position: u64, now: Timestamp) {
        self.stages.seek(position, now);
    }

    /// Sets how many peers have each block, for [`Order::Rarest`]. It holds for blocks that are found to be needed
    /// later too; without it all are equal.
    pub fn set_holders(&mut self, holders: Holders) {
        self.stages.set_holders(holders);
    }

    /// The file's length, once it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.stages.size()
    }

    /// The state of every range, while bytes are transferred. A reader may read what it
    /// [has](RangeMap::have) from the temporary file.
    #[must_use]
    pub fn map(&self) -> Option<&RangeMap> {
        self.stages.map()
    }

    /// Whether the end was reached: no output follows those that are ready.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.stages.is_over()
    }

    /// Checks the structure of all parts.
    ///
    /// # Panics
    ///
    /// When one of them is inconsistent.
    #[cfg(any(test, feature = "testing"))]
    pub fn validate(&self) {
        self.stages.validate();
    }
}
