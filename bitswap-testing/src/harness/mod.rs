//! One engine under watch, with a host that does what operations say, and heals at the end.

mod heal;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use cid::Cid;

use super::checked::Checked;
use super::op::{AnswerOp, LoadOp, Op, Opened, SessionOp, WantOp};
use bitswap_core::Block;
use bitswap_core::Config;
use bitswap_core::Engine;
use bitswap_core::Prefix;
use bitswap_core::Timestamp;
use bitswap_core::error::{OpenError, SendError};
use bitswap_core::message::{Entry, Message, Presence, Version, WantKind, Wantlist};
use bitswap_core::{
    BlockInfo, Event, Load, LoadAnswer, LoadKind, Loaded, LookupId, Output, PeerHistory,
    ProviderProgress, Rates, SendId, SessionId, StreamKind, Want,
};
use bitswap_core::{PeerSet, SessionOptions, WhenMissing};

/// Peers that operations name.
pub const PEERS: u8 = 5;
/// A peer that has every block and answers at once, when healing.
const HONEST: u8 = 100;
/// Sessions that operations name.
const SESSIONS: u8 = 4;
/// Sizes of the blocks that operations name, around the limits that matter.
const SIZES: [usize; 16] = [
    0, 1, 40, 100, 1023, 1024, 1025, 3000, 8000, 8001, 16_384, 40_000, 70_000, 131_072, 200_000, 9,
];
/// Virtual time in which everything must have ended once the world is whole again. The longest
/// deadline is 7 s and doubles with each peer that was silent, searches back off further.
const HEALED_WITHIN: Duration = Duration::from_secs(600);

/// One engine and its host.
#[derive(Debug)]
pub struct Harness {
    engine: Checked<u8>,
    config: Config,
    seed: [u8; 32],
    now: Timestamp,
    blocks: Vec<Block>,
    stored: BTreeSet<usize>,
    versions: BTreeMap<u8, Version>,
    histories: BTreeMap<u8, PeerHistory>,
    sessions: [Option<SessionId>; SESSIONS as usize],
    unreleased: BTreeMap<SessionId, u64>,
    opens: VecDeque<(u8, StreamKind)>,
    sends: VecDeque<SendId>,
    loads: VecDeque<Load<u8>>,
    searches: VecDeque<LookupId>,
    /// Wants that the honest peer was asked for and has not answered yet.
    asked: Vec<Entry>,
    outputs: u64,
}

impl Harness {
    /// An engine without peers or wants.
    ///
    /// # Panics
    ///
    /// Never: the blocks are built from known hashes.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let blocks = SIZES.iter().enumerate().map(|(number, size)| {
            let data = Bytes::from(vec![number as u8; *size]);
            let v0 = Prefix::V0.block(data).expect("sha2-256 is known");
            if number % 4 == 3 {
                return v0;
            }
            let (cid, data) = v0.into_parts();
            Block::new_unchecked(Cid::new_v1(0x55, *cid.hash()), data)
        });
        Self {
            engine: Checked::new(config.clone(), seed, Timestamp::ZERO),
            config,
            seed,
            now: Timestamp::ZERO,
            blocks: blocks.collect(),
            stored: BTreeSet::new(),
            versions: BTreeMap::new(),
            histories: BTreeMap::new(),
            sessions: [None; SESSIONS as usize],
            unreleased: BTreeMap::new(),
            opens: VecDeque::new(),
            sends: VecDeque::new(),
            loads: VecDeque::new(),
            searches: VecDeque::new(),
            asked: Vec::new(),
            outputs: 0,
        }
    }

    /// A hash over everything the engine said.
    #[must_use]
    pub fn transcript(&self) -> u64 {
        self.engine.transcript()
    }

    /// The engine, for its pure queries.
    #[must_use]
    pub const fn engine(&self) -> &Engine<u8> {
        self.engine.engine()
    }

    /// Does what the operation says.
    pub fn apply(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Wait(micros) => {
                self.now = now + Duration::from_micros(u64::from(*micros));
                if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                    self.engine.handle_timeout(self.now);
                }
            }
            Op::Deadline => self.reach_deadline(),
            Op::Clock(micros) => {
                let shift = Duration::from_micros(u64::from(micros.unsigned_abs()));
                let at = if *micros < 0 {
                    let before = now.as_micros().saturating_sub(shift.as_micros() as u64);
                    Timestamp::from_micros(before)
                } else {
                    self.now = now + shift;
                    self.now
                };
                self.engine.handle_timeout(at);
            }
            Op::Drain => self.drain(),
            Op::Poll => {
                if let Some(output) = self.engine.poll_output() {
                    self.output(output);
                }
            }
            Op::Connect(peer, version) => {
                let peer = peer % PEERS;
                self.versions.entry(peer).or_insert(*version);
                let history = self.histories.remove(&peer);
                self.engine.handle_connected(peer, history, now);
            }
            Op::Disconnect(peer) => self.disconnect(peer % PEERS),
            Op::Support(peer, support) => self.engine.handle_support(peer % PEERS, *support, now),
            Op::Opened(nth, opened) => {
                if let Some((peer, stream)) = take(&mut self.opens, *nth) {
                    self.opened(peer, stream, *opened);
                }
            }
            Op::Sent(nth, taken) => {
                if let Some(id) = take(&mut self.sends, *nth) {
                    let result = if *taken { Ok(()) } else { Err(SendError::Closed) };
                    self.engine.handle_sent(id, result, now);
                }
            }
            Op::Reset(peer, stream) => self.engine.handle_reset(peer % PEERS, *stream, now),
            Op::Wantlist(peer, entries, full) => {
                let entries = entries.iter().map(|entry| self.entry(*entry)).collect();
                let wantlist = Wantlist { entries, full: *full };
                let message = Message { wantlist, ..Message::default() };
                self.engine.handle_message(peer % PEERS, message, now);
            }
            Op::Answer(peer, items) => {
                let message = self.answer(items);
                self.engine.handle_message(peer % PEERS, message, now);
            }
            Op::Loaded(nth, answer, whole) => self.loaded(*nth, *answer, *whole),
            Op::Found(nth, peers, last) => self.found(*nth, peers, *last),
            Op::Session(options) => self.session(options),
            Op::Close(session) => {
                if let Some(id) = self.sessions[usize::from(session % SESSIONS)].take() {
                    self.engine.close_session(id, now);
                }
            }
            Op::Want(session, blocks) => {
                if let Some(id) = self.sessions[usize::from(session % SESSIONS)] {
                    let wants: Vec<Want> =
                        blocks.iter().map(|block| Want::from(self.cid(*block))).collect();
                    // Too many wants are refused, which is right.
                    let _ = self.engine.want(id, wants, now);
                }
            }
            Op::Cancel(session, blocks) => {
                if let Some(id) = self.sessions[usize::from(session % SESSIONS)] {
                    let cids: Vec<Cid> = blocks.iter().map(|block| self.cid(*block)).collect();
                    self.engine.cancel(id, cids, now);
                }
            }
            Op::Taken(session) => {
                if let Some(id) = self.sessions[usize::from(session % SESSIONS)] {
                    let bytes = self.unreleased.remove(&id).unwrap_or(0);
                    self.engine.release_capacity(id, bytes, now);
                }
            }
            Op::Announce(blocks) => {
                let numbers: Vec<usize> =
                    blocks.iter().map(|block| usize::from(*block) % SIZES.len()).collect();
                self.stored.extend(&numbers);
                let infos: Vec<BlockInfo> =
                    numbers.iter().map(|number| self.info(*number)).collect();
                self.engine.notify_new_blocks(&infos, now);
            }
            Op::Rates(upload, download) => {
                let rate = |rate: &Option<u32>| rate.map(|rate| u64::from(rate) + 1000);
                let rates =
                    Rates { upload: rate(upload), upload_per_peer: None, download: rate(download) };
                self.engine.set_rates(rates, now);
            }
            Op::Shutdown => self.engine.shutdown(now),
        }
    }

    fn cid(&self, block: u8) -> Cid {
        *self.blocks[usize::from(block) % SIZES.len()].cid()
    }

    fn info(&self, number: usize) -> BlockInfo {
        let block = &self.blocks[number];
        BlockInfo { cid: *block.cid(), size: block.data().len() as u32 }
    }

    fn entry(&self, op: WantOp) -> Entry {
        let cid = self.cid(op.block);
        if op.cancel {
            return Entry::cancel(cid);
        }
        let kind = if op.whole { WantKind::Block } else { WantKind::Have };
        Entry::want(cid, kind, op.priority, op.dont_have)
    }

    fn answer(&self, items: &[AnswerOp]) -> Message {
        let mut message = Message::default();
        for item in items {
            match *item {
                AnswerOp::Block(block) => {
                    message.blocks.push(self.blocks[usize::from(block) % SIZES.len()].clone());
                }
                AnswerOp::Altered(block) => {
                    let altered = Bytes::from(vec![block, 1, 2, 3]);
                    let prefix = Prefix::of(&self.cid(block));
                    message.blocks.extend(prefix.and_then(|prefix| prefix.block(altered)));
                }
                AnswerOp::Have(block) => {
                    message.presences.push(Presence { cid: self.cid(block), have: true });
                }
                AnswerOp::DontHave(block) => {
                    message.presences.push(Presence { cid: self.cid(block), have: false });
                }
            }
        }
        message
    }

    fn disconnect(&mut self, peer: u8) {
        self.versions.remove(&peer);
        self.opens.retain(|(other, _)| *other != peer);
        self.engine.handle_disconnected(peer, self.now);
    }

    fn opened(&mut self, peer: u8, stream: StreamKind, opened: Opened) {
        let version = self.versions.get(&peer).copied().unwrap_or(Version::V1_2);
        let result = match opened {
            Opened::Yes => Ok(version),
            Opened::Unsupported => Err(OpenError::Unsupported),
            Opened::Failed => Err(OpenError::Timeout),
        };
        self.engine.handle_open(peer, stream, result, self.now);
    }

    fn session(&mut self, op: &SessionOp) {
        let Some(place) = self.sessions.iter().position(Option::is_none) else {
            return;
        };
        let options = SessionOptions {
            peers: match &op.only {
                Some(peers) => PeerSet::Only(peers.iter().map(|peer| peer % PEERS).collect()),
                None => PeerSet::Any,
            },
            window_bytes: u64::from(op.window_bytes) + 1,
            when_missing: if op.fail { WhenMissing::Fail } else { WhenMissing::Wait },
            want_timeout: op.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms))),
            find_providers: op.search,
        };
        self.sessions[place] = self.engine.open_session(options, self.now).ok();
    }

    fn loaded(&mut self, nth: u8, op: LoadOp, whole: bool) {
        if self.loads.is_empty() {
            return;
        }
        let place = usize::from(nth) % self.loads.len();
        let Load { id, cids, kind, .. } = self.loads[place].clone();
        let answered = if whole { cids.len() } else { 1 };
        let answers: Vec<Loaded> = cids
            .iter()
            .take(answered)
            .map(|cid| Loaded { cid: *cid, answer: self.look_up(cid, kind, op) })
            .collect();
        let left: Vec<Cid> = cids.iter().skip(answered).copied().collect();
        if left.is_empty() {
            self.loads.remove(place);
        } else {
            self.loads[place].cids = left;
        }
        self.engine.handle_load(id, answers, self.now);
    }

    fn look_up(&self, cid: &Cid, what: LoadKind, op: LoadOp) -> LoadAnswer {
        let block = self.stored.iter().map(|number| &self.blocks[*number]);
        let block = block.into_iter().find(|block| block.cid() == cid);
        let what = match (what, op) {
            (LoadKind::Size, LoadOp::Nonsense) => LoadKind::Data,
            (LoadKind::Data, LoadOp::Nonsense) => LoadKind::Size,
            (what, _) => what,
        };
        match (op, block, what) {
            (LoadOp::Failed, ..) => LoadAnswer::Failed,
            (LoadOp::Absent, ..) | (_, None, _) => LoadAnswer::NotFound,
            (_, Some(block), LoadKind::Size) => LoadAnswer::Size(block.data().len() as u32),
            (_, Some(block), LoadKind::Data) => LoadAnswer::Data(block.data().clone()),
        }
    }

    fn found(&mut self, nth: u8, peers: &[u8], last: bool) {
        if self.searches.is_empty() {
            return;
        }
        let place = usize::from(nth) % self.searches.len();
        let id = self.searches[place];
        if last {
            self.searches.remove(place);
        }
        let peers: Vec<u8> = peers.iter().map(|peer| peer % PEERS).collect();
        let lookup = if last { ProviderProgress::Final } else { ProviderProgress::Partial };
        self.engine.handle_providers(id, &peers, lookup, self.now);
    }

    fn reach_deadline(&mut self) {
        if let Some(at) = self.engine.poll_timeout() {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.engine.poll_output() {
            self.output(output);
            outputs += 1;
            self.engine.require(outputs < 100_000, || "the engine talks without end".into());
        }
    }

    fn output(&mut self, output: Output<u8>) {
        self.outputs += 1;
        match output {
            Output::Open { peer, stream } => self.opens.push_back((peer, stream)),
            // What was sent is answered all the same, late: the engine must not mind.
            Output::Close { .. } | Output::Reset { .. } => {}
            Output::Send(sending) => {
                if sending.peer == HONEST {
                    let wants = sending.message.wantlist.entries.into_iter();
                    self.asked.extend(wants.filter(|entry| !entry.cancel));
                }
                self.sends.push_back(sending.id);
            }
            Output::Load(load) => self.loads.push_back(load),
            Output::FindProviders { id, .. } => self.searches.push_back(id),
            Output::StopLookup { id } => self.searches.retain(|other| *other != id),
            Output::Event(Event::Block { session, block, .. }) => {
                *self.unreleased.entry(session).or_default() += block.data().len() as u64;
            }
            Output::Event(Event::PeerDisconnected { peer, history }) => {
                self.histories.insert(peer, history);
            }
            Output::Event(_) => {}
        }
    }
}

/// Takes the `nth` item, counted around.
fn take<T>(items: &mut VecDeque<T>, nth: u8) -> Option<T> {
    let len = items.len();
    if len == 0 { None } else { items.remove(usize::from(nth) % len) }
}
