//! A lock that one process holds at a time and that dies with it.
//!
//! The operating system's advisory lock on a file. The file is removed with the lock; so whoever gets
//! the lock looks whether the file that it locked still has the name, and otherwise tries again:
//! the one that held it may have removed it in between.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

/// How often another process may remove the file in the very moment that we lock it.
const TRIES: u32 = 16;

/// A held lock. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: Option<File>,
}

impl Lock {
    /// Takes the lock; [`io::ErrorKind::WouldBlock`] when another process or value holds it.
    pub(super) fn take(path: PathBuf) -> io::Result<Self> {
        for _ in 0..TRIES {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            // Named in full: newer standard libraries have a method of that name.
            match FileExt::try_lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if is_at(&file, &path)? {
                return Ok(Self { path, file: Some(file) });
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held: afterwards it may be another's. If it stays, it is only litter.
        let _ = fs::remove_file(&self.path);
        self.file = None;
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = same_file::Handle::from_file(file.try_clone()?)?;
    match same_file::Handle::from_path(path) {
        Ok(there) => Ok(ours == there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = Lock::take(path.clone()).unwrap();
        assert_eq!(Lock::take(path.clone()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert!(!path.exists());
        Lock::take(path).unwrap();
    }

    #[test]
    fn a_file_left_by_a_process_that_died_is_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        fs::write(&path, "").unwrap();
        Lock::take(path).unwrap();
    }

    #[test]
    fn a_locked_file_that_lost_its_name_is_not_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path).unwrap());
        fs::write(&path, "").unwrap();
        assert!(!is_at(&file, &path).unwrap());
    }
}
