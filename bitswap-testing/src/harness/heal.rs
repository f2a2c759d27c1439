//! The end of every run: peers that answer, and everything must come to its end.

use core::time::Duration;

use alloc::format;
use alloc::vec::Vec;

use bitswap_core::{Engine, Message, Rates, Timestamp};
use cid::Cid;

use super::{Harness, PEERS, SIZES};
use crate::{Call, Interceptor};

/// A peer that no operation names.
const HONEST: u8 = 100;
/// Virtual time in which everything must have ended once an honest peer is there. The longest
/// deadline is 7 s and doubles with each peer that was silent, searches back off further.
const HEALED_WITHIN: Duration = Duration::from_secs(600);
/// The same when all peers are honest.
const HEALED_AMONG_HONEST_WITHIN: Duration = Duration::from_secs(120);
/// Streams that failed to open are tried again by then.
const STREAMS_REST_MAX: Duration = Duration::from_secs(60);
/// The engine sets no timer any more after this time without wants.
const IDLE_WITHIN: Duration = Duration::from_secs(120);
/// Time that must be left on the clock to see how wants end.
const CLOCK_LEFT: Duration = Duration::from_secs(3600);

impl<I: Interceptor<u8>> Harness<I> {
    /// Every request is answered, and a peer that has all blocks connects beside those that are there.
    /// Checks that every want that may be asked of it ends, that every peer gets its answers, that the engine
    /// comes to rest, and that nothing is kept of what is gone. The transcript of it all.
    pub fn heal(mut self) -> u64 {
        self.lift_rates();
        self.run_until(|_| true);
        self.recover([HONEST].into(), HEALED_WITHIN);
        self.leave()
    }

    /// The same with honest peers in place of all others.
    pub fn heal_among_honest_peers(mut self) -> u64 {
        self.drain();
        (0..PEERS).for_each(|peer| self.disconnect(peer));
        self.lift_rates();
        self.recover((0..PEERS).collect(), HEALED_AMONG_HONEST_WITHIN);
        self.leave()
    }

    fn lift_rates(&mut self) {
        self.host.set_rates(Rates::default());
        for session in self.sessions.clone() {
            self.host.set_session_rate(session, None);
        }
    }

    /// Honest peers connect: all that they may be asked for ends in time.
    fn recover(&mut self, honest: Vec<u8>, within: Duration) {
        for peer in &honest {
            self.host.connect(*peer);
        }
        self.honest = honest;
        if self.host.now + CLOCK_LEFT == Timestamp::MAX {
            return;
        }
        let limit = self.host.now + within;
        self.run_until(|harness| harness.waiting() == 0 || harness.host.now > limit);
        let waiting = self.waiting();
        self.host.checked().require(waiting == 0, || {
            format!("liveness: {waiting} wants are live although a peer has all their blocks")
        });
        let later = self.host.now + STREAMS_REST_MAX;
        self.run_until(|harness| harness.host.now > later);
        let unanswered = self.host.checked().unanswered();
        let limits = self.config.settings().limits;
        let roomy = limits.ledger_per_peer as usize >= SIZES.len()
            && limits.ledger as usize >= SIZES.len() * usize::from(PEERS + 1);
        self.host.checked().require(unanswered.is_empty() || !roomy, || {
            format!("liveness: these wants of peers have no answer: {unanswered:?}")
        });
        self.close_sessions();
        let idle = self.host.now + IDLE_WITHIN;
        self.run_until(|harness| harness.host.now > idle);
        let timeout = self.engine().poll_timeout();
        self.host.checked().require(timeout.is_none(), || {
            format!("liveness: nothing is wanted, but a timer is set for {timeout:?}")
        });
    }

    /// Everybody leaves: the engine holds nothing for anybody.
    fn leave(mut self) -> u64 {
        self.close_sessions();
        for peer in (0..PEERS).chain([HONEST]) {
            self.host.disconnect(peer);
        }
        self.drain();
        let stats = self.engine().stats();
        let left = (stats.peers, stats.sessions, stats.wants, stats.sent_wants, stats.ledger);
        self.host.checked().require(left == (0, 0, 0, 0, 0), || {
            format!("contract 8: peers, sessions, wants, sent wants and ledger are left: {left:?}")
        });
        let fresh = Engine::<u8>::new(self.config.clone(), self.seed, self.host.now);
        let (held, new) = (self.engine().held_bytes(), fresh.held_bytes());
        self.host.checked().require(held == new, || {
            format!("contract 8: {held} bytes are held for nobody, a new engine holds {new}")
        });
        self.transcript()
    }

    fn close_sessions(&mut self) {
        for session in core::mem::take(&mut self.sessions) {
            self.host.close_session(session);
        }
    }

    /// Wants that honest peers may be asked for.
    fn waiting(&self) -> usize {
        self.honest.iter().map(|peer| self.host.checked().waiting_for(*peer)).sum()
    }

    /// Answers every request truly, and lets time pass when there is none, until `done` or until
    /// the engine waits for nothing.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for round in 0..200_000 {
            self.drain();
            let is_bounded = round < 199_999;
            self.host.checked().require(is_bounded, || "the engine does not come to rest".into());
            if self.host.answer_all() | self.answer_wants() {
                continue;
            }
            if done(self) || !self.host.wait_until_due() {
                return;
            }
        }
    }

    /// Honest peers send what they were asked for. Whether there was something.
    fn answer_wants(&mut self) -> bool {
        let asked = core::mem::take(&mut self.asked);
        for peer in self.honest.clone() {
            let wanted = |cid: &Cid| asked.iter().any(|(of, asked)| (*of, asked) == (peer, cid));
            let blocks = self.blocks.iter().filter(|block| wanted(block.cid()));
            let blocks: Vec<_> = blocks.cloned().collect();
            if !blocks.is_empty() {
                let message = Message { blocks, ..Message::default() };
                self.host.call(Call::HandleMessage { peer, message });
            }
        }
        !asked.is_empty()
    }
}
