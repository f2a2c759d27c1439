//! Random sequences of operations on one engine, with the contract checked after every step and a
//! world that heals at the end.

use std::time::Duration;

use bitswap_core::testing::{AnswerOp, LoadOp, Op, Opened, Rig, SessionOp, WantOp};
use bitswap_core::{Config, Limits, ProtocolSupport, StreamKind, Version};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        6 => Just(Version::V1_2),
        1 => Just(Version::V1_1),
        1 => Just(Version::V1_0),
        1 => Just(Version::Unversioned),
    ]
}

fn stream() -> impl Strategy<Value = StreamKind> {
    prop_oneof![Just(StreamKind::Requests), Just(StreamKind::Responses)]
}

fn opened() -> impl Strategy<Value = Opened> {
    prop_oneof![
        6 => Just(Opened::Yes),
        1 => Just(Opened::Unsupported),
        1 => Just(Opened::Failed),
    ]
}

fn want() -> impl Strategy<Value = WantOp> {
    let priority = prop_oneof![-3..3i32, Just(i32::MIN), Just(i32::MAX)];
    (any::<u8>(), priority, prop::bool::weighted(0.3), any::<bool>(), any::<bool>()).prop_map(
        |(block, priority, cancel, whole, dont_have)| WantOp {
            block,
            priority,
            cancel,
            whole,
            dont_have,
        },
    )
}

fn answer() -> impl Strategy<Value = AnswerOp> {
    prop_oneof![
        4 => any::<u8>().prop_map(AnswerOp::Block),
        1 => any::<u8>().prop_map(AnswerOp::Altered),
        3 => any::<u8>().prop_map(AnswerOp::Have),
        3 => any::<u8>().prop_map(AnswerOp::DontHave),
    ]
}

fn load() -> impl Strategy<Value = LoadOp> {
    prop_oneof![
        8 => Just(LoadOp::True),
        1 => Just(LoadOp::Absent),
        1 => Just(LoadOp::Failed),
        1 => Just(LoadOp::Nonsense),
    ]
}

fn session() -> impl Strategy<Value = SessionOp> {
    (
        option::weighted(0.3, vec(any::<u8>(), 0..3)),
        any::<bool>(),
        option::weighted(0.3, 1..20_000u16),
        prop_oneof![Just(32u32 << 20), 0..100_000u32],
        any::<bool>(),
    )
        .prop_map(|(only, fail, timeout_ms, window_bytes, search)| SessionOp {
            only,
            fail,
            timeout_ms,
            window_bytes,
            search,
        })
}

fn support() -> impl Strategy<Value = ProtocolSupport> {
    prop_oneof![
        Just(ProtocolSupport::Unknown),
        Just(ProtocolSupport::No),
        Just(ProtocolSupport::Yes)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let blocks = || vec(any::<u8>(), 0..8);
    prop_oneof![
        4 => (0..3_000_000u32).prop_map(Op::Wait),
        8 => Just(Op::Deadline),
        1 => any::<i32>().prop_map(Op::Clock),
        12 => Just(Op::Drain),
        2 => Just(Op::Poll),
        4 => (any::<u8>(), version()).prop_map(|(peer, version)| Op::Connect(peer, version)),
        1 => any::<u8>().prop_map(Op::Disconnect),
        1 => (any::<u8>(), support()).prop_map(|(peer, support)| Op::Support(peer, support)),
        8 => (any::<u8>(), opened()).prop_map(|(nth, opened)| Op::Opened(nth, opened)),
        8 => (any::<u8>(), prop::bool::weighted(0.9)).prop_map(|(nth, ok)| Op::Sent(nth, ok)),
        1 => (any::<u8>(), stream()).prop_map(|(peer, stream)| Op::Reset(peer, stream)),
        5 => (any::<u8>(), vec(want(), 0..8), prop::bool::weighted(0.1))
            .prop_map(|(peer, entries, full)| Op::Wantlist(peer, entries, full)),
        8 => (any::<u8>(), vec(answer(), 0..6)).prop_map(|(peer, items)| Op::Answer(peer, items)),
        6 => (any::<u8>(), load(), prop::bool::weighted(0.7))
            .prop_map(|(nth, answer, whole)| Op::Loaded(nth, answer, whole)),
        2 => (any::<u8>(), vec(any::<u8>(), 0..3), any::<bool>())
            .prop_map(|(nth, peers, last)| Op::Found(nth, peers, last)),
        3 => session().prop_map(Op::Session),
        1 => any::<u8>().prop_map(Op::Close),
        6 => (any::<u8>(), blocks()).prop_map(|(session, blocks)| Op::Want(session, blocks)),
        2 => (any::<u8>(), blocks()).prop_map(|(session, blocks)| Op::Cancel(session, blocks)),
        2 => any::<u8>().prop_map(Op::Taken),
        2 => blocks().prop_map(Op::Announce),
        1 => (option::of(any::<u32>()), option::of(any::<u32>()))
            .prop_map(|(upload, download)| Op::Rates(upload, download)),
    ]
}

/// Limits that are as small as they may be.
fn small_limits() -> impl Strategy<Value = Config> {
    (1..5u32, 1..20u32, 1..3u8, 1..40u32, 1..30u32, 1..200_000u32).prop_map(
        |(loads, told, messages, wants, ledger, response_bytes)| {
            let mut limits = Limits::default();
            limits.loads_per_peer = loads;
            limits.sent_wants_per_peer = told;
            limits.sent_wants = told * 3;
            limits.messages_per_stream = messages;
            limits.wants = wants;
            limits.ledger_per_peer = ledger;
            limits.ledger = ledger * 2;
            limits.response_bytes_per_peer = response_bytes;
            limits.response_bytes = response_bytes * 2;
            limits.peers = 6;
            Config::default().with_limits(limits).expect("every limit is at least 1")
        },
    )
}

fn run(config: Config, ops: &[Op]) -> u64 {
    let mut rig = Rig::new(config, [7; 32]);
    for op in ops {
        rig.apply(op);
    }
    let transcript = rig.transcript();
    rig.heal();
    transcript
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(1000)))]

    #[test]
    fn any_order_of_calls_keeps_the_contract_and_heals(ops in vec(op(), 1..120)) {
        run(Config::default(), &ops);
    }

    #[test]
    fn the_smallest_limits_keep_the_contract_and_heal(
        config in small_limits(),
        ops in vec(op(), 1..120),
    ) {
        run(config, &ops);
    }

    #[test]
    fn operations_from_any_bytes_keep_the_contract_and_heal(
        bytes in vec(any::<u8>(), 0..600),
    ) {
        run(Config::default(), &Op::decode(&bytes));
    }

    #[test]
    fn equal_seeds_and_inputs_give_equal_outputs(ops in vec(op(), 1..80)) {
        prop_assert_eq!(run(Config::default(), &ops), run(Config::default(), &ops));
    }

    #[test]
    fn a_shut_down_engine_ends_all_wants_and_comes_to_rest(ops in vec(op(), 1..60)) {
        let mut rig = Rig::new(Config::default(), [7; 32]);
        for op in &ops {
            rig.apply(op);
        }
        rig.apply(&Op::Shutdown);
        rig.apply(&Op::Drain);
        prop_assert_eq!(rig.engine().stats().wants, 0);
        rig.heal();
    }
}

/// The clock jumps by a year and back, and stands at both ends of its range.
#[test]
fn a_clock_that_jumps_breaks_nothing() {
    let year = Duration::from_secs(365 * 86_400).as_micros() as u32;
    let mut ops = vec![
        Op::Connect(0, Version::V1_2),
        Op::Session(SessionOp {
            only: None,
            fail: false,
            timeout_ms: None,
            window_bytes: 1 << 20,
            search: true,
        }),
        Op::Want(0, vec![1, 2, 3]),
        Op::Drain,
    ];
    for jump in [i32::MAX, i32::MIN, year as i32, -1, 0, 1] {
        ops.extend([Op::Clock(jump), Op::Drain, Op::Deadline, Op::Drain]);
    }
    run(Config::default(), &ops);
}
