//! Random worlds with random faults.

use bitswap_sim::{FAULTS, Sweep, sweep};

/// Seeds that once found something, and the first ones.
#[test]
fn every_seed_keeps_the_contract_and_ends_after_healing() {
    let known = [
        404,
        1013,
        1754,
        1876,
        3292,
        3879,
        4653,
        4977,
        5351,
        5649,
        138_086_674_806_790,
        230_590_587_347_652,
        145_524_534_725_624,
        11_839_165_492_441,
    ];
    let first = if cfg!(debug_assertions) { 1..200 } else { 1..2000 };
    let failed: Vec<u64> = known
        .into_iter()
        .chain(first)
        .filter(|seed| std::panic::catch_unwind(|| sweep(&Sweep::new(*seed))).is_err())
        .collect();
    let replay = "cargo run --release -p bitswap-sim -- sweep --trace --seed";
    assert!(failed.is_empty(), "{replay} N with N one of {failed:?}");
}

#[test]
fn worlds_whose_sessions_prefer_peers_keep_the_contract_and_end_after_healing() {
    let first = if cfg!(debug_assertions) { 1..100 } else { 1..1000 };
    let preferring = |seed| Sweep { prefers: true, ..Sweep::new(seed) };
    let failed: Vec<u64> = first
        .filter(|seed| std::panic::catch_unwind(|| sweep(&preferring(*seed))).is_err())
        .collect();
    let replay = "cargo run --release -p bitswap-sim -- sweep --prefer --trace --seed";
    assert!(failed.is_empty(), "{replay} N with N one of {failed:?}");
    let differ =
        |seed: &u64| sweep(&Sweep::new(*seed)).transcript != sweep(&preferring(*seed)).transcript;
    assert!((1..20).filter(differ).count() >= 5, "some sessions prefer peers");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 1..40 {
        let run = Sweep::new(seed);
        let (one, two) = (sweep(&run), sweep(&run));
        assert_eq!((one.steps, one.transcript), (two.steps, two.transcript), "seed {seed}");
    }
}

#[test]
fn faults_that_are_left_out_do_not_occur() {
    let without: Vec<String> = FAULTS.iter().map(ToString::to_string).collect();
    let differ = |seed: &u64| {
        let calm = Sweep { without: without.clone(), ..Sweep::new(*seed) };
        sweep(&Sweep::new(*seed)).transcript != sweep(&calm).transcript
    };
    // A quarter of the seeds have no faults anyway.
    assert!((1..20).filter(differ).count() >= 10);
}
