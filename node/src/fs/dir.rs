//! Directories that are open, and what is done in them without following links.
//!
//! On Unix an open directory stays what it is whatever becomes of its name, so nobody can lead an operation
//! elsewhere by putting a link in its place. Elsewhere the path is looked at before each operation.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use bitswap_core::chunk::Obstacle;

use super::regular::{NotRegular, must_be_regular};

/// What has a name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    File,
    Link,
    Other,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir(sys::Dir);

impl Dir {
    /// Opens a directory by its path, as its user means it: links are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        sys::Dir::open(path).map(Self)
    }

    /// Opens a directory in this one. Something else in its place is [`NotRegular`].
    pub(super) fn child(&self, name: &str) -> io::Result<Self> {
        self.0.child(name).map(Self)
    }

    /// Makes a directory. False when something has the name.
    pub(super) fn make_dir(&self, name: &str) -> io::Result<bool> {
        match self.0.make_dir(name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// What has a name, itself.
    pub(super) fn kind(&self, name: &str) -> io::Result<Kind> {
        self.0.kind(name)
    }

    /// Opens a regular file for reading.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        self.regular(name, self.0.open_file(name, false))
    }

    /// Opens a regular file for reading and writing.
    pub(super) fn write(&self, name: &str) -> io::Result<File> {
        self.regular(name, self.0.open_file(name, true))
    }

    fn regular(&self, name: &str, opened: io::Result<File>) -> io::Result<File> {
        match opened {
            Ok(file) => {
                must_be_regular(&file.metadata()?)?;
                Ok(file)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
            // What cannot be opened because of what it is.
            Err(error) => match self.kind(name) {
                Ok(Kind::Dir) => Err(NotRegular(Obstacle::Directory).into()),
                Ok(Kind::Link) => Err(NotRegular(Obstacle::Link).into()),
                Ok(Kind::Other) => Err(NotRegular(Obstacle::Special).into()),
                _ => Err(error),
            },
        }
    }

    /// Makes a file, which must not exist.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.0.create(name)
    }

    /// Renames into a directory. Without `replace` the name must be free; with it, only a file or a link is
    /// replaced.
    pub(super) fn rename(&self, name: &str, to: &Self, new: &str, replace: bool) -> io::Result<()> {
        if !replace {
            return match self.0.rename_to_new(name, &to.0, new) {
                // An earlier try may have made a link and failed to remove the old name.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if self.0.is_same(name, &to.0, new)? { self.remove(name) } else { Err(error) }
                }
                result => result,
            };
        }
        if to.may_replace(new)? == Some(Kind::File) && self.0.is_same(name, &to.0, new)? {
            // A rename of one name of a file to another does nothing.
            return self.remove(name);
        }
        self.0.rename(name, &to.0, new)
    }

    /// Refuses a name of something that a rename cannot replace, and tells what it is of.
    pub(super) fn may_replace(&self, name: &str) -> io::Result<Option<Kind>> {
        let kind = match self.kind(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            kind => kind?,
        };
        self.0.may_replace(name)?;
        match kind {
            Kind::Dir => Err(NotRegular(Obstacle::Directory).into()),
            Kind::Other => Err(NotRegular(Obstacle::Special).into()),
            Kind::File | Kind::Link => Ok(Some(kind)),
        }
    }

    /// Removes a file or a link. One that does not exist is removed already.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        ignore_missing(self.0.remove(name))
    }

    /// Removes an empty directory. One that does not exist is removed already.
    pub(super) fn remove_dir(&self, name: &str) -> io::Result<()> {
        ignore_missing(self.0.remove_dir(name))
    }

    /// Makes a symbolic link, whose name must be free.
    pub(super) fn symlink(&self, target: &str, name: &str) -> io::Result<()> {
        self.0.symlink(target, name)
    }

    /// Where a symbolic link leads; `None` for one that is no text.
    pub(super) fn read_link(&self, name: &str) -> io::Result<Option<String>> {
        self.0.read_link(name)
    }

    /// The names in it.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    /// Makes its names durable, where that can be done.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    /// Makes everything on its file system durable. False where that cannot be done in one step.
    pub(super) fn sync_all(&self) -> io::Result<bool> {
        self.0.sync_all()
    }

    /// Opens a regular file to set its metadata, which takes the right to write on Windows, and on Unix to be its
    /// owner.
    pub(super) fn to_set_metadata(&self, name: &str) -> io::Result<File> {
        self.regular(name, self.0.open_file(name, cfg!(windows)))
    }

    /// The directory as a file, to set its metadata; `None` where that cannot be done.
    pub(super) fn as_file(&self) -> io::Result<Option<File>> {
        self.0.as_file()
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(unix)]
mod sys {
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
}

#[cfg(not(unix))]
mod sys {
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
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fs::regular::obstacle;

    #[test]
    fn a_second_name_that_an_earlier_try_made_is_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let dir = Dir::open(directory.path()).unwrap();
        for replace in [false, true] {
            fs::write(at("a"), "bytes").unwrap();
            fs::hard_link(at("a"), at("b")).unwrap();
            dir.rename("a", &dir, "b", replace).unwrap();
            assert!(!at("a").exists());
            assert_eq!(fs::read(at("b")).unwrap(), b"bytes");
            fs::remove_file(at("b")).unwrap();
        }
        // Another file of these bytes is another file.
        fs::write(at("a"), "bytes").unwrap();
        fs::write(at("b"), "bytes").unwrap();
        let refused = dir.rename("a", &dir, "b", false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert!(at("a").exists());
    }

    #[test]
    fn what_cannot_be_replaced_is_refused_before_a_rename() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        assert_eq!(dir.may_replace("free").unwrap(), None);
        fs::write(directory.path().join("file"), "bytes").unwrap();
        assert_eq!(dir.may_replace("file").unwrap(), Some(Kind::File));
        fs::create_dir(directory.path().join("directory")).unwrap();
        let refused = dir.may_replace("directory").unwrap_err();
        assert_eq!(obstacle(&refused), Some(Obstacle::Directory));
        #[cfg(target_os = "linux")]
        {
            let refused = Dir::open(Path::new("/")).unwrap().may_replace("proc").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        }
    }
}
