//! `hostile_frames`: one peer sends any bytes at all; what an honest peer and the local user see is
//! the same as without it, and nothing of it is left when it is gone.
//!
//! Input: the seed (1 byte), the number of honest steps (1), the steps (2 each), then the hostile
//! peer's stream.

use std::time::Duration;

use bitswap_core::message::{Entry, FrameDecoder, Message, PayloadFilter, Presence, decode};
use bitswap_testing::Checked;
use bitswap_core::{
    Config, Event, Output, PeerSet, ProviderProgress, SessionId, SessionOptions, Timestamp,
    Version, Want, WantKind,
};
use bytes::Bytes;

use crate::Input;
use crate::engine::{
    Between, Call, Mask, Model, Peer, Reply, Untouched, apply, block, blocks, cid,
};

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
    check(data, &mut Untouched);
}

/// Runs the target with something between the engine and its host.
///
/// # Panics
///
/// When the hostile peer makes a difference to anybody but itself.
pub fn check(data: &[u8], between: &mut dyn Between) {
    let mut input = Input::new(data);
    let seed = input.byte();
    let steps = input.byte() & 31;
    let steps: Vec<[u8; 2]> = (0..steps).map(|_| input.array()).collect();
    let stream = input.rest();
    let (without, held_without) = Host::new(seed, &mut Untouched).play(&steps, None);
    let (with, held_with) = Host::new(seed, between).play(&steps, Some(stream));
    assert_eq!(with, without, "with the hostile peer and without it");
    assert!(held_with <= held_without, "{held_with} bytes are held, {held_without} without it");
}

/// A host that answers at once, with a store that has every other block.
struct Host<'a> {
    engine: Checked<Peer>,
    between: &'a mut dyn Between,
    model: Model,
    session: Option<SessionId>,
    now: Timestamp,
    filter: PayloadFilter,
    hostile: FrameDecoder,
    seen: Seen,
}

impl<'a> Host<'a> {
    fn new(seed: u8, between: &'a mut dyn Between) -> Self {
        Self {
            engine: Checked::new(Config::default(), [seed; 32], Timestamp::ZERO),
            between,
            model: Model::default(),
            session: None,
            now: Timestamp::ZERO,
            filter: PayloadFilter::new(),
            hostile: FrameDecoder::default(),
            seen: Seen::default(),
        }
    }

    /// What was seen, and the bytes held once the hostile peer is gone.
    fn play(mut self, steps: &[[u8; 2]], stream: Option<&[u8]>) -> (Seen, u64) {
        let peers = PeerSet::Only(vec![HONEST]);
        self.call(Call::OpenSession { options: SessionOptions { peers, ..Default::default() } });
        self.call(Call::Connected { peer: HONEST, history: None });
        if stream.is_some() {
            self.call(Call::Connected { peer: HOSTILE, history: None });
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
            self.call(Call::Disconnected { peer: HOSTILE });
            self.settle();
        }
        let stats = self.engine.engine().stats();
        assert_eq!(stats.peers, 1, "only the honest peer is left");
        (self.seen, stats.held_bytes)
    }

    fn call(&mut self, call: Call) {
        let reply = match self.between.call(call.clone()) {
            Some(call) => apply(&mut self.engine, call, self.now),
            None => Reply::None,
        };
        self.model.call(&call, reply);
        if let Reply::Session(Ok(session)) = reply {
            self.session = Some(session);
        }
    }

    /// The honest peer or the local user does something.
    fn step(&mut self, [code, cids]: [u8; 2]) {
        let cids = Mask(cids);
        let mut message = Message::default();
        let kind = if code & 8 == 0 { WantKind::Block } else { WantKind::Have };
        match (code & 7, self.session) {
            (0, Some(session)) => {
                let wants = cids.places().map(|at| Want::from(cid(at))).collect();
                return self.call(Call::Want { session, wants });
            }
            (1, Some(session)) => {
                return self.call(Call::Cancel { session, cids: cids.places().map(cid).collect() });
            }
            (2 | 3, _) => {
                let entry = |at| Entry::want(cid(at), kind, 1, code & 16 != 0);
                message.wantlist.entries = cids.places().map(entry).collect();
            }
            (4, _) => {
                message.wantlist.entries = cids.places().map(|at| Entry::cancel(cid(at))).collect();
            }
            (5, _) => message.add_blocks(cids.places().map(|at| block(at).clone())),
            (6, _) => {
                let presence = |at| Presence { cid: cid(at), have: code & 8 != 0 };
                message.presences = cids.places().map(presence).collect();
            }
            _ => {
                self.now = self.now + Duration::from_millis(u64::from(cids.0));
                return self.call(Call::Timeout);
            }
        }
        self.call(Call::Message { peer: HONEST, message });
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
                        self.call(Call::Message { peer: HOSTILE, message });
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

    /// Answers all that the engine asks, as often as it asks.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.engine.poll_output() else {
                let engine = self.engine.engine();
                self.model.rest(|session, cid| engine.diagnose(session, cid).is_some());
                return;
            };
            for output in self.between.output(output) {
                self.model.output(&output);
                self.answer(output);
            }
        }
        panic!("the engine's requests have no end");
    }

    fn answer(&mut self, output: Output<Peer>) {
        match output {
            Output::Open { peer, stream: kind } => {
                self.call(Call::Open { peer, kind, result: Ok(Version::V1_2) });
            }
            Output::Send(sending) => {
                if sending.peer == HONEST {
                    self.seen.sent.push(sending.message);
                } else {
                    self.filter.sent(&sending.message);
                }
                self.call(Call::Sent { id: sending.id, result: Ok(()) });
            }
            Output::Load(load) => {
                let answers = load.answers(stored);
                self.call(Call::Load { id: load.id, answers });
            }
            Output::FindProviders { id, .. } => {
                self.call(Call::Providers {
                    id,
                    peers: Vec::new(),
                    progress: ProviderProgress::Final,
                });
            }
            Output::Event(Event::PeerDisconnected { .. }) => {}
            Output::Event(event) => {
                if let Event::Block { session, block, .. } = &event {
                    let bytes = block.data().len() as u64;
                    self.call(Call::Taken { session: *session, bytes });
                }
                self.seen.events.push(event);
            }
            Output::Close { .. } | Output::Reset { .. } | Output::StopLookup { .. } => {}
        }
    }
}

/// A store that has every other block.
fn stored(cid: &cid::Cid) -> Option<Bytes> {
    let at = blocks().iter().position(|block| block.cid() == cid)?;
    (at % 2 == 0).then(|| Bytes::clone(block(at).data()))
}
