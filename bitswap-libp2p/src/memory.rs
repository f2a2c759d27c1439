//! What one peer may hold in memory here, over all its connections.
//!
//! Two accounts. *Frames* are messages that have begun to arrive: nothing can be done with them yet, so
//! whoever holds too many loses the stream that asks for more. *Messages* are decoded, wait for their
//! hashes or for the engine, and are gone soon: whoever has too many is not read until some are gone.
//!
//! A peer that was asked for nothing gets little room: a wantlist is small. One that was told of wants
//! may answer them all at once on as many streams, so its room grows with what it was told. What is
//! held then was asked for, and how much is asked for is bounded by the windows of the sessions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bitswap_core::Entry;
use bitswap_core::limits::ITEMS_PER_MESSAGE_MAX;
use bitswap_core::message::Presence;

/// Memory for unfinished frames of a peer that was asked for nothing: the longest wantlist that is
/// applied has 1.5 MiB, and a block that is sent although it was called off 2 MiB.
pub(crate) const FRAMES_MAX: usize = (2 << 20) + (512 << 10);

/// What each want that the peer was told adds to it: a block of the usual largest size, and its frame.
pub(crate) const FRAMES_PER_WANT: usize = (2 << 20) + (64 << 10);

/// The most that wants add to it. The widest implementation answers with eight messages at a time.
pub(crate) const FRAMES_OF_WANTS_MAX: usize = 8 * FRAMES_PER_WANT;

/// Memory for messages of a peer that was asked for nothing; overshot by one message at most, see
/// [`MESSAGE_MAX`].
pub(crate) const MESSAGES_MAX: usize = 512 << 10;

/// The same for a peer that was told of wants, so that hashing and applying overlap.
pub(crate) const MESSAGES_OF_WANTS_MAX: usize = 4 << 20;

/// What a message without blocks takes at most.
pub(crate) const MESSAGE_MAX: usize =
    ITEMS_PER_MESSAGE_MAX * (size_of::<Entry>() + size_of::<Presence>()) + 1024;

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

    /// Room for one more message, as large as messages without blocks get; else `task` is woken when
    /// there may be.
    pub(crate) fn poll_message(self: &Arc<Self>, task: &Waker) -> Poll<Held> {
        let max = if self.wants() == 0 { MESSAGES_MAX } else { MESSAGES_OF_WANTS_MAX };
        let mut messages = self.lock();
        if messages.bytes >= max {
            if !messages.waiting.iter().any(|waiting| waiting.will_wake(task)) {
                messages.waiting.push(task.clone());
            }
            return Poll::Pending;
        }
        messages.bytes += MESSAGE_MAX;
        Poll::Ready(Held { bytes: MESSAGE_MAX, of: self.clone() })
    }

    fn wants(&self) -> usize {
        self.wants.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        // Nothing panics while it holds the lock.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that a message takes, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    of: Arc<Memory>,
}

impl Held {
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
        let mut first = take().unwrap();
        assert!(take().is_none() && take().is_none(), "a message of any size may follow");
        assert_eq!(wakes.count(), 0);
        first.set(MESSAGES_MAX - 1);
        assert_eq!(wakes.count(), 1, "once for all that it waited");
        let mut second = take().unwrap();
        second.set(1);
        assert!(take().is_none());
        memory.set_wants(1);
        let third = take().unwrap();
        drop((first, second, third));
        assert_eq!((wakes.count(), memory.lock().bytes), (2, 0));
        assert!(memory.lock().waiting.is_empty());
    }
}
