//! One engine under watch, with a host that does what operations say, and everything healed at the end.

mod heal;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bitswap_core::error::OpenError;
use bitswap_core::{
    Block, Config, Engine, Entry, Event, Load, LoadAnswer, LoadKind, Loaded, LookupId, Message,
    Output, PeerHistory, PeerSet, Prefix, Presence, SendId, SessionId, SessionOptions, StreamKind,
    Timestamp, Want, WantKind, WhenMissing,
};
use bytes::Bytes;
use cid::Cid;

use crate::op::{LoadOp, LoadPart, MessageOp, Op, Opened, ResponseOp, SessionOp, WantOp, WantedAs};
use crate::{AtOnce, Call, Checked, Host, Interceptor, PassThrough};

/// Peers that operations name.
pub const PEERS: u8 = 5;
/// Sizes of the blocks that operations name, around the limits that matter.
const SIZES: [usize; 16] = [
    0, 1, 40, 100, 1023, 1024, 1025, 3000, 8000, 8001, 16_384, 40_000, 70_000, 131_072, 200_000, 9,
];
/// The prefixes of CIDs: version 0, a digest that is cut, another hash and codec, and the usual.
const V1: [u8; 4] = [1, 0x55, 0x12, 32];
const V1_CUT: [u8; 4] = [1, 0x55, 0x12, 20];
const V1_SHA2_512: [u8; 4] = [1, 0x71, 0x13, 64];
/// Requests of each kind that are remembered, to be answered once more.
const RECENT: usize = 8;
/// Rounds of answers to one [`Op::Settle`].
const SETTLE_ROUNDS: usize = 100;

/// The blocks that operations name: of all shapes of CIDs.
///
/// # Panics
///
/// Never: the prefixes are well formed and their hashes known.
#[must_use]
pub fn op_blocks() -> Vec<Block> {
    let blocks = SIZES.iter().enumerate().map(|(number, size)| {
        let prefix = match number {
            2 => Prefix::parse(&V1_CUT),
            10 => Prefix::parse(&V1_SHA2_512),
            _ if number % 4 == 3 => Ok(Prefix::V0),
            _ => Prefix::parse(&V1),
        };
        let data = Bytes::from(vec![number as u8; *size]);
        prefix.and_then(|prefix| prefix.block(data)).expect("a known hash")
    });
    blocks.collect()
}

/// One engine and its host, which does what an [`Op`] says.
///
/// # Panics
///
/// Every method panics when the engine breaks its contract.
#[derive(Debug)]
pub struct Harness<I = PassThrough> {
    host: Host<u8, I>,
    config: Config,
    seed: [u8; 32],
    blocks: Vec<Block>,
    sessions: Vec<SessionId>,
    histories: BTreeMap<u8, PeerHistory>,
    /// The last requests of the engine, answered or not.
    sends: VecDeque<SendId>,
    loads: VecDeque<Load<u8>>,
    lookups: VecDeque<LookupId>,
    /// Peers that have every block and answer at once.
    honest: Vec<u8>,
    /// Wants that an honest peer was sent and has not answered yet.
    asked: Vec<(u8, Cid)>,
}

impl Harness {
    /// An engine without peers or wants.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self::with(config, seed, Timestamp::ZERO, op_blocks(), PassThrough)
    }
}

impl<I: Interceptor<u8>> Harness<I> {
    /// The same from this moment on, with something between the engine and its host. `blocks` are those of
    /// [`op_blocks`], which take a while to hash.
    #[must_use]
    pub fn with(
        config: Config,
        seed: [u8; 32],
        now: Timestamp,
        blocks: Vec<Block>,
        interceptor: I,
    ) -> Self {
        let mut engine = Checked::new(config.clone(), seed, now);
        engine.trust(&blocks);
        let mut host = Host::with(engine, interceptor, now);
        host.at_once = AtOnce::NONE;
        Self {
            host,
            config,
            seed,
            blocks,
            sessions: Vec::new(),
            histories: BTreeMap::new(),
            sends: VecDeque::new(),
            loads: VecDeque::new(),
            lookups: VecDeque::new(),
            honest: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// A hash over everything that the engine put out.
    #[must_use]
    pub fn transcript(&self) -> u64 {
        self.host.checked().transcript()
    }

    /// The engine, for its pure queries.
    #[must_use]
    pub const fn engine(&self) -> &Engine<u8> {
        self.host.engine()
    }

    /// Does what the operation says.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Wait(micros) => {
                self.host.now = self.host.now + Duration::from_micros(*micros);
                if self.engine().poll_timeout().is_some_and(|at| at <= self.host.now) {
                    self.host.call(Call::HandleTimeout);
                }
            }
            Op::Deadline => _ = self.host.wait_until_due(),
            Op::Clock(micros) => self.clock(*micros),
            Op::Drain => self.drain(),
            Op::Poll => {
                let mut outputs = Vec::new();
                self.host.poll(&mut outputs);
                self.note(outputs);
            }
            Op::Remember(peer) => {
                let history = PeerHistory {
                    latency: Duration::from_millis(u64::from(peer % PEERS)),
                    throughput: 1000,
                    blocks: 3,
                    timeouts: 1,
                };
                self.histories.insert(peer % PEERS, history);
            }
            Op::Connect(peer, version) => {
                let peer = peer % PEERS;
                self.host.open_results.entry(peer).or_insert(Ok(*version));
                let history = self.histories.remove(&peer);
                self.host.connect_again(peer, history);
            }
            Op::Disconnect(peer) => self.disconnect(peer % PEERS),
            Op::Support(peer, support) => self.host.support(peer % PEERS, *support),
            Op::RoundTrip(peer, micros) => {
                let took = Duration::from_micros(u64::from(*micros));
                self.host.round_trip(peer % PEERS, took);
            }
            Op::Opened(nth, opened) => {
                let open = nth_of(self.host.opens.iter(), *nth).copied();
                if let Some((peer, stream)) = open {
                    self.opened(peer, stream, *opened);
                }
            }
            Op::Open(peer, stream, result) => self.host.opened(peer % PEERS, *stream, *result),
            Op::Sent(nth, result) => {
                let ids = self.host.sends.iter().map(|outgoing| &outgoing.id).chain(&self.sends);
                if let Some(id) = nth_of(ids, *nth).copied() {
                    self.host.sent(id, *result);
                }
            }
            Op::Reset(peer, stream) => self.host.reset(peer % PEERS, *stream),
            Op::Message(peer, message) => {
                let message = self.message(message);
                self.host.receive(peer % PEERS, message);
            }
            Op::Loaded(nth, answer, part) => {
                let loads = self.host.loads.iter().chain(&self.loads);
                if let Some(load) = nth_of(loads, *nth).cloned() {
                    self.load(load, answer, part);
                }
            }
            Op::Found(nth, peers, progress) => {
                let ids = self.host.lookups.iter().map(|(id, _)| id).chain(&self.lookups);
                if let Some(id) = nth_of(ids, *nth).copied() {
                    let peers = peers.iter().map(|peer| peer % PEERS).collect();
                    self.host.found(id, peers, *progress);
                }
            }
            Op::Session(options) => self.open_session(options),
            Op::Close(nth) => {
                if let Some(session) = self.session(*nth) {
                    self.host.close_session(session);
                }
            }
            Op::Want(nth, blocks, wanted_as) => self.want(*nth, blocks, *wanted_as),
            Op::Cancel(nth, blocks) => {
                if let Some(session) = self.session(*nth) {
                    let cids: Vec<Cid> = blocks.iter().map(|block| self.cid(*block)).collect();
                    self.host.cancel(session, cids);
                }
            }
            Op::Release(nth, bytes) => {
                if let Some(session) = self.session(*nth) {
                    let unreleased = self.host.unreleased.get(&session).copied();
                    let bytes = bytes.or(unreleased).unwrap_or(0);
                    self.host.release_capacity(session, bytes);
                }
            }
            Op::Store(blocks) => {
                let blocks: Vec<Block> =
                    blocks.iter().map(|block| self.block(*block).clone()).collect();
                self.host.store_blocks(&blocks);
            }
            Op::Rates(rates) => self.host.set_rates(*rates),
            Op::SessionRate(nth, rate) => {
                if let Some(session) = self.session(*nth) {
                    self.host.set_session_rate(session, *rate);
                }
            }
            Op::Settle(blocks) => self.settle(blocks),
            Op::Shutdown => self.host.shutdown(),
        }
    }

    fn block(&self, number: u8) -> &Block {
        &self.blocks[usize::from(number) % SIZES.len()]
    }

    fn cid(&self, number: u8) -> Cid {
        *self.block(number).cid()
    }

    fn session(&self, nth: u8) -> Option<SessionId> {
        nth_of(self.sessions.iter(), nth).copied()
    }

    /// A call at a moment that nobody asked for. Time does not go back.
    fn clock(&mut self, micros: i32) {
        let (now, shift) = (self.host.now, u64::from(micros.unsigned_abs()));
        self.host.now = if micros < 0 {
            Timestamp::from_micros(now.as_micros().saturating_sub(shift))
        } else {
            now + Duration::from_micros(shift)
        };
        self.host.call(Call::HandleTimeout);
        self.host.now = self.host.now.max(now);
    }

    fn disconnect(&mut self, peer: u8) {
        self.host.open_results.remove(&peer);
        self.host.disconnect(peer);
    }

    fn opened(&mut self, peer: u8, stream: StreamKind, opened: Opened) {
        let result = match opened {
            Opened::Yes => self.host.open_result(peer),
            Opened::Unsupported => Err(OpenError::Unsupported),
            Opened::Failed => Err(OpenError::Timeout),
        };
        self.host.opened(peer, stream, result);
    }

    fn message(&self, op: &MessageOp) -> Message {
        let mut message = Message::default();
        message.wantlist.full = op.full;
        message.wantlist.entries = op.entries.iter().map(|entry| self.entry(*entry)).collect();
        for response in &op.responses {
            match *response {
                ResponseOp::Block(block) => message.blocks.push(self.block(block).clone()),
                ResponseOp::Altered(block) => {
                    let altered = Bytes::from(vec![block, 1, 2, 3]);
                    let prefix = Prefix::of(&self.cid(block));
                    message.blocks.extend(prefix.and_then(|prefix| prefix.block(altered)));
                }
                ResponseOp::Have(block) => {
                    message.presences.push(Presence { cid: self.cid(block), have: true });
                }
                ResponseOp::DontHave(block) => {
                    message.presences.push(Presence { cid: self.cid(block), have: false });
                }
            }
        }
        message
    }

    fn entry(&self, op: WantOp) -> Entry {
        let cid = self.cid(op.block);
        if op.cancel {
            return Entry::cancel(cid);
        }
        let kind = if op.whole { WantKind::Block } else { WantKind::Have };
        Entry::want(cid, kind, op.priority, op.dont_have)
    }

    fn open_session(&mut self, op: &SessionOp) {
        let mut peers = op.peers.clone();
        if let PeerSet::Only(names) | PeerSet::Prefer(names) = &mut peers {
            names.iter_mut().for_each(|peer| *peer %= PEERS);
        }
        let options = SessionOptions {
            peers,
            window_bytes: u64::from(op.window_bytes) + 1,
            when_missing: if op.fail { WhenMissing::Fail } else { WhenMissing::Wait },
            want_timeout: op.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms))),
            find_providers: op.search,
            download: None,
        };
        self.sessions.extend(self.host.open_session(options));
    }

    fn want(&mut self, nth: u8, blocks: &[u8], WantedAs { priority, sized }: WantedAs) {
        let Some(session) = self.session(nth) else { return };
        let want = |number: &u8| {
            let block = self.block(*number);
            let size = sized.then(|| block.data().len() as u32);
            Want { cid: *block.cid(), priority, size }
        };
        let wants: Vec<Want> = blocks.iter().map(want).collect();
        // Too many wants, or wants of a closed session, are refused, which is right.
        let _ = self.host.want(session, wants);
    }

    fn load(&mut self, mut load: Load<u8>, answer: &LoadOp, part: &LoadPart) {
        match part {
            LoadPart::All => {}
            LoadPart::First => load.cids.truncate(1),
            LoadPart::Blocks(blocks) => {
                load.cids.retain(|cid| blocks.iter().any(|block| self.cid(*block) == *cid));
            }
        }
        let answers = self.answers(load.clone(), answer);
        self.host.loaded(load.id, answers);
    }

    fn answers(&self, mut load: Load<u8>, answer: &LoadOp) -> Vec<Loaded> {
        let all = |answer: LoadAnswer| {
            load.cids.iter().map(|cid| Loaded { cid: *cid, answer: answer.clone() }).collect()
        };
        match answer {
            LoadOp::True => self.host.store.answers(&load),
            LoadOp::Absent => all(LoadAnswer::NotFound),
            LoadOp::Failed => all(LoadAnswer::Failed),
            LoadOp::Nonsense => {
                load.kind = match load.kind {
                    LoadKind::Size => LoadKind::Data,
                    LoadKind::Data => LoadKind::Size,
                };
                self.host.store.answers(&load)
            }
            LoadOp::Has { blocks, fails } => {
                let has = |cid: &Cid| {
                    let mut blocks = blocks.iter().map(|number| self.block(*number));
                    blocks.find(|block| block.cid() == cid).map(|block| block.data().clone())
                };
                let mut answers = load.answers(has);
                for Loaded { answer, .. } in answers.iter_mut().filter(|_| *fails) {
                    if *answer == LoadAnswer::NotFound {
                        *answer = LoadAnswer::Failed;
                    }
                }
                answers
            }
        }
    }

    fn settle(&mut self, blocks: &[u8]) {
        let has = LoadOp::Has { blocks: blocks.to_vec(), fails: false };
        for _ in 0..SETTLE_ROUNDS {
            self.drain();
            let mut any = self.host.answer_opens() | self.host.answer_sends();
            for load in self.host.loads.clone() {
                self.load(load, &has, &LoadPart::All);
                any = true;
            }
            if !(self.host.answer_lookups() | any) {
                return;
            }
        }
    }

    fn drain(&mut self) {
        let outputs = self.host.drain();
        self.note(outputs);
    }

    fn note(&mut self, outputs: Vec<Output<u8>>) {
        for output in outputs {
            match output {
                Output::Send(outgoing) => {
                    if self.honest.contains(&outgoing.peer) {
                        let wants = outgoing.message.wantlist.entries.iter();
                        let wants = wants.filter(|entry| !entry.cancel);
                        self.asked.extend(wants.map(|entry| (outgoing.peer, entry.cid)));
                    }
                    remember(&mut self.sends, outgoing.id);
                }
                Output::Load(load) => remember(&mut self.loads, load),
                Output::FindProviders { id, .. } => remember(&mut self.lookups, id),
                Output::Event(Event::PeerDisconnected { peer, history }) => {
                    self.histories.insert(peer, history);
                }
                _ => {}
            }
        }
    }
}

fn remember<T>(recent: &mut VecDeque<T>, item: T) {
    recent.push_back(item);
    if recent.len() > RECENT {
        recent.pop_front();
    }
}

/// The `nth` item, counted around.
fn nth_of<T>(items: impl Iterator<Item = T> + Clone, nth: u8) -> Option<T> {
    let len = items.clone().count();
    items.into_iter().nth(usize::from(nth).checked_rem(len)?)
}
