//! A host for a client: its outputs sorted by kind, and streams that open at once.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bitswap_core::{
    Block, Config, Event, LookupId, Message, Outgoing, Output, PeerSet, Presence, ProviderProgress,
    SessionId, SessionOptions, StreamKind, Timestamp, WantKind,
};
use bitswap_testing::{AtOnce, Host, block as numbered};
use cid::Cid;

pub(crate) type Peer = u8;

/// What a peer was sent about one CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sent {
    WantBlock,
    WantHave,
    Cancel,
}

/// Streams open and messages are taken at once; searches wait, and delivered bytes are not released.
pub(crate) struct Driver {
    pub(crate) host: Host<Peer>,
    pub(crate) messages: Vec<(Peer, Message)>,
    /// Peers to which a stream was to be opened, and those to which one was closed.
    pub(crate) opened: Vec<Peer>,
    pub(crate) closed: Vec<Peer>,
    pub(crate) events: Vec<Event<Peer>>,
    /// Searches that began, and those that were stopped.
    pub(crate) searches: Vec<(LookupId, Cid)>,
    pub(crate) stopped: Vec<LookupId>,
}

impl Deref for Driver {
    type Target = Host<Peer>;

    fn deref(&self) -> &Host<Peer> {
        &self.host
    }
}

impl DerefMut for Driver {
    fn deref_mut(&mut self) -> &mut Host<Peer> {
        &mut self.host
    }
}

impl Driver {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::on(Host::new(config, [7; 32], Timestamp::ZERO))
    }

    /// An engine that draws other numbers than all others here.
    pub(crate) fn seeded(seed: u8) -> Self {
        Self::on(Host::new(Config::default(), [seed; 32], Timestamp::ZERO))
    }

    /// Without the checker, which looks at all wants after each step: for thousands of them.
    pub(crate) fn unwatched(config: Config) -> Self {
        Self::on(Host::unwatched(config, [7; 32], Timestamp::ZERO))
    }

    fn on(mut host: Host<Peer>) -> Self {
        host.at_once = AtOnce { lookups: false, releases: false, ..AtOnce::ALL };
        Self {
            host,
            messages: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            events: Vec::new(),
            searches: Vec::new(),
            stopped: Vec::new(),
        }
    }

    /// An engine with these peers, whose streams are open.
    pub(crate) fn peers(peers: impl IntoIterator<Item = Peer>) -> Self {
        let mut driver = Self::new();
        for peer in peers {
            driver.connect(peer);
        }
        driver
    }

    pub(crate) fn connect(&mut self, peer: Peer) {
        self.host.connect(peer);
        self.drain();
    }

    pub(crate) fn disconnect(&mut self, peer: Peer) {
        self.host.disconnect(peer);
        self.drain();
    }

    pub(crate) fn session(&mut self) -> SessionId {
        self.session_with(SessionOptions::default())
    }

    pub(crate) fn session_with(&mut self, options: SessionOptions<Peer>) -> SessionId {
        self.host.open_session(options).unwrap()
    }

    pub(crate) fn only(&mut self, peers: &[Peer]) -> SessionId {
        self.session_with(SessionOptions {
            peers: PeerSet::Only(peers.to_vec()),
            ..Default::default()
        })
    }

    pub(crate) fn prefer(&mut self, peers: &[Peer]) -> SessionId {
        self.session_with(SessionOptions {
            peers: PeerSet::Prefer(peers.to_vec()),
            ..Default::default()
        })
    }

    pub(crate) fn want(&mut self, session: SessionId, cids: &[Cid]) {
        self.host.want(session, cids.iter().copied()).unwrap();
        self.drain();
    }

    pub(crate) fn cancel(&mut self, session: SessionId, cid: Cid) {
        self.host.cancel(session, [cid]);
        self.drain();
    }

    pub(crate) fn message(&mut self, peer: Peer, message: Message) {
        self.host.receive(peer, message);
        self.drain();
    }

    pub(crate) fn block(&mut self, peer: Peer, block: &Block) {
        self.message(peer, Message { blocks: vec![block.clone()], ..Message::default() });
    }

    pub(crate) fn have(&mut self, peer: Peer, cid: Cid) {
        let presences = vec![Presence { cid, have: true }];
        self.message(peer, Message { presences, ..Message::default() });
    }

    pub(crate) fn dont_have(&mut self, peer: Peer, cid: Cid) {
        let presences = vec![Presence { cid, have: false }];
        self.message(peer, Message { presences, ..Message::default() });
    }

    /// A search finds these peers.
    pub(crate) fn found(&mut self, id: LookupId, peers: &[Peer], progress: ProviderProgress) {
        self.host.found(id, peers.to_vec(), progress);
    }

    /// Lets time pass, stopping at each moment at which the engine wants to be called.
    pub(crate) fn pass(&mut self, time: Duration) {
        let outputs = self.host.advance(time);
        self.sort(outputs);
    }

    pub(crate) fn drain(&mut self) {
        let outputs = self.host.drain();
        self.sort(outputs);
    }

    fn sort(&mut self, outputs: Vec<Output<Peer>>) {
        for output in outputs {
            match output {
                Output::Open { peer, .. } => self.opened.push(peer),
                Output::Close { peer, stream: StreamKind::Requests } => self.closed.push(peer),
                Output::Send(Outgoing { peer, message, .. }) => self.messages.push((peer, message)),
                Output::FindProviders { id, cid, .. } => self.searches.push((id, cid)),
                Output::StopLookup { id } => self.stopped.push(id),
                // What peers want is no matter of these tests; the host answers lookups at once.
                Output::Load(_) | Output::Close { stream: StreamKind::Responses, .. } => {}
                Output::KeepAlive { .. } => {}
                Output::Event(event) => self.events.push(event),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// What was sent since the last call, as (peer, CID, what), in order.
    pub(crate) fn take_sent(&mut self) -> Vec<(Peer, Cid, Sent)> {
        let mut sent = Vec::new();
        for (peer, message) in self.messages.drain(..) {
            for entry in message.wantlist.entries {
                let what = match (entry.cancel, entry.kind) {
                    (true, _) => Sent::Cancel,
                    (_, WantKind::Block) => Sent::WantBlock,
                    (_, WantKind::Have) => Sent::WantHave,
                };
                sent.push((peer, entry.cid, what));
            }
        }
        sent
    }

    /// The peers that were sent `what` about a CID.
    pub(crate) fn receivers(sent: &[(Peer, Cid, Sent)], cid: Cid, what: Sent) -> Vec<Peer> {
        sent.iter().filter(|(_, c, w)| *c == cid && *w == what).map(|(peer, ..)| *peer).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event<Peer>> {
        std::mem::take(&mut self.events)
    }
}

/// The block number `n`, a few bytes long.
pub(crate) fn block(n: u32) -> Block {
    sized(n, 16)
}

/// The block number `n` of `size` bytes.
pub(crate) fn sized(n: u32, size: usize) -> Block {
    numbered(n, size)
}

pub(crate) fn cid(n: u32) -> Cid {
    *block(n).cid()
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
