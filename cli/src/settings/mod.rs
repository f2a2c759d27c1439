//! Where the settings of a command come from: the command line, then the environment, then a file, then defaults.
//!
//! What the environment and the file say is put into the command line before it is parsed, as options right behind
//! the name of the command. So it is read, refused and combined as if it had been typed, and there is one parser.

mod file;
mod merge;
mod show;

pub(crate) use show::show;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use thiserror::Error;

use crate::args::parser;
use file::File;
use merge::Merged;

/// Options that say what is to be done this time, or which file this is: they are no settings.
const NO_SETTINGS: [&str; 10] = [
    "config",
    "help",
    "input",
    "merkle-root",
    "output",
    "range",
    "root",
    "sha256",
    "text",
    "version",
];

/// Options that are asked for each time.
const NO_VARIABLES: [&str; 2] = ["help", "version"];

/// Commands without settings of their own, and one whose parts each have others.
const NO_COMMANDS: [&str; 4] = ["config", "generate", "help", "store"];

/// Why there are no settings.
#[derive(Debug, Error)]
pub(crate) enum Wrong {
    /// Something to say instead of running a command, or the command line or the environment is wrong.
    #[error(transparent)]
    Line(#[from] clap::Error),
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// The file is wrong.
    #[error("the configuration file {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
}

/// The arguments of this process, with what the environment and the file add to them.
pub(crate) fn parse(line: Vec<OsString>) -> Result<ArgMatches, Wrong> {
    // What is wrong with the line is found again below.
    let looked = look(&line);
    let (mut known, mut names, mut all) = (parser(), Vec::new(), vec![&looked]);
    known.build();
    let mut command = &known;
    while let Some((name, given)) = all[all.len() - 1].subcommand()
        && let Some(found) = command.find_subcommand(name)
    {
        names.push(name);
        all.push(given);
        command = found;
    }
    if names.is_empty() {
        return Ok(parser().try_get_matches_from(line)?);
    }
    let file = File::find(&looked)?;
    let is_given = |id: &str| {
        let of = |matches: &&ArgMatches| {
            let is_known = matches.try_contains_id(id).is_ok();
            is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        all.iter().any(of)
    };
    read(&known, (command, &names), line, file.as_ref(), &is_given)
}

/// What a command line says by itself, as far as it can be read.
pub(crate) fn look(line: &[OsString]) -> ArgMatches {
    parser().ignore_errors(true).try_get_matches_from(line).unwrap_or_default()
}

/// Parses a line of a command, with what the environment and the file add to it.
fn read(
    known: &Command,
    (command, names): (&Command, &[&str]),
    line: Vec<OsString>,
    file: Option<&File>,
    is_given: &dyn Fn(&str) -> bool,
) -> Result<ArgMatches, Wrong> {
    let plain = |line| parser().try_get_matches_from(line);
    let mut merged = Merged::of_line(command, is_given);
    let of_environment = merged.add(merge::of_environment(command));
    let mut of_file = Vec::new();
    if let Some(file) = file {
        for table in file.tables(names) {
            let said = merge::of_table(command, table).map_err(|reason| file.wrong(&reason))?;
            of_file.extend(merged.add(said));
        }
    }
    let line = merge::inserted(known, line, names, merged.options(of_environment));
    let of_file = merged.options(of_file);
    let Some(file) = file.filter(|_| !of_file.is_empty()) else { return Ok(plain(line)?) };
    match plain(merge::inserted(known, line.clone(), names, of_file)) {
        Ok(parsed) => Ok(parsed),
        // If that is not wrong without the file, the file is.
        Err(error) => match plain(line) {
            Err(without) if without.kind() == error.kind() => Err(without.into()),
            _ => Err(file.wrong(&message(&error))),
        },
    }
}

/// Whether objects are asked for by the environment or the file, whatever is wrong otherwise.
pub(crate) fn json_is_set(looked: &ArgMatches) -> bool {
    if let Some(value) = merge::environment("json") {
        return merge::is_on(&value);
    }
    let found = File::find(looked).ok().flatten();
    found.is_some_and(|file| file.value("", "json") == Some(&toml::Value::Boolean(true)))
}

/// What a parser says, in the middle of a sentence.
fn message(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // How to use the command does not belong to a file.
    text.split("\n\nUsage:")
        .next()
        .and_then(|text| text.split("\n\nFor more").next())
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// The options of a command that have a variable, by name.
fn variables(command: &Command) -> impl Iterator<Item = (&str, &clap::Arg)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    named.filter(|(name, _)| !NO_VARIABLES.contains(name))
}

/// Those of them that are settings.
fn settings(command: &Command) -> impl Iterator<Item = (&str, &clap::Arg)> {
    variables(command).filter(|(name, _)| !NO_SETTINGS.contains(name))
}

/// The commands that have settings.
fn commands(known: &Command) -> impl Iterator<Item = &Command> {
    known.get_subcommands().filter(|command| !NO_COMMANDS.contains(&command.get_name()))
}
