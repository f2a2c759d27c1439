//! From the CID of a directory to a folder on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bitswap_core::chunk::{
    Order, TreeDownload, TreeError, TreeEvent, TreeFinished, TreeOptions, TreeOutcome, TreePath,
};
use bitswap_core::{SessionOptions, Timestamp};
use cid::Cid;
use libp2p::PeerId;

use super::task::{self, Driven, Ends};
use super::{Fetch, FetchOptions};
use crate::error::FetchError;
use crate::fs::{DiskFolder, FolderFs, Paths, numbered, portable_names};
use crate::node::Node;
use crate::share;

/// How a tree is fetched.
#[derive(Clone, Debug)]
pub struct FetchTreeOptions {
    /// The download: what it may cost, which names are taken, what happens to what is there already.
    pub tree: TreeOptions,
    /// The session, as in [`FetchOptions`].
    pub session: SessionOptions<PeerId>,
    /// Whether the finished tree is served to others from where it lies.
    pub share: bool,
    /// Whether zeros stay holes, as in [`FetchOptions`].
    pub sparse: bool,
}

impl Default for FetchTreeOptions {
    /// Of everybody, for as long as it takes, with names that every system takes; then it is shared.
    fn default() -> Self {
        FetchOptions::default().into()
    }
}

impl From<FetchOptions> for FetchTreeOptions {
    /// What holds for a file, for each file of a tree.
    fn from(options: FetchOptions) -> Self {
        let FetchOptions { download, session, share, sparse } = options;
        let tree = TreeOptions { download, rule: portable_names, ..TreeOptions::default() };
        Self { tree, session, share, sparse }
    }
}

/// A fetched tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedTree {
    /// Where it is.
    pub path: PathBuf,
    /// What the download says of it.
    pub finished: TreeFinished,
    /// Bytes of blocks that each peer sent.
    pub from_peers: BTreeMap<PeerId, u64>,
    /// Bytes of blocks that were here already, in the store or in other files.
    pub from_here: u64,
}

/// A file that is complete: where, its root, and its length.
type Complete = (TreePath, u32, Cid, u64);

impl Node {
    /// Fetches the directory `root` to the path `target`, which may be a directory already. Until it is
    /// complete, `target.part` stands beside it.
    ///
    /// # Errors
    ///
    /// [`FetchError::Target`] when the target names no directory.
    pub fn fetch_tree(
        &self,
        root: Cid,
        target: &Path,
        options: FetchTreeOptions,
    ) -> Result<Fetch<TreeEvent, FetchedTree>, FetchError> {
        let new = if options.sparse { DiskFolder::sparse } else { DiskFolder::new };
        let folder = Arc::new(new(self.runtime().clone(), target)?);
        self.fetch_tree_through(root, target, folder, options)
    }

    /// As [`Self::fetch_tree`], through other operations.
    ///
    /// # Errors
    ///
    /// As [`Self::fetch_tree`].
    pub fn fetch_tree_through(
        &self,
        root: Cid,
        target: &Path,
        folder: Arc<dyn FolderFs>,
        options: FetchTreeOptions,
    ) -> Result<Fetch<TreeEvent, FetchedTree>, FetchError> {
        let paths = Paths::new(target)?;
        let node = self.clone();
        Ok(self.fetch(root, move |ends| run(node, root, paths, folder, options, ends)))
    }
}

async fn run(
    node: Node,
    root: Cid,
    paths: Paths,
    folder: Arc<dyn FolderFs>,
    options: FetchTreeOptions,
    ends: Ends<TreeEvent>,
) -> Result<FetchedTree, FetchError> {
    let FetchTreeOptions { tree, session, share, sparse: _ } = options;
    let complete: Arc<Mutex<Vec<Complete>>> = Arc::default();
    let noted = complete.clone();
    let driven = Driven {
        root,
        window: tree.download.window,
        is_rarest: tree.download.order == Order::Rarest,
        download: TreeDownload::new(root, tree, Timestamp::ZERO),
        given: None,
        session,
        keeps_nodes: share,
        perform: Box::new(move |effect| folder.perform(effect)),
        watch: Box::new(move |event| {
            if let TreeEvent::File { path, number, cid: Some(cid), size, .. } = event
                && share
            {
                let file = (path.clone(), *number, *cid, *size);
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            }
        }),
    };
    let ended = task::drive(node.clone(), driven, ends).await?;
    let path = paths.path(bitswap_core::chunk::FileRole::Target(0));
    let finished = match (ended.outcome, ended.failed) {
        (TreeOutcome::Finished(finished), _) => finished,
        (TreeOutcome::Failed(TreeError::Unavailable { .. }), Some(why)) => return Err(why.into()),
        (TreeOutcome::Failed(error), _) => {
            let error = Box::new(error);
            return Err(FetchError::Tree { path, error });
        }
        (TreeOutcome::NeedsCommit { .. }, _) => return Err(FetchError::NeedsCommit),
        (TreeOutcome::Cancelled, _) => return Err(FetchError::Cancelled),
        _ => return Err(FetchError::Interrupted),
    };
    let files = std::mem::take(&mut *complete.lock().unwrap_or_else(PoisonError::into_inner));
    for (file, number, cid, size) in files {
        let mut at: PathBuf = path.clone();
        at.extend(file.components());
        if number > 0 {
            at.set_file_name(numbered(file.name().as_ref(), number));
        }
        share::fetched(&node, cid, size, &at).await?;
    }
    let (from_peers, from_here) = (ended.from_peers, ended.from_here);
    Ok(FetchedTree { path, finished, from_peers, from_here })
}
