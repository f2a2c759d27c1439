//! The name of every metric, and which counter it is.
//!
//! A test compares this list with the page of the docs: a line is the name, the counter, what it is, and how it is read.
//! To the name are added the unit, and `_total` where it is a counter.

use std::fmt;

use bitswap_core::{Fetched, Served, Stats as EngineStats};
use bitswap_libp2p::{Histogram, Traffic};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::Counters;

/// Microseconds, which times are counted in, of a second, which they are told in.
const MICROS: f64 = 1e6;

/// A metric.
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    read: Read,
}

/// How its value is read.
enum Read {
    Counter(fn(&Counters) -> u64),
    Gauge(fn(&Counters) -> u64),
    /// A histogram, and what a value of it is divided by.
    Histogram(fn(&Counters) -> &Histogram, f64),
}

/// Something that only grows.
const fn counter(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> u64,
) -> Family {
    Family { name, help, unit: None, read: Read::Counter(read) }
}

/// Bytes that only grow.
const fn bytes_counter(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> u64,
) -> Family {
    Family { name, help, unit: Some(Unit::Bytes), read: Read::Counter(read) }
}

/// What is there now.
const fn gauge(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> u64,
) -> Family {
    Family { name, help, unit: None, read: Read::Gauge(read) }
}

/// Bytes that are there now.
const fn bytes_gauge(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> u64,
) -> Family {
    Family { name, help, unit: Some(Unit::Bytes), read: Read::Gauge(read) }
}

/// How many of something there were each time.
const fn histogram(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> &Histogram,
) -> Family {
    Family { name, help, unit: None, read: Read::Histogram(read, 1.0) }
}

/// How large something was each time.
const fn bytes_histogram(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> &Histogram,
) -> Family {
    Family { name, help, unit: Some(Unit::Bytes), read: Read::Histogram(read, 1.0) }
}

/// How long something took each time.
const fn seconds_histogram(
    name: &'static str,
    _counter: &str,
    help: &'static str,
    read: fn(&Counters) -> &Histogram,
) -> Family {
    Family { name, help, unit: Some(Unit::Seconds), read: Read::Histogram(read, MICROS) }
}

const fn engine(counters: &Counters) -> &EngineStats {
    &counters.stats.bitswap.engine
}

const fn fetched(counters: &Counters) -> &Fetched {
    &engine(counters).fetched
}

const fn served(counters: &Counters) -> &Served {
    &engine(counters).served
}

const fn traffic(counters: &Counters) -> &Traffic {
    &counters.stats.bitswap.traffic
}

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    counter("bitswap_client_messages_sent", "Fetched.messages_sent", "Messages handed to the transport on the request stream", |c| fetched(c).messages_sent),
    counter("bitswap_client_want_blocks_sent", "Fetched.want_blocks_sent", "Want-blocks sent", |c| fetched(c).want_blocks_sent),
    counter("bitswap_client_want_haves_sent", "Fetched.want_haves_sent", "Want-haves sent", |c| fetched(c).want_haves_sent),
    counter("bitswap_client_cancels_sent", "Fetched.cancels_sent", "Cancels sent", |c| fetched(c).cancels_sent),
    counter("bitswap_client_blocks_received", "Fetched.blocks", "Blocks that ended a want", |c| fetched(c).blocks),
    bytes_counter("bitswap_client_blocks_received", "Fetched.bytes", "Bytes of the blocks that ended a want", |c| fetched(c).bytes),
    counter("bitswap_client_duplicate_blocks_received", "Fetched.duplicate_blocks", "Blocks that arrived again after their want had ended", |c| fetched(c).duplicate_blocks),
    bytes_counter("bitswap_client_duplicate_blocks_received", "Fetched.duplicate_bytes", "Bytes of the blocks that arrived again", |c| fetched(c).duplicate_bytes),
    counter("bitswap_client_unwanted_blocks_received", "Fetched.unwanted_blocks", "Blocks that were never asked of the peer that sent them, or are too large", |c| fetched(c).unwanted_blocks),
    counter("bitswap_client_haves_received", "Fetched.haves", "HAVEs received", |c| fetched(c).haves),
    counter("bitswap_client_dont_haves_received", "Fetched.dont_haves", "DONT_HAVEs received", |c| fetched(c).dont_haves),
    counter("bitswap_client_timeouts", "Fetched.timeouts", "Requests for a block that passed their deadline", |c| fetched(c).timeouts),
    counter("bitswap_server_messages_sent", "Served.messages_sent", "Messages handed to the transport on the response stream", |c| served(c).messages_sent),
    counter("bitswap_server_wants_received", "Served.wants", "Wants received", |c| served(c).wants),
    counter("bitswap_server_cancels_received", "Served.cancels", "Cancels received", |c| served(c).cancels),
    counter("bitswap_server_blocks_sent", "Served.blocks", "Blocks that the transport took", |c| served(c).blocks),
    bytes_counter("bitswap_server_blocks_sent", "Served.bytes", "Bytes of the blocks that the transport took", |c| served(c).bytes),
    counter("bitswap_server_haves_sent", "Served.haves", "HAVEs that the transport took", |c| served(c).haves),
    counter("bitswap_server_dont_haves_sent", "Served.dont_haves", "DONT_HAVEs that the transport took", |c| served(c).dont_haves),
    counter("bitswap_server_failed_sends", "Served.failed_sends", "Messages that the transport failed to send", |c| served(c).failed_sends),
    counter("bitswap_server_skipped_entries", "Served.skipped_entries", "Entries that were not applied: beyond a limit, or for a CID that cannot be served", |c| served(c).skipped_entries),
    counter("bitswap_server_evicted_wants", "Served.evicted_wants", "Wants that gave way to others in a full ledger", |c| served(c).evicted_wants),
    counter("bitswap_server_slow_resets", "Served.slow_resets", "Streams reset because a peer took its blocks too slowly while others were starved", |c| served(c).slow_resets),
    counter("bitswap_messages_received", "Stats.messages_received", "Messages received", |c| engine(c).messages_received),
    counter("bitswap_stale_inputs", "Stats.stale_inputs", "Inputs that named a peer, message or lookup that is gone", |c| engine(c).stale_inputs),
    gauge("bitswap_peers", "Stats.peers", "Peers connected", |c| engine(c).peers.into()),
    gauge("bitswap_sessions", "Stats.sessions", "Sessions open", |c| engine(c).sessions.into()),
    gauge("bitswap_wantlist_entries", "Stats.wants", "Wants that have not ended, each CID once", |c| engine(c).wants.into()),
    gauge("bitswap_sent_wants", "Stats.sent_wants", "Pairs of a want and a peer that it was sent to", |c| engine(c).sent_wants.into()),
    gauge("bitswap_ledger_entries", "Stats.ledger", "Wants of peers that are remembered", |c| engine(c).ledger.into()),
    bytes_gauge("bitswap_response_queue", "Stats.response_bytes", "Bytes of blocks being loaded, waiting to be sent or being sent", |c| engine(c).response_bytes),
    bytes_gauge("bitswap_memory_held", "Engine.held_bytes", "Bytes of memory that the engine holds, by its own sums", |c| c.held_bytes),
    bytes_counter("bitswap_stream_received", "Traffic.bytes_received", "Bytes read from streams", |c| traffic(c).bytes_received),
    bytes_counter("bitswap_stream_sent", "Traffic.bytes_sent", "Bytes that streams took", |c| traffic(c).bytes_sent),
    counter("bitswap_stream_refused_payloads", "Traffic.refused_payloads", "Payloads that were not hashed because the peer was never asked for such", |c| traffic(c).refused_payloads),
    counter("bitswap_stream_unverifiable_payloads", "Traffic.unverifiable_payloads", "Payloads whose prefix names an unknown or forbidden hash", |c| traffic(c).unverifiable_payloads),
    counter("bitswap_stream_ignored_items", "Traffic.ignored_items", "Entries and presences that nobody can serve, and items beyond the bound of a message", |c| traffic(c).ignored_items),
    counter("bitswap_streams_malformed", "Traffic.malformed_streams", "Streams reset because what they brought breaks the format", |c| traffic(c).malformed_streams),
    counter("bitswap_streams_stalled", "Traffic.stalled_streams", "Streams reset because they had stopped moving", |c| traffic(c).stalled_streams),
    counter("bitswap_streams_evicted", "Traffic.evicted_streams", "Streams of peers reset because more were open, or held, than are read", |c| traffic(c).evicted_streams),
    counter("bitswap_streams_failed", "Traffic.failed_streams", "Streams that the peer reset or ended within a message, or that failed with their connection", |c| traffic(c).failed_streams),
    counter("bitswap_stream_pauses", "Traffic.pauses", "Times that a connection was not read for a while because its peer had said too much", |c| traffic(c).pauses),
    counter("bitswap_stream_dropped_tasks", "Traffic.dropped_tasks", "Messages whose blocks were lost because the task that hashed them was dropped", |c| traffic(c).dropped_tasks),
    gauge("bitswap_store_calls", "bitswap_libp2p::Stats.store_calls", "Lookups and writes that the store has not answered yet", |c| c.stats.bitswap.store_calls as u64),
    gauge("bitswap_provider_lookups", "NodeStats.lookups", "Lookups of providers on their way", |c| c.stats.lookups as u64),
    gauge("bitswap_provided_blocks", "NodeStats.provided", "Blocks that are provided in the DHT", |c| c.stats.provided as u64),
    bytes_counter("bitswap_socket_received", "NodeStats.socket_received", "Bytes received over TCP, the framing of encryption and streams included", |c| c.stats.socket_received),
    bytes_counter("bitswap_socket_sent", "NodeStats.socket_sent", "Bytes sent over TCP, the framing of encryption and streams included", |c| c.stats.socket_sent),
    seconds_histogram("bitswap_block_latency", "NodeHistograms.block_latency", "From wanting a block to having it from a peer", |c| &c.histograms.block_latency),
    seconds_histogram("bitswap_time_to_first_block", "NodeHistograms.time_to_first_block", "From the first want of a session to its first block from a peer", |c| &c.histograms.time_to_first_block),
    histogram("bitswap_session_wants", "NodeHistograms.session_wants", "Wants that a session still had whenever a block came", |c| &c.histograms.session_wants),
    bytes_histogram("bitswap_message_received", "Histograms.message_sizes_received", "Messages received, without their lengths", |c| &c.histograms.bitswap.message_sizes_received),
    bytes_histogram("bitswap_message_sent", "Histograms.message_sizes_sent", "Messages that streams took, with their lengths", |c| &c.histograms.bitswap.message_sizes_sent),
    histogram("bitswap_inbox_messages", "Histograms.inbox_depth", "Messages of a peer that were waiting whenever it was its turn", |c| &c.histograms.bitswap.inbox_depth),
];

/// Encodes them all.
pub(super) fn encode(
    counters: &Counters,
    runtime: &str,
    mut encoder: DescriptorEncoder<'_>,
) -> fmt::Result {
    let what = "What runs: its version, and the async runtime";
    let build = [("version", env!("CARGO_PKG_VERSION")), ("runtime", runtime)];
    encoder
        .encode_descriptor("bitswap_build", what, None, MetricType::Info)?
        .encode_info(&build.as_slice())?;
    for Family { name, help, unit, read } in FAMILIES {
        let unit = unit.as_ref();
        match read {
            Read::Counter(read) => {
                let to = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
                ConstCounter::new(read(counters)).encode(to)?;
            }
            Read::Gauge(read) => {
                let to = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
                // Nothing that is there now is anywhere near the end of the type.
                ConstGauge::new(i64::try_from(read(counters)).unwrap_or(i64::MAX)).encode(to)?;
            }
            Read::Histogram(read, divisor) => {
                let mut to = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
                let values = read(counters);
                let told = |value: u64| value as f64 / divisor;
                let buckets: Vec<(f64, u64)> = values
                    .buckets()
                    .map(|(bound, count)| (bound.map_or(f64::INFINITY, told), count))
                    .collect();
                to.encode_histogram::<NoLabelSet>(
                    told(values.sum()),
                    values.count(),
                    &buckets,
                    None,
                )?;
            }
        }
    }
    Ok(())
}
