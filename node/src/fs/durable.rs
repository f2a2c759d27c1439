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

/// Makes the names in a directory durable. Windows cannot sync a directory, and has its names durable
/// otherwise.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    if !cfg!(windows) {
        File::open(path)?.sync_all()?;
    }
    #[cfg(test)]
    log::note(log::Step::SyncDir(log::name(path)));
    Ok(())
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
