//! Two sides and what connects them.

use std::time::Duration;

use bitswap_core::error::OpenError;
use bitswap_core::{Timestamp, Version};
use bitswap_testing::Interceptor;

use super::side::Side;
use crate::engine::{Mask, Peer, Users};

/// The two engines, the streams between them, and the time.
pub(super) struct Link<'a> {
    sides: [Side<'a>; 2],
    /// The connection is there, for those who have not noticed otherwise.
    up: bool,
    /// Something was negotiated with which not all can be sent.
    hampered: bool,
}

impl<'a> Link<'a> {
    /// `between` stands between the first engine and its host.
    pub(super) fn new(seeds: [u8; 2], between: &'a mut dyn Interceptor<Peer>) -> Self {
        let first = Side::new(seeds[0], 1, Users::behind(between));
        let second = Side::new(seeds[1], 0, Users::default());
        Self { sides: [first, second], up: false, hampered: false }
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.sides[0].host.now
    }

    /// Both sides see one connection, whatever was before.
    pub(super) fn connect(&mut self) {
        if self.up {
            return;
        }
        for side in &mut self.sides {
            side.lost();
            side.connect();
        }
        (self.up, self.hampered) = (true, false);
    }

    /// The connection is gone; this side notices, the other one does when they connect again.
    pub(super) fn lose(&mut self, side: usize) {
        self.sides[side].lost();
        self.up = false;
    }

    pub(super) fn reset(&mut self, side: usize, kind: usize) {
        self.sides[side].reset(kind);
    }

    pub(super) fn want(&mut self, side: usize, blocks: Mask) {
        self.sides[side].want(blocks);
    }

    pub(super) fn cancel(&mut self, side: usize, blocks: Mask) {
        self.sides[side].cancel(blocks);
    }

    pub(super) fn store(&mut self, side: usize, blocks: Mask) {
        self.sides[side].host.store_blocks(blocks.blocks());
    }

    pub(super) fn open(&mut self, side: usize, kind: usize, result: Result<Version, OpenError>) {
        if self.sides[side].is_opening(kind) {
            let refused = result == Err(OpenError::Unsupported);
            self.hampered |= refused || result.is_ok_and(|version| version != Version::V1_2);
            self.sides[side].opened(kind, result);
        }
    }

    pub(super) fn round_trip(&mut self, side: usize, took: Duration) {
        if self.up {
            self.sides[side].round_trip(took);
        }
    }

    pub(super) fn write(&mut self, side: usize, kind: usize, bytes: usize) {
        self.sides[side].write(kind, bytes);
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
                self.sides[other].receive(&frame).expect("a message of an engine");
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
        self.sides[side].load();
    }

    pub(super) fn drain(&mut self) {
        self.sides.iter_mut().for_each(Side::drain);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.sides.iter_mut().for_each(|side| side.host.wait(time));
    }

    /// Something happens without any input.
    pub(super) fn is_timed(&self) -> bool {
        self.sides.iter().any(|side| side.host.engine().poll_timeout().is_some())
    }

    pub(super) fn wait_until_due(&mut self) {
        let due = self.sides.iter().filter_map(|side| side.host.engine().poll_timeout()).min();
        self.wait(due.unwrap_or_default().since(self.now()));
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
            while self.sides[side].load() {}
        }
        self.drain();
        idle && self.sides.iter().all(Side::is_idle)
    }

    /// Whether the connection is there and everything can be sent on it.
    pub(super) const fn is_whole(&self) -> bool {
        self.up && !self.hampered
    }

    /// Wants for blocks that the other side has.
    pub(super) fn servable_wants(&self) -> usize {
        let [a, b] = &self.sides;
        a.waits_for(b) + b.waits_for(a)
    }

    /// What one side has recorded as sent is what the other knows.
    pub(super) fn check_wantlists(&self) {
        let [a, b] = &self.sides;
        a.host.checked().agrees_with(b.other, b.host.checked(), a.other);
        b.host.checked().agrees_with(a.other, a.host.checked(), b.other);
    }
}
