//! The peers that were found, until their addresses expire.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

/// Addresses remembered. Whoever is on the network can announce as many as it likes; those that come
/// when the table is full are ignored.
const ADDRESSES_MAX: usize = 1024;

/// The longest that an address counts, whatever was announced.
const VALID_MAX: Duration = Duration::from_secs(60 * 60);

/// Peers and their addresses with the time at which each expires.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<(PeerId, Multiaddr), Instant>);

impl Known {
    /// Takes an address in, for so long; whether it is new. One that is valid no longer expires.
    pub(super) fn heard(
        &mut self,
        peer: PeerId,
        address: &Multiaddr,
        valid: Duration,
        now: Instant,
    ) -> bool {
        let expires = now + valid.min(VALID_MAX);
        let key = (peer, address.clone());
        if let Some(known) = self.0.get_mut(&key) {
            *known = expires;
            return false;
        }
        let new = !valid.is_zero() && self.0.len() < ADDRESSES_MAX;
        if new {
            self.0.insert(key, expires);
        }
        new
    }

    /// Takes out what has expired.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(PeerId, Multiaddr)> {
        let expired: Vec<_> = self
            .0
            .iter()
            .filter(|(_, expires)| **expires <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &expired {
            self.0.remove(key);
        }
        expired
    }

    /// When the next address expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// The addresses of a peer.
    pub(super) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        self.0
            .keys()
            .filter(|(known, _)| *known == peer)
            .map(|(_, address)| address.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn an_address_is_new_once_and_expires_when_it_is_not_announced_again() {
        let (peer, start, minute) = (PeerId::random(), Instant::now(), Duration::from_secs(60));
        let mut known = Known::default();
        assert_eq!(known.next_expiry(), None);
        assert!(known.heard(peer, &address(1), minute, start));
        assert!(!known.heard(peer, &address(1), minute, start + minute / 2));
        assert!(known.heard(peer, &address(2), minute, start));
        assert_eq!(known.addresses(peer), [address(1), address(2)]);
        assert_eq!(known.addresses(PeerId::random()), []);
        assert_eq!(known.next_expiry(), Some(start + minute));
        assert_eq!(known.expire(start + minute), [(peer, address(2))]);
        assert_eq!(known.next_expiry(), Some(start + minute * 3 / 2));
        assert_eq!(known.expire(start + minute * 2), [(peer, address(1))]);
    }

    #[test]
    fn a_peer_that_says_goodbye_is_forgotten_at_once() {
        let (peer, now, minute) = (PeerId::random(), Instant::now(), Duration::from_secs(60));
        let mut known = Known::default();
        assert!(!known.heard(peer, &address(1), Duration::ZERO, now));
        assert!(known.heard(peer, &address(1), minute, now));
        assert!(!known.heard(peer, &address(1), Duration::ZERO, now));
        assert_eq!(known.expire(now), [(peer, address(1))]);
    }

    #[test]
    fn a_flood_of_announcements_fills_the_table_and_no_more() {
        let (now, year) = (Instant::now(), Duration::from_secs(365 * 24 * 60 * 60));
        let mut known = Known::default();
        for port in 0..2 * ADDRESSES_MAX {
            assert_eq!(
                known.heard(PeerId::random(), &address(port), year, now),
                port < ADDRESSES_MAX
            );
        }
        assert_eq!(known.next_expiry(), Some(now + VALID_MAX));
        assert_eq!(known.expire(now + VALID_MAX).len(), ADDRESSES_MAX);
    }
}
