//! The blocks that are requested and have not arrived, and the bytes that they are expected to take.

use alloc::collections::BTreeMap;

use cid::Cid;

use crate::key::Key;

/// The bytes that a request is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Bytes of the file.
    Leaf(u64),
    /// Memory.
    Node(u64),
}

/// See the [module](self). The sums are always those of the requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    by_cid: BTreeMap<Key, Expected>,
    leaf_bytes: u64,
    node_bytes: u64,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        self.by_cid.is_empty()
    }

    /// The bytes of all requested leaves.
    pub(super) const fn leaf_bytes(&self) -> u64 {
        self.leaf_bytes
    }

    /// The memory of all requested nodes.
    pub(super) const fn node_bytes(&self) -> u64 {
        self.node_bytes
    }

    pub(super) fn cids(&self) -> impl Iterator<Item = Cid> + '_ {
        self.by_cid.keys().map(Key::cid)
    }

    /// A block is requested, or requested again.
    pub(super) fn insert(&mut self, cid: &Cid, expected: Expected) {
        self.remove(cid);
        *self.sum(expected) += expected.bytes();
        self.by_cid.insert(Key::new(cid), expected);
    }

    /// A block arrived, or its request ended. Returns whether it was requested.
    pub(super) fn remove(&mut self, cid: &Cid) -> bool {
        let removed = self.by_cid.remove(&Key::new(cid));
        if let Some(expected) = removed {
            *self.sum(expected) -= expected.bytes();
        }
        removed.is_some()
    }

    const fn sum(&mut self, expected: Expected) -> &mut u64 {
        match expected {
            Expected::Leaf(_) => &mut self.leaf_bytes,
            Expected::Node(_) => &mut self.node_bytes,
        }
    }

    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When the sums are not those of the requests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) {
        let (mut leaves, mut nodes) = (0, 0);
        for expected in self.by_cid.values() {
            match expected {
                Expected::Leaf(bytes) => leaves += bytes,
                Expected::Node(bytes) => nodes += bytes,
            }
        }
        assert_eq!((leaves, nodes), (self.leaf_bytes, self.node_bytes));
    }
}

impl Expected {
    const fn bytes(self) -> u64 {
        match self {
            Self::Leaf(bytes) | Self::Node(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::RAW;
    use crate::chunk::download::tests::harness::cid_of;

    #[test]
    fn the_sums_are_those_of_the_requests() {
        let (a, b) = (cid_of(b"a"), Cid::new_v1(RAW, *cid_of(b"b").hash()));
        let mut requests = Requests::default();
        requests.insert(&a, Expected::Node(5));
        requests.insert(&b, Expected::Leaf(7));
        requests.insert(&a, Expected::Leaf(9));
        requests.validate();
        assert_eq!((requests.leaf_bytes(), requests.node_bytes()), (16, 0));
        assert!(requests.remove(&b) && !requests.remove(&b));
        assert!(requests.cids().eq([a]));
        requests.validate();
        assert!(requests.remove(&a) && requests.is_empty());
        assert_eq!((requests.leaf_bytes(), requests.node_bytes()), (0, 0));
    }
}
