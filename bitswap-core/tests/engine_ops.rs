//! Random sequences of operations on one engine, with the contract checked after every step and a
//! world that heals at the end.

use std::time::Duration;

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{
    Config, Limits, PeerSet, ProtocolSupport, ProviderProgress, Rates, StreamKind, Version,
};
use bitswap_testing::{
    Harness, LoadOp, LoadPart, MessageOp, Op, Opened, ResponseOp, SessionOp, WantOp, WantedAs,
};
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

fn response() -> impl Strategy<Value = ResponseOp> {
    prop_oneof![
        4 => any::<u8>().prop_map(ResponseOp::Block),
        1 => any::<u8>().prop_map(ResponseOp::Altered),
        3 => any::<u8>().prop_map(ResponseOp::Have),
        3 => any::<u8>().prop_map(ResponseOp::DontHave),
    ]
}

fn load() -> impl Strategy<Value = LoadOp> {
    prop_oneof![
        8 => Just(LoadOp::True),
        1 => Just(LoadOp::Absent),
        1 => Just(LoadOp::Failed),
        1 => Just(LoadOp::Nonsense),
        1 => (vec(any::<u8>(), 0..8), any::<bool>())
            .prop_map(|(blocks, fails)| LoadOp::Has { blocks, fails }),
    ]
}

fn part() -> impl Strategy<Value = LoadPart> {
    prop_oneof![
        7 => Just(LoadPart::All),
        2 => Just(LoadPart::First),
        1 => vec(any::<u8>(), 0..8).prop_map(LoadPart::Blocks),
    ]
}

/// Wants, a wantlist and blocks, mostly alone.
fn message() -> impl Strategy<Value = MessageOp> {
    let entries = || vec(want(), 0..8);
    let responses = || vec(response(), 0..6);
    let full = prop::bool::weighted(0.1);
    prop_oneof![
        5 => (entries(), full).prop_map(|(entries, full)| MessageOp {
            entries,
            full,
            ..MessageOp::default()
        }),
        8 => responses().prop_map(|responses| MessageOp { responses, ..MessageOp::default() }),
        1 => (entries(), any::<bool>(), responses())
            .prop_map(|(entries, full, responses)| MessageOp { entries, full, responses }),
    ]
}

fn send_result() -> impl Strategy<Value = Result<(), SendError>> {
    prop_oneof![
        9 => Just(Ok(())),
        1 => prop_oneof![Just(Err(SendError::Closed)), Just(Err(SendError::Timeout))],
    ]
}

fn open_result() -> impl Strategy<Value = Result<Version, OpenError>> {
    prop_oneof![
        4 => version().prop_map(Ok),
        1 => prop_oneof![
            Just(Err(OpenError::Unsupported)),
            Just(Err(OpenError::Timeout)),
            Just(Err(OpenError::Closed)),
        ],
    ]
}

fn progress() -> impl Strategy<Value = ProviderProgress> {
    prop_oneof![Just(ProviderProgress::Partial), Just(ProviderProgress::Final)]
}

fn rate() -> impl Strategy<Value = Option<u64>> {
    option::of(1000..u64::from(u32::MAX))
}

fn rates() -> impl Strategy<Value = Rates> {
    (rate(), rate(), rate(), rate()).prop_map(|rates| {
        let (upload, upload_per_peer, download, download_per_peer) = rates;
        Rates { upload, upload_per_peer, download, download_per_peer }
    })
}

fn session_peers() -> impl Strategy<Value = PeerSet<u8>> {
    prop_oneof![
        5 => Just(PeerSet::Any),
        2 => vec(any::<u8>(), 0..3).prop_map(PeerSet::Only),
        3 => vec(any::<u8>(), 0..3).prop_map(PeerSet::Prefer),
    ]
}

fn session() -> impl Strategy<Value = SessionOp> {
    (
        session_peers(),
        any::<bool>(),
        option::weighted(0.3, 1..20_000u16),
        prop_oneof![Just(32u32 << 20), 0..100_000u32],
        any::<bool>(),
    )
        .prop_map(|(peers, fail, timeout_ms, window_bytes, search)| SessionOp {
            peers,
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
        4 => (0..3_000_000u64).prop_map(Op::Wait),
        8 => Just(Op::Deadline),
        1 => any::<i32>().prop_map(Op::Clock),
        12 => Just(Op::Drain),
        2 => Just(Op::Poll),
        1 => any::<u8>().prop_map(Op::Remember),
        4 => (any::<u8>(), version()).prop_map(|(peer, version)| Op::Connect(peer, version)),
        1 => any::<u8>().prop_map(Op::Disconnect),
        1 => (any::<u8>(), support()).prop_map(|(peer, support)| Op::Support(peer, support)),
        1 => (any::<u8>(), 0..2_000_000u32)
            .prop_map(|(peer, micros)| Op::RoundTrip(peer, micros)),
        8 => (any::<u8>(), opened()).prop_map(|(nth, opened)| Op::Opened(nth, opened)),
        1 => (any::<u8>(), stream(), open_result())
            .prop_map(|(peer, stream, result)| Op::Open(peer, stream, result)),
        8 => (any::<u8>(), send_result()).prop_map(|(nth, result)| Op::Sent(nth, result)),
        1 => (any::<u8>(), stream()).prop_map(|(peer, stream)| Op::Reset(peer, stream)),
        13 => (any::<u8>(), message()).prop_map(|(peer, message)| Op::Message(peer, message)),
        6 => (any::<u8>(), load(), part())
            .prop_map(|(nth, answer, part)| Op::Loaded(nth, answer, part)),
        2 => (any::<u8>(), vec(any::<u8>(), 0..3), progress())
            .prop_map(|(nth, peers, progress)| Op::Found(nth, peers, progress)),
        3 => session().prop_map(Op::Session),
        1 => any::<u8>().prop_map(Op::Close),
        6 => (any::<u8>(), blocks(), -3..3i32, any::<bool>()).prop_map(
            |(session, blocks, priority, sized)| {
                Op::Want(session, blocks, WantedAs { priority, sized })
            },
        ),
        2 => (any::<u8>(), blocks()).prop_map(|(session, blocks)| Op::Cancel(session, blocks)),
        2 => (any::<u8>(), option::weighted(0.2, any::<u64>()))
            .prop_map(|(session, bytes)| Op::Release(session, bytes)),
        2 => blocks().prop_map(Op::Store),
        1 => rates().prop_map(Op::Rates),
        1 => (any::<u8>(), rate()).prop_map(|(session, rate)| Op::SessionRate(session, rate)),
        1 => blocks().prop_map(Op::Settle),
    ]
}

/// Limits that are as small as they may be.
fn small_limits() -> impl Strategy<Value = Config> {
    (1..5u32, 1..20u32, 1..3u8, 1..40u32, 1..30u32, 1..200_000u32).prop_map(
        |(loads, sent, messages, wants, ledger, response_bytes)| {
            let limits = Limits {
                loads_per_peer: loads,
                sent_wants_per_peer: sent,
                sent_wants: sent * 3,
                messages_per_stream: messages,
                wants,
                ledger_per_peer: ledger,
                ledger: ledger * 2,
                response_bytes_per_peer: response_bytes,
                response_bytes: response_bytes * 2,
                peers: 6,
                ..Limits::default()
            };
            Config::default().with_limits(limits).expect("every limit is at least 1")
        },
    )
}

fn run(config: Config, ops: &[Op]) -> u64 {
    let mut harness = Harness::new(config, [7; 32]);
    for op in ops {
        harness.apply(op);
    }
    harness.heal()
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
        let mut harness = Harness::new(Config::default(), [7; 32]);
        for op in &ops {
            harness.apply(op);
        }
        harness.apply(&Op::Shutdown);
        harness.apply(&Op::Drain);
        prop_assert_eq!(harness.engine().stats().wants, 0);
        harness.heal();
    }
}

/// The clock jumps by a year and back, and stands at both ends of its range.
#[test]
fn a_clock_that_jumps_breaks_nothing() {
    let year = Duration::from_secs(365 * 86_400).as_micros() as u32;
    let mut ops = vec![
        Op::Connect(0, Version::V1_2),
        Op::Session(SessionOp {
            peers: PeerSet::Any,
            fail: false,
            timeout_ms: None,
            window_bytes: 1 << 20,
            search: true,
        }),
        Op::want(0, vec![1, 2, 3]),
        Op::Drain,
    ];
    for jump in [i32::MAX, i32::MIN, year as i32, -1, 0, 1] {
        ops.extend([Op::Clock(jump), Op::Drain, Op::Deadline, Op::Drain]);
    }
    run(Config::default(), &ops);
}
