//! One file is one concept, and short enough to be read at once.

use crate::tree;

/// Lines of a file without its tests.
const LINES_MAX: usize = 400;
/// The same of the files below.
const LINES_MAX_LONG: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[
    ("bitswap-core/src/engine/mod.rs", "the front door: every input and output of the engine"),
    ("node/src/node/driver.rs", "one poll of a node's task, and whatever it must carry out"),
];

/// Lines up to the tests at the end of the file.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

/// Tests may be long: a list of cases is one concept however many there are.
fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    let mut needless: Vec<&str> = LONG.iter().map(|(path, _)| *path).collect();
    for file in tree::files(".rs").into_iter().filter(|file| !is_test(&file.path)) {
        let lines = code_lines(&file.text);
        let listed = LONG.iter().any(|(path, _)| *path == file.path);
        let max = if listed { LINES_MAX_LONG } else { LINES_MAX };
        if lines > max {
            long.push(format!("{}: {lines} lines, at most {max}", file.path));
        }
        if lines > LINES_MAX {
            needless.retain(|path| *path != file.path);
        }
    }
    assert!(long.is_empty(), "split these by concept:\n{}", long.join("\n"));
    assert!(needless.is_empty(), "short by now, take them off the list: {needless:?}");
}

#[test]
fn tests_at_the_end_do_not_count() {
    let code = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(code_lines(code), 2);
    assert_eq!(code_lines("fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n"), 4);
}
