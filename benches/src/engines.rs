//! Two engines in memory: one has blocks, the other fetches them.

use std::time::Duration;

use bitswap_core::message::{FrameDecoder, Message, Payload, decode};
use bitswap_core::{Block, Config, Event, Outgoing, Output, SessionId, SessionOptions, Timestamp};
use bitswap_testing::{AtOnce, Host};
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

/// One engine and what it fetched.
struct Side {
    host: Host<Peer>,
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
        let side = |seed| {
            // The checker would be measured too.
            let mut host = Host::unwatched(Config::default(), [seed; 32], now);
            // A message is sent when it was carried.
            host.at_once = AtOnce { sends: false, ..AtOnce::ALL };
            Side { host, decoder: FrameDecoder::default(), fetched: 0, ended: 0 }
        };
        let mut sides = [side(1), side(2)];
        blocks.iter().for_each(|block| sides[1].host.store.insert(block));
        sides[0].host.connect(1);
        sides[1].host.connect(0);
        let session = sides[0].host.open_session(SessionOptions::default());
        Self { sides, session: session.expect("a fresh engine"), carrier, now }
    }

    /// Fetches blocks and drops them. The bytes that came.
    ///
    /// # Panics
    ///
    /// When an engine stands still before all came.
    pub fn fetch(&mut self, cids: &[Cid]) -> u64 {
        let (before, ended) = (self.sides[0].fetched, self.sides[0].ended + cids.len());
        self.sides[0].host.want(self.session, cids.iter().copied()).expect("within the limits");
        while self.sides[0].ended < ended {
            let mut moved = false;
            for from in 0..2 {
                self.sides[from].drain();
                while let Some(outgoing) = self.sides[from].host.sends.pop_front() {
                    self.carry(from, outgoing);
                    moved = true;
                }
            }
            self.now = self.now + LATENCY;
            if !moved {
                let due = self.sides.iter().filter_map(|side| side.host.engine().poll_timeout());
                let due = due.min().expect("something is due while blocks are wanted");
                self.now = self.now.max(due);
            }
            for side in &mut self.sides {
                side.host.now = self.now;
                if !moved {
                    side.host.wait(Duration::ZERO);
                }
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
            Carrier::Values => receiver.receive(from, message),
            Carrier::Wire => {
                for segment in message.encode(version).segments() {
                    receiver.read(from, segment);
                }
            }
        }
        sender.host.sent(id, Ok(()));
    }
}

impl Side {
    /// Takes all outputs.
    fn drain(&mut self) {
        for output in self.host.drain() {
            if let Output::Event(Event::Block { block, .. }) = output {
                self.ended += 1;
                self.fetched += block.data().len() as u64;
            }
        }
    }

    /// A message as a value: its blocks are verified as those of the wire are.
    fn receive(&mut self, from: usize, mut message: Message) {
        let blocks = std::mem::take(&mut message.blocks).into_iter();
        let payloads = blocks.map(|block| {
            let (cid, data) = block.into_parts();
            Payload { prefix: bitswap_core::Prefix::of(&cid).expect("a usual CID"), data }
        });
        self.deliver(from, message, payloads);
    }

    fn read(&mut self, from: usize, mut bytes: &[u8]) {
        loop {
            while let Some(frame) = self.decoder.next_frame().expect("frames of an engine") {
                let decoded = decode(&frame).expect("a message of an engine");
                self.deliver(from, decoded.message, decoded.payloads.into_iter());
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
    ) {
        message.add_blocks(payloads.map(|payload| payload.verify().expect("a known hash")));
        self.host.receive(from as Peer, message);
    }
}
