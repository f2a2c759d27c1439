//! Machines that know of each other only through a DHT.

use super::sharing::Sharing;
use super::{bitswap, code, lines};

const TEXT: &str = "found in the dht";

#[test]
fn a_shared_text_is_got_through_a_machine_that_only_knows_who_has_it() {
    let hub = Sharing::start(&["--text", "not it", "--dht=server", "--bootstrap", "none"]);
    let mut sharing = bitswap()
        .args(["share", "--text", TEXT, "--bootstrap", &hub.address])
        .args(["--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .spawn()
        .unwrap();
    let announced = lines(&mut sharing).find(|line| line["event"] == "announced").unwrap();
    let cid = announced["cid"].as_str().unwrap();

    // Without the DHT, the machine that is asked lacks it, and that is all.
    assert_eq!(code(&["cat", cid, "--from", &hub.address]), 3);
    let cat = ["cat", cid, "--from", &hub.address, "--bootstrap", &hub.address];
    let output = super::run(&cat);
    // A machine that is gone is no reason not to ask the DHT.
    let gone = ["cat", cid, "--from", "/ip4/127.0.0.1/tcp/1", "--bootstrap", &hub.address];
    let without_it = super::run(&gone);
    assert!(without_it.status.success(), "{without_it:?}");
    assert_eq!(without_it.stdout, TEXT.as_bytes());
    drop(sharing);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, TEXT.as_bytes());
    assert_eq!(hub.stop(), 0);
}

#[test]
fn a_bootstrap_address_must_name_a_machine() {
    let nameless = ["cat", super::HELLO, "--bootstrap", "/ip4/127.0.0.1/tcp/1"];
    assert_eq!(code(&[&nameless[..], &["--from", "/ip4/127.0.0.1/tcp/1"]].concat()), 7);
}
