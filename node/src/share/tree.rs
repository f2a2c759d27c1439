//! Folders that are shared from where they lie.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bitswap_core::chunk::{
    DagFault, DirectoryBuilder, Metadata, Mtime, NodeRoot, Profile, symlink,
};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::small::{How, ImportedFile, Source, steps};
use super::{Hashed, Keep, SharedForNow, failed};
use crate::error::{EntryFault, ShareError};
use crate::node::Node;
use crate::runtime::RuntimeExt as _;
use crate::store::FileId;

/// Steps of importing files that run at a time: they mostly wait for the disk.
const AT_ONCE: usize = 8;

/// How a tree is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareTreeOptions {
    /// How files are cut, and when a directory becomes a trie.
    pub profile: Profile,
    /// Whether permissions and times of change are part of the tree, and with them of its CID.
    pub metadata: bool,
    /// Whether entries are left out whose names begin with a dot.
    pub skip_hidden: bool,
    /// What is kept of it.
    pub keep: Keep,
}

/// A shared tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedTree {
    /// Its root.
    pub root: NodeRoot,
    /// Bytes of all files.
    pub size: u64,
    /// Every file that is served from where it lies: where that is, and its name in the store.
    pub files: Vec<(PathBuf, FileId)>,
    /// How many files are in it.
    pub file_count: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symbolic links that are shared as they are, whatever they lead to.
    pub links: u64,
}

/// An entry of a directory on disk.
enum Found {
    Directory,
    /// With its length in bytes.
    File(u64),
    Link(Metadata, PathBuf),
}

/// A directory whose entries are being shared.
struct Open {
    path: PathBuf,
    /// Its name in the directory above.
    name: String,
    metadata: Metadata,
    builder: DirectoryBuilder,
    /// Directories in it that are not shared yet.
    directories: Vec<(String, PathBuf)>,
}

impl Node {
    /// Shares what these paths lead to: files, and directories with everything in them. A symbolic link among the
    /// paths stands for what it leads to, if that is there; any other is shared as it is. By [default](Keep) the files
    /// are served from where they lie, without a copy; only what is above them is kept.
    ///
    /// One path gives its own root. Several are wrapped in a directory, under their names.
    ///
    /// # Errors
    ///
    /// When something cannot be read, changes meanwhile, or is neither file, directory nor link. Then, as when the
    /// future is dropped, no file of it stays shared.
    pub async fn share_tree(
        &self,
        paths: &[PathBuf],
        options: ShareTreeOptions,
        progress: impl FnMut(Hashed) + Send,
    ) -> Result<SharedTree, ShareError> {
        let mut entries = Vec::new();
        for path in paths {
            let path = std::path::absolute(path).map_err(|source| failed(path, source))?;
            let name = text(path.file_name().unwrap_or_default(), &path)?;
            entries.push((name, path));
        }
        let mut sharing = Sharing::new(self, options, progress);
        sharing.count(paths).await?;
        let mut top = DirectoryBuilder::new(options.profile);
        let is_alone = entries.len() == 1;
        let mut alone = None;
        for (name, path) in entries {
            let root = sharing.share(&name, &path).await?;
            if !is_alone {
                top.add(&name, root).map_err(|reason| invalid(&path, reason))?;
            }
            alone = Some(root);
        }
        let root = match alone.filter(|_| is_alone) {
            Some(root) => root,
            None => sharing.directory(top, &Metadata::default()).await?,
        };
        let Sharing { size, files, file_count, directories, links, .. } = sharing;
        let files = files.into_iter().map(|(path, file)| (path, file.keep())).collect();
        Ok(SharedTree { root, size, files, file_count, directories, links })
    }
}

/// The sharing of a tree, as far as it is.
struct Sharing<'a, P> {
    node: &'a Node,
    options: ShareTreeOptions,
    size: u64,
    files: Vec<(PathBuf, SharedForNow)>,
    file_count: u64,
    directories: u64,
    links: u64,
    /// How far it is, and whom to tell.
    progress: Mutex<(Hashed, P)>,
}

impl<'a, P: FnMut(Hashed) + Send> Sharing<'a, P> {
    fn new(node: &'a Node, options: ShareTreeOptions, progress: P) -> Self {
        let progress = Mutex::new((Hashed { done: 0, total: 0 }, progress));
        let (size, file_count, directories, links) = (0, 0, 0, 0);
        Self { node, options, size, files: Vec::new(), file_count, directories, links, progress }
    }

    /// Adds up how much there is, to tell how far it is.
    async fn count(&self, paths: &[PathBuf]) -> Result<(), ShareError> {
        let (paths, options) = (paths.to_vec(), self.options);
        let total = self.node.runtime().run_blocking(move || {
            let mut total = 0;
            let mut open: Vec<_> = paths.into_iter().map(|path| (named(&path), path)).collect();
            while let Some((metadata, path)) = open.pop() {
                // What cannot be read says so when it is shared.
                let Ok(metadata) = metadata else { continue };
                if metadata.is_file() {
                    total += metadata.len();
                } else if metadata.is_dir() {
                    let entries = entries(&path, options).unwrap_or_default();
                    let entries = entries.into_iter().map(|name| path.join(name));
                    open.extend(entries.map(|path| (fs::symlink_metadata(&path), path)));
                }
            }
            total
        });
        let total = total.await.map_err(|source| failed(Path::new("."), source))?;
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).0.total = total;
        Ok(())
    }

    /// Shares what a path leads to: directories by a stack of those that are open.
    async fn share(&mut self, name: &str, path: &Path) -> Result<NodeRoot, ShareError> {
        let name = name.to_owned();
        let path = path.to_owned();
        let at = path.clone();
        let look = move || look(&at, &named(&at)?);
        let found = self.node.runtime().run_blocking(look).await;
        match found.and_then(|found| found).map_err(|source| failed(&path, source))? {
            Found::File(len) => {
                let shared = self.files_of(vec![Source { name, path, len }]).await?;
                return shared.into_iter().next().map(|(_, root)| root).ok_or_else(missing);
            }
            Found::Link(metadata, target) => return self.link(&path, &metadata, &target).await,
            Found::Directory => {}
        }
        let mut stack = vec![self.open(name, path).await?];
        loop {
            let Some(mut top) = stack.pop() else { return Err(missing()) };
            if let Some((name, path)) = top.directories.pop() {
                stack.push(top);
                stack.push(self.open(name, path).await?);
                continue;
            }
            let root = self.directory(top.builder, &top.metadata).await?;
            let Some(above) = stack.last_mut() else { return Ok(root) };
            let added = above.builder.add(&top.name, root);
            added.map_err(|reason| invalid(&top.path, reason))?;
        }
    }

    /// Opens a directory, and shares all in it but the directories.
    async fn open(&mut self, name: String, path: PathBuf) -> Result<Open, ShareError> {
        let (options, dir) = (self.options, path.clone());
        let read = self.node.runtime().run_blocking(move || {
            let of_dir = fs::metadata(&dir)?;
            let look_at = |name: OsString| {
                let entry = dir.join(&name);
                (fs::symlink_metadata(&entry).and_then(|metadata| look(&entry, &metadata)), name)
            };
            let found: Vec<_> = entries(&dir, options)?.into_iter().map(look_at).collect();
            io::Result::Ok((metadata_of(&of_dir), found))
        });
        let read = read.await.and_then(|read| read);
        let (metadata, found) = read.map_err(|source| failed(&path, source))?;
        let mut builder = DirectoryBuilder::new(self.options.profile);
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        for (found, name) in found {
            let entry = path.join(&name);
            let name = text(&name, &entry)?;
            match found.map_err(|source| failed(&entry, source))? {
                Found::Directory => directories.push((name, entry)),
                Found::File(len) => files.push(Source { name, path: entry, len }),
                Found::Link(metadata, target) => {
                    let root = self.link(&entry, &metadata, &target).await?;
                    builder.add(&name, root).map_err(|reason| invalid(&entry, reason))?;
                }
            }
        }
        for (name, root) in self.files_of(files).await? {
            builder.add(&name, root).map_err(|reason| invalid(&path.join(&name), reason))?;
        }
        let metadata = if self.options.metadata { metadata } else { Metadata::default() };
        Ok(Open { path, name, metadata, builder, directories })
    }

    /// Shares files, some of them at a time.
    async fn files_of(
        &mut self,
        files: Vec<Source>,
    ) -> Result<Vec<(String, NodeRoot)>, ShareError> {
        let ShareTreeOptions { profile, metadata, keep, .. } = self.options;
        let metadata_of =
            if metadata { metadata_of } else { |_: &fs::Metadata| Metadata::default() };
        let how = How { profile, keep, metadata_of };
        let (node, progress) = (self.node, &self.progress);
        let import = |files| {
            node.import_step(files, how, move |bytes| {
                let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                let (sum, tell) = &mut *progress;
                sum.done += bytes;
                sum.total = sum.total.max(sum.done);
                tell(*sum);
            })
        };
        let imported: Vec<Vec<ImportedFile>> =
            stream::iter(steps(files)).map(import).buffered(AT_ONCE).try_collect().await?;
        let mut roots = Vec::new();
        for ImportedFile { name, path, root, shared } in imported.into_iter().flatten() {
            self.size += root.size;
            self.file_count += 1;
            self.files.extend(shared.map(|shared| (path, shared)));
            roots.push((name, NodeRoot { cid: root.cid, dag_size: root.dag_size }));
        }
        Ok(roots)
    }

    async fn link(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        target: &Path,
    ) -> Result<NodeRoot, ShareError> {
        let target = text(target.as_os_str(), path)?;
        let target = if cfg!(windows) { target.replace('\\', "/") } else { target };
        let metadata = if self.options.metadata { *metadata } else { Metadata::default() };
        let made = symlink(self.options.profile, &target, &metadata);
        let (root, block) = made.map_err(|reason| invalid(path, reason))?;
        self.links += 1;
        self.node.keep_if(self.options.keep, vec![block]).await?;
        Ok(root)
    }

    async fn directory(
        &mut self,
        builder: DirectoryBuilder,
        metadata: &Metadata,
    ) -> Result<NodeRoot, ShareError> {
        let (root, nodes) = builder.finish(metadata);
        self.directories += 1;
        self.node.keep_if(self.options.keep, nodes).await?;
        Ok(root)
    }
}

/// What a path of the user's is of: a link stands for what it leads to, if that is there.
fn named(path: &Path) -> io::Result<fs::Metadata> {
    fs::metadata(path).or_else(|_| fs::symlink_metadata(path))
}

fn look(path: &Path, metadata: &fs::Metadata) -> io::Result<Found> {
    Ok(if metadata.is_dir() {
        Found::Directory
    } else if metadata.is_symlink() {
        // Permissions of a link mean nothing.
        let metadata = Metadata { mode: None, ..metadata_of(metadata) };
        Found::Link(metadata, fs::read_link(path)?)
    } else {
        // What it is if it is no file, is said when it is opened.
        Found::File(metadata.len())
    })
}

/// The names in a directory, in order.
fn entries(path: &Path, options: ShareTreeOptions) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if !(is_hidden && options.skip_hidden) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn metadata_of(metadata: &fs::Metadata) -> Metadata {
    #[cfg(unix)]
    let mode = {
        use std::os::unix::fs::MetadataExt as _;
        Some(metadata.mode() & 0o7777)
    };
    #[cfg(not(unix))]
    let mode = None;
    let mtime = metadata.modified().ok().map(|time| {
        match time.duration_since(std::time::SystemTime::UNIX_EPOCH) {
            Ok(since) => {
                let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                Mtime { seconds, nanoseconds: since.subsec_nanos() }
            }
            Err(before) => {
                let before = before.duration();
                let seconds = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Mtime { seconds, nanoseconds: 0 },
                    nanos => Mtime { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanos },
                }
            }
        }
    });
    Metadata { mode, mtime }
}

fn text(name: &std::ffi::OsStr, path: &Path) -> Result<String, ShareError> {
    let text = name.to_str().map(str::to_owned);
    text.ok_or_else(|| ShareError::Entry { path: path.to_owned(), reason: EntryFault::NotText })
}

fn invalid(path: &Path, reason: DagFault) -> ShareError {
    ShareError::Entry { path: path.to_owned(), reason: EntryFault::Invalid(reason) }
}

/// Nothing was given to share.
fn missing() -> ShareError {
    failed(Path::new("."), io::ErrorKind::NotFound.into())
}
