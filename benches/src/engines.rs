//! Two engines in memory: one has blocks, the other fetches them.

use std::collections::HashMap;
use std::time::Duration;

use bitswap_core::message::{FrameDecoder, Message, Payload, decode};
use bitswap_core::{
    Block, Config, Engine, Event, Outgoing, Output, SessionId, SessionOptions, Timestamp, Version,
    Want,
};
use bytes::Bytes;
use cid::Cid;

/// How long a message takes from one engine to the other, in the engines' time.
const LATENCY: Duration = Duration::from_micros(100);

/// The host's name of the other engine: there are only two.
type Peer = u8;

/// What carries messages between the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Messages are handed over as values; blocks are verified on arrival.
    Values,
    /// Messages are encoded, written into the other's frame decoder, decoded and verified.
    Wire,
}

/// One engine and what it has to send.
struct Side {
    engine: Engine<Peer>,
    store: HashMap<Cid, Bytes>,
    decoder: FrameDecoder,
    fetched: u64,
    ended: usize,
}

/// Two connected engines.
pub struct Pair {
    sides: [Side; 2],
    session: SessionId,
    carrier: Carrier,
    now: Timestamp,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("carrier", &self.carrier).finish_non_exhaustive()
    }
}

impl Pair {
    /// Two engines, of which one has these blocks.
    ///
    /// # Panics
    ///
    /// Never: a fresh engine opens a session.
    #[must_use]
    pub fn new(blocks: &[Block], carrier: Carrier) -> Self {
        let now = Timestamp::ZERO;
        let side = |seed, blocks: &[Block]| Side {
            engine: Engine::new(Config::default(), [seed; 32], now),
            store: blocks.iter().map(|block| (*block.cid(), block.data().clone())).collect(),
            decoder: FrameDecoder::default(),
            fetched: 0,
            ended: 0,
        };
        let mut sides = [side(1, &[]), side(2, blocks)];
        sides[0].engine.handle_connected(1, None, now);
        sides[1].engine.handle_connected(0, None, now);
        let session = sides[0].engine.open_session(SessionOptions::default(), now);
        Self { sides, session: session.expect("a fresh engine"), carrier, now }
    }

    /// Fetches blocks and drops them. The bytes that came.
    ///
    /// # Panics
    ///
    /// When an engine stands still before all came.
    pub fn fetch(&mut self, cids: &[Cid]) -> u64 {
        let wants = cids.iter().copied().map(Want::from);
        let (before, ended) = (self.sides[0].fetched, self.sides[0].ended + cids.len());
        self.sides[0].engine.want(self.session, wants, self.now).expect("within the limits");
        while self.sides[0].ended < ended {
            let mut moved = false;
            for from in 0..2 {
                let messages = self.sides[from].drain(self.now);
                moved |= !messages.is_empty();
                for outgoing in messages {
                    self.carry(from, outgoing);
                }
            }
            self.now = self.now + LATENCY;
            if !moved {
                let due = self.sides.iter().filter_map(|side| side.engine.poll_timeout()).min();
                let due = due.expect("something is due while blocks are wanted");
                self.now = self.now.max(due);
                self.sides.iter_mut().for_each(|side| side.engine.handle_timeout(self.now));
            }
        }
        self.sides[0].fetched - before
    }

    /// Carries a message to the other side.
    fn carry(&mut self, from: usize, outgoing: Outgoing<Peer>) {
        let Outgoing { id, version, message, .. } = outgoing;
        let [a, b] = &mut self.sides;
        let (sender, receiver) = if from == 0 { (a, b) } else { (b, a) };
        match self.carrier {
            Carrier::Values => receiver.receive(from, message, self.now),
            Carrier::Wire => {
                for segment in message.encode(version).segments() {
                    receiver.read(from, segment, self.now);
                }
            }
        }
        sender.engine.handle_sent(id, Ok(()), self.now);
    }
}

impl Side {
    /// Takes all outputs and answers them; what is to be sent is returned.
    fn drain(&mut self, now: Timestamp) -> Vec<Outgoing<Peer>> {
        let mut messages = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Open { peer, stream } => {
                    self.engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(outgoing) => messages.push(outgoing),
                Output::Load(load) => {
                    let answers = load.answers(|cid| self.store.get(cid).cloned());
                    self.engine.handle_load(load.id, answers, now);
                }
                Output::Event(Event::Block { session, block, .. }) => {
                    self.ended += 1;
                    self.fetched += block.data().len() as u64;
                    self.engine.release_capacity(session, block.data().len() as u64, now);
                }
                _ => {}
            }
        }
        messages
    }

    /// A message as a value: its blocks are verified as those of the wire are.
    fn receive(&mut self, from: usize, mut message: Message, now: Timestamp) {
        let blocks = std::mem::take(&mut message.blocks).into_iter();
        let payloads = blocks.map(|block| {
            let (cid, data) = block.into_parts();
            Payload { prefix: bitswap_core::Prefix::of(&cid).expect("a usual CID"), data }
        });
        self.deliver(from, message, payloads, now);
    }

    fn read(&mut self, from: usize, mut bytes: &[u8], now: Timestamp) {
        loop {
            while let Some(frame) = self.decoder.next_frame().expect("frames of an engine") {
                let decoded = decode(&frame).expect("a message of an engine");
                self.deliver(from, decoded.message, decoded.payloads.into_iter(), now);
            }
            if bytes.is_empty() {
                return;
            }
            let buffer = self.decoder.buffer_mut();
            let (read, rest) = bytes.split_at(bytes.len().min(buffer.len()));
            buffer[..read.len()].copy_from_slice(read);
            self.decoder.advance(read.len());
            bytes = rest;
        }
    }

    fn deliver(
        &mut self,
        from: usize,
        mut message: Message,
        payloads: impl Iterator<Item = Payload>,
        now: Timestamp,
    ) {
        message.add_blocks(payloads.map(|payload| payload.verify().expect("a known hash")));
        self.engine.handle_message(from as Peer, message, now);
    }
}
