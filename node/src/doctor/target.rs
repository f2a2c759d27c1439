//! What a place on disk is like, for a file or folder that is to be fetched there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bitswap_core::chunk::{
    FileRole, JOURNAL_MAX, Journal, Obstacle, TREE_JOURNAL_MAX, TreeJournal,
};
use cid::Cid;
use fs4::{FileExt, TryLockError};

use super::place;
use crate::fs::{LockState, Paths, disk, lock, ours, portable_names, regular, tree};

/// The longest name that most file systems take, in what [`len`] counts.
const NAME_MAX: usize = 255;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Something else.
    Special,
}

/// The journal beside a target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum JournalState {
    /// There is none.
    Missing,
    /// It is damaged or of another version: what is on disk is compared with the DAG instead.
    Unreadable,
    /// It claims bytes of a file.
    OfFile {
        /// The file's root.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        root: Cid,
        /// Bytes that are verified and durable.
        have: u64,
        /// Bytes of the whole file.
        size: u64,
    },
    /// It speaks of the large files of a tree.
    OfTree {
        /// The tree's root.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
        root: Cid,
        /// Large files that are under way.
        files: usize,
    },
}

/// What a place on disk is like. `None` stands for what could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TargetReport {
    /// The path, from the root of the file system on.
    #[cfg_attr(feature = "serde", serde(serialize_with = "path_text"))]
    pub path: PathBuf,
    /// Its length in bytes; on Windows in UTF-16 code units.
    pub path_len: usize,
    /// The length of the name, likewise.
    pub name_len: usize,
    /// Why it can be the name of no file here.
    pub name_fault: Option<String>,
    /// Why some other system does not take the name.
    pub portable_fault: Option<String>,
    /// What is there now.
    pub found: Found,
    /// What has a name that a fetch needs and is never replaced, each with what it is: pipes, devices and the like.
    pub in_the_way: Vec<String>,
    /// The directory that files are made in.
    #[cfg_attr(feature = "serde", serde(serialize_with = "path_text"))]
    pub directory: PathBuf,
    /// Whether that directory exists.
    pub directory_exists: bool,
    /// The type of its file system.
    pub file_system: Option<String>,
    /// Whether that is on another machine.
    pub is_network: bool,
    /// The program that synchronizes the directory.
    pub synced_by: Option<&'static str>,
    /// Bytes that are free.
    pub free_space: Option<u64>,
    /// The directory's permissions, as Unix has them.
    pub permissions: Option<u32>,
    /// Why no file can be made there; `None` when one was made, and removed again.
    pub write_error: Option<String>,
    /// Whether files there can be locked.
    pub has_locks: Option<bool>,
    /// Bytes of the temporary file that an interrupted fetch has left.
    pub part: Option<u64>,
    /// Whether the work directory of an interrupted fetch of a folder is there.
    pub has_work_directory: bool,
    /// The journal of an interrupted fetch.
    pub journal: JournalState,
    /// The lock of a fetch to the target.
    pub lock: LockState,
    /// Why the lock could not be looked at.
    pub lock_error: Option<String>,
}

#[cfg(feature = "serde")]
fn path_text<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

impl TargetReport {
    /// Looks at a target. To see whether files can be made and locked there, it makes one and removes it again;
    /// what a fetch has left is only read.
    ///
    /// # Errors
    ///
    /// When the process has no working directory that a relative path could begin at.
    pub(super) fn of(target: &Path) -> io::Result<Self> {
        let mut path = std::path::absolute(target)?;
        let found = found(&path);
        if found == Found::Directory {
            // A directory is the same with a separator behind its name.
            path = path.components().collect();
        }
        let directory = match found {
            Found::Directory => path.clone(),
            _ => path.parent().unwrap_or(&path).to_owned(),
        };
        // Links in it lead to where files are made.
        let real = fs::canonicalize(&directory);
        let directory_exists = real.as_ref().is_ok_and(|real| real.is_dir());
        let real = real.unwrap_or_else(|_| directory.clone());
        let file_system = directory_exists.then(|| place::file_system(&real)).flatten();
        let (write_error, has_locks) = probed(&real);
        let paths = Paths::new(&path);
        let name = path.file_name().unwrap_or_default();
        // A directory that is there may be the root of its file system, and no target.
        let is_target = found != Found::Directory || path.file_name().is_some();
        let mut report = Self {
            path_len: len(path.as_os_str()),
            name_len: len(name),
            name_fault: paths.as_ref().err().filter(|_| is_target).map(ToString::to_string),
            portable_fault: name
                .to_str()
                .filter(|name| !name.is_empty())
                .and_then(|name| portable_names(name).err())
                .map(|fault| fault.to_string()),
            found,
            in_the_way: fs::metadata(&path)
                .ok()
                .and_then(|at| of_no_fetch(&path, &at))
                .into_iter()
                .collect(),
            directory_exists,
            is_network: place::is_network(&real, file_system.as_deref()),
            file_system,
            synced_by: place::synced_by(&real),
            free_space: disk::free_space(&real).ok(),
            permissions: permissions(&real),
            write_error,
            has_locks,
            part: None,
            has_work_directory: false,
            journal: JournalState::Missing,
            lock: LockState::Free,
            lock_error: None,
            directory,
            path,
        };
        if let Ok(paths) = paths {
            report.look_for_earlier(&paths);
        }
        Ok(report)
    }

    /// Whether the name is longer than most file systems take.
    pub(super) const fn is_name_too_long(&self) -> bool {
        self.name_len > NAME_MAX
    }

    fn look_for_earlier(&mut self, paths: &Paths) {
        let above = paths.no_directory().map(|path| format!("{} is no directory", path.display()));
        self.in_the_way.extend(above);
        for role in [FileRole::Temp, FileRole::Journal, FileRole::Lock] {
            let path = paths.path(role);
            if let Ok(metadata) = fs::symlink_metadata(&path) {
                self.in_the_way.extend(of_no_fetch(&path, &metadata));
            }
        }
        match lock::look(&paths.path(FileRole::Lock)) {
            Ok(state) => self.lock = state,
            Err(error) => {
                (self.lock, self.lock_error) = (LockState::Unknown, Some(error.to_string()));
            }
        }
        let temp = paths.path(FileRole::Temp);
        if let Found::File(len) = found(&temp) {
            let has_journal = matches!(found(&paths.path(FileRole::Journal)), Found::File(1..));
            let is_temp = || File::open(&temp).and_then(|file| ours::is_temp(&file));
            // Of one that cannot be read, the fetch itself tells.
            if has_journal || self.lock != LockState::Free || is_temp().unwrap_or(true) {
                self.part = Some(len);
            } else {
                self.in_the_way.push(format!("{} is {}", temp.display(), Obstacle::NotOurs));
            }
        }
        let work = paths.dir().join(tree::work_name(paths));
        self.has_work_directory = found(&work) == Found::Directory;
        let (file, of_tree) = match self.has_work_directory {
            true => (work.join(tree::JOURNAL), true),
            false => (paths.path(FileRole::Journal), false),
        };
        let max = if of_tree { TREE_JOURNAL_MAX } else { JOURNAL_MAX };
        let bytes = match found(&file) {
            Found::File(_) => File::open(&file).and_then(|file| disk::read_whole(&file, max)),
            _ => return,
        };
        let of_file = |journal: Journal| JournalState::OfFile {
            root: journal.root,
            have: journal.have.total(),
            size: journal.size,
        };
        let tree = |journal: TreeJournal| JournalState::OfTree {
            root: journal.root,
            files: journal.files.len(),
        };
        let state = bytes.ok().and_then(|bytes| match of_tree {
            true => TreeJournal::read(&bytes).map(tree),
            false => Journal::read(&bytes).map(of_file),
        });
        self.journal = state.unwrap_or(JournalState::Unreadable);
    }
}

fn found(path: &Path) -> Found {
    match fs::symlink_metadata(path) {
        Err(_) => Found::Nothing,
        Ok(metadata) if metadata.is_file() => Found::File(metadata.len()),
        Ok(metadata) if metadata.is_dir() => Found::Directory,
        Ok(metadata) if metadata.is_symlink() => Found::Link,
        Ok(_) => Found::Special,
    }
}

/// Says what something is that no fetch replaces. Files, folders and links have other bounds, which the fetch tells.
fn of_no_fetch(path: &Path, metadata: &fs::Metadata) -> Option<String> {
    if metadata.is_dir() || metadata.is_symlink() {
        return None;
    }
    let refused = regular::must_be_regular(metadata).err()?;
    Some(format!("{} is {}", path.display(), regular::obstacle(&refused)?))
}

/// Why no file can be made in a directory, and whether one that was made can be locked.
fn probed(directory: &Path) -> (Option<String>, Option<bool>) {
    let path = directory.join(format!(".bitswap-{}.doctor", std::process::id()));
    match File::options().write(true).create_new(true).open(&path) {
        Err(error) => (Some(error.to_string()), None),
        Ok(file) => {
            // Named in full: newer standard libraries have a method of that name.
            let has_locks = match FileExt::try_lock(&file) {
                Ok(()) => Some(true),
                Err(TryLockError::Error(error)) if lock::has_no_locks(&error) => Some(false),
                Err(_) => None,
            };
            drop(file);
            // If it cannot be removed, that is what is wrong.
            (fs::remove_file(&path).err().map(|error| error.to_string()), has_locks)
        }
    }
}

/// How long the system takes a text to be: in bytes, on Windows in UTF-16 code units.
#[cfg(windows)]
fn len(text: &OsStr) -> usize {
    use std::os::windows::ffi::OsStrExt as _;
    text.encode_wide().count()
}

/// How long the system takes a text to be: in bytes, on Windows in UTF-16 code units.
#[cfg(not(windows))]
fn len(text: &OsStr) -> usize {
    text.len()
}

#[cfg(unix)]
fn permissions(directory: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(directory).ok().map(|metadata| metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::fs::testing::Thing;

    #[test]
    fn what_lies_at_a_path_is_called_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        assert_eq!(found(&at("nothing")), Found::Nothing);
        fs::write(at("file"), "seven b").unwrap();
        assert_eq!(found(&at("file")), Found::File(7));
        for thing in Thing::all() {
            let path = at(&format!("{thing:?}"));
            thing.put_at(&path);
            let what = match thing {
                Thing::Link | Thing::DanglingLink => Found::Link,
                Thing::Directory => Found::Directory,
                Thing::Fifo | Thing::Device | Thing::Socket => Found::Special,
            };
            assert_eq!(found(&path), what, "{thing:?}");
            let refused = of_no_fetch(&path, &fs::symlink_metadata(&path).unwrap());
            let is_named = refused.map(|refused| refused.starts_with(path.to_str().unwrap()));
            assert_eq!(is_named, (what == Found::Special).then_some(true), "{thing:?}");
        }
    }

    #[test]
    fn a_folder_is_named_without_the_separator_behind_its_name_and_is_its_own_place() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let report = TargetReport::of(&folder.join("")).unwrap();
        assert_eq!(report.path.as_os_str(), folder.as_os_str());
        assert_eq!((report.found, &report.directory), (Found::Directory, &folder));
        assert!(report.directory_exists);
        let report = TargetReport::of(&folder.join("new")).unwrap();
        assert_eq!((report.found, &report.directory), (Found::Nothing, &folder));
        let report = TargetReport::of(&folder.join("none").join("new")).unwrap();
        assert_eq!(report.directory, folder.join("none"));
        assert!(!report.directory_exists);
    }

    #[test]
    fn where_a_file_can_be_made_and_locked_none_stays_and_elsewhere_it_is_said_why() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(probed(directory.path()), (None, Some(true)));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let (error, has_locks) = probed(&directory.path().join("none"));
        assert_eq!((error.is_some(), has_locks), (true, None));
    }
}
