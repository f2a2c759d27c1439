//! Settings of the behaviour.

use std::time::Duration;

use bitswap_core::Version;
use bitswap_core::error::ConfigError;

use crate::progress::READ_WINDOW;

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(600);

/// Settings of a [`Behaviour`](crate::Behaviour). [`Config::default`] is right for most programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) engine: bitswap_core::Config,
    pub(crate) inbound_streams_max: usize,
    pub(crate) items_per_second: u32,
    pub(crate) stall_window: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) peer_histories_max: usize,
    pub(crate) newest: Version,
    pub(crate) lazy_negotiation: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: bitswap_core::Config::default(),
            inbound_streams_max: 512,
            items_per_second: 262_144,
            stall_window: Duration::from_secs(10),
            open_timeout: Duration::from_secs(10),
            peer_histories_max: 4096,
            newest: Version::V1_2,
            lazy_negotiation: false,
        }
    }
}

impl Config {
    /// Settings of the engine: limits, rates, deadlines.
    #[must_use]
    pub fn with_engine(mut self, engine: bitswap_core::Config) -> Self {
        self.engine = engine;
        self
    }

    /// The settings of the engine.
    #[must_use]
    pub const fn engine(&self) -> &bitswap_core::Config {
        &self.engine
    }

    /// Streams of one connection that are read at a time; above it the one that was silent for
    /// the longest is reset. Some peers answer on hundreds of streams at once and do not repeat
    /// what was refused. Stops a peer from holding memory by opening streams. Default 512.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 8 to 65 536.
    pub fn with_inbound_streams_max(mut self, streams: usize) -> Result<Self, ConfigError> {
        ConfigError::check("inbound_streams_max", streams as u64, 8..=65_536)?;
        self.inbound_streams_max = streams;
        Ok(self)
    }

    /// Entries, presences and blocks nobody asked it for that one peer may send per second, over all its
    /// connections; a message without a block that was asked for counts as one more. Beyond, its streams
    /// are not read for a while. A second's worth can be saved up. Stops a peer from keeping the swarm's
    /// task busy: each item takes the engine a microsecond or two. Default 262 144: who is served 256 MiB/s
    /// in blocks of 1 KiB asks for as many.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 1024 to 16 777 216.
    pub fn with_items_per_second(mut self, items: u32) -> Result<Self, ConfigError> {
        ConfigError::check("items_per_second", u64::from(items), 1024..=1 << 24)?;
        self.items_per_second = items;
        Ok(self)
    }

    /// A stream on which the peer has begun a message must move 10 KiB in this time or finish, or it is reset; one on which
    /// we have, 30 KiB in three times this, because a slow path takes bytes in steps. Stops peers that hold memory by
    /// reading or writing a byte now and then. Default 10 s.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 10 ms to 10 min.
    pub fn with_stall_window(mut self, window: Duration) -> Result<Self, ConfigError> {
        ConfigError::check("stall_window", window, SHORTEST..=LONGEST)?;
        self.stall_window = window;
        Ok(self)
    }

    /// How long the negotiation of a stream may take. Default 10 s.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 10 ms to 10 min.
    pub fn with_open_timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        ConfigError::check("open_timeout", timeout, SHORTEST..=LONGEST)?;
        self.open_timeout = timeout;
        Ok(self)
    }

    /// Peers that have left and of which is remembered how they served us; the ones that left
    /// first are forgotten. Default 4096.
    #[must_use]
    pub const fn with_peer_histories_max(mut self, peers: usize) -> Self {
        self.peer_histories_max = peers;
        self
    }

    /// The newest version that is spoken; older ones are spoken too. Default 1.2.0. Lower it to see how
    /// a program gets on with old peers: without 1.2.0 nobody says that a block is missing, and
    /// without 1.1.0 only CIDv0 blocks can be moved.
    #[must_use]
    pub const fn with_newest(mut self, version: Version) -> Self {
        self.newest = version;
        self
    }

    /// A stream is written to without waiting for the peer to agree to the version, which is the newest or the one it
    /// agreed to last: that saves a round trip for the first want and for the first answer. After a stream failed, the
    /// version is agreed on once. Needs a swarm that negotiates lazily
    /// ([`with_substream_upgrade_protocol_override`](libp2p_swarm::Config::with_substream_upgrade_protocol_override)`(V1Lazy)`),
    /// and somebody who measures round trips, which are no longer seen in how long a stream takes to open:
    /// [`Behaviour::set_round_trip`](crate::Behaviour::set_round_trip). Default: the peer is waited for.
    #[must_use]
    pub const fn with_lazy_negotiation(mut self) -> Self {
        self.lazy_negotiation = true;
        self
    }

    /// The time between two looks at the progress of streams.
    pub(crate) fn tick(&self) -> Duration {
        self.stall_window / READ_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_bounds_are_refused_by_name() {
        let field = |refused: Result<Config, ConfigError>| refused.unwrap_err().setting();
        assert_eq!(field(Config::default().with_inbound_streams_max(7)), "inbound_streams_max");
        assert_eq!(field(Config::default().with_items_per_second(1023)), "items_per_second");
        assert_eq!(field(Config::default().with_stall_window(Duration::ZERO)), "stall_window");
        assert_eq!(field(Config::default().with_open_timeout(Duration::MAX)), "open_timeout");
        assert!(Config::default().with_inbound_streams_max(8).is_ok());
        assert_eq!(Config::default().tick(), Duration::from_secs(1));
    }
}
