//! From the complete file to its name.

use super::super::assembly::Mode;
use super::super::commit::Commit;
use super::super::effects::FileRole;
use super::super::events::{Finished, Outcome};
use super::super::options::Goal;
use super::super::proof::Proof;
use super::{AfterProof, Stage, Stages};
use crate::chunk::range_set::RangeSet;

impl Stages {
    /// All bytes are written, or compared.
    pub(super) fn transferred(&mut self) {
        if self.transfer.mode() == Some(Mode::Fetch) {
            self.prove(FileRole::Temp, AfterProof::Commit);
        } else {
            self.target_is_equal();
        }
    }

    /// The target is compared: equal, unless the comparison itself is the goal.
    pub(super) fn target_is_equal(&mut self) {
        let size = self.source.size();
        if self.goal == Goal::Verify {
            let mut different = self.transfer.different();
            let (len, expected) = (self.target_len.unwrap_or(0), self.source.target_len());
            if len > expected {
                different.push(expected..len);
            }
            self.end(Outcome::Verified { size: Some(size), different }, false);
        } else {
            self.prove(FileRole::Target(0), AfterProof::Already);
        }
    }

    /// The file of this role is complete: it must have the digests that are expected.
    fn prove(&mut self, role: FileRole, after: AfterProof) {
        let expected = self.options.expected;
        if expected.is_empty() {
            return self.proved(after);
        }
        let len = self.source.target_len();
        let mut leaves = self.transfer.leaves();
        // One that is compared before its root is fetched is a single leaf.
        if matches!(after, AfterProof::Already) && self.source.node().is_none() {
            leaves.insert(0, len);
        }
        let is_whole = self.source.selection() == (0..self.source.size());
        let leaves = leaves.runs(len).filter(|_| is_whole);
        self.stage = Stage::Proof(Proof::new(role, len, expected, leaves), after);
    }

    pub(super) fn run_proof(&mut self) {
        let Stage::Proof(proof, after) = &mut self.stage else { return };
        match proof.next() {
            Err(error) => self.fail(error),
            Ok(Some(step)) => self.step(step),
            Ok(None) if proof.is_over() => {
                let after = *after;
                self.proved(after);
            }
            Ok(None) => {}
        }
    }

    fn proved(&mut self, after: AfterProof) {
        match after {
            AfterProof::Commit => {
                let unverified = self.transfer.claims().unverified();
                let commit = Commit::new(self.source.target_len(), unverified, &self.options);
                self.stage = Stage::Commit(commit);
            }
            AfterProof::Already => {
                let size = self.source.target_len();
                self.end(Outcome::Finished(Finished::already(size)), true);
            }
        }
    }

    pub(super) fn run_commit(&mut self) {
        let Stage::Commit(commit) = &mut self.stage else { return };
        if !self.outbox.is_settled() {
            return;
        }
        let journal = |stamp| {
            let complete = RangeSet::from_iter([self.source.selection()]);
            self.transfer.claims().journal(&self.source, complete, stamp)
        };
        if let Some(step) = commit.next(self.now, journal) {
            self.step(step);
        }
    }
}
