//! What happened on streams that the engine never hears of.

use std::ops::AddAssign;

/// Counters of streams and payloads, of one peer or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes read from streams.
    pub bytes_received: u64,
    /// Bytes that streams took.
    pub bytes_sent: u64,
    /// Payloads that were not hashed because the peer was never asked for such, or not for so many.
    pub refused_payloads: u64,
    /// Payloads whose prefix names an unknown or forbidden hash.
    pub unverifiable_payloads: u64,
    /// Entries and presences that nobody can serve, and items beyond the bound of a message.
    pub ignored_items: u64,
    /// Streams that were reset because what they brought breaks the format.
    pub malformed_streams: u64,
    /// Streams that were reset because they had stopped moving.
    pub stalled_streams: u64,
    /// Streams of the peer that were reset because it had more open than are read, or more bytes
    /// of unfinished messages on them than are held.
    pub evicted_streams: u64,
    /// Streams that the peer reset or ended within a message, or that failed with their connection.
    pub failed_streams: u64,
    /// Times that a connection was not read for a while because its peer had said more than
    /// [`Config::with_items_per_second`](crate::Config::with_items_per_second).
    pub pauses: u64,
    /// Messages whose blocks were lost because the spawner dropped the task that hashed them.
    pub dropped_tasks: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.refused_payloads += other.refused_payloads;
        self.unverifiable_payloads += other.unverifiable_payloads;
        self.ignored_items += other.ignored_items;
        self.malformed_streams += other.malformed_streams;
        self.stalled_streams += other.stalled_streams;
        self.evicted_streams += other.evicted_streams;
        self.failed_streams += other.failed_streams;
        self.pauses += other.pauses;
        self.dropped_tasks += other.dropped_tasks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_added_to_its_own() {
        let of = |n: u64| Traffic {
            bytes_received: n,
            bytes_sent: 2 * n,
            refused_payloads: 3 * n,
            unverifiable_payloads: 4 * n,
            ignored_items: 5 * n,
            malformed_streams: 6 * n,
            stalled_streams: 7 * n,
            evicted_streams: 8 * n,
            failed_streams: 9 * n,
            pauses: 10 * n,
            dropped_tasks: 11 * n,
        };
        let mut sum = of(1);
        sum += of(100);
        assert_eq!(sum, of(101));
    }
}
