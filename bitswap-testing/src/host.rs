//! A host for one engine, in virtual time: carries out outputs, and answers at once or when it is told to.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;
use core::time::Duration;

use bitswap_core::error::{OpenError, SendError, WantError};
use bitswap_core::{
    Block, BlockInfo, Config, Engine, Event, Load, LoadId, Loaded, LookupId, Message, Outgoing,
    Output, PeerHistory, ProtocolSupport, ProviderProgress, Rates, SendId, SessionId,
    SessionOptions, StreamKind, Timestamp, Version, Want,
};
use cid::Cid;

use crate::{Call, Checked, Interceptor, PassThrough, Reply, Store};

/// Outputs of one drain at most: a few for each peer and want.
const OUTPUTS_MAX: usize = 1_000_000;
/// Deadlines that one call may pass at most.
const DEADLINES_MAX: usize = 100_000;

/// Which of the engine's requests a [`Host`] answers as soon as they are made. The others wait in its
/// queues for one of the `answer_*` methods, or for a test that takes them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtOnce {
    /// Streams open, or fail to.
    pub opens: bool,
    /// The transport takes messages.
    pub sends: bool,
    /// The store answers.
    pub loads: bool,
    /// Searches find nobody.
    pub lookups: bool,
    /// Delivered bytes are released.
    pub releases: bool,
}

impl AtOnce {
    /// All of them.
    pub const ALL: Self =
        Self { opens: true, sends: true, loads: true, lookups: true, releases: true };
    /// None of them.
    pub const NONE: Self =
        Self { opens: false, sends: false, loads: false, lookups: false, releases: false };
}

/// A host for one engine.
///
/// Everything that goes into the engine and comes out of it passes its [`Interceptor`]. Outputs are carried
/// out by [`Host::drain`], which also returns them.
#[derive(Debug)]
pub struct Host<P, I = PassThrough> {
    engine: Checked<P>,
    interceptor: I,
    /// The time that the engine is told.
    pub now: Timestamp,
    /// The blocks that it has.
    pub store: Store<P>,
    /// What is answered at once.
    pub at_once: AtOnce,
    /// How the opening of a stream ends, but for the peers in `open_results`.
    pub open_result: Result<Version, OpenError>,
    /// How the opening of a stream to a peer ends.
    pub open_results: BTreeMap<P, Result<Version, OpenError>>,
    /// Peers that do not read: what is sent to them stays in `sends`.
    pub stalled: BTreeSet<P>,
    /// Streams that are to be opened.
    pub opens: VecDeque<(P, StreamKind)>,
    /// Messages that the transport has not taken.
    pub sends: VecDeque<Outgoing<P>>,
    /// Lookups that the store has not answered.
    pub loads: VecDeque<Load<P>>,
    /// Provider searches that go on.
    pub lookups: VecDeque<(LookupId, Cid)>,
    /// Delivered bytes that are not released.
    pub unreleased: BTreeMap<SessionId, u64>,
}

impl<P: Copy + Ord + Debug + Hash> Host<P> {
    /// A host that answers everything at once, with an engine under the eyes of the checker.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        Self::with(Checked::new(config, seed, now), PassThrough, now)
    }

    /// The same with an engine that nobody watches: for measuring its speed or its memory.
    #[must_use]
    pub fn unwatched(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        Self::with(Checked::unwatched(config, seed, now), PassThrough, now)
    }
}

impl<P: Copy + Ord + Debug + Hash, I: Interceptor<P>> Host<P, I> {
    /// A host that answers everything at once, with something between it and its engine.
    #[must_use]
    pub const fn with(engine: Checked<P>, interceptor: I, now: Timestamp) -> Self {
        Self {
            engine,
            interceptor,
            now,
            store: Store::new(),
            at_once: AtOnce::ALL,
            open_result: Ok(Version::V1_2),
            open_results: BTreeMap::new(),
            stalled: BTreeSet::new(),
            opens: VecDeque::new(),
            sends: VecDeque::new(),
            loads: VecDeque::new(),
            lookups: VecDeque::new(),
            unreleased: BTreeMap::new(),
        }
    }

    /// The engine, for its pure queries.
    #[must_use]
    pub const fn engine(&self) -> &Engine<P> {
        self.engine.engine()
    }

    /// The engine and its checker.
    #[must_use]
    pub const fn checked(&self) -> &Checked<P> {
        &self.engine
    }

    /// The engine, for calls that pass by the interceptor.
    pub const fn checked_mut(&mut self) -> &mut Checked<P> {
        &mut self.engine
    }

    /// What stands between this host and its engine.
    #[must_use]
    pub const fn interceptor(&self) -> &I {
        &self.interceptor
    }

    /// Makes a call of the engine.
    pub fn call(&mut self, call: Call<P>) -> Reply {
        let reply = match self.interceptor.call(call) {
            Some(call) => self.engine.call(call, self.now),
            None => Reply::None,
        };
        self.interceptor.replied(reply);
        reply
    }

    // What happens to the host.

    /// A peer that was never here connects.
    pub fn connect(&mut self, peer: P) {
        self.connect_again(peer, None);
    }

    /// A peer connects, of which this is remembered.
    pub fn connect_again(&mut self, peer: P, history: Option<PeerHistory>) {
        self.call(Call::HandleConnected { peer, history });
    }

    /// The last connection to a peer closes. Streams to it do not open any more; what was sent or is being
    /// looked up for it may still be answered, which the engine ignores.
    pub fn disconnect(&mut self, peer: P) {
        self.opens.retain(|(other, _)| *other != peer);
        self.call(Call::HandleDisconnected { peer });
    }

    /// It becomes known whether a peer speaks Bitswap.
    pub fn support(&mut self, peer: P, support: ProtocolSupport) {
        self.call(Call::HandleSupport { peer, support });
    }

    /// A round trip of a peer's connection was measured.
    pub fn round_trip(&mut self, peer: P, took: Duration) {
        self.call(Call::HandleRoundTrip { peer, took });
    }

    /// A stream was reset.
    pub fn reset(&mut self, peer: P, stream: StreamKind) {
        self.call(Call::HandleReset { peer, stream });
    }

    /// A message of a peer arrives.
    pub fn receive(&mut self, peer: P, message: Message) {
        self.call(Call::HandleMessage { peer, message });
    }

    /// A user opens a session.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn open_session(&mut self, options: SessionOptions<P>) -> Result<SessionId, WantError> {
        match self.call(Call::OpenSession { options }) {
            Reply::Session(result) => result,
            // The call did not reach the engine.
            _ => Err(WantError::NoSession),
        }
    }

    /// A user closes a session.
    pub fn close_session(&mut self, session: SessionId) {
        self.unreleased.remove(&session);
        self.call(Call::CloseSession { session });
    }

    /// A user wants blocks.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn want<W: Into<Want>>(
        &mut self,
        session: SessionId,
        wants: impl IntoIterator<Item = W>,
    ) -> Result<(), WantError> {
        let wants = wants.into_iter().map(W::into).collect();
        match self.call(Call::Want { session, wants }) {
            Reply::Wanted(result) => result,
            // The call did not reach the engine.
            _ => Ok(()),
        }
    }

    /// A user cancels wants.
    pub fn cancel(&mut self, session: SessionId, cids: impl IntoIterator<Item = Cid>) {
        let cids = cids.into_iter().collect();
        self.call(Call::Cancel { session, cids });
    }

    /// A user has used so many of the bytes that were delivered.
    pub fn release_capacity(&mut self, session: SessionId, bytes: u64) {
        if let Some(unreleased) = self.unreleased.get_mut(&session) {
            *unreleased = unreleased.saturating_sub(bytes);
        }
        self.call(Call::ReleaseCapacity { session, bytes });
    }

    /// Blocks come into the store, and the engine is told.
    pub fn store_blocks<'a>(&mut self, blocks: impl IntoIterator<Item = &'a Block>) {
        let infos = blocks.into_iter().map(|block| {
            self.store.insert(block);
            BlockInfo { cid: *block.cid(), size: block.data().len() as u32 }
        });
        let blocks = infos.collect();
        self.call(Call::NotifyNewBlocks { blocks });
    }

    /// The download limit of a session changes.
    pub fn set_session_rate(&mut self, session: SessionId, download: Option<u64>) {
        self.call(Call::SetSessionRate { session, download });
    }

    /// The limits on bandwidth change.
    pub fn set_rates(&mut self, rates: Rates) {
        self.call(Call::SetRates { rates });
    }

    /// The engine is shut down.
    pub fn shutdown(&mut self) {
        self.call(Call::Shutdown);
    }

    // Answers to the engine's requests: they need not be outstanding.

    /// A stream opens or fails to.
    pub fn opened(&mut self, peer: P, stream: StreamKind, result: Result<Version, OpenError>) {
        self.opens.retain(|open| *open != (peer, stream));
        self.call(Call::HandleOpen { peer, stream, result });
    }

    /// The transport took a message or could not.
    pub fn sent(&mut self, id: SendId, result: Result<(), SendError>) {
        self.sends.retain(|outgoing| outgoing.id != id);
        self.call(Call::HandleSent { id, result });
    }

    /// The store answers a lookup, wholly or in part. It stays in the queue with what is left of it.
    pub fn loaded(&mut self, id: LoadId, answers: Vec<Loaded>) {
        if let Some(load) = self.loads.iter_mut().find(|load| load.id == id) {
            load.cids.retain(|cid| answers.iter().all(|answer| answer.cid != *cid));
        }
        self.loads.retain(|load| !load.cids.is_empty());
        self.call(Call::HandleLoad { id, answers });
    }

    /// A search finds providers.
    pub fn found(&mut self, id: LookupId, peers: Vec<P>, progress: ProviderProgress) {
        if progress == ProviderProgress::Final {
            self.lookups.retain(|(other, _)| *other != id);
        }
        self.call(Call::HandleProviders { id, peers, progress });
    }

    /// How the opening of a stream to a peer ends.
    pub fn open_result(&self, peer: P) -> Result<Version, OpenError> {
        self.open_results.get(&peer).copied().unwrap_or(self.open_result)
    }

    /// Answers all requests for streams. Whether there was one.
    pub fn answer_opens(&mut self) -> bool {
        let opens = core::mem::take(&mut self.opens);
        let any = !opens.is_empty();
        for (peer, stream) in opens {
            let result = self.open_result(peer);
            self.call(Call::HandleOpen { peer, stream, result });
        }
        any
    }

    /// The transport takes all messages but those to stalled peers. Whether there was one.
    pub fn answer_sends(&mut self) -> bool {
        let mut any = false;
        for outgoing in core::mem::take(&mut self.sends) {
            if self.stalled.contains(&outgoing.peer) {
                self.sends.push_back(outgoing);
            } else {
                self.call(Call::HandleSent { id: outgoing.id, result: Ok(()) });
                any = true;
            }
        }
        any
    }

    /// The store answers all lookups. Whether there was one.
    pub fn answer_loads(&mut self) -> bool {
        let loads = core::mem::take(&mut self.loads);
        let any = !loads.is_empty();
        for load in loads {
            let answers = self.store.answers(&load);
            self.call(Call::HandleLoad { id: load.id, answers });
        }
        any
    }

    /// All searches end and have found nobody. Whether there was one.
    pub fn answer_lookups(&mut self) -> bool {
        let lookups = core::mem::take(&mut self.lookups);
        let any = !lookups.is_empty();
        for (id, _) in lookups {
            let (peers, progress) = (vec![], ProviderProgress::Final);
            self.call(Call::HandleProviders { id, peers, progress });
        }
        any
    }

    /// Users release all that was delivered. Whether there was something.
    pub fn release_all(&mut self) -> bool {
        let unreleased = core::mem::take(&mut self.unreleased);
        let any = !unreleased.is_empty();
        for (session, bytes) in unreleased {
            self.call(Call::ReleaseCapacity { session, bytes });
        }
        any
    }

    /// Answers everything that waits. Whether something did.
    pub fn answer_all(&mut self) -> bool {
        let opened = self.answer_opens();
        let sent = self.answer_sends();
        let loaded = self.answer_loads();
        let found = self.answer_lookups();
        self.release_all() || opened || sent || loaded || found
    }

    // Outputs and time.

    /// Takes one output and carries it out. False when there is none.
    pub fn poll(&mut self, outputs: &mut Vec<Output<P>>) -> bool {
        let Some(output) = self.engine.poll_output() else {
            self.interceptor.drained(self.engine.engine());
            return false;
        };
        let before = outputs.len();
        self.interceptor.output(output, outputs);
        for output in outputs.iter().skip(before) {
            self.carry_out(output);
        }
        true
    }

    /// Carries out all outputs, and returns them.
    ///
    /// # Panics
    ///
    /// When they have no end.
    pub fn drain(&mut self) -> Vec<Output<P>> {
        let mut outputs = Vec::new();
        while self.poll(&mut outputs) {
            self.engine.require(outputs.len() < OUTPUTS_MAX, || "outputs without end".into());
        }
        outputs
    }

    fn carry_out(&mut self, output: &Output<P>) {
        match output {
            Output::Open { peer, stream } if self.at_once.opens => {
                self.opened(*peer, *stream, self.open_result(*peer));
            }
            Output::Open { peer, stream } => self.opens.push_back((*peer, *stream)),
            Output::Close { .. } => {}
            Output::Reset { peer, stream } => {
                self.sends.retain(|outgoing| (outgoing.peer, outgoing.stream) != (*peer, *stream));
            }
            Output::Send(outgoing)
                if self.at_once.sends && !self.stalled.contains(&outgoing.peer) =>
            {
                self.call(Call::HandleSent { id: outgoing.id, result: Ok(()) });
            }
            Output::Send(outgoing) => self.sends.push_back(outgoing.clone()),
            Output::Load(load) if self.at_once.loads => {
                let answers = self.store.answers(load);
                self.call(Call::HandleLoad { id: load.id, answers });
            }
            Output::Load(load) => self.loads.push_back(load.clone()),
            Output::FindProviders { id, .. } if self.at_once.lookups => {
                self.found(*id, vec![], ProviderProgress::Final);
            }
            Output::FindProviders { id, cid, .. } => self.lookups.push_back((*id, *cid)),
            Output::StopLookup { id } => self.lookups.retain(|(other, _)| other != id),
            Output::Event(Event::Block { session, block, .. }) => {
                let bytes = block.data().len() as u64;
                if self.at_once.releases {
                    self.call(Call::ReleaseCapacity { session: *session, bytes });
                } else {
                    *self.unreleased.entry(*session).or_default() += bytes;
                }
            }
            Output::KeepAlive { .. } | Output::Event(_) => {}
        }
    }

    /// So much time passes, without anything else happening, and the engine is called once.
    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.call(Call::HandleTimeout);
    }

    /// Time passes to when the engine wants to be called. False when it does not.
    pub fn wait_until_due(&mut self) -> bool {
        let Some(due) = self.engine.poll_timeout() else { return false };
        self.now = self.now.max(due);
        self.call(Call::HandleTimeout);
        true
    }

    /// So much time passes, with a drain at each moment at which the engine wants to be called. All
    /// outputs.
    ///
    /// # Panics
    ///
    /// When the engine asks for the same moment again and again.
    pub fn advance(&mut self, time: Duration) -> Vec<Output<P>> {
        let end = self.now + time;
        let mut outputs = self.drain();
        for _ in 0..DEADLINES_MAX {
            if self.engine.poll_timeout().is_none_or(|due| due > end) {
                self.now = end;
                self.call(Call::HandleTimeout);
                outputs.extend(self.drain());
                return outputs;
            }
            self.wait_until_due();
            outputs.extend(self.drain());
        }
        self.engine.require(false, || "deadlines without end".into());
        outputs
    }
}
