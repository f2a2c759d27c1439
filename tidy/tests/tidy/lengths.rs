//! One file is one concept, and short enough to be read at once.

use crate::tree;

/// Lines of a file without its tests, beyond which it is named as long.
const LINES_USUAL: usize = 400;
/// Lines beyond which it has to be split by concept.
const LINES_MAX: usize = 600;

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
    let files = tree::files(".rs").into_iter().filter(|file| !is_test(&file.path));
    let mut too_long = Vec::new();
    for (path, lines) in files.map(|file| (file.path, code_lines(&file.text))) {
        if lines > LINES_MAX {
            too_long.push(format!("{path}: {lines} lines, at most {LINES_MAX}"));
        } else if lines > LINES_USUAL {
            println!("warning: {path} has {lines} lines: is it still one concept?");
        }
    }
    assert!(too_long.is_empty(), "split these by concept:\n{}", too_long.join("\n"));
}

#[test]
fn tests_at_the_end_do_not_count() {
    let code = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(code_lines(code), 2);
    assert_eq!(code_lines("fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n"), 4);
}
