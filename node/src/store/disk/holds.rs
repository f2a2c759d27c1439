//! Since when what is put must stay, for each who is about to pin it.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::counts::locked;

/// Clocks of file systems are behind that of the process by some milliseconds, and some of them by two seconds.
const CLOCK_PRECISION: Duration = Duration::from_secs(2);

/// Those who hold what is put.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    since: Vec<(u64, SystemTime)>,
}

impl Holds {
    /// Holds what is put from now on, until [`Self::release`] with this number.
    pub(super) fn hold(&self) -> u64 {
        let mut holds = locked(&self.0);
        let id = holds.next;
        holds.next += 1;
        holds.since.push((id, SystemTime::now() - CLOCK_PRECISION));
        id
    }

    pub(super) fn release(&self, id: u64) {
        locked(&self.0).since.retain(|(held, _)| *held != id);
    }

    /// Since when what was used is held.
    pub(super) fn since(&self) -> Option<SystemTime> {
        locked(&self.0).since.iter().map(|(_, since)| *since).min()
    }
}
