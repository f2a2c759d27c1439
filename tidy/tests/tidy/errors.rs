//! An error prints its cause or returns it, never both: whoever prints the chain prints each cause once.

use crate::tree;

/// What is wrong with the error types of a source file, one line each.
///
/// The attribute `#[error(…)]` of thiserror is read together with the fields that follow it: up to the
/// next such attribute, or to the end of the type.
fn faults(text: &str) -> (usize, Vec<String>) {
    let (mut seen, mut faults) = (0, Vec::new());
    for part in text.split("#[error(").skip(1) {
        seen += 1;
        let Some((format, fields)) = part.split_once(")]") else { continue };
        let fields = fields.split("\n}").next().unwrap_or_default();
        let fields = fields.split("#[derive(").next().unwrap_or_default();
        for name in causes(fields) {
            if prints(format, &name) {
                faults.push(format!("#[error({format})] prints {name:?} and returns it too"));
            }
        }
    }
    (seen, faults)
}

/// The fields that thiserror returns as the cause: those that say so, and a field called `source`.
fn causes(fields: &str) -> Vec<String> {
    let mut causes = Vec::new();
    let mut is_marked = false;
    for line in fields.lines().map(str::trim) {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        for mark in ["#[source]", "#[from]"] {
            if line.contains(&format!("({mark}")) {
                causes.push("0".to_owned());
            }
            is_marked |= line == mark;
        }
        let inline = line.contains("{ source:") || line.contains(", source:");
        let named = line.split_once(':').map(|(name, _)| name);
        let named = named.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
        match named {
            Some(name) if is_marked || name == "source" => {
                causes.push(name.to_owned());
                is_marked = false;
            }
            _ if inline => causes.push("source".to_owned()),
            _ => {}
        }
    }
    causes
}

/// Whether a format, with its arguments, has this field in it.
fn prints(format: &str, field: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if field == "0" {
        return format.contains("{0") || format.contains("(.0") || format.contains(" .0");
    }
    let mut at = 0;
    while let Some(found) = format[at..].find(field) {
        let (start, end) = (at + found, at + found + field.len());
        let before = format[..start].chars().next_back();
        let after = format[end..].chars().next();
        let opens = matches!(before, Some('{' | '(' | '*' | '&' | ' ' | ','));
        if opens && after.is_none_or(|c| !is_word(c)) && in_use(format, start) {
            return true;
        }
        at = end;
    }
    false
}

/// Whether a word of a format is a field: in braces, or among the arguments.
fn in_use(format: &str, at: usize) -> bool {
    let end_of_text = format.rfind('"').unwrap_or_default();
    at > end_of_text || format[..at].ends_with('{')
}

#[test]
fn the_scanner_sees_causes_that_are_printed_and_returned() {
    let twice = [
        "#[error(\"no: {source}\")]\nRead { path: PathBuf, source: io::Error },",
        "#[error(\"no: {source}\")]\nRead {\n/// The cause.\nsource: io::Error,\n},",
        "#[error(\"no: {0}\")]\nRead(#[from] io::Error),",
        "#[error(\"no: {0}\")]\npub struct Store(#[source] Arc<dyn Error>);",
        "#[error(\"no: {why}\")]\nRead {\n#[source]\nwhy: io::Error,\n},",
        "#[error(\"no{}\", advice(source))]\nRead { source: io::Error },",
    ];
    for text in twice {
        assert_eq!(faults(text).1.len(), 1, "{text}");
    }
    let once = [
        "#[error(\"cannot read the source\")]\nRead { source: io::Error },",
        "#[error(\"no: {0}\")]\nRead(io::Error),",
        "#[error(transparent)]\nRead(#[from] io::Error),",
        "#[error(\"no: {why}\")]\nRead {\nwhy: io::Error,\n},",
        "#[error(\"no: {0}\")]\nRead(Other),\n}\n\nstruct B { source: u8 }",
    ];
    for text in once {
        assert_eq!(faults(text), (1, Vec::new()), "{text}");
    }
}

#[test]
fn no_error_prints_a_cause_that_it_also_returns() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in tree::files(".rs") {
        if file.path.starts_with("tidy/") {
            continue;
        }
        let (some, faults) = faults(&file.text);
        seen += some;
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", file.path)));
    }
    assert!(seen > 50, "{seen} error texts: this test sees nothing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
