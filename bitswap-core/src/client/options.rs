//! What a session may ask, whom, and for how long.

use alloc::vec::Vec;
use core::time::Duration;

/// Options of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, bound(deserialize = "P: serde::Deserialize<'de>")))]
pub struct SessionOptions<P> {
    /// Whom the session may ask.
    pub peers: PeerSet<P>,
    /// Bytes asked for plus delivered but not yet [released](crate::Engine::release_capacity); the session asks
    /// for more only below this. Default 32 MiB.
    pub window_bytes: u64,
    /// What happens when every peer that may be asked lacks a block and no provider is found.
    /// Default: wait.
    pub when_missing: WhenMissing,
    /// The longest that a want may take, from the call to `want`. Default: no bound.
    pub want_timeout: Option<Duration>,
    /// Whether providers are looked for. Default: yes. Never for [`PeerSet::Only`].
    ///
    /// With [`WhenMissing::Fail`] a want waits for the end of its lookup. A host that cannot look for anybody
    /// turns this off, or answers each lookup with `Final` at once.
    pub find_providers: bool,
    /// Bytes per second that the session asks for at most, until
    /// [`Engine::set_session_rate`](crate::Engine::set_session_rate). Default: no limit beside those of
    /// [`Rates`](crate::Rates).
    pub download: Option<u64>,
}

/// Whom a session may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PeerSet<P> {
    /// Any connected peer, as few as needed.
    #[default]
    Any,
    /// These and nobody else: no other peer ever learns what the session wants.
    Only(Vec<P>),
}

/// What happens to a want that nobody can serve now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WhenMissing {
    /// It waits: for new peers, for providers, for a peer that gets the block later.
    #[default]
    Wait,
    /// It fails with [`WantFailure::NotFound`](crate::WantFailure::NotFound) once peers have answered
    /// that they lack the block and no provider is found. Only answers count: while nobody is
    /// connected, or a peer that could say DONT_HAVE is silent, it waits, for as long as
    /// [`SessionOptions::want_timeout`] allows. The silence of a peer older than 1.2.0, which cannot
    /// say it, counts after three searches without any progress.
    Fail,
}

impl<P> Default for SessionOptions<P> {
    fn default() -> Self {
        Self {
            peers: PeerSet::Any,
            window_bytes: 32 << 20,
            when_missing: WhenMissing::Wait,
            want_timeout: None,
            find_providers: true,
            download: None,
        }
    }
}

/// The options without the peers' names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) only: bool,
    pub(crate) window_bytes: u64,
    pub(crate) when_missing: WhenMissing,
    pub(crate) want_timeout: Option<Duration>,
    pub(crate) find_providers: bool,
    pub(crate) download: Option<u64>,
}
