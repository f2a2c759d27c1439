//! 5. Inputs cannot fail: whatever comes is counted and ignored, or ends in an event.

use std::collections::VecDeque;
use std::time::Duration;

use bitswap_core::error::{OpenError, SendError, WantError};
use bitswap_core::message::{Message, Wantlist};
use bitswap_core::{
    Block, BlockInfo, Config, Engine, Entry, Event, Limits, LoadAnswer, LoadId, Loaded, LookupId,
    Output, PeerSet, Presence, ProtocolSupport, ProviderProgress, Rates, SendId, SessionId,
    SessionOptions, StreamKind, Timestamp, Version, Want, WantKind, WhenMissing,
};
use bytes::Bytes;
use cid::Cid;

use crate::pair::{Pair, block, ms};
use crate::random::Random;

const SEEDS: u64 = 150;
const STEPS: usize = 400;

/// Guards every `let ... else { return }` of the engine's inputs: an unwrap in its place panics
/// here. Tables are tiny, so that each of their bounds is met.
#[test]
fn no_order_of_inputs_panics_and_what_is_stale_is_counted() {
    let mut stale = 0;
    let mut events = 0;
    for seed in 0..SEEDS {
        let mut chaos = Chaos::new(seed);
        for _ in 0..STEPS {
            chaos.step();
        }
        stale += chaos.engine.stats().stale_inputs;
        events += chaos.events;
    }
    assert!(stale > SEEDS, "only {stale} inputs were stale");
    assert!(events > SEEDS, "only {events} events");
}

/// Guards `Client::received` and `Server::wantlist`: nonsense of one peer is its own matter.
#[test]
fn nonsense_leaves_an_honest_exchange_as_it_was() {
    let blocks: Vec<_> = (0..20).map(|n| block(n, 10_000)).collect();
    let mut pair = Pair::new();
    pair.stock(&blocks);
    let session = pair.session();
    let now = pair.now;
    pair.alice().handle_connected(9, None, now);
    pair.drain();
    pair.want(session, &blocks);
    let identity = Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"me").unwrap());
    for n in 0..200 {
        let entries = vec![
            Entry::want(identity, WantKind::Block, i32::MIN, true),
            Entry::cancel(*block(n, 4).cid()),
            Entry::want(*block(n, 4).cid(), WantKind::Have, i32::MAX, false),
        ];
        let message = Message {
            wantlist: Wantlist { entries, full: n % 2 == 0 },
            blocks: vec![block(n + 500, 64)],
            presences: vec![Presence { cid: *blocks[0].cid(), have: true }],
            pending_bytes: -1,
        };
        pair.alice().handle_message(9, message, now);
        pair.drain();
    }
    pair.pass(ms(30_000));
    assert_eq!(pair.alice().stats().fetched.blocks, 20);
    assert_eq!(pair.alice().stats().wants, 0);
    assert_eq!(pair.alice().peer_stats(9).unwrap().fetched.unwanted_blocks, 200);
}

/// Guards `Client::want`: the bound is checked before anything is changed.
#[test]
fn a_refused_want_changes_nothing() {
    let now = Timestamp::ZERO;
    let limits = Limits { wants: 2, ..Limits::default() };
    let mut engine: Engine<u8> =
        Engine::new(Config::default().with_limits(limits).unwrap(), [1; 32], now);
    let session = engine.open_session(SessionOptions::default(), now).unwrap();
    let cids = [0, 1, 2].map(|n| *block(n, 4).cid());
    let many = engine.want(session, cids.map(Want::from), now);
    assert_eq!(many, Err(WantError::TooMany { limit: 2 }));
    assert_eq!(engine.stats().wants, 0);
    let identity = Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"me").unwrap());
    let one_bad = engine.want(session, [cids[0], identity].map(Want::from), now);
    assert!(matches!(one_bad, Err(WantError::Unfetchable(_))), "{one_bad:?}");
    assert_eq!(engine.stats().wants, 0);
    engine.close_session(session, now);
    let closed = engine.want(session, [Want::from(cids[0])], now);
    assert_eq!(closed, Err(WantError::NoSession));
}

/// Calls whatever there is to call, with arguments that are sometimes right.
struct Chaos {
    rng: Random,
    engine: Engine<u8>,
    now: Timestamp,
    blocks: Vec<Block>,
    sessions: Vec<SessionId>,
    opens: VecDeque<(u8, StreamKind)>,
    sends: VecDeque<SendId>,
    loads: VecDeque<(LoadId, Vec<Cid>)>,
    lookups: VecDeque<LookupId>,
    events: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let limits = Limits {
            peers: 4,
            ledger_per_peer: 3,
            ledger: 6,
            response_bytes_per_peer: 300,
            response_bytes: 500,
            loads_per_peer: 2,
            messages_per_stream: 1,
            want_bytes_per_peer: 100,
            sent_wants_per_peer: 3,
            sent_wants: 8,
            wants: 12,
            sessions: 3,
            entries_per_message: 4,
            peer_histories: 2,
        };
        let config = Config::default().with_limits(limits).unwrap();
        Self {
            rng: Random::new(bytes),
            engine: Engine::new(config, bytes, Timestamp::ZERO),
            now: Timestamp::ZERO,
            blocks: (0..10).map(|n| block(n, 4 + 40 * n as usize)).collect(),
            sessions: Vec::new(),
            opens: VecDeque::new(),
            sends: VecDeque::new(),
            loads: VecDeque::new(),
            lookups: VecDeque::new(),
            events: 0,
        }
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.rng.below(n) == 0
    }

    fn peer(&mut self) -> u8 {
        self.rng.below(6) as u8
    }

    fn block(&mut self) -> Block {
        let at = self.rng.below(self.blocks.len() as u64) as usize;
        self.blocks[at].clone()
    }

    fn cid(&mut self) -> Cid {
        if self.one_in(12) {
            return Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0, b"me").unwrap());
        }
        *self.block().cid()
    }

    fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.rng.below(most + 1)).map(|_| make(self)).collect()
    }

    /// Of what was asked: the first, answered once or, sometimes, again.
    fn answer<T: Clone>(&mut self, from: fn(&mut Self) -> &mut VecDeque<T>) -> Option<T> {
        let again = self.one_in(4);
        let queue = from(self);
        if again { queue.front().cloned() } else { queue.pop_front() }
    }

    fn message(&mut self) -> Message {
        let entries = self.some(6, |chaos| Entry {
            cid: chaos.cid(),
            priority: chaos.rng.next_u64() as i32,
            cancel: chaos.one_in(3),
            kind: if chaos.one_in(2) { WantKind::Have } else { WantKind::Block },
            send_dont_have: chaos.one_in(2),
        });
        Message {
            wantlist: Wantlist { entries, full: self.one_in(5) },
            blocks: self.some(2, Self::block),
            presences: self.some(3, |chaos| Presence { cid: chaos.cid(), have: chaos.one_in(2) }),
            pending_bytes: self.rng.next_u64() as i32,
        }
    }

    fn load(&mut self) {
        let Some((id, cids)) = self.answer(|chaos| &mut chaos.loads) else { return };
        let mut answers = Vec::new();
        for cid in cids {
            let answer = match self.rng.below(5) {
                0 => LoadAnswer::NotFound,
                1 => LoadAnswer::Failed,
                2 => LoadAnswer::Size(self.rng.next_u64() as u32),
                _ => LoadAnswer::Data(Bytes::from(vec![1; self.rng.below(300) as usize])),
            };
            // Sometimes one is left out, or another one answered.
            match self.rng.below(10) {
                0 => {}
                1 => answers.push(Loaded { cid: self.cid(), answer }),
                _ => answers.push(Loaded { cid, answer }),
            }
        }
        self.engine.handle_load(id, answers, self.now);
    }

    fn open_session(&mut self) {
        let peers = match self.rng.below(4) {
            0 => PeerSet::Only(self.some(3, Self::peer)),
            1 => PeerSet::Prefer(self.some(3, Self::peer)),
            _ => PeerSet::Any,
        };
        let options = SessionOptions {
            peers,
            window_bytes: self.rng.below(2000),
            when_missing: if self.one_in(2) { WhenMissing::Fail } else { WhenMissing::Wait },
            want_timeout: self.one_in(2).then(|| ms(700)),
            find_providers: self.one_in(2),
            download: self.one_in(4).then(|| self.rng.below(3000)),
        };
        if let Ok(session) = self.engine.open_session(options, self.now) {
            self.sessions.push(session);
        }
    }

    fn session(&mut self) -> Option<SessionId> {
        let at = self.rng.below(self.sessions.len() as u64) as usize;
        // Closed ones stay in the list: their ids are stale.
        self.sessions.get(at).copied()
    }

    fn step(&mut self) {
        let now = self.now;
        match self.rng.below(20) {
            0..=2 => {
                let peer = self.peer();
                self.engine.handle_connected(peer, None, now);
            }
            3 => {
                let peer = self.peer();
                self.engine.handle_disconnected(peer, now);
            }
            4 => {
                let support = [ProtocolSupport::Unknown, ProtocolSupport::No, ProtocolSupport::Yes];
                let (peer, at) = (self.peer(), self.rng.below(3) as usize);
                self.engine.handle_support(peer, support[at], now);
                self.engine.handle_round_trip(
                    peer,
                    Duration::from_micros(self.rng.below(1 << 20)),
                    now,
                );
            }
            5..=8 => {
                let (peer, message) = (self.peer(), self.message());
                self.engine.handle_message(peer, message, now);
            }
            9 => self.open_session(),
            10 | 11 => {
                let wants = self.some(5, |chaos| Want {
                    cid: chaos.cid(),
                    priority: chaos.rng.next_u64() as i32,
                    size: chaos.one_in(2).then(|| chaos.rng.next_u64() as u32),
                });
                if let Some(session) = self.session() {
                    // Refusals are among what is to be seen.
                    let _ = self.engine.want(session, wants, now);
                }
            }
            12 => {
                let cids = self.some(4, Self::cid);
                if let Some(session) = self.session() {
                    self.engine.cancel(session, cids, now);
                }
            }
            13 => {
                let bytes = self.rng.next_u64() >> self.rng.below(64);
                if let Some(session) = self.session() {
                    self.engine.release_capacity(session, bytes, now);
                    if self.one_in(4) {
                        self.engine.close_session(session, now);
                    }
                }
            }
            14 => {
                let blocks = self.some(3, |chaos| BlockInfo {
                    cid: chaos.cid(),
                    size: chaos.rng.next_u64() as u32,
                });
                self.engine.notify_new_blocks(&blocks, now);
            }
            15 => {
                let rate = |chaos: &mut Self| {
                    chaos.one_in(2).then(|| chaos.rng.next_u64() >> chaos.rng.below(64))
                };
                let rates = Rates {
                    upload: rate(self),
                    upload_per_peer: rate(self),
                    download: rate(self),
                    download_per_peer: rate(self),
                };
                self.engine.set_rates(rates, now);
                if let Some(session) = self.session() {
                    let rate = rate(self);
                    self.engine.set_session_rate(session, rate, now);
                }
            }
            16 => {
                let (peer, stream) = (self.peer(), self.stream());
                self.engine.handle_reset(peer, stream, now);
            }
            17 => {
                // From a jump back to one of some hours.
                let jump = self.rng.next_u64() >> (24 + self.rng.below(40));
                let at = now.as_micros().saturating_add(jump).saturating_sub(1 << 20);
                self.now = Timestamp::from_micros(at);
                self.engine.handle_timeout(self.now);
            }
            _ => self.answers(),
        }
        if self.one_in(2) {
            self.drain();
        }
    }

    fn stream(&mut self) -> StreamKind {
        if self.one_in(2) { StreamKind::Requests } else { StreamKind::Responses }
    }

    fn answers(&mut self) {
        let now = self.now;
        if let Some((peer, stream)) = self.answer(|chaos| &mut chaos.opens) {
            let result = match self.rng.below(6) {
                0 => Err(OpenError::Unsupported),
                1 => Err(OpenError::Closed),
                2 => Ok(Version::V1_0),
                _ => Ok(Version::V1_2),
            };
            self.engine.handle_open(peer, stream, result, now);
        }
        if let Some(id) = self.answer(|chaos| &mut chaos.sends) {
            let result = if self.one_in(4) { Err(SendError::Timeout) } else { Ok(()) };
            self.engine.handle_sent(id, result, now);
        }
        self.load();
        if let Some(id) = self.answer(|chaos| &mut chaos.lookups) {
            let peers = self.some(2, Self::peer);
            let lookup =
                if self.one_in(2) { ProviderProgress::Final } else { ProviderProgress::Partial };
            self.engine.handle_providers(id, &peers, lookup, now);
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.engine.poll_output() else { return };
            match output {
                Output::Open { peer, stream } => self.opens.push_back((peer, stream)),
                Output::Send(outgoing) => self.sends.push_back(outgoing.id),
                Output::Load(load) => self.loads.push_back((load.id, load.cids)),
                Output::FindProviders { id, .. } => self.lookups.push_back(id),
                Output::Event(event) => {
                    self.events += 1;
                    if let Event::Block { block, .. } = event {
                        assert!(Block::new(*block.cid(), block.data().clone()).is_ok());
                    }
                }
                Output::Close { .. }
                | Output::Reset { .. }
                | Output::StopLookup { .. }
                | Output::KeepAlive { .. } => {}
            }
        }
        panic!("the engine spins");
    }
}
