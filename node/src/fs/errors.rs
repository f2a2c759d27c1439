//! What an error of the operating system is to a download.

use std::io::{self, ErrorKind};

use bitswap_core::chunk::{FileRole, FsError, FsErrorKind, Obstacle};

use super::temp_file::Changed;
use super::{lock, regular};

/// Something that is not ours has the name of one of our files.
#[derive(Debug, thiserror::Error)]
#[error("{what} has the name of {role}")]
struct InTheWay {
    role: FileRole,
    what: Obstacle,
}

/// Adds to an error whose name it is about.
pub(super) fn in_the_way(role: FileRole) -> impl Fn(io::Error) -> io::Error {
    move |error| match regular::obstacle(&error) {
        Some(what) => io::Error::other(InTheWay { role, what }),
        None => error,
    }
}

/// Whether a code says that another program holds the file so that nobody else opens it, or this part of it:
/// "sharing violation" and "lock violation" of Windows. Elsewhere these numbers mean something else.
const fn is_held(code: Option<i32>, is_windows: bool) -> bool {
    is_windows && matches!(code, Some(32 | 33))
}

/// The core's view of an error of the operating system.
pub(super) fn fs_error(error: &io::Error) -> FsError {
    let inner = error.get_ref();
    if let Some(InTheWay { role, what }) = inner.and_then(|inner| inner.downcast_ref()) {
        let kind = FsErrorKind::InTheWay { role: *role, what: *what };
        return FsError { kind, code: None };
    }
    if inner.is_some_and(|inner| inner.is::<lock::Unknown>()) {
        return FsError { kind: FsErrorKind::LockFile, code: None };
    }
    if inner.is_some_and(|inner| inner.is::<Changed>()) {
        return FsError { kind: FsErrorKind::Changed, code: None };
    }
    let kind = match error.kind() {
        _ if is_held(error.raw_os_error(), cfg!(windows)) => FsErrorKind::Busy,
        ErrorKind::NotFound => FsErrorKind::NotFound,
        // Where a directory should be, there is a file. It is not told which; `Paths::no_directory` finds it.
        ErrorKind::NotADirectory => {
            FsErrorKind::InTheWay { role: FileRole::Dir, what: Obstacle::NotOurs }
        }
        ErrorKind::AlreadyExists => FsErrorKind::Exists,
        // Only the lock is ever asked for without waiting.
        ErrorKind::WouldBlock => FsErrorKind::Locked,
        ErrorKind::PermissionDenied => FsErrorKind::PermissionDenied,
        ErrorKind::ReadOnlyFilesystem => FsErrorKind::ReadOnly,
        ErrorKind::StorageFull => FsErrorKind::DiskFull,
        ErrorKind::QuotaExceeded => FsErrorKind::QuotaExceeded,
        ErrorKind::ResourceBusy => FsErrorKind::Busy,
        ErrorKind::FileTooLarge => FsErrorKind::TooLarge,
        ErrorKind::InvalidFilename => FsErrorKind::BadName,
        ErrorKind::IsADirectory => FsErrorKind::IsDirectory,
        ErrorKind::Unsupported => FsErrorKind::Unsupported,
        _ => FsErrorKind::Io,
    };
    FsError { kind, code: error.raw_os_error() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_place_of_a_directory_is_not_called_absent() {
        let kind = fs_error(&ErrorKind::NotADirectory.into()).kind;
        let text = "a file that is not of this program has the name of the directory";
        assert_eq!(kind.to_string(), text);
        assert_eq!(fs_error(&ErrorKind::NotFound.into()).kind, FsErrorKind::NotFound);
    }

    #[test]
    fn a_quota_and_a_mount_point_have_kinds_of_their_own() {
        for (kind, expected) in [
            (ErrorKind::QuotaExceeded, FsErrorKind::QuotaExceeded),
            (ErrorKind::StorageFull, FsErrorKind::DiskFull),
            (ErrorKind::ResourceBusy, FsErrorKind::Busy),
        ] {
            assert_eq!(fs_error(&kind.into()).kind, expected);
        }
        // EDQUOT and ENOSPC.
        #[cfg(target_os = "linux")]
        for (code, expected) in [(122, FsErrorKind::QuotaExceeded), (28, FsErrorKind::DiskFull)] {
            assert_eq!(fs_error(&io::Error::from_raw_os_error(code)).kind, expected);
        }
    }

    #[test]
    fn a_file_that_another_program_holds_has_a_kind_of_its_own_on_windows() {
        for code in [32, 33] {
            assert!(is_held(Some(code), true) && !is_held(Some(code), false));
            let kind = fs_error(&io::Error::from_raw_os_error(code)).kind;
            assert_eq!(kind == FsErrorKind::Busy, cfg!(windows));
        }
        // "Access denied" is said of much else.
        assert!(!is_held(Some(5), true) && !is_held(None, true));
    }

    #[test]
    fn what_the_system_says_of_a_file_has_a_kind_of_its_own() {
        for (kind, expected) in [
            (ErrorKind::AlreadyExists, FsErrorKind::Exists),
            (ErrorKind::WouldBlock, FsErrorKind::Locked),
            (ErrorKind::PermissionDenied, FsErrorKind::PermissionDenied),
            (ErrorKind::ReadOnlyFilesystem, FsErrorKind::ReadOnly),
            (ErrorKind::FileTooLarge, FsErrorKind::TooLarge),
            (ErrorKind::InvalidFilename, FsErrorKind::BadName),
            (ErrorKind::IsADirectory, FsErrorKind::IsDirectory),
            (ErrorKind::Unsupported, FsErrorKind::Unsupported),
            (ErrorKind::BrokenPipe, FsErrorKind::Io),
        ] {
            assert_eq!(fs_error(&kind.into()).kind, expected);
        }
    }
}
