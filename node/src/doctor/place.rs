//! What kind of place a directory is: its file system, and whether something else synchronizes it.

use std::path::{Component, Path, Prefix};

/// File systems of other machines, as Linux calls them.
const NETWORK: [&str; 20] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.ceph",
    "fuse.davfs",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "gfs2",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "virtiofs",
];

/// Names of folders that programs synchronize, and whose they are.
const SYNCED: [(&str, &str); 10] = [
    ("OneDrive", "OneDrive"),
    ("Dropbox", "Dropbox"),
    ("Google Drive", "Google Drive"),
    ("GoogleDrive", "Google Drive"),
    ("My Drive", "Google Drive"),
    ("iCloud Drive", "iCloud"),
    ("Mobile Documents", "iCloud"),
    ("CloudStorage", "a cloud service"),
    ("Nextcloud", "Nextcloud"),
    ("ownCloud", "ownCloud"),
];

/// Files that such programs leave in their folders.
const MARKS: [(&str, &str); 4] = [
    (".dropbox", "Dropbox"),
    (".stfolder", "Syncthing"),
    (".nextcloudsync.log", "Nextcloud"),
    (".owncloudsync.log", "ownCloud"),
];

/// The type of the file system that a directory is on, where the system tells (Linux).
pub(super) fn file_system(directory: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    of_mounts(&mounts, directory)
}

/// The type of the mount with the longest path above a directory. Of two with the same path the later one covers
/// the other.
fn of_mounts(mounts: &str, directory: &Path) -> Option<String> {
    let mount = |line: &str| {
        // ID, parent, device, root, path, options, optional fields up to a dash, type.
        let (before, after) = line.split_once(" - ")?;
        let path = unescaped(before.split(' ').nth(4)?);
        let kind = after.split(' ').next()?.to_owned();
        directory.starts_with(&path).then_some((path.len(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(len, _)| *len).map(|(_, kind)| kind)
}

/// A path in which spaces and the like are written as octal numbers.
fn unescaped(path: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(path.to_owned(), |path, (code, plain)| path.replace(code, plain))
}

/// Whether a directory is on another machine, as far as its file system or its path tell.
pub(super) fn is_network(directory: &Path, file_system: Option<&str>) -> bool {
    let is_share = matches!(
        directory.components().next(),
        Some(Component::Prefix(prefix))
            if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..))
    );
    is_share || file_system.is_some_and(|kind| NETWORK.contains(&kind))
}

/// Which program synchronizes a directory, as far as names and marks in it and above tell.
pub(super) fn synced_by(directory: &Path) -> Option<&'static str> {
    directory.ancestors().find_map(|above| {
        let name = above.file_name()?.to_string_lossy().into_owned();
        let named = SYNCED.iter().find(|(folder, _)| {
            // The folder of an organisation has its name behind it.
            name == *folder || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with(" - "))
        });
        let marked = || MARKS.iter().find(|(mark, _)| above.join(mark).exists());
        named.or_else(marked).map(|(_, program)| *program)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_tells_the_file_system() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:40 / /mnt/share\\040one rw - nfs4 host:/x rw\n\
            31 22 0:41 / /mnt rw,nosuid shared:2 master:3 - tmpfs tmpfs rw\n";
        let of = |path: &str| of_mounts(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/users/user"), "ext4");
        assert_eq!(of("/mnt/other"), "tmpfs");
        assert_eq!(of("/mnt/share one/dir"), "nfs4");
        assert_eq!(of("/mnt/share one more"), "tmpfs", "names are compared whole");
        assert!(is_network(Path::new("/mnt/share one"), Some("nfs4")));
        assert!(!is_network(Path::new("/mnt"), Some("tmpfs")) && !is_network(Path::new("/"), None));
    }

    #[test]
    fn a_folder_that_a_program_synchronizes_is_known_by_its_name_or_its_mark() {
        assert_eq!(synced_by(Path::new("/users/u/OneDrive - Firm/a/b")), Some("OneDrive"));
        assert_eq!(synced_by(Path::new("/users/u/Dropbox")), Some("Dropbox"));
        assert_eq!(synced_by(Path::new("/users/u/OneDrives/a")), None);
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(synced_by(&inner), None);
        std::fs::create_dir(directory.path().join(".stfolder")).unwrap();
        assert_eq!(synced_by(&inner), Some("Syncthing"));
    }
}
