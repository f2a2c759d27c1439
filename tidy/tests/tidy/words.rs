//! Words that must not be in the project.

use crate::tree;

/// Endings of the files that are read.
const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".js", ".py", ".go", "/run"];

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

#[test]
fn no_file_has_words_that_do_not_belong_here() {
    let mut found = Vec::new();
    for ending in ENDINGS {
        for file in tree::files(ending) {
            for (number, line) in file.text.lines().enumerate() {
                for (word, why) in WORDS {
                    if line.contains(&word.concat()) {
                        let path = &file.path;
                        found.push(format!("{path}:{}: {} ({why})", number + 1, word.concat()));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn this_test_sees_what_it_looks_for() {
    let line = ["a ", "to", "do!()"].concat();
    assert!(WORDS.iter().any(|(word, _)| line.contains(&word.concat())));
}
