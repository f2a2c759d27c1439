//! The rows of all wants, and how they are found.
//!
//! A want is found by its peer and CID, by its CID alone (the wants of one CID are chained), and from its peer (the
//! wants of one peer are listed). Holds no memory for wants when it is empty.
//!
//! Invariant: each row is in both indexes, in the chain of its CID and in the list of its peer; peers with wants are
//! ordered by how many they have.

use alloc::collections::BTreeSet;

use crate::index::Index;
use crate::key::Key;
use crate::memory::tree;
use crate::peer::Peer;
use crate::util::list::{Chain, List, Unlinked};
use crate::util::rows::{Id, Ref, Rows};
use crate::util::side_table::SideTable;

use super::consistent;
use super::want::{OfCid, OfPeer, Want};

/// The wants of all peers.
#[derive(Debug)]
pub(super) struct WantTable {
    rows: Rows<Want>,
    /// By CID and peer.
    by_pair: Index<Ref<Want>>,
    /// By CID alone: the first of its chain.
    by_cid: Index<Ref<Want>>,
    /// Bytes of the keys that are not inline.
    key_bytes: usize,
    peers: SideTable<PeerWants, Peer>,
    /// Peers that have wants, by how many.
    peers_by_ledger_size: BTreeSet<(u32, Ref<Peer>)>,
    /// The peer whose place in that order may be out of date: a wantlist changes it once, not with each entry.
    out_of_place: Option<Ref<Peer>>,
}

/// The wants of one peer.
#[derive(Debug, Default)]
struct PeerWants {
    /// The latest first.
    list: List<Want, OfPeer>,
    /// How many it has in the order of peers.
    ordered: u32,
}

impl WantTable {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self {
            rows: Rows::default(),
            by_pair: Index::new(seed, "server pairs"),
            by_cid: Index::new(seed, "server cids"),
            key_bytes: 0,
            peers: SideTable::default(),
            peers_by_ledger_size: BTreeSet::new(),
            out_of_place: None,
        }
    }

    pub(super) fn connected(&mut self, peer: Ref<Peer>) {
        self.peers.insert(peer, PeerWants::default());
    }

    /// The peer's wants have been removed.
    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        let Some(gone) = consistent(self.peers.remove(peer), "a peer leaves twice") else { return };
        debug_assert!(gone.list.is_empty(), "a peer leaves wants behind");
        self.peers_by_ledger_size.remove(&(gone.ordered, peer));
        self.out_of_place = self.out_of_place.filter(|other| *other != peer);
        self.by_pair.release();
        self.by_cid.release();
        if self.peers.len() == 0 {
            self.peers_by_ledger_size = BTreeSet::new();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Wants of one peer.
    pub(super) fn len_of(&self, peer: Ref<Peer>) -> u32 {
        self.peers.get(peer).map_or(0, |wants| wants.list.len())
    }

    pub(super) fn at(&self, row: Ref<Want>) -> Option<&Want> {
        self.rows.at(row)
    }

    pub(super) fn at_mut(&mut self, row: Ref<Want>) -> Option<&mut Want> {
        self.rows.at_mut(row)
    }

    pub(super) fn id(&self, row: Ref<Want>) -> Option<Id<Want>> {
        self.rows.id(row)
    }

    /// The row of this id, if it is still that want's.
    pub(super) fn row(&self, id: Id<Want>) -> Option<Ref<Want>> {
        self.rows.get(id).map(|_| id.at())
    }

    /// The want of a peer for a CID.
    pub(super) fn find(&self, peer: Ref<Peer>, key: &Key) -> Option<Ref<Want>> {
        let hash = self.by_pair.hash(key.bytes(), u64::from(peer.place()));
        self.by_pair.find(hash, |row| {
            self.rows.at(row).is_some_and(|want| want.peer() == peer && want.key() == key)
        })
    }

    /// All wants for a CID, of all peers, in no useful order.
    pub(super) fn of_cid(&self, key: &Key) -> impl Iterator<Item = Ref<Want>> {
        Chain::<Want, OfCid>::iter(&self.rows, self.first_of_cid(key)).map(|(row, _)| row)
    }

    /// All wants of a peer, the latest first.
    pub(super) fn of_peer(&self, peer: Ref<Peer>) -> impl Iterator<Item = (Ref<Want>, &Want)> {
        self.peers.get(peer).into_iter().flat_map(|wants| wants.list.iter(&self.rows))
    }

    /// The want of a peer that was added last.
    pub(super) fn latest_of(&self, peer: Ref<Peer>) -> Option<Ref<Want>> {
        self.peers.get(peer)?.list.first()
    }

    /// The peer with the most wants, and how many it has.
    pub(super) fn largest(&mut self) -> Option<(Ref<Peer>, u32)> {
        self.put_in_place();
        self.peers_by_ledger_size.last().map(|&(len, peer)| (peer, len))
    }

    /// Adds a want that is not there yet, of a connected peer.
    pub(super) fn insert(&mut self, want: Want) -> Option<Ref<Want>> {
        let peer = want.peer();
        let wants = consistent(self.peers.get_mut(peer), "a peer that left wants")?;
        let of_pair = self.by_pair.hash(want.key().bytes(), u64::from(peer.place()));
        let of_cid = self.by_cid.hash(want.key().bytes(), 0);
        let same = self
            .by_cid
            .find(of_cid, |row| self.rows.at(row).is_some_and(|other| other.key() == want.key()));
        self.key_bytes += want.key().heap_bytes();
        let row = self.rows.insert(want).at();
        wants.list.push_front(&mut self.rows, row);
        self.by_pair.insert(of_pair, row);
        match same {
            // Second in the chain, so that the index goes on naming the same first row.
            Some(first) => Chain::<Want, OfCid>::insert_after(&mut self.rows, first, row),
            None => self.by_cid.insert(of_cid, row),
        }
        self.resized(peer);
        Some(row)
    }

    /// Takes a want out.
    pub(super) fn remove(&mut self, row: Ref<Want>) -> Option<Want> {
        let want = consistent(self.rows.at(row), "a want is removed twice")?;
        let peer = want.peer();
        let of_pair = self.by_pair.hash(want.key().bytes(), u64::from(peer.place()));
        let of_cid = self.by_cid.hash(want.key().bytes(), 0);
        self.by_pair.remove(of_pair, row);
        if let Unlinked::First(next) = Chain::<Want, OfCid>::remove(&mut self.rows, row) {
            self.by_cid.remove(of_cid, row);
            if let Some(next) = next {
                self.by_cid.insert(of_cid, next);
            }
        }
        if let Some(wants) = consistent(self.peers.get_mut(peer), "a peer left and its want stayed")
        {
            wants.list.remove(&mut self.rows, row);
        }
        self.resized(peer);
        let want = self.rows.remove(row)?;
        self.key_bytes -= want.key().heap_bytes();
        Some(want)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
            + self.by_pair.bytes()
            + self.by_cid.bytes()
            + self.key_bytes
            + self.peers.bytes()
            + self.peers_by_ledger_size.len() * size_of::<(u32, Ref<Peer>)>() * 3 / 2
    }

    /// The most bytes of so many rows, without the keys that are not inline.
    pub(super) const fn bytes_max(rows: u64) -> u64 {
        Rows::<Want>::bytes_max(rows) + 2 * Index::<Ref<Want>>::bytes_max(rows)
    }

    /// The most bytes of a peer without wants, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        SideTable::<PeerWants, Peer>::bytes_max_each(peers)
    }

    /// The most bytes of the order of so many peers.
    pub(super) const fn order_bytes_max(peers: u64) -> u64 {
        tree::<(u32, Ref<Peer>)>(peers)
    }

    fn first_of_cid(&self, key: &Key) -> Option<Ref<Want>> {
        let hash = self.by_cid.hash(key.bytes(), 0);
        self.by_cid.find(hash, |row| self.rows.at(row).is_some_and(|want| want.key() == key))
    }

    /// A peer has more or fewer wants than before.
    fn resized(&mut self, peer: Ref<Peer>) {
        if self.out_of_place != Some(peer) {
            self.put_in_place();
            self.out_of_place = Some(peer);
        }
    }

    /// Brings the order of peers up to date, so that what is held does not depend on when somebody asks.
    pub(super) fn put_in_place(&mut self) {
        let Some(peer) = self.out_of_place.take() else { return };
        let Some(wants) = consistent(self.peers.get_mut(peer), "a peer left its place") else {
            return;
        };
        if wants.ordered != wants.list.len() {
            self.peers_by_ledger_size.remove(&(wants.ordered, peer));
            wants.ordered = wants.list.len();
            if wants.ordered > 0 {
                self.peers_by_ledger_size.insert((wants.ordered, peer));
            }
        }
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let (mut listed, mut key_bytes, mut ordered) = (0, 0, 0);
        for (peer, wants) in self.peers.iter() {
            wants.list.validate(&self.rows)?;
            listed += wants.list.len() as usize;
            let place = (wants.ordered, peer);
            if (wants.ordered > 0) != self.peers_by_ledger_size.contains(&place) {
                return Err("a peer is not where it should be in the order of peers");
            }
            ordered += usize::from(wants.ordered > 0);
            if wants.ordered != wants.list.len() && self.out_of_place != Some(peer) {
                return Err("a peer's place in the order of peers is out of date");
            }
            for (row, want) in wants.list.iter(&self.rows) {
                want.validate()?;
                key_bytes += want.key().heap_bytes();
                if want.peer() != peer {
                    return Err("a want is in another peer's list");
                }
                if self.find(peer, want.key()) != Some(row) {
                    return Err("a want is not found by its peer and CID");
                }
                // Walking a chain for each of its wants would take the square of its length.
                if self.first_of_cid(want.key()).is_none() {
                    return Err("a want is not found by its CID");
                }
            }
        }
        let first_rows = self.rows.iter().map(|(id, _)| id.at());
        let firsts = first_rows.filter(|row| {
            self.rows.at(*row).is_some_and(|want| self.first_of_cid(want.key()) == Some(*row))
        });
        let chained: usize =
            firsts.map(|row| Chain::<Want, OfCid>::iter(&self.rows, Some(row)).count()).sum();
        if chained != self.rows.len() || listed != self.rows.len() {
            return Err("a want is in no list or chain, or in two");
        }
        if key_bytes != self.key_bytes || ordered != self.peers_by_ledger_size.len() {
            return Err("a sum of the table of wants is wrong");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::server::samples::{self, key, want_block};

    fn want(peer: Ref<Peer>, n: u32) -> Want {
        Want::new(peer, key(n), &want_block(n, 0), 0, None)
    }

    fn table(peers: u32) -> (WantTable, Vec<Ref<Peer>>) {
        let mut table = WantTable::new(&[3; 32]);
        let peers: Vec<_> = (0..peers).map(samples::peer).collect();
        peers.iter().for_each(|peer| table.connected(*peer));
        (table, peers)
    }

    #[test]
    fn wants_are_found_by_pair_by_cid_and_by_peer_until_removed() {
        let (mut table, peers) = table(3);
        let mut rows = Vec::new();
        for n in 0..700 {
            for peer in &peers {
                rows.push(table.insert(want(*peer, n)).unwrap());
            }
        }
        table.validate().unwrap();
        for n in 0..700 {
            let mut of_cid: Vec<_> =
                table.of_cid(&key(n)).map(|row| table.at(row).unwrap().peer()).collect();
            of_cid.sort_unstable();
            assert_eq!(of_cid, peers);
            for peer in &peers {
                let row = rows[(n * 3 + peer.place()) as usize];
                assert_eq!(table.find(*peer, &key(n)), Some(row));
            }
        }
        // The second peer leaves, first to last and last to first.
        let of_peer: Vec<_> = table.of_peer(peers[1]).map(|(row, _)| row).collect();
        assert_eq!(of_peer.len(), 700);
        for row in of_peer.iter().step_by(2).chain(of_peer.iter().skip(1).step_by(2)) {
            assert!(table.remove(*row).is_some());
        }
        table.disconnected(peers[1]);
        table.validate().unwrap();
        for n in 0..700 {
            assert_eq!(table.find(peers[1], &key(n)), None);
            assert_eq!(table.of_cid(&key(n)).count(), 2);
        }
        for peer in [peers[0], peers[2]] {
            while let Some(row) = table.latest_of(peer) {
                table.remove(row);
            }
            table.disconnected(peer);
        }
        assert_eq!((table.len(), table.bytes()), (0, 0));
        assert_eq!(table.of_cid(&key(1)).count(), 0);
    }

    #[test]
    fn a_want_costs_at_most_160_bytes_with_both_indexes() {
        let (mut table, peers) = table(100);
        for n in 0..100_000 {
            table.insert(want(peers[n as usize % 100], n));
        }
        let each = table.bytes() / table.len();
        assert!(each <= 160, "{each} bytes per want");
    }

    #[test]
    fn the_peer_with_the_most_wants_is_known_after_every_change() {
        let (mut table, peers) = table(3);
        let [a, b, c] = peers[..] else { unreachable!() };
        assert_eq!(table.largest(), None);
        for (n, peer) in [(0, a), (1, b), (2, b), (3, c)] {
            table.insert(want(peer, n));
        }
        assert_eq!(table.largest(), Some((b, 2)));
        for n in 4..7 {
            table.insert(want(a, n));
        }
        assert_eq!(table.largest(), Some((a, 4)));
        for _ in 0..3 {
            let row = table.latest_of(a).unwrap();
            table.remove(row);
            table.validate().unwrap();
        }
        assert_eq!(table.largest(), Some((b, 2)));
    }

    #[test]
    fn a_want_that_is_not_found_is_noticed() {
        let (mut table, peers) = table(1);
        let row = table.insert(want(peers[0], 1)).unwrap();
        let hash = table.by_cid.hash(key(1).bytes(), 0);
        table.by_cid.remove(hash, row);
        assert!(table.validate().is_err());
        table.by_cid.insert(hash, row);
        table.validate().unwrap();
        table.peers.get_mut(peers[0]).unwrap().list = List::default();
        assert!(table.validate().is_err());
    }

    #[test]
    fn the_table_takes_what_its_parts_do_and_the_long_keys() {
        let (mut table, peers) = table(2);
        let long = cid::multihash::Multihash::wrap(0x12, &[7; 64]).unwrap();
        let long = Key::new(&cid::Cid::new_v1(0x55, long));
        assert!(long.heap_bytes() > 0);
        table.insert(Want::new(peers[0], long.clone(), &want_block(1, 0), 0, None)).unwrap();
        table.insert(want(peers[1], 2)).unwrap();
        table.largest();
        let parts = |table: &WantTable| {
            let indexes = table.by_pair.bytes() + table.by_cid.bytes();
            table.rows.bytes() + indexes + table.peers.bytes()
        };
        assert_eq!(table.peers_by_ledger_size.len(), 2);
        let sizes = 3 * size_of::<(u32, Ref<Peer>)>();
        assert_eq!(table.bytes(), parts(&table) + long.heap_bytes() + sizes);
        let row = table.find(peers[0], &long).unwrap();
        table.remove(row);
        table.largest();
        let sizes = table.peers_by_ledger_size.len() * size_of::<(u32, Ref<Peer>)>() * 3 / 2;
        assert_eq!(table.bytes(), parts(&table) + sizes);
    }
}
