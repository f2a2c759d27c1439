//! What the engine asks for is done.

use std::time::Duration;

use bitswap_core::{Output, SessionId, StreamKind};
use bitswap_testing::Checked;
use cid::Cid;

use super::{Host, shift};
use crate::counts::Delivered;
use crate::event::{Event, Outside};
use crate::node::Node;

impl Host {
    /// Does what the engine asks until it asks for nothing more.
    pub(crate) fn drain(&mut self, out: &mut Outside) {
        while let Some(output) = self.engine(Checked::poll_output) {
            match output {
                Output::Open { peer, stream: kind } => self.open(peer, kind, out),
                Output::Close { peer, stream: kind } => {
                    self.streams.remove(&(peer, kind));
                }
                Output::Reset { peer, stream: kind } => {
                    self.streams.remove(&(peer, kind));
                    self.sends.retain(|_, (to, on, _)| (*to, *on) != (peer, kind));
                    out.network.pipe(self.name, peer).cut(kind, out.now);
                    out.trace.note(out.now, || format!("{} resets {kind:?} to {peer}", self.name));
                }
                Output::Send(sending) => {
                    let kind = self.streams.get(&(sending.peer, sending.stream)).copied();
                    self.counts.sent(&sending.message, out.now);
                    if let Some(gate) = self.gates.get_mut(&sending.peer) {
                        gate.sent(&sending.message);
                    }
                    if sending.stream == StreamKind::Requests {
                        kind.map(|connection| self.spoke_on.insert(sending.peer, connection));
                    }
                    let taken = kind.and_then(|connection| {
                        self.sends.insert(sending.id, (sending.peer, sending.stream, connection));
                        out.send(
                            self.name,
                            sending.peer,
                            sending.stream,
                            sending.version,
                            connection,
                            sending.message,
                        )
                    });
                    // On a dead connection the answer is its end, when that is noticed.
                    if let Some((at, result)) = taken {
                        let (node, id) = (self.name, sending.id);
                        out.later(at, Event::Sent { node, id, result });
                    }
                }
                Output::Load(load) => {
                    let at = out.now + self.store.takes(&mut out.rng);
                    out.later(at, Event::Loaded { node: self.name, load });
                }
                Output::FindProviders { id, cid, .. } => {
                    self.counts.searches += 1;
                    out.trace.note(out.now, || {
                        format!("{} searches {:?}", self.name, out.block_set.number(&cid))
                    });
                    self.lookups.insert(id, cid);
                    let at = out.now + out.search_takes;
                    out.later(at, Event::Found { node: self.name, id, cid, last: false });
                }
                Output::StopLookup { id } => {
                    self.lookups.remove(&id);
                }
                // Connections end as the network says, whether they are needed or not.
                Output::KeepAlive { .. } => {}
                Output::Event(event) => self.event(event, out),
            }
        }
        self.arm(out);
    }

    fn open(&mut self, peer: Node, kind: StreamKind, out: &mut Outside) {
        let Some(connection) = self.connections.get(&peer).and_then(|all| all.first()).copied()
        else {
            return;
        };
        self.streams.insert((peer, kind), connection);
        self.opening.insert((peer, kind));
        let (at, result) = out.network.open(self.name, peer, out.now, &mut out.rng);
        let node = self.name;
        out.later(at, Event::Opened { node, peer, kind, connection, result });
    }

    fn event(&mut self, event: bitswap_core::Event<Node>, out: &mut Outside) {
        match event {
            bitswap_core::Event::Block { session, block, from } => {
                let bytes = block.data().len() as u64;
                self.counts.delivered.push(Delivered { at: out.now, from, bytes });
                if self.behavior.keeps_blocks
                    && let Some(number) = out.block_set.number(block.cid())
                    && !self.store.has(number)
                {
                    self.put(number, out);
                }
                self.take(session, bytes, out);
                self.ended(session, block.cid(), false, out);
            }
            bitswap_core::Event::Stored { session, cid } => self.ended(session, &cid, false, out),
            bitswap_core::Event::Failed { session, cid, reason } => {
                out.trace.note(out.now, || format!("{} failed: {reason:?}", self.name));
                self.ended(session, &cid, true, out);
            }
            bitswap_core::Event::PeerDisconnected { peer, history } => {
                self.histories.insert(peer, history);
            }
            other => out.trace.note(out.now, || format!("{}: {other:?}", self.name)),
        }
    }

    fn take(&mut self, session: SessionId, bytes: u64, out: &mut Outside) {
        let now = self.now(out);
        match self.behavior.disk {
            None => self.engine(|engine| engine.release_capacity(session, bytes, now)),
            Some(rate) => {
                let time = Duration::from_micros(bytes * 1_000_000 / rate.max(1));
                self.disk_free_at = self.disk_free_at.max(out.now) + time;
                let node = self.name;
                out.later(self.disk_free_at, Event::Taken { node, session, bytes });
            }
        }
    }

    fn ended(&mut self, session: SessionId, cid: &Cid, failed: bool, out: &Outside) {
        let Some(place) = self.sessions.get(&session).copied() else {
            return;
        };
        let fetch = &mut self.fetches[place];
        if failed {
            fetch.failed += 1;
        } else {
            fetch.blocks += 1;
        }
        if fetch.ended(cid, out.now) {
            self.next_round(place, out);
        }
    }

    /// Makes sure that a wake-up is in the queue no later than the engine's next deadline.
    pub(super) fn arm(&mut self, out: &mut Outside) {
        let Some(at) = self.engine.poll_timeout() else {
            return;
        };
        let at = shift(at, -self.behavior.clock_off);
        if self.armed.is_none_or(|before| at < before) {
            out.later(at, Event::Deadline { node: self.name });
            self.armed = Some(at);
        }
    }
}
