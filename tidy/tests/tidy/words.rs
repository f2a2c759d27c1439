//! Words that must not be in the project.

use crate::tree::{self, File};

/// In pieces, so that this file does not hold them.
const WORDS: &[(&[&str], &str)] = &[
    (&["to", "do!("], "unfinished"),
    (&["unimplem", "ented!("], "unfinished"),
    (&["FIX", "ME"], "unfinished"),
    (&["TO", "DO"], "unfinished"),
    (&["d", "bg!("], "left over from looking for a fault"),
    (&["/wo", "rk/"], "a path of one machine"),
    (&["/ro", "ot/"], "a path of one machine"),
    (&["/ho", "me/"], "a path of one machine"),
    (&["../sha", "red"], "a path of one machine"),
    (&["DES", "IGN.md"], "not part of the project"),
    (&["crat", "es.io"], "tools know where packages come from"),
    (&["npm", "js.org"], "tools know where packages come from"),
    (&["npm", "js.com"], "tools know where packages come from"),
    (&["py", "pi.org"], "tools know where packages come from"),
    (&["proxy.gol", "ang.org"], "tools know where packages come from"),
];

/// What does not belong into these files, one line for each.
fn unwelcome(files: &[File]) -> Vec<String> {
    let words: Vec<(String, &str)> =
        WORDS.iter().map(|(word, why)| (word.concat(), *why)).collect();
    let mut found = Vec::new();
    for File { path, text } in files {
        for (number, line) in (1..).zip(text.lines()) {
            let here = words.iter().filter(|(word, _)| line.contains(word));
            found.extend(here.map(|(word, why)| format!("{path}:{number}: {word} ({why})")));
        }
    }
    found
}

#[test]
fn no_file_has_words_that_do_not_belong_here() {
    let mut files = tree::files("");
    let scripts = [".ci/run", "ci/lint", "fuzz/run", "deny.toml", "tidy/tests/tidy/words.rs"];
    for path in scripts {
        assert!(files.iter().any(|file| file.path == path), "{path} is not looked at");
    }
    // Tools write where each package comes from.
    files.retain(|file| !file.path.ends_with("Cargo.lock"));
    let found = unwelcome(&files);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_of_the_words_is_found_wherever_it_stands() {
    for (word, why) in WORDS {
        let word = word.concat();
        for line in [word.clone(), format!("let x = {word}1);"), format!("    // {word}")] {
            let clean = File { path: "clean".to_owned(), text: "nothing\n".repeat(3) };
            let bad = File { path: "bad".to_owned(), text: format!("one\n{line}\nthree\n") };
            assert_eq!(unwelcome(&[clean, bad]), [format!("bad:2: {word} ({why})")]);
        }
    }
}
