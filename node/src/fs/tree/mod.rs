//! The folder of a tree's download, through the runtime's blocking pool.
//!
//! The target is a directory, and beside it, until the tree is complete, stands the work directory
//! `NAME.part`. Everything happens relative to these two, which are open, and below them no link is followed.

mod large;
mod metadata;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bitswap_core::chunk::{
    Done, Effect, Expected, FileRole, FsError, Metadata, Obstacle, TreeEffect, TreePath,
};
use cid::multibase::Base;
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt as _};
use sha2::{Digest as _, Sha256};

use self::metadata::set_metadata;
use super::dir::{Dir, Kind};
use super::disk::{Write, answered, read_whole};
use super::durable;
use super::errors::in_the_way;
use super::lock::Lock;
use super::paths::{BadTarget, Paths, numbered};
use super::queue::Queue;
use super::regular::{NotRegular, obstacle};
use super::sparse::write_sparse_at;
use super::temp_file::TempFile;
use super::{locked, write_at};
use crate::runtime::Runtime;

/// What is in the work directory, beside the files that are under way.
const MARK: &str = "about.txt";
pub(crate) const JOURNAL: &str = "journal";
const NEW_JOURNAL: &str = "journal-new";
const PUT: &str = "put-";
const NEW_LINK: &str = "put-link";
const FILE: &str = "file-";

const ABOUT: &str = "A folder is being downloaded. This folder has the parts of it that are not complete, and is \
removed once all of it is there. To go on with an interrupted download, run it again.\n";

/// Directories that are kept open.
const DIRS_MAX: usize = 64;

/// The operations of one tree's download.
pub trait FolderFs: Send + Sync + 'static {
    /// Performs one operation.
    fn perform(&self, effect: TreeEffect) -> BoxFuture<'static, Result<Done, FsError>>;
}

/// A tree's folder on a real file system.
#[derive(Debug)]
pub struct DiskFolder {
    runtime: Arc<dyn Runtime>,
    folder: Arc<Folder>,
}

impl DiskFolder {
    /// The folder `target`, which may exist.
    ///
    /// # Errors
    ///
    /// [`BadTarget`] when the path does not end in a name that a directory can have here.
    pub fn new(runtime: Arc<dyn Runtime>, target: &Path) -> Result<Self, BadTarget> {
        Ok(Self { runtime, folder: Arc::new(Folder::new(target, write_at)?) })
    }

    /// As [`Self::new`], with holes as in [`DiskFs::sparse`](super::DiskFs::sparse).
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn sparse(runtime: Arc<dyn Runtime>, target: &Path) -> Result<Self, BadTarget> {
        Ok(Self { runtime, folder: Arc::new(Folder::new(target, write_sparse_at)?) })
    }
}

impl FolderFs for DiskFolder {
    fn perform(&self, effect: TreeEffect) -> BoxFuture<'static, Result<Done, FsError>> {
        let folder = self.folder.clone();
        let (done, performed) = oneshot::channel();
        if is_long(&effect) {
            // Nobody waits any more if the answer cannot be sent.
            self.runtime.spawn_blocking(Box::new(move || drop(done.send(folder.perform(effect)))));
        } else if folder.queue.push(effect, done) {
            self.runtime.spawn_blocking(Box::new(move || {
                folder.queue.serve(|effect| folder.perform(effect));
            }));
        }
        answered(performed).boxed()
    }
}

/// Whether an operation takes long, by hashing or by waiting for the disk: others need not wait for it.
const fn is_long(effect: &TreeEffect) -> bool {
    match effect {
        TreeEffect::Look { .. } | TreeEffect::Sync => true,
        TreeEffect::File { effect, .. } => {
            matches!(effect, Effect::Check(_) | Effect::Digest { .. } | Effect::Sync)
        }
        _ => false,
    }
}

/// The name of the work directory.
pub(crate) fn work_name(paths: &Paths) -> String {
    // A name that is no text has no such folder; the checks before see to that.
    let name = paths.name().to_string_lossy();
    if name.len() + 5 > 255 {
        return format!("{}.part", digest(&name));
    }
    format!("{name}.part")
}

fn digest(text: &str) -> String {
    Base::Base32Lower.encode(&Sha256::digest(text.as_bytes())[..20])
}

#[derive(Debug)]
struct Folder {
    paths: Paths,
    name: String,
    work_name: String,
    lock: Mutex<Option<Lock>>,
    open: Mutex<Open>,
    write: Write,
    queue: Queue<TreeEffect>,
    /// Whether one step makes everything durable.
    syncs_at_once: bool,
}

#[derive(Debug, Default)]
struct Open {
    parent: Option<Arc<Dir>>,
    work: Option<Arc<Dir>>,
    /// Directories of the tree, the root's under the empty path.
    dirs: BTreeMap<String, Arc<Dir>>,
    /// The open files of large files.
    files: BTreeMap<(TreePath, FileRole), Arc<File>>,
    /// The temporary files of large files, and the small files that wait for their names.
    temps: BTreeMap<TreePath, Arc<TempFile>>,
    puts: BTreeMap<u64, Arc<TempFile>>,
    unsynced: Unsynced,
}

/// What is to be made durable, where that is not one step. Directories by their paths: there may be more of them than
/// the process may have open.
#[derive(Debug, Default)]
struct Unsynced {
    puts: BTreeSet<u64>,
    dirs: BTreeSet<String>,
}

impl Folder {
    fn new(target: &Path, write: Write) -> Result<Self, BadTarget> {
        let paths = Paths::new(target)?;
        let name = paths.name().to_str().map(str::to_owned);
        let fault = super::NameFault::Character(char::REPLACEMENT_CHARACTER);
        let component = Some(paths.name().to_string_lossy().into_owned());
        let name = name.ok_or_else(|| BadTarget { path: target.to_owned(), component, fault })?;
        let (lock, open) = (Mutex::default(), Mutex::default());
        let (queue, work_name) = (Queue::default(), work_name(&paths));
        let syncs_at_once = cfg!(target_os = "linux");
        Ok(Self { work_name, name, paths, lock, open, write, queue, syncs_at_once })
    }

    fn perform(&self, effect: TreeEffect) -> io::Result<Done> {
        match effect {
            TreeEffect::Lock => return self.lock(),
            TreeEffect::Unlock => {
                *locked(&self.open) = Open::default();
                *locked(&self.lock) = None;
            }
            TreeEffect::ReadJournal { max } => {
                let file = self.work()?.read(JOURNAL)?;
                return read_whole(&file, max).map(Done::Bytes);
            }
            TreeEffect::SaveJournal { bytes } => self.save_journal(&bytes)?,
            TreeEffect::Begin => return self.begin(),
            TreeEffect::MakeDir { path } => return self.make_dir(&path),
            TreeEffect::MakeLink { path, number, target, replace } => {
                return self.make_link(&path, number, &target, replace).map(Done::Equal);
            }
            TreeEffect::Look { path, number, expected } => {
                return self.look(&path, number, &expected).map(Done::Equal);
            }
            TreeEffect::Put { number, bytes } => {
                let (work, name) = (self.work()?, format!("{PUT}{number}"));
                let file = match work.create(&name) {
                    // One that failed half-way is there.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        work.remove(&name)?;
                        work.create(&name)?
                    }
                    file => file?,
                };
                let temp = TempFile::default();
                temp.operate(&file, |file| (self.write)(file, 0, &bytes))?;
                locked(&self.open).puts.insert(number, Arc::new(temp));
                self.unsynced(|unsynced| unsynced.puts.insert(number));
            }
            TreeEffect::Sync => self.sync()?,
            TreeEffect::Name { number, path, to, replace, metadata } => {
                let (work, from) = (self.work()?, format!("{PUT}{number}"));
                let dir = self.dir_of(&path)?;
                let temp = locked(&self.open).puts.entry(number).or_default().clone();
                let open = if metadata.is_empty() { Dir::read } else { Dir::write };
                let file = open(&work, &from).map_err(in_the_way(FileRole::Temp))?;
                if !metadata.is_empty() {
                    temp.operate(&file, |file| set_metadata(file, &metadata))?;
                }
                // It is not opened again: with its permissions it need not be readable.
                temp.rename(
                    || Ok(file),
                    || {
                        let renamed = work.rename(&from, &dir, &numbered_name(&path, to), replace);
                        renamed.map_err(in_the_way(FileRole::Target(to)))
                    },
                )?;
                locked(&self.open).puts.remove(&number);
                self.unsynced(|unsynced| {
                    unsynced.puts.remove(&number);
                    unsynced.dirs.insert(dir_path(&path).to_owned())
                });
            }
            TreeEffect::SetMetadata { path, number, metadata } => {
                self.set_metadata(&path, number, &metadata)?;
            }
            TreeEffect::File { path, effect } => return self.file(path, effect),
            TreeEffect::RemoveWork => self.remove_work()?,
        }
        Ok(Done::Unit)
    }

    fn lock(&self) -> io::Result<Done> {
        let role = FileRole::Lock;
        let lock = Lock::take(self.paths.path(role)).map_err(in_the_way(role))?;
        locked(&self.open).parent = Some(Arc::new(Dir::open(self.paths.dir())?));
        let is_file = lock.is_file();
        *locked(&self.lock) = Some(lock);
        Ok(if is_file { Done::LockFile } else { Done::Unit })
    }

    fn parent(&self) -> io::Result<Arc<Dir>> {
        locked(&self.open).parent.clone().ok_or_else(|| io::Error::other("the lock is not held"))
    }

    /// The work directory, if it is there and is one.
    fn work(&self) -> io::Result<Arc<Dir>> {
        if let Some(work) = &locked(&self.open).work {
            return Ok(work.clone());
        }
        let work = self.parent()?.child(&self.work_name).map_err(in_the_way(FileRole::Temp))?;
        // Somebody else's directory is left alone.
        if work.kind(MARK).is_err() && !work.names()?.is_empty() {
            return Err(in_the_way(FileRole::Temp)(NotRegular(Obstacle::NotOurs).into()));
        }
        let work = Arc::new(work);
        locked(&self.open).work = Some(work.clone());
        Ok(work)
    }

    fn begin(&self) -> io::Result<Done> {
        let parent = self.parent()?;
        parent.make_dir(&self.work_name)?;
        let work = self.work()?;
        match work.create(MARK) {
            Ok(mut file) => file.write_all(ABOUT.as_bytes())?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        for name in work.names()?.iter().filter(|name| name.starts_with(PUT)) {
            work.remove(name)?;
        }
        work.sync()?;
        parent.sync()?;
        let is_new = parent.make_dir(&self.name)?;
        let root = match parent.child(&self.name) {
            Err(error) if obstacle(&error).is_some() => {
                return Err(ErrorKind::AlreadyExists.into());
            }
            root => Arc::new(root?),
        };
        locked(&self.open).dirs.insert(String::new(), root);
        Ok(Done::Made { is_new })
    }

    /// The directory of the tree with this path, opened name by name.
    fn dir(&self, path: &str) -> io::Result<Arc<Dir>> {
        if let Some(dir) = locked(&self.open).dirs.get(path) {
            return Ok(dir.clone());
        }
        let Some((above, name)) = path.rsplit_once('/').or(Some(("", path))) else {
            return Err(ErrorKind::NotFound.into());
        };
        if path.is_empty() {
            return Err(io::Error::other("the tree is not begun"));
        }
        let dir = self.dir(above)?.child(name).map_err(in_the_way(FileRole::Dir))?;
        let dir = Arc::new(dir);
        let mut open = locked(&self.open);
        if open.dirs.len() >= DIRS_MAX {
            // All but the root: which ones are needed next is not known.
            open.dirs.retain(|path, _| path.is_empty());
        }
        open.dirs.insert(path.to_owned(), dir.clone());
        Ok(dir)
    }

    /// The directory that an entry is in.
    fn dir_of(&self, path: &TreePath) -> io::Result<Arc<Dir>> {
        self.dir(dir_path(path))
    }

    fn make_dir(&self, path: &TreePath) -> io::Result<Done> {
        let above = self.dir_of(path)?;
        let is_new = above.make_dir(path.name())?;
        if !is_new && above.kind(path.name())? != Kind::Dir {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.unsynced(|unsynced| unsynced.dirs.insert(dir_path(path).to_owned()));
        Ok(Done::Made { is_new })
    }

    /// Whether the link was there, and the same.
    fn make_link(
        &self,
        path: &TreePath,
        number: u32,
        target: &str,
        replace: bool,
    ) -> io::Result<bool> {
        let (dir, name) = (self.dir_of(path)?, numbered_name(path, number));
        match dir.kind(&name) {
            Ok(Kind::Link) if dir.read_link(&name)?.as_deref() == Some(target) => return Ok(true),
            Ok(Kind::File | Kind::Link) if replace => {
                // What is there goes only once there is something in its place.
                let work = self.work()?;
                work.remove(NEW_LINK)?;
                work.symlink(target, NEW_LINK)?;
                work.rename(NEW_LINK, &dir, &name, true)?;
            }
            Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => dir.symlink(target, &name)?,
            Err(error) => return Err(error),
        }
        self.unsynced(|unsynced| unsynced.dirs.insert(dir_path(path).to_owned()));
        Ok(false)
    }

    fn look(&self, path: &TreePath, number: u32, expected: &Expected) -> io::Result<bool> {
        let dir = self.dir_of(path)?;
        let file = match dir.read(&numbered_name(path, number)) {
            Err(error) if obstacle(&error) == Some(Obstacle::Link) => return Ok(false),
            file => file.map_err(in_the_way(FileRole::Target(number)))?,
        };
        if file.metadata()?.len() > expected.len_max() as u64 {
            return Ok(false);
        }
        Ok(expected.matches(&read_whole(&file, expected.len_max())?))
    }

    fn unsynced(&self, note: impl FnOnce(&mut Unsynced) -> bool) {
        // Where there is one step for all, nothing need be remembered.
        if !self.syncs_at_once {
            note(&mut locked(&self.open).unsynced);
        }
    }

    fn sync(&self) -> io::Result<()> {
        let work = self.work()?;
        if self.syncs_at_once && work.sync_all()? {
            return Ok(());
        }
        let Unsynced { puts, dirs } = std::mem::take(&mut locked(&self.open).unsynced);
        for number in puts {
            match work.write(&format!("{PUT}{number}")) {
                Ok(file) => durable::sync(&file)?,
                // It has its name already, and was durable before.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        for dir in dirs {
            self.dir(&dir)?.sync()?;
        }
        work.sync()?;
        // The name of the root.
        self.parent()?.sync()
    }

    fn save_journal(&self, bytes: &[u8]) -> io::Result<()> {
        let work = self.work()?;
        work.remove(NEW_JOURNAL)?;
        let mut file = work.create(NEW_JOURNAL)?;
        file.write_all(bytes)?;
        durable::sync(&file)?;
        drop(file);
        work.rename(NEW_JOURNAL, &work, JOURNAL, true)?;
        work.sync()
    }

    fn set_metadata(&self, path: &TreePath, number: u32, metadata: &Metadata) -> io::Result<()> {
        if path.is_root() || self.dir_of(path)?.kind(path.name())? == Kind::Dir && number == 0 {
            return match self.dir(path.as_str())?.as_file()? {
                Some(dir) => set_metadata(&dir, metadata),
                None => Ok(()),
            };
        }
        let file = self.dir_of(path)?.to_set_metadata(&numbered_name(path, number))?;
        set_metadata(&file, metadata)
    }

    fn remove_work(&self) -> io::Result<()> {
        let parent = self.parent()?;
        let work = match self.work() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            work => work?,
        };
        let is_ours = |name: &&String| {
            [JOURNAL, NEW_JOURNAL].contains(&name.as_str())
                || name.starts_with(PUT)
                || name.starts_with(FILE)
        };
        for name in work.names()?.iter().filter(is_ours) {
            work.remove(name)?;
        }
        // What somebody else put there stays, and so does the mark: until it is gone this is a work directory.
        if work.names()?.iter().any(|name| name != MARK) {
            return Err(in_the_way(FileRole::Temp)(NotRegular(Obstacle::NotOurs).into()));
        }
        work.remove(MARK)?;
        locked(&self.open).work = None;
        drop(work);
        parent.remove_dir(&self.work_name)?;
        parent.sync()
    }
}

/// The path of the directory that an entry is in.
fn dir_path(path: &TreePath) -> &str {
    path.as_str().rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// An entry's name, made unique by a number.
fn numbered_name(path: &TreePath, number: u32) -> String {
    match number {
        0 => path.name().to_owned(),
        number => numbered(path.name().as_ref(), number).to_string_lossy().into_owned(),
    }
}
