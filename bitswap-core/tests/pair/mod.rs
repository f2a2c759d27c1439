//! Two engines with a link between them, in virtual time: it jumps to the next arrival or deadline.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::collections::VecDeque;
use std::time::Duration;

use bitswap_core::{Block, Config, Event, Message, Output, SessionId, SessionOptions, Timestamp};
pub use bitswap_testing::block;
use bitswap_testing::{Checked, Host};

/// The engine that wants, and the one that has. Each names the other by its place.
pub type Peer = usize;
pub const ALICE: Peer = 0;
pub const BOB: Peer = 1;

/// The time that a message takes.
pub const LATENCY: Duration = Duration::from_millis(10);

pub struct Pair {
    pub hosts: [Host<Peer>; 2],
    pub events: [Vec<Event<Peer>>; 2],
    /// Everything that each engine put out, as text.
    pub transcripts: [Vec<String>; 2],
    pub now: Timestamp,
    /// Messages on the link, by their arrival: all take equally long.
    link: VecDeque<(Timestamp, Peer, Message)>,
}

impl Pair {
    /// Two engines that are connected.
    pub fn new() -> Self {
        let mut pair = Self::apart([Config::default(), Config::default()], [1, 2]);
        pair.connect();
        pair
    }

    /// Two engines that do not know each other yet.
    pub fn apart(configs: [Config; 2], seeds: [u8; 2]) -> Self {
        let mut seeds = seeds.into_iter();
        Self::of(configs.map(|config| {
            let seed = seeds.next().unwrap_or_default();
            Host::new(config, [seed; 32], Timestamp::ZERO)
        }))
    }

    /// The same without the checker, which takes memory of its own.
    pub fn unwatched() -> Self {
        Self::of([1, 2].map(|seed| Host::unwatched(Config::default(), [seed; 32], Timestamp::ZERO)))
    }

    fn of(hosts: [Host<Peer>; 2]) -> Self {
        Self {
            hosts,
            events: [vec![], vec![]],
            transcripts: [vec![], vec![]],
            now: Timestamp::ZERO,
            link: VecDeque::new(),
        }
    }

    pub fn connect(&mut self) {
        self.host(ALICE).connect(BOB);
        self.host(BOB).connect(ALICE);
        self.drain();
    }

    /// The connection breaks; what was on the link is lost.
    pub fn disconnect(&mut self) {
        self.link.clear();
        self.host(ALICE).disconnect(BOB);
        self.host(BOB).disconnect(ALICE);
        self.drain();
    }

    pub fn alice(&mut self) -> &mut Checked<Peer> {
        self.hosts[ALICE].checked_mut()
    }

    pub fn bob(&mut self) -> &mut Checked<Peer> {
        self.hosts[BOB].checked_mut()
    }

    /// A host, at this pair's time.
    fn host(&mut self, at: Peer) -> &mut Host<Peer> {
        let host = &mut self.hosts[at];
        host.now = self.now;
        host
    }

    /// Bob has these from the start.
    pub fn stock(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.hosts[BOB].store.insert(block);
        }
    }

    /// Bob stores these now, and says so.
    pub fn put(&mut self, blocks: &[Block]) {
        self.host(BOB).store_blocks(blocks);
        self.drain();
    }

    pub fn session(&mut self) -> SessionId {
        self.host(ALICE).open_session(SessionOptions::default()).unwrap()
    }

    pub fn want(&mut self, session: SessionId, blocks: &[Block]) {
        self.host(ALICE).want(session, blocks.iter().map(|block| *block.cid())).unwrap();
        self.drain();
    }

    /// Lets time pass, and stops at each arrival and at each moment that an engine asks for.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.drain();
            let arrival = self.link.front().map(|(at, ..)| *at);
            let timeouts = self.hosts.iter().map(|host| host.engine().poll_timeout());
            let next = timeouts.chain([arrival]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next;
            for at in [ALICE, BOB] {
                self.host(at).wait(Duration::ZERO);
            }
            while self.link.front().is_some_and(|(at, ..)| *at <= next) {
                let Some((_, to, message)) = self.link.pop_front() else { return };
                self.host(to).receive(1 - to, message);
                self.drain();
            }
        }
        panic!("the engines spin");
    }

    /// Carries out all outputs.
    pub fn drain(&mut self) {
        for at in [ALICE, BOB] {
            for output in self.host(at).drain() {
                self.transcripts[at].push(format!("{:?} {output:?}", self.now));
                match output {
                    Output::Send(outgoing) => {
                        self.link.push_back((self.now + LATENCY, 1 - at, outgoing.message));
                    }
                    Output::Event(event) => self.events[at].push(event),
                    _ => {}
                }
            }
        }
    }
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A message that brings these blocks.
pub fn bringing(blocks: &[Block]) -> Message {
    Message { blocks: blocks.to_vec(), ..Message::default() }
}
