//! What departed peers were like.

use std::collections::{BTreeMap, HashMap};

use bitswap_core::Hint;
use libp2p_identity::PeerId;

/// Hints about peers that have left, by when they left. Bounded: the oldest give way.
#[derive(Debug)]
pub(crate) struct Hints {
    max: usize,
    by_peer: HashMap<PeerId, (u64, Hint)>,
    by_age: BTreeMap<u64, PeerId>,
    next: u64,
}

impl Hints {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, by_peer: HashMap::new(), by_age: BTreeMap::new(), next: 0 }
    }

    /// Remembers a peer that has just left.
    pub(crate) fn put(&mut self, peer: PeerId, hint: Hint) {
        self.take(&peer);
        self.by_peer.insert(peer, (self.next, hint));
        self.by_age.insert(self.next, peer);
        self.next += 1;
        while self.by_peer.len() > self.max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_peer.remove(&oldest);
        }
    }

    /// The hint about a peer that returns.
    pub(crate) fn take(&mut self, peer: &PeerId) -> Option<Hint> {
        let (age, hint) = self.by_peer.remove(peer)?;
        self.by_age.remove(&age);
        Some(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hint(blocks: u64) -> Hint {
        Hint { latency: Duration::ZERO, throughput: 0, blocks, timeouts: 0 }
    }

    #[test]
    fn the_peer_that_left_first_is_forgotten_first() {
        let mut hints = Hints::new(2);
        let [a, b, c] = [PeerId::random(), PeerId::random(), PeerId::random()];
        hints.put(a, hint(1));
        hints.put(b, hint(2));
        hints.put(a, hint(3));
        hints.put(c, hint(4));
        assert_eq!(hints.take(&b), None);
        assert_eq!(hints.take(&a), Some(hint(3)));
        assert_eq!(hints.take(&a), None, "handed back once");
        assert_eq!(hints.take(&c), Some(hint(4)));
        assert_eq!((hints.by_peer.len(), hints.by_age.len()), (0, 0));
    }
}
