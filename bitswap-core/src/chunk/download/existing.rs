//! What has the target's name already.

use super::effects::{Check, Effect, FileRole, FsError, FsErrorKind};
use super::events::{DownloadError, Operation};
use super::options::IfExists;
use super::phases::{Next, Phase};
use super::{Download, Goal, Handles};
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::unixfs::Link;

impl Download {
    pub(super) fn open_target(&mut self) {
        self.phase = Phase::OpenTarget;
        let role = FileRole::Target(0);
        self.step(Effect::Open { role, create: false }, Handles::Open(role));
    }

    pub(super) fn target_opened(&mut self, len: u64) {
        self.target_len = Some(len);
        let is_fetchable = matches!(Link::of(&self.root), Ok(Link::Block(_)));
        if self.options.wanted == (0..u64::MAX) && len <= LEAF_MAX && is_fetchable {
            self.phase = Phase::CheckTarget;
            let check = Check::new(FileRole::Target(0), 0, len as usize, self.root);
            self.step(Effect::Check(check), Handles::Same);
        } else {
            self.phase = Phase::Root;
        }
    }

    pub(super) fn target_not_opened(&mut self, error: FsError) {
        match error.kind {
            FsErrorKind::NotFound if self.goal == Goal::Fetch => self.phase = Phase::Root,
            // A link to no file: there is nothing to compare with, and the name is taken.
            FsErrorKind::Exists if self.goal == Goal::Fetch => {
                if self.options.if_exists == IfExists::Refuse {
                    self.fail(DownloadError::TargetExists);
                } else {
                    self.phase = Phase::Root;
                }
            }
            _ => self.fail_file(Operation::Open, error),
        }
    }

    pub(super) fn target_differs(&mut self) {
        self.drop_transfer();
        self.phase = Phase::Leave(Next::Policy);
    }

    /// Before anything is fetched that could then not have its name.
    pub(super) fn check_replace(&mut self) {
        self.phase = Phase::CheckReplace;
        self.step(Effect::CheckReplace { role: FileRole::Target(0) }, Handles::Same);
    }
}
