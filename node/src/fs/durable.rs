//! What makes bytes and names outlive a crash.
//!
//! The order of these steps is what a file's safety rests on, so in tests they are remembered.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes the bytes of a file durable.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    file.sync_data()?;
    #[cfg(test)]
    log::note(log::Step::Sync);
    Ok(())
}

/// Renames a file, and replaces what has the name.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    #[cfg(test)]
    log::note(log::Step::Rename(log::name(to)));
    Ok(())
}

/// Makes the names in a directory durable. False where that cannot be done: on Windows not every file system
/// flushes a directory.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn sync_dir(path: &Path) -> io::Result<bool> {
    let synced = sys::open_dir(path).and_then(|directory| directory.sync_all());
    #[cfg(test)]
    log::note(log::Step::SyncDir(log::name(path)));
    match synced {
        Err(error) if sys::is_not_possible(&error) => Ok(false),
        synced => synced.map(|()| true),
    }
}

#[cfg(not(windows))]
mod sys {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn open_dir(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) const fn is_not_possible(_: &io::Error) -> bool {
        false
    }
}

#[cfg(windows)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::path::Path;

    /// `FILE_FLAG_BACKUP_SEMANTICS`: without it no directory is opened.
    const BACKUP_SEMANTICS: u32 = 0x0200_0000;

    /// For writing: what is open for reading only is not flushed.
    pub(super) fn open_dir(path: &Path) -> io::Result<File> {
        File::options().write(true).custom_flags(BACKUP_SEMANTICS).open(path)
    }

    /// Invalid function, access denied, invalid handle, not supported, invalid parameter.
    pub(super) fn is_not_possible(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(1 | 5 | 6 | 50 | 87))
    }
}

/// The steps that this thread has made.
#[cfg(test)]
pub(crate) mod log {
    use std::cell::RefCell;
    use std::path::Path;

    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Step {
        Sync,
        Rename(String),
        SyncDir(String),
    }

    thread_local! {
        static STEPS: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(step: Step) {
        STEPS.with_borrow_mut(|steps| steps.push(step));
    }

    pub(crate) fn name(path: &Path) -> String {
        path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What was done since the last call.
    pub(crate) fn take() -> Vec<Step> {
        STEPS.take()
    }
}
