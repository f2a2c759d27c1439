//! Two engines with a link between them, in virtual time: it jumps to the next arrival or deadline.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitswap_core::{
    Block, BlockInfo, Config, Engine, Event, Message, Outgoing, Output, Prefix, ProviderProgress,
    SessionId, SessionOptions, Timestamp, Version, Want,
};
use bytes::Bytes;
use cid::Cid;

/// The engine that wants, and the one that has. Each names the other by its place.
pub type Peer = usize;
pub const ALICE: Peer = 0;
pub const BOB: Peer = 1;

/// The time that a message takes.
pub const LATENCY: Duration = Duration::from_millis(10);

pub struct Host {
    pub engine: Engine<Peer>,
    pub store: BTreeMap<Cid, Bytes>,
    pub events: Vec<Event<Peer>>,
    /// Everything that the engine put out, as text.
    pub transcript: Vec<String>,
}

pub struct Pair {
    pub hosts: [Host; 2],
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
        let [first, second] = configs;
        let host = |config, seed| Host {
            engine: Engine::new(config, [seed; 32], Timestamp::ZERO),
            store: BTreeMap::new(),
            events: Vec::new(),
            transcript: Vec::new(),
        };
        let hosts = [host(first, seeds[0]), host(second, seeds[1])];
        Self { hosts, now: Timestamp::ZERO, link: VecDeque::new() }
    }

    pub fn connect(&mut self) {
        self.hosts[ALICE].engine.handle_connected(BOB, None, self.now);
        self.hosts[BOB].engine.handle_connected(ALICE, None, self.now);
        self.drain();
    }

    /// The connection breaks; what was on the link is lost.
    pub fn disconnect(&mut self) {
        self.link.clear();
        self.hosts[ALICE].engine.handle_disconnected(BOB, self.now);
        self.hosts[BOB].engine.handle_disconnected(ALICE, self.now);
        self.drain();
    }

    pub fn alice(&mut self) -> &mut Engine<Peer> {
        &mut self.hosts[ALICE].engine
    }

    pub fn bob(&mut self) -> &mut Engine<Peer> {
        &mut self.hosts[BOB].engine
    }

    /// Bob has these from the start.
    pub fn stock(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.hosts[BOB].store.insert(*block.cid(), block.data().clone());
        }
    }

    /// Bob stores these now, and says so.
    pub fn put(&mut self, blocks: &[Block]) {
        self.stock(blocks);
        let infos: Vec<BlockInfo> = blocks
            .iter()
            .map(|block| BlockInfo { cid: *block.cid(), size: block.data().len() as u32 })
            .collect();
        let now = self.now;
        self.bob().notify_new_blocks(&infos, now);
        self.drain();
    }

    pub fn session(&mut self) -> SessionId {
        let now = self.now;
        self.alice().open_session(SessionOptions::default(), now).unwrap()
    }

    pub fn want(&mut self, session: SessionId, blocks: &[Block]) {
        let now = self.now;
        self.alice()
            .want(session, blocks.iter().map(|block| Want::from(*block.cid())), now)
            .unwrap();
        self.drain();
    }

    /// Lets time pass, and stops at each arrival and at each moment that an engine asks for.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.drain();
            let arrival = self.link.front().map(|(at, ..)| *at);
            let timeouts = self.hosts.iter().map(|host| host.engine.poll_timeout());
            let next = timeouts.chain([arrival]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next;
            for host in &mut self.hosts {
                host.engine.handle_timeout(next);
            }
            while self.link.front().is_some_and(|(at, ..)| *at <= next) {
                let Some((_, to, message)) = self.link.pop_front() else { return };
                self.hosts[to].engine.handle_message(1 - to, message, next);
                self.drain();
            }
        }
        panic!("the engines spin");
    }

    /// Carries out all outputs. Holds the engines to the second clause of the contract.
    pub fn drain(&mut self) {
        for at in [ALICE, BOB] {
            let host = &mut self.hosts[at];
            loop {
                let due = host.engine.poll_timeout().is_some_and(|due| due <= self.now);
                let Some(output) = host.engine.poll_output() else { break };
                assert!(due, "an output was ready and the timer did not say so: {output:?}");
                host.transcript.push(format!("{:?} {output:?}", self.now));
                if let Some(message) = host.carry_out(output, self.now) {
                    self.link.push_back((self.now + LATENCY, 1 - at, message));
                }
            }
            if let Some(next) = host.engine.poll_timeout() {
                assert!(next > self.now, "after a drain the timer must lie ahead");
            }
        }
    }
}

impl Host {
    fn carry_out(&mut self, output: Output<Peer>, now: Timestamp) -> Option<Message> {
        match output {
            Output::Open { peer, stream } => {
                self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
            }
            Output::Send(Outgoing { id, message, .. }) => {
                self.engine.handle_sent(id, Ok(()), now);
                return Some(message);
            }
            Output::Load(load) => {
                let answers = load.answers(|cid| self.store.get(cid).cloned());
                self.engine.handle_load(load.id, answers, now);
            }
            Output::FindProviders { id, .. } => {
                self.engine.handle_providers(id, &[], ProviderProgress::Final, now);
            }
            Output::Event(event) => {
                if let Event::Block { session, block, .. } = &event {
                    self.engine.release_capacity(*session, block.data().len() as u64, now);
                }
                self.events.push(event);
            }
            Output::Close { .. } | Output::Reset { .. } | Output::StopLookup { .. } => {}
        }
        None
    }
}

/// The block number `n`, of this many bytes.
pub fn block(n: u32, size: usize) -> Block {
    let mut data = vec![0; size.max(4)];
    data[..4].copy_from_slice(&n.to_le_bytes());
    let prefix = Prefix::parse(&[1, 0x55, 0x12, 0x20]).unwrap();
    prefix.block(Bytes::from(data)).unwrap()
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A message that brings these blocks.
pub fn bringing(blocks: &[Block]) -> Message {
    Message { blocks: blocks.to_vec(), ..Message::default() }
}
