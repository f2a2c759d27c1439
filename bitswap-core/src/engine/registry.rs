//! The peers that are connected: the host's names for them, and the rows that the halves know them by.
//!
//! Invariant: each row has one name and each name one row, and there are no more of them than may be.

use alloc::collections::BTreeMap;

use crate::memory::tree;
use crate::peer::Peer;
use crate::util::rows::{Id, Ref, Rows};

/// A connected peer.
#[derive(Debug)]
struct Known<P> {
    name: P,
    messages_received: u64,
    /// What the host was told last of the need for its connection.
    is_needed: bool,
}

/// The connected peers.
#[derive(Debug)]
pub(super) struct Registry<P> {
    max: usize,
    rows: Rows<Known<P>, Peer>,
    places: BTreeMap<P, Id<Peer>>,
}

impl<P: Copy + Ord> Registry<P> {
    /// Of so many peers at most.
    pub(super) fn new(max: u32) -> Self {
        Self { max: max as usize, rows: Rows::default(), places: BTreeMap::new() }
    }

    /// `None` when it is there already, or there is no room for it.
    pub(super) fn connect(&mut self, name: P) -> Option<Id<Peer>> {
        if self.places.contains_key(&name) || self.rows.len() >= self.max {
            return None;
        }
        let id = self.rows.insert(Known { name, messages_received: 0, is_needed: false });
        self.places.insert(name, id);
        Some(id)
    }

    /// `None` when it is not there. Its row may be another peer's from now on.
    pub(super) fn disconnect(&mut self, name: &P) -> Option<Id<Peer>> {
        let id = self.places.remove(name)?;
        self.rows.remove(id.at());
        if self.places.is_empty() {
            self.places = BTreeMap::new();
        }
        Some(id)
    }

    pub(super) fn id(&self, name: &P) -> Option<Id<Peer>> {
        self.places.get(name).copied()
    }

    pub(super) fn id_at(&self, row: Ref<Peer>) -> Option<Id<Peer>> {
        self.rows.id(row)
    }

    pub(super) fn name_at(&self, row: Ref<Peer>) -> Option<P> {
        self.rows.at(row).map(|peer| peer.name)
    }

    /// `None` when the peer is not there any more, whoever has its row now.
    pub(super) fn name(&self, id: Id<Peer>) -> Option<P> {
        self.rows.get(id).map(|peer| peer.name)
    }

    /// A message of the peer arrived.
    pub(super) fn count_message(&mut self, row: Ref<Peer>) {
        if let Some(peer) = self.rows.at_mut(row) {
            peer.messages_received += 1;
        }
    }

    pub(super) fn messages_received(&self, row: Ref<Peer>) -> Option<u64> {
        self.rows.at(row).map(|peer| peer.messages_received)
    }

    /// The host is to be told whether the connection to a peer is needed. The peer, unless it was told so last.
    pub(super) fn tell_need(&mut self, row: Ref<Peer>, is_needed: bool) -> Option<P> {
        let peer = self.rows.at_mut(row)?;
        let before = core::mem::replace(&mut peer.is_needed, is_needed);
        (before != is_needed).then_some(peer.name)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes held. A B-tree node holds eleven entries and is at least half full.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.places.len() * size_of::<(P, Id<Peer>)>() * 3 / 2
    }

    /// The most bytes when there are none.
    pub(super) const fn bytes_empty() -> u64 {
        tree::<(P, Id<Peer>)>(0)
    }

    /// The most bytes of so many peers.
    pub(super) const fn bytes_max(peers: u64) -> u64 {
        Rows::<Known<P>, Peer>::bytes_max(peers) + tree::<(P, Id<Peer>)>(peers)
    }

    /// What is wrong with it, if anything.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        if self.rows.len() != self.places.len() {
            return Err("the peers and their names are not the same");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_one_row_while_there_is_room() {
        let mut registry: Registry<char> = Registry::new(4);
        let [a, b] = ['a', 'b'].map(|name| registry.connect(name).unwrap());
        assert_eq!(registry.connect('a'), None);
        assert_eq!(
            (registry.connect('c').is_some(), registry.connect('d').is_some()),
            (true, true)
        );
        assert_eq!((registry.connect('e'), registry.len()), (None, 4));
        let names = 6 * size_of::<(char, Id<Peer>)>();
        assert_eq!(registry.bytes(), registry.rows.bytes() + names);
        assert_eq!(
            (registry.id(&'b'), registry.id_at(b.at()), registry.name(b)),
            (Some(b), Some(b), Some('b'))
        );
        for _ in 0..3 {
            registry.count_message(a.at());
        }
        assert_eq!(registry.messages_received(a.at()), Some(3));
        assert_eq!(registry.tell_need(a.at(), false), None, "that is so from the start");
        assert_eq!(
            [true, true, false].map(|it| registry.tell_need(a.at(), it)),
            [Some('a'), None, Some('a')]
        );
        assert_eq!((registry.disconnect(&'a'), registry.disconnect(&'a')), (Some(a), None));
        let again = registry.connect('e').unwrap();
        assert_eq!(
            (registry.name(a), registry.name_at(a.at()), again.at()),
            (None, Some('e'), a.at())
        );
        registry.validate().unwrap();
    }
}
