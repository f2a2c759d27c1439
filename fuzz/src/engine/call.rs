//! One input of an engine as a value, and the place between an engine and its host.

use bitswap_core::error::{OpenError, SendError, WantError};
use bitswap_testing::Checked;
use bitswap_core::{
    BlockInfo, LoadId, Loaded, LookupId, Message, Output, PeerHistory, ProtocolSupport,
    ProviderProgress, Rates, SendId, SessionId, SessionOptions, StreamKind, Timestamp, Version,
    Want,
};
use cid::Cid;

use super::Peer;

/// An input of an engine.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the engine's method of the same name")]
pub enum Call {
    Connected { peer: Peer, history: Option<PeerHistory> },
    Disconnected { peer: Peer },
    Support { peer: Peer, support: ProtocolSupport },
    Open { peer: Peer, kind: StreamKind, result: Result<Version, OpenError> },
    Message { peer: Peer, message: Message },
    Sent { id: SendId, result: Result<(), SendError> },
    Reset { peer: Peer, kind: StreamKind },
    Load { id: LoadId, answers: Vec<Loaded> },
    Providers { id: LookupId, peers: Vec<Peer>, progress: ProviderProgress },
    Timeout,
    OpenSession { options: SessionOptions<Peer> },
    CloseSession { session: SessionId },
    Want { session: SessionId, wants: Vec<Want> },
    Cancel { session: SessionId, cids: Vec<Cid> },
    Taken { session: SessionId, bytes: u64 },
    Announce { blocks: Vec<BlockInfo> },
    SetRates { rates: Rates },
    Shutdown,
}

/// What an engine returned for a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    None,
    /// To [`Call::OpenSession`].
    Session(Result<SessionId, WantError>),
    /// To [`Call::Want`].
    Wanted(Result<(), WantError>),
}

/// Makes a call.
pub fn apply(engine: &mut Checked<Peer>, call: Call, now: Timestamp) -> Reply {
    match call {
        Call::Connected { peer, history } => engine.handle_connected(peer, history, now),
        Call::Disconnected { peer } => engine.handle_disconnected(peer, now),
        Call::Support { peer, support } => engine.handle_support(peer, support, now),
        Call::Open { peer, kind, result } => engine.handle_open(peer, kind, result, now),
        Call::Message { peer, message } => engine.handle_message(peer, message, now),
        Call::Sent { id, result } => engine.handle_sent(id, result, now),
        Call::Reset { peer, kind } => engine.handle_reset(peer, kind, now),
        Call::Load { id, answers } => engine.handle_load(id, answers, now),
        Call::Providers { id, peers, progress } => {
            engine.handle_providers(id, &peers, progress, now)
        }
        Call::Timeout => engine.handle_timeout(now),
        Call::OpenSession { options } => return Reply::Session(engine.open_session(options, now)),
        Call::CloseSession { session } => engine.close_session(session, now),
        Call::Want { session, wants } => return Reply::Wanted(engine.want(session, wants, now)),
        Call::Cancel { session, cids } => engine.cancel(session, cids, now),
        Call::Taken { session, bytes } => engine.release_capacity(session, bytes, now),
        Call::Announce { blocks } => engine.notify_new_blocks(&blocks, now),
        Call::SetRates { rates } => engine.set_rates(rates, now),
        Call::Shutdown => engine.shutdown(now),
    }
    Reply::None
}

/// What stands between an engine and its host: nothing, or a fault that a target must find.
pub trait Between {
    /// A call on its way to the engine.
    fn call(&mut self, call: Call) -> Option<Call>;
    /// An output on its way to the host.
    fn output(&mut self, output: Output<Peer>) -> Vec<Output<Peer>>;
}

/// Nothing in between.
#[derive(Clone, Copy, Debug)]
pub struct Untouched;

impl Between for Untouched {
    fn call(&mut self, call: Call) -> Option<Call> {
        Some(call)
    }

    fn output(&mut self, output: Output<Peer>) -> Vec<Output<Peer>> {
        vec![output]
    }
}
