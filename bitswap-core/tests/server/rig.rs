//! An engine that serves from a store in memory, in virtual time, one step at a time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{
    BlockInfo, Config, Engine, Entry, Limits, Load, LoadId, Loaded, Message, Outgoing, Output,
    Presence, SendId, StreamKind, Timestamp, Version, WantKind, Wantlist,
};
use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;

pub const SEED: [u8; 32] = [7; 32];
/// The bytes of every block: nothing here hashes them.
static ZEROS: [u8; 5 << 20] = [0; 5 << 20];

/// A CIDv1 of its own for each number.
pub fn cid(n: u32) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest(n)).unwrap())
}

/// A CIDv0 of its own for each number.
pub fn cid_v0(n: u32) -> Cid {
    Cid::new_v0(Multihash::wrap(0x12, &digest(n)).unwrap()).unwrap()
}

fn digest(n: u32) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_le_bytes());
    digest
}

pub fn want(cid: Cid) -> Entry {
    Entry::want(cid, WantKind::Block, 0, false)
}

pub fn want_or(cid: Cid) -> Entry {
    Entry::want(cid, WantKind::Block, 0, true)
}

pub fn ask(cid: Cid) -> Entry {
    Entry::want(cid, WantKind::Have, 0, false)
}

pub fn ask_or(cid: Cid) -> Entry {
    Entry::want(cid, WantKind::Have, 0, true)
}

pub fn limits(how: impl FnOnce(&mut Limits)) -> Config {
    let mut limits = Limits::default();
    how(&mut limits);
    Config::default().with_limits(limits).unwrap()
}

/// What a message says: sizes of blocks by CID, presences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub blocks: Vec<Cid>,
    pub haves: Vec<Cid>,
    pub dont_haves: Vec<Cid>,
}

impl Said {
    pub fn of<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Self {
        let mut said = Self::default();
        for message in messages {
            assert!(message.wantlist.entries.is_empty() && !message.wantlist.full);
            said.blocks.extend(message.blocks.iter().map(|block| *block.cid()));
            for Presence { cid, have } in &message.presences {
                if *have { said.haves.push(*cid) } else { said.dont_haves.push(*cid) }
            }
        }
        said.blocks.sort_unstable();
        said.haves.sort_unstable();
        said.dont_haves.sort_unstable();
        said
    }

    pub fn new(blocks: &[Cid], haves: &[Cid], dont_haves: &[Cid]) -> Self {
        let sorted = |cids: &[Cid]| {
            let mut cids = cids.to_vec();
            cids.sort_unstable();
            cids
        };
        Self { blocks: sorted(blocks), haves: sorted(haves), dont_haves: sorted(dont_haves) }
    }
}

/// The engine and its host.
pub struct Rig {
    pub engine: Engine<u32>,
    pub now: u64,
    pub store: BTreeMap<Cid, Bytes>,
    /// Pairs that the host does not serve.
    pub refused: BTreeSet<(u32, Cid)>,
    /// How opening the answers stream of a peer ends, other than with 1.2.0.
    pub opens: BTreeMap<u32, Result<Version, OpenError>>,
    /// Whether the transport takes messages at once; otherwise they wait in `unsent`.
    pub reads: bool,
    pub unsent: VecDeque<Outgoing<u32>>,
    /// Peers that never read: their messages stay in `unsent`.
    pub slow: BTreeSet<u32>,
    /// Whether the store answers at once; otherwise lookups wait in `unanswered`.
    pub fast: bool,
    pub unanswered: VecDeque<Load<u32>>,
    /// Whether streams open at once; otherwise requests wait in `opening`.
    pub opens_at_once: bool,
    pub opening: Vec<u32>,
    pub opened: Vec<u32>,
    pub closed: Vec<u32>,
    /// Peers whose streams the engine had reset.
    pub reset: Vec<u32>,
    pub loads: Vec<Load<u32>>,
}

impl Rig {
    pub fn new(config: Config) -> Self {
        Self {
            engine: Engine::new(config, SEED, Timestamp::ZERO),
            now: 0,
            store: BTreeMap::new(),
            refused: BTreeSet::new(),
            opens: BTreeMap::new(),
            reads: true,
            unsent: VecDeque::new(),
            slow: BTreeSet::new(),
            fast: true,
            unanswered: VecDeque::new(),
            opens_at_once: true,
            opening: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            reset: Vec::new(),
            loads: Vec::new(),
        }
    }

    /// A rig with one connected peer, number 0.
    pub fn with_peer(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.connect(0);
        rig
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    pub fn connect(&mut self, peer: u32) {
        self.engine.handle_connected(peer, None, self.at());
    }

    pub fn put(&mut self, cid: Cid, size: usize) {
        self.store.insert(cid, Bytes::from_static(&ZEROS[..size]));
    }

    /// Stores a block and announces it.
    pub fn notify_new_blocks(&mut self, cid: Cid, size: usize) {
        self.put(cid, size);
        self.engine.notify_new_blocks(&[BlockInfo { cid, size: size as u32 }], self.at());
    }

    /// The peer tells these entries.
    pub fn tell(&mut self, peer: u32, entries: impl Into<Vec<Entry>>) {
        self.tell_list(peer, Wantlist { entries: entries.into(), full: false });
    }

    pub fn tell_full(&mut self, peer: u32, entries: impl Into<Vec<Entry>>) {
        self.tell_list(peer, Wantlist { entries: entries.into(), full: true });
    }

    fn tell_list(&mut self, peer: u32, wantlist: Wantlist) {
        let message = Message { wantlist, ..Message::default() };
        self.engine.handle_message(peer, message, self.at());
    }

    pub fn cancel(&mut self, peer: u32, cids: &[Cid]) {
        self.tell(peer, cids.iter().copied().map(Entry::cancel).collect::<Vec<_>>());
    }

    /// What the store says.
    pub fn look_up(&self, load: &Load<u32>) -> Vec<Loaded> {
        load.answers(|cid| {
            let refused = self.refused.contains(&(load.peer, *cid));
            self.store.get(cid).filter(|_| !refused).cloned()
        })
    }

    /// Does what the engine asks until it asks for nothing more at this moment; the messages it
    /// gave to the transport.
    pub fn run(&mut self) -> Vec<(u32, Message)> {
        let mut messages = Vec::new();
        let mut steps = 0;
        while let Some(output) = self.engine.poll_output() {
            steps += 1;
            assert!(steps < 1_000_000, "the engine goes round in circles");
            assert!(self.engine.poll_timeout().is_some_and(|at| at <= self.at()));
            match output {
                Output::Open { peer, stream } => {
                    assert_eq!(stream, StreamKind::Responses);
                    self.opening.push(peer);
                    if self.opens_at_once {
                        self.answer_opens();
                    }
                }
                Output::Close { peer, .. } => self.closed.push(peer),
                Output::Reset { peer, stream } => {
                    assert_eq!(stream, StreamKind::Responses);
                    self.reset.push(peer);
                    self.unsent.retain(|outgoing| outgoing.peer != peer);
                }
                Output::Load(load) => {
                    self.loads.push(load.clone());
                    self.unanswered.push_back(load);
                    if self.fast {
                        self.answer_loads();
                    }
                }
                Output::Send(outgoing) => {
                    assert!(
                        outgoing.version.has_presence() || outgoing.message.presences.is_empty()
                    );
                    messages.push((outgoing.peer, outgoing.message.clone()));
                    self.unsent.push_back(outgoing);
                    if self.reads {
                        self.take_all();
                    }
                }
                Output::Event(_) => {}
                other => panic!("the server half does not ask for {other:?}"),
            }
        }
        if let Some(at) = self.engine.poll_timeout() {
            assert!(at > self.at() || self.now == u64::MAX, "a timer that is due was not served");
        }
        messages
    }

    /// Runs, and takes the messages to peer 0 together.
    pub fn said(&mut self) -> Said {
        Said::of(self.run().iter().map(|(_, message)| message))
    }

    /// The store answers all lookups.
    pub fn answer_loads(&mut self) {
        while let Some(load) = self.unanswered.pop_front() {
            let answers = self.look_up(&load);
            self.engine.handle_load(load.id, answers, self.at());
        }
    }

    /// The transport answers all requests to open a stream.
    pub fn answer_opens(&mut self) {
        for peer in std::mem::take(&mut self.opening) {
            self.opened.push(peer);
            let result = self.opens.get(&peer).copied().unwrap_or(Ok(Version::V1_2));
            self.engine.handle_open(peer, StreamKind::Responses, result, self.at());
        }
    }

    pub fn answer_load(&mut self, id: LoadId, answers: Vec<Loaded>) {
        self.unanswered.retain(|load| load.id != id);
        self.engine.handle_load(id, answers, self.at());
    }

    /// The transport takes all messages.
    pub fn take_all(&mut self) {
        for outgoing in std::mem::take(&mut self.unsent) {
            if self.slow.contains(&outgoing.peer) {
                self.unsent.push_back(outgoing);
            } else {
                self.sent(outgoing.id, Ok(()));
            }
        }
    }

    pub fn sent(&mut self, id: SendId, result: Result<(), SendError>) {
        self.engine.handle_sent(id, result, self.at());
    }

    /// Time passes, without anything happening.
    pub fn pass(&mut self, micros: u64) {
        self.now += micros;
        self.engine.handle_timeout(self.at());
    }

    /// Goes to the next timer; false when there is none.
    pub fn jump(&mut self) -> bool {
        let Some(at) = self.engine.poll_timeout() else { return false };
        self.now = self.now.max(at.as_micros());
        self.engine.handle_timeout(self.at());
        true
    }

    /// Runs from timer to timer until `end`; bytes of blocks sent to each peer.
    pub fn run_until(&mut self, end: u64) -> BTreeMap<u32, u64> {
        let mut bytes = BTreeMap::new();
        loop {
            for (peer, message) in self.run() {
                let sent: usize = message.blocks.iter().map(|block| block.data().len()).sum();
                *bytes.entry(peer).or_default() += sent as u64;
            }
            let next = self.engine.poll_timeout().map_or(end, |at| at.as_micros());
            if next >= end {
                self.now = end;
                return bytes;
            }
            self.jump();
        }
    }

    pub fn ledger(&self, peer: u32) -> u32 {
        self.engine.peer_stats(peer).unwrap().ledger
    }
}
