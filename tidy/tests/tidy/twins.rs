//! What two crates decide alike, and can share in no crate: TCP without tokio is for others too and depends on none of ours,
//! and the one with tokio does not depend on it.

use crate::tree;

const TWINS: [(&str, &str, &str); 2] = [
    (
        "const CAN_REUSE_PORTS: bool =",
        "runtime-tokio/src/exclusive.rs",
        "net-async-io/src/tcp/dial.rs",
    ),
    (
        "fn is_zone(name: &str) -> bool {",
        "runtime-tokio/src/zone.rs",
        "net-async-io/src/address.rs",
    ),
];

/// An item, from its first line to the end of what the next empty line ends.
fn item(path: &str, first: &str) -> String {
    let text = tree::read(path);
    let (_, rest) = text.split_once(first).unwrap_or_else(|| panic!("{path} has no {first}"));
    rest.split("\n\n").next().unwrap_or(rest).to_owned()
}

#[test]
fn what_two_crates_decide_alike_and_cannot_share_is_the_same_in_both() {
    for (first, one, other) in TWINS {
        assert_eq!(item(one, first), item(other, first), "{one} and {other} differ in {first}");
    }
}
