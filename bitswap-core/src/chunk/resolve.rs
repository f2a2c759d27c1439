//! From a path such as `CID/folder/file` to what has it.
//!
//! ```
//! use bitswap_core::chunk::{DirectoryBuilder, Importer, NodeRoot, Profile, Resolver};
//!
//! let mut importer = Importer::new(Profile::default());
//! importer.write("hello");
//! let file = importer.finish();
//! let mut directory = DirectoryBuilder::new(Profile::default());
//! directory.add("a", NodeRoot { cid: file.cid, dag_size: file.dag_size })?;
//! let (root, nodes) = directory.finish(&Default::default());
//!
//! let mut resolver = Resolver::new(root.cid, ["a".to_owned()])?;
//! // Fetch each block that it wants, until it wants none.
//! assert_eq!(resolver.want()?, Some(root.cid));
//! resolver.handle_block(&nodes[0])?;
//! assert_eq!(resolver.want()?, None);
//! assert_eq!(resolver.found(), &bitswap_core::chunk::Link::Block(file.cid));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::collections::VecDeque;
use alloc::string::String;

use bytes::Bytes;
use cid::Cid;
use thiserror::Error;

use super::tree::TreeBounds;
use super::unixfs::{DagFault, HashPath, InvalidDag, Link, ShardChild, UnixfsNode, check_name};
use crate::block::Block;

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A component that no entry can have.
    #[error("{name:?} is no component of a path: it {}", NameFault(reason))]
    BadComponent {
        /// The component.
        name: String,
        /// What is wrong with it.
        reason: DagFault,
    },
    /// The directory has no such entry.
    #[error("there is no {name:?} in the directory {directory}")]
    NotFound {
        /// The entry that was looked for.
        name: String,
        /// The directory's CID.
        directory: Cid,
    },
    /// What the path goes through has no entries.
    #[error("there is no {name:?}: what it should be in, {cid}, is no directory")]
    NotADirectory {
        /// The entry that was looked for.
        name: String,
        /// What was to be gone through.
        cid: Cid,
    },
    /// The path goes through a symbolic link: it is not followed.
    #[error("the path goes through a symbolic link to {target:?}; give the path that it leads to")]
    Symlink {
        /// Where the link leads.
        target: String,
    },
    /// A directory on the way is invalid.
    #[error(transparent)]
    InvalidDag(#[from] InvalidDag),
}

/// The reason in an error about a name, without its subject.
struct NameFault<'a>(&'a DagFault);

impl core::fmt::Display for NameFault<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            DagFault::BadName(why) => why.fmt(f),
            other => other.fmt(f),
        }
    }
}

/// Follows a path, one block after the other. It holds none of them.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// What is found so far.
    link: Link,
    /// The CID of the last directory that was entered, for errors.
    directory: Cid,
    /// The place in a trie, while one is gone through.
    hash: Option<HashPath>,
    rest: VecDeque<String>,
}

impl Resolver {
    /// Starts at a root.
    ///
    /// # Errors
    ///
    /// [`ResolveError::BadComponent`], and [`ResolveError::InvalidDag`] for a root that cannot be fetched.
    pub fn new(root: Cid, path: impl IntoIterator<Item = String>) -> Result<Self, ResolveError> {
        let rest: VecDeque<String> = path.into_iter().collect();
        for name in &rest {
            check_name(name.as_bytes())
                .map_err(|reason| ResolveError::BadComponent { name: name.clone(), reason })?;
        }
        let link = Link::of(&root).map_err(|reason| InvalidDag { cid: root, reason })?;
        Ok(Self { link, directory: root, hash: None, rest })
    }

    /// The block to fetch next, `None` when everything is found.
    ///
    /// # Errors
    ///
    /// [`ResolveError`], for what needs no block.
    pub fn want(&mut self) -> Result<Option<Cid>, ResolveError> {
        while !self.rest.is_empty() || self.hash.is_some() {
            match self.link.clone() {
                Link::Block(cid) => return Ok(Some(cid)),
                Link::Inline { codec, data } => self.enter(self.directory, codec, &data)?,
            }
        }
        Ok(None)
    }

    /// A verified block arrived. One that is not wanted is ignored.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub fn handle_block(&mut self, block: &Block) -> Result<(), ResolveError> {
        if self.link != Link::Block(*block.cid()) || (self.rest.is_empty() && self.hash.is_none()) {
            return Ok(());
        }
        self.enter(*block.cid(), block.cid().codec(), block.data())
    }

    /// What is at the end of the path, once nothing is wanted.
    #[must_use]
    pub const fn found(&self) -> &Link {
        &self.link
    }

    fn enter(&mut self, cid: Cid, codec: u64, data: &Bytes) -> Result<(), ResolveError> {
        let invalid = |reason| ResolveError::from(InvalidDag { cid, reason });
        let Some(name) = self.rest.front().cloned() else { return Ok(()) };
        let missing = |directory| ResolveError::NotFound { name: name.clone(), directory };
        // A block of a file or of no UnixFS at all has no entries.
        let node = match UnixfsNode::decode(codec, data, TreeBounds::default().links) {
            Ok(node) => node,
            Err(DagFault::UnknownCodec(_) | DagFault::NotAFile(_)) if self.hash.is_none() => {
                return Err(ResolveError::NotADirectory { name, cid });
            }
            Err(reason) => return Err(invalid(reason)),
        };
        match (node, self.hash) {
            (UnixfsNode::Directory(node, _), None) => {
                let entry = node.find(&name).ok_or_else(|| missing(cid))?;
                self.link = entry.link.clone();
            }
            (UnixfsNode::Shard(node, _), hash) => {
                if hash.is_none() {
                    self.directory = cid;
                }
                let here = hash.unwrap_or_default();
                let directory = self.directory;
                let digit = here.next(&name).ok_or_else(|| invalid(DagFault::TooDeep))?;
                match node.child(digit) {
                    Some(ShardChild::Shard { link, .. }) => {
                        self.hash = Some(here.below(digit).map_err(invalid)?);
                        self.link = link.clone();
                        return Ok(());
                    }
                    Some(ShardChild::Entry { entry, .. }) if entry.name == name => {
                        self.link = entry.link.clone();
                        self.hash = None;
                    }
                    _ => return Err(missing(directory)),
                }
            }
            (UnixfsNode::Symlink(target, _), None) => return Err(ResolveError::Symlink { target }),
            (UnixfsNode::File(..), None) => return Err(ResolveError::NotADirectory { name, cid }),
            // A trie goes on with nodes of its own.
            (_, Some(_)) => return Err(invalid(DagFault::BadShard)),
        }
        self.rest.pop_front();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned as _;
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;
    use crate::chunk::tree::testing::Source;

    fn resolve(source: &Source, path: &[&str]) -> Result<Link, ResolveError> {
        let path = path.iter().map(|name| (*name).to_owned());
        let mut resolver = Resolver::new(source.root, path)?;
        let mut wanted = Vec::new();
        while let Some(cid) = resolver.want()? {
            assert!(!wanted.contains(&cid), "the same block twice");
            wanted.push(cid);
            resolver.handle_block(&source.block(&cid))?;
        }
        Ok(resolver.found().clone())
    }

    #[test]
    fn a_path_leads_through_directories_and_tries() {
        let mut source = Source::new();
        let large = (0..6000).map(|n| {
            let name = format!("entry-{n:04}-{}", "x".repeat(40));
            (name.clone(), source.file(name.as_bytes()))
        });
        let large: Vec<_> = large.collect();
        let file = large[1234].clone();
        let trie = source.directory(large);
        let link = source.symlink("elsewhere");
        let folder = source.directory([("trie", trie), ("link", link)]);
        source.root = source.directory([("folder", folder)]).cid;
        let at = |path: &[&str]| resolve(&source, path);
        assert_eq!(at(&[]), Ok(Link::Block(source.root)));
        assert_eq!(at(&["folder"]), Ok(Link::Block(folder.cid)));
        assert_eq!(at(&["folder", "trie"]), Ok(Link::Block(trie.cid)));
        assert_eq!(at(&["folder", "link"]), Ok(Link::Block(link.cid)));
        assert_eq!(at(&["folder", "trie", &file.0]), Ok(Link::Block(file.1.cid)));
        let missing = |name: &str, directory| {
            Err(ResolveError::NotFound { name: name.to_owned(), directory })
        };
        assert_eq!(at(&["nothing"]), missing("nothing", source.root));
        assert_eq!(at(&["folder", "trie", "nothing"]), missing("nothing", trie.cid));
        let cid = file.1.cid;
        let below = Err(ResolveError::NotADirectory { name: "below".to_owned(), cid });
        assert_eq!(at(&["folder", "trie", &file.0, "below"]), below);
        let target = "elsewhere".to_owned();
        assert_eq!(at(&["folder", "link", "below"]), Err(ResolveError::Symlink { target }));
        for name in ["", ".", "..", "a/b", "a\0"] {
            assert!(matches!(at(&[name]), Err(ResolveError::BadComponent { .. })), "{name:?}");
        }
    }

    #[test]
    fn an_entry_within_its_link_needs_no_block() {
        let mut source = Source::new();
        let inline = source.inline(crate::chunk::RAW, b"bytes");
        source.root = source.directory([("a", inline)]).cid;
        let data = Bytes::from_static(b"bytes");
        let found = Link::Inline { codec: crate::chunk::RAW, data };
        assert_eq!(resolve(&source, &["a"]), Ok(found));
        assert!(matches!(resolve(&source, &["a", "b"]), Err(ResolveError::NotADirectory { .. })));
    }
}
