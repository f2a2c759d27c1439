//! The outputs of the download of a tree, and how it ends.

use alloc::string::String;

use cid::Cid;
use thiserror::Error;

use super::effects::TreeEffect;
use super::path::TreePath;
use super::rules::InvalidTree;
use crate::chunk::download::{BlockWant, DownloadError, EffectId, FsError, StallReason};

/// One thing for the host to do or to know. See [`DownloadOutput`](crate::chunk::DownloadOutput).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeOutput {
    /// Request a block.
    Want(BlockWant),
    /// Cancel the request for a block.
    Cancel(Cid),
    /// Do something to the folder.
    Effect(EffectId, TreeEffect),
    /// Something happened.
    Event(TreeEvent),
}

/// What happened to the download of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeEvent {
    /// The root is known, and is a directory.
    Started,
    /// How far it is: at most twice a second, and only when that changed.
    Progress(TreeProgress),
    /// A file is whole and under its name.
    File {
        /// Its path.
        path: TreePath,
        /// The number in its name, as in [`FileRole::Target`](crate::chunk::FileRole::Target).
        number: u32,
        /// Its root; `None` when that is within its link.
        cid: Option<Cid>,
        /// Its length in bytes.
        size: u64,
        /// It was there already.
        already: bool,
    },
    /// A symbolic link was left out, as was chosen.
    LinkSkipped {
        /// Its path.
        path: TreePath,
        /// Where it leads.
        target: String,
    },
    /// The file system has no locks. See [`DownloadEvent::LockFile`](crate::chunk::DownloadEvent::LockFile).
    LockFile,
    /// Nothing came for a while; told again when there is another reason for it. Nothing ends by itself because of it.
    Stalled(StallReason),
    /// Something comes again after [`Self::Stalled`].
    StallEnded,
    /// The disk is full, or the quota is used up; writing is tried again for as long as is allowed.
    DiskFull,
    /// Writing works again.
    SpaceAvailable,
    /// The end: exactly one, and nothing after it.
    Ended(TreeOutcome),
}

/// How far the download of a tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeProgress {
    /// Bytes of files that are here.
    pub done: u64,
    /// Bytes of the files that are found so far, those that are here included.
    pub found: u64,
    /// Files that are under their names.
    pub files: u64,
    /// Entries that are found so far.
    pub entries: u64,
    /// Whether all entries are found: then `found` is what there is in all.
    pub is_all: bool,
    /// Bytes per second, over the last seconds.
    pub rate: u64,
}

/// How the download of a tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeOutcome {
    /// The tree is complete.
    Finished(TreeFinished),
    /// As [`Outcome::NeedsCommit`](crate::chunk::Outcome::NeedsCommit), for this file.
    NeedsCommit {
        /// The file.
        path: TreePath,
    },
    /// It was stopped: what is there stays, and starting again goes on from there.
    Stopped,
    /// It was cancelled: what is not complete is removed. Files that have their names stay.
    Cancelled,
    /// It failed. What is there stays for another attempt.
    Failed(TreeError),
}

/// A finished tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeFinished {
    /// Bytes of all files.
    pub size: u64,
    /// Files.
    pub files: u64,
    /// Of these, files that were there already.
    pub already: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symbolic links that are there.
    pub links: u64,
    /// Symbolic links that were left out, as was chosen.
    pub skipped: u64,
    /// Bytes of an earlier run that were trusted, as in [`Finished`](crate::chunk::Finished).
    pub unchecked: u64,
    /// The tree is on disk for certain.
    pub durable: bool,
}

/// Why the download of a tree failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Its author made no valid tree, or one that the target cannot hold.
    #[error(transparent)]
    Invalid(#[from] InvalidTree),
    /// The root is no directory.
    #[error("it is no directory")]
    NotADirectory,
    /// A block that nobody has.
    #[error("no peer has the block {cid}")]
    Unavailable {
        /// The block.
        cid: Cid,
    },
    /// Another process downloads to the same target.
    #[error("another process is downloading to the same directory")]
    AlreadyInProgress,
    /// Something else has the name of an entry and must not be replaced.
    #[error("{path} exists and is something else; remove it or choose another name")]
    Exists {
        /// The entry.
        path: TreePath,
    },
    /// A large file of it failed.
    #[error("{path}: {error}")]
    Download {
        /// The file.
        path: TreePath,
        /// Why.
        error: DownloadError,
    },
    /// An operation failed for good.
    #[error("could not {operation} {path}: {error}")]
    File {
        /// The entry that it was about.
        path: TreePath,
        /// What was tried.
        operation: TreeOperation,
        /// The system's error.
        error: FsError,
    },
}

/// An operation in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TreeOperation {
    /// Taking the lock.
    #[error("lock")]
    Lock,
    /// Making the target and the work directory.
    #[error("begin")]
    Begin,
    /// Making a directory or a link.
    #[error("make")]
    Make,
    /// Comparing a file.
    #[error("read")]
    Look,
    /// Writing a file.
    #[error("write")]
    Write,
    /// Making things durable.
    #[error("sync")]
    Sync,
    /// Giving a file its name.
    #[error("name")]
    Name,
    /// Setting permissions or times.
    #[error("set the permissions or the time of")]
    Metadata,
    /// Removing the work directory.
    #[error("remove the work directory of")]
    Remove,
}
