//! How files come to their names: what is compared, fetched, written, made durable and named next.

use super::*;
use crate::chunk::digest::ExpectedDigests;
use crate::chunk::download::Effect;

impl TreeDownload {
    /// Begins a small file or a link, which takes `charge` bytes of the window until it is written.
    pub(super) fn add_small(&mut self, small: Small, charge: u64) {
        let file = self.next_file;
        self.next_file += 1;
        if !small.is_link() {
            self.busy.insert(file, charge);
            self.busy_bytes += charge;
        }
        self.small.insert(file, small);
        self.issue(file);
    }

    /// Does what a small file needs next.
    pub(super) fn issue(&mut self, file: u64) {
        let Some(small) = self.small.get(&file) else { return };
        if !matches!(self.stage, Stage::Entries) && small.stage() != SmallStage::Name {
            return;
        }
        let purpose = match small.stage() {
            SmallStage::Look => Purpose::Look(file),
            SmallStage::Fetch => {
                if let Some(cid) = small.cid() {
                    let want = BlockWant { cid, estimate: estimate(small.size()), urgent: false };
                    self.request(want, Waiter::Small(file));
                }
                return;
            }
            SmallStage::Write => return self.writes.push_back(file),
            SmallStage::Written => return,
            SmallStage::Name if small.is_link() => Purpose::Link(file),
            SmallStage::Name => Purpose::Name(file),
        };
        if let Some(effect) = small.effect(file) {
            self.outbox.issue(effect, purpose);
        }
    }

    /// Writes what waits for it, as far as the disk is well.
    pub(super) fn run_writes(&mut self) {
        while self.outbox.puts() < self.disk.writes_max() && self.disk.may_write(self.now) {
            let Some(file) = self.writes.pop_front() else { break };
            if let Some(effect) = self.small.get(&file).and_then(|small| small.effect(file)) {
                self.outbox.issue(effect, Purpose::Put(file));
            }
        }
    }

    pub(super) fn looked(&mut self, file: u64, result: Result<Done, FsError>) {
        match result {
            Ok(Done::Equal(true)) => self.small_complete(file, true),
            Ok(_) => self.taken(file),
            Err(error) if error.kind == FsErrorKind::NotFound => {
                if let Some(small) = self.small.get_mut(&file) {
                    small.is_free();
                }
                self.issue(file);
            }
            Err(error) if is_another(error.kind) => self.taken(file),
            // Another program holds it.
            Err(error) if error.kind == FsErrorKind::Busy && self.is_retried(file) => {}
            Err(error) => self.small_failed(file, TreeOperation::Look, error),
        }
    }

    /// The name of a small file or link is taken by something else.
    fn taken(&mut self, file: u64) {
        let Some(small) = self.small.get_mut(&file) else { return };
        let was_named = small.stage() == SmallStage::Name;
        match small.is_taken(self.options.download.if_exists) {
            Taken::Replace if !was_named => small.is_free(),
            Taken::Replace | Taken::NextNumber => {}
            Taken::Refuse => {
                let path = small.path().clone();
                return self.fail(TreeError::Exists { path });
            }
        }
        self.issue(file);
    }

    pub(super) fn put(&mut self, file: u64, result: Result<Done, FsError>) {
        let Some(small) = self.small.get_mut(&file) else { return };
        let Err(error) = result else {
            small.written();
            let size = small.size();
            self.release(file);
            self.unnamed.add(file, size, self.now);
            if self.disk.succeeded() {
                self.outbox.event(TreeEvent::SpaceAvailable);
            }
            return;
        };
        let patience = self.options.download.wait_for_space;
        let is_tried_again = match error.kind {
            kind if kind.is_full() => {
                let is_news = self.disk.filled(self.now, patience);
                if is_news && !patience.is_zero() {
                    self.outbox.event(TreeEvent::DiskFull);
                }
                !(is_news && self.disk.is_given_up(self.now))
            }
            FsErrorKind::PermissionDenied | FsErrorKind::ReadOnly | FsErrorKind::TooLarge => false,
            _ => self.disk.failed(self.now),
        };
        if is_tried_again && matches!(self.stage, Stage::Entries) {
            self.writes.push_front(file);
        } else {
            self.small_failed(file, TreeOperation::Write, error);
        }
    }

    /// Makes what is written durable, when it is time.
    pub(super) fn run_checkpoint(&mut self) {
        let sync = self.options.download.sync;
        let is_listed = self.walk.as_ref().is_some_and(TreeWalk::is_over) && self.held.is_none();
        let is_idle = is_listed && self.busy.is_empty() && self.large.is_empty();
        let is_held_up = self.unnamed.len() >= UNNAMED_MAX;
        if self.outbox.is_at_checkpoint()
            || !self.unnamed.is_due(sync, is_idle || is_held_up, self.now)
        {
            return;
        }
        let files = self.unnamed.take();
        if sync == SyncPolicy::Never {
            self.synced(files, Ok(Done::Unit));
        } else {
            self.outbox.issue(TreeEffect::Sync, Purpose::Checkpoint(files));
        }
    }

    pub(super) fn synced(&mut self, files: Vec<u64>, result: Result<Done, FsError>) {
        if let Err(error) = result {
            // What it was about is lost: the next run fetches it again.
            return self.failed(TreePath::root(), TreeOperation::Sync, error);
        }
        for file in files {
            if let Some(small) = self.small.get_mut(&file) {
                small.may_be_named();
                self.issue(file);
            }
        }
    }

    pub(super) fn named(&mut self, file: u64, result: Result<Done, FsError>) {
        let Some(small) = self.small.get_mut(&file) else { return };
        let error = match result {
            Ok(done) => return self.small_complete(file, done == Done::Equal(true)),
            Err(error) => error,
        };
        if is_another(error.kind) {
            return self.taken(file);
        }
        let retry = self.options.download.rename;
        if !error.code.is_some_and(|code| retry.codes.contains(&code)) {
            return self.small_failed(file, TreeOperation::Name, error);
        }
        let path = small.path().clone();
        if !self.is_retried(file) {
            self.end(TreeOutcome::NeedsCommit { path }, false, false);
        }
    }

    /// Whether an operation on a file is tried again, because what is in its way may pass by itself.
    fn is_retried(&mut self, file: u64) -> bool {
        let Some(small) = self.small.get_mut(&file) else { return false };
        let tried_for = self.now.since(small.tried(self.now));
        let is_retried = tried_for < self.options.download.rename.budget;
        if is_retried {
            self.retries.push_back((self.now + RETRY_WAIT, file));
        }
        is_retried
    }

    /// Tries operations again that could not be done.
    pub(super) fn run_retries(&mut self) {
        while let Some((_, file)) = self.retries.front().copied().filter(|(at, _)| *at <= self.now)
        {
            self.retries.pop_front();
            self.issue(file);
        }
    }

    fn small_failed(&mut self, file: u64, operation: TreeOperation, error: FsError) {
        if let Some(small) = self.small.remove(&file) {
            self.release(file);
            self.failed(small.path().clone(), operation, error);
        }
    }

    fn small_complete(&mut self, file: u64, already: bool) {
        self.release(file);
        let Some(small) = self.small.remove(&file) else { return };
        if small.is_link() {
            self.finished.links += 1;
        } else {
            let (path, number) = (small.path().clone(), small.number());
            self.file_complete((path, number, small.cid()), small.size(), already);
        }
        self.entry_complete(small.parent());
    }

    fn file_complete(
        &mut self,
        (path, number, cid): (TreePath, u32, Option<Cid>),
        size: u64,
        already: bool,
    ) {
        self.finished.files += 1;
        self.finished.size += size;
        self.finished.already += u64::from(already);
        self.outbox.event(TreeEvent::File { path, number, cid, size, already });
    }

    /// A small file takes nothing of the window any more.
    fn release(&mut self, file: u64) {
        self.busy_bytes -= self.busy.remove(&file).unwrap_or(0);
    }

    /// Begins a large file. Returns whether it must wait.
    pub(super) fn begin_large(
        &mut self,
        (parent, path, metadata): (DirId, TreePath, Metadata),
        (cid, block, size): (Cid, Bytes, u64),
    ) -> bool {
        let window = self.options.download.window;
        let used: u64 = self.large.values().map(Large::share).sum();
        let share = size.clamp(1 << 20, (window / 2).max(1 << 20));
        let has_room = used + share <= window && self.large.len() < LARGE_MAX;
        if !self.large.is_empty() && !has_room {
            return true;
        }
        self.dirs.begin_entry(parent);
        self.found += size;
        let file = self.next_file;
        self.next_file += 1;
        // A seed of its own, so that no two files share an id.
        let label = [&self.options.download.seed[..], &file.to_le_bytes()].concat();
        let seed = Code::Sha2_256.digest(&label);
        let mut options = self.options.download.clone();
        (options.wanted, options.window) = (0..u64::MAX, share);
        // A digest is that of one file.
        options.expected = ExpectedDigests::default();
        if let Ok(seed) = seed.digest().try_into() {
            options.seed = seed;
        }
        let mut large = Large::new((parent, path, metadata), (cid, block), options, self.now);
        large.set_holders(self.holders.clone());
        self.large.insert(file, large);
        false
    }

    /// Takes what the large files say. Returns whether that was anything.
    pub(super) fn poll_large(&mut self) -> bool {
        let mut is_new = false;
        let files: Vec<u64> = self.large.keys().copied().collect();
        for file in files {
            while let Some(output) =
                self.large.get_mut(&file).and_then(|it| it.poll(&mut self.journal, self.now))
            {
                is_new = true;
                self.large_output(file, output);
            }
        }
        is_new
    }

    fn large_output(&mut self, file: u64, output: LargeOutput) {
        match output {
            LargeOutput::Want(want) => self.request(want, Waiter::Large(file)),
            LargeOutput::Cancel(cid) => {
                if let Some(waiters) = self.waiters.get_mut(&cid) {
                    waiters.retain(|waiter| *waiter != Waiter::Large(file));
                    if waiters.is_empty() {
                        self.waiters.remove(&cid);
                        self.outbox.push(TreeOutput::Cancel(cid));
                    }
                }
            }
            LargeOutput::Effect(id, effect) => {
                let Some(path) = self.large.get(&file).map(|large| large.path().clone()) else {
                    return;
                };
                let changes =
                    matches!(effect, Effect::Write { .. } | Effect::Sync | Effect::Rename { .. });
                let effect = TreeEffect::File { path, effect };
                self.outbox.issue(effect, Purpose::Large(file, id, changes));
            }
            LargeOutput::Save(id) => self.unsaved.push((file, id)),
            LargeOutput::Full(true) => self.outbox.event(TreeEvent::DiskFull),
            LargeOutput::Full(false) => self.outbox.event(TreeEvent::SpaceAvailable),
            LargeOutput::Ended(outcome) => self.large_ended(file, outcome),
        }
    }

    fn large_ended(&mut self, file: u64, outcome: Outcome) {
        let Some(large) = self.large.get(&file) else { return };
        let (parent, path, metadata) = (large.parent(), large.path().clone(), large.metadata());
        let finished = match outcome {
            Outcome::Finished(finished) => finished,
            other => {
                self.large.remove(&file);
                match other {
                    Outcome::NeedsCommit { .. } => {
                        self.end(TreeOutcome::NeedsCommit { path }, false, true);
                    }
                    Outcome::Failed(DownloadError::TargetExists) => {
                        self.fail(TreeError::Exists { path });
                    }
                    Outcome::Failed(DownloadError::Unavailable { cid }) => {
                        self.fail(TreeError::Unavailable { cid });
                    }
                    Outcome::Failed(error) => self.fail(TreeError::Download { path, error }),
                    // Only the end of the tree stops or cancels it.
                    _ => {}
                }
                return;
            }
        };
        self.finished.unchecked += finished.unchecked;
        let (number, root) = (finished.number, large.root());
        self.file_complete((path.clone(), number, Some(root)), finished.size, finished.already);
        if metadata.is_empty() || finished.already {
            self.large.remove(&file);
            self.entry_complete(parent);
        } else {
            let effect = TreeEffect::SetMetadata { path, number, metadata };
            self.outbox.issue(effect, Purpose::LargeMetadata(file));
        }
    }

    /// Saves the journal, if it has changed and is not being saved.
    pub(super) fn save(&mut self) {
        if !self.unsaved.is_empty() && !self.outbox.is_saving() {
            let effects = take(&mut self.unsaved);
            let bytes = self.journal.encode();
            self.outbox.issue(TreeEffect::SaveJournal { bytes }, Purpose::Save(effects));
        }
    }

    /// Requests a block, once for everybody who waits for it.
    pub(super) fn request(&mut self, want: BlockWant, waiter: Waiter) {
        // Large files are paused themselves.
        if self.is_paused && !matches!(waiter, Waiter::Large(_)) {
            return self.deferred.push((want, waiter));
        }
        let waiters = self.waiters.entry(want.cid).or_default();
        if waiters.is_empty() {
            self.outbox.push(TreeOutput::Want(want));
        }
        if !waiters.contains(&waiter) {
            waiters.push(waiter);
        }
    }

    pub(super) fn request_for_walk(&mut self) {
        while !self.is_paused
            && matches!(self.stage, Stage::Root | Stage::Entries)
            && let Some(want) = self.walk.as_mut().and_then(TreeWalk::next_want)
        {
            self.request(want, Waiter::Walk);
        }
    }

    /// Tells how far it is, when it is time.
    pub(super) fn tell(&mut self) {
        if self.now < self.tick || self.is_paused {
            return;
        }
        let progress = self.progress();
        let passed = self.now.since(self.tick) + TICK;
        let came = progress.done.saturating_sub(self.reported.done);
        let rate = (u128::from(came) * 1000 / passed.as_millis().max(1)) as u64;
        // A quarter of what is new: smooth within a few seconds.
        let rate = (self.reported.rate * 3).saturating_add(rate) / 4;
        self.tick = self.now + TICK;
        let is_news =
            TreeProgress { rate: 0, ..progress } != TreeProgress { rate: 0, ..self.reported };
        self.reported = TreeProgress { rate, ..progress };
        if is_news {
            self.outbox.event(TreeEvent::Progress(self.reported));
        }
        if self.outbox.compares() {
            // What is compared is not fetched, and is no stall.
            self.stalls.skip(self.now);
        }
        let is_disk = self.disk.is_full() || self.outbox.changes_disk();
        let after = self.options.download.stall_after;
        if let Some(event) = self.stalls.look(progress.done, is_disk, after, self.now) {
            self.outbox.event(event);
        }
    }
}

/// Whether an error says that something else has the name.
const fn is_another(kind: FsErrorKind) -> bool {
    matches!(kind, FsErrorKind::Exists | FsErrorKind::IsDirectory | FsErrorKind::InTheWay { .. })
}
