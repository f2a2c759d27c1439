//! What a tree may cost, and which names are taken.

use alloc::boxed::Box;
use core::fmt;

use thiserror::Error;

use super::path::TreePath;
use crate::chunk::unixfs::InvalidDag;

/// What a tree may cost before it is refused.
///
/// Each bound stops an attack: a few nodes that link to each other many times make a tree of any size, because
/// the same node is another directory at each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeBounds {
    /// Directories within each other.
    pub depth: u16,
    /// Entries in all.
    pub entries: u64,
    /// Links of one node. A block of 2 MiB could hold about 40,000 of usual length.
    pub links: usize,
    /// Bytes of a path within the tree.
    pub path: usize,
    /// Bytes of memory that the listings of directories may take that are not at their end.
    pub listings: u64,
}

impl Default for TreeBounds {
    /// Room for any tree that a disk has: 128 directories within each other, 2²⁴ entries, 65,536 links,
    /// paths of 4,096 bytes, 64 MiB of listings.
    fn default() -> Self {
        Self { depth: 128, entries: 1 << 24, links: 1 << 16, path: 4096, listings: 64 << 20 }
    }
}

/// Decides whether an entry can have a name where the tree goes. Two names in one directory with the same
/// key are names of the same file there; `None` clashes with nothing.
pub type NameRule = fn(&str) -> Result<Option<u64>, NameRefusal>;

/// Why the host takes no entry of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameRefusal {
    /// It holds a character that cannot be in a name.
    #[error("{} cannot be in a file name", Shown(*.0))]
    Character(char),
    /// It ends with a dot or a space, which Windows leaves out.
    #[error("a file name cannot end with a dot or a space on Windows")]
    DotOrSpaceAtEnd,
    /// It is the name of a device.
    #[error("{0} is the name of a device on Windows")]
    Device(&'static str),
    /// No file can have it.
    #[error("no file can have this name")]
    NoName,
}

/// A character as it is read: itself, or its number if it cannot be seen.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(character) = *self;
        let is_seen =
            matches!(character, '\\' | '\'' | '"') || character.escape_debug().count() == 1;
        if is_seen {
            write!(f, "'{character}'")
        } else {
            write!(f, "the character U+{:04X}", u32::from(character))
        }
    }
}

/// What is wrong with a tree, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {fault}")]
pub struct InvalidTree {
    /// The entry.
    pub path: TreePath,
    /// The rule that it breaks.
    pub fault: TreeFault,
}

/// A rule that an entry of a tree breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TreeFault {
    /// Its block is invalid.
    #[error(transparent)]
    Dag(Box<InvalidDag>),
    /// No entry can have its name where the tree goes.
    #[error("{0}")]
    Name(NameRefusal),
    /// Another entry of the directory has a name that many systems take for the same: the two differ in case,
    /// or in how letters with accents are encoded.
    #[error("another entry has the same name, but for case or the encoding of accents")]
    NameClash,
    /// A block of something other than a file or directory, of this codec.
    #[error("it is a block of codec {0:#x}, and no file")]
    NotAFile(u64),
    /// More directories within each other than [`TreeBounds::depth`].
    #[error("too many directories within each other")]
    TooDeep,
    /// More entries than [`TreeBounds::entries`].
    #[error("the tree has too many entries")]
    TooManyEntries,
    /// A path longer than [`TreeBounds::path`].
    #[error("its path is too long")]
    LongPath,
    /// More listings at a time than [`TreeBounds::listings`].
    #[error("the directories above it have too many entries")]
    LargeListings,
}

impl From<InvalidDag> for TreeFault {
    fn from(invalid: InvalidDag) -> Self {
        Self::Dag(Box::new(invalid))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_character_that_no_name_may_have_is_shown_as_it_is_typed_or_by_its_number() {
        for (character, shown) in [
            (':', "':'"),
            ('\\', "'\\'"),
            ('"', "'\"'"),
            ('é', "'é'"),
            ('\0', "the character U+0000"),
            ('\n', "the character U+000A"),
            ('\u{1b}', "the character U+001B"),
            ('\u{202e}', "the character U+202E"),
            ('\u{e0001}', "the character U+E0001"),
        ] {
            let text = NameRefusal::Character(character).to_string();
            assert_eq!(text.strip_suffix(" cannot be in a file name"), Some(shown));
        }
    }
}
