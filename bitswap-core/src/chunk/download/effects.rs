//! The file operations that a download requests, and their results.
//!
//! Paths never enter the core: a [`FileRole`] names a file by its role, and the driver maps it to a path.

use alloc::sync::Arc;
use core::fmt;

use bytes::Bytes;
use cid::Cid;
use thiserror::Error;

use crate::chunk::digest::{LeafRun, Sha256Digest};
use crate::chunk::manifest::Segment;
use crate::chunk::unixfs::LeafForm;
use crate::chunk::unixfs::RAW;
use crate::prefix::Prefix;

/// A file by its role in one download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum FileRole {
    /// The temporary file beside the target, with a name of its own for each target. Until it is
    /// finished it is 24 bytes longer than the target: the id that its journal has too.
    Temp,
    /// The journal beside the temporary file.
    Journal,
    /// Where a journal is written before it replaces the one before.
    NewJournal,
    /// The file whose lock keeps other processes from the same download.
    Lock,
    /// The file that is wanted. `0` is the name that was asked for; `n` is that name made unique by
    /// a number, such as `name (n).ext`.
    Target(u32),
    /// The directory of the target.
    Dir,
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Temp => "the temporary file",
            Self::Journal | Self::NewJournal => "the journal",
            Self::Lock => "the lock file",
            Self::Target(_) => "the target",
            Self::Dir => "the directory",
        })
    }
}

/// Names one [`Effect`] until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub(in crate::chunk) u64);

/// One operation on a file. Each is answered by one call of
/// [`Download::handle_done`](crate::chunk::Download::handle_done), with the [`Done`] that it names or an
/// [`FsError`].
///
/// Effects that are out at the same time are independent: run them in any order, or side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Take the lock of [`FileRole::Lock`] without waiting; a lock whose process is gone is free.
    /// [`Done::Unit`]; [`Done::LockFile`] where the file system has no locks and the file itself stands
    /// for one; or [`FsErrorKind::Locked`].
    Lock,
    /// Give the lock back and remove its file. [`Done::Unit`].
    Unlock,
    /// Read a whole file of at most `max` bytes; longer is an error. [`Done::Bytes`].
    Read {
        /// The file.
        role: FileRole,
        /// Its largest length.
        max: usize,
    },
    /// Open a file: [`FileRole::Temp`] for reading and writing, anything else for reading.
    /// [`Done::Opened`]. Only regular files are opened, everything else is [`FsErrorKind::InTheWay`],
    /// and no link is followed but one at [`FileRole::Target`]; a link there that leads to no file is
    /// [`FsErrorKind::Exists`].
    Open {
        /// The file.
        role: FileRole,
        /// Make it, empty, when it does not exist.
        create: bool,
    },
    /// Find out, as far as it can be known before, whether a rename can replace the target: not when
    /// something is mounted there, or on Windows when it is read-only. [`Done::Unit`].
    CheckReplace {
        /// Always a [`FileRole::Target`].
        role: FileRole,
    },
    /// How many bytes can still be written in [`FileRole::Dir`]. [`Done::Space`].
    FreeSpace,
    /// Set the length of the open [`FileRole::Temp`], cutting off what is longer. [`Done::Unit`].
    Allocate {
        /// The length in bytes.
        len: u64,
        /// Reserve the space; otherwise the file may be sparse.
        reserve: bool,
    },
    /// Read a range of an open file and compare it by [`Check::matches`]: work for a thread that may
    /// block and compute. [`Done::Equal`]; a file that ends too early is not equal.
    Check(Check),
    /// Read an open file from its beginning and digest it with a [`FileDigest`](crate::chunk::FileDigest):
    /// work for a thread that may block and compute. [`Done::Digest`]; a file that ends too early is an error.
    Digest {
        /// The file.
        role: FileRole,
        /// How many bytes to read.
        len: u64,
        /// The leaves whose Merkle root is wanted; without them it is the SHA-256.
        leaves: Option<Arc<[LeafRun]>>,
    },
    /// Write all of `bytes` at `offset` of the open [`FileRole::Temp`]. [`Done::Unit`], or [`FsErrorKind::Changed`] when
    /// somebody else has written to the file since the operation before.
    Write {
        /// The position in the file on disk.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// Make what was written to [`FileRole::Temp`] durable. [`Done::Unit`].
    Sync,
    /// Look at the open [`FileRole::Temp`] without reading it. [`Done::Stamp`].
    Stamp,
    /// Replace [`FileRole::Journal`] by these bytes, durably and at once: write another file, sync
    /// it, rename it over the journal. [`Done::Unit`].
    SaveJournal {
        /// The journal.
        bytes: Bytes,
    },
    /// Close an open file, all of its handles. [`Done::Unit`].
    Close {
        /// The file.
        role: FileRole,
    },
    /// Rename [`FileRole::Temp`], which is closed, to the target. [`Done::Unit`], or [`FsErrorKind::Changed`] as for a
    /// write; another file that has its name by now is [`FsErrorKind::InTheWay`].
    Rename {
        /// Always a [`FileRole::Target`].
        to: FileRole,
        /// Replace what has the name, in the same step; otherwise such a file is
        /// [`FsErrorKind::Exists`], also when it appears at the last moment.
        replace: bool,
    },
    /// Make the names in [`FileRole::Dir`] durable: what was made, renamed and removed. [`Done::Unit`]; or
    /// [`FsErrorKind::Unsupported`] where that cannot be done, or not be known.
    SyncDir,
    /// Remove a file, [`FileRole::Journal`] with what a save that was cut off left beside it; one that
    /// does not exist is removed already. [`Done::Unit`].
    Remove {
        /// The file.
        role: FileRole,
    },
}

/// The answer to an [`Effect`] that worked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Done {
    /// It is done.
    Unit,
    /// The lock is taken, by a file that stands for it: it stays when the process is killed.
    LockFile,
    /// The file's bytes.
    Bytes(Bytes),
    /// The file is open.
    Opened {
        /// Its length in bytes.
        len: u64,
    },
    /// Bytes that can still be written.
    Space(u64),
    /// The stamp of the file.
    Stamp(Stamp),
    /// Whether the range holds what it should.
    Equal(bool),
    /// The digest of a file.
    Digest(Sha256Digest),
    /// A directory of a tree is there.
    Made {
        /// It was not there before.
        is_new: bool,
    },
}

/// A digest of a file's metadata: which file it is, its length, and the time of its last change.
///
/// Equal stamps mean that nobody wrote to the file in between, as far as the file system records it: a
/// write within the resolution of its clock after the one before changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp(pub [u8; 32]);

/// A range of a file on disk and the block that it should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// The file.
    pub role: FileRole,
    /// The position in the file on disk.
    pub offset: u64,
    /// How many bytes to read, at most 2 MiB.
    pub len: usize,
    cid: Cid,
}

impl Check {
    pub(super) const fn new(role: FileRole, offset: u64, len: usize, cid: Cid) -> Self {
        Self { role, offset, len, cid }
    }

    /// Whether `bytes`, read from the range, are the leaf that belongs there: by themselves, or
    /// wrapped again as a node. Hashes up to twice their length; pure.
    #[must_use]
    pub fn matches(&self, bytes: &Bytes) -> bool {
        let is = |form: LeafForm| {
            let block = Prefix::of(&self.cid).and_then(|prefix| prefix.block(form.block(bytes)));
            block.is_ok_and(|block| *block.cid() == self.cid)
        };
        if bytes.len() != self.len {
            false
        } else if self.cid.codec() == RAW {
            is(LeafForm::Raw)
        } else {
            is(LeafForm::WrappedFile) || is(LeafForm::WrappedRaw)
        }
    }

    /// Whether a segment is a leaf for certain, if its parent's link is right: raw, or just
    /// as long as the leaf that its range would be.
    pub(super) fn is_leaf(segment: &Segment) -> bool {
        let wrapped = |form: LeafForm| {
            usize::try_from(segment.len)
                .is_ok_and(|len| form.block_len(len) as u64 == segment.tsize)
        };
        segment.cid.codec() == RAW
            || segment.len <= crate::chunk::cost::LEAF_MAX && wrapped(LeafForm::WrappedFile)
    }
}

/// What went wrong with a file operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{kind}{}", SystemCode(*code))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FsError {
    /// The kind.
    pub kind: FsErrorKind,
    /// The operating system's code, where there is one.
    pub code: Option<i32>,
}

impl FsError {
    /// The answer is not of the effect's kind: a mistake of the host.
    pub(in crate::chunk) const WRONG_ANSWER: Self = Self { kind: FsErrorKind::Io, code: None };
}

/// The operating system's code behind a message, where there is one.
struct SystemCode(Option<i32>);

impl fmt::Display for SystemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |code| write!(f, " (system error {code})"))
    }
}

/// Kinds of file errors, as far as a download treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum FsErrorKind {
    /// No such file.
    #[error("the file or its directory does not exist")]
    NotFound,
    /// The name is taken.
    #[error("a file of that name exists")]
    Exists,
    /// The lock is held by a living process.
    #[error("another process holds the lock")]
    Locked,
    /// A lock file names an owner that cannot be asked from here whether it still runs.
    #[error("a lock file of another machine, or of an unknown owner, exists")]
    LockFile,
    /// Something other than a regular file of this user has a name that the download needs.
    #[error("{what} has the name of {role}")]
    InTheWay {
        /// Whose name it has.
        role: FileRole,
        /// What it is.
        what: Obstacle,
    },
    /// Not allowed.
    #[error("permission denied")]
    PermissionDenied,
    /// The file system does not take writes.
    #[error("the file system is read-only")]
    ReadOnly,
    /// No space.
    #[error("the disk is full")]
    DiskFull,
    /// The disk may have space, and the user may have no more of it.
    #[error("the disk quota is used up")]
    QuotaExceeded,
    /// Longer than the file system or the process limit allows.
    #[error("the file would be larger than is allowed")]
    TooLarge,
    /// A name that the platform does not allow.
    #[error("the name is not allowed here")]
    BadName,
    /// A directory stands where a file should.
    #[error("a directory has that name")]
    IsDirectory,
    /// Something is mounted there, or another program holds it.
    #[error(
        "something is mounted there, or another program holds it; unmount it, close that program, or choose another name"
    )]
    Busy,
    /// Somebody else wrote to the temporary file, as far as the file system tells.
    #[error(
        "another program wrote to it meanwhile; close that program, and run the same download again"
    )]
    Changed,
    /// The system or the file system has no such operation.
    #[error("the file system cannot do this")]
    Unsupported,
    /// Anything else.
    #[error("input or output failed")]
    Io,
}

impl FsErrorKind {
    /// Whether there is no room, for now: the same write may work later.
    #[must_use]
    pub const fn is_full(self) -> bool {
        matches!(self, Self::DiskFull | Self::QuotaExceeded)
    }
}

/// What exists where only a regular file of this user may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Obstacle {
    /// A symbolic link, whatever it leads to.
    #[error("a symbolic link")]
    Link,
    /// A directory.
    #[error("a directory")]
    Directory,
    /// A pipe with a name.
    #[error("a pipe (FIFO)")]
    Fifo,
    /// A block or character device.
    #[error("a device")]
    Device,
    /// A socket.
    #[error("a socket")]
    Socket,
    /// A file whose owner is somebody else.
    #[error("a file of another user")]
    OtherOwner,
    /// A file that has another name besides this one: writing would change what is found there.
    #[error("a file that has a second name (a hard link)")]
    SecondName,
    /// A file that is read-only, which Windows does not replace.
    #[error("a read-only file; clear its attribute or choose another name")]
    ReadOnly,
    /// A file that no download wrote.
    #[error("a file that is not of this program")]
    NotOurs,
    /// Anything else that is not a regular file.
    #[error("something that is not a regular file")]
    Special,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Importer, Profile};

    #[test]
    fn a_leaf_is_recognised_by_its_bytes_in_every_form() {
        let bytes = Bytes::from_static(b"hello");
        for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
            let mut importer = Importer::new(profile);
            importer.write(bytes.clone());
            let cid = importer.finish().cid;
            let check = Check::new(FileRole::Temp, 0, 5, cid);
            assert!(check.matches(&bytes));
            assert!(!check.matches(&Bytes::from_static(b"hellO")));
            assert!(!check.matches(&Bytes::from_static(b"hell")));
        }
        let block = LeafForm::WrappedRaw.block(&bytes);
        let cid = *Prefix::V0.block(block).unwrap().cid();
        assert!(Check::new(FileRole::Temp, 0, 5, cid).matches(&bytes));
    }

    #[test]
    fn an_error_names_its_file_and_the_systems_code() {
        use alloc::string::ToString as _;
        let roles = [
            (FileRole::Temp, "the temporary file"),
            (FileRole::Journal, "the journal"),
            (FileRole::NewJournal, "the journal"),
            (FileRole::Lock, "the lock file"),
            (FileRole::Target(3), "the target"),
            (FileRole::Dir, "the directory"),
        ];
        for (role, name) in roles {
            assert_eq!(role.to_string(), name);
        }
        let error = |code| FsError { kind: FsErrorKind::NotFound, code }.to_string();
        assert_eq!(error(None), FsErrorKind::NotFound.to_string());
        assert_eq!(error(Some(2)), error(None) + " (system error 2)");
    }
}
