//! What the environment and the file say, as options on a command line.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};
use toml::Value;

use super::{Wrong, file::File, settings};

/// Between several values in one variable of the environment.
pub(super) const SEPARATOR: char = ',';

/// The options that the environment says several values of, and that are not on the command line. The parser itself reads
/// the others.
pub(super) fn of_environment(command: &Command, is_given: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut options = Vec::new();
    for (name, arg) in settings(command) {
        if !is_repeatable(arg) || is_given(arg.get_id().as_str()) {
            continue;
        }
        let Some(value) = environment(arg).and_then(|value| value.into_string().ok()) else {
            continue;
        };
        options.extend(several(&value).map(|value| format!("--{name}={value}")));
    }
    options
}

/// The options that the file says, as far as nothing goes before them: the command line, the environment, and what is
/// given there and excludes them.
pub(super) fn of_file(
    command: &Command,
    file: &File,
    is_given: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Wrong> {
    let is_set = |arg: &Arg| is_given(arg.get_id().as_str()) || environment(arg).is_some();
    let mut options = Vec::new();
    for (name, arg) in settings(command) {
        let Some(value) = file.value(command.get_name(), name) else { continue };
        // Also one whose value goes unused must be one.
        let said = options_of(name, arg, value).map_err(|reason| file.wrong(&reason))?;
        if !is_set(arg) && !command.get_arg_conflicts_with(arg).into_iter().any(is_set) {
            options.extend(said);
        }
    }
    Ok(options)
}

/// The values that a variable has of an option that may be given several times.
pub(super) fn several(value: &str) -> impl Iterator<Item = &str> {
    value.split(SEPARATOR).map(str::trim).filter(|value| !value.is_empty())
}

pub(super) fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// What the environment says of an option.
pub(super) fn environment(arg: &Arg) -> Option<OsString> {
    arg.get_env().and_then(std::env::var_os)
}

/// A value of the file, as options.
fn options_of(name: &str, arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let may_be_bare = arg.get_num_args().is_some_and(|number| number.min_values() == 0);
    Ok(match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(is_on)) => bare(name, usize::from(*is_on)),
        (ArgAction::SetTrue, _) => return Err(format!("{name} is on or off: true or false")),
        (ArgAction::Count, Value::Integer(times @ 0..=3)) => bare(name, *times as usize),
        (ArgAction::Count, _) => {
            return Err(format!("{name} is how many times it is given: 0 to 3"));
        }
        (_, Value::Boolean(is_on)) if may_be_bare => bare(name, usize::from(*is_on)),
        (ArgAction::Append, Value::Array(values)) => {
            let each = values.iter().map(|value| with_value(name, value));
            each.collect::<Result<_, _>>()?
        }
        (_, value) => vec![with_value(name, value)?],
    })
}

fn bare(name: &str, times: usize) -> Vec<String> {
    vec![format!("--{name}"); times]
}

fn with_value(name: &str, value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        _ => return Err(format!("{name} is a text or a number, as on the command line")),
    };
    Ok(format!("--{name}={text}"))
}

/// A command line with these options right behind the name of the command.
pub(super) fn inserted(
    known: &Command,
    mut line: Vec<OsString>,
    name: &str,
    options: Vec<String>,
) -> Vec<OsString> {
    if let Some(at) = place(known, &line, name) {
        line.splice(at..at, options.into_iter().map(OsString::from));
    }
    line
}

/// The place behind the name of the command. Before it are only options, some with a value of their own.
fn place(known: &Command, line: &[OsString], name: &str) -> Option<usize> {
    let takes_value = |text: &OsStr| {
        known.get_arguments().any(|arg| {
            let is_it = arg.get_long().is_some_and(|long| text == format!("--{long}").as_str());
            is_it && arg.get_action().takes_values()
        })
    };
    let mut rest = line.iter().enumerate().skip(1);
    while let Some((at, text)) = rest.next() {
        if text == name {
            return Some(at + 1);
        }
        if takes_value(text) {
            rest.next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::parser;

    #[test]
    fn options_go_behind_the_name_of_the_command_and_not_behind_a_value_that_is_called_so() {
        let mut known = parser();
        known.build();
        let with = |line: &[&str]| {
            let line = line.iter().map(OsString::from).collect();
            let line = inserted(&known, line, "get", vec!["--x=1".to_owned()]);
            line.into_iter().map(|text| text.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(with(&["bitswap", "get", "cid"]), "bitswap get --x=1 cid");
        let line = with(&["bitswap", "--json", "--config", "get", "get", "--", "get"]);
        assert_eq!(line, "bitswap --json --config get get --x=1 -- get");
        assert_eq!(with(&["bitswap", "--config=get", "get"]), "bitswap --config=get get --x=1");
    }

    #[test]
    fn a_value_is_what_its_option_takes() {
        let mut known = parser();
        known.build();
        let share = known.find_subcommand("share").unwrap();
        let options = |name: &str, value: &str| {
            let (_, arg) = settings(share).find(|(long, _)| *long == name).unwrap();
            let table: toml::Table = format!("v = {value}").parse().unwrap();
            options_of(name, arg, &table["v"])
        };
        let ok = |options: &[&str]| Ok(options.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(options("no-mdns", "true"), ok(&["--no-mdns"]));
        assert_eq!(options("no-mdns", "false"), ok(&[]));
        assert_eq!(options("verbose", "2"), ok(&["--verbose", "--verbose"]));
        assert_eq!(options("dht", "true"), ok(&["--dht"]));
        assert_eq!(options("dht", "\"server\""), ok(&["--dht=server"]));
        assert_eq!(options("limit-up", "500"), ok(&["--limit-up=500"]));
        assert_eq!(options("listen", "[\"a\", \"b\"]"), ok(&["--listen=a", "--listen=b"]));
        assert_eq!(options("listen", "\"a\""), ok(&["--listen=a"]));
        for (name, value) in [
            ("no-mdns", "1"),
            ("verbose", "9"),
            ("limit-up", "[1]"),
            ("limit-up", "true"),
            ("listen", "[[1]]"),
        ] {
            assert!(options(name, value).is_err(), "{name} {value}");
        }
    }
}
