//! An engine, a host that does what operations say, and peers that say what operations say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::message::Entry;
use bitswap_testing::Checked;
use bitswap_core::{
    BlockInfo, Event, Load, LoadAnswer, LoadKind, Loaded, LookupId, Message, Outgoing, Output,
    PeerHistory, Presence, ProviderProgress, Rates, SendId, SessionId, StreamKind, Timestamp,
    Version, Want,
};
use bytes::Bytes;

use super::requests::Requests;
use super::setup::session_options;
use super::{Between, Call, Mask, Model, Op, Peer, Reply, Setup, apply, block, blocks, cid};

/// Outputs of one drain at most: a few per peer and want.
const OUTPUTS_MAX: usize = 20_000;

/// An engine and all around it.
pub struct World<'a> {
    engine: Checked<Peer>,
    between: &'a mut dyn Between,
    model: Model,
    now: Timestamp,
    sessions: Vec<SessionId>,
    sends: Requests<Outgoing<Peer>>,
    loads: Requests<Load<Peer>>,
    searches: Requests<LookupId>,
    opens: Vec<(Peer, StreamKind)>,
    connected: BTreeSet<Peer>,
    /// Delivered bytes that were not taken.
    unreleased: BTreeMap<SessionId, u64>,
    /// A message that goes on.
    draft: Option<(Peer, Message)>,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> World<'a> {
    /// A world with nobody in it but the engine.
    pub fn new(setup: &Setup, between: &'a mut dyn Between) -> Self {
        Self {
            engine: Checked::new(setup.config.clone(), setup.seed, setup.start),
            between,
            model: Model::default(),
            now: setup.start,
            sessions: Vec::new(),
            sends: Requests::new(),
            loads: Requests::new(),
            searches: Requests::new(),
            opens: Vec::new(),
            connected: BTreeSet::new(),
            unreleased: BTreeMap::new(),
            draft: None,
        }
    }

    /// The engine under watch.
    #[must_use]
    pub const fn engine(&self) -> &Checked<Peer> {
        &self.engine
    }

    /// What local users wait for.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Does an operation. The outputs stay with the engine until [`World::drain`].
    pub fn step(&mut self, op: Op) {
        match op {
            Op::Wants { .. } | Op::Blocks { .. } | Op::Presences { .. } => {}
            _ => self.flush(),
        }
        match op {
            Op::Connect { peer, history } => self.connect(peer, history),
            Op::Disconnect { peer } => self.disconnect(peer),
            Op::Support { peer, support } => self.call(Call::Support { peer, support }),
            Op::Open { peer, kind, result } => {
                self.opens.retain(|open| *open != (peer, kind));
                self.call(Call::Open { peer, kind, result });
            }
            Op::Sent { nth, result } => {
                if let Some(id) = self.sends.nth(nth).map(|sending| sending.id) {
                    self.sends.answer(|sending| sending.id == id);
                    self.call(Call::Sent { id, result });
                }
            }
            Op::Reset { peer, kind } => self.call(Call::Reset { peer, kind }),
            Op::Wants { peer, cids, kind, cancel, dont_have, full, more, priority } => {
                let list = &mut self.draft(peer).wantlist;
                list.full |= full;
                for at in cids.places() {
                    let mut entry = Entry::want(cid(at), kind, priority, dont_have);
                    entry.cancel = cancel;
                    if list.entries.iter().all(|other| other.cid != entry.cid) {
                        list.entries.push(entry);
                    }
                }
                self.flush_unless(more);
            }
            Op::Blocks { peer, cids, more } => {
                self.draft(peer).add_blocks(cids.places().map(|at| block(at).clone()));
                self.flush_unless(more);
            }
            Op::Presences { peer, cids, have, more } => {
                let message = self.draft(peer);
                for at in cids.places() {
                    let cid = cid(at);
                    let known = message.presences.iter().any(|presence| presence.cid == cid)
                        || message.blocks.iter().any(|block| *block.cid() == cid);
                    if !known {
                        message.presences.push(Presence { cid, have });
                    }
                }
                self.flush_unless(more);
            }
            Op::Load { nth, cids, have, failed } => {
                if let Some(load) = self.loads.nth(nth).cloned() {
                    self.answer_load(&load, cids, have, failed);
                }
            }
            Op::Providers { nth, peers, progress } => {
                if let Some(id) = self.searches.nth(nth).copied() {
                    if progress == ProviderProgress::Final {
                        self.searches.answer(|search| *search == id);
                    }
                    let peers = peers.places().map(|at| at as Peer).collect();
                    self.call(Call::Providers { id, peers, progress });
                }
            }
            Op::Session { only, style } => {
                self.call(Call::OpenSession { options: session_options(only, style) });
            }
            Op::Close { nth } => self.in_session(nth, |session| Call::CloseSession { session }),
            Op::Want { nth, cids, priority, sized } => {
                let size = |at| sized.then(|| block(at).data().len() as u32);
                let wants = cids.places().map(|at| Want { cid: cid(at), priority, size: size(at) });
                self.in_session(nth, |session| Call::Want { session, wants: wants.collect() });
            }
            Op::Cancel { nth, cids } => {
                let cids = cids.places().map(cid).collect();
                self.in_session(nth, |session| Call::Cancel { session, cids });
            }
            Op::Taken { nth, bytes } => {
                self.in_session(nth, |session| Call::Taken { session, bytes });
            }
            Op::Announce { cids } => {
                let info = |at| BlockInfo { cid: cid(at), size: block(at).data().len() as u32 };
                self.call(Call::Announce { blocks: cids.places().map(info).collect() });
            }
            Op::Rates { upload, download } => {
                let rate = |rate: u64| (rate > 0).then_some(rate);
                let rates = Rates {
                    upload: rate(upload),
                    upload_per_peer: rate(upload),
                    download: rate(download),
                };
                self.call(Call::SetRates { rates });
            }
            Op::Wait { micros } => {
                self.now = self.now + Duration::from_micros(micros);
                self.call(Call::Timeout);
            }
            Op::Due => self.wait_until_due(),
            Op::Settle { have } => self.settle(have),
            Op::Shutdown => self.call(Call::Shutdown),
        }
    }

    /// Makes a call of this world's engine.
    pub fn call(&mut self, call: Call) {
        let reply = match self.between.call(call.clone()) {
            Some(call) => apply(&mut self.engine, call, self.now),
            None => Reply::None,
        };
        self.model.call(&call, reply);
        match (call, reply) {
            (_, Reply::Session(Ok(session))) => self.sessions.push(session),
            (Call::Taken { session, bytes }, _) => {
                if let Some(unreleased) = self.unreleased.get_mut(&session) {
                    *unreleased = unreleased.saturating_sub(bytes);
                }
            }
            _ => {}
        }
    }

    /// A peer connects.
    pub fn connect(&mut self, peer: Peer, history: bool) {
        let history = history.then_some(PeerHistory {
            latency: Duration::from_millis(u64::from(peer)),
            throughput: 1000,
            blocks: 3,
            timeouts: 1,
        });
        self.connected.insert(peer);
        self.call(Call::Connected { peer, history });
    }

    /// A peer's last connection closes.
    pub fn disconnect(&mut self, peer: Peer) {
        self.connected.remove(&peer);
        self.opens.retain(|(other, _)| *other != peer);
        self.call(Call::Disconnected { peer });
    }

    /// All peers leave.
    pub fn disconnect_all(&mut self) {
        for peer in self.connected.clone() {
            self.disconnect(peer);
        }
    }

    /// All sessions close.
    pub fn close_all(&mut self) {
        for session in std::mem::take(&mut self.sessions) {
            self.call(Call::CloseSession { session });
        }
    }

    /// The user takes all that was delivered.
    pub fn take_all(&mut self) {
        for (session, bytes) in std::mem::take(&mut self.unreleased) {
            if bytes > 0 {
                self.call(Call::Taken { session, bytes });
            }
        }
    }

    /// Sends the message that is being composed.
    pub fn flush(&mut self) {
        if let Some((peer, message)) = self.draft.take() {
            self.call(Call::Message { peer, message });
        }
    }

    fn flush_unless(&mut self, more: bool) {
        if !more {
            self.flush();
        }
    }

    /// The message of a peer that is being composed.
    fn draft(&mut self, peer: Peer) -> &mut Message {
        if self.draft.as_ref().is_some_and(|(other, _)| *other != peer) {
            self.flush();
        }
        &mut self.draft.get_or_insert_with(|| (peer, Message::default())).1
    }

    fn in_session(&mut self, nth: u8, call: impl FnOnce(SessionId) -> Call) {
        if let Some(at) = usize::from(nth).checked_rem(self.sessions.len()) {
            self.call(call(self.sessions[at]));
        }
    }

    /// Lets time pass to when the engine wants to be called.
    pub fn wait_until_due(&mut self) {
        if let Some(due) = self.engine.poll_timeout() {
            self.now = self.now.max(due);
            self.call(Call::Timeout);
        }
    }

    /// Takes all outputs. What was sent on the wants streams is returned.
    ///
    /// # Panics
    ///
    /// When the outputs have no end.
    pub fn drain(&mut self) -> Vec<Outgoing<Peer>> {
        let mut sent = Vec::new();
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.engine.poll_output() else {
                let engine = self.engine.engine();
                self.model.rest(|session, cid| engine.diagnose(session, cid).is_some());
                return sent;
            };
            for output in self.between.output(output) {
                self.model.output(&output);
                self.note(output, &mut sent);
            }
        }
        panic!("the outputs of one drain have no end");
    }

    fn note(&mut self, output: Output<Peer>, sent: &mut Vec<Outgoing<Peer>>) {
        match output {
            Output::Open { peer, stream: kind } => self.opens.push((peer, kind)),
            Output::Send(sending) => {
                self.sends.open.push(sending.clone());
                sent.push(sending);
            }
            Output::Load(load) => self.loads.open.push(load),
            Output::FindProviders { id, .. } => self.searches.open.push(id),
            Output::StopLookup { id } => self.searches.answer(|search| *search == id),
            Output::Event(Event::Block { session, block, .. }) => {
                *self.unreleased.entry(session).or_default() += block.data().len() as u64;
            }
            // What was sent is answered all the same, late: the engine must not mind.
            Output::Close { .. } | Output::Reset { .. } | Output::Event(_) => {}
        }
    }

    fn answer_load(&mut self, load: &Load<Peer>, cids: Mask, have: Mask, failed: bool) {
        let mut answers = Vec::new();
        let mut left = false;
        for cid in &load.cids {
            let at = blocks().iter().position(|block| block.cid() == cid);
            let Some(at) = at.filter(|at| cids.has(*at)) else {
                left = true;
                continue;
            };
            let data = block(at).data();
            let answer = match load.kind {
                _ if !have.has(at) && failed => LoadAnswer::Failed,
                _ if !have.has(at) => LoadAnswer::NotFound,
                LoadKind::Size => LoadAnswer::Size(data.len() as u32),
                LoadKind::Data => LoadAnswer::Data(Bytes::clone(data)),
            };
            answers.push(Loaded { cid: *cid, answer });
        }
        if !left {
            let id = load.id;
            self.loads.answer(|load| load.id == id);
        }
        self.call(Call::Load { id: load.id, answers });
    }

    /// Answers everything that waits, once. Whether something did.
    pub fn answer_all(&mut self, have: Mask) -> bool {
        let mut any = false;
        for (peer, kind) in std::mem::take(&mut self.opens) {
            any = true;
            self.call(Call::Open { peer, kind, result: Ok(Version::V1_2) });
        }
        let sends: Vec<SendId> = self.sends.open.iter().map(|sending| sending.id).collect();
        for id in sends {
            any = true;
            self.sends.answer(|sending| sending.id == id);
            self.call(Call::Sent { id, result: Ok(()) });
        }
        for load in self.loads.open.clone() {
            any = true;
            self.answer_load(&load, Mask(0xff), have, false);
        }
        for id in self.searches.open.clone() {
            any = true;
            self.searches.answer(|search| *search == id);
            self.call(Call::Providers { id, peers: Vec::new(), progress: ProviderProgress::Final });
        }
        any
    }

    fn settle(&mut self, have: Mask) {
        for _ in 0..100 {
            self.drain();
            if !self.answer_all(have) {
                break;
            }
        }
    }
}
