//! Files and folders that are shared from where they lie.

mod small;
mod tree;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use bitswap_core::chunk::{
    Bounds, Chunk, Chunker, FileNode, Leaf, LeafForm, Manifest, Metadata, Profile, RAW, Root,
    Segment, Tree,
};
use bitswap_core::{Block, BlockInfo};
use bitswap_libp2p::Blockstore as _;
use bytes::Bytes;
use cid::Cid;
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};

use crate::error::{NodeClosed, ShareError};
use crate::fs::read_from;
use crate::fs::regular::{obstacle, open_source};
use crate::node::Node;
use crate::runtime::{Runtime, RuntimeExt};
use crate::store::{FileId, SharedFiles, SharedLeaf, Stamp};

pub use tree::{ShareTreeOptions, SharedTree};

/// A file that was written to this recently could be written to again without a new time of
/// modification: clocks of file systems tick every few milliseconds.
const SETTLE: Duration = Duration::from_millis(50);

/// How often it is waited for that: about five seconds for a file that somebody writes to all the time.
const SETTLE_PAUSES: u32 = 100;

/// Bytes read at once.
const READ: usize = 1 << 20;

/// Bytes of a file that has others than its size says, which are kept in the store: files of `/proc` say 0,
/// and there is no place in them to read from later.
const COPIED_MAX: u64 = 64 << 20;

const NOTIFIED_AT_ONCE: usize = 1024;

/// What is kept of what is cut into blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Files are served from where they lie, without a copy; what is above their leaves goes to the store.
    #[default]
    InPlace,
    /// All blocks go to the store. The files may change, or go, afterwards.
    Copies,
    /// Nothing: only CIDs are wanted.
    Nothing,
}

/// A shared file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shared {
    /// Its root: the CID, the length.
    pub root: Root,
    /// Names it, to share it no longer.
    pub id: FileId,
}

/// How far the sharing of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hashed {
    /// Bytes that are hashed, at most `total`.
    pub done: u64,
    /// Bytes that the file said to have when it was opened.
    pub total: u64,
}

impl Node {
    /// Shares a file: it is cut and hashed, and its blocks are served from where it lies. The file is
    /// not copied. While it stays as it is; a block that changed is not served any more.
    ///
    /// A file that has more or fewer bytes than its size says, as those of `/proc`, is read once and its
    /// blocks go to the store, at most 64 MiB.
    ///
    /// # Errors
    ///
    /// When it is no regular file, cannot be read, or changes meanwhile.
    pub async fn share_file(&self, path: &Path, profile: Profile) -> Result<Shared, ShareError> {
        self.share_file_with(path, profile, |_| {}).await
    }

    /// As [`Self::share_file`], and tells after each leaf how far it is.
    ///
    /// # Errors
    ///
    /// As [`Self::share_file`].
    pub async fn share_file_with(
        &self,
        path: &Path,
        profile: Profile,
        progress: impl FnMut(Hashed) + Send,
    ) -> Result<Shared, ShareError> {
        match self.import_file(path, (profile, Keep::InPlace), progress).await? {
            (root, Some(id)) => Ok(Shared { root, id }),
            (_, None) => Err(failed(path, io::ErrorKind::NotFound.into())),
        }
    }

    /// Cuts and hashes a file, as [`Self::share_file`] does, and keeps of it what is to be kept. It has an id if
    /// it is served from where it lies.
    ///
    /// # Errors
    ///
    /// As [`Self::share_file`].
    pub async fn import_file(
        &self,
        path: &Path,
        cut: (Profile, Keep),
        progress: impl FnMut(Hashed) + Send,
    ) -> Result<(Root, Option<FileId>), ShareError> {
        let (root, shared) = self.import_with(path, cut, |_| Metadata::default(), progress).await?;
        Ok((root, shared.map(SharedForNow::keep)))
    }

    /// Cuts a file whose root has metadata, and perhaps serves it from where it lies.
    pub(crate) async fn import_with(
        &self,
        path: &Path,
        (profile, keep): (Profile, Keep),
        metadata_of: fn(&std::fs::Metadata) -> Metadata,
        mut progress: impl FnMut(Hashed) + Send,
    ) -> Result<(Root, Option<SharedForNow>), ShareError> {
        let path = std::path::absolute(path)
            .map_err(|source| ShareError::Read { path: path.to_owned(), source })?;
        let failed = |source| failed(&path, source);
        let (file, stamp) = settled(self.runtime(), &path).await?;
        let file = Arc::new(file);
        let found = file.clone();
        let metadata = move || found.metadata();
        let before = self.runtime().run_blocking(metadata.clone()).await.and_then(|it| it);
        let total = stamp.len();
        let max = if keep == Keep::InPlace { total } else { total.max(COPIED_MAX) };
        let cut =
            Cut { profile, keep, metadata: metadata_of(&before.map_err(failed)?), total, max };
        let (mut root, leaves) = self.import(&path, &file, cut, &mut progress).await?;
        let after = self.runtime().run_blocking(metadata).await.and_then(|it| it);
        if Stamp::of(&after.map_err(failed)?) != stamp {
            return Err(ShareError::Changed { path });
        }
        if keep == Keep::InPlace && root.size == total {
            let infos = leaves.iter().map(|(cid, leaf)| leaf_info(*cid, leaf)).collect();
            let leaves = leaves.into_iter().map(|(cid, leaf)| (*cid.hash(), leaf));
            let shared = SharedForNow::new(self, |files| files.share(path, Some(stamp), leaves));
            notify_in_steps(self, infos).await?;
            return Ok((root, Some(shared)));
        }
        let mut shared = None;
        if keep == Keep::InPlace {
            let cut = Cut { keep: Keep::Copies, max: COPIED_MAX, ..cut };
            root = self.import(&path, &file, cut, &mut progress).await?.0;
            shared = Some(SharedForNow::new(self, |files| files.note_copied(path.clone())));
        }
        if root.size > total.max(COPIED_MAX) {
            return Err(ShareError::Endless { path, max: COPIED_MAX });
        }
        Ok((root, shared))
    }

    /// Whether a shared file is still as it was when it was hashed. Blocks of a file that is not are
    /// hashed anew whenever a peer asks for them, and those that differ are not served.
    ///
    /// # Errors
    ///
    /// When the runtime shuts down meanwhile.
    pub async fn is_unchanged(&self, id: FileId) -> io::Result<bool> {
        let files = self.store().files().clone();
        self.runtime().run_blocking(move || files.is_unchanged(id)).await
    }

    /// Cuts and hashes what a stream gives, as a file of any length. A stream lies nowhere, so its blocks are
    /// copied to the store unless nothing is to be kept.
    ///
    /// # Errors
    ///
    /// When the stream fails, or the store does.
    pub async fn import_stream(
        &self,
        name: &Path,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send,
        (profile, keep): (Profile, Keep),
        mut progress: impl FnMut(Hashed) + Send,
    ) -> Result<Root, ShareError> {
        let keep = if keep == Keep::InPlace { Keep::Copies } else { keep };
        let cut = Cut { profile, keep, metadata: Metadata::default(), total: 0, max: u64::MAX };
        self.build(name, bytes, cut, &mut progress).await.map(|(root, _)| root)
    }

    /// Which of these shared files are not as they were when they were hashed, by their place in the list.
    ///
    /// # Errors
    ///
    /// When the runtime shuts down meanwhile.
    pub async fn changed(&self, ids: Vec<FileId>) -> io::Result<Vec<usize>> {
        let files = self.store().files().clone();
        let changed = move || {
            let changed = ids.iter().enumerate().filter(|(_, id)| !files.is_unchanged(**id));
            changed.map(|(at, _)| at).collect()
        };
        self.runtime().run_blocking(changed).await
    }

    /// Shares a file no longer. The file stays where it is.
    pub fn unshare(&self, id: FileId) {
        self.store().files().remove(id);
    }

    /// Cuts, hashes and builds the tree. Reading runs ahead of hashing, and hashing on all cores. Little more
    /// is read than the leaves may have.
    async fn import(
        &self,
        path: &Path,
        file: &Arc<File>,
        cut: Cut,
        progress: &mut (impl FnMut(Hashed) + Send),
    ) -> Result<(Root, Vec<(Cid, SharedLeaf)>), ShareError> {
        let runtime = self.runtime();
        let max = cut.max;
        // One read at a time: they share the file's cursor.
        let read = |offset: u64| async move {
            if offset > max {
                return io::Result::Ok(None);
            }
            let file = file.clone();
            let bytes = runtime.run_blocking(move || read_from(&file, offset, READ)).await??;
            let next = offset + bytes.len() as u64;
            Ok((!bytes.is_empty()).then_some((bytes, next)))
        };
        self.build(path, stream::try_unfold(0, read), cut, progress).await
    }

    /// Cuts, hashes and builds the tree of what a stream gives.
    async fn build(
        &self,
        path: &Path,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send,
        Cut { profile, keep, metadata, total, .. }: Cut,
        progress: &mut (impl FnMut(Hashed) + Send),
    ) -> Result<(Root, Vec<(Cid, SharedLeaf)>), ShareError> {
        let cores = available_parallelism().map_or(1, usize::from);
        let runtime = self.runtime();
        let mut chunker = Chunker::new(profile);
        let chunks = bytes
            .map_ok(Some)
            .chain(stream::iter([Ok(None)]))
            .map_ok(|bytes| stream::iter(chunks(&mut chunker, bytes)).map(io::Result::Ok))
            .try_flatten()
            .map_ok(|chunk| runtime.run_blocking(move || chunk.hash()))
            .try_buffered(cores);
        let mut chunks = pin!(chunks);
        let mut cutting = Cutting::new(profile, keep);
        while let Some(leaf) = chunks.try_next().await.map_err(|source| failed(path, source))? {
            let done = leaf.range.offset + leaf.range.len;
            let blocks = cutting.push(leaf);
            match keep {
                Keep::InPlace => progress(Hashed { done: done.min(total), total }),
                Keep::Copies | Keep::Nothing => {
                    progress(Hashed { done, total: total.max(done) });
                }
            }
            self.keep_if(keep, blocks).await?;
        }
        let (root, nodes, leaves) = cutting.finish(&metadata);
        self.keep_if(keep, nodes).await?;
        Ok((root, leaves))
    }

    /// Puts blocks into the store, unless nothing is to be kept.
    pub(crate) async fn keep_if(&self, keep: Keep, blocks: Vec<Block>) -> Result<(), ShareError> {
        if blocks.is_empty() || keep == Keep::Nothing {
            return Ok(());
        }
        let infos = blocks.iter().map(BlockInfo::from).collect();
        self.store().put(blocks).await?;
        Ok(self.notify_new_blocks(infos).await?)
    }
}

/// A file that is shared until this is dropped: nobody else can name it yet.
#[derive(Debug)]
pub(crate) struct SharedForNow {
    files: Arc<SharedFiles>,
    id: FileId,
    is_kept: bool,
}

impl SharedForNow {
    fn new(node: &Node, share: impl FnOnce(&SharedFiles) -> FileId) -> Self {
        let files = node.store().files().clone();
        let id = share(&files);
        Self { files, id, is_kept: false }
    }

    /// Shares it until somebody says otherwise.
    fn keep(mut self) -> FileId {
        self.is_kept = true;
        self.id
    }
}

impl Drop for SharedForNow {
    fn drop(&mut self) {
        if !self.is_kept {
            self.files.remove(self.id);
        }
    }
}

/// How one file is cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    profile: Profile,
    keep: Keep,
    metadata: Metadata,
    /// Bytes that it says it has.
    total: u64,
    /// No more than this is read, and a little; when there is more, nothing comes of it.
    max: u64,
}

/// A file that is being cut: what of it is to be kept, and where its leaves lie.
struct Cutting {
    form: LeafForm,
    keep: Keep,
    tree: Tree,
    in_place: Vec<(Cid, SharedLeaf)>,
}

impl Cutting {
    fn new(profile: Profile, keep: Keep) -> Self {
        let (form, tree) = (profile.leaf_form(), Tree::new(profile));
        Self { form, keep, tree, in_place: Vec::new() }
    }

    /// Takes the next leaf and gives the blocks that are to be kept because of it.
    fn push(&mut self, leaf: Leaf) -> Vec<Block> {
        let mut blocks = self.tree.push(&leaf);
        let Leaf { range, block } = leaf;
        match self.keep {
            Keep::InPlace => {
                let leaf =
                    SharedLeaf { offset: range.offset, len: range.len as u32, form: self.form };
                self.in_place.push((*block.cid(), leaf));
            }
            Keep::Copies => blocks.push(block),
            Keep::Nothing => {}
        }
        blocks
    }

    /// The root, the last blocks that are to be kept, and the leaves that are served from where they lie.
    fn finish(mut self, metadata: &Metadata) -> (Root, Vec<Block>, Vec<(Cid, SharedLeaf)>) {
        let (root, nodes) = self.tree.finish_with(metadata);
        (root, nodes, self.in_place)
    }
}

/// Opens the file, once its last change is old enough that another would show.
pub(crate) async fn settled(
    runtime: &dyn Runtime,
    path: &Path,
) -> Result<(File, Stamp), ShareError> {
    for _ in 0..SETTLE_PAUSES {
        let at = path.to_owned();
        let opened = runtime.run_blocking(move || {
            let file = open_source(&at)?;
            let metadata = file.metadata()?;
            io::Result::Ok((file, Stamp::of(&metadata), unsettled_for(&metadata)?))
        });
        let opened = opened.await.and_then(|opened| opened);
        let (file, stamp, pause) = opened.map_err(|source| failed(path, source))?;
        match pause {
            None => return Ok((file, stamp)),
            Some(pause) => runtime.sleep(pause).await,
        }
    }
    // Somebody keeps writing to it.
    Err(ShareError::Changed { path: path.to_owned() })
}

/// How long it takes until another change of the file would show in its time of modification; `None` if it
/// would show now.
fn unsettled_for(metadata: &std::fs::Metadata) -> io::Result<Option<Duration>> {
    let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or(SETTLE);
    Ok(SETTLE.checked_sub(age).filter(|pause| !pause.is_zero()))
}

pub(crate) fn failed(path: &Path, source: io::Error) -> ShareError {
    let path = path.to_owned();
    match obstacle(&source) {
        Some(what) => ShareError::NotRegular { path, what },
        None => ShareError::Read { path, source },
    }
}

/// The chunks that the next piece completes; without a piece, the last one.
fn chunks(chunker: &mut Chunker, bytes: Option<Bytes>) -> Vec<Chunk> {
    match bytes {
        Some(bytes) => {
            chunker.write(bytes);
            std::iter::from_fn(|| chunker.poll_chunk()).collect()
        }
        None => chunker.finish().into_iter().collect(),
    }
}

/// Shares a file that was fetched, from where it lies. The nodes above its leaves are in the store.
pub(crate) async fn fetched(
    node: &Node,
    root: Cid,
    size: u64,
    path: &Path,
) -> Result<(), NodeClosed> {
    let mut leaves = leaves(node, root, size).await;
    // Of a wrapped leaf the size is told as our forms have it. All leaves of a file are wrapped alike, so
    // one that cannot be made again speaks for all.
    let wrapped = leaves.iter().find(|(_, leaf)| leaf.form != LeafForm::Raw);
    if let Some((cid, leaf)) = wrapped.copied() {
        let files = node.store().files().clone();
        let path = path.to_owned();
        let again = node.runtime().run_blocking(move || {
            let id = files.share(path, None, [(*cid.hash(), leaf)]);
            let again = files.get(cid.hash());
            files.remove(id);
            matches!(again, Ok(Some(_)))
        });
        if !again.await.unwrap_or(false) {
            leaves.retain(|(_, leaf)| leaf.form == LeafForm::Raw);
        }
    }
    let infos: Vec<BlockInfo> = leaves.iter().map(|(cid, leaf)| leaf_info(*cid, leaf)).collect();
    let rows = leaves.iter().map(|(cid, leaf)| (*cid.hash(), *leaf));
    // Without a stamp: nobody knows what became of the file since its last block was written.
    node.store().files().share(path.to_owned(), None, rows);
    notify_in_steps(node, infos).await
}

/// Where each leaf of a fetched file lies, once however often it occurs: a file of a mebibyte can
/// refer to a leaf a million times. What is neither raw nor in the store is a wrapped leaf.
pub(crate) async fn leaves(node: &Node, root: Cid, size: u64) -> Vec<(Cid, SharedLeaf)> {
    let mut manifest = Manifest::new(0..u64::MAX, Bounds::default());
    let mut leaves = Vec::new();
    let mut seen = HashSet::new();
    let mut pieces = match inner_node(node, &manifest, root).await {
        Some(top) => manifest.open(&root, &top).unwrap_or_default().segments,
        None => vec![Segment { cid: root, offset: 0, len: size, depth: 0, tsize: size }],
    };
    while let Some(piece) = pieces.pop() {
        // Another place of a node has the same leaves.
        if !seen.insert(piece.cid) {
            continue;
        }
        match inner_node(node, &manifest, piece.cid).await {
            Some(inner) => {
                let below = manifest.expand(&piece, &inner).unwrap_or_default().segments;
                let mut siblings = HashSet::new();
                let new =
                    |piece: &Segment| !seen.contains(&piece.cid) && siblings.insert(piece.cid);
                pieces.extend(below.into_iter().filter(new));
            }
            None => {
                let raw = piece.cid.codec() == RAW;
                let form = if raw { LeafForm::Raw } else { LeafForm::WrappedFile };
                // A block has 2 MiB at most, and so has a leaf.
                let leaf = SharedLeaf { offset: piece.offset, len: piece.len as u32, form };
                leaves.push((piece.cid, leaf));
            }
        }
    }
    leaves
}

/// The node above leaves with this CID; `None` for a leaf.
async fn inner_node(node: &Node, manifest: &Manifest, cid: Cid) -> Option<FileNode> {
    if cid.codec() == RAW {
        return None;
    }
    let block = node.store().block(cid).await.ok().flatten()?;
    manifest.read(&cid, &block).ok().filter(|node| !node.is_leaf())
}

fn leaf_info(cid: Cid, leaf: &SharedLeaf) -> BlockInfo {
    BlockInfo { cid, size: leaf.form.block_len(leaf.len as usize) as u32 }
}

/// Notifies the engine of many blocks, in steps that leave the node's task time for others.
async fn notify_in_steps(node: &Node, infos: Vec<BlockInfo>) -> Result<(), NodeClosed> {
    for some in infos.chunks(NOTIFIED_AT_ONCE) {
        node.notify_new_blocks(some.to_vec()).await?;
    }
    Ok(())
}
