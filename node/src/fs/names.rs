//! Which names a file may have, by the rules of each family of operating systems.
//!
//! Windows does not refuse most of the names that it cannot take: it opens a device, a stream of
//! another file, or a file of another name. So they are refused here. All rules are compiled and
//! tested everywhere.

use std::ffi::OsStr;

use bitswap_core::chunk::NameRefusal;
use thiserror::Error;

/// Whose rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameRules {
    /// Everything but Windows.
    #[cfg_attr(windows, allow(dead_code, reason = "its tests run everywhere"))]
    Unix,
    /// Windows.
    #[cfg_attr(not(windows), allow(dead_code, reason = "its tests run everywhere"))]
    Windows,
}

/// Why no file can have a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameFault {
    /// It is empty, or names a directory: `.`, `..`, or with a separator at its end.
    #[error("give a path that ends in a file name")]
    NoName,
    /// It holds a character that cannot be in a name.
    #[error("{}; leave it out", NameRefusal::Character(*.0))]
    Character(char),
    /// It ends with a dot or a space, which Windows leaves out.
    #[error("a file name cannot end with a dot or a space on Windows; leave it out")]
    DotOrSpaceAtEnd,
    /// It is the name of a device.
    #[error("{0} is the name of a device on Windows; choose another name")]
    Device(&'static str),
}

impl NameRules {
    /// The rules of the system that this is built for.
    pub(super) const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Unix };

    /// Whether a file of exactly this name can be made in a directory.
    pub(super) fn check(self, name: &OsStr) -> Result<(), NameFault> {
        // All that the rules speak of is Unicode; what is not is replaced by what they allow.
        let name = name.to_string_lossy();
        if matches!(&*name, "" | "." | "..") {
            return Err(NameFault::NoName);
        }
        if let Some(character) = name.chars().find(|character| self.forbids(*character)) {
            return Err(NameFault::Character(character));
        }
        if self == Self::Windows {
            if name.ends_with(['.', ' ']) {
                return Err(NameFault::DotOrSpaceAtEnd);
            }
            // An extension makes a device no file.
            let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
            if let Some(device) = DEVICES.iter().find(|device| stem.eq_ignore_ascii_case(device)) {
                return Err(NameFault::Device(device));
            }
        }
        Ok(())
    }

    const fn forbids(self, character: char) -> bool {
        match self {
            Self::Unix => matches!(character, '/' | '\0'),
            Self::Windows => matches!(
                character,
                '\0'..='\x1f' | '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*'
            ),
        }
    }
}

const DEVICES: [&str; 32] = [
    "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM0", "COM1", "COM2", "COM3", "COM4",
    "COM5", "COM6", "COM7", "COM8", "COM9", "COM¹", "COM²", "COM³", "LPT0", "LPT1", "LPT2", "LPT3",
    "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9", "LPT¹", "LPT²", "LPT³",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bitswap_core::chunk::FileRole;

    use super::super::Paths;
    use super::*;

    /// Names are made of these: what the rules speak of, and what they do not.
    const PIECES: [&str; 27] = [
        "a", ".a", "B", "é", "NUL", "con", "Aux", "prn", "COM", "lpt", "0", "9", "¹", "ConIn$",
        "CONOUT$", ".", " ", "/", "\\", ":", "C:", "\0", "\x1f", "\x7f", "*", "<", "|",
    ];

    /// Every name of up to three of the pieces, and every device with every piece around it.
    fn names() -> impl Iterator<Item = String> {
        let parts = || [""].into_iter().chain(PIECES);
        let short = parts()
            .flat_map(move |a| parts().flat_map(move |b| parts().map(move |c| [a, b, c].concat())));
        let devices = DEVICES.into_iter().flat_map(move |device| {
            parts().flat_map(move |a| parts().map(move |b| [device, a, b].concat()))
        });
        short.chain(devices)
    }

    /// The file that Windows makes in a directory for a name: how it takes a path apart, step by
    /// step. `None` when that is an error, a device or something elsewhere.
    fn made_by_windows(name: &str) -> Option<String> {
        // Wildcards, quotes and control characters are errors.
        if name.chars().any(|c| (c as u32) < 32 || "<>\"|?*".contains(c)) {
            return None;
        }
        // Either slash leads into another directory.
        if name.replace('\\', "/").contains('/') {
            return None;
        }
        // A device is one with any extension, in any case, and with spaces before the extension.
        let upper = name.to_uppercase();
        let stem = upper.split(['.', ':']).next()?.trim_end();
        let is_port = |port: &str| {
            let number = stem.strip_prefix(port).map(|rest| rest.chars().collect::<Vec<_>>());
            number.is_some_and(|number| matches!(number[..], ['0'..='9' | '¹' | '²' | '³']))
        };
        let is_console = ["CON", "CONIN$", "CONOUT$"].contains(&stem);
        if is_console || ["PRN", "AUX", "NUL"].contains(&stem) || is_port("COM") || is_port("LPT") {
            return None;
        }
        // What follows a colon names a stream, and one letter before it a drive.
        let file = name.split(':').next()?;
        // Dots and spaces at the end are left out; nothing may be left.
        let file = file.trim_end_matches(['.', ' ']);
        (!file.is_empty()).then(|| file.to_owned())
    }

    #[test]
    fn windows_takes_a_name_if_and_only_if_it_makes_a_file_of_that_name() {
        let (mut taken, mut refused) = (0, 0);
        for name in names() {
            let may = NameRules::Windows.check(OsStr::new(&name)).is_ok();
            assert_eq!(may, made_by_windows(&name).as_ref() == Some(&name), "{name:?}");
            if may { taken += 1 } else { refused += 1 }
        }
        assert!(taken > 1000 && refused > 10_000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn unix_takes_every_name_but_those_of_directories_and_of_several_components() {
        for name in names() {
            let several = name.bytes().any(|byte| byte == b'/' || byte == 0);
            let directory = matches!(name.len(), 0..=2) && name.bytes().all(|byte| byte == b'.');
            let may = NameRules::Unix.check(OsStr::new(&name)).is_ok();
            assert_eq!(may, !several && !directory, "{name:?}");
        }
    }

    #[test]
    fn what_windows_takes_unix_takes_too() {
        for name in names().filter(|name| NameRules::Windows.check(OsStr::new(name)).is_ok()) {
            assert_eq!(NameRules::Unix.check(OsStr::new(&name)), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn all_files_of_a_download_have_names_that_are_allowed_where_its_target_is() {
        for rules in [NameRules::Unix, NameRules::Windows] {
            for name in names().filter(|name| rules.check(OsStr::new(name)).is_ok()) {
                // On Windows the names that only Unix takes are no targets.
                let Ok(paths) = Paths::new(&Path::new("dir").join(&name)) else {
                    assert!(cfg!(windows) && rules == NameRules::Unix, "{name:?}");
                    continue;
                };
                let target = [FileRole::Target(0), FileRole::Target(7)];
                for role in
                    [FileRole::Temp, FileRole::Journal, FileRole::Lock].into_iter().chain(target)
                {
                    let path = paths.path(role);
                    let made = path.file_name().expect("it has a name");
                    assert_eq!(rules.check(made), Ok(()), "{name:?}: {made:?}");
                }
            }
        }
    }

    #[test]
    fn the_fault_is_named() {
        for (name, fault) in [
            ("", NameFault::NoName),
            ("..", NameFault::NoName),
            ("a:b", NameFault::Character(':')),
            ("a\\b", NameFault::Character('\\')),
            ("bell\x07", NameFault::Character('\x07')),
            ("movie.", NameFault::DotOrSpaceAtEnd),
            ("movie ", NameFault::DotOrSpaceAtEnd),
            ("nul", NameFault::Device("NUL")),
            ("Com7.tar.gz", NameFault::Device("COM7")),
            ("lpt³ .txt", NameFault::Device("LPT³")),
        ] {
            assert_eq!(NameRules::Windows.check(OsStr::new(name)), Err(fault), "{name:?}");
        }
        for name in
            ["a", "com", "com10", "console", "null.txt", ".nul", "a.nul", "ab cd.e", "COM1x"]
        {
            assert_eq!(NameRules::Windows.check(OsStr::new(name)), Ok(()), "{name:?}");
        }
    }
}
