//! From the lock to the end.

use super::*;

impl TreeDownload {
    pub(super) fn step(&mut self, stage: Stage, effect: TreeEffect) {
        self.stage = stage;
        self.outbox.issue(effect, Purpose::Step);
    }

    pub(super) fn step_done(&mut self, result: Result<Done, FsError>) {
        if let Stage::Settle(_) = &self.stage {
            // The only step without the lock takes it.
            self.is_locked |= result.is_ok();
            return;
        }
        let root = TreePath::root();
        match (core::mem::replace(&mut self.stage, Stage::Over), result) {
            (Stage::Lock, Ok(done)) => {
                self.is_locked = true;
                if done == Done::LockFile {
                    self.outbox.event(TreeEvent::LockFile);
                }
                self.step(Stage::ReadJournal, TreeEffect::ReadJournal { max: TREE_JOURNAL_MAX });
            }
            (stage @ Stage::Lock, Err(error)) if error.kind == FsErrorKind::Locked => {
                self.stage = stage;
                self.fail(TreeError::AlreadyInProgress);
            }
            (Stage::ReadJournal, result) => {
                if let Ok(Done::Bytes(bytes)) = result
                    && let Some(journal) = TreeJournal::decode(&bytes, &self.root)
                {
                    self.journal = journal;
                }
                self.stage = Stage::Root;
                let TreeOptions { bounds, rule, download, .. } = &self.options;
                match TreeWalk::new(self.root, *bounds, *rule, download.window / 2) {
                    Ok(walk) => self.walk = Some(walk),
                    Err(invalid) => self.fail(invalid.into()),
                }
            }
            (Stage::Begin(dir), Ok(Done::Made { is_new })) => {
                self.dirs.made(dir, is_new);
                self.outbox.event(TreeEvent::Started);
                self.stage = Stage::Entries;
            }
            (Stage::Sync, Ok(_)) => self.step(Stage::RemoveWork, TreeEffect::RemoveWork),
            (Stage::RemoveWork, Ok(_)) => {
                self.stage = Stage::Entries;
                self.end(TreeOutcome::Finished(self.finished), false, false);
            }
            (Stage::Clean(outcome), Ok(_)) => self.unlock(outcome),
            (Stage::Clean(_), Err(error)) => {
                let (path, operation) = (root, TreeOperation::Remove);
                self.unlock(TreeOutcome::Failed(TreeError::File { path, operation, error }));
            }
            // What stays of the lock is only a file.
            (Stage::Unlock(outcome), _) => self.over(outcome),
            (stage, result) => {
                let operation = match &stage {
                    Stage::Lock => TreeOperation::Lock,
                    Stage::Begin(_) => TreeOperation::Begin,
                    Stage::Sync => TreeOperation::Sync,
                    _ => TreeOperation::Remove,
                };
                self.stage = stage;
                match result.err().unwrap_or(FsError::WRONG_ANSWER) {
                    error if error.kind == FsErrorKind::Exists => {
                        self.fail(TreeError::Exists { path: root });
                    }
                    error => self.failed(root, operation, error),
                }
            }
        }
    }

    fn unlock(&mut self, outcome: TreeOutcome) {
        if take(&mut self.is_locked) {
            self.step(Stage::Unlock(outcome), TreeEffect::Unlock);
        } else {
            self.over(outcome);
        }
    }

    fn over(&mut self, outcome: TreeOutcome) {
        self.walk = None;
        self.outbox.event(TreeEvent::Ended(outcome));
        self.stage = Stage::Over;
    }

    pub(super) fn fail(&mut self, error: TreeError) {
        let flushes = !matches!(error, TreeError::File { operation: TreeOperation::Sync, .. });
        self.end(TreeOutcome::Failed(error), false, flushes);
    }

    pub(super) fn failed(&mut self, path: TreePath, operation: TreeOperation, error: FsError) {
        self.fail(TreeError::File { path, operation, error });
    }

    /// Begins the end. Only the first counts, except that a stop becomes a failure when one follows.
    pub(super) fn end(&mut self, outcome: TreeOutcome, removes: bool, flushes: bool) {
        match &mut self.stage {
            Stage::Settle(ending) => {
                if ending.outcome == TreeOutcome::Stopped && outcome != TreeOutcome::Cancelled {
                    *ending = Ending { outcome, ..ending.clone() };
                }
                ending.flushes &= flushes;
                return;
            }
            Stage::Clean(_) | Stage::Unlock(_) | Stage::Over => return,
            _ => {}
        }
        self.stage = Stage::Settle(Ending { outcome, removes, flushes });
        self.held = None;
        let is_large = |waiter: &Waiter| matches!(waiter, Waiter::Large(_));
        let mut cancelled = Vec::new();
        self.waiters.retain(|cid, waiters| {
            waiters.retain(is_large);
            if waiters.is_empty() {
                cancelled.push(*cid);
            }
            !waiters.is_empty()
        });
        cancelled.into_iter().for_each(|cid| self.outbox.push(TreeOutput::Cancel(cid)));
        self.writes.clear();
        self.deferred.clear();
        let now = self.now;
        self.large.values_mut().for_each(|large| large.end(removes, now));
    }

    /// Runs everything that can run now.
    pub(super) fn advance(&mut self) {
        loop {
            self.poll_large();
            match &self.stage {
                Stage::Root => self.run_root(),
                Stage::Entries => self.run_entries(),
                _ => {}
            }
            self.run_retries();
            self.request_for_walk();
            let is_new = self.poll_large();
            if !is_new {
                break;
            }
        }
        self.save();
        match &self.stage {
            Stage::Root => self.tell(),
            Stage::Entries => {
                self.run_writes();
                self.run_checkpoint();
                self.tell();
                let is_complete = self.dirs.is_empty() && self.outbox.is_settled();
                if is_complete && self.unsaved.is_empty() {
                    if self.options.download.sync == SyncPolicy::Never {
                        self.step(Stage::RemoveWork, TreeEffect::RemoveWork);
                    } else {
                        self.step(Stage::Sync, TreeEffect::Sync);
                    }
                }
            }
            Stage::Settle(_) => self.settle(),
            _ => {}
        }
    }

    /// Waits for what runs, names what is written, and ends.
    fn settle(&mut self) {
        let is_settled = self.outbox.is_settled() && self.large.is_empty();
        let Stage::Settle(ending) = &mut self.stage else { return };
        if !is_settled || (!self.retries.is_empty() && ending.flushes) {
            return;
        }
        if take(&mut ending.flushes) && !self.unnamed.is_empty() {
            let files = self.unnamed.take();
            return self.outbox.issue(TreeEffect::Sync, Purpose::Checkpoint(files));
        }
        let Ending { outcome, removes, .. } = ending.clone();
        if removes && self.is_locked {
            self.step(Stage::Clean(outcome), TreeEffect::RemoveWork);
        } else {
            self.unlock(outcome);
        }
    }

    fn run_root(&mut self) {
        let output = match self.walk.as_mut().map(TreeWalk::next_output) {
            Some(Ok(Some(output))) => output,
            Some(Err(invalid)) => return self.fail(invalid.into()),
            Some(Ok(None)) | None => return,
        };
        let WalkOutput::Entry(entry) = output else { return };
        let TreeEntry { kind, path, metadata, .. } = *entry;
        let EntryKind::Directory(id) = kind else { return self.fail(TreeError::NotADirectory) };
        self.finished.directories += 1;
        self.dirs.found(id, None, path, self.kept(metadata));
        self.step(Stage::Begin(id), TreeEffect::Begin);
    }
}
