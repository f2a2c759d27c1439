//! Whether anybody wrote to a file, as far as the file system tells.

use std::fs::{File, Metadata};
use std::hash::{Hash as _, Hasher};
use std::io;

use bitswap_core::chunk::Stamp;
use sha2::{Digest as _, Sha256};

/// The stamp of an open file: its length, its times, and which file it is.
///
/// The number of a file is given to another one once it is free, so the time at which the file was made
/// counts too, where there is one.
pub(super) fn stamp(file: &File) -> io::Result<Stamp> {
    let metadata = file.metadata()?;
    let mut digest = Digested(Sha256::new());
    metadata.len().hash(&mut digest);
    metadata.modified().ok().hash(&mut digest);
    digest_identity(file, &metadata, &mut digest)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // The time of change cannot be set back, as the time of modification can.
        (metadata.ctime(), metadata.ctime_nsec()).hash(&mut digest);
    }
    Ok(Stamp(digest.0.finalize().into()))
}

/// Which file it is, whatever is in it.
pub(super) fn identity(file: &File) -> io::Result<Stamp> {
    let mut digest = Digested(Sha256::new());
    digest_identity(file, &file.metadata()?, &mut digest)?;
    Ok(Stamp(digest.0.finalize().into()))
}

fn digest_identity(file: &File, metadata: &Metadata, digest: &mut Digested) -> io::Result<()> {
    metadata.created().ok().hash(digest);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let _ = file;
        (metadata.dev(), metadata.ino()).hash(digest);
    }
    // The volume and the file's number there, which the standard library tells on Unix only.
    #[cfg(windows)]
    same_file::Handle::from_file(file.try_clone()?)?.hash(digest);
    Ok(())
}

/// Digests what hashes itself: the standard library's own hashes are not the same in every version.
struct Digested(Sha256);

impl Hasher for Digested {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn of(path: &std::path::Path) -> Stamp {
        stamp(&File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn a_file_that_nobody_touches_keeps_its_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "bytes").unwrap();
        let before = of(&path);
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        assert_eq!(of(&path), before);
        fs::rename(&path, directory.path().join("other")).unwrap();
        fs::write(&path, "bytes").unwrap();
        assert_ne!(of(&path), before, "another file of the same length under the same name");
    }

    #[test]
    fn each_way_to_change_a_file_changes_its_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "bytes").unwrap();
        // A time of its own, so that no change comes within one tick of the file system's clock.
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let aged = || {
            file.set_modified(long_ago).unwrap();
            stamp(&file).unwrap()
        };
        let before = aged();
        (&file).write_all(b"BYTES").unwrap();
        assert_ne!(stamp(&file).unwrap(), before, "other bytes");
        let before = aged();
        file.set_len(6).unwrap();
        assert_ne!(stamp(&file).unwrap(), before, "another length");
        let before = aged();
        file.set_len(6).unwrap();
        file.set_modified(long_ago + std::time::Duration::from_secs(1)).unwrap();
        assert_ne!(stamp(&file).unwrap(), before, "another time");
    }
}
