//! Files that are shared from where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use bitswap_core::chunk::{
    Bounds, Chunk, Chunker, Contents, FileNode, Leaf, LeafForm, Manifest, Piece, Profile, RAW, Root, Tree,
};
use bytes::Bytes;
use cid::Cid;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::{ShareError, Stopped};
use crate::fs::read_at;
use crate::node::{Node, info};
use crate::runtime::{Runtime, RuntimeExt};
use crate::store::{FileId, Hash, SharedLeaf, Stamp};

/// A file that was written to this recently could be written to again without a new time of
/// modification: clocks of file systems tick every few milliseconds.
const SETTLE: Duration = Duration::from_millis(50);

/// Bytes read at once.
const READ: usize = 1 << 20;

/// A shared file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shared {
    /// Its root: the CID, the length.
    pub root: Root,
    /// Names it, to share it no longer.
    pub id: FileId,
}

impl<R: Runtime> Node<R> {
    /// Shares a file: it is cut and hashed, and its blocks are served from where it lies. The file is
    /// not copied. While it stays as it is; a block that changed is not served any more.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or changes meanwhile.
    pub async fn share_file(&self, path: &Path, profile: Profile) -> Result<Shared, ShareError> {
        let path = std::path::absolute(path)
            .map_err(|source| ShareError::Read { path: path.to_owned(), source })?;
        let failed = |source| ShareError::Read { path: path.clone(), source };
        let (file, stamp) = self.settled(&path).await.map_err(failed)?;
        let file = Arc::new(file);
        let (root, leaves) = self.import(&path, file.clone(), profile).await?;
        let after = self.runtime().run(move || file.metadata()).await.and_then(|result| result);
        if Stamp::of(&after.map_err(failed)?) != stamp {
            return Err(ShareError::Changed { path });
        }
        let id = self.store().files().share(path, Some(stamp), leaves.iter().copied());
        let infos = leaves.iter().map(|(hash, leaf)| leaf_info(profile, hash, leaf));
        self.announce(infos.collect()).await?;
        Ok(Shared { root, id })
    }

    /// Shares a file no longer. The file stays where it is.
    pub fn unshare(&self, id: FileId) {
        self.store().files().remove(id);
    }

    /// Opens the file, once its last change is old enough that another would show.
    async fn settled(&self, path: &Path) -> io::Result<(File, Stamp)> {
        loop {
            let path = path.to_owned();
            let opened = self.runtime().run(move || {
                let file = File::open(&path)?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                let modified = metadata.modified()?;
                let age = SystemTime::now().duration_since(modified).unwrap_or(SETTLE);
                io::Result::Ok((file, Stamp::of(&metadata), age))
            });
            let (file, stamp, age) = opened.await??;
            match SETTLE.checked_sub(age) {
                None | Some(Duration::ZERO) => return Ok((file, stamp)),
                Some(pause) => self.runtime().sleep(pause).await,
            }
        }
    }

    /// Cuts, hashes and builds the tree. Reading runs ahead of hashing, and hashing on all cores.
    async fn import(
        &self,
        path: &Path,
        file: Arc<File>,
        profile: Profile,
    ) -> Result<(Root, Vec<(Hash, SharedLeaf)>), ShareError> {
        let failed = |source| ShareError::Read { path: path.to_owned(), source };
        let cores = available_parallelism().map_or(1, usize::from);
        let runtime = self.runtime();
        let len = file.metadata().map_err(failed)?.len();
        let read = |offset| {
            let file = file.clone();
            runtime.run(move || read_some(&file, offset))
        };
        let mut chunker = Chunker::new(profile);
        let mut chunks = stream::iter((0..len).step_by(READ))
            .map(read)
            .buffered(2)
            .map(|read| read.and_then(|result| result))
            .map_ok(Some)
            .chain(stream::iter([Ok(None)]))
            .map_ok(|bytes| stream::iter(cut(&mut chunker, bytes)).map(io::Result::Ok))
            .try_flatten()
            .map_ok(|chunk| runtime.run(move || chunk.hash()))
            .try_buffered(cores);
        let mut tree = Tree::new(profile);
        let mut leaves = Vec::new();
        while let Some(leaf) = chunks.try_next().await.map_err(failed)? {
            let Leaf { place, block } = &leaf;
            let shared = SharedLeaf { offset: place.offset, len: place.len as u32, form: profile.leaf_form() };
            leaves.push((*block.cid().hash(), shared));
            self.keep_nodes(tree.push(&leaf)).await?;
        }
        let (root, nodes) = tree.finish();
        self.keep_nodes(nodes).await?;
        Ok((root, leaves))
    }

    async fn keep_nodes(&self, nodes: Vec<bitswap_core::Block>) -> Result<(), ShareError> {
        if nodes.is_empty() {
            return Ok(());
        }
        let infos = nodes.iter().map(info).collect();
        bitswap_libp2p::Blockstore::put(self.store(), nodes).await?;
        Ok(self.announce(infos).await?)
    }
}
