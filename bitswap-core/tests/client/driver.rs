//! An engine with its outputs sorted by kind, and streams that open at once.

use std::time::Duration;

use bitswap_core::{
    Block, Config, Engine, Event, LookupId, Message, Outgoing, Output, PeerSet, Prefix, Presence,
    SendId, SessionId, SessionOptions, StreamKind, Timestamp, Version, Want, WantKind,
};
use bytes::Bytes;
use cid::Cid;

pub(crate) type Peer = u8;

/// What was told to a peer about one CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Block,
    Have,
    Cancel,
}

pub(crate) struct Driver {
    pub(crate) engine: Engine<Peer>,
    pub(crate) now: Timestamp,
    /// Streams open by themselves with this version.
    pub(crate) version: Option<Version>,
    /// Messages are taken by the transport at once.
    pub(crate) takes: bool,
    pub(crate) messages: Vec<(Peer, Message)>,
    pub(crate) sends: Vec<SendId>,
    pub(crate) opens: Vec<Peer>,
    pub(crate) closes: Vec<Peer>,
    pub(crate) events: Vec<Event<Peer>>,
    pub(crate) lookups: Vec<(LookupId, Cid)>,
    pub(crate) stopped: Vec<LookupId>,
}

impl Driver {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            engine: Engine::new(config, [7; 32], Timestamp::ZERO),
            now: Timestamp::ZERO,
            version: Some(Version::V1_2),
            takes: true,
            messages: Vec::new(),
            sends: Vec::new(),
            opens: Vec::new(),
            closes: Vec::new(),
            events: Vec::new(),
            lookups: Vec::new(),
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
        self.engine.handle_connected(peer, None, self.now);
        self.drain();
    }

    pub(crate) fn disconnect(&mut self, peer: Peer) {
        self.engine.handle_disconnected(peer, self.now);
        self.drain();
    }

    pub(crate) fn session(&mut self) -> SessionId {
        self.session_with(SessionOptions::default())
    }

    pub(crate) fn session_with(&mut self, options: SessionOptions<Peer>) -> SessionId {
        self.engine.open_session(options, self.now).unwrap()
    }

    pub(crate) fn only(&mut self, peers: &[Peer]) -> SessionId {
        self.session_with(SessionOptions {
            peers: PeerSet::Only(peers.to_vec()),
            ..Default::default()
        })
    }

    pub(crate) fn want(&mut self, session: SessionId, cids: &[Cid]) {
        self.engine.want(session, cids.iter().copied().map(Want::from), self.now).unwrap();
        self.drain();
    }

    pub(crate) fn cancel(&mut self, session: SessionId, cid: Cid) {
        self.engine.cancel(session, [cid], self.now);
        self.drain();
    }

    pub(crate) fn message(&mut self, peer: Peer, message: Message) {
        self.engine.handle_message(peer, message, self.now);
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

    /// Lets time pass, stopping at each moment at which the engine wants to be called.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.drain();
        let end = self.now + time;
        let mut steps = 0;
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            assert!(next > self.now, "the engine asks for the same moment again");
            steps += 1;
            assert!(steps < 10_000, "the engine spins");
            self.now = next;
            self.engine.handle_timeout(next);
            self.drain();
        }
        self.now = end;
        self.engine.handle_timeout(end);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Open { peer, stream } => {
                    self.opens.push(peer);
                    if let Some(version) = self.version {
                        self.engine.handle_open(peer, stream, Ok(version), self.now);
                    }
                }
                Output::Close { peer, stream: StreamKind::Requests } => self.closes.push(peer),
                Output::Send(Outgoing { id, peer, message, .. }) => {
                    self.messages.push((peer, message));
                    if self.takes {
                        self.engine.handle_sent(id, Ok(()), self.now);
                    } else {
                        self.sends.push(id);
                    }
                }
                Output::FindProviders { id, cid, .. } => self.lookups.push((id, cid)),
                Output::StopLookup { id } => self.stopped.push(id),
                Output::Event(event) => self.events.push(event),
                other => panic!("unexpected {other:?}"),
            }
        }
        if let Some(next) = self.engine.poll_timeout() {
            assert!(next > self.now, "something is due after a drain");
        }
    }

    /// What was told since the last call, as (peer, CID, what), in order.
    pub(crate) fn told(&mut self) -> Vec<(Peer, Cid, Told)> {
        let mut told = Vec::new();
        for (peer, message) in self.messages.drain(..) {
            for entry in message.wantlist.entries {
                let what = match (entry.cancel, entry.kind) {
                    (true, _) => Told::Cancel,
                    (_, WantKind::Block) => Told::Block,
                    (_, WantKind::Have) => Told::Have,
                };
                told.push((peer, entry.cid, what));
            }
        }
        told
    }

    /// The peers told `what` about a CID since the last call to `told`.
    pub(crate) fn told_peers(told: &[(Peer, Cid, Told)], cid: Cid, what: Told) -> Vec<Peer> {
        told.iter().filter(|(_, c, w)| *c == cid && *w == what).map(|(peer, ..)| *peer).collect()
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
    let mut data = vec![0; size.max(4)];
    data[..4].copy_from_slice(&n.to_le_bytes());
    let prefix = Prefix::parse(&[1, 0x55, 0x12, 0x20]).unwrap();
    prefix.block(Bytes::from(data)).unwrap()
}

pub(crate) fn cid(n: u32) -> Cid {
    *block(n).cid()
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
