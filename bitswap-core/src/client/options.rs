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
    /// Whether providers are looked for. Default: yes. Never for [`PeerSet::Only`], and for [`PeerSet::Prefer`] only of
    /// what the preferred peers failed to deliver.
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
    /// These first, and others for what they fail to deliver.
    ///
    /// * A want is asked of the preferred peers alone, as a session with [`Self::Any`] would ask if nobody else were
    ///   connected: of one for the block, and of the others whether they have it. Nobody else is asked, hedged with
    ///   or looked for while one of them may still serve it. The host connects to them; until it has, a
    ///   preferred peer is waited for, no longer than
    ///   [`Config::with_deadlines`](crate::Config::with_deadlines)' `first` (a second) after the session was opened.
    /// * Once all of them have failed for a want, it is asked as with [`Self::Any`], and providers are looked for.
    ///   That is decided for each want alone and lasts as long as the want. A preferred peer fails for a want when
    ///   it answers DONT_HAVE, lets the deadline of its request pass, is gone or cannot be reached. One that let any
    ///   deadline pass is not waited for with further wants before it delivers something.
    /// * A preferred peer that delivers, only slowly, keeps its wants: others are not asked for being quicker.
    ///   A block that a preferred peer brings late counts like any other.
    ///
    /// It is an order and no promise of privacy: others learn of what the preferred peers lack, and of a want that
    /// another session asks them for. [`Self::Only`] is that promise. Without a name it is [`Self::Any`].
    Prefer(Vec<P>),
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

/// The rule of a [`PeerSet`], without the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerRule {
    Any,
    Only,
    Prefer {
        /// So many peers were named.
        named: usize,
    },
}

impl<P> PeerSet<P> {
    /// The rule and the names.
    pub(crate) fn into_parts(self) -> (PeerRule, Vec<P>) {
        match self {
            Self::Any => (PeerRule::Any, Vec::new()),
            Self::Only(peers) => (PeerRule::Only, peers),
            Self::Prefer(peers) => (PeerRule::Prefer { named: peers.len() }, peers),
        }
    }
}

/// The options without the peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) window_bytes: u64,
    pub(crate) when_missing: WhenMissing,
    pub(crate) want_timeout: Option<Duration>,
    pub(crate) find_providers: bool,
    pub(crate) download: Option<u64>,
}
