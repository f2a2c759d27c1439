//! The peers that were found, until their addresses expire.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

/// Addresses remembered. Whoever is on the network can announce as many as it likes; when the table is
/// full, who announced the most gives way.
const ADDRESSES_MAX: usize = 1024;

/// The longest that an address counts, whatever was announced.
const VALID_MAX: Duration = Duration::from_secs(60 * 60);

/// Peers and their addresses.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<(PeerId, Multiaddr), Entry>);

#[derive(Debug)]
struct Entry {
    expires: Instant,
    /// Who announced it.
    from: IpAddr,
}

/// What became of an address that was announced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// It was not known.
    pub(super) new: bool,
    /// What was forgotten for it.
    pub(super) gave_way: Option<(PeerId, Multiaddr)>,
}

impl Known {
    /// Takes an address in, for so long. One that is valid no longer expires.
    pub(super) fn heard(
        &mut self,
        from: IpAddr,
        peer: PeerId,
        address: &Multiaddr,
        valid: Duration,
        now: Instant,
    ) -> Heard {
        let expires = now + valid.min(VALID_MAX);
        let key = (peer, address.clone());
        if let Some(known) = self.0.get_mut(&key) {
            known.expires = expires;
            return Heard::default();
        }
        if valid.is_zero() {
            return Heard::default();
        }
        let mut gave_way = None;
        if self.0.len() >= ADDRESSES_MAX {
            gave_way = self.one_of_the_most(from);
            match &gave_way {
                Some(key) => drop(self.0.remove(key)),
                None => return Heard::default(),
            }
        }
        self.0.insert(key, Entry { expires, from });
        Heard { new: true, gave_way }
    }

    /// The address that expires first of the host that announced the most, if that is more than
    /// `newcomer` would have.
    fn one_of_the_most(&self, newcomer: IpAddr) -> Option<(PeerId, Multiaddr)> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        self.0.values().for_each(|entry| *counts.entry(entry.from).or_default() += 1);
        let own = counts.get(&newcomer).map_or(0, |count| *count);
        let (most, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let theirs = self.0.iter().filter(|(_, entry)| entry.from == most && count > own + 1);
        theirs.min_by_key(|(_, entry)| entry.expires).map(|(key, _)| key.clone())
    }

    /// Takes out what has expired.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(PeerId, Multiaddr)> {
        let expired: Vec<_> = self
            .0
            .iter()
            .filter(|(_, entry)| entry.expires <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &expired {
            self.0.remove(key);
        }
        expired
    }

    /// When the next address expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|entry| entry.expires).min()
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
    use std::net::Ipv4Addr;

    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// Whether an address that the host announces is new.
    fn heard(
        known: &mut Known,
        peer: PeerId,
        address: &Multiaddr,
        valid: Duration,
        now: Instant,
    ) -> bool {
        let heard = known.heard(HOST, peer, address, valid, now);
        assert_eq!(heard.gave_way, None);
        heard.new
    }

    #[test]
    fn an_address_is_new_once_and_expires_when_it_is_not_announced_again() {
        let (peer, start, minute) = (PeerId::random(), Instant::now(), Duration::from_secs(60));
        let mut known = Known::default();
        assert_eq!(known.next_expiry(), None);
        assert!(heard(&mut known, peer, &address(1), minute, start));
        assert!(!heard(&mut known, peer, &address(1), minute, start + minute / 2));
        assert!(heard(&mut known, peer, &address(2), minute, start));
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
        assert!(!heard(&mut known, peer, &address(1), Duration::ZERO, now));
        assert!(heard(&mut known, peer, &address(1), minute, now));
        assert!(!heard(&mut known, peer, &address(1), Duration::ZERO, now));
        assert_eq!(known.expire(now), [(peer, address(1))]);
    }

    #[test]
    fn a_flood_of_announcements_fills_the_table_and_no_more() {
        let (now, year) = (Instant::now(), Duration::from_secs(365 * 24 * 60 * 60));
        let mut known = Known::default();
        for port in 0..2 * ADDRESSES_MAX {
            assert_eq!(
                heard(&mut known, PeerId::random(), &address(port), year, now),
                port < ADDRESSES_MAX
            );
        }
        assert_eq!(known.next_expiry(), Some(now + VALID_MAX));
        assert_eq!(known.expire(now + VALID_MAX).len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_host_that_announces_without_end_gives_way_to_the_others() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut known = Known::default();
        for port in 0..2 * ADDRESSES_MAX {
            heard(&mut known, PeerId::random(), &address(port), minute, now);
        }
        let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
        let peer = PeerId::random();
        let heard = known.heard(other, peer, &address(1), minute, now);
        assert!(heard.new);
        let gone = heard.gave_way.expect("the table is full");
        assert_eq!(known.addresses(gone.0), []);
        assert_eq!(known.addresses(peer), [address(1)]);
        assert_eq!(known.0.len(), ADDRESSES_MAX);
        // The crowd does not come back in.
        let late = known.heard(HOST, PeerId::random(), &address(7), minute, now);
        assert_eq!(late, Heard::default());
        assert_eq!(known.addresses(peer), [address(1)]);
    }
}
