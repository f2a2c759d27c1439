//! The place that a get puts things: whether there can be any, and what is wrong with it when there cannot.
//!
//! The core tells what failed by what it is to the download, and not where that is: of several things that are got, or
//! of a name that was made up here, nobody could tell.

use std::io;
use std::path::{Path, PathBuf};

use bitswap_core::chunk::{
    DownloadError, FileRole, FsError, FsErrorKind, IfExists, Obstacle, Operation, TreeError,
    TreeOperation,
};
use bitswap_node::{FetchError, Paths};

use crate::failure::Failure;

/// Refuses a path in a folder that is not there, before anybody is asked for anything.
pub(crate) fn must_be_in_a_folder(path: &Path) -> Result<(), Failure> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    let found = std::fs::metadata(directory);
    if found.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        return Ok(());
    }
    // A name that no folder can have is why there is none, whatever the system says of it.
    if let Err(bad) = Paths::new(path)
        && bad.component.is_some()
    {
        return Err(FetchError::from(bad).into());
    }
    let reason = match found {
        Ok(_) => "it is no folder".to_owned(),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => "it does not exist; make it first".to_owned(),
            io::ErrorKind::NotADirectory => {
                let there = |at: &&Path| std::fs::metadata(at).is_ok();
                let above = directory.ancestors().find(there).unwrap_or(directory);
                format!("{} is no folder", above.display())
            }
            _ => error.to_string(),
        },
    };
    Err(Failure::NoPlace { directory: directory.to_owned(), reason })
}

/// Says of a fetch to `target` that failed where it did, and what can be done about it.
pub(crate) fn named(failure: Failure, target: &Path, if_exists: IfExists) -> Failure {
    let Failure::Fetch(error) = failure else { return failure };
    let path = || target.to_owned();
    if let Some(error) = of_lock(&error) {
        let here = Path::new(".");
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(here).to_owned();
        return Failure::NoPlace { directory, reason: error.to_string() };
    }
    match &error {
        FetchError::Tree { error: of_tree, .. } => match &**of_tree {
            TreeError::Exists { path: entry } if entry.is_root() => {
                Failure::NoFolderThere { path: path() }
            }
            TreeError::Exists { path: entry } => {
                let at: PathBuf = target.join(entry.components().collect::<PathBuf>());
                let is_file = std::fs::symlink_metadata(at).is_ok_and(|found| found.is_file());
                match if_exists == IfExists::Refuse && is_file {
                    true => error.into(),
                    false => Failure::OtherKind { error },
                }
            }
            TreeError::File { operation: TreeOperation::Begin, error: of_work, .. }
                if is_no_folder(of_work) =>
            {
                match work(target).filter(|work| std::fs::symlink_metadata(work).is_ok()) {
                    Some(path) => Failure::NoWorkFolder { path },
                    None => error.into(),
                }
            }
            _ => error.into(),
        },
        FetchError::Download(
            DownloadError::InvalidDag(_)
            | DownloadError::BadRoot(_)
            | DownloadError::Unavailable { .. },
        ) => error.into(),
        FetchError::Download(_) => Failure::FetchTo { path: path(), error: error.into() },
        _ => error.into(),
    }
}

/// The folder beside a target that is not finished.
fn work(target: &Path) -> Option<PathBuf> {
    let mut name = target.file_name()?.to_owned();
    name.push(".part");
    Some(target.with_file_name(name))
}

/// What keeps the lock from being taken, which is the first thing that is done in a folder, unless somebody has it.
fn of_lock(error: &FetchError) -> Option<FsError> {
    let error = match error {
        FetchError::Download(DownloadError::File { operation: Operation::Lock, error }) => *error,
        FetchError::Tree { error, .. } => match **error {
            TreeError::File { operation: TreeOperation::Lock, error, .. } => error,
            _ => return None,
        },
        _ => return None,
    };
    let is_of_folder = matches!(
        error.kind,
        FsErrorKind::NotFound | FsErrorKind::PermissionDenied | FsErrorKind::ReadOnly
    );
    is_of_folder.then_some(error)
}

/// Whether something has the name of the folder that is not finished, and is no folder.
const fn is_no_folder(error: &FsError) -> bool {
    matches!(error.kind, FsErrorKind::InTheWay { role: FileRole::Temp, what: Obstacle::Special })
}
