//! Opens regular files and nothing else, without ever waiting.
//!
//! Opening a pipe waits for its other end, opening a device may do anything, and a link leads to a
//! file that nobody named. So a name is looked at before it is opened, opened in a way that does not wait,
//! and the open file is looked at again: what has the name may change in between.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use bitswap_core::chunk::Obstacle;

/// How often what has a name may change while it is looked at.
const TRIES: u32 = 16;

/// The error of a name that something else than a regular file of ours has.
#[derive(Debug)]
pub(crate) struct NotRegular(pub(crate) Obstacle);

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}", self.0)
    }
}

impl Error for NotRegular {}

impl From<NotRegular> for io::Error {
    fn from(error: NotRegular) -> Self {
        Self::other(error)
    }
}

/// What was in the way, if that is what an error says.
pub(crate) fn obstacle(error: &io::Error) -> Option<Obstacle> {
    error.get_ref()?.downcast_ref().map(|NotRegular(what)| *what)
}

/// Opens a file of the user for reading. Links are followed.
///
/// # Errors
///
/// [`NotRegular`], or what the operating system says.
pub(crate) fn open_source(path: &Path) -> io::Result<File> {
    must_be_regular(&fs::metadata(path)?)?;
    let file = open(path, sys::without_waiting(File::options().read(true)))?;
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a file of the user for reading. No link is followed.
///
/// # Errors
///
/// [`NotRegular`], or what the operating system says.
pub(super) fn open_itself(path: &Path) -> io::Result<File> {
    must_be_regular(&fs::symlink_metadata(path)?)?;
    let file = open(path, sys::without_links(File::options().read(true)))?;
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a file that is this program's alone, for reading and writing. No link is followed.
///
/// # Errors
///
/// [`NotRegular`], also for a file of another user or with a second name; or what the operating
/// system says.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    open_or_create(path, false).map(|(file, _)| file)
}

/// As [`open_own`], and makes the file when there is none. Tells whether it did.
///
/// # Errors
///
/// As [`open_own`].
pub(super) fn open_or_create_own(path: &Path) -> io::Result<(File, bool)> {
    open_or_create(path, true)
}

/// Makes a file that is this program's alone; an old one is removed first.
///
/// # Errors
///
/// As [`open_own`].
pub(super) fn create_own(path: &Path) -> io::Result<File> {
    remove_own(path)?;
    File::options().read(true).write(true).create_new(true).open(path)
}

/// Removes a file that is this program's alone; one that does not exist is removed already.
///
/// # Errors
///
/// As [`open_own`].
pub(super) fn remove_own(path: &Path) -> io::Result<()> {
    let removed = look_at_own(path).and_then(|_| fs::remove_file(path));
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn open_or_create(path: &Path, create: bool) -> io::Result<(File, bool)> {
    for _ in 0..TRIES {
        match look_at_own(path) {
            Ok(_) => {
                match open(path, sys::without_links(File::options().read(true).write(true))) {
                    Ok(file) => {
                        must_be_own(&file.metadata()?, path)?;
                        return Ok((file, false));
                    }
                    // It has changed since; the next look says into what.
                    Err(error) if error.kind() == ErrorKind::NotFound || sys::is_link(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound && create => {
                match File::options().read(true).write(true).create_new(true).open(path) {
                    Ok(file) => return Ok((file, true)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// Refuses a name that something else has; it may be free.
///
/// # Errors
///
/// As [`open_own`].
pub(super) fn may_be_own(path: &Path) -> io::Result<()> {
    match look_at_own(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn look_at_own(path: &Path) -> io::Result<Metadata> {
    let metadata = fs::symlink_metadata(path)?;
    must_be_own(&metadata, path)?;
    Ok(metadata)
}

fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    options.open(path).map_err(|error| match error.kind() {
        // Another program must let go of it first, and has been told to.
        ErrorKind::WouldBlock => ErrorKind::ResourceBusy.into(),
        _ => error,
    })
}

/// Whether two names, neither of them a link, are of the same file. False when there is no such file.
pub(super) fn is_same_file(a: &Path, b: &Path) -> io::Result<bool> {
    let is_file = |path: &Path| match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.file_type().is_file().then_some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    match (is_file(a)?, is_file(b)?) {
        (Some(of_a), Some(of_b)) => sys::is_same(a, &of_a, b, &of_b),
        _ => Ok(false),
    }
}

/// Whether an open file still has this name.
pub(super) fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_file() => sys::is_open(file, path, &there),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses everything but a regular file.
///
/// # Errors
///
/// [`NotRegular`].
pub(crate) fn must_be_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_symlink() {
        Err(NotRegular(Obstacle::Link).into())
    } else if kind.is_dir() {
        Err(NotRegular(Obstacle::Directory).into())
    } else {
        Err(NotRegular(sys::special(kind)).into())
    }
}

/// Refuses what a rename does not replace: everything but a regular file, and where read-only files stay such
/// a file too.
///
/// # Errors
///
/// [`NotRegular`].
pub(super) fn must_be_replaceable(metadata: &Metadata, read_only_stays: bool) -> io::Result<()> {
    must_be_regular(metadata)?;
    if read_only_stays && metadata.permissions().readonly() {
        return Err(NotRegular(Obstacle::ReadOnly).into());
    }
    Ok(())
}

fn must_be_own(metadata: &Metadata, path: &Path) -> io::Result<()> {
    must_be_regular(metadata)?;
    sys::must_be_own(metadata, path)
}

#[cfg(unix)]
mod sys {
    use std::fs::{File, FileType, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
    use std::path::Path;

    use bitswap_core::chunk::Obstacle;
    use rustix::fs::OFlags;
    use rustix::io::Errno;

    use super::NotRegular;

    pub(super) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.custom_flags(flags.bits() as i32)
    }

    pub(super) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        options.custom_flags(flags.bits() as i32)
    }

    /// What a system says that was not to follow a link, and what has no reader or is no file.
    pub(super) fn is_link(error: &io::Error) -> bool {
        let says = [Errno::LOOP, Errno::MLINK, Errno::NXIO, Errno::ISDIR];
        Errno::from_io_error(error).is_some_and(|errno| says.contains(&errno))
    }

    pub(super) fn special(kind: FileType) -> Obstacle {
        if kind.is_fifo() {
            Obstacle::Fifo
        } else if kind.is_socket() {
            Obstacle::Socket
        } else if kind.is_char_device() || kind.is_block_device() {
            Obstacle::Device
        } else {
            Obstacle::Special
        }
    }

    pub(super) fn must_be_own(metadata: &Metadata, path: &Path) -> io::Result<()> {
        if metadata.nlink() > 1 {
            return Err(NotRegular(Obstacle::SecondName).into());
        }
        let owner = rustix::process::geteuid().as_raw();
        // Some file systems give every file one owner, whoever makes it.
        if metadata.uid() != owner && metadata.uid() != owner_of_new(path)? {
            return Err(NotRegular(Obstacle::OtherOwner).into());
        }
        Ok(())
    }

    /// The owner that a file has which we make beside `path`.
    fn owner_of_new(path: &Path) -> io::Result<u32> {
        let probe = path.with_file_name(format!(".bitswap-{}.probe", std::process::id()));
        let file = File::create_new(&probe)?;
        let owner = file.metadata().map(|metadata| metadata.uid());
        std::fs::remove_file(probe)?;
        owner
    }

    pub(super) fn is_same(
        _: &Path,
        of_a: &Metadata,
        _: &Path,
        of_b: &Metadata,
    ) -> io::Result<bool> {
        Ok((of_a.dev(), of_a.ino()) == (of_b.dev(), of_b.ino()))
    }

    pub(super) fn is_open(file: &File, _: &Path, there: &Metadata) -> io::Result<bool> {
        let of_file = file.metadata()?;
        Ok((of_file.dev(), of_file.ino()) == (there.dev(), there.ino()))
    }
}

#[cfg(windows)]
mod sys {
    use std::fs::{File, FileType, Metadata, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::path::Path;

    use bitswap_core::chunk::Obstacle;

    /// `FILE_FLAG_OPEN_REPARSE_POINT`: a link itself is opened, which its metadata then tell.
    const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

    pub(super) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    pub(super) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
        options.custom_flags(OPEN_REPARSE_POINT)
    }

    pub(super) fn is_link(_: &io::Error) -> bool {
        false
    }

    pub(super) fn special(_: FileType) -> Obstacle {
        Obstacle::Special
    }

    pub(super) fn must_be_own(_: &Metadata, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_same(a: &Path, _: &Metadata, b: &Path, _: &Metadata) -> io::Result<bool> {
        same_file::is_same_file(a, b)
    }

    pub(super) fn is_open(file: &File, path: &Path, _: &Metadata) -> io::Result<bool> {
        let open = same_file::Handle::from_file(file.try_clone()?)?;
        Ok(open == same_file::Handle::from_path(path)?)
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::super::testing::Thing;
    use super::*;

    #[test]
    fn a_source_is_a_regular_file_or_a_link_to_one_and_nothing_else_is_opened() {
        for thing in Thing::all() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("thing");
            let what = thing.put_at(&path);
            let opened = open_source(&path);
            if thing == Thing::Link {
                assert!(opened.is_ok());
            } else if thing == Thing::DanglingLink {
                assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
            } else {
                assert_eq!(obstacle(&opened.unwrap_err()), Some(what), "{thing:?}");
            }
            // What a link leads to counts.
            let link = directory.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert_eq!(open_source(&link).is_ok(), thing == Thing::Link);
        }
        assert_eq!(
            obstacle(&open_source(Path::new("/dev/zero")).unwrap_err()),
            Some(Obstacle::Device)
        );
    }

    #[test]
    fn a_file_of_ours_is_no_link_and_nothing_but_a_file() {
        for thing in Thing::all() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("thing");
            let what = thing.put_at(&path);
            for result in [
                open_own(&path).map(drop),
                open_or_create_own(&path).map(drop),
                create_own(&path).map(drop),
                remove_own(&path),
            ] {
                assert_eq!(obstacle(&result.unwrap_err()), Some(what), "{thing:?}");
            }
            thing.assert_untouched(&path);
        }
    }

    #[test]
    fn a_read_only_file_is_replaced_only_where_that_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "a").unwrap();
        let looked = |stays| must_be_replaceable(&fs::symlink_metadata(&path).unwrap(), stays);
        looked(true).unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        looked(false).unwrap();
        assert_eq!(obstacle(&looked(true).unwrap_err()), Some(Obstacle::ReadOnly));
    }

    #[test]
    fn a_file_with_a_second_name_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&path, "a").unwrap();
        drop(open_own(&path).unwrap());
        fs::hard_link(&path, &other).unwrap();
        let refused = open_own(&path).unwrap_err();
        assert_eq!(obstacle(&refused), Some(Obstacle::SecondName));
        assert!(is_same_file(&path, &other).unwrap());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!is_same_file(&path, &link).unwrap(), "a link is another thing than its file");
        assert!(!is_same_file(&path, &directory.path().join("none")).unwrap());
    }

    #[test]
    fn a_file_of_another_user_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "a").unwrap();
        let stranger = rustix::process::geteuid().as_raw() + 1;
        if std::os::unix::fs::chown(&path, Some(stranger), None).is_err() {
            // Only the superuser can give a file away. Files of somebody else, to read only, are everywhere.
            let refused = open_own(Path::new("/etc/passwd")).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
            return;
        }
        let refused = open_own(&path).unwrap_err();
        assert_eq!(obstacle(&refused), Some(Obstacle::OtherOwner));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no probe is left");
    }

    #[test]
    fn a_file_is_made_once_and_then_opened_with_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        assert_eq!(open_own(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(open_or_create_own(&path).unwrap().1);
        fs::write(&path, "bytes").unwrap();
        let (file, is_new) = open_or_create_own(&path).unwrap();
        assert_eq!((file.metadata().unwrap().len(), is_new), (5, false));
        assert_eq!(create_own(&path).unwrap().metadata().unwrap().len(), 0);
        remove_own(&path).unwrap();
        remove_own(&path).unwrap();
    }
}
