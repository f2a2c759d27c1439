//! What can be wrong with a DAG.

use cid::Cid;
use thiserror::Error;

use super::kind::NodeKind;
use crate::error::PrefixError;
use crate::protobuf::Malformed;

/// A block whose bytes are genuine and still no part of a file: its author's fault, not a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("the file's DAG is invalid at {cid}: {reason}")]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct InvalidDag {
    /// The block that breaks a rule.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::one::serialize"))]
    pub cid: Cid,
    /// The rule.
    pub reason: DagFault,
}

/// A rule that a block of a file breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum DagFault {
    /// Not dag-pb and UnixFS in their one encoding.
    #[error("not a well-formed dag-pb node")]
    Malformed,
    /// A codec that files do not use.
    #[error("codec {0:#x} is not used by files")]
    UnknownCodec(u64),
    /// Another kind of node: list a directory, do not download it as a file.
    #[error("a node of kind {0:?} is not a file")]
    NotAFile(NodeKind),
    /// A link that is not a whole CID.
    #[error("a link that is not a CID")]
    BadLink,
    /// A link to a block that no peer could prove.
    #[error("a link whose block cannot be verified: {0}")]
    UnfetchableLink(PrefixError),
    /// An identity CID above [`crate::chunk::INLINE_MAX`] bytes.
    #[error("an inline block above 128 bytes")]
    LongInline,
    /// A link with a name: those are entries of directories.
    #[error("a part of a file has a named link")]
    NamedLink,
    /// More links than [`crate::chunk::Bounds::links`].
    #[error("more links than a node may have")]
    TooManyLinks,
    /// Not one length per link.
    #[error("the number of lengths differs from the number of links")]
    BlocksizesMismatch,
    /// The parts of a node do not add up to its length.
    #[error("the parts do not add up to the node's length")]
    SizeMismatch,
    /// A block has another length than its parent claims.
    #[error("its parent claims {claimed} bytes of the file, it holds {actual}")]
    LengthMismatch {
        /// The parent's claim.
        claimed: u64,
        /// The length that the block has.
        actual: u64,
    },
    /// More levels than [`crate::chunk::Bounds::depth`].
    #[error("more levels than a file may have")]
    TooDeep,
    /// More ranges than [`crate::chunk::Bounds::segments`].
    #[error("more ranges than a file may have")]
    TooManySegments,
    /// More bytes than [`crate::chunk::Bounds::size`].
    #[error("longer than a file may be")]
    TooLarge,
    /// An entry of a directory whose name is no name.
    #[error("an entry's name {0}")]
    BadName(NameError),
    /// Two entries of a directory with the same name.
    #[error("a directory has two entries of the same name")]
    DuplicateName,
    /// A node of a trie that contradicts itself, or an entry that lies where its name does not belong.
    #[error("a directory's hash trie contradicts itself")]
    BadShard,
    /// A hash other than murmur3-x64-64 places the entries of a trie.
    #[error("a directory's hash trie uses the hash {0:#x}, and only murmur3-x64-64 is read")]
    UnknownHamtHash(u64),
    /// A trie whose nodes do not have 256 children.
    #[error("a directory's hash trie has a fan-out of {0}, and only 256 is read")]
    UnknownFanout(u64),
    /// A symbolic link without a target that a system could have.
    #[error("a symbolic link without a valid target")]
    BadSymlink,
}

/// Why a name is not one of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum NameError {
    /// It has no characters.
    #[error("is empty")]
    Empty,
    /// It is `.` or `..`.
    #[error("is `.` or `..`, which name directories that exist already")]
    Dots,
    /// It has `/` in it.
    #[error("contains `/`")]
    Separator,
    /// It has a zero byte in it.
    #[error("contains a zero byte")]
    Nul,
    /// It is no UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// It has more than [`crate::chunk::NAME_MAX`] bytes.
    #[error("is longer than 255 bytes")]
    TooLong,
}

impl From<Malformed> for DagFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
