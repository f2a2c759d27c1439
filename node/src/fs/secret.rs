//! A file with a secret in it, that only its owner may read.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{durable, regular, rename, write_at};

/// How often another process may make or remove the file in the very moment that we look at it.
const TRIES: u32 = 16;

/// Tells apart what this process makes at the same time.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The error of a secret that others than its owner may read.
#[derive(Debug, thiserror::Error)]
#[error("others may read it (mode {mode:04o})")]
pub(crate) struct Exposed {
    /// Its permissions.
    pub(crate) mode: u32,
}

/// Opens a secret, and makes it out of `content` when there is none. No link is followed.
///
/// The file has its name once it is complete: whoever opens it at the same time, or after a crash, finds
/// all of it or nothing.
///
/// # Errors
///
/// [`Exposed`], [`regular::NotRegular`], what `content` says, or what the operating system says.
pub(crate) fn open_or_create(
    path: &Path,
    content: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<File> {
    match open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let content = content()?;
    for _ in 0..TRIES {
        match create(path, &content) {
            Ok(()) => {}
            // Somebody else was quicker: his is the secret.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        match open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// What is in it, at most `max` bytes.
pub(crate) fn read(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Opens a secret that there is. No link is followed.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = regular::open_itself(path)?;
    sys::must_be_private(&file)?;
    Ok(file)
}

fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    // One of a process of the same number that was killed.
    regular::remove_own(&beside)?;
    let file = sys::create_private(&beside)?;
    let written = write_at(&file, 0, content).and_then(|()| durable::sync(&file));
    drop(file);
    let named = written.and_then(|()| {
        rename::to_new(&beside, path, rename::Ways::SYSTEM, |_| Ok(()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // Where directories cannot be flushed, a crash may lose the name, and the next run makes another.
        durable::sync_dir(parent.unwrap_or_else(|| Path::new(".")))?;
        Ok(())
    });
    if named.is_err() {
        // The error before is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    named
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{number}.new", std::process::id()));
    path.with_file_name(name)
}

#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    use super::Exposed;

    pub(super) fn create_private(path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    pub(super) fn must_be_private(file: &File) -> io::Result<()> {
        let mode = file.metadata()?.permissions().mode() & 0o777;
        match mode & 0o077 {
            0 => Ok(()),
            _ => Err(io::Error::other(Exposed { mode })),
        }
    }
}

/// Who may read a file follows from its folder; that of the user's data is the user's alone.
#[cfg(windows)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn create_private(path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(path)
    }

    pub(super) fn must_be_private(_: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_make_a_secret_at_once_both_open_that_of_the_quicker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let opened = open_or_create(&path, || {
            drop(open_or_create(&path, || Ok(b"quicker".to_vec()))?);
            Ok(b"slower".to_vec())
        });
        assert_eq!(read(&opened.unwrap(), 100).unwrap(), b"quicker");
        let again = open_or_create(&path, || panic!("there is one"));
        assert_eq!(read(&again.unwrap(), 100).unwrap(), b"quicker");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
