//! The suite that every runtime runs: real nodes, real sockets on loopback, real files.
//!
//! A runtime's crate calls [`suite!`](crate::suite) in a test and gets one `#[test]` for each line.
//! Nothing here sleeps to wait for something: everything that is waited for is an event. A test
//! that hangs fails after a minute.

mod authority;
#[expect(missing_docs, reason = "the names of tests say it")]
mod blocks;
#[expect(missing_docs, reason = "the names of tests say it")]
mod discovering;
#[expect(missing_docs, reason = "the names of tests say it")]
mod fetching;
#[expect(missing_docs, reason = "the names of tests say it")]
mod finding;
mod gated;
mod hooked;
#[expect(missing_docs, reason = "the names of tests say it")]
mod hostile;
#[expect(missing_docs, reason = "the names of tests say it")]
mod losing;
#[expect(missing_docs, reason = "the names of tests say it")]
mod observing;
mod path;
#[expect(missing_docs, reason = "the names of tests say it")]
mod policy;
pub mod raw;
#[expect(missing_docs, reason = "the names of tests say it")]
mod reading;
#[expect(missing_docs, reason = "the names of tests say it")]
mod resuming;
#[expect(missing_docs, reason = "the names of tests say it")]
mod sharing;
#[expect(missing_docs, reason = "the names of tests say it")]
mod stalling;
#[expect(missing_docs, reason = "the names of tests say it")]
mod trees;
#[expect(missing_docs, reason = "the names of tests say it")]
mod wss;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures::future::{Either, select};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

pub use self::authority::Authority;
pub use self::path::DelayedPath;
pub use crate::fs::faulty::{Fault, FaultyFs};
use crate::node::Node;
use crate::runtime::Runtime;

/// The tests of this module, by name.
pub mod tests {
    pub use super::blocks::*;
    pub use super::discovering::*;
    pub use super::fetching::*;
    pub use super::finding::*;
    pub use super::hostile::*;
    pub use super::losing::*;
    pub use super::observing::*;
    pub use super::path::a_large_file_takes_few_round_trips;
    pub use super::policy::*;
    pub use super::reading::*;
    pub use super::resuming::*;
    pub use super::sharing::*;
    pub use super::stalling::*;
    pub use super::trees::*;
    pub use super::wss::*;
}

/// Makes one `#[test]` of each test of the suite. `$run` is a function that takes a test, as in
/// `fn run<F: Future<Output = ()>>(test: fn(MyRuntime) -> F)`.
#[macro_export]
macro_rules! suite {
    ($run:path) => {
        $crate::suite! { $run:
            a_block_is_got_once_and_then_it_is_here
            a_get_waits_for_a_peer_to_come
            a_preferred_peer_is_asked_alone_for_what_it_has_and_others_for_what_it_lacks
            a_get_waits_for_a_block_to_be_put
            a_get_is_sent_again_after_a_reconnect
            a_get_that_is_dropped_leaves_no_want_behind
            a_want_is_known_to_whoever_asks_about_it_next
            a_get_fails_with_what_each_peer_said_when_all_lack_the_block
            a_peer_that_may_not_have_a_block_hears_that_it_is_not_there
            a_put_at_any_point_of_a_get_wakes_it
            an_identity_block_needs_nobody
            a_block_above_the_limit_is_refused
            a_thousand_blocks_come_through_one_session
            many_blocks_come_as_often_as_they_are_asked_for
            a_block_that_cannot_be_asked_for_fails_alone
            what_is_asked_for_together_is_cancelled_together
            one_block_wanted_by_many_is_fetched_once
            a_node_that_stops_ends_what_waits_for_it
            a_node_without_handles_closes_its_connections
            files_of_every_shape_arrive_equal_and_leave_nothing_else_behind
            a_shared_file_is_not_copied
            a_leaf_that_a_file_repeats_is_collected_once
            a_leaf_that_cannot_be_made_again_is_not_promised
            a_file_that_changed_is_not_served
            a_block_that_left_its_file_may_be_in_the_store_that_fails
            a_missing_file_is_not_shared
            only_regular_files_are_shared
            a_file_that_changes_while_it_is_shared_is_refused
            a_file_that_is_written_to_all_the_time_is_not_waited_for_for_ever
            a_file_that_says_no_size_is_shared_with_all_its_bytes
            what_is_fetched_and_not_shared_leaves_no_block_behind
            a_fetched_file_is_served_by_its_fetcher
            a_shared_folder_is_not_copied
            a_fetched_folder_is_served_by_its_fetcher
            a_folder_is_listed_and_followed_into
            a_small_file_costs_two_operations_and_no_sync_of_its_own
            what_cannot_be_shared_of_a_folder_is_named
            of_a_folder_that_cannot_be_shared_no_file_stays_shared
            a_link_that_is_named_stands_for_what_it_leads_to
            a_folder_is_compared_with_its_cid_and_each_difference_is_told
            a_file_is_read_in_order
            what_is_read_is_kept_only_in_a_store_that_was_given_for_it
            a_reader_holds_no_more_than_its_window
            a_range_of_a_file_costs_its_leaves_and_no_more
            a_reader_that_seeks_drops_what_is_outside_of_its_window
            a_reader_that_is_dropped_leaves_no_want_behind
            a_reader_tells_what_is_missing_once_it_is_reached
            a_reader_gives_no_byte_for_a_block_that_does_not_fit
            a_fetch_says_what_it_waits_for
            a_stall_says_that_no_peer_is_connected
            a_stall_says_that_nobody_is_known_to_provide_it
            a_stall_says_that_all_who_were_asked_lack_the_block
            a_stall_says_that_peers_do_not_answer
            a_stall_says_that_the_disk_is_slow_and_ends_once_it_is_not
            a_stall_says_that_the_rate_limit_holds_it
            what_other_peers_lack_is_fetched_first_when_the_rarest_goes_first
            a_fetch_does_not_replace_another_file
            a_fetch_of_what_is_there_fetches_no_leaf
            a_second_fetch_to_the_same_target_is_refused
            a_fetch_makes_durable_what_it_claims_before_it_claims_it_and_before_it_renames
            three_fetches_at_once_arrive_equal
            a_wrong_block_of_the_local_store_is_fetched_from_a_peer
            a_stopped_fetch_goes_on_where_it_was
            a_temporary_file_that_was_altered_is_repaired_whatever_is_to_be_checked
            a_temporary_file_that_another_program_puts_in_its_place_gets_no_name
            a_temporary_file_that_another_program_writes_to_is_compared_before_it_gets_a_name
            what_is_trusted_is_told_and_not_hashed
            a_full_disk_ends_a_fetch_and_what_was_written_is_kept
            a_cancelled_fetch_leaves_nothing
            a_full_disk_pauses_a_fetch_and_loses_nothing
            a_file_is_closed_before_it_is_renamed_and_a_passing_failure_is_tried_again
            a_directory_or_garbage_is_no_file
            a_fetch_never_waits_for_what_is_not_a_file
            a_target_that_leads_to_the_temporary_file_costs_nothing
            two_connects_make_one_connection
            oneself_cannot_be_connected
            a_peer_that_discovery_finds_is_connected
            a_provider_is_dialled_and_asked
            a_want_that_fails_when_missing_waits_for_the_provider_being_dialled
            a_lookup_ends_when_its_provider_cannot_be_dialled
            silent_providers_leave_dials_for_the_user_and_for_the_provider_that_answers
            a_provider_is_dialled_once_the_dials_of_others_leave_room
            a_want_waits_for_a_provider_although_another_peer_is_lost
            a_name_is_neither_missing_nor_published_when_nobody_in_the_dht_answers
            a_name_is_published_for_any_time_and_for_less_than_before
            a_name_is_renewed_until_somebody_publishes_another_value
            a_provider_is_found_through_the_dht_by_who_knows_another_peer_only
            blocks_are_provided_up_to_the_bound
            connections_that_say_nothing_give_way_to_one_that_does
            new_connections_find_room_and_peers_of_use_keep_theirs
            a_want_outlives_a_connection_that_is_lost_and_made_again
            what_others_lack_is_missing_only_once_a_lost_peer_is_given_up
            what_is_put_while_a_lost_peer_is_waited_for_ends_the_want
            a_want_ends_when_a_lost_peer_stays_away_for_the_grace
            a_node_that_came_back_with_another_identity_is_found_at_its_address
            a_port_is_listened_on_by_one_node_only
            a_large_file_takes_few_round_trips
            no_more_bytes_go_than_the_rates_allow_and_the_rates_change_meanwhile
            a_crowd_serves_itself_while_it_fetches
            what_rules_deny_is_not_there_for_whom_they_deny_it
            what_a_denylist_denies_is_asked_of_nobody_and_the_rest_is_got
            only_who_has_the_key_of_a_private_network_connects
            wss_is_listened_on_and_dialled_by_whoever_believes_the_certificate
            wss_is_not_listened_on_without_a_certificate
            metrics_say_over_http_what_was_moved
            who_sends_a_metrics_server_nothing_holds_up_nobody_else
            who_has_a_file_is_told_with_what_each_delivered
            a_transfer_that_fails_says_why
            a_check_says_what_one_peer_has_and_how_much_of_it_came
        }
    };
    ($run:path: $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                $run($crate::testing::tests::$test);
            }
        )*
    };
}

/// How long one step of a test may take. The slowest machine, busy with other tests, is done long before; what is not,
/// never is.
const STEP_MAX: Duration = Duration::from_secs(90);

/// Runs a test that is to fail if it hangs.
///
/// # Panics
///
/// When it has not ended after some minutes.
pub async fn unless_it_hangs(runtime: &Arc<dyn Runtime>, test: impl Future<Output = ()>) {
    let limit = runtime.sleep(STEP_MAX * 3);
    match select(Box::pin(test), limit).await {
        Either::Left(((), _)) => {}
        Either::Right(((), _)) => panic!("the test hangs"),
    }
}

/// A node that can be dialled.
async fn server(runtime: &Arc<dyn Runtime>) -> Node {
    Node::builder(runtime.clone()).with_listen_address(loopback()).start().await.unwrap()
}

/// A node that only dials.
async fn client(runtime: &Arc<dyn Runtime>) -> Node {
    Node::builder(runtime.clone()).start().await.unwrap()
}

/// A client, connected to a server.
async fn pair(runtime: &Arc<dyn Runtime>) -> (Node, Node) {
    let (server, client) = (server(runtime).await, client(runtime).await);
    connect(&client, &server).await;
    (server, client)
}

async fn connect(from: &Node, to: &Node) {
    let address = to.addresses().await.unwrap().remove(0);
    assert_eq!(from.connect(address).await.unwrap(), to.peer_id());
}

fn loopback() -> Multiaddr {
    Multiaddr::empty().with(std::net::Ipv4Addr::LOCALHOST.into()).with(Protocol::Tcp(0))
}

/// The CID of a raw block.
fn raw(data: &[u8]) -> Cid {
    *bitswap_core::Block::raw(data.to_vec()).cid()
}

/// Bytes that differ everywhere.
fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Xoshiro256PlusPlus::seed_from_u64(len as u64).fill_bytes(&mut bytes);
    bytes
}

/// A directory with a file of these bytes in it.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("source");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Makes a pipe with a name.
#[cfg(unix)]
fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}
