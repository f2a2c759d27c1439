//! Who may touch a struct's fields: in the parts that own state, its own module and nobody else.

use crate::tree::files;

/// Where parts own their state. What is below a folder belongs to it.
const PARTS: [&str; 7] = [
    "bitswap-core/src/client/",
    "bitswap-core/src/engine/",
    "bitswap-core/src/server/",
    "bitswap-core/src/chunk/download/",
    "bitswap-core/src/util/",
    "bitswap-libp2p/src/behaviour/",
    "bitswap-libp2p/src/host/",
];

/// Plain data: values that are made, passed on and taken apart, without an invariant over their fields.
const PLAIN: &[&str] = &[
    "Answered",
    "Candidate",
    "Delivered",
    "EarlierRun",
    "Evicted",
    "Load",
    "Lookup",
    "Options",
    "Received",
    "Request",
    "Selected",
    "Selector",
    "SentResponse",
    "SessionOptions",
    "Step",
    "Timers",
    "Unanswered",
    "Usage",
];

/// The structs of a text that have a field which others can reach, each with the field's line.
fn open_structs(text: &str) -> Vec<(String, usize)> {
    let mut open = Vec::new();
    let mut inside: Option<String> = None;
    for (line, number) in text.lines().zip(1..) {
        let code = line.trim_start();
        if let Some(name) = inside.take() {
            if line.starts_with('}') {
                continue;
            }
            // What is public to all is data that users make and read.
            if code.starts_with("pub(") {
                open.push((name.clone(), number));
            }
            inside = Some(name);
        } else if let Some((_, rest)) = line.split_once("struct ")
            && !code.starts_with("//")
            && line.ends_with('{')
        {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
            inside = name.map(str::to_owned);
        }
    }
    open
}

#[test]
fn fields_that_others_can_reach_are_found() {
    let text = "pub struct A {\n    a: u8,\n    pub(super) b: u8,\n}\nstruct B {\n    c: u8,\n}\n";
    assert_eq!(open_structs(text), [("A".to_owned(), 3)]);
}

#[test]
fn parts_that_own_state_keep_their_fields_to_themselves() {
    let mut open = Vec::new();
    for file in files("rs") {
        let is_part = PARTS.iter().any(|part| file.path.starts_with(part));
        if !is_part || file.path.contains("/tests") {
            continue;
        }
        let found = open_structs(&file.text).into_iter();
        let plain = |name: &str| PLAIN.contains(&name);
        open.extend(
            found
                .filter(|(name, _)| !plain(name))
                .map(|(name, line)| format!("{}:{line} {name}", file.path)),
        );
    }
    assert!(open.is_empty(), "state that others can change:\n{}", open.join("\n"));
}
