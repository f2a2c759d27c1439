//! An open directory is a path, which is looked at before each operation.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bitswap_core::chunk::Obstacle;

use super::Kind;
use crate::fs::regular::{self, NotRegular};
use crate::fs::{durable, rename};

#[derive(Debug)]
pub(super) struct Dir {
    path: PathBuf,
    /// Opened by a name within a tree, and so never through a link.
    is_checked: bool,
}

impl Dir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.to_owned(), is_checked: false })
    }

    /// The path of a name, once it is certain that the directory is no link by now.
    fn at(&self, name: &str) -> io::Result<PathBuf> {
        if self.is_checked && !fs::symlink_metadata(&self.path)?.is_dir() {
            return Err(NotRegular(Obstacle::Link).into());
        }
        Ok(self.path.join(name))
    }

    pub(super) fn child(&self, name: &str) -> io::Result<Self> {
        let path = self.at(name)?;
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_symlink() {
            return Err(NotRegular(Obstacle::Link).into());
        }
        if !metadata.is_dir() {
            return Err(NotRegular(Obstacle::Special).into());
        }
        Ok(Self { path, is_checked: true })
    }

    pub(super) fn make_dir(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.at(name)?)
    }

    pub(super) fn kind(&self, name: &str) -> io::Result<Kind> {
        let kind = fs::symlink_metadata(self.at(name)?)?.file_type();
        Ok(if kind.is_symlink() {
            Kind::Link
        } else if kind.is_dir() {
            Kind::Dir
        } else if kind.is_file() {
            Kind::File
        } else {
            Kind::Other
        })
    }

    /// Refuses what is read-only, where that cannot be replaced.
    pub(super) fn may_replace(&self, name: &str) -> io::Result<()> {
        rename::may_replace(&self.at(name)?)
    }

    /// Whether two names, neither of them a link, are of the same file.
    pub(super) fn is_same(&self, name: &str, other: &Self, new: &str) -> io::Result<bool> {
        regular::is_same_file(&self.at(name)?, &other.at(new)?)
    }

    pub(super) fn open_file(&self, name: &str, writes: bool) -> io::Result<File> {
        if self.kind(name)? == Kind::Link {
            return Err(NotRegular(Obstacle::Link).into());
        }
        File::options().read(true).write(writes).open(self.at(name)?)
    }

    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(self.at(name)?)
    }

    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        durable::rename(&self.at(name)?, &to.at(new)?)
    }

    /// By a second link, or where there is none, the name is looked at before.
    pub(super) fn rename_to_new(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        match fs::hard_link(self.at(name)?, to.at(new)?) {
            Ok(()) => return self.remove(name),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        match to.kind(new) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.rename(name, to, new),
            Err(error) => Err(error),
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name)?)
    }

    pub(super) fn remove_dir(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.at(name)?)
    }

    #[cfg(windows)]
    pub(super) fn symlink(&self, target: &str, name: &str) -> io::Result<()> {
        std::os::windows::fs::symlink_file(target.replace('/', "\\"), self.at(name)?)
    }

    #[cfg(not(windows))]
    pub(super) fn symlink(&self, _: &str, _: &str) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    pub(super) fn read_link(&self, name: &str) -> io::Result<Option<String>> {
        let target = fs::read_link(self.at(name)?)?;
        Ok(target.to_str().map(|target| target.replace('\\', "/")))
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        durable::sync_dir(&self.path).map(drop)
    }

    pub(super) fn sync_all(&self) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn as_file(&self) -> io::Result<Option<File>> {
        Ok(None)
    }
}
