//! Sequences of operations on one engine and on two: the engine is held to its contract after each
//! step, and what users and peers see is what the plain models say. A failure shrinks to the fewest
//! operations.

use bitswap_fuzz::{engine_ops, hostile_frames, two_engines};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

/// A head and operations of a fixed length, so that whole operations are left out while shrinking.
fn input<const HEAD: usize, const OP: usize>(ops: usize) -> impl Strategy<Value = Vec<u8>> {
    let ops = vec(any::<[u8; OP]>(), 0..ops);
    (any::<[u8; HEAD]>(), ops).prop_map(|(head, ops)| [&head[..], &ops.concat()].concat())
}

/// The setup of most hosts: default limits, and time from zero.
fn usual() -> impl Strategy<Value = Vec<u8>> {
    input::<0, 4>(150).prop_map(|ops| [&[0, 0, 0, 9][..], &ops].concat())
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(128)))]

    #[test]
    fn an_engine_keeps_its_contract(input in usual()) {
        engine_ops::run(&input);
    }

    #[test]
    fn an_engine_with_any_limits_keeps_its_contract(input in input::<4, 4>(150)) {
        engine_ops::run(&input);
    }

    #[test]
    fn two_engines_agree_once_they_are_left_alone(input in input::<2, 3>(150)) {
        two_engines::run(&input);
    }

    #[test]
    fn a_hostile_peer_makes_no_difference(input in input::<34, 3>(100)) {
        hostile_frames::run(&input);
    }
}
