//! Any order of inputs, against a model that knows only what was told and what was answered.
//!
//! After every output: no block to a peer that does not want it any more, none twice, DONT_HAVE
//! only where it was asked for, HAVE only for what is there, and every bound kept. Once everything
//! is answered and the transport works: every want for a block that is there has its block, and
//! the ledger is exactly what the peers still want.
//!
//! It has its own operations and does not use the checker of `bitswap-testing`: the two were written apart, so
//! that a rule which one of them has wrong is right in the other.

#[path = "server/harness.rs"]
mod harness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitswap_core::error::{OpenError, SendError};
use bitswap_core::{
    BlockInfo, Config, Engine, Entry, Limits, Load, LoadKind, Loaded, Message, Outgoing, Output,
    SendId, StreamKind, Timestamp, Version, WantKind, Wantlist,
};
use bytes::Bytes;
use cid::Cid;
use harness::{SEED, cid};
use proptest::prelude::*;
use proptest::test_runner::contextualize_config;

const PEERS: u32 = 3;
/// Sizes of the blocks that exist; those from `LATE` on are stored later.
const SIZES: [usize; 10] = [0, 10, 1024, 1025, 40_000, 300_000, 5, 2000, 1024, 90_000];
const LATE: usize = 6;
/// CIDs that exist nowhere follow.
const CIDS: u32 = 13;
/// An answer that the transport took longer ago counts as received, in microseconds.
const UNCONFIRMED_FOR: u64 = 10_000_000;
/// The host does not serve this block to this peer.
const REFUSED: (u32, u32) = (1, 4);

#[derive(Clone, Debug)]
enum Op {
    Tell { peer: u32, entries: Vec<(u32, bool, bool, i8)>, full: bool },
    Cancel { peer: u32, cids: Vec<u32> },
    Store(u32),
    Poll(u8),
    Open { which: usize, ok: bool },
    Load { which: usize, part: usize },
    Sent { which: usize, ok: bool },
    Reset(u32),
    Reconnect(u32),
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let peer = 0..PEERS;
    let entry = (0..CIDS, any::<bool>(), any::<bool>(), any::<i8>());
    let which = any::<prop::sample::Index>().prop_map(|index| index.index(64));
    let op = prop_oneof![
        6 => (peer.clone(), prop::collection::vec(entry, 1..6), prop::bool::weighted(0.1))
            .prop_map(|(peer, entries, full)| Op::Tell { peer, entries, full }),
        3 => (peer.clone(), prop::collection::vec(0..CIDS, 1..4))
            .prop_map(|(peer, cids)| Op::Cancel { peer, cids }),
        1 => (LATE as u32..SIZES.len() as u32).prop_map(Op::Store),
        8 => (1..12u8).prop_map(Op::Poll),
        3 => (which.clone(), prop::bool::weighted(0.8))
            .prop_map(|(which, ok)| Op::Open { which, ok }),
        6 => (which.clone(), 1..4usize).prop_map(|(which, part)| Op::Load { which, part }),
        6 => (which, prop::bool::weighted(0.8)).prop_map(|(which, ok)| Op::Sent { which, ok }),
        1 => peer.clone().prop_map(Op::Reset),
        1 => peer.prop_map(Op::Reconnect),
        2 => prop_oneof![Just(0), 1..200_000u64, Just(6_000_000)].prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 1..120)
}

/// A want as its peer sees it.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    block: bool,
    asks: bool,
    /// Told anew after it had ended: another want.
    life: u64,
    /// Told again, also while it lives.
    told: u64,
    /// Absence was said since it was told last.
    absent: bool,
}

/// What one answer in a message was about.
#[derive(Clone, Copy, Debug)]
struct Flown {
    cid: Cid,
    block: bool,
    have: bool,
    life: Option<u64>,
    told: u64,
}

/// A want that was answered.
#[derive(Clone, Copy, Debug)]
struct Answered {
    /// With the block, not with HAVE.
    block: bool,
    /// What had been asked for.
    wanted: Wanted,
    /// When the transport took it, in microseconds.
    at: u64,
}

#[derive(Default)]
struct PeerModel {
    wants: BTreeMap<Cid, Wanted>,
    /// Answered and not cancelled since: may be said again after a reset.
    ended: BTreeMap<Cid, Answered>,
    /// Put back by a reset.
    again: BTreeMap<Cid, Answered>,
    /// Asked for since the block was last sent. What the ledger had no room to remember as being
    /// answered is a new want when it is asked for again.
    asked: BTreeSet<Cid>,
}

struct World {
    engine: Engine<u32>,
    limits: Limits,
    /// Whether the limits are so wide that nothing may be lost.
    wide: bool,
    now: u64,
    store: BTreeMap<Cid, Bytes>,
    peers: Vec<PeerModel>,
    opening: Vec<u32>,
    loads: VecDeque<(Load<u32>, Vec<Cid>)>,
    flights: Vec<(SendId, u32, Vec<Flown>)>,
    ticks: u64,
    log: Vec<String>,
}

impl World {
    fn new(limits: Limits, wide: bool) -> Self {
        let config = Config::default().with_limits(limits).unwrap();
        let mut world = Self {
            engine: Engine::new(config, SEED, Timestamp::ZERO),
            limits,
            wide,
            now: 0,
            store: BTreeMap::new(),
            peers: (0..PEERS).map(|_| PeerModel::default()).collect(),
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
        let refused = peer == REFUSED.0 && *cid == harness::cid(REFUSED.1);
        self.store.get(cid).filter(|_| !refused).map(Bytes::len)
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Tell { peer, entries, full } => self.tell(*peer, entries, *full),
            Op::Cancel { peer, cids } => {
                let model = &mut self.peers[*peer as usize];
                for n in cids {
                    model.wants.remove(&cid(*n));
                    model.ended.remove(&cid(*n));
                    model.again.remove(&cid(*n));
                    model.asked.remove(&cid(*n));
                }
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
                self.lost(*peer);
                self.engine.handle_reset(*peer, StreamKind::Responses, self.at());
            }
            Op::Reconnect(peer) => {
                self.engine.handle_disconnected(*peer, self.at());
                assert_eq!(self.engine.peer_stats(*peer), None);
                self.peers[*peer as usize] = PeerModel::default();
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

    /// What was answered may be said again.
    fn lost(&mut self, peer: u32) {
        let model = &mut self.peers[peer as usize];
        let ended = std::mem::take(&mut model.ended).into_iter();
        let now = self.now;
        model.again.extend(ended.filter(|(_, kept)| kept.at + UNCONFIRMED_FOR >= now));
    }

    fn tell(&mut self, peer: u32, entries: &[(u32, bool, bool, i8)], full: bool) {
        let model = &mut self.peers[peer as usize];
        if full {
            let told = |c: &Cid| entries.iter().any(|entry| cid(entry.0) == *c);
            // What is asked with less begins anew.
            let no_less = |c: &Cid, want: &Wanted| {
                entries.iter().any(|(n, block, asks, _)| {
                    cid(*n) == *c && *block >= want.block && *asks >= want.asks
                })
            };
            model.wants.retain(|cid, want| no_less(cid, want));
            model.ended.retain(|cid, _| told(cid));
            model.again.retain(|cid, answered| no_less(cid, &answered.wanted));
            model.asked.clear();
        }
        let mut list = Vec::new();
        for (n, block, asks, priority) in entries {
            self.ticks += 1;
            let tick = self.ticks;
            model.ended.remove(&cid(*n));
            model.asked.insert(cid(*n));
            if model.again.contains_key(&cid(*n)) && !model.wants.contains_key(&cid(*n)) {
                // A block that is on its way again after a reset answers the new want too.
                let answers = self.flights.iter_mut().filter(|(_, other, _)| *other == peer);
                for answer in answers.flat_map(|(_, _, answers)| answers) {
                    if answer.block && answer.cid == cid(*n) && answer.life.is_none() {
                        answer.life = Some(tick);
                    }
                }
            }
            // What was put back and is asked for again is one want, which asks for both.
            let before = model.again.get(&cid(*n)).map(|answered| answered.wanted);
            let want = model.wants.entry(cid(*n)).or_insert_with(|| Wanted {
                block: before.is_some_and(|before| before.block),
                asks: before.is_some_and(|before| before.asks),
                life: tick,
                told: tick,
                absent: false,
            });
            want.block |= block;
            want.asks |= asks;
            want.told = tick;
            want.absent &= !asks;
            let kind = if *block { WantKind::Block } else { WantKind::Have };
            list.push(Entry::want(cid(*n), kind, i32::from(*priority), *asks));
        }
        self.message(peer, Wantlist { entries: list, full });
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
        let (id, peer, flown) = self.flights.remove(which);
        let result = if ok { Ok(()) } else { Err(SendError::Closed) };
        self.engine.handle_sent(id, result, self.at());
        let (model, at) = (&mut self.peers[peer as usize], self.now);
        for answer in flown {
            let same = |want: &&Wanted| Some(want.life) == answer.life;
            let want = model.wants.get(&answer.cid).filter(same).copied();
            // An answer to a want that had begun anew before it was put back is no answer to this one.
            let same =
                |put_back: &&Answered| answer.life.is_none_or(|life| life == put_back.wanted.life);
            let put_back = model.again.get(&answer.cid).filter(same).copied();
            if !ok {
                continue;
            }
            if answer.block {
                if let Some(wanted) = want.or_else(|| put_back.map(|put_back| put_back.wanted)) {
                    model.wants.retain(|cid, _| *cid != answer.cid || want.is_none());
                    model.again.remove(&answer.cid);
                    model.ended.insert(answer.cid, Answered { block: true, wanted, at });
                }
            } else if answer.have {
                if let Some(want) = want
                    && !want.block
                    && want.told == answer.told
                {
                    model.wants.remove(&answer.cid);
                    model.again.remove(&answer.cid);
                    model.ended.insert(answer.cid, Answered { block: false, wanted: want, at });
                } else if let Some(put_back) = put_back
                    && want.is_none()
                    && !put_back.block
                    && (answer.life.is_none() || answer.told == put_back.wanted.told)
                {
                    model.again.remove(&answer.cid);
                    model.ended.insert(answer.cid, Answered { at, ..put_back });
                }
            }
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
                self.lost(peer);
            }
            Output::Close { .. } | Output::Event(_) => {}
            other => panic!("{other:?}"),
        }
        true
    }

    fn check_message(&mut self, outgoing: &Outgoing<u32>) {
        let Outgoing { peer, message, .. } = outgoing;
        assert!(!message.is_empty());
        assert!(message.encoded_len(outgoing.version) <= bitswap_core::limits::MESSAGE_BYTES_MAX);
        assert!(message.pending_bytes >= 0);
        let mut flown = Vec::new();
        for block in &message.blocks {
            let cid = *block.cid();
            let size = self.has(*peer, &cid).expect("a block that the store gave");
            assert_eq!(size, block.data().len());
            let model = &mut self.peers[*peer as usize];
            let evicted = model.asked.remove(&cid) && !self.wide;
            let want = model.wants.get(&cid);
            let fresh = want.is_some_and(|want| want.block || size <= 1024);
            let again =
                model.again.get(&cid).is_some_and(|put_back| put_back.block || size <= 1024);
            assert!(fresh || again || evicted, "{cid} to {peer}, who wants {want:?}");
            let life = want.map(|want| want.life);
            let twice = self.flights.iter().any(|(_, other, answers)| {
                other == peer && answers.iter().any(|a| a.block && a.cid == cid && a.life == life)
            });
            assert!(!twice || again || evicted, "{cid} twice to {peer}");
            let told = want.map_or(0, |want| want.told);
            flown.push(Flown { cid, block: true, have: false, life, told });
        }
        for presence in &message.presences {
            let model = &mut self.peers[*peer as usize];
            let again = model.again.contains_key(&presence.cid);
            let want = model.wants.get_mut(&presence.cid);
            let (life, told) = want.as_ref().map_or((None, 0), |want| (Some(want.life), want.told));
            if let Some(want) = want {
                assert!(presence.have || want.asks, "DONT_HAVE that nobody asked for");
                want.absent |= !presence.have;
            } else {
                // Its answer was on its way, and forgotten, when it was asked for again.
                let evicted = model.asked.remove(&presence.cid) && !self.wide;
                assert!(again || evicted, "a presence that nobody asked for");
            }
            let cid = presence.cid;
            if presence.have {
                assert!(self.has(*peer, &cid).is_some(), "HAVE of what is not there");
            }
            flown.push(Flown { cid, block: false, have: presence.have, life, told });
        }
        self.flights.push((outgoing.id, *peer, flown));
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
    fn heal(&mut self) {
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

    fn check_rest(&self) {
        assert_eq!(self.engine.stats().response_bytes, 0);
        if !self.wide {
            return;
        }
        for peer in 0..PEERS {
            let model = &self.peers[peer as usize];
            for (cid, want) in &model.wants {
                assert!(self.has(peer, cid).is_none(), "{peer} still wants {cid}: {want:?}");
                assert!(!want.asks || want.absent, "{peer} was not told that {cid} is missing");
            }
            let mut left: Vec<Cid> =
                self.engine.peer_wantlist(peer).iter().map(|e| e.cid).collect();
            left.sort_unstable();
            let wanted: Vec<Cid> = model.wants.keys().copied().collect();
            assert_eq!(left, wanted);
            assert_eq!(self.engine.peer_stats(peer).unwrap().ledger as usize, wanted.len());
        }
    }

    fn leave(mut self) -> Vec<String> {
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

fn play(ops: &[Op], limits: Limits, wide: bool) -> Vec<String> {
    let mut world = World::new(limits, wide);
    for op in ops {
        world.apply(op);
    }
    world.heal();
    world.check_rest();
    world.leave()
}

fn narrow(seed: [u8; 6]) -> Limits {
    let mut limits = Limits::default();
    let [ledger_per_peer, ledger, bytes_per_peer, bytes, loads, messages] = seed;
    limits.ledger_per_peer = u32::from(ledger_per_peer % 8) + 1;
    limits.ledger = u32::from(ledger % 12) + 1;
    limits.response_bytes_per_peer = 1 << (bytes_per_peer % 20);
    limits.response_bytes = 1 << (bytes % 20);
    limits.loads_per_peer = u32::from(loads % 8) + 1;
    limits.messages_per_stream = messages % 4 + 1;
    limits
}

proptest! {
    #![proptest_config(contextualize_config(ProptestConfig::with_cases(256)))]

    #[test]
    fn every_want_gets_its_answer_and_nothing_else(ops in ops()) {
        let log = play(&ops, Limits::default(), true);
        prop_assert_eq!(log, play(&ops, Limits::default(), true), "equal inputs, equal outputs");
    }

    #[test]
    fn small_limits_hold_and_never_get_stuck(ops in ops(), seed in any::<[u8; 6]>()) {
        play(&ops, narrow(seed), false);
    }
}

#[test]
fn a_message_of_a_stream_that_is_gone_keeps_its_place_when_its_peer_gives_up_memory() {
    let want = |n, block| (n, block, false, 0);
    let tell = |peer, entries| Op::Tell { peer, entries, full: false };
    let ops = [
        tell(1, vec![want(5, true), want(0, false)]),
        Op::Poll(3),
        Op::Load { which: 2, part: 1 },
        tell(1, vec![(8, false, true, 0)]),
        tell(2, vec![want(0, true)]),
        Op::Open { which: 0, ok: true },
        tell(1, vec![want(0, false)]),
        Op::Poll(1),
        Op::Load { which: 13, part: 1 },
        Op::Poll(2),
        Op::Store(6),
        Op::Load { which: 0, part: 1 },
        Op::Poll(1),
        Op::Pass(6_000_000),
        Op::Reset(1),
        tell(0, vec![want(0, false)]),
        tell(0, vec![want(0, false)]),
    ];
    play(&ops, narrow([2, 63, 0, 0, 1, 0]), false);
}

#[test]
fn a_want_that_is_repeated_while_its_forgotten_answer_is_on_its_way_is_a_new_one() {
    let tell = |peer, entries| Op::Tell { peer, entries, full: false };
    let ops = [
        tell(1, vec![(0, false, false, 0), (1, true, false, 0)]),
        tell(2, vec![(0, true, false, 0)]),
        Op::Poll(4),
        Op::Open { which: 2, ok: true },
        tell(1, vec![(6, false, true, 0)]),
        tell(2, vec![(6, true, true, 0)]),
        Op::Load { which: 0, part: 1 },
        Op::Load { which: 0, part: 1 },
        Op::Poll(3),
        Op::Open { which: 0, ok: true },
        tell(2, vec![(4, true, false, 0)]),
        Op::Load { which: 0, part: 1 },
        Op::Open { which: 0, ok: false },
        Op::Load { which: 0, part: 1 },
        tell(0, vec![(0, true, false, 0)]),
        Op::Poll(1),
        Op::Load { which: 0, part: 1 },
        Op::Poll(4),
        tell(0, vec![(3, false, false, 0)]),
        Op::Poll(1),
        Op::Sent { which: 9, ok: false },
        Op::Open { which: 0, ok: true },
        tell(0, vec![(0, false, false, 0)]),
        Op::Load { which: 0, part: 1 },
        Op::Cancel { peer: 0, cids: vec![0] },
        Op::Poll(1),
        tell(0, vec![(0, false, false, 0)]),
        Op::Sent { which: 15, ok: false },
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(2, vec![(4, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        Op::Cancel { peer: 0, cids: vec![0] },
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
        tell(0, vec![(0, false, false, 0)]),
    ];
    play(&ops, narrow([2, 78, 0, 0, 0, 141]), false);
}
