//! Tests over real sockets on loopback: first the handler with peers made by hand, then whole
//! nodes.

mod calls;
mod handler_reading;
mod handler_writing;
mod host;
mod hostile;
mod node;
mod node_get;
mod node_identify;
mod node_needs;
mod node_negotiation;
mod node_peers;
mod node_store;
mod probe;
mod raw_peer;
mod slow_readers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use bitswap_core::Block;
use bytes::Bytes;
use futures::task::{ArcWake, waker};

use crate::memory::{Held, Memory};

/// A test that waits longer than this hangs. Nothing that is tested takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long: {what}"),
    }
}

/// A raw sha2-256 block.
pub(crate) fn block(data: impl Into<Bytes>) -> Block {
    Block::raw(data)
}

/// `len` bytes that differ for each `seed`.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Room for a message of a peer that has all to itself.
pub(crate) fn room() -> Held {
    match Arc::<Memory>::default().poll_message(Waker::noop()) {
        Poll::Ready(held) => held,
        Poll::Pending => panic!("nothing is there"),
    }
}

/// Counts how often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicU32);

impl Wakes {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (wakes.clone(), waker(wakes))
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ArcWake for Wakes {
    fn wake_by_ref(wakes: &Arc<Self>) {
        wakes.0.fetch_add(1, Ordering::Relaxed);
    }
}
