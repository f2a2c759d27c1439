//! The engine in a swarm.
//!
//! Every call of the engine goes through [`Behaviour::with_engine`], which carries out whatever the
//! engine then wants done. Nothing here blocks or hashes: streams are the matter of the connections'
//! tasks, the store's futures run on the spawner.

mod api;
mod connections;
mod get;
mod haves;
mod inbox;
mod peer;
mod peer_histories;
mod requests;
mod storage;
mod timer;

pub use api::{BlockDisposition, PeerInfo, Stats};

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::{fmt, mem};

use bitswap_core::{Block, Engine, Output, SessionId, Timestamp};
use either::Either;
use libp2p_core::Endpoint;
use libp2p_core::multiaddr::{Multiaddr, Protocol};
use libp2p_core::transport::PortUse;
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{
    ConnectionClosed, ConnectionEstablished, DialFailure, ListenFailure,
};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

use crate::blockstore::Blockstore;
use crate::builder::BehaviourBuilder;
use crate::config::Config;
use crate::event::{EngineEvent, Event, PutId};
use crate::handler::{Arrivals, Handler, Settings};
use crate::histogram::{Histogram, MessageSizes};
use crate::protocol::Offer;
use crate::spawner::TaskSpawner;
use crate::trace::log;
use crate::traffic::Traffic;
use connections::apply_input;
use haves::Haves;
use inbox::Inbox;
use peer::{Peer, StreamIds};
use peer_histories::PeerHistories;
use requests::Requests;
use storage::{Answer, Storage};
use timer::{Alarm, Clock};

/// Answers of the store that are taken before the swarm gets its turn again.
const ANSWERS_PER_POLL: u32 = 64;

/// Bitswap as a part of a libp2p swarm. The crate's front page shows how it is used.
pub struct Behaviour<S> {
    engine: Engine<PeerId>,
    clock: Clock,
    alarm: Alarm,
    settings: Settings,
    items_per_second: u32,
    spawner: Arc<dyn TaskSpawner>,
    peers: BTreeMap<PeerId, Peer>,
    streams: StreamIds,
    histories: PeerHistories,
    storage: Storage<S>,
    /// Sessions whose blocks go to the store.
    storing: HashSet<SessionId>,
    /// Blocks that the engine has just delivered, on their way to the store with their events.
    arrived: (Vec<Block>, Vec<EngineEvent>),
    puts: HashMap<PutId, Put>,
    puts_begun: u64,
    requests: Requests,
    events: VecDeque<Event>,
    /// Peers of which it must be seen whether their connections are still needed.
    touched: Vec<PeerId>,
    /// The peer that was looked at last although nothing had touched it.
    looked_at: Option<PeerId>,
    traffic: Traffic,
    inbox: Inbox,
    inbox_depth: Histogram,
    haves: Haves,
    arrivals: Arrivals,
    sizes: Arc<MessageSizes>,
    task: Option<Waker>,
}

/// Blocks on their way to the store.
struct Put {
    /// The user asked for it and gets an answer.
    asked: bool,
    /// What waits for the blocks to be stored.
    events: Vec<EngineEvent>,
}

impl<S: Blockstore> Behaviour<S> {
    /// A behaviour with default settings, whose tasks run on tokio.
    ///
    /// # Panics
    ///
    /// When the system's random source fails.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn new(store: Arc<S>) -> Self {
        Self::builder(store).build()
    }

    /// Starts to make a behaviour with other settings, or on another runtime.
    #[must_use]
    pub fn builder(store: Arc<S>) -> BehaviourBuilder<S> {
        BehaviourBuilder::new(store)
    }

    pub(crate) fn with_parts(
        config: Config,
        store: Arc<S>,
        spawner: Arc<dyn TaskSpawner>,
        seed: [u8; 32],
    ) -> Self {
        let clock = Clock::new();
        let settings = Settings {
            streams_max: config.inbound_streams_max,
            tick: config.tick(),
            open_timeout: config.open_timeout,
            offer: Offer::up_to(config.newest),
        };
        Self {
            engine: Engine::new(config.engine, seed, clock.now()),
            clock,
            alarm: Alarm::default(),
            settings,
            items_per_second: config.items_per_second,
            storage: Storage::new(store, spawner.clone()),
            spawner,
            peers: BTreeMap::new(),
            streams: StreamIds::default(),
            histories: PeerHistories::new(config.peer_histories_max),
            storing: HashSet::new(),
            arrived: (Vec::new(), Vec::new()),
            puts: HashMap::new(),
            puts_begun: 0,
            requests: Requests::default(),
            events: VecDeque::new(),
            touched: Vec::new(),
            looked_at: None,
            traffic: Traffic::default(),
            inbox: Inbox::default(),
            inbox_depth: Histogram::of_depths(),
            haves: Haves::default(),
            arrivals: Arrivals::default(),
            sizes: Arc::default(),
            task: None,
        }
    }

    /// Calls the engine and carries out what it then wants done.
    fn with_engine<T>(&mut self, call: impl FnOnce(&mut Engine<PeerId>, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let result = call(&mut self.engine, now);
        while let Some(output) = self.engine.poll_output() {
            self.carry_out(output, now);
        }
        if !self.arrived.0.is_empty() {
            let (blocks, events) = mem::take(&mut self.arrived);
            self.begin_put(blocks, Put { asked: false, events });
        }
        self.update_keep_alive();
        self.wake();
        self.inbox.worked(self.clock.now().since(now));
        result
    }

    /// Has the swarm poll again.
    fn wake(&mut self) {
        self.task.take().into_iter().for_each(Waker::wake);
    }

    fn carry_out(&mut self, output: Output<PeerId>, now: Timestamp) {
        let (peer, input) = match output {
            Output::Open { peer, stream: kind } => {
                let Some(known) = self.peers.get_mut(&peer) else { return };
                (peer, known.open(kind, &mut self.streams))
            }
            Output::Close { peer, stream: kind } => {
                let Some(known) = self.peers.get_mut(&peer) else { return };
                known.close(kind);
                (peer, None)
            }
            Output::Reset { peer, stream: kind } => {
                let Some(known) = self.peers.get_mut(&peer) else { return };
                known.reset(kind);
                (peer, None)
            }
            Output::Send(outgoing) => {
                let peer = outgoing.peer;
                let Some(known) = self.peers.get_mut(&peer) else { return };
                (peer, known.send(outgoing))
            }
            Output::Load(load) => {
                let peer = load.peer;
                self.storage.load(load);
                (peer, None)
            }
            Output::FindProviders { id, session, cid } => {
                return self.events.push_back(Event::FindProviders { id, session, cid });
            }
            Output::StopLookup { id } => return self.stop_lookup(id),
            Output::Event(event) => return self.on_engine_event(event),
        };
        self.touched.push(peer);
        input.into_iter().for_each(|input| apply_input(&mut self.engine, peer, input, now));
    }

    /// Nobody waits for a lookup. The user need not handle_messages of one that it was not asked for yet.
    fn stop_lookup(&mut self, stopped: bitswap_core::LookupId) {
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
                // Several sessions may have wanted it.
                if self.arrived.0.last().map(Block::cid) != Some(block.cid()) {
                    self.arrived.0.push(block.clone());
                }
                return self.arrived.1.push(event);
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

    fn begin_put(&mut self, blocks: Vec<Block>, put: Put) -> PutId {
        let id = PutId(self.puts_begun);
        self.puts_begun += 1;
        self.puts.insert(id, put);
        self.storage.put(id, blocks);
        id
    }

    fn stored(&mut self, answer: Answer) {
        match answer {
            Answer::Load { id, loaded, error } => {
                self.with_engine(|engine, now| engine.handle_load(id, loaded, now));
                self.events.extend(error.map(|error| Event::StoreFailed { error }));
            }
            Answer::Put { id, blocks, result } => {
                let put = self.puts.remove(&id);
                if !blocks.is_empty() {
                    self.with_engine(|engine, now| engine.notify_new_blocks(&blocks, now));
                }
                let Some(Put { asked, events }) = put else { return };
                if asked {
                    self.events.push_back(Event::Put { id, result });
                } else if let Err(error) = result {
                    self.events.push_back(Event::StoreFailed { error });
                }
                events.into_iter().for_each(|event| self.deliver(event));
            }
            Answer::Found { find, cid, found } => self.found(find, cid, found),
        }
    }

    /// Lets the engine do what is due, and arms the alarm for what is due next.
    fn poll_time(&mut self, cx: &mut Context<'_>) {
        if self.engine.poll_timeout().is_some_and(|at| at <= self.clock.now()) {
            self.with_engine(Engine::handle_timeout);
        }
        let Some(at) = self.engine.poll_timeout() else { return };
        let now = self.clock.now();
        // What has come due meanwhile is for the next turn, after everybody else's.
        if at <= now || self.alarm.poll(at, now, cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl<S> fmt::Debug for Behaviour<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("engine", &self.engine.stats())
            .field("traffic", &self.traffic)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
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

/// Blocks do not go through other peers' relays.
fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

impl<S: Blockstore> NetworkBehaviour for Behaviour<S> {
    type ConnectionHandler = Either<Handler, dummy::ConnectionHandler>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if is_relayed(local) || is_relayed(remote) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        Ok(Either::Left(self.connecting(peer, id)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if is_relayed(address) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        Ok(Either::Left(self.connecting(peer, id)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => self.connected(peer_id, connection_id),
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. })
            | FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer_id), connection_id, ..
            })
            | FromSwarm::ListenFailure(ListenFailure {
                peer_id: Some(peer_id),
                connection_id,
                ..
            }) => self.disconnected(peer_id, connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(report) => self.reported(peer, connection, report),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        let mut answers = 0;
        while let Poll::Ready(answer) = self.storage.poll(cx) {
            self.stored(answer);
            answers += 1;
            if answers == ANSWERS_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
        }
        while let Poll::Ready(received) = self.inbox.poll_next(cx) {
            self.apply(received);
        }
        self.poll_time(cx);
        if let Some(event) = self.events.pop_front().or_else(|| self.haves.poll()) {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
