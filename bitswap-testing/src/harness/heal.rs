//! The end of every run: the world becomes whole, and everything must come to its end.

use super::*;

impl Harness {
    /// The world becomes whole: every request is answered, a peer that has everything connects.
    /// Checks that every want that may be asked of it ends, that every peer gets its answers, that
    /// rest follows, and that nothing is kept of what is gone.
    pub fn heal(mut self) {
        self.engine.set_rates(Rates::default(), self.now);
        self.settle(|_| false);
        self.versions.insert(HONEST, Version::V1_2);
        self.engine.handle_connected(HONEST, None, self.now);
        let limit = self.now + HEALED_WITHIN;
        self.settle(move |harness| harness.waiting() == 0 || harness.now > limit);
        let waiting = self.waiting();
        self.engine.require(waiting == 0, || {
            format!("liveness: {waiting} wants are live although a peer has all their blocks")
        });
        // Streams that failed to open are tried again by then.
        let later = self.now + Duration::from_secs(60);
        self.settle(move |harness| harness.now > later);
        let unanswered = self.engine.unanswered();
        let roomy = self.config.settings().limits.ledger_per_peer as usize >= SIZES.len()
            && self.config.settings().limits.ledger as usize
                >= SIZES.len() * usize::from(PEERS + 1);
        self.engine.require(unanswered.is_empty() || !roomy, || {
            format!("liveness: these wants of peers have no answer: {unanswered:?}")
        });
        for session in self.sessions.into_iter().flatten() {
            self.engine.close_session(session, self.now);
        }
        let rest = self.now + Duration::from_secs(120);
        self.settle(move |harness| harness.now > rest);
        let timeout = self.engine.poll_timeout();
        self.engine.require(timeout.is_none(), || {
            format!("liveness: nothing is wanted, but a timer is set for {timeout:?}")
        });
        for peer in (0..PEERS).chain([HONEST]) {
            self.engine.handle_disconnected(peer, self.now);
        }
        self.drain();
        let fresh = Engine::<u8>::new(self.config.clone(), self.seed, self.now);
        let (held, new) = (self.engine().stats().held_bytes, fresh.stats().held_bytes);
        self.engine.require(held == new, || {
            format!("contract 8: {held} bytes are held for nobody, a new engine holds {new}")
        });
    }

    /// Wants that the honest peer may be asked for.
    fn waiting(&self) -> usize {
        self.engine.waiting_for(HONEST)
    }

    /// Answers every request truly, and lets time pass when there is none, until `done` or until
    /// the engine waits for nothing.
    fn settle(&mut self, done: impl Fn(&Self) -> bool) {
        for round in 0..200_000 {
            self.drain();
            self.engine.require(round < 199_999, || "the engine does not come to rest".into());
            if self.answer_all() {
                continue;
            }
            if done(self) || self.engine.poll_timeout().is_none() {
                return;
            }
            // Without the honest peer there may be nothing that ends a want: one round is enough.
            if !self.versions.contains_key(&HONEST) {
                return;
            }
            self.reach_deadline();
        }
    }

    /// Answers every outstanding request. False when there was none.
    fn answer_all(&mut self) -> bool {
        let mut any = false;
        while let Some((peer, stream)) = self.opens.pop_front() {
            self.opened(peer, stream, Opened::Yes);
            any = true;
        }
        while let Some(id) = self.sends.pop_front() {
            self.engine.handle_sent(id, Ok(()), self.now);
            any = true;
        }
        while !self.loads.is_empty() {
            self.loaded(0, LoadOp::True, true);
            any = true;
        }
        while !self.searches.is_empty() {
            self.found(0, &[], true);
            any = true;
        }
        for (session, bytes) in core::mem::take(&mut self.unreleased) {
            self.engine.release_capacity(session, bytes, self.now);
            any = true;
        }
        let asked = core::mem::take(&mut self.asked);
        if !asked.is_empty() {
            let blocks = asked.iter().filter_map(|entry| {
                self.blocks.iter().find(|block| *block.cid() == entry.cid).cloned()
            });
            let message = Message { blocks: blocks.collect(), ..Message::default() };
            self.engine.handle_message(HONEST, message, self.now);
            any = true;
        }
        any
    }
}
