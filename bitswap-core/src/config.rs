//! Every setting of the engine.

use core::time::Duration;

use crate::byte_size::ByteSize;
use crate::error::ConfigError;
use crate::limits::{BLOCK_BYTES_MAX, Limits};
use crate::output::Rates;

const TENTH: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

/// Settings of an [`Engine`](crate::Engine). [`Config::default`] is right for most hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Config {
    pub(crate) limits: Limits,
    pub(crate) rates: Rates,
    pub(crate) serve: bool,
    pub(crate) block_bytes_max: u32,
    pub(crate) replace_have_bytes: Option<u32>,
    pub(crate) response_target_bytes: u32,
    pub(crate) stream_idle: Duration,
    pub(crate) open_retry: Duration,
    pub(crate) fan_out: u8,
    pub(crate) peers_per_want_max: u16,
    pub(crate) first_deadline: Duration,
    pub(crate) deadline_min: Duration,
    pub(crate) deadline_max: Duration,
    pub(crate) search_interval: Duration,
    pub(crate) hedge_per_mille: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            rates: Rates::default(),
            serve: true,
            block_bytes_max: BLOCK_BYTES_MAX as u32,
            replace_have_bytes: Some(1024),
            response_target_bytes: 16 << 10,
            stream_idle: Duration::from_secs(5),
            open_retry: Duration::from_millis(100),
            fan_out: 16,
            peers_per_want_max: 64,
            first_deadline: Duration::from_secs(1),
            deadline_min: Duration::from_millis(50),
            deadline_max: Duration::from_secs(7),
            search_interval: Duration::from_secs(10),
            hedge_per_mille: 30,
        }
    }
}

impl Config {
    /// Bounds on memory and work.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a limit is zero or too small to make progress with.
    pub fn with_limits(mut self, limits: Limits) -> Result<Self, ConfigError> {
        let Limits {
            peers,
            ledger_per_peer,
            ledger,
            response_bytes_per_peer,
            response_bytes,
            loads_per_peer,
            messages_per_stream,
            want_bytes_per_peer,
            sent_wants_per_peer,
            sent_wants,
            wants,
            sessions,
            entries_per_message,
            // None is kept then.
            peer_histories: _,
        } = limits;
        for (setting, value) in [
            ("limits.peers", peers),
            ("limits.ledger_per_peer", ledger_per_peer),
            ("limits.ledger", ledger),
            ("limits.loads_per_peer", loads_per_peer),
            ("limits.sent_wants_per_peer", sent_wants_per_peer),
            ("limits.sent_wants", sent_wants),
            ("limits.wants", wants),
            ("limits.sessions", sessions),
            ("limits.entries_per_message", entries_per_message),
        ] {
            check_count(setting, value, 1, u32::MAX)?;
        }
        for (setting, bytes) in [
            ("limits.response_bytes_per_peer", response_bytes_per_peer),
            ("limits.response_bytes", response_bytes),
            ("limits.want_bytes_per_peer", want_bytes_per_peer),
        ] {
            check_bytes(setting, bytes, 1, u32::MAX)?;
        }
        check_count("limits.messages_per_stream", u32::from(messages_per_stream), 1, 16)?;
        self.limits = limits;
        Ok(self)
    }

    /// Limits on bandwidth, until [`Engine::set_rates`](crate::Engine::set_rates). Default: none.
    #[must_use]
    pub const fn with_rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// The limits on bandwidth that an engine starts with.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        self.rates
    }

    /// Whether peers are served at all. A node that does not serve ignores wantlists, and no answer
    /// tells that from absence. Default: yes.
    #[must_use]
    pub const fn with_serve(mut self, serve: bool) -> Self {
        self.serve = serve;
        self
    }

    /// The largest block, in bytes, that is sent or taken. A larger one of our own counts as absent, and
    /// a peer that sends a larger one as a peer that lacks it. Default: [`BLOCK_BYTES_MAX`], the largest
    /// that fits a message. The specification asks for 2 MiB and advises against more.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for 0 and above [`BLOCK_BYTES_MAX`].
    pub fn with_block_bytes_max(mut self, bytes: u32) -> Result<Self, ConfigError> {
        check_bytes("block_bytes_max", bytes, 1, BLOCK_BYTES_MAX as u32)?;
        self.block_bytes_max = bytes;
        Ok(self)
    }

    /// The largest block, in bytes, that answers a want-have by itself; `None`: only HAVE does.
    /// Default 1024, as other implementations have it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] above 64 KiB: a 50-byte want-have must not draw out much more.
    pub fn with_replace_have_bytes(mut self, bytes: Option<u32>) -> Result<Self, ConfigError> {
        check_bytes("replace_have_bytes", bytes.unwrap_or(0), 0, 64 << 10)?;
        self.replace_have_bytes = bytes;
        Ok(self)
    }

    /// Block bytes after which an answer is sent rather than filled further: a receiver can use
    /// nothing of a message before it has all of it. Default 16 KiB.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 1 B to 2 MiB.
    pub fn with_response_target_bytes(mut self, bytes: u32) -> Result<Self, ConfigError> {
        check_bytes("response_target_bytes", bytes, 1, 2 << 20)?;
        self.response_target_bytes = bytes;
        Ok(self)
    }

    /// How long a stream of ours may have nothing to say before it is closed. Default 5 s: another
    /// implementation resets streams that were silent for 10 s.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 100 ms to 1 h.
    pub fn with_stream_idle(mut self, idle: Duration) -> Result<Self, ConfigError> {
        ConfigError::check("stream_idle", idle, TENTH..=HOUR)?;
        self.stream_idle = idle;
        Ok(self)
    }

    /// How many peers learn of a want in one step. Default 16. When all that were asked lack it, each further step
    /// asks twice as many as all before, up to [`Self::with_peers_per_want_max`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for 0.
    pub fn with_fan_out(mut self, peers: u8) -> Result<Self, ConfigError> {
        check_count("fan_out", u32::from(peers), 1, u32::from(u8::MAX))?;
        self.fan_out = peers;
        Ok(self)
    }

    /// How many connected peers may be asked about one want and not have said that they lack it, found providers
    /// aside. Who answers DONT_HAVE gives its place to the next, until all connected peers were asked. Default 64.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for 0.
    pub fn with_peers_per_want_max(mut self, peers: u16) -> Result<Self, ConfigError> {
        check_count("peers_per_want_max", u32::from(peers), 1, u32::from(u16::MAX))?;
        self.peers_per_want_max = peers;
        Ok(self)
    }

    /// The shortest and the longest time that a request may take before another peer is asked, and
    /// the one for peers of which nothing was measured yet. Defaults 50 ms, 7 s, 1 s.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] unless min ≤ first ≤ max, min ≥ 1 ms and max ≤ 1 h.
    pub fn with_deadlines(
        mut self,
        min: Duration,
        first: Duration,
        max: Duration,
    ) -> Result<Self, ConfigError> {
        let least = Duration::from_millis(1);
        ConfigError::check("deadlines.max", max, least..=HOUR)?;
        ConfigError::check("deadlines.first", first, least..=max)?;
        ConfigError::check("deadlines.min", min, least..=first)?;
        self.deadline_min = min;
        self.first_deadline = first;
        self.deadline_max = max;
        Ok(self)
    }

    /// Blocks that may be asked of a second peer before the first one's deadline, because another
    /// said HAVE meanwhile; per thousand blocks of the session. Each may arrive twice. Default 30.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] above 1000.
    pub fn with_hedge_per_mille(mut self, share: u16) -> Result<Self, ConfigError> {
        check_count("hedge_per_mille", u32::from(share), 0, 1000)?;
        self.hedge_per_mille = share;
        Ok(self)
    }

    /// How long a session that makes no progress waits before it looks for providers again.
    /// It doubles with each fruitless search. Default 10 s.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside of 100 ms to 1 h.
    pub fn with_search_interval(mut self, interval: Duration) -> Result<Self, ConfigError> {
        ConfigError::check("search_interval", interval, TENTH..=HOUR)?;
        self.search_interval = interval;
        Ok(self)
    }
}

fn check_bytes(setting: &'static str, bytes: u32, min: u32, max: u32) -> Result<(), ConfigError> {
    let size = |bytes| ByteSize(u64::from(bytes));
    ConfigError::check(setting, size(bytes), size(min)..=size(max))
}

fn check_count(setting: &'static str, count: u32, min: u32, max: u32) -> Result<(), ConfigError> {
    ConfigError::check(setting, u64::from(count), u64::from(min)..=u64::from(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_bounds_are_refused_by_name() {
        let zero = Limits { sent_wants_per_peer: 0, ..Limits::default() };
        let refused = Config::default().with_limits(zero).unwrap_err();
        assert_eq!(refused.setting(), "limits.sent_wants_per_peer");
        assert!(Config::default().with_replace_have_bytes(Some(65_537)).is_err());
        assert!(Config::default().with_fan_out(0).is_err());
        let ms = Duration::from_millis;
        assert_eq!(
            Config::default().with_stream_idle(ms(99)).unwrap_err().setting(),
            "stream_idle"
        );
        assert!(Config::default().with_stream_idle(ms(100)).is_ok());
        assert!(Config::default().with_deadlines(ms(50), ms(40), ms(60)).is_err());
        assert!(Config::default().with_deadlines(ms(50), ms(50), ms(50)).is_ok());
    }

    #[test]
    fn each_setting_sets_its_own_value_up_to_its_bounds() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        let of = |set: fn(Config) -> Result<Config, ConfigError>| set(Config::default());
        let default = Config::default();
        assert!(!default.clone().with_serve(false).serve && default.clone().with_serve(true).serve);
        let rates = Rates { upload: Some(7), ..Rates::default() };
        assert_eq!(default.clone().with_rates(rates).rates(), rates);
        assert_eq!(default.rates(), Rates::default());
        let limits = Limits { wants: 9, ..Limits::default() };
        let set = default.clone().with_limits(limits).unwrap();
        assert_eq!((set.limits.wants, set.fan_out), (9, default.fan_out));
        // The value at each bound, and the first beyond it.
        assert_eq!(of(|it| it.with_block_bytes_max(1)).unwrap().block_bytes_max, 1);
        let most = BLOCK_BYTES_MAX as u32;
        assert_eq!(default.clone().with_block_bytes_max(most).unwrap().block_bytes_max, most);
        assert!(default.clone().with_block_bytes_max(most + 1).is_err());
        assert!(of(|it| it.with_block_bytes_max(0)).is_err());
        let replace = of(|it| it.with_replace_have_bytes(Some(65_536))).unwrap();
        assert_eq!(replace.replace_have_bytes, Some(65_536));
        assert_eq!(of(|it| it.with_replace_have_bytes(None)).unwrap().replace_have_bytes, None);
        let target = of(|it| it.with_response_target_bytes(2 << 20)).unwrap();
        assert_eq!(target.response_target_bytes, 2 << 20);
        assert!(of(|it| it.with_response_target_bytes((2 << 20) + 1)).is_err());
        assert!(of(|it| it.with_response_target_bytes(0)).is_err());
        assert_eq!(default.clone().with_stream_idle(s(3600)).unwrap().stream_idle, s(3600));
        assert!(default.clone().with_stream_idle(s(3600) + ms(1)).is_err());
        assert_eq!(of(|it| it.with_fan_out(255)).unwrap().fan_out, 255);
        let few = of(|it| it.with_peers_per_want_max(1)).unwrap();
        assert_eq!(few.peers_per_want_max, 1);
        let none = of(|it| it.with_peers_per_want_max(0)).unwrap_err();
        assert_eq!(none.setting(), "peers_per_want_max");
        let set = default.clone().with_deadlines(ms(1), ms(2), s(3600)).unwrap();
        assert_eq!(
            (set.deadline_min, set.first_deadline, set.deadline_max),
            (ms(1), ms(2), s(3600))
        );
        let setting = |min, first, max| {
            let refused = Config::default().with_deadlines(min, first, max);
            refused.unwrap_err().setting()
        };
        assert_eq!(setting(Duration::ZERO, ms(2), ms(3)), "deadlines.min");
        assert_eq!(setting(ms(1), ms(4), ms(3)), "deadlines.first");
        assert_eq!(setting(ms(1), ms(2), s(3601)), "deadlines.max");
        assert_eq!(of(|it| it.with_hedge_per_mille(1000)).unwrap().hedge_per_mille, 1000);
        assert_eq!(of(|it| it.with_hedge_per_mille(0)).unwrap().hedge_per_mille, 0);
        assert!(of(|it| it.with_hedge_per_mille(1001)).is_err());
        assert_eq!(default.clone().with_search_interval(ms(100)).unwrap().search_interval, ms(100));
        assert!(default.with_search_interval(ms(99)).is_err());
    }

    #[test]
    fn each_limit_is_checked_under_its_own_name() {
        type Set = fn(&mut Limits);
        let cases: [(&str, Set); 13] = [
            ("limits.peers", |limits| limits.peers = 0),
            ("limits.ledger_per_peer", |limits| limits.ledger_per_peer = 0),
            ("limits.ledger", |limits| limits.ledger = 0),
            ("limits.loads_per_peer", |limits| limits.loads_per_peer = 0),
            ("limits.sent_wants_per_peer", |limits| limits.sent_wants_per_peer = 0),
            ("limits.sent_wants", |limits| limits.sent_wants = 0),
            ("limits.wants", |limits| limits.wants = 0),
            ("limits.sessions", |limits| limits.sessions = 0),
            ("limits.entries_per_message", |limits| limits.entries_per_message = 0),
            ("limits.response_bytes_per_peer", |limits| limits.response_bytes_per_peer = 0),
            ("limits.response_bytes", |limits| limits.response_bytes = 0),
            ("limits.want_bytes_per_peer", |limits| limits.want_bytes_per_peer = 0),
            ("limits.messages_per_stream", |limits| limits.messages_per_stream = 17),
        ];
        for (setting, set) in cases {
            let mut limits = Limits::default();
            set(&mut limits);
            let refused = Config::default().with_limits(limits).unwrap_err();
            assert_eq!(refused.setting(), setting);
        }
        let one =
            Limits { messages_per_stream: 16, peer_histories: 0, wants: 1, ..Limits::default() };
        assert!(Config::default().with_limits(one).is_ok());
    }
}
