//! Two sides and what connects them.

use std::time::Duration;

use bitswap_core::error::OpenError;
use bitswap_core::{Timestamp, Version};
use cid::Cid;

use super::side::Side;
use crate::engine::{Between, Call, Mask, Untouched, blocks};

/// The two engines, the streams between them, and the time.
pub(super) struct Link<'a> {
    sides: [Side; 2],
    between: &'a mut dyn Between,
    now: Timestamp,
    /// The connection is there, for those who have not noticed otherwise.
    up: bool,
    /// Something was negotiated with which not all can be said.
    hampered: bool,
}

/// A side, what is between it and its host, and the time.
macro_rules! on {
    ($link:expr, $side:expr, $method:ident ( $($argument:expr),* )) => {{
        let between: &mut dyn Between =
            if $side == 0 { &mut *$link.between } else { &mut Untouched };
        $link.sides[$side].$method($($argument,)* $link.now, between)
    }};
}

impl<'a> Link<'a> {
    pub(super) fn new(seeds: [u8; 2], between: &'a mut dyn Between) -> Self {
        let sides = [Side::new(seeds[0], 1, between), Side::new(seeds[1], 0, &mut Untouched)];
        Self { sides, between, now: Timestamp::ZERO, up: false, hampered: false }
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Both sides see one connection, whatever was before.
    pub(super) fn connect(&mut self) {
        if self.up {
            return;
        }
        for side in 0..2 {
            on!(self, side, lost());
            self.sides[side].connected = true;
            let peer = self.sides[side].other;
            on!(self, side, call(Call::Connected { peer, history: None }));
        }
        (self.up, self.hampered) = (true, false);
    }

    /// The connection is gone; this side notices, the other one does when they connect again.
    pub(super) fn lose(&mut self, side: usize) {
        on!(self, side, lost());
        self.up = false;
    }

    pub(super) fn reset(&mut self, side: usize, kind: usize) {
        on!(self, side, reset(kind));
    }

    pub(super) fn want(&mut self, side: usize, cids: Mask) {
        on!(self, side, want(cids));
    }

    pub(super) fn cancel(&mut self, side: usize, cids: Mask) {
        on!(self, side, cancel(cids));
    }

    pub(super) fn store(&mut self, side: usize, cids: Mask) {
        on!(self, side, store(cids));
    }

    pub(super) fn open(&mut self, side: usize, kind: usize, result: Result<Version, OpenError>) {
        if self.sides[side].opening[kind] {
            let refused = result == Err(OpenError::Unsupported);
            self.hampered |= refused || result.is_ok_and(|version| version != Version::V1_2);
            on!(self, side, opened(kind, result));
        }
    }

    pub(super) fn write(&mut self, side: usize, kind: usize, bytes: usize) {
        on!(self, side, write(kind, bytes));
    }

    /// Up to this many bytes of a side's stream reach the other. A connection that is gone swallows
    /// them.
    pub(super) fn deliver(&mut self, side: usize, kind: usize, mut bytes: usize) {
        let other = 1 - side;
        while let Some(stream) = &mut self.sides[side].streams[kind] {
            if !self.up {
                stream.wire.clear();
                return;
            }
            if let Some(frame) = stream.decoder.next_frame().expect("frames of an engine") {
                on!(self, other, receive(&frame)).expect("a message of an engine");
                continue;
            }
            let to = stream.decoder.buffer_mut();
            let some = bytes.min(stream.wire.len()).min(to.len());
            if some == 0 {
                return;
            }
            for (to, byte) in to.iter_mut().zip(stream.wire.drain(..some)) {
                *to = byte;
            }
            stream.decoder.advance(some);
            bytes -= some;
        }
    }

    pub(super) fn load(&mut self, side: usize) {
        on!(self, side, load());
    }

    pub(super) fn drain(&mut self) {
        for side in 0..2 {
            on!(self, side, drain());
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        for side in 0..2 {
            on!(self, side, call(Call::Timeout));
        }
    }

    /// Something happens without any input.
    pub(super) fn is_timed(&self) -> bool {
        self.sides.iter().any(|side| side.engine().poll_timeout().is_some())
    }

    pub(super) fn wait_until_due(&mut self) {
        let due = self.sides.iter().filter_map(|side| side.engine().poll_timeout()).min();
        self.now = self.now.max(due.unwrap_or_default());
        self.wait(Duration::ZERO);
    }

    /// Opens, writes, delivers and loads all that waits. Whether nothing did.
    pub(super) fn calm(&mut self) -> bool {
        self.drain();
        let idle = self.sides.iter().all(Side::is_idle);
        for side in 0..2 {
            for kind in 0..2 {
                self.open(side, kind, Ok(Version::V1_2));
                self.drain();
                self.write(side, kind, usize::MAX);
                self.deliver(side, kind, usize::MAX);
            }
            while on!(self, side, load()) {}
        }
        self.drain();
        idle && self.sides.iter().all(Side::is_idle)
    }

    /// Whether the connection is there and all can be said on it.
    pub(super) const fn is_whole(&self) -> bool {
        self.up && !self.hampered
    }

    /// Wants for blocks that the other side has.
    pub(super) fn servable_wants(&self) -> usize {
        let servable = |side: &Side, other: &Side| {
            let has = |cid: &Cid| {
                let at = blocks().iter().position(|block| block.cid() == cid);
                at.is_some_and(|at| other.store.has(at))
            };
            side.model.waiting().filter(|(_, cid)| has(cid)).count()
        };
        let [a, b] = &self.sides;
        servable(a, b) + servable(b, a)
    }

    /// What one side believes to have told is what the other knows.
    pub(super) fn check_what_was_told(&self) {
        let [a, b] = &self.sides;
        a.engine().agrees_with(b.other, b.engine(), a.other);
        b.engine().agrees_with(a.other, a.engine(), b.other);
    }
}
