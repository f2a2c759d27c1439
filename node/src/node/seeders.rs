//! Who has what: peers that said HAVE of a block, or delivered it.
//!
//! It is kept by what is got: of a transfer by its root, of a block that is got by itself by that. Nothing here decides
//! anything; a peer may say HAVE of what it likes, so everything is bounded.

use std::time::Duration;

use cid::Cid;
use hashlink::LruCache;
use libp2p::PeerId;

/// Roots that are remembered; the one that nothing was heard of for longest makes room.
const ROOTS_MAX: usize = 256;

/// Peers that are remembered of one root. Those that delivered make room only for others that did.
const PEERS_MAX: usize = 256;

/// A peer that has a file or a block, or some of it, as [`Node::seeders`](super::Node::seeders) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Seeder {
    /// The peer.
    pub peer: PeerId,
    /// Whether it is connected now.
    pub is_connected: bool,
    /// Whether it said of any block that it has it.
    pub said_have: bool,
    /// Blocks that it delivered.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long these took on average, each from when it was wanted; zero before the first.
    pub latency: Duration,
}

/// What is known of one peer.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    said_have: bool,
    blocks: u64,
    bytes: u64,
    waited: Duration,
}

/// The peers of a root by their names. Most roots have few: what is got by itself has one.
#[derive(Debug, Default)]
struct Peers(Vec<(PeerId, Known)>);

impl Peers {
    fn place(&self, peer: &PeerId) -> Result<usize, usize> {
        self.0.binary_search_by(|(id, _)| id.cmp(peer))
    }

    /// What is known of a peer, and whether that is new. `None` for a new one when there are as many as may be.
    fn know(&mut self, peer: PeerId) -> Option<(&mut Known, bool)> {
        let (at, is_new) = match self.place(&peer) {
            Ok(at) => (at, false),
            Err(_) if self.0.len() >= PEERS_MAX => return None,
            Err(at) => {
                self.0.insert(at, (peer, Known::default()));
                (at, true)
            }
        };
        self.0.get_mut(at).map(|(_, known)| (known, is_new))
    }

    /// Has the one that delivered least make room for a new peer, if there are as many as may be.
    fn make_room_for(&mut self, peer: &PeerId) {
        if self.0.len() < PEERS_MAX || self.place(peer).is_ok() {
            return;
        }
        let least = self.0.iter().enumerate().min_by_key(|(_, (_, known))| known.blocks);
        if let Some((least, _)) = least {
            self.0.remove(least);
        }
    }
}

#[derive(Debug)]
pub(super) struct Seeders {
    roots: LruCache<Cid, Peers>,
}

impl Default for Seeders {
    fn default() -> Self {
        Self { roots: LruCache::new(ROOTS_MAX) }
    }
}

impl Seeders {
    /// A peer said that it has a block of this. True when it is remembered now and was not before.
    pub(super) fn said_have(&mut self, root: Cid, peer: PeerId) -> bool {
        let Some((known, is_new)) = self.peers_of(root).know(peer) else { return false };
        known.said_have = true;
        is_new
    }

    /// A peer delivered a block of this. True when it was not known to have any before.
    pub(super) fn delivered(
        &mut self,
        root: Cid,
        peer: PeerId,
        bytes: u64,
        latency: Duration,
    ) -> bool {
        let peers = self.peers_of(root);
        peers.make_room_for(&peer);
        let Some((known, is_new)) = peers.know(peer) else { return false };
        known.blocks += 1;
        known.bytes += bytes;
        known.waited += latency;
        is_new
    }

    /// The peers of a root, those that delivered most first.
    pub(super) fn of(&self, root: &Cid, is_connected: impl Fn(&PeerId) -> bool) -> Vec<Seeder> {
        let peers = self.roots.peek(root).into_iter().flat_map(|Peers(peers)| peers);
        let mut seeders: Vec<Seeder> = peers
            .map(|(peer, known)| Seeder {
                peer: *peer,
                is_connected: is_connected(peer),
                said_have: known.said_have,
                blocks: known.blocks,
                bytes: known.bytes,
                latency: match u32::try_from(known.blocks) {
                    Ok(0) => Duration::ZERO,
                    blocks => known.waited / blocks.unwrap_or(u32::MAX),
                },
            })
            .collect();
        seeders.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.peer.cmp(&b.peer)));
        seeders
    }

    /// The peers of a root, of which something was heard.
    fn peers_of(&mut self, root: Cid) -> &mut Peers {
        self.roots.entry(root).or_insert_with(Peers::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn cid(n: u32) -> Cid {
        *bitswap_core::Block::raw(n.to_le_bytes().to_vec()).cid()
    }

    #[test]
    fn who_delivered_comes_first_with_what_it_delivered() {
        let (mut seeders, a, b) = (Seeders::default(), PeerId::random(), PeerId::random());
        assert!(seeders.said_have(cid(1), a));
        assert!(!seeders.said_have(cid(1), a), "it is known");
        assert!(seeders.delivered(cid(1), b, 10, 4 * MS));
        assert!(!seeders.delivered(cid(1), b, 20, 8 * MS));
        let known = seeders.of(&cid(1), |peer| *peer == a);
        let blank = Seeder {
            peer: a,
            is_connected: true,
            said_have: true,
            blocks: 0,
            bytes: 0,
            latency: Duration::ZERO,
        };
        let delivered = Seeder {
            peer: b,
            is_connected: false,
            said_have: false,
            blocks: 2,
            bytes: 30,
            latency: 6 * MS,
        };
        assert_eq!(known, [delivered, blank]);
        assert_eq!(seeders.of(&cid(2), |_| true), []);
    }

    #[test]
    fn peers_that_only_say_that_they_have_it_take_the_place_of_none_that_delivered() {
        let (mut seeders, honest) = (Seeders::default(), PeerId::random());
        for _ in 0..2 * PEERS_MAX {
            seeders.said_have(cid(1), PeerId::random());
        }
        assert_eq!(seeders.of(&cid(1), |_| true).len(), PEERS_MAX);
        assert!(seeders.delivered(cid(1), honest, 1, MS));
        let known = seeders.of(&cid(1), |_| true);
        assert_eq!((known.len(), known[0].peer), (PEERS_MAX, honest));
    }

    #[test]
    fn what_was_heard_of_last_is_remembered() {
        let (mut seeders, peer) = (Seeders::default(), PeerId::random());
        let last = u32::try_from(ROOTS_MAX).unwrap();
        for n in 0..=last {
            seeders.said_have(cid(n), peer);
            seeders.said_have(cid(0), peer);
        }
        assert_eq!(seeders.roots.len(), ROOTS_MAX);
        assert!(!seeders.of(&cid(0), |_| true).is_empty(), "heard of all the time");
        assert!(seeders.of(&cid(1), |_| true).is_empty(), "not heard of for longest");
    }
}
