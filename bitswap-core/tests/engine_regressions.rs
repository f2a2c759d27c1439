//! Sequences of operations that random exploration found and shrank, each named for what it guards.

use bitswap_core::error::SendError;
use bitswap_core::{Config, Limits, PeerSet, ProtocolSupport, StreamKind, Version};
use bitswap_testing::{
    Harness, LoadOp, LoadPart, MessageOp, Op, Opened, ResponseOp, SessionOp, WantOp, WantedAs,
};

/// Applies the operations, then lets the world heal: the checker holds the engine to its contract
/// after every step.
fn run(config: Config, ops: &[Op]) {
    let mut harness = Harness::new(config, [7; 32]);
    ops.iter().for_each(|op| harness.apply(op));
    harness.heal();
}

fn session(only: Option<Vec<u8>>) -> Op {
    Op::Session(SessionOp {
        peers: only.map_or(PeerSet::Any, PeerSet::Only),
        fail: false,
        timeout_ms: None,
        window_bytes: 33_554_432,
        search: false,
    })
}

fn want_have(block: u8) -> WantOp {
    WantOp { block, priority: 0, cancel: false, whole: false, dont_have: false }
}

fn want_block(block: u8) -> WantOp {
    WantOp { whole: true, ..want_have(block) }
}

fn cancel(block: u8) -> WantOp {
    WantOp { cancel: true, ..want_have(block) }
}

#[test]
fn wants_beyond_what_silent_peers_may_be_sent_reach_a_peer_that_has_them() {
    let limits = Limits {
        peers: 6,
        ledger_per_peer: 1,
        ledger: 2,
        response_bytes_per_peer: 1,
        response_bytes: 2,
        loads_per_peer: 1,
        messages_per_stream: 1,
        sent_wants_per_peer: 5,
        sent_wants: 15,
        wants: 20,
        ..Limits::default()
    };
    let config = Config::default().with_limits(limits).expect("every limit is at least 1");
    run(
        config,
        &[
            session(Some(vec![55])),
            Op::Connect(225, Version::V1_2),
            session(None),
            Op::Connect(136, Version::V1_2),
            session(None),
            Op::Connect(9, Version::V1_2),
            Op::want(0, vec![34]),
            Op::want(2, vec![137, 81]),
            Op::Connect(232, Version::V1_2),
            Op::want(1, vec![107, 15, 6]),
            Op::Support(75, ProtocolSupport::No),
            Op::want(0, vec![137, 209, 134]),
            Op::Drain,
            Op::wantlist(65, vec![], false),
            Op::Sent(0, Err(SendError::Closed)),
        ],
    );
}

#[test]
fn a_shut_down_engine_sets_no_timer_for_a_stream_that_it_has_no_use_for() {
    let mut harness = Harness::new(Config::default(), [7; 32]);
    let ops = [
        session(None),
        Op::Connect(71, Version::V1_2),
        Op::want(0, vec![0]),
        Op::Drain,
        Op::Opened(0, Opened::Failed),
        Op::want(0, vec![]),
        Op::Clock(100_000),
        Op::Drain,
        Op::Opened(0, Opened::Yes),
        Op::Reset(131, StreamKind::Requests),
        Op::Wait(200_000),
        Op::Shutdown,
        Op::Drain,
    ];
    ops.iter().for_each(|op| harness.apply(op));
    harness.heal();
}

#[test]
fn a_whole_wantlist_that_crosses_a_small_block_has_its_want_have_answered() {
    run(
        Config::default(),
        &[
            Op::Connect(55, Version::V1_2),
            Op::wantlist(0, vec![cancel(228), want_have(84)], false),
            Op::Store(vec![228]),
            Op::Drain,
            Op::Opened(0, Opened::Yes),
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::Drain,
            Op::wantlist(65, vec![want_have(148)], true),
        ],
    );
}

#[test]
fn a_want_have_after_a_lost_block_does_not_replace_the_want_for_the_block() {
    run(
        Config::default(),
        &[
            Op::Connect(158, Version::V1_2),
            Op::wantlist(213, vec![want_block(12)], false),
            Op::Drain,
            Op::Opened(0, Opened::Yes),
            Op::Store(vec![204]),
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::Drain,
            Op::Sent(0, Ok(())),
            Op::Clock(10_000_001),
            Op::Reset(153, StreamKind::Responses),
            Op::wantlist(233, vec![want_have(76)], false),
        ],
    );
}

#[test]
fn a_block_that_arrives_after_the_message_before_it_failed_answers_its_want() {
    let asking = WantOp { block: 73, priority: 0, cancel: false, whole: true, dont_have: true };
    run(
        Config::default(),
        &[
            Op::Connect(180, Version::V1_2),
            Op::wantlist(95, vec![asking, want_have(5), want_block(22)], false),
            Op::Drain,
            Op::Opened(0, Opened::Yes),
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::Drain,
            Op::Store(vec![121]),
            Op::Drain,
            Op::Loaded(1, LoadOp::True, LoadPart::First),
            Op::Drain,
            Op::Sent(0, Err(SendError::Closed)),
        ],
    );
}

/// Room for six pairs of a want and a peer, two of them with each peer.
fn room_for_six() -> Config {
    let mut limits = Limits::default();
    (limits.peers, limits.sent_wants, limits.sent_wants_per_peer, limits.wants) = (6, 6, 2, 15);
    (limits.ledger_per_peer, limits.ledger, limits.loads_per_peer) = (2, 4, 1);
    (limits.response_bytes_per_peer, limits.response_bytes, limits.messages_per_stream) = (1, 2, 1);
    Config::default().with_limits(limits).expect("all are above 0")
}

#[test]
fn a_session_with_silent_peers_takes_no_room_that_another_needs_for_one_that_answers() {
    run(
        room_for_six(),
        &[
            Op::Connect(212, Version::V1_2),
            Op::Connect(183, Version::V1_2),
            session(None),
            Op::Connect(25, Version::V1_2),
            Op::Connect(91, Version::V1_2),
            session(Some(vec![40, 56])),
            Op::Session(SessionOp {
                peers: PeerSet::Any,
                fail: false,
                timeout_ms: None,
                window_bytes: 0,
                search: false,
            }),
            Op::want(2, vec![8, 29]),
            Op::want(1, vec![14, 31, 200]),
            Op::Opened(0, Opened::Yes),
            Op::want(1, vec![0, 1, 194, 67, 20]),
        ],
    );
}

#[test]
fn a_have_that_arrived_stands_when_the_message_before_it_failed() {
    let whether = WantOp { dont_have: true, ..want_have(24) };
    run(
        Config::default(),
        &[
            Op::Connect(14, Version::V1_2),
            Op::wantlist(109, vec![want_block(0), whether], false),
            Op::Drain,
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::Opened(0, Opened::Yes),
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::responses(0, vec![]),
            Op::Drain,
            Op::Store(vec![136]),
            Op::Drain,
            Op::Loaded(0, LoadOp::True, LoadPart::First),
            Op::Reset(0, StreamKind::Requests),
            Op::Drain,
            Op::Sent(1, Ok(())),
            Op::Sent(0, Err(SendError::Closed)),
        ],
    );
}

#[test]
fn a_have_that_nobody_asked_for_takes_no_place_of_a_want_that_is_to_be_asked() {
    let mut limits = Limits::default();
    (limits.peers, limits.sent_wants, limits.sent_wants_per_peer, limits.wants) = (6, 3, 1, 6);
    (limits.ledger_per_peer, limits.ledger, limits.loads_per_peer) = (1, 2, 1);
    (limits.response_bytes_per_peer, limits.response_bytes, limits.messages_per_stream) = (1, 2, 1);
    run(
        Config::default().with_limits(limits).expect("all are above 0"),
        &[
            Op::Wait(0),
            Op::Connect(72, Version::V1_2),
            session(None),
            session(None),
            Op::want(0, vec![68, 9, 71]),
            Op::Wait(0),
            Op::Drain,
            Op::Opened(0, Opened::Yes),
            Op::Drain,
            Op::responses(47, vec![ResponseOp::Block(196)]),
            Op::responses(72, vec![ResponseOp::Have(71)]),
        ],
    );
}

#[test]
fn a_want_that_is_cancelled_at_the_end_of_a_message_had_its_place_in_a_full_ledger_until_then() {
    let mut limits = Limits::default();
    (limits.ledger_per_peer, limits.ledger) = (4, 8);
    run(
        Config::default().with_limits(limits).expect("all are above 0"),
        &[
            Op::Store(vec![14]),
            Op::Connect(4, Version::V1_2),
            Op::wantlist(
                4,
                vec![want_have(6), want_have(11), WantOp { priority: i32::MIN, ..want_block(14) }],
                false,
            ),
            Op::wantlist(
                4,
                vec![
                    WantOp { priority: i32::MAX, ..want_have(5) },
                    want_have(15),
                    want_have(14),
                    cancel(5),
                ],
                false,
            ),
        ],
    );
}

#[test]
fn a_want_that_an_old_stream_cannot_carry_waits_until_it_is_asked_for_again() {
    run(
        Config::default(),
        &[
            Op::Connect(1, Version::V1_2),
            Op::wantlist(1, vec![want_have(1), want_block(4)], false),
            Op::Drain,
            Op::Open(1, StreamKind::Responses, Ok(Version::V1_0)),
            Op::Store(vec![4, 1]),
            Op::Loaded(0, LoadOp::Absent, LoadPart::All),
            Op::Drain,
            Op::Deadline,
            Op::Loaded(0, LoadOp::True, LoadPart::All),
        ],
    );
}

#[test]
fn a_want_that_is_to_be_asked_for_later_keeps_no_room_at_silent_peers_that_a_more_urgent_one_needs()
{
    let mut limits = Limits::default();
    (limits.peers, limits.sent_wants, limits.sent_wants_per_peer, limits.wants) = (6, 3, 1, 3);
    let urgent = WantedAs { priority: 1, sized: false };
    run(
        Config::default().with_limits(limits).expect("all are above 0"),
        &[
            Op::Connect(0, Version::V1_2),
            Op::Connect(1, Version::V1_2),
            session(None),
            Op::want(0, vec![0]),
            Op::Drain,
            Op::Want(0, vec![1], urgent),
            Op::Wait(1_015_625),
            Op::Connect(2, Version::V1_2),
        ],
    );
}

/// The store gave the block's bytes, and in answer to an earlier lookup said that it lacks it.
#[test]
fn a_block_that_was_sent_is_not_owed_again_when_it_comes_into_the_store() {
    let dont_have = |block| WantOp { dont_have: true, ..want_have(block) };
    run(
        Config::default(),
        &[
            Op::Connect(2, Version::V1_2),
            Op::wantlist(2, vec![dont_have(6), dont_have(2)], true),
            Op::Drain,
            Op::wantlist(2, vec![want_block(6), want_block(7)], true),
            Op::Drain,
            Op::Loaded(
                127,
                LoadOp::Has { blocks: vec![6, 2], fails: false },
                LoadPart::Blocks(vec![6]),
            ),
            Op::Settle(vec![10]),
            Op::Store(vec![6]),
        ],
    );
}

/// A peer that delivers has no place for another want, because it lacks the block of the one that it was sent.
#[test]
fn a_want_waits_for_no_peer_whose_places_are_taken_by_what_it_lacks() {
    let limits = Limits {
        peers: 6,
        messages_per_stream: 1,
        sent_wants_per_peer: 1,
        sent_wants: 3,
        wants: 13,
        ..Limits::default()
    };
    let config = Config::default().with_limits(limits).expect("every limit is at least 1");
    let urgent = WantedAs { priority: 1, sized: false };
    run(
        config,
        &[
            session(None),
            Op::Remember(236),
            Op::want(0, vec![28, 0]),
            Op::Connect(16, Version::V1_2),
            Op::want(0, vec![]),
            Op::Drain,
            Op::Connect(7, Version::V1_2),
            Op::Drain,
            Op::Opened(43, Opened::Yes),
            Op::Want(0, vec![33], urgent),
            Op::Drain,
            Op::Message(
                11,
                MessageOp {
                    entries: vec![],
                    full: false,
                    responses: vec![ResponseOp::Block(48), ResponseOp::DontHave(172)],
                },
            ),
        ],
    );
}

/// The store said that it has the block, and in answer to an earlier lookup that it lacks it.
#[test]
fn a_have_that_was_sent_is_not_owed_again_when_the_block_comes_into_the_store() {
    let dont_have = |block| WantOp { dont_have: true, ..want_have(block) };
    run(
        Config::default(),
        &[
            Op::Connect(3, Version::V1_2),
            Op::wantlist(3, vec![want_block(10)], false),
            Op::Drain,
            Op::wantlist(3, vec![want_block(2)], true),
            Op::Drain,
            Op::wantlist(3, vec![dont_have(10)], false),
            Op::Drain,
            Op::Loaded(
                44,
                LoadOp::Has { blocks: vec![10], fails: false },
                LoadPart::Blocks(vec![10, 2]),
            ),
            Op::Settle(vec![]),
            Op::Store(vec![10]),
        ],
    );
}

/// The lookup of a want that was replaced answers last: that the store lacks the block.
#[test]
fn bytes_that_the_store_gave_are_sent_although_an_earlier_lookup_and_new_blocks_come_between() {
    let dont_have = WantOp { dont_have: true, ..want_block(6) };
    run(
        Config::default(),
        &[
            Op::Connect(2, Version::V1_2),
            Op::wantlist(2, vec![dont_have], true),
            Op::Drain,
            Op::wantlist(2, vec![want_block(6), want_block(10)], true),
            Op::Drain,
            Op::Loaded(
                29,
                LoadOp::Has { blocks: vec![6, 2], fails: false },
                LoadPart::Blocks(vec![6, 10, 2]),
            ),
            Op::Loaded(
                57,
                LoadOp::Has { blocks: vec![10, 7], fails: false },
                LoadPart::Blocks(vec![6, 7]),
            ),
            Op::Store(vec![6]),
        ],
    );
}

/// A message without blocks was taken after a while, and a block followed it; another peer is starved meanwhile.
#[test]
fn a_stream_is_not_reset_before_its_peer_has_had_two_seconds_to_take_a_block() {
    let limits = Limits {
        peers: 6,
        ledger_per_peer: 3,
        ledger: 6,
        response_bytes_per_peer: 1,
        response_bytes: 2,
        loads_per_peer: 1,
        messages_per_stream: 2,
        sent_wants_per_peer: 1,
        sent_wants: 3,
        wants: 1,
        ..Limits::default()
    };
    let config = Config::default().with_limits(limits).expect("every limit is at least 1");
    let have = WantOp { dont_have: true, ..want_have(0) };
    run(
        config,
        &[
            Op::Connect(53, Version::V1_2),
            Op::wantlist(33, vec![want_block(37), have], false),
            Op::Drain,
            Op::Loaded(0, LoadOp::True, LoadPart::All),
            Op::Store(vec![213]),
            Op::Opened(0, Opened::Yes),
            Op::Drain,
            Op::Wait(853_240),
            Op::Connect(65, Version::V1_2),
            Op::Loaded(98, LoadOp::True, LoadPart::All),
            Op::wantlist(115, vec![want_block(0)], false),
            Op::Drain,
            Op::Sent(20, Ok(())),
            Op::Wait(1_162_385),
        ],
    );
}
