//! Text that others have chosen, for people: in a terminal it can do nothing but be read.
//!
//! Names of shared files, values of records and answers of machines are a stranger's. A control character in them could
//! move the cursor, colour what follows, or begin a line that seems to be the command's own.

use std::fmt::{self, Write as _};

/// Text of a stranger: it stays on its line.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(f, self.0, |_| false)
    }
}

/// Lines of our own, in which there may be text of a stranger. Everything that is said to people goes through this.
pub(crate) struct Lines<'a>(pub(crate) &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(f, self.0, |character| matches!(character, '\n' | '\t'))
    }
}

/// The same, in colours: sequences that choose them are kept.
pub(crate) struct Coloured<'a>(pub(crate) &'a str);

impl fmt::Display for Coloured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(COLOUR) {
            let (before, from) = rest.split_at(at);
            let end = colour(from).unwrap_or(1);
            Lines(before).fmt(f)?;
            match end {
                1 => Lines(&from[..1]).fmt(f)?,
                end => f.write_str(&from[..end])?,
            }
            rest = &from[end..];
        }
        Lines(rest).fmt(f)
    }
}

/// What a sequence that chooses colours begins with: numbers and semicolons follow, and an `m`.
const COLOUR: &str = "\x1b[";

/// The length of such a sequence at the beginning of a text.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix(COLOUR)?;
    let end = inner.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    inner[end..].starts_with('m').then_some(COLOUR.len() + end + 1)
}

fn escaped(f: &mut fmt::Formatter<'_>, text: &str, is_ours: fn(char) -> bool) -> fmt::Result {
    text.chars().try_for_each(|character| {
        let is_harmful = character.is_control() || is_hidden(character);
        match is_harmful && !is_ours(character) {
            true => write!(f, "{}", character.escape_default()),
            false => f.write_char(character),
        }
    })
}

/// Whether a character is not seen and changes what is: the direction of a text, with which `gpj.exe` can be made to look
/// like `exe.jpg`, or where its line ends.
const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_writes_is_read_and_does_nothing() {
        for (text, plain, lines) in [
            ("a b", "a b", "a b"),
            ("ä\u{301}日本", "ä\u{301}日本", "ä\u{301}日本"),
            ("a\nb\tc\r", "a\\nb\\tc\\r", "a\nb\tc\\r"),
            ("\x1b[31m\x07", "\\u{1b}[31m\\u{7}", "\\u{1b}[31m\\u{7}"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
        ] {
            assert_eq!(Plain(text).to_string(), plain);
            assert_eq!(Lines(text).to_string(), lines);
        }
    }

    #[test]
    fn colours_are_kept_and_nothing_else_that_a_terminal_heeds() {
        let coloured = "\x1b[1m\x1b[31merror:\x1b[0m \x1b[38;5;1mx\x1b[m\n  y";
        assert_eq!(Coloured(coloured).to_string(), coloured);
        for (text, shown) in [
            ("\x1b[2J\x1b[31mx", "\\u{1b}[2J\x1b[31mx"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\x1b[31", "\\u{1b}[31"),
            ("\x1b[\x1b[1m", "\\u{1b}[\x1b[1m"),
        ] {
            assert_eq!(Coloured(text).to_string(), shown);
        }
    }
}
