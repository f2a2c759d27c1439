//! The kinds of UnixFS nodes.

/// What a UnixFS node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum NodeKind {
    /// Bytes without metadata; read as a file.
    Raw,
    /// A directory in one block.
    Directory,
    /// A file or a part of one.
    File,
    /// Metadata of another node.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A directory spread over a hash trie.
    HamtShard,
    /// Not UnixFS at all.
    Other,
}

impl NodeKind {
    pub(super) const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Raw,
            1 => Self::Directory,
            2 => Self::File,
            3 => Self::Metadata,
            4 => Self::Symlink,
            5 => Self::HamtShard,
            _ => Self::Other,
        }
    }
}
