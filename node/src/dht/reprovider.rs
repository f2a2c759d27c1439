//! Which blocks to provide in the DHT, and when: a machine without network or clock.
//!
//! A block gets provider records at once, and again before they expire. An attempt that stored none is
//! repeated with growing pauses, and at once when a peer is there to hear it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::Timestamp;
use cid::Cid;

use crate::error::ProvideError;
use crate::store::Hash;

/// Queries on their way at a time.
const RUNNING_MAX: usize = 8;
/// Records last 48 hours, and are to be renewed every 22: the specification of the IPFS DHT.
const RENEW: Duration = Duration::from_secs(22 * 60 * 60);
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Reprovider {
    max: usize,
    provided: BTreeMap<Hash, Provided>,
    due: BTreeSet<(Timestamp, Hash)>,
    running: usize,
}

#[derive(Debug)]
struct Provided {
    cid: Cid,
    /// `None` while a query is on its way.
    due: Option<Timestamp>,
    /// Queries that stored no record, since the last that did.
    failures: u32,
}

impl Reprovider {
    /// Provides `max` blocks at most.
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, provided: BTreeMap::new(), due: BTreeSet::new(), running: 0 }
    }

    /// Provides a block from now on.
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

    /// Provides a block no longer; its records expire.
    pub(crate) fn unprovide(&mut self, hash: &Hash) {
        if let Some(Provided { due: Some(at), .. }) = self.provided.remove(hash) {
            self.due.remove(&(at, *hash));
        }
    }

    /// How many blocks are provided.
    pub(crate) fn provided(&self) -> usize {
        self.provided.len()
    }

    /// A peer that may store records is there: blocks without any are due.
    pub(crate) fn peer_added(&mut self, now: Timestamp) {
        for (hash, provided) in &mut self.provided {
            if provided.failures > 0
                && let Some(at) = provided.due.replace(now)
            {
                self.due.remove(&(at, *hash));
                self.due.insert((now, *hash));
            }
        }
    }

    /// The next block to provide now. Its query is on its way until [`Self::ended`] says otherwise.
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

    /// A query has ended. Gives the block if a record was stored and it is still provided.
    pub(crate) fn ended(&mut self, hash: &Hash, was_stored: bool, now: Timestamp) -> Option<Cid> {
        self.running = self.running.saturating_sub(1);
        let provided = self.provided.get_mut(hash)?;
        if provided.due.is_some() {
            // It was dropped and is provided anew: this was about the former time.
            return None;
        }
        provided.failures = if was_stored { 0 } else { provided.failures.saturating_add(1) };
        let doublings = provided.failures.saturating_sub(1).min(16);
        let pause = if was_stored { RENEW } else { (PAUSE_MIN * (1 << doublings)).min(PAUSE_MAX) };
        provided.due = Some(now + pause);
        self.due.insert((now + pause, *hash));
        was_stored.then_some(provided.cid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitswap_core::Block;

    fn cid(number: u8) -> Cid {
        *Block::raw(vec![number]).cid()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn no_more_blocks_than_the_bound_are_announced() {
        let mut reprovider = Reprovider::new(2);
        for number in 0..2 {
            reprovider.provide(cid(number), at(0)).unwrap();
        }
        assert!(matches!(reprovider.provide(cid(2), at(0)), Err(ProvideError::TooMany { max: 2 })));
        // One that is provided already costs nothing, under whatever codec.
        reprovider.provide(Cid::new_v1(0x70, *cid(1).hash()), at(0)).unwrap();
        reprovider.unprovide(cid(0).hash());
        reprovider.provide(cid(2), at(0)).unwrap();
        let announced = std::iter::from_fn(|| reprovider.poll(at(0))).collect::<BTreeSet<_>>();
        assert_eq!(announced, BTreeSet::from([cid(1), cid(2)]));
    }

    #[test]
    fn few_announcements_are_on_their_way_at_a_time() {
        let mut reprovider = Reprovider::new(100);
        for number in 0..100 {
            reprovider.provide(cid(number), at(0)).unwrap();
        }
        let running: Vec<_> = std::iter::from_fn(|| reprovider.poll(at(0))).collect();
        assert_eq!(running.len(), RUNNING_MAX);
        assert_eq!(reprovider.poll_timeout(), None);
        assert_eq!(reprovider.ended(running[0].hash(), true, at(1)), Some(running[0]));
        assert!(reprovider.poll(at(1)).is_some());
        assert_eq!(reprovider.poll(at(1)), None);
    }

    #[test]
    fn what_was_stored_is_renewed_before_it_expires() {
        let mut reprovider = Reprovider::new(1);
        reprovider.provide(cid(0), at(0)).unwrap();
        assert_eq!(reprovider.poll(at(0)), Some(cid(0)));
        reprovider.ended(cid(0).hash(), true, at(3));
        assert_eq!(reprovider.poll_timeout(), Some(at(3) + RENEW));
        // Another peer does not make it due.
        reprovider.peer_added(at(4));
        assert_eq!(reprovider.poll_timeout(), Some(at(3) + RENEW));
    }

    #[test]
    fn what_nobody_heard_is_repeated_with_growing_pauses_and_when_a_peer_comes() {
        let mut reprovider = Reprovider::new(1);
        reprovider.provide(cid(0), at(0)).unwrap();
        let mut now = at(0);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(reprovider.poll(now), Some(cid(0)));
            assert_eq!(reprovider.ended(cid(0).hash(), false, now), None);
            now = now + Duration::from_secs(seconds);
            assert_eq!(reprovider.poll_timeout(), Some(now));
        }
        reprovider.peer_added(at(7));
        assert_eq!(reprovider.poll(at(7)), Some(cid(0)));
    }

    #[test]
    fn what_is_no_longer_provided_is_not_renewed() {
        let mut reprovider = Reprovider::new(1);
        reprovider.provide(cid(0), at(0)).unwrap();
        reprovider.poll(at(0));
        reprovider.unprovide(cid(0).hash());
        assert_eq!(reprovider.ended(cid(0).hash(), true, at(1)), None);
        assert_eq!(reprovider.poll_timeout(), None);
    }
}
