//! Large files: each a [`Download`] of its own, whose lock and journal are the tree's.

use bytes::Bytes;
use cid::Cid;

use super::journal::TreeJournal;
use super::path::TreePath;
use super::walk::DirId;
use crate::block::Block;
use crate::chunk::download::{
    BlockWant, Done, Download, DownloadEvent, DownloadOptions, DownloadOutput, Effect, EffectId,
    FileRole, FsError, FsErrorKind, Missing, Outcome, Progress,
};
use crate::chunk::range_map::Holders;
use crate::chunk::unixfs::Metadata;
use crate::time::Timestamp;

/// What a large file needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LargeOutput {
    Want(BlockWant),
    Cancel(Cid),
    /// An operation on its files.
    Effect(EffectId, Effect),
    /// The tree's journal has changed, and this effect is done when that is saved.
    Save(EffectId),
    /// The disk is full, or has space again.
    Full(bool),
    Ended(Outcome),
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Large {
    parent: DirId,
    path: TreePath,
    metadata: Metadata,
    download: Download,
    root: Cid,
    /// The root's block, until the download asks for it.
    root_block: Option<Bytes>,
    /// The window's share.
    share: u64,
    done: u64,
}

impl Large {
    pub(super) fn new(
        (parent, path, metadata): (DirId, TreePath, Metadata),
        (root, block): (Cid, Bytes),
        options: DownloadOptions,
        now: Timestamp,
    ) -> Self {
        let share = options.window;
        let download = Download::new(root, options, now);
        let (root_block, done) = (Some(block), 0);
        Self { parent, path, metadata, download, root, root_block, share, done }
    }

    pub(super) const fn parent(&self) -> DirId {
        self.parent
    }

    pub(super) const fn path(&self) -> &TreePath {
        &self.path
    }

    pub(super) const fn metadata(&self) -> Metadata {
        self.metadata
    }

    pub(super) const fn root(&self) -> Cid {
        self.root
    }

    pub(super) const fn share(&self) -> u64 {
        self.share
    }

    /// Bytes that are here.
    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    /// The next thing to do. What concerns the journal and the lock is answered here.
    pub(super) fn poll(
        &mut self,
        journal: &mut TreeJournal,
        now: Timestamp,
    ) -> Option<LargeOutput> {
        while let Some(output) = self.download.poll_output() {
            return Some(match output {
                DownloadOutput::Want(want)
                    if want.cid == self.root && self.root_block.is_some() =>
                {
                    if let Some(block) = self.root_block.take() {
                        // It was verified when it arrived.
                        let block = Block::new_unchecked(self.root, block);
                        self.download.handle_block(&block, now);
                    }
                    continue;
                }
                DownloadOutput::Want(want) => LargeOutput::Want(want),
                DownloadOutput::Cancel(cid) => LargeOutput::Cancel(cid),
                DownloadOutput::Effect(id, effect) => match self.own(id, effect, journal, now) {
                    Some(output) => output,
                    None => continue,
                },
                DownloadOutput::Event(DownloadEvent::Ended(outcome)) => LargeOutput::Ended(outcome),
                DownloadOutput::Event(DownloadEvent::DiskFull { .. }) => LargeOutput::Full(true),
                DownloadOutput::Event(DownloadEvent::SpaceAvailable) => LargeOutput::Full(false),
                DownloadOutput::Event(DownloadEvent::Started { have, .. }) => {
                    self.done = have;
                    continue;
                }
                DownloadOutput::Event(DownloadEvent::Progress(Progress { done, .. })) => {
                    self.done = self.done.max(done);
                    continue;
                }
                DownloadOutput::Event(_) => continue,
            });
        }
        None
    }

    /// Answers what is the tree's own; gives the others.
    fn own(
        &mut self,
        id: EffectId,
        effect: Effect,
        journal: &mut TreeJournal,
        now: Timestamp,
    ) -> Option<LargeOutput> {
        let answer = match effect {
            Effect::Lock | Effect::Unlock => Ok(Done::Unit),
            Effect::Read { role: FileRole::Journal, .. } => {
                let missing = FsError { kind: FsErrorKind::NotFound, code: None };
                journal.files.get(&self.path).cloned().map(Done::Bytes).ok_or(missing)
            }
            Effect::SaveJournal { bytes } => {
                journal.files.insert(self.path.clone(), bytes);
                return Some(LargeOutput::Save(id));
            }
            Effect::Remove { role: FileRole::Journal } => {
                return match journal.files.remove(&self.path) {
                    Some(_) => Some(LargeOutput::Save(id)),
                    None => {
                        self.download.handle_done(id, Ok(Done::Unit), now);
                        None
                    }
                };
            }
            effect => return Some(LargeOutput::Effect(id, effect)),
        };
        self.download.handle_done(id, answer, now);
        None
    }

    pub(super) fn handle_done(
        &mut self,
        id: EffectId,
        result: Result<Done, FsError>,
        now: Timestamp,
    ) {
        self.download.handle_done(id, result, now);
    }

    pub(super) fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool {
        self.download.handle_block(block, now)
    }

    pub(super) fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp) {
        self.download.handle_want_failed(cid, missing, now);
    }

    pub(super) fn set_holders(&mut self, holders: Holders) {
        self.download.set_holders(holders);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.download.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        self.download.handle_timeout(now);
    }

    pub(super) fn pause(&mut self, now: Timestamp) {
        self.download.pause(now);
    }

    pub(super) fn resume(&mut self, now: Timestamp) {
        self.download.resume(now);
    }

    /// Ends it. `remove`: and what is temporary.
    pub(super) fn end(&mut self, remove: bool, now: Timestamp) {
        if remove {
            self.download.cancel(now);
        } else {
            self.download.stop(now);
        }
    }
}
