//! Any order of inputs, against a model that knows only what was told and what was answered.
//!
//! After every output: no block to a peer that does not want it any more, none twice, DONT_HAVE
//! only where it was asked for, HAVE only for what is there, and every bound kept. Once everything
//! is answered and the transport works: every want for a block that is there has its block, and
//! the ledger is exactly what the peers still want.
//!
//! It has its own operations and does not use the checker of `bitswap-testing`: the two were written apart, so
//! that a rule which one of them has wrong is right in the other.

#[path = "../server/harness.rs"]
mod harness;
mod model;
mod ops;
mod world;

use bitswap_core::Limits;
use ops::{Op, ops};
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;
use world::World;

fn play(ops: &[Op], limits: Limits, wide: bool) -> Vec<String> {
    let mut world = World::new(limits, wide);
    for op in ops {
        world.apply(op);
    }
    world.heal();
    world.check_rest();
    world.leave()
}

fn narrow(seed: [u8; 6]) -> Limits {
    let mut limits = Limits::default();
    let [ledger_per_peer, ledger, bytes_per_peer, bytes, loads, messages] = seed;
    limits.ledger_per_peer = u32::from(ledger_per_peer % 8) + 1;
    limits.ledger = u32::from(ledger % 12) + 1;
    limits.response_bytes_per_peer = 1 << (bytes_per_peer % 20);
    limits.response_bytes = 1 << (bytes % 20);
    limits.loads_per_peer = u32::from(loads % 8) + 1;
    limits.messages_per_stream = messages % 4 + 1;
    limits
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(256)))]

    #[test]
    fn every_want_gets_its_answer_and_nothing_else(ops in ops()) {
        let log = play(&ops, Limits::default(), true);
        prop_assert_eq!(log, play(&ops, Limits::default(), true), "equal inputs, equal outputs");
    }

    #[test]
    fn small_limits_hold_and_never_get_stuck(ops in ops(), seed in any::<[u8; 6]>()) {
        play(&ops, narrow(seed), false);
    }
}

#[test]
fn a_message_of_a_stream_that_is_gone_keeps_its_place_when_its_peer_gives_up_memory() {
    let want = |n, block| (n, block, false, 0);
    let tell = |peer, entries| Op::Tell { peer, entries, full: false };
    let ops = [
        tell(1, vec![want(5, true), want(0, false)]),
        Op::Poll(3),
        Op::Load { which: 2, part: 1 },
        tell(1, vec![(8, false, true, 0)]),
        tell(2, vec![want(0, true)]),
        Op::Open { which: 0, ok: true },
        tell(1, vec![want(0, false)]),
        Op::Poll(1),
        Op::Load { which: 13, part: 1 },
        Op::Poll(2),
        Op::Store(6),
        Op::Load { which: 0, part: 1 },
        Op::Poll(1),
        Op::Pass(6_000_000),
        Op::Reset(1),
        tell(0, vec![want(0, false)]),
        tell(0, vec![want(0, false)]),
    ];
    play(&ops, narrow([2, 63, 0, 0, 1, 0]), false);
}

#[test]
fn a_want_that_is_repeated_while_its_forgotten_answer_is_on_its_way_is_a_new_one() {
    let tell = |peer, entries| Op::Tell { peer, entries, full: false };
    let ops = [
        tell(1, vec![(0, false, false, 0), (1, true, false, 0)]),
        tell(2, vec![(0, true, false, 0)]),
        Op::Poll(4),
        Op::Open { which: 2, ok: true },
        tell(1, vec![(6, false, true, 0)]),
        tell(2, vec![(6, true, true, 0)]),
        Op::Load { which: 0, part: 1 },
        Op::Load { which: 0, part: 1 },
        Op::Poll(3),
        Op::Open { which: 0, ok: true },
        tell(2, vec![(4, true, false, 0)]),
        Op::Load { which: 0, part: 1 },
        Op::Open { which: 0, ok: false },
        Op::Load { which: 0, part: 1 },
        tell(0, vec![(0, true, false, 0)]),
        Op::Poll(1),
        Op::Load { which: 0, part: 1 },
        Op::Poll(4),
        tell(0, vec![(3, false, false, 0)]),
        Op::Poll(1),
        Op::Sent { which: 9, ok: false },
        Op::Open { which: 0, ok: true },
        tell(0, vec![(0, false, false, 0)]),
        Op::Load { which: 0, part: 1 },
        Op::Cancel { peer: 0, cids: vec![0] },
        Op::Poll(1),
        tell(0, vec![(0, false, false, 0)]),
        Op::Sent { which: 15, ok: false },
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(2, vec![(4, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        Op::Cancel { peer: 0, cids: vec![0] },
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
    ];
    play(&ops, narrow([2, 78, 0, 0, 0, 141]), false);
}
