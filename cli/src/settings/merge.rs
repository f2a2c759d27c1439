//! What the environment and the file say, as options on a command line.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::{settings, variables};

/// Between several values in one variable of the environment.
const SEPARATOR: char = ',';

/// Options that mean nothing without another one, by their identities. Where that is not given they are left out,
/// unless they are on the command line.
const NEEDS: [(&str, &str); 1] = [("store_limit", "store")];

/// What one place says of each option: as it would be on a command line, and nothing when it is off.
type Place<'a> = Vec<(&'a Arg, Vec<OsString>)>;

/// The options of a command that are given somewhere.
///
/// Places are added in their order: an option has the value of the first that gives one, and none when it is
/// excluded by one that an earlier place turns on.
pub(super) struct Merged<'a> {
    command: &'a Command,
    /// The identities of those that have a value, on or off.
    given: BTreeSet<&'a str>,
    on: Vec<&'a Arg>,
}

impl<'a> Merged<'a> {
    /// Those on the command line.
    pub(super) fn of_line(command: &'a Command, is_given: &dyn Fn(&str) -> bool) -> Self {
        let on: Vec<_> =
            command.get_arguments().filter(|arg| is_given(arg.get_id().as_str())).collect();
        Self { command, given: on.iter().map(|arg| arg.get_id().as_str()).collect(), on }
    }

    /// Adds a place; gives what of it holds.
    pub(super) fn add(&mut self, mut place: Place<'a>) -> Place<'a> {
        let excludes = |other: &&Arg, arg: &Arg| are_exclusive(self.command, other, arg);
        let given = &mut self.given;
        place.retain(|(arg, options)| {
            let is_new = given.insert(arg.get_id().as_str());
            is_new && !options.is_empty() && !self.on.iter().any(|other| excludes(other, arg))
        });
        self.on.extend(place.iter().map(|(arg, _)| *arg));
        place
    }

    /// The options of a place, once all are added.
    pub(super) fn options(&self, place: Place<'_>) -> Vec<OsString> {
        let is_on = |id: &str| self.on.iter().any(|arg| arg.get_id().as_str() == id);
        let has_its_need = |arg: &Arg| {
            NEEDS.iter().all(|(needs, other)| arg.get_id().as_str() != *needs || is_on(other))
        };
        place.into_iter().filter(|(arg, _)| has_its_need(arg)).flat_map(|(_, said)| said).collect()
    }
}

/// Whether only one of two options may be given. The parser takes what either of them says of the other, and what a
/// group says of its members.
fn are_exclusive(command: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |of: &Arg, named: &Arg| {
        command.get_arg_conflicts_with(of).iter().any(|arg| arg.get_id() == named.get_id())
    };
    let shares_a_group = || {
        one.get_id() != other.get_id()
            && command.get_groups().any(|group| {
                let has = |arg: &Arg| group.get_args().any(|id| id == arg.get_id());
                !group.clone().is_multiple() && has(one) && has(other)
            })
    };
    names(one, other) || names(other, one) || shares_a_group()
}

/// What the environment says.
pub(super) fn of_environment(command: &Command) -> Place<'_> {
    let said = variables(command).filter_map(|(name, arg)| {
        let value = environment(name)?;
        Some((arg, options_of_variable(name, arg, &value)))
    });
    said.collect()
}

/// What a table of the file says.
pub(super) fn of_table<'a>(command: &'a Command, table: &Table) -> Result<Place<'a>, String> {
    let said = settings(command).filter_map(|(name, arg)| {
        let value = table.get(name)?;
        Some(options_of_value(name, arg, value).map(|options| (arg, options)))
    });
    said.collect()
}

/// The values that a variable has of an option that may be given several times.
pub(super) fn several(value: &str) -> impl Iterator<Item = &str> {
    value.split(SEPARATOR).map(str::trim).filter(|value| !value.is_empty())
}

pub(super) fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The variable of an option.
pub(super) fn variable(name: &str) -> String {
    format!("BITSWAP_{}", name.replace('-', "_").to_uppercase())
}

/// What the environment says of an option. An empty variable says nothing.
pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(variable(name)).filter(|value| !value.is_empty())
}

/// Whether a variable turns a flag on.
pub(super) fn is_on(value: &OsStr) -> bool {
    let is_off = |off: &&str| value.eq_ignore_ascii_case(off);
    !["0", "f", "false", "n", "no", "off"].iter().any(is_off)
}

/// A value of the environment, as options.
fn options_of_variable(name: &str, arg: &Arg, value: &OsStr) -> Vec<OsString> {
    let option = |value: &OsStr| {
        let mut option = OsString::from(format!("--{name}="));
        option.push(value);
        option
    };
    match (arg.get_action(), value.to_str()) {
        (ArgAction::SetTrue, _) => bare(name, usize::from(is_on(value))),
        (ArgAction::Count, text) => {
            let times = text.and_then(|text| text.parse::<u8>().ok());
            bare(name, times.map_or_else(|| usize::from(is_on(value)), usize::from))
        }
        (ArgAction::Append, Some(text)) => several(text).map(OsStr::new).map(option).collect(),
        _ => vec![option(value)],
    }
}

/// A value of the file, as options.
fn options_of_value(name: &str, arg: &Arg, value: &Value) -> Result<Vec<OsString>, String> {
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

fn bare(name: &str, times: usize) -> Vec<OsString> {
    vec![format!("--{name}").into(); times]
}

fn with_value(name: &str, value: &Value) -> Result<OsString, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        _ => return Err(format!("{name} is a text or a number, as on the command line")),
    };
    Ok(format!("--{name}={text}").into())
}

/// A command line with these options right behind the names of the command: `store stat` has two.
pub(super) fn inserted(
    known: &Command,
    mut line: Vec<OsString>,
    names: &[&str],
    options: Vec<OsString>,
) -> Vec<OsString> {
    if let Some(at) = place(known, &line, names) {
        line.splice(at..at, options);
    }
    line
}

/// The place behind the names of the command.
fn place(known: &Command, line: &[OsString], names: &[&str]) -> Option<usize> {
    let (mut command, mut at) = (known, 1);
    for name in names {
        at = behind(command, line, at, name)?;
        command = command.find_subcommand(name)?;
    }
    Some(at)
}

/// The place behind the next name. Before it are only options, some with a value of their own.
fn behind(command: &Command, line: &[OsString], at: usize, name: &str) -> Option<usize> {
    let takes_value = |text: &OsStr| {
        command.get_arguments().any(|arg| {
            let is_it = arg.get_long().is_some_and(|long| text == format!("--{long}").as_str());
            is_it && arg.get_action().takes_values()
        })
    };
    let mut rest = line.iter().enumerate().skip(at);
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
        let with = |line: &[&str], names: &[&str]| {
            let line = line.iter().map(OsString::from).collect();
            let line = inserted(&known, line, names, vec!["--x=1".into()]);
            line.into_iter().map(|text| text.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(with(&["bitswap", "get", "cid"], &["get"]), "bitswap get --x=1 cid");
        let line = ["bitswap", "--json", "--config", "get", "get", "--", "get"];
        assert_eq!(with(&line, &["get"]), "bitswap --json --config get get --x=1 -- get");
        let line = ["bitswap", "--config=get", "get"];
        assert_eq!(with(&line, &["get"]), "bitswap --config=get get --x=1");
        let line = ["bitswap", "store", "--config", "ls", "ls", "--pins"];
        assert_eq!(with(&line, &["store", "ls"]), "bitswap store --config ls ls --x=1 --pins");
    }

    #[test]
    fn a_value_is_what_its_option_takes() {
        let mut known = parser();
        known.build();
        let share = known.find_subcommand("share").unwrap();
        let options = |name: &str, value: &str| {
            let (_, arg) = settings(share).find(|(long, _)| *long == name).unwrap();
            let table: Table = format!("v = {value}").parse().unwrap();
            options_of_value(name, arg, &table["v"])
        };
        let ok = |options: &[&str]| Ok(options.iter().map(OsString::from).collect());
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

    #[test]
    fn a_variable_turns_a_flag_on_or_off_and_says_how_many_times() {
        let mut known = parser();
        known.build();
        let share = known.find_subcommand("share").unwrap();
        let options = |name: &str, value: &str| {
            let (_, arg) = variables(share).find(|(long, _)| *long == name).unwrap();
            options_of_variable(name, arg, OsStr::new(value))
        };
        for on in ["1", "true", "yes", "TRUE"] {
            assert_eq!(options("no-mdns", on), ["--no-mdns"], "{on}");
            assert_eq!(options("verbose", on), ["--verbose"], "{on}");
        }
        for off in ["0", "f", "false", "FALSE", "n", "no", "off"] {
            assert!(options("no-mdns", off).is_empty() && options("verbose", off).is_empty());
        }
        assert_eq!(options("verbose", "2"), ["--verbose", "--verbose"]);
        assert_eq!(options("listen", "a, b,"), ["--listen=a", "--listen=b"]);
        assert_eq!(options("limit-up", "500"), ["--limit-up=500"]);
    }
}
