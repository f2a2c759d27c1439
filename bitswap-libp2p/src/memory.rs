//! What one peer may hold in memory here, over all its connections.
//!
//! Two accounts. *Frames* are messages that have begun to arrive: nothing can be done with them yet, so
//! whoever holds too many loses the stream that asks for more. *Messages* are decoded, wait for their
//! hashes or for the engine, and are gone soon: whoever has too many is not read until some are gone.
//! A frame is counted until its message is decoded, and the message from before that on.
//!
//! A peer that was asked for nothing gets little room: a wantlist is small. One that was told of wants
//! may answer them all at once on as many streams, so its room grows with what it was told. What is
//! held then was asked for, and how much is asked for is bounded by the windows of the sessions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bitswap_core::Entry;
use bitswap_core::limits::ITEMS_PER_MESSAGE_MAX;
use bitswap_core::message::{Payload, Presence};

/// Memory for unfinished frames of a peer that was asked for nothing: the longest wantlist that is
/// applied has 1.5 MiB, and a block that is sent although it was called off 2 MiB.
pub(crate) const FRAMES_MAX: usize = (2 << 20) + (192 << 10);

/// What each want that the peer was told adds to it: a block of the usual largest size, and its frame.
pub(crate) const FRAMES_PER_WANT: usize = (2 << 20) + (64 << 10);

/// The most that wants add to it. The widest implementation answers with eight messages at a time.
pub(crate) const FRAMES_OF_WANTS_MAX: usize = 8 * FRAMES_PER_WANT;

/// Presences, and payloads, of one message that are decoded of a peer that was asked for nothing. More
/// than the wants that a peer is told at a time by default, so that none of the answers is skipped
/// that are on their way when the last want ends.
pub(crate) const ANSWERS_MAX: usize = 1024;

/// Memory for messages of a peer that was asked for nothing: one that is being decoded, and small ones
/// that wait for the engine.
pub(crate) const MESSAGES_MAX: usize = message_max(ANSWERS_MAX) + (64 << 10);

/// The same for a peer that was told of wants, so that hashing and applying overlap. Overshot by the
/// blocks of a message, whose size is not known before it is decoded.
pub(crate) const MESSAGES_OF_WANTS_MAX: usize = 6 << 20;

/// What a message takes at most, without its blocks, while it is decoded: its lists, and the order of one
/// of them while repeats are looked for.
const fn message_max(answers: usize) -> usize {
    ITEMS_PER_MESSAGE_MAX * (size_of::<Entry>() + 2 * size_of::<u32>())
        + answers * (size_of::<Presence>() + size_of::<Payload>())
        + 1024
}

// What `docs/limits.md` states.
const _: () = assert!(FRAMES_MAX == 2240 << 10 && MESSAGES_MAX <= 1152 << 10);

/// The memory of one peer.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Bytes of unfinished frames.
    frames: AtomicUsize,
    /// Wants that the peer was told and that have not ended.
    wants: AtomicUsize,
    messages: Mutex<Messages>,
}

#[derive(Debug, Default)]
struct Messages {
    bytes: usize,
    /// Tasks that found no room.
    waiting: Vec<Waker>,
}

impl Memory {
    /// Says how many wants the peer knows now.
    pub(crate) fn set_wants(&self, wants: u32) {
        self.wants.store(wants as usize, Ordering::Relaxed);
    }

    /// An unfinished frame takes `now` bytes where it took `before`. Whether there was room for it.
    pub(crate) fn frame(&self, before: usize, now: usize) -> bool {
        if now <= before {
            self.frames.fetch_sub(before - now, Ordering::Relaxed);
            return true;
        }
        let all = self.frames.fetch_add(now - before, Ordering::Relaxed) + (now - before);
        all <= FRAMES_MAX + self.wants().saturating_mul(FRAMES_PER_WANT).min(FRAMES_OF_WANTS_MAX)
    }

    /// A whole frame was taken out of `bytes` of memory that were counted as an unfinished one's.
    pub(crate) fn whole_frame(self: &Arc<Self>, bytes: usize) -> HeldFrame {
        HeldFrame { bytes, of: self.clone() }
    }

    /// Room for one more message, as large as messages without blocks get; else `task` is woken when
    /// there may be. A message that is alone always has room.
    pub(crate) fn poll_message(self: &Arc<Self>, task: &Waker) -> Poll<Held> {
        let (max, answers_max) = match self.wants() {
            0 => (MESSAGES_MAX, ANSWERS_MAX),
            _ => (MESSAGES_OF_WANTS_MAX, ITEMS_PER_MESSAGE_MAX),
        };
        let bytes = message_max(answers_max);
        let mut messages = self.lock();
        if messages.bytes > 0 && messages.bytes + bytes > max {
            if !messages.waiting.iter().any(|waiting| waiting.will_wake(task)) {
                messages.waiting.push(task.clone());
            }
            return Poll::Pending;
        }
        messages.bytes += bytes;
        Poll::Ready(Held { bytes, answers_max, of: self.clone() })
    }

    /// Bytes of messages.
    #[cfg(test)]
    pub(crate) fn message_bytes(&self) -> usize {
        self.lock().bytes
    }

    fn wants(&self) -> usize {
        self.wants.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        // Nothing panics while it holds the lock.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that a whole frame takes, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldFrame {
    bytes: usize,
    of: Arc<Memory>,
}

impl Drop for HeldFrame {
    fn drop(&mut self) {
        self.of.frame(self.bytes, 0);
    }
}

/// Memory that a message takes, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    answers_max: usize,
    of: Arc<Memory>,
}

impl Held {
    /// Presences, and payloads, for which there is room.
    pub(crate) const fn answers_max(&self) -> usize {
        self.answers_max
    }

    /// Corrects the size.
    pub(crate) fn set(&mut self, bytes: usize) {
        let waiting = {
            let mut messages = self.of.lock();
            messages.bytes = messages.bytes - self.bytes + bytes;
            if bytes < self.bytes { std::mem::take(&mut messages.waiting) } else { Vec::new() }
        };
        self.bytes = bytes;
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Wakes;

    #[test]
    fn unfinished_frames_have_room_by_what_the_peer_was_told() {
        let memory = Memory::default();
        assert!(memory.frame(0, FRAMES_MAX));
        assert!(!memory.frame(FRAMES_MAX, FRAMES_MAX + 1));
        memory.set_wants(1);
        assert!(memory.frame(FRAMES_MAX + 1, FRAMES_MAX + FRAMES_PER_WANT));
        assert!(!memory.frame(0, 1));
        memory.set_wants(u32::MAX);
        assert!(memory.frame(1, FRAMES_OF_WANTS_MAX - FRAMES_PER_WANT));
        assert!(!memory.frame(0, 1));
        assert!(
            memory.frame(FRAMES_OF_WANTS_MAX + FRAMES_MAX + 1, 0),
            "to give back is always possible"
        );
        assert_eq!(memory.frames.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn messages_of_all_connections_share_their_room_and_who_waits_is_woken() {
        let memory = Arc::new(Memory::default());
        let (wakes, task) = Wakes::new();
        let take = || match memory.poll_message(&task) {
            Poll::Ready(held) => Some(held),
            Poll::Pending => None,
        };
        let one = message_max(ANSWERS_MAX);
        let mut first = take().unwrap();
        assert!(take().is_none() && take().is_none(), "a message of any size may follow");
        assert_eq!(wakes.count(), 0);
        first.set(MESSAGES_MAX - one + 1);
        assert_eq!(wakes.count(), 1, "once for all that it waited");
        assert!(take().is_none(), "a message of any size is one byte too many");
        first.set(MESSAGES_MAX - one);
        assert_eq!(wakes.count(), 2);
        let mut second = take().unwrap();
        assert_eq!(memory.lock().bytes, MESSAGES_MAX);
        second.set(1);
        assert!(take().is_none());
        memory.set_wants(1);
        let third = take().unwrap();
        assert_eq!((first.answers_max(), third.answers_max()), (1024, 8192));
        drop((first, second, third));
        assert_eq!((wakes.count(), memory.lock().bytes), (3, 0));
        assert!(memory.lock().waiting.is_empty());
    }

    #[test]
    fn a_message_that_is_alone_has_room_and_no_other_while_it_is_beyond_the_bound() {
        let memory = Arc::new(Memory::default());
        for wants in [0, 1] {
            memory.set_wants(wants);
            let take = || memory.poll_message(Waker::noop());
            let Poll::Ready(mut alone) = take() else { panic!("nothing is there") };
            alone.set(8 << 20);
            assert!(take().is_pending());
            drop(alone);
            assert!(take().is_ready());
        }
    }

    #[test]
    fn a_whole_frame_is_counted_until_it_is_dropped() {
        let memory = Arc::new(Memory::default());
        assert!(memory.frame(0, FRAMES_MAX));
        let whole = memory.whole_frame(FRAMES_MAX);
        assert!(!memory.frame(0, 1));
        drop(whole);
        assert!(memory.frame(1, FRAMES_MAX));
    }
}
