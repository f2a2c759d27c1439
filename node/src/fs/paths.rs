//! Which paths play the roles of a download.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use bitswap_core::chunk::FileRole;
use cid::multibase::Base;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::names::{NameFault, NameRules};

/// The longest file name that most file systems take, in bytes.
const NAME_MAX: usize = 255;

/// The paths of one download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    dir: PathBuf,
    name: OsString,
    /// What the names of the helper files begin with: hidden, and different for every target.
    helper: OsString,
}

/// A path that no file can be downloaded to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path} does not name a file: {}{fault}", named(.component.as_deref()))]
pub struct BadTarget {
    /// The path.
    pub path: PathBuf,
    /// The name in the path that is at fault, `None` for a path that does not end in one.
    pub component: Option<String>,
    /// What is wrong with it.
    pub fault: NameFault,
}

fn named(component: Option<&str>) -> String {
    component.map(|name| format!("{name:?}: ")).unwrap_or_default()
}

/// What a path to a directory leads through that is there and is none.
fn no_directory(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().find_map(|at| Some((at, fs::metadata(at).ok()?)));
    there.filter(|(_, found)| !found.is_dir()).map(|(at, _)| at.to_owned())
}

impl Paths {
    /// The paths of the download that makes the file `target`.
    ///
    /// # Errors
    ///
    /// [`BadTarget`] when the path does not end in a name that a file can have here, or leads through a name
    /// that no directory can have.
    pub fn new(target: &Path) -> Result<Self, BadTarget> {
        Self::by(NameRules::HERE, target)
    }

    fn by(rules: NameRules, target: &Path) -> Result<Self, BadTarget> {
        let bad = |component: Option<&OsStr>, fault| {
            let component = component.map(|name| name.to_string_lossy().into_owned());
            BadTarget { path: target.to_owned(), component, fault }
        };
        let ends_in_separator =
            target.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        let name = target.file_name().filter(|_| !ends_in_separator);
        let name = name.ok_or_else(|| bad(None, NameFault::NoName))?.to_owned();
        for component in target.components() {
            if let Component::Normal(name) = component {
                rules.check(name).map_err(|fault| bad(Some(name), fault))?;
            }
        }
        let dir = match target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut helper = OsString::from(".");
        helper.push(&name);
        if helper.len() + LONGEST_SUFFIX > NAME_MAX {
            let hash = Sha256::digest(name.as_encoded_bytes());
            helper = format!(".{}", Base::Base32Lower.encode(&hash[..20])).into();
        }
        Ok(Self { dir, name, helper })
    }

    /// The directory of the target.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path that plays a role.
    #[must_use]
    pub fn path(&self, role: FileRole) -> PathBuf {
        match role {
            FileRole::Dir => self.dir.clone(),
            FileRole::Temp => self.helper_path(TEMP),
            FileRole::Journal => self.helper_path(JOURNAL),
            FileRole::NewJournal => self.helper_path(NEW_JOURNAL),
            FileRole::Lock => self.helper_path(LOCK),
            FileRole::Target(0) => self.dir.join(&self.name),
            FileRole::Target(number) => self.dir.join(numbered(&self.name, number)),
        }
    }

    fn helper_path(&self, suffix: &str) -> PathBuf {
        let mut name = self.helper.clone();
        name.push(suffix);
        self.dir.join(name)
    }

    /// What the path leads through that is there and is no directory.
    pub(crate) fn no_directory(&self) -> Option<PathBuf> {
        no_directory(&self.dir)
    }

    /// The name of the target.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }
}

/// `name (n).ext`
pub(crate) fn numbered(name: &OsStr, number: u32) -> OsString {
    let name = Path::new(name);
    let mut numbered = name.file_stem().unwrap_or_default().to_owned();
    numbered.push(format!(" ({number})"));
    if let Some(extension) = name.extension() {
        numbered.push(".");
        numbered.push(extension);
    }
    numbered
}

const TEMP: &str = ".part";
const JOURNAL: &str = ".part-journal";
const NEW_JOURNAL: &str = ".part-journal-new";
const LOCK: &str = ".part-lock";
const LONGEST_SUFFIX: usize = NEW_JOURNAL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_targets_in_one_directory_share_no_helper_file() {
        let (mp4, srt) = (Path::new("dir/movie.mp4"), Path::new("dir/movie.srt"));
        let (mp4, srt) = (Paths::new(mp4).unwrap(), Paths::new(srt).unwrap());
        for role in [FileRole::Temp, FileRole::Journal, FileRole::Lock] {
            assert_ne!(mp4.path(role), srt.path(role));
            assert_eq!(mp4.path(role).parent().unwrap(), Path::new("dir"));
        }
        assert_eq!(mp4.path(FileRole::Temp), Path::new("dir/.movie.mp4.part"));
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        for (target, numbered) in [
            ("dir/movie.mp4", "dir/movie (2).mp4"),
            ("movie", "./movie (2)"),
            (".profile", "./.profile (2)"),
            ("a.tar.gz", "./a.tar (2).gz"),
        ] {
            let paths = Paths::new(Path::new(target)).unwrap();
            assert_eq!(paths.path(FileRole::Target(2)), Path::new(numbered));
        }
    }

    #[test]
    fn long_names_have_helpers_of_allowed_length_that_differ() {
        let long = |last: &str| "x".repeat(254) + last;
        let paths = |name: &str| Paths::new(Path::new(name)).unwrap();
        let (a, b) = (paths(&long("a")), paths(&long("b")));
        assert_ne!(a.path(FileRole::Temp), b.path(FileRole::Temp));
        assert!(a.path(FileRole::NewJournal).file_name().unwrap().len() <= NAME_MAX);
        let fits = paths(&"y".repeat(NAME_MAX - LONGEST_SUFFIX - 1));
        assert_eq!(fits.path(FileRole::NewJournal).file_name().unwrap().len(), NAME_MAX);
    }

    #[test]
    fn every_name_in_a_path_is_one_that_the_system_takes_as_it_is() {
        for (target, component, fault) in [
            ("dir/a:b", "a:b", NameFault::Character(':')),
            ("a:b/target", "a:b", NameFault::Character(':')),
            ("dir/NUL", "NUL", NameFault::Device("NUL")),
            ("aux.d/dir/target", "aux.d", NameFault::Device("AUX")),
            ("dir/name.", "name.", NameFault::DotOrSpaceAtEnd),
            ("dir /name", "dir ", NameFault::DotOrSpaceAtEnd),
        ] {
            // What follows a letter and a colon is on another drive to Windows itself.
            if cfg!(windows) && target.starts_with("a:") {
                continue;
            }
            let refused = Paths::by(NameRules::Windows, Path::new(target)).unwrap_err();
            let text = refused.to_string();
            assert_eq!((refused.component.as_deref(), refused.fault), (Some(component), fault));
            assert!(text.contains(&format!("{component:?}: ")), "{text}");
            if cfg!(windows) {
                assert!(Paths::new(Path::new(target)).is_err(), "{target}");
            } else {
                assert!(Paths::new(Path::new(target)).is_ok(), "{target}");
            }
        }
        for target in ["./dir/../name", "../name", "/dir/name"] {
            assert!(Paths::by(NameRules::Windows, Path::new(target)).is_ok(), "{target}");
        }
    }

    #[test]
    fn what_does_not_name_a_file_is_refused() {
        for target in ["", "/", "..", "dir/", "dir/.."] {
            assert!(Paths::new(Path::new(target)).is_err(), "{target:?}");
        }
    }
}
