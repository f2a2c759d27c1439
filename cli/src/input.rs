//! Files that options name, read within a bound.
//!
//! A name may be one of a device that never ends, or of a pipe that nobody writes to. Neither may cost more memory than a
//! file of that purpose, and what is waited for is said.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bitswap_core::ByteSize;
use thiserror::Error;

use crate::patience::Pause;
use crate::say::Say;

/// The name of standard input.
pub(crate) const STDIN: &str = "-";

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file, and nothing else: what is in it is read more than once, or is a secret.
    File,
    /// Also what comes out of a pipe: `<(…)` of a shell.
    FileOrPipe,
    /// Whatever there is to read, also standard input.
    Any,
}

/// Why something is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Refused {
    #[error("it is a folder; name a file")]
    Folder,
    #[error("it is no regular file; name one")]
    NoFile,
    #[error("it is neither a regular file nor a pipe; name one")]
    NoPipe,
    #[error("it has more than {}; is it the right one?", ByteSize(*max))]
    TooLarge { max: u64 },
    #[error("it is no text in UTF-8")]
    NoText,
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidInput, refused)
    }
}

/// Reads all of it, at most `max` bytes. It waits for as long as a pipe does.
pub(crate) fn read(path: &Path, kind: Kind, max: u64) -> io::Result<Vec<u8>> {
    if kind == Kind::Any && path.as_os_str() == STDIN {
        return bounded(io::stdin().lock(), max);
    }
    // Opening a pipe waits for its other end, so it is looked at first; and it may have changed since.
    must_be(kind, &std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    must_be(kind, &file.metadata()?)?;
    bounded(file, max)
}

/// The same, of a text.
pub(crate) fn read_text(path: &Path, kind: Kind, max: u64) -> io::Result<String> {
    String::from_utf8(read(path, kind, max)?).map_err(|_| Refused::NoText.into())
}

fn bounded(from: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(Refused::TooLarge { max }.into()) } else { Ok(bytes) }
}

fn must_be(kind: Kind, found: &Metadata) -> Result<(), Refused> {
    match kind {
        _ if found.is_file() => Ok(()),
        _ if found.is_dir() => Err(Refused::Folder),
        Kind::Any => Ok(()),
        Kind::FileOrPipe if is_pipe(found) => Ok(()),
        Kind::FileOrPipe => Err(Refused::NoPipe),
        Kind::File => Err(Refused::NoFile),
    }
}

#[cfg(unix)]
fn is_pipe(found: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type())
}

#[cfg(not(unix))]
const fn is_pipe(_: &Metadata) -> bool {
    false
}

/// Reads on a thread of its own, and says every now and then that it waits for the end of `path`.
pub(crate) async fn awaited<T: Send + 'static>(
    path: PathBuf,
    say: &Say,
    read: impl FnOnce(&Path) -> T + Send + 'static,
) -> io::Result<T> {
    let named = match path.as_os_str() == STDIN {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let mut reading = tokio::task::spawn_blocking(move || read(&path));
    let mut pause = Pause::FIRST;
    loop {
        match tokio::time::timeout(pause.pass(), &mut reading).await {
            Ok(done) => return done.map_err(Into::into),
            Err(_) => say.note(format_args!("waiting: {named} has not ended yet")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_a_folder_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        for kind in [Kind::File, Kind::FileOrPipe, Kind::Any] {
            assert_eq!(read(&path, kind, 5).unwrap(), b"12345");
            let said = |read: io::Result<Vec<u8>>| read.unwrap_err().to_string();
            assert_eq!(said(read(&path, kind, 4)), "it has more than 4 B; is it the right one?");
            assert_eq!(said(read(directory.path(), kind, 4)), "it is a folder; name a file");
        }
        std::fs::write(&path, [0xff]).unwrap();
        let said = read_text(&path, Kind::File, 9).unwrap_err().to_string();
        assert_eq!(said, "it is no text in UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_read_only_where_anything_is_and_never_without_end() {
        let zero = Path::new("/dev/zero");
        let said = |kind| read(zero, kind, 1 << 10).unwrap_err().to_string();
        assert_eq!(said(Kind::File), "it is no regular file; name one");
        assert_eq!(said(Kind::FileOrPipe), "it is neither a regular file nor a pipe; name one");
        assert_eq!(said(Kind::Any), "it has more than 1.0 KiB; is it the right one?");
    }
}
