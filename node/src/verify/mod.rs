//! What is on disk, compared with what a CID names.
//!
//! The DAG is gone through from its root. What can be made from the disk alone is not fetched: the node of a small
//! file or of a symbolic link is made again from what lies there, and if that has the right hash it is the node.

mod disk;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, ReadDir};
use std::hash::RandomState;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitswap_core::chunk::{
    DAG_PB, DirId, Download, DownloadError, DownloadOptions, EntryKind, InvalidTree, Link, Outcome,
    Profile, RAW, TreeBounds, TreeEntry, TreeFault, TreePath, TreeWalk, UnixfsNode, WalkOutput,
};
use bitswap_core::{Block, SessionOptions, Timestamp};
use bitswap_libp2p::BlockDisposition;
use bytes::Bytes;
use cid::Cid;
use futures::channel::mpsc;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use libp2p::PeerId;

pub use self::disk::OnDisk;
use self::disk::{block_at, extras, is_target, key, on_disk};
use crate::error::{FetchError, NodeClosed, ShareError, VerifyError};
use crate::fetch::{Driven, Ends, drive};
use crate::fs::{DiskFs, Fs as _, Paths, native_names};
use crate::node::Node;
use crate::runtime::RuntimeExt as _;
use crate::session::Session;
use crate::share::{Hashed, Keep, ShareTreeOptions};

/// Bytes of blocks that are asked for ahead while directories are gone through.
const WINDOW: u64 = 4 << 20;

/// Bytes that the comparison of one file may hold.
const FILE_WINDOW: u64 = 8 << 20;

/// Files that are compared at a time.
const FILES_AT_ONCE: usize = 4;

/// How something on disk differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// It is not there; nothing is told of what would be in it.
    Missing,
    /// It is there, and is no part of the tree.
    Extra,
    /// It is of another type; nothing is told of what is in it.
    Type {
        /// What it should be.
        expected: OnDisk,
        /// What it is.
        found: OnDisk,
    },
    /// The symbolic link leads elsewhere.
    Target {
        /// Where it should lead.
        expected: String,
        /// Where it leads.
        found: PathBuf,
    },
    /// Bytes of the file differ.
    Bytes {
        /// The length that it should have; `None` for a single raw block that differs, whose length is known by
        /// that block alone.
        size: Option<u64>,
        /// The ranges that differ, in order and not empty: whole leaves, and what is beyond the right end.
        ranges: Vec<Range<u64>>,
    },
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Files that are equal.
    pub files: u64,
    /// Bytes of the files that are equal.
    pub size: u64,
    /// Entries that differ: none means that all is equal.
    pub differences: u64,
}

impl Node {
    /// Whether a file or tree on disk has this CID when it is cut as files and trees usually are: then it is what
    /// the CID names, and no peer is needed to know it. False says nothing: it may be cut in another way, or have
    /// permissions and times in its nodes.
    ///
    /// # Errors
    ///
    /// When something cannot be read, changes meanwhile, or can be part of no tree.
    pub async fn has_cid(
        &self,
        path: &Path,
        root: Cid,
        mut progress: impl FnMut(Hashed) + Send,
    ) -> Result<bool, ShareError> {
        // Only nodes above leaves are alike in both versions of CIDs.
        let profiles: &[Profile] = match (root.version(), root.codec()) {
            (cid::Version::V0, _) => &[Profile::UnixfsV0_2015],
            (_, RAW) => &[Profile::UnixfsV1_2025],
            (_, DAG_PB) => &[Profile::UnixfsV1_2025, Profile::UnixfsV0_2015],
            _ => &[],
        };
        let look = path.to_owned();
        let is_file = self.runtime().run_blocking(move || look.is_file()).await;
        let is_file = is_file.map_err(|source| read_failed(path, source))?;
        for profile in profiles.iter().copied() {
            let found = if is_file {
                let cut = (profile, Keep::Nothing);
                self.import_file(path, cut, &mut progress).await?.0.cid
            } else {
                let keep = Keep::Nothing;
                let options = ShareTreeOptions { profile, keep, ..ShareTreeOptions::default() };
                self.share_tree(&[path.to_owned()], options, &mut progress).await?.root.cid
            };
            if found.hash() == root.hash() && found.codec() == root.codec() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares a file or tree on disk with the one of this CID, and tells what differs: the path within the
    /// tree, empty for `path` itself, and how. Permissions and times do not count.
    ///
    /// Nodes above leaves are fetched, and no leaf whose parent tells that it is one. What is on disk is read once;
    /// a few leaves and the listings of open directories are in memory.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why the comparison did not come to its end.
    pub async fn verify(
        &self,
        path: &Path,
        root: Cid,
        session: SessionOptions<PeerId>,
        report: impl FnMut(&Path, Difference) + Send,
    ) -> Result<Verified, VerifyError> {
        // A link to nothing is there, and differs.
        if look(self, path, false).await?.is_none() {
            return Err(read(path, io::ErrorKind::NotFound.into()));
        }
        let walk = TreeWalk::new(root, TreeBounds::default(), native_names, WINDOW)?;
        let verification = Verification {
            node: self.clone(),
            path: path.to_owned(),
            options: session.clone(),
            session: Arc::new(
                self.session_keeping(session, BlockDisposition::Return, Some(root)).await?,
            ),
            walk,
            directories: BTreeMap::new(),
            hasher: RandomState::new(),
            asked: FuturesUnordered::new(),
            files: FuturesUnordered::new(),
            verified: Verified::default(),
            report,
        };
        verification.run().await
    }
}

type Asked = BoxFuture<'static, Result<Block, VerifyError>>;
/// A file that was compared: where it is in the tree, its length, and how it differs.
type Compared = Result<(PathBuf, u64, Option<Difference>), VerifyError>;

struct Verification<R> {
    node: Node,
    path: PathBuf,
    options: SessionOptions<PeerId>,
    session: Arc<Session>,
    walk: TreeWalk,
    /// Directories that are on disk too, and the names that they should have.
    directories: BTreeMap<DirId, (PathBuf, HashSet<u64>)>,
    hasher: RandomState,
    asked: FuturesUnordered<Asked>,
    files: FuturesUnordered<BoxFuture<'static, Compared>>,
    verified: Verified,
    report: R,
}

impl<R: FnMut(&Path, Difference) + Send> Verification<R> {
    async fn run(mut self) -> Result<Verified, VerifyError> {
        loop {
            while self.files.len() < FILES_AT_ONCE
                && let Some(output) = self.walk.next_output()?
            {
                match output {
                    WalkOutput::Entry(entry) => self.entry(*entry).await?,
                    WalkOutput::Listed(directory) => self.listed(directory).await?,
                }
            }
            while let Some(want) = self.walk.next_want() {
                let at = |path: &TreePath| on_disk(&self.path, path.as_str());
                let places: Vec<PathBuf> = self.walk.awaited_at(&want.cid).map(at).collect();
                let (node, session) = (self.node.clone(), self.session.clone());
                self.asked.push(block(node, session, want.cid, places).boxed());
            }
            if self.asked.is_empty() && self.files.is_empty() {
                return Ok(self.verified);
            }
            futures::select! {
                block = self.asked.select_next_some() => _ = self.walk.handle_block(&block?)?,
                compared = self.files.select_next_some() => {
                    let (path, size, difference) = compared?;
                    match difference {
                        Some(difference) => self.differs(&path, difference),
                        None => {
                            self.verified.files += 1;
                            self.verified.size += size;
                        }
                    }
                }
            }
        }
    }

    fn differs(&mut self, path: &Path, difference: Difference) {
        self.verified.differences += 1;
        (self.report)(path, difference);
    }

    async fn entry(&mut self, entry: TreeEntry) -> Result<(), VerifyError> {
        let TreeEntry { path, parent, link, kind, .. } = entry;
        if let Some(parent) = parent {
            let key = key(&self.hasher, OsStr::new(path.name()));
            // Nothing is told of what is in a directory that is not there.
            let Some((_, names)) = self.directories.get_mut(&parent) else {
                if let EntryKind::Directory(id) = kind {
                    self.walk.skip(id);
                }
                return Ok(());
            };
            names.insert(key);
        }
        let relative = on_disk(Path::new(""), path.as_str());
        let at = on_disk(&self.path, path.as_str());
        let follow = path.is_root() && !matches!(kind, EntryKind::Symlink { .. });
        let mut found = look(&self.node, &at, follow).await?;
        if follow && found.is_none() {
            found = look(&self.node, &at, false).await?;
        }
        let expected = match &kind {
            EntryKind::Directory(_) => OnDisk::Directory,
            EntryKind::File { .. } => OnDisk::File,
            EntryKind::Symlink { .. } => OnDisk::Symlink,
            EntryKind::Other { codec } => {
                return Err(InvalidTree { path, fault: TreeFault::NotAFile(*codec) }.into());
            }
        };
        if found != Some(expected) {
            if let EntryKind::Directory(id) = kind {
                self.walk.skip(id);
            }
            self.differs(
                &relative,
                found.map_or(Difference::Missing, |found| Difference::Type { expected, found }),
            );
            return Ok(());
        }
        match kind {
            EntryKind::Directory(id) => _ = self.directories.insert(id, (relative, HashSet::new())),
            EntryKind::File { size, block } => {
                let (node, options) = (self.node.clone(), self.options.clone());
                let compared = async move {
                    let difference = match link {
                        Link::Block(cid) => {
                            let given = block.map(|data| Block::new_unchecked(cid, data));
                            compare(node, &at, cid, given, options).await?
                        }
                        Link::Inline { codec, data } => inline(&node, &at, codec, data).await?,
                    };
                    Ok((relative, size, difference))
                };
                self.files.push(compared.boxed());
            }
            EntryKind::Symlink { target: expected } => {
                let link = at.clone();
                let target = self.node.runtime().run_blocking(move || fs::read_link(link)).await;
                let found = target.and_then(|target| target).map_err(|source| read(&at, source))?;
                if !is_target(&found, &expected) {
                    self.differs(&relative, Difference::Target { expected, found });
                }
            }
            EntryKind::Other { .. } => {}
        }
        Ok(())
    }

    /// All entries of a directory were given: tells of what else is there.
    async fn listed(&mut self, directory: DirId) -> Result<(), VerifyError> {
        let Some((relative, names)) = self.directories.remove(&directory) else { return Ok(()) };
        let at = if relative.as_os_str().is_empty() {
            self.path.clone()
        } else {
            self.path.join(&relative)
        };
        let runtime = self.node.runtime().clone();
        let (hasher, names) = (self.hasher.clone(), Arc::new(names));
        let mut rest: Option<ReadDir> = None;
        loop {
            let (dir, hasher, names) = (at.clone(), hasher.clone(), names.clone());
            let read_some = move || extras(&dir, rest, &names, &hasher);
            let some = runtime.run_blocking(read_some).await.and_then(|result| result);
            let (extra, left) = some.map_err(|source| read(&at, source))?;
            for name in extra {
                self.differs(&relative.join(name), Difference::Extra);
            }
            if left.is_none() {
                return Ok(());
            }
            rest = left;
        }
    }
}

/// What is on disk under a name; `None` for nothing.
async fn look(node: &Node, path: &Path, follow: bool) -> Result<Option<OnDisk>, VerifyError> {
    let at = path.to_owned();
    let looked = node.runtime().run_blocking(move || disk::look(&at, follow)).await;
    looked.and_then(|found| found).map_err(|source| read(path, source))
}

/// A block: made again from what is at one of these places, or from a peer.
async fn block(
    node: Node,
    session: Arc<Session>,
    cid: Cid,
    places: Vec<PathBuf>,
) -> Result<Block, VerifyError> {
    let make = move || places.iter().find_map(|place| block_at(cid, place));
    match node.runtime().run_blocking(make).await {
        Ok(Some(block)) => Ok(block),
        _ => Ok(session.get(cid).await?),
    }
}

/// Compares a file with a root, whose block may be known.
async fn compare(
    node: Node,
    path: &Path,
    root: Cid,
    given: Option<Block>,
    session: SessionOptions<PeerId>,
) -> Result<Option<Difference>, VerifyError> {
    let fs = DiskFs::new(node.runtime().clone(), Paths::new(path)?);
    let options = DownloadOptions { window: FILE_WINDOW, ..DownloadOptions::default() };
    let driven = Driven {
        root,
        is_rarest: false,
        download: Download::verify(root, options, Timestamp::ZERO),
        given,
        window: FILE_WINDOW,
        session,
        keeps_nodes: false,
        perform: Box::new(move |effect| fs.perform(effect)),
        watch: Box::new(|_| ()),
    };
    // Nobody controls or watches it; it ends when this future is dropped.
    let ((_control, controls), (events, _)) = (mpsc::channel(1), mpsc::channel(1));
    let ended =
        drive(node, driven, Ends { controls, events }).await.map_err(|error| match error {
            FetchError::Block(error) => error.into(),
            _ => VerifyError::NodeClosed(NodeClosed),
        })?;
    match (ended.outcome, ended.failed) {
        (Outcome::Verified { size, different }, _) => {
            Ok((!different.is_empty()).then_some(Difference::Bytes { size, ranges: different }))
        }
        (Outcome::Failed(DownloadError::Unavailable { .. }), Some(why)) => Err(why.into()),
        (Outcome::Failed(error), _) => {
            Err(VerifyError::File { path: path.to_owned(), reason: Box::new(error) })
        }
        _ => Err(VerifyError::NodeClosed(NodeClosed)),
    }
}

/// Compares a file whose bytes are within its link.
async fn inline(
    node: &Node,
    path: &Path,
    codec: u64,
    data: Bytes,
) -> Result<Option<Difference>, VerifyError> {
    let bytes = match UnixfsNode::decode(codec, &data, 0) {
        Ok(UnixfsNode::File(file, _)) => file.data,
        _ => data,
    };
    let (at, size) = (path.to_owned(), Some(bytes.len() as u64));
    let compared = node.runtime().run_blocking(move || disk::different(&at, &bytes)).await;
    let ranges = compared.and_then(|result| result).map_err(|source| read(path, source))?;
    Ok((!ranges.is_empty()).then_some(Difference::Bytes { size, ranges }))
}

fn read(path: &Path, source: io::Error) -> VerifyError {
    VerifyError::Read { path: path.to_owned(), source: Arc::new(source) }
}

fn read_failed(path: &Path, source: io::Error) -> ShareError {
    ShareError::Read { path: path.to_owned(), source }
}
