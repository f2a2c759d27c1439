//! What the behaviour and the tasks of connections share.

#[cfg(not(all(test, bitswap_loom)))]
use std::sync::{Arc, Mutex, MutexGuard};

// Under loom every interleaving of a test's threads is tried.
#[cfg(all(test, bitswap_loom))]
use loom::sync::{Arc, Mutex, MutexGuard};

/// A value behind a lock; clones share it.
#[derive(Debug, Default)]
pub(crate) struct Locked<T>(Arc<Mutex<T>>);

impl<T> Clone for Locked<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// The value, for so short a time that waiting for it does no harm.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Nothing panics while it holds the lock, and the value would be whole if it did.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
