//! One input of an engine as a value, and the place between an engine and its host.

use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;
use core::time::Duration;

use bitswap_core::error::{OpenError, SendError, WantError};
use bitswap_core::{
    BlockInfo, Engine, LoadId, Loaded, LookupId, Message, Output, PeerHistory, ProtocolSupport,
    ProviderProgress, Rates, SendId, SessionId, SessionOptions, StreamKind, Timestamp, Version,
    Want,
};
use cid::Cid;

use crate::Checked;

/// An input of an engine: a call of its method of the same name.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the engine's method of the same name")]
pub enum Call<P> {
    HandleConnected { peer: P, history: Option<PeerHistory> },
    HandleDisconnected { peer: P },
    HandleSupport { peer: P, support: ProtocolSupport },
    HandleRoundTrip { peer: P, took: Duration },
    HandleOpen { peer: P, stream: StreamKind, result: Result<Version, OpenError> },
    HandleMessage { peer: P, message: Message },
    HandleSent { id: SendId, result: Result<(), SendError> },
    HandleReset { peer: P, stream: StreamKind },
    HandleLoad { id: LoadId, answers: Vec<Loaded> },
    HandleProviders { id: LookupId, peers: Vec<P>, progress: ProviderProgress },
    HandleTimeout,
    OpenSession { options: SessionOptions<P> },
    CloseSession { session: SessionId },
    Want { session: SessionId, wants: Vec<Want> },
    Cancel { session: SessionId, cids: Vec<Cid> },
    ReleaseCapacity { session: SessionId, bytes: u64 },
    NotifyNewBlocks { blocks: Vec<BlockInfo> },
    SetSessionRate { session: SessionId, download: Option<u64> },
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

impl<P: Copy + Ord + Debug + Hash> Checked<P> {
    /// Makes a call.
    pub fn call(&mut self, call: Call<P>, now: Timestamp) -> Reply {
        match call {
            Call::HandleConnected { peer, history } => self.handle_connected(peer, history, now),
            Call::HandleDisconnected { peer } => self.handle_disconnected(peer, now),
            Call::HandleSupport { peer, support } => self.handle_support(peer, support, now),
            Call::HandleRoundTrip { peer, took } => self.handle_round_trip(peer, took, now),
            Call::HandleOpen { peer, stream, result } => {
                self.handle_open(peer, stream, result, now);
            }
            Call::HandleMessage { peer, message } => self.handle_message(peer, message, now),
            Call::HandleSent { id, result } => self.handle_sent(id, result, now),
            Call::HandleReset { peer, stream } => self.handle_reset(peer, stream, now),
            Call::HandleLoad { id, answers } => self.handle_load(id, answers, now),
            Call::HandleProviders { id, peers, progress } => {
                self.handle_providers(id, &peers, progress, now);
            }
            Call::HandleTimeout => self.handle_timeout(now),
            Call::OpenSession { options } => {
                return Reply::Session(self.open_session(options, now));
            }
            Call::CloseSession { session } => self.close_session(session, now),
            Call::Want { session, wants } => return Reply::Wanted(self.want(session, wants, now)),
            Call::Cancel { session, cids } => self.cancel(session, cids, now),
            Call::ReleaseCapacity { session, bytes } => self.release_capacity(session, bytes, now),
            Call::NotifyNewBlocks { blocks } => self.notify_new_blocks(&blocks, now),
            Call::SetSessionRate { session, download } => {
                self.set_session_rate(session, download, now);
            }
            Call::SetRates { rates } => self.set_rates(rates, now),
            Call::Shutdown => self.shutdown(now),
        }
        Reply::None
    }
}

/// What stands between an engine and its [`Host`](crate::Host), and sees all that passes: to watch it,
/// or to plant a fault that a test must find.
pub trait Interceptor<P> {
    /// A call on its way to the engine: passed on, altered or dropped.
    fn call(&mut self, call: Call<P>) -> Option<Call<P>> {
        Some(call)
    }

    /// What came of the last call.
    fn replied(&mut self, reply: Reply) {
        let _ = reply;
    }

    /// An output on its way to the host: what is put into `passed` gets there.
    fn output(&mut self, output: Output<P>, passed: &mut Vec<Output<P>>) {
        passed.push(output);
    }

    /// The engine has no more outputs at this moment.
    fn drained(&mut self, engine: &Engine<P>) {
        let _ = engine;
    }
}

/// Passes everything on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassThrough;

impl<P> Interceptor<P> for PassThrough {}
