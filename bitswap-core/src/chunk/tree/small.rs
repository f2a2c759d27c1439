//! Small files: each a single block, held in memory until it is written in one operation.
//!
//! Symbolic links go the same way, as far as they are made here: one operation, and a name that may be taken.

use alloc::string::String;

use bytes::Bytes;
use cid::Cid;

use super::effects::{Expected, TreeEffect, replaces};
use super::path::TreePath;
use super::walk::DirId;
use crate::chunk::download::IfExists;
use crate::chunk::unixfs::Metadata;
use crate::time::Timestamp;

/// Numbers tried for a unique name.
const NUMBERS_MAX: u32 = 10_000;

/// Where a small file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What has its name is compared with it.
    Look,
    /// Its block is fetched.
    Fetch,
    /// Its bytes are to be written, or are being written.
    Write,
    /// It is written, and waits for a checkpoint.
    Written,
    /// It gets its name.
    Name,
}

/// What becomes of a file whose name is taken by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It goes on, over the other one.
    Replace,
    /// It goes on, with the next number.
    NextNumber,
    /// It must not.
    Refuse,
}

/// A small file, or a symbolic link.
#[derive(Clone, Debug)]
pub(super) struct Small {
    parent: DirId,
    path: TreePath,
    cid: Option<Cid>,
    /// Bytes it was said to have, then those that it has.
    size: u64,
    metadata: Metadata,
    bytes: Option<Bytes>,
    /// Of a symbolic link: where it leads.
    target: Option<String>,
    stage: Stage,
    number: u32,
    replaces: bool,
    /// When it was to be named for the first time.
    first_try: Option<Timestamp>,
}

impl Small {
    /// A file in the directory `parent`. Its bytes may be known already.
    pub(super) fn file(
        parent: DirId,
        path: TreePath,
        content: (Option<Cid>, u64, Option<Bytes>),
        metadata: Metadata,
        may_exist: bool,
    ) -> Self {
        let (cid, size, bytes) = content;
        let stage = match (&bytes, may_exist) {
            (_, true) => Stage::Look,
            (None, false) => Stage::Fetch,
            (Some(_), false) => Stage::Write,
        };
        let (target, number, replaces, first_try) = (None, 0, false, None);
        Self {
            parent,
            path,
            cid,
            size,
            metadata,
            bytes,
            target,
            stage,
            number,
            replaces,
            first_try,
        }
    }

    /// A symbolic link in the directory `parent`.
    pub(super) fn link(parent: DirId, path: TreePath, target: String, if_exists: IfExists) -> Self {
        let mut link = Self::file(parent, path, (None, 0, None), Metadata::default(), false);
        (link.target, link.stage, link.replaces) = (Some(target), Stage::Name, replaces(if_exists));
        link
    }

    pub(super) const fn parent(&self) -> DirId {
        self.parent
    }

    pub(super) const fn path(&self) -> &TreePath {
        &self.path
    }

    pub(super) const fn cid(&self) -> Option<Cid> {
        self.cid
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    /// The next operation; `None` while something else is waited for.
    pub(super) fn effect(&self, number: u64) -> Option<TreeEffect> {
        let path = || self.path.clone();
        Some(match (self.stage, &self.target) {
            (_, Some(target)) => TreeEffect::MakeLink {
                path: path(),
                number: self.number,
                target: target.clone(),
                replace: self.replaces,
            },
            (Stage::Look, None) => {
                let expected = match (&self.bytes, self.cid) {
                    (Some(bytes), _) => Expected::Bytes(bytes.clone()),
                    (None, cid) => Expected::Block(cid?),
                };
                TreeEffect::Look { path: path(), number: self.number, expected }
            }
            (Stage::Write, None) => TreeEffect::Put { number, bytes: self.bytes.clone()? },
            (Stage::Name, None) => TreeEffect::Name {
                number,
                path: path(),
                to: self.number,
                replace: self.replaces,
                metadata: self.metadata,
            },
            (Stage::Fetch | Stage::Written, None) => return None,
        })
    }

    /// Its name is free.
    pub(super) const fn is_free(&mut self) {
        self.stage = if self.bytes.is_some() { Stage::Write } else { Stage::Fetch };
    }

    /// Another file has its name.
    pub(super) fn is_taken(&mut self, if_exists: IfExists) -> Taken {
        match if_exists {
            IfExists::Unique if self.number < NUMBERS_MAX => {
                self.number += 1;
                Taken::NextNumber
            }
            IfExists::Refuse | IfExists::Unique => Taken::Refuse,
            // What is not replaced by a rename is no file.
            IfExists::Replace if self.replaces => Taken::Refuse,
            IfExists::Replace => {
                self.replaces = true;
                Taken::Replace
            }
        }
    }

    /// Its block arrived.
    pub(super) fn arrived(&mut self, bytes: Bytes) {
        if self.stage == Stage::Fetch {
            self.size = bytes.len() as u64;
            self.bytes = Some(bytes);
            self.stage = Stage::Write;
        }
    }

    /// Its bytes are on disk, under no name in the tree yet.
    pub(super) fn written(&mut self) {
        self.bytes = None;
        self.stage = Stage::Written;
    }

    /// It could not be named, and that may pass by itself. Returns since when it is tried.
    pub(super) fn tried(&mut self, now: Timestamp) -> Timestamp {
        *self.first_try.get_or_insert(now)
    }

    pub(super) const fn is_link(&self) -> bool {
        self.target.is_some()
    }

    /// A checkpoint made its bytes durable, or nobody waits for one.
    pub(super) const fn may_be_named(&mut self) {
        self.stage = Stage::Name;
    }
}
