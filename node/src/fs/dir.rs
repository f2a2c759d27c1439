//! Directories that are open, and what is done in them without following links.
//!
//! On Unix an open directory stays what it is whatever becomes of its name, so nobody can lead an operation
//! elsewhere by putting a link in its place. Elsewhere the path is looked at before each operation.

#[cfg(not(unix))]
mod by_path;
#[cfg(unix)]
mod unix;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use bitswap_core::chunk::Obstacle;

use super::regular::{NotRegular, must_be_regular};
#[cfg(not(unix))]
use by_path as sys;
#[cfg(unix)]
use unix as sys;

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

    #[cfg(unix)]
    #[test]
    fn what_is_no_directory_is_refused_by_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("dir", at("link")).unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        let refused = |name| obstacle(&dir.child(name).unwrap_err());
        assert!(dir.child("dir").is_ok());
        assert_eq!(
            (refused("link"), refused("file")),
            (Some(Obstacle::Link), Some(Obstacle::Special))
        );
        assert_eq!(dir.child("nothing").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_made_only_where_nothing_has_its_name_and_no_directory_is_opened_as_one() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let dir = Dir::open(directory.path()).unwrap();
        drop(dir.create("file").unwrap());
        fs::write(at("file"), "bytes").unwrap();
        assert_eq!(dir.create("file").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(at("file")).unwrap(), b"bytes");
        fs::create_dir(at("directory")).unwrap();
        for opened in [dir.read("directory"), dir.write("directory")] {
            assert_eq!(obstacle(&opened.unwrap_err()), Some(Obstacle::Directory));
        }
        assert_eq!(dir.write("nothing").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
