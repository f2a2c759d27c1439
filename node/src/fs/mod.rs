//! The files of a download: a trait, the real thing, and one that fails on demand.

mod digest;
mod dir;
pub(crate) mod disk;
pub(crate) mod durable;
mod errors;
#[cfg(feature = "testing")]
pub(crate) mod faulty;
pub(crate) mod lock;
mod names;
pub(crate) mod ours;
mod owner;
mod paths;
mod portable;
mod queue;
pub(crate) mod regular;
mod rename;
pub(crate) mod secret;
mod sparse;
mod stamp;
mod temp_file;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod testing;
pub(crate) mod tree;

pub use disk::DiskFs;
pub use lock::LockState;
pub use names::NameFault;
pub(crate) use paths::numbered;
pub use paths::{BadTarget, Paths};
pub use portable::{native_names, portable_names};
pub use tree::{DiskFolder, FolderFs};

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitswap_core::chunk::{Done, Effect, FsError, RenameRetry};
use bytes::Bytes;
use futures::future::BoxFuture;

/// Which failures of a rename pass by themselves on this system.
pub(crate) const RETRY: RenameRetry =
    if cfg!(windows) { RenameRetry::WINDOWS } else { RenameRetry::NONE };

/// The file operations of one download.
///
/// Effects that are out at the same time may be performed in any order, or side by side.
pub trait Fs: Send + Sync + 'static {
    /// Performs one operation.
    fn perform(&self, effect: Effect) -> BoxFuture<'static, Result<Done, FsError>>;
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the lock panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads at a position, without a cursor, until `buf` is full or the file ends.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buf.len() {
        match sys::read_at(file, offset + read as u64, &mut buf[read..]) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Reads `len` bytes from a position, fewer when the file ends. Moves the file's cursor, and does not
/// fill the memory with zeros first.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn read_from(mut file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(len);
    file.seek(SeekFrom::Start(offset))?;
    file.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Writes all of `bytes` at a position, without a cursor.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match sys::write_at(file, offset + written as u64, &bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    pub(super) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(file, buf, offset)
    }

    pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(file, bytes, offset)
    }
}

#[cfg(windows)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;

    // These move the cursor too: who reads by it sets it first.

    pub(super) fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::seek_read(file, buf, offset)
    }

    pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::seek_write(file, bytes, offset)
    }
}
