//! An open directory is a descriptor, and all that is done in it begins there.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use bitswap_core::chunk::Obstacle;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, fsync, linkat, mkdirat, openat, readlinkat, renameat,
    statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::Kind;
use crate::fs::regular::NotRegular;
use crate::fs::rename;

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

impl Dir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, path, DIR, Mode::empty())?))
    }

    pub(super) fn child(&self, name: &str) -> io::Result<Self> {
        match openat(&self.0, name, DIR | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(child) => Ok(Self(child)),
            Err(Errno::LOOP | Errno::MLINK | Errno::NOTDIR) => match self.kind(name)? {
                Kind::Link => Err(NotRegular(Obstacle::Link).into()),
                _ => Err(NotRegular(Obstacle::Special).into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn make_dir(&self, name: &str) -> io::Result<()> {
        Ok(mkdirat(&self.0, name, Mode::from_raw_mode(0o777))?)
    }

    pub(super) fn kind(&self, name: &str) -> io::Result<Kind> {
        let stat = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Dir,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        })
    }

    /// Refuses what something is mounted on.
    pub(super) fn may_replace(&self, name: &str) -> io::Result<()> {
        if rename::is_mount_point(&self.0, name) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }

    /// Whether two names, neither of them a link, are of the same file.
    pub(super) fn is_same(&self, name: &str, other: &Self, new: &str) -> io::Result<bool> {
        let a = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let b = statat(&other.0, new, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = FileType::from_raw_mode(a.st_mode) == FileType::RegularFile;
        Ok(is_file && (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    pub(super) fn open_file(&self, name: &str, writes: bool) -> io::Result<File> {
        let access = if writes { OFlags::RDWR } else { OFlags::RDONLY };
        Ok(openat(&self.0, name, access | FILE, Mode::empty())?.into())
    }

    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | FILE;
        Ok(openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        Ok(renameat(&self.0, name, &to.0, new)?)
    }

    /// Where the file system cannot do it in one step, by a second link; where it has none either, the
    /// name is looked at before.
    pub(super) fn rename_to_new(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            match renameat_with(&self.0, name, &to.0, new, RenameFlags::NOREPLACE) {
                Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM) => {}
                result => return Ok(result?),
            }
        }
        match linkat(&self.0, name, &to.0, new, AtFlags::empty()) {
            Ok(()) => return self.remove(name),
            Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
            Err(_) => {}
        }
        match to.kind(new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.rename(name, to, new),
            Err(error) => Err(error),
            Ok(_) => Err(Errno::EXIST.into()),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    pub(super) fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    pub(super) fn symlink(&self, target: &str, name: &str) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    pub(super) fn read_link(&self, name: &str) -> io::Result<Option<String>> {
        Ok(readlinkat(&self.0, name, Vec::new())?.into_string().ok())
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            // What is no text is not ours.
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }

    pub(super) fn sync_all(&self) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        {
            rustix::fs::syncfs(&self.0)?;
            Ok(true)
        }
        #[cfg(not(target_os = "linux"))]
        Ok(false)
    }

    pub(super) fn as_file(&self) -> io::Result<Option<File>> {
        Ok(Some(self.0.try_clone()?.into()))
    }
}
