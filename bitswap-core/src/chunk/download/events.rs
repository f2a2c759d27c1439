//! The outputs of a download, and how it ends.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use cid::Cid;
use thiserror::Error;

use super::effects::{Effect, EffectId, FsError};
use crate::byte_size::ByteSize;
use crate::chunk::digest::Sha256Digest;
use crate::chunk::unixfs::{DagFault, InvalidDag};

/// One thing for the host to do or to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DownloadOutput {
    /// Request a block; answered by `handle_block` or `handle_want_failed`, unless cancelled.
    Want(BlockWant),
    /// Cancel the request for a block. Nothing answers this.
    Cancel(Cid),
    /// Do something to a file; answered by `handle_done`.
    Effect(EffectId, Effect),
    /// Something happened.
    Event(DownloadEvent),
}

/// A block that a download needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockWant {
    /// The block.
    pub cid: Cid,
    /// About how long it is, in bytes.
    pub estimate: u64,
    /// A reader waits for it, or more can be asked for once it is here: ask with a higher priority.
    pub urgent: bool,
}

/// What happened to a download.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum DownloadEvent {
    /// The root is known, and with it the length.
    Started {
        /// The bytes that the target will have.
        total: u64,
        /// Those that an earlier run left: they are fetched again only if they turn out wrong.
        have: u64,
    },
    /// How far it is: at most twice a second, and only when that changed.
    Progress(Progress),
    /// The file system has no locks. A lock file keeps other processes from the same download instead;
    /// it stays behind when this process is killed.
    LockFile,
    /// No byte came for a while; told again when there is another reason for it. Nothing ends by itself because
    /// of it.
    Stalled(StallReason),
    /// Bytes arrive again after [`Self::Stalled`].
    StallEnded,
    /// The disk is full, or the quota used up. What is verified stays, nothing new is requested, and
    /// the write is tried again for [as long as is allowed](crate::chunk::DownloadOptions::wait_for_space);
    /// [`Self::SpaceAvailable`] follows when it works.
    DiskFull {
        /// Bytes that the download still needs.
        needed: u64,
        /// Bytes that the disk reports as free; quotas may allow fewer.
        available: u64,
        /// It is the quota: the disk has space.
        is_quota: bool,
    },
    /// Writing works again after [`Self::DiskFull`].
    SpaceAvailable,
    /// The end: exactly one, and nothing after it.
    Ended(Outcome),
}

/// How far a download is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Progress {
    /// Bytes that are verified and written; never less than what was reported before.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes per second, smoothed over about ten seconds.
    pub rate: u64,
    /// Time left; `None` until the rate is steady.
    pub eta: Option<Duration>,
}

/// Why no byte comes. Displayed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum StallReason {
    /// No peer is connected.
    #[error("no peer is connected")]
    NoPeers,
    /// Nobody is known to provide the file.
    #[error("nobody is known to provide it")]
    NoProvider,
    /// All peers that were asked lack this block.
    #[error("all peers that were asked lack the block {0}")]
    AllDontHave(
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::one::serialize"))]
        Cid,
    ),
    /// Peers were asked and do not answer; also the default when the host gives no reason.
    #[error("peers were asked and do not answer")]
    PeersSilent,
    /// The disk does not keep up, or is full.
    #[error("the disk does not keep up")]
    DiskSlow,
    /// The node's own limit of the download rate holds it.
    #[error("the limit of the download rate holds it")]
    RateLimited,
}

/// How a download ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Outcome {
    /// The target is complete and under its name.
    Finished(Finished),
    /// [`Download::verify`](crate::chunk::Download::verify): the file was compared with the DAG.
    Verified {
        /// The file's length according to its DAG; `None` if the file is one raw block and differs, because
        /// then that block alone knows.
        size: Option<u64>,
        /// The ranges in which the file on disk differs, in order; none means equal.
        different: Vec<Range<u64>>,
    },
    /// All bytes are written, but the system kept the file in use for too long. The data stays;
    /// starting the same download again only verifies it, as [`Resume`](crate::chunk::Resume) chooses, and renames.
    NeedsCommit {
        /// How often the rename was tried again.
        retries: u32,
        /// The last code of the operating system.
        code: Option<i32>,
    },
    /// [`Download::stop`](crate::chunk::Download::stop): the data stays, and starting again resumes.
    Stopped,
    /// [`Download::cancel`](crate::chunk::Download::cancel): the temporary data is removed.
    Cancelled,
    /// It failed. Temporary data stays for another attempt.
    Failed(DownloadError),
}

/// A finished download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finished {
    /// The target's length in bytes.
    pub size: u64,
    /// The number in the target's name, as in [`FileRole::Target`](crate::chunk::FileRole::Target).
    pub number: u32,
    /// How often the rename was tried again.
    pub retries: u32,
    /// The target was there already and equal; nothing was written.
    pub already: bool,
    /// Bytes of an earlier run that were trusted: hashed when they arrived then, and not since. Zero
    /// means that the file is verified.
    pub unchecked: u64,
    /// A temporary file could not be removed. It does no harm to a later download.
    pub leftover: bool,
    /// The rename is on disk for certain. False without syncs, or when the directory's failed.
    pub durable: bool,
}

impl Finished {
    /// The target of `size` bytes was there already.
    pub(super) const fn already(size: u64) -> Self {
        Self {
            size,
            number: 0,
            retries: 0,
            already: true,
            unchecked: 0,
            leftover: false,
            durable: true,
        }
    }
}

/// Why a download failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum DownloadError {
    /// The file's author made no valid DAG.
    #[error(transparent)]
    InvalidDag(#[from] InvalidDag),
    /// No peer could prove the root.
    #[error("the root cannot be fetched: {0}")]
    BadRoot(DagFault),
    /// A block that nobody has.
    #[error("no peer has the block {cid}")]
    Unavailable {
        /// The block.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::one::serialize"))]
        cid: Cid,
    },
    /// Another process downloads to the same target.
    #[error("another process is downloading to the same file")]
    AlreadyInProgress,
    /// The target exists, differs, and must not be replaced.
    #[error("the target exists and is another file; remove it or choose another name")]
    TargetExists,
    /// The disk is too small, or is full by now.
    #[error(
        "the file needs {} more, the disk has {}; free some space",
        ByteSize(*needed),
        ByteSize(*available)
    )]
    NotEnoughSpace {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The user may not take more of the disk.
    #[error(
        "the file needs {} more, and the disk quota is used up; free some space or have the quota raised",
        ByteSize(*needed)
    )]
    QuotaExceeded {
        /// Bytes that are needed.
        needed: u64,
    },
    /// The complete file is what its CID says, and has not the digest that the user expects. It did not get
    /// its name; the data stays.
    #[error("the file is what its CID says, but its {of} is {found}, not {expected}")]
    RootMismatch {
        /// Which digest.
        of: DigestKind,
        /// The one that was expected.
        expected: Sha256Digest,
        /// The one that it has.
        found: Sha256Digest,
    },
    /// A part of the file was not wanted, so there is no Merkle root over all of its leaves.
    #[error("only a part of the file is wanted, and a Merkle root is that of all its leaves")]
    UnknownLeaves,
    /// The rename failed for good; the data is complete and stays.
    #[error("the finished file could not be renamed to its target: {0}")]
    RenameFailed(FsError),
    /// Another file operation failed for good.
    #[error("could not {operation} the file: {error}")]
    File {
        /// What was tried.
        operation: Operation,
        /// The system's error.
        error: FsError,
    },
}

/// A digest of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum DigestKind {
    /// SHA-256 of its bytes.
    #[error("SHA-256")]
    Sha256,
    /// The root of the Merkle tree over its leaves.
    #[error("Merkle root")]
    MerkleRoot,
}

/// A file operation in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Operation {
    /// Taking the lock.
    #[error("lock")]
    Lock,
    /// Opening.
    #[error("open")]
    Open,
    /// Replacing the target.
    #[error("replace")]
    Replace,
    /// Asking for the free space.
    #[error("find the free space for")]
    FreeSpace,
    /// Reading what was written.
    #[error("read")]
    Read,
    /// Setting the length.
    #[error("allocate")]
    Allocate,
    /// Writing.
    #[error("write")]
    Write,
    /// Making durable.
    #[error("sync")]
    Sync,
    /// Replacing the journal.
    #[error("save the journal of")]
    Save,
    /// Closing.
    #[error("close")]
    Close,
    /// Removing the temporary data of an earlier download to the same target, or of this one.
    #[error("remove the temporary data of")]
    Remove,
}

/// Why a want ended without a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Missing {
    /// Nobody has the block, or nobody delivered it within the time that the host allows.
    NotFound,
    /// The host withdrew the want itself; the block is requested again.
    Withdrawn,
}
