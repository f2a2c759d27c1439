//! A temporary file, which is to be as the last operation of ours has left it.
//!
//! What is called verified was hashed before it was written, so nobody else may write to the temporary file before it has
//! its name, nor put another file in its place. Neither can be forbidden; both are noticed here.

use std::fs::File;
use std::io;
use std::sync::Mutex;
use std::time::SystemTime;

use bitswap_core::chunk::{FileRole, Obstacle, Stamp};

use super::errors::in_the_way;
use super::locked;
use super::regular::NotRegular;
use super::stamp::identity;

/// Somebody else wrote to a file of ours.
#[derive(Debug, thiserror::Error)]
#[error("another program wrote to it")]
pub(super) struct Changed;

/// A temporary file as the last operation on it has left it.
///
/// Every operation is refused when the file is not as the one before left it: with [`Obstacle::NotOurs`] when it is another
/// file, and with [`Changed`] when somebody wrote to it, or where the file system does not tell of that, when it has
/// another length.
#[derive(Debug, Default)]
pub(super) struct TempFile {
    /// `None` before the first operation, and once the file has its name or is gone.
    left: Mutex<Option<Snapshot>>,
}

impl TempFile {
    /// It is open. One that is opened again is still to be as it was left.
    pub(super) fn opened(&self, file: &File) -> io::Result<()> {
        locked(&self.left).get_or_insert(Snapshot::of(file)?);
        Ok(())
    }

    /// Does something to it.
    pub(super) fn operate<T>(
        &self,
        file: &File,
        operation: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut left = locked(&self.left);
        if let Some(left) = &*left {
            left.check(file)?;
        }
        let result = operation(file);
        *left = Some(Snapshot::of(file)?);
        result
    }

    /// Gives it its name, with which it is no temporary file any more. It is the name that is renamed, whatever has it
    /// by now: `open` opens that. When it is not renamed, it stays what it was.
    pub(super) fn rename(
        &self,
        open: impl FnOnce() -> io::Result<File>,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = locked(&self.left);
        if let Some(left) = &*left {
            open().map_err(in_the_way(FileRole::Temp)).and_then(|file| left.check(&file))?;
        }
        rename()?;
        *left = None;
        Ok(())
    }

    /// Whether this is the file, as it was left.
    pub(super) fn is(&self, file: &File) -> bool {
        locked(&self.left).is_some_and(|left| left.check(file).is_ok())
    }

    /// It is removed, and the next that is opened may be another one.
    pub(super) fn removed(&self) {
        *locked(&self.left) = None;
    }
}

/// What a file was when an operation of ours had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Snapshot {
    identity: Stamp,
    len: u64,
    /// When it was written to last, where that is told of each write at once. The time of other changes does not
    /// count: there are programs that give every new file attributes of theirs.
    written: Option<SystemTime>,
}

impl Snapshot {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let written = if tells_of_writes(file) { metadata.modified().ok() } else { None };
        Ok(Self { identity: identity(file)?, len: metadata.len(), written })
    }

    fn check(&self, file: &File) -> io::Result<()> {
        let now = Self::of(file)?;
        if now.identity != self.identity {
            return Err(in_the_way(FileRole::Temp)(NotRegular(Obstacle::NotOurs).into()));
        }
        if now != *self {
            return Err(io::Error::other(Changed));
        }
        Ok(())
    }
}

/// Whether the time of modification follows each write at once. Over a network the server sets it when it likes, and
/// Windows when the file is closed.
#[cfg(target_os = "linux")]
fn tells_of_writes(file: &File) -> bool {
    /// ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS, bcachefs, and overlays of these.
    const LOCAL: [u64; 8] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0xf2f5_2010,
        0x2fc1_2fc1,
        0xca45_1a4e,
        0x794c_7630,
    ];
    rustix::fs::fstatfs(file)
        .is_ok_and(|stats| LOCAL.contains(&(stats.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
const fn tells_of_writes(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use bitswap_core::chunk::FsErrorKind;

    use super::super::errors::fs_error;
    use super::*;

    const NOT_OURS: FsErrorKind =
        FsErrorKind::InTheWay { role: FileRole::Temp, what: Obstacle::NotOurs };

    fn kind<T>(result: io::Result<T>) -> Option<FsErrorKind> {
        result.err().map(|error| fs_error(&error).kind)
    }

    fn open(path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).open(path)
    }

    /// A file with a time of its own, so that no change comes within one tick of the file system's clock.
    fn aged(directory: &Path, name: &str) -> (PathBuf, File) {
        let path = directory.join(name);
        fs::write(&path, "bytes").unwrap();
        let file = open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        (path, file)
    }

    #[test]
    fn another_file_and_a_write_of_somebody_else_are_noticed_and_attributes_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let (_, file) = aged(directory.path(), "file");
        let (temp, stale) = (TempFile::default(), TempFile::default());
        temp.opened(&file).unwrap();
        stale.opened(&file).unwrap();
        let mut permissions = file.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions).unwrap();
        temp.operate(&file, |mut file| file.write_all(b"BYTES")).unwrap();
        temp.operate(&file, |_| Ok(())).unwrap();

        if cfg!(target_os = "linux") && tells_of_writes(&file) {
            // It was opened before, and is opened again.
            stale.opened(&file).unwrap();
            assert_eq!(kind(stale.operate(&file, |_| Ok(()))), Some(FsErrorKind::Changed));
        }
        file.set_len(6).unwrap();
        assert_eq!(kind(temp.operate(&file, |_| Ok(()))), Some(FsErrorKind::Changed));
        let (_, other) = aged(directory.path(), "other");
        assert_eq!(kind(stale.operate(&other, |_| Ok(()))), Some(NOT_OURS));
        stale.removed();
        stale.operate(&other, |_| Ok(())).unwrap();
    }

    #[test]
    fn what_an_operation_did_before_it_failed_is_no_change_of_somebody_else() {
        let directory = tempfile::tempdir().unwrap();
        let (_, file) = aged(directory.path(), "file");
        let temp = TempFile::default();
        temp.opened(&file).unwrap();
        let half = temp.operate(&file, |file| {
            file.set_len(9)?;
            Err::<(), _>(io::Error::other("half"))
        });
        assert_eq!(kind(half), Some(FsErrorKind::Io));
        temp.operate(&file, |_| Ok(())).unwrap();
    }

    #[test]
    fn only_the_file_that_was_written_gets_its_name_also_when_it_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = aged(directory.path(), "file");
        let (other, _) = aged(directory.path(), "other");
        let temp = TempFile::default();
        temp.opened(&file).unwrap();
        assert!(temp.is(&file) && !temp.is(&open(&other).unwrap()));
        for _ in 0..2 {
            let refused = temp.rename(|| open(&other), || panic!("it is another file"));
            assert_eq!(kind(refused), Some(NOT_OURS));
            let failed = temp.rename(|| open(&path), || Err(io::Error::other("later")));
            assert_eq!(kind(failed), Some(FsErrorKind::Io));
        }
        temp.rename(|| open(&path), || Ok(())).unwrap();
        // The next is another one.
        temp.opened(&open(&other).unwrap()).unwrap();
        temp.operate(&open(&other).unwrap(), |_| Ok(())).unwrap();
    }
}
