//! From the setup to the transfer.

use alloc::vec;
use core::mem::{replace, take};

use bytes::Bytes;

use super::super::assembly::Mode;
use super::super::claims::Plan;
use super::super::commit::Commit;
use super::super::events::{BlockWant, DownloadError, DownloadEvent, DownloadOutput, Outcome};
use super::super::options::Goal;
use super::super::preparation::{Preparation, PreparationResult};
use super::super::setup::SetupResult;
use super::{Stage, Stages};
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::unixfs::Link;

impl Stages {
    pub(super) fn set_up(&mut self, result: SetupResult) {
        match result {
            SetupResult::Step(step) => self.step(step),
            SetupResult::LockedByFile(step) => {
                self.report(Some(DownloadEvent::LockFile));
                self.step(step);
            }
            SetupResult::Failed(error) => self.fail(error),
            SetupResult::RootNeeded => self.leave_setup(),
            SetupResult::TargetEqual(size) => {
                self.leave_setup();
                self.source.set_size(size);
                self.target_is_equal();
            }
            SetupResult::TargetDiffers(len) => {
                self.leave_setup();
                // All of it is one leaf, of a length that nobody has told.
                let different = vec![0..len.max(1); 1];
                self.end(Outcome::Verified { size: None, different }, false);
            }
            SetupResult::CommitOnly(size) => {
                self.leave_setup();
                self.source.set_size(size);
                let total = self.source.target_len();
                let event = self.reporter.start(total, total);
                self.report(event);
                self.stage = Stage::Commit(Commit::only_rename(total, &self.options));
            }
        }
    }

    pub(super) fn leave_setup(&mut self) {
        let setup = replace(&mut self.stage, Stage::Root { is_requested: false });
        if let Stage::Setup(setup) = setup {
            (self.earlier, self.target_len) = setup.into_found();
        }
    }

    pub(super) fn run_root(&mut self) {
        let Stage::Root { is_requested } = &mut self.stage else { return };
        match Link::of(self.source.root()) {
            Err(fault) => self.fail(DownloadError::BadRoot(fault)),
            Ok(Link::Inline { data, .. }) => self.root_arrived(&data),
            Ok(Link::Block(cid)) if !self.is_paused && !replace(is_requested, true) => {
                let want = BlockWant { cid, estimate: LEAF_MAX, urgent: true };
                self.outbox.push(DownloadOutput::Want(want));
            }
            Ok(Link::Block(_)) => self.measure(),
        }
    }

    pub(super) fn root_arrived(&mut self, block: &Bytes) {
        if let Err(invalid) = self.source.read_root(block, self.options.bounds) {
            return self.fail(invalid.into());
        }
        match self.target_len {
            Some(_) if self.goal == Goal::Verify => {
                self.start_transfer(Mode::Verify, Plan::comparison());
            }
            Some(len) if len == self.source.target_len() => {
                self.start_transfer(Mode::Precheck, Plan::comparison());
            }
            _ => self.start_preparation(),
        }
    }

    /// There is no target, or it is another file.
    pub(super) fn start_preparation(&mut self) {
        let (earlier, has_target) = (take(&mut self.earlier), self.target_len.is_some());
        self.stage = Stage::Preparation(Preparation::new(earlier, has_target));
    }

    pub(super) fn run_preparation(&mut self) {
        let Stage::Preparation(preparation) = &mut self.stage else { return };
        let files = (self.outbox.is_settled(), self.handles.open());
        let (transfer, source) = (&mut self.transfer, &self.source);
        let next = preparation.next(files, transfer, source, &self.options, self.now);
        self.prepare(next);
    }

    pub(super) fn prepare(&mut self, result: PreparationResult) {
        match result {
            PreparationResult::Wait => {}
            PreparationResult::Step(step) => self.step(step),
            PreparationResult::Report(event) => self.report(Some(event)),
            PreparationResult::Ready(plan) => self.start_fetch(plan),
            PreparationResult::Failed(error) => self.fail(error),
        }
    }

    pub(super) fn start_fetch(&mut self, plan: Plan) {
        self.transfer.checkpoints_mut().end(self.now);
        self.start_transfer(Mode::Fetch, plan);
    }

    pub(super) fn start_transfer(&mut self, mode: Mode, plan: Plan) {
        if let Err(invalid) = self.transfer.start(mode, plan, &self.source, &self.options) {
            return self.fail(invalid.into());
        }
        if let Some(assembly) = self.transfer.assembly_mut() {
            assembly.set_holders(self.holders.clone());
        }
        self.stage = Stage::Transfer;
        if mode == Mode::Precheck {
            return;
        }
        let (have, total) = (self.transfer.next_claims().total(), self.source.target_len());
        let event = self.reporter.begin(have, total, self.now);
        self.report(event);
    }
}
