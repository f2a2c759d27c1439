//! A behaviour that does nothing but let a test talk to its handlers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bitswap_core::message::PayloadFilter;
use bitswap_core::{Entry, Message, Version, WantKind};
use futures::future::BoxFuture;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::{Multiaddr, PeerId};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};

use crate::allowance::Allowance;
use crate::handler::{Arrivals, Handler, HandlerEvent, Settings, Shares};
use crate::locked::Locked;
use crate::mailbox::Mailbox;
use crate::memory::Memory;
use crate::protocol::Offer;
use crate::spawner::{BlockingTask, TaskSpawner, TokioSpawner};

/// Computations wait until a test lets them go.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<VecDeque<BlockingTask>>>);

impl Held {
    pub(crate) fn take(&self) -> Option<BlockingTask> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl TaskSpawner for Held {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    fn spawn_blocking(&self, task: BlockingTask) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
    }
}

pub(crate) struct Probe {
    pub(crate) settings: Settings,
    pub(crate) filter: Locked<PayloadFilter>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Whether connections are needed from the start.
    pub(crate) needed: bool,
    /// Whether messages count as applied as soon as they are reported.
    pub(crate) applies: bool,
    spawner: Arc<dyn TaskSpawner>,
    reports: VecDeque<HandlerEvent>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self::with(TokioSpawner)
    }

    pub(crate) fn with(spawner: impl TaskSpawner) -> Self {
        Self {
            settings: Settings {
                streams_max: 512,
                tick: Duration::from_secs(1),
                open_timeout: Duration::from_secs(10),
                offer: Offer::up_to(Version::V1_2),
            },
            filter: Locked::default(),
            memory: Arc::default(),
            mailboxes: Vec::new(),
            needed: false,
            applies: true,
            spawner: Arc::new(spawner),
            reports: VecDeque::new(),
        }
    }

    /// Lets this many raw sha2-256 blocks in.
    pub(crate) fn expecting(self, blocks: u64) -> Self {
        let cid = *super::block("any").cid();
        let entries = vec![Entry::want(cid, WantKind::Block, 1, true)];
        let mut message = Message::default();
        message.wantlist.entries = entries;
        for _ in 0..blocks {
            self.filter.lock().sent(&message);
        }
        self.memory.set_wants(blocks as u32);
        self
    }
}

impl NetworkBehaviour for Probe {
    type ConnectionHandler = Handler;
    type ToSwarm = HandlerEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let mailbox = Mailbox::new();
        mailbox.keep_alive(self.needed);
        self.mailboxes.push(mailbox.clone());
        let allowance = Allowance::new(1 << 24, Instant::now());
        let shares = Shares {
            filter: self.filter.clone(),
            allowance: Locked::new(allowance),
            memory: self.memory.clone(),
            spawner: self.spawner.clone(),
            arrivals: Arrivals::default(),
            sizes: Arc::default(),
        };
        Ok(Handler::new(self.settings, mailbox, shares))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        unreachable!("tests dial the probe")
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        report: THandlerOutEvent<Self>,
    ) {
        if self.applies {
            self.mailboxes.iter().for_each(Mailbox::applied);
        }
        self.reports.push_back(report);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<HandlerEvent, THandlerInEvent<Self>>> {
        match self.reports.pop_front() {
            Some(report) => Poll::Ready(ToSwarm::GenerateEvent(report)),
            None => Poll::Pending,
        }
    }
}
