//! What a slow, silent or distant peer may cost, against the least time that a transfer could take.

use std::time::Duration;

use bitswap_sim::floors::{Measured, floors};

/// The transfers whose name has this in it.
fn measured(name: &str) -> Vec<Measured> {
    let named = floors().into_iter().filter(|floor| floor.name().contains(name));
    let all: Vec<Measured> = named.map(|floor| floor.run(1..3)).collect();
    assert!(!all.is_empty(), "there is no transfer {name}");
    all
}

/// None takes longer than so many per cent of its floor.
fn within(name: &str, per_cent: u32) {
    for measured in measured(name) {
        let (worst, most) = (measured.worst, measured.floor * per_cent / 100);
        assert!(worst.is_some_and(|worst| worst <= most), "{measured}");
    }
}

#[test]
fn a_slow_peer_beside_quick_ones_holds_up_nothing() {
    for name in [
        "8 at 1 MB/s, one at 100 KB/s: 500 x 16 KiB",
        "8 at 1 MB/s, one at 50 KB/s: 500 x 16 KiB",
        "8 at 1 MB/s, one at 100 KB/s: 200 x 64 KiB",
        "2 at 1 MB/s, one at 50 KB/s",
    ] {
        within(name, 115);
        for measured in measured(name) {
            assert!(measured.duplicates <= 30, "{measured}");
        }
    }
}

#[test]
fn silent_peers_beside_one_that_serves_hold_up_nothing() {
    within("one seeder, one silent peer", 115);
    within("one seeder, four silent peers", 115);
}

#[test]
fn one_holder_among_a_thousand_peers_is_found() {
    for measured in measured("one holder among 1,000 peers: one block") {
        assert!(measured.worst.is_some_and(|worst| worst <= Duration::from_secs(2)), "{measured}");
        let [blocks, haves, _] = measured.entries;
        assert!(blocks + haves <= 1100, "{measured}");
    }
}

#[test]
fn a_long_path_is_filled() {
    within("100 Mbit/s, 200 ms: 400 x 256 KiB", 115);
    within("1 Gbit/s, 200 ms: 400 x 256 KiB", 160);
    within("1 Gbit/s, 200 ms: 4,000 x 4 KiB", 600);
}
