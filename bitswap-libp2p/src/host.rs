//! The host of the engine: carries out what it wants done, has its clock, its store and its events.
//!
//! Whatever comes from outside, of peers, of the store, of the user and of the clock, goes to the engine through
//! [`Host::call`]; only what a network cannot do at all is answered while outputs are carried out. How streams and
//! messages get to peers is the matter of a [`Network`], of which the host knows nothing else.

mod get;
mod peer_histories;
mod puts;
mod requests;
mod storage;
mod timer;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use bitswap_core::error::{OpenError, SendError, WantError};
use bitswap_core::{
    Block, Engine, LookupId, Message, Outgoing, Output, PeerStats, ProtocolSupport, SendId,
    SessionId, SessionOptions, StreamKind, Timestamp, Version,
};
use cid::Cid;
use libp2p_identity::PeerId;

use crate::blockstore::Blockstore;
use crate::config::Config;
use crate::event::{EngineEvent, Event, PutId};
use crate::spawner::TaskSpawner;
use crate::trace::log;
use peer_histories::PeerHistories;
use puts::Puts;
use requests::Requests;
use storage::{Answer, Storage};
use timer::{Alarm, Clock};

pub(crate) use storage::Access;

/// Answers of the store that are taken before everybody else gets a turn.
const ANSWERS_PER_POLL: u32 = 64;

/// Where the blocks of a session go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockDisposition {
    /// Into the store, and then to the user; other peers are served from there.
    #[default]
    Store,
    /// To the user alone: a file that is written elsewhere, or bytes that are used once. What the
    /// user can serve afterwards is told with [`Behaviour::notify_new_blocks`](crate::Behaviour::notify_new_blocks).
    Return,
}

/// What carries the engine's streams and messages to peers.
///
/// What it cannot do it answers at once; all else it reports later, as the [`Input`] that the engine waits for.
pub(crate) trait Network {
    /// Opens a stream.
    fn open(&mut self, peer: PeerId, kind: StreamKind) -> Option<Input>;

    /// Closes a stream in good order.
    fn close(&mut self, peer: PeerId, kind: StreamKind);

    /// Resets a stream with all that is on its way.
    fn reset(&mut self, peer: PeerId, kind: StreamKind);

    /// Sends a message on an open stream.
    fn send(&mut self, outgoing: Outgoing<PeerId>) -> Option<Input>;

    /// The engine needs the connections to the peer from now on, or does not. A peer that has left is needed no more
    /// without a word.
    fn keep_alive(&mut self, peer: PeerId, needed: bool);

    /// The engine has nothing more to say.
    fn drained(&mut self, engine: &Engine<PeerId>);
}

/// What a network has to report of one peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Support(ProtocolSupport),
    Opened(StreamKind, Result<Version, OpenError>),
    Sent(SendId, Result<(), SendError>),
    Reset(StreamKind),
}

impl Input {
    fn apply(self, engine: &mut Engine<PeerId>, peer: PeerId, now: Timestamp) {
        match self {
            Self::Support(support) => engine.handle_support(peer, support, now),
            Self::Opened(kind, result) => engine.handle_open(peer, kind, result, now),
            Self::Sent(id, result) => engine.handle_sent(id, result, now),
            Self::Reset(kind) => engine.handle_reset(peer, kind, now),
        }
    }
}

/// The engine and what it needs of the world, but for the network that it is given.
pub(crate) struct Host<N, S> {
    engine: Engine<PeerId>,
    network: N,
    clock: Clock,
    alarm: Alarm,
    histories: PeerHistories,
    storage: Storage<S>,
    /// Sessions whose blocks go to the store.
    storing: HashSet<SessionId>,
    puts: Puts,
    requests: Requests,
    events: VecDeque<Event>,
}

impl<N: Network, S: Blockstore> Host<N, S> {
    pub(crate) fn new(
        config: Config,
        store: Arc<S>,
        spawner: Arc<dyn TaskSpawner>,
        network: N,
        seed: [u8; 32],
    ) -> Self {
        let clock = Clock::new();
        Self {
            engine: Engine::new(config.engine, seed, clock.now()),
            network,
            clock,
            alarm: Alarm::default(),
            histories: PeerHistories::new(config.peer_histories_max),
            storage: Storage::new(store, spawner),
            storing: HashSet::new(),
            puts: Puts::default(),
            requests: Requests::default(),
            events: VecDeque::new(),
        }
    }

    /// Calls the engine and carries out what it then wants done.
    pub(crate) fn call<T>(&mut self, call: impl FnOnce(&mut Engine<PeerId>, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let result = call(&mut self.engine, now);
        while let Some(output) = self.engine.poll_output() {
            self.carry_out(output, now);
        }
        if let Some((id, blocks)) = self.puts.begin_arrived() {
            self.storage.put(id, blocks);
        }
        self.network.drained(&self.engine);
        result
    }

    fn carry_out(&mut self, output: Output<PeerId>, now: Timestamp) {
        let (peer, input) = match output {
            Output::Open { peer, stream } => (peer, self.network.open(peer, stream)),
            Output::Close { peer, stream } => return self.network.close(peer, stream),
            Output::Reset { peer, stream } => return self.network.reset(peer, stream),
            Output::Send(outgoing) => (outgoing.peer, self.network.send(outgoing)),
            Output::KeepAlive { peer, needed } => return self.network.keep_alive(peer, needed),
            Output::Load(load) => return self.storage.load(load),
            Output::FindProviders { id, session, cid } => {
                return self.events.push_back(Event::FindProviders { id, session, cid });
            }
            Output::StopLookup { id } => return self.stop_lookup(id),
            Output::Event(event) => return self.on_engine_event(event),
        };
        input.into_iter().for_each(|input| input.apply(&mut self.engine, peer, now));
    }

    // What happens to peers.

    /// A peer has a connection. False when the engine has no room for it.
    pub(crate) fn connected(&mut self, peer: PeerId) -> bool {
        let history = self.histories.take(&peer);
        self.call(|engine, now| engine.handle_connected(peer, history, now));
        let is_known = self.engine.peer_stats(peer).is_some();
        if !is_known {
            history.into_iter().for_each(|history| self.histories.put(peer, history));
        }
        is_known
    }

    /// The last connection of a peer closed.
    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        let stats: Option<PeerStats> = self.engine.peer_stats(peer);
        self.call(|engine, now| engine.handle_disconnected(peer, now));
        self.events.extend(stats.map(|stats| Event::PeerLeft { peer, stats: Box::new(stats) }));
    }

    /// The network reports of a peer.
    pub(crate) fn apply(&mut self, peer: PeerId, inputs: Vec<Input>) {
        self.call(|engine, now| {
            inputs.into_iter().for_each(|input| input.apply(engine, peer, now));
        });
    }

    /// Messages of a peer arrived.
    pub(crate) fn received(&mut self, peer: PeerId, messages: Vec<Message>) {
        self.call(|engine, now| {
            messages.into_iter().for_each(|message| engine.handle_message(peer, message, now));
        });
    }

    // What the user wants.

    pub(crate) fn open_session(
        &mut self,
        options: SessionOptions<PeerId>,
        disposition: BlockDisposition,
    ) -> Result<SessionId, WantError> {
        let session = self.call(|engine, now| engine.open_session(options, now))?;
        if disposition == BlockDisposition::Store {
            self.storing.insert(session);
        }
        Ok(session)
    }

    pub(crate) fn close_session(&mut self, session: SessionId) {
        self.storing.remove(&session);
        self.silence(session, None);
        self.call(|engine, now| engine.close_session(session, now));
    }

    pub(crate) fn cancel(&mut self, session: SessionId, cids: impl IntoIterator<Item = Cid>) {
        let cids: HashSet<Cid> = cids.into_iter().collect();
        self.silence(session, Some(&cids));
        self.call(|engine, now| engine.cancel(session, cids, now));
    }

    pub(crate) fn put(&mut self, blocks: Vec<Block>) -> PutId {
        let id = self.puts.begin_asked();
        self.storage.put(id, blocks);
        id
    }

    pub(crate) fn set_access(&mut self, access: Access) {
        self.storage.set_access(access);
    }

    // Time, the store, and events.

    /// Takes what the store has answered.
    pub(crate) fn poll_store(&mut self, cx: &mut Context<'_>) {
        for _ in 0..ANSWERS_PER_POLL {
            let Poll::Ready(answer) = self.storage.poll(cx) else { break };
            self.stored(answer);
        }
    }

    /// Lets the engine do what is due, and has the task woken for what is due next: after all other inputs. Also when
    /// the store has more answers, or answered at once what was asked of it since [`Self::poll_store`].
    pub(crate) fn poll_time(&mut self, cx: &mut Context<'_>) {
        if self.engine.poll_timeout().is_some_and(|at| at <= self.clock.now()) {
            self.call(Engine::handle_timeout);
        }
        if self.storage.may_have_more() {
            cx.waker().wake_by_ref();
        }
        let Some(at) = self.engine.poll_timeout() else { return };
        let now = self.clock.now();
        // What has come due meanwhile is for the next turn, after everybody else's.
        if at <= now || self.alarm.poll(at, now, cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn stored(&mut self, answer: Answer) {
        match answer {
            Answer::Load { id, loaded, error } => {
                self.call(|engine, now| engine.handle_load(id, loaded, now));
                self.events.extend(error.map(|error| Event::StoreFailed { error }));
            }
            Answer::Put { id, blocks, result } => {
                let put = self.puts.end(id);
                if !blocks.is_empty() {
                    self.call(|engine, now| engine.notify_new_blocks(&blocks, now));
                }
                let Some(put) = put else { return };
                if put.is_asked() {
                    self.events.push_back(Event::Put { id, result });
                } else if let Err(error) = result {
                    self.events.push_back(Event::StoreFailed { error });
                }
                put.into_events().for_each(|event| self.deliver(event));
            }
            Answer::Found { find, cid, found } => self.found(find, cid, found),
        }
    }

    /// Nobody waits for a lookup. The user need not hear of one that it was not asked for yet.
    fn stop_lookup(&mut self, stopped: LookupId) {
        let before = self.events.len();
        self.events
            .retain(|event| !matches!(event, Event::FindProviders { id, .. } if *id == stopped));
        if self.events.len() == before {
            self.events.push_back(Event::StopLookup { id: stopped });
        }
    }

    fn on_engine_event(&mut self, event: EngineEvent) {
        trace_event(&event);
        match &event {
            EngineEvent::Block { session, block, .. } if self.storing.contains(session) => {
                let block = block.clone();
                return self.puts.arrived(block, event);
            }
            EngineEvent::PeerDisconnected { peer, history } => self.histories.put(*peer, *history),
            _ => {}
        }
        self.deliver(event);
    }

    /// An event goes to the user, or ends a get.
    fn deliver(&mut self, event: EngineEvent) {
        let event = self.take_for_get(event).map(Event::Engine);
        self.events.extend(event);
    }

    /// Drops events that wait to be polled: of a whole session, or of these wants of it.
    fn silence(&mut self, silent: SessionId, cids: Option<&HashSet<Cid>>) {
        let mut bytes = 0;
        let mut keep = |event: &EngineEvent| {
            let (session, cid) = match event {
                EngineEvent::Block { session, block, .. } => (session, block.cid()),
                EngineEvent::Stored { session, cid } | EngineEvent::Failed { session, cid, .. } => {
                    (session, cid)
                }
                _ => return true,
            };
            if *session != silent || cids.is_some_and(|cids| !cids.contains(cid)) {
                return true;
            }
            if let EngineEvent::Block { block, .. } = event {
                bytes += block.data().len() as u64;
            }
            false
        };
        self.events.retain(|event| match event {
            Event::Engine(event) => keep(event),
            _ => true,
        });
        self.puts.retain_events(&mut keep);
        // Nobody else can release their bytes.
        if bytes > 0 {
            self.call(|engine, now| engine.release_capacity(silent, bytes, now));
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl<N, S> Host<N, S> {
    /// The engine, for its queries.
    pub(crate) const fn engine(&self) -> &Engine<PeerId> {
        &self.engine
    }

    pub(crate) const fn network(&self) -> &N {
        &self.network
    }

    pub(crate) const fn network_mut(&mut self) -> &mut N {
        &mut self.network
    }

    /// Events that wait to be polled.
    pub(crate) fn events_len(&self) -> usize {
        self.events.len()
    }
}

impl<N, S: Blockstore> Host<N, S> {
    pub(crate) const fn store(&self) -> &Arc<S> {
        self.storage.store()
    }

    /// Calls of the store whose answers were not taken yet.
    pub(crate) const fn store_calls(&self) -> usize {
        self.storage.running()
    }

    /// Whether nothing is on its way into the store or to the user.
    pub(crate) fn is_idle(&self) -> bool {
        self.events.is_empty() && self.requests.is_empty() && self.storage.running() == 0
    }
}

/// Logs how wants end, and what peers do.
fn trace_event(event: &EngineEvent) {
    match event {
        EngineEvent::Block { session, block, .. } => {
            log!(
                trace,
                "a block arrived",
                session = session,
                cid = block.cid(),
                bytes = block.data().len()
            );
        }
        EngineEvent::Stored { session, cid } => {
            log!(trace, "a wanted block was stored", session = session, cid = cid);
        }
        EngineEvent::Failed { session, cid, reason } => {
            log!(debug, "a want failed", session = session, cid = cid, reason = reason);
        }
        EngineEvent::Unreachable { peer, error } => {
            log!(debug, "a peer cannot be reached", peer = peer, error = error);
        }
        _ => {}
    }
}
