//! The node's task: the swarm, and all that must not run beside it.
//!
//! Everything a handle wants done comes as a command through one bounded channel and runs here, so there is
//! no lock around the swarm. The task does a bounded number of steps per turn and takes each
//! source in turn, so that neither a busy network nor a busy user starves the other.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bitswap_core::error::OpenError;
use bitswap_core::{ProviderProgress, Timestamp};
use bitswap_libp2p::{Behaviour as Bitswap, EngineEvent, Event as BitswapEvent};
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use libp2p::swarm::{ConnectionId, DialError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, ping};

use super::behaviour::{Parts, PartsEvent};
use super::connections::{ConnectionManager, Use};
use super::dht::InDht;
use super::dialling::Dialling;
use super::events::{Listeners, NodeEvent};
use super::listening::Listening;
use super::looks::Looks;
use super::lookups::Lookups;
use super::observed::Observed;
use super::recent_errors::RecentErrors;
use super::report::Identified;
use super::routes::{Release, Routes};
use super::searches::Searches;
use super::stopping::Stopping;
use crate::discovery::Discovered;
use crate::error::{ConnectError, ListenError};
use crate::error_chain::ErrorChain;
use crate::reason::DialReason;
use crate::runtime::Runtime;
use crate::session::WantCall;
use crate::store::Store;
use crate::trace::log;

/// Steps per turn of the task. Afterwards other tasks have their turn.
const STEPS: usize = 16;

/// Commands, releases and events of the swarm per step, at most.
const COMMANDS: usize = 16;
const RELEASES: usize = 256;
const EVENTS: usize = 16;

/// Something a handle wants done.
pub(super) enum Command {
    /// Blocks for a waiter. Calls that follow each other go to the engine together.
    Want(WantCall),
    Run(Box<dyn FnOnce(&mut Driver) + Send>),
}

/// The node's task.
pub(crate) struct Driver {
    pub(super) swarm: Swarm<Parts>,
    pub(super) runtime: Arc<dyn Runtime>,
    start: Instant,
    commands: mpsc::Receiver<Command>,
    releases: mpsc::UnboundedReceiver<Release>,
    pub(super) release: mpsc::UnboundedSender<Release>,
    pub(super) dialling: Dialling,
    listening: Listening,
    timer: Option<(Timestamp, BoxFuture<'static, ()>)>,
    pub(super) routes: Routes,
    pub(super) looks: Looks,
    connection_manager: ConnectionManager,
    pub(super) lookups: Lookups,
    pub(super) dht: Option<InDht>,
    pub(super) listeners: Listeners,
    pub(super) observed: Observed,
    pub(super) searches: Searches,
    pub(super) errors: RecentErrors,
    /// What connected peers said of themselves.
    pub(super) identified: HashMap<PeerId, Identified>,
    stopping: Stopping,
}

/// What a driver runs on.
pub(super) struct Host {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) store: Store,
    /// How long a lost peer is expected back.
    pub(super) reconnect_grace: Duration,
}

/// The ends of the channels that reach a driver.
pub(super) struct Channels {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) releases: mpsc::UnboundedReceiver<Release>,
    pub(super) release: mpsc::UnboundedSender<Release>,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Parts>,
        host: Host,
        channels: Channels,
        lookups: Lookups,
        connection_manager: ConnectionManager,
        dht: Option<InDht>,
    ) -> Self {
        let Host { runtime, store, reconnect_grace } = host;
        let Channels { commands, releases, release } = channels;
        Self {
            dialling: Dialling::new(*swarm.local_peer_id(), reconnect_grace),
            listening: Listening::default(),
            swarm,
            runtime,
            start: Instant::now(),
            commands,
            releases,
            release,
            timer: None,
            routes: Routes::default(),
            looks: Looks::new(store),
            lookups,
            connection_manager,
            dht,
            listeners: Listeners::default(),
            observed: Observed::new(),
            searches: Searches::default(),
            errors: RecentErrors::default(),
            identified: HashMap::new(),
            stopping: Stopping::default(),
        }
    }

    // What handles want.

    /// Dials an address; the answer comes when there is a connection, or none.
    pub(super) fn connect(
        &mut self,
        address: Multiaddr,
        reply: oneshot::Sender<Result<PeerId, ConnectError>>,
    ) {
        let now = self.now();
        self.dialling.connect(&mut self.swarm, address, reply, now);
    }

    /// Listens on an address; the answer is the first that others can dial.
    pub(super) fn listen(
        &mut self,
        address: Multiaddr,
        reply: oneshot::Sender<Result<Multiaddr, ListenError>>,
    ) {
        if let Err(error) = self.listening.listen(&mut self.swarm, address, reply) {
            self.note_error(&error);
        }
    }

    /// Stops the node once nothing is on its way any more, or soon.
    pub(super) fn shutdown(&mut self, reply: oneshot::Sender<()>) {
        self.bitswap().shutdown();
        self.stopping.begin(&self.runtime, reply);
    }

    /// The Bitswap behaviour.
    pub(crate) fn bitswap(&mut self) -> &mut Bitswap<Store> {
        &mut self.swarm.behaviour_mut().bitswap
    }

    // What happens.

    fn swarm_event(&mut self, event: SwarmEvent<PartsEvent>) {
        match event {
            SwarmEvent::Behaviour(PartsEvent::Bitswap(event)) => self.bitswap_event(event),
            SwarmEvent::Behaviour(PartsEvent::Identify(event)) => self.identified(&event),
            SwarmEvent::Behaviour(PartsEvent::Ping(ping::Event {
                peer, result: Ok(took), ..
            })) => {
                self.bitswap().set_round_trip(peer, took);
            }
            SwarmEvent::Behaviour(PartsEvent::Dht(event)) => self.dht_event(event),
            SwarmEvent::Behaviour(PartsEvent::Discovery(found)) => self.discovered(found),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                num_established,
                endpoint,
                ..
            } => {
                if endpoint.is_dialer() {
                    self.lookups.dial_ended();
                }
                self.dialling.established(connection_id, peer_id, self.now());
                if num_established.get() == 1 {
                    self.connected(peer_id);
                }
                self.make_room(connection_id, peer_id, endpoint.get_remote_address());
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.connection_manager.closed(connection_id);
                if num_established == 0 {
                    self.identified.remove(&peer_id);
                    let now = self.now();
                    self.dialling.dialer_mut().disconnected(peer_id, now);
                    let (now, known) = self.counted_peers();
                    self.observed.disconnected(peer_id, now, known);
                    self.listeners.send(&NodeEvent::Disconnected(peer_id));
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.dial_failed(connection_id, peer_id, error);
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listening.begun(listener_id, &address);
                self.listens(&address);
                self.listeners.send(&NodeEvent::Listening(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.swarm.remove_external_address(&address);
                self.listeners.send(&NodeEvent::NotListening(address));
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                if let Err(error) = self.listening.closed(listener_id, reason) {
                    self.note_error(&error);
                }
                for address in addresses {
                    self.swarm.remove_external_address(&address);
                    self.listeners.send(&NodeEvent::NotListening(address));
                }
            }
            _ => {}
        }
    }

    fn bitswap_event(&mut self, event: BitswapEvent) {
        match event {
            BitswapEvent::Engine(event) => self.engine_event(event),
            BitswapEvent::PeerLeft { peer, stats } => {
                self.listeners.send(&NodeEvent::PeerLeft { peer, stats });
            }
            BitswapEvent::Haves { peer, cids } => self.said_have(peer, &cids),
            BitswapEvent::FindProviders { id, session, cid } => self.look_up(id, session, cid),
            BitswapEvent::StopLookup { id } => self.stop_lookup(id),
            BitswapEvent::StoreFailed { error } => {
                self.note_error(&format!("the store failed: {}", ErrorChain(&error)));
            }
            _ => {}
        }
    }

    fn engine_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Block { session, block, from } => self.block(session, block, from),
            EngineEvent::Stored { session, cid } => self.routes.stored(session, cid),
            EngineEvent::Failed { session, cid, reason } => self.want_failed(session, cid, reason),
            EngineEvent::Unreachable { peer, error: OpenError::Unsupported, .. } => {
                self.listeners.send(&NodeEvent::NoBitswap(peer));
            }
            _ => {}
        }
    }

    fn discovered(&mut self, discovered: Discovered) {
        let now = self.now();
        let dialer = self.dialling.dialer_mut();
        match discovered {
            Discovered::Found(found) => {
                for (peer, address) in found {
                    dialer.found(peer, address, self.swarm.is_connected(&peer), now);
                }
            }
            Discovered::Expired(expired) => {
                for (peer, address) in expired {
                    dialer.expired(peer, &address);
                }
            }
        }
    }

    fn connected(&mut self, peer: PeerId) {
        let now = self.now();
        self.dialling.dialer_mut().connected(peer, now);
        let (now, known) = self.counted_peers();
        self.observed.connected(peer, now, known);
        self.want_held();
        for lookup in self.lookups.decided(peer) {
            self.bitswap().providers(lookup, &[peer], ProviderProgress::Partial);
        }
        self.listeners.send(&NodeEvent::Connected(peer));
    }

    /// How many peers are connected, and how many are known: those, and all that are dialled now and then.
    fn counted_peers(&self) -> (usize, usize) {
        let dialer = self.dialling.dialer();
        let connected = self.swarm.connected_peers();
        let (all, others) = connected.fold((0, 0), |(all, others), peer| {
            (all + 1, others + usize::from(!dialer.knows(peer)))
        });
        (all, dialer.known() + others)
    }

    /// Closes a connection for one that was established, if there are too many.
    fn make_room(&mut self, connection: ConnectionId, peer: PeerId, address: &Multiaddr) {
        let Self { connection_manager, dialling, swarm, .. } = self;
        let bitswap = &swarm.behaviour().bitswap;
        let of_use = |peer: &PeerId| {
            let stats = bitswap.peer(*peer).and_then(|known| known.stats).unwrap_or_default();
            if dialling.dialer().is_named(peer) {
                Use::Named
            } else if stats.fetched.blocks > 0 {
                Use::Served
            } else if stats.sent_wants > 0 || stats.served.blocks > 0 {
                Use::Some
            } else {
                Use::None
            }
        };
        if let Some(out) = connection_manager.established(connection, peer, address, of_use) {
            swarm.close_connection(out);
        }
    }

    fn dial_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, error: DialError) {
        let reason: Arc<str> = DialReason::of_any(&error).to_string().into();
        log!(debug, "a dial failed", reason = reason);
        match peer {
            Some(peer) => self.note_error(&format!("no connection to {peer}: {reason}")),
            // The reason names the address.
            None => self.note_error(&format!("no connection: {reason}")),
        }
        self.lookups.dial_ended();
        self.dialling.failed(connection, error, &reason, self.now());
        if let Some(peer) = peer
            && !self.swarm.is_connected(&peer)
        {
            self.lookups.decided(peer);
        }
        self.listeners.send(&NodeEvent::DialFailed { peer, reason });
    }

    fn do_due(&mut self) {
        self.provide_due();
        let now = self.now();
        self.dialling.dial_due(&mut self.swarm, now);
        self.give_up_lost();
    }

    /// Remembers an error.
    pub(super) fn note_error(&mut self, message: &str) {
        let now = self.now();
        self.errors.note(message, now);
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.start.elapsed()
    }

    /// Looks at each source once. False when none had anything.
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        // The swarm's part of a step may take milliseconds when the network is busy: what the user waits
        // for must not go at one per step.
        let mut calls = Vec::new();
        for _ in 0..COMMANDS {
            match self.commands.poll_next_unpin(cx) {
                Poll::Ready(Some(command)) => {
                    step = Step::Busy;
                    match command {
                        Command::Want(call) => calls.push(call),
                        Command::Run(run) => {
                            // It may be about what was wanted before.
                            self.want_all(&mut calls);
                            run(self);
                        }
                    }
                }
                Poll::Ready(None) => return Step::Ended,
                Poll::Pending => break,
            }
        }
        self.want_all(&mut calls);
        let mut releases = Vec::new();
        while releases.len() < RELEASES
            && let Poll::Ready(Some(release)) = self.releases.poll_next_unpin(cx)
        {
            releases.push(release);
        }
        if !releases.is_empty() {
            self.release(releases);
            step = Step::Busy;
        }
        if self.stopping.is_overdue(cx) {
            return Step::Ended;
        }
        for _ in 0..EVENTS {
            let Poll::Ready(Some(event)) = self.swarm.poll_next_unpin(cx) else { break };
            self.swarm_event(event);
            step = Step::Busy;
        }
        if let Poll::Ready(here) = self.looks.poll(cx) {
            self.notify_new_blocks(&here);
            step = Step::Busy;
        }
        if let Poll::Ready(found) = self.lookups.poll(cx) {
            self.found(found);
            step = Step::Busy;
        }
        step
    }

    /// Whether an orderly stop has come to its end.
    fn has_stopped(&self) -> bool {
        self.stopping.has_begun() && self.swarm.behaviour().bitswap.is_idle()
    }

    /// Waits for the next dial or provider record. True when it is due.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let provide = self.dht.as_ref().and_then(InDht::poll_timeout);
        let Some(due) = self.dialling.dialer().poll_timeout().into_iter().chain(provide).min()
        else {
            self.timer = None;
            return false;
        };
        let now = self.now();
        if due <= now {
            return true;
        }
        if self.timer.as_ref().is_none_or(|(at, _)| *at != due) {
            self.timer = Some((due, self.runtime.sleep(due.since(now))));
        }
        self.timer.as_mut().is_some_and(|(_, sleep)| sleep.poll_unpin(cx).is_ready())
    }
}

enum Step {
    Busy,
    Idle,
    Ended,
}

/// Nothing in it is pinned; what must not move is boxed.
impl Unpin for Driver {}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        // Before the rest, which may never be idle.
        driver.do_due();
        for _ in 0..STEPS {
            match driver.step(cx) {
                Step::Ended => return Poll::Ready(()),
                Step::Busy => {}
                Step::Idle => {
                    if driver.has_stopped() {
                        return Poll::Ready(());
                    }
                    if driver.give_up_lost() || driver.give_up_alone() {
                        continue;
                    }
                    if !driver.poll_timer(cx) {
                        return Poll::Pending;
                    }
                    driver.timer = None;
                    driver.do_due();
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
