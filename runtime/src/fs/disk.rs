//! A download's files on a real file system, through the runtime's blocking pool.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitswap_core::chunk::{Check, Done, Effect, FsError, FsErrorKind, Place};
use bytes::Bytes;
use fs4::FileExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::lock::Lock;
use super::stamp::stamp;
use super::{Fs, Paths, read_at, write_at};
use crate::runtime::Runtime;

/// A download's files on a real file system.
///
/// One thread of the pool at a time works for a download: writers of one file would only wait for each
/// other, and wake each other up. Comparisons are mostly hashing, and run beside it.
#[derive(Debug)]
pub struct DiskFs<R> {
    runtime: R,
    files: Arc<Files>,
}

/// Operations that wait for the thread that works for the download.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Effect, oneshot::Sender<io::Result<Done>>)>,
    is_served: bool,
}

impl<R: Runtime> DiskFs<R> {
    /// The files of the download with these paths.
    pub fn new(runtime: R, paths: Paths) -> Self {
        let files = Files::new(paths);
        Self { runtime, files: Arc::new(files) }
    }
}

impl<R: Runtime> Fs for DiskFs<R> {
    fn perform(&self, effect: Effect) -> BoxFuture<'static, Result<Done, FsError>> {
        let files = self.files.clone();
        let (done, performed) = oneshot::channel();
        if matches!(effect, Effect::Check(_)) {
            // Nobody waits any more if the answer cannot be sent, here and below.
            self.runtime.blocking(Box::new(move || drop(done.send(files.perform(effect)))));
        } else {
            let mut queue = locked(&self.files.queue);
            queue.waiting.push_back((effect, done));
            if !queue.is_served {
                queue.is_served = true;
                self.runtime.blocking(Box::new(move || files.serve()));
            }
        }
        Box::pin(async move {
            let dropped = |_| io::Error::other("the blocking pool dropped the work");
            let performed = performed.await.map_err(dropped).and_then(|result| result);
            performed.map_err(|error| fs_error(&error))
        })
    }
}

#[derive(Debug)]
struct Files {
    paths: Paths,
    open: Mutex<BTreeMap<Place, Arc<File>>>,
    lock: Mutex<Option<Lock>>,
    queue: Mutex<Queue>,
}

impl Files {
    fn new(paths: Paths) -> Self {
        let (open, lock, queue) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { paths, open, lock, queue }
    }

    /// Performs what waits, until nothing does.
    fn serve(&self) {
        loop {
            let mut queue = locked(&self.queue);
            let Some((effect, done)) = queue.waiting.pop_front() else {
                queue.is_served = false;
                return;
            };
            drop(queue);
            drop(done.send(self.perform(effect)));
        }
    }

    fn perform(&self, effect: Effect) -> io::Result<Done> {
        match effect {
            Effect::Lock => {
                let lock = Lock::take(self.paths.path(Place::Lock))?;
                *locked(&self.lock) = Some(lock);
            }
            Effect::Unlock => *locked(&self.lock) = None,
            Effect::Read { place, max } => {
                return read_whole(&self.paths.path(place), max).map(Done::Bytes);
            }
            Effect::Open { place, create } => return self.open(place, create),
            Effect::FreeSpace => return fs4::available_space(self.paths.dir()).map(Done::Space),
            Effect::Allocate { len, reserve } => {
                let file = self.file(Place::Temp)?;
                file.set_len(len)?;
                if reserve {
                    file.allocate(len)?;
                }
            }
            Effect::Check(check) => return self.check(&check).map(Done::Equal),
            Effect::Write { offset, bytes } => write_at(&*self.file(Place::Temp)?, offset, &bytes)?,
            Effect::Sync => self.file(Place::Temp)?.sync_data()?,
            Effect::Stamp => return stamp(&*self.file(Place::Temp)?).map(Done::Stamp),
            Effect::SaveJournal { bytes } => self.save_journal(&bytes)?,
            Effect::Close { place } => drop(locked(&self.open).remove(&place)),
            Effect::Rename { to, replace } => self.rename(&self.paths.path(to), replace)?,
            Effect::SyncDir => sync_dir(self.paths.dir())?,
            Effect::Remove { place } => {
                if place == Place::Journal {
                    // A save that was cut off leaves this.
                    remove(&self.paths.new_journal())?;
                }
                remove(&self.paths.path(place))?;
            }
        }
        Ok(Done::Unit)
    }

    fn open(&self, place: Place, create: bool) -> io::Result<Done> {
        let file = File::options()
            .read(true)
            .write(place == Place::Temp)
            .create(create)
            .truncate(false)
            .open(self.paths.path(place))?;
        let len = file.metadata()?.len();
        locked(&self.open).insert(place, Arc::new(file));
        Ok(Done::Opened { len })
    }

    fn file(&self, place: Place) -> io::Result<Arc<File>> {
        let file = locked(&self.open).get(&place).cloned();
        file.ok_or_else(|| io::Error::other("the file is not open"))
    }

    fn check(&self, check: &Check) -> io::Result<bool> {
        let file = self.file(check.place)?;
        let mut bytes = vec![0; check.len];
        let read = read_at(&file, check.offset, &mut bytes)?;
        Ok(read == check.len && check.holds(&bytes.into()))
    }

    fn save_journal(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.paths.new_journal();
        let replaced = write_durably(&new, bytes)
            .and_then(|()| fs::rename(&new, self.paths.path(Place::Journal)));
        if replaced.is_err() {
            // On a full disk even this takes space; the reason that counts is the first.
            let _ = remove(&new);
        }
        replaced.and_then(|()| sync_dir(self.paths.dir()))
    }

    fn rename(&self, to: &Path, replace: bool) -> io::Result<()> {
        let from = self.paths.path(Place::Temp);
        if replace { fs::rename(&from, to) } else { rename_to_new(&from, to) }
    }
}

/// Renames without replacing, whoever else makes a file of that name meanwhile.
///
/// A second link is made under the new name, which fails when the name is taken, and the old name removed.
/// Where the file system has no links, the name is claimed by an empty file, which is then replaced.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // An earlier try may have made the link and failed to remove the old name.
            if !same_file::is_same_file(from, to)? {
                return Err(error);
            }
        }
        Err(error) if has_no_links(&error) => {
            File::create_new(to)?;
            return fs::rename(from, to);
        }
        Err(error) => return Err(error),
    }
    fs::remove_file(from)
}

/// Not supported, on Unix also reported as not permitted; on Windows "invalid function".
fn has_no_links(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
        || cfg!(unix) && error.kind() == ErrorKind::PermissionDenied
        || cfg!(windows) && error.raw_os_error() == Some(1)
}

fn read_whole(path: &Path, max: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes.into())
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Windows cannot sync a directory, and has its names durable otherwise.
fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the lock panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The core's view of an error of the operating system.
fn fs_error(error: &io::Error) -> FsError {
    let kind = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => FsErrorKind::NotFound,
        ErrorKind::AlreadyExists => FsErrorKind::Exists,
        // Only the lock is ever asked for without waiting.
        ErrorKind::WouldBlock => FsErrorKind::Locked,
        ErrorKind::PermissionDenied => FsErrorKind::PermissionDenied,
        ErrorKind::ReadOnlyFilesystem => FsErrorKind::ReadOnly,
        ErrorKind::StorageFull => FsErrorKind::DiskFull,
        ErrorKind::QuotaExceeded => FsErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge => FsErrorKind::TooLarge,
        ErrorKind::InvalidFilename => FsErrorKind::BadName,
        ErrorKind::IsADirectory => FsErrorKind::IsDirectory,
        _ => FsErrorKind::Io,
    };
    FsError { kind, code: error.raw_os_error() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        _directory: tempfile::TempDir,
        files: Files,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::new(&directory.path().join("target")).unwrap();
        let files = Files::new(paths);
        Fixture { _directory: directory, files }
    }

    impl Fixture {
        fn perform(&self, effect: Effect) -> Result<Done, FsErrorKind> {
            self.files.perform(effect).map_err(|error| fs_error(&error).kind)
        }

        fn written(&self) {
            self.perform(Effect::Open { place: Place::Temp, create: true }).unwrap();
            let bytes = Bytes::from_static(b"bytes");
            self.perform(Effect::Write { offset: 0, bytes }).unwrap();
            self.perform(Effect::Close { place: Place::Temp }).unwrap();
        }

        fn rename(&self, replace: bool) -> Result<Done, FsErrorKind> {
            self.perform(Effect::Rename { to: Place::Target(0), replace })
        }

        fn target(&self) -> Option<Vec<u8>> {
            fs::read(self.files.paths.path(Place::Target(0))).ok()
        }
    }

    #[test]
    fn writes_land_at_their_positions_in_any_order_and_survive_a_reopening() {
        let fixture = fixture();
        let open = Effect::Open { place: Place::Temp, create: true };
        assert_eq!(fixture.perform(open.clone()), Ok(Done::Opened { len: 0 }));
        let allocate = Effect::Allocate { len: 10, reserve: false };
        assert_eq!(fixture.perform(allocate), Ok(Done::Unit));
        for (offset, bytes) in [(6, "gh"), (0, "abc")] {
            let bytes = Bytes::from_static(bytes.as_bytes());
            assert_eq!(fixture.perform(Effect::Write { offset, bytes }), Ok(Done::Unit));
        }
        assert_eq!(fixture.perform(Effect::Sync), Ok(Done::Unit));
        assert_eq!(fixture.perform(Effect::Close { place: Place::Temp }), Ok(Done::Unit));
        assert_eq!(fixture.perform(open), Ok(Done::Opened { len: 10 }));
        let read = Effect::Read { place: Place::Temp, max: 10 };
        let bytes = Bytes::from_static(b"abc\0\0\0gh\0\0");
        assert_eq!(fixture.perform(read), Ok(Done::Bytes(bytes)));
    }

    #[test]
    fn a_rename_without_replacing_leaves_both_files_as_they_are() {
        let fixture = fixture();
        fixture.written();
        fs::write(fixture.files.paths.path(Place::Target(0)), "old").unwrap();
        assert_eq!(fixture.rename(false), Err(FsErrorKind::Exists));
        assert_eq!(fixture.target().unwrap(), b"old");
        assert!(fixture.files.paths.path(Place::Temp).exists());
        assert_eq!(fixture.rename(true), Ok(Done::Unit));
        assert_eq!(fixture.target().unwrap(), b"bytes");
        assert!(!fixture.files.paths.path(Place::Temp).exists());
    }

    #[test]
    fn a_rename_that_got_half_way_is_finished_by_the_next() {
        let fixture = fixture();
        fixture.written();
        let (from, to) =
            (fixture.files.paths.path(Place::Temp), fixture.files.paths.path(Place::Target(0)));
        fs::hard_link(from, to).unwrap();
        assert_eq!(fixture.rename(false), Ok(Done::Unit));
        assert_eq!(fixture.target().unwrap(), b"bytes");
        assert!(!fixture.files.paths.path(Place::Temp).exists());
    }

    #[test]
    fn errors_have_their_kinds() {
        let fixture = fixture();
        let open = Effect::Open { place: Place::Target(0), create: false };
        assert_eq!(fixture.perform(open), Err(FsErrorKind::NotFound));
        fixture.written();
        let read = Effect::Read { place: Place::Temp, max: 4 };
        assert_eq!(fixture.perform(read), Err(FsErrorKind::TooLarge));
        assert_eq!(fixture.perform(Effect::Sync), Err(FsErrorKind::Io), "not open");
        fs::create_dir(fixture.files.paths.path(Place::Target(1))).unwrap();
        let rename = Effect::Rename { to: Place::Target(1), replace: true };
        assert_eq!(fixture.perform(rename), Err(FsErrorKind::IsDirectory));
        assert_eq!(fixture.perform(Effect::Lock), Ok(Done::Unit));
        assert_eq!(fixture.perform(Effect::Lock), Err(FsErrorKind::Locked));
    }

    #[test]
    fn removing_what_is_not_there_is_done_already() {
        let fixture = fixture();
        let remove = Effect::Remove { place: Place::Journal };
        assert_eq!(fixture.perform(remove), Ok(Done::Unit));
    }

    #[test]
    fn a_journal_is_removed_with_what_a_save_that_was_cut_off_left() {
        let fixture = fixture();
        let bytes = Bytes::from_static(b"one");
        fixture.perform(Effect::SaveJournal { bytes }).unwrap();
        fs::write(fixture.files.paths.new_journal(), "tw").unwrap();
        assert_eq!(fixture.perform(Effect::Remove { place: Place::Journal }), Ok(Done::Unit));
        assert_eq!(fs::read_dir(fixture.files.paths.dir()).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_that_cannot_be_saved_leaves_the_one_before_and_nothing_else() {
        let fixture = fixture();
        // What cannot be replaced by a file.
        fs::create_dir(fixture.files.paths.path(Place::Journal)).unwrap();
        let bytes = Bytes::from_static(b"one");
        assert!(fixture.perform(Effect::SaveJournal { bytes }).is_err());
        assert!(!fixture.files.paths.new_journal().exists());
        assert!(fixture.files.paths.path(Place::Journal).is_dir());
    }

    /// Devices and the files of the kernel refuse to be synced: so it is seen that they are asked.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_to_be_durable_is_synced() {
        let fixture = fixture();
        let null = Arc::new(File::options().write(true).open("/dev/null").unwrap());
        locked(&fixture.files.open).insert(Place::Temp, null);
        assert_eq!(
            fixture.files.perform(Effect::Sync).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let refused = write_durably(Path::new("/dev/null"), b"journal");
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        let paths = Paths::new(Path::new("/proc/target")).unwrap();
        let refused = Files::new(paths).perform(Effect::SyncDir);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_quota_is_not_called_a_full_disk() {
        let kind = |code| fs_error(&io::Error::from_raw_os_error(code)).kind;
        // EDQUOT and ENOSPC.
        assert_eq!(kind(122), FsErrorKind::QuotaExceeded);
        assert_eq!(kind(28), FsErrorKind::DiskFull);
    }

    #[test]
    fn a_journal_replaces_the_one_before() {
        let fixture = fixture();
        for bytes in ["one", "two"] {
            let bytes = Bytes::from_static(bytes.as_bytes());
            assert_eq!(fixture.perform(Effect::SaveJournal { bytes }), Ok(Done::Unit));
        }
        let read = Effect::Read { place: Place::Journal, max: 3 };
        assert_eq!(fixture.perform(read), Ok(Done::Bytes(Bytes::from_static(b"two"))));
        assert!(!fixture.files.paths.new_journal().exists());
    }
}
