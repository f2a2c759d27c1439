//! Whether a tree's download has come to a stand, and why.

use core::time::Duration;

use super::events::TreeEvent;
use crate::chunk::download::StallReason;
use crate::time::Timestamp;

/// Watches whether anything moves: blocks that arrive, and bytes that get their names.
#[derive(Clone, Debug)]
pub(super) struct Stalls {
    network: StallReason,
    arrived: u64,
    /// What had moved when it was looked at last, and since when no more has.
    moved: (u64, u64),
    since: Timestamp,
    /// The reason that was told of a stall that has not ended.
    stalled: Option<StallReason>,
}

impl Stalls {
    pub(super) const fn new(now: Timestamp) -> Self {
        let (network, moved) = (StallReason::PeersSilent, (0, 0));
        Self { network, arrived: 0, moved, since: now, stalled: None }
    }

    /// Why no block may arrive.
    pub(super) const fn set_network(&mut self, reason: StallReason) {
        self.network = reason;
    }

    /// A block of use arrived.
    pub(super) const fn arrived(&mut self) {
        self.arrived += 1;
    }

    /// The time until now does not count: it was paused, or what is on disk is compared.
    pub(super) const fn skip(&mut self, now: Timestamp) {
        self.since = now;
    }

    /// Looks at it when `done` bytes are here: what is to be reported.
    pub(super) fn look(
        &mut self,
        done: u64,
        is_disk: bool,
        after: Duration,
        now: Timestamp,
    ) -> Option<TreeEvent> {
        let moved = (self.arrived, done);
        if core::mem::replace(&mut self.moved, moved) != moved {
            self.since = now;
            return self.stalled.take().map(|_| TreeEvent::StallEnded);
        }
        let reason = if is_disk { StallReason::DiskSlow } else { self.network };
        if self.stalled == Some(reason) || now.since(self.since) < after {
            return None;
        }
        self.stalled = Some(reason);
        Some(TreeEvent::Stalled(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    #[test]
    fn a_stall_is_reported_once_with_each_reason_and_ends_with_what_moves() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut stalls = Stalls::new(at(0));
        stalls.set_network(StallReason::NoPeers);
        assert_eq!(stalls.look(0, false, AFTER, at(9)), None);
        let stalled = Some(TreeEvent::Stalled(StallReason::NoPeers));
        assert_eq!(stalls.look(0, false, AFTER, at(10)), stalled);
        assert_eq!(stalls.look(0, false, AFTER, at(30)), None);
        stalls.set_network(StallReason::NoProvider);
        let other = Some(TreeEvent::Stalled(StallReason::NoProvider));
        assert_eq!(stalls.look(0, false, AFTER, at(30)), other, "it has another reason now");
        stalls.arrived();
        assert_eq!(stalls.look(0, false, AFTER, at(31)), Some(TreeEvent::StallEnded));
        stalls.skip(at(40));
        assert_eq!(stalls.look(0, true, AFTER, at(49)), None);
        let stalled = Some(TreeEvent::Stalled(StallReason::DiskSlow));
        assert_eq!(stalls.look(0, true, AFTER, at(50)), stalled);
        assert_eq!(stalls.look(1, true, AFTER, at(51)), Some(TreeEvent::StallEnded));
    }
}
