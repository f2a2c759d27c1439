//! What the checker knows of an engine from its inputs and outputs alone, and the rules it checks.
//!
//! The rules' names in the messages are those of the contract on the crate's front page.

mod needs;
mod peer_wants;
mod preferences;
mod proof;
mod record;
mod requests;
mod responses;
mod store_answers;
mod streams;
#[cfg(test)]
mod tests;
mod wants;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Debug, Write as _};

use cid::Cid;

use needs::Needs;
use preferences::Preferences;
pub(super) use record::{Cids, Record};
use requests::Requests;
use responses::Responses;
use streams::Streams;
use wants::Wants;

use bitswap_core::Block;
use bitswap_core::Config;
use bitswap_core::Engine;
use bitswap_core::Timestamp;
use bitswap_core::error::OpenError;
use bitswap_core::message::{Message, Version};
use bitswap_core::{Event, Outgoing, Output, ProtocolSupport, SessionId, StreamKind};

/// Lines of the log that a violation prints.
const LOG_LINES: usize = 60;

/// The result of a check: what is wrong, if something is.
pub(super) type Verdict = Result<(), String>;

/// Fails the check unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($what:tt)*) => {
        if !$holds {
            return Err(alloc::format!($($what)*));
        }
    };
}
pub(super) use ensure;

/// What the checker knows.
#[derive(Debug)]
pub(super) struct Model<P> {
    pub(super) now: Timestamp,
    log: VecDeque<(Timestamp, Record<P>)>,
    pub(super) wants: Wants<P>,
    pub(super) requests: Requests<P>,
    pub(super) responses: Responses<P>,
    pub(super) streams: Streams<P>,
    needs: Needs<P>,
    preferences: Preferences<P>,
    block_bytes_max: usize,
    sizes: Sizes,
    drains: u64,
}

/// The greatest sizes seen, to bound the memory by.
#[derive(Debug, Default)]
struct Sizes {
    peers: usize,
    wants: usize,
    sessions: usize,
}

impl<P: Copy + Ord + Debug> Model<P> {
    pub(super) fn new(config: &Config, now: Timestamp) -> Self {
        Self {
            now,
            log: VecDeque::new(),
            wants: Wants::default(),
            requests: Requests::new(config),
            responses: Responses::new(config),
            streams: Streams::new(config),
            needs: Needs::default(),
            preferences: Preferences::new(config),
            block_bytes_max: config.settings().block_bytes_max as usize,
            sizes: Sizes::default(),
            drains: 0,
        }
    }

    /// Writes an input down and moves the time.
    pub(super) fn input(&mut self, now: Timestamp, record: impl FnOnce() -> Record<P>) {
        self.now = self.now.max(now);
        self.wants.input();
        self.preferences.pass(self.wants.wants() > 0, self.now);
        self.write(record());
    }

    fn write(&mut self, record: Record<P>) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back((self.now, record));
    }

    pub(super) fn connected(&mut self, peer: P) {
        if self.streams.connected(peer) {
            self.requests.connected(peer);
            self.responses.connected(peer);
            self.needs.connected(peer);
            self.preferences.connected(peer);
            self.sizes.peers = self.sizes.peers.max(self.streams.peers());
        }
    }

    pub(super) fn disconnected(&mut self, peer: P) {
        self.streams.disconnected(peer);
        self.requests.disconnected(peer);
        self.responses.disconnected(peer);
        self.needs.disconnected(peer);
        self.preferences.disconnected(peer);
    }

    pub(super) fn received(&mut self, peer: P, message: &Message) {
        if !self.streams.is_connected(peer) {
            return;
        }
        let list = &message.wantlist;
        self.streams.message_received(peer, list.full || !list.entries.is_empty());
        self.responses.wanted(peer, &message.wantlist);
        for block in &message.blocks {
            if block.data().len() > self.block_bytes_max {
                let wanted = self.wants.is_wanted(block.cid());
                self.requests.answered(peer, block.cid(), false, wanted);
                self.preferences.lacks(peer, block.cid());
            } else {
                let wanted = self.wants.arrived(peer, block);
                self.requests.delivered(peer, block.cid(), wanted);
                if wanted && self.wants.wants() == 0 {
                    self.preferences.delivered_all(peer);
                }
            }
        }
        for presence in &message.presences {
            let wanted = self.wants.is_wanted(&presence.cid);
            self.requests.answered(peer, &presence.cid, presence.have, wanted);
            if !presence.have {
                self.preferences.lacks(peer, &presence.cid);
            }
        }
    }

    pub(super) fn support(&mut self, peer: P, support: ProtocolSupport) {
        self.streams.support(peer, support);
        if support == ProtocolSupport::No {
            self.preferences.lost(peer);
        }
    }

    /// A stream was opened, or could not be.
    pub(super) fn opened(
        &mut self,
        peer: P,
        stream: StreamKind,
        result: Result<Version, OpenError>,
    ) {
        self.streams.opened(peer, stream, result);
        match (stream, result) {
            (StreamKind::Responses, Ok(version)) => self.responses.opened(peer, version),
            (StreamKind::Requests, Err(_)) => self.preferences.lost(peer),
            _ => {}
        }
    }

    /// What was sent on a stream since it was opened may be lost.
    pub(super) fn lost(&mut self, peer: P, stream: StreamKind) {
        match stream {
            StreamKind::Requests => {
                self.requests.lost(peer);
                self.preferences.lost(peer);
            }
            StreamKind::Responses => self.responses.lost(peer, self.now),
        }
    }

    /// The session wants these.
    pub(super) fn want(&mut self, session: SessionId, cids: &[Cid]) {
        for cid in cids.iter().filter(|cid| !self.wants.is_wanted_by(session, cid)) {
            match self.wants.preferred(session).filter(|_| !self.wants.is_wanted(cid)) {
                Some(preferred) => {
                    let may_know = |peer| self.requests.may_know(peer, cid);
                    self.preferences.keep(*cid, preferred, may_know, self.now);
                }
                None => self.preferences.share(cid, self.now),
            }
        }
        self.wants.want(session, cids, self.now);
        self.wanted_sizes();
    }

    pub(super) fn wanted_sizes(&mut self) {
        self.sizes.wants = self.sizes.wants.max(self.wants.wants());
        self.sizes.sessions = self.sizes.sessions.max(self.wants.sessions());
    }

    /// Checks an output that was just polled. `timeout` is what `poll_timeout` returned before.
    pub(super) fn output(&mut self, output: &Output<P>, timeout: Option<Timestamp>) {
        self.write(Record::output(output));
        let verdict = self.ready(timeout).and_then(|()| self.judge(output));
        self.hold(verdict);
    }

    fn ready(&self, timeout: Option<Timestamp>) -> Verdict {
        ensure!(
            timeout.is_some_and(|at| at <= self.now),
            "contract 2: an output was ready but poll_timeout() was {timeout:?} at {:?}",
            self.now
        );
        Ok(())
    }

    fn judge(&mut self, output: &Output<P>) -> Verdict {
        match output {
            Output::Open { peer, stream } => self.streams.open(*peer, *stream),
            Output::Close { peer, stream } => self.streams.close(*peer, *stream),
            Output::Reset { peer, stream } => {
                self.streams.abort(*peer, *stream, self.now)?;
                self.responses.aborted(*peer, self.now)
            }
            Output::Send(sending) => self.send(sending),
            Output::Load(load) => {
                self.streams.expect_connected(load.peer)?;
                self.responses.load(load)
            }
            Output::FindProviders { id, session, cid } => {
                self.wants.search(*id, *session, cid)?;
                self.preferences.searched(cid)
            }
            Output::StopLookup { id } => self.wants.stop_search(*id),
            Output::KeepAlive { peer, needed } => self.needs.told(*peer, *needed),
            Output::Event(event) => self.event(event),
        }
    }

    fn send(&mut self, sending: &Outgoing<P>) -> Verdict {
        let Outgoing { id, peer, stream, version, message } = sending;
        self.streams.send(*id, *peer, *stream, *version, message, self.now)?;
        match stream {
            StreamKind::Requests => {
                ensure!(
                    message.blocks.is_empty() && message.presences.is_empty(),
                    "responses to {peer:?} went on the request stream"
                );
                let list = &message.wantlist;
                self.requests.send(*peer, *version, list, &self.wants, &self.preferences)
            }
            StreamKind::Responses => {
                ensure!(
                    message.wantlist.entries.is_empty() && !message.wantlist.full,
                    "requests went to {peer:?} on the response stream"
                );
                self.responses.send(*id, *peer, *version, message)
            }
        }
    }

    fn event(&mut self, event: &Event<P>) -> Verdict {
        match event {
            Event::Block { session, block, from } => self.wants.delivered(*session, block, *from),
            Event::Stored { session, cid } => self.wants.stored(*session, cid),
            Event::Failed { session, cid, reason } => {
                self.wants.failed(*session, cid, reason, self.now)
            }
            Event::PeerDisconnected { .. } => Ok(()),
            Event::Unreachable { peer, error } => self.streams.unreachable(*peer, *error),
            other => Err(format!("an event without a rule: {other:?}")),
        }
    }

    /// Checks the engine after it had no more outputs.
    pub(super) fn drained(&mut self, engine: &Engine<P>) {
        self.drains += 1;
        self.wants.resolve(|session, cid| engine.diagnose(session, cid).is_some());
        let verdict = self.at_rest(engine);
        self.hold(verdict);
        self.wants.drained();
    }

    fn at_rest(&self, engine: &Engine<P>) -> Verdict {
        let timeout = engine.poll_timeout();
        ensure!(
            timeout.is_none_or(|at| at > self.now || self.now == Timestamp::MAX),
            "contract 2: nothing is ready, but poll_timeout() is {:?} at {:?}",
            engine.poll_timeout_reason(),
            self.now
        );
        ensure!(
            self.wants.wants() == 0 || timeout.is_some() || self.now == Timestamp::MAX,
            "liveness: {} wants are live and no timer is set",
            self.wants.wants()
        );
        self.wants.settled()?;
        self.needs.at_rest(engine, self.drains)?;
        let stats = engine.stats();
        let seen =
            (self.wants.cids() as u32, self.wants.sessions() as u32, self.streams.peers() as u32);
        ensure!(
            seen == (stats.wants, stats.sessions, stats.peers),
            "the engine counts {:?} wants, sessions and peers, there are {seen:?}",
            (stats.wants, stats.sessions, stats.peers)
        );
        // What looks at all rows is costly.
        if stats.wants + stats.sent_wants + stats.ledger < 64 || self.drains.is_multiple_of(16) {
            let valid = engine.validate();
            ensure!(valid.is_ok(), "inside: {}", valid.err().unwrap_or_default());
        }
        if self.drains.is_multiple_of(16) {
            let bound = self.bytes_max();
            let held = engine.held_bytes();
            ensure!(held <= bound, "contract 8: {held} bytes are held, the limits allow {bound}");
        }
        Ok(())
    }

    /// The most that an engine with these limits may hold for what it was given so far.
    fn bytes_max(&self) -> u64 {
        let limits = self.streams.limits();
        let peers = self.sizes.peers as u64;
        let all = u64::from;
        let ledger = (peers * all(limits.ledger_per_peer)).min(all(limits.ledger));
        // A block of up to 4 MiB may be beyond each limit of the blocks.
        let responses = (peers * all(limits.response_bytes_per_peer).max(4 << 20))
            .min(all(limits.response_bytes) + (4 << 20));
        let sent = (peers * all(limits.sent_wants_per_peer)).min(all(limits.sent_wants));
        // A CID of 168 bytes and 160 for the row and its places in two indexes.
        (256 << 10)
            + peers * (16 << 10)
            + ledger * (160 + 168)
            + responses
            + sent * 64
            + self.sizes.wants as u64 * 300
            + self.sizes.sessions as u64 * 1024
            + self.wants.unreleased()
    }

    /// Wants of connected peers that should have been answered by now.
    pub(super) fn unanswered(&self) -> Vec<(P, Cid)> {
        let mut all = Vec::new();
        for (peer, version) in self.streams.answerable() {
            let cids = self.responses.unanswered(peer, version);
            all.extend(cids.into_iter().map(|cid| (peer, cid)));
        }
        all
    }

    /// The block is what its CID says.
    pub(super) fn trust(&mut self, block: &Block) {
        self.wants.trust(block);
    }

    /// Whether the session is one that the checker saw opened and not closed.
    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.wants.has_session(session)
    }

    /// The engine answered an input in a way that it must not.
    pub(super) fn hold(&self, verdict: Verdict) {
        if let Err(what) = verdict {
            let mut log = String::new();
            for (at, record) in &self.log {
                let _ = writeln!(log, "  {:>12} {record}", at.as_micros());
            }
            panic!("{what}\nthe last inputs (>) and outputs (<), in microseconds:\n{log}");
        }
    }
}
