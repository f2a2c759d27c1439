//! The ledger: the wants of all peers.
//!
//! A want is found by its peer and CID, by its CID alone (the wants of one CID are chained), and
//! from its peer (the wants of one peer are chained). Holds no memory when it is empty.

use crate::index::Index;
use crate::key::Key;
use crate::rows::{Id, NONE, Rows};

use super::want::{Links, Want};

/// The wants of all peers.
#[derive(Debug)]
pub(super) struct Ledger {
    rows: Rows<Want>,
    /// By CID and peer.
    pairs: Index,
    /// By CID alone: the first of its chain.
    cids: Index,
    /// Bytes of the keys that are not inline.
    key_bytes: usize,
}

impl Ledger {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self {
            rows: Rows::default(),
            pairs: Index::new(seed, "server pairs"),
            cids: Index::new(seed, "server cids"),
            key_bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn at(&self, row: u32) -> Option<&Want> {
        self.rows.at(row)
    }

    pub(super) fn at_mut(&mut self, row: u32) -> Option<&mut Want> {
        self.rows.at_mut(row)
    }

    pub(super) fn id(&self, row: u32) -> Option<Id> {
        self.rows.id(row)
    }

    /// The row of this id, if it is still that want's.
    pub(super) fn row(&self, id: Id) -> Option<u32> {
        self.rows.get(id).map(|_| id.index)
    }

    /// The want of a peer for a CID.
    pub(super) fn find(&self, peer: u32, key: &Key) -> Option<u32> {
        let hash = self.pairs.hash(key.bytes(), u64::from(peer));
        self.pairs.find(hash, |row| {
            self.rows.at(row).is_some_and(|want| want.peer == peer && want.key == *key)
        })
    }

    /// All wants for a CID, of all peers, in no useful order.
    pub(super) fn of_cid(&self, key: &Key) -> impl Iterator<Item = u32> {
        let mut next = self.first_of_cid(key).unwrap_or(NONE);
        core::iter::from_fn(move || {
            let row = next;
            next = self.rows.at(row)?.of_cid.next;
            Some(row)
        })
    }

    /// All wants of a peer, the latest first.
    pub(super) fn of_peer(&self, first: u32) -> impl Iterator<Item = (u32, &Want)> {
        let mut next = first;
        core::iter::from_fn(move || {
            let row = next;
            let want = self.rows.at(row)?;
            next = want.of_peer.next;
            Some((row, want))
        })
    }

    /// Adds a want that is not there yet; `first` heads its peer's chain.
    pub(super) fn insert(&mut self, mut want: Want, first: &mut u32) -> u32 {
        let same = self.first_of_cid(&want.key);
        want.of_peer = Links { previous: NONE, next: *first };
        if let Some(head) = same {
            // Second in the chain, so that the index goes on naming the same first row.
            let after = self.rows.at(head).map_or(NONE, |want| want.of_cid.next);
            want.of_cid = Links { previous: head, next: after };
        }
        let (key, peer) = (want.key.clone(), want.peer);
        let Links { previous, next } = want.of_cid;
        self.key_bytes += key.heap_bytes();
        let row = self.rows.insert(want).index;
        if let Some(second) = self.rows.at_mut(*first) {
            second.of_peer.previous = row;
        }
        *first = row;
        if let Some(want) = self.rows.at_mut(previous) {
            want.of_cid.next = row;
        }
        if let Some(want) = self.rows.at_mut(next) {
            want.of_cid.previous = row;
        }
        let hash = self.pairs.hash(key.bytes(), u64::from(peer));
        self.pairs.insert(hash, row);
        if same.is_none() {
            self.index_chain(&key, row);
        }
        row
    }

    /// Takes a want out; `first` heads its peer's chain.
    pub(super) fn remove(&mut self, row: u32, first: &mut u32) -> Option<Want> {
        let want = self.rows.at(row)?;
        let (key, peer) = (want.key.clone(), want.peer);
        let (of_peer, of_cid) = (want.of_peer, want.of_cid);
        self.pairs.remove(self.pairs.hash(key.bytes(), u64::from(peer)), row);
        if of_cid.previous == NONE {
            self.cids.remove(self.cids.hash(key.bytes(), 0), row);
            if of_cid.next != NONE {
                self.index_chain(&key, of_cid.next);
            }
        }
        for (link, from) in [(of_cid.previous, of_cid.next), (of_cid.next, of_cid.previous)] {
            if let Some(neighbour) = self.rows.at_mut(link) {
                let slot = if link == of_cid.previous {
                    &mut neighbour.of_cid.next
                } else {
                    &mut neighbour.of_cid.previous
                };
                *slot = from;
            }
        }
        if of_peer.previous == NONE {
            *first = of_peer.next;
        } else if let Some(previous) = self.rows.at_mut(of_peer.previous) {
            previous.of_peer.next = of_peer.next;
        }
        if let Some(next) = self.rows.at_mut(of_peer.next) {
            next.of_peer.previous = of_peer.previous;
        }
        self.key_bytes -= key.heap_bytes();
        self.rows.remove(row)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.pairs.bytes() + self.cids.bytes() + self.key_bytes
    }

    fn first_of_cid(&self, key: &Key) -> Option<u32> {
        let hash = self.cids.hash(key.bytes(), 0);
        self.cids.find(hash, |row| self.rows.at(row).is_some_and(|want| want.key == *key))
    }

    fn index_chain(&mut self, key: &Key, row: u32) {
        self.cids.insert(self.cids.hash(key.bytes(), 0), row);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use cid::Cid;
    use cid::multihash::Multihash;

    use super::*;
    use crate::message::{Entry, WantKind};

    fn key(n: u32) -> Key {
        let hash = Multihash::<64>::wrap(0x12, &[n.to_le_bytes(); 8].concat()).unwrap();
        Key::new(&Cid::new_v1(0x55, hash))
    }

    fn want(peer: u32, n: u32) -> Want {
        let entry = Entry::want(key(n).cid(), WantKind::Block, 0, false);
        Want::new(peer, key(n), &entry, 0)
    }

    #[test]
    fn wants_are_found_by_pair_by_cid_and_by_peer_until_removed() {
        let mut ledger = Ledger::new(&[3; 32]);
        let mut firsts = [NONE; 3];
        let mut rows = Vec::new();
        for n in 0..700 {
            for peer in 0..3 {
                rows.push(ledger.insert(want(peer, n), &mut firsts[peer as usize]));
            }
        }
        for n in 0..700 {
            let mut peers: Vec<u32> =
                ledger.of_cid(&key(n)).map(|row| ledger.at(row).unwrap().peer).collect();
            peers.sort_unstable();
            assert_eq!(peers, [0, 1, 2]);
            for peer in 0..3 {
                assert_eq!(ledger.find(peer, &key(n)), Some(rows[(n * 3 + peer) as usize]));
            }
        }
        // Peer 1 leaves, first to last and last to first.
        let of_peer: Vec<u32> = ledger.of_peer(firsts[1]).map(|(row, _)| row).collect();
        assert_eq!(of_peer.len(), 700);
        for row in of_peer.iter().step_by(2).chain(of_peer.iter().skip(1).step_by(2)) {
            assert!(ledger.remove(*row, &mut firsts[1]).is_some());
        }
        assert_eq!(firsts[1], NONE);
        for n in 0..700 {
            assert_eq!(ledger.find(1, &key(n)), None);
            assert_eq!(ledger.of_cid(&key(n)).count(), 2);
        }
        for peer in [0, 2] {
            while firsts[peer] != NONE {
                let row = firsts[peer];
                ledger.remove(row, &mut firsts[peer]);
            }
        }
        assert_eq!((ledger.len(), ledger.bytes()), (0, 0));
        assert_eq!(ledger.of_cid(&key(1)).count(), 0);
    }

    #[test]
    fn a_want_costs_at_most_160_bytes_with_both_indexes() {
        let mut ledger = Ledger::new(&[3; 32]);
        let mut first = NONE;
        for n in 0..100_000 {
            ledger.insert(want(n % 100, n), &mut first);
        }
        let each = ledger.bytes() / ledger.len();
        assert!(each <= 160, "{each} bytes per want");
    }
}
