//! The peers that sessions were given, also those that are not connected.
//!
//! Invariant: a name that no open session admits is not kept.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::client::Session;
use crate::memory::tree;
use crate::util::rows::Id;

/// The sessions that each named peer was given to.
#[derive(Debug)]
pub(super) struct Admissions<P>(BTreeMap<P, Vec<Id<Session>>>);

impl<P> Default for Admissions<P> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<P: Ord> Admissions<P> {
    pub(super) fn admit(&mut self, peer: P, session: Id<Session>) {
        self.0.entry(peer).or_default().push(session);
    }

    /// The session is closed.
    pub(super) fn close(&mut self, session: Id<Session>) {
        self.0.retain(|_, sessions| {
            sessions.retain(|other| *other != session);
            !sessions.is_empty()
        });
        if self.0.is_empty() {
            self.0 = BTreeMap::new();
        }
    }

    /// The sessions that a peer was given to.
    pub(super) fn of(&self, peer: &P) -> &[Id<Session>] {
        self.0.get(peer).map_or(&[], Vec::as_slice)
    }

    /// Bytes held, without the lists of sessions. A B-tree node holds eleven entries and is at least half full.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<(P, Vec<Id<Session>>)>() * 3 / 2
    }

    /// The most bytes when there are none.
    pub(super) const fn bytes_empty() -> u64 {
        tree::<(P, Vec<Id<Session>>)>(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_long_as_a_session_admits_it() {
        let [one, other] = [1, 2].map(Id::from_bits);
        let mut admissions: Admissions<u16> = Admissions::default();
        for peer in 0..4 {
            admissions.admit(peer, one);
        }
        admissions.admit(3, other);
        assert_eq!((admissions.of(&2), admissions.of(&3)), (&[one][..], &[one, other][..]));
        assert_eq!(admissions.bytes(), 6 * size_of::<(u16, Vec<Id<Session>>)>());
        admissions.close(one);
        assert_eq!((admissions.of(&2), admissions.of(&3)), (&[][..], &[other][..]));
        assert_eq!(admissions.bytes(), size_of::<(u16, Vec<Id<Session>>)>() * 3 / 2);
    }
}
