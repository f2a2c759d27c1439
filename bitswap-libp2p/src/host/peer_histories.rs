//! What departed peers were like.

use std::collections::{BTreeMap, HashMap};

use bitswap_core::PeerHistory;
use libp2p_identity::PeerId;

/// PeerHistories about peers that have left, by when they left. Bounded: the oldest give way.
#[derive(Debug)]
pub(crate) struct PeerHistories {
    max: usize,
    by_peer: HashMap<PeerId, (u64, PeerHistory)>,
    by_age: BTreeMap<u64, PeerId>,
    next: u64,
}

impl PeerHistories {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, by_peer: HashMap::new(), by_age: BTreeMap::new(), next: 0 }
    }

    /// Remembers a peer that has just left.
    pub(crate) fn put(&mut self, peer: PeerId, history: PeerHistory) {
        self.take(&peer);
        self.by_peer.insert(peer, (self.next, history));
        self.by_age.insert(self.next, peer);
        self.next += 1;
        while self.by_peer.len() > self.max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_peer.remove(&oldest);
        }
    }

    /// The history about a peer that returns.
    pub(crate) fn take(&mut self, peer: &PeerId) -> Option<PeerHistory> {
        let (age, history) = self.by_peer.remove(peer)?;
        self.by_age.remove(&age);
        Some(history)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn history(blocks: u64) -> PeerHistory {
        PeerHistory { latency: Duration::ZERO, throughput: 0, blocks, timeouts: 0 }
    }

    #[test]
    fn the_peer_that_left_first_is_forgotten_first() {
        let mut histories = PeerHistories::new(2);
        let [a, b, c] = [PeerId::random(), PeerId::random(), PeerId::random()];
        histories.put(a, history(1));
        histories.put(b, history(2));
        histories.put(a, history(3));
        histories.put(c, history(4));
        assert_eq!(histories.take(&b), None);
        assert_eq!(histories.take(&a), Some(history(3)));
        assert_eq!(histories.take(&a), None, "handed back once");
        assert_eq!(histories.take(&c), Some(history(4)));
        assert_eq!((histories.by_peer.len(), histories.by_age.len()), (0, 0));
    }
}
