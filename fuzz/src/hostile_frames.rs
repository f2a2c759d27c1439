//! `hostile_frames`: one peer sends any bytes at all; what an honest peer and the local user see is
//! the same as without it, and nothing of it is left when it is gone.
//!
//! Input: the seed (1 byte), the number of honest steps (1), the steps (2 each), then the hostile
//! peer's stream.

use std::time::Duration;

use bitswap_core::message::{Entry, FrameDecoder, Message, PayloadFilter, Presence, decode};
use bitswap_core::{
    Config, Event, Output, PeerSet, SessionId, SessionOptions, Timestamp, WantKind,
};
use bitswap_testing::{Checked, Host, Interceptor, PassThrough};

use crate::Input;
use crate::engine::{Mask, Peer, Users, cid};

const HONEST: Peer = 1;
const HOSTILE: Peer = 2;

/// What the honest peer and the local user saw.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    sent: Vec<Message>,
    events: Vec<Event<Peer>>,
}

/// Runs the target on our engine.
pub fn run(data: &[u8]) {
    check(data, &mut PassThrough);
}

/// Runs the target with something between the engine and its host.
///
/// # Panics
///
/// When the hostile peer makes a difference to anybody but itself.
pub fn check(data: &[u8], between: &mut dyn Interceptor<Peer>) {
    let mut input = Input::new(data);
    let seed = input.byte();
    let steps = input.byte() & 31;
    let steps: Vec<[u8; 2]> = (0..steps).map(|_| input.array()).collect();
    let stream = input.rest();
    let (without, held_without) = World::new(seed, &mut PassThrough).play(&steps, None);
    let (with, held_with) = World::new(seed, between).play(&steps, Some(stream));
    assert_eq!(with, without, "with the hostile peer and without it");
    assert!(held_with <= held_without, "{held_with} bytes are held, {held_without} without it");
}

/// A host that answers at once, with a store that has every other block.
struct World<'a> {
    host: Host<Peer, Users<'a>>,
    session: SessionId,
    filter: PayloadFilter,
    hostile: FrameDecoder,
    seen: Seen,
}

impl<'a> World<'a> {
    fn new(seed: u8, between: &'a mut dyn Interceptor<Peer>) -> Self {
        let now = Timestamp::ZERO;
        let engine = Checked::new(Config::default(), [seed; 32], now);
        let mut host = Host::with(engine, Users::behind(between), now);
        Mask(0b0101_0101).blocks().for_each(|block| host.store.insert(block));
        let peers = PeerSet::Only(vec![HONEST]);
        let session = host.open_session(SessionOptions { peers, ..Default::default() });
        Self {
            host,
            session: session.expect("a new engine opens a session"),
            filter: PayloadFilter::new(),
            hostile: FrameDecoder::default(),
            seen: Seen::default(),
        }
    }

    /// What was seen, and the bytes held once the hostile peer is gone.
    fn play(mut self, steps: &[[u8; 2]], stream: Option<&[u8]>) -> (Seen, u64) {
        self.host.connect(HONEST);
        if stream.is_some() {
            self.host.connect(HOSTILE);
        }
        let share = stream.unwrap_or_default().len().div_ceil(steps.len().max(1)).max(1);
        let mut hostile = stream.unwrap_or_default().chunks(share);
        for step in steps {
            self.step(*step);
            self.settle();
            if let Some(bytes) = hostile.next() {
                self.receive(bytes);
                self.settle();
            }
        }
        if stream.is_some() {
            self.host.disconnect(HOSTILE);
            self.settle();
        }
        let engine = self.host.engine();
        assert_eq!(engine.stats().peers, 1, "only the honest peer is left");
        let held = engine.held_bytes();
        (self.seen, held)
    }

    /// The honest peer or the local user does something.
    fn step(&mut self, [code, set]: [u8; 2]) {
        let blocks = Mask(set);
        let mut message = Message::default();
        let kind = if code & 8 == 0 { WantKind::Block } else { WantKind::Have };
        match code & 7 {
            0 => {
                // Nothing is too much for the default limits.
                let _ = self.host.want(self.session, blocks.cids());
                return;
            }
            1 => return self.host.cancel(self.session, blocks.cids()),
            2 | 3 => {
                let entry = |cid| Entry::want(cid, kind, 1, code & 16 != 0);
                message.wantlist.entries = blocks.cids().map(entry).collect();
            }
            4 => message.wantlist.entries = blocks.cids().map(Entry::cancel).collect(),
            5 => message.add_blocks(blocks.blocks().cloned()),
            6 => {
                let presence = |at| Presence { cid: cid(at), have: code & 8 != 0 };
                message.presences = blocks.places().map(presence).collect();
            }
            _ => return self.host.wait(Duration::from_millis(u64::from(set))),
        }
        self.host.receive(HONEST, message);
    }

    /// Bytes of the hostile peer. What breaks the format resets its stream.
    fn receive(&mut self, mut bytes: &[u8]) {
        loop {
            match self.hostile.next_frame() {
                Ok(Some(frame)) => match decode(&frame) {
                    Ok(decoded) => {
                        let mut message = decoded.message;
                        let mut payloads = decoded.payloads;
                        payloads.retain(|payload| self.filter.admit(&payload.prefix));
                        let blocks =
                            payloads.into_iter().filter_map(|payload| payload.verify().ok());
                        message.add_blocks(blocks);
                        self.host.receive(HOSTILE, message);
                    }
                    Err(_) => return self.hostile = FrameDecoder::default(),
                },
                Ok(None) if bytes.is_empty() => return,
                Ok(None) => {
                    let buffer = self.hostile.buffer_mut();
                    let (read, rest) = bytes.split_at(bytes.len().min(buffer.len()));
                    buffer[..read.len()].copy_from_slice(read);
                    self.hostile.advance(read.len());
                    bytes = rest;
                }
                Err(_) => return self.hostile = FrameDecoder::default(),
            }
        }
    }

    /// Takes all outputs, until there are none.
    fn settle(&mut self) {
        for output in self.host.drain() {
            match output {
                Output::Send(outgoing) if outgoing.peer == HONEST => {
                    self.seen.sent.push(outgoing.message);
                }
                Output::Send(outgoing) => self.filter.sent(&outgoing.message),
                Output::Event(Event::PeerDisconnected { .. }) => {}
                Output::Event(event) => self.seen.events.push(event),
                _ => {}
            }
        }
    }
}
