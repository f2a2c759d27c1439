//! What every engine of a world said, as a hash: a change of the code that is meant to change no decision
//! changes none of these. `GOLDEN=write` writes them anew, for a change that is meant to.

#![cfg(target_pointer_width = "64")]

use std::fmt::Write as _;
use std::path::Path;

use bitswap_sim::reference::{CASES, run_watched};
use bitswap_sim::{Sweep, sweep};

#[test]
fn no_decision_of_an_engine_has_changed() {
    let mut now = String::new();
    for seed in 1..=200 {
        writeln!(now, "sweep {seed} {:016x}", sweep(&Sweep::new(seed)).transcript).unwrap();
    }
    for case in CASES {
        let transcript = run_watched(&case, &case.block_set(), 1).transcript;
        writeln!(now, "{} {transcript:016x}", case.name).unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden_transcripts.txt");
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&file, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    let changed: Vec<_> =
        now.lines().zip(golden.lines()).filter(|(now, then)| now != then).collect();
    assert!(changed.is_empty(), "{} runs have changed: {:?}", changed.len(), changed.first());
    assert_eq!(now.lines().count(), golden.lines().count());
}
