//! An engine that serves from a store in memory, in virtual time, one step at a time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bitswap_core::{
    Block, Config, Entry, Limits, Load, Message, Output, Presence, StreamKind, Timestamp, WantKind,
    Wantlist,
};
use bitswap_testing::Host;
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

/// What messages answer: blocks, HAVE and DONT_HAVE, each in the order of their CIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses {
    pub blocks: Vec<Cid>,
    pub haves: Vec<Cid>,
    pub dont_haves: Vec<Cid>,
}

impl Responses {
    pub fn of<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Self {
        let mut responses = Self::default();
        for message in messages {
            responses.blocks.extend(message.blocks.iter().map(|block| *block.cid()));
            for Presence { cid, have } in &message.presences {
                if *have { responses.haves.push(*cid) } else { responses.dont_haves.push(*cid) }
            }
        }
        responses.blocks.sort_unstable();
        responses.haves.sort_unstable();
        responses.dont_haves.sort_unstable();
        responses
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

/// A host, and what its engine asked of it.
pub struct Harness {
    pub host: Host<u32>,
    pub opened: Vec<u32>,
    pub closed: Vec<u32>,
    /// Peers whose streams the engine had reset.
    pub reset: Vec<u32>,
    pub loaded: Vec<Load<u32>>,
}

impl Deref for Harness {
    type Target = Host<u32>;

    fn deref(&self) -> &Host<u32> {
        &self.host
    }
}

impl DerefMut for Harness {
    fn deref_mut(&mut self) -> &mut Host<u32> {
        &mut self.host
    }
}

impl Harness {
    pub fn new(config: Config) -> Self {
        Self::on(Host::new(config, SEED, Timestamp::ZERO))
    }

    /// Without the checker, which looks at all wants after each step: for very many of them.
    pub fn unwatched(config: Config) -> Self {
        Self::on(Host::unwatched(config, SEED, Timestamp::ZERO))
    }

    fn on(host: Host<u32>) -> Self {
        Self { host, opened: vec![], closed: vec![], reset: vec![], loaded: vec![] }
    }

    /// With one connected peer, number 0.
    pub fn with_peer(config: Config) -> Self {
        let mut harness = Self::new(config);
        harness.connect(0);
        harness
    }

    /// Stores a block without telling the engine.
    pub fn put(&mut self, cid: Cid, size: usize) {
        self.store.insert(&zeros(cid, size));
    }

    /// Stores a block and tells the engine.
    pub fn notify_new_blocks(&mut self, cid: Cid, size: usize) {
        self.store_blocks([&zeros(cid, size)]);
    }

    /// The peer sends a block, which is not stored.
    pub fn receives(&mut self, peer: u32, cid: Cid, size: usize) {
        self.receive(peer, Message { blocks: vec![zeros(cid, size)], ..Message::default() });
    }

    /// The peer sends a block, which is stored.
    pub fn comes_from(&mut self, peer: u32, cid: Cid, size: usize) {
        self.receives(peer, cid, size);
        self.notify_new_blocks(cid, size);
    }

    /// The peer sends these entries.
    pub fn wants(&mut self, peer: u32, entries: impl Into<Vec<Entry>>) {
        self.wantlist(peer, Wantlist { entries: entries.into(), full: false });
    }

    /// The peer sends these entries as its whole wantlist.
    pub fn wants_only(&mut self, peer: u32, entries: impl Into<Vec<Entry>>) {
        self.wantlist(peer, Wantlist { entries: entries.into(), full: true });
    }

    fn wantlist(&mut self, peer: u32, wantlist: Wantlist) {
        self.receive(peer, Message { wantlist, ..Message::default() });
    }

    pub fn cancels(&mut self, peer: u32, cids: &[Cid]) {
        self.wants(peer, cids.iter().copied().map(Entry::cancel).collect::<Vec<_>>());
    }

    /// Does what the engine asks until it asks for nothing more at this moment; the messages it
    /// gave to the transport.
    pub fn run(&mut self) -> Vec<(u32, Message)> {
        let outputs = self.host.drain();
        self.note(outputs)
    }

    /// Sorts outputs; the messages among them.
    pub fn note(&mut self, outputs: Vec<Output<u32>>) -> Vec<(u32, Message)> {
        let mut messages = Vec::new();
        for output in outputs {
            match output {
                Output::Open { peer, stream: StreamKind::Responses } => self.opened.push(peer),
                Output::Close { peer, .. } => self.closed.push(peer),
                Output::Reset { peer, stream: StreamKind::Responses } => self.reset.push(peer),
                Output::Load(load) => self.loaded.push(load),
                Output::Send(outgoing) => messages.push((outgoing.peer, outgoing.message)),
                Output::KeepAlive { .. } | Output::Event(_) => {}
                other => panic!("the server half does not ask for {other:?}"),
            }
        }
        messages
    }

    /// Runs, and takes the messages together.
    pub fn responses(&mut self) -> Responses {
        Responses::of(self.run().iter().map(|(_, message)| message))
    }

    /// Time passes, without anything happening.
    pub fn pass(&mut self, micros: u64) {
        self.wait(Duration::from_micros(micros));
    }

    /// Runs from timer to timer until `end`; bytes of blocks sent to each peer.
    pub fn run_until(&mut self, end: u64) -> BTreeMap<u32, u64> {
        let end = Timestamp::from_micros(end);
        let mut bytes = BTreeMap::new();
        loop {
            for (peer, message) in self.run() {
                let sent: usize = message.blocks.iter().map(|block| block.data().len()).sum();
                *bytes.entry(peer).or_default() += sent as u64;
            }
            if self.engine().poll_timeout().is_none_or(|at| at >= end) {
                self.now = end;
                return bytes;
            }
            self.wait_until_due();
        }
    }

    pub fn ledger(&self, peer: u32) -> u32 {
        self.engine().peer_stats(peer).unwrap().ledger
    }
}

fn zeros(cid: Cid, size: usize) -> Block {
    Block::new_unchecked(cid, Bytes::from_static(&ZEROS[..size]))
}
