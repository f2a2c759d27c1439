//! What an engine holds, by the allocator's count and its own, and how long its calls take.
//!
//! A process of one thread and without a test harness, so that nothing else allocates meanwhile. The engine
//! is called here and not by a `bitswap_testing::Host`: each call is timed alone, and what a host keeps would
//! be counted as the engine's.

use std::alloc::System;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bitswap_core::{
    Block, Config, Engine, Entry, Event, Message, Output, PeerSet, Presence, ProtocolSupport,
    SessionId, SessionOptions, StreamKind, Timestamp, Version, Want, WantKind, Wantlist,
};
use bytes::Bytes;
use cap::Cap;
use cid::Cid;
use cid::multihash::Multihash;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const PEERS: u32 = 100;
/// The most that one want may take, all peers that know of it included.
const BYTES_PER_WANT: usize = 300;

fn main() {
    let mut failed = 0;
    for (name, test) in [
        ("a_peer_leaves_nothing_behind", a_peer_leaves_nothing_behind as fn()),
        ("an_engine_without_peers_and_wants_is_as_small_as_a_new_one", empty_again),
        ("many_wants_are_not_copied_for_each_peer", wants_are_not_copied_for_each_peer),
        ("a_million_wants_cost_little_each", a_million_wants),
        ("a_poll_at_rest_does_not_get_dearer_with_peers", a_poll_at_rest),
        ("a_peer_that_comes_does_not_get_dearer_with_wants_that_wait", an_arrival),
    ] {
        let outcome = if std::panic::catch_unwind(test).is_ok() { "ok" } else { "FAILED" };
        failed += u32::from(outcome != "ok");
        println!("test {name} ... {outcome}");
    }
    assert_eq!(failed, 0, "tests failed");
}

fn cid(number: u64) -> Cid {
    let mut digest = [0; 32];
    // Spread, as digests are.
    for (place, bytes) in digest.chunks_mut(8).enumerate() {
        let mixed = (number ^ (place as u64) << 60).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.copy_from_slice(&(mixed ^ mixed >> 29).to_be_bytes());
    }
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).expect("32 bytes fit"))
}

fn cids(count: u64) -> Vec<Cid> {
    (0..count).map(cid).collect()
}

/// An engine, peers that answer every want at once, and the time that its calls took.
struct Bench {
    engine: Engine<u32>,
    now: Timestamp,
    session: Option<SessionId>,
    mail: VecDeque<(u32, Message)>,
    data: Bytes,
    ended: usize,
    calls: u64,
    /// Calls above a millisecond, by their number.
    long: Option<BTreeMap<u64, (Duration, &'static str)>>,
    spent: Duration,
}

impl Bench {
    fn new(peers: u32) -> Self {
        let now = Timestamp::ZERO;
        let mut bench = Self {
            engine: Engine::new(Config::default(), [3; 32], now),
            now,
            session: None,
            mail: VecDeque::new(),
            data: Bytes::from_static(b"a block"),
            ended: 0,
            calls: 0,
            long: None,
            spent: Duration::ZERO,
        };
        for peer in 0..peers {
            bench.call("handle_connected", |engine, now| engine.handle_connected(peer, None, now));
        }
        bench
    }

    fn call<R>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Engine<u32>, Timestamp) -> R,
    ) -> R {
        let began = Instant::now();
        let result = call(&mut self.engine, self.now);
        let took = began.elapsed();
        self.calls += 1;
        if let Some(long) = self.long.as_mut().filter(|_| took > Duration::from_millis(1)) {
            long.insert(self.calls, (took, name));
        }
        self.spent += took;
        result
    }

    fn open(&mut self) {
        let options = SessionOptions { window_bytes: u64::MAX, ..SessionOptions::default() };
        self.session =
            self.call("open_session", |engine, now| engine.open_session(options, now)).ok();
    }

    fn want(&mut self, cids: &[Cid]) {
        let session = self.session.expect("it is open");
        for batch in cids.chunks(1000) {
            let wants = batch.iter().map(|cid| Want::from(*cid));
            self.call("want", |engine, now| engine.want(session, wants, now))
                .expect("within the limits");
        }
    }

    /// Takes outputs; the peers' answers wait in the mail.
    fn drain(&mut self) {
        while let Some(output) = self.call("poll_output", |engine, _| engine.poll_output()) {
            match output {
                Output::Open { peer, stream: kind } => self.call("handle_open", |engine, now| {
                    engine.handle_open(peer, kind, Ok(Version::V1_2), now);
                }),
                Output::Send(sending) => {
                    self.call("handle_sent", |engine, now| {
                        engine.handle_sent(sending.id, Ok(()), now);
                    });
                    if sending.stream == StreamKind::Requests {
                        let answer = self.answer(&sending.message.wantlist);
                        if !answer.is_empty() {
                            self.mail.push_back((sending.peer, answer));
                        }
                    }
                }
                Output::Event(Event::Block { session, block, .. }) => {
                    self.ended += 1;
                    let bytes = block.data().len() as u64;
                    self.call("taken", |engine, now| engine.release_capacity(session, bytes, now));
                }
                _ => {}
            }
        }
    }

    fn answer(&self, list: &Wantlist) -> Message {
        let mut message = Message::default();
        for entry in list.entries.iter().filter(|entry| !entry.cancel) {
            match entry.kind {
                WantKind::Block => {
                    message.blocks.push(Block::new_unchecked(entry.cid, self.data.clone()));
                }
                WantKind::Have => {
                    message.presences.push(Presence { cid: entry.cid, have: true });
                }
            }
        }
        message
    }

    /// Runs until so many wants have ended.
    fn run(&mut self, wants: usize) {
        while self.ended < wants {
            self.drain();
            match self.mail.pop_front() {
                Some((peer, message)) => {
                    self.now = self.now + Duration::from_micros(50);
                    self.call("handle_message", |engine, now| {
                        engine.handle_message(peer, message, now);
                    });
                }
                None => {
                    let next = self.engine.poll_timeout().expect("a live want has a timer");
                    self.now = self.now.max(next);
                    self.call("handle_timeout", |engine, now| engine.handle_timeout(now));
                }
            }
        }
        self.drain();
    }
}

/// Without optimisation a tenth shows the same, but for the length of calls.
const MANY: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

fn a_million_wants() {
    let fetch = |count: u64| {
        let cids = cids(count);
        let mut bench = Bench::new(PEERS);
        bench.long = Some(BTreeMap::new());
        bench.open();
        bench.drain();
        let before = ALLOCATOR.allocated();
        bench.want(&cids);
        let held = ALLOCATOR.allocated() - before;
        bench.drain();
        bench.run(count as usize);
        let per_want = bench.spent.as_nanos() as u64 / count;
        (held / count as usize, per_want, bench.long.unwrap_or_default())
    };
    // The machine may stop the process for longer than any call takes, and slow down all of a run, but
    // hardly each of three.
    let runs = |count| -> Vec<_> { (0..3).map(|_| fetch(count)).collect() };
    let least = |runs: &[(usize, u64, _)]| runs.iter().map(|run| run.1).min().expect("three runs");
    let (few, many) = (runs(10_000), runs(MANY));
    let (bytes, small, large) = (many[0].0, least(&few), least(&many));
    println!("{bytes} B per want; {small} ns per want of 10 k, {large} ns per want of {MANY}");
    assert!(bytes <= BYTES_PER_WANT, "{bytes} bytes per want");
    assert!(large <= 3 * small, "{large} ns per want of {MANY}, {small} ns of ten thousand");
    if cfg!(debug_assertions) {
        println!("the length of calls is measured in release builds");
        return;
    }
    // A stop of the process hardly hits the same call of three equal runs.
    let [first, second, third] = &many[..] else { unreachable!("three runs") };
    let longest = first
        .2
        .iter()
        .filter_map(|(call, took)| Some(*took.min(second.2.get(call)?).min(third.2.get(call)?)))
        .max();
    println!("longest call: {longest:?}");
    assert!(
        longest.is_none_or(|(took, _)| took <= Duration::from_millis(5)),
        "a call took long: {longest:?}"
    );
}

/// The time of a call of each kind that a host makes when nothing has happened, in nanoseconds: the
/// least of many, which an interruption of the process cannot make longer.
fn nanos_at_rest(peers: u32) -> u128 {
    let mut bench = Bench::new(peers);
    bench.open();
    bench.want(&cids(100));
    for peer in 0..peers {
        let entry = Entry::want(cid(u64::from(1000 + peer)), WantKind::Block, 1, true);
        let wantlist = Wantlist { entries: vec![entry], full: false };
        let message = Message { wantlist, ..Message::default() };
        bench.call("handle_message", |engine, now| engine.handle_message(peer, message, now));
    }
    bench.drain();
    assert_eq!(bench.engine.stats().peers, peers);
    assert!(bench.engine.poll_timeout().is_some_and(|at| at > bench.now), "it is at rest");
    let (engine, now) = (&mut bench.engine, bench.now);
    let times = (0..200).map(|_| {
        let began = Instant::now();
        for _ in 0..100 {
            engine.handle_timeout(now);
            assert!(engine.poll_output().is_none());
            assert!(engine.poll_timeout().is_some());
        }
        began.elapsed().as_nanos() / 100
    });
    times.min().expect("there are some")
}

fn a_poll_at_rest() {
    let (few, many) = (nanos_at_rest(10), nanos_at_rest(1000));
    println!("a poll at rest: {few} ns with 10 peers, {many} ns with 1000");
    // Looking at each peer would make it a hundred times as long.
    assert!(many <= 5 * few, "{many} ns with 1000 peers, {few} ns with 10");
}

/// The time that it takes an engine to take note of a peer that comes, or that says again and again that
/// it speaks Bitswap, in nanoseconds: the least of several, at moments far apart.
fn nanos_of_an_arrival(sessions: u64, wants: u64, only: bool) -> u128 {
    let mut bench = Bench::new(1);
    for session in 0..sessions {
        let peers = if only { PeerSet::Only(vec![9]) } else { PeerSet::Any };
        let options = SessionOptions { peers, ..SessionOptions::default() };
        bench.session =
            bench.call("open_session", |engine, now| engine.open_session(options, now)).ok();
        let cids: Vec<Cid> = (session * wants..(session + 1) * wants).map(cid).collect();
        bench.want(&cids);
    }
    bench.drain();
    bench.mail.clear();
    let times = (0..10).map(|round| {
        bench.now = bench.now + Duration::from_millis(50);
        bench.spent = Duration::ZERO;
        for support in
            [ProtocolSupport::No, ProtocolSupport::Yes, ProtocolSupport::No, ProtocolSupport::Yes]
        {
            bench.call("handle_support", |engine, now| engine.handle_support(0, support, now));
            bench.drain();
        }
        let peer = 100 + round;
        bench.call("handle_connected", |engine, now| engine.handle_connected(peer, None, now));
        bench.drain();
        bench.call("handle_disconnected", |engine, now| engine.handle_disconnected(peer, now));
        bench.drain();
        bench.mail.clear();
        bench.spent.as_nanos()
    });
    times.min().expect("there are some")
}

fn an_arrival() {
    for (name, only, few, many) in [
        ("wants of one session", true, (1, 2_000), (1, 40_000)),
        ("sessions with nobody they may ask", true, (2_000, 1), (40_000, 1)),
        ("sessions that ask anybody", false, (2_000, 1), (40_000, 1)),
    ] {
        let (few, many) =
            (nanos_of_an_arrival(few.0, few.1, only), nanos_of_an_arrival(many.0, many.1, only));
        println!("a peer comes, {name}: {few} ns for 2 000, {many} ns for 40 000");
        // Looking at all of them would make it twenty times as long.
        assert!(many <= 4 * few, "{name}: {many} ns for 40 000, {few} ns for 2 000");
    }
}

fn wants_are_not_copied_for_each_peer() {
    let cids = cids(50_000);
    let mut bench = Bench::new(600);
    bench.open();
    bench.drain();
    let before = ALLOCATOR.allocated();
    bench.want(&cids);
    bench.drain();
    bench.mail.clear();
    let held = ALLOCATOR.allocated() - before;
    let told = bench.engine.stats().sent_wants as usize;
    println!("{held} B for 50 000 wants and 600 peers, {told} pairs told");
    assert!(held <= 50_000 * BYTES_PER_WANT + told * 100 + 600 * 4096, "{held} bytes");
    let counted = bench.engine.held_bytes() as usize;
    let base = Bench::new(600).engine.held_bytes() as usize;
    let counted = counted - base;
    println!("the engine counts {counted} B");
    assert!(counted * 5 >= held * 4 && counted * 4 <= held * 5, "{counted} counted, {held} held");
}

/// A peer that wants, is wanted from, and leaves.
fn a_peer_leaves_nothing_behind() {
    let cids = cids(500);
    let mut bench = Bench::new(3);
    bench.open();
    bench.want(&cids[..100]);
    bench.drain();
    let mut answers = std::mem::take(&mut bench.mail);
    let counted = bench.engine.held_bytes();
    let mut before = None;
    for round in 0..50u32 {
        let peer = 10 + round % 7;
        bench.call("handle_connected", |engine, now| engine.handle_connected(peer, None, now));
        let entries: Vec<Entry> =
            cids[100..].iter().map(|cid| Entry::want(*cid, WantKind::Block, 1, true)).collect();
        let message = Message { wantlist: Wantlist { entries, full: false }, ..Message::default() };
        bench.call("handle_message", |engine, now| engine.handle_message(peer, message, now));
        bench.drain();
        bench.mail.clear();
        bench.mail.shrink_to_fit();
        bench.call("handle_disconnected", |engine, now| engine.handle_disconnected(peer, now));
        bench.drain();
        assert_eq!(bench.engine.held_bytes(), counted, "round {round}");
        // An ordered set keeps its last node when it is empty, so the first round may add some.
        let held = ALLOCATOR.allocated();
        assert_eq!(held, *before.get_or_insert(held), "bytes by the allocator, round {round}");
    }
    answers.clear();
}

fn empty_again() {
    let cids = cids(20_000);
    let fresh = Bench::new(0).engine.held_bytes();
    let mut bench = Bench::new(0);
    let mut before = None;
    for _ in 0..3 {
        for peer in 0..PEERS {
            bench.call("handle_connected", |engine, now| engine.handle_connected(peer, None, now));
        }
        bench.open();
        bench.want(&cids);
        let end = bench.ended + 15_000;
        bench.run(end);
        let session = bench.session.take().expect("it is open");
        bench.call("close_session", |engine, now| engine.close_session(session, now));
        bench.drain();
        for peer in 0..PEERS {
            bench.call("handle_disconnected", |engine, now| engine.handle_disconnected(peer, now));
        }
        bench.drain();
        bench.mail = VecDeque::new();
        assert_eq!(bench.engine.held_bytes(), fresh);
        let held = ALLOCATOR.allocated();
        assert_eq!(held, *before.get_or_insert(held), "bytes by the allocator");
    }
}
