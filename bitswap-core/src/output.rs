//! What the engine asks of its host and tells it, and the small values both sides use.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use cid::Cid;

use crate::block::Block;
use crate::error::OpenError;
use crate::message::{Message, Version};

/// Something the engine wants done or has to tell. Taken by
/// [`Engine::poll_output`](crate::Engine::poll_output).
///
/// Not `non_exhaustive`, on purpose: a host that does not carry out an output breaks the contract, so one that
/// is added must not pass unseen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Output<P> {
    /// Open an outbound stream of this kind and answer with `handle_open`.
    Open {
        /// The peer.
        peer: P,
        /// Which stream.
        stream: StreamKind,
    },
    /// Close this stream: it has been idle. Nothing of it is outstanding; no answer.
    Close {
        /// The peer.
        peer: P,
        /// Which stream.
        stream: StreamKind,
    },
    /// Reset this stream, and drop at once what is being sent on it: the peer reads too slowly while
    /// others wait for the memory. What was sent on it needs no answer any more, and answers are ignored;
    /// the stream counts as closed.
    Reset {
        /// The peer.
        peer: P,
        /// Which stream.
        stream: StreamKind,
    },
    /// Send a message on an open stream and answer with `handle_sent`.
    Send(Outgoing<P>),
    /// Look blocks up in the local store and answer with `handle_load`.
    Load(Load<P>),
    /// Look for peers that have the block and answer with `handle_providers`.
    FindProviders {
        /// Names the lookup in the answers.
        id: LookupId,
        /// The session that looks.
        session: SessionId,
        /// The block that is looked for.
        #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
        cid: Cid,
    },
    /// Nobody waits for this lookup any more; answers to it are ignored.
    StopLookup {
        /// The lookup.
        id: LookupId,
    },
    /// Whether the connections to this peer are needed from now on: a want is to be sent to it or was sent, or one
    /// of its own waits for its answer. Initially they are not. No answer.
    ///
    /// A host may close connections that are not needed. It comes after all other outputs, and only when it
    /// changed since it was told last, so a want that follows another at once leaves it as it is.
    /// When a peer disconnects nothing is said of it, and when it comes again it is not needed.
    KeepAlive {
        /// The peer.
        peer: P,
        /// Whether they are needed.
        needed: bool,
    },
    /// Something the user of the engine may want to know.
    Event(Event<P>),
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Outgoing<P> {
    /// Names the message in `handle_sent`.
    pub id: SendId,
    /// The receiver.
    pub peer: P,
    /// The stream that it goes on.
    pub stream: StreamKind,
    /// The version negotiated on that stream: how to encode it.
    pub version: Version,
    /// The message.
    pub message: Message,
}

/// A lookup in the local store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Load<P> {
    /// Names the lookup in `handle_load`.
    pub id: LoadId,
    /// The peer that asked. The host decides whom it serves: a refusal is [`LoadAnswer::NotFound`],
    /// so it cannot be told from absence.
    pub peer: P,
    /// The blocks looked up.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::many::serialize"))]
    pub cids: Vec<Cid>,
    /// Sizes or bytes.
    pub kind: LoadKind,
}

impl<P> Load<P> {
    /// The answers of a store that has its blocks at hand: `find` gives the bytes of a block, or `None`
    /// when there is none, or it is not for this peer.
    pub fn answers(&self, mut find: impl FnMut(&Cid) -> Option<Bytes>) -> Vec<Loaded> {
        let mut answer = |cid: &Cid| match (find(cid), self.kind) {
            (None, _) => LoadAnswer::NotFound,
            (Some(data), LoadKind::Size) => {
                LoadAnswer::Size(u32::try_from(data.len()).unwrap_or(u32::MAX))
            }
            (Some(data), LoadKind::Data) => LoadAnswer::Data(data),
        };
        self.cids.iter().map(|cid| Loaded { cid: *cid, answer: answer(cid) }).collect()
    }
}

/// What a [`Load`] asks the store for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LoadKind {
    /// The length of each block.
    Size,
    /// The bytes of each block.
    Data,
}

/// The answer for one CID of a [`Load`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Loaded {
    /// The CID.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
    pub cid: Cid,
    /// What the store said.
    pub answer: LoadAnswer,
}

/// What the store said of one CID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum LoadAnswer {
    /// It has the block; this many bytes.
    Size(u32),
    /// It has the block; these bytes.
    Data(Bytes),
    /// It does not have the block, or the host does not want this peer to have it.
    NotFound,
    /// It could not tell.
    Failed,
}

/// A block that the local store has just taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BlockInfo {
    /// The CID.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
    pub cid: Cid,
    /// Its length in bytes.
    pub size: u32,
}

/// One of the two outbound streams to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StreamKind {
    /// Our wants and cancels.
    Requests,
    /// Our responses to the peer's wants.
    Responses,
}

impl StreamKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Responses];
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Responses => "responses",
        })
    }
}

/// Whether a peer speaks Bitswap at all, as far as is known before a stream is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ProtocolSupport {
    /// Nobody said. It is tried.
    #[default]
    Unknown,
    /// It lists no version of Bitswap. It is left alone until it lists one or sends a message.
    No,
    /// It lists Bitswap.
    Yes,
}

/// Whether a provider lookup goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ProviderProgress {
    /// More answers may follow.
    Partial,
    /// That was the last answer.
    Final,
}

/// Names a message in `handle_sent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId {
    pub(crate) peer: crate::util::rows::Id<crate::peer::Peer>,
    pub(crate) stream: StreamKind,
    pub(crate) seq: u32,
}

/// Names a store lookup in `handle_load`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LoadId(pub(crate) u64);

/// Names a provider lookup in `handle_providers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LookupId(pub(crate) u64);

/// Names a session. Stale ids are harmless: they name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) crate::util::rows::Id<crate::client::Session>);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_bits().fmt(f)
    }
}

/// A block that a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Want {
    /// The block.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
    pub cid: Cid,
    /// Higher goes first within the session. Equal ones go in the order given, and so do those above 0 always; those of 0
    /// and below go in any order while the session has several peers of which some fetch themselves, so that these can
    /// give each other what they have.
    pub priority: i32,
    /// The block's length, where the caller knows it (a DAG tells the size of its leaves).
    pub size: Option<u32>,
}

impl From<Cid> for Want {
    /// A want of priority 0 and unknown size.
    fn from(cid: Cid) -> Self {
        Self { cid, priority: 0, size: None }
    }
}

/// Limits on bandwidth in bytes per second; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Rates {
    /// Blocks sent to all peers together.
    pub upload: Option<u64>,
    /// Blocks sent to any one peer.
    pub upload_per_peer: Option<u64>,
    /// Blocks asked for, from all peers together.
    pub download: Option<u64>,
    /// Blocks asked for, from any one peer.
    pub download_per_peer: Option<u64>,
}

/// What is worth keeping of a peer that left, and is handed back when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PeerHistory {
    /// Its answers took this long, network and all.
    pub latency: Duration,
    /// Bytes per second that it delivered; 0 when it delivered nothing.
    pub throughput: u64,
    /// Blocks that it delivered and we wanted.
    pub blocks: u64,
    /// Requests that it let pass its deadline.
    pub timeouts: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Event<P> {
    /// A wanted block arrived: the want has ended.
    Block {
        /// The session that wanted it; each session gets its own event.
        session: SessionId,
        /// The block.
        block: Block,
        /// Who sent it; `None` when that peer has left since.
        from: Option<P>,
    },
    /// A wanted block was stored locally ([`Engine::notify_new_blocks`](crate::Engine::notify_new_blocks)): the want
    /// has ended, the block is in the store.
    Stored {
        /// The session that wanted it.
        session: SessionId,
        /// The block's CID.
        #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
        cid: Cid,
    },
    /// The want has ended without a block.
    Failed {
        /// The session that wanted it.
        session: SessionId,
        /// The block's CID.
        #[cfg_attr(feature = "serde", serde(with = "crate::serde_text::one"))]
        cid: Cid,
        /// Why.
        reason: WantFailure<P>,
    },
    /// The last connection to a peer closed; everything kept about it is freed.
    PeerDisconnected {
        /// The peer.
        peer: P,
        /// What to hand back to `handle_connected` should it return.
        history: PeerHistory,
    },
    /// No stream to this peer can be opened: it does not speak Bitswap, or does not answer.
    Unreachable {
        /// The peer.
        peer: P,
        /// What the transport said.
        error: OpenError,
    },
}

/// Why a want ended without a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WantFailure<P> {
    /// Every peer that could be asked lacks the block, and no provider was found. What each said.
    NotFound(Vec<PeerReport<P>>),
    /// The session's time for the want is up. What each peer that was asked did until then.
    TimedOut(Vec<PeerReport<P>>),
    /// The engine was shut down.
    ShutDown,
}

impl<P: fmt::Display> fmt::Display for WantFailure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, reports) = match self {
            Self::NotFound(reports) => ("no peer has the block", reports),
            Self::TimedOut(reports) => ("no peer delivered the block in time", reports),
            Self::ShutDown => return f.write_str("the engine was shut down"),
        };
        write!(f, "{what}: {}", PeerReports(reports))
    }
}

impl<P: fmt::Debug + fmt::Display> core::error::Error for WantFailure<P> {}

/// Displays what several peers did about one want.
#[derive(Clone, Copy, Debug)]
pub struct PeerReports<'a, P>(pub &'a [PeerReport<P>]);

impl<P: fmt::Display> fmt::Display for PeerReports<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, more)) = self.0.split_first() else {
            return f.write_str("no peer was asked");
        };
        write!(f, "asked {first}")?;
        more.iter().try_for_each(|report| write!(f, "; {report}"))
    }
}

/// What one peer did about one want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PeerReport<P> {
    /// The peer.
    pub peer: P,
    /// What was asked and answered.
    pub outcome: PeerOutcome,
}

impl<P: fmt::Display> fmt::Display for PeerReport<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.peer, self.outcome)
    }
}

/// What came of asking a peer for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PeerOutcome {
    /// It was asked and has not answered yet.
    Asked,
    /// It said that it has the block; the block is being waited for.
    Have,
    /// It said that it has the block, was asked for it and did not send it in time.
    HaveThenSilent,
    /// It was asked for the block and did not answer in time.
    Silent,
    /// It said that it lacks the block.
    DontHave,
    /// It does not speak Bitswap, so it could not be asked.
    NoBitswap,
    /// It cannot be asked for now: no stream to it opens. It is tried again.
    Unreachable,
}

impl fmt::Display for PeerOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "no answer yet",
            Self::Have => "HAVE, the block is under way",
            Self::HaveThenSilent => "HAVE then silent",
            Self::Silent => "silent",
            Self::DontHave => "DONT_HAVE",
            Self::NoBitswap => "does not speak Bitswap",
            Self::Unreachable => "no stream to it opens",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use super::*;

    #[test]
    fn a_failed_want_says_what_each_peer_did() {
        let report = |peer, outcome| PeerReport { peer, outcome };
        let reports = vec![report("a", PeerOutcome::DontHave), report("b", PeerOutcome::Silent)];
        let failure: &dyn core::error::Error = &WantFailure::NotFound(reports);
        assert_eq!(failure.to_string(), "no peer has the block: asked a: DONT_HAVE; b: silent");
        let failure = WantFailure::<&str>::TimedOut(Vec::new()).to_string();
        assert_eq!(failure, "no peer delivered the block in time: no peer was asked");
    }

    #[test]
    fn a_kind_of_stream_is_called_by_what_it_carries() {
        assert_eq!(StreamKind::ALL.map(|kind| kind.to_string()), ["requests", "responses"]);
    }
}
