//! One line of the watcher's log, cheap to take and printed only when something is wrong.

use alloc::vec::Vec;
use core::fmt;

use cid::Cid;

use bitswap_core::message::{Entry, Message, WantKind};
use bitswap_core::{Event, LoadId, LoadKind, LookupId, Output, SendId, SessionId, StreamKind};

/// Items of a message or list that are kept.
const KEPT: usize = 8;

/// An input or output.
#[derive(Debug)]
pub(crate) enum Record<P> {
    /// An input in words.
    Input(&'static str),
    /// An input about a peer.
    Peer(&'static str, P),
    /// An input about a peer and a stream.
    StreamResult(&'static str, P, StreamKind, bool),
    /// A message came.
    Received(P, Brief),
    /// A message was taken by the transport, or not.
    Sent(SendId, bool),
    /// The store answered.
    Loaded(LoadId),
    /// The search answered.
    Found(LookupId, usize, bool),
    /// A session's user did something to these CIDs.
    User(&'static str, SessionId, Cids),
    /// Blocks were stored locally.
    Stored(Cids),
    /// A stream was asked for or given up.
    Stream(&'static str, P, StreamKind),
    /// A message went out.
    Sending(SendId, P, Brief),
    /// The store is asked.
    Load(LoadId, P, LoadKind, Cids),
    /// A search begins.
    Search(LookupId, Cid),
    /// A search ends.
    Stop(LookupId),
    /// A want ended.
    Ended(&'static str, SessionId, Cid),
    /// An event about a peer.
    PeerEvent(&'static str, P),
    /// An event that the checker has no rule for.
    UnknownEvent,
}

/// The beginning of a message.
#[derive(Debug)]
pub(crate) struct Brief {
    entries: Vec<Entry>,
    blocks: Cids,
    presences: Vec<(Cid, bool)>,
    counts: [usize; 3],
    full: bool,
}

/// The beginning of a list of CIDs.
#[derive(Debug)]
pub(crate) struct Cids {
    first: Vec<Cid>,
    count: usize,
}

impl Cids {
    pub(crate) fn of<'a>(cids: impl Iterator<Item = &'a Cid>) -> Self {
        let mut first = Vec::new();
        let mut count = 0;
        for cid in cids {
            if count < KEPT {
                first.push(*cid);
            }
            count += 1;
        }
        Self { first, count }
    }
}

impl Brief {
    fn of(message: &Message) -> Self {
        let presences = message.presences.iter();
        Self {
            entries: message.wantlist.entries.iter().take(KEPT).cloned().collect(),
            blocks: Cids::of(message.blocks.iter().map(bitswap_core::Block::cid)),
            presences: presences.take(KEPT).map(|item| (item.cid, item.have)).collect(),
            counts: [message.wantlist.entries.len(), message.blocks.len(), message.presences.len()],
            full: message.wantlist.full,
        }
    }
}

impl<P: Copy> Record<P> {
    pub(crate) fn received(peer: P, message: &Message) -> Self {
        Self::Received(peer, Brief::of(message))
    }

    pub(super) fn output(output: &Output<P>) -> Self {
        match output {
            Output::Open { peer, stream } => Self::Stream("open", *peer, *stream),
            Output::Close { peer, stream } => Self::Stream("close", *peer, *stream),
            Output::Reset { peer, stream } => Self::Stream("reset", *peer, *stream),
            Output::Send(sending) => {
                Self::Sending(sending.id, sending.peer, Brief::of(&sending.message))
            }
            Output::Load(load) => {
                Self::Load(load.id, load.peer, load.kind, Cids::of(load.cids.iter()))
            }
            Output::FindProviders { id, cid, .. } => Self::Search(*id, *cid),
            Output::StopLookup { id } => Self::Stop(*id),
            Output::KeepAlive { peer, needed } => {
                Self::PeerEvent(if *needed { "needed" } else { "not needed" }, *peer)
            }
            Output::Event(Event::Block { session, block, .. }) => {
                Self::Ended("block", *session, *block.cid())
            }
            Output::Event(Event::Stored { session, cid }) => Self::Ended("stored", *session, *cid),
            Output::Event(Event::Failed { session, cid, .. }) => {
                Self::Ended("failed", *session, *cid)
            }
            Output::Event(Event::PeerDisconnected { peer, .. }) => Self::PeerEvent("gone", *peer),
            Output::Event(Event::Unreachable { peer, .. }) => Self::PeerEvent("unreachable", *peer),
            Output::Event(_) => Self::UnknownEvent,
        }
    }
}

/// The end of a CID: enough to tell it from others in a log.
fn short(cid: &Cid) -> impl fmt::Display {
    let digest = cid.hash().digest();
    let mut tail = [0; 4];
    for (to, from) in tail.iter_mut().rev().zip(digest.iter().rev()) {
        *to = *from;
    }
    struct Hex([u8; 4]);
    impl fmt::Display for Hex {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
    Hex(tail)
}

/// A message's name in few letters.
struct Name<'a>(&'a SendId);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, stream, number) = self.0.to_parts();
        write!(f, "{}/{stream:?}/{number}", peer as u32)
    }
}

impl fmt::Display for Cids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.count)?;
        self.first.iter().try_for_each(|cid| write!(f, " {}", short(cid)))?;
        write!(f, "{} ]", if self.count > KEPT { " .." } else { "" })
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [entries, blocks, presences] = self.counts;
        write!(f, "{entries} entries, {blocks} blocks, {presences} presences")?;
        if self.full {
            write!(f, ", full")?;
        }
        for entry in &self.entries {
            let what = match (entry.cancel, entry.kind) {
                (true, _) => "cancel",
                (false, WantKind::Block) => "block?",
                (false, WantKind::Have) => "have?",
            };
            write!(f, " {what}{}", short(&entry.cid))?;
        }
        if self.blocks.count > 0 {
            write!(f, " blocks {}", self.blocks)?;
        }
        for (cid, have) in &self.presences {
            write!(f, " {}{}", if *have { "HAVE " } else { "DONT_HAVE " }, short(cid))?;
        }
        Ok(())
    }
}

impl<P: fmt::Debug> fmt::Display for Record<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(what) => write!(f, "> {what}"),
            Self::Peer(what, peer) => write!(f, "> {what} {peer:?}"),
            Self::StreamResult(what, peer, stream, ok) => {
                write!(f, "> {what} {peer:?} {stream:?} {ok}")
            }
            Self::Received(peer, brief) => write!(f, "> from {peer:?}: {brief}"),
            Self::Sent(id, ok) => write!(f, "> sent {} {ok}", Name(id)),
            Self::Loaded(id) => write!(f, "> loaded {}", id.to_bits()),
            Self::Found(id, peers, last) => {
                write!(f, "> found {}: {peers}, last: {last}", id.to_bits())
            }
            Self::User(what, id, cids) => write!(f, "> {what} s{} {cids}", id.to_bits() as u32),
            Self::Stored(cids) => write!(f, "> stored {cids}"),
            Self::Stream(what, peer, stream) => write!(f, "< {what} {peer:?} {stream:?}"),
            Self::Sending(id, peer, brief) => write!(f, "< to {peer:?}: {brief} ({})", Name(id)),
            Self::Load(id, peer, what, cids) => {
                write!(f, "< load {} {peer:?} {what:?} {cids}", id.to_bits())
            }
            Self::Search(id, cid) => write!(f, "< search {} {}", id.to_bits(), short(cid)),
            Self::Stop(id) => write!(f, "< stop {}", id.to_bits()),
            Self::Ended(how, id, cid) => {
                write!(f, "< {how} s{} {}", id.to_bits() as u32, short(cid))
            }
            Self::PeerEvent(what, peer) => write!(f, "< {what} {peer:?}"),
            Self::UnknownEvent => write!(f, "< an event of an unknown kind"),
        }
    }
}
