//! The engine in a swarm.
//!
//! Every call of the engine goes through [`Behaviour::with_engine`], which carries out whatever the
//! engine then wants done. Nothing here blocks or hashes: streams are the matter of the connections'
//! tasks, the store's futures run on the executor.

mod api;
mod connections;
mod inbox;
mod peer;
mod peer_histories;
mod storage;
mod timer;

pub use api::{BlockDisposition, PeerInfo, Stats};

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

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
use crate::config::Config;
use crate::event::{Event, PutId};
use crate::executor::TaskSpawner;
use crate::handler::{Arrivals, Handler, Settings};
use crate::protocol::Offer;
use crate::traffic::Traffic;
use connections::tell;
use inbox::Inbox;
use peer::{Peer, StreamIds};
use peer_histories::PeerHistories;
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
    executor: Arc<dyn TaskSpawner>,
    peers: BTreeMap<PeerId, Peer>,
    streams: StreamIds,
    histories: PeerHistories,
    storage: Storage<S>,
    /// Sessions whose blocks go to the store.
    storing: HashSet<SessionId>,
    /// Blocks that the engine has just delivered, on their way to the store with their events.
    arrived: (Vec<Block>, Vec<Event>),
    puts: HashMap<PutId, Put>,
    puts_begun: u64,
    events: VecDeque<Event>,
    /// Peers of which it must be seen whether their connections are still needed.
    touched: Vec<PeerId>,
    /// The peer that was looked at last although nothing had touched it.
    looked_at: Option<PeerId>,
    traffic: Traffic,
    inbox: Inbox,
    arrivals: Arrivals,
    task: Option<Waker>,
}

/// Blocks on their way to the store.
struct Put {
    /// The user asked for it and gets an answer.
    asked: bool,
    /// What waits for the blocks to be stored.
    events: Vec<Event>,
}

impl<S: Blockstore> Behaviour<S> {
    /// A behaviour without peers or wants.
    ///
    /// `seed` decides how work is spread among equal peers and keys the tables that peers can fill:
    /// take it from the system's random source.
    pub fn new(config: Config, store: Arc<S>, executor: impl TaskSpawner, seed: [u8; 32]) -> Self {
        let clock = Clock::new();
        let executor: Arc<dyn TaskSpawner> = Arc::new(executor);
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
            storage: Storage::new(store, executor.clone()),
            executor,
            peers: BTreeMap::new(),
            streams: StreamIds::default(),
            histories: PeerHistories::new(config.peer_histories_max),
            storing: HashSet::new(),
            arrived: (Vec::new(), Vec::new()),
            puts: HashMap::new(),
            puts_begun: 0,
            events: VecDeque::new(),
            touched: Vec::new(),
            looked_at: None,
            traffic: Traffic::default(),
            inbox: Inbox::default(),
            arrivals: Arrivals::default(),
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
        self.tell_needs();
        self.task.take().into_iter().for_each(Waker::wake);
        self.inbox.worked(self.clock.now().since(now));
        result
    }

    fn carry_out(&mut self, output: Output<PeerId>, now: Timestamp) {
        let (peer, told) = match output {
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
            Output::Event(event) => return self.tell_user(event),
        };
        self.touched.push(peer);
        told.into_iter().for_each(|told| tell(&mut self.engine, peer, told, now));
    }

    /// Nobody waits for a lookup. The user need not hear of one that it was not asked for yet.
    fn stop_lookup(&mut self, stopped: bitswap_core::LookupId) {
        let before = self.events.len();
        self.events
            .retain(|event| !matches!(event, Event::FindProviders { id, .. } if *id == stopped));
        if self.events.len() == before {
            self.events.push_back(Event::StopLookup { id: stopped });
        }
    }

    fn tell_user(&mut self, event: bitswap_core::Event<PeerId>) {
        use bitswap_core::Event as Happened;
        self.events.push_back(match event {
            Happened::Block { session, block, from } => {
                let to_store = self.storing.contains(&session).then(|| block.clone());
                let event = Event::Block { session, block, from };
                if let Some(block) = to_store {
                    // Several sessions may have wanted it.
                    if self.arrived.0.last().map(Block::cid) != Some(block.cid()) {
                        self.arrived.0.push(block);
                    }
                    return self.arrived.1.push(event);
                }
                event
            }
            Happened::Stored { session, cid } => Event::Stored { session, cid },
            Happened::Failed { session, cid, reason } => Event::Failed { session, cid, reason },
            Happened::PeerDisconnected { peer, history } => {
                self.histories.put(peer, history);
                Event::PeerDisconnected { peer, history }
            }
            Happened::Unreachable { peer, error } => Event::Unreachable { peer, error },
            other => return tracing::debug!(?other, "an event that this crate does not know"),
        });
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
                self.events.extend(events);
            }
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
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
