//! `bitswap config show`: which settings hold, and where each is from.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, error::ErrorKind};
use serde_json::json;
use toml::Value;

use super::file::{File, of_user};
use super::merge::{environment, is_repeatable, several, variable};
use super::{Wrong, commands, read, settings};
use crate::args::{Show, parser};
use crate::say::Say;

/// Where a setting is from.
enum Source {
    Environment(String),
    File,
    Default,
}

impl Source {
    /// For programs.
    const fn name(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }

    /// For people.
    fn text(&self) -> String {
        match self {
            Self::Environment(variable) => format!("environment: {variable}"),
            Self::File => "configuration file".to_owned(),
            Self::Default => "default".to_owned(),
        }
    }
}

/// Shows what holds for a command, defaults too, or for all of them without the defaults. What is given on the command
/// line of one goes before it.
pub(crate) fn show(args: &Show, given: &clap::ArgMatches, say: &Say) -> Result<(), Wrong> {
    let file = File::find(given)?;
    let mut known = parser();
    known.build();
    match (&file, of_user()) {
        (Some(file), _) => tell_file(&file.path().display().to_string(), true, say),
        (None, Some(path)) => tell_file(&path.display().to_string(), false, say),
        (None, None) => {}
    }
    let wanted = |command: &&Command| {
        args.command.as_ref().is_none_or(|wanted| wanted == command.get_name())
    };
    for command in commands(&known).filter(wanted) {
        check(&known, command, file.as_ref())?;
        let mut is_first = true;
        for (name, arg) in settings(command) {
            let Some((value, source)) = setting(command, name, arg, file.as_ref()) else {
                continue;
            };
            if args.command.is_none() && matches!(source, Source::Default) {
                continue;
            }
            if std::mem::take(&mut is_first) && say.is_text() {
                say.bytes(format!("\n[{}]\n", command.get_name()).as_bytes());
            }
            let object = json!({
                "event": "setting", "command": command.get_name(), "name": name,
                "value": value.to_string(), "source": source.name(),
            });
            say.result(format_args!("{name} = {value}  # {}", source.text()), &object);
        }
    }
    Ok(())
}

fn tell_file(path: &str, is_there: bool, say: &Say) {
    let text = if is_there { "" } else { " (not there)" };
    let object = json!({"event": "config", "path": path, "exists": is_there});
    say.result(format_args!("# {path}{text}"), &object);
}

/// What the file and the environment say of a command must be right.
fn check(known: &Command, command: &Command, file: Option<&File>) -> Result<(), Wrong> {
    let line = vec![OsString::from("bitswap"), OsString::from(command.get_name())];
    match read(known, (command, &[command.get_name()]), line, file, &|_| false) {
        // What it is to be done to is not here.
        Err(Wrong::Line(error)) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        Err(wrong) => Err(wrong),
        Ok(_) => Ok(()),
    }
}

/// The value of an option, as TOML, and where it is from; `None` when it has none.
fn setting(
    command: &Command,
    name: &str,
    arg: &Arg,
    file: Option<&File>,
) -> Option<(Value, Source)> {
    if let Some(value) = environment(name) {
        let value = value.to_string_lossy().into_owned();
        let value = match is_repeatable(arg) {
            true => Value::Array(several(&value).map(Value::from).collect()),
            false => Value::String(value),
        };
        return Some((value, Source::Environment(variable(name))));
    }
    if let Some(value) = file.and_then(|file| file.value(command.get_name(), name)) {
        return Some((value.clone(), Source::File));
    }
    let value = match (arg.get_action(), arg.get_default_values()) {
        (ArgAction::SetTrue, _) => Value::Boolean(false),
        (ArgAction::Count, _) => Value::Integer(0),
        (_, [value]) => Value::String(value.to_string_lossy().into_owned()),
        _ => return None,
    };
    Some((value, Source::Default))
}
