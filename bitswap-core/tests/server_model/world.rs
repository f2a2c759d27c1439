//! The engine, its host with a store, and a model of each peer: whatever an output says is checked by the model first.

use std::collections::{BTreeMap, VecDeque};

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{
    BlockInfo, Config, Engine, Entry, Limits, Load, LoadKind, Loaded, Message, Outgoing, Output,
    SendId, StreamKind, Timestamp, Version, Wantlist,
};
use bytes::Bytes;
use cid::Cid;

use crate::harness::{SEED, cid};
use crate::model::{Answer, Asked, PeerModel};
use crate::ops::Op;

pub(crate) const PEERS: u32 = 3;
/// Sizes of the blocks that exist; those from `LATE` on are stored later.
pub(crate) const SIZES: [usize; 10] = [0, 10, 1024, 1025, 40_000, 300_000, 5, 2000, 1024, 90_000];
pub(crate) const LATE: usize = 6;
/// CIDs that exist nowhere follow.
pub(crate) const CIDS: u32 = 13;
/// The host does not serve this block to this peer.
const REFUSED: (u32, u32) = (1, 4);

pub(crate) struct World {
    engine: Engine<u32>,
    limits: Limits,
    /// Whether the limits are so wide that nothing may be lost.
    wide: bool,
    now: u64,
    store: BTreeMap<Cid, Bytes>,
    peers: Vec<PeerModel>,
    opening: Vec<u32>,
    loads: VecDeque<(Load<u32>, Vec<Cid>)>,
    flights: Vec<(SendId, u32, Vec<Answer>)>,
    ticks: u64,
    log: Vec<String>,
}

impl World {
    pub(crate) fn new(limits: Limits, wide: bool) -> Self {
        let config = Config::default().with_limits(limits).unwrap();
        let mut world = Self {
            engine: Engine::new(config, SEED, Timestamp::ZERO),
            limits,
            wide,
            now: 0,
            store: BTreeMap::new(),
            peers: (0..PEERS).map(PeerModel::new).collect(),
            opening: Vec::new(),
            loads: VecDeque::new(),
            flights: Vec::new(),
            ticks: 0,
            log: Vec::new(),
        };
        for n in 0..LATE as u32 {
            world.keep(n);
        }
        for peer in 0..PEERS {
            world.engine.handle_connected(peer, None, world.at());
        }
        world
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    fn keep(&mut self, n: u32) -> usize {
        let size = SIZES[n as usize];
        self.store.insert(cid(n), Bytes::from(vec![n as u8; size]));
        size
    }

    fn has(&self, peer: u32, cid: &Cid) -> Option<usize> {
        let refused = peer == REFUSED.0 && *cid == crate::harness::cid(REFUSED.1);
        self.store.get(cid).filter(|_| !refused).map(Bytes::len)
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Tell { peer, entries, full } => self.tell(*peer, entries, *full),
            Op::Cancel { peer, cids } => {
                let model = &mut self.peers[*peer as usize];
                cids.iter().for_each(|n| model.cancel(&cid(*n)));
                let entries = cids.iter().map(|n| Entry::cancel(cid(*n))).collect();
                self.message(*peer, Wantlist { entries, full: false });
            }
            Op::Store(n) => {
                let size = self.keep(*n) as u32;
                self.engine.notify_new_blocks(&[BlockInfo { cid: cid(*n), size }], self.at());
            }
            Op::Poll(times) => {
                for _ in 0..*times {
                    if !self.poll() {
                        break;
                    }
                }
            }
            Op::Open { which, ok } => {
                if !self.opening.is_empty() {
                    let peer = self.opening.remove(which % self.opening.len());
                    let result = if *ok { Ok(Version::V1_2) } else { Err(OpenError::Timeout) };
                    self.engine.handle_open(peer, StreamKind::Responses, result, self.at());
                }
            }
            Op::Load { which, part } => self.load(*which, *part),
            Op::Sent { which, ok } => {
                if !self.flights.is_empty() {
                    let which = which % self.flights.len();
                    self.sent(which, *ok);
                }
            }
            Op::Reset(peer) => {
                self.peers[*peer as usize].lost(self.now);
                self.engine.handle_reset(*peer, StreamKind::Responses, self.at());
            }
            Op::Reconnect(peer) => {
                self.engine.handle_disconnected(*peer, self.at());
                assert_eq!(self.engine.peer_stats(*peer), None);
                self.peers[*peer as usize] = PeerModel::new(*peer);
                self.opening.retain(|other| other != peer);
                self.loads.retain(|(load, _)| load.peer != *peer);
                self.flights.retain(|(_, other, _)| other != peer);
                self.engine.handle_connected(*peer, None, self.at());
            }
            Op::Pass(micros) => {
                self.now += micros;
                self.engine.handle_timeout(self.at());
            }
        }
        self.check_bounds();
    }

    fn tell(&mut self, peer: u32, entries: &[(u32, bool, bool, i8)], full: bool) {
        let asked = |(n, block, asks, _): &(u32, bool, bool, i8)| Asked {
            cid: cid(*n),
            block: *block,
            asks: *asks,
        };
        let model = &mut self.peers[peer as usize];
        if full {
            model.keep_only(&entries.iter().map(asked).collect::<Vec<_>>());
        }
        for entry in entries {
            self.ticks += 1;
            let flights = self.flights.iter_mut().filter(|(_, other, _)| *other == peer);
            model.ask(asked(entry), self.ticks, flights.flat_map(|(_, _, answers)| answers));
        }
        let entries = entries.iter().map(|entry| asked(entry).entry(entry.3)).collect();
        self.message(peer, Wantlist { entries, full });
    }

    fn message(&mut self, peer: u32, wantlist: Wantlist) {
        let message = Message { wantlist, ..Message::default() };
        self.engine.handle_message(peer, message, self.at());
    }

    fn load(&mut self, which: usize, part: usize) {
        if self.loads.is_empty() {
            return;
        }
        let which = which % self.loads.len();
        let (load, mut left) = self.loads[which].clone();
        let now: Vec<Cid> = left.drain(..part.min(left.len())).collect();
        let answers: Vec<Loaded> = now
            .into_iter()
            .map(|cid| {
                let answer = match self.has(load.peer, &cid) {
                    None => bitswap_core::LoadAnswer::NotFound,
                    Some(size) if load.kind == LoadKind::Size => {
                        bitswap_core::LoadAnswer::Size(size as u32)
                    }
                    Some(_) => bitswap_core::LoadAnswer::Data(self.store[&cid].clone()),
                };
                Loaded { cid, answer }
            })
            .collect();
        if left.is_empty() {
            self.loads.remove(which);
        } else {
            self.loads[which].1 = left;
        }
        self.engine.handle_load(load.id, answers, self.at());
    }

    fn sent(&mut self, which: usize, ok: bool) {
        let (id, peer, answers) = self.flights.remove(which);
        let result = if ok { Ok(()) } else { Err(SendError::Closed) };
        self.engine.handle_sent(id, result, self.at());
        if ok {
            let (model, at) = (&mut self.peers[peer as usize], self.now);
            answers.into_iter().for_each(|answer| model.answered(answer, at));
        }
    }

    /// One output; false when there is none.
    fn poll(&mut self) -> bool {
        let Some(output) = self.engine.poll_output() else {
            let next = self.engine.poll_timeout();
            assert!(next.is_none_or(|at| at > self.at()), "due and not done: {next:?}");
            return false;
        };
        self.log.push(format!("{output:?}"));
        assert!(self.engine.poll_timeout().is_some_and(|at| at <= self.at()));
        match output {
            Output::Open { peer, stream: StreamKind::Responses } => {
                assert!(!self.opening.contains(&peer), "one request to open at a time");
                self.opening.push(peer);
            }
            Output::Load(load) => {
                let cids = load.cids.clone();
                self.loads.push_back((load, cids));
            }
            Output::Send(outgoing) => self.check_message(&outgoing),
            Output::Reset { peer, stream: StreamKind::Responses } => {
                assert!(self.flights.iter().any(|(_, other, _)| *other == peer));
                assert!((0..PEERS).any(
                    |other| other != peer && self.engine.peer_stats(other).unwrap().ledger > 0
                ));
                self.flights.retain(|(_, other, _)| *other != peer);
                self.peers[peer as usize].lost(self.now);
            }
            Output::Close { .. } | Output::KeepAlive { .. } | Output::Event(_) => {}
            other => panic!("{other:?}"),
        }
        true
    }

    fn check_message(&mut self, outgoing: &Outgoing<u32>) {
        let Outgoing { peer, message, .. } = outgoing;
        assert!(!message.is_empty());
        assert!(message.encoded_len(outgoing.version) <= bitswap_core::limits::MESSAGE_BYTES_MAX);
        assert!(message.pending_bytes >= 0);
        let mut answers = Vec::new();
        for block in &message.blocks {
            let cid = *block.cid();
            let size = self.has(*peer, &cid).expect("a block that the store gave");
            assert_eq!(size, block.data().len());
            let flights = self.flights.iter().filter(|(_, other, _)| other == peer);
            let in_flight = flights.flat_map(|(_, _, answers)| answers);
            let model = &mut self.peers[*peer as usize];
            answers.push(model.check_block(cid, size, self.wide, in_flight));
        }
        for presence in &message.presences {
            let model = &mut self.peers[*peer as usize];
            answers.push(model.check_presence(presence, self.wide));
            if presence.have {
                assert!(self.has(*peer, &presence.cid).is_some(), "HAVE of what is not there");
            }
        }
        self.flights.push((outgoing.id, *peer, answers));
    }

    fn check_bounds(&self) {
        let limits = &self.limits;
        let stats = self.engine.stats();
        assert!(stats.ledger <= limits.ledger);
        // Where a size is not known, 256 KiB are set aside for it: a block of the biggest kind.
        let block = 300_000;
        assert!(stats.response_bytes <= u64::from(limits.response_bytes) + block);
        let mut sum = 0;
        for peer in 0..PEERS {
            let stats = self.engine.peer_stats(peer).unwrap();
            sum += stats.response_bytes;
            assert!(stats.ledger <= limits.ledger_per_peer);
            assert!(stats.response_bytes <= u64::from(limits.response_bytes_per_peer) + block);
            let looking: usize =
                self.loads.iter().filter(|(load, _)| load.peer == peer).map(|(_, l)| l.len()).sum();
            assert!(looking <= limits.loads_per_peer as usize);
            let flying = self.flights.iter().filter(|(_, other, _)| *other == peer).count();
            assert!(flying <= usize::from(limits.messages_per_stream));
        }
        assert_eq!(sum, stats.response_bytes);
    }

    /// Everything works from now on, until nothing more happens.
    pub(crate) fn heal(&mut self) {
        for _ in 0..10_000 {
            if self.poll() {
                continue;
            }
            self.check_bounds();
            if let Some(peer) = self.opening.pop() {
                self.engine.handle_open(peer, StreamKind::Responses, Ok(Version::V1_2), self.at());
            } else if !self.loads.is_empty() {
                self.load(0, usize::MAX);
            } else if !self.flights.is_empty() {
                self.sent(0, true);
            } else if let Some(next) = self.engine.poll_timeout() {
                self.now = next.as_micros();
                self.engine.handle_timeout(self.at());
            } else {
                return;
            }
        }
        panic!("no rest");
    }

    pub(crate) fn check_rest(&self) {
        assert_eq!(self.engine.stats().response_bytes, 0);
        if !self.wide {
            return;
        }
        for peer in 0..PEERS {
            let model = &self.peers[peer as usize];
            let wanted = model.check_rest(|cid| self.has(peer, cid).is_some());
            let mut left: Vec<Cid> =
                self.engine.peer_wantlist(peer).iter().map(|e| e.cid).collect();
            left.sort_unstable();
            assert_eq!(left, wanted);
            assert_eq!(self.engine.peer_stats(peer).unwrap().ledger as usize, wanted.len());
        }
    }

    pub(crate) fn leave(mut self) -> Vec<String> {
        for peer in 0..PEERS {
            self.engine.handle_disconnected(peer, self.at());
        }
        while self.poll() {}
        let fresh = Engine::<u32>::new(Config::default(), SEED, Timestamp::ZERO).held_bytes();
        assert_eq!((self.engine.held_bytes(), self.engine.stats().ledger), (fresh, 0));
        assert_eq!(self.engine.poll_timeout(), None);
        self.log
    }
}
