//! What to announce, and when: a machine without network or clock.
//!
//! A block is announced when it is provided, and again before its records expire. An announcement
//! that reached nobody is repeated with growing pauses, and at once when a peer is there to hear it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::Timestamp;
use cid::Cid;

use crate::error::ProvideError;
use crate::store::Hash;

/// Announcements on their way at a time.
const RUNNING_MAX: usize = 8;
/// Records last 48 hours, and are to be renewed every 22: the specification of the IPFS DHT.
const RENEW: Duration = Duration::from_secs(22 * 60 * 60);
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Announcer {
    max: usize,
    provided: BTreeMap<Hash, Provided>,
    due: BTreeSet<(Timestamp, Hash)>,
    running: usize,
}

#[derive(Debug)]
struct Provided {
    cid: Cid,
    /// `None` while it is being announced.
    due: Option<Timestamp>,
    /// Announcements that reached nobody, since the last that did.
    failures: u32,
}

impl Announcer {
    /// Announces `max` blocks at most.
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, provided: BTreeMap::new(), due: BTreeSet::new(), running: 0 }
    }

    /// Announces a block from now on.
    pub(crate) fn provide(&mut self, cid: Cid, now: Timestamp) -> Result<(), ProvideError> {
        let hash = *cid.hash();
        if self.provided.contains_key(&hash) {
            return Ok(());
        }
        if self.provided.len() >= self.max {
            return Err(ProvideError::TooMany { max: self.max });
        }
        self.provided.insert(hash, Provided { cid, due: Some(now), failures: 0 });
        self.due.insert((now, hash));
        Ok(())
    }

    /// Announces a block no longer; what was said of it expires.
    pub(crate) fn unprovide(&mut self, hash: &Hash) {
        if let Some(Provided { due: Some(at), .. }) = self.provided.remove(hash) {
            self.due.remove(&(at, *hash));
        }
    }

    /// How many blocks are announced.
    pub(crate) fn provided(&self) -> usize {
        self.provided.len()
    }

    /// A peer that may hear announcements is there: those that reached nobody are due.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        for (hash, provided) in &mut self.provided {
            if provided.failures > 0
                && let Some(at) = provided.due.replace(now)
            {
                self.due.remove(&(at, *hash));
                self.due.insert((now, *hash));
            }
        }
    }

    /// The next block to announce now. It is on its way until [`Self::ended`] says otherwise.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Cid> {
        if self.poll_timeout()? > now {
            return None;
        }
        let (_, hash) = self.due.pop_first()?;
        let provided = self.provided.get_mut(&hash)?;
        provided.due = None;
        self.running += 1;
        Some(provided.cid)
    }

    /// When [`Self::poll`] has something next.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let (at, _) = self.due.first()?;
        (self.running < RUNNING_MAX).then_some(*at)
    }

    /// An announcement has ended. Gives the block if somebody heard of it and it is still provided.
    pub(crate) fn ended(&mut self, hash: &Hash, was_heard: bool, now: Timestamp) -> Option<Cid> {
        self.running = self.running.saturating_sub(1);
        let provided = self.provided.get_mut(hash)?;
        if provided.due.is_some() {
            // It was dropped and is provided anew: this was about the former time.
            return None;
        }
        provided.failures = if was_heard { 0 } else { provided.failures.saturating_add(1) };
        let doublings = provided.failures.saturating_sub(1).min(16);
        let pause = if was_heard { RENEW } else { (PAUSE_MIN * (1 << doublings)).min(PAUSE_MAX) };
        provided.due = Some(now + pause);
        self.due.insert((now + pause, *hash));
        was_heard.then_some(provided.cid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sha2_256;

    fn cid(number: u8) -> Cid {
        Cid::new_v1(0x55, sha2_256(&[number]))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn no_more_blocks_than_the_bound_are_announced() {
        let mut announcer = Announcer::new(2);
        for number in 0..2 {
            announcer.provide(cid(number), at(0)).unwrap();
        }
        assert!(matches!(announcer.provide(cid(2), at(0)), Err(ProvideError::TooMany { max: 2 })));
        // One that is announced already costs nothing, under whatever codec.
        announcer.provide(Cid::new_v1(0x70, *cid(1).hash()), at(0)).unwrap();
        announcer.unprovide(cid(0).hash());
        announcer.provide(cid(2), at(0)).unwrap();
        let announced = std::iter::from_fn(|| announcer.poll(at(0))).collect::<BTreeSet<_>>();
        assert_eq!(announced, BTreeSet::from([cid(1), cid(2)]));
    }

    #[test]
    fn few_announcements_are_on_their_way_at_a_time() {
        let mut announcer = Announcer::new(100);
        for number in 0..100 {
            announcer.provide(cid(number), at(0)).unwrap();
        }
        let running: Vec<_> = std::iter::from_fn(|| announcer.poll(at(0))).collect();
        assert_eq!(running.len(), RUNNING_MAX);
        assert_eq!(announcer.poll_timeout(), None);
        assert_eq!(announcer.ended(running[0].hash(), true, at(1)), Some(running[0]));
        assert!(announcer.poll(at(1)).is_some());
        assert_eq!(announcer.poll(at(1)), None);
    }

    #[test]
    fn what_was_heard_is_renewed_before_it_expires() {
        let mut announcer = Announcer::new(1);
        announcer.provide(cid(0), at(0)).unwrap();
        assert_eq!(announcer.poll(at(0)), Some(cid(0)));
        announcer.ended(cid(0).hash(), true, at(3));
        assert_eq!(announcer.poll_timeout(), Some(at(3) + RENEW));
        // Another peer does not make it due.
        announcer.heard(at(4));
        assert_eq!(announcer.poll_timeout(), Some(at(3) + RENEW));
    }

    #[test]
    fn what_nobody_heard_is_repeated_with_growing_pauses_and_when_a_peer_comes() {
        let mut announcer = Announcer::new(1);
        announcer.provide(cid(0), at(0)).unwrap();
        let mut now = at(0);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(announcer.poll(now), Some(cid(0)));
            assert_eq!(announcer.ended(cid(0).hash(), false, now), None);
            now = now + Duration::from_secs(seconds);
            assert_eq!(announcer.poll_timeout(), Some(now));
        }
        announcer.heard(at(7));
        assert_eq!(announcer.poll(at(7)), Some(cid(0)));
    }

    #[test]
    fn what_is_no_longer_provided_is_not_renewed() {
        let mut announcer = Announcer::new(1);
        announcer.provide(cid(0), at(0)).unwrap();
        announcer.poll(at(0));
        announcer.unprovide(cid(0).hash());
        assert_eq!(announcer.ended(cid(0).hash(), true, at(1)), None);
        assert_eq!(announcer.poll_timeout(), None);
    }
}
