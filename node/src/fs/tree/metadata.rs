//! Permissions and times that entries of a tree have.

use std::fs::{File, FileTimes};
use std::io;
use std::time::{Duration, SystemTime};

use bitswap_core::chunk::{Metadata, Mtime};

/// Sets permissions and time of change, without the bits that give rights to whoever runs a file.
pub(super) fn set_metadata(file: &File, metadata: &Metadata) -> io::Result<()> {
    if let Some(mtime) = metadata.mtime.and_then(system_time) {
        file.set_times(FileTimes::new().set_modified(mtime))?;
    }
    #[cfg(unix)]
    if let Some(mode) = metadata.mode {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777))?;
    }
    Ok(())
}

fn system_time(mtime: Mtime) -> Option<SystemTime> {
    let whole = Duration::from_secs(mtime.seconds.unsigned_abs());
    let seconds = if mtime.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    seconds?.checked_add(Duration::from_nanos(mtime.nanoseconds.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use bitswap_core::chunk::{TreeEffect, TreePath};

    use super::*;
    use crate::fs::tree::Folder;
    use crate::fs::write_at;

    #[cfg(unix)]
    #[test]
    fn no_file_gets_the_rights_of_its_owner_to_give() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let mtime = Some(Mtime { seconds: -1, nanoseconds: 500_000_000 });
        set_metadata(&file, &Metadata { mode: Some(0o106_755), mtime }).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(metadata.modified().unwrap(), before);
    }

    #[test]
    fn a_file_that_is_there_gets_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        let folder = Folder::new(&target, write_at).unwrap();
        for effect in [TreeEffect::Lock, TreeEffect::Begin] {
            folder.perform(effect).unwrap();
        }
        fs::write(target.join("file"), "bytes").unwrap();
        let path = TreePath::root().join("file").unwrap();
        let mtime = Some(Mtime { seconds: 1_000_000_000, nanoseconds: 0 });
        let metadata = Metadata { mode: None, mtime };
        folder.perform(TreeEffect::SetMetadata { path, number: 0, metadata }).unwrap();
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(modified(&target.join("file")), expected);
    }
}
