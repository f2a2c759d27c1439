//! The tests by name: one for each attack.

use std::sync::Arc;

use super::super::unless_it_hangs;
use super::attacks::Attack;
use super::{holds_all_streams, leaves_nothing_behind};
use crate::runtime::Runtime;

pub async fn connections_that_say_nothing_leave_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::Silence, memory).await;
}

pub async fn garbage_instead_of_encryption_leaves_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::Garbage, memory).await;
}

pub async fn negotiations_that_never_end_leave_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::EndlessNegotiation, memory).await;
}

pub async fn streams_that_never_say_what_they_are_for_leave_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::UndecidedStreams, memory).await;
}

pub async fn a_peer_that_never_reads_leaves_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::NeverReading, memory).await;
}

pub async fn a_length_that_never_ends_leaves_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::EndlessLength, memory).await;
}

pub async fn a_frame_that_stops_moving_leaves_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::StoppingFrames, memory).await;
}

pub async fn giant_and_identity_cids_leave_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::StrangeCids, memory).await;
}

pub async fn a_million_wants_leave_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::MillionWants, memory).await;
}

pub async fn connections_that_come_and_go_leave_nothing_behind(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    leaves_nothing_behind(runtime, Attack::Churn, memory).await;
}

pub async fn all_streams_of_a_peer_hold_no_more_than_is_documented(
    runtime: Arc<dyn Runtime>,
    memory: fn() -> usize,
) {
    unless_it_hangs(&runtime.clone(), holds_all_streams(runtime, memory)).await;
}
