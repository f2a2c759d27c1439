//! The stages of a download, and how one leads to the next.
//!
//! This is where the parts are wired: each returns what is to follow, and only here it is carried out.

mod beginning;
mod ending;

use alloc::vec::Vec;
use core::mem::{discriminant, take};

use cid::Cid;

use super::assembly::{Assembly, Mode};
use super::commit::{Commit, CommitResult};
use super::effects::{Done, EffectId, FsError};
use super::events::{
    DownloadError, DownloadEvent, DownloadOutput, Missing, Operation, Outcome, StallReason,
};
use super::handles::{Handles, Step};
use super::options::{DownloadOptions, Goal, SyncPolicy};
use super::outbox::{Outbox, Purpose};
use super::preparation::Preparation;
use super::progress::Reporter;
use super::proof::Proof;
use super::setup::{EarlierRun, Setup};
use super::source::SourceFile;
use super::teardown::{Teardown, TeardownStep};
use super::transfer::{Transfer, TransferResult};
use crate::block::Block;
use crate::chunk::range_map::{Holders, Order, RangeMap};
use crate::time::Timestamp;

/// Where a download is.
#[derive(Clone, Debug)]
enum Stage {
    Setup(Setup),
    /// The root's block is fetched.
    Root {
        is_requested: bool,
    },
    /// Bytes are transferred, or compared.
    Transfer,
    Preparation(Preparation),
    /// The complete file is digested.
    Proof(Proof, AfterProof),
    Commit(Commit),
    Teardown(Teardown),
    Over,
}

/// What follows once the file has the digests that are expected.
#[derive(Clone, Copy, Debug)]
enum AfterProof {
    /// The temporary file gets its name, unless the commit has another beginning.
    Commit,
    /// The target is the file.
    Already,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Stages {
    options: DownloadOptions,
    goal: Goal,
    now: Timestamp,
    stage: Stage,
    source: SourceFile,
    /// What the setup found, until the preparation takes it.
    earlier: EarlierRun,
    /// The length of the target that the setup found.
    target_len: Option<u64>,
    outbox: Outbox,
    handles: Handles,
    transfer: Transfer,
    reporter: Reporter,
    holders: Holders,
    is_paused: bool,
}

impl Stages {
    pub(super) fn start(root: Cid, options: DownloadOptions, goal: Goal, now: Timestamp) -> Self {
        let (setup, step) = Setup::start(goal);
        let mut stages = Self {
            goal,
            now,
            stage: Stage::Setup(setup),
            source: SourceFile::new(root, options.wanted.clone()),
            earlier: EarlierRun::default(),
            target_len: None,
            outbox: Outbox::default(),
            handles: Handles::default(),
            transfer: Transfer::new(&options),
            reporter: Reporter::new(options.stall_after, now),
            holders: Holders::default(),
            is_paused: false,
            options,
        };
        stages.step(step);
        stages
    }

    pub(super) fn poll_output(&mut self) -> Option<DownloadOutput> {
        let output = self.outbox.pop();
        if self.outbox.was_full() {
            self.advance(self.now);
        }
        output
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.outbox.due(self.now).or_else(|| match &self.stage {
            Stage::Root { .. } => (!self.is_paused).then(|| self.reporter.due()),
            Stage::Transfer if self.transfer.is_complete() => None,
            Stage::Transfer => {
                let tick = self.is_measured().then(|| self.reporter.due());
                self.transfer.deadline(self.outbox.is_saving()).into_iter().chain(tick).min()
            }
            Stage::Preparation(preparation) if preparation.awaits_space() => {
                self.transfer.disk().held_until()
            }
            Stage::Commit(commit) => commit.wait_until(),
            _ => None,
        })
    }

    pub(super) fn handle_done(
        &mut self,
        id: EffectId,
        result: Result<Done, FsError>,
        now: Timestamp,
    ) {
        self.now = self.now.max(now);
        let (budget, now) = (self.options.rename.budget, self.now);
        let Some(purpose) = self.outbox.answered(id, &result, budget, now) else { return };
        match purpose {
            Purpose::Step(change) => {
                self.handles.apply(change, result.is_ok());
                self.step_done(result);
            }
            Purpose::Write(_) if result.is_err() && self.is_ending() => {
                if let Stage::Teardown(teardown) = &mut self.stage {
                    teardown.write_failed();
                }
            }
            purpose => {
                let parts = (&self.outbox, &self.source);
                let time = (self.now, self.options.wait_for_space);
                let next = self.transfer.answered(purpose, result, parts, time);
                self.transfer_next(next);
            }
        }
        self.advance(now);
    }

    pub(super) fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let is_useful = match &mut self.stage {
            Stage::Teardown(_) | Stage::Over => false,
            Stage::Root { is_requested } if block.cid() == self.source.root() => {
                *is_requested = false;
                self.root_arrived(block.data());
                true
            }
            _ => {
                let used = self.transfer.assembly_mut().map_or(Ok(false), |it| it.block(block));
                used.unwrap_or_else(|invalid| {
                    self.fail(invalid.into());
                    true
                })
            }
        };
        self.advance(now);
        is_useful
    }

    pub(super) fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp) {
        self.now = self.now.max(now);
        let was_root = match &mut self.stage {
            Stage::Root { is_requested } if cid == self.source.root() => take(is_requested),
            _ => false,
        };
        let assembly = self.transfer.assembly_mut();
        let was_requested = assembly.is_some_and(|it| it.want_ended(cid)) || was_root;
        if was_requested && missing == Missing::NotFound {
            self.fail(DownloadError::Unavailable { cid: *cid });
        }
        self.advance(now);
    }

    pub(super) const fn handle_network(&mut self, reason: StallReason) {
        self.reporter.set_network(reason);
    }

    pub(super) fn pause(&mut self, now: Timestamp) {
        self.is_paused = true;
        self.cancel_wants();
        self.transfer.checkpoints_mut().force();
        self.advance(now);
    }

    pub(super) fn resume(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.is_paused = false;
        self.transfer.disk_mut().try_now();
        self.reporter.skip(self.now);
        self.advance(now);
    }

    /// Ends the download and keeps its data, unless its file has its name: then it is finished in a moment.
    pub(super) fn stop(&mut self, now: Timestamp) {
        if !matches!(&self.stage, Stage::Commit(commit) if commit.has_renamed()) {
            self.end_with(Outcome::Stopped, false, now);
        }
    }

    /// Ends the download as its user asks; `remove` removes the temporary files.
    pub(super) fn end_with(&mut self, outcome: Outcome, remove: bool, now: Timestamp) {
        self.now = self.now.max(now);
        self.end(outcome, remove && self.goal == Goal::Fetch);
        self.advance(now);
    }

    pub(super) fn set_order(&mut self, order: Order, now: Timestamp) {
        self.options.order = order;
        if let Some(assembly) = self.transfer.assembly_mut() {
            assembly.set_order(order);
        }
        self.advance(now);
    }

    pub(super) fn seek(&mut self, position: u64, now: Timestamp) {
        let cancelled = self.transfer.assembly_mut().map(|assembly| assembly.seek(position));
        self.push_cancels(cancelled);
        self.advance(now);
    }

    pub(super) fn set_holders(&mut self, holders: Holders) {
        self.holders = holders.clone();
        if let Some(assembly) = self.transfer.assembly_mut() {
            assembly.set_holders(holders);
        }
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.source.node().map(|_| self.source.size())
    }

    pub(super) fn map(&self) -> Option<&RangeMap> {
        self.transfer.map().filter(|_| !self.is_ending())
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) {
        self.outbox.validate();
        self.handles.validate();
        self.transfer.validate();
        assert!(!self.is_over() || (self.outbox.is_settled() && self.handles.open().is_none()));
    }

    const fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Teardown(_) | Stage::Over)
    }

    /// Runs everything that can run now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.outbox.run_retry(self.now, self.is_ending());
        loop {
            let before = discriminant(&self.stage);
            match self.stage {
                Stage::Root { .. } => self.run_root(),
                Stage::Transfer => self.run_transfer(),
                Stage::Preparation(_) => self.run_preparation(),
                Stage::Proof(..) => self.run_proof(),
                Stage::Commit(_) => self.run_commit(),
                Stage::Teardown(_) => self.run_teardown(),
                Stage::Setup(_) | Stage::Over => {}
            }
            if discriminant(&self.stage) == before {
                break;
            }
        }
    }

    /// The step that the stage waited for is answered.
    fn step_done(&mut self, result: Result<Done, FsError>) {
        match &mut self.stage {
            Stage::Setup(setup) => {
                let next = setup.done(result, self.source.root(), &self.options);
                self.set_up(next);
            }
            Stage::Preparation(preparation) => {
                let (transfer, source) = (&mut self.transfer, &self.source);
                let next = preparation.done(result, transfer, source, &self.options, self.now);
                self.prepare(next);
            }
            Stage::Proof(proof, _) => {
                if let Err(error) = proof.done(result) {
                    self.fail(error);
                }
            }
            Stage::Commit(commit) => match commit.done(result, self.now) {
                CommitResult::Continue => {}
                CommitResult::Lost(error) => self.rewrite(error),
                CommitResult::End(outcome) => self.end(outcome, false),
            },
            Stage::Teardown(teardown) => teardown.done(result),
            Stage::Root { .. } | Stage::Transfer | Stage::Over => {
                debug_assert!(false, "no step runs in this stage");
            }
        }
    }

    fn run_transfer(&mut self) {
        self.run_writes();
        while let Some(next) = self.transfer.next_request(&self.outbox, self.is_paused) {
            self.transfer_next(next);
            if self.is_ending() {
                return;
            }
        }
        // A node may hold bytes of its own.
        self.run_writes();
        if self.transfer.is_complete() {
            if self.outbox.is_settled() {
                self.transferred();
            }
            return;
        }
        if let Some(next) = self.transfer.next_checkpoint(&self.outbox, self.now) {
            self.transfer_next(next);
        }
        self.measure();
    }

    fn run_writes(&mut self) {
        while let Some(next) = self.transfer.next_write(&self.outbox, &self.source, self.now) {
            self.transfer_next(next);
        }
    }

    fn transfer_next(&mut self, next: TransferResult) {
        match next {
            TransferResult::Continue => {}
            TransferResult::Want(want) => self.outbox.push(DownloadOutput::Want(want)),
            TransferResult::Issue(effect, purpose) => self.outbox.issue(effect, purpose),
            TransferResult::Report(event) => self.report(Some(event)),
            TransferResult::Fail(error) => self.fail(error),
            TransferResult::SaveFailed(error) => match &mut self.stage {
                Stage::Teardown(teardown) => teardown.save_failed(error),
                _ => self.fail(error),
            },
            // The end comes before a new beginning.
            _ if self.is_ending() => {}
            TransferResult::Lost(error) => self.rewrite(error),
            TransferResult::SampleDiffers => {
                let plan = self.transfer.reverify();
                self.abandon_transfer();
                self.start_fetch(plan);
            }
            TransferResult::TargetDiffers => {
                self.abandon_transfer();
                self.start_preparation();
            }
        }
    }

    /// A sync failed: what was not durable before is written again, through a new handle.
    fn rewrite(&mut self, error: FsError) {
        if !self.transfer.checkpoints_mut().lost() {
            return self.fail(DownloadError::File { operation: Operation::Sync, error });
        }
        self.abandon_transfer();
        let plan = self.transfer.claims().replan();
        self.stage = Stage::Preparation(Preparation::of_rewrite(plan));
    }

    /// Reports progress and stalls when it is time.
    fn measure(&mut self) {
        if self.is_measured() {
            let events = self.reporter.measure(&self.transfer, &self.outbox, self.now);
            self.report(events);
        }
    }

    fn is_measured(&self) -> bool {
        !self.is_paused && self.transfer.mode() != Some(Mode::Precheck)
    }

    fn fail(&mut self, error: DownloadError) {
        self.end(Outcome::Failed(error), false);
    }

    /// Begins the end; `remove` removes the temporary files. Only the first end counts.
    fn end(&mut self, outcome: Outcome, remove: bool) {
        if self.is_ending() {
            return;
        }
        self.cancel_wants();
        let is_transferring = matches!(self.stage, Stage::Transfer);
        let is_fetching = is_transferring && self.transfer.mode() == Some(Mode::Fetch);
        self.stage = Stage::Teardown(if remove {
            Teardown::removing(outcome)
        } else if is_fetching && self.options.sync != SyncPolicy::Never {
            Teardown::keeping(outcome).saving(!self.transfer.disk().is_full())
        } else {
            Teardown::keeping(outcome)
        });
    }

    fn run_teardown(&mut self) {
        while self.outbox.is_settled()
            && let Stage::Teardown(teardown) = &mut self.stage
        {
            match teardown.next(&self.handles) {
                TeardownStep::Flush => {
                    while let Some(next) = self.transfer.flush(&self.source) {
                        self.transfer_next(next);
                    }
                }
                TeardownStep::Save => {
                    if let Some(next) = self.transfer.save() {
                        self.transfer_next(next);
                    }
                }
                TeardownStep::Step(step) => self.step(step),
                TeardownStep::End(outcome) => self.finish(outcome),
            }
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        if matches!(outcome, Outcome::Finished(_) | Outcome::Verified { .. }) {
            let event = self.reporter.finish(self.source.target_len());
            self.report(event);
        }
        self.report(Some(DownloadEvent::Ended(outcome)));
        self.transfer.abandon();
        self.stage = Stage::Over;
    }

    /// Issues the one step that the stage waits for.
    fn step(&mut self, step: Step) {
        self.outbox.issue(step.effect, Purpose::Step(step.change));
    }

    fn report(&mut self, events: impl IntoIterator<Item = DownloadEvent>) {
        for event in events {
            self.outbox.push(DownloadOutput::Event(event));
        }
    }

    /// Cancels everything that was requested.
    fn cancel_wants(&mut self) {
        if let Stage::Root { is_requested } = &mut self.stage
            && take(is_requested)
        {
            self.outbox.push(DownloadOutput::Cancel(*self.source.root()));
        }
        let cancelled = self.transfer.assembly_mut().map(Assembly::cancel_all);
        self.push_cancels(cancelled);
    }

    fn push_cancels(&mut self, cids: Option<Vec<Cid>>) {
        for cid in cids.into_iter().flatten() {
            self.outbox.push(DownloadOutput::Cancel(cid));
        }
    }

    /// The transfer is given up: the answers to its effects are ignored.
    fn abandon_transfer(&mut self) {
        self.cancel_wants();
        self.transfer.abandon();
        self.outbox.abandon_transfer();
    }
}
