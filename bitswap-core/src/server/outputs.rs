//! What the server wants done, and when: the ready peers are looked at in turn, then memory is freed for those that
//! starve, then blocks are sent.

use core::time::Duration;

use crate::peer::Peer;
use crate::stats::TimerReason;
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::Ref;

use super::composer::Draft;
use super::loader::Load;
use super::{Output, Server, Settings, consistent};

impl Server {
    /// The next output that is due at `now`; runs timers that are due.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Output> {
        self.agenda.run_timers(now);
        self.relay(now);
        loop {
            while let Some(peer) = self.agenda.next() {
                if let Some(output) = self.visit(peer, now) {
                    self.agenda.touch(peer);
                    return Some(output);
                }
                self.set_timer(peer, now);
            }
            if let Some(peer) = self.memory.served_next() {
                self.refresh(peer);
                continue;
            }
            if !self.closing
                && let Some(peer) = self.memory.relieve(now)
            {
                if let Some(output) = self.take_memory(peer, now) {
                    return Some(output);
                }
                continue;
            }
            let output = self.send_blocks(now);
            if output.is_some() {
                return output;
            }
            if self.agenda.is_done() {
                return None;
            }
        }
    }

    /// The next moment at which something is due without any input.
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        let own = self.agenda.first_timer();
        let shared = self.scheduler.shared_opens_at().map(|at| (at, TimerReason::Throttle));
        let relief = self.memory.relief_at().filter(|_| !self.closing);
        let relief = relief.map(|at| (at, TimerReason::Starvation));
        let relayed = self.relays.first_due().map(|at| (at, TimerReason::Relay));
        own.into_iter().chain(shared).chain(relief).chain(relayed).min()
    }

    /// Looks at one ready peer: what it needs besides sending blocks, which has its own turns.
    fn visit(&mut self, peer: Ref<Peer>, now: Timestamp) -> Option<Output> {
        if self.closing {
            return self.close_idle(peer, Duration::ZERO, now);
        }
        self.memory.wake(peer, now);
        if self.has_pending(peer) {
            if self.peers.update(peer, |state| state.open(now)) == Some(true) {
                self.memory.expects(peer, now);
                return Some(Output::Open(peer));
            }
        } else if let Some(close) = self.close_idle(peer, self.settings.stream_idle, now) {
            return Some(close);
        }
        let stream = self.peers.stream(peer)?;
        let load = self.loader.start(peer, stream, &mut self.ledger, &mut self.memory, now);
        if let Some(Load { id, cids, kind }) = load {
            self.refresh(peer);
            return Some(Output::Load { id, peer, cids, kind });
        }
        if !self.has_room(peer) {
            return None;
        }
        let queue = self.ledger.queue(peer)?;
        let blocks = queue.has_blocks() && self.scheduler.may_send(peer, now);
        if blocks {
            self.scheduler.enqueue(peer);
        }
        // Presences go with the blocks when these go at once, and never wait for a rate limit.
        let together = blocks && !self.scheduler.has_shared_limit();
        if together || !queue.has_presences() {
            return None;
        }
        self.compose(peer, 0, now)
    }

    /// Sends blocks of the peer whose turn it is.
    fn send_blocks(&mut self, now: Timestamp) -> Option<Output> {
        while let Some(peer) = self.scheduler.next(now) {
            // Whatever ends this makes the peer ready, and so a sender.
            if !self.ledger.queue(peer)?.has_blocks() || !self.has_room(peer) {
                continue;
            }
            if let Some(target) = self.scheduler.begin_turn(peer)
                && let Some(output) = self.compose(peer, target, now)
            {
                return Some(output);
            }
        }
        None
    }

    /// Composes a message with blocks up to `target` bytes. The peer's stream has room for it.
    fn compose(&mut self, peer: Ref<Peer>, target: u64, now: Timestamp) -> Option<Output> {
        let stream = self.peers.stream(peer)?;
        let version = consistent(stream.version(), "a message is composed for a closed stream")?;
        let seq = stream.next_seq();
        let Some(draft) = Draft::compose(&mut self.ledger, peer, version, seq, target) else {
            self.refresh(peer);
            return None;
        };
        let bytes = draft.block_bytes();
        let (message, responses) = draft.finish(self.pending_bytes(peer));
        self.peers.update(peer, |state| state.send(bytes as u32, responses, now));
        if bytes > 0 {
            self.memory.expects(peer, now);
        }
        self.scheduler.sent(peer, bytes);
        self.peers.count(peer, |served| served.messages_sent += 1);
        self.refresh(peer);
        Some(Output::Send { peer, seq, version, message })
    }

    /// Takes all memory for blocks from a peer, and has it rest. Its stream is to be reset, if it has one. If not, what
    /// was sent on an earlier one is given back by the transport.
    fn take_memory(&mut self, peer: Ref<Peer>, now: Timestamp) -> Option<Output> {
        let messages = self.peers.update(peer, |state| state.abort()).flatten();
        let had_stream = messages.is_some();
        log!(debug, "a peer that reads slowly gives up the memory of its blocks", row = peer);
        self.memory.reset(peer, now);
        for message in messages.into_iter().flatten() {
            for sent in message.responses {
                self.ledger.send_failed(sent.want, sent.response, message.seq);
            }
        }
        if had_stream {
            self.ledger.put_back_unconfirmed(peer, now);
        }
        self.ledger.unload(peer);
        self.peers.count(peer, |served| served.slow_resets += 1);
        self.refresh(peer);
        had_stream.then_some(Output::Reset(peer))
    }

    fn close_idle(&mut self, peer: Ref<Peer>, idle: Duration, now: Timestamp) -> Option<Output> {
        let closes = self.peers.update(peer, |state| state.close_idle(idle, now))?;
        closes.then_some(Output::Close(peer))
    }

    /// Sets the peer's timer to the next moment at which it is to be looked at again.
    fn set_timer(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let due = self.next_timer(peer, now).filter(|_| !self.closing);
        self.agenda.set_timer(peer, due);
        // What was to be sent turned out to be impossible to send, and the stream was idle long enough before.
        if due.is_some_and(|(at, _)| at.is_due(now)) {
            self.agenda.touch(peer);
        }
    }

    fn next_timer(&mut self, peer: Ref<Peer>, now: Timestamp) -> Option<(Timestamp, TimerReason)> {
        let stream = self.peers.stream(peer)?;
        let own = if !self.has_pending(peer) {
            stream.idle_at(self.settings.stream_idle).map(|at| (at, TimerReason::StreamIdle))
        } else if let Some(at) = stream.retry_at() {
            Some((at, TimerReason::StreamRetry))
        } else if self.has_room(peer)
            && self.ledger.queue(peer)?.has_blocks()
            && !self.scheduler.may_send(peer, now)
        {
            self.scheduler.opens_at(peer).map(|at| (at, TimerReason::Throttle))
        } else {
            None
        };
        let rest = self.memory.rests_until(peer).map(|at| (at, TimerReason::Rest));
        own.into_iter().chain(rest).min()
    }

    /// There is, or most likely soon will be, something to send.
    fn has_pending(&self, peer: Ref<Peer>) -> bool {
        let Some(queue) = self.ledger.queue(peer) else { return false };
        let blocks = queue.has_blocks() || queue.has_data() || self.loader.reserved_bytes(peer) > 0;
        queue.has_presences() || (blocks && self.memory.rests_until(peer).is_none())
    }

    /// The peer's stream is open and takes another message.
    fn has_room(&self, peer: Ref<Peer>) -> bool {
        let Settings { messages_per_stream, stream_bytes, .. } = self.settings;
        self.peers
            .stream(peer)
            .is_some_and(|stream| stream.has_room(messages_per_stream, stream_bytes))
    }

    /// Bytes of blocks still waiting for a peer.
    fn pending_bytes(&self, peer: Ref<Peer>) -> i32 {
        let (estimate, reserved) = (self.loader.estimate(peer), self.loader.reserved_bytes(peer));
        let queued = self
            .ledger
            .queue(peer)
            .map_or(0, |queue| queue.loaded_bytes() + queue.to_load_bytes(estimate));
        i32::try_from(queued + reserved).unwrap_or(i32::MAX)
    }
}
