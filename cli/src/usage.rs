//! What is said instead of running a command: help, the version, and what is wrong with the arguments.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal as _, stderr, stdout};
use std::process::ExitCode;

use clap::ArgMatches;
use clap::error::ErrorKind;
use serde_json::json;

use crate::exit;
use crate::say::{Objects, Say};
use crate::settings::{self, Wrong};

/// Tells what the parser has to say, in text or as an object.
pub(crate) fn tell(wrong: Wrong) -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let looked = settings::look(&line);
    let is_wanted = wants_json(line.iter().skip(1).cloned()) || settings::json_is_set(&looked);
    // What is asked for is no error, and the standard output of `cat` is a file even when it is empty.
    let is_error = !matches!(&wrong, Wrong::Line(error) if !error.use_stderr());
    let objects = match is_error && prints_a_file(&looked, &line) {
        true => Objects::ToErrors,
        false => Objects::ToOutput,
    };
    let (say, mut broken) = Say::new(is_wanted.then_some(objects), false);
    let error = match wrong {
        Wrong::Line(error) => error,
        wrong => return crate::end(Err(wrong.into()), &say, &mut broken),
    };
    let text = error.render();
    let plain = text.to_string();
    let plain = plain.trim_end();
    let styled = |terminal: bool| match terminal && may_colour() {
        true => text.ansi().to_string().trim_end().to_owned(),
        false => plain.to_owned(),
    };
    if error.use_stderr() {
        let message = plain.strip_prefix("error: ").unwrap_or(plain);
        let object = json!({"event": "error", "code": exit::USAGE, "message": message});
        say.coloured_error(&styled(stderr().is_terminal()), &object);
        return exit::USAGE.into();
    }
    let event = if error.kind() == ErrorKind::DisplayVersion { "version" } else { "help" };
    say.coloured_result(&styled(stdout().is_terminal()), &json!({"event": event, "text": plain}));
    crate::end(Ok(()), &say, &mut broken)
}

/// Whether colours are welcome: the variable turns them off unless it is empty.
pub(crate) fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a file goes to standard output. A line that is wrong may not have been read up to where it says so.
fn prints_a_file(looked: &ArgMatches, line: &[OsString]) -> bool {
    let is_output = |words: &[OsString]| {
        let [name, value] = words else { return false };
        (name == "-o" || name == "--output") && value == "-"
    };
    match looked.subcommand_name() {
        Some("cat") => true,
        Some("get") => {
            line.windows(2).any(is_output) || line.iter().any(|word| word == "--output=-")
        }
        _ => false,
    }
}

/// Whether objects were asked for, on a command line that is wrong otherwise.
fn wants_json(args: impl IntoIterator<Item = OsString>) -> bool {
    let mut args = args.into_iter().take_while(|arg| arg != OsStr::new("--"));
    args.any(|arg| arg == OsStr::new("--json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_asked_for_by_a_flag_and_not_by_an_argument() {
        let wants = |args: &[&str]| wants_json(args.iter().map(OsString::from));
        assert!(wants(&["get", "--json"]) && wants(&["--json", "nonsense", "--"]));
        assert!(!wants(&["share", "--", "--json"]) && !wants(&["get", "json"]));
    }
}
