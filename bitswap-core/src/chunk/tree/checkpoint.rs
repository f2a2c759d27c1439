//! When small files that are written are made durable together, to get their names.

use alloc::vec::Vec;
use core::time::Duration;

use crate::chunk::download::SyncPolicy;
use crate::time::Timestamp;

/// Files that wait for their names at most.
const FILES_MAX: usize = 1024;

/// The files that are written and do not have their names yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unnamed {
    files: Vec<u64>,
    bytes: u64,
    since: Option<Timestamp>,
}

impl Unnamed {
    /// One more.
    pub(super) fn add(&mut self, file: u64, len: u64, now: Timestamp) {
        self.files.push(file);
        self.bytes += len;
        self.since.get_or_insert(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it is time for them to be named. Nothing else can be done if `is_idle`.
    pub(super) fn is_due(&self, sync: SyncPolicy, is_idle: bool, now: Timestamp) -> bool {
        let (bytes, every) = Self::bounds(sync);
        !self.files.is_empty()
            && (is_idle
                || self.files.len() >= FILES_MAX
                || self.bytes >= bytes
                || self.since.is_some_and(|since| now.since(since) >= every))
    }

    /// When that is at the latest.
    pub(super) fn due_at(&self, sync: SyncPolicy) -> Option<Timestamp> {
        self.since.map(|since| since + Self::bounds(sync).1)
    }

    fn bounds(sync: SyncPolicy) -> (u64, Duration) {
        match sync {
            SyncPolicy::Never => (0, Duration::ZERO),
            SyncPolicy::AtEnd => (u64::MAX, Duration::MAX),
            SyncPolicy::Checkpoints { bytes, every } => (bytes, every),
        }
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> Vec<u64> {
        core::mem::take(self).files
    }
}
