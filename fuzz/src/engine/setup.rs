//! How an engine is set up.

use bitswap_core::{Config, Limits, Timestamp};

use crate::Input;

/// An engine's configuration, seed and first moment.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// The seed.
    pub seed: [u8; 32],
    /// The first moment.
    pub start: Timestamp,
}

impl Setup {
    /// Spelled by the first four bytes of an input.
    ///
    /// # Panics
    ///
    /// Never: all settings that can be spelled are allowed.
    pub fn read(input: &mut Input<'_>) -> Self {
        let [size, policy, start, seed] = input.array();
        let mut limits = Limits::default();
        if size & 1 == 1 {
            limits.peers = 5;
            limits.ledger_per_peer = u32::from(size >> 1 & 3) + 1;
            limits.ledger = u32::from(size >> 1 & 7) + 1;
            limits.response_bytes_per_peer = 1 << (size >> 3 & 15);
            limits.response_bytes = 1 << (size >> 3 & 15);
            limits.loads_per_peer = u32::from(size >> 4 & 3) + 1;
            limits.messages_per_stream = (size >> 5 & 3) + 1;
            limits.want_bytes_per_peer = 1 << (size >> 4 & 15);
            limits.sent_wants_per_peer = u32::from(size >> 6) + 1;
            limits.sent_wants = u32::from(size >> 2 & 7) + 1;
            limits.wants = 20;
            limits.sessions = 3;
            limits.entries_per_message = 3;
            limits.peer_histories = 2;
        }
        let config = Config::default().with_limits(limits).expect("no limit is zero");
        let config = config.with_serve(policy & 7 != 7);
        let replace = [Some(1024), Some(0), None, Some(65_536)][usize::from(policy >> 3 & 3)];
        let config = config.with_replace_have_bytes(replace).expect("at most 64 KiB");
        let config = config.with_fan_out((policy >> 5) + 1).expect("at least one");
        let start = match start & 7 {
            7 => u64::MAX - 1_000_000,
            6 => 1 << 63,
            at => u64::from(at),
        };
        Self { config, seed: [seed; 32], start: Timestamp::from_micros(start) }
    }
}
