//! The configuration file: TOML, whose keys are the names of options.
//!
//! What stands at its top is for every command that has such an option, and a table with the name of a command for that
//! one. A key that nobody knows is refused: it would be a setting that does not hold.

use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use etcetera::BaseStrategy as _;
use toml::{Table, Value};

use super::merge::environment;
use super::{Wrong, commands, settings};
use crate::args::parser;
use crate::input::{self, Kind};

/// Says that no file is to be read.
const NONE: &str = "none";

/// Many times what all settings take.
const LEN_MAX: u64 = 1 << 20;

/// How alike two names must be for one to be meant by the other, of 1.
const ALIKE: f64 = 0.8;

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    table: Table,
}

impl File {
    /// Reads the file that the user named, or the one in the user's configuration directory if it is there.
    pub(super) fn find(given: &ArgMatches) -> Result<Option<Self>, Wrong> {
        let named = given.try_get_one::<PathBuf>("config").ok().flatten().cloned();
        let (path, is_named) = match named.or_else(|| environment("config").map(PathBuf::from)) {
            Some(path) if path.as_os_str() == NONE => return Ok(None),
            Some(path) => (path, true),
            None => match of_user() {
                Some(path) => (path, false),
                None => return Ok(None),
            },
        };
        match input::read_text(&path, Kind::File, LEN_MAX) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(error) if !is_named && is_absent(&error) => Ok(None),
            Err(source) => Err(Wrong::Unreadable { path, source }),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, Wrong> {
        match text.parse::<Table>() {
            Ok(table) => {
                let file = Self { path, table };
                file.check()?;
                Ok(file)
            }
            Err(error) => {
                Err(Wrong::File { path, reason: error.to_string().trim_end().to_owned() })
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of a command, which may be a part of another, and then of all: the first goes before the other.
    pub(super) fn tables(&self, names: &[&str]) -> impl Iterator<Item = &Table> {
        let of_command = match names {
            [name] => self.table.get(*name).and_then(Value::as_table),
            _ => None,
        };
        of_command.into_iter().chain([&self.table])
    }

    /// What it says of an option of a command.
    pub(super) fn value(&self, command: &str, option: &str) -> Option<&Value> {
        self.tables(&[command]).find_map(|table| table.get(option))
    }

    /// Something is wrong with it.
    pub(super) fn wrong(&self, reason: &str) -> Wrong {
        Wrong::File { path: self.path.clone(), reason: reason.to_owned() }
    }

    /// Every key is one that a command has.
    fn check(&self) -> Result<(), Wrong> {
        let mut known = parser();
        known.build();
        let all: Vec<&str> = commands(&known).flat_map(settings).map(|(name, _)| name).collect();
        for (key, value) in &self.table {
            let command = commands(&known).find(|command| command.get_name() == key);
            match (command, value) {
                (Some(command), Value::Table(table)) => {
                    let of_command: Vec<&str> = settings(command).map(|(name, _)| name).collect();
                    for key in table.keys() {
                        self.must_be_known(
                            key,
                            &of_command,
                            &format!("[{}] ", command.get_name()),
                        )?;
                    }
                }
                (None, Value::Table(_)) => {
                    let names: Vec<&str> = commands(&known).map(clap::Command::get_name).collect();
                    self.must_be_known(key, &names, "the table ")?;
                }
                _ => self.must_be_known(key, &all, "")?,
            }
        }
        Ok(())
    }

    fn must_be_known(&self, key: &str, known: &[&str], place: &str) -> Result<(), Wrong> {
        if known.contains(&key) {
            return Ok(());
        }
        let alike = known.iter().map(|name| (strsim::jaro_winkler(key, name), name));
        let best = alike.max_by(|(a, _), (b, _)| a.total_cmp(b));
        let meant = match best {
            Some((alike, name)) if alike >= ALIKE => format!("; did you mean {name} ?"),
            _ => "; the keys are the names of options, as `bitswap config show` lists them"
                .to_owned(),
        };
        Err(self.wrong(&format!("{place}{key} is no setting{meant}")))
    }
}

/// The file in the user's configuration directory, there or not.
pub(super) fn of_user() -> Option<PathBuf> {
    let directories = etcetera::choose_base_strategy().ok()?;
    Some(directories.config_dir().join("bitswap").join("config.toml"))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match File::parse("config.toml".into(), text) {
            Ok(_) => String::new(),
            Err(wrong) => wrong.to_string(),
        }
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused_with_what_may_have_been_meant() {
        assert_eq!(said("limit-up = \"5MiB\"\n[get]\norder = \"random\"\n"), "");
        for (text, expected) in [
            ("limit-upp = 1", "limit-upp is no setting; did you mean limit-up ?"),
            ("limit_up = 1", "limit_up is no setting; did you mean limit-up ?"),
            ("[get]\nordr = 1", "[get] ordr is no setting; did you mean order ?"),
            (
                "[share]\norder = 1",
                "[share] order is no setting; the keys are the names of options",
            ),
            ("[gett]\n", "the table gett is no setting; did you mean get ?"),
            ("text = \"a\"", "text is no setting"),
            ("get = 1", "get is no setting"),
            ("limit-up", "TOML parse error at line 1"),
        ] {
            let said = said(text);
            assert!(
                said.starts_with(&format!("the configuration file config.toml: {expected}")),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_said_for_a_command_goes_before_what_is_said_for_all() {
        let text = "timeout = 1\n[get]\ntimeout = 2\n";
        let file = File::parse("config.toml".into(), text).unwrap();
        let timeout = |command| file.value(command, "timeout").and_then(Value::as_integer);
        assert_eq!((timeout("get"), timeout("cat")), (Some(2), Some(1)));
    }
}
