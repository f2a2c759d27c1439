//! A download's files on a real file system, through the runtime's blocking pool.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bitswap_core::chunk::{Check, Done, Effect, FileRole, FsError, Obstacle};
use bytes::Bytes;
use fs4::FileExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::errors::{fs_error, in_the_way};
use super::lock::Lock;
use super::ours;
use super::queue::Queue;
use super::regular::{self, NotRegular};
use super::rename::{self, Ways};
use super::sparse::write_sparse_at;
use super::stamp::stamp;
use super::temp_file::TempFile;
use super::{Fs, Paths, digest, durable, locked, read_at, write_at};
use crate::runtime::Runtime;

/// A download's files on a real file system.
///
/// One thread of the pool at a time works for a download: writers of one file would only wait for each
/// other, and wake each other up. Comparisons are mostly hashing, and run beside it.
#[derive(Debug)]
pub struct DiskFs {
    runtime: Arc<dyn Runtime>,
    files: Arc<Files>,
}

impl DiskFs {
    /// The files of the download with these paths.
    pub fn new(runtime: Arc<dyn Runtime>, paths: Paths) -> Self {
        let files = Files::new(paths, write_at);
        Self { runtime, files: Arc::new(files) }
    }

    /// As [`Self::new`], and zeros that are written where nothing was before stay holes, which take no space where
    /// the file system has such.
    pub fn sparse(runtime: Arc<dyn Runtime>, paths: Paths) -> Self {
        let files = Files::new(paths, write_sparse_at);
        Self { runtime, files: Arc::new(files) }
    }
}

impl Fs for DiskFs {
    fn perform(&self, effect: Effect) -> BoxFuture<'static, Result<Done, FsError>> {
        let files = self.files.clone();
        let (done, performed) = oneshot::channel();
        if matches!(effect, Effect::Check(_) | Effect::Digest { .. }) {
            // Nobody waits any more if the answer cannot be sent, here and below.
            self.runtime.spawn_blocking(Box::new(move || drop(done.send(files.perform(effect)))));
        } else if files.queue.push(effect, done) {
            self.runtime.spawn_blocking(Box::new(move || {
                files.queue.serve(|effect| files.perform(effect));
            }));
        }
        Box::pin(answered(performed))
    }
}

/// The answer to an operation that was handed to the pool.
pub(super) async fn answered(
    performed: oneshot::Receiver<io::Result<Done>>,
) -> Result<Done, FsError> {
    let dropped = |_| io::Error::other("the blocking pool dropped the work");
    let performed = performed.await.map_err(dropped).and_then(|result| result);
    performed.map_err(|error| fs_error(&error))
}

#[derive(Debug)]
struct Files {
    paths: Paths,
    open: Mutex<BTreeMap<FileRole, Arc<File>>>,
    lock: Mutex<Option<Lock>>,
    temp: TempFile,
    queue: Queue<Effect>,
    write: Write,
}

/// How bytes are written at a position.
pub(super) type Write = fn(&File, u64, &[u8]) -> io::Result<()>;

impl Files {
    fn new(paths: Paths, write: Write) -> Self {
        let (open, lock, temp) = (Mutex::default(), Mutex::default(), TempFile::default());
        Self { paths, open, lock, temp, queue: Queue::default(), write }
    }

    fn perform(&self, effect: Effect) -> io::Result<Done> {
        match effect {
            Effect::Lock => return self.lock(),
            Effect::Unlock => self.unlock()?,
            Effect::Read { role, max } => {
                return self.own(role).and_then(|file| read_whole(&file, max)).map(Done::Bytes);
            }
            Effect::Open { role, create } => return self.open(role, create),
            Effect::CheckReplace { role } => self.check_replace(role)?,
            Effect::FreeSpace => return free_space(self.paths.dir()).map(Done::Space),
            Effect::Allocate { len, reserve } => self.on_temp(|file| {
                file.set_len(len)?;
                if reserve { file.allocate(len) } else { Ok(()) }
            })?,
            Effect::Check(check) => return self.check(&check).map(Done::Equal),
            Effect::Digest { role, len, leaves } => {
                return digest::of(&*self.file(role)?, len, leaves.as_deref()).map(Done::Digest);
            }
            Effect::Write { offset, bytes } => {
                self.on_temp(|file| (self.write)(file, offset, &bytes))?;
            }
            Effect::Sync => durable::sync(&*self.file(FileRole::Temp)?)?,
            Effect::Stamp => return self.on_temp(stamp).map(Done::Stamp),
            Effect::SaveJournal { bytes } => self.save_journal(&bytes)?,
            Effect::Close { role } => drop(locked(&self.open).remove(&role)),
            Effect::Rename { to, replace } => self.rename(to, replace)?,
            Effect::SyncDir => {
                if !durable::sync_dir(self.paths.dir())? {
                    return Err(ErrorKind::Unsupported.into());
                }
            }
            Effect::Remove { role } => self.remove(role)?,
        }
        Ok(Done::Unit)
    }

    /// Takes the lock, looks whether all names that the download needs are free for it, and ends what a
    /// killed process left half done.
    fn lock(&self) -> io::Result<Done> {
        let lock =
            Lock::take(self.paths.path(FileRole::Lock)).map_err(in_the_way(FileRole::Lock))?;
        if let Some(number) = lock.left_claim() {
            rename::give_up_claim(&self.paths.path(FileRole::Target(number)))?;
        }
        let temp = self.paths.path(FileRole::Temp);
        // Numbers are tried in order, so what has one has them all before it.
        let names = (0..).map(|number| self.paths.path(FileRole::Target(number)));
        for name in names.take_while(|name| fs::symlink_metadata(name).is_ok()) {
            if regular::is_same_file(&temp, &name)? {
                // It had its name already.
                fs::remove_file(&temp)?;
            }
        }
        // What a killed process left need not have its id yet, or any more.
        let mut is_known = lock.was_left();
        for role in [FileRole::Journal, FileRole::NewJournal, FileRole::Temp] {
            let file = match self.own(role) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                looked => looked?,
            };
            let is_ours = match role {
                FileRole::Temp => is_known || ours::is_temp(&file)?,
                _ => ours::begins_as_journal(&file)?,
            };
            if !is_ours {
                return Err(in_the_way(role)(NotRegular(Obstacle::NotOurs).into()));
            }
            is_known |= role == FileRole::Journal && file.metadata()?.len() > 0;
        }
        let is_file = lock.is_file();
        *locked(&self.lock) = Some(lock);
        Ok(if is_file { Done::LockFile } else { Done::Unit })
    }

    /// Gives the lock back. A temporary file that tells nobody that it is one, because its end was cut off and no journal
    /// could be saved, is known by the lock's file, which stays beside it.
    fn unlock(&self) -> io::Result<()> {
        let Some(lock) = locked(&self.lock).take() else { return Ok(()) };
        let Ok(temp) = self.own(FileRole::Temp) else { return Ok(()) };
        let is_known = ours::is_temp(&temp)? || self.own(FileRole::Journal).is_ok();
        let is_ours = lock.was_left() || self.temp.is(&temp);
        if is_ours && !is_known { lock.leave() } else { Ok(()) }
    }

    fn open(&self, role: FileRole, create: bool) -> io::Result<Done> {
        let file = match role {
            FileRole::Target(_) => self.open_target(role)?,
            _ if create => {
                let opened = regular::open_or_create_own(&self.paths.path(role));
                opened.map_err(in_the_way(role))?.0
            }
            _ => self.own(role)?,
        };
        let len = file.metadata()?.len();
        if role == FileRole::Temp {
            self.temp.opened(&file)?;
        }
        locked(&self.open).insert(role, Arc::new(file));
        Ok(Done::Opened { len })
    }

    /// The user's file. [`ErrorKind::AlreadyExists`] for a link that leads to no file.
    fn open_target(&self, role: FileRole) -> io::Result<File> {
        let path = self.paths.path(role);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        match regular::open_source(&path) {
            // What it leads to is about to get another name.
            Ok(file) if is_link && regular::has_name(&file, &self.paths.path(FileRole::Temp))? => {
                Err(ErrorKind::AlreadyExists.into())
            }
            Err(error)
                if is_link
                    && regular::obstacle(&error).is_none()
                    && error.kind() != ErrorKind::PermissionDenied =>
            {
                Err(ErrorKind::AlreadyExists.into())
            }
            result => result.map_err(in_the_way(role)),
        }
    }

    /// Does something to the temporary file.
    fn on_temp<T>(&self, operation: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        self.temp.operate(&*self.file(FileRole::Temp)?, operation)
    }

    /// A file of the download's own that exists.
    fn own(&self, role: FileRole) -> io::Result<File> {
        regular::open_own(&self.paths.path(role)).map_err(in_the_way(role))
    }

    fn check_replace(&self, role: FileRole) -> io::Result<()> {
        let path = self.paths.path(role);
        #[cfg(unix)]
        if rename::is_mount_point(rustix::fs::CWD, &path) {
            return Err(ErrorKind::ResourceBusy.into());
        }
        rename::may_replace(&path).map_err(in_the_way(role))
    }

    fn file(&self, role: FileRole) -> io::Result<Arc<File>> {
        let file = locked(&self.open).get(&role).cloned();
        file.ok_or_else(|| io::Error::other("the file is not open"))
    }

    fn check(&self, check: &Check) -> io::Result<bool> {
        let file = self.file(check.role)?;
        let mut bytes = vec![0; check.len];
        let read = read_at(&file, check.offset, &mut bytes)?;
        Ok(read == check.len && check.matches(&bytes.into()))
    }

    fn save_journal(&self, bytes: &[u8]) -> io::Result<()> {
        let replaced = self.replace_journal(bytes);
        if replaced.is_err() {
            // On a full disk even this takes space; the reason that counts is the first.
            let _ = self.remove(FileRole::NewJournal);
        }
        // A name that is not durable costs a comparison with the DAG, and never a wrong claim.
        replaced.and_then(|()| durable::sync_dir(self.paths.dir()).map(drop))
    }

    fn replace_journal(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.paths.path(FileRole::NewJournal);
        let mut file = regular::create_own(&new).map_err(in_the_way(FileRole::NewJournal))?;
        file.write_all(bytes)?;
        durable::sync(&file)?;
        drop(file);
        let journal = self.paths.path(FileRole::Journal);
        regular::may_be_own(&journal).map_err(in_the_way(FileRole::Journal))?;
        durable::rename(&new, &journal)
    }

    fn rename(&self, to: FileRole, replace: bool) -> io::Result<()> {
        let (from, path) = (self.paths.path(FileRole::Temp), self.paths.path(to));
        // An earlier try may have made a second name.
        self.temp.rename(
            || regular::open_itself(&from),
            || match replace {
                true => rename::over(&from, &path).map_err(in_the_way(to)),
                false => rename::to_new(&from, &path, Ways::SYSTEM, |is_claimed| {
                    let number =
                        if let FileRole::Target(number) = to { Some(number) } else { None };
                    match &*locked(&self.lock) {
                        Some(lock) => lock.claim(number.filter(|_| is_claimed)),
                        None => Ok(()),
                    }
                }),
            },
        )
    }

    fn remove(&self, role: FileRole) -> io::Result<()> {
        if role == FileRole::Journal {
            self.remove(FileRole::NewJournal)?;
        }
        if role == FileRole::Temp {
            self.temp.removed();
        }
        regular::remove_own(&self.paths.path(role)).map_err(in_the_way(role))
    }
}

pub(crate) fn read_whole(file: &File, max: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes.into())
}

/// Bytes that can still be written. A file system that says that it has no room at all, used or free,
/// does not know.
pub(crate) fn free_space(dir: &Path) -> io::Result<u64> {
    let stats = fs4::statvfs(dir)?;
    known_space(stats.total_space(), stats.available_space())
}

fn known_space(total: u64, available: u64) -> io::Result<u64> {
    if total == 0 { Err(ErrorKind::Unsupported.into()) } else { Ok(available) }
}

#[cfg(test)]
mod tests;
