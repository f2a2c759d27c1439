//! The operations on a folder that the download of a tree requests.
//!
//! Paths are relative to the tree's root. An operation must never follow a symbolic link within the tree, also
//! not one that somebody makes meanwhile.

use bytes::Bytes;
use cid::Cid;

use super::path::TreePath;
use crate::chunk::download::{Effect, IfExists};
use crate::chunk::unixfs::{Metadata, RAW};
use crate::prefix::Prefix;

/// One operation. Each is answered by one call of
/// [`TreeDownload::handle_done`](super::TreeDownload::handle_done), with the [`Done`](crate::chunk::Done) that
/// it names or an [`FsError`](crate::chunk::FsError).
///
/// Effects that are out at the same time are independent: run them in any order, or side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeEffect {
    /// As [`Effect::Lock`].
    Lock,
    /// As [`Effect::Unlock`].
    Unlock,
    /// Read the journal, of at most `max` bytes. [`Done::Bytes`](crate::chunk::Done::Bytes).
    ReadJournal {
        /// Its largest length.
        max: usize,
    },
    /// Replace the journal by these bytes, as [`Effect::SaveJournal`].
    SaveJournal {
        /// The journal.
        bytes: Bytes,
    },
    /// Make the work directory beside the target, durably; remove what [`Self::Put`] left in it before; then
    /// make the target, unless it is a directory already. [`Done::Made`](crate::chunk::Done::Made).
    Begin,
    /// Make a directory, unless it is one already. [`Done::Made`](crate::chunk::Done::Made);
    /// [`FsErrorKind::Exists`](crate::chunk::FsErrorKind::Exists) when something else has the name.
    MakeDir {
        /// Its path.
        path: TreePath,
    },
    /// Make a symbolic link. [`Done::Equal`](crate::chunk::Done::Equal): whether it was there already, and the
    /// same. When something else has the name, it is
    /// [`FsErrorKind::Exists`](crate::chunk::FsErrorKind::Exists), unless `replace` is set and it is a file or
    /// a link.
    MakeLink {
        /// Its path.
        path: TreePath,
        /// As in [`crate::chunk::FileRole::Target`].
        number: u32,
        /// Where it leads.
        target: alloc::string::String,
        /// Whether a link or file that has the name is replaced.
        replace: bool,
    },
    /// Compare what has a name with a small file. [`Done::Equal`](crate::chunk::Done::Equal), or
    /// [`FsErrorKind::NotFound`](crate::chunk::FsErrorKind::NotFound). A link is another file.
    Look {
        /// Its path.
        path: TreePath,
        /// As in [`crate::chunk::FileRole::Target`].
        number: u32,
        /// What it should hold.
        expected: Expected,
    },
    /// Write a small file to the work directory. [`Done::Unit`](crate::chunk::Done::Unit).
    Put {
        /// Names it there.
        number: u64,
        /// All of its bytes.
        bytes: Bytes,
    },
    /// Make durable what was put, made and named so far. [`Done::Unit`](crate::chunk::Done::Unit).
    Sync,
    /// Give a small file its name in the tree, as [`Effect::Rename`].
    Name {
        /// What it was put as.
        number: u64,
        /// Its path.
        path: TreePath,
        /// As in [`crate::chunk::FileRole::Target`].
        to: u32,
        /// As in [`Effect::Rename`].
        replace: bool,
        /// What it gets, before its name.
        metadata: Metadata,
    },
    /// Set the metadata of a directory or a large file. [`Done::Unit`](crate::chunk::Done::Unit).
    SetMetadata {
        /// Its path.
        path: TreePath,
        /// As in [`crate::chunk::FileRole::Target`]; 0 for a directory.
        number: u32,
        /// What it gets.
        metadata: Metadata,
    },
    /// An operation of the download of one large file. Its temporary file is in the work directory, under a
    /// name that follows from its path; its directories are those of both names. The journal and the lock are
    /// the tree's: no operation on them is among these.
    File {
        /// The file.
        path: TreePath,
        /// The operation.
        effect: Effect,
    },
    /// Remove the work directory and what is in it. [`Done::Unit`](crate::chunk::Done::Unit).
    RemoveWork,
}

/// What a small file should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// These bytes.
    Bytes(Bytes),
    /// The bytes of this raw block.
    Block(Cid),
}

impl Expected {
    /// The longest file that can be equal, in bytes. A longer one need not be read.
    #[must_use]
    pub const fn len_max(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Block(_) => crate::limits::BLOCK_BYTES_MAX,
        }
    }

    /// Whether `bytes` are what the file should hold. Hashes them; pure.
    #[must_use]
    pub fn matches(&self, bytes: &Bytes) -> bool {
        match self {
            Self::Bytes(expected) => expected == bytes,
            Self::Block(cid) => {
                let block = Prefix::of(cid).and_then(|prefix| prefix.block(bytes.clone()));
                cid.codec() == RAW && block.is_ok_and(|block| block.cid() == cid)
            }
        }
    }
}

/// Whether a policy replaces what is there.
pub(super) fn replaces(if_exists: IfExists) -> bool {
    if_exists == IfExists::Replace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_recognised_by_its_bytes_or_by_its_raw_block() {
        use multihash_codetable::{Code, MultihashDigest};
        let (hello, other) = (Bytes::from_static(b"hello"), Bytes::from_static(b"hellO"));
        let bytes = Expected::Bytes(hello.clone());
        assert_eq!(bytes.len_max(), 5);
        let hash = Code::Sha2_256.digest(b"hello");
        let block = Expected::Block(Cid::new_v1(RAW, hash));
        assert_eq!(block.len_max(), crate::limits::BLOCK_BYTES_MAX);
        for expected in [bytes, block] {
            assert!(expected.matches(&hello) && !expected.matches(&other));
        }
        // What is no raw block is no file's bytes.
        assert!(!Expected::Block(Cid::new_v1(crate::chunk::DAG_PB, hash)).matches(&hello));
        assert!(
            [IfExists::Refuse, IfExists::Replace, IfExists::Unique].map(replaces)
                == [false, true, false]
        );
    }
}
